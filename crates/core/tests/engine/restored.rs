//! Replicas that hold less than they once did: a copy of a device's data was brought back.

use driftless_core::clock::Hlc;
use driftless_core::engine::{Doubt, Event, Input};
use driftless_core::id::Epoch;
use driftless_core::mem::MemStore;
use driftless_core::message::{Message, State};
use driftless_core::store::Store;
use driftless_core::version::{Life, OwnedHead, OwnedVector, Vector};

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

/// What the driver says if nothing tells whether the machine was put back.
fn doubt(table: &mut Table) {
    let doubt = Doubt { shared: epoch(table), owned: table.nodes[0].lane(0).exact };
    table.nodes[0].engine.doubt(doubt);
}

fn count(table: &Table, of: &Event) -> usize {
    table.nodes[0].events.iter().filter(|event| *event == of).count()
}

/// All that could tell was brought back as well, and it writes more than was lost before it meets
/// anybody: seqs of the owned lane are used twice, those of the shared lane are not.
#[test]
fn what_is_written_in_doubt_takes_no_seq_that_others_have() {
    let (mut table, copy) = copied();
    bring_back(&mut table, copy);
    let before = epoch(&table);
    doubt(&mut table);
    for name in ["one", "two", "three"] {
        table.write(0, |pen| pen.put(name, "x"));
    }
    assert_eq!(epoch(&table), before, "an owned write costs no epoch");
    table.write(0, |pen| pen.create("offline", "x"));
    let renewed = epoch(&table);
    assert!(renewed != before);
    table.write(0, |pen| pen.set("early", "z"));
    assert_eq!(epoch(&table), renewed, "once");
    table.meet(0, 1);
    table.live(2_000);
    table.assert_equal(0, 1);
    assert_eq!(count(&table, &Event::Restated), 1);
    assert_eq!(count(&table, &Event::InDoubt(None)), 1);
    for name in ["late", "offline"] {
        assert_eq!(table.nodes[1].note(name).as_deref(), Some("x"), "{name}");
    }
    let files: Vec<_> = table.nodes[1].files(0).into_iter().map(|(name, _)| name).collect();
    assert_eq!(files, ["kept", "one", "three", "two"], "as its owner sees them");
}

#[test]
fn a_doubt_ends_with_the_first_peer_that_has_everything() {
    let (mut table, _) = copied();
    table.disconnect(0, 1);
    table.restart(0);
    let before = epoch(&table);
    let life = table.nodes[0].lane(0).exact.unwrap().life;
    doubt(&mut table);
    table.meet(0, 1);
    assert_eq!(count(&table, &Event::InDoubt(None)), 1);
    table.write(0, |pen| {
        pen.create("after", "x");
        pen.put("after", "x");
    });
    table.live(2_000);
    table.assert_equal(0, 1);
    assert_eq!((epoch(&table), count(&table, &Event::Restated)), (before, 0));
    assert_eq!(table.nodes[0].lane(0).exact.unwrap().life, life);
}

/// A peer that lacks what is here says nothing of what may be missing here, until it has it.
#[test]
fn a_peer_that_is_behind_leaves_the_doubt() {
    let (mut table, _) = copied();
    table.disconnect(0, 1);
    table.write(0, |pen| pen.create("unsynced", "x"));
    table.restart(0);
    doubt(&mut table);
    table.connect(0, 1);
    assert_eq!(count(&table, &Event::InDoubt(None)), 0);
    table.live(2_000);
    assert_eq!(count(&table, &Event::InDoubt(None)), 1);
    table.assert_equal(0, 1);
}

#[test]
fn a_write_in_doubt_that_is_given_up_leaves_everything_as_it_was() {
    let (mut table, _) = copied();
    table.disconnect(0, 1);
    let before = epoch(&table);
    doubt(&mut table);
    table.begin(0, |pen| pen.create("never", "x"));
    assert!(epoch(&table) != before);
    let node = &mut table.nodes[0];
    node.store.rollback();
    node.engine.rolled_back(&node.store);
    assert_eq!(epoch(&table), before);
    table.write(0, |pen| pen.create("now", "x"));
    assert!(epoch(&table) != before, "it is in doubt still");
    table.meet(0, 1);
    table.live(2_000);
    table.assert_equal(0, 1);
}

/// Two copies of one device, and another that meets them in turn. Each restates its lane above the
/// other's once; then they leave it alone for a while, and all are told.
#[test]
fn two_live_copies_do_not_outbid_each_other_for_ever() {
    let mut table = Table::new(2);
    table.write(0, |pen| pen.put("f0", "mine"));
    table.meet(0, 1);
    table.live(500);
    let twin = Event::Twin { device: device(0) };
    let outbid = |table: &mut Table| {
        let Life { mint, .. } = table.nodes[1].lane(0).exact.unwrap().life;
        let life = Life { mint: Hlc(mint.0 + 1), epoch: Epoch(mint.0) };
        let owned = OwnedVector::from_iter([(device(0), OwnedHead { life, seq: 1 })]);
        table.say(1, 0, &Message::Vector(State { shared: Vector::new(), owned }));
        table.live(500);
    };
    outbid(&mut table);
    assert_eq!((count(&table, &Event::Restated), count(&table, &twin)), (1, 0));
    table.assert_equal(0, 1);
    outbid(&mut table);
    outbid(&mut table);
    assert_eq!((count(&table, &Event::Restated), count(&table, &twin)), (1, 2));
    table.live(600_000);
    outbid(&mut table);
    assert_eq!(count(&table, &Event::Restated), 2, "the other one may be gone");
    table.assert_equal(0, 1);
}

#[test]
fn a_lane_that_changes_hands_again_and_again_is_noticed_by_others() {
    let mut table = Table::new(2);
    table.meet(0, 1);
    let twin = Event::Twin { device: device(1) };
    let mut life = table.nodes[1].lane(1).exact.unwrap().life;
    let mut tell = |table: &mut Table, after: u64| {
        table.live(after);
        life.mint.0 += 1;
        let owned = OwnedVector::from_iter([(device(1), OwnedHead { life, seq: 1 })]);
        table.say(1, 0, &Message::Vector(State { shared: Vector::new(), owned }));
    };
    for _ in 0..5 {
        tell(&mut table, 400_000);
    }
    assert_eq!(count(&table, &twin), 0, "a copy is brought back now and then");
    tell(&mut table, 1_000);
    tell(&mut table, 1_000);
    assert_eq!(count(&table, &twin), 1);
    tell(&mut table, 1_000);
    assert_eq!(count(&table, &twin), 1, "not again at once");
}
