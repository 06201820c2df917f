//! What the room of a library's files is used for: the data that somebody put in, and what sync adds
//! to it.
//!
//! SQLite's own `dbstat` tells how many bytes each table and index has; for that it visits every page
//! of both files, so this is not for every second.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::error::{StoreError, Within, to_sql_seq};
use crate::layout::quoted;
use crate::open::{LIBRARY_FILE, StoreOptions, connect, pragma};
use crate::origins::Origins;
use crate::state::load_vector;
use crate::synclog::LOG_FILE;

const DOING: &str = "measuring";
/// What an owned row has beside its fields, without its seq: a checksum, the number of a lane, and
/// the types of four columns.
const OWNED_STAMP: u64 = 13;
/// What a shared record has beside its fields and `_sync`: a checksum, and the types of two columns.
const SHARED_STAMP: u64 = 10;
/// Bytes that SQLite takes for a seq.
const SEQ_BYTES: &str = "CASE WHEN _seq < 128 THEN 1 WHEN _seq < 32768 THEN 2 \
    WHEN _seq < 8388608 THEN 3 WHEN _seq < 2147483648 THEN 4 ELSE 8 END";

/// What the room of a library's files is used for, in bytes of their pages.
///
/// All but the counts add up to the two files' sizes once their write-ahead logs have been moved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Room {
    /// The models' rows: keys and fields, with what is free within their pages.
    pub rows: u64,
    /// The indexes of their keys and fields.
    pub indexes: u64,
    /// What sync has in these rows: lanes, seqs, lives, dots, stamps, siblings, checksums.
    pub stamps: u64,
    /// The indexes by which owned rows are served to others.
    pub sync_indexes: u64,
    /// Tombstones of owned rows.
    pub tombstones: u64,
    /// Change sets: the peer log, and what waits in `library.db` to be moved there.
    pub log: u64,
    /// Change sets that are kept as history, what was lost to deletes, and whatever else is kept of
    /// the past.
    pub history: u64,
    /// Vectors, digests, membership, the schema, open sessions, records that have no table.
    pub state: u64,
    /// Free pages of both files.
    pub free: u64,
    /// How many change sets there are, without those that are history.
    pub change_sets: u64,
    /// How many tombstones there are.
    pub tombstone_rows: u64,
}

impl Room {
    /// What sync adds to the data.
    #[must_use]
    pub fn sync(&self) -> u64 {
        self.stamps + self.sync_indexes + self.tombstones + self.log + self.history + self.state
    }

    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.rows + self.indexes + self.sync() + self.free
    }

    /// Measures the library in `dir`, beside whoever has it open: all that is committed.
    pub fn measure(dir: &Path) -> Result<Self, StoreError> {
        let mut room = Self::default();
        let (log, library) = (reader(dir, LOG_FILE)?, reader(dir, LIBRARY_FILE)?);
        let moved = room.add_log(&log)?;
        room.part_history(&log, &library)?;
        room.add_library(&library, moved)?;
        Ok(room)
    }

    /// Change sets that the protocol has forgotten are history: of the pages in which all of them are,
    /// that part which their bytes are.
    fn part_history(&mut self, log: &Connection, library: &Connection) -> Result<(), StoreError> {
        let origins = Origins::load(log, "origin")?;
        let (_, floors) = load_vector(library, &Origins::load(library, "_origin")?)?;
        let count = "SELECT count(*), coalesce(sum(length(bytes)), 0) FROM log \
             WHERE origin = ?1 AND seq <= ?2";
        let (mut sets, mut bytes) = (0, 0);
        for (origin, floor) in floors {
            let Some(id) = origins.id(&origin) else { continue };
            let (more, size): (i64, i64) = log
                .query_row(count, [id, to_sql_seq(floor)?], |row| Ok((row.get(0)?, row.get(1)?)))
                .within(log, DOING)?;
            (sets, bytes) = (sets + unsigned(more), bytes + unsigned(size));
        }
        let all = number(log, "SELECT coalesce(sum(length(bytes)), 0) FROM log")?;
        let kept = match (sets == self.change_sets, all) {
            (true, _) => self.log,
            (false, 0) => 0,
            (false, all) => {
                u64::try_from(u128::from(self.log) * u128::from(bytes) / u128::from(all))
                    .unwrap_or(self.log)
            }
        };
        // An empty table and its index are the log's.
        let kept = if sets == 0 { 0 } else { kept };
        (self.log, self.history) = (self.log - kept, self.history + kept);
        self.change_sets -= sets.min(self.change_sets);
        Ok(())
    }

    /// `moved` is the position up to which change sets are in `sync.db`: copies of theirs are not counted.
    fn add_library(&mut self, conn: &Connection, moved: u64) -> Result<(), StoreError> {
        let tx = conn.unchecked_transaction().within(conn, DOING)?;
        self.add_pages(conn, |room, name, table| match table {
            "_tombstone" => &mut room.tombstones,
            "_unlogged" => &mut room.log,
            "_unlost" => &mut room.history,
            _ if name.starts_with("_lane.") => &mut room.sync_indexes,
            _ if table.starts_with('_') || table.starts_with("sqlite_") => &mut room.state,
            _ if name == table => &mut room.rows,
            _ => &mut room.indexes,
        })?;
        let stamps = stamps(conn)?.min(self.rows);
        (self.rows, self.stamps) = (self.rows - stamps, stamps);
        self.tombstone_rows = number(conn, "SELECT count(*) FROM _tombstone")?;
        let waiting = format!("SELECT count(*) FROM _unlogged WHERE pos > {moved}");
        self.change_sets += number(conn, &waiting)?;
        tx.finish().within(conn, DOING)
    }

    /// The position of the last change set in `sync.db`.
    fn add_log(&mut self, conn: &Connection) -> Result<u64, StoreError> {
        let tx = conn.unchecked_transaction().within(conn, DOING)?;
        self.add_pages(conn, |room, _, table| match table {
            "log" => &mut room.log,
            "meta" | "origin" | "ack" => &mut room.state,
            _ if table.starts_with("sqlite_") => &mut room.state,
            _ => &mut room.history,
        })?;
        self.change_sets += number(conn, "SELECT count(*) FROM log")?;
        let last = number(conn, "SELECT coalesce(max(pos), 0) FROM log")?;
        tx.finish().within(conn, DOING)?;
        Ok(last)
    }

    /// Adds the pages of each table and index of a file where `place` says that they belong.
    fn add_pages(
        &mut self,
        conn: &Connection,
        place: impl for<'a> Fn(&'a mut Self, &str, &str) -> &'a mut u64,
    ) -> Result<(), StoreError> {
        let page = unsigned(pragma(conn, "page_size")?);
        let pages = unsigned(pragma(conn, "page_count")?);
        let free = unsigned(pragma(conn, "freelist_count")?);
        let mut used = 0;
        let mut select = conn
            .prepare(
                "SELECT s.name, coalesce(m.tbl_name, s.name), s.pgsize FROM dbstat AS s \
                 LEFT JOIN sqlite_schema AS m ON m.name = s.name WHERE s.aggregate = TRUE",
            )
            .within(conn, DOING)?;
        let mut rows = select.query([]).within(conn, DOING)?;
        while let Some(row) = rows.next().within(conn, DOING)? {
            let name: String = row.get(0).within(conn, DOING)?;
            let table: String = row.get(1).within(conn, DOING)?;
            let bytes = unsigned(row.get(2).within(conn, DOING)?);
            *place(self, &name, &table) += bytes;
            used += bytes;
        }
        self.free += free * page;
        // Pages that tell where pages are.
        self.state += (pages * page).saturating_sub(used + free * page);
        Ok(())
    }
}

/// Bytes of sync's columns in the models' tables.
fn stamps(conn: &Connection) -> Result<u64, StoreError> {
    let mut select = conn
        .prepare(
            "SELECT m.name, EXISTS (SELECT 1 FROM pragma_table_info(m.name) AS c \
             WHERE c.name = '_seq') FROM _model AS m JOIN sqlite_schema AS t ON t.name = m.name",
        )
        .within(conn, DOING)?;
    let mut rows = select.query([]).within(conn, DOING)?;
    let mut bytes = 0;
    while let Some(row) = rows.next().within(conn, DOING)? {
        let table = quoted(&row.get::<_, String>(0).within(conn, DOING)?);
        let owned: bool = row.get(1).within(conn, DOING)?;
        let (each, varying) =
            if owned { (OWNED_STAMP, SEQ_BYTES) } else { (SHARED_STAMP, "length(_sync)") };
        let sql = format!("SELECT count(*) * {each} + coalesce(sum({varying}), 0) FROM {table}");
        bytes += number(conn, &sql)?;
    }
    Ok(bytes)
}

fn number(conn: &Connection, sql: &str) -> Result<u64, StoreError> {
    let number = conn.query_row(sql, [], |row| row.get(0)).within(conn, DOING)?;
    Ok(unsigned(number))
}

fn unsigned(number: i64) -> u64 {
    number.max(0).cast_unsigned()
}

fn reader(dir: &Path, file: &str) -> Result<Connection, StoreError> {
    let options = StoreOptions::default();
    let conn = connect(&dir.join(file), OpenFlags::SQLITE_OPEN_READ_ONLY, &options)?;
    conn.pragma_update(None, "query_only", true).within(&conn, DOING)?;
    Ok(conn)
}
