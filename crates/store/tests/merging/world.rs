//! Replicas with a store each, which meet when they are told to.

use std::collections::VecDeque;
use std::sync::Arc;

use driftless_core::clock::Hlc;
use driftless_core::engine::{Config, Effect, Engine, Identity as Who, Input, LocalTx, Now};
use driftless_core::id::{DeviceId, Epoch, LibraryId, RecordKey, derived_id};
use driftless_core::message::Message;
use driftless_core::record::Record;
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, MergeRule, ModelDescriptor, ModelId, ModelKind, Schema,
};
use driftless_core::store::Store;
use driftless_core::value::Value;
use driftless_core::version::Life;
use driftless_store::{Identity, SqliteStore};
use tempfile::TempDir;
use uuid::Uuid;

/// Replicas that write; one more only reads.
pub(crate) const WRITERS: usize = 3;
/// The number of the one that only reads.
pub(crate) const READER: usize = WRITERS;
/// All orders in which the reader can meet the writers.
pub(crate) const ORDERS: [[usize; WRITERS]; 6] =
    [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

const START_MS: u64 = 1_750_000_000_000;

pub(crate) fn doc() -> ModelId {
    ModelId::of("doc")
}

pub(crate) fn member() -> ModelId {
    ModelId::of("member")
}

pub(crate) fn key(name: &str) -> RecordKey {
    derived_id("test", &[name.as_bytes()]).into()
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// The value of a field that refers to a record.
pub(crate) fn reference(name: &str) -> Value {
    Value::Blob(key(name).as_bytes().to_vec())
}

fn schema() -> Arc<Schema> {
    let field = |name: &str, ty, rule| FieldDescriptor {
        id: FieldId::of(name),
        name: name.to_owned(),
        ty,
        rule,
        nullable: true,
    };
    let model = |name: &str, kind, fields| {
        let id = ModelId::of(name);
        ModelDescriptor { id, name: name.to_owned(), kind, fields, indexes: vec![] }
    };
    let fields = vec![
        field("text", FieldType::Text, MergeRule::Lww),
        field("parent", FieldType::Uuid, MergeRule::Lww),
        field("count", FieldType::Int, MergeRule::Counter),
        field("most", FieldType::Int, MergeRule::Max),
        field("least", FieldType::Int, MergeRule::Min),
    ];
    let of = vec![field("doc", FieldType::Uuid, MergeRule::Lww)];
    let models = [model("doc", ModelKind::Shared, fields), model("member", ModelKind::Link, of)];
    Arc::new(Schema::new(models).unwrap())
}

pub(crate) struct Replica {
    _dir: TempDir,
    id: DeviceId,
    pub(crate) store: SqliteStore,
    engine: Engine,
}

/// What a transaction writes through.
pub(crate) struct Pen<'a> {
    schema: Arc<Schema>,
    store: &'a mut SqliteStore,
    tx: &'a mut LocalTx,
}

type Fields<'a> = &'a [(&'a str, Value)];

fn fields(fields: Fields<'_>) -> Vec<(FieldId, Value)> {
    fields.iter().map(|(name, value)| (FieldId::of(name), value.clone())).collect()
}

impl Pen<'_> {
    pub(crate) fn create(&mut self, name: &str, with: Fields<'_>) {
        self.tx.create(&self.schema, self.store, doc(), &key(name), fields(with)).unwrap();
    }

    pub(crate) fn set(&mut self, name: &str, with: Fields<'_>) {
        self.tx.set(&self.schema, self.store, doc(), &key(name), fields(with)).unwrap();
    }

    pub(crate) fn add(&mut self, name: &str, delta: i64) -> i64 {
        let count = (FieldId::of("count"), delta);
        self.tx.add(&self.schema, self.store, doc(), &key(name), count).unwrap()
    }

    pub(crate) fn delete(&mut self, name: &str) {
        assert!(self.tx.delete(&self.schema, self.store, doc(), &key(name)).unwrap());
    }

    pub(crate) fn link(&mut self, name: &str) {
        let of = vec![(FieldId::of("doc"), reference(name))];
        self.tx.link(&self.schema, self.store, member(), &key(name), of).unwrap();
    }

    pub(crate) fn unlink(&mut self, name: &str) {
        assert!(self.tx.delete(&self.schema, self.store, member(), &key(name)).unwrap());
    }
}

impl Replica {
    fn new(n: usize, schema: &Arc<Schema>) -> Self {
        let id = DeviceId([u8::try_from(n).unwrap() + 1; 32]);
        let owned_life = Life { mint: Hlc(1), epoch: Epoch(1) };
        let library = LibraryId(Uuid::from_bytes([9; 16]));
        let identity = Identity { library, device: id, shared_epoch: Epoch(9), owned_life };
        let dir = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::create(dir.path(), identity, Schema::clone(schema)).unwrap();
        let who = Who { device: id, shared_epoch: Epoch(9), owned_life };
        store.begin().unwrap();
        let config = Config::default();
        let engine = Engine::new(who, schema.clone(), config, &mut store, 1).unwrap();
        store.commit().unwrap();
        Self { _dir: dir, id, store, engine }
    }

    fn give(&mut self, input: Input, now: Now) -> Vec<Effect> {
        self.store.begin().unwrap();
        self.engine.handle(&mut self.store, input, now).unwrap();
        let effects = self.engine.flush(&mut self.store, now).unwrap();
        self.store.commit().unwrap();
        effects
    }

    pub(crate) fn record(&mut self, model: ModelId, name: &str) -> Record {
        self.store.record(model, &key(name)).unwrap()
    }

    /// A field of a document as its column has it; `None` if the document does not show.
    pub(crate) fn shown(&self, name: &str, field: &str) -> Option<rusqlite::types::Value> {
        let sql = format!("SELECT \"{field}\" FROM doc WHERE id = ?1");
        let mut select = self.store.connection().prepare(&sql).unwrap();
        let mut rows = select.query([key(name).as_bytes()]).unwrap();
        rows.next().unwrap().map(|row| row.get(0).unwrap())
    }

    /// The text that shows.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.shown(name, "text")? {
            rusqlite::types::Value::Text(text) => Some(text),
            other => panic!("{other:?} is no text"),
        }
    }

    /// A number that shows.
    pub(crate) fn number(&self, name: &str, field: &str) -> i64 {
        match self.shown(name, field) {
            Some(rusqlite::types::Value::Integer(n)) => n,
            other => panic!("{other:?} is no number"),
        }
    }

    pub(crate) fn is_linked(&mut self, name: &str) -> bool {
        self.record(member(), name).is_alive()
    }

    /// Values of a document's field that deletes took, as this replica's history has them.
    pub(crate) fn lost(&self, name: &str, field: &str) -> Vec<Value> {
        let losses = self.store.losses(doc(), &key(name)).unwrap();
        let of_field = losses.into_iter().filter(|(lost, _)| lost.field == FieldId::of(field));
        of_field.map(|(lost, _)| lost.version.value).collect()
    }

    /// Everything that is synced, and what follows from it.
    pub(crate) fn everything(&self) -> String {
        let snapshot = self.store.snapshot().unwrap();
        let all = |model| snapshot.records(model, None, 100).unwrap();
        let read = snapshot.read_rows().unwrap();
        assert_eq!(read.digests, *self.store.digests());
        let conflicts = self.store.conflicts(None, 100).unwrap();
        assert_eq!(conflicts.len() as u64, self.store.conflict_count());
        format!("{:?} {:?} {:?} {conflicts:?}", all(doc()), all(member()), self.store.digests())
    }
}

pub(crate) struct World {
    pub(crate) replicas: Vec<Replica>,
    schema: Arc<Schema>,
    now: Now,
}

impl World {
    pub(crate) fn new() -> Self {
        let schema = schema();
        let replicas = (0..=WRITERS).map(|n| Replica::new(n, &schema)).collect();
        Self { replicas, schema, now: Now { wall_ms: START_MS, steady_ms: 1_000 } }
    }

    /// One transaction.
    pub(crate) fn write<T>(&mut self, at: usize, fill: impl FnOnce(&mut Pen<'_>) -> T) -> T {
        self.now.wall_ms += 1;
        let replica = &mut self.replicas[at];
        replica.store.begin().unwrap();
        let mut tx = replica.engine.begin_local(&replica.store, self.now).unwrap();
        let schema = self.schema.clone();
        let done = fill(&mut Pen { schema, store: &mut replica.store, tx: &mut tx });
        replica.engine.finish_local(&mut replica.store, tx).unwrap();
        replica.engine.flush(&mut replica.store, self.now).unwrap();
        replica.store.commit().unwrap();
        done
    }

    /// Two replicas meet, tell each other everything, and part.
    pub(crate) fn meet(&mut self, a: usize, b: usize) {
        let ids = [self.replicas[a].id, self.replicas[b].id];
        let mut queue = VecDeque::new();
        self.give(a, Input::Connected(ids[1]), &mut queue);
        self.give(b, Input::Connected(ids[0]), &mut queue);
        for _ in 0..1_000 {
            let Some((to, from, message)) = queue.pop_front() else {
                if self.replicas[a].store.vector() == self.replicas[b].store.vector() {
                    self.give(a, Input::Disconnected(ids[1]), &mut queue);
                    self.give(b, Input::Disconnected(ids[0]), &mut queue);
                    return;
                }
                self.let_time_pass(a, b, &mut queue);
                continue;
            };
            self.give(to, Input::Message(from, message), &mut queue);
        }
        panic!("{a} and {b} do not get equal");
    }

    fn let_time_pass(&mut self, a: usize, b: usize, queue: &mut Queue) {
        self.now.steady_ms += 100;
        self.now.wall_ms += 100;
        for at in [a, b] {
            self.give(at, Input::Tick, queue);
        }
    }

    fn give(&mut self, at: usize, input: Input, queue: &mut Queue) {
        let from = self.replicas[at].id;
        for effect in self.replicas[at].give(input, self.now) {
            match effect {
                Effect::Send { to, message } => {
                    for to in to {
                        let to = self.replicas.iter().position(|other| other.id == to).unwrap();
                        queue.push_back((to, from, message.clone()));
                    }
                }
                Effect::Disconnect { reason, .. } => panic!("{at} turns somebody away: {reason}"),
                Effect::Certificates { .. } | Effect::Event(_) => {}
            }
        }
    }

    /// All writers know everything that was written.
    pub(crate) fn settle(&mut self) {
        for (a, b) in [(0, 1), (1, 2), (0, 1)] {
            self.meet(a, b);
        }
    }

    /// The reader meets the writers in an order; what it knows goes back to them in the same order.
    pub(crate) fn arrive(&mut self, order: [usize; WRITERS]) {
        for _ in 0..2 {
            for writer in order {
                self.meet(READER, writer);
            }
        }
    }
}

type Queue = VecDeque<(usize, DeviceId, Message)>;

/// Plays a scene and lets what was written apart arrive in every order: all replicas end equal, in
/// the same state whatever the order, which is given to `check` one by one.
pub(crate) fn in_every_order(scene: impl Fn(&mut World), check: impl Fn(&mut Replica)) {
    let mut first: Option<String> = None;
    for order in ORDERS {
        let mut world = World::new();
        scene(&mut world);
        world.arrive(order);
        for (at, replica) in world.replicas.iter_mut().enumerate() {
            let everything = replica.everything();
            let expected = first.get_or_insert_with(|| everything.clone());
            assert_eq!(&everything, expected, "replica {at} after {order:?}");
            check(replica);
        }
    }
}
