//! Results about what merging left open.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One of the values of a conflict.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct SiblingRow {
    pub(crate) value: Value,
    /// The writer's name, or its id where that is not known.
    pub(crate) device: String,
    pub(crate) device_id: String,
    /// By the writer's clock.
    pub(crate) time: String,
    pub(crate) dot: String,
}

/// A field with several values that were written concurrently.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct ConflictRow {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) record: String,
    /// The record's name, if it has one.
    pub(crate) name: Option<String>,
    pub(crate) field: String,
    /// What shows.
    pub(crate) winner: SiblingRow,
    pub(crate) losers: Vec<SiblingRow>,
}

/// How a conflict was resolved.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct ResolvedReport {
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) record: String,
    pub(crate) name: Option<String>,
    pub(crate) field: String,
    /// What shows from now on.
    pub(crate) value: Value,
    /// How many conflicts are open still.
    pub(crate) open: u64,
}

/// Something that is kept and merged, and cannot show.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct QuarantineRow {
    /// The record.
    pub(crate) id: String,
    pub(crate) model: String,
    pub(crate) record: String,
    /// `null` if it is the whole record.
    pub(crate) field: Option<String>,
    /// `unknown_model`, `unknown_field`, `refused_value` or `key_taken`.
    pub(crate) reason: String,
    /// The reason in words, and what helps.
    pub(crate) why: String,
    /// Who wrote it.
    pub(crate) device: Option<String>,
    pub(crate) device_id: Option<String>,
}

/// What trying again came to.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct RetriedReport {
    /// How much waited before.
    pub(crate) tried: u64,
    /// How much of it shows now.
    pub(crate) shown: u64,
    /// How much waits still.
    pub(crate) quarantined: u64,
}
