//! Results of backups.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A backup was made.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct BackupReport {
    pub(crate) file: String,
    pub(crate) bytes: u64,
}

/// A library was made of a backup.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct RestoredReport {
    pub(crate) device_id: String,
    pub(crate) dir: String,
}
