//! `history`.

use driftless::core::clock::Hlc;
use driftless::core::schema::{ModelId, ModelKind};
use driftless::{Deed, Dot, FieldChange, HistoryEntry, Library, RecordKey};
use driftless_catalog::Catalog;
use serde_json::Value;

use super::record::{Found, find};
use super::value::json_value;
use super::{Context, gone};
use crate::answer::{FieldRow, HistoryRow, ReplacedRow, Rows};
use crate::args::HistoryArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// Rows that are handed on at a time.
const CHUNK: usize = 100;

pub(super) fn history(
    context: Context<'_>,
    args: &HistoryArgs,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let library = context.library;
    let rows = if args.record.is_path() {
        let catalog = Catalog::new(library);
        let item = catalog.resolve(args.record.as_os_str())?;
        let mut rows = shared(library, &catalog.records_about(&item)?)?;
        rows.extend(owned(library, &RecordKey::from(item.id))?);
        rows
    } else {
        let selector = args.record.as_os_str().to_string_lossy();
        match find(library, &selector, args.model.as_deref())? {
            Found::Shared(model, key) => shared(library, &[(model, key)])?,
            Found::Owned(key) => owned(library, &key)?,
        }
    };
    if rows.is_empty() {
        out.rows(Rows::History(Vec::new())).map_err(gone)?;
        note_begin(library, out)?;
    }
    for rows in rows.chunks(CHUNK) {
        out.rows(Rows::History(rows.to_vec())).map_err(gone)?;
    }
    Ok(Exit::Done)
}

/// Says how far the history goes, where that may be why nothing is in it.
fn note_begin(library: &Library, out: &mut dyn Output) -> Result<(), Failure> {
    let note = match library.history_begin()? {
        Some(0) => return Ok(()),
        Some(begin) => format!("This device's history is whole since {}.", text::time(begin)),
        None => "This device keeps no history: driftless config set history 90d".to_owned(),
    };
    out.note(note).map_err(gone)
}

fn shared(library: &Library, records: &[(ModelId, RecordKey)]) -> Result<Vec<HistoryRow>, Failure> {
    let entries = library.histories(records)?;
    Ok(entries.iter().map(|entry| row(library, entry)).collect())
}

fn row(library: &Library, entry: &HistoryEntry) -> HistoryRow {
    let (change, device_id) = (&entry.change, entry.device.to_string());
    HistoryRow {
        dot: entry.dot.to_string(),
        time: Some(text::time(entry.hlc.ms())),
        device: entry.device_name.clone().unwrap_or_else(|| device_id.clone()),
        device_id,
        model: change.model_name.clone(),
        record: change.key.to_string(),
        name: change.record_name.clone(),
        did: did(library, change.model, change.deed).to_owned(),
        fields: change.fields.iter().map(field).collect(),
    }
}

/// What was done, in the word that the kind of model has for it.
pub(super) fn did(library: &Library, model: ModelId, deed: Deed) -> &'static str {
    let kind = library.schema().model(model).map(|model| model.kind);
    match (deed, kind == Some(ModelKind::Link)) {
        (Deed::Created, false) => "created",
        (Deed::Created, true) => "added",
        (Deed::Set, _) => "set",
        (Deed::Deleted, false) => "deleted",
        (Deed::Deleted, true) => "removed",
    }
}

fn field(change: &FieldChange) -> FieldRow {
    let replaced = change.replaced.iter().map(|replaced| {
        let device_id = replaced.device.to_string();
        let value = replaced.value.as_ref();
        ReplacedRow {
            value: value.map_or(Value::Null, |value| json_value(change.ty, value)),
            known: value.is_some(),
            dot: replaced.dot.to_string(),
            device: replaced.device_name.clone().unwrap_or_else(|| device_id.clone()),
            device_id,
            time: replaced.hlc.map(Hlc::ms).map(text::time),
        }
    });
    FieldRow {
        field: change.name.clone(),
        value: change.value.as_ref().map_or(Value::Null, |value| json_value(change.ty, value)),
        replaced: replaced.collect(),
    }
}

/// Rows that devices own under a key, as they are.
fn owned(library: &Library, key: &RecordKey) -> Result<Vec<HistoryRow>, Failure> {
    let snapshot = library.snapshot()?;
    let members = library.members()?;
    let mut found = Vec::new();
    for model in library.schema().iter().filter(|model| model.kind == ModelKind::Owned) {
        let Some(row) = snapshot.row(model.id, key)? else { continue };
        let member = members.iter().find(|member| member.device == row.device);
        let device_id = row.device.to_string();
        let origin = driftless::core::id::Origin::owned(row.device, row.head.life.epoch);
        let value = |name: &str| {
            let field = model.field_named(name)?;
            row.fields.iter().find(|(id, _)| *id == field.id).map(|(_, value)| value.clone())
        };
        let fields = model.fields.iter().map(|field| {
            let value = row.fields.iter().find(|(id, _)| *id == field.id);
            FieldRow {
                field: field.name.clone(),
                value: value.map_or(Value::Null, |(_, value)| json_value(Some(field.ty), value)),
                replaced: Vec::new(),
            }
        });
        found.push(HistoryRow {
            dot: Dot::new(origin, row.seq).to_string(),
            time: None,
            device: member.map_or_else(|| device_id.clone(), |member| member.name.clone()),
            device_id,
            model: model.name.clone(),
            record: key.to_string(),
            name: match value("name") {
                Some(driftless::core::value::Value::Text(name)) => Some(name),
                _ => None,
            },
            did: "state".to_owned(),
            fields: fields.collect(),
        });
    }
    Ok(found)
}

/// The model with this name, if its records are shared.
pub(super) fn model_of(library: &Library, name: &str) -> Result<ModelId, Failure> {
    let shared = || library.schema().iter().filter(|model| model.kind.is_shared());
    let found = shared().find(|model| model.name == name).map(|model| model.id);
    found.ok_or_else(|| {
        let names: Vec<&str> = shared().map(|model| &*model.name).collect();
        Failure::usage(format!(
            "no shared model is called {name:?}; there are {}",
            names.join(", ")
        ))
    })
}
