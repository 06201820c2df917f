//! Files as the first format had them.

use std::path::Path;

use driftless_core::schema::FieldId;
use rusqlite::{Connection, params};

/// The tables of `library.db` in format 1.
const LIBRARY_TABLES: &str = "
CREATE TABLE _meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE _model (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind INTEGER NOT NULL) STRICT;
CREATE TABLE _field (
    model INTEGER NOT NULL, id INTEGER NOT NULL, name TEXT NOT NULL, type INTEGER NOT NULL,
    rule INTEGER NOT NULL, PRIMARY KEY (model, id)) STRICT, WITHOUT ROWID;
CREATE TABLE _origin (
    id INTEGER PRIMARY KEY, device BLOB NOT NULL, epoch INTEGER NOT NULL, lane INTEGER NOT NULL,
    UNIQUE (device, epoch, lane)) STRICT;
CREATE TABLE _vector (
    origin INTEGER PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE TABLE _lane (
    id INTEGER PRIMARY KEY, device BLOB NOT NULL UNIQUE, mint INTEGER, epoch INTEGER, seq INTEGER,
    floor INTEGER NOT NULL, session BLOB) STRICT;
CREATE TABLE _tombstone (
    lane INTEGER NOT NULL, model INTEGER NOT NULL, key BLOB NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (lane, seq, model, key)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX \"_ix_tombstone\" ON _tombstone (lane, model, key);
CREATE TABLE _stage (
    lane INTEGER NOT NULL, model INTEGER NOT NULL, key BLOB NOT NULL, seq INTEGER NOT NULL,
    fields BLOB) STRICT;
CREATE UNIQUE INDEX \"_ix_stage\" ON _stage (lane, model, key);
CREATE TABLE _unknown_shared (
    model INTEGER NOT NULL, key BLOB NOT NULL, record BLOB NOT NULL, _sum INTEGER NOT NULL,
    PRIMARY KEY (model, key)) STRICT;
CREATE TABLE _unknown_owned (
    model INTEGER NOT NULL, key BLOB NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL,
    fields BLOB NOT NULL, _sum INTEGER NOT NULL, PRIMARY KEY (model, key, lane)) STRICT;
CREATE INDEX \"_ix_unknown_owned\" ON _unknown_owned (lane, seq, model, key);
CREATE TABLE _digest (
    model INTEGER PRIMARY KEY, count INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE TABLE _quarantine (
    model INTEGER NOT NULL, key BLOB NOT NULL, field INTEGER NOT NULL, reason INTEGER NOT NULL,
    PRIMARY KEY (model, key, field)) STRICT, WITHOUT ROWID;
CREATE TABLE _conflict (
    model INTEGER NOT NULL, key BLOB NOT NULL, field INTEGER NOT NULL,
    PRIMARY KEY (model, key, field)) STRICT, WITHOUT ROWID;
CREATE TABLE _unlogged (
    pos INTEGER PRIMARY KEY, origin INTEGER NOT NULL, seq INTEGER NOT NULL, hlc INTEGER NOT NULL,
    bytes BLOB NOT NULL) STRICT;
CREATE TABLE _unlost (
    pos INTEGER PRIMARY KEY, model INTEGER NOT NULL, key BLOB NOT NULL, entry BLOB NOT NULL) STRICT;
CREATE TABLE _local (
    space TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (space, key))
    STRICT, WITHOUT ROWID;
";

/// The tables of `sync.db` in format 1.
const LOG_TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
CREATE TABLE origin (
    id INTEGER PRIMARY KEY, device BLOB NOT NULL, epoch INTEGER NOT NULL, lane INTEGER NOT NULL,
    UNIQUE (device, epoch, lane)) STRICT;
CREATE TABLE log (
    pos INTEGER PRIMARY KEY, origin INTEGER NOT NULL, seq INTEGER NOT NULL, hlc INTEGER NOT NULL,
    bytes BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX log_by_dot ON log (origin, seq);
CREATE TABLE beyond (
    pos INTEGER PRIMARY KEY, origin INTEGER NOT NULL, seq INTEGER NOT NULL, hlc INTEGER NOT NULL,
    bytes BLOB NOT NULL) STRICT;
CREATE TABLE lost (
    pos INTEGER PRIMARY KEY, model INTEGER NOT NULL, key BLOB NOT NULL, entry BLOB NOT NULL) STRICT;
CREATE INDEX lost_by_record ON lost (model, key);
CREATE TABLE ack (peer BLOB PRIMARY KEY, shared BLOB NOT NULL, owned BLOB NOT NULL)
    STRICT, WITHOUT ROWID;
";

/// Files of format 1 in `to`, with everything that a store of today has written in `from`.
pub(crate) fn as_format_1(from: &Path, to: &Path) {
    for (file, tables, id) in
        [("library.db", LIBRARY_TABLES, 0x4472_6674), ("sync.db", LOG_TABLES, 0x4472_664c)]
    {
        let conn = Connection::open(to.join(file)).unwrap();
        if file == "library.db" {
            conn.execute_batch("PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL")
                .unwrap();
        }
        conn.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA application_id = {id}; PRAGMA user_version = 1; \
             {tables} ATTACH '{}' AS new",
            from.join(file).display()
        ))
        .unwrap();
        // The models' tables with their indexes are the same in both.
        let names = |of: &str| -> Vec<(String, String, String)> {
            let sql = format!(
                "SELECT type, name, sql FROM {of}.sqlite_schema \
                 WHERE sql NOTNULL AND type IN ('table', 'index') ORDER BY type DESC"
            );
            let mut select = conn.prepare(&sql).unwrap();
            let rows =
                select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let had = names("main");
        for (_, name, sql) in names("new") {
            if !["_mirror", "gap", "event", "trend"].contains(&&name[..])
                && !had.iter().any(|(_, other, _)| *other == name)
            {
                conn.execute_batch(&sql).unwrap();
            }
        }
        for (_, name, _) in names("main").iter().filter(|(kind, ..)| kind == "table") {
            let columns = columns(&conn, name).join(", ");
            let copy = format!(
                "INSERT INTO main.\"{name}\" ({columns}) SELECT {columns} FROM new.\"{name}\""
            );
            conn.execute_batch(&copy).unwrap();
        }
        if file == "library.db" {
            lengthen(&conn);
        }
    }
}

/// Writes each short `_sync` of a tag with a name as it was written before there were short ones.
fn lengthen(conn: &Connection) {
    let mut select = conn.prepare("SELECT rowid, _sync FROM tag WHERE name NOTNULL").unwrap();
    let rows = select.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)));
    for (row, sync) in rows.unwrap().map(Result::unwrap) {
        if let [0, origin, seq, hlc @ ..] = &sync[..] {
            assert_eq!(hlc.len(), 8, "small numbers take a byte");
            // One origin, one life, one field with one version, whose value is in the column.
            let name = FieldId::of("name").0.to_le_bytes();
            let long = [&[1, *origin, 1, 0, *seq], hlc, &[1], &name, &[1, 7]].concat();
            let set = "UPDATE tag SET _sync = ?2 WHERE rowid = ?1";
            assert_eq!(conn.execute(set, params![row, long]).unwrap(), 1);
        }
    }
}

fn columns(conn: &Connection, table: &str) -> Vec<String> {
    let sql = format!("SELECT name FROM pragma_table_info('{table}', 'main') ORDER BY name");
    let mut select = conn.prepare(&sql).unwrap();
    let names = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
    names.map(|name| format!("\"{}\"", name.unwrap())).collect()
}
