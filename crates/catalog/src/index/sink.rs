//! From rows to transactions: a thread that hands them to the library, so that walking and hashing go
//! on while a batch is made durable.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use driftless::{Library, Uuid, WriteTx};

use crate::carry::Carry;
use crate::error::CatalogError;
use crate::models::Entry;

/// Rows in a transaction, about. At a thousand, making it durable costs next to nothing a row; local
/// writes of others, which go between two batches, do not wait for long.
pub(super) const ROWS: usize = 1_000;
/// Batches that may wait for the library.
const WAITING: usize = 2;

/// What one transaction writes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) put: Vec<Entry>,
    pub(super) gone: Vec<Uuid>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.put.is_empty() && self.gone.is_empty()
    }
}

/// Takes batches, and writes them in order.
pub(super) struct Sink<'s> {
    batches: SyncSender<Batch>,
    thread: ScopedJoinHandle<'s, Result<(), CatalogError>>,
}

impl<'s> Sink<'s> {
    pub(super) fn open<'e>(
        scope: &'s Scope<'s, 'e>,
        library: &'e Library,
    ) -> Result<Self, CatalogError> {
        let (batches, waiting) = sync_channel(WAITING);
        let thread = std::thread::Builder::new()
            .name("catalog-writer".to_owned())
            .spawn_scoped(scope, move || write_all(library, &waiting))
            .map_err(CatalogError::Thread)?;
        Ok(Self { batches, thread })
    }

    /// Hands over a batch, waiting while too many wait already. False if the library has failed:
    /// then [`Sink::close`] tells why.
    #[must_use]
    pub(super) fn send(&self, batch: Batch) -> bool {
        batch.is_empty() || self.batches.send(batch).is_ok()
    }

    /// Waits until everything is durable.
    pub(super) fn close(self) -> Result<(), CatalogError> {
        drop(self.batches);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn write_all(library: &Library, batches: &Receiver<Batch>) -> Result<(), CatalogError> {
    for mut batch in batches {
        while !batch.is_empty() {
            batch = library.write(move |tx| write_some(tx, batch))?;
        }
    }
    Ok(())
}

/// Writes a few rows in a transaction of something else. All rows of entries that change or go, for
/// whatever reason, come by here or by [`write_some`], and what people said of files whose content is
/// another one now goes with them.
pub(super) fn write_few(tx: &mut WriteTx<'_>, rows: &[Entry]) -> Result<(), CatalogError> {
    let mut carry = Carry::begin(tx.db())?;
    for entry in rows {
        carry.before(tx, entry)?;
        tx.put(entry)?;
    }
    Ok(())
}

/// Writes a batch. If much goes with its rows, the rest is given back for another transaction.
fn write_some(tx: &mut WriteTx<'_>, mut batch: Batch) -> Result<Batch, CatalogError> {
    let mut carry = Carry::begin(tx.db())?;
    let mut rows = batch.put.into_iter();
    while !carry.is_full()
        && let Some(entry) = rows.next()
    {
        carry.before(tx, &entry)?;
        tx.put(&entry)?;
    }
    batch.put = rows.collect();
    if batch.put.is_empty() {
        for id in batch.gone.drain(..) {
            tx.drop_row::<Entry>(id)?;
        }
    }
    Ok(batch)
}
