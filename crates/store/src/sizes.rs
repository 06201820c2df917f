//! How much room a library takes.

use std::io::ErrorKind;

use rusqlite::Connection;

use crate::error::{StoreError, Within};
use crate::open::{LIBRARY_FILE, SqliteStore, pragma};
use crate::synclog::LOG_FILE;

/// How much room a library takes on disk, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sizes {
    /// `library.db`.
    pub library: u64,
    /// Room in it that is free to be used again.
    pub free: u64,
    /// Its write-ahead log.
    pub library_wal: u64,
    /// `sync.db`.
    pub log: u64,
    /// Its write-ahead log.
    pub log_wal: u64,
}

impl SqliteStore {
    /// How much room the library takes.
    pub fn sizes(&self) -> Result<Sizes, StoreError> {
        let page = pragma(&self.conn, "page_size")?;
        let free = pragma(&self.conn, "freelist_count")?;
        Ok(Sizes {
            library: self.size_of(LIBRARY_FILE, "")?,
            free: page.saturating_mul(free).max(0).cast_unsigned(),
            library_wal: self.size_of(LIBRARY_FILE, "-wal")?,
            log: self.size_of(LOG_FILE, "")?,
            log_wal: self.size_of(LOG_FILE, "-wal")?,
        })
    }

    /// Gives free room at the end of `library.db` back to the system, up to about `max_kib`. To be
    /// called outside of a transaction. Whether there is more to give back.
    pub fn give_back(&mut self, max_kib: u32) -> Result<bool, StoreError> {
        if self.in_transaction() {
            return Err(StoreError::Nested);
        }
        self.note_unseen();
        give_back(&self.conn, max_kib)
    }

    fn size_of(&self, file: &str, suffix: &str) -> Result<u64, StoreError> {
        let path = self.dir.join(format!("{file}{suffix}"));
        match std::fs::metadata(&path) {
            Ok(meta) => Ok(meta.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            Err(error) => Err(StoreError::io(&path, "measuring", error)),
        }
    }
}

/// Gives free room at the end of a file back, up to about `max_kib`. Whether there is more.
pub(crate) fn give_back(conn: &Connection, max_kib: u32) -> Result<bool, StoreError> {
    const DOING: &str = "giving room back";
    let page = pragma(conn, "page_size")?.max(512);
    let pages = (i64::from(max_kib) << 10) / page;
    let sql = format!("PRAGMA incremental_vacuum({})", pages.max(1));
    let mut vacuum = conn.prepare(&sql).within(conn, DOING)?;
    let mut steps = vacuum.query([]).within(conn, DOING)?;
    while steps.next().within(conn, DOING)?.is_some() {}
    Ok(pragma(conn, "freelist_count")? > 0)
}
