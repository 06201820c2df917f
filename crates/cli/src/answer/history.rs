//! Results about what happened, and about taking it back.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A value that a change took the place of.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct ReplacedRow {
    /// `null` also if it is not known.
    pub(crate) value: Value,
    /// Whether the value is in this device's history.
    pub(crate) known: bool,
    pub(crate) dot: String,
    pub(crate) device: String,
    pub(crate) device_id: String,
    pub(crate) time: Option<String>,
}

/// A field that a change wrote, or that a delete took.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct FieldRow {
    pub(crate) field: String,
    pub(crate) value: Value,
    pub(crate) replaced: Vec<ReplacedRow>,
}

/// A change of a record.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct HistoryRow {
    pub(crate) dot: String,
    /// By the clock of who wrote it; nothing is known of a row that a device owns.
    pub(crate) time: Option<String>,
    pub(crate) device: String,
    pub(crate) device_id: String,
    pub(crate) model: String,
    pub(crate) record: String,
    /// The record's name, if it has one.
    pub(crate) name: Option<String>,
    /// `created`, `set`, `deleted`; of links `added`, `removed`; of a row that a device owns `state`.
    pub(crate) did: String,
    pub(crate) fields: Vec<FieldRow>,
}

/// What a change set did to one record.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct ChangeRow {
    pub(crate) model: String,
    pub(crate) record: String,
    pub(crate) name: Option<String>,
    pub(crate) did: String,
    pub(crate) fields: BTreeMap<String, Value>,
}

/// A change set, a checkpoint, or something that happened to sync.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum LogRow {
    /// A change set.
    Set {
        dot: String,
        time: String,
        device: String,
        device_id: String,
        /// The first change set of the same command, if it wrote several.
        group: Option<String>,
        changes: Vec<ChangeRow>,
    },
    /// A checkpoint.
    Checkpoint { checkpoint: String, time: String, what: String },
    /// Something that happened to sync.
    Event {
        /// Its kind.
        event: String,
        /// `info`, `warning` or `error`.
        severity: String,
        /// When it happened first.
        time: String,
        /// When it happened last.
        last: String,
        /// How often, from the first time to the last.
        times: u64,
        device: Option<String>,
        device_id: Option<String>,
        words: String,
        fields: Value,
        /// None: an event is no change set.
        changes: Vec<ChangeRow>,
    },
}

/// A field of a record that undoing writes.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct UndoneField {
    pub(crate) field: String,
    pub(crate) from: Value,
    pub(crate) to: Value,
}

/// What undoing does to a record.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct UndoneRow {
    pub(crate) model: String,
    pub(crate) record: String,
    pub(crate) name: Option<String>,
    pub(crate) did: String,
    pub(crate) fields: Vec<UndoneField>,
}

/// What stands in the way of undoing.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct ObstacleRow {
    pub(crate) model: String,
    pub(crate) record: String,
    pub(crate) name: Option<String>,
    pub(crate) field: Option<String>,
    /// `overwritten`, `conflict`, `unknown`, `deleted`, `deleted_too` or `changed`.
    pub(crate) reason: String,
    /// The reason in words.
    pub(crate) why: String,
    /// The change sets that are in the way.
    pub(crate) by: Vec<String>,
    /// Whether `--force` overcomes it.
    pub(crate) yields: bool,
}

/// What undoing came to, or would.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct UndoReport {
    /// Whether nothing was done.
    pub(crate) dry_run: bool,
    /// The change sets that were taken back.
    pub(crate) undone: Vec<String>,
    /// The change sets that did it.
    pub(crate) written: Vec<String>,
    pub(crate) changes: Vec<UndoneRow>,
    pub(crate) obstacles: Vec<ObstacleRow>,
}

/// A record that was deleted.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct DeletedRow {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) device: String,
    pub(crate) device_id: String,
    pub(crate) time: String,
    pub(crate) dot: String,
}
