//! Libraries of earlier formats are brought forward, and nothing of them is lost.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use common::*;
use driftless_core::schema::ModelId;
use driftless_core::store::{Acked, Store};
use driftless_core::version::Vector;
use driftless_store::SqliteStore;
use rusqlite::Connection;

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
fn as_format_1(from: &Path, to: &Path) {
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
            if name != "_mirror" && !had.iter().any(|(_, other, _)| *other == name) {
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
    }
}

fn columns(conn: &Connection, table: &str) -> Vec<String> {
    let sql = format!("SELECT name FROM pragma_table_info('{table}', 'main') ORDER BY name");
    let mut select = conn.prepare(&sql).unwrap();
    let names = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
    names.map(|name| format!("\"{}\"", name.unwrap())).collect()
}

/// What the tables of a file are, without how they were made.
fn shape(path: &Path) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let sql = "SELECT t.name, t.wr, t.strict, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk \
               FROM pragma_table_list AS t JOIN pragma_table_info(t.name) AS c \
               WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%' \
               UNION ALL SELECT 'index', name, '', '', '', '', '', '' \
               FROM sqlite_schema WHERE type = 'index' \
               UNION ALL SELECT 'version', user_version, '', '', '', '', '', '' \
               FROM pragma_user_version \
               UNION ALL SELECT 'vacuum', auto_vacuum, '', '', '', '', '', '' \
               FROM pragma_auto_vacuum ORDER BY 1, 2, 4";
    let mut select = conn.prepare(sql).unwrap();
    let rows = select.query_map([], |row| {
        (0..8).map(|at| Ok(format!("{:?}", row.get_ref(at)?))).collect::<Result<Vec<_>, _>>()
    });
    rows.unwrap().map(|row| row.unwrap().join(" ")).collect()
}

#[test]
fn a_library_of_format_1_goes_on() {
    let (today, before) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = create(today.path());
    let (tag, entry) = (ModelId::of("tag"), ModelId::of("entry"));
    let named = record(&[("name", vec![version(1, 1, 10, text("x"))])]);
    store.begin().unwrap();
    for n in [1, 2, 1] {
        let set = next_set(&store, n, &[]);
        store.append(&set).unwrap();
    }
    store.put_record(tag, &key(1), &named).unwrap();
    store.put_record(ModelId::of("unknown"), &key(1), &named).unwrap();
    store.set_own_head(head(1, 2)).unwrap();
    store.put_owned(entry, &key(2), 1, Some(&[])).unwrap();
    store.put_owned(entry, &key(3), 2, None).unwrap();
    let acked = Acked { shared: store.vector().clone(), ..Acked::default() };
    store.set_acknowledged(device(4), acked.clone()).unwrap();
    store.commit().unwrap();
    store.flush_log().unwrap();
    store.begin().unwrap();
    // Of this one only library.db knows.
    let set = next_set(&store, 3, &[]);
    store.append(&set).unwrap();
    store.commit().unwrap();
    let (kept, log) = (state(&store), store.log(&Vector::new(), usize::MAX).unwrap());
    drop(store);

    as_format_1(today.path(), before.path());
    let mut store = SqliteStore::open(before.path(), schema()).unwrap();
    assert_eq!(state(&store), kept);
    assert!(!store.log_incomplete() && store.log_set_aside().is_none());
    assert_eq!(store.log(&Vector::new(), usize::MAX).unwrap(), log);
    assert_eq!(store.record(tag, &key(1)).unwrap(), named);
    let heard = store.acknowledged(&device(4)).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert!(now.abs_diff(heard.heard_ms.into()) < 3_600_000, "when it was is not known");
    assert_eq!(heard.shared, acked.shared);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(&snapshot.recompute_digests().unwrap().digests, store.digests());
    assert!(snapshot.check_structure(9).unwrap().is_empty());
    drop(snapshot);
    store.begin().unwrap();
    store.prune_log(&[(origin(1), 2)].into()).unwrap();
    store.put_mirror(tag, &key(1), &named).unwrap();
    store.prune_lane(&device(1), 2).unwrap();
    store.commit().unwrap();
    store.close().unwrap();
    for file in ["library.db", "sync.db"] {
        assert_eq!(shape(&before.path().join(file)), shape(&today.path().join(file)));
    }
    SqliteStore::open(before.path(), schema()).unwrap();
}

#[test]
fn a_log_of_format_1_of_another_library_is_put_aside_as_it_is() {
    let (today, before) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(SqliteStore::create(today.path(), identity(2), schema()).unwrap());
    as_format_1(today.path(), before.path());
    std::fs::remove_file(before.path().join("library.db")).unwrap();
    drop(create(&before.path().join("mine")));
    let (from, to) = (before.path().join("sync.db"), before.path().join("mine/sync.db"));
    std::fs::rename(from, to).unwrap();
    let store = SqliteStore::open(&before.path().join("mine"), schema()).unwrap();
    let aside = Connection::open(store.log_set_aside().unwrap()).unwrap();
    let format = aside.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    assert_eq!(format.unwrap(), 1);
}
