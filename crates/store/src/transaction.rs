//! One write transaction at a time, with one level inside it.

use driftless_core::change::ChangeSet;
use driftless_core::id::{Origin, Seq};
use rusqlite::Connection;

use crate::error::{StoreError, Within, path_of};
use crate::open::SqliteStore;
use crate::state::State;

/// The transaction that is open, with the caches as they were.
#[derive(Debug)]
pub(crate) struct Open {
    before: State,
    /// Rows that the connection had written when it began.
    rows: u64,
    savepoint: Option<Savepoint>,
    /// The first of the change sets that were logged in it: those of a commit are sent before it ends,
    /// and asking the files for them again would cost a fifth of it.
    logged: Vec<ChangeSet>,
}

/// How many change sets of the open transaction are at hand.
const AT_HAND: usize = 64;

/// The level inside the transaction, with the caches as they were.
#[derive(Debug)]
struct Savepoint {
    before: State,
    /// Whether nothing had been written in the transaction: then there is no savepoint in SQLite.
    /// In one, SQLite copies every page before its first change, which costs as much as a fifth of
    /// a bulk write; rolling back the whole transaction comes to the same and costs nothing.
    whole: bool,
}

pub(crate) fn run(conn: &Connection, sql: &str, doing: &'static str) -> Result<(), StoreError> {
    let done = conn.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    done.map(|_| ()).within(conn, doing)
}

impl SqliteStore {
    /// Begins the write transaction: waits for the file's lock as long as the options say. Its
    /// commit is durable.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        self.begin_with(false)
    }

    /// Begins a write transaction whose commit is visible, and durable once
    /// [`SqliteStore::make_durable`] has been called. Until then nobody may be told of what is in it:
    /// for changes that others hold as well.
    pub fn begin_relaxed(&mut self) -> Result<(), StoreError> {
        self.begin_with(true)
    }

    fn begin_with(&mut self, relaxed: bool) -> Result<(), StoreError> {
        if self.tx.is_some() {
            return Err(StoreError::Nested);
        }
        self.relax(relaxed)?;
        run(&self.conn, "BEGIN IMMEDIATE", "beginning a transaction")?;
        let rows = self.conn.total_changes();
        self.tx =
            Some(Open { before: self.state.clone(), rows, savepoint: None, logged: Vec::new() });
        Ok(())
    }

    /// Makes the transaction durable. On an error nothing of it shows, and no transaction is open any
    /// more. If it was the disk that failed, the library may hold it all the same when it is opened
    /// after a crash or power cut that comes before the next commit; nobody was told of it by then.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        if self.tx.is_none() {
            return Err(StoreError::NoTransaction);
        }
        match self.save_and_commit() {
            Ok(()) => {
                self.note_committed();
                self.state.saved();
                self.log.forget_flushed();
                self.keeping.settled();
                self.tx = None;
                Ok(())
            }
            Err(error) => {
                // The first failure is the one to tell of; SQLite forgets the rest with the
                // transaction, whether it can be rolled back by word or is already gone.
                match self.rollback() {
                    Ok(()) | Err(_) => Err(error),
                }
            }
        }
    }

    fn save_and_commit(&mut self) -> Result<(), StoreError> {
        self.alive()?;
        self.state.save(&self.conn)?;
        self.log.delete_flushed(&self.conn)?;
        run(&self.conn, "COMMIT", "committing")
    }

    /// Forgets the transaction; the caches are as they were at its begin.
    pub fn rollback(&mut self) -> Result<(), StoreError> {
        let open = self.tx.take().ok_or(StoreError::NoTransaction)?;
        self.state = open.before;
        self.keeping.rolled_back();
        if self.conn.is_autocommit() {
            return Ok(());
        }
        run(&self.conn, "ROLLBACK", "rolling back")
    }

    /// Keeps a change set at hand that was logged in the open transaction.
    pub(crate) fn note_logged(&mut self, set: &ChangeSet) {
        if let Some(open) = &mut self.tx
            && open.logged.len() < AT_HAND
        {
            open.logged.push(set.clone());
        }
    }

    /// The change sets of one origin with these seqs, if the open transaction has logged all of them and
    /// they are at hand; no more than `max_bytes` of them, but one at least.
    pub(crate) fn just_logged(
        &self,
        origin: &Origin,
        (first, last): (Seq, Seq),
        max_bytes: usize,
    ) -> Option<Vec<ChangeSet>> {
        let logged = self.tx.as_ref()?.logged.iter().filter(|set| set.header().origin == *origin);
        let sets: Vec<&ChangeSet> = logged.skip_while(|set| set.header().seq < first).collect();
        let ends = [sets.first()?.header().seq, sets.last()?.header().seq];
        if ends != [first, last] {
            return None;
        }
        let mut bytes = 0;
        let fits = |set: &&&ChangeSet| {
            bytes += set.bytes().len();
            bytes <= max_bytes || bytes == set.bytes().len()
        };
        Some(sets.iter().take_while(fits).map(|set| (*set).clone()).collect())
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        self.tx.is_some()
    }

    /// Begins the level inside the transaction: what follows can be rolled back by itself.
    pub fn savepoint(&mut self) -> Result<(), StoreError> {
        self.writable()?;
        let before = self.state.clone();
        let rows = self.conn.total_changes();
        let whole = match &mut self.tx {
            Some(open) if open.savepoint.is_none() => {
                let whole = open.rows == rows;
                open.savepoint = Some(Savepoint { before, whole });
                whole
            }
            _ => return Err(StoreError::Nested),
        };
        if whole { Ok(()) } else { run(&self.conn, "SAVEPOINT one", "beginning a savepoint") }
    }

    /// Ends the level inside the transaction and keeps what was written in it.
    pub fn release(&mut self) -> Result<(), StoreError> {
        self.alive()?;
        match self.take_savepoint()?.whole {
            true => Ok(()),
            false => run(&self.conn, "RELEASE one", "releasing a savepoint"),
        }
    }

    /// Forgets what was written since the savepoint and ends it; the transaction goes on.
    ///
    /// If SQLite has given up the whole transaction meanwhile (a full disk can do that), fails with
    /// [`StoreError::TransactionLost`]: then only [`SqliteStore::rollback`] is left.
    pub fn rollback_to(&mut self) -> Result<(), StoreError> {
        let savepoint = self.take_savepoint()?;
        self.state = savepoint.before;
        if let Some(open) = &mut self.tx {
            open.logged.retain(|set| self.state.vector.covers(&set.dot()));
        }
        self.alive()?;
        if savepoint.whole {
            return self.begin_anew();
        }
        run(&self.conn, "ROLLBACK TO one", "rolling back to a savepoint")?;
        run(&self.conn, "RELEASE one", "releasing a savepoint")
    }

    /// Rolls back a transaction in which nothing was written before its savepoint, and begins it
    /// again. What differs in the caches has not been written either, and stays.
    fn begin_anew(&mut self) -> Result<(), StoreError> {
        run(&self.conn, "ROLLBACK", "rolling back to a savepoint")?;
        let begun = run(&self.conn, "BEGIN IMMEDIATE", "beginning a transaction");
        let rows = self.conn.total_changes();
        match (&begun, &mut self.tx) {
            (Ok(()), Some(open)) => open.rows = rows,
            // Nobody else writes, so this is the disk's failure; the transaction is gone.
            _ => self.rollback()?,
        }
        begun
    }

    fn take_savepoint(&mut self) -> Result<Savepoint, StoreError> {
        let open = self.tx.as_mut().ok_or(StoreError::NoTransaction)?;
        open.savepoint.take().ok_or(StoreError::NoTransaction)
    }

    /// Fails unless a transaction is open.
    pub(crate) fn writable(&self) -> Result<(), StoreError> {
        match self.tx {
            None => Err(StoreError::NoTransaction),
            Some(_) => self.alive(),
        }
    }

    /// Fails if SQLite has given up the transaction by itself.
    fn alive(&self) -> Result<(), StoreError> {
        match self.tx.is_some() && self.conn.is_autocommit() {
            true => Err(StoreError::TransactionLost { path: path_of(&self.conn) }),
            false => Ok(()),
        }
    }
}
