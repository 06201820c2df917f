//! Replicas whose logs do not reach back to each other: pruned, joined late, away for too long, with
//! a log that was lost.

use driftless_core::engine::{Event, Phase};
use driftless_core::store::Store;

use crate::table::{NOTE, Table, device, key};

const DAY_MS: u64 = 24 * 3_600_000;

/// Two replicas that know each other, in sync, with some notes.
fn two() -> Table {
    let mut table = Table::new(2);
    table.members(&[0, 1], &[0, 1]);
    table.meet(0, 1);
    for n in 0..2 {
        table.write(n, |pen| {
            for name in ["a", "b", "c"] {
                pen.create(&format!("{name}{n}"), name);
            }
        });
    }
    table.live(3_000);
    table
}

fn reconciled(table: &Table, n: usize) -> Vec<(u64, u64)> {
    let events = table.nodes[n].events.iter();
    let of = |event: &Event| match event {
        Event::Reconciled { records, dropped, .. } => Some((*records, *dropped)),
        _ => None,
    };
    events.filter_map(of).collect()
}

fn floor(table: &Table, at: usize, of: usize) -> u64 {
    let mut floors = table.nodes[at].store.floors().iter();
    floors.find(|(origin, _)| origin.device == device(of)).map_or(0, |(_, floor)| *floor)
}

#[test]
fn what_a_member_lacks_is_not_pruned() {
    let mut table = Table::new(3);
    table.members(&[0, 1, 2], &[0, 1, 2]);
    table.meet(0, 1);
    table.write(0, |pen| pen.create("a", "x"));
    table.live(3_000);
    assert_eq!(table.prune(0), (0, 0), "the third has never acknowledged anything");
    table.meet(0, 2);
    table.live(3_000);
    assert_eq!(table.prune(0), (1, 0));
    assert_eq!((floor(&table, 0, 0), floor(&table, 1, 0)), (1, 0));
}

#[test]
fn nothing_is_pruned_before_the_members_are_known() {
    let mut table = Table::new(1);
    table.write(0, |pen| pen.create("a", "x"));
    assert_eq!(table.prune(0), (0, 0));
    table.members(&[0], &[0]);
    assert_eq!(table.prune(0), (1, 0));
}

#[test]
fn pruning_comes_by_itself_after_acknowledgements() {
    let mut table = two();
    assert_eq!(floor(&table, 0, 0), 0);
    table.live(61_000);
    assert_eq!([floor(&table, 0, 0), floor(&table, 0, 1), floor(&table, 1, 0)], [1, 1, 1]);
}

#[test]
fn a_member_that_is_silent_for_longer_than_the_retention_does_not_count() {
    let mut table = two();
    table.disconnect(0, 1);
    table.write(0, |pen| pen.create("d", "x"));
    table.prune(0);
    assert_eq!(floor(&table, 0, 0), 1);
    table.wait(31 * DAY_MS);
    table.prune(0);
    assert_eq!(floor(&table, 0, 0), 2);
}

#[test]
fn a_device_that_returns_after_the_retention_brings_its_edits_and_takes_no_delete_back() {
    let mut table = two();
    table.disconnect(0, 1);
    table.write(0, |pen| {
        pen.delete("a0");
        pen.set("b1", "by 0");
        pen.create("new at 0", "x");
    });
    table.write(1, |pen| {
        pen.set("a0", "an edit of what is deleted");
        pen.set("c0", "by 1");
        pen.set("b1", "by 1");
        pen.create("new at 1", "y");
    });
    table.wait(31 * DAY_MS);
    table.prune(0);
    table.prune(1);
    assert_eq!((floor(&table, 0, 0), floor(&table, 1, 1)), (2, 2));
    table.meet(0, 1);
    table.live(10_000);
    table.assert_equal(0, 1);
    assert_eq!((reconciled(&table, 0).len(), reconciled(&table, 1).len()), (1, 1));
    for n in 0..2 {
        let node = &mut table.nodes[n];
        assert_eq!(node.note("a0"), None, "deletes win");
        assert_eq!(node.note("c0").as_deref(), Some("by 1"));
        assert_eq!(node.note("new at 0").as_deref(), Some("x"));
        assert_eq!(node.note("new at 1").as_deref(), Some("y"));
        let b1 = node.store.record(NOTE, &key("b1")).unwrap();
        assert_eq!(b1.fields.values().map(Vec::len).collect::<Vec<_>>(), [2], "both are kept");
    }
    // The edit that lost is in the history of who made it.
    assert_eq!(table.nodes[1].store.lost().len(), 1);
}

#[test]
fn a_joiner_that_the_pruner_did_not_know_is_reset_and_gets_everything() {
    let mut table = Table::with(3, |config| {
        config.bucket_rows = 4;
        config.fine_rows = 2;
        config.buckets = 3;
        config.batch_bytes = 300;
    });
    table.members(&[0, 1], &[0, 1]);
    table.meet(0, 1);
    for i in 0..40 {
        table.write(i % 2, |pen| pen.create(&format!("n{i:02}"), "x"));
    }
    table.run();
    table.write(0, |pen| pen.delete("n03"));
    table.live(3_000);
    table.prune(0);
    table.prune(1);
    table.meet(1, 2);
    table.live(3_000);
    table.assert_equal(1, 2);
    assert_eq!(reconciled(&table, 2), [(39, 0)]);
    assert_eq!(table.nodes[2].engine.phase(&table.nodes[2].store), Phase::Ready);
    // What was got as state cannot be served as a log.
    assert_eq!((floor(&table, 2, 0), floor(&table, 2, 1)), (21, 20));
    table.write(2, |pen| pen.create("by the joiner", "x"));
    table.live(3_000);
    table.meet(0, 1);
    table.live(3_000);
    table.assert_equal(0, 2);
}

#[test]
fn only_what_differs_is_fetched() {
    let mut table = Table::with(2, |config| {
        config.bucket_rows = 16;
        config.fine_rows = 4;
    });
    table.members(&[0, 1], &[0, 1]);
    table.meet(0, 1);
    for i in 0..200 {
        table.write(0, |pen| pen.create(&format!("n{i:03}"), "x"));
    }
    table.live(3_000);
    table.assert_equal(0, 1);
    table.disconnect(0, 1);
    table.write(0, |pen| {
        pen.set("n050", "y");
        pen.delete("n150");
    });
    table.wait(31 * DAY_MS);
    table.prune(0);
    table.connect(0, 1);
    let mut records = 0;
    while let Some(flight) = table.queue.pop_front() {
        if let driftless_core::message::Message::Answer { answer, .. } = &flight.message
            && let driftless_core::message::Answer::Records { page, .. } = answer
        {
            records += page.records.len();
        }
        table.say(flight.from, flight.to, &flight.message);
    }
    table.live(10_000);
    table.assert_equal(0, 1);
    // The old value of one, the life and the value of the other.
    assert_eq!(reconciled(&table, 1), [(2, 3)]);
    assert!(records <= 8, "{records} records were sent for two that differ");
}

#[test]
fn what_is_written_meanwhile_on_either_side_is_not_lost_and_not_compared_twice() {
    let mut table = two();
    table.disconnect(0, 1);
    table.write(0, |pen| {
        pen.delete("a0");
        pen.set("b0", "by 0");
    });
    table.wait(31 * DAY_MS);
    table.prune(0);
    table.connect(0, 1);
    // Up to the first answer with buckets, step by step, writing at both sides at every step.
    let mut step = 0;
    while let Some(flight) = table.queue.pop_front() {
        step += 1;
        table.say(flight.from, flight.to, &flight.message);
        if step < 40 {
            table.write(1, |pen| {
                pen.set("b0", &format!("by 1 in step {step}"));
                pen.set("c0", &format!("by 1 in step {step}"));
            });
            table.write(0, |pen| pen.set("c1", &format!("by 0 in step {step}")));
        }
        if step == 12 {
            table.write(1, |pen| pen.delete("a1"));
        }
    }
    table.live(10_000);
    table.assert_equal(0, 1);
    assert!(!reconciled(&table, 1).is_empty());
    let node = &mut table.nodes[0];
    assert_eq!((node.note("a0"), node.note("a1")), (None, None));
    assert_eq!(node.note("c0").as_deref(), Some("by 1 in step 39"));
    assert_eq!(node.note("c1").as_deref(), Some("by 0 in step 39"));
}

#[test]
fn a_reconcile_goes_on_with_another_peer_and_fetches_nothing_twice() {
    let mut table = Table::with(3, |config| {
        config.batch_bytes = 300;
        config.bucket_rows = 8;
        config.fine_rows = 2;
    });
    table.members(&[0, 1], &[0, 1]);
    table.meet(0, 1);
    for i in 0..40 {
        table.write(0, |pen| pen.create(&format!("n{i:02}"), "x"));
    }
    table.live(3_000);
    table.prune(0);
    table.prune(1);
    table.connect(0, 2);
    let is_records = |flight: &crate::table::Flight| {
        let message = &flight.message;
        matches!(
            message,
            driftless_core::message::Message::Answer {
                answer: driftless_core::message::Answer::Records { .. },
                ..
            }
        )
    };
    let mut pages = 0;
    while let Some(flight) = table.queue.pop_front() {
        pages += usize::from(is_records(&flight));
        table.say(flight.from, flight.to, &flight.message);
        if pages == 6 {
            break;
        }
    }
    assert!(table.nodes[2].store.has_mirror());
    table.disconnect(0, 2);
    table.restart(2);
    table.connect(1, 2);
    let mut more = 0;
    while let Some(flight) = table.queue.pop_front() {
        more += usize::from(is_records(&flight));
        table.say(flight.from, flight.to, &flight.message);
    }
    table.live(5_000);
    table.assert_equal(1, 2);
    assert_eq!(reconciled(&table, 2), [(40, 0)]);
    assert!(!table.nodes[2].store.has_mirror());
    // Two records to a page.
    assert!(pages + more <= 20 + 2, "{pages} pages and {more} more for forty records");
}

/// What the first peer brought is of a model of which neither the second one nor the asker has
/// anything: it must be compared all the same.
#[test]
fn what_an_earlier_peer_brought_is_not_taken_for_what_a_later_one_has() {
    let mut table = Table::with(3, |config| {
        config.batch_bytes = 300;
        config.bucket_rows = 8;
        config.fine_rows = 2;
    });
    table.members(&[0], &[0]);
    table.write(0, |pen| pen.create("gone", "x"));
    table.write(0, |pen| pen.delete("gone"));
    table.prune(0);
    table.meet(0, 1);
    table.live(3_000);
    assert_eq!(table.nodes[0].state(), table.nodes[1].state());
    table.disconnect(0, 1);
    for i in 0..40 {
        table.write(0, |pen| pen.create(&format!("n{i:02}"), "x"));
    }
    table.prune(0);
    table.connect(0, 2);
    while !table.nodes[2].store.has_mirror() {
        let flight = table.queue.pop_front().unwrap();
        table.say(flight.from, flight.to, &flight.message);
    }
    table.disconnect(0, 2);
    table.restart(2);
    table.meet(1, 2);
    table.live(10_000);
    assert_eq!(table.nodes[1].state(), table.nodes[2].state());
    assert_eq!(table.nodes[2].note("n00"), None, "its change set is not in the vector");
    table.meet(0, 2);
    table.live(10_000);
    table.assert_equal(0, 2);
    assert_eq!(table.nodes[2].note("n39").as_deref(), Some("x"));
}

#[test]
fn lost_questions_and_answers_are_asked_again() {
    let mut table = two();
    table.disconnect(0, 1);
    table.write(0, |pen| pen.set("a0", "y"));
    table.wait(31 * DAY_MS);
    table.prune(0);
    table.connect(0, 1);
    let mut seen = 0;
    for _ in 0..600 {
        while let Some(flight) = table.queue.pop_front() {
            let name = flight.message.name();
            seen += u32::from(matches!(name, "ask" | "answer"));
            // Every third one is lost.
            if !matches!(name, "ask" | "answer") || !seen.is_multiple_of(3) {
                table.say(flight.from, flight.to, &flight.message);
            }
        }
        table.wait(100);
    }
    table.assert_equal(0, 1);
}

#[test]
fn a_log_that_was_lost_costs_a_reconcile_and_nothing_else() {
    let mut table = two();
    table.disconnect(0, 1);
    table.write(0, |pen| pen.set("a0", "by 0"));
    table.write(1, |pen| pen.set("a0", "by 1"));
    table.nodes[0].store.lose_log();
    table.restart(0);
    table.members(&[0], &[0, 1]);
    table.meet(0, 1);
    table.live(10_000);
    table.assert_equal(0, 1);
    assert_eq!((reconciled(&table, 0).len(), reconciled(&table, 1).len()), (0, 1));
}

#[test]
fn a_log_that_one_of_several_has_is_preferred() {
    let mut table = Table::new(3);
    table.members(&[0, 1, 2], &[0, 1, 2]);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        table.meet(a, b);
    }
    table.live(3_000);
    table.disconnect(0, 2);
    table.disconnect(1, 2);
    table.write(0, |pen| pen.create("a", "x"));
    table.live(3_000);
    table.nodes[0].store.lose_log();
    for n in [0, 1] {
        table.connect(n, 2);
    }
    table.live(10_000);
    table.assert_equal(1, 2);
    assert_eq!(reconciled(&table, 2), []);
}

#[test]
fn replicas_that_differ_at_equal_vectors_alarm_and_lose_nothing() {
    let mut table = two();
    // A row is lost at 0, as by a fault of the disk.
    let store = &mut table.nodes[0].store;
    store.put_record(NOTE, &key("a0"), &driftless_core::record::Record::default()).unwrap();
    store.commit();
    table.disconnect(0, 1);
    table.meet(0, 1);
    table.live(10_000);
    table.assert_equal(0, 1);
    assert_eq!(table.nodes[0].note("a0").as_deref(), Some("a"));
    let alarms = |n: usize| {
        let events = table.nodes[n].events.iter();
        events.filter(|e| matches!(e, Event::Compared { differ, .. } if !differ.is_empty())).count()
    };
    assert!(alarms(0) + alarms(1) > 0);
    assert!(reconciled(&table, 0).len() + reconciled(&table, 1).len() > 0);
}

#[test]
fn tombstones_of_owned_lanes_go_when_everybody_has_them() {
    let mut table = two();
    table.write(0, |pen| {
        pen.put("one", "x");
        pen.put("two", "x");
    });
    table.write(0, |pen| pen.remove("one"));
    table.live(3_000);
    let (_, tombstones) = table.prune(0);
    assert_eq!((tombstones, table.nodes[0].lane(0).floor), (1, 3));
    // One that holds the lane from below the floor takes it whole.
    let mut joiner = Table::new(1);
    assert_eq!(joiner.prune(0), (0, 0));
    assert_eq!(table.nodes[1].files(0).len(), 1);
}

#[test]
fn an_owned_lane_from_below_the_floor_is_taken_whole() {
    let mut table = Table::with(2, |config| config.page_rows = 2);
    table.members(&[0, 1], &[0, 1]);
    for name in ["a", "b", "c", "d", "e"] {
        table.write(0, |pen| pen.put(name, "x"));
    }
    table.meet(0, 1);
    table.live(3_000);
    table.disconnect(0, 1);
    table.write(0, |pen| pen.remove("b"));
    table.write(0, |pen| pen.put("f", "x"));
    table.wait(31 * DAY_MS);
    assert_eq!(table.prune(0), (0, 1));
    table.meet(0, 1);
    table.live(3_000);
    table.assert_equal(0, 1);
    assert_eq!(table.nodes[1].lane(0).floor, table.nodes[1].exact(0));
}

/// A lane that is not what its owner has, at the same head, is fetched anew from the owner.
#[test]
fn an_owned_lane_that_differs_is_fetched_anew_from_its_owner() {
    let mut table = Table::with(3, |config| config.page_rows = 2);
    table.meet(0, 1);
    table.write(0, |pen| {
        for name in ["a", "b", "c"] {
            pen.put(name, "x");
        }
    });
    table.live(3_000);
    // The head moves at 1 without its rows, as by a fault.
    table.disconnect(0, 1);
    table.write(0, |pen| pen.put("d", "x"));
    let none = driftless_core::page::PageWriter::new(&[]).finish();
    let head = table.nodes[0].exact(0);
    let store = &mut table.nodes[1].store;
    store.apply_delta(&device(0), &none, head).unwrap();
    store.commit();
    // Who is not the owner cannot mend it.
    table.meet(1, 2);
    table.live(10_000);
    assert_eq!(table.nodes[2].files(0).len(), 3);
    table.meet(0, 1);
    table.meet(0, 2);
    table.live(20_000);
    for n in [1, 2] {
        table.assert_equal(0, n);
        assert_eq!(table.nodes[n].files(0).len(), 4);
        assert_eq!(table.nodes[n].lane(0).session, None);
    }
}
