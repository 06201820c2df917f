//! Gathering what is known of some records' past.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use driftless_core::change::Change;
use driftless_core::id::RecordKey;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::undo::{Done, Ended, RecordPast};
use driftless_core::value::Value;
use driftless_store::{Kept, Kind, Logged, Past};

use crate::error::Error;

/// A record: its model and key.
pub(super) type Place = (ModelId, RecordKey);

/// The changes of a change set of the history.
pub(super) fn changes(logged: &Logged) -> Result<Vec<Change>, Error> {
    logged
        .set
        .changes()
        .map_err(|source| Error::HistoryUnreadable { dot: logged.set.dot(), source })
}

fn done(logged: &Logged, change: Change) -> Done {
    Done { dot: logged.set.dot(), hlc: logged.set.header().hlc, op: change.op }
}

fn ended(kept: Kept) -> Ended {
    Ended { lost: kept.lost, deleted: kept.kind == Kind::Deleted }
}

/// What is known of one record.
pub(super) fn of_one(past: &Past, model: ModelId, key: &RecordKey) -> Result<RecordPast, Error> {
    let mut known = RecordPast::default();
    past.walk_back_about(key, |logged| {
        for change in changes(&logged)? {
            if change.model == model && change.key == *key {
                known.changes.push(done(&logged, change));
            }
        }
        Ok::<_, Error>(ControlFlow::Continue(()))
    })?;
    known.changes.reverse();
    known.ended = past.kept(model, key)?.into_iter().map(ended).collect();
    Ok(known)
}

/// What is known of several records; every one of them is in what is returned.
pub(super) fn of_many(
    past: &Past,
    places: &BTreeSet<Place>,
) -> Result<BTreeMap<Place, RecordPast>, Error> {
    if let (1, Some((model, key))) = (places.len(), places.first()) {
        return Ok([((*model, key.clone()), of_one(past, *model, key)?)].into());
    }
    let mut known: BTreeMap<Place, RecordPast> =
        places.iter().map(|place| (place.clone(), RecordPast::default())).collect();
    past.walk(None, |logged| {
        for change in changes(&logged)? {
            if let Some(known) = known.get_mut(&(change.model, change.key.clone())) {
                known.changes.push(done(&logged, change));
            }
        }
        Ok::<_, Error>(ControlFlow::Continue(()))
    })?;
    for kept in past.all_kept()? {
        if let Some(known) = known.get_mut(&(kept.model, kept.key.clone())) {
            known.ended.push(ended(kept));
        }
    }
    Ok(known)
}

/// The latest value of a field that is known from a record's past.
pub(super) fn last_value(past: &RecordPast, field: FieldId) -> Option<Value> {
    let written = past.changes.iter().flat_map(|done| {
        let writes = done.writes().iter().filter(move |write| write.field == field);
        writes.map(move |write| ((done.hlc, done.dot), &write.value))
    });
    let ended = past.ended.iter().filter(|ended| ended.lost.field == field);
    let ended = ended.map(|ended| (ended.lost.version.stamp(), &ended.lost.version.value));
    written.chain(ended).max_by_key(|(stamp, _)| *stamp).map(|(_, value)| value.clone())
}
