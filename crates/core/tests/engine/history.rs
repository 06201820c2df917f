//! History that is handed to those who were not there.

use driftless_core::change::ChangeSet;
use driftless_core::engine::Event;
use driftless_core::id::Dot;
use driftless_core::message::{Hello, Message};
use driftless_core::store::{HistoryPage, PastSet, Store};

use crate::table::{Table, device};

/// Three replicas that keep histories. The first two have written and forgotten all of it.
fn forgotten(batch_bytes: usize) -> Table {
    let mut table = Table::with(3, |config| config.batch_bytes = batch_bytes);
    table.nodes.iter_mut().for_each(|node| node.store.keep_history(0));
    table.meet(0, 1);
    for n in 0..4 {
        table.write(0, |pen| pen.create(&format!("a{n}"), "x"));
        table.live(200);
        table.write(1, |pen| pen.create(&format!("b{n}"), "x"));
        table.write(1, |pen| pen.set(&format!("a{n}"), "y"));
        table.live(200);
    }
    table.write(0, |pen| pen.delete("b0"));
    table.live(2_000);
    table.members(&[0, 1], &[0, 1]);
    assert_eq!((table.prune(0).0, table.prune(1).0), (13, 13));
    table
}

fn dots(table: &Table, n: usize) -> Vec<Dot> {
    table.nodes[n].store.history().iter().map(ChangeSet::dot).collect()
}

/// Everything that `n` holds of the history, and nothing else, is what it would serve by itself.
fn assert_only_history(table: &mut Table, n: usize) {
    let store = &mut table.nodes[n].store;
    let floors = store.floors().clone();
    let log = store.log(&driftless_core::version::Vector::new(), usize::MAX).unwrap();
    assert!(log.iter().all(|set| set.dot().seq > floors[&set.dot().origin]), "history is served");
}

fn handed(table: &Table, n: usize) -> u64 {
    let sets = table.nodes[n].events.iter().map(|event| match event {
        Event::HandedOver { sets, .. } => *sets,
        _ => 0,
    });
    sets.sum()
}

#[test]
fn a_joiner_is_handed_what_led_to_what_it_has() {
    for batch in [1, 600, 256 << 10] {
        let mut table = forgotten(batch);
        table.meet(2, 1);
        table.live(3_000);
        table.assert_equal(1, 2);
        assert_eq!(dots(&table, 2), dots(&table, 1), "in the order in which they were applied");
        assert_eq!(
            table.nodes[2].store.lost(),
            table.nodes[1].store.lost(),
            "what the delete took"
        );
        assert_eq!((handed(&table, 2), table.nodes[2].store.history_begin()), (13, Some(0)));
        assert_only_history(&mut table, 2);
        // It hands it on in its turn, once the first giver is gone.
        table.disconnect(1, 2);
        table.nodes[0].store.lose_log();
        table.meet(0, 2);
        table.live(3_000);
        assert_eq!((handed(&table, 0), table.nodes[0].store.history_begin()), (13, Some(0)));
        // And then there is nothing to say.
        table.take(|_| true);
        table.wait(50_000);
        let asked = table.take(|flight| ["history", "past"].contains(&flight.message.name()));
        assert!(asked.is_empty(), "{asked:?}");
    }
}

#[test]
fn what_is_too_old_is_not_handed_over() {
    let mut table = forgotten(1);
    let since = table.nodes[1].store.history()[6].header().hlc.ms();
    table.nodes[2].store.keep_history(since);
    table.meet(2, 1);
    table.live(3_000);
    assert_eq!(dots(&table, 2), dots(&table, 1)[6..]);
    assert_eq!(table.nodes[2].store.history_begin(), Some(since));
}

#[test]
fn who_keeps_no_history_asks_for_none() {
    let mut table = forgotten(1);
    let mut store = driftless_core::mem::MemStore::new(device(2));
    std::mem::swap(&mut store, &mut table.nodes[2].store);
    table.restart(2);
    table.meet(2, 1);
    table.live(3_000);
    table.assert_equal(1, 2);
    assert_eq!((dots(&table, 2), table.nodes[2].store.history_begin()), (vec![], None));
}

#[test]
fn who_does_not_answer_for_history_is_not_asked() {
    let mut table = forgotten(1);
    table.connect(2, 1);
    for flight in table.take(|_| true) {
        let message = match flight.message {
            Message::Hello(hello) => Message::Hello(Hello { features: 1, ..hello }),
            other => other,
        };
        table.say(flight.from, flight.to, &message);
    }
    table.live(3_000);
    table.assert_equal(1, 2);
    assert_eq!(dots(&table, 2), []);
}

#[test]
fn a_page_at_a_time_survives_whatever_happens_between() {
    let mut table = forgotten(1);
    table.meet(2, 1);
    table.live(500);
    let mut last = dots(&table, 2).len();
    while last < 13 {
        table.restart(2);
        table.connect(2, 1);
        // Until one more page has come; the next is lost.
        for _ in 0..200 {
            let Some(flight) = table.queue.pop_front() else {
                table.wait(50);
                continue;
            };
            table.say(flight.from, flight.to, &flight.message);
            if dots(&table, 2).len() > last {
                break;
            }
        }
        assert!(dots(&table, 2).len() > last, "nothing came");
        last = dots(&table, 2).len();
        table.take(|_| true);
    }
    assert_eq!(dots(&table, 2), dots(&table, 1));
}

#[test]
fn a_question_that_stays_unanswered_is_asked_again_later() {
    let mut table = forgotten(1);
    table.connect(2, 1);
    for _ in 0..100 {
        while let Some(flight) = table.queue.pop_front() {
            if flight.message.name() != "history" {
                table.say(flight.from, flight.to, &flight.message);
            }
        }
        table.wait(50);
    }
    assert_eq!(dots(&table, 2), []);
    table.live(70_000);
    assert_eq!(dots(&table, 2), dots(&table, 1));
}

/// Lets the joiner ask, and answers in the peer's place.
fn answered(answer: impl FnOnce(&Table, HistoryPage) -> HistoryPage) -> Table {
    let mut table = forgotten(256 << 10);
    table.connect(2, 1);
    for _ in 0..100 {
        while let Some(flight) = table.queue.pop_front() {
            let message = flight.message.clone();
            if let Message::Past { id, page } = message {
                let page = answer(&table, page);
                table.say(flight.from, flight.to, &Message::Past { id, page });
                return table;
            }
            table.say(flight.from, flight.to, &message);
        }
        table.wait(50);
    }
    panic!("nothing was asked");
}

#[test]
fn what_the_origin_did_not_write_is_refused() {
    let forged = |page: HistoryPage, at: usize, with: usize| {
        let mut sets = page.sets;
        sets[at] = PastSet { ended: vec![], ..sets[with].clone() };
        HistoryPage { sets, ..page }
    };
    let other = |page: HistoryPage| forged(page, 0, 3);
    let twice = |page: HistoryPage| forged(page, 1, 0);
    let without = |mut page: HistoryPage| {
        page.sets.remove(2);
        page
    };
    let made_up = |mut page: HistoryPage| {
        let took = page.sets.iter().find(|set| !set.ended.is_empty()).unwrap().ended.clone();
        page.sets[4].ended = took;
        page
    };
    let answers: [&dyn Fn(HistoryPage) -> HistoryPage; 4] = [&other, &twice, &without, &made_up];
    for answer in answers {
        let table = answered(|_, page| answer(page));
        assert_eq!(table.nodes[2].refused.len(), 1, "{:?}", table.nodes[2].refused);
        assert_eq!(dots(&table, 2), []);
    }
}

#[test]
fn a_repeated_answer_changes_nothing() {
    let mut table = answered(|_, page| page);
    let before = dots(&table, 2);
    assert_eq!(before, dots(&table, 1));
    table.say(1, 2, &Message::Past { id: 3, page: HistoryPage::default() });
    assert_eq!((dots(&table, 2), table.nodes[2].refused.len()), (before, 0));
}

#[test]
fn who_was_told_that_there_is_no_more_hears_when_there_is() {
    let mut table = forgotten(256 << 10);
    // The second has lost its history, and hands over what it has: nothing.
    table.disconnect(0, 1);
    table.nodes[1].store.lose_log();
    table.meet(2, 1);
    table.live(3_000);
    table.assert_equal(1, 2);
    assert_eq!(dots(&table, 2), []);
    table.connect(0, 1);
    table.live(3_000);
    assert_eq!((dots(&table, 1), dots(&table, 2)), (dots(&table, 0), dots(&table, 0)));
}

#[test]
fn history_is_given_of_what_is_held_and_of_nothing_else() {
    let mut table = forgotten(1);
    table.meet(2, 1);
    let question = table.take(|flight| flight.message.name() == "history");
    assert!(question.is_empty(), "all was delivered");
    let origin = table.nodes[0].engine.shared_origin();
    let head = table.nodes[1].store.vector().head(&origin).unwrap();
    let gap = |seq, hash| driftless_core::store::Gap { origin, seq, hash };
    let ask = |table: &mut Table, gap| {
        let wanted = driftless_core::store::WantedHistory { since_ms: 0, gaps: vec![gap] };
        table.take(|_| true);
        table.say(2, 1, &Message::History { id: 9, wanted });
        match table.take(|flight| flight.to == 2).pop().unwrap().message {
            Message::Past { id: 9, page } => page.sets.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask(&mut table, gap(head.seq, head.hash)), 1, "a page of one");
    assert_eq!(ask(&mut table, gap(head.seq, [9; 32])), 0, "another branch");
    assert_eq!(ask(&mut table, gap(head.seq + 1, [9; 32])), 0, "not here");
}
