//! One state of everything that is synced, to be walked record by record.

use driftless_store::Snapshot;

use crate::error::Error;
use crate::library::Library;

impl Library {
    /// What is durable at this moment, all of it: also what the models' tables do not show, with the
    /// dots and stamps of every record. It can be read for as long as it takes, beside the writer.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(self.call(|writer| writer.store.snapshot())??)
    }
}
