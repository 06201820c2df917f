//! Libraries of earlier formats are brought forward, and nothing of them is lost.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use common::format_1::as_format_1;
use common::*;
use driftless_core::schema::ModelId;
use driftless_core::store::{Acked, Store};
use driftless_core::version::Vector;
use driftless_store::SqliteStore;
use rusqlite::Connection;

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

/// What the `_sync` of the only tag begins with.
fn form(dir: &Path) -> u8 {
    let conn = Connection::open(dir.join("library.db")).unwrap();
    let sync: Vec<u8> = conn.query_row("SELECT _sync FROM tag", [], |row| row.get(0)).unwrap();
    sync[0]
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
    assert_eq!((form(today.path()), form(before.path())), (0, 1), "short, and as it was");
    let mut store = SqliteStore::open(before.path(), schema()).unwrap();
    assert_eq!(state(&store), kept);
    assert_eq!(form(before.path()), 1, "it stays until it is written");
    assert!(!store.log_incomplete() && store.log_set_aside().is_none());
    assert_eq!(store.log(&Vector::new(), usize::MAX).unwrap(), log);
    assert_eq!(store.record(tag, &key(1)).unwrap(), named);
    let heard = store.acknowledged(&device(4)).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert!(now.abs_diff(heard.heard_ms.into()) < 3_600_000, "when it was is not known");
    assert_eq!(heard.shared, acked.shared);
    let snapshot = store.snapshot().unwrap();
    assert_eq!(&snapshot.read_rows().unwrap().digests, store.digests());
    assert!(snapshot.check_structure(9).unwrap().is_empty());
    drop(snapshot);
    store.begin().unwrap();
    store.prune_log(&[(origin(1), 2)].into()).unwrap();
    store.put_mirror(tag, &key(1), &named).unwrap();
    store.put_record(tag, &key(1), &named).unwrap();
    store.prune_lane(&device(1), 2).unwrap();
    store.commit().unwrap();
    store.close().unwrap();
    assert_eq!(form(before.path()), 0, "it was written");
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
