//! Records that were deleted, and bringing them back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use driftless_core::change::Op;
use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Dot, RecordKey};
use driftless_core::record::Record;
use driftless_core::schema::ModelId;
use driftless_core::undo::{Done, Obstacle, RecordPast, TakeBack};
use driftless_store::Past;

use super::past;
use super::undo::{UndoStep, name_of, step};
use super::undoing::PATIENCE;
use super::{UndoPlan, Undone};
use crate::conflicts::names;
use crate::error::Error;
use crate::library::Library;

/// A record that was deleted.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let id = Uuid::from_u128(7);
/// library.write(move |tx| tx.insert(&Todo { id, title: "Water".into(), done: false }))?;
/// library.write(move |tx| tx.delete::<Todo>(id))?;
/// let deleted = library.deleted(Todo::descriptor().id)?;
/// assert_eq!((&deleted[0].key, deleted[0].device), (&id.into(), library.device_id()));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deleted {
    /// Its key.
    pub key: RecordKey,
    /// Its name, if its model has a field of that name and it is known.
    pub record_name: Option<String>,
    /// The change set that deleted it; the last one, if several did.
    pub dot: Dot,
    /// When, by the clock of who did it.
    pub hlc: Hlc,
    /// Who did it.
    pub device: DeviceId,
    /// That device's name, as far as it is known here.
    pub device_name: Option<String>,
}

impl Library {
    /// The records of a shared model that were deleted and are not there again, those that were
    /// deleted last first, as far as this device's history goes.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let (id, model) = (Uuid::from_u128(7), Star::descriptor().id);
    /// library.write(move |tx| tx.link(&Star { id, todo: Uuid::nil() }))?;
    /// assert_eq!(library.deleted(model)?, []);
    /// library.write(move |tx| tx.delete::<Star>(id))?;
    /// assert_eq!(library.deleted(model)?.len(), 1);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn deleted(&self, model: ModelId) -> Result<Vec<Deleted>, Error> {
        let past = self.past()?;
        let descriptor = Error::unless_shared(&past, model)?;
        let mut found: BTreeMap<RecordKey, (Dot, Hlc)> = BTreeMap::new();
        let mut order = Vec::new();
        past.walk_back(|logged| {
            for change in past::changes(&logged)? {
                let deleted = change.model == model && matches!(change.op, Op::Delete { .. });
                if deleted && !found.contains_key(&change.key) {
                    order.push(change.key.clone());
                    found.insert(change.key, (logged.set.dot(), logged.set.header().hlc));
                }
            }
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        let mut gone = Vec::new();
        for key in order {
            if !past.snapshot().record(model, &key)?.is_alive() {
                gone.push(key);
            }
        }
        let places: BTreeSet<_> = gone.iter().map(|key| (model, key.clone())).collect();
        let known = past::of_many(&past, &places)?;
        let writers = gone.iter().filter_map(|key| found.get(key));
        let names = names(past.snapshot().connection(), writers.map(|(dot, _)| dot.origin.device))?;
        let told = gone.into_iter().filter_map(|key| {
            let (dot, hlc) = *found.get(&key)?;
            let known = known.get(&(model, key.clone()))?;
            let device = dot.origin.device;
            let record_name = name_of(&descriptor, [], known);
            let device_name = names.get(&device).cloned();
            Some(Deleted { key, record_name, dot, hlc, device, device_name })
        });
        Ok(told.collect())
    }

    /// Brings a record back that was deleted, with what it held then, by a new write.
    ///
    /// # Errors
    /// [`Error::RecordThere`] if it is there, [`Error::NothingDeleted`] if this history knows nothing
    /// of a record that was deleted.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let todo = Todo { id: Uuid::from_u128(7), title: "Water".into(), done: true };
    /// let (id, model, written) = (todo.id, Todo::descriptor().id, todo.clone());
    /// library.write(move |tx| tx.insert(&written))?;
    /// library.write(move |tx| tx.delete::<Todo>(id))?;
    /// library.restore_record(model, id)?;
    /// assert_eq!(library.get(id)?, Some(todo));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn restore_record(
        &self,
        model: ModelId,
        key: impl Into<RecordKey>,
    ) -> Result<Undone, Error> {
        let key = key.into();
        for _ in 0..PATIENCE {
            let past = self.past()?;
            let (dot, step) = revival(&past, model, &key)?;
            let steps = vec![step];
            let (mut written, mut finished) = (Vec::new(), BTreeSet::new());
            if self.write_steps(steps.clone(), &mut written, &mut finished)? {
                let plan = UndoPlan {
                    sets: dot.into_iter().collect(),
                    steps,
                    obstacles: Vec::new(),
                    force: false,
                };
                return Ok(Undone { plan, written });
            }
        }
        Err(Error::Unsettled)
    }
}

/// What brings a deleted record back, and the change set that deleted it, if that is known.
fn revival(past: &Past, model: ModelId, key: &RecordKey) -> Result<(Option<Dot>, UndoStep), Error> {
    let descriptor = Error::unless_shared(past, model)?;
    let none = || Error::NothingDeleted { model: descriptor.name.clone(), key: key.clone() };
    let record = past.snapshot().record(model, key)?;
    if record.is_alive() {
        return Err(Error::RecordThere { model: descriptor.name.clone(), key: key.clone() });
    }
    let known = past::of_one(past, model, key)?;
    let delete = last_delete(&known);
    let done = match delete.clone().or_else(|| lost_to_a_reconcile(&known)) {
        Some(done) => done,
        None => return Err(none()),
    };
    let undone = BTreeSet::from([done.dot]);
    let back = TakeBack { past: &known, model: &descriptor, undone: &undone, force: true };
    // What is kept of edits that came after the delete is no record.
    let mut after = Record::default();
    let obstacles = back.take_back(&mut after, &done);
    if obstacles.contains(&Obstacle::NothingKnown) {
        return Err(none());
    }
    let name = name_of(&descriptor, [&after], &known);
    let step = step(&descriptor, key.clone(), name, record, &after).ok_or_else(none)?;
    Ok((delete.map(|delete| delete.dot), step))
}

fn last_delete(known: &RecordPast) -> Option<Done> {
    let deletes = known.changes.iter().rev();
    deletes.clone().find(|done| matches!(done.op, Op::Delete { .. })).cloned()
}

/// A record can be gone without its delete having come by: then its last values tell which lives it
/// had.
fn lost_to_a_reconcile(known: &RecordPast) -> Option<Done> {
    let deleted = known.ended.iter().filter(|ended| ended.deleted);
    let last = deleted.max_by_key(|ended| ended.lost.version.stamp())?;
    let version = &last.lost.version;
    let op = Op::Delete { lives: version.lives.clone() };
    Some(Done { dot: version.dot, hlc: version.hlc, op })
}
