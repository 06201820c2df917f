//! The file catalogue: locations, files, and what is noted about them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// A collection.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize, Deserialize)]
pub(crate) struct CollectionRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// How many contents, entries and locations are in it.
    pub(crate) members: u64,
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
