//! The history: who wrote what, when, on which device, of shared records; as long as this device keeps
//! it. `docs/history.md` tells what is kept and for how long.

mod as_of;
mod checkpoint;
mod deleted;
mod log;
pub(crate) mod past;
mod undo;
mod undoing;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Dot, RecordKey, Seq};
use driftless_core::schema::{FieldId, FieldType, ModelId};
use driftless_core::undo::{Done, RecordPast};
use driftless_core::value::Value;
use driftless_core::{change::Op, record::Record};
use driftless_store::Past;

pub use checkpoint::Checkpoint;
pub use deleted::Deleted;
pub use log::{LogEntry, LogFilter};
pub use undo::{UndoObstacle, UndoPlan, UndoStep};
pub use undoing::Undone;

use crate::conflicts::{Names, names};
use crate::error::Error;
use crate::library::Library;

/// What a change did to its record.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::Deed;
///
/// let star = Star { id: Uuid::from_u128(7), todo: Uuid::from_u128(8) };
/// let (model, key) = (Star::descriptor().id, star.key());
/// library.write(move |tx| tx.link(&star))?;
/// assert_eq!(library.history(model, key)?[0].change.deed, Deed::Created);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// It came into being, or came back; a link was added.
    Created,
    /// Fields were written.
    Set,
    /// It was deleted; a link was removed.
    Deleted,
}

/// A value that a change took the place of.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let todo = Todo { id: Uuid::from_u128(7), title: "Water".into(), done: false };
/// let (model, key) = (Todo::descriptor().id, todo.key());
/// library.write(move |tx| tx.insert(&todo))?;
/// library.write(|tx| tx.update(Uuid::from_u128(7), |todo: &mut Todo| todo.title = "Rest".into()))?;
/// let history = library.history(model, key)?;
/// let replaced = &history[0].change.fields[0].replaced[0];
/// assert_eq!(replaced.dot, history[1].dot);
/// assert_eq!(replaced.value, Some(driftless::core::value::Value::Text("Water".into())));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// The change set that had written it.
    pub dot: Dot,
    /// Who that was.
    pub device: DeviceId,
    /// That device's name, as far as it is known here.
    pub device_name: Option<String>,
    /// When, if it is known.
    pub hlc: Option<Hlc>,
    /// The value; `None` if it was written before the history begins.
    pub value: Option<Value>,
}

/// A field that a change wrote or took away.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let todo = Todo { id: Uuid::from_u128(7), title: "Water".into(), done: false };
/// let (model, key) = (Todo::descriptor().id, todo.key());
/// library.write(move |tx| tx.insert(&todo))?;
/// let mut fields: Vec<String> =
///     library.history(model, key)?[0].change.fields.iter().map(|field| field.name.clone()).collect();
/// fields.sort();
/// assert_eq!(fields, ["done", "title"]);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldChange {
    /// The field.
    pub field: FieldId,
    /// Its name; the number of one that this version does not know.
    pub name: String,
    /// Its type, if it is known.
    pub ty: Option<FieldType>,
    /// What was written; `None` if the record was deleted.
    pub value: Option<Value>,
    /// What that took the place of: several values if they stood in conflict, none if there was none.
    pub replaced: Vec<Replaced>,
}

/// What a change set did to one record.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// library.write(|tx| tx.link(&Star { id: Uuid::from_u128(7), todo: Uuid::from_u128(8) }))?;
/// let last = library.log(&driftless::LogFilter::default(), 1)?.remove(0);
/// assert_eq!(last.changes[0].model_name, "star");
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordChange {
    /// The record's model.
    pub model: ModelId,
    /// That model's name; its number if this version does not know it.
    pub model_name: String,
    /// The record's key.
    pub key: RecordKey,
    /// Its name, if its model has a field of that name.
    pub record_name: Option<String>,
    /// What was done.
    pub deed: Deed,
    /// The fields.
    pub fields: Vec<FieldChange>,
}

/// One change of a record's history.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let star = Star { id: Uuid::from_u128(7), todo: Uuid::from_u128(8) };
/// let (model, key) = (Star::descriptor().id, star.key());
/// library.write(move |tx| tx.link(&star))?;
/// let entry = library.history(model, key)?.remove(0);
/// assert_eq!((entry.device, entry.device_name.as_deref()), (library.device_id(), Some("laptop")));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryEntry {
    /// The change set.
    pub dot: Dot,
    /// When, by the clock of who wrote it.
    pub hlc: Hlc,
    /// Who wrote it.
    pub device: DeviceId,
    /// That device's name, as far as it is known here.
    pub device_name: Option<String>,
    /// What it did to the record.
    pub change: RecordChange,
}

impl Library {
    /// What happened to a shared record, the latest first, as far as this device's history goes; also
    /// to one that was deleted. Empty if nothing is known of it.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::Deed;
    ///
    /// let todo = Todo { id: Uuid::from_u128(7), title: "Water".into(), done: false };
    /// let (id, model) = (todo.id, Todo::descriptor().id);
    /// library.write(move |tx| tx.insert(&todo))?;
    /// library.write(move |tx| tx.update(id, |todo: &mut Todo| todo.done = true))?;
    /// library.write(move |tx| tx.delete::<Todo>(id))?;
    /// let deeds: Vec<Deed> =
    ///     library.history(model, id)?.iter().map(|entry| entry.change.deed).collect();
    /// assert_eq!(deeds, [Deed::Deleted, Deed::Set, Deed::Created]);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn history(
        &self,
        model: ModelId,
        key: impl Into<RecordKey>,
    ) -> Result<Vec<HistoryEntry>, Error> {
        self.histories(&[(model, key.into())])
    }

    /// What happened to several shared records, the latest first.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// for n in 0..3 {
    ///     library.write(move |tx| tx.link(&Star { id: Uuid::from_u128(n), todo: Uuid::nil() }))?;
    /// }
    /// let stars = [2, 0].map(|n| (Star::descriptor().id, Uuid::from_u128(n).into()));
    /// let history = library.histories(&stars)?;
    /// let keys: Vec<_> = history.iter().map(|entry| entry.change.key.clone()).collect();
    /// assert_eq!(keys, [Uuid::from_u128(2).into(), Uuid::from_u128(0).into()]);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn histories(&self, records: &[(ModelId, RecordKey)]) -> Result<Vec<HistoryEntry>, Error> {
        let past = self.past()?;
        let known = past::of_many(&past, &records.iter().cloned().collect())?;
        let names = names(past.snapshot().connection(), known.values().flat_map(writers))?;
        let teller = Teller { past: &past, names: &names };
        let mut entries = Vec::new();
        for ((model, key), known) in &known {
            let record = past.snapshot().record(*model, key)?;
            entries.extend(known.changes.iter().rev().map(|done| HistoryEntry {
                dot: done.dot,
                hlc: done.hlc,
                device: done.dot.origin.device,
                device_name: names.get(&done.dot.origin.device).cloned(),
                change: teller.change((*model, key), done, Some((&record, known))),
            }));
        }
        if known.len() > 1 {
            entries.sort_by_key(|entry| std::cmp::Reverse((entry.hlc, entry.dot)));
        }
        Ok(entries)
    }

    /// The records of which this device's history tells something, and that `wanted` holds for.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let star = Star { id: Uuid::from_u128(7), todo: Uuid::nil() };
    /// library.write(move |tx| tx.link(&star))?;
    /// let key = Uuid::from_u128(7).into();
    /// let found = library.records_in_history(|_, other| *other == key)?;
    /// assert_eq!(found.first().map(|(model, _)| *model), Some(Star::descriptor().id));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn records_in_history(
        &self,
        wanted: impl Fn(ModelId, &RecordKey) -> bool,
    ) -> Result<BTreeSet<(ModelId, RecordKey)>, Error> {
        let mut found = BTreeSet::new();
        self.past()?.walk(None, |logged| {
            let changes = past::changes(&logged)?.into_iter();
            let changes = changes.filter(|change| wanted(change.model, &change.key));
            found.extend(changes.map(|change| (change.model, change.key)));
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    /// The dot of the change set that a device wrote at a position, if it is in this history; of
    /// several writing lives of the device the latest.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let last = library.log(&driftless::LogFilter::default(), 1)?[0].dot;
    /// assert_eq!(library.find_set(library.device_id(), last.seq)?, Some(last));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn find_set(&self, device: DeviceId, seq: Seq) -> Result<Option<Dot>, Error> {
        let past = self.past()?;
        let mut found: Option<(Hlc, Dot)> = None;
        let origins = past.snapshot().vector().iter().map(|(origin, _)| *origin);
        for origin in origins.filter(|origin| origin.device == device) {
            let logged = past.set(&Dot::new(origin, seq))?;
            found = found.max(logged.map(|logged| (logged.set.header().hlc, logged.set.dot())));
        }
        Ok(found.map(|(_, dot)| dot))
    }

    /// Since when this device's history is whole: Unix milliseconds, 0 if it goes back to the library's
    /// beginning, `None` if none is kept. Of what was written before, parts may be known.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert_eq!(library.history_begin()?, Some(0));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn history_begin(&self) -> Result<Option<u64>, Error> {
        self.call(|writer| writer.store.history_begin())
    }

    /// The history at this moment, to be read beside the writer.
    pub(crate) fn past(&self) -> Result<Past, Error> {
        Ok(self.call(|writer| writer.store.past())??)
    }
}

/// The devices that a record's past names.
fn writers(known: &RecordPast) -> impl Iterator<Item = DeviceId> {
    let dots = known.changes.iter().flat_map(|done| {
        let over = done.writes().iter().flat_map(|write| &write.over);
        over.chain([&done.dot])
    });
    let ended = known.ended.iter().map(|ended| &ended.lost.version.dot);
    dots.chain(ended).map(|dot| dot.origin.device)
}

/// Puts changes into words that programs can read.
struct Teller<'a> {
    past: &'a Past,
    names: &'a Names,
}

impl Teller<'_> {
    /// A change; with what it took the place of, if the record's past is given.
    fn change(
        &self,
        (model, key): (ModelId, &RecordKey),
        done: &Done,
        known: Option<(&Record, &RecordPast)>,
    ) -> RecordChange {
        let schema = self.past.snapshot().schema();
        let deed = match &done.op {
            Op::Create { .. } => Deed::Created,
            Op::Set { .. } => Deed::Set,
            Op::Delete { .. } => Deed::Deleted,
        };
        let mut fields: Vec<FieldChange> = done
            .writes()
            .iter()
            .map(|write| {
                let replaced = known.map_or_else(Vec::new, |known| {
                    write.over.iter().map(|dot| self.replaced(write.field, dot, known)).collect()
                });
                FieldChange {
                    replaced,
                    ..self.field(model, write.field, Some(write.value.clone()))
                }
            })
            .collect();
        if let (Op::Delete { lives }, Some((record, past))) = (&done.op, known) {
            let took = past.ended.iter().filter(|ended| {
                ended.deleted && ended.lost.version.lives.iter().any(|life| lives.contains(life))
            });
            for ended in took {
                let (field, dot) = (ended.lost.field, ended.lost.version.dot);
                let replaced = vec![self.replaced(field, &dot, (record, past))];
                fields.push(FieldChange { replaced, ..self.field(model, field, None) });
            }
        }
        RecordChange {
            model,
            model_name: schema.name_of(model),
            key: key.clone(),
            record_name: self.record_name(model, key, done, known.map(|(_, past)| past)),
            deed,
            fields,
        }
    }

    fn field(&self, model: ModelId, field: FieldId, value: Option<Value>) -> FieldChange {
        let model = self.past.snapshot().schema().model(model);
        let known = model.and_then(|model| model.field(field));
        let name = known.map_or_else(|| format!("{:08x}", field.0), |field| field.name.clone());
        FieldChange { field, name, ty: known.map(|field| field.ty), value, replaced: Vec::new() }
    }

    fn replaced(
        &self,
        field: FieldId,
        dot: &Dot,
        (record, past): (&Record, &RecordPast),
    ) -> Replaced {
        let version = past.version(record, field, dot);
        Replaced {
            dot: *dot,
            device: dot.origin.device,
            device_name: self.names.get(&dot.origin.device).cloned(),
            hlc: version.as_ref().map(|version| version.hlc),
            value: version.map(|version| version.value),
        }
    }

    /// What a record is called: as it is now, else as the change or its past says.
    fn record_name(
        &self,
        model: ModelId,
        key: &RecordKey,
        done: &Done,
        past: Option<&RecordPast>,
    ) -> Option<String> {
        let named = self.past.snapshot().schema().model(model)?.field_named("name")?;
        let now = self.past.snapshot().record(model, key).ok();
        let now = now.filter(Record::is_alive).map(|record| record.shown(named.id, named.rule));
        let said = || done.writes().iter().find(|w| w.field == named.id).map(|w| w.value.clone());
        let known = || past.and_then(|past| past::last_value(past, named.id));
        match now.or_else(said).or_else(known) {
            Some(Value::Text(name)) => Some(name),
            _ => None,
        }
    }
}
