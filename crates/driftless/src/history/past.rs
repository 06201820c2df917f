//! Gathering what is known of some records' past.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use driftless_core::change::{Change, Op};
use driftless_core::id::{Dot, Origin, RecordKey, Seq};
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::undo::{Done, Ended, RecordPast};
use driftless_core::value::Value;
use driftless_store::{Kept, Kind, Logged, Past};

use crate::error::Error;

/// A record: its model and key.
pub(crate) type Place = (ModelId, RecordKey);

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
    put_in_order(&mut known.changes);
    known.ended = past.kept(model, key)?.into_iter().map(ended).collect();
    Ok(known)
}

/// What is known of several records; every one of them is in what is returned.
pub(crate) fn of_many(
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
    known.values_mut().for_each(|known| put_in_order(&mut known.changes));
    for kept in past.all_kept()? {
        if let Some(known) = known.get_mut(&(kept.model, kept.key.clone())) {
            known.ended.push(ended(kept));
        }
    }
    Ok(known)
}

/// The dots that a change names.
fn named(done: &Done) -> impl Iterator<Item = &Dot> {
    let (Op::Create { over: lives, .. } | Op::Set { lives, .. } | Op::Delete { lives }) = &done.op;
    lives.iter().chain(done.writes().iter().flat_map(|write| &write.over))
}

/// Whether each change stands behind those that it names and those of its stream before it.
fn is_in_order(changes: &[Done]) -> bool {
    let all: BTreeSet<Dot> = changes.iter().map(|done| done.dot).collect();
    let (mut before, mut ends) = (BTreeSet::new(), BTreeMap::<Origin, Seq>::new());
    changes.iter().all(|done| {
        before.insert(done.dot);
        let last = ends.insert(done.dot.origin, done.dot.seq);
        let ordered = last.is_none_or(|last| last < done.dot.seq);
        ordered && named(done).all(|dot| !all.contains(dot) || before.contains(dot))
    })
}

/// Changes stand in the order in which they were applied. Of a history that was handed over in parts,
/// one part may stand before another that it builds on: then what names what decides, and the clocks.
fn put_in_order(changes: &mut Vec<Done>) {
    if is_in_order(changes) {
        return;
    }
    changes.sort_by_key(|done| (done.hlc, done.dot));
    let all: BTreeSet<Dot> = changes.iter().map(|done| done.dot).collect();
    let mut placed: BTreeSet<Dot> = BTreeSet::new();
    let mut left = std::mem::take(changes);
    loop {
        let (before, mut waiting) = (placed.len(), BTreeSet::<Origin>::new());
        let mut wait = Vec::new();
        for done in left {
            let is_there =
                |dot: &Dot| !all.contains(dot) || placed.contains(dot) || *dot == done.dot;
            if !waiting.contains(&done.dot.origin) && named(&done).all(is_there) {
                placed.insert(done.dot);
                changes.push(done);
            } else {
                waiting.insert(done.dot.origin);
                wait.push(done);
            }
        }
        // Each names only what its writer had seen, so one can always be placed.
        if wait.is_empty() || placed.len() == before {
            changes.append(&mut wait);
            return;
        }
        left = wait;
    }
}

/// The latest value of a field that is known from a record's past.
pub(crate) fn last_value(past: &RecordPast, field: FieldId) -> Option<Value> {
    let written = past.changes.iter().flat_map(|done| {
        let writes = done.writes().iter().filter(move |write| write.field == field);
        writes.map(move |write| ((done.hlc, done.dot), &write.value))
    });
    let ended = past.ended.iter().filter(|ended| ended.lost.field == field);
    let ended = ended.map(|ended| (ended.lost.version.stamp(), &ended.lost.version.value));
    written.chain(ended).max_by_key(|(stamp, _)| *stamp).map(|(_, value)| value.clone())
}

#[cfg(test)]
mod tests {
    use driftless_core::clock::Hlc;
    use driftless_core::id::{DeviceId, Epoch};

    use super::*;

    fn dot(device: u8, seq: Seq) -> Dot {
        Dot::new(Origin::shared(DeviceId([device; 32]), Epoch(1)), seq)
    }

    fn delete(at: Dot, hlc: u64, lives: &[Dot]) -> Done {
        Done { dot: at, hlc: Hlc(hlc), op: Op::Delete { lives: lives.to_vec() } }
    }

    #[test]
    fn what_was_handed_over_in_parts_is_put_in_order() {
        let (a, b) = (|seq| dot(1, seq), |seq| dot(2, seq));
        // The clock of the second is behind: it has seen what is later by the clocks.
        let all = [
            delete(a(1), 10, &[]),
            delete(a(2), 20, &[a(1)]),
            delete(b(1), 5, &[a(2)]),
            delete(b(2), 30, &[]),
        ];
        let dots = |changes: &[Done]| changes.iter().map(|done| done.dot).collect::<Vec<_>>();
        for order in [[0, 1, 2, 3], [2, 3, 0, 1], [3, 2, 1, 0], [1, 0, 3, 2], [2, 0, 3, 1]] {
            let mut changes: Vec<Done> = order.iter().map(|n| all[*n].clone()).collect();
            put_in_order(&mut changes);
            assert_eq!(dots(&changes), dots(&all), "{order:?}");
        }
        // What is in order stays as it was applied, whatever the clocks say.
        let mut changes = vec![delete(b(1), 50, &[]), delete(a(1), 10, &[b(1), b(7)])];
        put_in_order(&mut changes);
        assert_eq!(dots(&changes), [b(1), a(1)]);
        // A ring, which nobody can write, ends all the same.
        let mut changes = vec![delete(b(1), 1, &[a(1)]), delete(a(1), 2, &[b(1)])];
        put_in_order(&mut changes);
        assert_eq!(changes.len(), 2);
    }
}
