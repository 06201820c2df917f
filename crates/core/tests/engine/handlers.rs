//! What each kind of message does, and what it does not.

use bytes::Bytes;
use driftless_core::change::{Change, ChangeSet, Draft, Op};
use driftless_core::clock::Hlc;
use driftless_core::digest::Digests;
use driftless_core::engine::{Event, Input, Phase};
use driftless_core::id::{Dot, Epoch, Origin};
use driftless_core::message::{
    Answer, Ask, Changes, DigestReport, Held, Hello, Message, OwnedPull, Page, Refusal, State,
};
use driftless_core::page::{Cursor, PageModel, PageWriter};
use driftless_core::schema::ModelId;
use driftless_core::store::{HistoryPage, Store, WantedHistory};
use driftless_core::version::{Head, Life, OwnedHead, OwnedVector, Vector};

use crate::table::{FILE, NOTE, Table, device, key};

/// The life of an owned lane that no replica at the table has.
const LIFE: Life = Life { mint: Hlc(7), epoch: Epoch(7) };

fn head(seq: u64) -> OwnedHead {
    OwnedHead { life: LIFE, seq }
}

/// One of every kind, all well-formed.
fn every_kind() -> Vec<Message> {
    let state =
        State { shared: Vector::new(), owned: OwnedVector::from_iter([(device(2), head(1))]) };
    let pull = OwnedPull { device: device(0), exact: None, session: None, credit: 3 };
    let rows = PageWriter::new(&[]).finish();
    vec![
        Message::Vector(state.clone()),
        Message::Changes(Changes { pull: 0, sets: vec![foreign_set(1, [0; 32])] }),
        Message::Pull { id: 5, from: vec![(Origin::shared(device(0), Epoch(9)), 0)] },
        Message::OwnedPull(pull),
        Message::More { device: device(0), life: LIFE, credit: 9 },
        page(1, Cursor::after(0), Cursor::after(1), rows),
        Message::Covered { id: 1 },
        Message::Void { device: device(2), life: LIFE, target: 9 },
        Message::Digest(DigestReport { ask: true, state: state.hash(), digests: Digests::new() }),
        Message::Reset { pull: 0 },
        Message::Ask { session: 1, turn: 0, ask: Ask::Pin },
        Message::Answer { session: 1, turn: 0, answer: Answer::Lapsed },
        Message::Recall { id: 6, of: None, keys: vec![(NOTE, key("a"))] },
        Message::Recalled { id: 6, of: None, held: Held::Nothing },
        Message::History { id: 7, wanted: WantedHistory::default() },
        Message::Past { id: 7, page: HistoryPage::default() },
        Message::Ping { token: 4 },
        Message::Pong { token: 4, clock_ms: 5, state },
        Message::Unknown { kind: 200 },
    ]
}

/// The first page of device 2's lane.
fn page(as_of: u64, from: Cursor, next: Cursor, rows: Vec<u8>) -> Message {
    let as_of = head(as_of);
    let goes_on = from != Cursor::after(0);
    Message::Page(Page {
        device: device(2),
        as_of,
        full: true,
        goes_on,
        from,
        next,
        rows: rows.into(),
        columns: false,
    })
}

fn row(seq: u64, name: &str) -> Vec<u8> {
    let mut writer = PageWriter::new(&[PageModel { model: FILE, fields: vec![] }]);
    writer.row(0, seq, name.as_bytes(), [], &[]);
    writer.finish()
}

fn foreign_origin() -> Origin {
    Origin::shared(device(2), Epoch(9))
}

/// A change set of device 2.
fn foreign_set(seq: u64, prev: [u8; 32]) -> ChangeSet {
    needing(seq, prev, vec![])
}

fn needing(seq: u64, prev: [u8; 32], needs: Vec<(Origin, u64)>) -> ChangeSet {
    let op = Op::Create { over: vec![], fields: vec![] };
    let change = Change { model: NOTE, key: key(&format!("n{seq}")), op };
    let draft = Draft { dot: Dot::new(foreign_origin(), seq), prev, hlc: Hlc(5), needs };
    ChangeSet::new(draft, &[change]).unwrap()
}

fn changes(pull: u64, sets: Vec<ChangeSet>) -> Message {
    Message::Changes(Changes { pull, sets })
}

/// Two replicas that have met; the table is empty.
fn met() -> Table {
    let mut table = Table::new(2);
    table.meet(0, 1);
    table.live(2_000);
    table
}

#[test]
fn nothing_is_taken_from_strangers_or_before_hello() {
    let mut table = Table::new(2);
    let before = table.nodes[1].state();
    for message in every_kind() {
        table.say(0, 1, &message);
    }
    assert_eq!(table.names(1, 0), [""; 0], "a stranger");
    table.give(1, vec![Input::Connected(device(0))]);
    table.take(|_| true);
    for message in every_kind() {
        table.say(0, 1, &message);
    }
    assert_eq!(table.names(1, 0), [""; 0], "a peer that has not introduced itself");
    assert_eq!(table.nodes[1].state(), before);
    assert!(table.nodes[1].events.is_empty() && table.nodes[1].refused.is_empty());
}

#[test]
fn hello_introduces_a_peer() {
    let mut table = Table::new(2);
    table.connect(0, 1);
    assert_eq!((table.names(0, 1), table.names(1, 0)), (vec!["hello"], vec!["hello"]));
    let hello = Message::Hello(Hello {
        features: 3,
        schema: [1; 32],
        clock_ms: table.now.wall_ms + 250,
        hlc: Hlc::from_ms(table.now.wall_ms + 250),
        heard: false,
        state: table.nodes[1].state(),
    });
    table.say(1, 0, &hello);
    let met = Event::Met { peer: device(1), clock_offset_ms: 250 };
    assert!(table.nodes[0].events.contains(&met));
    assert!(table.nodes[0].engine.is_ready(&device(1)));
    assert_eq!(table.nodes[0].engine.clock(), Hlc::from_ms(table.now.wall_ms + 250));
    assert_eq!(table.nodes[0].store.clock(), table.nodes[0].engine.clock());
}

#[test]
fn a_clock_far_ahead_is_not_absorbed() {
    let mut table = Table::new(2);
    table.connect(0, 1);
    let before = table.nodes[0].engine.clock();
    let hello = Message::Hello(Hello {
        features: 0,
        schema: [1; 32],
        clock_ms: table.now.wall_ms + (1 << 35),
        hlc: Hlc::from_ms(table.now.wall_ms + (1 << 35)),
        heard: false,
        state: State::default(),
    });
    table.say(1, 0, &hello);
    assert_eq!(table.nodes[0].engine.clock(), before);
    table.say(1, 0, &changes(0, vec![foreign_set(1, [0; 32])]));
    assert!(table.nodes[0].engine.clock() < Hlc::from_ms(table.now.wall_ms + 60_001));
}

#[test]
fn a_vector_is_news_and_an_acknowledgement() {
    let mut table = met();
    table.write(0, |pen| pen.create("n", "x"));
    assert_eq!(table.nodes[0].engine.lag(&table.nodes[0].store, &device(1)).behind, 1);
    table.run();
    let node = &table.nodes[0];
    assert_eq!(node.engine.lag(&node.store, &device(1)).behind, 0);
    let shared = &node.store.acknowledged(&device(1)).unwrap().shared;
    assert_eq!(shared, node.store.vector(), "the hash too");
    assert!(node.events.contains(&Event::PeerState { peer: device(1) }));
}

#[test]
fn changes_are_applied_in_the_order_of_their_stream() {
    let mut table = met();
    let first = foreign_set(1, [0; 32]);
    let second = foreign_set(2, first.head().hash);
    table.say(0, 1, &changes(0, vec![second]));
    assert_eq!(table.nodes[1].store.vector().seq(&foreign_origin()), 0);
    assert_eq!(table.nodes[1].engine.waiting(), 1);
    table.say(0, 1, &changes(0, vec![first]));
    assert_eq!(table.nodes[1].store.vector().seq(&foreign_origin()), 2);
    assert_eq!(table.nodes[1].engine.waiting(), 0);
}

#[test]
fn changes_wait_for_what_they_need() {
    let mut table = met();
    let needs = vec![(Origin::shared(device(3), Epoch(9)), 1)];
    let set = needing(1, [0; 32], needs);
    table.say(0, 1, &changes(0, vec![set]));
    assert_eq!(table.nodes[1].store.vector().seq(&foreign_origin()), 0);
    // Whoever sends it holds what it needs, and is asked for that, not for the change set itself.
    let pulls = table.take(|flight| flight.from == 1);
    let [pull] = &pulls[..] else { panic!("{pulls:?}") };
    let Message::Pull { from, .. } = &pull.message else { panic!("{pull:?}") };
    assert_eq!(from, &[(Origin::shared(device(3), Epoch(9)), 0)]);
}

#[test]
fn the_hash_of_a_head_that_was_only_needed_is_learned() {
    let mut table = met();
    let origin = Origin::shared(device(3), Epoch(9));
    table.say(0, 1, &changes(0, vec![needing(1, [0; 32], vec![(origin, 1)])]));
    let shared = Vector::from_iter([(origin, Head { seq: 1, hash: [5; 32] })]);
    table.say(0, 1, &Message::Vector(State { shared, owned: OwnedVector::new() }));
    let known = table.nodes[1].engine.known(&device(0)).unwrap();
    assert_eq!(known.shared.head(&origin), Some(Head { seq: 1, hash: [5; 32] }));
}

#[test]
fn a_repeated_push_is_acknowledged_again() {
    let mut table = met();
    table.write(0, |pen| pen.create("n", "x"));
    let push = table.queue.front().unwrap().message.clone();
    table.run();
    table.say(0, 1, &push);
    assert_eq!(table.names(1, 0), ["vector"]);
    table.run();
    assert_eq!(table.nodes[0].state(), table.nodes[1].state());
}

#[test]
fn a_change_set_that_cannot_be_read_ends_the_connection() {
    let mut table = met();
    let frame = foreign_set(1, [0; 32]).bytes().clone();
    let sealed = seal(&frame);
    table.say(0, 1, &changes(0, vec![ChangeSet::decode(sealed).unwrap()]));
    assert_eq!(table.nodes[1].refused.len(), 1);
    assert!(!table.nodes[1].engine.is_ready(&device(0)));
    assert_eq!(table.nodes[1].store.vector().seq(&foreign_origin()), 0);
}

/// The change set with a body that says that it is sealed.
fn seal(bytes: &Bytes) -> Bytes {
    use driftless_core::codec::{Reader, Writer};
    let mut r = Reader::new(bytes);
    let header = r.bytes(1 << 20, "header").unwrap().to_vec();
    let mut body = r.bytes(1 << 20, "body").unwrap().to_vec();
    let old = *blake3_of(&body);
    body[0] = 1;
    let at = header.windows(32).position(|window| window == old).unwrap();
    let mut header = header;
    header[at..at + 32].copy_from_slice(&*blake3_of(&body));
    let mut w = Writer::new();
    w.bytes(&header);
    w.bytes(&body);
    Bytes::from(w.into_bytes())
}

fn blake3_of(bytes: &[u8]) -> Box<[u8; 32]> {
    Box::new(*blake3::hash(bytes).as_bytes())
}

#[test]
fn two_branches_of_a_stream_are_seen() {
    let mut table = met();
    table.say(0, 1, &changes(0, vec![foreign_set(1, [0; 32])]));
    table.say(0, 1, &changes(0, vec![foreign_set(2, [4; 32])]));
    let fork = Event::Fork { origin: foreign_origin(), seq: 2, peer: device(0) };
    assert!(table.nodes[1].events.contains(&fork));
    assert_eq!(table.nodes[1].store.vector().seq(&foreign_origin()), 1);
    // The stream is not asked for again, and the connection stands.
    table.take(|_| true);
    table.wait(20_000);
    let pulls = table.take(|flight| flight.from == 1 && flight.message.name() == "pull");
    assert!(pulls.is_empty(), "{pulls:?}");
    assert!(table.nodes[1].refused.is_empty());
}

#[test]
fn a_pull_is_answered_from_the_log() {
    let mut table = Table::with(2, |config| config.batch_bytes = 1);
    table.meet(0, 1);
    for name in ["a", "b"] {
        table.write(0, |pen| pen.create(name, "x"));
    }
    table.run();
    let own = table.nodes[0].engine.shared_origin();
    table.say(1, 0, &Message::Pull { id: 77, from: vec![(own, 1)] });
    let answer = table.take(|_| true);
    let Message::Changes(answer) = &answer[0].message else { panic!("{answer:?}") };
    assert_eq!(answer.pull, 77);
    assert_eq!(answer.sets.iter().map(ChangeSet::dot).collect::<Vec<_>>(), [Dot::new(own, 2)]);
    table.say(1, 0, &Message::Pull { id: 78, from: vec![(own, 2)] });
    assert_eq!(table.queue[0].message, Message::Covered { id: 78 });
}

#[test]
fn a_peer_that_has_not_what_it_said_is_left_in_peace() {
    let mut table = met();
    let more = Vector::from_iter([(foreign_origin(), Head { seq: 3, hash: [1; 32] })]);
    let state = State { shared: more, owned: OwnedVector::new() };
    table.say(0, 1, &Message::Vector(state));
    let pull = table.take(|_| true).pop().unwrap();
    let Message::Pull { id, .. } = pull.message else { panic!("{pull:?}") };
    table.say(0, 1, &Message::Covered { id });
    assert_eq!(table.names(1, 0), [""; 0]);
    table.wait(4_000);
    assert_eq!(table.names(1, 0), [""; 0]);
    table.wait(2_000);
    assert_eq!(table.names(1, 0), ["pull"]);
    assert_eq!(table.nodes[1].engine.phase(&table.nodes[1].store), Phase::CatchingUp { behind: 3 });
}

#[test]
fn an_owned_pull_is_answered_in_pages_as_far_as_credit_goes() {
    let mut table = Table::with(2, |config| config.page_rows = 1);
    table.meet(0, 1);
    table.live(2_000);
    table.write(0, |pen| ["a", "b", "c", "d", "e"].iter().for_each(|name| pen.put(name, "x")));
    table.take(|_| true);
    let pull = OwnedPull { device: device(0), exact: None, session: None, credit: 2 };
    table.say(1, 0, &Message::OwnedPull(pull));
    assert_eq!(table.names(0, 1), ["page", "page"]);
    let life = table.nodes[0].lane(0).exact.unwrap().life;
    let more = Message::More { device: device(0), life, credit: 3 };
    table.say(1, 0, &more);
    table.say(1, 0, &more);
    assert_eq!(table.names(0, 1).len(), 3, "a repeated allowance allows nothing");
    table.say(1, 0, &Message::More { device: device(0), life: LIFE, credit: 9 });
    assert_eq!(table.names(0, 1).len(), 3, "another life");
    table.say(1, 0, &Message::More { device: device(0), life, credit: 9 });
    assert_eq!(table.names(0, 1).len(), 5, "the last row");
    table.say(1, 0, &Message::More { device: device(0), life, credit: 99 });
    assert_eq!(table.names(0, 1).len(), 5, "nothing is left");
}

#[test]
fn an_owned_pull_by_who_lacks_nothing_is_silence() {
    let mut table = met();
    let exact = table.nodes[0].lane(0).exact;
    let pull = OwnedPull { device: device(0), exact, session: None, credit: 2 };
    table.say(1, 0, &Message::OwnedPull(pull));
    let pull = OwnedPull { device: device(2), exact: None, session: None, credit: 2 };
    table.say(1, 0, &Message::OwnedPull(pull));
    assert_eq!(table.names(0, 1), [""; 0]);
}

#[test]
fn a_session_beyond_what_is_held_is_void() {
    let mut table = met();
    table.say(0, 1, &page(9, Cursor::after(0), Cursor::after(2), row(1, "a")));
    let session = table.nodes[1].lane(2).session;
    assert!(session.is_some());
    let pull = OwnedPull { device: device(2), exact: None, session, credit: 2 };
    table.say(1, 0, &Message::OwnedPull(pull));
    let void = Message::Void { device: device(2), life: LIFE, target: 9 };
    assert_eq!(table.queue[0].message, void);
    table.run();
    assert_eq!(table.nodes[1].lane(2).session, None);
}

#[test]
fn a_void_of_something_older_changes_nothing() {
    let mut table = met();
    table.say(0, 1, &page(9, Cursor::after(0), Cursor::after(2), row(1, "a")));
    table.say(0, 1, &Message::Void { device: device(2), life: LIFE, target: 10 });
    let other = Life { epoch: Epoch(1), ..LIFE };
    table.say(0, 1, &Message::Void { device: device(2), life: other, target: 9 });
    assert!(table.nodes[1].lane(2).session.is_some());
}

#[test]
fn pages_that_break_the_rules_end_the_connection() {
    let (start, end) = (Cursor::after(0), Cursor::after(2));
    let bad = [
        page(2, start.clone(), end.clone(), vec![9, 9]),
        page(1, start.clone(), end.clone(), row(2, "newer than it says")),
        page(2, Cursor::after(1), end.clone(), row(1, "before its start")),
        page(3, start.clone(), Cursor::after(1), row(2, "behind its end")),
        page(2, start, Cursor::after(3), row(1, "ends behind its head")),
    ];
    for message in bad {
        let mut table = met();
        table.say(0, 1, &message);
        assert_eq!(table.nodes[1].refused.len(), 1, "{message:?}");
        assert_eq!(table.nodes[1].lane(2).session, None);
        assert_eq!(table.nodes[1].exact(2), 0);
    }
}

#[test]
fn a_page_that_was_not_asked_for_is_taken_if_it_fits() {
    let mut table = met();
    table.say(0, 1, &page(2, Cursor::after(0), Cursor::after(2), row(1, "a")));
    assert_eq!(table.nodes[1].exact(2), 2);
    assert!(table.nodes[1].events.contains(&Event::LaneExact { device: device(2) }));
    table.say(0, 1, &page(1, Cursor::after(0), Cursor::after(1), row(1, "stale")));
    assert_eq!(table.nodes[1].exact(2), 2);
    assert_eq!(table.nodes[1].store.rows(&device(2)).len(), 1);
}

/// A lane with rows, as a page that is all of it.
fn whole_lane(as_of: u64, rows: &[(u64, &str)]) -> Message {
    let mut writer = PageWriter::new(&[PageModel { model: FILE, fields: vec![] }]);
    for (seq, name) in rows {
        writer.row(0, *seq, name.as_bytes(), [], &[]);
    }
    page(as_of, Cursor::after(0), Cursor::after(as_of), writer.finish())
}

/// A row that was sent already is deleted, and the server gets the lane anew, without the tombstone.
#[test]
fn a_transfer_starts_over_where_deletes_may_be_missing() {
    let mut table = Table::with(2, |config| (config.page_rows, config.page_credit) = (1, 1));
    table.meet(0, 1);
    table.live(2_000);
    table.say(0, 1, &whole_lane(3, &[(1, "a"), (2, "b"), (3, "c")]));
    // Two pages go to 0, then the lane is replaced.
    for _ in 0..2 {
        while table.queue.front().unwrap().message.name() != "page" {
            let flight = table.queue.pop_front().unwrap();
            table.say(flight.from, flight.to, &flight.message);
        }
        let flight = table.queue.pop_front().unwrap();
        table.say(flight.from, flight.to, &flight.message);
    }
    assert!(table.nodes[0].lane(2).session.is_some());
    let more = table.take(|flight| flight.from == 0);
    table.say(0, 1, &whole_lane(5, &[(1, "a"), (3, "c"), (5, "d")]));
    table.queue.extend(more);
    table.live(1_000);
    assert_eq!(table.nodes[0].exact(2), 5);
    assert_eq!(table.nodes[0].store.rows(&device(2)).len(), 3);
    assert_eq!(table.nodes[0].state(), table.nodes[1].state());
    assert_eq!(table.nodes[0].store.digests(), table.nodes[1].store.digests());
}

#[test]
fn nobody_tells_an_owner_what_it_owns() {
    let mut table = met();
    let exact = table.nodes[1].lane(1).exact.unwrap();
    let as_of = OwnedHead { seq: 5, ..exact };
    let (from, next) = (Cursor::after(0), Cursor::after(5));
    let rows = row(1, "forged").into();
    let (full, goes_on, columns) = (true, false, false);
    let page = Page { device: device(1), as_of, full, goes_on, from, next, rows, columns };
    table.say(0, 1, &Message::Page(page));
    assert_eq!(table.nodes[1].lane(1).exact, Some(exact));
    assert!(table.nodes[1].files(1).is_empty());
}

#[test]
fn digests_are_compared_only_where_states_are_equal() {
    let mut table = met();
    table.nodes[1].events.clear();
    let (state, digests) = (table.nodes[0].state(), table.nodes[0].store.digests().clone());
    let report = |state: &State, digests: &Digests, ask| {
        Message::Digest(DigestReport { ask, state: state.hash(), digests: digests.clone() })
    };
    table.say(0, 1, &report(&state, &digests, true));
    assert_eq!(table.names(1, 0), ["digest"]);
    table.say(0, 1, &report(&State::default(), &digests, false));
    let wrong = Digests::from([(ModelId(44), driftless_core::digest::Digest { rows: 1, sum: 2 })]);
    table.say(0, 1, &report(&state, &wrong, false));
    let peer = device(0);
    let expected = [
        Event::Compared { peer, differ: vec![] },
        Event::NotComparable { peer },
        Event::Compared { peer, differ: vec![ModelId(44)] },
        Event::ReconcileBegun { peer },
    ];
    assert_eq!(table.nodes[1].events, expected);
}

#[test]
fn verify_asks_for_digests() {
    let mut table = met();
    table.nodes[0].events.clear();
    table.give(0, vec![Input::Verify(device(1))]);
    table.run();
    let compared = Event::Compared { peer: device(1), differ: vec![] };
    assert_eq!(table.nodes[0].events, [compared]);
}

#[test]
fn certificates_go_around() {
    let mut table = met();
    let certificate = Bytes::from_static(b"certificate");
    table.give(0, vec![Input::Certificates(vec![certificate.clone()])]);
    table.give(0, vec![Input::Certificates(vec![certificate])]);
    assert_eq!(table.names(0, 1), ["membership"]);
    table.run();
    assert_eq!(table.nodes[1].certificates, 1);
    table.disconnect(0, 1);
    table.meet(0, 1);
    assert_eq!(table.nodes[1].certificates, 2, "and to everybody who connects");
}

#[test]
fn a_ping_is_answered_with_the_whole_state() {
    let mut table = met();
    table.give(0, vec![Input::Probe(9)]);
    assert_eq!(table.names(0, 1), ["ping"]);
    table.run();
    assert!(table.nodes[0].events.contains(&Event::Answered { peer: device(1), token: 9 }));
    assert_eq!(table.nodes[0].engine.known(&device(1)), Some(&table.nodes[1].state()));
}

#[test]
fn a_refusal_ends_the_connection() {
    let mut table = met();
    let text = "no".to_owned();
    table.say(0, 1, &Message::Error { refusal: Refusal::Protocol, text });
    assert_eq!(table.nodes[1].refused, [(device(0), "the peer refused: no".to_owned())]);
    assert!(!table.nodes[1].engine.is_ready(&device(0)));
}

#[test]
fn an_unknown_kind_is_skipped() {
    let mut table = met();
    let before = (table.nodes[1].state(), table.nodes[1].events.len());
    table.say(0, 1, &Message::Unknown { kind: 250 });
    assert_eq!((table.nodes[1].state(), table.nodes[1].events.len()), before);
    assert!(table.queue.is_empty() && table.nodes[1].refused.is_empty());
}

#[test]
fn pages_come_in_columns_to_whoever_reads_them() {
    for (features, columns) in [(7, true), (3, false)] {
        let mut table = met();
        let hello = Hello {
            features,
            schema: [1; 32],
            clock_ms: table.now.wall_ms,
            hlc: Hlc::from_ms(table.now.wall_ms),
            heard: true,
            state: State::default(),
        };
        table.say(0, 1, &Message::Hello(hello));
        let pull = OwnedPull { device: device(1), exact: None, session: None, credit: 3 };
        table.say(0, 1, &Message::OwnedPull(pull));
        let pages = table.take(|flight| matches!(flight.message, Message::Page(_)));
        assert!(!pages.is_empty());
        for flight in pages {
            let Message::Page(page) = flight.message else { unreachable!("only pages were taken") };
            assert_eq!(page.columns, columns);
        }
    }
}
