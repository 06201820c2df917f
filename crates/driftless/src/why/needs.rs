//! What a device has to hold for it to have the last change of a record.

use std::collections::BTreeSet;

use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Dot, Origin, RecordKey};
use driftless_core::message::State;
use driftless_core::record::Record;
use driftless_core::schema::ModelId;
use driftless_core::store::Missing;
use driftless_core::value::Value;
use driftless_core::version::OwnedHead;
use driftless_store::{Past, RowState, StoreError};

use super::{RecordHere, WhyRecord};
use crate::error::Error;
use crate::history::past;

/// What a device has to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    /// Everything that is here.
    pub(super) everything: bool,
    dots: BTreeSet<Dot>,
    rows: Vec<(DeviceId, OwnedHead)>,
    /// The last change: its change set, when it was written, whether it is in the log.
    pub(super) last: Option<(Dot, Option<Hlc>, bool)>,
}

impl Needs {
    /// Whether a device that holds this much has it. What it wrote itself it has.
    pub(super) fn are_met_by(&self, device: &DeviceId, holds: &State) -> bool {
        let has = |dot: &Dot| dot.origin.device == *device || holds.shared.covers(dot);
        let rows = |(owner, head): &(DeviceId, OwnedHead)| {
            owner == device || holds.owned.head(owner).is_some_and(|held| held >= *head)
        };
        self.dots.iter().all(has) && self.rows.iter().all(rows)
    }

    /// The last of what this device itself wrote into its shared lane.
    pub(super) fn last_of(&self, origin: &Origin) -> Option<u64> {
        self.dots.iter().filter(|dot| dot.origin == *origin).map(|dot| dot.seq).max()
    }

    fn changed(&mut self, dot: Dot, hlc: Option<Hlc>) {
        if self.last.is_none_or(|(before, at, _)| (at, before) < (hlc, dot)) {
            self.last = Some((dot, hlc, false));
        }
    }
}

/// How the records are here, and what has to be held of them. Records of which nothing is known count
/// only if there is no other.
pub(super) fn of(
    past: &Past,
    records: &[(ModelId, RecordKey)],
    missing: &Missing,
) -> Result<(Vec<WhyRecord>, Needs), Error> {
    let mut needs = Needs { everything: records.is_empty(), ..Needs::default() };
    let (mut known, mut absent) = (Vec::new(), BTreeSet::new());
    for (model, key) in records {
        let (here, name) = look(past, (*model, key), missing, &mut needs)?;
        if here == RecordHere::Unknown {
            absent.insert((*model, key.clone()));
        } else {
            known.push(told(past, *model, key, (here, name)));
        }
    }
    if !absent.is_empty() {
        for ((model, key), past_of) in past::of_many(past, &absent)? {
            let Some(last) = past_of.changes.iter().max_by_key(|done| (done.hlc, done.dot)) else {
                continue;
            };
            needs.dots.insert(last.dot);
            needs.changed(last.dot, Some(last.hlc));
            let field = past.snapshot().schema().model(model).and_then(|m| m.field_named("name"));
            let name = field.and_then(|field| past::last_value(&past_of, field.id));
            known.push(told(past, model, &key, (RecordHere::Deleted, name)));
        }
    }
    if known.is_empty() {
        let unknown = |(model, key): &(ModelId, RecordKey)| {
            told(past, *model, key, (RecordHere::Unknown, None))
        };
        known = records.iter().map(unknown).collect();
    }
    if let Some((dot, _, logged)) = &mut needs.last {
        *logged = past.set(dot)?.is_some();
    }
    Ok((known, needs))
}

fn told(
    past: &Past,
    model: ModelId,
    key: &RecordKey,
    (here, name): (RecordHere, Option<Value>),
) -> WhyRecord {
    let name = match name {
        Some(Value::Text(name)) => Some(name),
        _ => None,
    };
    let model = past.snapshot().schema().name_of(model);
    WhyRecord { model, key: key.clone(), name, here }
}

/// How one record is here.
fn look(
    past: &Past,
    (model, key): (ModelId, &RecordKey),
    missing: &Missing,
    needs: &mut Needs,
) -> Result<(RecordHere, Option<Value>), Error> {
    let snapshot = past.snapshot();
    let place = (model, key.clone());
    if missing.shared.contains(&place) || missing.owned.values().any(|of| of.contains_key(&place)) {
        return Ok((RecordHere::Damaged, None));
    }
    let described = snapshot.schema().model(model);
    let named = described.and_then(|model| model.field_named("name"));
    if described.is_some_and(|model| !model.kind.is_shared()) {
        return match snapshot.row(model, key) {
            Ok(Some(row)) => {
                let name = named.and_then(|named| {
                    row.fields
                        .iter()
                        .find(|(id, _)| *id == named.id)
                        .map(|(_, value)| value.clone())
                });
                take_row(&row, needs);
                Ok((RecordHere::Shows, name))
            }
            Ok(None) => Ok((RecordHere::Unknown, None)),
            Err(StoreError::Damaged { .. }) => Ok((RecordHere::Damaged, None)),
            Err(error) => Err(error.into()),
        };
    }
    let record = match snapshot.record(model, key) {
        Ok(record) if record.is_alive() => record,
        Ok(_) => return Ok((RecordHere::Unknown, None)),
        Err(StoreError::Damaged { .. }) => return Ok((RecordHere::Damaged, None)),
        Err(error) => return Err(error.into()),
    };
    take_record(&record, needs);
    Ok((RecordHere::Shows, named.map(|named| record.shown(named.id, named.rule))))
}

fn take_row(row: &RowState, needs: &mut Needs) {
    needs.rows.push((row.device, OwnedHead { life: row.head.life, seq: row.seq }));
    needs.changed(Dot::new(Origin::owned(row.device, row.head.life.epoch), row.seq), None);
}

fn take_record(record: &Record, needs: &mut Needs) {
    let lives = record.lives.iter().map(|(dot, hlc)| (*dot, *hlc));
    let versions = record.fields.values().flatten().map(|version| (version.dot, version.hlc));
    for (dot, hlc) in lives.chain(versions) {
        needs.dots.insert(dot);
        needs.changed(dot, Some(hlc));
    }
}
