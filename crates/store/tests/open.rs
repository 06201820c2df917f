//! Opening: what is a library, what is not, and what is refused.

mod common;

use common::*;
use driftless_core::id::Epoch;
use driftless_core::schema::ModelId;
use driftless_core::store::Store;
use driftless_store::{SqliteStore, StoreError};
use rusqlite::Connection;

#[test]
fn a_folder_without_a_library_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let open = |dir: &std::path::Path| SqliteStore::open(dir, schema()).unwrap_err();
    assert!(matches!(open(dir.path()), StoreError::NotALibrary { .. }));
    assert!(matches!(open(&dir.path().join("gone")), StoreError::NotALibrary { .. }));
    let path = dir.path().join("library.db");
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(open(dir.path()), StoreError::NotALibrary { .. }));
    std::fs::write(&path, vec![1u8; 5_000]).unwrap();
    assert!(matches!(open(dir.path()), StoreError::Damaged { .. }));
    std::fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    assert!(matches!(open(dir.path()), StoreError::NotALibrary { .. }));
    let taken = SqliteStore::create(dir.path(), identity(1), schema()).unwrap_err();
    assert!(matches!(taken, StoreError::Exists { .. }));
}

#[test]
fn a_library_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("a/b");
    drop(create(&place));
    let again = SqliteStore::create(&place, identity(2), schema()).unwrap_err();
    assert!(matches!(again, StoreError::Exists { .. }), "{again}");
    let store = SqliteStore::open(&place, schema()).unwrap();
    assert_eq!(store.identity(), &identity(1));
}

#[test]
fn a_new_epoch_is_kept_with_its_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    assert!(store.set_shared_epoch(Epoch(77)).is_err(), "outside of a transaction");
    store.begin().unwrap();
    store.set_shared_epoch(Epoch(77)).unwrap();
    store.rollback().unwrap();
    assert_eq!(store.identity(), &identity(1));
    store.begin().unwrap();
    store.set_shared_epoch(Epoch(78)).unwrap();
    assert_eq!(store.shared_epoch(), Some(Epoch(78)));
    store.commit().unwrap();
    drop(store);
    let store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert_eq!(store.identity().shared_epoch, Epoch(78));
}

#[test]
fn a_file_that_a_crash_left_empty_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("library.db"), b"").unwrap();
    drop(create(dir.path()));
    SqliteStore::open(dir.path(), schema()).unwrap();
}

#[test]
fn a_newer_library_is_refused_unharmed() {
    let dir = tempfile::tempdir().unwrap();
    drop(create(dir.path()));
    let path = dir.path().join("library.db");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = SqliteStore::open(dir.path(), schema()).unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 99, known: 3, .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_table_name_that_sqlite_keeps_for_itself_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("lib");
    let name = "sqlite_sequence";
    let fields = vec![field("a", driftless_core::schema::FieldType::Int)];
    let bad = model(name, driftless_core::schema::ModelKind::Owned, fields);
    let schema = driftless_core::schema::Schema::new([bad]).unwrap();
    SqliteStore::create(&place, identity(1), schema).unwrap_err();
    assert!(!place.exists());
}

#[test]
fn a_full_disk_refuses_the_write_and_nothing_is_half_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    let big = record(&[("name", vec![version(1, 1, 10, text(&"x".repeat(400_000)))])]);
    store.begin().unwrap();
    store.put_record(tag, &key(1), &record(&[])).unwrap();
    store.commit().unwrap();
    let before = state(&store);
    store.connection().pragma_update(None, "max_page_count", 60).unwrap();
    store.begin().unwrap();
    let full = store.put_record(tag, &key(2), &big).unwrap_err();
    assert!(matches!(full, StoreError::Full { .. }), "{full:?}");
    store.rollback().unwrap();
    assert_eq!(state(&store), before);
    store.begin().unwrap();
    store.savepoint().unwrap();
    store.put_record(tag, &key(2), &big).unwrap_err();
    match store.rollback_to() {
        Ok(()) => store.commit().unwrap(),
        Err(StoreError::TransactionLost { .. }) => store.rollback().unwrap(),
        Err(error) => panic!("{error:?}"),
    }
    assert_eq!(state(&store), before);
    store.connection().pragma_update(None, "max_page_count", 1_000_000).unwrap();
    store.begin().unwrap();
    store.put_record(tag, &key(2), &big).unwrap();
    store.commit().unwrap();
    assert_eq!(store.record(tag, &key(2)).unwrap(), big);
}

#[test]
fn a_second_writer_waits_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut one = create(dir.path());
    let options = driftless_store::StoreOptions {
        busy_timeout: std::time::Duration::from_millis(1),
        ..Default::default()
    };
    let mut two = SqliteStore::open_with(dir.path(), schema(), options).unwrap();
    one.begin().unwrap();
    assert!(matches!(two.begin(), Err(StoreError::Busy { .. })));
    one.rollback().unwrap();
    two.begin().unwrap();
}

#[test]
fn readers_read_beside_the_writer_and_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.begin().unwrap();
    store.put_record(ModelId::of("tag"), &key(1), &record(&[])).unwrap();
    let reader = store.reader().unwrap();
    let count = move || -> i64 {
        reader.execute("DELETE FROM tag", []).unwrap_err();
        reader.query_row("SELECT count(*) FROM tag", [], |row| row.get(0)).unwrap()
    };
    let (count, seen) =
        std::thread::spawn(move || (count(), count)).join().map(|(n, c)| (c, n)).unwrap();
    assert_eq!(seen, 0);
    store.commit().unwrap();
    assert_eq!(count(), 1);
}
