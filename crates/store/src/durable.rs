//! Commits that are visible first and durable behind, and the write-ahead log that they are in.
//!
//! SQLite makes a commit durable before it makes it visible: with `synchronous = FULL` it syncs the
//! write-ahead log within `COMMIT`. What others wrote and hold as well need not wait for that: it is
//! committed with `NORMAL`, which a crash of the process cannot undo, and the log is synced behind it,
//! by this file's hand. Only then may anybody be told that it is here.
//!
//! A sync that fails may leave the system with pages that it takes for written and that never reached
//! the disk: the next sync then says that all is well. So every sync that could fail for a change that
//! is visible is done here, where the failure is seen: nothing is committed strictly, and the log is
//! not moved into `library.db`, before what is visible is durable. After a failure the log is written
//! over with what it holds, so that the system has to write all of it again. The same is done with a
//! log that an earlier process left.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;

use crate::error::{StoreError, Within};
use crate::open::{LIBRARY_FILE, SqliteStore, sync_dir};

/// How much of the log is written over at once.
const CHUNK: usize = 1 << 20;

/// How far what is committed is durable.
#[derive(Debug)]
pub(crate) struct Durability {
    /// Whether commits are made with `NORMAL`.
    relaxed: bool,
    /// SQLite's count of changed rows as the last transaction left it.
    changes: u64,
    /// Whether something visible may not be durable.
    behind: bool,
    /// The write-ahead log, to be synced.
    log: Option<File>,
    /// Whether a sync of what the log holds may have failed.
    suspect: bool,
    /// What is known of the log's length.
    length: Arc<Length>,
    /// By how many it may grow until it is moved: at leisure, and at twice as many whoever waits.
    max_pages: u32,
}

/// How long the write-ahead log is, in pages.
#[derive(Debug, Default)]
struct Length {
    /// How many it held after the last commit; none if all of it has been moved.
    pages: AtomicU32,
    /// How many it held when it was moved and a reader was in the way: it goes on from there.
    moved: AtomicU32,
}

impl Length {
    /// After a commit.
    fn note(&self, pages: u32) {
        if pages < self.pages.swap(pages, Ordering::Relaxed) {
            // It has begun anew.
            self.moved.store(0, Ordering::Relaxed);
        }
    }

    /// After it was moved: whether all of it was.
    fn note_moved(&self, all: bool) {
        let pages = self.pages.load(Ordering::Relaxed);
        self.moved.store(if all { 0 } else { pages }, Ordering::Relaxed);
        self.pages.store(if all { 0 } else { pages }, Ordering::Relaxed);
    }

    /// How many came since it was moved.
    fn grown(&self) -> u32 {
        self.pages.load(Ordering::Relaxed).saturating_sub(self.moved.load(Ordering::Relaxed))
    }
}

impl Durability {
    /// Takes the log of a connection into care, which SQLite would move by itself, as it commits, and
    /// keep quiet if that fails.
    pub(crate) fn of(conn: &mut Connection, max_pages: u32) -> Result<Self, StoreError> {
        let length = Arc::<Length>::default();
        let counted = Arc::clone(&length);
        let count = move |_: &mut rusqlite::hooks::Wal, pages| {
            counted.note(u32::try_from(pages).unwrap_or(0));
            Ok(())
        };
        if let Err(error) = conn.wal_hook(Some(count)) {
            return Err(error).within(conn, "watching the write-ahead log");
        }
        // What an earlier process left may have met a disk that failed.
        let (behind, suspect) = (true, true);
        Ok(Self { relaxed: false, changes: 0, behind, log: None, suspect, length, max_pages })
    }
}

impl SqliteStore {
    /// Prepares for the next transaction: chooses how it is committed.
    pub(crate) fn relax(&mut self, relaxed: bool) -> Result<(), StoreError> {
        if !relaxed || self.durability.suspect {
            self.make_durable()?;
        }
        if self.durability.length.grown() / 2 >= self.durability.max_pages {
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

    /// A transaction has been committed. One that was not relaxed has synced what it wrote.
    pub(crate) fn note_committed(&mut self) {
        let changes = self.conn.total_changes();
        let wrote = std::mem::replace(&mut self.durability.changes, changes) != changes;
        self.durability.behind |= self.durability.relaxed && wrote;
    }

    /// Something is about to be committed that is not counted as a changed row.
    pub(crate) fn note_unseen(&mut self) {
        self.durability.behind |= self.durability.relaxed;
    }

    /// Whether all that was committed is durable.
    pub fn is_durable(&self) -> bool {
        !self.durability.behind
    }

    /// Makes what was committed durable, if it is not yet. On an error what was committed is visible
    /// and may be lost in a power cut; nothing can be begun before that is mended.
    pub fn make_durable(&mut self) -> Result<(), StoreError> {
        if self.tx.is_some() {
            return Err(StoreError::Nested);
        }
        if !self.durability.behind {
            return Ok(());
        }
        let suspect = std::mem::replace(&mut self.durability.suspect, true);
        if let Err(error) = self.sync_wal(suspect) {
            self.durability.log = None;
            return Err(error);
        }
        (self.durability.behind, self.durability.suspect) = (false, false);
        Ok(())
    }

    fn sync_wal(&mut self, suspect: bool) -> Result<(), StoreError> {
        let path = self.dir.join(format!("{LIBRARY_FILE}-wal"));
        let failed = |error| StoreError::io(&path, "syncing", error);
        let log = match &mut self.durability.log {
            Some(log) => log,
            None => {
                // SQLite sees to the file's name only when it syncs it by itself.
                sync_dir(&self.dir)?;
                let log = File::options().read(true).write(true).open(&path).map_err(failed)?;
                self.durability.log.insert(log)
            }
        };
        if suspect {
            write_over(log).map_err(failed)?;
        }
        log.sync_data().map_err(failed)
    }

    /// Whether the write-ahead log has grown so much that [`SqliteStore::move_log`] is due.
    pub fn is_log_large(&self) -> bool {
        self.durability.length.grown() >= self.durability.max_pages
    }

    /// Moves what the write-ahead log holds into `library.db`, as far as no reader is in the way. It
    /// takes tens of milliseconds: whoever calls it when nothing else waits spares the transaction
    /// behind twice as large a log from waiting for it. To be called outside of a transaction. On an
    /// error the log holds what it held.
    pub fn move_log(&mut self) -> Result<(), StoreError> {
        self.make_durable()?;
        let (pages, moved): (i64, i64) = self
            .conn
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
            .within(&self.conn, "moving the write-ahead log")?;
        self.durability.length.note_moved(pages == moved);
        Ok(())
    }
}

/// Writes a file over with what it holds. Nobody else writes to it.
fn write_over(file: &mut File) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at))?;
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&chunk[..read])?;
        at += read as u64;
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
        store.make_durable().unwrap();
        store.begin().unwrap();
        put(&mut store, "strict");
        assert!(!store.durability.behind);
        store.begin_relaxed().unwrap();
        assert!(matches!(store.make_durable(), Err(StoreError::Nested)));
        put(&mut store, "relaxed");
        assert_eq!(seen(), 2);
        assert!(store.durability.behind);
        store.make_durable().unwrap();
        assert!(!store.durability.behind);
        store.begin_relaxed().unwrap();
        put(&mut store, "relaxed too");
        store.begin().unwrap();
        assert!(!store.durability.behind, "it may write nothing, and then syncs nothing");
        store.commit().unwrap();
        store.begin_relaxed().unwrap();
        store.commit().unwrap();
        assert!(!store.durability.behind);
        let level = |store: &SqliteStore| {
            store.conn.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        assert_eq!(level(&store), 1);
        store.begin().unwrap();
        assert_eq!(level(&store), 2);
        put(&mut store, "strict again");
        assert!(!store.durability.behind);
    }

    #[test]
    fn after_a_sync_that_failed_the_log_is_written_over_before_anything_else() {
        let place = tempfile::tempdir().unwrap();
        let mut store = store(&place.path().join("library"));
        store.begin_relaxed().unwrap();
        put(&mut store, "one");
        store.make_durable().unwrap();
        store.begin_relaxed().unwrap();
        put(&mut store, "two");
        store.durability.log = None;
        let wal = store.dir.join(format!("{LIBRARY_FILE}-wal"));
        let aside = store.dir.join("aside");
        std::fs::rename(&wal, &aside).unwrap();
        assert!(store.make_durable().is_err());
        assert!(store.begin().is_err());
        std::fs::rename(&aside, &wal).unwrap();
        assert!(store.durability.suspect && store.durability.behind);
        let bytes = std::fs::read(&wal).unwrap();
        store.begin_relaxed().unwrap();
        assert!(!store.durability.suspect && !store.durability.behind);
        assert_eq!(std::fs::read(&wal).unwrap(), bytes);
        store.rollback().unwrap();
    }

    #[test]
    fn a_log_that_is_large_is_moved() {
        let place = tempfile::tempdir().unwrap();
        let mut store = store(&place.path().join("library"));
        store.durability.max_pages = 100;
        let pages = |store: &SqliteStore| store.durability.length.pages.load(Ordering::Relaxed);
        let (mut most, mut last, mut moved) = (0, 0, 0);
        for n in 0..1_000_u32 {
            if n % 2 == 0 {
                store.begin().unwrap()
            } else {
                store.begin_relaxed().unwrap()
            }
            put(&mut store, &n.to_string());
            most = most.max(pages(&store));
            moved += u32::from(pages(&store) < last);
            last = pages(&store);
        }
        assert!((200..210).contains(&most), "{most}");
        assert!(moved > 1, "{moved}");
    }

    #[test]
    fn a_log_that_is_large_can_be_moved_before_it_has_to_be() {
        let place = tempfile::tempdir().unwrap();
        let mut store = store(&place.path().join("library"));
        store.durability.max_pages = 100;
        let pages = |store: &SqliteStore| store.durability.length.pages.load(Ordering::Relaxed);
        let mut moved = 0;
        for n in 0..400_u32 {
            store.begin_relaxed().unwrap();
            put(&mut store, &n.to_string());
            if store.is_log_large() {
                assert!((100..110).contains(&pages(&store)));
                store.move_log().unwrap();
                assert!(!store.durability.behind && !store.is_log_large());
                moved += 1;
            }
        }
        assert!(moved > 2, "{moved}");
        store.begin().unwrap();
        put(&mut store, "seen in the log");
        let reader = store.reader().unwrap();
        let reading = reader.unchecked_transaction().unwrap();
        let count = "SELECT count(*) FROM _local";
        reading.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap();
        for n in 0..300_u32 {
            store.begin().unwrap();
            put(&mut store, &format!("more {n}"));
        }
        assert!(pages(&store) > 300, "it cannot begin anew");
        assert!(store.durability.length.grown() < 200, "it is moved all the same, now and then");
    }
}
