//! Meeting, losing each other, and meeting again.

use driftless_core::engine::{Input, Phase};
use driftless_core::store::Store;

use crate::table::{Table, device};

#[test]
fn two_that_wrote_apart_have_everything_after_they_meet() {
    let mut table = Table::new(2);
    table.write(0, |pen| pen.create("a", "from 0"));
    table.write(1, |pen| pen.create("b", "from 1"));
    table.write(1, |pen| pen.put("file", "of 1"));
    table.meet(0, 1);
    table.live(1_000);
    table.assert_equal(0, 1);
    assert_eq!(table.nodes[0].note("b").as_deref(), Some("from 1"));
    assert_eq!(table.nodes[0].files(1), [("file".to_owned(), "of 1".to_owned())]);
}

#[test]
fn a_commit_is_pushed_at_once_and_read_at_once() {
    let mut table = Table::new(2);
    table.meet(0, 1);
    table.live(2_000);
    table.write(0, |pen| pen.create("n", "x"));
    assert_eq!(table.names(0, 1), ["changes"], "no time has passed");
    table.run();
    assert_eq!(table.nodes[1].note("n").as_deref(), Some("x"));
}

#[test]
fn a_lost_hello_is_said_again() {
    for lost in [0, 1] {
        let mut table = Table::new(2);
        table.connect(0, 1);
        table.take(|flight| flight.from == lost);
        table.run();
        assert!(!table.nodes[1 - lost].engine.is_ready(&device(lost)));
        table.live(6_000);
        for n in [0, 1] {
            assert!(table.nodes[n].engine.is_ready(&device(1 - n)), "{n} after {lost}'s was lost");
        }
    }
}

#[test]
fn repeated_hellos_end() {
    let mut table = Table::new(2);
    table.connect(0, 1);
    let hellos: Vec<_> = table.queue.iter().cloned().collect();
    for _ in 0..3 {
        table.queue.extend(hellos.iter().cloned());
    }
    table.run();
    table.take(|_| true);
    table.wait(500);
    assert!(table.queue.is_empty());
}

#[test]
fn changes_pass_through_who_stands_between() {
    let mut table = Table::new(3);
    table.meet(0, 1);
    table.write(0, |pen| {
        pen.create("n", "x");
        pen.put("file", "y");
    });
    table.run();
    table.disconnect(0, 1);
    // The writer is gone before the third one comes.
    table.meet(1, 2);
    table.live(1_000);
    assert_eq!(table.nodes[2].note("n").as_deref(), Some("x"));
    assert_eq!(table.nodes[2].files(0), [("file".to_owned(), "y".to_owned())]);
    table.assert_equal(1, 2);
}

#[test]
fn three_that_meet_at_once_have_everything() {
    let mut table = Table::new(3);
    for n in 0..3 {
        table.write(n, |pen| {
            pen.create(&format!("n{n}"), "x");
            pen.put("file", &format!("of {n}"));
        });
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        table.connect(a, b);
    }
    table.live(1_000);
    table.assert_equal(0, 1);
    table.assert_equal(1, 2);
    assert_eq!(table.nodes[2].note("n0").as_deref(), Some("x"));
}

#[test]
fn news_of_an_origin_that_is_there_is_given_time() {
    let mut table = Table::new(3);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        table.connect(a, b);
    }
    table.live(2_000);
    table.write(0, |pen| pen.create("n", "x"));
    // The push to 2 is lost; 1 tells 2 of it.
    table.take(|flight| flight.to == 2);
    table.live(200);
    assert_eq!(table.nodes[2].note("n"), None);
    assert_eq!(table.nodes[2].engine.phase(&table.nodes[2].store), Phase::CatchingUp { behind: 1 });
    table.live(400);
    assert_eq!(table.nodes[2].note("n").as_deref(), Some("x"), "pulled after the grace");
}

#[test]
fn silence_follows() {
    let mut table = Table::new(2);
    table.write(0, |pen| pen.create("n", "x"));
    table.meet(0, 1);
    table.live(5_000);
    table.wait(50_000);
    assert!(table.queue.is_empty(), "{:?}", table.queue);
    table.wait(10_000);
    let names: Vec<_> = table.take(|_| true).iter().map(|f| f.message.name()).collect();
    assert_eq!(names, ["vector", "vector"], "the refresh");
}

#[test]
fn a_rolled_back_batch_leaves_nothing() {
    let mut table = Table::new(2);
    table.meet(0, 1);
    table.live(2_000);
    table.begin(0, |pen| {
        pen.create("gone", "x");
        pen.put("file", "x");
    });
    let clock = table.nodes[0].engine.clock();
    let node = &mut table.nodes[0];
    node.engine.handle(&mut node.store, Input::Probe(1), table.now).unwrap();
    node.store.rollback();
    node.engine.rolled_back(&node.store);
    assert!(!node.engine.is_ready(&device(1)), "peers are met anew");
    let effects = node.engine.flush(&mut node.store, table.now).unwrap();
    assert_eq!(effects, [], "nothing of the batch is carried out");
    assert!(node.engine.clock() >= clock, "the clock does not run backwards");
    table.give(1, vec![Input::Disconnected(device(0))]);
    table.meet(0, 1);
    table.write(0, |pen| pen.create("kept", "x"));
    table.live(1_000);
    table.assert_equal(0, 1);
    assert_eq!(table.nodes[1].note("gone"), None);
    assert_eq!(table.nodes[1].note("kept").as_deref(), Some("x"));
}

#[test]
fn a_clock_set_back_during_a_restart_goes_on_where_it_was() {
    let mut table = Table::new(2);
    table.write(0, |pen| pen.create("n", "before"));
    let before = table.nodes[0].store.clock();
    table.now.wall_ms -= 3_600_000;
    table.restart(0);
    table.write(0, |pen| pen.set("n", "after"));
    assert!(table.nodes[0].store.clock() > before);
    table.meet(0, 1);
    table.live(1_000);
    assert_eq!(table.nodes[1].note("n").as_deref(), Some("after"));
}

#[test]
fn a_clock_a_year_ahead_shadows_nobody_who_has_seen_its_edits() {
    let mut table = Table::new(2);
    table.now.wall_ms += 365 * 86_400_000;
    table.write(0, |pen| pen.create("n", "from next year"));
    table.now.wall_ms -= 365 * 86_400_000;
    table.meet(0, 1);
    table.live(1_000);
    table.write(1, |pen| pen.set("n", "from today"));
    table.live(1_000);
    table.assert_equal(0, 1);
    assert_eq!(table.nodes[0].note("n").as_deref(), Some("from today"));
}

#[test]
fn alone_is_ready_and_a_joiner_that_met_nobody_is_not() {
    let mut table = Table::new(2);
    let phase = |table: &Table, n: usize| table.nodes[n].engine.phase(&table.nodes[n].store);
    assert_eq!(phase(&table, 0), Phase::Ready);
    let certificates = vec![bytes::Bytes::from_static(b"1"), bytes::Bytes::from_static(b"2")];
    table.give(1, vec![Input::Certificates(certificates)]);
    assert_eq!(phase(&table, 1), Phase::Uninitialized);
    table.meet(0, 1);
    table.live(500);
    assert_eq!(phase(&table, 1), Phase::Ready);
    assert!(table.nodes[1].store.owned_vector().len() == 2);
}
