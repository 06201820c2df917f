//! Scenarios that broke other systems, or an earlier design of this one, each against the real engine.
//! Those of owned lanes stand in `lanes.rs`, those of batches and needs in `steps.rs`, clocks in
//! `meeting.rs`, a return after the retention in `reconcile.rs`.

use driftless_core::change::{Change, ChangeSet, Draft, Op};
use driftless_core::clock::Hlc;
use driftless_core::engine::Event;
use driftless_core::id::{Dot, Epoch, Origin};
use driftless_core::message::{Changes, Message};
use driftless_core::store::Store;

use crate::table::{Flight, NOTE, Table, device, key};

const DAY_MS: u64 = 24 * 3_600_000;

/// Connects all to all.
fn joined(n: usize) -> Table {
    let mut table = Table::new(n);
    let all: Vec<usize> = (0..n).collect();
    table.members(&all, &all);
    for a in 0..n {
        for b in a + 1..n {
            table.connect(a, b);
        }
    }
    table.live(2_000);
    table
}

fn show(table: &mut Table, name: &str) -> Vec<Option<String>> {
    table.nodes.iter_mut().map(|node| node.note(name)).collect()
}

fn assert_all_equal(table: &Table) {
    for n in 1..table.nodes.len() {
        table.assert_equal(0, n);
    }
}

/// The first write of a device comes late, through a relay, after later ones of others.
#[test]
fn a_late_early_write_comes_through_a_relay_after_later_ones() {
    let mut table = Table::new(4);
    table.write(0, |pen| pen.create("early", "x"));
    table.meet(1, 2);
    for i in 0..5 {
        table.write(1, |pen| pen.create(&format!("later {i}"), "x"));
    }
    table.live(1_000);
    // 0 meets the relay only now, and never anybody else.
    table.meet(0, 3);
    table.live(1_000);
    table.disconnect(0, 3);
    table.meet(3, 2);
    table.live(2_000);
    for n in 1..4 {
        assert_eq!(table.nodes[n].note("early").as_deref(), Some("x"), "at {n}");
        table.assert_equal(1, n);
    }
}

/// A chain of four whose head dies after its neighbour has heard of its writes.
#[test]
fn a_chain_of_four_whose_head_dies() {
    let mut table = Table::new(4);
    for n in 0..3 {
        table.connect(n, n + 1);
    }
    table.live(1_000);
    for i in 0..20 {
        table.write(0, |pen| {
            pen.create(&format!("n{i}"), "x");
            pen.put(&format!("f{i}"), "x");
        });
    }
    // Up to the moment at which its neighbour has the shared ones.
    while table.nodes[1].note("n19").is_none() {
        let flight = table.queue.pop_front().expect("it is on its way");
        table.say(flight.from, flight.to, &flight.message);
    }
    table.disconnect(0, 1);
    table.live(10_000);
    for n in 2..4 {
        assert_eq!(table.nodes[n].note("n19").as_deref(), Some("x"));
        table.assert_equal(1, n);
    }
}

/// Acknowledgements that are dropped, repeated and out of order cost time and nothing else, and none
/// makes a device forget what somebody lacks.
#[test]
fn acknowledgements_dropped_repeated_and_reordered() {
    let mut table = joined(3);
    let mut held: Vec<Flight> = Vec::new();
    for i in 0..60 {
        table.write(i % 3, |pen| pen.create(&format!("n{i}"), "x"));
        while let Some(flight) = table.queue.pop_front() {
            if flight.message.name() == "vector" {
                match i % 4 {
                    0 => continue,
                    1 => held.push(flight.clone()),
                    2 => table.say(flight.from, flight.to, &flight.message),
                    _ => {}
                }
            }
            table.say(flight.from, flight.to, &flight.message);
        }
        if i % 10 == 9 {
            for flight in std::mem::take(&mut held).into_iter().rev() {
                table.say(flight.from, flight.to, &flight.message);
            }
        }
        table.prune(i % 3);
        for (at, of) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
            let floors = table.nodes[at].store.floors().clone();
            for (origin, floor) in floors {
                assert!(floor <= table.nodes[of].store.vector().seq(&origin), "{of} lacks it");
            }
        }
    }
    table.live(70_000);
    assert_all_equal(&table);
}

/// More rows of one change set than fit a page.
#[test]
fn more_rows_of_one_stamp_than_a_page() {
    let mut table = Table::with(2, |config| config.page_rows = 3);
    table.write(0, |pen| {
        for i in 0..20 {
            pen.put(&format!("f{i:02}"), "x");
        }
    });
    table.meet(0, 1);
    table.live(1_000);
    table.assert_equal(0, 1);
    assert_eq!(table.nodes[1].files(0).len(), 20);
}

/// A model that is empty at the first backfill and filled later.
#[test]
fn a_model_that_is_empty_at_first_and_filled_later() {
    let mut table = joined(2);
    assert_eq!((table.nodes[1].files(0).len(), table.nodes[1].exact(0)), (0, 1));
    table.write(0, |pen| pen.put("f", "x"));
    table.write(0, |pen| pen.create("n", "x"));
    table.live(1_000);
    assert_all_equal(&table);
    assert_eq!(table.nodes[1].files(0).len(), 1);
}

/// A joiner that has written before it joins: what it has is newer than what it is given.
#[test]
fn a_joiner_that_holds_newer_edits_than_the_snapshot() {
    let mut table = Table::new(3);
    table.members(&[0, 1], &[0, 1]);
    table.meet(0, 1);
    table.write(0, |pen| {
        pen.create("n", "old");
        pen.create("gone", "x");
    });
    table.live(1_000);
    // The joiner hears of them, edits, and is away while the others prune and go on.
    table.meet(0, 2);
    table.live(1_000);
    table.disconnect(0, 2);
    table.write(2, |pen| {
        pen.set("n", "newer, by the joiner");
        pen.create("own", "x");
    });
    table.write(0, |pen| pen.delete("gone"));
    table.live(1_000);
    table.prune(0);
    table.prune(1);
    table.meet(1, 2);
    table.live(5_000);
    table.meet(0, 2);
    table.live(5_000);
    assert_all_equal(&table);
    assert_eq!(show(&mut table, "n"), vec![Some("newer, by the joiner".to_owned()); 3]);
    assert_eq!(show(&mut table, "gone"), [None, None, None]);
    assert_eq!(show(&mut table, "own"), vec![Some("x".to_owned()); 3]);
}

/// Two that write apart from each other, in every way in which that can meet, at once and after both
/// have pruned.
#[test]
fn deletes_and_edits_at_once() {
    for prunes in [false, true] {
        let mut table = joined(2);
        table.write(0, |pen| {
            for name in ["both delete", "delete and edit", "delete and again"] {
                pen.create(name, "first");
            }
        });
        table.live(2_000);
        table.disconnect(0, 1);
        table.write(0, |pen| {
            pen.delete("both delete");
            pen.delete("delete and edit");
            pen.delete("delete and again");
        });
        table.write(0, |pen| pen.create("delete and again", "second"));
        table.write(1, |pen| {
            pen.delete("both delete");
            pen.set("delete and edit", "edited");
            pen.delete("delete and again");
        });
        if prunes {
            table.wait(31 * DAY_MS);
            table.prune(0);
            table.prune(1);
        }
        table.meet(0, 1);
        table.live(10_000);
        assert_all_equal(&table);
        assert_eq!(show(&mut table, "both delete"), [None, None]);
        assert_eq!(show(&mut table, "delete and edit"), [None, None]);
        let again = Some("second".to_owned());
        assert_eq!(show(&mut table, "delete and again"), [again.clone(), again]);
        let mut kept = table.nodes[1].store.lost().iter();
        let lost = |name| (NOTE, key(name));
        assert!(kept.any(|(place, ..)| *place == lost("delete and edit")), "it is in the history");
    }
}

/// A record that refers to another one arrives before it, and the receiver crashes in between.
#[test]
fn a_child_before_its_parent_with_a_crash_in_between() {
    let mut table = Table::new(3);
    table.meet(0, 1);
    table.write(0, |pen| pen.create("parent", "x"));
    table.run();
    table.write(1, |pen| pen.create("child", "of parent"));
    table.disconnect(0, 1);
    table.connect(1, 2);
    // Of what 2 is sent, the parent's change set is lost.
    let parent = table.nodes[0].engine.shared_origin();
    let of_parent = |flight: &Flight| match &flight.message {
        Message::Changes(changes) => changes.sets.iter().any(|set| set.dot().origin == parent),
        _ => false,
    };
    while let Some(flight) = table.queue.pop_front() {
        if !of_parent(&flight) {
            table.say(flight.from, flight.to, &flight.message);
        }
    }
    assert_eq!(table.nodes[2].note("child"), None, "it waits for its parent");
    assert_eq!(table.nodes[2].engine.waiting(), 1);
    table.restart(2);
    table.disconnect(1, 2);
    table.meet(1, 2);
    table.live(2_000);
    table.assert_equal(1, 2);
    assert_eq!(table.nodes[2].note("child").as_deref(), Some("of parent"));
    assert_eq!(table.nodes[2].note("parent").as_deref(), Some("x"));
}

/// A change set amid a batch that nobody's program writes: what stands before it is kept, it does not
/// enter, and whoever hands it on is told.
#[test]
fn a_poison_change_amid_a_batch() {
    let mut table = Table::new(3);
    table.meet(0, 1);
    table.live(1_000);
    let origin = Origin::shared(device(2), Epoch(9));
    let set = |seq, prev, op| {
        let change = Change { model: NOTE, key: key(&format!("n{seq}")), op };
        let draft = Draft { dot: Dot::new(origin, seq), prev, hlc: Hlc(5), needs: vec![] };
        ChangeSet::new(draft, &[change]).unwrap()
    };
    let create = || Op::Create { over: vec![], fields: vec![] };
    let first = set(1, [0; 32], create());
    // It deletes a life that nobody can have seen.
    let unseen = Dot::new(Origin::shared(device(2), Epoch(77)), 5);
    let poison = set(2, first.head().hash, Op::Delete { lives: vec![unseen] });
    let last = set(3, poison.head().hash, create());
    let sets = vec![first, poison, last];
    table.say(1, 0, &Message::Changes(Changes { pull: 0, sets }));
    assert_eq!(table.nodes[0].store.vector().seq(&origin), 1);
    let (peer, why) = &table.nodes[0].refused[0];
    assert_eq!(*peer, device(1));
    assert!(why.contains("cannot be read"), "{why}");
    // Everything else goes on.
    table.disconnect(0, 1);
    table.meet(0, 1);
    table.write(0, |pen| pen.create("after", "x"));
    table.live(2_000);
    assert_eq!(table.nodes[1].note("after").as_deref(), Some("x"));
}

/// A tree is deleted by one device while another one lets it grow: what was added hangs below a place
/// that is gone, and both see the same.
#[test]
fn a_tree_is_deleted_while_it_grows() {
    let mut table = joined(3);
    table.write(0, |pen| {
        pen.create("root", "");
        pen.create("branch", "below root");
        pen.create("leaf", "below branch");
    });
    table.live(1_000);
    table.disconnect(0, 1);
    table.disconnect(0, 2);
    table.write(0, |pen| {
        for name in ["leaf", "branch", "root"] {
            pen.delete(name);
        }
    });
    table.write(1, |pen| pen.create("bud", "below leaf"));
    table.write(2, |pen| pen.set("leaf", "below root"));
    table.live(2_000);
    table.connect(0, 1);
    table.connect(0, 2);
    table.live(5_000);
    assert_all_equal(&table);
    assert_eq!(show(&mut table, "bud"), vec![Some("below leaf".to_owned()); 3]);
    for name in ["root", "branch", "leaf"] {
        assert_eq!(show(&mut table, name), [None, None, None]);
    }
}

/// A clock that was a year ahead and is then corrected shadows nobody who has seen its edits.
#[test]
fn a_clock_a_year_ahead_then_corrected() {
    const YEAR_MS: u64 = 365 * DAY_MS;
    let mut table = joined(2);
    table.write(1, |pen| pen.create("n", "first"));
    table.live(1_000);
    let right = table.now.wall_ms;
    table.now.wall_ms = right + YEAR_MS;
    table.write(0, |pen| pen.set("n", "from the future"));
    table.now.wall_ms = right;
    table.live(1_000);
    table.write(1, |pen| pen.set("n", "later"));
    table.live(1_000);
    assert_all_equal(&table);
    assert_eq!(show(&mut table, "n"), vec![Some("later".to_owned()); 2]);
    let drift = table.nodes[1].engine.clock().ms().saturating_sub(table.now.wall_ms);
    assert!(drift <= 60_000, "the other clock did not follow");
    table.write(0, |pen| pen.set("n", "corrected"));
    table.live(1_000);
    assert_eq!(show(&mut table, "n"), vec![Some("corrected".to_owned()); 2]);
}

/// A batch that is repeated after the record was deleted, and the delete was pruned.
#[test]
fn a_repeated_old_batch_after_the_delete_was_pruned() {
    let mut table = joined(2);
    table.write(0, |pen| {
        pen.create("n", "x");
        pen.put("f", "x");
    });
    let pushed: Vec<Flight> = table.queue.iter().cloned().collect();
    let mut old = pushed;
    while let Some(flight) = table.queue.pop_front() {
        if matches!(flight.message.name(), "changes" | "page") {
            old.push(flight.clone());
        }
        table.say(flight.from, flight.to, &flight.message);
    }
    table.live(1_000);
    table.write(1, |pen| pen.delete("n"));
    table.write(0, |pen| pen.remove("f"));
    table.live(1_000);
    assert!(table.prune(0).0 > 0 && table.prune(1).0 > 0);
    table.queue.extend(old);
    table.live(2_000);
    assert_all_equal(&table);
    assert_eq!(show(&mut table, "n"), [None, None]);
    assert_eq!(table.nodes[1].files(0).len(), 0);
}

/// A transfer of the shared lanes that goes on at a second server, which has deleted a record and
/// pruned that meanwhile.
#[test]
fn a_reconcile_that_goes_on_where_a_delete_was_pruned() {
    let mut table = Table::with(3, |config| {
        config.batch_bytes = 150;
        config.bucket_rows = 2;
        config.fine_rows = 1;
    });
    table.members(&[0, 1], &[0, 1]);
    table.meet(0, 1);
    for name in ["a", "b", "c", "d"] {
        table.write(0, |pen| pen.create(name, "x"));
    }
    table.live(1_000);
    table.prune(0);
    table.prune(1);
    table.connect(0, 2);
    while !table.nodes[2].store.is_mirrored(NOTE, &key("b")).unwrap() {
        let flight = table.queue.pop_front().expect("the records are on their way");
        table.say(flight.from, flight.to, &flight.message);
    }
    table.disconnect(0, 2);
    table.write(1, |pen| pen.delete("a"));
    table.live(1_000);
    table.prune(1);
    table.prune(0);
    table.meet(1, 2);
    table.live(5_000);
    table.assert_equal(1, 2);
    assert_eq!(table.nodes[2].note("a"), None);
}

/// A delete that was seen by one and pruned there must not let a third keep what it deleted, whose
/// fields are by several devices.
#[test]
fn a_record_with_fields_of_several_devices_dies_as_a_whole() {
    let mut table = joined(3);
    table.write(1, |pen| pen.create("n", "by 1"));
    table.live(1_000);
    table.write(2, |pen| pen.set("n", "by 2"));
    table.live(1_000);
    table.disconnect(0, 2);
    table.disconnect(1, 2);
    table.write(0, |pen| pen.delete("n"));
    table.live(1_000);
    table.disconnect(0, 1);
    table.wait(31 * DAY_MS);
    table.meet(0, 1);
    table.live(1_000);
    table.prune(0);
    table.prune(1);
    table.connect(0, 2);
    table.connect(1, 2);
    table.live(10_000);
    assert_all_equal(&table);
    assert_eq!(show(&mut table, "n"), [None, None, None]);
}

/// A full transfer of an owned lane that goes on where a delete, made after it began, was pruned.
#[test]
fn a_full_session_starts_over_where_a_delete_was_pruned() {
    let mut table = Table::with(3, |config| (config.page_rows, config.page_credit) = (1, 1));
    table.members(&[0, 1], &[0, 1]);
    table.write(0, |pen| pen.put("a", "x"));
    table.write(0, |pen| pen.put("b", "x"));
    table.write(0, |pen| pen.put("c", "x"));
    table.meet(0, 1);
    table.live(1_000);
    table.connect(0, 2);
    while table.nodes[2].lane(0).session.is_none_or(|session| session.cursor.seq < 2) {
        let flight = table.queue.pop_front().expect("pages are on their way");
        table.say(flight.from, flight.to, &flight.message);
    }
    table.disconnect(0, 2);
    table.write(0, |pen| pen.remove("a"));
    table.live(1_000);
    assert_eq!((table.prune(0).1, table.prune(1).1), (1, 1));
    table.meet(1, 2);
    table.live(5_000);
    table.assert_equal(1, 2);
    assert_eq!(table.nodes[2].files(0).len(), 2);
}

/// An owned lane of a life in which nothing is left still takes the place of the one before.
#[test]
fn a_life_with_nothing_in_it_replaces_what_was_there() {
    let mut table = joined(2);
    table.write(0, |pen| pen.put("f", "x"));
    table.live(1_000);
    assert_eq!(table.nodes[1].files(0).len(), 1);
    table.write(0, |pen| pen.remove("f"));
    // Before that is told, its owner meets a greater life of its own, and goes on above it.
    table.take(|_| true);
    let mut head = table.nodes[0].lane(0).exact.unwrap();
    head.life.mint = Hlc(head.life.mint.0 + 10);
    let owned = [(device(0), head)].into_iter().collect();
    let state = driftless_core::message::State { shared: Default::default(), owned };
    table.say(1, 0, &Message::Vector(state));
    assert!(table.nodes[0].events.contains(&Event::Restated));
    table.live(2_000);
    table.assert_equal(0, 1);
    assert_eq!(table.nodes[1].files(0).len(), 0);
}
