//! Results of commands. Serialised, each is what `--json` prints.

mod backup;
mod damage;
mod history;
mod merge;
mod phase;
mod trend;
mod why;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use backup::{BackupReport, RestoredReport};
pub(crate) use damage::{DamageReport, DeepReport};
pub(crate) use history::{
    ChangeRow, DeletedRow, FieldRow, HistoryRow, LogRow, ObstacleRow, ReplacedRow, UndoReport,
    UndoneField, UndoneRow,
};
pub(crate) use merge::{ConflictRow, QuarantineRow, ResolvedReport, RetriedReport, SiblingRow};
pub(crate) use phase::{Backfill, PhaseProgress, PrunedReport};
pub(crate) use trend::{TrendReport, TrendRow};
pub(crate) use why::{
    WhyChange, WhyDevice, WhyNext, WhyReason, WhyRecordRow, WhyReport, WhyWaiting,
};

/// The result of a command that gives one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// A record was made or changed.
    Record(Record),
    /// A library was made or joined.
    Library(Founded),
    /// A ticket.
    Invitation(Invitation),
    /// A joiner showed the ticket.
    Pairing(Pairing),
    /// How things stand.
    Status(Box<StatusReport>),
    /// How a wait ended.
    Sync(SyncReport),
    /// The digests.
    Digests(BTreeMap<String, String>),
    /// How a comparison ended.
    Verified(VerifyReport),
    /// Settings.
    Settings(BTreeMap<String, String>),
    /// Links were cut or are allowed again.
    Links(LinksReport),
    /// An address was remembered.
    Route(RouteReport),
    /// The daemon was stopped, or there was none.
    Stopped(StoppedReport),
    /// A location was scanned.
    Scans(Vec<ScanReport>),
    /// Tags were put on files or taken off.
    Tagged(TaggedReport),
    /// What a look at everything found.
    Doctor(DoctorReport),
    /// A folder was made a location, and is scanned later.
    Registered(Registered),
    /// Files were put into a collection or taken out.
    Collected(TaggedReport),
    /// What is noted about something.
    Noted(Box<NotedReport>),
    /// A conflict with all its values.
    Conflict(Box<ConflictRow>),
    /// A conflict was resolved.
    Resolved(Box<ResolvedReport>),
    /// What waited was tried again.
    Retried(RetriedReport),
    /// What pruning came to.
    Pruned(PrunedReport),
    /// A backup was made.
    Backup(BackupReport),
    /// A library was made of one.
    Restored(RestoredReport),
    /// Something was taken back, or would be.
    Undone(Box<UndoReport>),
    /// Where the page is.
    Dashboard(DashboardReport),
    /// Where something is, and why it is not everywhere.
    Why(Box<WhyReport>),
    /// What the metrics were.
    Trend(Box<TrendReport>),
}

impl Answer {
    /// What `--json` prints.
    pub(crate) fn json(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Record(it) => serde_json::to_value(Identified { id: it.id.clone() }),
            Self::Library(it) => serde_json::to_value(it),
            Self::Invitation(it) => serde_json::to_value(it),
            Self::Pairing(it) => serde_json::to_value(it),
            Self::Status(it) => serde_json::to_value(it),
            Self::Sync(it) => serde_json::to_value(it),
            Self::Digests(it) | Self::Settings(it) => serde_json::to_value(it),
            Self::Verified(it) => serde_json::to_value(it),
            Self::Links(it) => serde_json::to_value(it),
            Self::Route(it) => serde_json::to_value(it),
            Self::Stopped(it) => serde_json::to_value(it),
            // A command for one location gives one report.
            Self::Scans(reports) if reports.len() == 1 => serde_json::to_value(&reports[0]),
            Self::Scans(reports) => serde_json::to_value(reports),
            Self::Doctor(it) => serde_json::to_value(it),
            Self::Registered(it) => serde_json::to_value(it),
            Self::Tagged(it) | Self::Collected(it) => serde_json::to_value(it),
            Self::Noted(it) => serde_json::to_value(it),
            Self::Conflict(it) => serde_json::to_value(it),
            Self::Resolved(it) => serde_json::to_value(it),
            Self::Retried(it) => serde_json::to_value(it),
            Self::Pruned(it) => serde_json::to_value(it),
            Self::Backup(it) => serde_json::to_value(it),
            Self::Restored(it) => serde_json::to_value(it),
            Self::Undone(it) => serde_json::to_value(it),
            Self::Dashboard(it) => serde_json::to_value(it),
            Self::Why(it) => serde_json::to_value(it),
            Self::Trend(it) => serde_json::to_value(it),
        }
    }
}

/// A part of a result that is a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Rows {
    /// Devices.
    Devices(Vec<DeviceRow>),
    /// Links.
    Peers(Vec<PeerRow>),
    /// Indexed folders.
    Locations(Vec<LocationRow>),
    /// Files, folders and links.
    Entries(Vec<EntryRow>),
    /// Tags.
    Tags(Vec<TagRow>),
    /// Collections.
    Collections(Vec<CollectionRow>),
    /// Open conflicts.
    Conflicts(Vec<ConflictRow>),
    /// What waits.
    Quarantine(Vec<QuarantineRow>),
    /// What happened to a record.
    History(Vec<HistoryRow>),
    /// What happened.
    Log(Vec<LogRow>),
    /// Records that were deleted.
    Deleted(Vec<DeletedRow>),
}

impl Rows {
    /// What `--json` prints of each.
    pub(crate) fn json(&self) -> Result<Vec<Value>, serde_json::Error> {
        fn all<T: Serialize>(rows: &[T]) -> Result<Vec<Value>, serde_json::Error> {
            rows.iter().map(serde_json::to_value).collect()
        }
        match self {
            Self::Devices(rows) => all(rows),
            Self::Peers(rows) => all(rows),
            Self::Locations(rows) => all(rows),
            Self::Entries(rows) => all(rows),
            Self::Tags(rows) => all(rows),
            Self::Collections(rows) => all(rows),
            Self::Conflicts(rows) => all(rows),
            Self::Quarantine(rows) => all(rows),
            Self::History(rows) => all(rows),
            Self::Log(rows) => all(rows),
            Self::Deleted(rows) => all(rows),
        }
    }
}

/// A record that a command made or changed.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    /// What happened to it, for people.
    pub(crate) did: String,
}

/// What `--json` prints of a record that a command made or changed.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Identified {
    pub(crate) id: String,
}

/// Where the daemon answers HTTP.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct DashboardReport {
    /// The address with the token, for a browser.
    pub(crate) url: String,
    /// The address alone.
    pub(crate) address: String,
    pub(crate) token: String,
}

/// A library that this device belongs to from now on.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Founded {
    pub(crate) library_id: String,
    pub(crate) library: String,
    pub(crate) device_id: String,
    pub(crate) device: String,
    pub(crate) dir: String,
}

/// A ticket.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub(crate) ticket: String,
    pub(crate) expires: String,
    /// Whether a daemon runs that can answer the joiner.
    pub(crate) reachable: bool,
}

/// A joiner that showed a ticket.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Pairing {
    pub(crate) code: String,
    pub(crate) device_id: String,
    pub(crate) name: String,
    /// Whether it is a member now.
    pub(crate) joined: bool,
}

/// A member.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct DeviceRow {
    pub(crate) id: String,
    pub(crate) name: String,
    /// What its membership is: `active`, or `evicted`, which is a member that is not waited for.
    pub(crate) state: String,
    pub(crate) here: bool,
    pub(crate) online: bool,
    pub(crate) os: Option<String>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) invited_by: String,
    pub(crate) since: String,
}

/// A link to another device.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct PeerRow {
    pub(crate) device_id: String,
    pub(crate) name: String,
    pub(crate) online: bool,
    pub(crate) paused: bool,
    pub(crate) route: Option<String>,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) last_seen: Option<String>,
    pub(crate) last_failure: Option<String>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
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

/// Links that were cut, or may be made again.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct LinksReport {
    /// Of this device, or of all.
    pub(crate) device_id: Option<String>,
    pub(crate) paused: bool,
}

/// An address that was remembered.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct RouteReport {
    pub(crate) address: SocketAddr,
}

/// What stopping the daemon came to.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct StoppedReport {
    /// Whether there was one.
    pub(crate) stopped: bool,
}

/// An indexed folder.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct LocationRow {
    pub(crate) id: String,
    pub(crate) device: String,
    pub(crate) device_id: String,
    pub(crate) path: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) path_raw: Option<String>,
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) files: u64,
    pub(crate) dirs: u64,
    pub(crate) bytes: u64,
    pub(crate) problems: u64,
    pub(crate) scanned_at: Option<String>,
    pub(crate) volume: Option<String>,
    pub(crate) gitignore: bool,
    pub(crate) hidden: bool,
    /// How it is watched, if this daemon does that.
    pub(crate) watch: Option<String>,
}

/// A file, folder or link.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct EntryRow {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) name_raw: Option<String>,
    pub(crate) kind: String,
    pub(crate) size: u64,
    pub(crate) device: String,
    pub(crate) device_id: String,
    pub(crate) path: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) path_raw: Option<String>,
    pub(crate) location: String,
    pub(crate) modified_at: Option<String>,
    pub(crate) created_at: Option<String>,
    pub(crate) content: Option<String>,
    pub(crate) link_target: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) note: Option<String>,
    pub(crate) favourite: bool,
    pub(crate) hidden: bool,
    pub(crate) rating: Option<i64>,
}

/// All that is noted about a file, folder or link.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct NotedReport {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) device: String,
    pub(crate) device_id: String,
    pub(crate) content: Option<String>,
    pub(crate) note: Option<String>,
    pub(crate) favourite: bool,
    pub(crate) hidden: bool,
    pub(crate) rating: Option<i64>,
    /// The free fields.
    pub(crate) data: BTreeMap<String, Value>,
    pub(crate) tags: Vec<String>,
}

/// A collection.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct CollectionRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// How many contents, entries and locations are in it.
    pub(crate) members: u64,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct TagRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) color: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) parent: Option<String>,
    pub(crate) kind: Option<String>,
    /// The tag of the same name that stands for all of them.
    pub(crate) alias_of: Option<String>,
    /// How many contents, entries and locations carry it.
    pub(crate) subjects: u64,
}

/// What a scan came to.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct ScanReport {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) files: u64,
    pub(crate) dirs: u64,
    pub(crate) links: u64,
    pub(crate) bytes: u64,
    pub(crate) added: u64,
    pub(crate) updated: u64,
    pub(crate) removed: u64,
    pub(crate) hashed: u64,
    pub(crate) seconds: f64,
    pub(crate) problem_count: u64,
    /// Broken links, names that are not UTF-8.
    pub(crate) note_count: u64,
    /// The first of them.
    pub(crate) problems: Vec<ProblemRow>,
}

/// Something that a scan could not read.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct ProblemRow {
    pub(crate) path: String,
    pub(crate) what: String,
    pub(crate) message: String,
}

/// A tag that was put on files or taken off, or a collection that files were put into or taken out of.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct TaggedReport {
    /// The tag or collection.
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whether it was put on; else it was taken off.
    pub(crate) added: bool,
    /// How many of the files did not have it before, or had it.
    pub(crate) changed: u64,
    pub(crate) files: u64,
}

/// A location whose first scan is still to come.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Registered {
    pub(crate) id: String,
    pub(crate) path: String,
    /// What `location ls` says of it.
    pub(crate) state: String,
    /// Whether a daemon scans it now; else the next one does.
    pub(crate) daemon: bool,
}

/// How bad a finding is, the worst last.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Nothing was found.
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// The library works, and something should be done.
    Warning,
    /// The library does not work as it should.
    Error,
}

/// Something that a check found.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// Which check.
    pub(crate) check: String,
    pub(crate) severity: Severity,
    /// What is so.
    pub(crate) what: String,
    /// What it means.
    pub(crate) effect: String,
    /// What cures it.
    pub(crate) next: String,
}

/// A check that found nothing.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct Passed {
    pub(crate) check: String,
    /// What is so.
    pub(crate) what: String,
}

/// What a look at everything found.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct DoctorReport {
    /// The worst first.
    pub(crate) findings: Vec<Finding>,
    pub(crate) passed: Vec<Passed>,
    /// The severity of the worst finding; `ok` if there is none.
    pub(crate) worst: Severity,
    /// How things stand, as `status` says it; none of a library that cannot be opened.
    pub(crate) verdict: Option<String>,
}
