//! What a process or a machine that stops leaves behind, and what people do to files.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;

use common::*;
use driftless_core::id::RecordKey;
use driftless_core::page::Cursor;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{KeyRange, Store};
use driftless_core::value::Value;
use driftless_core::version::Vector;
use driftless_store::{SqliteStore, StoreError};
use rusqlite::Connection;

const FILES: [&str; 6] =
    ["library.db", "library.db-wal", "library.db-shm", "sync.db", "sync.db-wal", "sync.db-shm"];

/// Copies what a process that is killed now would leave. The `-shm` files are no part of it: they
/// are made anew.
fn copy(from: &Path, to: &Path, only: &str) {
    std::fs::create_dir_all(to).unwrap();
    for file in FILES.iter().filter(|file| file.starts_with(only)) {
        std::fs::remove_file(to.join(file)).ok();
        if from.join(file).exists() && !file.ends_with("-shm") {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }
}

fn write(store: &mut SqliteStore, n: u8) {
    store.begin().unwrap();
    let set = next_set(store, n, &[]);
    store.append(&set).unwrap();
    let named = record(&[("name", vec![version(1, 1, 10, text("x"))])]);
    store.put_record(ModelId::of("tag"), &key(n), &named).unwrap();
    store.commit().unwrap();
}

fn all(store: &mut SqliteStore) -> usize {
    store.log(&Vector::new(), usize::MAX).unwrap().len()
}

#[test]
fn a_process_that_is_killed_leaves_what_it_committed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = create(dir.path());
    write(&mut store, 1);
    let committed = state(&store);
    store.begin().unwrap();
    let big = record(&[("name", vec![version(1, 1, 10, text(&"x".repeat(900_000)))])]);
    for n in 0..60 {
        store.put_record(ModelId::of("tag"), &key(n), &big).unwrap();
    }
    copy(dir.path(), other.path(), "");
    let copy = SqliteStore::open(other.path(), schema()).unwrap();
    assert_eq!(state(&copy), committed);
    assert!(copy.snapshot().unwrap().check_structure(10).unwrap().is_empty());
}

#[test]
fn a_kill_between_the_two_files_leaves_each_change_set_once() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = create(dir.path());
    for n in [1, 2, 1] {
        write(&mut store, n);
    }
    store.flush_log().unwrap();
    copy(dir.path(), other.path(), "");
    let mut copy = SqliteStore::open(other.path(), schema()).unwrap();
    assert_eq!((all(&mut copy), copy.log_incomplete()), (3, false));
    write(&mut copy, 2);
    copy.flush_log().unwrap();
    write(&mut copy, 3);
    assert_eq!(all(&mut copy), 5);
    copy.close().unwrap();
    let log = Connection::open(other.path().join("sync.db")).unwrap();
    let rows: i64 = log.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 5);
    assert!(!other.path().join("library.db-wal").exists());
}

#[test]
fn an_older_log_raises_the_floors_and_goes_on() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = create(dir.path());
    write(&mut store, 1);
    store.close().unwrap();
    copy(dir.path(), other.path(), "sync.db");
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    write(&mut store, 1);
    write(&mut store, 2);
    let have = store.vector().clone();
    store.close().unwrap();
    copy(other.path(), dir.path(), "sync.db");
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert!(store.log_incomplete());
    assert_eq!(*store.floors(), [(origin(1), 2), (origin(2), 1)].into());
    assert_eq!(all(&mut store), 0);
    write(&mut store, 1);
    store.flush_log().unwrap();
    assert_eq!(store.log(&have, usize::MAX).unwrap().len(), 1);
    while store.sweep().unwrap() {}
    assert_eq!(all(&mut store), 1);
    store.close().unwrap();
    let log = Connection::open(dir.path().join("sync.db")).unwrap();
    let rows: i64 = log.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1, "what is below a floor is of no use any more");
}

#[test]
fn an_older_library_does_not_serve_what_it_does_not_hold() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = create(dir.path());
    write(&mut store, 1);
    store.close().unwrap();
    copy(dir.path(), other.path(), "library.db");
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    write(&mut store, 1);
    write(&mut store, 2);
    store.close().unwrap();
    copy(other.path(), dir.path(), "library.db");
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert_eq!((all(&mut store), store.log_incomplete()), (1, false));
    for (n, count) in [(2, 2), (1, 3)] {
        write(&mut store, n);
        store.flush_log().unwrap();
        assert_eq!(all(&mut store), count);
    }
    drop(store);
    let log = Connection::open(dir.path().join("sync.db")).unwrap();
    let kept: i64 = log.query_row("SELECT count(*) FROM beyond", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 2, "they may be the last copies");
}

/// Forgets the log of two origins.
fn forget(store: &mut SqliteStore, upto: [(u8, u64); 2]) {
    store.begin().unwrap();
    store.prune_log(&upto.map(|(n, seq)| (origin(n), seq)).into()).unwrap();
    store.commit().unwrap();
}

#[test]
fn a_kill_while_it_forgets_neither_brings_back_nor_loses_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    for n in [1, 2, 1, 2, 1] {
        write(&mut store, n);
    }
    store.flush_log().unwrap();
    for n in [1, 2] {
        write(&mut store, n);
    }
    let before = state(&store);
    let check = |name: &str, expected: (usize, &[u64])| {
        let other = tempfile::tempdir().unwrap();
        copy(dir.path(), other.path(), "");
        let mut copy = SqliteStore::open(other.path(), schema()).unwrap();
        let floors: Vec<u64> = copy.floors().values().copied().collect();
        assert_eq!((all(&mut copy), &floors[..]), expected, "{name}");
        assert!(!copy.log_incomplete(), "{name}");
        while copy.sweep().unwrap() {}
        copy.flush_log().unwrap();
        write(&mut copy, 3);
        assert_eq!(all(&mut copy), expected.0 + 1, "{name}");
    };
    store.begin().unwrap();
    store.prune_log(&[(origin(1), 4)].into()).unwrap();
    check("not committed", (7, &[]));
    store.rollback().unwrap();
    assert_eq!(state(&store), before);
    forget(&mut store, [(1, 4), (2, 1)]);
    check("committed", (2, &[4, 1]));
    store.flush_log().unwrap();
    check("moved", (2, &[4, 1]));
    store.sweep().unwrap();
    check("swept", (2, &[4, 1]));
    store.begin().unwrap();
    store.commit().unwrap();
    check("removed from library.db", (2, &[4, 1]));
    let adopted = driftless_core::version::Head { seq: 9, hash: [9; 32] };
    store.begin().unwrap();
    store.adopt(&[(origin(2), adopted)].into_iter().collect()).unwrap();
    store.commit().unwrap();
    check("adopted", (0, &[4, 9]));
}

#[test]
fn an_older_library_beside_a_log_that_has_forgotten_more_raises_its_floors() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut store = create(dir.path());
    for n in [1, 2, 1, 2] {
        write(&mut store, n);
    }
    store.close().unwrap();
    copy(dir.path(), other.path(), "library.db");
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    forget(&mut store, [(1, 1), (2, 2)]);
    while store.sweep().unwrap() {}
    store.close().unwrap();
    copy(other.path(), dir.path(), "library.db");
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert!(store.log_incomplete());
    assert_eq!(*store.floors(), [(origin(1), 1), (origin(2), 2)].into());
    assert_eq!(all(&mut store), 1);
}

#[test]
fn a_flipped_byte_is_found_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let (tag, entry) = (ModelId::of("tag"), ModelId::of("entry"));
    store.begin().unwrap();
    store.set_own_head(head(1, 1)).unwrap();
    let named = record(&[("name", vec![version(1, 1, 10, text("needle"))])]);
    store.put_record(tag, &key(1), &named).unwrap();
    store.put_record(tag, &key(2), &record(&[])).unwrap();
    let fields = [(FieldId::of("name"), text("haystack"))];
    store.put_owned(entry, &key(3), 1, Some(&fields)).unwrap();
    store.commit().unwrap();
    store.close().unwrap();
    let path = dir.path().join("library.db");
    let mut bytes = std::fs::read(&path).unwrap();
    for (what, with) in [(b"needle", b"Needle"), (b"haysta", b"Haysta")] {
        for at in 0..bytes.len() - 6 {
            if &bytes[at..at + 6] == what {
                bytes[at..at + 6].copy_from_slice(with);
            }
        }
    }
    std::fs::write(&path, bytes).unwrap();
    let store = SqliteStore::open(dir.path(), schema()).unwrap();
    let snapshot = store.snapshot().unwrap();
    let read = snapshot.read_rows().unwrap();
    let mut damaged: Vec<_> = read.bad.iter().map(|row| row.model.unwrap()).collect();
    damaged.sort();
    let mut expected = vec![tag, entry];
    expected.sort();
    assert_eq!(damaged, expected);
    assert_ne!(&read.digests, store.digests());
}

#[test]
fn no_garbage_in_the_file_makes_it_panic() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    write(&mut store, 1);
    store.begin().unwrap();
    store.set_own_head(head(1, 1)).unwrap();
    store.put_owned(ModelId::of("entry"), &key(3), 1, Some(&[])).unwrap();
    store.put_owned(ModelId::of("unknown"), &key(3), 1, Some(&[])).unwrap();
    store.put_owned(ModelId::of("unknown"), &key(4), 1, None).unwrap();
    store.put_record(ModelId::of("unknown"), &key(3), &record(&[])).unwrap();
    store.put_mirror(ModelId::of("tag"), &key(3), &record(&[])).unwrap();
    store.commit().unwrap();
    for sql in [
        "UPDATE tag SET _sync = x'ff00'",
        "UPDATE entry SET _seq = -1",
        "UPDATE entry SET _seq = 1, _more = x'0109'",
        "UPDATE entry SET _more = NULL, _lane = 77",
        "UPDATE _unknown_owned SET fields = x'77'",
        "UPDATE _unknown_owned SET key = x''",
        "UPDATE _unknown_owned SET model = -4",
        "UPDATE _unknown_shared SET record = x'7f7f'",
        "UPDATE _tombstone SET seq = -9",
        "UPDATE _unlogged SET bytes = x'00'",
        "UPDATE _unlogged SET origin = 99",
        "UPDATE _lane SET session = x'09'",
        "UPDATE _lane SET session = NULL, seq = -1",
        "UPDATE _vector SET hash = x'00'",
        "UPDATE _vector SET origin = 55",
        "UPDATE _vector SET origin = 1, floor = 77",
        "UPDATE _vector SET floor = -1",
        "UPDATE _mirror SET sum = 5",
        "UPDATE _mirror SET record = x'7f'",
        "UPDATE _mirror SET record = NULL",
        "UPDATE _mirror SET key = x''",
        "UPDATE _digest SET sum = -1",
        "UPDATE _field SET type = 99",
        "UPDATE _model SET kind = 99",
        "UPDATE _meta SET value = 'text'",
        "DELETE FROM _meta",
        "DROP TABLE _lane",
    ] {
        store.connection().execute_batch(sql).unwrap();
        use_everything(&mut store);
        if let Ok(mut store) = SqliteStore::open(dir.path(), schema()) {
            use_everything(&mut store);
        }
    }
}

/// Calls whatever reads; only that nothing panics matters.
fn use_everything(store: &mut SqliteStore) {
    let (tag, unknown) = (ModelId::of("tag"), ModelId::of("unknown"));
    let mut errors = Vec::new();
    errors.extend(store.record(tag, &key(1)).err());
    errors.extend(store.record(unknown, &key(3)).err());
    errors.extend(store.log(&Vector::new(), usize::MAX).err());
    errors.extend(store.read_page(&device(1), &Cursor::after(0), 10, 1_000).err());
    errors.extend(store.quarantine(None, 10).err());
    errors.extend(store.mirrored(None, 10).err());
    errors.extend(store.sweep().err());
    errors.extend(store.pin(device(9)).err());
    if store.is_pinned(&device(9)) {
        for model in [tag, unknown] {
            let all = KeyRange::default();
            errors.extend(store.pinned_buckets(&device(9), model, &all, 1, 10).err());
            errors.extend(store.pinned_records(&device(9), model, &all, 10).err());
        }
    }
    store.unpin(&device(9));
    match store.snapshot() {
        Err(error) => errors.push(error),
        Ok(snapshot) => {
            errors.extend(snapshot.read_rows().err());
            for model in [tag, unknown, ModelId::of("entry")] {
                errors.extend(snapshot.records(model, None, 10).err());
                errors.extend(snapshot.rows(model, None, 10).err());
            }
        }
    }
    if store.begin().is_ok() {
        let fields = [(FieldId::of("name"), Value::Int(1))];
        for model in [unknown, ModelId::of("entry")] {
            errors.extend(store.put_owned(model, &key(3), 2, Some(&fields)).err());
            errors.extend(store.put_owned(model, &key(3), 3, None).err());
        }
        for model in [tag, unknown] {
            errors.extend(store.mirror_digest(model, &KeyRange::default()).err());
            errors.extend(store.mirror_range(model, &KeyRange::default(), &[]).err());
        }
        let vector = store.vector().clone();
        let upto = vector.iter().map(|(origin, head)| (*origin, head.seq)).collect();
        errors.extend(store.prune_log(&upto).err());
        errors.extend(store.prune_lane(&device(1), 10).err());
        errors.extend(store.set_own_head(head(9, 1)).err());
        errors.extend(store.drop_session(&device(1)).err());
        errors.extend(store.rollback().err());
    }
    for error in errors {
        let refused = matches!(error, StoreError::Damaged { .. } | StoreError::Sql { .. });
        let refused = refused || matches!(error, StoreError::NotExact(_));
        assert!(refused || matches!(error, StoreError::LogGap { .. }), "{error:?}");
    }
}

#[test]
fn a_seq_with_very_many_rows_is_paged_by_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let (entry, volume) = (ModelId::of("entry"), ModelId::of("volume"));
    let key = |n: u32| {
        // In an order that is not that of the keys.
        RecordKey::new(&n.wrapping_mul(2_654_435_761).to_be_bytes()).unwrap()
    };
    store.begin().unwrap();
    store.set_own_head(head(1, 3)).unwrap();
    let mut expected = Vec::new();
    for n in 0..20_600 {
        let (model, seq) = match n {
            0..20_200 => (entry, 2),
            20_200..20_400 => (volume, 2),
            n => (entry, u64::from(n % 3) + 1),
        };
        store.put_owned(model, &key(n), seq, (n % 3_000 != 0).then_some(&[])).unwrap();
        expected.push((seq, model, key(n)));
    }
    store.commit().unwrap();
    expected.sort();
    let mut found = Vec::new();
    let mut cursor = Cursor::after(0);
    while cursor < Cursor::after(3) {
        let page = store.read_page(&device(1), &cursor, 1_500, usize::MAX).unwrap();
        let mut rows = driftless_core::page::PageReader::new(&page.rows).unwrap();
        let (mut values, mut extras) = (vec![], vec![]);
        while let Some(row) = rows.next_row(&mut values, &mut extras).unwrap() {
            let model = rows.models()[row.model].model;
            found.push((row.seq, model, RecordKey::new(row.key).unwrap()));
        }
        cursor = page.next;
    }
    assert_eq!(found.len(), expected.len());
    assert!(found == expected);
}

#[test]
fn room_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    let big = record(&[("name", vec![version(1, 1, 10, text(&"x".repeat(500_000)))])]);
    for record in [&big, &Default::default()] {
        store.begin().unwrap();
        store.put_record(tag, &key(1), record).unwrap();
        store.commit().unwrap();
    }
    let free = store.sizes().unwrap().free;
    assert!(free > 500_000, "{free}");
    assert!(store.give_back(64).unwrap());
    while store.give_back(64).unwrap() {}
    assert_eq!(store.sizes().unwrap().free, 0);
}
