//! Taking out what is damaged: out of its table into a note of what is missing, with what of it could
//! be read, in one transaction. From then on the replica is not exact, and says so to nobody but its
//! engine, which brings it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use driftless_core::digest::Digest;
use driftless_core::id::{DeviceId, RecordKey};
use driftless_core::record::Record;
use driftless_core::schema::ModelId;
use driftless_core::store::Place;
use rusqlite::{Connection, Row};

use crate::conflict::set_conflicts;
use crate::error::{StoreError, Within};
use crate::layout::{Table, quoted};
use crate::missing::Remains;
use crate::open::SqliteStore;
use crate::quarantine::{key_of, set_notes};
use crate::scan::{BadRow, Checker, RowTable, Seen, known};
use crate::whole;

const WHAT: &str = "taking out a damaged row";
/// How much of a row that makes no sense is kept in words.
const MAX_WORDS: usize = 64 << 10;

/// What was taken out: of whose owned lane, or of the shared ones, and under which key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Whose lane; of the shared ones if nobody's.
    pub of: Option<DeviceId>,
    /// The model.
    pub model: ModelId,
    /// The key.
    pub key: RecordKey,
}

/// What a damaged row is taken for: by what the row says, and by what indexes say of it.
#[derive(Debug)]
struct Found {
    rowid: i64,
    seen: Seen,
    /// Keys of which one is the row's.
    keys: BTreeSet<RecordKey>,
    lanes: BTreeSet<i64>,
    seq: u64,
}

impl SqliteStore {
    /// Takes damaged rows out, within the open transaction: those of `bad` that are damaged still.
    /// What was taken out; the same row can be named twice where its key or lane is not certain. An
    /// error that is [`StoreError::Damaged`] says that it is more than rows.
    pub fn take_out(&mut self, bad: &[BadRow]) -> Result<Vec<Taken>, StoreError> {
        self.writable()?;
        // What this connection remembers of the file may be sound though the file is not.
        self.conn.execute_batch("PRAGMA shrink_memory").within(&self.conn, WHAT)?;
        let mut taken = Vec::new();
        let mut models = BTreeSet::new();
        let layout = self.layout.clone();
        for room in RowTable::all(&layout) {
            let rows = bad.iter().filter(|bad| bad.table == room.name()).map(|bad| bad.rowid);
            let found = self.find_damaged(room, rows)?;
            if found.is_empty() {
                continue;
            }
            self.delete_damaged(room, &found)?;
            for row in found {
                self.take_out_row(room, row, &mut models, &mut taken)?;
            }
        }
        for model in models {
            self.recount(model)?;
        }
        Ok(taken)
    }

    /// Makes all indexes anew from the rows, within the open transaction.
    pub fn reindex(&mut self) -> Result<(), StoreError> {
        self.writable()?;
        self.conn.execute_batch("PRAGMA shrink_memory").within(&self.conn, WHAT)?;
        run(&self.conn, "REINDEX")
    }

    /// Fails if SQLite finds anything wrong with the file's structure, as the open transaction has it.
    pub fn check_structure(&self) -> Result<(), StoreError> {
        let found = structure(&self.conn, Depth::Indexes, 1)?;
        match found.first() {
            Some(fault) => Err(StoreError::damaged(&self.conn, fault.clone())),
            None => Ok(()),
        }
    }

    /// Makes the kept digests anew from the kept checksums, within the open transaction.
    pub fn recount_digests(&mut self) -> Result<(), StoreError> {
        self.writable()?;
        let mut models: BTreeSet<ModelId> = self.state.digests.keys().copied().collect();
        models.extend(self.layout.iter().map(|table| table.model));
        models.into_iter().try_for_each(|model| self.recount(model))
    }

    fn find_damaged(
        &self,
        room: RowTable<'_>,
        rows: impl Iterator<Item = i64>,
    ) -> Result<Vec<Found>, StoreError> {
        let conn = &self.conn;
        let mut checker = Checker::new(conn, &self.state.origins, &self.state.lanes);
        let mut found = Vec::new();
        for rowid in rows {
            let mut select =
                conn.prepare_cached(&room.select("WHERE rowid = ?1")).within(conn, WHAT)?;
            let mut rows = select.query([rowid]).within(conn, WHAT)?;
            let Some(row) = rows.next().within(conn, WHAT)? else { continue };
            let mut seen = checker.read(room, row, true)?;
            if seen.sound {
                continue;
            }
            if seen.remains == Remains::Nothing {
                seen.remains = Remains::Columns(in_words(row).into_bytes());
            }
            found.push(Found {
                rowid,
                keys: seen.key.iter().cloned().collect(),
                lanes: seen.lane.into_iter().collect(),
                seq: seen.seq.unwrap_or(0),
                seen,
            });
        }
        self.ask_indexes(room, &mut found)?;
        Ok(found)
    }

    /// What the indexes of a model's table say of rows.
    fn ask_indexes(&self, room: RowTable<'_>, rows: &mut [Found]) -> Result<(), StoreError> {
        let RowTable::Model(table) = room else { return Ok(()) };
        let conn = &self.conn;
        let by_key = format!("sqlite_autoindex_{}_1", table.name);
        let keys = read_index(conn, (table, &by_key, "id"), rows, |entry| entry.get(1))?;
        for (at, key) in keys {
            let key: Vec<u8> = key;
            rows[at].keys.extend(known(key_of(conn, &key))?);
        }
        if room.is_shared() {
            return Ok(());
        }
        let by_lane = format!("_lane.{}", table.name);
        let places = read_index(conn, (table, &by_lane, "_lane, _seq"), rows, |entry| {
            Ok((entry.get(1)?, entry.get::<_, i64>(2)?))
        })?;
        for (at, (lane, seq)) in places {
            let row = &mut rows[at];
            row.lanes.insert(lane);
            // Where the two are at odds nobody can tell which is right.
            if row.seen.seq != u64::try_from(seq).ok() {
                row.seq = 0;
            }
        }
        Ok(())
    }

    /// Deletes damaged rows, and what indexes have of them.
    fn delete_damaged(&self, room: RowTable<'_>, rows: &[Found]) -> Result<(), StoreError> {
        let conn = &self.conn;
        let unsure = self.unsure_indexes(room, rows)?;
        run(conn, "SAVEPOINT deleting")?;
        // An index that knows a row by what was written cannot let go of what it reads now: SQLite says
        // so. It is made anew then, which takes as long as there are rows.
        if known(delete(conn, room, rows))?.is_none() {
            run(conn, "ROLLBACK TO deleting")?;
            run(conn, &format!("REINDEX {}", quoted(room.name())))?;
            delete(conn, room, rows)?;
        } else {
            let names = unsure.iter().map(|name| format!("REINDEX {}", quoted(name)));
            names.into_iter().try_for_each(|sql| run(conn, &sql))?;
        }
        run(conn, "RELEASE deleting")
    }

    /// The partial indexes of a table that may have rows which, as they read now, are none of theirs:
    /// SQLite does not look for them there.
    fn unsure_indexes(
        &self,
        room: RowTable<'_>,
        rows: &[Found],
    ) -> Result<Vec<String>, StoreError> {
        let conn = &self.conn;
        let mut select = conn
            .prepare(
                "SELECT list.name, info.name FROM pragma_index_list(?1) AS list \
                 JOIN pragma_index_info(list.name) AS info \
                 WHERE list.partial AND info.seqno = 0",
            )
            .within(conn, WHAT)?;
        let found = select
            .query_map([room.name()], |row| Ok((row.get(0)?, row.get::<_, Option<String>>(1)?)));
        let found: Vec<(String, Option<String>)> =
            found.and_then(Iterator::collect).within(conn, WHAT)?;
        let mut unsure = Vec::new();
        for (index, column) in found {
            // Those that models declare have the rows whose first column is not null.
            let sure = match column.filter(|_| index.starts_with("_ix.")) {
                Some(column) => all_have(conn, room, &column, rows)?,
                None => false,
            };
            if !sure {
                unsure.push(index);
            }
        }
        Ok(unsure)
    }

    fn take_out_row(
        &mut self,
        room: RowTable<'_>,
        row: Found,
        models: &mut BTreeSet<ModelId>,
        taken: &mut Vec<Taken>,
    ) -> Result<(), StoreError> {
        let devices = if room.is_shared() { Vec::new() } else { self.devices_of(&row.lanes)? };
        // The model of a row that is kept whole may be what is damaged; who is asked for it under a
        // wrong one has nothing.
        let Some(model) = row.seen.model else { return Ok(()) };
        models.insert(model);
        for row_key in &row.keys {
            let key = row_key.as_bytes();
            let place: Place = (model, row_key.clone());
            set_notes(&self.conn, &mut self.state.notes, model, key, &[])?;
            let note = (row.seq, &row.seen.remains);
            if room.is_shared() {
                let table = self.layout.shared(model);
                let conflicts = &mut self.state.conflicts;
                set_conflicts(&self.conn, conflicts, (model, key), table, &Record::default())?;
                self.note_missing(None, place, note)?;
                taken.push(Taken { of: None, model, key: row_key.clone() });
                continue;
            }
            if let RowTable::Model(table) = room {
                let (lanes, notes) = (Arc::clone(&self.state.lanes), &mut self.state.notes);
                whole::move_in(&self.conn, table, key, &lanes, notes)?;
            }
            for device in &devices {
                self.note_missing(Some(*device), place.clone(), note)?;
                taken.push(Taken { of: Some(*device), model, key: row_key.clone() });
            }
        }
        Ok(())
    }

    /// The devices of exact lanes with these numbers; of all if nobody's have them. A lane that is under
    /// way is fetched anew.
    fn devices_of(&mut self, numbers: &BTreeSet<i64>) -> Result<Vec<DeviceId>, StoreError> {
        let lanes = Arc::clone(&self.state.lanes);
        let named = || lanes.iter().filter(|(_, lane)| numbers.contains(&lane.id));
        for (device, _) in named().filter(|(_, lane)| lane.state.exact.is_none()) {
            self.void_session(device)?;
        }
        let of = |all: bool| -> Vec<DeviceId> {
            let exact = lanes.iter().filter(|(_, lane)| lane.state.exact.is_some());
            let of = exact.filter(|(_, lane)| all || numbers.contains(&lane.id));
            of.map(|(device, _)| *device).collect()
        };
        Ok(of(named().next().is_none()))
    }

    /// Makes the kept digest of a model anew from the checksums of its rows: that of what was taken out
    /// may be what was damaged.
    fn recount(&mut self, model: ModelId) -> Result<(), StoreError> {
        let conn = &self.conn;
        let exact = self.state.exact_lanes();
        let mut digest = Digest::default();
        let mut queries: Vec<(String, bool)> = vec![
            (format!("SELECT _sum FROM _unknown_shared WHERE model = {}", model.0), false),
            (format!("SELECT _sum, lane FROM _unknown_owned WHERE model = {}", model.0), true),
        ];
        if let Some(table) = self.layout.table(model) {
            let name = quoted(&table.name);
            queries.push(match table.kind.is_shared() {
                true => (format!("SELECT _sum FROM {name}"), false),
                false => (format!("SELECT _sum, _lane FROM {name}"), true),
            });
        }
        for (sql, owned) in queries {
            let mut select = conn.prepare(&sql).within(conn, WHAT)?;
            let mut rows = select.query([]).within(conn, WHAT)?;
            while let Some(row) = rows.next().within(conn, WHAT)? {
                if !owned || exact.contains(&row.get::<_, i64>(1).within(conn, WHAT)?) {
                    digest.add(row.get::<_, i64>(0).within(conn, WHAT)?.cast_unsigned());
                }
            }
        }
        self.state.digest(model, |kept| *kept = digest);
        Ok(())
    }
}

/// How much of a file's structure is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Depth {
    /// Its pages.
    Pages,
    /// That indexes have what the tables have as well: it takes some ten times as long.
    Indexes,
}

/// What SQLite finds wrong with the file's structure, up to `limit` findings.
pub(crate) fn structure(
    conn: &Connection,
    depth: Depth,
    limit: u32,
) -> Result<Vec<String>, StoreError> {
    const WHAT: &str = "the structure of the file";
    let sql = match depth {
        Depth::Pages => format!("PRAGMA quick_check({limit})"),
        Depth::Indexes => format!("PRAGMA integrity_check({limit})"),
    };
    let mut select = conn.prepare(&sql).within(conn, WHAT)?;
    let found = select.query_map([], |row| row.get::<_, String>(0));
    let mut found: Vec<String> = found.and_then(Iterator::collect).within(conn, WHAT)?;
    found.retain(|finding| finding != "ok");
    Ok(found)
}

fn run(conn: &Connection, sql: &str) -> Result<(), StoreError> {
    conn.execute_batch(sql).within(conn, WHAT)
}

/// What an index of a table has of rows, by their positions in `rows`, as far as it can be read: it is
/// read once from end to end, as nothing leads from a row to its place in it.
fn read_index<T>(
    conn: &Connection,
    (table, index, columns): (&Table, &str, &str),
    rows: &[Found],
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<(usize, T)>, StoreError> {
    let positions: BTreeMap<i64, usize> =
        rows.iter().enumerate().map(|(at, row)| (row.rowid, at)).collect();
    let numbers: Vec<String> = positions.keys().map(i64::to_string).collect();
    let sql = format!(
        "SELECT rowid, {columns} FROM {} INDEXED BY {} \
         WHERE +rowid IN (SELECT value FROM json_each(?1))",
        quoted(&table.name),
        quoted(index)
    );
    let mut select = conn.prepare(&sql).within(conn, WHAT)?;
    let mut entries = select.query([format!("[{}]", numbers.join(","))]).within(conn, WHAT)?;
    let mut found = Vec::new();
    while let Some(Some(entry)) = known(entries.next().within(conn, WHAT))? {
        let Some(rowid) = known(entry.get::<_, i64>(0).within(conn, WHAT))? else { continue };
        if let (Some(at), Some(value)) =
            (positions.get(&rowid), known(read(entry).within(conn, WHAT))?)
        {
            found.push((*at, value));
        }
    }
    Ok(found)
}

fn delete(conn: &Connection, room: RowTable<'_>, rows: &[Found]) -> Result<(), StoreError> {
    let sql = format!("DELETE FROM {} WHERE rowid = ?1", quoted(room.name()));
    let mut delete = conn.prepare_cached(&sql).within(conn, WHAT)?;
    rows.iter().try_for_each(|row| delete.execute([row.rowid]).map(|_| ()).within(conn, WHAT))
}

/// Whether all rows read as if they had a value in a column.
fn all_have(
    conn: &Connection,
    room: RowTable<'_>,
    column: &str,
    rows: &[Found],
) -> Result<bool, StoreError> {
    let (table, column) = (quoted(room.name()), quoted(column));
    let sql = format!("SELECT {column} IS NOT NULL FROM {table} WHERE rowid = ?1");
    let mut select = conn.prepare(&sql).within(conn, WHAT)?;
    for row in rows {
        let has = select.query_row([row.rowid], |row| row.get(0)).within(conn, WHAT);
        if known(has)? != Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A row's columns for a person to read, should nothing else be left of it.
fn in_words(row: &Row<'_>) -> String {
    let mut words = String::new();
    for at in 0..row.as_ref().column_count() {
        match row.get_ref(at) {
            Ok(value) => words.push_str(&format!("{value:?}\n")),
            Err(error) => words.push_str(&format!("{error}\n")),
        }
        if words.len() > MAX_WORDS {
            break;
        }
    }
    words.chars().take(MAX_WORDS).collect()
}
