//! Open conflicts: what several devices wrote into one field without knowing of each other, and
//! choosing between it.
//!
//! Every device shows the same value, the *winner*, and keeps the others. An open conflict ends when
//! somebody writes the field, knowing of all of them; [`Library::resolve`] is such a write, with one
//! of the values that are there.

use std::collections::BTreeMap;

use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Dot, RecordKey};
use driftless_core::record::{Record, Version};
use driftless_core::schema::{FieldDescriptor, MergeRule, ModelDescriptor, Schema};
use driftless_core::store::Store as _;
use driftless_core::value::Value;
use driftless_store::{Conflict as Place, Snapshot};
use uuid::Uuid;

use crate::device::Device;
use crate::error::Error;
use crate::library::Library;
use crate::reader;
use crate::tx::WriteTx;

/// Conflicts that are looked at between two reads.
const CHUNK: usize = 500;

/// One of the values that stand beside each other in a conflict.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = conflict()?;
/// let open = laptop.conflicts(None, 100)?;
/// let loser = &open[0].losers[0];
/// println!("{:?} said {:?}", loser.device_name, loser.value);
/// assert_ne!(loser.dot, open[0].winner.dot);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sibling {
    /// The value.
    pub value: Value,
    /// Who wrote it.
    pub device: DeviceId,
    /// That device's name, as far as it is known here.
    pub device_name: Option<String>,
    /// When, by that device's clock.
    pub hlc: Hlc,
    /// The change set that wrote it.
    pub dot: Dot,
}

/// A field with values of several devices that did not know of each other.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = conflict()?;
/// let open = laptop.conflicts(None, 100)?;
/// assert_eq!((open[0].model.name.as_str(), open[0].field.name.as_str()), ("todo", "title"));
/// // The same everywhere, by the same id.
/// assert_eq!(phone.conflicts(None, 100)?, open);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// Its id: the same on every device.
    pub id: Uuid,
    /// The model.
    pub model: ModelDescriptor,
    /// The record.
    pub key: RecordKey,
    /// The record's name, if its model has a field of that name.
    pub record_name: Option<String>,
    /// The field.
    pub field: FieldDescriptor,
    /// What shows.
    pub winner: Sibling,
    /// The values that differ from it, the latest first.
    pub losers: Vec<Sibling>,
    place: Place,
}

/// How a conflict is resolved.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = conflict()?;
/// use driftless::Resolution;
///
/// let conflict = laptop.conflicts(None, 1)?.remove(0);
/// laptop.resolve(conflict.id, Resolution::Take(conflict.losers[0].dot))?;
/// let todo: Todo = laptop.get(conflict.key.clone())?.unwrap();
/// assert_ne!(conflict.winner.value, driftless::core::value::Value::Text(todo.title));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolution {
    /// With the value that shows.
    KeepWinner,
    /// With the value that this change set wrote.
    Take(Dot),
    /// With the value that does not show; refused if there are several.
    TakeLoser,
}

impl Conflict {
    /// The value that a resolution chooses.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = conflict()?;
    /// use driftless::Resolution;
    ///
    /// let conflict = laptop.conflicts(None, 1)?.remove(0);
    /// assert_eq!(conflict.choose(Resolution::KeepWinner)?, &conflict.winner);
    /// assert_eq!(conflict.choose(Resolution::TakeLoser)?, &conflict.losers[0]);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn choose(&self, resolution: Resolution) -> Result<&Sibling, Error> {
        match resolution {
            Resolution::KeepWinner => Ok(&self.winner),
            Resolution::Take(dot) => {
                let all = std::iter::once(&self.winner).chain(&self.losers);
                let found = all.clone().find(|sibling| sibling.dot == dot);
                found.ok_or_else(|| Error::NoSibling {
                    conflict: self.id,
                    dot,
                    dots: all.map(|sibling| sibling.dot).collect(),
                })
            }
            Resolution::TakeLoser => match &self.losers[..] {
                [first, rest @ ..] if rest.iter().all(|other| other.value == first.value) => {
                    Ok(first)
                }
                losers => Err(Error::ManyLosers {
                    conflict: self.id,
                    dots: losers.iter().map(|loser| loser.dot).collect(),
                }),
            },
        }
    }
}

/// The names of devices, by id.
pub(crate) type Names = BTreeMap<DeviceId, String>;

/// What is said of a field in conflict; `None` if it is in none.
fn describe(schema: &Schema, record: &Record, place: Place, names: &Names) -> Option<Conflict> {
    let model = schema.model(place.model)?;
    let field = model.field(place.field).filter(|field| field.rule == MergeRule::Lww)?;
    let winner = record.winner(place.field)?;
    let mut others: Vec<&Version> = record.versions(place.field).iter().collect();
    others.retain(|version| version.value != winner.value);
    others.sort_by_key(|version| std::cmp::Reverse(version.stamp()));
    if others.is_empty() || !record.is_alive() {
        return None;
    }
    let sibling = |version: &Version| Sibling {
        value: version.value.clone(),
        device: version.dot.origin.device,
        device_name: names.get(&version.dot.origin.device).cloned(),
        hlc: version.hlc,
        dot: version.dot,
    };
    let name = model.field_named("name").map(|field| record.shown(field.id, field.rule));
    Some(Conflict {
        id: place.id(),
        model: model.clone(),
        key: place.key.clone(),
        record_name: name.and_then(|name| match name {
            Value::Text(name) => Some(name),
            _ => None,
        }),
        field: field.clone(),
        winner: sibling(winner),
        losers: others.into_iter().map(sibling).collect(),
        place,
    })
}

pub(crate) fn names(
    db: &rusqlite::Connection,
    devices: impl IntoIterator<Item = DeviceId>,
) -> Result<Names, Error> {
    let wanted: BTreeMap<Uuid, DeviceId> =
        devices.into_iter().map(|device| (Device::row_id(&device), device)).collect();
    let rows: Vec<Device> = reader::all(db, "true", [])?;
    let named = rows.into_iter().filter_map(|row| Some((*wanted.get(&row.id)?, row.name)));
    Ok(named.collect())
}

/// The devices that wrote a field's versions.
fn writers(record: &Record, place: &Place) -> Vec<DeviceId> {
    record.versions(place.field).iter().map(|version| version.dot.origin.device).collect()
}

/// The field whose conflict has this id, among those that `next` gives chunk by chunk.
fn find(
    id: Uuid,
    mut next: impl FnMut(Option<&Place>) -> Result<Vec<Place>, Error>,
) -> Result<Option<Place>, Error> {
    let mut last: Option<Place> = None;
    loop {
        let chunk = next(last.as_ref())?;
        if let Some(found) = chunk.iter().find(|place| place.id() == id) {
            return Ok(Some(found.clone()));
        }
        match chunk.into_iter().next_back() {
            Some(place) => last = Some(place),
            None => return Ok(None),
        }
    }
}

fn in_snapshot(snapshot: &Snapshot, places: Vec<Place>) -> Result<Vec<Conflict>, Error> {
    let mut found = Vec::new();
    for place in places {
        found.push((snapshot.record(place.model, &place.key)?, place));
    }
    let devices: Vec<DeviceId> =
        found.iter().flat_map(|(record, place)| writers(record, place)).collect();
    let names = names(snapshot.connection(), devices)?;
    let describe = |(record, place)| describe(snapshot.schema(), &record, place, &names);
    Ok(found.into_iter().filter_map(describe).collect())
}

impl Library {
    /// Up to `limit` open conflicts behind `after`, in an order that is the same on every device.
    ///
    /// ```
    /// # use driftless::{Library, Models};
    /// # let place = tempfile::tempdir().unwrap();
    /// # let library = Library::create(&place.path().join("x"), &Models::new(), "Home", "laptop")?;
    /// for conflict in library.conflicts(None, 100)? {
    ///     println!("{}.{}: {:?}", conflict.model.name, conflict.field.name, conflict.winner.value);
    ///     library.resolve(conflict.id, driftless::Resolution::KeepWinner)?;
    /// }
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn conflicts(
        &self,
        after: Option<&Conflict>,
        limit: usize,
    ) -> Result<Vec<Conflict>, Error> {
        let snapshot = self.snapshot()?;
        let places = snapshot.conflicts(after.map(|after| &after.place), limit)?;
        in_snapshot(&snapshot, places)
    }

    /// How many fields are in open conflict.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = conflict()?;
    /// assert_eq!((laptop.conflict_count()?, phone.conflict_count()?), (1, 1));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn conflict_count(&self) -> Result<u64, Error> {
        self.call(|writer| writer.store.conflict_count())
    }

    /// The ids of open conflicts that `wanted` holds for, at most `limit`; for finding one by a part
    /// of its id.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = conflict()?;
    /// let id = laptop.conflicts(None, 1)?[0].id;
    /// let beginning = &id.to_string()[..8];
    /// let found = laptop.conflict_ids(|id| id.to_string().starts_with(beginning), 2)?;
    /// assert_eq!(found, [id]);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn conflict_ids(
        &self,
        wanted: impl Fn(Uuid) -> bool,
        limit: usize,
    ) -> Result<Vec<Uuid>, Error> {
        let snapshot = self.snapshot()?;
        let mut ids = Vec::new();
        let mut last: Option<Place> = None;
        while ids.len() < limit {
            let chunk = snapshot.conflicts(last.as_ref(), CHUNK)?;
            ids.extend(chunk.iter().map(Place::id).filter(|id| wanted(*id)));
            match chunk.into_iter().next_back() {
                Some(place) => last = Some(place),
                None => break,
            }
        }
        ids.truncate(limit);
        Ok(ids)
    }

    /// The open conflict with this id; `None` if there is none, or none any more.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = conflict()?;
    /// let first = laptop.conflicts(None, 1)?.remove(0);
    /// assert_eq!(laptop.conflict(first.id)?, Some(first));
    /// assert_eq!(laptop.conflict(Uuid::nil())?, None);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn conflict(&self, id: Uuid) -> Result<Option<Conflict>, Error> {
        let snapshot = self.snapshot()?;
        let place = find(id, |after| Ok(snapshot.conflicts(after, CHUNK)?))?;
        Ok(in_snapshot(&snapshot, place.into_iter().collect())?.pop())
    }

    /// Resolves a conflict; see [`WriteTx::resolve`].
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = conflict()?;
    /// use driftless::Resolution;
    ///
    /// let open = laptop.conflicts(None, 1)?;
    /// laptop.resolve(open[0].id, Resolution::TakeLoser)?;
    /// laptop.wait(std::time::Duration::from_secs(60), false)?;
    /// assert_eq!((laptop.conflict_count()?, phone.conflict_count()?), (0, 0));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn resolve(&self, conflict: Uuid, resolution: Resolution) -> Result<Conflict, Error> {
        self.write(move |tx| tx.resolve(conflict, resolution))
    }
}

impl WriteTx<'_> {
    /// Resolves a conflict by writing the chosen value over all others, like any other write: it is
    /// resolved on every device that receives it. Gives the conflict as it was. Refused with
    /// [`Error::NoConflict`] if it is open no more.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = conflict()?;
    /// use driftless::{Error, Resolution};
    ///
    /// // All that are open, in one transaction.
    /// let open = laptop.conflicts(None, 100)?;
    /// laptop.write(move |tx| {
    ///     for conflict in &open {
    ///         tx.resolve(conflict.id, Resolution::KeepWinner)?;
    ///     }
    ///     Ok::<_, Error>(())
    /// })?;
    /// let again = laptop.resolve(Uuid::nil(), Resolution::KeepWinner);
    /// assert!(matches!(again, Err(Error::NoConflict { .. })));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn resolve(&mut self, conflict: Uuid, resolution: Resolution) -> Result<Conflict, Error> {
        let gone = || Error::NoConflict { conflict };
        let place = find(conflict, |after| Ok(self.store.conflicts(after, CHUNK)?))?;
        let place = place.ok_or_else(gone)?;
        let record = self.store.record(place.model, &place.key)?;
        let names = names(self.db(), writers(&record, &place))?;
        let conflict = describe(self.schema, &record, place, &names).ok_or_else(gone)?;
        let value = conflict.choose(resolution)?.value.clone();
        self.set(conflict.model.id, &conflict.key, vec![(conflict.field.id, value)])?;
        Ok(conflict)
    }
}
