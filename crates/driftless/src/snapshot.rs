//! One state of everything that is synced, to be walked record by record.

use driftless_core::id::{Dot, RecordKey};
use driftless_core::merge::Lost;
use driftless_core::schema::ModelId;
use driftless_store::Snapshot;

use crate::error::Error;
use crate::library::Library;

impl Library {
    /// What is durable at this moment, all of it: also what the models' tables do not show, with the
    /// dots and stamps of every record. It can be read for as long as it takes, beside the writer.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let snapshot = library.snapshot()?;
    /// // What is written from now on is not in it.
    /// library.write(|tx| {
    ///     let id = tx.new_id();
    ///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })
    /// })?;
    /// let todo = snapshot.schema().iter().find(|model| model.name == "todo").unwrap().id;
    /// assert!(snapshot.records(todo, None, 100)?.is_empty());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.call(|writer| writer.store.snapshot())??)
    }

    /// What of a record was lost to deletes, in the order in which it happened here, each with the
    /// change set whose arrival lost it: edits that a delete did not know of, and what a delete took
    /// with it. It is this device's history, and no part of the synced state.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let id = Uuid::from_u128(7);
    /// library.write(move |tx| tx.insert(&Todo { id, title: "Water".into(), done: false }))?;
    /// library.write(move |tx| tx.delete::<Todo>(id))?;
    /// for (lost, by) in library.losses(Todo::descriptor().id, id)? {
    ///     println!("{by} took {lost:?} with it");
    /// }
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn losses(
        &self,
        model: ModelId,
        key: impl Into<RecordKey>,
    ) -> Result<Vec<(Lost, Dot)>, Error> {
        let key = key.into();
        Ok(self.call(move |writer| writer.store.losses(model, &key))??)
    }
}
