//! Which commands can be asked for over HTTP, and what they answer. Everything else that is to be
//! known of them, their parameters above all, is known from the command line.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::answer::{
    BackupReport, CollectionRow, ConflictRow, DeletedRow, DeviceRow, DoctorReport, EntryRow,
    HistoryRow, Identified, Invitation, LinksReport, LocationRow, LogRow, NotedReport, PeerRow,
    PrunedReport, QuarantineRow, Registered, ResolvedReport, RetriedReport, RouteReport,
    ScanReport, StatusReport, SyncReport, TagRow, TaggedReport, TrendReport, UndoReport,
    VerifyReport, WhyReport,
};

/// What the paths of commands begin with.
pub(super) const PREFIX: &str = "/api/v1/";

/// Where the daemon is ended.
pub(super) const DOWN: &str = "/api/v1/down";

/// How a command is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verb {
    /// A question: parameters in the address.
    Get,
    /// A change, or long work: parameters as a JSON object in the body.
    Post,
}

/// What a command answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// One value.
    One,
    /// A list, as one value.
    List,
    /// A list, one value a line.
    Lines,
}

/// A command.
pub(super) struct Route {
    /// Its words, which are also its path.
    pub(super) words: &'static [&'static str],
    pub(super) verb: Verb,
    pub(super) shape: Shape,
    /// The schema of what it answers, or of one of the list.
    pub(super) answer: fn(&mut SchemaGenerator) -> Schema,
    /// Parameters that are for terminals alone.
    pub(super) without: &'static [&'static str],
}

fn of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    schemas.subschema_for::<T>()
}

fn either<T: JsonSchema, U: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    let (one, other) = (schemas.subschema_for::<T>(), schemas.subschema_for::<U>());
    schemars::json_schema!({"anyOf": [one, other]})
}

/// A record with all that it holds, which depends on its model.
fn anything(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({"type": "object"})
}

type Texts = BTreeMap<String, String>;

const fn get(words: &'static [&'static str], answer: fn(&mut SchemaGenerator) -> Schema) -> Route {
    Route { words, verb: Verb::Get, shape: Shape::One, answer, without: &[] }
}

const fn list(words: &'static [&'static str], answer: fn(&mut SchemaGenerator) -> Schema) -> Route {
    Route { words, verb: Verb::Get, shape: Shape::List, answer, without: &[] }
}

const fn post(words: &'static [&'static str], answer: fn(&mut SchemaGenerator) -> Schema) -> Route {
    Route { words, verb: Verb::Post, shape: Shape::One, answer, without: &[] }
}

const fn lines(
    words: &'static [&'static str],
    answer: fn(&mut SchemaGenerator) -> Schema,
    without: &'static [&'static str],
) -> Route {
    Route { words, verb: Verb::Get, shape: Shape::Lines, answer, without }
}

const fn without(route: Route, without: &'static [&'static str]) -> Route {
    Route { without, ..route }
}

/// All of them.
pub(super) const ROUTES: &[Route] = &[
    without(get(&["status"], of::<StatusReport>), &["watch"]),
    get(&["digest"], of::<Texts>),
    lines(&["dump"], anything, &[]),
    get(&["doctor"], of::<DoctorReport>),
    get(&["why"], of::<WhyReport>),
    without(post(&["sync"], of::<SyncReport>), &["offline"]),
    without(post(&["verify"], of::<VerifyReport>), &["offline"]),
    without(post(&["invite"], of::<Invitation>), &["qr"]),
    list(&["devices"], of::<DeviceRow>),
    post(&["devices", "rename"], of::<Identified>),
    post(&["devices", "evict"], of::<Identified>),
    list(&["peers"], of::<PeerRow>),
    post(&["peers", "add"], of::<RouteReport>),
    post(&["peers", "pause"], of::<LinksReport>),
    post(&["peers", "resume"], of::<LinksReport>),
    list(&["location", "ls"], of::<LocationRow>),
    post(&["location", "add"], either::<ScanReport, Registered>),
    post(&["location", "rm"], of::<Identified>),
    post(&["location", "rescan"], either::<ScanReport, Vec<ScanReport>>),
    list(&["ls"], either::<EntryRow, LocationRow>),
    without(list(&["find"], of::<EntryRow>), &["lines"]),
    list(&["tag", "ls"], either::<TagRow, DeletedRow>),
    post(&["tag", "create"], of::<Identified>),
    post(&["tag", "set"], of::<Identified>),
    post(&["tag", "rm"], of::<Identified>),
    post(&["tag", "merge"], of::<Identified>),
    post(&["tag", "add"], of::<TaggedReport>),
    post(&["tag", "remove"], of::<TaggedReport>),
    list(&["collection", "ls"], either::<CollectionRow, EntryRow>),
    post(&["collection", "create"], of::<Identified>),
    post(&["collection", "set"], of::<Identified>),
    post(&["collection", "add"], of::<TaggedReport>),
    post(&["collection", "remove"], of::<TaggedReport>),
    post(&["collection", "rm"], of::<Identified>),
    get(&["meta", "get"], of::<NotedReport>),
    post(&["meta", "set"], of::<Identified>),
    list(&["conflicts"], of::<ConflictRow>),
    get(&["conflicts", "show"], of::<ConflictRow>),
    post(&["conflicts", "resolve"], of::<ResolvedReport>),
    list(&["quarantine"], of::<QuarantineRow>),
    post(&["quarantine", "retry"], of::<RetriedReport>),
    list(&["history"], of::<HistoryRow>),
    lines(&["log"], of::<LogRow>, &["follow"]),
    get(&["trend"], of::<TrendReport>),
    post(&["undo"], of::<UndoReport>),
    post(&["restore-record"], of::<UndoReport>),
    post(&["prune"], of::<PrunedReport>),
    post(&["backup"], of::<BackupReport>),
    get(&["config", "get"], of::<Texts>),
    post(&["config", "set"], of::<Texts>),
];

/// Commands of an open library that cannot be asked for: what they tell is told to whoever asks
/// already.
#[cfg(test)]
pub(super) const NOT_OFFERED: &[&str] = &["dashboard"];

impl Route {
    /// Where it is asked for.
    pub(super) fn path(&self) -> String {
        format!("{PREFIX}{}", self.words.join("/"))
    }

    /// The schema of the whole answer.
    pub(super) fn schema(&self, schemas: &mut SchemaGenerator) -> Value {
        let answer = (self.answer)(schemas).to_value();
        match self.shape {
            Shape::List => serde_json::json!({"type": "array", "items": answer}),
            Shape::One | Shape::Lines => answer,
        }
    }
}
