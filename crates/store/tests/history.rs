//! The history: what stays of change sets that the protocol has forgotten, and for how long.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::ops::ControlFlow;
use std::path::Path;

use common::*;
use driftless_core::change::{Change, ChangeSet, Draft, Op, Write};
use driftless_core::clock::Hlc;
use driftless_core::id::Dot;
use driftless_core::merge::Lost;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::Store;
use driftless_core::version::{Head, Vector};
use driftless_store::{HistoryLimits, Kind, Past, SqliteStore, StoreError};

const DAY: u64 = 86_400_000;

fn limits(days: u64, max_bytes: u64) -> Option<HistoryLimits> {
    Some(HistoryLimits { keep_ms: days * DAY, max_bytes })
}

/// The next change set of a device, written on a day.
fn write(store: &mut SqliteStore, n: u8, day: u64, changes: &[Change]) -> ChangeSet {
    let head = store.vector().head(&origin(n));
    let (seq, prev) = head.map_or((1, [0; 32]), |head| (head.seq + 1, head.hash));
    let dot = Dot::new(origin(n), seq);
    let draft = Draft { dot, prev, hlc: Hlc::from_ms(day * DAY + seq), needs: vec![] };
    let set = ChangeSet::new(draft, changes).unwrap();
    store.begin().unwrap();
    store.append(&set).unwrap();
    store.commit().unwrap();
    set
}

fn rename(n: u8, name: &str) -> Change {
    let write = Write { field: FieldId::of("name"), value: text(name), over: vec![] };
    let op = Op::Create { over: vec![], fields: vec![write] };
    Change { model: ModelId::of("tag"), key: key(n), op }
}

/// Forgets everything.
fn prune(store: &mut SqliteStore) {
    let upto = store.vector().iter().map(|(origin, head)| (*origin, head.seq)).collect();
    store.begin().unwrap();
    store.prune_log(&upto).unwrap();
    store.commit().unwrap();
}

fn sweep(store: &mut SqliteStore) {
    while store.sweep().unwrap() {}
}

fn dots(past: &Past) -> Vec<Dot> {
    let mut dots = Vec::new();
    past.walk(None, |logged| {
        dots.push(logged.set.dot());
        Ok::<_, StoreError>(ControlFlow::Continue(()))
    })
    .unwrap();
    dots
}

fn size(dir: &Path) -> u64 {
    std::fs::metadata(dir.join("sync.db")).unwrap().len()
}

#[test]
fn what_is_forgotten_stays_until_it_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    assert_eq!(store.history_begin(), None);
    store.limit_history(limits(90, 1 << 30), 100 * DAY).unwrap();
    assert_eq!(store.history_begin(), Some(0));
    let sets: Vec<ChangeSet> =
        [5, 50, 99].map(|day| write(&mut store, 1, day, &[])).into_iter().collect();
    store.flush_log().unwrap();
    let all: Vec<Dot> = sets.iter().map(ChangeSet::dot).collect();
    // What is old and still needed stays.
    sweep(&mut store);
    assert_eq!(store.log(&Vector::new(), usize::MAX).unwrap(), sets);
    prune(&mut store);
    assert!(store.log(&Vector::new(), usize::MAX).unwrap().is_empty(), "nothing of it is served");
    assert_eq!(dots(&store.past().unwrap()), all);
    sweep(&mut store);
    assert_eq!(dots(&store.past().unwrap()), all[1..]);
    let begin = store.history_begin().unwrap();
    assert!((5 * DAY..50 * DAY).contains(&begin), "{begin}");
    // That is known after the next start, too.
    drop(store);
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    assert!(!store.log_incomplete());
    store.limit_history(limits(90, 1 << 30), 141 * DAY).unwrap();
    assert_eq!(store.history_begin(), Some(begin));
    sweep(&mut store);
    let past = store.past().unwrap();
    assert_eq!(dots(&past), all[2..]);
    assert_eq!(past.set(&all[2]).unwrap().unwrap().set, sets[2]);
    assert_eq!(past.set(&all[1]).unwrap(), None);
    // No history any more: all of it goes, and what comes next goes as soon as it is forgotten.
    store.limit_history(None, 142 * DAY).unwrap();
    sweep(&mut store);
    assert_eq!((dots(&store.past().unwrap()), store.history_begin()), (vec![], None));
    write(&mut store, 1, 142, &[]);
    prune(&mut store);
    store.flush_log().unwrap();
    sweep(&mut store);
    store.limit_history(limits(90, 1 << 30), 143 * DAY).unwrap();
    assert!(store.history_begin().unwrap() >= 143 * DAY, "of before nothing is known");
}

#[test]
fn its_size_stays_within_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.limit_history(limits(90, 2 << 20), 100 * DAY).unwrap();
    let long = "x".repeat(200);
    for round in 0..40 {
        for _ in 0..500 {
            let head = store.vector().head(&origin(1));
            let (seq, prev) = head.map_or((1, [0; 32]), |head| (head.seq + 1, head.hash));
            let hlc = Hlc::from_ms(99 * DAY + seq);
            let draft = Draft { dot: Dot::new(origin(1), seq), prev, hlc, needs: vec![] };
            let set = ChangeSet::new(draft, &[rename(1, &long)]).unwrap();
            store.begin_relaxed().unwrap();
            store.append(&set).unwrap();
            store.commit().unwrap();
        }
        prune(&mut store);
        store.flush_log().unwrap();
        // There is never leisure: as in a daemon that is kept busy.
        if store.is_history_crowded() {
            store.sweep().unwrap();
        }
        assert!(size(dir.path()) < 3 << 20, "{} in round {round}", size(dir.path()));
    }
    let kept = dots(&store.past().unwrap());
    assert!((2_000..10_000).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().unwrap().seq, 20_000);
    let begin = store.history_begin().unwrap();
    assert!(begin > 99 * DAY, "{begin}");
    sweep(&mut store);
    assert!(size(dir.path()) < 2 << 20 | 1 << 18, "{}", size(dir.path()));
}

#[test]
fn values_that_were_overwritten_go_with_what_overwrote_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.limit_history(limits(90, 1 << 30), 100 * DAY).unwrap();
    let tag = ModelId::of("tag");
    let lost = |name: &str| {
        let version = version(2, 1, 1, text(name));
        Lost { field: FieldId::of("name"), version }
    };
    assert_eq!(store.keeps_older_than(Hlc::from_ms(50 * DAY)), Hlc::from_ms(50 * DAY - 3_600_000));
    for (day, name) in [(5, "old"), (50, "new")] {
        let seq = store.vector().seq(&origin(1)) + 1;
        let by = Dot::new(origin(1), seq);
        store.begin().unwrap();
        store.keep_overwritten(tag, &key(1), &[lost(name)], by).unwrap();
        store.keep_lost(tag, &key(2), &[lost(name)], by).unwrap();
        store.commit().unwrap();
        write(&mut store, 1, day, &[rename(1, "x")]);
        if day == 5 {
            store.flush_log().unwrap();
        }
    }
    let names = |store: &SqliteStore, n: u8, kind: Kind| -> Vec<_> {
        let kept = store.past().unwrap().kept(tag, &key(n)).unwrap();
        assert!(kept.iter().all(|kept| kept.kind == kind));
        kept.into_iter().map(|kept| kept.lost.version.value).collect()
    };
    for _ in 0..2 {
        assert_eq!(names(&store, 1, Kind::Overwritten), [text("old"), text("new")]);
        assert_eq!(names(&store, 2, Kind::Deleted), [text("old"), text("new")]);
        assert_eq!(store.past().unwrap().all_kept().unwrap().len(), 4);
        store.flush_log().unwrap();
    }
    assert_eq!(store.losses(tag, &key(1)).unwrap(), [], "that was no loss to a delete");
    prune(&mut store);
    sweep(&mut store);
    assert_eq!(names(&store, 1, Kind::Overwritten), [text("new")]);
    assert_eq!(names(&store, 2, Kind::Deleted), [text("new")]);
}

#[test]
fn it_begins_anew_where_change_sets_never_came_by() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.limit_history(limits(90, 1 << 30), 100 * DAY).unwrap();
    write(&mut store, 1, 99, &[]);
    let head = Head { seq: 7, hash: [7; 32] };
    store.begin().unwrap();
    store.adopt(&[(origin(2), head)].into_iter().collect()).unwrap();
    store.commit().unwrap();
    let begin = store.history_begin().unwrap();
    assert!(begin > 100 * DAY, "{begin}");
    store.close().unwrap();
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    store.limit_history(limits(90, 1 << 30), 101 * DAY).unwrap();
    assert_eq!(store.history_begin(), Some(begin));
    assert_eq!(dots(&store.past().unwrap()).len(), 1, "what there is is told all the same");
    store.close().unwrap();
    std::fs::remove_file(dir.path().join("sync.db")).unwrap();
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    store.limit_history(limits(90, 1 << 30), 102 * DAY).unwrap();
    assert!(store.history_begin().unwrap() > 102 * DAY);
    assert!(dots(&store.past().unwrap()).is_empty());
}

#[test]
fn the_past_is_read_beside_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.limit_history(limits(90, 1 << 30), 100 * DAY).unwrap();
    let mut all: Vec<Dot> =
        (1..=3).map(|n| write(&mut store, n, 99, &[rename(n, "x")]).dot()).collect();
    store.flush_log().unwrap();
    // One is in both files, one in library.db alone.
    let before = store.past().unwrap();
    all.push(write(&mut store, 1, 99, &[rename(9, "x")]).dot());
    let past = store.past().unwrap();
    store.flush_log().unwrap();
    write(&mut store, 2, 99, &[]);
    assert_eq!((dots(&before), dots(&past)), (all[..3].to_vec(), all.clone()));
    let mut back = Vec::new();
    let about = |logged: driftless_store::Logged| {
        back.push(logged.set.dot());
        Ok::<_, StoreError>(ControlFlow::Continue(()))
    };
    past.walk_back_about(&key(2), about).unwrap();
    assert_eq!(back, [all[1]]);
    let mut first = None;
    past.walk_back(|logged| {
        first = Some(logged.set.dot());
        Ok::<_, StoreError>(ControlFlow::Break(()))
    })
    .unwrap();
    assert_eq!(first, Some(all[3]));
    assert_eq!(past.snapshot().vector().seq(&origin(1)), 2);
}
