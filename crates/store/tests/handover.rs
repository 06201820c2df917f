//! History that is handed over: what is given, what is taken in, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::ops::ControlFlow;

use common::*;
use driftless_core::change::{Change, ChangeSet, Draft, Op, Write};
use driftless_core::clock::Hlc;
use driftless_core::id::Dot;
use driftless_core::mem::MemStore;
use driftless_core::merge::Lost;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{HistoryPage, Store, WantedHistory};
use driftless_core::version::Vector;
use driftless_store::{HistoryLimits, Kind, SqliteStore, StoreError};

const DAY: u64 = 86_400_000;

fn limits(days: u64, max_bytes: u64) -> Option<HistoryLimits> {
    Some(HistoryLimits { keep_ms: days * DAY, max_bytes })
}

fn tag() -> ModelId {
    ModelId::of("tag")
}

fn next(vector: &Vector, n: u8, day: u64, op: Op) -> ChangeSet {
    let head = vector.head(&origin(n));
    let (seq, prev) = head.map_or((1, [0; 32]), |head| (head.seq + 1, head.hash));
    let hlc = Hlc::from_ms(day * DAY + seq);
    let draft = Draft { dot: Dot::new(origin(n), seq), prev, hlc, needs: vec![] };
    ChangeSet::new(draft, &[Change { model: tag(), key: key(1), op }]).unwrap()
}

fn create_op(name: &str) -> Op {
    let write = Write { field: FieldId::of("name"), value: text(name), over: vec![] };
    Op::Create { over: vec![], fields: vec![write] }
}

fn took(n: u8, value: &str) -> Lost {
    Lost { field: FieldId::of("name"), version: version(n, 1, 1, text(value)) }
}

/// Days 1 to 5 of two devices, the last of which ended two versions; all of it is forgotten.
fn fill<S: Store>(store: &mut S, commit: impl Fn(&mut S))
where
    S::Error: std::fmt::Debug,
{
    for day in 1..=4 {
        for n in [1, 2] {
            let set = next(store.vector(), n, day, create_op("x"));
            store.append(&set).unwrap();
            commit(store);
        }
    }
    let over = vec![Dot::new(origin(1), 1)];
    let write = Write { field: FieldId::of("name"), value: text("y"), over };
    let set = next(store.vector(), 1, 5, Op::Set { lives: vec![], fields: vec![write] });
    store.keep_overwritten(tag(), &key(1), &[took(1, "x")], set.dot()).unwrap();
    store.append(&set).unwrap();
    commit(store);
    let set = next(store.vector(), 2, 5, Op::Delete { lives: vec![Dot::new(origin(1), 1)] });
    store.keep_lost(tag(), &key(1), &[took(1, "a"), took(2, "b")], set.dot()).unwrap();
    store.append(&set).unwrap();
    commit(store);
    let all = store.vector().iter().map(|(origin, head)| (*origin, head.seq)).collect();
    store.prune_log(&all).unwrap();
    commit(store);
}

fn again(store: &mut SqliteStore) {
    store.commit().unwrap();
    store.begin().unwrap();
}

/// A store that has been there, with an open transaction.
fn giver(dir: &std::path::Path) -> SqliteStore {
    let mut store = create(dir);
    store.limit_history(limits(90, 1 << 30), 6 * DAY).unwrap();
    store.begin().unwrap();
    fill(&mut store, again);
    store
}

/// A store that has taken over the state, with an open transaction.
fn joiner(dir: &std::path::Path, from: &SqliteStore) -> SqliteStore {
    let mut store = SqliteStore::create(dir, identity(3), schema()).unwrap();
    store.limit_history(limits(90, 1 << 30), 6 * DAY).unwrap();
    store.begin().unwrap();
    store.adopt(&from.vector().clone()).unwrap();
    again(&mut store);
    store
}

/// Asks once. Whether there is more.
fn step(from: &mut SqliteStore, to: &mut SqliteStore, max_bytes: usize) -> bool {
    let wanted = to.wanted_history().unwrap();
    let page = from.history_below(&wanted, max_bytes).unwrap();
    to.take_history(&wanted, &page).unwrap();
    page.more
}

fn dots(store: &SqliteStore) -> Vec<Dot> {
    let mut dots = Vec::new();
    let past = store.past().unwrap();
    past.walk(None, |logged| {
        dots.push(logged.set.dot());
        Ok::<_, StoreError>(ControlFlow::Continue(()))
    })
    .unwrap();
    dots
}

fn ended(store: &SqliteStore) -> Vec<(Lost, Dot, Kind)> {
    let kept = store.past().unwrap().all_kept().unwrap();
    kept.into_iter().map(|kept| (kept.lost, kept.by, kept.kind)).collect()
}

#[test]
fn both_stores_give_the_same_and_take_it_the_same_way() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut sqlite = giver(dirs[0].path());
    let mut memory = MemStore::new(device(1));
    memory.keep_history(0);
    fill(&mut memory, MemStore::commit);
    // The store in memory keeps what deletes took alone.
    let page_of = |mut page: HistoryPage| {
        page.sets.iter_mut().for_each(|set| set.ended.retain(|ended| ended.deleted));
        page
    };
    let mut store = joiner(dirs[1].path(), &sqlite);
    let mut mem = MemStore::new(device(3));
    mem.keep_history(0);
    mem.adopt(&sqlite.vector().clone()).unwrap();
    for round in 0.. {
        let wanted = store.wanted_history().unwrap();
        assert_eq!(mem.wanted_history().unwrap(), wanted);
        let page = sqlite.history_below(&wanted, 1).unwrap();
        assert_eq!(page_of(page.clone()), memory.history_below(&wanted, 1).unwrap());
        store.take_history(&wanted, &page).unwrap();
        mem.take_history(&wanted, &page).unwrap();
        assert_eq!(page.sets.len(), 1);
        assert!(round < 10);
        if !page.more {
            break;
        }
    }
    assert_eq!(dots(&store), dots(&sqlite), "in the order of the giver");
    assert_eq!(ended(&store), ended(&sqlite));
    let history: Vec<Dot> = mem.history().iter().map(ChangeSet::dot).collect();
    assert_eq!((history, mem.lost()), (dots(&sqlite), memory.lost()));
    assert_eq!((store.history_begin(), mem.history_begin()), (Some(0), Some(0)));
    assert_eq!(store.wanted_history().unwrap(), WantedHistory::default());
    assert_eq!(mem.wanted_history().unwrap(), WantedHistory::default());
    // It is history, and nothing else.
    assert_eq!(store.log(&Vector::new(), usize::MAX).unwrap(), []);
    assert_eq!((store.vector(), store.floors()), (sqlite.vector(), sqlite.floors()));
}

#[test]
fn it_goes_on_after_every_page_whatever_happens() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut from = giver(dirs[0].path());
    let mut to = joiner(dirs[1].path(), &from);
    let join = to.history_begin().unwrap();
    assert!(join > 6 * DAY, "{join}");
    let mut begins = vec![join];
    for round in 0..30 {
        let more = step(&mut from, &mut to, 1);
        begins.extend(to.history_begin());
        match round % 3 {
            // Killed, with what the transaction wrote; what was taken in stays.
            0 => {
                drop(to);
                to = SqliteStore::open(dirs[1].path(), schema()).unwrap();
                to.limit_history(limits(90, 1 << 30), 6 * DAY).unwrap();
            }
            1 => to.rollback().unwrap(),
            _ => to.commit().unwrap(),
        }
        to.begin().unwrap();
        if !more {
            break;
        }
    }
    assert_eq!((dots(&to), ended(&to)), (dots(&from), ended(&from)));
    assert!(begins.is_sorted_by(|a, b| a >= b), "it only goes back: {begins:?}");
    assert_eq!(to.history_begin(), Some(0));
}

#[test]
fn what_is_there_already_is_skipped_and_gone_past() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut from = giver(dirs[0].path());
    let mut to = joiner(dirs[1].path(), &from);
    let first = to.wanted_history().unwrap();
    let page = from.history_below(&first, usize::MAX).unwrap();
    to.take_history(&first, &page).unwrap();
    to.take_history(&first, &page).unwrap();
    assert_eq!((dots(&to), ended(&to)), (dots(&from), ended(&from)));
    // It is away and takes over what comes next; only that is lacking then.
    for _ in 0..3 {
        let set = next(from.vector(), 1, 6, create_op("later"));
        from.append(&set).unwrap();
    }
    again(&mut from);
    to.adopt(&from.vector().clone()).unwrap();
    let wanted = to.wanted_history().unwrap();
    assert_eq!(wanted.gaps.iter().map(|gap| gap.seq).collect::<Vec<_>>(), [8]);
    assert!(step(&mut from, &mut to, 1));
    assert!(step(&mut from, &mut to, 1));
    assert!(step(&mut from, &mut to, 1), "the giver has more; here nothing is lacking");
    assert_eq!(to.wanted_history().unwrap().gaps, []);
    assert_eq!((to.history_begin(), dots(&to).len()), (Some(0), dots(&from).len()));
    assert_eq!(ended(&to), ended(&from));
}

#[test]
fn a_lost_log_is_given_back() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut from = giver(dirs[0].path());
    let mut to = joiner(dirs[1].path(), &from);
    while step(&mut from, &mut to, 1) {}
    to.commit().unwrap();
    to.close().unwrap();
    std::fs::remove_file(dirs[1].path().join("sync.db")).unwrap();
    let mut to = SqliteStore::open(dirs[1].path(), schema()).unwrap();
    to.limit_history(limits(90, 1 << 30), 6 * DAY).unwrap();
    to.begin().unwrap();
    assert_eq!(dots(&to), []);
    assert!(to.history_begin().unwrap() > 6 * DAY);
    while step(&mut from, &mut to, 1) {}
    assert_eq!((dots(&to), to.history_begin()), (dots(&from), Some(0)));
}

#[test]
fn an_adoption_that_was_rolled_back_leaves_nothing_to_ask_for() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let from = giver(dirs[0].path());
    let mut to = SqliteStore::create(dirs[1].path(), identity(3), schema()).unwrap();
    to.limit_history(limits(90, 1 << 30), 6 * DAY).unwrap();
    to.begin().unwrap();
    to.adopt(&from.vector().clone()).unwrap();
    assert_eq!(to.wanted_history().unwrap().gaps.len(), 2);
    to.rollback().unwrap();
    to.begin().unwrap();
    assert_eq!(to.wanted_history().unwrap().gaps, []);
    assert_eq!(to.history_begin(), Some(0));
    // The same, and the process dies.
    to.adopt(&from.vector().clone()).unwrap();
    assert_eq!(to.wanted_history().unwrap().gaps.len(), 2);
    drop(to);
    let mut to = SqliteStore::open(dirs[1].path(), schema()).unwrap();
    to.limit_history(limits(90, 1 << 30), 6 * DAY).unwrap();
    to.begin().unwrap();
    assert_eq!((to.wanted_history().unwrap().gaps, to.history_begin()), (vec![], Some(0)));
}

#[test]
fn it_goes_back_as_far_as_the_setting_says_and_no_further() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut from = giver(dirs[0].path());
    let mut to = joiner(dirs[1].path(), &from);
    to.commit().unwrap();
    to.limit_history(limits(3, 1 << 30), 6 * DAY).unwrap();
    to.begin().unwrap();
    assert_eq!(to.wanted_history().unwrap().since_ms, 3 * DAY);
    while step(&mut from, &mut to, 1) {}
    assert_eq!(dots(&to), dots(&from)[4..]);
    assert_eq!(to.wanted_history().unwrap().gaps, [], "what is older is not lacking");
    assert_eq!(to.history_begin(), Some(3 * DAY + 3_600_000));
    // That is so after the next start, too.
    to.commit().unwrap();
    to.close().unwrap();
    let mut to = SqliteStore::open(dirs[1].path(), schema()).unwrap();
    to.limit_history(limits(3, 1 << 30), 6 * DAY).unwrap();
    assert_eq!(to.wanted_history().unwrap().gaps, []);
    assert_eq!(to.history_begin(), Some(3 * DAY + 3_600_000));
    // It grows too old like any other, and goes first.
    to.limit_history(limits(3, 1 << 30), 7 * DAY + 2).unwrap();
    while to.sweep().unwrap() {}
    assert_eq!(dots(&to), dots(&from)[6..]);
    // Without a history nothing of it stays, and nothing is asked for.
    to.limit_history(None, 7 * DAY).unwrap();
    while to.sweep().unwrap() {}
    assert_eq!((dots(&to), ended(&to)), (vec![], vec![]));
    assert_eq!(to.wanted_history().unwrap(), WantedHistory::default());
}

#[test]
fn what_the_giver_removed_is_not_waited_for() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut from = giver(dirs[0].path());
    from.commit().unwrap();
    from.flush_log().unwrap();
    from.limit_history(limits(3, 1 << 30), 6 * DAY).unwrap();
    while from.sweep().unwrap() {}
    from.begin().unwrap();
    let mut to = joiner(dirs[1].path(), &from);
    while step(&mut from, &mut to, 1) {}
    assert_eq!(dots(&to), dots(&from));
    assert_eq!(to.history_begin(), from.history_begin());
    // Somebody else may have it.
    assert_eq!(to.wanted_history().unwrap().gaps.len(), 2);
}

#[test]
fn it_is_taken_in_while_there_is_room() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut from = create(dirs[0].path());
    from.limit_history(limits(90, 1 << 30), 6 * DAY).unwrap();
    from.begin().unwrap();
    let long = "x".repeat(400);
    for _ in 0..4_000 {
        let set = next(from.vector(), 1, 5, create_op(&long));
        from.append(&set).unwrap();
    }
    again(&mut from);
    let mut to = joiner(dirs[1].path(), &from);
    to.commit().unwrap();
    to.limit_history(limits(90, 1 << 20), 6 * DAY).unwrap();
    to.begin().unwrap();
    while !to.wanted_history().unwrap().gaps.is_empty() {
        assert!(step(&mut from, &mut to, 64 << 10));
    }
    let taken = dots(&to);
    assert!((300..1_000).contains(&taken.len()), "{}", taken.len());
    assert_eq!(taken, dots(&from)[4_000 - taken.len()..], "the latest");
    let begin = to.history_begin().unwrap();
    assert!((5 * DAY..6 * DAY).contains(&begin), "{begin}");
    // What comes next has room, and when it is crowded what was handed over goes first.
    for _ in 0..400 {
        let set = next(to.vector(), 2, 6, create_op(&long));
        to.append(&set).unwrap();
    }
    to.prune_log(&[(origin(2), 400)].into()).unwrap();
    to.commit().unwrap();
    to.flush_log().unwrap();
    assert!(to.is_history_crowded());
    while to.sweep().unwrap() {}
    let left = dots(&to);
    assert_eq!(left.iter().filter(|dot| dot.origin == origin(2)).count(), 400);
    assert!(left.len() < 400 + taken.len(), "{}", left.len());
    assert_eq!(to.wanted_history().unwrap().gaps, [], "there is no room for more");
    to.limit_history(limits(90, 1 << 30), 6 * DAY).unwrap();
    assert_eq!(to.wanted_history().unwrap().gaps, [], "what made room is not asked for again");
}
