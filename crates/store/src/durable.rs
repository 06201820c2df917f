//! Commits that are visible first and durable behind.
//!
//! SQLite makes a commit durable before it makes it visible: with `synchronous = FULL` it syncs the
//! write-ahead log within `COMMIT`. What others wrote and hold as well need not wait for that: it is
//! committed with `NORMAL`, which a crash of the process cannot undo, and the log is synced behind it,
//! by this file's hand. Only then may anybody be told that it is here.
//!
//! A sync that fails leaves unknown what of the log reached the disk, and a second one may say that
//! all is well although it is not. So after a failure nothing else is begun before the log was moved
//! into `library.db` and that was synced.

use std::fs::File;
use std::io::ErrorKind;

use crate::error::{StoreError, Within};
use crate::open::{LIBRARY_FILE, SqliteStore, sync_dir};

/// How far what is committed is durable.
#[derive(Debug, Default)]
pub(crate) struct Durability {
    /// Whether commits are made with `NORMAL`.
    relaxed: bool,
    /// SQLite's count of changed rows up to which everything is durable.
    durable: u64,
    /// The write-ahead log, to be synced.
    log: Option<File>,
    /// A sync has failed.
    suspect: bool,
}

impl SqliteStore {
    /// Chooses how the next transaction is committed.
    pub(crate) fn relax(&mut self, relaxed: bool) -> Result<(), StoreError> {
        if self.durability.suspect {
            self.move_log()?;
        }
        if self.durability.relaxed != relaxed {
            let level = if relaxed { "NORMAL" } else { "FULL" };
            self.conn
                .pragma_update(None, "synchronous", level)
                .within(&self.conn, "choosing how durable a commit is")?;
            self.durability.relaxed = relaxed;
        }
        Ok(())
    }

    /// A transaction has been committed; one that was not relaxed has synced the log.
    pub(crate) fn note_committed(&mut self) {
        let changes = self.conn.total_changes();
        if !self.durability.relaxed {
            self.durability.durable = changes;
        }
    }

    /// Makes what was committed durable, if it is not yet. On an error what was committed is visible
    /// and may be lost in a power cut; nothing can be begun before that is mended.
    pub fn make_durable(&mut self) -> Result<(), StoreError> {
        if self.tx.is_some() {
            return Err(StoreError::Nested);
        }
        if self.durability.suspect {
            return self.move_log();
        }
        let changes = self.conn.total_changes();
        if changes == self.durability.durable {
            return Ok(());
        }
        if let Err(error) = self.sync_wal() {
            self.durability.suspect = true;
            self.durability.log = None;
            return Err(error);
        }
        self.durability.durable = changes;
        Ok(())
    }

    fn sync_wal(&mut self) -> Result<(), StoreError> {
        let path = self.dir.join(format!("{LIBRARY_FILE}-wal"));
        let failed = |error| StoreError::io(&path, "syncing", error);
        let log = match &self.durability.log {
            Some(log) => log,
            None => {
                // SQLite sees to the file's name only when it syncs it by itself.
                sync_dir(&self.dir)?;
                let log = File::options().write(true).open(&path).map_err(failed)?;
                self.durability.log.insert(log)
            }
        };
        log.sync_data().map_err(failed)
    }

    /// Moves the whole log into `library.db` and syncs that.
    fn move_log(&mut self) -> Result<(), StoreError> {
        const DOING: &str = "moving the write-ahead log";
        let busy: i64 = self
            .conn
            .query_row("PRAGMA wal_checkpoint(FULL)", [], |row| row.get(0))
            .within(&self.conn, DOING)?;
        if busy != 0 {
            // A reader holds on to an older state.
            let busy = ErrorKind::ResourceBusy.into();
            return Err(StoreError::io(&self.dir.join(LIBRARY_FILE), DOING, busy));
        }
        self.durability.suspect = false;
        self.durability.durable = self.conn.total_changes();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::path::Path;

    use driftless_core::clock::Hlc;
    use driftless_core::id::{DeviceId, Epoch, LibraryId};
    use driftless_core::schema::Schema;
    use driftless_core::version::Life;

    use super::*;
    use crate::identity::Identity;

    fn store(dir: &Path) -> SqliteStore {
        let owned_life = Life { mint: Hlc(1), epoch: Epoch(1) };
        let identity = Identity {
            library: LibraryId(uuid::Uuid::from_u128(1)),
            device: DeviceId([1; 32]),
            shared_epoch: Epoch(1),
            owned_life,
        };
        SqliteStore::create(dir, identity, Schema::new([]).unwrap()).unwrap()
    }

    fn put(store: &mut SqliteStore, key: &str) {
        store.put_local("test", key.as_bytes(), b"x").unwrap();
        store.commit().unwrap();
    }

    #[test]
    fn what_is_relaxed_is_visible_first_and_durable_behind() {
        let place = tempfile::tempdir().unwrap();
        let mut store = store(&place.path().join("library"));
        let reader = store.reader().unwrap();
        let seen = || {
            let count = "SELECT count(*) FROM _local WHERE space = 'test'";
            reader.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        store.begin().unwrap();
        put(&mut store, "strict");
        assert_eq!(store.durability.durable, store.conn.total_changes());
        store.begin_relaxed().unwrap();
        assert!(matches!(store.make_durable(), Err(StoreError::Nested)));
        put(&mut store, "relaxed");
        assert_eq!(seen(), 2);
        assert!(store.durability.durable < store.conn.total_changes());
        store.make_durable().unwrap();
        assert_eq!(store.durability.durable, store.conn.total_changes());
        let level = |store: &SqliteStore| {
            store.conn.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(level(&store), 1);
        store.begin().unwrap();
        assert_eq!(level(&store), 2);
        put(&mut store, "strict again");
        assert_eq!(store.durability.durable, store.conn.total_changes());
    }

    #[test]
    fn after_a_sync_that_failed_the_log_is_moved_before_anything_else() {
        let place = tempfile::tempdir().unwrap();
        let mut store = store(&place.path().join("library"));
        store.begin_relaxed().unwrap();
        put(&mut store, "one");
        let wal = store.dir.join(format!("{LIBRARY_FILE}-wal"));
        let aside = store.dir.join("aside");
        std::fs::rename(&wal, &aside).unwrap();
        assert!(store.make_durable().is_err());
        std::fs::rename(&aside, &wal).unwrap();
        assert!(store.durability.suspect);
        store.begin_relaxed().unwrap();
        assert!(!store.durability.suspect);
        store.rollback().unwrap();
        // The file itself has it, without the log.
        let alone = place.path().join("alone.db");
        std::fs::copy(store.dir.join(LIBRARY_FILE), &alone).unwrap();
        let alone = rusqlite::Connection::open(alone).unwrap();
        let count =
            alone.query_row("SELECT count(*) FROM _local WHERE space = 'test'", [], |row| {
                row.get::<_, i64>(0)
            });
        assert_eq!(count.unwrap(), 1);
    }
}
