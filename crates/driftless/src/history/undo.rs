//! What taking change sets back would do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use driftless_core::id::{Dot, Lane, RecordKey};
use driftless_core::record::Record;
use driftless_core::schema::{FieldDescriptor, ModelDescriptor, ModelId};
use driftless_core::undo::{Done, Obstacle, RecordPast, Step, TakeBack, difference};
use driftless_core::value::Value;
use driftless_store::{Logged, Past};

use super::Deed;
use super::past::{self, Place};
use crate::error::Error;
use crate::library::Library;

/// Change sets that can stand between two of one command.
const MAX_BETWEEN: usize = 100;

/// What is written to one record.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::Deed;
///
/// library.write(|tx| tx.link(&Star { id: Uuid::from_u128(7), todo: Uuid::nil() }))?;
/// let last = library.log(&driftless::LogFilter::default(), 1)?.remove(0);
/// let plan = library.plan_undo(&[last.dot], false)?;
/// assert_eq!((plan.steps[0].model.name.as_str(), plan.steps[0].deed), ("star", Deed::Deleted));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct UndoStep {
    /// The record's model.
    pub model: ModelDescriptor,
    /// Its key.
    pub key: RecordKey,
    /// Its name, if its model has a field of that name.
    pub record_name: Option<String>,
    /// What is done to it.
    pub deed: Deed,
    /// Fields, with what shows and what will show.
    pub fields: Vec<(FieldDescriptor, Value, Value)>,
    pub(super) before: Record,
    pub(super) step: Step,
}

/// What stands in the way of taking something back.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let id = Uuid::from_u128(7);
/// library.write(move |tx| tx.insert(&Todo { id, title: "Water".into(), done: false }))?;
/// let created = library.log(&driftless::LogFilter::default(), 1)?[0].dot;
/// library.write(move |tx| tx.update(id, |todo: &mut Todo| todo.done = true))?;
/// // To take back that it was created would take the later edit with it.
/// let plan = library.plan_undo(&[created], false)?;
/// assert_eq!((plan.obstacles[0].model.as_str(), plan.obstacles[0].overcome), ("todo", false));
/// assert!(plan.is_refused());
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UndoObstacle {
    /// The record's model.
    pub model: String,
    /// Its key.
    pub key: RecordKey,
    /// Its name, if its model has a field of that name.
    pub record_name: Option<String>,
    /// The field's name, if it is about one.
    pub field: Option<String>,
    /// What it is.
    pub obstacle: Obstacle,
    /// Whether it is overcome, as force is used.
    pub overcome: bool,
}

/// What undoing comes to, before it is done.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// library.write(|tx| tx.link(&Star { id: Uuid::from_u128(7), todo: Uuid::nil() }))?;
/// let last = library.log(&driftless::LogFilter::default(), 1)?.remove(0);
/// let plan = library.plan_undo(&[last.dot], false)?;
/// assert_eq!((plan.sets.len(), plan.steps.len(), plan.is_refused()), (1, 1, false));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct UndoPlan {
    /// The change sets that are taken back: with each all that the same command wrote.
    pub sets: Vec<Dot>,
    /// What is written.
    pub steps: Vec<UndoStep>,
    /// What stands in the way.
    pub obstacles: Vec<UndoObstacle>,
    /// Whether what cannot be taken back is left, and the rest is done.
    pub force: bool,
}

impl UndoPlan {
    /// Whether nothing is done, as something stands in the way.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// library.write(|tx| tx.link(&Star { id: Uuid::from_u128(7), todo: Uuid::nil() }))?;
    /// let last = library.log(&driftless::LogFilter::default(), 1)?.remove(0);
    /// assert!(!library.plan_undo(&[last.dot], false)?.is_refused());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn is_refused(&self) -> bool {
        !self.force && !self.obstacles.is_empty()
    }
}

impl Library {
    /// What [`Library::undo`] would do with these change sets.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let star = Star { id: Uuid::from_u128(7), todo: Uuid::nil() };
    /// let written = star.clone();
    /// library.write(move |tx| tx.link(&written))?;
    /// let last = library.log(&driftless::LogFilter::default(), 1)?.remove(0);
    /// library.plan_undo(&[last.dot], false)?;
    /// assert_eq!(library.get(star.id)?, Some(star), "nothing was done");
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn plan_undo(&self, sets: &[Dot], force: bool) -> Result<UndoPlan, Error> {
        let past = self.past()?;
        let sets = with_groups(&past, sets)?;
        plan(&past, &sets, force, &BTreeSet::new())
    }
}

/// The change sets with these dots, and all that the same commands wrote.
pub(super) fn with_groups(past: &Past, dots: &[Dot]) -> Result<Vec<Logged>, Error> {
    let mut all: BTreeMap<i64, Logged> = BTreeMap::new();
    for dot in dots {
        if dot.origin.lane != Lane::Shared {
            return Err(Error::NotShared { dot: *dot });
        }
        let found = past.set(dot)?.ok_or(Error::NotInHistory { dot: *dot })?;
        let first = found.set.header().group.unwrap_or(dot.seq);
        let (mut next, mut strangers) = (Dot::new(dot.origin, first), 0);
        // What others asked of the device meanwhile stands between.
        while let Some(logged) = past.set(&next)?.filter(|_| strangers < MAX_BETWEEN) {
            if next.seq == first || logged.set.header().group == Some(first) {
                all.insert(logged.pos, logged);
                strangers = 0;
            } else {
                strangers += 1;
            }
            next.seq += 1;
        }
        all.insert(found.pos, found);
    }
    Ok(all.into_values().collect())
}

/// What taking these change sets back comes to; of some records it is not asked any more.
pub(super) fn plan(
    past: &Past,
    sets: &[Logged],
    force: bool,
    without: &BTreeSet<Place>,
) -> Result<UndoPlan, Error> {
    let undone: BTreeSet<Dot> = sets.iter().map(|logged| logged.set.dot()).collect();
    let mut touched: BTreeMap<Place, Vec<Done>> = BTreeMap::new();
    for logged in sets {
        let (dot, hlc) = (logged.set.dot(), logged.set.header().hlc);
        for change in past::changes(logged)? {
            let place = (change.model, change.key);
            if !without.contains(&place) {
                touched.entry(place).or_default().push(Done { dot, hlc, op: change.op });
            }
        }
    }
    let places: BTreeSet<Place> = touched.keys().cloned().collect();
    let known = past::of_many(past, &places)?;
    let mut plan = UndoPlan {
        sets: sets.iter().map(|logged| logged.set.dot()).collect(),
        steps: Vec::new(),
        obstacles: Vec::new(),
        force,
    };
    for ((model, key), done) in touched {
        let known =
            known.get(&(model, key.clone())).ok_or(Error::NotInHistory { dot: plan.sets[0] })?;
        let record = Undoing { past, undone: &undone, force };
        record.plan((model, key), &done, known, &mut plan)?;
    }
    Ok(plan)
}

/// All that is taken back together.
struct Undoing<'a> {
    past: &'a Past,
    undone: &'a BTreeSet<Dot>,
    force: bool,
}

impl Undoing<'_> {
    fn plan(
        &self,
        (model, key): Place,
        done: &[Done],
        known: &RecordPast,
        plan: &mut UndoPlan,
    ) -> Result<(), Error> {
        let snapshot = self.past.snapshot();
        let Some(model) = snapshot.schema().model(model) else {
            return Err(Error::UnknownModel { model });
        };
        let before = snapshot.record(model.id, &key)?;
        let mut after = before.clone();
        let back = TakeBack { past: known, model, undone: self.undone, force: self.force };
        let name = name_of(model, [&before], known);
        for done in done.iter().rev() {
            for obstacle in back.take_back(&mut after, done) {
                plan.obstacles.push(UndoObstacle {
                    model: model.name.clone(),
                    key: key.clone(),
                    record_name: name.clone(),
                    field: field_of(&obstacle).map(|field| {
                        let known = model.field(field);
                        known.map_or_else(|| format!("{:08x}", field.0), |known| known.name.clone())
                    }),
                    overcome: self.force && obstacle.yields(),
                    obstacle,
                });
            }
        }
        let name = name_of(model, [&before, &after], known);
        plan.steps.extend(step(model, key, name, before, &after));
        Ok(())
    }
}

fn field_of(obstacle: &Obstacle) -> Option<driftless_core::schema::FieldId> {
    match obstacle {
        Obstacle::Overwritten { field, .. }
        | Obstacle::Conflict { field, .. }
        | Obstacle::Unknown { field } => Some(*field),
        Obstacle::NothingKnown
        | Obstacle::Deleted { .. }
        | Obstacle::DeletedToo { .. }
        | Obstacle::Changed { .. } => None,
    }
}

/// What a record is called in the first of these states that says so, else in its past.
pub(super) fn name_of<'r>(
    model: &ModelDescriptor,
    states: impl IntoIterator<Item = &'r Record>,
    known: &RecordPast,
) -> Option<String> {
    let field = model.field_named("name")?;
    let states = states.into_iter().filter(|record| record.is_alive());
    let shown = states.map(|record| record.shown(field.id, field.rule));
    shown.chain(past::last_value(known, field.id)).find_map(|value| match value {
        Value::Text(name) => Some(name),
        _ => None,
    })
}

/// What has to be written so that a record is another; nothing if it is.
pub(super) fn step(
    model: &ModelDescriptor,
    key: RecordKey,
    record_name: Option<String>,
    before: Record,
    after: &Record,
) -> Option<UndoStep> {
    let step = difference(&before, after, model)?;
    let (deed, written) = match &step {
        Step::Create(fields) => (Deed::Created, &fields[..]),
        Step::Set(fields) => (Deed::Set, &fields[..]),
        Step::Delete => (Deed::Deleted, &[][..]),
    };
    let told = written.iter().filter_map(|(field, value)| {
        let field = model.field(*field)?;
        Some((field.clone(), before.shown(field.id, field.rule), value.clone()))
    });
    let fields = match deed {
        Deed::Created => told.map(|(field, _, value)| (field, Value::Null, value)).collect(),
        Deed::Set | Deed::Deleted => told.collect(),
    };
    Some(UndoStep { model: model.clone(), key, record_name, deed, fields, before, step })
}

/// All change sets behind a vector, of one device or of all.
pub(super) fn sets_behind(
    past: &Past,
    vector: &driftless_core::version::Vector,
    of: Option<driftless_core::id::DeviceId>,
) -> Result<Vec<Logged>, Error> {
    let wanted = |device| of.is_none_or(|of| of == device);
    let mut sets = Vec::new();
    let mut count: BTreeMap<driftless_core::id::Origin, u64> = BTreeMap::new();
    past.walk(None, |logged| {
        let dot = logged.set.dot();
        if wanted(dot.origin.device) && dot.seq > vector.seq(&dot.origin) {
            *count.entry(dot.origin).or_default() += 1;
            sets.push(logged);
        }
        Ok::<_, Error>(ControlFlow::Continue(()))
    })?;
    for (origin, head) in past.snapshot().vector().iter() {
        let behind = head.seq.saturating_sub(vector.seq(origin));
        if wanted(origin.device) && behind > count.get(origin).copied().unwrap_or(0) {
            return Err(Error::NotInHistory { dot: Dot::new(*origin, vector.seq(origin) + 1) });
        }
    }
    Ok(sets)
}

impl Error {
    /// The record of a model that is shared, or why it is none.
    pub(super) fn unless_shared(past: &Past, model: ModelId) -> Result<ModelDescriptor, Self> {
        let known = past.snapshot().schema().model(model);
        let shared = known.filter(|known| known.kind.is_shared());
        shared.cloned().ok_or(Self::UnknownModel { model })
    }
}
