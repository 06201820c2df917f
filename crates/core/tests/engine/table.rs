//! A table with a few replicas on it. Every message lies there until the test delivers or drops it,
//! and time stands still until the test moves it.

use std::collections::VecDeque;
use std::sync::Arc;

use driftless_core::clock::Hlc;
use driftless_core::codec::Writer;
use driftless_core::engine::{Config, Effect, Engine, Event, Identity, Input, LocalTx, Now};
use driftless_core::id::{DeviceId, Epoch, LibraryId, RecordKey};
use driftless_core::mem::MemStore;
use driftless_core::message::{Envelope, Message, State};
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, MergeRule, ModelDescriptor, ModelId, ModelKind, Schema,
};
use driftless_core::store::{OwnedLane, Store};
use driftless_core::value::Value;
use driftless_core::version::Life;

/// A shared model.
pub(crate) const NOTE: ModelId = ModelId(1);
/// An owned model.
pub(crate) const FILE: ModelId = ModelId(2);
/// The one field of both.
pub(crate) const TEXT: FieldId = FieldId(1);

const LIBRARY: LibraryId = LibraryId(uuid::Uuid::from_bytes([3; 16]));

/// The device of the `n`th replica.
pub(crate) fn device(n: usize) -> DeviceId {
    DeviceId([u8::try_from(n).unwrap() + 1; 32])
}

pub(crate) fn key(name: &str) -> RecordKey {
    RecordKey::new(name.as_bytes()).unwrap()
}

fn schema() -> Arc<Schema> {
    Arc::new(wide_schema(1))
}

/// The two models with as many fields.
pub(crate) fn wide_schema(fields: u32) -> Schema {
    let field = |n: u32| FieldDescriptor {
        id: FieldId(n),
        name: format!("text{n}"),
        ty: FieldType::Text,
        rule: MergeRule::Lww,
        nullable: true,
    };
    let model = |id, name: &str, kind| ModelDescriptor {
        id,
        name: name.to_owned(),
        kind,
        fields: (1..=fields).map(field).collect(),
        indexes: vec![],
    };
    let models = [model(NOTE, "note", ModelKind::Shared), model(FILE, "file", ModelKind::Owned)];
    Schema::new(models).unwrap()
}

/// A replica.
pub(crate) struct Node {
    pub(crate) id: DeviceId,
    pub(crate) store: MemStore,
    pub(crate) engine: Engine,
    pub(crate) events: Vec<Event>,
    /// Peers that it turned away, and why.
    pub(crate) refused: Vec<(DeviceId, String)>,
    pub(crate) certificates: usize,
    config: Config,
    starts: u64,
}

/// A message between two replicas, by their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) message: Message,
}

/// Some replicas, the messages between them, and the time.
pub(crate) struct Table {
    pub(crate) nodes: Vec<Node>,
    pub(crate) queue: VecDeque<Flight>,
    pub(crate) now: Now,
}

/// What a transaction writes through.
pub(crate) struct Pen<'a> {
    schema: Arc<Schema>,
    store: &'a mut MemStore,
    tx: &'a mut LocalTx,
}

fn text(value: &str) -> Vec<(FieldId, Value)> {
    vec![(TEXT, Value::Text(value.to_owned()))]
}

impl Pen<'_> {
    pub(crate) fn create(&mut self, name: &str, value: &str) {
        self.tx.create(&self.schema, self.store, NOTE, &key(name), text(value)).unwrap();
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.tx.set(&self.schema, self.store, NOTE, &key(name), text(value)).unwrap();
    }

    pub(crate) fn delete(&mut self, name: &str) {
        assert!(self.tx.delete(&self.schema, self.store, NOTE, &key(name)).unwrap());
    }

    pub(crate) fn put(&mut self, name: &str, value: &str) {
        self.tx.put_owned(&self.schema, self.store, FILE, &key(name), text(value)).unwrap();
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.tx.delete_owned(&self.schema, self.store, FILE, &key(name)).unwrap();
    }
}

impl Node {
    fn new(n: usize, config: Config, now: Now) -> Self {
        let id = device(n);
        let mut store = MemStore::new(id);
        let engine = open(id, &mut store, &config, 1, now);
        store.commit();
        let (events, refused, certificates) = (vec![], vec![], 0);
        Self { id, store, engine, events, refused, certificates, config, starts: 1 }
    }

    /// What a note shows; `None` if there is no such note.
    pub(crate) fn note(&mut self, name: &str) -> Option<String> {
        let record = self.store.record(NOTE, &key(name)).unwrap();
        match record.shown(TEXT, MergeRule::Lww) {
            Value::Text(text) if record.is_alive() => Some(text),
            _ => None,
        }
    }

    /// The names and texts of the files of a device that show here.
    pub(crate) fn files(&self, of: usize) -> Vec<(String, String)> {
        let rows = self.store.rows(&device(of)).into_iter();
        let row = |((_, key), _, fields): ((_, RecordKey), _, std::collections::BTreeMap<_, _>)| {
            let Some(Value::Text(text)) = fields.get(&TEXT) else { panic!("no text") };
            (String::from_utf8(key.as_bytes().to_vec()).unwrap(), text.clone())
        };
        rows.map(row).collect()
    }

    pub(crate) fn lane(&self, of: usize) -> OwnedLane {
        self.store.lane(&device(of)).cloned().unwrap_or_default()
    }

    /// How far this replica holds the owned lane of another exactly; 0 if it does not.
    pub(crate) fn exact(&self, of: usize) -> u64 {
        self.lane(of).exact.map_or(0, |head| head.seq)
    }

    pub(crate) fn state(&self) -> State {
        self.engine.state(&self.store)
    }
}

fn open(id: DeviceId, store: &mut MemStore, config: &Config, start: u64, now: Now) -> Engine {
    let owned_life = Life { mint: Hlc::from_ms(now.wall_ms), epoch: Epoch(start) };
    let identity = Identity { device: id, shared_epoch: Epoch(9), owned_life };
    Engine::new(identity, schema(), config.clone(), store, start).unwrap()
}

impl Table {
    /// `n` replicas with an empty library, which acknowledge at once: then nothing but the messages on the
    /// table has to be thought of.
    pub(crate) fn new(n: usize) -> Self {
        Self::with(n, |config| config.ack_ms = 0)
    }

    /// The same, with engines that behave otherwise.
    pub(crate) fn with(n: usize, change: impl Fn(&mut Config)) -> Self {
        let now = Now { wall_ms: 1_750_000_000_000, steady_ms: 1_000 };
        let mut config = Config::default();
        change(&mut config);
        let nodes = (0..n).map(|i| Node::new(i, config.clone(), now)).collect();
        Self { nodes, queue: VecDeque::new(), now }
    }

    /// Gives a replica inputs as one batch, makes it durable, and lays what it sends on the table.
    pub(crate) fn give(&mut self, to: usize, inputs: Vec<Input>) {
        let node = &mut self.nodes[to];
        for input in inputs {
            node.engine.handle(&mut node.store, input, self.now).unwrap();
        }
        let effects = node.engine.flush(&mut node.store, self.now).unwrap();
        node.store.commit();
        self.lay(to, effects);
    }

    fn lay(&mut self, from: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    for id in to {
                        let to = self.number(id);
                        self.queue.push_back(Flight { from, to, message: message.clone() });
                    }
                }
                Effect::Disconnect { peer, reason } => {
                    self.nodes[from].refused.push((peer, reason))
                }
                Effect::Certificates { certificates, .. } => {
                    self.nodes[from].certificates += certificates.len();
                }
                Effect::Event(event) => self.nodes[from].events.push(event),
            }
        }
    }

    fn number(&self, id: DeviceId) -> usize {
        self.nodes.iter().position(|node| node.id == id).unwrap()
    }

    /// A message comes in at `to` as if from `from`, through the codec.
    pub(crate) fn say(&mut self, from: usize, to: usize, message: &Message) {
        let frame = message.encode(LIBRARY, device(from)).unwrap();
        let message = Envelope::decode(&frame).unwrap().message;
        self.give(to, vec![Input::Message(device(from), message)]);
    }

    /// A connection stands.
    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        self.give(a, vec![Input::Connected(device(b))]);
        self.give(b, vec![Input::Connected(device(a))]);
    }

    /// A connection ended; what was on its way is lost.
    pub(crate) fn disconnect(&mut self, a: usize, b: usize) {
        self.queue
            .retain(|flight| !matches!((flight.from, flight.to), p if p == (a, b) || p == (b, a)));
        self.give(a, vec![Input::Disconnected(device(b))]);
        self.give(b, vec![Input::Disconnected(device(a))]);
    }

    /// Delivers everything, and what follows from it. Fails if that does not end.
    pub(crate) fn run(&mut self) {
        for _ in 0..10_000 {
            let Some(Flight { from, to, message }) = self.queue.pop_front() else { return };
            self.say(from, to, &message);
        }
        panic!("the replicas never fall silent: {:?}", self.queue.front());
    }

    /// Connects two replicas and lets them say everything that they have to say.
    pub(crate) fn meet(&mut self, a: usize, b: usize) {
        self.connect(a, b);
        self.run();
    }

    /// Takes messages off the table.
    pub(crate) fn take(&mut self, which: impl Fn(&Flight) -> bool) -> Vec<Flight> {
        let (taken, rest) = self.queue.drain(..).partition(which);
        self.queue = rest;
        Vec::from_iter::<VecDeque<Flight>>(taken)
    }

    /// The names of the messages that lie on the table from one replica to another.
    pub(crate) fn names(&self, from: usize, to: usize) -> Vec<&'static str> {
        let between = self.queue.iter().filter(|flight| (flight.from, flight.to) == (from, to));
        between.map(|flight| flight.message.name()).collect()
    }

    /// Lets time pass, and ticks whoever is due, without delivering anything.
    pub(crate) fn wait(&mut self, ms: u64) {
        let end = self.now.steady_ms + ms;
        loop {
            let due = self.nodes.iter().filter_map(|node| node.engine.next_deadline()).min();
            let Some(at) = due.filter(|at| *at <= end) else { break };
            let step = at.saturating_sub(self.now.steady_ms);
            self.now.steady_ms += step;
            self.now.wall_ms += step;
            for i in 0..self.nodes.len() {
                let due = self.nodes[i].engine.next_deadline();
                if due.is_some_and(|at| at <= self.now.steady_ms) {
                    self.give(i, vec![Input::Tick]);
                    let next = self.nodes[i].engine.next_deadline();
                    assert!(
                        next.is_none_or(|at| at > self.now.steady_ms || at == 0),
                        "a busy tick"
                    );
                }
            }
        }
        self.now.wall_ms += end - self.now.steady_ms;
        self.now.steady_ms = end;
    }

    /// Lets time pass in small steps, and delivers everything as it comes.
    pub(crate) fn live(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(50) {
            self.run();
            self.wait(50);
        }
        self.run();
    }

    /// One transaction at a replica.
    pub(crate) fn write(&mut self, at: usize, fill: impl FnOnce(&mut Pen<'_>)) {
        self.begin(at, fill);
        let node = &mut self.nodes[at];
        let effects = node.engine.flush(&mut node.store, self.now).unwrap();
        node.store.commit();
        self.lay(at, effects);
    }

    /// One transaction at a replica, up to its flush.
    pub(crate) fn begin(&mut self, at: usize, fill: impl FnOnce(&mut Pen<'_>)) {
        let node = &mut self.nodes[at];
        let mut tx = node.engine.begin_local(&node.store, self.now).unwrap();
        fill(&mut Pen { schema: schema(), store: &mut node.store, tx: &mut tx });
        node.engine.finish_local(&mut node.store, tx).unwrap();
    }

    /// Tells replicas that these are the members that count, since now.
    pub(crate) fn members(&mut self, at: &[usize], members: &[usize]) {
        let since = self.now.wall_ms;
        for n in at {
            let members = members.iter().map(|n| (device(*n), since)).collect();
            self.give(*n, vec![Input::Members(members)]);
        }
    }

    /// Prunes at a replica. How many change sets, and how many tombstones went.
    pub(crate) fn prune(&mut self, n: usize) -> (u64, u64) {
        self.nodes[n].events.clear();
        self.give(n, vec![Input::Prune]);
        let pruned = self.nodes[n].events.iter().find_map(|event| match event {
            Event::Pruned { sets, tombstones } => Some((*sets, *tombstones)),
            _ => None,
        });
        pruned.unwrap_or((0, 0))
    }

    /// A replica dies and starts again from what is durable; its connections end.
    pub(crate) fn restart(&mut self, n: usize) {
        self.queue.retain(|flight| flight.from != n && flight.to != n);
        let now = self.now;
        let node = &mut self.nodes[n];
        node.store.crash();
        node.starts += 1;
        node.engine = open(node.id, &mut node.store, &node.config, node.starts, now);
        node.store.commit();
        for other in 0..self.nodes.len() {
            if other != n {
                self.give(other, vec![Input::Disconnected(device(n))]);
            }
        }
    }

    /// Fails unless two replicas hold the same, byte for byte.
    pub(crate) fn assert_equal(&self, a: usize, b: usize) {
        let (a, b) = (&self.nodes[a], &self.nodes[b]);
        assert_eq!(a.state(), b.state());
        assert_eq!(a.store.digests(), b.store.digests());
        let bytes = |node: &Node| {
            let mut w = Writer::new();
            for (model, key, record) in node.store.records() {
                w.u32_le(model.0);
                w.key(key);
                record.encode(&mut w);
            }
            w.into_bytes()
        };
        assert_eq!(bytes(a), bytes(b));
        for n in 0..self.nodes.len() {
            assert_eq!(a.files(n), b.files(n));
        }
    }
}
