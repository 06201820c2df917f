//! What can be done at leisure, a slice at a time: change sets below the floors leave `sync.db`, and
//! free room goes back to the system.

use std::collections::BTreeSet;

use driftless_core::id::{Origin, Seq};
use rusqlite::{Connection, params};

use crate::error::{StoreError, Within, to_sql_seq};
use crate::open::{SqliteStore, pragma};
use crate::state::State;
use crate::transaction::run;

const DOING: &str = "removing forgotten change sets";
const SHORTENING: &str = "moving the write-ahead log";
/// What one slice removes at most: change sets, and their bytes beyond the first.
const SLICE: (usize, i64) = (1_000, 2 << 20);
/// Origins that one slice looks at: most of them have nothing left.
const ORIGINS: usize = 256;
/// Room that one slice gives back.
const SLICE_KIB: u32 = 512;
/// Free room that is not worth the trouble, in bytes.
const SMALL: i64 = 256 << 10;

/// What is still to be done.
#[derive(Debug, Default)]
pub(crate) struct Housework {
    /// Origins whose forgotten change sets may still be in `sync.db`.
    origins: BTreeSet<Origin>,
    /// Whether something was removed from `sync.db`.
    log: bool,
    /// Whether something was removed from `library.db`.
    library: bool,
    /// Whether all free room is to be given back, however little it is.
    all: bool,
    /// Whether room was given back that the files have until their write-ahead logs are moved.
    shorter: bool,
}

impl Housework {
    /// A process that was killed may have left some of it.
    pub(crate) fn at_open(state: &State) -> Self {
        let origins = state.floors.keys().copied().collect();
        Self { origins, log: true, library: true, ..Self::default() }
    }

    fn forgotten(&mut self, origin: Origin) {
        self.origins.insert(origin);
    }

    pub(crate) fn room_in_library(&mut self) {
        self.library = true;
    }

    pub(crate) fn room_in_log(&mut self, there_is: bool) {
        self.log |= there_is;
    }

    /// What is forgotten is to go at once from now on.
    pub(crate) fn forget_all(&mut self, state: &State) {
        self.origins.extend(state.floors.keys());
    }

    /// What is forgotten stays as history.
    pub(crate) fn forget_nothing(&mut self) {
        self.origins.clear();
    }
}

impl SqliteStore {
    /// Whether [`SqliteStore::sweep`] has something to do.
    pub fn is_unswept(&self) -> bool {
        let left = &self.housework;
        self.keeping.has_work()
            || !left.origins.is_empty()
            || left.log
            || left.library
            || left.shorter
    }

    /// From now on [`SqliteStore::sweep`] gives all free room back to the system, until it is done,
    /// and not only where there is much of it: somebody asked for it.
    pub fn give_all_back(&mut self) {
        (self.housework.log, self.housework.library, self.housework.all) = (true, true, true);
    }

    /// Change sets of an origin are below its floor.
    pub(crate) fn forgotten(&mut self, origin: Origin) {
        if self.keeping.limits.is_some() {
            self.keeping.floors_rose();
        } else {
            self.housework.forgotten(origin);
        }
    }

    /// Does a slice of what can be done at leisure, of some milliseconds: removes change sets from
    /// `sync.db` that are below the floors and too old for the history, and gives free room back to the system if there is much
    /// of it. To be called outside of a transaction, again as long as it says that there is more.
    pub fn sweep(&mut self) -> Result<bool, StoreError> {
        if self.in_transaction() {
            return Err(StoreError::Nested);
        }
        if self.keeping.has_work() {
            self.make_durable()?;
            self.sweep_history()?;
        } else if !self.housework.origins.is_empty() {
            // A floor that a power cut takes back must find its change sets.
            self.make_durable()?;
            self.sweep_log()?;
        } else if self.housework.log {
            let slice = give_back_slice(&self.log.conn, self.housework.all)?;
            self.given_back(slice);
            self.housework.log = slice == Slice::More;
        } else if self.housework.library {
            self.relax(true)?;
            self.note_unseen();
            let slice = give_back_slice(&self.conn, self.housework.all)?;
            self.given_back(slice);
            self.housework.library = slice == Slice::More;
        } else if self.housework.shorter {
            self.shorten()?;
            (self.housework.shorter, self.housework.all) = (false, false);
        }
        Ok(self.is_unswept())
    }

    fn given_back(&mut self, slice: Slice) {
        self.housework.shorter |= slice != Slice::Nothing || self.housework.all;
    }

    /// Moves the write-ahead logs, as the files are not shorter before that. Where a reader is in the
    /// way it is left to the next time.
    fn shorten(&mut self) -> Result<(), StoreError> {
        self.move_log()?;
        let patience = self.options.busy_timeout;
        for conn in [&self.conn, &self.log.conn] {
            conn.busy_timeout(std::time::Duration::ZERO).within(conn, SHORTENING)?;
            let moved = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            conn.busy_timeout(patience).within(conn, SHORTENING)?;
            moved.within(conn, SHORTENING)?;
        }
        Ok(())
    }

    fn sweep_log(&mut self) -> Result<(), StoreError> {
        // Durable, though what a power cut brought back would be below the floors: a commit that was
        // never synced would take those behind it with it, if a sync has failed in between.
        let swept = self.sweep_slice();
        if swept.is_err() && !self.log.conn.is_autocommit() {
            run(&self.log.conn, "ROLLBACK", DOING)?;
        }
        for origin in swept? {
            self.housework.origins.remove(&origin);
        }
        self.housework.log = true;
        Ok(())
    }

    /// The origins of which nothing forgotten is left.
    fn sweep_slice(&self) -> Result<Vec<Origin>, StoreError> {
        let conn = &self.log.conn;
        let mut done = Vec::new();
        let (mut count, mut bytes) = SLICE;
        run(conn, "BEGIN IMMEDIATE", DOING)?;
        for origin in self.housework.origins.iter().take(ORIGINS) {
            if let Some(id) = self.log.origins.id(origin) {
                let floor = self.state.floor(origin);
                let (gone, size) = remove(conn, (id, floor), (count, bytes))?;
                (count, bytes) = (count - gone, bytes - size);
                if count == 0 || bytes <= 0 {
                    break;
                }
            }
            done.push(*origin);
        }
        run(conn, "COMMIT", DOING)?;
        Ok(done)
    }
}

/// Removes change sets of an origin up to a seq, the first of them at any size. How many, and their
/// bytes.
fn remove(
    conn: &Connection,
    (origin, upto): (i64, Seq),
    (max, max_bytes): (usize, i64),
) -> Result<(usize, i64), StoreError> {
    let upto = to_sql_seq(upto)?;
    let mut select = conn
        .prepare_cached(
            "SELECT pos, length(bytes) FROM log WHERE origin = ?1 AND seq <= ?2 ORDER BY seq",
        )
        .within(conn, DOING)?;
    let mut rows = select.query([origin, upto]).within(conn, DOING)?;
    let (mut gone, mut bytes) = (Vec::new(), 0i64);
    while let Some(row) = rows.next().within(conn, DOING)? {
        gone.push(row.get::<_, i64>(0).within(conn, DOING)?);
        bytes = bytes.saturating_add(row.get::<_, i64>(1).within(conn, DOING)?);
        if gone.len() >= max || bytes >= max_bytes {
            break;
        }
    }
    drop(rows);
    let mut delete = conn.prepare_cached("DELETE FROM log WHERE pos = ?1").within(conn, DOING)?;
    for pos in &gone {
        delete.execute(params![pos]).within(conn, DOING)?;
    }
    Ok((gone.len(), bytes))
}

/// What giving room back came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slice {
    /// There is none, or too little.
    Nothing,
    /// There is more.
    More,
    /// That was all.
    Last,
}

/// Gives some room at the end of a file back: if more than a quarter of it is free, or `all` of it.
fn give_back_slice(conn: &Connection, all: bool) -> Result<Slice, StoreError> {
    let page = pragma(conn, "page_size")?.max(512);
    let (free, pages) = (pragma(conn, "freelist_count")?, pragma(conn, "page_count")?);
    let incremental = pragma(conn, "auto_vacuum")? == 2;
    let little = free.saturating_mul(page) <= SMALL || free.saturating_mul(4) <= pages;
    if !incremental || free == 0 || little && !all {
        return Ok(Slice::Nothing);
    }
    Ok(if crate::sizes::give_back(conn, SLICE_KIB)? { Slice::More } else { Slice::Last })
}
