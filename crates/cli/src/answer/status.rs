//! How things stand: with this device, with the others, and on the disk.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Backfill, DamageReport, PhaseProgress};

/// How things stand.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct StatusReport {
    pub(crate) device_id: String,
    pub(crate) device: String,
    pub(crate) library_id: String,
    pub(crate) library: String,
    /// `uninitialized`, `backfilling`, `catching_up` or `ready`.
    pub(crate) phase: String,
    /// While backfilling: how far it is.
    pub(crate) backfill: Option<Backfill>,
    /// While catching up: how many change sets are not here.
    pub(crate) missing: u64,
    /// How far the phase is, and how fast it gets on; nothing if there is nothing to come.
    pub(crate) progress: Option<PhaseProgress>,
    pub(crate) verdict: String,
    /// Whether the network is on.
    pub(crate) syncing: bool,
    pub(crate) http: Option<String>,
    pub(crate) listen: Vec<SocketAddr>,
    /// Origin to seq.
    pub(crate) vector: BTreeMap<String, u64>,
    pub(crate) peers: Vec<PeerState>,
    /// Model to rows.
    pub(crate) counts: BTreeMap<String, u64>,
    pub(crate) quarantined: u64,
    pub(crate) conflicts: u64,
    /// Whether another copy of this device's data seems to be in use.
    pub(crate) twin: bool,
    pub(crate) damage: DamageReport,
    pub(crate) sizes: SizesReport,
}

/// How another device is, compared with this one.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct PeerState {
    pub(crate) device_id: String,
    pub(crate) name: String,
    pub(crate) online: bool,
    /// Change sets that are here and that it has not acknowledged.
    pub(crate) behind: u64,
    /// Change sets of it that are not here, as far as is known.
    pub(crate) ahead: u64,
    /// For how long it has lacked something that is here; 0 if it lacks nothing.
    pub(crate) lag_ms: u64,
    /// How long ago it acknowledged something new, if it did since the daemon is up.
    pub(crate) acked_ms_ago: Option<u64>,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) clock_offset_ms: Option<i64>,
    /// Whether it has everything that is here.
    pub(crate) acked: bool,
    pub(crate) met: bool,
    /// Whether it is not waited for.
    pub(crate) evicted: bool,
    pub(crate) paused: bool,
    /// Whether two copies of its data seem to be in use.
    pub(crate) twin: bool,
    pub(crate) route: Option<String>,
    pub(crate) last_seen: Option<String>,
    pub(crate) last_failure: Option<String>,
}

/// Bytes of the library's files, by name, and what they are used for.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct SizesReport {
    #[serde(flatten)]
    pub(crate) files: BTreeMap<String, u64>,
    /// Nothing if it could not be measured.
    pub(crate) parts: Option<RoomReport>,
    /// Why it could not be measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) problem: Option<String>,
}

/// What the room of a library's files is used for, in bytes.
#[derive(Clone, Debug, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct RoomReport {
    /// What sync adds: the stamps, its indexes, tombstones, the log, history and state.
    pub(crate) sync: u64,
    pub(crate) rows: u64,
    pub(crate) indexes: u64,
    pub(crate) stamps: u64,
    pub(crate) sync_indexes: u64,
    pub(crate) tombstones: u64,
    pub(crate) log: u64,
    pub(crate) history: u64,
    pub(crate) state: u64,
    pub(crate) free: u64,
    /// How many change sets are in the log.
    pub(crate) change_sets: u64,
    /// How many tombstones there are.
    pub(crate) tombstone_rows: u64,
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct SyncReport {
    pub(crate) done: bool,
    pub(crate) peers: Vec<SyncPeer>,
    /// How things stand, as `status` says it.
    pub(crate) verdict: String,
}

/// A device's part in a wait.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct SyncPeer {
    pub(crate) device_id: String,
    pub(crate) name: String,
    /// `done`, `unfinished` or `unreachable`.
    pub(crate) state: String,
    pub(crate) behind: u64,
    pub(crate) ahead: u64,
}
