//! Owned lanes: schedules that broke earlier designs.

use driftless_core::engine::{Event, Phase};
use driftless_core::id::Epoch;
use driftless_core::message::{Message, State};
use driftless_core::store::Store;
use driftless_core::version::{Life, OwnedHead, OwnedVector, Vector};

use crate::table::{Flight, Table, device};

fn names(table: &Table, at: usize, of: usize) -> Vec<String> {
    table.nodes[at].files(of).into_iter().map(|(name, text)| format!("{name}={text}")).collect()
}

/// Delivers until `n` pages have arrived at `to`.
fn pages(table: &mut Table, to: usize, n: usize) {
    let mut left = n;
    while left > 0 {
        let flight = table.queue.pop_front().expect("a page");
        left -= usize::from(flight.to == to && flight.message.name() == "page");
        table.say(flight.from, flight.to, &flight.message);
    }
}

fn slow(n: usize) -> Table {
    Table::with(n, |config| (config.page_rows, config.page_credit) = (1, 1))
}

/// The rows of a running session wait beside the exact ones: when the owner vanishes in its middle,
/// what was exact is still there and can be served.
#[test]
fn the_owner_dies_in_the_middle_of_a_session() {
    let mut table = slow(3);
    table.write(0, |pen| pen.put("f0", "a"));
    table.meet(0, 2);
    table.live(500);
    table.disconnect(0, 2);
    table.write(0, |pen| pen.put("f1", "b"));
    table.meet(0, 1);
    table.live(500);
    table.write(0, |pen| pen.put("f1", "c"));
    table.write(0, |pen| pen.put("f2", "d"));
    pages(&mut table, 1, 1);
    assert!(table.nodes[1].lane(0).session.is_some());
    assert_eq!(names(&table, 1, 0), ["f0=a", "f1=b"]);
    table.disconnect(0, 1);
    table.meet(1, 2);
    table.live(1_000);
    assert_eq!(names(&table, 2, 0), ["f0=a", "f1=b"]);
    table.assert_equal(1, 2);
    // The owner comes back: the session goes on.
    table.meet(0, 2);
    table.live(1_000);
    table.assert_equal(0, 2);
    table.assert_equal(1, 2);
    assert_eq!(table.nodes[1].lane(0).session, None);
}

/// A session goes on at another server, where a row was deleted after it began.
#[test]
fn a_session_goes_on_at_another_server() {
    let mut table = slow(3);
    table.write(0, |pen| (0..5).for_each(|n| pen.put(&format!("f{n}"), "x")));
    table.connect(0, 2);
    pages(&mut table, 2, 2);
    table.disconnect(0, 2);
    let half = table.nodes[2].lane(0).session.unwrap();
    assert_eq!(table.nodes[2].exact(0), 0);
    table.write(0, |pen| pen.remove("f0"));
    table.write(0, |pen| pen.put("f3", "moved"));
    table.meet(0, 1);
    table.live(500);
    table.disconnect(0, 1);
    table.restart(2);
    assert_eq!(table.nodes[2].lane(0).session.as_ref(), Some(&half), "it survives a restart");
    table.connect(1, 2);
    let asked = |flight: &Flight| match &flight.message {
        Message::OwnedPull(pull) => pull.device == device(0) && flight.from == 2,
        _ => false,
    };
    while !table.queue.iter().any(asked) {
        let flight = table.queue.pop_front().unwrap();
        table.say(flight.from, flight.to, &flight.message);
    }
    let pull = table.queue.iter().find(|flight| asked(flight)).unwrap();
    let Message::OwnedPull(pull) = &pull.message else { panic!("no pull") };
    assert_eq!(pull.session.as_ref(), Some(&half), "it goes on where it was");
    table.live(1_000);
    table.assert_equal(1, 2);
    assert_eq!(names(&table, 2, 0), ["f1=x", "f2=x", "f3=moved", "f4=x"]);
}

/// Half a session, and nobody left who covers it: it is kept for a while, then what can be had is.
#[test]
fn a_session_that_nobody_covers_is_dropped_after_a_while() {
    let mut table = slow(3);
    table.write(0, |pen| pen.put("f0", "x"));
    table.meet(0, 1);
    table.live(500);
    table.disconnect(0, 1);
    table.write(0, |pen| (1..5).for_each(|n| pen.put(&format!("f{n}"), "x")));
    table.connect(0, 2);
    pages(&mut table, 2, 3);
    table.disconnect(0, 2);
    table.meet(1, 2);
    table.live(20_000);
    assert!(table.nodes[2].lane(0).session.is_some(), "the owner may be back soon");
    table.live(15_000);
    assert_eq!(names(&table, 2, 0), ["f0=x"]);
    table.assert_equal(1, 2);
    assert_eq!(table.nodes[2].engine.phase(&table.nodes[2].store), Phase::Ready);
}

/// The lane moves on while it is fetched: it is exact only at the join of all that was said.
#[test]
fn a_session_is_exact_where_the_last_page_was_read() {
    let mut table = slow(2);
    table.write(0, |pen| (0..3).for_each(|n| pen.put(&format!("f{n}"), "x")));
    table.connect(0, 1);
    pages(&mut table, 1, 1);
    table.write(0, |pen| pen.put("f0", "rewritten"));
    table.write(0, |pen| pen.remove("f2"));
    pages(&mut table, 1, 1);
    assert_eq!(table.nodes[1].exact(0), 0);
    assert!(matches!(
        table.nodes[1].engine.phase(&table.nodes[1].store),
        Phase::Backfilling { total: 4, .. }
    ));
    table.live(500);
    table.assert_equal(0, 1);
    assert_eq!(names(&table, 1, 0), ["f0=rewritten", "f1=x"]);
}

/// A joiner is told of all lanes that are still to come, and of each as far as it has come.
#[test]
fn a_backfill_counts_all_lanes() {
    let mut table = slow(3);
    table.write(0, |pen| pen.put("f0", "x"));
    table.write(0, |pen| pen.put("f1", "x"));
    table.write(1, |pen| pen.put("g0", "x"));
    table.meet(0, 1);
    table.live(500);
    table.connect(0, 2);
    let whole: u64 = [0, 1].into_iter().map(|of| table.nodes[0].exact(of)).sum();
    let (mut seen, mut before) = (Vec::new(), whole);
    while let Some(flight) = table.queue.pop_front() {
        table.say(flight.from, flight.to, &flight.message);
        let Phase::Backfilling { done, total, .. } =
            table.nodes[2].engine.phase(&table.nodes[2].store)
        else {
            continue;
        };
        assert!(total - done <= before, "what is left grows: {seen:?}, {done} of {total}");
        before = total - done;
        seen.push((done, total));
    }
    assert_eq!(seen.first(), Some(&(0, whole)), "{seen:?}");
    assert!(seen.iter().any(|(done, _)| *done > 0), "{seen:?}");
    assert_eq!(table.nodes[2].engine.phase(&table.nodes[2].store), Phase::Ready);
}

/// A page of an earlier session arrives in a later one that knows of a delete.
#[test]
fn a_delayed_page_of_an_earlier_session_brings_nothing_back() {
    let mut table = slow(2);
    table.write(0, |pen| (0..3).for_each(|n| pen.put(&format!("f{n}"), "x")));
    table.connect(0, 1);
    pages(&mut table, 1, 1);
    let mut old = Vec::new();
    while old.is_empty() {
        let flight = table.queue.pop_front().unwrap();
        table.say(flight.from, flight.to, &flight.message);
        old = table.take(|flight| flight.to == 1 && flight.message.name() == "page");
    }
    table.disconnect(0, 1);
    table.write(0, |pen| pen.remove("f1"));
    table.connect(0, 1);
    pages(&mut table, 1, 1);
    for flight in &old {
        table.say(flight.from, flight.to, &flight.message);
    }
    table.live(500);
    for flight in &old {
        table.say(flight.from, flight.to, &flight.message);
    }
    table.live(500);
    table.assert_equal(0, 1);
    assert_eq!(names(&table, 1, 0), ["f0=x", "f2=x"]);
}

/// A delta of several pages waits beside the exact rows, too.
#[test]
fn a_delta_enters_in_one_commit() {
    let mut table = slow(2);
    table.write(0, |pen| pen.put("f0", "x"));
    table.connect(0, 1);
    table.live(500);
    table.write(0, |pen| (1..4).for_each(|n| pen.put(&format!("f{n}"), "y")));
    pages(&mut table, 1, 2);
    assert_eq!(names(&table, 1, 0), ["f0=x"]);
    assert_eq!(table.nodes[1].exact(0), 2);
    table.live(500);
    table.assert_equal(0, 1);
}

fn told_of_own_lane(seq: u64, life: Life) -> Message {
    let owned = OwnedVector::from_iter([(device(0), OwnedHead { life, seq })]);
    Message::Vector(State { shared: Vector::new(), owned })
}

/// A device meets a greater epoch of its own lane: it goes on above it, with its rows as it sees
/// them, whatever its clock says.
#[test]
fn a_greater_epoch_of_ones_own_is_outbid() {
    let mut table = Table::new(3);
    table.write(0, |pen| pen.put("f0", "mine"));
    table.meet(0, 1);
    table.live(500);
    let old = table.nodes[0].lane(0).exact.unwrap();
    let mint = driftless_core::clock::Hlc::from_ms(table.now.wall_ms + 90_000_000);
    let greater = Life { mint, epoch: Epoch(77) };
    table.say(1, 0, &told_of_own_lane(5, greater));
    assert!(table.nodes[0].events.contains(&Event::Restated));
    let new = table.nodes[0].lane(0).exact.unwrap();
    assert!(new.life > greater && new.life > old.life);
    assert_eq!(new.seq, 1);
    table.live(500);
    table.assert_equal(0, 1);
    assert_eq!(names(&table, 1, 0), ["f0=mine"]);
    table.write(0, |pen| pen.put("f1", "later"));
    table.live(500);
    table.assert_equal(0, 1);
    assert_eq!(names(&table, 1, 0), ["f0=mine", "f1=later"]);
}

/// What was deleted before the lane went on under a new epoch has no tombstone there, and goes all the
/// same: the new epoch replaces everything.
#[test]
fn a_new_epoch_replaces_everything() {
    for rows in [1, 1_000] {
        let mut table = Table::with(2, |config| config.page_rows = rows);
        table.write(0, |pen| (0..4).for_each(|n| pen.put(&format!("f{n}"), "x")));
        table.meet(0, 1);
        table.live(500);
        table.disconnect(0, 1);
        table.write(0, |pen| pen.remove("f1"));
        let greater = Life { epoch: Epoch(u64::MAX), ..table.nodes[0].lane(0).exact.unwrap().life };
        table.connect(0, 1);
        table.run();
        table.write(0, |pen| pen.remove("f2"));
        table.take(|_| true);
        table.say(1, 0, &told_of_own_lane(1, greater));
        table.live(10_000);
        table.assert_equal(0, 1);
        assert_eq!(names(&table, 1, 0), ["f0=x", "f3=x"]);
    }
}

/// Peers hold more of the own lane than its owner, under the same epoch: it was rolled back with all
/// its state.
#[test]
fn a_longer_own_lane_is_outbid() {
    let mut table = Table::new(2);
    table.meet(0, 1);
    table.live(500);
    let life = table.nodes[0].lane(0).exact.unwrap().life;
    table.say(1, 0, &told_of_own_lane(5, life));
    let new = table.nodes[0].lane(0).exact.unwrap();
    assert!(new.life > life && new.seq == 1, "even with no rows to restate");
}

/// The new epoch is rolled back with the transaction that made it.
#[test]
fn a_new_epoch_that_was_rolled_back_is_forgotten() {
    let mut table = Table::new(2);
    table.meet(0, 1);
    table.live(500);
    let old = table.nodes[0].lane(0).exact.unwrap();
    let greater = Life { epoch: Epoch(u64::MAX), ..old.life };
    let now = table.now;
    let node = &mut table.nodes[0];
    let input = driftless_core::engine::Input::Message(device(1), told_of_own_lane(1, greater));
    node.engine.handle(&mut node.store, input, now).unwrap();
    assert_ne!(node.engine.identity().owned_life, old.life);
    node.store.rollback();
    node.engine.rolled_back(&node.store);
    assert_eq!(node.engine.identity().owned_life, old.life);
    table.write(0, |pen| pen.put("f0", "x"));
    let exact = table.nodes[0].lane(0).exact;
    assert_eq!(exact, Some(OwnedHead { life: old.life, seq: old.seq + 1 }));
    assert_eq!(table.nodes[0].store.owned_vector().head(&device(0)), exact);
}

/// The lane is replaced under a transfer that is being served: it starts over by itself.
#[test]
fn a_transfer_of_a_replaced_lane_starts_over() {
    let mut table = slow(2);
    table.write(0, |pen| (0..4).for_each(|n| pen.put(&format!("f{n}"), "x")));
    table.connect(0, 1);
    pages(&mut table, 1, 2);
    let greater = Life { epoch: Epoch(u64::MAX), ..table.nodes[0].lane(0).exact.unwrap().life };
    table.say(1, 0, &told_of_own_lane(1, greater));
    table.run();
    table.assert_equal(0, 1);
    assert_eq!(table.nodes[1].files(0).len(), 4);
}
