//! How a comparison with the others ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DeepReport;

/// How a comparison ended.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct VerifyReport {
    pub(crate) equal: bool,
    pub(crate) peers: Vec<VerifyPeer>,
    /// Models whose rows do not give the digest that is kept; `null` if nobody looked.
    pub(crate) rows: Option<Vec<String>>,
    /// What was damaged; `null` if nobody looked.
    pub(crate) deep: Option<DeepReport>,
}

/// What comparing with a device came to.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct VerifyPeer {
    pub(crate) device_id: String,
    pub(crate) name: String,
    /// `equal`, `differ`, `not_yet` or `no_answer`.
    pub(crate) state: String,
    /// The models that differ.
    pub(crate) models: Vec<String>,
}
