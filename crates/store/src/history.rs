//! The history: the log kept longer. Change sets that the protocol has forgotten (they are below a
//! floor, and are never served) stay in `sync.db` until they are older than the limit, or there are
//! more of them than fit. Beside them stand the values that changes overwrote or deletes took, where
//! those were written before the history's begin.
//!
//! The *begin* is the time since when the history is whole: every change set of the vector that was
//! written later is in it. It rises as change sets go, when a reconcile brings records whose change
//! sets never were here, and when `sync.db` was lost; the latter two leave *gaps* (`gaps.rs`), and it
//! falls as others hand over what is lacking (`handover.rs`).

use driftless_core::clock::Hlc;
use driftless_core::id::Seq;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{StoreError, Within, from_sql_seq};
use crate::gaps::Gaps;
use crate::local::get;
use crate::open::{SqliteStore, pragma};
use crate::transaction::run;

/// What is local to this device and about the history.
const SPACE: &str = "history";
/// Before when all was written that was taken over at last without its change sets.
const ADOPTED: &[u8] = b"adopted";
const DOING: &str = "removing old history";
/// Before all positions of the log.
pub(crate) const BEFORE_ALL: i64 = i64::MIN;
/// Values that were this old when they were overwritten are kept by themselves, and no younger ones:
/// most edits are of what is new, and cost nothing more then.
const MARGIN_MS: u64 = 3_600_000;
/// Change sets that one slice looks at.
const LOOKED_AT: i64 = 1_000;
/// Bytes of change sets that one slice removes, about.
const REMOVED: i64 = 2 << 20;

/// How much of the past is kept. Without limits nothing is: change sets go when the protocol does not
/// need them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistoryLimits {
    /// Milliseconds for which change sets are kept.
    pub keep_ms: u64,
    /// Bytes of `sync.db` above which the oldest go, whatever their age. The log that the protocol
    /// needs counts, and stays.
    pub max_bytes: u64,
}

/// How the history is kept.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    pub(crate) limits: Option<HistoryLimits>,
    /// Since when nothing was removed, Unix milliseconds.
    pub(crate) swept_ms: u64,
    /// What never was here.
    pub(crate) gaps: Gaps,
    /// The wall clock when it was last told.
    pub(crate) now_ms: u64,
    /// Behind which position a pass goes on, if one is under way.
    cursor: Option<i64>,
    /// Whether this pass makes room.
    crowded: bool,
    /// Whether the last pass could not make enough: until floors rise nothing more can go.
    stuck: bool,
}

impl Keeping {
    /// Floors have risen: there may be more to remove.
    pub(crate) fn floors_rose(&mut self) {
        self.stuck = false;
        if self.limits.is_some() {
            self.cursor.get_or_insert(BEFORE_ALL);
        }
    }

    /// Since when it is whole, Unix milliseconds.
    pub(crate) fn begins_ms(&self) -> u64 {
        self.swept_ms.max(self.gaps.before_ms())
    }

    /// Before when nothing is kept, Unix milliseconds.
    pub(crate) fn cutoff_ms(&self) -> u64 {
        self.now_ms.saturating_sub(self.limits.map_or(0, |limits| limits.keep_ms))
    }

    /// The transaction was committed.
    pub(crate) fn settled(&mut self) {
        self.gaps.settled();
    }

    /// The transaction was rolled back.
    pub(crate) fn rolled_back(&mut self) {
        self.gaps.rolled_back();
    }

    pub(crate) fn has_work(&self) -> bool {
        self.cursor.is_some()
    }
}

impl SqliteStore {
    /// Keeps a history from now on, within these limits; with `None` no longer. To be called outside
    /// of a transaction, when the library is open and from time to time: what is too old then goes
    /// with the next [`SqliteStore::sweep`].
    pub fn limit_history(
        &mut self,
        limits: Option<HistoryLimits>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        if self.in_transaction() {
            return Err(StoreError::Nested);
        }
        self.keeping.now_ms = now_ms;
        match limits {
            None => self.forget_history()?,
            Some(limits) => {
                if self.keeping.limits.is_none() {
                    self.open_history()?;
                }
                self.keeping.limits = Some(limits);
                self.housework.forget_nothing();
                self.keeping.cursor.get_or_insert(BEFORE_ALL);
                self.close_gaps(self.keeping.cutoff_ms())?;
            }
        }
        Ok(())
    }

    /// Tells the time, by which change sets that were never here are known to be written before.
    pub fn tell_time(&mut self, now_ms: u64) {
        self.keeping.now_ms = now_ms;
    }

    /// Since when the history is whole, with all that was overwritten or deleted since; Unix
    /// milliseconds, 0 if it goes back to the library's beginning, `None` if none is kept.
    pub fn history_begin(&self) -> Option<u64> {
        let whole = match self.keeping.begins_ms() {
            0 => 0,
            begins => begins.saturating_add(MARGIN_MS),
        };
        self.keeping.limits.map(|_| whole)
    }

    /// The time before which a version must have been written to be kept by itself when a change of
    /// the time `hlc` overwrites it. A younger one leaves the log so shortly before that change that
    /// its value stays in reach all the time that the history is said to be whole.
    pub(crate) fn captured_before(&self, hlc: Hlc) -> Hlc {
        match self.keeping.limits {
            None => Hlc(0),
            Some(_) => {
                Hlc::from_ms(self.keeping.begins_ms().max(hlc.ms().saturating_sub(MARGIN_MS)))
            }
        }
    }

    fn forget_history(&mut self) -> Result<(), StoreError> {
        let had = begin_of(&self.log.conn)?.is_some();
        if had {
            self.forget_gaps()?;
        }
        if had || self.keeping.limits.is_some() {
            self.housework.forget_all(&self.state);
        }
        self.keeping = Keeping { now_ms: self.keeping.now_ms, ..Keeping::default() };
        Ok(())
    }

    /// When heads were taken over at last without their change sets, as the library tells.
    pub(crate) fn adopted_ms(&self) -> Result<u64, StoreError> {
        let adopted = get(&self.conn, SPACE, ADOPTED)?.map(|bytes| number(&self.conn, &bytes));
        Ok(adopted.transpose()?.unwrap_or(0))
    }

    /// A time behind everything that is in the vector.
    pub(crate) fn latest(&self) -> u64 {
        self.state.clock.ms().max(self.keeping.now_ms).saturating_add(1)
    }

    /// Heads were taken over without their change sets.
    pub(crate) fn history_adopts(&mut self) -> Result<(), StoreError> {
        // Never the same twice: it tells which gaps are known.
        let adopted = self.latest().max(self.adopted_ms()?.saturating_add(1));
        self.put_local(SPACE, ADOPTED, &adopted.to_le_bytes())?;
        self.keeping.gaps.adopted(adopted);
        self.keeping.floors_rose();
        Ok(())
    }

    /// The log has grown: whether it has grown too large.
    pub(crate) fn look_at_size(&mut self) -> Result<(), StoreError> {
        let Some(limits) = self.keeping.limits else { return Ok(()) };
        let full = used(&self.log.conn)? > limits.max_bytes;
        if full && !self.keeping.crowded && !self.keeping.stuck {
            self.keeping.crowded = true;
            self.keeping.cursor = Some(BEFORE_ALL);
        }
        Ok(())
    }

    /// Whether the history takes more room than it may, and some of it can go.
    pub fn is_history_crowded(&self) -> bool {
        self.keeping.crowded && self.keeping.has_work()
    }

    /// Looks at some change sets, and removes those of them that are to go.
    pub(crate) fn sweep_history(&mut self) -> Result<(), StoreError> {
        let (Some(limits), Some(cursor)) = (self.keeping.limits, self.keeping.cursor) else {
            self.keeping.cursor = None;
            return Ok(());
        };
        run(&self.log.conn, "BEGIN IMMEDIATE", DOING)?;
        let swept = self.history_slice(cursor);
        if swept.is_err() && !self.log.conn.is_autocommit() {
            run(&self.log.conn, "ROLLBACK", DOING)?;
        }
        let swept = swept?;
        self.keeping.swept_ms = self.keeping.swept_ms.max(swept.begins_ms);
        // Where there was no room for what is here, there is none for what lies below it.
        let too_much = self.keeping.crowded && swept.gone;
        self.close_gaps(if too_much { u64::MAX } else { self.keeping.cutoff_ms() })?;
        self.housework.room_in_log(swept.gone);
        let room = limits.max_bytes - limits.max_bytes / 8;
        let enough = !self.keeping.crowded || used(&self.log.conn)? <= room;
        // Those behind many that stay are younger still; one that came late is found in time.
        let over = swept.ended || (enough && !swept.gone);
        self.keeping.cursor = (!over).then_some(swept.last);
        if over || enough {
            self.keeping.stuck = self.keeping.crowded && !enough;
            self.keeping.crowded = false;
        }
        Ok(())
    }

    fn history_slice(&self, cursor: i64) -> Result<Swept, StoreError> {
        let conn = &self.log.conn;
        let cutoff = self.keeping.cutoff_ms();
        let mut select = conn
            .prepare_cached(
                "SELECT pos, origin, seq, hlc, length(bytes) FROM log WHERE pos > ?1 \
                 ORDER BY pos LIMIT ?2",
            )
            .within(conn, DOING)?;
        let mut rows = select.query(params![cursor, LOOKED_AT]).within(conn, DOING)?;
        let mut swept = Swept { last: cursor, ..Swept::default() };
        let (mut ranges, mut looked, mut bytes): (Vec<(i64, i64)>, i64, i64) = (Vec::new(), 0, 0);
        while let Some(row) = rows.next().within(conn, DOING)? {
            let column = |at| row.get::<_, i64>(at).within(conn, DOING);
            let (before, pos) = (swept.last, column(0)?);
            looked += 1;
            swept.last = pos;
            let ms = Hlc(column(3)?.cast_unsigned()).ms();
            if !self.is_forgotten(column(1)?, from_sql_seq(conn, column(2)?)?)
                || !(self.keeping.crowded || ms < cutoff)
            {
                continue;
            }
            swept.begins_ms = swept.begins_ms.max(ms.min(self.keeping.now_ms).saturating_add(1));
            match ranges.last_mut() {
                Some((_, end)) if *end == before => *end = pos,
                _ => ranges.push((before, pos)),
            }
            bytes = bytes.saturating_add(column(4)?);
            if bytes >= REMOVED {
                break;
            }
        }
        swept.ended = looked < LOOKED_AT && bytes < REMOVED;
        swept.gone = !ranges.is_empty();
        drop(rows);
        for (from, to) in ranges {
            for sql in [
                "DELETE FROM log WHERE pos > ?1 AND pos <= ?2",
                "DELETE FROM lost WHERE pos > ?1 AND pos <= ?2",
            ] {
                conn.prepare_cached(sql)
                    .and_then(|mut delete| delete.execute([from, to]))
                    .within(conn, DOING)?;
            }
        }
        if swept.begins_ms > self.keeping.swept_ms {
            set_begin(conn, swept.begins_ms)?;
        }
        run(conn, "COMMIT", DOING)?;
        Ok(swept)
    }

    /// Whether the protocol has forgotten a change set of the log.
    fn is_forgotten(&self, origin: i64, seq: Seq) -> bool {
        let origin = self.log.origins.origin(origin);
        origin.is_some_and(|origin| seq <= self.state.floor(&origin))
    }
}

/// What became of a slice.
#[derive(Default)]
struct Swept {
    /// The last position that was looked at.
    last: i64,
    /// Whether that was all.
    ended: bool,
    /// Whether something was removed.
    gone: bool,
    /// Behind the last change set that was removed.
    begins_ms: u64,
}

/// How many bytes of the file are in use.
pub(crate) fn used(conn: &Connection) -> Result<u64, StoreError> {
    let pages = pragma(conn, "page_count")?.saturating_sub(pragma(conn, "freelist_count")?);
    Ok(pages.saturating_mul(pragma(conn, "page_size")?).max(0).cast_unsigned())
}

pub(crate) fn begin_of(conn: &Connection) -> Result<Option<u64>, StoreError> {
    let begin = conn
        .query_row("SELECT value FROM meta WHERE key = 'begins'", [], |row| row.get::<_, i64>(0))
        .optional();
    Ok(begin.within(conn, "the history's begin")?.map(i64::cast_unsigned))
}

pub(crate) fn set_begin(conn: &Connection, begins_ms: u64) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('begins', ?1)")
        .and_then(|mut put| put.execute([begins_ms.cast_signed()]))
        .map(|_| ())
        .within(conn, "keeping the history's begin")
}

/// The log lacks something that it should have: since when it is whole is not known any more.
pub(crate) fn doubt(log: &Connection) -> Result<(), StoreError> {
    run(log, "DELETE FROM meta WHERE key = 'begins'", "noting that the log is not whole")
}

fn number(conn: &Connection, bytes: &[u8]) -> Result<u64, StoreError> {
    let bytes = bytes.try_into();
    let bytes = bytes.map_err(|_| StoreError::damaged(conn, "the history's begin".to_owned()))?;
    Ok(u64::from_le_bytes(bytes))
}
