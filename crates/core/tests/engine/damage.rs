//! What was damaged is neither served nor compared, and comes back from whoever has it.

use driftless_core::engine::{Event, Input, WriteError};
use driftless_core::message::{Answer, Ask, DigestReport, Held, Hello, Message, OwnedPull};
use driftless_core::record::Record;
use driftless_core::schema::FieldId;
use driftless_core::store::{HeldRow, Place, Store};
use driftless_core::value::Value;
use driftless_core::version::OwnedHead;

use crate::table::{FILE, NOTE, TEXT, Table, device, key};

fn note(name: &str) -> Place {
    (NOTE, key(name))
}

fn file(name: &str) -> Place {
    (FILE, key(name))
}

/// `n` replicas that have met, with notes and files of each; the table is empty.
fn some(n: usize) -> Table {
    let mut table = Table::new(n);
    let all: Vec<usize> = (0..n).collect();
    table.members(&all, &all);
    for (a, b) in all.iter().flat_map(|a| (0..*a).map(move |b| (b, *a))) {
        table.meet(a, b);
    }
    for at in 0..n {
        table.write(at, |pen| {
            pen.create(&format!("a{at}"), "x");
            pen.create(&format!("b{at}"), "x");
            pen.put(&format!("f{at}"), "x");
            pen.put(&format!("g{at}"), "x");
        });
    }
    table.live(3_000);
    for node in &mut table.nodes {
        node.events.clear();
    }
    table
}

/// Damage is found at a replica; nothing is delivered yet.
fn damage(table: &mut Table, at: usize, notes: &[&str], files: &[(usize, &str)]) {
    let store = &mut table.nodes[at].store;
    for name in notes {
        assert!(store.damage_record(&note(name)), "{name}");
    }
    for (of, name) in files {
        assert!(store.damage_row(device(*of), &file(name), false), "{name}");
    }
    let records = (notes.len() + files.len()) as u64;
    table.give(at, vec![Input::Damaged(records)]);
}

fn missing(table: &Table, at: usize) -> usize {
    table.nodes[at].store.missing().len()
}

fn mended(table: &Table, at: usize) -> u64 {
    let events = table.nodes[at].events.iter();
    let counts = events.map(|event| match event {
        Event::Mended { records, .. } => *records,
        _ => 0,
    });
    counts.sum()
}

/// All logs are pruned, so that nothing can be mended from one's own.
fn prune(table: &mut Table) {
    for n in 0..table.nodes.len() {
        assert!(table.prune(n).0 > 0);
    }
}

#[test]
fn records_and_rows_come_back_and_all_is_as_before() {
    let mut table = some(2);
    prune(&mut table);
    let before = (table.nodes[1].state(), table.nodes[1].store.digests().clone());
    damage(&mut table, 1, &["a0", "b1"], &[(0, "f0"), (1, "g1")]);
    assert_ne!(table.nodes[1].state(), before.0, "its lanes are not told any more");
    assert_eq!(table.nodes[1].state().owned.len(), 0);
    table.live(3_000);
    assert_eq!((missing(&table, 1), mended(&table, 1)), (0, 4));
    assert_eq!((table.nodes[1].state(), table.nodes[1].store.digests().clone()), before);
    table.assert_equal(0, 1);
    let damaged =
        table.nodes[1].events.iter().filter(|e| matches!(e, Event::Damaged { records: 4 }));
    assert_eq!(damaged.count(), 1);
    let alarm =
        |event: &Event| matches!(event, Event::Compared { differ, .. } if !differ.is_empty());
    for node in &table.nodes {
        assert!(!node.events.iter().any(alarm), "{:?}", node.events);
    }
    let compared = table.nodes[0].events.iter().any(|e| matches!(e, Event::Compared { .. }));
    assert!(compared, "it is compared anew");
}

#[test]
fn a_log_without_floors_is_enough() {
    let mut table = some(2);
    table.write(1, |pen| pen.set("a0", "y"));
    table.live(2_000);
    table.disconnect(0, 1);
    table.write(1, |pen| pen.set("a0", "z"));
    damage(&mut table, 1, &["a0"], &[]);
    assert_eq!((missing(&table, 1), mended(&table, 1)), (0, 1));
    assert_eq!(table.nodes[1].note("a0").unwrap(), "z");
    table.meet(0, 1);
    table.live(3_000);
    table.assert_equal(0, 1);
}

#[test]
fn what_was_written_before_and_meanwhile_is_in_the_record_that_comes_back() {
    let mut table = some(3);
    prune(&mut table);
    for other in [0, 2] {
        table.disconnect(other, 1);
    }
    // 1 alone has this, and 0 and 2 have something of their own.
    table.write(1, |pen| pen.set("a0", "one"));
    table.write(0, |pen| pen.set("a0", "nought"));
    table.write(2, |pen| pen.delete("b0"));
    table.live(1_000);
    damage(&mut table, 1, &["a0", "b0", "a2"], &[]);
    table.connect(0, 1);
    table.write(2, |pen| pen.set("a2", "two"));
    for _ in 0..4 {
        let Some(flight) = table.queue.pop_front() else { break };
        table.say(flight.from, flight.to, &flight.message);
    }
    table.write(0, |pen| pen.set("a2", "later"));
    table.live(5_000);
    table.meet(1, 2);
    table.live(5_000);
    assert_eq!(missing(&table, 1), 0);
    for other in [0, 2] {
        table.assert_equal(other, 1);
    }
    assert_eq!(table.nodes[1].note("b0"), None, "a delete by another counts");
    let versions = table.nodes[1].store.record(NOTE, &key("a0")).unwrap();
    assert_eq!(versions.versions(TEXT).len(), 2, "both edits are there");
}

#[test]
fn nothing_that_is_missing_is_served_or_vouched_for() {
    let mut table = some(2);
    prune(&mut table);
    let pull = OwnedPull { device: device(1), exact: None, session: None, credit: 3 };
    let state = table.nodes[1].state();
    table.say(0, 1, &Message::Ask { session: 1, turn: 0, ask: Ask::Pin });
    assert!(table.nodes[1].store.is_pinned(&device(0)));
    table.take(|_| true);
    damage(&mut table, 1, &["a0"], &[(1, "f1"), (1, "g1")]);
    table.take(|_| true);
    assert!(!table.nodes[1].store.is_pinned(&device(0)), "what was kept for peers has it, too");

    table.say(0, 1, &Message::Ask { session: 2, turn: 0, ask: Ask::Pin });
    let lapsed = Message::Answer { session: 2, turn: 0, answer: Answer::Lapsed };
    assert!(table.take(|flight| flight.from == 1).iter().any(|flight| flight.message == lapsed));
    table.say(0, 1, &Message::OwnedPull(pull));
    let digests = table.nodes[1].store.digests().clone();
    let report = DigestReport { ask: true, state: state.hash(), digests };
    table.say(0, 1, &Message::Digest(report));
    for (of, keys) in [(None, vec![note("b0")]), (Some(device(1)), vec![file("g1")])] {
        table.say(0, 1, &Message::Recall { id: 3, of, keys });
        let nothing = Message::Recalled { id: 3, of, held: Held::Nothing };
        assert!(table.take(|flight| flight.message == nothing).len() == 1);
    }
    assert_eq!(table.names(1, 0), [""; 0]);
    let not_comparable = |event: &Event| matches!(event, Event::NotComparable { .. });
    assert!(table.nodes[1].events.iter().any(not_comparable));
    table.give(1, vec![Input::Probe(9)]);
    assert!(!table.nodes[1].state().owned.iter().any(|(id, _)| *id == device(1)));
}

#[test]
fn whoever_wants_to_compare_while_something_is_missing_is_told_at_once() {
    let mut table = some(2);
    prune(&mut table);
    damage(&mut table, 1, &["a0"], &[]);
    table.take(|_| true);
    table.nodes[1].events.clear();
    table.give(1, vec![Input::Verify(device(0))]);
    assert_eq!(table.nodes[1].events, [Event::NotComparable { peer: device(0) }]);
    assert_eq!(table.names(1, 0), [""; 0], "nothing is asked that cannot be compared");
}

#[test]
fn a_missing_record_cannot_be_written() {
    let mut table = some(2);
    prune(&mut table);
    table.disconnect(0, 1);
    damage(&mut table, 1, &["a0"], &[]);
    let now = table.now;
    let node = &mut table.nodes[1];
    let schema = crate::table::wide_schema(1);
    let text = || vec![(TEXT, Value::Text("new".into()))];
    let mut tx = node.engine.begin_local(&node.store, now).unwrap();
    let a = key("a0");
    for refused in [
        tx.create(&schema, &mut node.store, NOTE, &a, text()),
        tx.set(&schema, &mut node.store, NOTE, &a, text()),
        tx.delete(&schema, &mut node.store, NOTE, &a).map(|_| ()),
    ] {
        assert!(matches!(refused, Err(WriteError::Missing { .. })), "{refused:?}");
    }
}

#[test]
fn a_row_that_is_written_or_deleted_meanwhile_is_not_missing_any_more() {
    let mut table = some(2);
    table.disconnect(0, 1);
    damage(&mut table, 1, &[], &[(1, "f1"), (1, "g1"), (0, "f0"), (0, "g0")]);
    table.write(1, |pen| pen.put("f1", "new"));
    assert_eq!(missing(&table, 1), 3);
    table.write(1, |pen| pen.remove("g1"));
    assert_eq!(missing(&table, 1), 2);
    table.write(0, |pen| {
        pen.put("f0", "new");
        pen.remove("g0");
    });
    table.meet(0, 1);
    table.live(90_000);
    assert_eq!(missing(&table, 1), 0);
    table.assert_equal(0, 1);
}

#[test]
fn of_a_lane_that_is_further_here_a_row_comes_back_by_its_seq() {
    let mut table = some(3);
    table.disconnect(0, 1);
    table.disconnect(1, 2);
    table.write(1, |pen| pen.put("h1", "alone"));
    // 0 lacks what was written last, and has what was damaged.
    damage(&mut table, 1, &[], &[(1, "f1")]);
    assert_eq!(table.nodes[1].engine.unmendable(&table.nodes[1].store), []);
    table.meet(0, 1);
    table.live(3_000);
    assert_eq!(missing(&table, 1), 0);
    table.assert_equal(0, 1);
    assert!(table.nodes[0].files(1).iter().any(|(name, _)| name == "h1"), "and is served again");

    // What was never sent is nowhere else.
    table.disconnect(0, 1);
    table.write(1, |pen| pen.put("i1", "alone"));
    damage(&mut table, 1, &[], &[(1, "i1")]);
    let unmendable = table.nodes[1].engine.unmendable(&table.nodes[1].store);
    assert_eq!(unmendable, [(Some(device(1)), file("i1"))]);
}

#[test]
fn a_row_of_which_nothing_could_be_read_comes_from_whoever_is_as_far() {
    let mut table = some(3);
    table.disconnect(0, 1);
    table.disconnect(1, 2);
    table.disconnect(0, 2);
    table.write(0, |pen| pen.put("f0", "newer"));
    table.live(100);
    table.nodes[1].store.damage_row(device(0), &file("g0"), true);
    table.give(1, vec![Input::Damaged(1)]);
    table.meet(1, 2);
    table.live(1_000);
    assert_eq!(missing(&table, 1), 0, "2 is not behind");
    table.nodes[1].store.damage_row(device(0), &file("g0"), true);
    table.give(1, vec![Input::Damaged(1)]);
    table.meet(0, 1);
    table.live(90_000);
    table.assert_equal(0, 1);
}

#[test]
fn alone_nothing_comes_back_and_that_is_known() {
    let mut table = some(2);
    prune(&mut table);
    table.disconnect(0, 1);
    damage(&mut table, 1, &["a0"], &[(0, "f0")]);
    assert_eq!(table.nodes[1].engine.unmendable(&table.nodes[1].store), [], "0 has it");
    table.members(&[1], &[1]);
    let unmendable = table.nodes[1].engine.unmendable(&table.nodes[1].store);
    assert_eq!(unmendable, [(None, note("a0"))]);
}

/// A question of replica 1 for the note a0 lies on the table; its number.
fn asking() -> (Table, u64) {
    let mut table = some(2);
    prune(&mut table);
    damage(&mut table, 1, &["a0"], &[(0, "f0")]);
    let asked = table.take(|_| true);
    let [flight] = &asked[..] else { panic!("{asked:?}") };
    let Message::Recall { id, of: None, keys } = &flight.message else { panic!("{flight:?}") };
    assert_eq!(keys[..], [note("a0")]);
    (table, *id)
}

#[test]
fn answers_that_were_not_asked_for_are_nothing() {
    let (mut table, id) = asking();
    let vector = table.nodes[0].store.vector().clone();
    let records = vec![(note("a0"), Record::default())];
    let held = || Held::Records { vector: vector.clone(), records: records.clone() };
    for (id, of) in [(id + 1, None), (id, Some(device(0)))] {
        table.say(0, 1, &Message::Recalled { id, of, held: held() });
        assert_eq!(missing(&table, 1), 2);
    }
    let of = Some(device(0));
    let as_of = table.nodes[0].lane(0).exact.unwrap();
    let held = Held::Rows { as_of, rows: vec![HeldRow { model: FILE, key: key("f0"), row: None }] };
    table.say(0, 1, &Message::Recalled { id, of, held });
    assert_eq!(missing(&table, 1), 2);
    // What was not asked for is left out, and then there is nothing.
    let held = Held::Records { vector, records: vec![(note("b0"), Record::default())] };
    table.say(0, 1, &Message::Recalled { id, of: None, held });
    assert!(table.nodes[1].note("b0").is_some());
}

#[test]
fn an_answer_that_cannot_be_right_ends_the_connection() {
    let (mut table, id) = asking();
    let record = table.nodes[0].store.record(NOTE, &key("a0")).unwrap();
    let vector = driftless_core::version::Vector::new();
    let held = Held::Records { vector, records: vec![(note("a0"), record)] };
    table.say(0, 1, &Message::Recalled { id, of: None, held });
    assert_eq!(table.nodes[1].refused.len(), 1, "a dot beyond its vector");
    assert_eq!(missing(&table, 1), 2);

    let mut table = some(2);
    damage(&mut table, 1, &[], &[(0, "f0")]);
    let asked = table.take(|_| true);
    let Message::Recall { id, of, .. } = asked[0].message else { panic!("{asked:?}") };
    let exact = table.nodes[0].lane(0).exact.unwrap();
    let as_of = OwnedHead { seq: 1, ..exact };
    let fields = vec![(TEXT, Value::Text("forged".into()))];
    let row = HeldRow { model: FILE, key: key("f0"), row: Some((exact.seq, fields)) };
    let held = Held::Rows { as_of, rows: vec![row] };
    table.say(0, 1, &Message::Recalled { id, of, held });
    assert_eq!(table.nodes[1].refused.len(), 1, "a row beyond its lane's head");
    assert_eq!(missing(&table, 1), 1);
}

#[test]
fn fields_out_of_order_or_null_are_no_row() {
    let exact = Table::new(1).nodes[0].lane(0).exact.unwrap();
    let (one, null) = (Value::Int(1), Value::Null);
    for fields in [
        vec![(FieldId(2), one.clone()), (FieldId(1), one.clone())],
        vec![(FieldId(1), one.clone()), (FieldId(1), one.clone())],
        vec![(FieldId(1), null)],
    ] {
        let row = HeldRow { model: FILE, key: key("f"), row: Some((1, fields)) };
        let held = Held::Rows { as_of: exact, rows: vec![row] };
        let message = Message::Recalled { id: 1, of: Some(device(0)), held };
        let library = driftless_core::id::LibraryId(uuid::Uuid::from_bytes([3; 16]));
        let frame = message.encode(library, device(0)).unwrap();
        assert!(driftless_core::message::Envelope::decode(&frame).is_err());
    }
}

#[test]
fn whoever_does_not_answer_such_questions_is_not_asked() {
    let (mut table, _) = asking();
    table.restart(1);
    damage(&mut table, 1, &["b0"], &[]);
    table.give(1, vec![Input::Connected(device(0))]);
    table.take(|_| true);
    let hello = Message::Hello(Hello {
        features: 0,
        schema: [0; 32],
        clock_ms: table.now.wall_ms,
        hlc: table.nodes[0].engine.clock(),
        heard: true,
        state: table.nodes[0].state(),
    });
    table.say(0, 1, &hello);
    table.wait(10_000);
    assert!(!table.names(1, 0).contains(&"recall"), "{:?}", table.names(1, 0));
}

#[test]
fn a_peer_that_cannot_help_is_left_in_peace_and_another_is_asked() {
    let mut table = some(3);
    prune(&mut table);
    damage(&mut table, 0, &["a1"], &[]);
    damage(&mut table, 1, &["a1"], &[]);
    let recalls = |table: &Table| {
        let names = (0..3).flat_map(|to| table.names(1, to));
        names.filter(|name| *name == "recall").count()
    };
    assert_eq!(recalls(&table), 1);
    table.live(2_000);
    assert_eq!((missing(&table, 0), missing(&table, 1)), (0, 0), "2 has it");
    table.assert_equal(0, 1);
    table.assert_equal(1, 2);
}
