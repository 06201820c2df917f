//! Reading the history beside the writer: one consistent state of what is synced, and the change
//! sets that led to it, as far as they are kept.

use std::fmt;
use std::ops::ControlFlow;

use driftless_core::change::ChangeSet;
use driftless_core::id::{Dot, Origin, RecordKey};
use driftless_core::merge::Lost;
use driftless_core::schema::ModelId;
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, Row, params};

use crate::error::{StoreError, Within, from_sql_seq, to_sql_seq};
use crate::events::Events;
use crate::history::BEFORE_ALL;
use crate::log::{Kind, decode_loss};
use crate::open::{SqliteStore, connect};
use crate::origins::Origins;
use crate::quarantine::key_of;
use crate::snapshot::Snapshot;
use crate::synclog::LOG_FILE;
use crate::trend::Trend;

const WHAT: &str = "the history";

/// The history as it was when it was taken. Usable from any thread, beside the writer.
pub struct Past {
    snapshot: Snapshot,
    pub(crate) log: Connection,
    /// Events that are not in the file yet.
    pub(crate) events: Events,
    /// What was measured and is not in the file yet.
    pub(crate) trend: Trend,
    origins: Origins,
    begins_ms: Option<u64>,
}

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Past").field("begins_ms", &self.begins_ms).finish_non_exhaustive()
    }
}

/// A change set of the history, and where in the order of application here it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Logged {
    /// Its position: later ones came later.
    pub pos: i64,
    /// The change set.
    pub set: ChangeSet,
}

/// A version that is no part of the state any more, and is kept by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// The record's model.
    pub model: ModelId,
    /// The record's key.
    pub key: RecordKey,
    /// The version.
    pub lost: Lost,
    /// The change set that ended it, or its own if it came too late.
    pub by: Dot,
    /// How it ended.
    pub kind: Kind,
}

/// In which order change sets are walked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Ascending,
    Descending,
}

impl SqliteStore {
    /// The history at this moment, with what is committed.
    pub fn past(&self) -> Result<Past, StoreError> {
        // The snapshot first: what leaves library.db afterwards is in sync.db by then.
        let snapshot = self.snapshot()?;
        let path = self.dir.join(LOG_FILE);
        let log = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY, &self.options)?;
        log.execute_batch("BEGIN").within(&log, WHAT)?;
        let origins = Origins::load(&log, "origin")?;
        let (events, begins_ms) = (self.events.clone(), self.history_begin());
        Ok(Past { snapshot, log, origins, begins_ms, events, trend: self.trend.clone() })
    }
}

impl Past {
    /// What is synced, as it was at the same moment.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Since when the history is whole, Unix milliseconds: 0 if it goes back to the library's
    /// beginning, `None` if none is kept.
    pub fn begins_ms(&self) -> Option<u64> {
        self.begins_ms
    }

    /// The change set with this dot, if it is kept.
    pub fn set(&self, dot: &Dot) -> Result<Option<Logged>, StoreError> {
        for (conn, origins, table) in self.places() {
            let Some(id) = origins.id(&dot.origin) else { continue };
            let sql = format!(
                "SELECT pos, origin, seq, bytes FROM {table} WHERE origin = ?1 AND seq = ?2 LIMIT 1"
            );
            let mut select = conn.prepare_cached(&sql).within(conn, WHAT)?;
            let mut rows = select.query(params![id, to_sql_seq(dot.seq)?]).within(conn, WHAT)?;
            if let Some(row) = rows.next().within(conn, WHAT)? {
                return Ok(Some(logged(conn, origins, row)?));
            }
        }
        Ok(None)
    }

    /// Walks the change sets behind a position, or all of them, the first first.
    pub fn walk<E: From<StoreError>>(
        &self,
        after: Option<i64>,
        each: impl FnMut(Logged) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        self.each(after.unwrap_or(BEFORE_ALL), Order::Ascending, None, each)
    }

    /// Walks all change sets, the last first.
    pub fn walk_back<E: From<StoreError>>(
        &self,
        each: impl FnMut(Logged) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        self.each(BEFORE_ALL, Order::Descending, None, each)
    }

    /// Walks, the last first, all change sets that may be about a record: those in which the bytes of
    /// its key are. To read them all is quicker than an index would be worth.
    pub fn walk_back_about<E: From<StoreError>>(
        &self,
        key: &RecordKey,
        each: impl FnMut(Logged) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        self.each(BEFORE_ALL, Order::Descending, Some(key), each)
    }

    fn places(&self) -> [(&Connection, &Origins, &'static str); 2] {
        [
            (&self.log, &self.origins, "log"),
            (self.snapshot.connection(), self.snapshot.origins(), "_unlogged"),
        ]
    }

    fn each<E: From<StoreError>>(
        &self,
        after: i64,
        order: Order,
        about: Option<&RecordKey>,
        mut each: impl FnMut(Logged) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        // What was moved, and is still in both, counts once.
        let moved = self.last_moved()?;
        let mut places = self.places().map(|place| {
            let from = if place.2 == "log" { after } else { after.max(moved) };
            (place, from)
        });
        if order == Order::Descending {
            places.reverse();
        }
        let way = if order == Order::Descending { "DESC" } else { "ASC" };
        for ((conn, origins, table), from) in places {
            let sql = format!(
                "SELECT pos, origin, seq, bytes FROM {table} WHERE pos > ?1 ORDER BY pos {way}"
            );
            let mut select = conn.prepare_cached(&sql).within(conn, WHAT)?;
            let mut rows = select.query([from]).within(conn, WHAT)?;
            while let Some(row) = rows.next().within(conn, WHAT)? {
                if let Some(key) = about {
                    let bytes = row.get_ref(3).and_then(|bytes| Ok(bytes.as_blob()?));
                    let bytes = bytes.within(conn, WHAT)?;
                    if memchr::memmem::find(bytes, key.as_bytes()).is_none() {
                        continue;
                    }
                }
                if each(logged(conn, origins, row)?)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn last_moved(&self) -> Result<i64, StoreError> {
        let sql = "SELECT coalesce(max(pos), 0) FROM log";
        self.log.query_row(sql, [], |row| row.get(0)).within(&self.log, WHAT)
    }

    /// Versions of a record that are kept by themselves, in the order in which they ended here.
    pub fn kept(&self, model: ModelId, key: &RecordKey) -> Result<Vec<Kept>, StoreError> {
        let of = |table: &str| {
            format!(
                "SELECT pos, model, key, entry FROM {table} WHERE model = ?1 AND key = ?2 ORDER BY pos"
            )
        };
        self.read_kept(of, params![model.0, key.as_bytes()])
    }

    /// All versions that are kept by themselves, in the order in which they ended here.
    pub fn all_kept(&self) -> Result<Vec<Kept>, StoreError> {
        let of = |table: &str| format!("SELECT pos, model, key, entry FROM {table} ORDER BY pos");
        self.read_kept(of, [])
    }

    fn read_kept(
        &self,
        sql: impl Fn(&str) -> String,
        params: impl rusqlite::Params + Copy,
    ) -> Result<Vec<Kept>, StoreError> {
        let (mut out, mut last) = (Vec::new(), BEFORE_ALL);
        for (conn, table) in [(&self.log, "lost"), (self.snapshot.connection(), "_unlost")] {
            let mut select = conn.prepare_cached(&sql(table)).within(conn, WHAT)?;
            let mut rows = select.query(params).within(conn, WHAT)?;
            let moved = last;
            while let Some(row) = rows.next().within(conn, WHAT)? {
                let pos: i64 = column(conn, row, 0)?;
                if pos <= moved {
                    continue;
                }
                last = last.max(pos);
                let entry = row.get_ref(3).and_then(|entry| Ok(entry.as_blob()?));
                let entry = decode_loss(entry.within(conn, WHAT)?);
                let (lost, by, kind) = entry.within(conn, WHAT)?;
                let model = ModelId(column(conn, row, 1)?);
                let key = key_of(conn, &column::<Vec<u8>>(conn, row, 2)?)?;
                out.push(Kept { model, key, lost, by, kind });
            }
        }
        Ok(out)
    }
}

fn column<T: FromSql>(conn: &Connection, row: &Row<'_>, at: usize) -> Result<T, StoreError> {
    row.get(at).within(conn, WHAT)
}

fn logged(conn: &Connection, origins: &Origins, row: &Row<'_>) -> Result<Logged, StoreError> {
    let id: i64 = column(conn, row, 1)?;
    let origin: Option<Origin> = origins.origin(id);
    let origin = origin.ok_or_else(|| StoreError::damaged(conn, format!("the origin {id}")))?;
    let dot = Dot::new(origin, from_sql_seq(conn, column(conn, row, 2)?)?);
    let bytes: Vec<u8> = column(conn, row, 3)?;
    let set = ChangeSet::decode(bytes.into()).within(conn, WHAT)?;
    if set.dot() != dot {
        return Err(StoreError::damaged(conn, format!("the log entry of {dot}")));
    }
    Ok(Logged { pos: column(conn, row, 0)?, set })
}
