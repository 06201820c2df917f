//! Users who take back what was done: planned by the code that devices run, and held against what the
//! record would be had the change never been made.

use std::collections::BTreeSet;

use driftless_core::change::Op;
use driftless_core::engine::WriteError;
use driftless_core::id::{Dot, RecordKey};
use driftless_core::merge;
use driftless_core::record::Record;
use driftless_core::schema::{MergeRule, ModelDescriptor, ModelId, ModelKind};
use driftless_core::store::Store;
use driftless_core::undo::{Done, Ended, RecordPast, Step, TakeBack, difference};
use driftless_core::version::Vector;
use driftless_store::StoreError;

use crate::rng::Rng;
use crate::workload::{Desk, Outcome};

/// How far back what is taken back may be.
const LATELY: usize = 12;

/// Takes one change of one record back, if nothing stands in the way. What was taken back.
pub(crate) fn undo(desk: &mut Desk<'_>, rng: &mut Rng) -> Result<Option<&'static str>, String> {
    let Some((model, key, done, past)) = choose(desk, rng)? else { return Ok(None) };
    let record = read(desk, model.id, &key)?;
    let (whole, ended) = replay(&past, None);
    if whole != record {
        // A part of the log is gone, and with it what it would be without one of its changes.
        return Ok(None);
    }
    let past = RecordPast { changes: past, ended };
    let undone = BTreeSet::from([done.dot]);
    let back = TakeBack { past: &past, model: &model, undone: &undone, force: false };
    let mut after = record.clone();
    if !back.take_back(&mut after, &done).is_empty() {
        return Ok(Some("undo: something in the way"));
    }
    let again = matches!(done.op, Op::Delete { .. }) && record.is_alive();
    let replaced = matches!(&done.op, Op::Create { over, .. } if !over.is_empty());
    // What a device has counted since goes on from what is taken back.
    let counted = done.writes().iter().any(|write| {
        let counts = model.field(write.field).is_some_and(|f| f.rule == MergeRule::Counter);
        counts && record.versions(write.field).iter().all(|version| version.dot != done.dot)
    });
    if !again && !replaced && !counted {
        let (never, _) = replay(&past.changes, Some(done.dot));
        alike(&model, &key, &after, &never)?;
    }
    let Some(step) = difference(&record, &after, &model) else { return Ok(None) };
    let what = match step {
        Step::Create(_) => "undo: a delete",
        Step::Set(_) => "undo: a write",
        Step::Delete => "undo: a creation",
    };
    write(desk, &model, &key, step)?;
    let now = read(desk, model.id, &key)?;
    alike(&model, &key, &now, &after)?;
    Ok(Some(what))
}

/// A change of a record that users can write, with all changes of that record in the log.
#[expect(clippy::type_complexity, reason = "it is taken apart at once")]
fn choose(
    desk: &mut Desk<'_>,
    rng: &mut Rng,
) -> Result<Option<(ModelDescriptor, RecordKey, Done, Vec<Done>)>, String> {
    let log = desk.store.log(&Vector::new(), usize::MAX).map_err(|error| error.to_string())?;
    let (mut all, mut chosen) = (Vec::new(), Vec::new());
    let lately = log.len().saturating_sub(LATELY);
    for (at, set) in log.iter().enumerate() {
        let (dot, hlc) = (set.dot(), set.header().hlc);
        for change in set.changes().map_err(|error| error.to_string())? {
            let place = (change.model, change.key);
            if at >= lately && desk.schema.model(place.0).is_some() {
                chosen.push(all.len());
            }
            all.push((place, Done { dot, hlc, op: change.op }));
        }
    }
    if chosen.is_empty() {
        return Ok(None);
    }
    let (place, done) = all[rng.pick(&chosen)].clone();
    let past = all.into_iter().filter(|(other, _)| *other == place).map(|(_, done)| done).collect();
    let Some(model) = desk.schema.model(place.0).cloned() else { return Ok(None) };
    Ok(Some((model, place.1, done, past)))
}

/// What becomes of changes, without one of them, and what was lost to deletes on the way.
fn replay(changes: &[Done], without: Option<Dot>) -> (Record, Vec<Ended>) {
    let (mut record, mut ended) = (Record::default(), Vec::new());
    let mut seen = BTreeSet::new();
    for done in changes.iter().filter(|done| Some(done.dot) != without) {
        seen.insert(done.dot);
        let covered = |dot: &Dot| seen.contains(dot);
        let lost = merge::apply(&mut record, &done.op, done.dot, done.hlc, covered);
        ended.extend(lost.into_iter().map(|lost| Ended { lost, deleted: true }));
    }
    (record, ended)
}

/// Two records that users cannot tell apart.
fn alike(model: &ModelDescriptor, key: &RecordKey, one: &Record, other: &Record) -> Outcome {
    if one.is_alive() != other.is_alive() {
        return Err(format!("{key} is there after an undo, or is not, as it should not be"));
    }
    let fields = model.fields.iter().filter(|_| one.is_alive());
    for field in fields {
        let (is, must) = (one.shown(field.id, field.rule), other.shown(field.id, field.rule));
        if is != must {
            let name = &field.name;
            return Err(format!("{key} {name} is {is:?} after an undo, and should be {must:?}"));
        }
    }
    Ok(())
}

fn write(desk: &mut Desk<'_>, model: &ModelDescriptor, key: &RecordKey, step: Step) -> Outcome {
    let (schema, id) = (desk.schema, model.id);
    let accept = |done: Result<(), WriteError<StoreError>>| {
        done.map_err(|error| format!("an undo was refused: {error}"))
    };
    match step {
        Step::Create(fields) if model.kind == ModelKind::Link => {
            accept(desk.tx.link(schema, desk.store, id, key, fields))
        }
        Step::Create(fields) => accept(desk.tx.create(schema, desk.store, id, key, fields)),
        Step::Set(fields) => accept(desk.tx.put_back(schema, desk.store, id, key, fields)),
        Step::Delete => accept(desk.tx.delete(schema, desk.store, id, key).map(|_| ())),
    }
}

fn read(desk: &mut Desk<'_>, model: ModelId, key: &RecordKey) -> Result<Record, String> {
    desk.store.record(model, key).map_err(|error| format!("a record cannot be read: {error}"))
}
