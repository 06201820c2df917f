//! How far a replica is, and what it need not keep.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lanes that are being fetched.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Backfill {
    /// From whom.
    pub(crate) peer: String,
    /// Change sets that have come.
    pub(crate) done: u64,
    /// Change sets that must come.
    pub(crate) total: u64,
}

/// What pruning came to.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct PrunedReport {
    /// Change sets that left the log.
    pub(crate) sets: u64,
    /// Tombstones of device-owned rows that went.
    pub(crate) tombstones: u64,
}

/// How far a phase is, and how fast it gets on. What is counted are change sets.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct PhaseProgress {
    /// As in the status.
    pub(crate) phase: String,
    /// From whom, if from one.
    pub(crate) peer: Option<String>,
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) percent: u64,
    /// Lately; nothing until it can be said.
    pub(crate) per_second: Option<f64>,
    pub(crate) remaining_seconds: Option<u64>,
}
