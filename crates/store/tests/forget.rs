//! Floors: what is forgotten, when, and what a crash leaves of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;

use common::*;
use driftless_core::change::{Change, ChangeSet, Op, Write};
use driftless_core::id::RecordKey;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{Floors, Store};
use driftless_core::version::{Head, Vector};
use driftless_store::{SqliteStore, StoreError};
use rusqlite::Connection;

fn append(store: &mut SqliteStore, n: u8) -> ChangeSet {
    store.begin().unwrap();
    let set = next_set(store, n, &[]);
    store.append(&set).unwrap();
    store.commit().unwrap();
    set
}

fn log(store: &mut SqliteStore) -> Vec<ChangeSet> {
    store.log(&Vector::new(), usize::MAX).unwrap()
}

fn prune(store: &mut SqliteStore, upto: &[(u8, u64)]) -> u64 {
    let upto: Floors = upto.iter().map(|(n, seq)| (origin(*n), *seq)).collect();
    store.begin().unwrap();
    let gone = store.prune_log(&upto).unwrap();
    store.commit().unwrap();
    gone
}

fn sweep(store: &mut SqliteStore) {
    while store.sweep().unwrap() {}
}

/// How many rows a table has.
fn rows(dir: &Path, file: &str, table: &str) -> i64 {
    let conn = Connection::open(dir.join(file)).unwrap();
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn what_is_forgotten_is_not_served_and_goes_from_both_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let mut all = Vec::new();
    for n in [1, 2, 1, 1] {
        all.push(append(&mut store, n));
    }
    store.flush_log().unwrap();
    for n in [2, 1] {
        all.push(append(&mut store, n));
    }
    assert_eq!(prune(&mut store, &[(1, 3), (2, 2)]), 5);
    assert_eq!(prune(&mut store, &[(1, 2), (2, 2)]), 0, "floors never fall");
    assert_eq!(*store.floors(), [(origin(1), 3), (origin(2), 2)].into());
    assert_eq!(log(&mut store), all[5..]);
    assert_eq!(rows(dir.path(), "sync.db", "log"), 4);
    store.flush_log().unwrap();
    store.begin().unwrap();
    store.commit().unwrap();
    assert_eq!(rows(dir.path(), "library.db", "_unlogged"), 0);
    assert_eq!(rows(dir.path(), "sync.db", "log"), 5, "the forgotten one was not moved");
    sweep(&mut store);
    assert_eq!(rows(dir.path(), "sync.db", "log"), 1);
    assert_eq!(log(&mut store), all[5..]);
    drop(store);
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert_eq!(*store.floors(), [(origin(1), 3), (origin(2), 2)].into());
    assert!(!store.log_incomplete());
    assert_eq!(log(&mut store), all[5..]);
    all.push(append(&mut store, 2));
    assert_eq!(log(&mut store), all[5..]);
}

#[test]
fn a_floor_that_was_rolled_back_forgets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let all = [append(&mut store, 1), append(&mut store, 1)];
    store.flush_log().unwrap();
    store.begin().unwrap();
    assert!(matches!(store.sweep(), Err(StoreError::Nested)));
    assert_eq!(store.prune_log(&[(origin(1), 2)].into()).unwrap(), 2);
    assert!(store.log(&Vector::new(), usize::MAX).unwrap().is_empty());
    store.rollback().unwrap();
    sweep(&mut store);
    assert!(store.floors().is_empty());
    assert_eq!(log(&mut store), all);
}

#[test]
fn a_floor_stays_within_the_vector() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    append(&mut store, 1);
    assert_eq!(prune(&mut store, &[(1, 9), (2, 5)]), 1);
    assert_eq!(*store.floors(), [(origin(1), 1)].into());
}

#[test]
fn many_forgotten_change_sets_go_in_slices_and_their_room_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let write = Write { field: FieldId::of("name"), value: text(&"x".repeat(3_000)), over: vec![] };
    let op = Op::Create { over: vec![], fields: vec![write] };
    let change = Change { model: ModelId::of("tag"), key: key(1), op };
    store.begin().unwrap();
    for _ in 0..2_500 {
        let set = next_set(&store, 1, std::slice::from_ref(&change));
        store.append(&set).unwrap();
    }
    store.commit().unwrap();
    store.flush_log().unwrap();
    assert_eq!(prune(&mut store, &[(1, 2_499)]), 2_499);
    assert!(store.is_unswept());
    assert!(store.sweep().unwrap());
    let left = rows(dir.path(), "sync.db", "log");
    assert!((1_000..2_500).contains(&left), "{left}");
    // Beside it everything goes on.
    assert_eq!(log(&mut store).len(), 1);
    append(&mut store, 2);
    sweep(&mut store);
    assert!(!store.is_unswept());
    assert_eq!(rows(dir.path(), "sync.db", "log"), 1);
    assert_eq!(log(&mut store).len(), 2);
    store.close().unwrap();
    let size = std::fs::metadata(dir.path().join("sync.db")).unwrap().len();
    assert!(size < 3 << 20, "{size}");
}

#[test]
fn heads_that_are_adopted_are_floors() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    append(&mut store, 1);
    append(&mut store, 2);
    let head = |seq| Head { seq, hash: [7; 32] };
    let behind = store.vector().head(&origin(2)).unwrap();
    let vector: Vector =
        [(origin(1), head(5)), (origin(2), head(1)), (origin(3), head(2))].into_iter().collect();
    store.begin().unwrap();
    store.adopt(&vector).unwrap();
    store.commit().unwrap();
    let expected: Vector =
        [(origin(1), head(5)), (origin(2), behind), (origin(3), head(2))].into_iter().collect();
    for _ in 0..2 {
        assert_eq!(store.vector(), &expected);
        assert_eq!(*store.floors(), [(origin(1), 5), (origin(3), 2)].into());
        assert_eq!(log(&mut store).len(), 1);
        drop(store);
        store = SqliteStore::open(dir.path(), schema()).unwrap();
        assert!(!store.log_incomplete());
    }
    let next = append(&mut store, 1);
    assert_eq!(next.header().seq, 6);
    store.flush_log().unwrap();
    assert_eq!(log(&mut store).len(), 2);
    store.begin().unwrap();
    let beyond = [(origin(1), head(u64::MAX))].into_iter().collect();
    assert!(matches!(store.adopt(&beyond), Err(StoreError::SeqRange(u64::MAX))));
    store.rollback().unwrap();
}

#[test]
fn a_hole_in_the_log_raises_the_floor_to_its_end_and_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let mut all: Vec<ChangeSet> = (0..8).map(|_| append(&mut store, 1)).collect();
    all.extend((0..3).map(|_| append(&mut store, 2)));
    store.close().unwrap();
    let log_db = Connection::open(dir.path().join("sync.db")).unwrap();
    log_db.execute_batch("DELETE FROM log WHERE pos IN (3, 5)").unwrap();
    drop(log_db);
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert!(store.log_incomplete());
    assert_eq!(*store.floors(), [(origin(1), 5)].into());
    assert_eq!(log(&mut store), all[5..]);
    sweep(&mut store);
    assert_eq!(log(&mut store), all[5..]);
    store.close().unwrap();
    // The last ones are gone too.
    let log_db = Connection::open(dir.path().join("sync.db")).unwrap();
    log_db.execute_batch("DELETE FROM log WHERE pos >= 10").unwrap();
    drop(log_db);
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert_eq!(*store.floors(), [(origin(1), 5), (origin(2), 3)].into());
    assert_eq!(log(&mut store), all[5..8]);
    assert!(!SqliteStore::open(dir.path(), schema()).unwrap().log_incomplete());
}

#[test]
fn tombstones_are_forgotten_lane_by_lane() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let entry = ModelId::of("entry");
    let many: Vec<_> = (0..4_100u16).map(|n| RecordKey::new(&n.to_be_bytes()).unwrap()).collect();
    store.begin().unwrap();
    assert!(matches!(store.prune_lane(&device(1), 9), Err(StoreError::NotExact(_))));
    store.set_own_head(head(1, 3)).unwrap();
    assert_eq!(store.prune_lane(&device(1), 9).unwrap(), 0);
    for (n, key) in many.iter().enumerate() {
        store.put_owned(entry, key, 1 + n as u64 / 4_050, None).unwrap();
    }
    store.put_owned(entry, &key(1), 3, None).unwrap();
    store.commit().unwrap();
    let kept = state(&store);
    let floor = |store: &SqliteStore| store.lane(&device(1)).unwrap().floor;
    store.begin().unwrap();
    assert_eq!(store.prune_lane(&device(1), 2).unwrap(), 4_000);
    assert_eq!(floor(&store), 1);
    store.rollback().unwrap();
    assert_eq!(state(&store), kept);
    store.begin().unwrap();
    for gone in [4_000, 100, 0] {
        assert_eq!(store.prune_lane(&device(1), 2).unwrap(), gone);
    }
    assert_eq!(floor(&store), 2);
    store.commit().unwrap();
    sweep(&mut store);
    drop(store);
    let store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert_eq!(floor(&store), 2);
    assert_eq!(rows(dir.path(), "library.db", "_tombstone"), 1);
}

#[test]
fn the_floor_of_a_lane_does_not_fall_to_the_tombstones_that_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.begin().unwrap();
    for head in [head(1, 1), head(2, 5)] {
        store.set_own_head(head).unwrap();
    }
    let floor = |store: &SqliteStore| store.lane(&device(1)).unwrap().floor;
    assert_eq!(floor(&store), 5, "a new life restates everything");
    store.put_owned(ModelId::of("entry"), &key(1), 3, None).unwrap();
    assert_eq!(store.prune_lane(&device(1), 4).unwrap(), 1);
    assert_eq!(floor(&store), 5);
}
