//! Random work on the store and on the reference store in memory: they must never differ.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;

use common::*;
use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, RecordKey};
use driftless_core::mem::MemStore;
use driftless_core::page::{Cursor, PageReader};
use driftless_core::record::{Record, Version};
use driftless_core::schema::{
    FieldId, FieldType, MergeRule, ModelDescriptor, ModelId, ModelKind, Schema,
};
use driftless_core::store::{Session, Store};
use driftless_core::value::Value;
use driftless_core::version::{OwnedHead, Vector};
use driftless_store::SqliteStore;
use proptest::prelude::*;

/// A model and the fields that are written in it; the first three and "tag" have tables.
const OWNED: [&str; 3] = ["entry", "volume", "from_the_future"];
const SHARED: [&str; 2] = ["tag", "link_from_the_future"];
const FIELDS: [&str; 5] = ["name", "size", "hidden", "hash", "new_field"];

const SCHEMAS: usize = 7;

/// What different builds know.
fn schemas(at: usize) -> Schema {
    use FieldType::{Blob, Bool, Int, Text};
    let future = model("from_the_future", ModelKind::Owned, vec![field("name", Text)]);
    let link = model("link_from_the_future", ModelKind::Link, vec![field("hash", Blob)]);
    let with = |mut model: ModelDescriptor, name, ty| {
        model.fields.retain(|field| field.name != name);
        model.fields.push(field(name, ty));
        model
    };
    let without = |mut model: ModelDescriptor, name| {
        model.fields.retain(|field| field.name != name);
        model.indexes.clear();
        model
    };
    let models = match at {
        0 => vec![tag(), entry(), volume()],
        1 => vec![tag(), entry(), volume(), future, link],
        2 => vec![without(tag(), "name"), without(entry(), "name")],
        3 => vec![with(tag(), "new_field", Text), with(entry(), "new_field", Int), volume()],
        4 => {
            vec![with(tag(), "size", Int), with(entry(), "size", Bool), with(volume(), "name", Int)]
        }
        // Names and kinds change hands.
        5 => vec![
            ModelDescriptor { name: "volume".into(), ..entry() },
            ModelDescriptor { name: "entry".into(), ..volume() },
            ModelDescriptor { kind: ModelKind::Link, ..without(tag(), "count") },
        ],
        _ => vec![
            ModelDescriptor { id: ModelId::of("tag"), ..volume() },
            ModelDescriptor { id: ModelId::of("entry"), ..tag() },
        ],
    };
    Schema::new(models).unwrap()
}

#[derive(Clone, Debug)]
enum Op {
    /// Writes a shared record.
    Record {
        model: usize,
        key: u8,
        fields: Vec<(usize, Vec<Val>)>,
        alive: bool,
    },
    /// Logs a change set.
    Append {
        origin: u8,
    },
    /// Writes or deletes rows of a device's own lane: of the tested store's (1) or a server's.
    Rows {
        device: u8,
        rows: Vec<Row>,
    },
    /// The device goes on under a new life.
    NewLife {
        device: u8,
    },
    /// Pulls a page of a server's lane.
    Pull {
        device: u8,
        max_rows: usize,
        delta: bool,
    },
    /// Gives up a session.
    Drop {
        device: u8,
    },
    Commit,
    Rollback,
    /// Opens the library again, with one of [`schemas`].
    Reopen {
        schema: usize,
    },
    Flush,
}

#[derive(Clone, Debug)]
struct Row {
    model: usize,
    key: u8,
    fields: Option<Vec<(usize, Val)>>,
}

#[derive(Clone, Debug)]
enum Val {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Val {
    fn value(&self) -> Value {
        match self {
            Val::Null => Value::Null,
            Val::Int(n) => Value::Int(*n),
            Val::Real(x) => Value::Real(*x),
            Val::Text(text) => Value::Text(text.clone()),
            Val::Blob(bytes) => Value::Blob(bytes.clone()),
        }
    }
}

fn val() -> impl Strategy<Value = Val> {
    prop_oneof![
        Just(Val::Null),
        prop_oneof![Just(0), Just(1), any::<i64>()].prop_map(Val::Int),
        (-1000i32..1000).prop_map(|n| Val::Real(f64::from(n.max(1)) / 3.0)),
        ".{0,6}".prop_map(Val::Text),
        proptest::collection::vec(any::<u8>(), 0..4).prop_map(Val::Blob),
    ]
}

fn row() -> impl Strategy<Value = Row> {
    let fields = proptest::collection::vec((0..FIELDS.len(), val()), 0..5);
    (0..OWNED.len(), 0u8..6, proptest::option::weighted(0.75, fields))
        .prop_map(|(model, key, fields)| Row { model, key, fields })
}

fn op() -> impl Strategy<Value = Op> {
    let versions = proptest::collection::vec(val(), 1..4);
    let fields = proptest::collection::vec((0..FIELDS.len(), versions), 0..4);
    let record = (0..SHARED.len(), 0u8..4, fields, proptest::bool::weighted(0.8))
        .prop_map(|(model, key, fields, alive)| Op::Record { model, key, fields, alive });
    let rows = (1u8..4, proptest::collection::vec(row(), 1..8))
        .prop_map(|(device, rows)| Op::Rows { device, rows });
    let pull = (2u8..4, prop_oneof![1usize..4, Just(1000)], any::<bool>())
        .prop_map(|(device, max_rows, delta)| Op::Pull { device, max_rows, delta });
    prop_oneof![
        3 => record,
        2 => (1u8..4).prop_map(|origin| Op::Append { origin }),
        6 => rows,
        1 => (1u8..4).prop_map(|device| Op::NewLife { device }),
        10 => pull,
        1 => (2u8..4).prop_map(|device| Op::Drop { device }),
        3 => Just(Op::Commit),
        1 => Just(Op::Rollback),
        2 => (0..SCHEMAS).prop_map(|schema| Op::Reopen { schema }),
        1 => Just(Op::Flush),
    ]
}

/// The two stores that must be alike, and the servers that they pull from.
struct World {
    dir: tempfile::TempDir,
    store: Option<SqliteStore>,
    memory: MemStore,
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
    fn new(schema: usize) -> Self {
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

    fn run(&mut self, op: &Op) {
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

    fn check(&mut self) {
        let store = self.store.as_mut().unwrap();
        assert_eq!(state(store), state(&self.memory));
    }

    /// Everything that can be read, compared.
    fn check_all(&mut self) {
        self.run(&Op::Commit);
        self.check();
        self.check_snapshot();
        self.check_tables();
        let store = self.store.as_mut().unwrap();
        let log = self.memory.log(&Vector::new(), usize::MAX).unwrap();
        assert_eq!(store.log(&Vector::new(), usize::MAX).unwrap(), log);
        for (model, key, record) in self.memory.clone().records() {
            assert_eq!(store.record(*model, key).unwrap(), *record);
        }
        for lane in self.memory.lanes() {
            if self.memory.lane(&lane).is_some_and(|lane| lane.exact.is_some()) {
                let all = walk(&mut self.memory, &lane, usize::MAX, usize::MAX);
                assert_eq!(walk(store, &lane, usize::MAX, usize::MAX), all);
                assert_eq!(walk(store, &lane, 2, usize::MAX), all);
                assert_eq!(walk(store, &lane, usize::MAX, 100), all);
            }
        }
    }
}

impl World {
    fn check_snapshot(&self) {
        let snapshot = self.store.as_ref().unwrap().snapshot().unwrap();
        let again = snapshot.recompute_digests().unwrap();
        assert_eq!((&again.digests, again.damaged), (snapshot.digests(), vec![]));
        assert!(snapshot.check_structure(1).unwrap().is_empty());
        let exact = |lane: &DeviceId| self.memory.lane(lane).is_some_and(|l| l.exact.is_some());
        for model in snapshot.models().unwrap() {
            let all = snapshot.records(model, None, 1_000).unwrap();
            let memory = self.memory.records().filter(|(id, ..)| **id == model);
            let memory: Vec<_> =
                memory.map(|(_, key, record)| (key.clone(), record.clone())).collect();
            assert_eq!(all, memory);
            let mut memory = Vec::new();
            for lane in self.memory.lanes().into_iter().filter(exact) {
                let rows = self.memory.rows(&lane).into_iter().filter(|row| row.0.0 == model);
                memory.extend(rows.map(|((_, key), seq, fields)| (key, lane, seq, fields)));
            }
            memory.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
            for limit in [1, 1_000] {
                let mut after: Option<(RecordKey, DeviceId)> = None;
                let mut all = Vec::new();
                loop {
                    let at = after.as_ref().map(|(key, device)| (key, device));
                    let rows = snapshot.rows(model, at, limit).unwrap();
                    let Some(last) = rows.last() else { break };
                    after = Some((last.key.clone(), last.device));
                    let rows = rows.into_iter();
                    all.extend(
                        rows.map(|r| (r.key, r.device, r.seq, r.fields.into_iter().collect())),
                    );
                }
                assert_eq!(all, memory);
            }
        }
    }
}

/// Whether a column of this type can show a value.
fn shows(ty: FieldType, value: &Value) -> bool {
    match (ty, value) {
        (FieldType::Bool, Value::Int(n)) => (0..=1).contains(n),
        (FieldType::Int | FieldType::Time, Value::Int(_)) => true,
        (FieldType::Real, Value::Real(_)) => true,
        (FieldType::Text | FieldType::Json, Value::Text(_)) => true,
        (FieldType::Uuid, Value::Blob(bytes)) => bytes.len() == 16,
        (FieldType::Blob, Value::Blob(_)) => true,
        _ => false,
    }
}

impl World {
    /// What plain SQL sees.
    fn check_tables(&mut self) {
        let store = self.store.as_ref().unwrap();
        let mut refused = 0;
        for model in store.schema().iter() {
            let shared = model.kind.is_shared();
            let columns: Vec<_> = model.fields.iter().map(|f| format!("\"{}\"", f.name)).collect();
            let device = if shared { "x''" } else { "(SELECT device FROM _lane WHERE id = _lane)" };
            let sql =
                format!("SELECT id, {device}, {} FROM \"{}\"", columns.join(", "), model.name);
            let mut select = store.connection().prepare(&sql).unwrap();
            let mut rows = select.query([]).unwrap();
            let mut seen = 0;
            while let Some(row) = rows.next().unwrap() {
                let key = RecordKey::new(&row.get::<_, Vec<u8>>(0).unwrap()).unwrap();
                let device = row.get::<_, Vec<u8>>(1).unwrap();
                let Some((values, unfit)) = self.expected(model, &key, &device) else { continue };
                seen += 1;
                refused += unfit;
                for (at, value) in values.iter().enumerate() {
                    let found: rusqlite::types::Value = row.get(at + 2).unwrap();
                    assert_eq!(&found, value, "{} of {key}", columns[at]);
                }
            }
            if shared {
                let records = self.memory.records().filter(|(id, ..)| **id == model.id);
                assert_eq!(seen, records.filter(|(.., record)| record.is_alive()).count());
            } else {
                let wrong = format!(
                    "SELECT count(*) FROM _unknown_owned AS w WHERE model = {} AND NOT EXISTS \
                     (SELECT 1 FROM \"{}\" AS t JOIN _lane AS a ON a.id = t._lane, _lane AS b \
                      WHERE t.id = w.key AND b.id = w.lane AND a.device < b.device)",
                    model.id.0, model.name
                );
                let wrong: i64 =
                    store.connection().query_row(&wrong, [], |row| row.get(0)).unwrap();
                assert_eq!(wrong, 0, "a row without a table whose place is free");
            }
        }
        let noted = "SELECT count(*) FROM _quarantine WHERE reason = 2";
        let noted: i64 = store.connection().query_row(noted, [], |row| row.get(0)).unwrap();
        if store.lanes().iter().all(|lane| store.lane(lane).unwrap().session.is_none()) {
            assert_eq!(noted, refused);
        }
    }

    /// What the columns of a record's row should be, and how many values do not fit. `None` for a
    /// row that no exact state has.
    fn expected(
        &self,
        model: &ModelDescriptor,
        key: &RecordKey,
        device: &[u8],
    ) -> Option<(Vec<rusqlite::types::Value>, i64)> {
        let id = (model.id, key.clone());
        let mut unfit = 0;
        let mut shown = |ty, value: &Value| {
            unfit += i64::from(!value.is_null() && !shows(ty, value));
            if shows(ty, value) { sql_value(value) } else { rusqlite::types::Value::Null }
        };
        if model.kind.is_shared() {
            let (.., record) =
                self.memory.records().find(|(m, k, _)| (**m, *k) == (id.0, &id.1))?;
            let mut values = Vec::new();
            for f in &model.fields {
                let value = record.shown(f.id, f.rule);
                let odd = |v: &Version| !matches!(v.value, Value::Int(_));
                if f.rule != MergeRule::Lww && record.versions(f.id).iter().any(odd) {
                    shown(FieldType::Bool, &Value::Real(0.5));
                }
                values.push(shown(f.ty, &value));
            }
            return Some((values, unfit));
        }
        let lane = DeviceId(device.try_into().unwrap());
        self.memory.lane(&lane)?.exact?;
        let (_, _, fields) = self.memory.rows(&lane).into_iter().find(|row| row.0 == id)?;
        let null = Value::Null;
        let values: Vec<_> =
            model.fields.iter().map(|f| shown(f.ty, fields.get(&f.id).unwrap_or(&null))).collect();
        Some((values, unfit))
    }
}

fn sql_value(value: &Value) -> rusqlite::types::Value {
    use rusqlite::types::Value as Sql;
    match value {
        Value::Null => Sql::Null,
        Value::Int(n) => Sql::Integer(*n),
        Value::Real(x) => Sql::Real(*x),
        Value::Text(text) => Sql::Text(text.clone()),
        Value::Blob(bytes) => Sql::Blob(bytes.clone()),
    }
}

/// The part of [`Store`] that writes the own lane, for both kinds of stores.
trait OwnLane {
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

fn make_record(fields: &[(usize, Vec<Val>)], alive: bool) -> Record {
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

type Walked = Vec<(u64, ModelId, RecordKey, Option<BTreeMap<FieldId, Value>>)>;

/// All rows of a lane by pages of some size.
fn walk<S: Store>(store: &mut S, lane: &DeviceId, max_rows: usize, max_bytes: usize) -> Walked {
    let head = store.lane(lane).and_then(|lane| lane.exact).unwrap();
    let mut cursor = Cursor::after(0);
    let mut out = Walked::new();
    while cursor < Cursor::after(head.seq) {
        let page = store.read_page(lane, &cursor, max_rows, max_bytes).unwrap();
        let rows = decode(&page.rows);
        assert_eq!(rows.len(), page.count);
        assert!(page.count <= max_rows && page.next > cursor);
        out.extend(rows);
        cursor = page.next;
    }
    out
}

fn decode(bytes: &[u8]) -> Walked {
    let mut page = PageReader::new(bytes).unwrap();
    let (mut values, mut extras) = (vec![], vec![]);
    let mut out = Walked::new();
    while let Some(row) = page.next_row(&mut values, &mut extras).unwrap() {
        let model = &page.models()[row.model];
        let fields = model.fields.iter().zip(&values).map(|(id, value)| (*id, *value));
        let fields = fields.chain(extras.iter().copied()).filter(|(_, value)| !value.is_null());
        let fields = fields.map(|(id, value)| (id, value.to_owned())).collect();
        let key = RecordKey::new(row.key).unwrap();
        out.push((row.seq, model.model, key, (!row.tombstone).then_some(fields)));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 4,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_store_is_like_the_one_in_memory(
        schema in 0..SCHEMAS,
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new(schema);
        for op in &ops {
            world.run(op);
            world.check();
        }
        world.check_all();
    }
}
