//! What shared records were at a time, by the clocks of those who wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use driftless_core::clock::Hlc;
use driftless_core::schema::ModelId;
use driftless_core::undo::at;
use driftless_store::{AsOf, Past};
use rusqlite::Connection;

use super::past::{self, Place};
use crate::error::Error;
use crate::library::Library;

impl Library {
    /// Runs a query on the shared records as they were at a time (Unix milliseconds): the tables of
    /// their models have the same names and columns as ever. Rows that devices own are as they are
    /// now, as nobody keeps what they were.
    ///
    /// # Errors
    /// [`Error::BeforeHistory`] if the history is not whole since then.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let id = Uuid::from_u128(7);
    /// library.write(move |tx| tx.insert(&Todo { id, title: "Water".into(), done: false }))?;
    /// let then = library.log(&driftless::LogFilter::default(), 1)?[0].hlc.ms();
    /// std::thread::sleep(std::time::Duration::from_millis(2));
    /// library.write(move |tx| tx.update(id, |todo: &mut Todo| todo.title = "Rest".into()))?;
    /// let todo: Option<Todo> = library.query_as_of(then, |db| driftless::get(db, id))??;
    /// assert_eq!(todo.unwrap().title, "Water");
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn query_as_of<T>(
        &self,
        at_ms: u64,
        query: impl FnOnce(&Connection) -> T,
    ) -> Result<T, Error> {
        let past = self.past()?;
        let begins_ms = past.begins_ms();
        if begins_ms.is_none_or(|begins| begins > at_ms) {
            return Err(Error::BeforeHistory { at_ms, begins_ms });
        }
        // To the end of that millisecond.
        let time = Hlc(Hlc::from_ms(at_ms.saturating_add(1)).0.saturating_sub(1));
        let changed = changed_since(&past, time)?;
        let mut shown: BTreeMap<ModelId, AsOf> = BTreeMap::new();
        for ((model, key), known) in past::of_many(&past, &changed)? {
            let Some(descriptor) = past.snapshot().schema().model(model) else { continue };
            let then = at(&past.snapshot().record(model, &key)?, &known, time);
            if let Some(field) = then.unknown.first() {
                let field = descriptor.field(*field).map(|field| field.name.clone());
                let (model, field) = (descriptor.name.clone(), field.unwrap_or_default());
                return Err(Error::UnknownThen { model, key, field });
            }
            shown.entry(model).or_default().insert(key, then.record);
        }
        past.show(&shown)?;
        Ok(query(past.snapshot().connection()))
    }
}

/// The records that were changed after a time.
fn changed_since(past: &Past, time: Hlc) -> Result<BTreeSet<Place>, Error> {
    let mut changed = BTreeSet::new();
    past.walk(None, |logged| {
        if logged.set.header().hlc > time {
            let changes = past::changes(&logged)?.into_iter();
            changed.extend(changes.map(|change| (change.model, change.key)));
        }
        Ok::<_, Error>(ControlFlow::Continue(()))
    })?;
    Ok(changed)
}
