//! Results about where something is, and why it is not everywhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A record that was asked about.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct WhyRecordRow {
    pub(crate) model: String,
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    /// `shows`, `quarantined`, `damaged`, `deleted` or `unknown`, on this device.
    pub(crate) state: String,
    /// Why it is in quarantine, in words.
    pub(crate) reason: Option<String>,
}

/// The last change of it.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct WhyChange {
    pub(crate) dot: String,
    pub(crate) device: String,
    pub(crate) device_id: String,
    /// By the clock of who wrote it; nothing is known of rows that a device owns.
    pub(crate) time: Option<String>,
    /// Whether its change set is in this device's log.
    pub(crate) logged: bool,
}

/// Why a device lacks it.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct WhyReason {
    /// A name that stays: `offline`, `paused_here`, `in_flight` …
    pub(crate) reason: String,
    /// In words.
    pub(crate) words: String,
    /// What cures it.
    pub(crate) cure: String,
    /// What there is to know beyond the name.
    pub(crate) fields: Value,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct WhyNext {
    /// `on_its_way`, `dial`, `when_it_comes`, `when_sync_is_on` or `by_hand`.
    pub(crate) step: String,
    /// In words.
    pub(crate) words: String,
    /// When, if that is known.
    pub(crate) in_ms: Option<u64>,
}

/// Where the last change is, with respect to one device.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct WhyDevice {
    pub(crate) device_id: String,
    pub(crate) name: String,
    pub(crate) here: bool,
    pub(crate) has: bool,
    pub(crate) sent: Option<String>,
    pub(crate) acknowledged: Option<String>,
    /// When it acknowledged anything last.
    pub(crate) heard: Option<String>,
    pub(crate) behind: u64,
    pub(crate) ahead: u64,
    /// Only if it is further off than is followed.
    pub(crate) clock_off_ms: Option<i64>,
    /// What has to be seen to first comes last.
    pub(crate) reasons: Vec<WhyReason>,
    pub(crate) next: Option<WhyNext>,
}

/// A change set about it that waits here for what it builds on.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct WhyWaiting {
    pub(crate) dot: String,
    pub(crate) from: String,
    pub(crate) lacks: Vec<String>,
}

/// The answer to `why`.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct WhyReport {
    /// In one sentence.
    pub(crate) answer: String,
    /// How things stand altogether, as `status` says it.
    pub(crate) verdict: String,
    pub(crate) records: Vec<WhyRecordRow>,
    pub(crate) change: Option<WhyChange>,
    pub(crate) devices: Vec<WhyDevice>,
    pub(crate) waiting: Vec<WhyWaiting>,
}
