//! What the metrics were.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the metrics were, in steps of time.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct TrendReport {
    /// Since when, Unix milliseconds.
    pub(crate) from_ms: u64,
    /// Until when: now.
    pub(crate) until_ms: u64,
    /// How long a step is.
    pub(crate) step_ms: u64,
    /// The steps, the first first; one in which nothing happened is missing.
    pub(crate) points: Vec<TrendRow>,
}

/// What happened in a step, and how things were.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct TrendRow {
    /// The end of the step, Unix milliseconds.
    pub(crate) at_ms: u64,
    /// Changes that this device wrote.
    pub(crate) committed: u64,
    /// Changes of others that were applied.
    pub(crate) applied: u64,
    /// Bytes of messages to other devices.
    pub(crate) sent_bytes: u64,
    /// Bytes of messages from other devices.
    pub(crate) received_bytes: u64,
    /// The median of how long a write took until it was durable, in microseconds, as near as the
    /// buckets of the histogram tell.
    pub(crate) commit_us: Option<u64>,
    /// The same of what came from others.
    pub(crate) apply_us: Option<u64>,
    /// The same of how old that was when it was visible here.
    pub(crate) propagation_us: Option<u64>,
    /// Change sets that the device lacked that lacked most, at most.
    pub(crate) backlog: u64,
    /// For how long a device had lacked something, in milliseconds, at most.
    pub(crate) lag_ms: u64,
    /// Devices that were connected at the end.
    pub(crate) online: u32,
    /// Open conflicts at the end.
    pub(crate) conflicts: u64,
    /// What waited in quarantine at the end.
    pub(crate) quarantined: u64,
    /// Bytes of library.db with its write-ahead log at the end.
    pub(crate) library_bytes: u64,
    /// Bytes of sync.db with its write-ahead log at the end.
    pub(crate) sync_bytes: u64,
}
