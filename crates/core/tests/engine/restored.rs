//! Replicas that hold less than they once did: a copy of a device's data was brought back.

use driftless_core::engine::{Event, Input};
use driftless_core::id::Epoch;
use driftless_core::mem::MemStore;
use driftless_core::store::Store;

use crate::table::{Table, device};

/// Two replicas with a note and a file of the first, a copy of its data, and what it wrote after it
/// was copied, which the other has.
fn copied() -> (Table, MemStore) {
    let mut table = Table::new(2);
    table.members(&[0, 1], &[0, 1]);
    table.meet(0, 1);
    table.write(0, |pen| {
        pen.create("early", "x");
        pen.put("kept", "x");
    });
    table.live(2_000);
    let copy = table.nodes[0].store.clone();
    table.write(0, |pen| {
        pen.create("late", "x");
        pen.set("early", "y");
        pen.put("withdrawn", "x");
    });
    table.live(2_000);
    table.assert_equal(0, 1);
    (table, copy)
}

fn bring_back(table: &mut Table, copy: MemStore) {
    table.disconnect(0, 1);
    table.nodes[0].store = copy;
    table.restart(0);
}

fn epoch(table: &Table) -> Epoch {
    table.nodes[0].engine.identity().shared_epoch
}

#[test]
fn what_was_written_before_and_after_a_restore_is_there() {
    let (mut table, copy) = copied();
    let before = epoch(&table);
    bring_back(&mut table, copy);
    table.give(0, vec![Input::Renew]);
    assert!(table.nodes[0].events.contains(&Event::Renewed));
    assert!(epoch(&table) != before);
    table.write(0, |pen| {
        pen.create("offline", "x");
        pen.put("new", "x");
    });
    table.meet(0, 1);
    table.live(2_000);
    table.assert_equal(0, 1);
    for name in ["late", "offline"] {
        assert_eq!(table.nodes[1].note(name).as_deref(), Some("x"), "{name}");
        assert_eq!(table.nodes[0].note(name).as_deref(), Some("x"), "{name}");
    }
    assert_eq!(table.nodes[0].note("early").as_deref(), Some("y"));
    let names = |at: usize| table.nodes[at].files(0).into_iter().map(|(name, _)| name);
    assert_eq!(names(1).collect::<Vec<_>>(), ["kept", "new"], "as its owner sees them");
}

#[test]
fn the_same_where_the_log_is_pruned() {
    let (mut table, copy) = copied();
    assert!(table.prune(1).0 > 0);
    bring_back(&mut table, copy);
    table.give(0, vec![Input::Renew]);
    table.write(0, |pen| pen.create("offline", "x"));
    table.meet(0, 1);
    table.live(10_000);
    table.assert_equal(0, 1);
    for name in ["early", "late", "offline"] {
        assert!(table.nodes[1].note(name).is_some(), "{name}");
    }
    let reconciled = |event: &Event| matches!(event, Event::Reconciled { .. });
    assert!(table.nodes[0].events.iter().any(reconciled));
}

/// Nobody says that the data were replaced: it shows when a peer has more of what this device wrote.
#[test]
fn a_device_that_meets_more_of_its_own_goes_on_under_a_new_epoch() {
    let (mut table, copy) = copied();
    let before = epoch(&table);
    bring_back(&mut table, copy);
    assert_eq!(epoch(&table), before);
    table.meet(0, 1);
    table.live(2_000);
    assert!(epoch(&table) != before);
    table.write(0, |pen| pen.create("after", "x"));
    table.live(2_000);
    table.assert_equal(0, 1);
    assert_eq!(table.nodes[0].note("late").as_deref(), Some("x"));
    assert_eq!(table.nodes[1].note("after").as_deref(), Some("x"));
    let renewed = |event: &&Event| **event == Event::Renewed;
    assert_eq!(table.nodes[0].events.iter().filter(renewed).count(), 1);
}

#[test]
fn the_epoch_is_kept_over_a_restart_and_given_up_with_its_transaction() {
    let mut table = Table::new(1);
    let first = epoch(&table);
    table.give(0, vec![Input::Renew]);
    let renewed = epoch(&table);
    assert!(renewed != first);
    table.restart(0);
    assert_eq!(epoch(&table), renewed);
    let node = &mut table.nodes[0];
    node.engine.handle(&mut node.store, Input::Renew, table.now).unwrap();
    assert!(node.engine.identity().shared_epoch != renewed);
    node.store.rollback();
    node.engine.rolled_back(&node.store);
    assert_eq!(node.engine.identity().shared_epoch, renewed);
    let life = node.store.lane(&device(0)).and_then(|lane| lane.exact).map(|head| head.life);
    assert_eq!(Some(node.engine.identity().owned_life), life);
}
