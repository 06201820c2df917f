//! Pins and the mirror: comparing shared records with a peer's.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::*;
use driftless_core::digest::{Digest, shared_checksum};
use driftless_core::id::RecordKey;
use driftless_core::record::Record;
use driftless_core::schema::ModelId;
use driftless_core::store::{KeyRange, Store};
use driftless_store::{SqliteStore, StoreError};

fn named(n: u8, name: &str) -> Record {
    record(&[("name", vec![version(n, 1, 10, text(name))])])
}

fn ended(n: u8) -> Record {
    Record { lives: [].into(), ..named(n, "ended") }
}

fn put(store: &mut SqliteStore, model: ModelId, records: &[(u8, Record)]) {
    store.begin().unwrap();
    for (n, record) in records {
        store.put_record(model, &key(*n), record).unwrap();
    }
    store.commit().unwrap();
}

fn range(after: Option<u8>, upto: Option<u8>) -> KeyRange {
    KeyRange { after: after.map(key), upto: upto.map(key) }
}

fn digest(model: ModelId, records: &[(u8, Record)]) -> Digest {
    let mut digest = Digest::default();
    for (n, record) in records {
        digest.add(shared_checksum(model, &key(*n), record));
    }
    digest
}

#[test]
fn what_is_pinned_stays_while_the_writer_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let (tag, future) = (ModelId::of("tag"), ModelId::of("from_the_future"));
    // Two of them are kept whole, between those in the table.
    let all =
        [(1, named(1, "a")), (2, ended(2)), (3, named(3, "c")), (4, ended(1)), (5, named(2, "e"))];
    put(&mut store, tag, &all);
    put(&mut store, future, &all[..2]);
    store.begin().unwrap();
    store.set_own_head(head(1, 1)).unwrap();
    store.put_owned(ModelId::of("entry"), &key(1), 1, Some(&[])).unwrap();
    store.put_owned(ModelId::of("unknown"), &key(1), 1, Some(&[])).unwrap();
    let set = next_set(&store, 1, &[]);
    store.append(&set).unwrap();
    store.commit().unwrap();
    let vector = store.vector().clone();

    store.begin().unwrap();
    store.put_record(tag, &key(9), &named(4, "not committed")).unwrap();
    let pinned = store.pin(device(2)).unwrap();
    store.put_record(tag, &key(3), &Record::default()).unwrap();
    let set = next_set(&store, 2, &[]);
    store.append(&set).unwrap();
    store.commit().unwrap();

    assert_eq!(pinned.vector, vector);
    let expected = [(tag, digest(tag, &all)), (future, digest(future, &all[..2]))];
    assert_eq!(pinned.digests, expected.into(), "and nothing of owned lanes");
    let buckets = store.pinned_buckets(&device(2), tag, &range(None, None), 2, 9).unwrap();
    let found: Vec<_> = buckets.iter().map(|b| (b.upto.clone(), b.digest)).collect();
    let two = |at: usize| digest(tag, &all[at..(at + 2).min(5)]);
    assert_eq!(found, [(Some(key(2)), two(0)), (Some(key(4)), two(2)), (None, two(4))]);
    let page = store.pinned_records(&device(2), tag, &range(Some(1), Some(4)), 1_000_000).unwrap();
    let records: Vec<_> = all[1..4].iter().map(|(n, r)| (key(*n), r.clone())).collect();
    assert_eq!((page.records, page.upto), (records, Some(key(4))));
    let page = store.pinned_records(&device(2), tag, &range(Some(1), None), 1).unwrap();
    assert_eq!((page.records.len(), page.upto), (1, Some(key(2))));

    assert_eq!(store.pin(device(2)).unwrap().vector, *store.vector());
    assert!(store.is_pinned(&device(2)) && !store.is_pinned(&device(3)));
    store.unpin(&device(2));
    let none = store.pinned_buckets(&device(2), tag, &range(None, None), 2, 9);
    assert!(matches!(none, Err(StoreError::NotPinned(_))), "{none:?}");
}

#[test]
fn buckets_end_where_the_range_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    let all: Vec<(u8, Record)> = (1..=6).map(|n| (n, named(1, "x"))).collect();
    put(&mut store, tag, &all);
    store.pin(device(2)).unwrap();
    let mut ends = |range: &KeyRange, rows, max| {
        let buckets = store.pinned_buckets(&device(2), tag, range, rows, max).unwrap();
        buckets.into_iter().map(|b| (b.upto, b.digest.rows)).collect::<Vec<_>>()
    };
    // A last bucket that is full is the last all the same.
    assert_eq!(ends(&range(None, None), 3, 2), [(Some(key(3)), 3), (None, 3)]);
    assert_eq!(ends(&range(None, None), 3, 1), [(Some(key(3)), 3)]);
    assert_eq!(ends(&range(None, Some(9)), 9, 1), [(Some(key(9)), 6)]);
    assert_eq!(ends(&range(Some(6), Some(9)), 2, 5), [(Some(key(9)), 0)]);
    assert_eq!(ends(&range(None, None), u64::MAX, 5), [(None, 6)]);
}

#[test]
fn one_call_walks_no_more_than_the_writer_can_spare() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    store.begin().unwrap();
    for n in 0..9_000u32 {
        let key = RecordKey::new(&n.to_be_bytes()).unwrap();
        store.put_record(tag, &key, &named(1, "x")).unwrap();
    }
    store.commit().unwrap();
    store.pin(device(2)).unwrap();
    let mut from = KeyRange::default();
    let (mut calls, mut sum) = (0, Digest::default());
    loop {
        let buckets = store.pinned_buckets(&device(2), tag, &from, 1_024, 256).unwrap();
        calls += 1;
        for bucket in &buckets {
            sum.rows += bucket.digest.rows;
            sum.sum = sum.sum.wrapping_add(bucket.digest.sum);
        }
        assert!(buckets.len() <= 8);
        from.after = buckets.last().unwrap().upto.clone();
        if from.after.is_none() {
            break;
        }
    }
    assert_eq!((calls, sum), (2, store.digests()[&tag]));
    // Whatever is asked for.
    let all = KeyRange::default();
    let largest = store.pinned_buckets(&device(2), tag, &all, u64::MAX, usize::MAX).unwrap();
    assert_eq!(largest.iter().map(|b| b.digest.rows).collect::<Vec<_>>(), [8_192]);
}

#[test]
fn a_damaged_record_is_named_and_not_served() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let (tag, future) = (ModelId::of("tag"), ModelId::of("from_the_future"));
    put(&mut store, tag, &[(1, named(1, "a")), (2, named(1, "b"))]);
    put(&mut store, future, &[(1, named(1, "a")), (2, named(1, "b"))]);
    store
        .connection()
        .execute_batch(
            "UPDATE tag SET name = 'c' WHERE name = 'b'; \
             UPDATE _unknown_shared SET record = x'00' WHERE rowid = 2",
        )
        .unwrap();
    store.pin(device(2)).unwrap();
    for (model, name) in [(tag, "\"tag\"".into()), (future, format!("{:08x}", future.0))] {
        let refused = store.pinned_records(&device(2), model, &range(None, None), 1_000_000);
        let Err(StoreError::Damaged { object, .. }) = refused else { panic!("{refused:?}") };
        assert!(object.contains(&name) && object.contains(&key(2).to_string()), "{object}");
        let page = store.pinned_records(&device(2), model, &range(None, Some(1)), 1_000_000);
        assert_eq!(page.unwrap().records, [(key(1), named(1, "a"))]);
    }
    store.begin().unwrap();
    store.put_mirror(tag, &key(7), &named(1, "m")).unwrap();
    store.connection().execute_batch("UPDATE _mirror SET sum = sum + 1").unwrap();
    let refused = store.mirrored(None, 9);
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
}

#[test]
fn the_mirror_keeps_only_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    let ours = [(1, named(1, "a")), (2, ended(1)), (3, named(1, "c"))];
    put(&mut store, tag, &ours);
    let theirs = [(1, named(1, "a")), (3, named(1, "other")), (4, named(3, "new"))];
    let pairs: Vec<_> = theirs.iter().map(|(n, record)| (key(*n), record.clone())).collect();
    store.begin().unwrap();
    assert!(!store.has_mirror());
    assert_eq!(store.mirror_digest(tag, &range(None, None)).unwrap(), digest(tag, &ours));
    store.mirror_range(tag, &range(None, None), &pairs).unwrap();
    let expected = [
        (tag, key(2), Record::default()),
        (tag, key(3), named(1, "other")),
        (tag, key(4), named(3, "new")),
    ];
    assert_eq!(store.mirrored(None, 9).unwrap(), expected);
    assert_eq!(store.mirrored(Some(&(tag, key(2))), 1).unwrap(), expected[1..2]);
    assert_eq!(store.mirror_digest(tag, &range(None, None)).unwrap(), digest(tag, &theirs));
    let part = digest(tag, &theirs[1..]);
    assert_eq!(store.mirror_digest(tag, &range(Some(1), Some(4))).unwrap(), part);
    store.commit().unwrap();
    drop(store);

    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert!(store.has_mirror(), "what has come need not come again");
    assert_eq!(store.mirrored(None, 9).unwrap(), expected);
    store.begin().unwrap();
    // What we write after the peer's records came does not change what they are.
    store.put_mirror(tag, &key(1), &named(1, "a")).unwrap();
    store.put_record(tag, &key(1), &named(2, "ours")).unwrap();
    assert!(store.is_mirrored(tag, &key(1)).unwrap());
    assert_eq!(store.mirror_digest(tag, &range(None, None)).unwrap(), digest(tag, &theirs));
    // A range that is asked for again, and is what we have now.
    store.mirror_range(tag, &range(Some(1), None), &[(key(3), named(1, "c"))]).unwrap();
    let left = [(tag, key(1), named(1, "a")), (tag, key(2), Record::default())];
    assert_eq!(store.mirrored(None, 9).unwrap(), left);
    store.rollback().unwrap();
    assert_eq!(store.mirrored(None, 9).unwrap(), expected);
    store.begin().unwrap();
    store.clear_mirror().unwrap();
    assert!(!store.has_mirror());
    store.rollback().unwrap();
    assert!(store.has_mirror());
    store.begin().unwrap();
    store.clear_mirror().unwrap();
    store.commit().unwrap();
    drop(store);
    assert!(!SqliteStore::open(dir.path(), schema()).unwrap().has_mirror());
}

#[test]
fn large_records_come_from_the_mirror_a_few_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    let large = named(1, &"x".repeat(900_000));
    store.begin().unwrap();
    for n in 0..7 {
        store.put_mirror(tag, &key(n), &large).unwrap();
    }
    let mut found = Vec::new();
    let mut after: Option<(ModelId, RecordKey)> = None;
    loop {
        let page = store.mirrored(after.as_ref(), 100).unwrap();
        assert!(page.len() <= 5);
        let Some((model, key, _)) = page.last() else { break };
        after = Some((*model, key.clone()));
        found.extend(page.into_iter().map(|(_, key, record)| (key, record == large)));
    }
    assert_eq!(found, (0..7).map(|n| (key(n), true)).collect::<Vec<_>>());
}

#[test]
fn a_damaged_record_of_ours_is_taken_from_the_peer() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let tag = ModelId::of("tag");
    put(&mut store, tag, &[(1, named(1, "a"))]);
    store.connection().execute_batch("UPDATE tag SET _sync = x'ff'").unwrap();
    store.begin().unwrap();
    store.mirror_range(tag, &range(None, None), &[(key(1), named(1, "a"))]).unwrap();
    assert_eq!(store.mirrored(None, 9).unwrap(), [(tag, key(1), named(1, "a"))]);
    store.connection().execute_batch("DROP TABLE tag").unwrap();
    store.mirror_range(tag, &range(None, None), &[(key(1), named(1, "a"))]).unwrap_err();
}
