//! The two stores, and the servers that they pull from.

use std::collections::BTreeMap;

use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, RecordKey};
use driftless_core::mem::MemStore;
use driftless_core::page::Cursor;
use driftless_core::record::{Record, Version};
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{Floors, Gap, KeyRange, Session, Store, WantedHistory};
use driftless_core::value::Value;
use driftless_core::version::{Head, OwnedHead, Vector};
use driftless_store::{HistoryLimits, SqliteStore};

use crate::common::{self, device, head, identity, key, next_set, origin, record, version};
use crate::ops::{FIELDS, OWNED, Op, Range, Row, SHARED, Val, schemas};

/// The two stores that must be alike, and the servers that they pull from.
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) store: Option<SqliteStore>,
    pub(crate) memory: MemStore,
    servers: BTreeMap<u8, MemStore>,
    lives: BTreeMap<u8, u64>,
}

/// The peers that something may be pinned for.
const PEERS: [u8; 2] = [1, 2];

/// All of the history is kept.
const EVERYTHING: Option<HistoryLimits> =
    Some(HistoryLimits { keep_ms: u64::MAX, max_bytes: u64::MAX });

/// Calls the same on both stores, which must answer the same.
macro_rules! both {
    ($world:expr, |$store:ident| $call:expr) => {{
        let $store = $world.store.as_mut().unwrap();
        let answer = $call.unwrap();
        let $store = &mut $world.memory;
        assert_eq!(answer, $call.unwrap());
        answer
    }};
}

impl World {
    pub(crate) fn new(schema: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::create(dir.path(), identity(1), schemas(schema)).unwrap();
        store.limit_history(EVERYTHING, 0).unwrap();
        store.begin().unwrap();
        let mut memory = MemStore::new(device(1));
        memory.keep_history(0);
        let servers = [2, 3].map(|n| (n, MemStore::new(device(n)))).into();
        let mut world = Self {
            dir,
            store: Some(store),
            memory,
            servers,
            lives: [1, 2, 3].map(|n| (n, 1)).into(),
        };
        for n in 1..4 {
            world.own(n, |store, head| store.set_own_head(head).unwrap(), 0);
        }
        world.run(&Op::Commit);
        world
    }

    /// Does something to a device's own lane, wherever that is.
    fn own(&mut self, n: u8, run: impl Fn(&mut dyn OwnLane, OwnedHead), step: u64) {
        let life = self.lives[&n];
        let head_of = |store: &dyn OwnLane| {
            let seq = store.own(n).filter(|old| old.life == common::life(life));
            head(life, seq.map_or(step.max(1), |old| old.seq + step))
        };
        if let Some(server) = self.servers.get_mut(&n) {
            let head = head_of(server);
            run(server, head);
            server.commit();
        } else {
            let store = self.store.as_mut().unwrap();
            let head = head_of(store);
            run(store, head);
            run(&mut self.memory, head);
        }
    }

    pub(crate) fn run(&mut self, op: &Op) {
        match op {
            Op::Record { model, key: k, fields, alive } => {
                let record = make_record(fields, *alive);
                let (model, key) = (ModelId::of(SHARED[*model]), key(*k));
                both!(self, |store| store.put_record(model, &key, &record));
                let read = self.store.as_mut().unwrap().record(model, &key).unwrap();
                assert_eq!(read, record);
            }
            Op::Append { origin } => {
                let set = next_set(&self.memory, *origin, &[]);
                both!(self, |store| store.append(&set));
                both!(self, |store| store.set_clock(Hlc(set.header().seq)));
            }
            Op::Rows { device, rows } => self.own(
                *device,
                |store, head| {
                    for row in rows {
                        store.put(row, head.seq);
                    }
                    store.set_own_head(head).unwrap();
                },
                1,
            ),
            Op::NewLife { device } => {
                *self.lives.get_mut(device).unwrap() += 1;
                self.own(*device, |store, head| store.set_own_head(head).unwrap(), 1);
            }
            Op::Pull { device, max_rows, delta } => self.pull(*device, *max_rows, *delta),
            Op::Drop { device: n } => both!(self, |store| store.drop_session(&device(*n))),
            Op::Commit | Op::Flush => {
                let store = self.store.as_mut().unwrap();
                store.commit().unwrap();
                self.memory.commit();
                if matches!(op, Op::Flush) {
                    store.flush_log().unwrap();
                }
                store.begin().unwrap();
            }
            Op::Rollback | Op::Reopen { .. } => {
                if matches!(op, Op::Reopen { .. }) {
                    PEERS.iter().for_each(|peer| self.memory.unpin(&device(*peer)));
                }
                let mut store = self.store.take().unwrap();
                self.memory.rollback();
                if let Op::Reopen { schema } = op {
                    drop(store);
                    let schema = schemas(*schema);
                    store = SqliteStore::open(self.dir.path(), schema).unwrap();
                    store.limit_history(EVERYTHING, 0).unwrap();
                } else {
                    store.rollback().unwrap();
                }
                store.begin().unwrap();
                self.store = Some(store);
            }
            _ => self.run_floors(op),
        }
    }

    fn run_floors(&mut self, op: &Op) {
        match op {
            Op::PruneLog { upto } => {
                let vector = self.memory.vector().clone();
                let floor = |(n, seq): &(u8, u64)| {
                    Some((origin(*n), (*seq).min(vector.seq(&origin(*n))))).filter(|f| f.1 > 0)
                };
                let upto: Floors = upto.iter().filter_map(floor).collect();
                both!(self, |store| store.prune_log(&upto));
            }
            Op::PruneLane { device: n, upto } => {
                if self.memory.lane(&device(*n)).is_some_and(|lane| lane.exact.is_some()) {
                    both!(self, |store| store.prune_lane(&device(*n), *upto));
                }
            }
            Op::Sweep => {
                self.run(&Op::Commit);
                let store = self.store.as_mut().unwrap();
                store.rollback().unwrap();
                while store.sweep().unwrap() {}
                store.begin().unwrap();
            }
            Op::LoseLog => self.lose_log(),
            Op::Adopt { heads } => {
                let further = |(n, more): &(u8, u64)| {
                    let seq = self.memory.vector().seq(&origin(*n)) + more;
                    let hash = [u8::try_from(seq).unwrap(); 32];
                    (seq > 0).then_some((origin(*n), Head { seq, hash }))
                };
                let vector: Vector = heads.iter().filter_map(further).collect();
                both!(self, |store| store.adopt(&vector));
            }
            _ => self.run_reconcile(op),
        }
    }

    /// Everything is moved into `sync.db`, and that is deleted: all floors rise to the vector.
    fn lose_log(&mut self) {
        for op in [Op::Flush, Op::Commit] {
            self.run(&op);
        }
        let mut store = self.store.take().unwrap();
        store.rollback().unwrap();
        let schema = store.schema().clone();
        store.close().unwrap();
        for suffix in ["", "-wal", "-shm"] {
            std::fs::remove_file(self.dir.path().join(format!("sync.db{suffix}"))).ok();
        }
        let gap = {
            let vector = self.memory.vector();
            vector.iter().any(|(o, head)| self.memory.floors().get(o) != Some(&head.seq))
        };
        self.memory.lose_log();
        PEERS.iter().for_each(|peer| self.memory.unpin(&device(*peer)));
        let mut store = SqliteStore::open(self.dir.path(), schema).unwrap();
        assert_eq!(store.log_incomplete(), gap);
        store.limit_history(EVERYTHING, 0).unwrap();
        store.begin().unwrap();
        self.store = Some(store);
    }

    fn run_reconcile(&mut self, op: &Op) {
        match op {
            Op::Pin { peer } => {
                both!(self, |store| store.pin(device(*peer)));
            }
            Op::Unpin { peer } => {
                self.memory.unpin(&device(*peer));
                self.store.as_mut().unwrap().unpin(&device(*peer));
            }
            Op::ReadPin { peer, model, range, rows, max } => {
                let (peer, model) = (device(*peer), ModelId::of(SHARED[*model]));
                let store = self.store.as_ref().unwrap();
                assert_eq!(store.is_pinned(&peer), self.memory.is_pinned(&peer));
                if self.memory.is_pinned(&peer) {
                    let range = key_range(range);
                    both!(self, |s| s.pinned_buckets(&peer, model, &range, *rows, *max));
                    both!(self, |s| Ok::<_, String>(pinned_records(s, &peer, model, &range, *max)));
                }
            }
            Op::Mirror { model, range, records } => {
                let (model, range) = (ModelId::of(SHARED[*model]), key_range(range));
                let make = |(k, fields): &(u8, Option<_>)| {
                    let fields: &Option<Vec<_>> = fields;
                    let ours = self.memory.records().find(|at| (*at.0, at.1) == (model, &key(*k)));
                    // Without fields it is the one that is there.
                    let record = match fields {
                        Some(fields) => make_record(fields, true),
                        None => ours.map(|(.., record)| record.clone())?,
                    };
                    Some((key(*k), record))
                };
                let records: Vec<_> = records.iter().filter_map(make).collect();
                both!(self, |store| store.mirror_range(model, &range, &records));
            }
            Op::PutMirror { model, key: k, fields } => {
                let (model, key) = (ModelId::of(SHARED[*model]), key(*k));
                let record = fields.as_ref().map(|f| make_record(f, true)).unwrap_or_default();
                both!(self, |store| store.put_mirror(model, &key, &record));
            }
            Op::ClearMirror => both!(self, |store| store.clear_mirror()),
            _ => unreachable!("{op:?}"),
        }
    }

    /// The mirror of both, whole and in ranges.
    pub(crate) fn check_mirror(&mut self) {
        for model in SHARED.map(ModelId::of) {
            for range in [(None, None), (None, Some(1)), (Some(1), None), (Some(0), Some(2))] {
                let range = key_range(&range);
                both!(self, |store| store.mirror_digest(model, &range));
            }
            for n in 0..4 {
                both!(self, |store| store.is_mirrored(model, &key(n)));
            }
        }
        let all = both!(self, |store| store.mirrored(None, usize::MAX));
        let mut after = None;
        for one in all {
            let page = both!(self, |store| store.mirrored(after.as_ref(), 1));
            assert_eq!(page, std::slice::from_ref(&one));
            after = Some((one.0, one.1));
        }
    }

    /// What is lacking in the history of both, and what they would hand over of all streams.
    pub(crate) fn check_history(&mut self) {
        both!(self, |store| store.wanted_history());
        let heads = self.memory.vector().clone();
        let gap =
            |(origin, head): (&_, &Head)| Gap { origin: *origin, seq: head.seq, hash: head.hash };
        let wanted = WantedHistory { since_ms: 0, gaps: heads.iter().map(gap).collect() };
        for max_bytes in [1, 300, usize::MAX] {
            both!(self, |store| store.history_below(&wanted, max_bytes).map(|mut page| {
                page.whole_since_ms = None;
                page
            }));
        }
    }

    /// What an engine does with a lane, in short.
    fn pull(&mut self, n: u8, max_rows: usize, delta: bool) {
        let (lane, server) = (device(n), self.servers.get_mut(&n).unwrap());
        let there = server.lane(&lane).and_then(|lane| lane.exact).unwrap();
        let here = self.memory.lane(&lane).cloned().unwrap_or_default();
        let exact = here.exact.filter(|exact| exact.life == there.life);
        let begin = Session {
            life: there.life,
            cursor: Cursor::after(exact.map_or(0, |exact| exact.seq)),
            target: there.seq,
            first: there.seq,
            full: exact.is_none(),
        };
        if here.session.as_ref().is_some_and(|session| session.life != there.life) {
            both!(self, |store| store.drop_session(&lane));
            return;
        }
        let fresh = here.session.is_none();
        let session = here.session.unwrap_or(begin);
        if fresh && exact.is_some_and(|exact| exact.seq == there.seq) {
            return;
        }
        let page = server.read_page(&lane, &session.cursor, max_rows, usize::MAX).unwrap();
        if fresh && delta && !session.full && page.next == Cursor::after(there.seq) {
            both!(self, |store| store.apply_delta(&lane, &page.rows, there.seq));
            return;
        }
        let target = session.target.max(there.seq);
        let session = Session { cursor: page.next, target, ..session };
        both!(self, |store| store.stage_page(&lane, &page.rows, session.clone()));
        if session.cursor >= Cursor::after(session.target) {
            both!(self, |store| store.finish_session(&lane));
        }
    }
}

/// The part of [`Store`] that writes the own lane, for both kinds of stores.
pub(crate) trait OwnLane {
    fn own(&self, n: u8) -> Option<OwnedHead>;
    fn put(&mut self, row: &Row, seq: u64);
    fn set_own_head(&mut self, head: OwnedHead) -> Result<(), String>;
}

impl<S: Store> OwnLane for S {
    fn own(&self, n: u8) -> Option<OwnedHead> {
        self.lane(&device(n)).and_then(|lane| lane.exact)
    }

    fn put(&mut self, row: &Row, seq: u64) {
        let fields = row.fields.as_ref().map(|fields| {
            let fields: BTreeMap<FieldId, Value> = fields
                .iter()
                .map(|(at, value)| (FieldId::of(FIELDS[*at]), value.value()))
                .collect();
            fields.into_iter().filter(|(_, value)| !value.is_null()).collect::<Vec<_>>()
        });
        self.put_owned(ModelId::of(OWNED[row.model]), &key(row.key), seq, fields.as_deref())
            .unwrap();
    }

    fn set_own_head(&mut self, head: OwnedHead) -> Result<(), String> {
        Store::set_own_head(self, head).map_err(|error| error.to_string())
    }
}

fn key_range((after, upto): &Range) -> KeyRange {
    KeyRange { after: after.map(key), upto: upto.map(key) }
}

/// All records of a range of what is pinned, by pages of some size.
fn pinned_records<S: Store>(
    store: &mut S,
    peer: &DeviceId,
    model: ModelId,
    range: &KeyRange,
    size: usize,
) -> Vec<(RecordKey, Record)> {
    let mut rest = range.clone();
    let mut all = Vec::new();
    loop {
        let page = store.pinned_records(peer, model, &rest, size * 100).unwrap();
        let last = page.records.last().map(|(key, _)| key.clone());
        assert!(page.upto == range.upto || last == page.upto);
        all.extend(page.records);
        if page.upto == range.upto {
            return all;
        }
        rest.after = page.upto;
    }
}

pub(crate) fn make_record(fields: &[(usize, Vec<Val>)], alive: bool) -> Record {
    let mut record = record(&[]);
    if !alive {
        record.lives.clear();
    }
    for (at, values) in fields {
        let versions: Vec<Version> = values
            .iter()
            .zip(1..)
            .map(|(value, n)| version(n, u64::from(n), 100 - u64::from(n % 2), value.value()))
            .collect();
        record.fields.insert(FieldId::of(FIELDS[*at]), versions);
    }
    record
}
