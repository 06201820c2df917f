//! The two stores, and the servers that they pull from.

use std::collections::BTreeMap;

use driftless_core::clock::Hlc;
use driftless_core::mem::MemStore;
use driftless_core::page::Cursor;
use driftless_core::record::{Record, Version};
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{Session, Store};
use driftless_core::value::Value;
use driftless_core::version::OwnedHead;
use driftless_store::SqliteStore;

use crate::common::{self, device, head, identity, key, next_set, record, version};
use crate::ops::{FIELDS, OWNED, Op, Row, SHARED, Val, schemas};

/// The two stores that must be alike, and the servers that they pull from.
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) store: Option<SqliteStore>,
    pub(crate) memory: MemStore,
    servers: BTreeMap<u8, MemStore>,
    lives: BTreeMap<u8, u64>,
}

/// Calls the same on both stores.
macro_rules! both {
    ($world:expr, |$store:ident| $call:expr) => {{
        let $store = $world.store.as_mut().unwrap();
        $call.unwrap();
        let $store = &mut $world.memory;
        $call.unwrap();
    }};
}

impl World {
    pub(crate) fn new(schema: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::create(dir.path(), identity(1), schemas(schema)).unwrap();
        store.begin().unwrap();
        let servers = [2, 3].map(|n| (n, MemStore::new(device(n)))).into();
        let mut world = Self {
            dir,
            store: Some(store),
            memory: MemStore::new(device(1)),
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
                let mut store = self.store.take().unwrap();
                self.memory.rollback();
                if let Op::Reopen { schema } = op {
                    drop(store);
                    let schema = schemas(*schema);
                    store = SqliteStore::open(self.dir.path(), schema).unwrap();
                } else {
                    store.rollback().unwrap();
                }
                store.begin().unwrap();
                self.store = Some(store);
            }
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
