//! Shared records, the log, local values, transactions.

mod common;

use common::*;
use driftless_core::clock::Hlc;
use driftless_core::merge::Lost;
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{Acked, Store};
use driftless_core::value::Value;
use driftless_core::version::Vector;
use driftless_store::{Reason, SqliteStore, StoreError};

#[test]
fn a_record_comes_back_as_it_was_and_shows_in_its_table() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    let record = record(&[
        ("name", vec![version(1, 1, 10, text("old")), version(2, 4, 20, text("new"))]),
        ("order", vec![version(1, 1, 10, Value::Int(i64::MIN))]),
        ("count", vec![version(1, 2, 11, Value::Int(3)), version(2, 1, 12, Value::Int(4))]),
    ]);
    store.begin().unwrap();
    store.put_record(tag, &key(1), &record).unwrap();
    assert_eq!(store.record(tag, &key(1)).unwrap(), record);
    store.commit().unwrap();
    let reader = store.reader().unwrap();
    let row = reader
        .query_row("SELECT name, \"order\", color, count FROM tag", [], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get(1)?,
                row.get::<_, Option<String>>(2)?,
                row.get(3)?,
            ))
        })
        .unwrap();
    assert_eq!(row, ("new".into(), i64::MIN, None, 7i64));
    assert_eq!(store.digests()[&tag].rows, 1);
    drop(store);
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert_eq!(store.record(tag, &key(1)).unwrap(), record);
    store.begin().unwrap();
    store.put_record(tag, &key(1), &Record::default()).unwrap();
    store.commit().unwrap();
    assert!(store.digests().is_empty());
    assert_eq!(store.record(tag, &key(1)).unwrap(), Record::default());
}

#[test]
fn what_does_not_fit_waits_in_quarantine_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let (tag, unknown) = (ModelId::of("tag"), ModelId::of("from_the_future"));
    let odd = record(&[
        ("name", vec![version(1, 1, 10, Value::Int(5))]),
        ("sparkle", vec![version(1, 1, 10, text("yes"))]),
    ]);
    let whole = record(&[("any", vec![version(1, 1, 10, Value::Real(0.5))])]);
    store.begin().unwrap();
    store.put_record(tag, &key(1), &odd).unwrap();
    store.put_record(unknown, &key(2), &whole).unwrap();
    store.commit().unwrap();
    assert_eq!(store.record(tag, &key(1)).unwrap(), odd);
    assert_eq!(store.record(unknown, &key(2)).unwrap(), whole);
    assert_eq!(store.digests()[&unknown].rows, 1);
    let mut reasons: Vec<_> =
        store.quarantine(None, 10).unwrap().iter().map(|q| (q.field, q.reason)).collect();
    reasons.sort_by_key(|(field, _)| *field);
    let mut expected = vec![
        (None, Reason::UnknownModel),
        (Some(FieldId::of("name")), Reason::RefusedValue),
        (Some(FieldId::of("sparkle")), Reason::UnknownField),
    ];
    expected.sort_by_key(|(field, _)| *field);
    assert_eq!(reasons, expected);
    assert_eq!(store.quarantined().unwrap(), 3);
    let waiting = store.quarantine(None, 10).unwrap();
    assert!(waiting.iter().all(|waits| waits.device == Some(device(1))), "{waiting:?}");
    for at in 0..waiting.len() {
        let rest = store.quarantine(Some(&waiting[at]), 10).unwrap();
        assert_eq!(rest, waiting[at + 1..]);
        assert_eq!(store.quarantine(None, at).unwrap(), waiting[..at]);
    }
    store.begin().unwrap();
    for waits in &waiting {
        store.retry(waits).unwrap();
    }
    store.commit().unwrap();
    assert_eq!(store.quarantine(None, 10).unwrap(), waiting, "the same version knows no more");
    assert_eq!(store.record(tag, &key(1)).unwrap(), odd);
    store.begin().unwrap();
    store
        .put_record(tag, &key(1), &record(&[("name", vec![version(1, 2, 11, text("n"))])]))
        .unwrap();
    store.commit().unwrap();
    assert_eq!(store.quarantined().unwrap(), 1);
}

#[test]
fn a_record_without_a_life_is_kept_and_does_not_show() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    let alive = record(&[("name", vec![version(1, 1, 10, text("a"))])]);
    let ended = Record { lives: [].into(), ..alive.clone() };
    let count = |store: &SqliteStore| -> i64 {
        store.connection().query_row("SELECT count(*) FROM tag", [], |row| row.get(0)).unwrap()
    };
    store.begin().unwrap();
    for (record, rows) in [(&alive, 1), (&ended, 0), (&alive, 1)] {
        store.put_record(tag, &key(1), record).unwrap();
        assert_eq!(store.record(tag, &key(1)).unwrap(), *record);
        assert_eq!((count(&store), store.digests()[&tag].rows), (rows, 1));
    }
    assert_eq!(store.quarantined().unwrap(), 0);
    store.rollback().unwrap();
    assert!(store.digests().is_empty());
}

#[test]
fn the_log_gives_what_is_lacking_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let mut all = Vec::new();
    let mut heads = vec![Vector::new()];
    let append = |store: &mut SqliteStore, all: &mut Vec<_>, heads: &mut Vec<Vector>, n| {
        store.begin().unwrap();
        let set = next_set(store, n, &[]);
        store.append(&set).unwrap();
        store.commit().unwrap();
        all.push(set);
        heads.push(store.vector().clone());
    };
    for n in [1, 2, 1, 1, 3] {
        append(&mut store, &mut all, &mut heads, n);
    }
    store.flush_log().unwrap();
    assert_eq!(store.unflushed(), 0);
    // Copied and not yet removed: each is still given once.
    assert_eq!(store.log(&Vector::new(), usize::MAX).unwrap(), all);
    for n in [2, 3] {
        append(&mut store, &mut all, &mut heads, n);
    }
    assert_eq!(store.unflushed(), 2);
    for (at, have) in heads.iter().enumerate() {
        assert_eq!(store.log(have, usize::MAX).unwrap(), all[at..]);
    }
    assert_eq!(store.log(&heads[3], 1).unwrap(), all[3..4]);
    let two = all[3].bytes().len() + all[4].bytes().len();
    assert_eq!(store.log(&heads[3], two).unwrap(), all[3..5]);
    drop(store);
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert!(!store.log_incomplete());
    assert_eq!(store.log(&Vector::new(), usize::MAX).unwrap(), all);
    assert_eq!(store.vector(), heads.last().unwrap());
}

/// What a transaction has logged is read before it ends, wherever it comes from: as much as is asked for,
/// without what was undone.
#[test]
fn the_log_is_read_within_the_transaction_that_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let append = |store: &mut SqliteStore, n: u8| {
        let set = next_set(store, n, &[]);
        store.append(&set).unwrap();
        set
    };
    store.begin().unwrap();
    let mut all = vec![append(&mut store, 1)];
    store.commit().unwrap();
    let before = store.vector().clone();

    store.begin().unwrap();
    all.push(append(&mut store, 1));
    store.savepoint().unwrap();
    append(&mut store, 1);
    append(&mut store, 2);
    store.rollback_to().unwrap();
    let after = store.vector().clone();
    all.push(append(&mut store, 1));
    assert_eq!(store.log(&before, usize::MAX).unwrap(), all[1..]);
    assert_eq!(store.log(&after, usize::MAX).unwrap(), all[2..]);
    assert_eq!(store.log(&before, 1).unwrap(), all[1..2]);
    let two = all[1].bytes().len() + all[2].bytes().len();
    assert_eq!(store.log(&before, two).unwrap(), all[1..3]);
    assert_eq!(store.log(&before, two - 1).unwrap(), all[1..2]);
    assert_eq!(store.log(&Vector::new(), usize::MAX).unwrap(), all);
    // More than are at hand.
    for _ in 0..200 {
        all.push(append(&mut store, 1));
    }
    assert_eq!(store.log(&before, usize::MAX).unwrap(), all[1..]);
    let mut have = store.vector().clone();
    have.set(origin(1), all[149].head());
    assert_eq!(store.log(&have, usize::MAX).unwrap(), all[150..]);
    store.rollback().unwrap();
    assert_eq!(store.log(&Vector::new(), usize::MAX).unwrap(), all[..1]);
}

#[test]
fn a_log_that_was_deleted_raises_the_floors_over_what_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let mut heads = Vec::new();
    for n in [1, 2, 2] {
        store.begin().unwrap();
        let set = next_set(&store, n, &[]);
        store.append(&set).unwrap();
        store.commit().unwrap();
        heads.push(store.vector().clone());
        if n == 1 {
            store.flush_log().unwrap();
        }
    }
    drop(store);
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(dir.path().join(format!("sync.db{suffix}"))).ok();
    }
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert!(store.log_incomplete());
    assert_eq!(*store.floors(), [(origin(1), 1)].into());
    assert_eq!(store.log(&Vector::new(), usize::MAX).unwrap().len(), 2);
    assert_eq!(store.log(&heads[0], usize::MAX).unwrap().len(), 2);
    store.flush_log().unwrap();
    assert_eq!(store.log(&heads[1], usize::MAX).unwrap().len(), 1);
    drop(store);
    let store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert!(!store.log_incomplete(), "it was said once");
    assert_eq!(*store.floors(), [(origin(1), 1)].into());
}

#[test]
fn a_log_that_is_garbage_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    drop(create(dir.path()));
    std::fs::write(dir.path().join("sync.db"), vec![7u8; 9_000]).unwrap();
    let store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert!(store.log_set_aside().is_some_and(std::path::Path::exists));
    assert!(!store.log_incomplete(), "nothing was in it");
}

#[test]
fn streams_are_dense() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.begin().unwrap();
    let first = next_set(&store, 1, &[]);
    store.append(&first).unwrap();
    assert!(matches!(store.append(&first), Err(StoreError::OutOfOrder { have: 1, .. })));
}

#[test]
fn losses_are_kept_in_order_in_both_places() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    let lost = |n| Lost { field: FieldId(n), version: version(2, 3, 4, text("gone")) };
    for n in 1..4 {
        store.begin().unwrap();
        store.keep_lost(tag, &key(1), &[lost(n), lost(n + 10)], dot(1, 9)).unwrap();
        store.keep_lost(tag, &key(2), &[lost(99)], dot(1, 9)).unwrap();
        store.commit().unwrap();
        if n == 2 {
            store.flush_log().unwrap();
        }
        let losses = store.losses(tag, &key(1)).unwrap();
        assert_eq!(losses.len(), 2 * n as usize);
        assert_eq!(losses.last(), Some(&(lost(n + 10), dot(1, 9))));
    }
}

#[test]
fn what_was_not_committed_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    let named = |name| record(&[("name", vec![version(1, 1, 10, text(name))])]);
    let write = |store: &mut SqliteStore, n: u8| {
        store.set_clock(Hlc(n.into())).unwrap();
        let set = next_set(store, n, &[]);
        store.append(&set).unwrap();
        store.put_record(tag, &key(n), &named("x")).unwrap();
        store.put_local("tickets", &[n], b"open").unwrap();
        store.set_own_head(head(1, n.into())).unwrap();
    };
    store.begin().unwrap();
    write(&mut store, 1);
    store.commit().unwrap();
    let one = state(&store);
    store.begin().unwrap();
    write(&mut store, 2);
    let two = state(&store);
    store.savepoint().unwrap();
    write(&mut store, 3);
    assert!(matches!(store.savepoint(), Err(StoreError::Nested)));
    store.rollback_to().unwrap();
    assert_eq!(state(&store), two);
    assert_eq!(store.locals("tickets").unwrap().len(), 2);
    store.savepoint().unwrap();
    write(&mut store, 4);
    store.release().unwrap();
    assert_ne!(state(&store), two);
    store.rollback().unwrap();
    assert_eq!(state(&store), one);
    store.begin().unwrap();
    write(&mut store, 5);
    drop(store);
    let store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert_eq!(state(&store), one);
    assert_eq!(store.locals("tickets").unwrap(), [(vec![1], b"open".to_vec())]);
    assert_eq!(store.identity(), &identity(1));
}

#[test]
fn a_transaction_goes_on_after_its_first_write_was_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    let named = record(&[("name", vec![version(1, 1, 10, text("x"))])]);
    let write = |store: &mut SqliteStore, n: u8, keep: bool| {
        store.savepoint().unwrap();
        store.put_record(tag, &key(n), &named).unwrap();
        store.put_local("tickets", &[n], b"open").unwrap();
        if keep { store.release() } else { store.rollback_to() }.unwrap();
        assert!(store.in_transaction());
    };
    store.begin().unwrap();
    // What is only in the caches yet was there before the savepoint, and stays.
    store.set_clock(Hlc(7)).unwrap();
    let clean = state(&store);
    for n in 1..3 {
        write(&mut store, n, false);
        assert_eq!(state(&store), clean);
        assert_eq!(store.locals("tickets").unwrap(), []);
    }
    write(&mut store, 3, true);
    let kept = state(&store);
    assert_ne!(kept, clean);
    write(&mut store, 4, false);
    assert_eq!(state(&store), kept);
    store.commit().unwrap();
    drop(store);
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert_eq!(state(&store), kept);
    assert_eq!(store.clock(), Hlc(7));
    assert_eq!(store.locals("tickets").unwrap(), [(vec![3], b"open".to_vec())]);
    assert!(store.record(tag, &key(3)).unwrap().is_alive());
    assert!(!store.record(tag, &key(4)).unwrap().is_alive());
}

#[test]
fn writing_needs_a_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    assert!(matches!(store.set_clock(Hlc(1)), Err(StoreError::NoTransaction)));
    assert!(matches!(store.set_setting("a", "b"), Err(StoreError::NoTransaction)));
    assert!(matches!(store.commit(), Err(StoreError::NoTransaction)));
    store.begin().unwrap();
    assert!(matches!(store.begin(), Err(StoreError::Nested)));
    assert!(matches!(store.flush_log(), Err(StoreError::Nested)));
    store.set_setting("a", "b").unwrap();
    assert_eq!(store.setting("a").unwrap().as_deref(), Some("b"));
    assert!(store.delete_local("setting", b"a").unwrap());
    assert_eq!(store.setting("a").unwrap(), None);
    store.commit().unwrap();
}

#[test]
fn acknowledgements_survive_when_they_were_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.begin().unwrap();
    let set = next_set(&store, 2, &[]);
    store.append(&set).unwrap();
    let (shared, owned) = (store.vector().clone(), [(device(3), head(1, 5))].into_iter().collect());
    let acked = Acked { shared, owned, heard_ms: u64::MAX };
    store.set_acknowledged(device(4), acked.clone()).unwrap();
    store.commit().unwrap();
    store.flush_log().unwrap();
    drop(store);
    let store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert_eq!(store.acknowledged(&device(4)), Some(&acked));
    assert_eq!(store.acknowledged(&device(5)), None);
}
