//! What is run while the disk fails: a bit of everything that a store does, as steps that either store
//! can do, and the states that they lead to.

use driftless_core::change::{Change, Op as Wish, Write};
use driftless_core::clock::Hlc;
use driftless_core::mem::MemStore;
use driftless_core::merge::Lost;
use driftless_core::page::Cursor;
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{Acked, KeyRange, Session, Store};
use driftless_core::value::Value;
use driftless_core::version::{Head, Vector};

use crate::common::{device, dot, head, key, next_set, origin, record, text, version};

/// One call of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Clock(u64),
    /// Logs the next change set of an origin.
    Append(u8),
    /// Writes a shared record: model, key, length of its text.
    Record(&'static str, u8, usize),
    Remove(&'static str, u8),
    /// A version is lost to a delete.
    Lose(u8),
    /// Writes rows of the own lane: model, keys, whether they are deleted.
    Rows(&'static str, &'static [u8], bool),
    /// The own lane goes on under another life.
    NewLife(u64),
    /// A page of another device's lane, and whether it is the last one.
    Page(usize, bool),
    Delta,
    Ack(u8),
    PruneLog(u8, u64),
    PruneLane(u8, u64),
    Mirror(&'static [u8]),
    PutMirror(u8),
    ClearMirror,
    Adopt(u8, u64),
    /// What is undone by itself.
    Undone(Vec<Call>),
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A transaction, which is durable when it is committed, or not before [`Step::Durable`].
    Strict(Vec<Call>),
    Relaxed(Vec<Call>),
    Durable,
    Flush,
    /// The trend is noted, and written with the peer log.
    Trend,
    Sweep,
    GiveBack,
    Pin(u8),
    /// Compares with what is pinned, if it is.
    Compare(u8),
    Unpin(u8),
    /// Reads everything beside the writer.
    Look,
    /// Closes the library, or just drops it, and opens it again, with or without another schema.
    Reopen {
        closed: bool,
        schema: usize,
    },
    /// A durable transaction that writes nothing.
    Nothing,
    /// The process is killed, and the library opened by the next one.
    Kill,
}

impl Step {
    pub(crate) fn calls(&self) -> Option<&[Call]> {
        match self {
            Step::Strict(calls) | Step::Relaxed(calls) => Some(calls),
            _ => None,
        }
    }
}

/// The device whose lane is fetched.
pub(crate) const SERVER: u8 = 2;

/// The steps, and what they bring from elsewhere.
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
    pages: Vec<(Vec<u8>, Session)>,
    delta: (Vec<u8>, u64),
}

impl Script {
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        let mut server = MemStore::new(device(SERVER));
        server.set_own_head(head(1, 5)).unwrap();
        let put = |server: &mut MemStore, n: u8, seq| {
            let fields = [(FieldId::of("name"), text(&format!("row {n}")))];
            let model = ModelId::of(if n.is_multiple_of(4) { "unknown" } else { "entry" });
            server.put_owned(model, &key(100 + n), seq, Some(&fields)).unwrap();
        };
        (0..9).for_each(|n| put(&mut server, n, 1 + u64::from(n) / 2));
        let mut pages = Vec::new();
        let mut cursor = Cursor::after(0);
        while cursor < Cursor::after(5) {
            let page = server.read_page(&device(SERVER), &cursor, 4, usize::MAX).unwrap();
            cursor = page.next;
            let session = Session {
                life: head(1, 5).life,
                cursor: cursor.clone(),
                target: 5,
                first: 5,
                full: true,
            };
            pages.push((page.rows.to_vec(), session));
        }
        put(&mut server, 1, 6);
        server.put_owned(ModelId::of("entry"), &key(102), 6, None).unwrap();
        server.set_own_head(head(1, 6)).unwrap();
        let page = server.read_page(&device(SERVER), &Cursor::after(5), 9, usize::MAX).unwrap();
        Self { steps, pages, delta: (page.rows.to_vec(), 6) }
    }

    /// Does one call on a store.
    pub(crate) fn call<S: Store>(&self, store: &mut S, call: &Call) -> Result<(), S::Error> {
        match call {
            Call::Clock(time) => store.set_clock(Hlc(*time))?,
            Call::Append(n) => {
                let write = Write { field: FieldId::of("name"), value: text("said"), over: vec![] };
                let op = Wish::Create { over: vec![], fields: vec![write] };
                let change = Change { model: ModelId::of("tag"), key: key(*n), op };
                let set = next_set(store, *n, &[change]);
                store.append(&set)?;
            }
            Call::Record(model, k, length) => {
                store.put_record(ModelId::of(model), &key(*k), &named(*k, *length))?;
            }
            Call::Remove(model, k) => {
                store.put_record(ModelId::of(model), &key(*k), &Record::default())?;
            }
            Call::Lose(k) => {
                let version = version(1, 1, 10, text("lost"));
                let lost = Lost { field: FieldId::of("name"), version };
                store.keep_lost(ModelId::of("tag"), &key(*k), &[lost], dot(2, 1))?;
            }
            Call::Rows(model, keys, deleted) => self.own_rows(store, model, keys, *deleted)?,
            Call::NewLife(life) => {
                let at = store.lane(&device(1)).and_then(|lane| lane.exact).map_or(0, |h| h.seq);
                store.set_own_head(head(*life, at + 1))?;
            }
            _ => self.call_of_others(store, call)?,
        }
        Ok(())
    }

    fn own_rows<S: Store>(
        &self,
        store: &mut S,
        model: &str,
        keys: &[u8],
        deleted: bool,
    ) -> Result<(), S::Error> {
        let at = store.lane(&device(1)).and_then(|lane| lane.exact).unwrap_or(head(1, 0));
        let next = driftless_core::version::OwnedHead { seq: at.seq + 1, ..at };
        if at.seq == 0 {
            store.set_own_head(next)?;
        }
        for k in keys {
            let name = text(&format!("{model} {k} at {}", next.seq));
            let size = Value::Int(next.seq.cast_signed());
            let fields = [(FieldId::of("name"), name), (FieldId::of("size"), size)];
            let fields = (!deleted).then_some(&fields[..]);
            store.put_owned(ModelId::of(model), &key(*k), next.seq, fields)?;
        }
        store.set_own_head(next)
    }

    fn call_of_others<S: Store>(&self, store: &mut S, call: &Call) -> Result<(), S::Error> {
        let tag = ModelId::of("tag");
        match call {
            Call::Page(n, last) => {
                let (rows, session) = &self.pages[*n];
                store.stage_page(&device(SERVER), rows, session.clone())?;
                if *last {
                    store.finish_session(&device(SERVER))?;
                }
            }
            Call::Delta => store.apply_delta(&device(SERVER), &self.delta.0, self.delta.1)?,
            Call::Ack(n) => {
                let acked = Acked {
                    shared: store.vector().clone(),
                    owned: store.owned_vector(),
                    heard_ms: store.clock().0,
                };
                store.set_acknowledged(device(*n), acked)?;
            }
            Call::PruneLog(n, upto) => {
                store.prune_log(&[(origin(*n), *upto)].into())?;
            }
            Call::PruneLane(n, upto) => {
                store.prune_lane(&device(*n), *upto)?;
            }
            Call::Mirror(keys) => {
                let records: Vec<_> = keys.iter().map(|k| (key(*k), named(*k, 20))).collect();
                store.mirror_range(tag, &KeyRange::default(), &records)?;
            }
            Call::PutMirror(k) => store.put_mirror(tag, &key(*k), &named(*k, 30))?,
            Call::ClearMirror => store.clear_mirror()?,
            Call::Adopt(n, seq) => {
                let further = Head { seq: *seq, hash: [*n; 32] };
                store.adopt(&Vector::from_iter([(origin(*n), further)]))?;
            }
            _ => unreachable!("{call:?}"),
        }
        Ok(())
    }

    /// The states that the transactions lead to, from an empty store or from another one.
    pub(crate) fn states(&self, from: MemStore) -> Vec<MemStore> {
        let mut all = vec![from];
        for calls in self.steps.iter().filter_map(Step::calls) {
            let mut next = all.last().expect("there is one").clone();
            for call in calls.iter().filter(|call| !matches!(call, Call::Undone(_))) {
                self.call(&mut next, call).unwrap();
            }
            next.commit();
            all.push(next);
        }
        all
    }
}

/// A record with a name of some length.
fn named(k: u8, length: usize) -> Record {
    let name = text(&format!("{k} ").repeat(length / 2));
    let order = version(2, 1, 9, Value::Int(i64::from(k)));
    record(&[
        ("name", vec![version(1, 1, 10, name), version(2, 1, 9, text("other"))]),
        ("order", vec![order]),
    ])
}

/// A life of a library: made, written, synced, compared, forgotten, closed, opened by another version.
pub(crate) fn life() -> Vec<Step> {
    use Call::*;
    use Step::*;
    vec![
        Strict(vec![Clock(1), Append(1), Record("tag", 1, 10), Rows("entry", &[1, 2, 3], false)]),
        Strict(vec![Clock(2), Append(1), Record("tag", 2, 9_000), Rows("volume", &[9], false)]),
        Flush,
        Relaxed(vec![Clock(3), Append(2), Append(3), Record("tag", 3, 10), Page(0, false)]),
        Durable,
        Strict(vec![Append(1), Undone(vec![Record("tag", 9, 10), Append(2)]), Ack(2)]),
        Relaxed(vec![Append(2), Record("unknown", 4, 10), Page(1, false)]),
        Flush,
        Trend,
        Strict(vec![
            Undone(vec![Rows("entry", &[77], false)]),
            Rows("entry", &[2], true),
            Rows("unknown", &[5, 6], false),
        ]),
        Relaxed(vec![Append(3), Remove("tag", 1), Lose(1), Page(2, true)]),
        Durable,
        Pin(4),
        Look,
        Relaxed(vec![Delta, Append(2), Ack(2), Ack(3)]),
        Nothing,
        Durable,
        Compare(4),
        Strict(vec![Clock(9), Append(1), Record("tag", 1, 200), Rows("entry", &[1, 3], true)]),
        Durable,
        Flush,
        Strict(vec![PruneLog(1, 2), PruneLog(2, 1), PruneLane(1, 4), Record("tag", 5, 30)]),
        Sweep,
        Compare(4),
        Unpin(4),
        Relaxed(vec![Mirror(&[1, 2, 6]), PutMirror(7), Append(3)]),
        Kill,
        Durable,
        Relaxed(vec![Mirror(&[1, 2, 6])]),
        Reopen { closed: false, schema: 0 },
        Strict(vec![Append(1), NewLife(2), Record("tag", 2, 12_000)]),
        Relaxed(vec![ClearMirror, Adopt(3, 9), Adopt(4, 2), Record("tag", 6, 40)]),
        Flush,
        Relaxed(vec![Append(4), Remove("tag", 2), Ack(3), PruneLog(2, 3)]),
        Durable,
        Sweep,
        GiveBack,
        Reopen { closed: true, schema: 1 },
        Strict(vec![Append(1), Record("tag", 8, 10), Rows("entry", &[8], false)]),
        Flush,
        Reopen { closed: true, schema: 0 },
        Relaxed(vec![Clock(12), Append(3), Remove("unknown", 4), Ack(2)]),
        Durable,
        Strict(vec![Append(1), Rows("volume", &[9], true), Lose(3)]),
        Reopen { closed: true, schema: 0 },
    ]
}

/// What a library of an earlier version is written by.
pub(crate) fn before() -> Vec<Call> {
    use Call::*;
    vec![
        Clock(1),
        Append(1),
        Append(2),
        Record("tag", 1, 3_000),
        Record("unknown", 2, 10),
        Rows("entry", &[1, 2, 3], false),
        Rows("entry", &[2], true),
        Lose(1),
        Page(0, false),
    ]
}

/// A library of an earlier version is opened and goes on.
pub(crate) fn migration() -> Vec<Step> {
    use Call::*;
    use Step::*;
    vec![
        Look,
        Strict(vec![Append(1), Record("tag", 2, 20), Rows("entry", &[4], false)]),
        Flush,
        Trend,
        Relaxed(vec![PruneLog(1, 1), PruneLane(1, 2), Ack(2), Mirror(&[1, 3]), Page(1, false)]),
        Durable,
        Sweep,
        Reopen { closed: true, schema: 0 },
    ]
}
