//! Who is told at once what another device holds, and who later.

use driftless_core::engine::Config;
use driftless_core::message::Message;

use crate::table::{Flight, Table, device};

/// Three replicas, all joined to all, that have nothing more to say.
fn three() -> Table {
    let mut table = Table::new(3);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        table.connect(a, b);
    }
    table.live(3_000);
    table
}

fn between(table: &mut Table, a: usize, b: usize) -> Vec<Flight> {
    table.take(|flight| (flight.from, flight.to) == (a, b) || (flight.from, flight.to) == (b, a))
}

/// Delivers what lies on the table once, without what follows from it.
fn deliver_once(table: &mut Table) {
    for flight in table.take(|_| true) {
        table.say(flight.from, flight.to, &flight.message);
    }
}

#[test]
fn the_writer_is_told_at_once_and_the_others_together_later() {
    let mut table = three();
    for n in 0..3 {
        table.write(0, |pen| pen.create(&format!("n{n}"), "x"));
        deliver_once(&mut table);
        assert_eq!((table.names(1, 0), table.names(2, 0)), (vec!["vector"], vec!["vector"]));
        assert_eq!(between(&mut table, 1, 2).len(), 0, "they have it themselves");
        deliver_once(&mut table);
    }
    table.wait(Config::default().news_ms - 1);
    assert!(table.queue.is_empty(), "{:?}", table.queue);
    table.wait(1);
    assert_eq!((table.names(1, 2), table.names(2, 1)), (vec!["vector"], vec!["vector"]));
    table.live(3_000);
    table.assert_equal(1, 2);
    let (one, two) = (&table.nodes[1], &table.nodes[2]);
    assert_eq!(one.engine.lag(&one.store, &two.id), Default::default());
    assert!(table.queue.is_empty(), "{:?}", table.queue);
}

#[test]
fn whoever_has_shown_that_it_gets_a_change_elsewhere_is_told_late() {
    let Config { news_ms, late_news_ms, .. } = Config::default();
    let mut table = three();
    let write = |table: &mut Table, name: &str| {
        table.write(0, |pen| pen.create(name, "x"));
        deliver_once(table);
        deliver_once(table);
    };
    // Of the first they tell each other soon, and in the second they see that both had it.
    for name in ["first", "second"] {
        write(&mut table, name);
        table.wait(news_ms);
        assert_eq!((table.names(1, 2), table.names(2, 1)), (vec!["vector"], vec!["vector"]));
        table.live(3_000);
    }
    write(&mut table, "third");
    table.wait(late_news_ms - 1);
    assert_eq!(between(&mut table, 1, 2).len(), 0);
    table.wait(1);
    assert_eq!((table.names(1, 2), table.names(2, 1)), (vec!["vector"], vec!["vector"]));
    // What comes from 0 through 1 alone is told at once all the same.
    table.live(3_000);
    table.disconnect(0, 2);
    table.write(0, |pen| pen.create("fourth", "x"));
    table.live(news_ms + late_news_ms + 1_000);
    assert_eq!(table.nodes[2].note("fourth").as_deref(), Some("x"));
    table.write(0, |pen| pen.create("fifth", "x"));
    table.run();
    assert_eq!(table.nodes[2].note("fifth").as_deref(), Some("x"));
}

#[test]
fn one_word_acknowledges_what_came_within_a_moment() {
    let mut table = Table::with(2, |config| config.ack_ms = 5);
    table.meet(0, 1);
    table.live(3_000);
    for n in 0..3 {
        table.write(0, |pen| pen.create(&format!("n{n}"), "x"));
        table.run();
        assert_eq!(table.nodes[1].note(&format!("n{n}")).as_deref(), Some("x"), "visible at once");
        table.wait(1);
    }
    table.wait(1);
    assert!(table.queue.is_empty(), "{:?}", table.queue);
    table.wait(1);
    assert_eq!(table.names(1, 0), ["vector"], "five milliseconds after the first");
    table.run();
    let node = &table.nodes[0];
    assert_eq!(node.engine.lag(&node.store, &device(1)).behind, 0);
}

#[test]
fn a_window_that_fills_is_acknowledged_at_once() {
    let size = 1_000;
    let mut table = Table::with(2, |config| (config.ack_ms, config.window_bytes) = (5, 8 * size));
    table.meet(0, 1);
    table.live(3_000);
    let write = |table: &mut Table, n: usize| {
        table.write(0, |pen| pen.create(&format!("n{n}"), &"x".repeat(size)));
        deliver_once(table);
        table.names(1, 0).len()
    };
    assert_eq!((write(&mut table, 0), write(&mut table, 1)), (0, 1), "a quarter of it");
    assert_eq!((write(&mut table, 2), write(&mut table, 3)), (0, 1), "and it counts anew");
}

#[test]
fn whoever_hears_of_a_device_from_us_alone_is_told_at_once() {
    let mut table = Table::new(3);
    table.meet(0, 1);
    table.meet(1, 2);
    table.live(3_000);
    table.write(0, |pen| {
        pen.create("first", "x");
        pen.put("first", "x");
    });
    // That 2 is not connected to 0 is not known yet.
    table.live(1_000);
    assert_eq!(table.nodes[2].note("first").as_deref(), Some("x"));
    table.write(0, |pen| {
        pen.create("second", "x");
        pen.put("second", "x");
    });
    table.run();
    assert_eq!(table.nodes[2].note("second").as_deref(), Some("x"));
    assert_eq!(table.nodes[2].files(0).len(), 2);
    // Now it is, and needs 1's word no more.
    table.meet(0, 2);
    table.live(3_000);
    table.write(0, |pen| pen.create("third", "x"));
    table.live(3_000);
    table.write(0, |pen| pen.create("fourth", "x"));
    table.run();
    assert_eq!(table.nodes[2].note("fourth").as_deref(), Some("x"));
    table.wait(Config::default().news_ms);
    let told = |flight: &Flight| matches!(flight.message, Message::Vector(_));
    assert!(table.take(|f| (f.from, f.to) == (1, 2)).iter().all(told));
}

#[test]
fn what_came_from_far_is_passed_on_at_once() {
    let mut table = Table::new(4);
    for (a, b) in [(0, 1), (1, 2), (2, 3)] {
        table.meet(a, b);
    }
    table.live(3_000);
    table.write(0, |pen| pen.create("n", "x"));
    table.run();
    table.wait(Config::default().news_ms);
    table.run();
    // 1 waited, as 2 could have been connected to 0; 2 knows that it is not, and did not wait.
    assert_eq!(table.nodes[3].note("n").as_deref(), Some("x"));
}

/// Among so many that not everybody is linked with everybody, a change is passed on at once to those
/// who are not its writer's neighbours.
#[test]
fn among_many_a_change_is_passed_on_at_once() {
    let mut table = Table::new(14);
    let all: Vec<usize> = (0..14).collect();
    table.members(&all, &all);
    // 3 stands two places from 1, and three from 0.
    table.meet(0, 1);
    table.meet(1, 3);
    table.live(2_000);
    table.write(0, |pen| pen.create("n", "x"));
    table.run();
    assert_eq!(table.nodes[3].note("n").as_deref(), Some("x"));
}
