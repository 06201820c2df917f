//! A write transaction, as its author sees it.

use driftless_core::engine::LocalTx;
use driftless_core::id::{Dot, RecordKey};
use driftless_core::ids::IdSource;
use driftless_core::schema::{FieldId, ModelDescriptor, ModelId, Schema, Syncable};
use driftless_core::value::Value;
use driftless_store::SqliteStore;
use rusqlite::Connection;
use uuid::Uuid;

use crate::error::Error;
use crate::reader;

/// A transaction under way. What it wrote is seen by its own queries, becomes durable when the
/// closure given to [`crate::Library::write`] returns `Ok`, and is undone if that returns `Err`.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::Error;
///
/// let done = library.write(|tx| {
///     let id = tx.new_id();
///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })?;
///     tx.update(id, |todo: &mut Todo| todo.done = true)?;
///     tx.get::<Todo>(id).map(|todo| todo.unwrap().done)
/// })?;
/// assert!(done);
///
/// // What fails leaves nothing behind.
/// let failed = library.write(|tx| {
///     let id = tx.new_id();
///     tx.insert(&Todo { id, title: "Half a thought".into(), done: false })?;
///     tx.update(Uuid::nil(), |_: &mut Todo| {})
/// });
/// assert!(matches!(failed, Err(Error::Write(_))));
/// let todos: Vec<Todo> = library.query(|db| driftless::all(db, "NOT done", []))??;
/// assert!(todos.is_empty());
/// # Ok::<(), driftless::Error>(())
/// ```
pub struct WriteTx<'a> {
    pub(crate) store: &'a mut SqliteStore,
    pub(crate) schema: &'a Schema,
    pub(crate) local: LocalTx,
    pub(crate) wall_ms: u64,
    pub(crate) ids: &'a mut IdSource,
}

fn fields<T: Syncable>(model: &ModelDescriptor, record: &T) -> Vec<(FieldId, Value)> {
    model.fields.iter().map(|field| field.id).zip(record.values()).collect()
}

impl WriteTx<'_> {
    /// A fresh id, ordered by time: greater than all that this was asked for before, as long as the
    /// library is open.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let (a, b) = library.write(|tx| Ok::<_, driftless::Error>((tx.new_id(), tx.new_id())))?;
    /// assert!(a < b);
    /// assert_eq!(a.get_version_num(), 7);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn new_id(&mut self) -> Uuid {
        self.ids.next(self.wall_ms)
    }

    /// The time of this transaction: Unix milliseconds.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let now = library.write(|tx| Ok::<_, driftless::Error>(tx.wall_ms()))?;
    /// assert!(now > 1_700_000_000_000);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn wall_ms(&self) -> u64 {
        self.wall_ms
    }

    /// The connection, for SELECTs that see what this transaction wrote. Writing through it goes
    /// around sync and is never right.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let count: i64 = library.write(|tx| {
    ///     let id = tx.new_id();
    ///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })?;
    ///     Ok::<_, driftless::Error>(
    ///         tx.db().query_row("SELECT count(*) FROM todo", [], |row| row.get(0))?,
    ///     )
    /// })?;
    /// assert_eq!(count, 1);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn db(&self) -> &Connection {
        self.store.connection()
    }

    /// The record with this key.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let there = library.write(|tx| Ok::<_, driftless::Error>(tx.get::<Todo>(Uuid::nil())?.is_some()))?;
    /// assert!(!there);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn get<T: Syncable>(&self, key: impl Into<RecordKey>) -> Result<Option<T>, Error> {
        reader::get(self.db(), key)
    }

    /// Creates a shared record. Refused if it exists.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::Error;
    ///
    /// let todo = Todo { id: Uuid::from_u128(7), title: "Water the plants".into(), done: false };
    /// let again = todo.clone();
    /// library.write(move |tx| tx.insert(&todo))?;
    /// assert!(matches!(library.write(move |tx| tx.insert(&again)), Err(Error::Write(_))));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn insert<T: Syncable>(&mut self, record: &T) -> Result<(), Error> {
        let model = T::described();
        self.create(model.id, &record.key(), fields(&model, record))
    }

    /// Creates or changes a shared record: the fields that differ are set.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let mut todo = Todo { id: Uuid::from_u128(7), title: "Water the plants".into(), done: false };
    /// let first = todo.clone();
    /// library.write(move |tx| tx.upsert(&first))?;
    /// todo.done = true;
    /// library.write(move |tx| tx.upsert(&todo))?;
    /// assert!(library.get::<Todo>(Uuid::from_u128(7))?.unwrap().done);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn upsert<T: Syncable>(&mut self, record: &T) -> Result<(), Error> {
        let model = T::described();
        let (key, fields) = (record.key(), fields(&model, record));
        if self.get::<T>(key.clone())?.is_some() {
            self.set(model.id, &key, fields)
        } else {
            self.create(model.id, &key, fields)
        }
    }

    /// Changes a shared record: the fields that `change` made different are set. Refused if there is
    /// no such record.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let id = library.write(|tx| {
    ///     let id = tx.new_id();
    ///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })?;
    ///     Ok::<_, driftless::Error>(id)
    /// })?;
    /// // Only `done` is written: a title that somebody else sets meanwhile is not touched.
    /// library.write(move |tx| tx.update(id, |todo: &mut Todo| todo.done = true))?;
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn update<T: Syncable>(
        &mut self,
        key: impl Into<RecordKey>,
        change: impl FnOnce(&mut T),
    ) -> Result<(), Error> {
        let (key, model) = (key.into(), T::described());
        let Some(mut record) = self.get::<T>(key.clone())? else {
            let name = model.name.clone();
            return Err(driftless_core::engine::WriteError::NotFound { model: name, key }.into());
        };
        let before = record.values();
        change(&mut record);
        let after = fields(&model, &record);
        let changed = after.into_iter().zip(before).filter(|((_, new), old)| new != old);
        self.set(model.id, &key, changed.map(|(field, _)| field).collect())
    }

    /// Adds to a counter of a shared record, and returns what shows then. Additions of several devices
    /// add up, whether they knew of each other or not; `update` sets a counter to a total as seen here,
    /// which comes to the same.
    ///
    /// ```
    /// # use driftless::{Library, Models, Syncable, Uuid};
    /// #[derive(Syncable)]
    /// #[sync(shared)]
    /// struct Song {
    ///     id: Uuid,
    ///     #[sync(rule = "counter")]
    ///     plays: i64,
    ///     #[sync(rule = "max")]
    ///     best: i64,
    /// }
    ///
    /// # let place = tempfile::tempdir().unwrap();
    /// # let library = Library::create(&place.path().join("x"), &Models::new().with::<Song>(), "Home", "a")?;
    /// let id = library.write(|tx| {
    ///     let song = Song { id: tx.new_id(), plays: 0, best: 3 };
    ///     tx.insert(&song)?;
    ///     Ok::<_, driftless::Error>(song.id)
    /// })?;
    /// assert_eq!(library.write(move |tx| tx.add::<Song>(id, "plays", 2))?, 2);
    /// assert_eq!(library.write(move |tx| tx.add::<Song>(id, "plays", -1))?, 1);
    /// // Of a field that merges by `max` the greatest stays, whoever writes what.
    /// library.write(move |tx| tx.update(id, |song: &mut Song| song.best = 1))?;
    /// assert_eq!(library.get::<Song>(id)?.unwrap().best, 3);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn add<T: Syncable>(
        &mut self,
        key: impl Into<RecordKey>,
        field: &str,
        delta: i64,
    ) -> Result<i64, Error> {
        let model = T::described();
        // A name that the model does not have is refused like an id that it does not have.
        let id = model.field_named(field).map_or_else(|| FieldId::of(field), |field| field.id);
        self.add_to(model.id, &key.into(), id, delta)
    }

    /// Deletes a shared record, or takes a link away. Returns whether there was one.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let id = library.write(|tx| {
    ///     let id = tx.new_id();
    ///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })?;
    ///     Ok::<_, driftless::Error>(id)
    /// })?;
    /// assert!(library.write(move |tx| tx.delete::<Todo>(id))?);
    /// assert!(!library.write(move |tx| tx.delete::<Todo>(id))?);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn delete<T: Syncable>(&mut self, key: impl Into<RecordKey>) -> Result<bool, Error> {
        self.remove(T::described().id, &key.into())
    }

    /// Adds a link.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::derived_id;
    ///
    /// // The id follows from what is linked, so that two devices that star the same make one star.
    /// let todo = Uuid::from_u128(7);
    /// let star = Star { id: derived_id("star", &[todo.as_bytes()]), todo };
    /// let id = star.id;
    /// library.write(move |tx| tx.link(&star))?;
    /// library.write(move |tx| tx.delete::<Star>(id))?;
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn link<T: Syncable>(&mut self, link: &T) -> Result<(), Error> {
        let model = T::described();
        let fields = fields(&model, link);
        Ok(self.local.link(self.schema, self.store, model.id, &link.key(), fields)?)
    }

    /// Writes a row that this device owns, new or not.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let id = Uuid::from_u128(7);
    /// library.write(move |tx| tx.put(&Reading { id, value: 20 }))?;
    /// library.write(move |tx| tx.put(&Reading { id, value: 21 }))?;
    /// assert_eq!(library.get::<Reading>(id)?.unwrap().value, 21);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn put<T: Syncable>(&mut self, row: &T) -> Result<(), Error> {
        let model = T::described();
        let fields = fields(&model, row);
        Ok(self.local.put_owned(self.schema, self.store, model.id, &row.key(), fields)?)
    }

    /// Deletes a row that this device owns.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let id = Uuid::from_u128(7);
    /// library.write(move |tx| tx.put(&Reading { id, value: 20 }))?;
    /// library.write(move |tx| tx.drop_row::<Reading>(id))?;
    /// assert_eq!(library.get::<Reading>(id)?, None);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn drop_row<T: Syncable>(&mut self, key: impl Into<RecordKey>) -> Result<(), Error> {
        let model = T::described().id;
        Ok(self.local.delete_owned(self.schema, self.store, model, &key.into())?)
    }

    /// Creates a shared record of a model that is known by its id.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::RecordKey;
    /// use driftless::core::value::Value;
    ///
    /// // A program that knows its models only at run time goes by names.
    /// let model = library.schema().iter().find(|model| model.name == "todo").unwrap();
    /// let (id, title) = (model.id, model.field_named("title").unwrap().id);
    /// let done = model.field_named("done").unwrap().id;
    /// let key = RecordKey::from(Uuid::from_u128(7));
    /// let fields = vec![(title, Value::Text("Water the plants".into())), (done, Value::Int(0))];
    /// library.write(move |tx| tx.create(id, &key, fields))?;
    /// assert_eq!(library.get::<Todo>(Uuid::from_u128(7))?.unwrap().title, "Water the plants");
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn create(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        fields: Vec<(FieldId, Value)>,
    ) -> Result<(), Error> {
        Ok(self.local.create(self.schema, self.store, model, key, fields)?)
    }

    /// Sets fields of a shared record of a model that is known by its id.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::RecordKey;
    /// use driftless::core::value::Value;
    ///
    /// let todo = Todo { id: Uuid::from_u128(7), title: "Water the plants".into(), done: false };
    /// let (model, key) = (Todo::descriptor(), todo.key());
    /// library.write(move |tx| tx.insert(&todo))?;
    /// let done = model.field_named("done").unwrap().id;
    /// library.write(move |tx| tx.set(model.id, &key, vec![(done, Value::Int(1))]))?;
    /// assert!(library.get::<Todo>(Uuid::from_u128(7))?.unwrap().done);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn set(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        fields: Vec<(FieldId, Value)>,
    ) -> Result<(), Error> {
        Ok(self.local.set(self.schema, self.store, model, key, fields)?)
    }

    /// Sets fields of a shared record as [`WriteTx::set`] does, also where the rule of a field would
    /// leave what is there.
    pub(crate) fn put_back(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        fields: Vec<(FieldId, Value)>,
    ) -> Result<(), Error> {
        Ok(self.local.put_back(self.schema, self.store, model, key, fields)?)
    }

    /// The change set that this transaction becomes, if it writes anything shared.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let star = Star { id: Uuid::from_u128(7), todo: Uuid::nil() };
    /// let dot = library.write(move |tx| {
    ///     tx.link(&star)?;
    ///     Ok::<_, driftless::Error>(tx.dot())
    /// })?;
    /// assert_eq!(library.log(&driftless::LogFilter::default(), 1)?[0].dot, dot);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn dot(&self) -> Dot {
        self.local.dot()
    }

    /// Says that this transaction goes on with what that of `first` began: for something that is one
    /// thing to people and too large for one transaction. It is then undone as one.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let star = |n| Star { id: Uuid::from_u128(n), todo: Uuid::nil() };
    /// let first = library.write(move |tx| {
    ///     tx.link(&star(1))?;
    ///     Ok::<_, driftless::Error>(tx.dot())
    /// })?;
    /// library.write(move |tx| {
    ///     tx.go_on_with(first);
    ///     tx.link(&star(2))
    /// })?;
    /// library.undo(&[first], false)?;
    /// assert_eq!(library.get::<Star>(Uuid::from_u128(2))?, None);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn go_on_with(&mut self, first: Dot) {
        self.local.go_on_with(first);
    }

    /// Deletes a shared record or link of a model that is known by its id. Returns whether there was
    /// one.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let todo = Todo { id: Uuid::from_u128(7), title: "Water the plants".into(), done: false };
    /// let (model, key) = (Todo::descriptor().id, todo.key());
    /// library.write(move |tx| tx.insert(&todo))?;
    /// assert!(library.write(move |tx| tx.remove(model, &key))?);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn remove(&mut self, model: ModelId, key: &RecordKey) -> Result<bool, Error> {
        Ok(self.local.delete(self.schema, self.store, model, key)?)
    }

    /// Adds to a counter of a shared record of a model that is known by its id; see [`WriteTx::add`].
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// #[derive(Syncable)]
    /// #[sync(shared)]
    /// struct Song {
    ///     id: Uuid,
    ///     #[sync(rule = "counter")]
    ///     plays: i64,
    /// }
    ///
    /// # let place = tempfile::tempdir().unwrap();
    /// # let models = Models::new().with::<Song>();
    /// # let library = Library::create(&place.path().join("library"), &models, "Home", "laptop")?;
    /// let song = Song { id: Uuid::from_u128(7), plays: 1 };
    /// let (model, key) = (Song::descriptor(), song.key());
    /// library.write(move |tx| tx.insert(&song))?;
    /// let plays = model.field_named("plays").unwrap().id;
    /// assert_eq!(library.write(move |tx| tx.add_to(model.id, &key, plays, 2))?, 3);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn add_to(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        field: FieldId,
        delta: i64,
    ) -> Result<i64, Error> {
        Ok(self.local.add(self.schema, self.store, model, key, (field, delta))?)
    }

    /// Adds a link of a model that is known by its id.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let star = Star { id: Uuid::from_u128(7), todo: Uuid::from_u128(8) };
    /// let (model, key) = (Star::descriptor(), star.key());
    /// let fields = model.fields.iter().map(|field| field.id).zip(star.values()).collect();
    /// library.write(move |tx| tx.add_link(model.id, &key, fields))?;
    /// assert_eq!(library.get(star.id)?, Some(star));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn add_link(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        fields: Vec<(FieldId, Value)>,
    ) -> Result<(), Error> {
        Ok(self.local.link(self.schema, self.store, model, key, fields)?)
    }

    /// Writes a row that this device owns, of a model that is known by its id.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let reading = Reading { id: Uuid::from_u128(7), value: 20 };
    /// let (model, key) = (Reading::descriptor(), reading.key());
    /// let fields = model.fields.iter().map(|field| field.id).zip(reading.values()).collect();
    /// library.write(move |tx| tx.put_row(model.id, &key, fields))?;
    /// assert_eq!(library.get(reading.id)?, Some(reading));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn put_row(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        fields: Vec<(FieldId, Value)>,
    ) -> Result<(), Error> {
        Ok(self.local.put_owned(self.schema, self.store, model, key, fields)?)
    }

    /// Deletes a row that this device owns, of a model that is known by its id.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let reading = Reading { id: Uuid::from_u128(7), value: 20 };
    /// let (model, key) = (Reading::descriptor().id, reading.key());
    /// library.write(move |tx| tx.put(&reading))?;
    /// library.write(move |tx| tx.remove_row(model, &key))?;
    /// assert_eq!(library.get::<Reading>(Uuid::from_u128(7))?, None);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn remove_row(&mut self, model: ModelId, key: &RecordKey) -> Result<(), Error> {
        Ok(self.local.delete_owned(self.schema, self.store, model, key)?)
    }
}
