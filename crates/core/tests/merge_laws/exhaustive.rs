//! Every history of a few operations by three replicas over one record, in every causal order of
//! delivery.

use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Dot, Epoch, Origin};
use driftless_core::record::Record;

use crate::fold::{fold, written};
use crate::world::{Deed, FIELDS, History, NAME, REPLICAS, Set, Sets, State, bit, change};

/// How many operations a history has at most.
const OPERATIONS: usize = 5;

#[derive(Default, Debug, PartialEq, Eq)]
struct Count {
    histories: u64,
    orders: u64,
    alive: u64,
    conflicts: u64,
    joins: u64,
}

#[test]
fn every_small_history_has_one_outcome() {
    let mut count = Count::default();
    grow(&mut History::default(), &mut count);
    println!("{count:?}");
    assert_eq!((count.histories, count.orders), (78_383, 341_188), "a part was not looked at");
    assert_eq!(count.joins, 1_496_421, "a pair of states was not looked at");
    assert!(count.alive > 0 && count.conflicts > 0, "{count:?} is not what was meant");
}

/// Adds every operation that could come next, by every replica, from everything that it could have
/// seen by then.
fn grow(history: &mut History, count: &mut Count) {
    if !history.sets.is_empty() {
        check(history, count);
    }
    if history.sets.len() == OPERATIONS {
        return;
    }
    for replica in 0..REPLICAS {
        for seen in 0..bit(history.sets.len()) {
            if is_view(history, replica, seen) && is_first_of_its_kind(history, replica, seen) {
                grow_from(history, replica, seen, count);
            }
        }
    }
}

fn grow_from(history: &mut History, replica: usize, seen: Sets, count: &mut Count) {
    let view = in_order(history, seen);
    let (origin, position) = (origin(replica), history.sets.len());
    let value = i64::try_from(position).expect("few operations");
    for deed in [Deed::Create([value; FIELDS.len()]), Deed::Set(vec![(NAME, value)]), Deed::Delete]
    {
        let Some(op) = change(&view.records[0], origin.device, &deed) else { continue };
        let own = history.sets.iter().filter(|set| set.dot.origin == origin).count();
        let dot = Dot::new(origin, own as u64 + 1);
        // Later operations have earlier times: a clock decides nothing between those that follow
        // one another.
        let hlc = Hlc(100 - position as u64);
        history.sets.push(Set { dot, hlc, past: seen, changes: vec![(0, op)] });
        grow(history, count);
        history.sets.pop();
    }
}

fn origin(replica: usize) -> Origin {
    let device = u8::try_from(replica).expect("few replicas");
    Origin::shared(DeviceId([device; 32]), Epoch(7))
}

fn in_order(history: &History, seen: Sets) -> State {
    let order: Vec<usize> = (0..history.sets.len()).filter(|at| seen & bit(*at) != 0).collect();
    history.replay(&order)
}

/// Whether a replica can have seen just this: with each change set its past, and all of its own.
fn is_view(history: &History, replica: usize, seen: Sets) -> bool {
    history.sets.iter().enumerate().all(|(at, set)| {
        let (has, own) = (seen & bit(at) != 0, set.dot.origin == origin(replica));
        if has { set.past & !seen == 0 } else { !own }
    })
}

/// Two neighbours that did not see each other could as well stand the other way round; only one of
/// the two ways is followed.
fn is_first_of_its_kind(history: &History, replica: usize, seen: Sets) -> bool {
    let Some(before) = history.sets.len().checked_sub(1) else { return true };
    seen & bit(before) != 0 || history.sets[before].dot.origin < origin(replica)
}

fn check(history: &History, count: &mut Count) {
    let all = bit(history.sets.len()) - 1;
    let expected = fold(history, all);
    let end = in_order(history, all);
    let bytes = end.bytes();
    end.assert_comes_back();
    history.for_each_outcome(|state| {
        count.orders += 1;
        assert_eq!(state.records, expected, "{history:#?}");
        assert_eq!(state.bytes(), bytes, "{history:#?}");
    });
    check_joins(history, all, &expected, count);
    count.histories += 1;
    let record = &expected[0];
    count.alive += u64::from(record.is_alive());
    count.conflicts += u64::from(record.versions(NAME).len() > 1);
    later_ones_win(history, record);
}

/// Any two states that together hold everything become the whole by a join, whichever takes in the
/// other.
fn check_joins(history: &History, all: Sets, expected: &[Record], count: &mut Count) {
    let closed = (0..=all).filter(|seen| is_closed(history, *seen));
    let states: Vec<State> = closed.map(|seen| in_order(history, seen)).collect();
    for one in &states {
        for other in states.iter().filter(|other| one.seen | other.seen == all) {
            let mut state = one.clone();
            state.reconcile(other);
            count.joins += 1;
            assert_eq!(state.records, expected, "{:b}, {:b}: {history:#?}", one.seen, other.seen);
        }
    }
}

/// Whether everything that these saw is among them.
fn is_closed(history: &History, seen: Sets) -> bool {
    let mut sets = history.sets.iter().enumerate();
    sets.all(|(at, set)| seen & bit(at) == 0 || set.past & !seen == 0)
}

fn later_ones_win(history: &History, record: &Record) {
    for later in written(history, Sets::MAX, 0).iter().filter(|w| w.write.field == NAME) {
        for (at, set) in history.sets.iter().enumerate() {
            let there = record.versions(NAME).iter().any(|version| version.dot == set.dot);
            assert!(!there || later.set.past & bit(at) == 0, "{history:#?}");
        }
    }
}
