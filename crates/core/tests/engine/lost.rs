//! Messages that are lost on a connection that stands: each costs a delay and no data.

use crate::table::{Pen, Table, device};

fn met(n: usize) -> Table {
    let mut table = Table::new(n);
    for a in 0..n {
        for b in a + 1..n {
            table.connect(a, b);
        }
    }
    table.live(2_000);
    table
}

#[test]
fn a_lost_push_is_sent_again() {
    let mut table = met(2);
    table.write(0, |pen| pen.create("n", "x"));
    table.take(|_| true);
    table.live(6_000);
    assert_eq!(table.nodes[1].note("n").as_deref(), Some("x"));
}

#[test]
fn a_lost_acknowledgement_is_repeated_with_the_next_push() {
    let mut table = met(2);
    table.write(0, |pen| pen.create("n", "x"));
    let push = table.queue.pop_front().unwrap();
    table.say(push.from, push.to, &push.message);
    table.take(|flight| flight.from == 1);
    table.live(6_000);
    let node = &table.nodes[0];
    assert_eq!(node.engine.lag(&node.store, &device(1)).behind, 0, "before the refresh");
    let again: usize = table.names(0, 1).len();
    assert_eq!(again, 0);
}

#[test]
fn lost_news_come_with_the_refresh() {
    let mut table = Table::new(3);
    table.connect(0, 1);
    table.connect(1, 2);
    table.live(2_000);
    table.write(0, |pen| pen.create("n", "x"));
    while let Some(flight) = table.queue.pop_front() {
        if flight.to != 2 {
            table.say(flight.from, flight.to, &flight.message);
        }
    }
    table.live(10_000);
    assert_eq!(table.nodes[2].note("n"), None);
    table.live(60_000);
    assert_eq!(table.nodes[2].note("n").as_deref(), Some("x"));
}

/// The writer has left. 3 knows of what it wrote from both of the others, but of what 1 sends one kind
/// of message never gets through.
fn beside_a_silent_peer(kind: &str, fill: impl FnOnce(&mut Pen<'_>)) -> Table {
    let mut table = Table::new(4);
    table.meet(0, 1);
    table.meet(0, 2);
    table.write(0, fill);
    table.live(1_000);
    table.disconnect(0, 1);
    table.disconnect(0, 2);
    table.connect(1, 3);
    table.connect(2, 3);
    for _ in 0..2_000 {
        match table.queue.pop_front() {
            Some(flight) => {
                let swallowed = flight.from == 1 && flight.message.name() == kind;
                if flight.to != 3 || !swallowed {
                    table.say(flight.from, flight.to, &flight.message);
                }
            }
            None => table.wait(50),
        }
    }
    table
}

#[test]
fn a_peer_that_answers_no_pull_does_not_keep_the_others_from_being_asked() {
    let mut table = beside_a_silent_peer("changes", |pen| pen.create("n", "x"));
    assert_eq!(table.nodes[3].note("n").as_deref(), Some("x"));
}

#[test]
fn a_peer_that_sends_no_page_does_not_keep_the_others_from_being_asked() {
    let table = beside_a_silent_peer("page", |pen| pen.put("file", "y"));
    assert_eq!(table.nodes[3].exact(0), 2);
}

#[test]
fn a_lost_page_is_asked_for_once() {
    let mut table = Table::with(2, |config| (config.page_rows, config.page_credit) = (1, 8));
    table.write(0, |pen| (0..40).for_each(|n| pen.put(&format!("f{n:02}"), "x")));
    table.connect(0, 1);
    let mut pages = 0;
    for _ in 0..1_000 {
        let Some(flight) = table.queue.pop_front() else { break };
        let page = flight.message.name() == "page" && flight.to == 1;
        pages += usize::from(page);
        // Every seventh page is lost.
        if !page || pages % 7 != 0 {
            table.say(flight.from, flight.to, &flight.message);
        }
    }
    table.live(30_000);
    assert_eq!(table.nodes[1].files(0).len(), 40);

    assert!(pages < 90, "{pages} pages for 40 rows");
}

#[test]
fn repeated_messages_do_not_feed_on_themselves() {
    let mut table = Table::with(2, |config| config.page_rows = 1);
    table.write(0, |pen| (0..40).for_each(|n| pen.put(&format!("f{n:02}"), "x")));
    table.connect(0, 1);
    let mut delivered = 0;
    while let Some(flight) = table.queue.pop_front() {
        table.say(flight.from, flight.to, &flight.message);
        table.say(flight.from, flight.to, &flight.message);
        delivered += 1;
        assert!(delivered < 600, "a storm");
    }
    assert_eq!(table.nodes[1].files(0).len(), 40);
}
