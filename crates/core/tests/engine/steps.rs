//! Shared lanes: schedules that broke earlier designs, and steps.

use crate::table::Table;

/// A batch that is repeated after the record was deleted brings nothing back.
#[test]
fn a_repeated_old_batch_resurrects_nothing() {
    let mut table = Table::new(2);
    table.meet(0, 1);
    table.write(0, |pen| pen.create("n", "x"));
    let old: Vec<_> = table.queue.iter().cloned().collect();
    table.run();
    table.write(1, |pen| pen.delete("n"));
    table.run();
    table.queue.extend(old);
    table.run();
    table.assert_equal(0, 1);
    assert_eq!(table.nodes[1].note("n"), None);
}

/// A delete that arrives before the creation that it has seen waits for it.
#[test]
fn a_delete_waits_for_the_creation_that_it_has_seen() {
    let mut table = Table::new(3);
    table.meet(0, 1);
    table.write(1, |pen| pen.create("n", "x"));
    table.run();
    table.disconnect(0, 1);
    table.write(0, |pen| pen.delete("n"));
    // 2 meets the deleter; what it is sent of the creator is lost.
    table.connect(2, 0);
    let creator = table.nodes[1].engine.shared_origin();
    for _ in 0..20 {
        let Some(flight) = table.queue.pop_front() else { break };
        let of_creator = match &flight.message {
            driftless_core::message::Message::Changes(changes) => {
                changes.sets.iter().any(|set| set.dot().origin == creator)
            }
            _ => false,
        };
        if !of_creator {
            table.say(flight.from, flight.to, &flight.message);
        }
    }
    use driftless_core::store::Store;
    assert!(table.nodes[2].store.vector().is_empty(), "nothing of the deleter is taken yet");
    assert_eq!(table.nodes[2].engine.waiting(), 1);
    table.live(10_000);
    table.assert_equal(0, 2);
    assert_eq!(table.nodes[2].note("n"), None);
    assert_eq!(table.nodes[2].engine.waiting(), 0);
}

/// Three concurrent values: siblings everywhere, and a fourth that has seen all ends the conflict.
#[test]
fn siblings_are_the_same_everywhere_until_they_are_resolved() {
    let mut table = Table::new(4);
    table.write(0, |pen| pen.create("n", "first"));
    for n in 1..4 {
        table.meet(0, n);
    }
    table.live(1_000);
    for n in 1..4 {
        table.disconnect(0, n);
    }
    for n in 0..3 {
        table.write(n, |pen| pen.set("n", &format!("by {n}")));
    }
    for (a, b) in [(0, 3), (3, 1), (2, 3), (0, 1), (1, 2), (0, 2)] {
        table.connect(a, b);
        table.live(500);
    }
    for n in 1..4 {
        table.assert_equal(0, n);
    }
    let shown = table.nodes[3].note("n").unwrap();
    table.write(3, |pen| pen.set("n", &shown));
    table.live(500);
    table.assert_equal(0, 3);
    let (_, _, record) = table.nodes[0].store.records().next().unwrap();
    assert_eq!(record.versions(crate::table::TEXT).len(), 1, "resolved by an ordinary write");
}

/// A delete wins over an edit that it did not know of, in whatever order they come.
#[test]
fn a_delete_wins_over_a_concurrent_edit_and_the_edit_is_kept() {
    let mut table = Table::new(3);
    table.write(0, |pen| pen.create("n", "x"));
    table.meet(0, 1);
    table.meet(0, 2);
    table.live(500);
    table.disconnect(0, 1);
    table.disconnect(0, 2);
    table.write(0, |pen| pen.delete("n"));
    table.write(1, |pen| pen.set("n", "edited"));
    // 2 gets the edit first, 1 the delete.
    table.meet(1, 2);
    table.meet(0, 1);
    table.meet(0, 2);
    table.live(1_000);
    table.assert_equal(0, 1);
    table.assert_equal(0, 2);
    assert_eq!(table.nodes[2].note("n"), None);
    for n in 0..3 {
        let lost = table.nodes[n].store.lost().iter();
        let texts: Vec<_> = lost.map(|(_, lost, _)| lost.version.value.clone()).collect();
        let edit = driftless_core::value::Value::Text("edited".into());
        assert!(texts.contains(&edit), "{n} keeps {texts:?}");
    }
}

/// Change sets of which only some fit beside what waits are pulled again, and not without end.
#[test]
fn what_found_no_room_is_pulled_again() {
    let mut table = Table::with(3, |config| config.pending_bytes = 1);
    table.meet(0, 1);
    table.write(0, |pen| pen.create("n", "x"));
    table.run();
    for n in 0..20 {
        table.write(1, |pen| pen.set("n", &format!("{n}")));
    }
    table.run();
    table.disconnect(0, 1);
    // 2 hears of 1's stream, which needs 0's, but the push of that is lost.
    table.connect(1, 2);
    let mut first = true;
    for _ in 0..200 {
        let Some(flight) = table.queue.pop_front() else { break };
        let answer = flight.to == 2 && flight.message.name() == "changes";
        if !(answer && std::mem::take(&mut first)) {
            table.say(flight.from, flight.to, &flight.message);
        }
    }
    assert!(table.queue.is_empty(), "a loop of pulls");
    table.live(60_000);
    table.assert_equal(1, 2);
}

/// More change sets than one batch may apply: the rest follows at once, and a tick brings it.
#[test]
fn a_long_catch_up_goes_in_slices() {
    let mut table = Table::new(2);
    for n in 0..4_500 {
        table.write(
            0,
            |pen| if n == 0 { pen.create("n", "0") } else { pen.set("n", &n.to_string()) },
        );
    }
    table.meet(0, 1);
    table.live(2_000);
    table.assert_equal(0, 1);
    assert_eq!(table.nodes[1].note("n").as_deref(), Some("4499"));
}

/// What would not fit one message is refused when it is written, not when it is sent.
#[test]
fn what_fits_no_message_is_refused() {
    use driftless_core::engine::WriteError;
    use driftless_core::schema::FieldId;
    use driftless_core::value::Value;
    let mut table = Table::new(1);
    let schema = crate::table::wide_schema(12);
    let big = |n: u32| (FieldId(n), Value::Blob(vec![0; 1 << 20]));
    let (now, node) = (table.now, &mut table.nodes[0]);
    let mut tx = node.engine.begin_local(&node.store, now).unwrap();
    let mut put = |fields: Vec<(FieldId, Value)>| {
        let key = crate::table::key("row");
        tx.put_owned(&schema, &mut node.store, crate::table::FILE, &key, fields)
    };
    assert!(put((1..=8).map(big).collect()).is_ok());
    assert!(matches!(put((1..=9).map(big).collect()), Err(WriteError::TooLarge(_))));
}
