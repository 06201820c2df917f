//! What the hot paths cost, to be counted in instructions: `cargo xtask cost` runs each part under
//! callgrind, which counts what happens within [`measured`] and nothing else. Everything here is the
//! same in each run: no clock, no chance, no threads.
//!
//! `cargo run --release -p driftless-store --example cost PART` prints how many changes or rows were
//! measured.

use std::collections::VecDeque;
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use driftless_core::clock::Hlc;
use driftless_core::engine::{Config, Effect, Engine, Identity as Who, Input, LocalTx, Now};
use driftless_core::id::{DeviceId, Epoch, LibraryId, RecordKey, time_ordered_id};
use driftless_core::message::Message;
use driftless_core::page::Cursor;
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, IndexDescriptor, MergeRule, ModelDescriptor, ModelId,
    ModelKind, Schema,
};
use driftless_core::store::{RowPage, Session, Store};
use driftless_core::value::Value;
use driftless_core::version::Life;
use driftless_store::{Identity, SqliteStore};
use tempfile::TempDir;
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Commits of one change, and change sets that are merged on either side.
const CHANGES: u64 = 300;
/// Rows, in so many transactions.
const ROWS: usize = 4_000;
const SETS: u64 = 4;
const SETS_USIZE: usize = 4;
/// Rows in a page, as in a backfill.
const PAGE: usize = 500;

const TAG: &str = "tag";
const ENTRY: &str = "entry";

/// What callgrind counts.
#[inline(never)]
fn measured<T>(run: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    black_box(run())
}

fn model(name: &str, kind: ModelKind, fields: &[(&str, FieldType)]) -> ModelDescriptor {
    let field = |(name, ty): &(&str, FieldType)| FieldDescriptor {
        id: FieldId::of(name),
        name: (*name).into(),
        ty: *ty,
        rule: MergeRule::Lww,
        nullable: true,
    };
    let index = |name: &str| IndexDescriptor { columns: vec![name.into()], partial: false };
    ModelDescriptor {
        id: ModelId::of(name),
        name: name.into(),
        kind,
        fields: fields.iter().map(field).collect(),
        indexes: vec![index("parent"), index("name")],
    }
}

/// A tag and an entry, about as the catalogue has them.
fn schema() -> Outcome<Schema> {
    use FieldType::{Blob, Int, Text, Time, Uuid};
    let tag = [("name", Text), ("parent", Uuid), ("color", Text), ("kind", Text)];
    let entry = [
        ("name", Text),
        ("parent", Uuid),
        ("location", Uuid),
        ("extension", Text),
        ("kind", Int),
        ("size", Int),
        ("modified_at", Time),
        ("created_at", Time),
        ("inode", Int),
        ("content", Blob),
    ];
    let models = [model(TAG, ModelKind::Shared, &tag), model(ENTRY, ModelKind::Owned, &entry)];
    Ok(Schema::new(models)?)
}

type Fields = Vec<(FieldId, Value)>;
/// Made before anything is measured.
type Rows = Vec<(RecordKey, Fields)>;

fn scattered(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn key(n: u64) -> RecordKey {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&scattered(n).to_be_bytes());
    time_ordered_id(1_700_000_000_000 + n, random).into()
}

fn tag(n: u64) -> Fields {
    vec![
        (FieldId::of("name"), Value::Text(format!("tag {n}"))),
        (FieldId::of("color"), Value::Text("#2266cc".into())),
    ]
}

fn entry(n: u64) -> Fields {
    let number = i64::try_from(n).unwrap_or(i64::MAX);
    let content = scattered(n).to_be_bytes().repeat(4);
    vec![
        (FieldId::of("name"), Value::Text(format!("{:06x}-{n}.jpg", scattered(n) >> 40))),
        (FieldId::of("parent"), Value::Blob(vec![4; 16])),
        (FieldId::of("location"), Value::Blob(vec![5; 16])),
        (FieldId::of("extension"), Value::Text("jpg".into())),
        (FieldId::of("kind"), Value::Int(0)),
        (FieldId::of("size"), Value::Int(number * 4_321)),
        (FieldId::of("modified_at"), Value::Int(1_700_000_000_000 + number * 997)),
        (FieldId::of("created_at"), Value::Int(1_700_000_000_000 + number)),
        (FieldId::of("inode"), Value::Int(1_000_000 + number)),
        (FieldId::of("content"), Value::Blob(content)),
    ]
}

fn tags() -> Rows {
    (0..CHANGES).map(|n| (key(n), tag(n))).collect()
}

fn entries() -> Rows {
    (0..ROWS as u64).map(|n| (key(n), entry(n))).collect()
}

struct Replica {
    _dir: TempDir,
    id: DeviceId,
    schema: Arc<Schema>,
    store: SqliteStore,
    engine: Engine,
    now: Now,
}

impl Replica {
    fn new(n: u8) -> Outcome<Self> {
        let (dir, id) = (tempfile::tempdir()?, DeviceId([n; 32]));
        let schema = Arc::new(schema()?);
        let (epoch, owned_life) = (Epoch(9), Life { mint: Hlc(1), epoch: Epoch(1) });
        let library = LibraryId(Uuid::from_bytes([9; 16]));
        let identity = Identity { library, device: id, shared_epoch: epoch, owned_life };
        let mut store = SqliteStore::create(dir.path(), identity, Schema::clone(&schema))?;
        let who = Who { device: id, shared_epoch: epoch, owned_life };
        store.begin()?;
        let engine = Engine::new(who, schema.clone(), Config::default(), &mut store, 1)?;
        store.commit()?;
        let now = Now { wall_ms: 1_750_000_000_000, steady_ms: 1_000 };
        Ok(Self { _dir: dir, id, schema, store, engine, now })
    }

    /// One durable transaction.
    fn write(
        &mut self,
        fill: impl FnOnce(&mut LocalTx, &Schema, &mut SqliteStore) -> Outcome<()>,
    ) -> Outcome<()> {
        self.now.wall_ms += 1;
        self.store.begin()?;
        let mut tx = self.engine.begin_local(&self.store, self.now)?;
        fill(&mut tx, &self.schema, &mut self.store)?;
        self.engine.finish_local(&mut self.store, tx)?;
        self.engine.flush(&mut self.store, self.now)?;
        Ok(self.store.commit()?)
    }

    fn make_tags(&mut self, tags: Rows) -> Outcome<()> {
        let model = ModelId::of(TAG);
        for (key, fields) in tags {
            self.write(|tx, schema, store| Ok(tx.create(schema, store, model, &key, fields)?))?;
        }
        Ok(())
    }

    fn rename_tags(&mut self, name: &str) -> Outcome<()> {
        for n in 0..CHANGES {
            let fields = vec![(FieldId::of("name"), Value::Text(format!("{name} {n}")))];
            self.write(|tx, schema, store| {
                Ok(tx.set(schema, store, ModelId::of(TAG), &key(n), fields)?)
            })?;
        }
        Ok(())
    }

    fn put_entries(&mut self, entries: Rows) -> Outcome<()> {
        let (model, mut entries) = (ModelId::of(ENTRY), entries.into_iter());
        for _ in 0..SETS {
            let some = entries.by_ref().take(ROWS / SETS_USIZE);
            self.write(|tx, schema, store| {
                for (key, fields) in some {
                    tx.put_owned(schema, store, model, &key, fields)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// All pages of its rows.
    fn pages(&mut self) -> Outcome<Vec<RowPage>> {
        let (mut pages, mut cursor) = (Vec::new(), Cursor::after(0));
        while cursor < Cursor::after(SETS) {
            let page = self.store.read_page(&self.id, &cursor, PAGE, 1 << 20)?;
            cursor = page.next.clone();
            pages.push(page);
        }
        Ok(pages)
    }

    /// Takes in what happened, in one transaction: what is to be sent.
    fn give(&mut self, input: Input) -> Outcome<Vec<Message>> {
        self.store.begin()?;
        self.engine.handle(&mut self.store, input, self.now)?;
        let effects = self.engine.flush(&mut self.store, self.now)?;
        self.store.commit()?;
        let message = |effect| match effect {
            Effect::Send { message, .. } => Some(message),
            Effect::Disconnect { .. } | Effect::Certificates { .. } | Effect::Event(_) => None,
        };
        Ok(effects.into_iter().filter_map(message).collect())
    }
}

/// Two replicas meet and tell each other everything.
fn meet(a: &mut Replica, b: &mut Replica) -> Outcome<()> {
    let (from, to) = (a.id, b.id);
    let mut queue: VecDeque<(bool, Message)> = VecDeque::new();
    queue.extend(a.give(Input::Connected(to))?.into_iter().map(|message| (true, message)));
    queue.extend(b.give(Input::Connected(from))?.into_iter().map(|message| (false, message)));
    while a.store.vector() != b.store.vector() {
        let Some((for_b, message)) = queue.pop_front() else {
            return Err("two replicas have nothing to say, and differ".into());
        };
        let (here, sender) = if for_b { (&mut *b, from) } else { (&mut *a, to) };
        let answers = here.give(Input::Message(sender, message))?;
        queue.extend(answers.into_iter().map(|message| (!for_b, message)));
    }
    a.give(Input::Disconnected(to))?;
    b.give(Input::Disconnected(from))?;
    Ok(())
}

/// A transaction of one shared change each, with what its log costs afterwards.
fn commit() -> Outcome<u64> {
    let (mut replica, tags) = (Replica::new(1)?, tags());
    measured(|| {
        replica.make_tags(tags)?;
        Ok(replica.store.flush_log()?)
    })?;
    Ok(CHANGES)
}

/// Rows of this device, a thousand to a transaction.
fn rows() -> Outcome<u64> {
    let (mut replica, entries) = (Replica::new(1)?, entries());
    measured(|| replica.put_entries(entries))?;
    Ok(ROWS as u64)
}

/// Rows read and encoded for somebody else.
fn encode() -> Outcome<u64> {
    let mut replica = Replica::new(1)?;
    replica.put_entries(entries())?;
    measured(|| replica.pages())?;
    Ok(ROWS as u64)
}

/// Pages of another device's rows, decoded and written where nothing of it was.
fn apply() -> Outcome<u64> {
    let mut owner = Replica::new(1)?;
    owner.put_entries(entries())?;
    let (pages, mut taker) = (owner.pages()?, Replica::new(2)?);
    let life = Life { mint: Hlc(1), epoch: Epoch(1) };
    measured(|| {
        let last = pages.len() - 1;
        for (at, page) in pages.iter().enumerate() {
            let cursor = page.next.clone();
            let session = Session { life, cursor, target: SETS, first: SETS, full: true };
            taker.store.begin()?;
            taker.store.stage_page(&owner.id, &page.rows, session)?;
            if at == last {
                taker.store.finish_session(&owner.id)?;
            }
            taker.store.commit()?;
        }
        Ok(())
    })?;
    Ok(ROWS as u64)
}

/// Two devices that have renamed the same tags while they were apart.
fn merge() -> Outcome<u64> {
    let (mut a, mut b) = (Replica::new(1)?, Replica::new(2)?);
    a.make_tags(tags())?;
    meet(&mut a, &mut b)?;
    a.rename_tags("here")?;
    b.rename_tags("there")?;
    measured(|| {
        meet(&mut a, &mut b)?;
        a.store.flush_log()?;
        Ok(b.store.flush_log()?)
    })?;
    Ok(2 * CHANGES)
}

fn main() -> Outcome<()> {
    let part = std::env::args().nth(1).unwrap_or_default();
    let count = match part.as_str() {
        "commit" => commit()?,
        "rows" => rows()?,
        "encode" => encode()?,
        "apply" => apply()?,
        "merge" => merge()?,
        _ => return Err("name a part: commit, rows, encode, apply or merge".into()),
    };
    println!("{count}");
    Ok(())
}
