//! Results of commands. Serialised, each is what `--json` prints.

mod backup;
mod catalog;
mod damage;
mod devices;
mod doctor;
mod history;
mod merge;
mod phase;
mod status;
mod trend;
mod verify;
mod why;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use backup::{BackupReport, RestoredReport};
pub(crate) use catalog::{
    CollectionRow, EntryRow, LocationRow, NotedReport, ProblemRow, Registered, ScanReport, TagRow,
    TaggedReport,
};
pub(crate) use damage::{DamageReport, DeepReport};
pub(crate) use devices::{
    DeviceRow, Founded, Invitation, LinksReport, Pairing, PeerRow, RouteReport, StoppedReport,
};
pub(crate) use doctor::{DoctorReport, Finding, Passed, Severity};
pub(crate) use history::{
    ChangeRow, DeletedRow, FieldRow, HistoryRow, LogRow, ObstacleRow, ReplacedRow, UndoReport,
    UndoneField, UndoneRow,
};
pub(crate) use merge::{ConflictRow, QuarantineRow, ResolvedReport, RetriedReport, SiblingRow};
pub(crate) use phase::{Backfill, PhaseProgress, PrunedReport};
pub(crate) use status::{PeerState, RoomReport, SizesReport, StatusReport, SyncPeer, SyncReport};
pub(crate) use trend::{TrendReport, TrendRow};
pub(crate) use verify::{VerifyPeer, VerifyReport};
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
