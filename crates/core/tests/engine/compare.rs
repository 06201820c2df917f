//! What the messages of a reconcile do, and what they do not.

use std::collections::BTreeMap;

use driftless_core::clock::Hlc;
use driftless_core::engine::{Event, Input};
use driftless_core::id::{Dot, Epoch, Origin, RecordKey};
use driftless_core::message::{Answer, Ask, Message};
use driftless_core::record::Record;
use driftless_core::schema::ModelId;
use driftless_core::store::{Bucket, KeyRange, Pinned, RecordPage, Store};
use driftless_core::version::{Head, Vector};

use crate::table::{NOTE, Table, device, key};

fn ask(session: u64, turn: u64, ask: Ask) -> Message {
    Message::Ask { session, turn, ask }
}

/// What lies on the table from one replica to another, and is taken off it.
fn answers(table: &mut Table, from: usize, to: usize) -> Vec<Answer> {
    let taken = table.take(|flight| (flight.from, flight.to) == (from, to));
    let answer = |message| match message {
        Message::Answer { answer, .. } => Some(answer),
        _ => None,
    };
    taken.into_iter().filter_map(|flight| answer(flight.message)).collect()
}

/// Two replicas that have met, with two notes; the table is empty.
fn two() -> Table {
    let mut table = Table::with(2, |config| config.pins = 1);
    table.members(&[0, 1], &[0, 1]);
    table.meet(0, 1);
    table.write(0, |pen| {
        pen.create("a", "x");
        pen.create("b", "x");
    });
    table.live(2_000);
    table
}

/// Replica 1 has just asked 0 to keep its lanes, because 0 says that its log is pruned.
fn asking() -> (Table, u64) {
    let mut table = two();
    table.disconnect(0, 1);
    table.write(0, |pen| pen.set("a", "y"));
    table.wait(31 * 24 * 3_600_000);
    table.prune(0);
    table.connect(0, 1);
    loop {
        let flight = table.queue.pop_front().expect("a question is on its way");
        if let Message::Ask { session, .. } = flight.message {
            table.take(|_| true);
            return (table, session);
        }
        table.say(flight.from, flight.to, &flight.message);
    }
}

fn whole() -> KeyRange {
    KeyRange::default()
}

#[test]
fn a_pin_stays_as_it_was_whatever_is_written() {
    let mut table = two();
    table.say(1, 0, &ask(1, 0, Ask::Pin));
    let before = answers(&mut table, 0, 1);
    table.write(0, |pen| pen.delete("a"));
    table.live(1_000);
    table.say(1, 0, &ask(1, 0, Ask::Pin));
    assert_eq!(answers(&mut table, 0, 1), before, "asked again, it is said again");
    table.say(1, 0, &ask(1, 1, Ask::Records { model: NOTE, range: whole() }));
    let [Answer::Records { page, .. }] = &answers(&mut table, 0, 1)[..] else { panic!("no page") };
    let keys: Vec<&RecordKey> = page.records.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [&key("a"), &key("b")]);
    let range = KeyRange { after: Some(key("a")), upto: None };
    table.say(1, 0, &ask(1, 2, Ask::Buckets { model: NOTE, range, rows: 9 }));
    let [Answer::Buckets { buckets, .. }] = &answers(&mut table, 0, 1)[..] else { panic!("none") };
    assert_eq!((buckets.len(), buckets[0].digest.rows, &buckets[0].upto), (1, 1, &None));
}

#[test]
fn what_is_not_kept_has_lapsed() {
    let mut table = two();
    let records = || Ask::Records { model: NOTE, range: whole() };
    table.say(1, 0, &ask(1, 0, records()));
    assert_eq!(answers(&mut table, 0, 1), [Answer::Lapsed], "nothing was ever kept");
    table.say(1, 0, &ask(2, 0, Ask::Pin));
    answers(&mut table, 0, 1);
    table.say(1, 0, &ask(1, 1, records()));
    assert_eq!(answers(&mut table, 0, 1), [Answer::Lapsed], "another session");
    table.say(1, 0, &ask(1, 0, Ask::Pin));
    assert_eq!(answers(&mut table, 0, 1), [Answer::Lapsed], "an older session");
    table.say(1, 0, &ask(2, 1, Ask::End));
    table.say(1, 0, &ask(2, 2, records()));
    assert_eq!(answers(&mut table, 0, 1), [Answer::Lapsed], "an ended session");
    assert!(!table.nodes[0].store.is_pinned(&device(1)));
}

#[test]
fn a_pin_ends_with_the_connection_and_with_patience() {
    let mut table = two();
    table.say(1, 0, &ask(1, 0, Ask::Pin));
    table.wait(14_000);
    assert!(table.nodes[0].store.is_pinned(&device(1)));
    table.wait(2_000);
    assert!(!table.nodes[0].store.is_pinned(&device(1)), "three patiences are over");
    table.say(1, 0, &ask(2, 0, Ask::Pin));
    table.disconnect(0, 1);
    assert!(!table.nodes[0].store.is_pinned(&device(1)));
}

#[test]
fn a_pin_ends_however_much_is_asked() {
    let mut table = two();
    table.say(1, 0, &ask(1, 0, Ask::Pin));
    for turn in 1..=60 {
        assert!(table.nodes[0].store.is_pinned(&device(1)), "after {turn} questions");
        table.wait(10_000);
        table.say(1, 0, &ask(1, turn, Ask::Records { model: NOTE, range: whole() }));
    }
    assert_eq!(answers(&mut table, 0, 1).last(), Some(&Answer::Lapsed), "ten minutes are over");
    assert!(!table.nodes[0].store.is_pinned(&device(1)));
    table.say(1, 0, &ask(2, 0, Ask::Pin));
    assert!(matches!(answers(&mut table, 0, 1)[..], [Answer::Pinned(_)]), "it may begin again");
}

#[test]
fn there_is_room_for_so_many_pins() {
    let mut table = Table::with(3, |config| config.pins = 1);
    table.meet(0, 1);
    table.meet(0, 2);
    table.live(2_000);
    table.say(1, 0, &ask(1, 0, Ask::Pin));
    table.say(2, 0, &ask(1, 0, Ask::Pin));
    assert!(matches!(answers(&mut table, 0, 1)[..], [Answer::Pinned(_)]));
    assert_eq!(answers(&mut table, 0, 2), [Answer::Lapsed]);
}

#[test]
fn answers_that_were_not_asked_for_are_nothing() {
    let (mut table, session) = asking();
    let before = table.nodes[1].state();
    let records = Answer::Records {
        model: NOTE,
        after: None,
        page: RecordPage { records: vec![], upto: None },
    };
    for (session, turn) in [(session + 1, 0), (session, 1)] {
        let answer = records.clone();
        table.say(0, 1, &Message::Answer { session, turn, answer });
    }
    assert_eq!(table.nodes[1].state(), before);
    assert!(table.nodes[1].refused.is_empty() && !table.nodes[1].store.has_mirror());
    table.disconnect(0, 1);
    table.meet(0, 1);
    table.live(5_000);
    table.assert_equal(0, 1);
}

#[test]
fn a_peer_whose_room_lapsed_is_asked_again_after_a_while() {
    let (mut table, session) = asking();
    table.say(0, 1, &Message::Answer { session, turn: 0, answer: Answer::Lapsed });
    assert!(table.names(1, 0).is_empty(), "not at once");
    table.live(6_000);
    table.assert_equal(0, 1);
}

/// A record of one life of this dot.
fn record(origin: Origin, seq: u64) -> Record {
    let lives = BTreeMap::from([(Dot::new(origin, seq), Hlc(3))]);
    Record { lives, ..Record::default() }
}

#[test]
fn answers_that_break_the_rules_end_the_connection() {
    let foreign = Origin::shared(device(5), Epoch(1));
    let head = Head { seq: 4, hash: [1; 32] };
    let pinned = Pinned {
        vector: Vector::from_iter([(foreign, head)]),
        digests: [(NOTE, driftless_core::digest::Digest { rows: 99, sum: 1 })].into(),
    };
    let buckets = |uptos: &[Option<&str>]| Answer::Buckets {
        model: NOTE,
        after: None,
        buckets: uptos
            .iter()
            .map(|upto| Bucket { upto: upto.map(key), digest: Default::default() })
            .collect(),
    };
    let page = |records: Vec<(RecordKey, Record)>, upto: Option<&str>| Answer::Records {
        model: NOTE,
        after: None,
        page: RecordPage { records, upto: upto.map(key) },
    };
    // What is said to the question for buckets.
    let bad_buckets = [
        buckets(&[]),
        buckets(&[Some("b"), Some("a")]),
        buckets(&[None, None]),
        page(vec![], None),
        Answer::Pinned(pinned.clone()),
    ];
    // What is said to the question for records, which a single bucket of few rows leads to.
    let bad_pages = [
        page(vec![(key("b"), record(foreign, 1)), (key("a"), record(foreign, 2))], None),
        page(vec![(key("b"), record(foreign, 1))], Some("a")),
        page(vec![(key("b"), record(foreign, 5))], None),
        page(vec![(key("b"), Record::default())], None),
        buckets(&[None]),
    ];
    let few = Answer::Buckets {
        model: NOTE,
        after: None,
        buckets: vec![Bucket {
            upto: None,
            digest: driftless_core::digest::Digest { rows: 2, sum: 7 },
        }],
    };
    let (deep, shallow) = (bad_pages.into_iter().map(|bad| (Some(&few), bad)), bad_buckets);
    for (between, bad) in deep.chain(shallow.into_iter().map(|bad| (None, bad))) {
        let (mut table, session) = asking();
        let before = table.nodes[1].state();
        let mut say = |turn, answer: &Answer| {
            table.say(0, 1, &Message::Answer { session, turn, answer: answer.clone() });
        };
        say(0, &Answer::Pinned(pinned.clone()));
        if let Some(between) = between {
            say(1, between);
        }
        say(1 + u64::from(between.is_some()), &bad);
        let refused = &table.nodes[1].refused;
        assert_eq!(refused.len(), 1, "{bad:?}");
        assert!(refused[0].1.contains("cannot be compared"), "{}", refused[0].1);
        assert_eq!(table.nodes[1].state(), before);
        assert!(table.nodes[1].note("a").is_some());
    }
}

#[test]
fn another_branch_is_not_compared_with() {
    let (mut table, session) = asking();
    let origin = table.nodes[0].engine.shared_origin();
    let head = table.nodes[1].store.vector().head(&origin).unwrap();
    let other = Head { seq: head.seq, hash: [9; 32] };
    let pinned = Pinned { vector: Vector::from_iter([(origin, other)]), ..Pinned::default() };
    table.say(0, 1, &Message::Answer { session, turn: 0, answer: Answer::Pinned(pinned) });
    let fork = Event::Fork { origin, seq: head.seq, peer: device(0) };
    assert!(table.nodes[1].events.contains(&fork));
    let abandoned = Event::ReconcileAbandoned { peer: device(0) };
    assert!(table.nodes[1].events.contains(&abandoned));
}

#[test]
fn a_reset_without_anything_lacking_changes_nothing() {
    let mut table = two();
    table.say(0, 1, &Message::Reset { pull: 0 });
    table.run();
    table.live(2_000);
    let begun = |event: &Event| matches!(event, Event::ReconcileBegun { .. });
    assert!(!table.nodes[1].events.iter().any(begun));
    table.write(0, |pen| pen.create("c", "x"));
    table.live(2_000);
    table.assert_equal(0, 1);
}

#[test]
fn the_members_that_count_can_change() {
    let mut table = two();
    table.disconnect(0, 1);
    table.write(0, |pen| pen.create("c", "x"));
    assert_eq!(table.prune(0).0, 1, "what 1 has acknowledged");
    assert_eq!(table.prune(0).0, 0);
    // Evicted: nobody waits for it.
    table.give(0, vec![Input::Members(BTreeMap::new())]);
    assert_eq!(table.prune(0).0, 1);
    table.meet(0, 1);
    table.live(5_000);
    table.assert_equal(0, 1);
}

#[test]
fn a_model_that_only_the_asker_has_is_compared_as_well() {
    let mut table = two();
    let unknown = ModelId(4_711);
    // A record that is at 1 alone, though its vector is 0's: it was lost at 0.
    let origin = table.nodes[0].engine.shared_origin();
    let store = &mut table.nodes[1].store;
    store.put_record(unknown, &key("x"), &record(origin, 1)).unwrap();
    store.commit();
    table.disconnect(0, 1);
    table.meet(0, 1);
    table.live(10_000);
    table.assert_equal(0, 1);
    assert!(table.nodes[0].store.record(unknown, &key("x")).unwrap().is_alive());
}
