//! Local writes within a batch, each undone by itself if it fails.

use std::sync::Arc;

use driftless_core::engine::WriteError;
use driftless_store::StoreError;

use super::{Command, Reply, Writer};
use crate::error::Error;
use crate::time;
use crate::tx::WriteTx;

impl Writer {
    /// Runs a write in a savepoint of the open transaction.
    pub(crate) fn local<T, E: From<Error>>(
        &mut self,
        write: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some(error) = &self.broken {
            return Err(Error::NotDurable(error.clone()).into());
        }
        self.store.savepoint().map_err(|error| self.broke(error))?;
        match self.attempt(write) {
            Ok(value) => {
                self.store.release().map_err(|error| self.broke(error))?;
                Ok(value)
            }
            Err(error) => {
                self.store.rollback_to().map_err(|error| self.broke(error))?;
                Err(error)
            }
        }
    }

    fn attempt<T, E: From<Error>>(
        &mut self,
        write: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let now = time::now();
        let clock = |error| Error::from(WriteError::Clock(error));
        let local = self.engine.begin_local(&self.store, now).map_err(clock)?;
        let schema = self.schema.clone();
        let mut tx = WriteTx {
            store: &mut self.store,
            schema: &schema,
            local,
            wall_ms: now.wall_ms,
            ids: &mut self.ids,
        };
        let value = write(&mut tx)?;
        let local = tx.local;
        self.engine.finish_local(&mut self.store, local).map_err(Error::from)?;
        Ok(value)
    }

    /// The transaction itself is beyond repair.
    fn broke(&mut self, error: StoreError) -> Error {
        let error = Arc::new(error);
        self.broken = Some(error.clone());
        Error::NotDurable(error)
    }

    /// Has something done within the next batch, on the writer's own account.
    pub(crate) fn later(&mut self, act: impl FnOnce(&mut Writer) + Send + 'static) {
        self.followups.push_back(Command::Write(Box::new(move |writer| {
            act(writer);
            // Whoever does something later has nobody to tell; a lost batch meets its peers anew.
            Box::new(|_| {})
        })));
    }

    /// Has a write done in the next batch, on the writer's own account.
    pub(crate) fn follow_up(
        &mut self,
        what: &'static str,
        write: impl FnOnce(&mut Writer) -> Result<(), Error> + Send + 'static,
    ) {
        let command = Command::Write(Box::new(move |writer| {
            let done = write(writer);
            let reply: Reply = Box::new(move |committed| {
                if let Err(error) = done.and(committed.map_err(Error::NotDurable)) {
                    tracing::error!(%error, "{what} failed");
                }
            });
            reply
        }));
        self.followups.push_back(command);
    }
}
