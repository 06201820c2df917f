//! What the room of the files is used for, and that room which is not used is given back.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;

use common::*;
use driftless_core::change::{Change, Op, Write};
use driftless_core::id::RecordKey;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::Store;
use driftless_store::{Room, SqliteStore};

const TAG_LOG: u64 = 40;

fn size(dir: &Path, file: &str) -> u64 {
    std::fs::metadata(dir.join(file)).unwrap().len()
}

fn keys(count: u16) -> impl Iterator<Item = RecordKey> {
    (0..count).map(|n| RecordKey::new(&n.to_be_bytes()).unwrap())
}

/// Logs a change set for each of so many tags.
fn log_tags(store: &mut SqliteStore, count: u16) {
    store.begin().unwrap();
    for key in keys(count) {
        let write = Write { field: FieldId::of("name"), value: text("some name"), over: vec![] };
        let op = Op::Create { over: vec![], fields: vec![write] };
        let change = Change { model: ModelId::of("tag"), key, op };
        let set = next_set(store, 1, &[change]);
        store.append(&set).unwrap();
    }
    store.commit().unwrap();
}

/// Deletes so many rows of this device, each by a seq of its own.
fn bury(store: &mut SqliteStore, count: u16) {
    store.begin().unwrap();
    store.set_own_head(head(1, count.into())).unwrap();
    for (key, seq) in keys(count).zip(1..) {
        store.put_owned(ModelId::of("entry"), &key, seq, None).unwrap();
    }
    store.commit().unwrap();
}

fn assert_whole(dir: &Path, room: &Room) {
    assert_eq!(room.total(), size(dir, "library.db") + size(dir, "sync.db"), "{room:?}");
}

#[test]
fn all_parts_together_are_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let empty = Room::measure(dir.path()).unwrap();
    assert_eq!((empty.stamps, empty.change_sets, empty.tombstone_rows), (0, 0, 0));
    log_tags(&mut store, 1_000);
    bury(&mut store, 3_000);
    let waiting = Room::measure(dir.path()).unwrap();
    assert_eq!((waiting.change_sets, waiting.tombstone_rows), (1_000, 3_000));
    assert!(waiting.log > empty.log + 1_000 * TAG_LOG, "{waiting:?}");
    assert!(waiting.tombstones > empty.tombstones + 3_000 * 8, "{waiting:?}");
    store.close().unwrap();
    let room = Room::measure(dir.path()).unwrap();
    assert_eq!((room.change_sets, room.tombstone_rows), (1_000, 3_000));
    assert_whole(dir.path(), &room);
}

#[test]
fn who_asks_for_it_gets_all_free_room_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.begin().unwrap();
    store.commit().unwrap();
    store.give_all_back();
    while store.sweep().unwrap() {}
    let before = [size(dir.path(), "library.db"), size(dir.path(), "sync.db")];
    log_tags(&mut store, 300);
    bury(&mut store, 300);
    store.flush_log().unwrap();
    store.begin().unwrap();
    store.prune_log(&[(origin(1), 300)].into()).unwrap();
    store.prune_lane(&device(1), 300).unwrap();
    store.commit().unwrap();
    while store.sweep().unwrap() {}
    let idle = Room::measure(dir.path()).unwrap();
    assert!(idle.free > 0, "a little is kept to be used again: {idle:?}");
    store.give_all_back();
    assert!(store.is_unswept());
    while store.sweep().unwrap() {}
    let room = Room::measure(dir.path()).unwrap();
    assert_eq!((room.free, room.change_sets, room.tombstone_rows), (0, 0, 0), "{room:?}");
    // Without closing: the write-ahead logs have been moved.
    let after = [size(dir.path(), "library.db"), size(dir.path(), "sync.db")];
    for (after, before) in after.into_iter().zip(before) {
        assert!(after <= before + 3 * 8_192, "{before}, then {after}");
    }
    assert_whole(dir.path(), &room);
    assert_eq!(size(dir.path(), "library.db-wal") + size(dir.path(), "sync.db-wal"), 0);
}

#[test]
fn a_reader_in_the_way_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let reader = store.reader().unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM _tombstone").unwrap();
    bury(&mut store, 300);
    store.give_all_back();
    while store.sweep().unwrap() {}
    assert!(!store.is_unswept());
    reader.execute_batch("COMMIT").unwrap();
    bury(&mut store, 301);
    store.give_all_back();
    while store.sweep().unwrap() {}
    assert_eq!(size(dir.path(), "library.db-wal"), 0);
}
