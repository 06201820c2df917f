//! `dump`: every synced record in one canonical form.
//!
//! A line is `{"model", "id", "device", "fields", "sync"}`: `device` only for device-owned rows,
//! `sync` only with stamps. Lines are sorted by the model's name, then by key (and device); fields by
//! name. Values are as in all of our JSON ([`super::value`]). Nothing in a line depends on the device that prints it.

use driftless::core::id::{Dot, Origin};
use driftless::core::record::{Record, Version};
use driftless::core::schema::{FieldId, ModelDescriptor, ModelId, ModelKind};
use driftless::core::value::Value;
use driftless::{RecordKey, RowState, Snapshot};
use serde_json::{Map, Value as Json, json};

use super::value::json_value;
use super::{Context, gone};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Records that are read at a time.
const CHUNK: usize = 1_000;

pub(super) fn run(
    context: Context<'_>,
    stamps: bool,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let snapshot = context.library.snapshot()?;
    let mut models: Vec<(String, ModelId)> =
        snapshot.models()?.into_iter().map(|id| (snapshot.schema().name_of(id), id)).collect();
    models.sort();
    for (name, id) in models {
        let model = snapshot.schema().model(id);
        let dump = Dump { snapshot: &snapshot, id, name: &name, model, stamps };
        // Of a model that is not known here, records can be of either kind.
        if model.is_none_or(|model| model.kind.is_shared()) {
            dump.shared(out)?;
        }
        if model.is_none_or(|model| model.kind == ModelKind::Owned) {
            dump.owned(out)?;
        }
    }
    Ok(Exit::Done)
}

struct Dump<'a> {
    snapshot: &'a Snapshot,
    id: ModelId,
    name: &'a str,
    model: Option<&'a ModelDescriptor>,
    stamps: bool,
}

impl Dump<'_> {
    fn shared(&self, out: &mut dyn Output) -> Result<(), Failure> {
        let mut after: Option<RecordKey> = None;
        loop {
            let records = self.snapshot.records(self.id, after.as_ref(), CHUNK)?;
            for (key, record) in &records {
                // What is dead shows nothing; only its stamps are part of the state.
                if record.is_alive() || self.stamps {
                    out.line(self.shared_line(key, record)).map_err(gone)?;
                }
            }
            match records.into_iter().next_back() {
                Some((key, _)) => after = Some(key),
                None => return Ok(()),
            }
        }
    }

    fn owned(&self, out: &mut dyn Output) -> Result<(), Failure> {
        let mut after: Option<RowState> = None;
        loop {
            let place = after.as_ref().map(|row| (&row.key, &row.device));
            let rows = self.snapshot.rows(self.id, place, CHUNK)?;
            for row in &rows {
                out.line(self.owned_line(row)).map_err(gone)?;
            }
            match rows.into_iter().next_back() {
                Some(row) => after = Some(row),
                None => return Ok(()),
            }
        }
    }

    fn shared_line(&self, key: &RecordKey, record: &Record) -> String {
        let mut line = self.line(key);
        let shown = |id: &FieldId| {
            let rule = self.model.and_then(|model| model.field(*id)).map(|field| field.rule);
            let rule = rule.unwrap_or(driftless::core::schema::MergeRule::Lww);
            (*id, record.shown(*id, rule))
        };
        let fields = record.fields.keys().filter(|_| record.is_alive()).map(shown);
        line.insert("fields".to_owned(), self.fields(fields));
        if self.stamps {
            line.insert("sync".to_owned(), self.shared_stamps(record));
        }
        Json::Object(line).to_string()
    }

    fn owned_line(&self, row: &RowState) -> String {
        let mut line = self.line(&row.key);
        line.insert("device".to_owned(), row.device.to_string().into());
        line.insert("fields".to_owned(), self.fields(row.fields.iter().cloned()));
        if self.stamps {
            let origin = Origin::owned(row.device, row.head.life.epoch);
            line.insert("sync".to_owned(), json!({"dot": Dot::new(origin, row.seq).to_string()}));
        }
        Json::Object(line).to_string()
    }

    fn line(&self, key: &RecordKey) -> Map<String, Json> {
        let mut line = Map::new();
        line.insert("model".to_owned(), self.name.into());
        line.insert("id".to_owned(), key.to_string().into());
        line
    }

    /// Fields by name; what is null is left out, as nothing tells it from what is not there.
    fn fields(&self, fields: impl Iterator<Item = (FieldId, Value)>) -> Json {
        let shown = fields.filter(|(_, value)| !value.is_null());
        Json::Object(
            shown.map(|(id, value)| (self.field_name(id), self.value(id, value))).collect(),
        )
    }

    fn field_name(&self, id: FieldId) -> String {
        let known = self.model.and_then(|model| model.field(id));
        known.map_or_else(|| format!("{:08x}", id.0), |field| field.name.clone())
    }

    fn value(&self, id: FieldId, value: Value) -> Json {
        json_value(self.model.and_then(|model| model.field(id)).map(|field| field.ty), &value)
    }

    fn shared_stamps(&self, record: &Record) -> Json {
        let lives = record.lives.iter();
        let lives: Vec<Json> = lives
            .map(|(dot, hlc)| json!({"dot": dot.to_string(), "hlc": hlc.0.to_string()}))
            .collect();
        let fields = record.fields.iter();
        let fields: Map<String, Json> = fields
            .map(|(id, versions)| {
                let versions = versions.iter().map(|version| self.version(*id, version));
                (self.field_name(*id), Json::Array(versions.collect()))
            })
            .collect();
        json!({"lives": lives, "versions": fields})
    }

    fn version(&self, id: FieldId, version: &Version) -> Json {
        let lives: Vec<String> = version.lives.iter().map(ToString::to_string).collect();
        json!({
            "dot": version.dot.to_string(),
            "hlc": version.hlc.0.to_string(),
            "lives": lives,
            "value": self.value(id, version.value.clone()),
        })
    }
}
