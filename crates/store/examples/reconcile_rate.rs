//! How fast a reconcile reads what it compares, and how long one call keeps the writer's thread:
//! `cargo run --release -p driftless-store --example reconcile_rate [ROWS]`.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use driftless_core::change::{ChangeSet, Draft};
use driftless_core::clock::Hlc;
use driftless_core::digest::Digest;
use driftless_core::id::{DeviceId, Dot, Epoch, LibraryId, Origin, RecordKey, time_ordered_id};
use driftless_core::record::{Record, Version};
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, MergeRule, ModelDescriptor, ModelId, ModelKind, Schema,
};
use driftless_core::store::{Floors, KeyRange, Store};
use driftless_core::value::Value;
use driftless_core::version::{Life, OwnedHead};
use driftless_store::{Identity, SqliteStore};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

const ME: DeviceId = DeviceId([1; 32]);
const PEER: DeviceId = DeviceId([2; 32]);
const LOGGED: u64 = 100_000;

/// Calls, and the longest of them.
#[derive(Default)]
struct Calls {
    count: u32,
    sum: Duration,
    longest: Duration,
}

impl Calls {
    fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let answer = call();
        let took = begun.elapsed();
        self.count += 1;
        self.sum += took;
        self.longest = self.longest.max(took);
        answer
    }

    fn tell(&self, what: &str, rows: u64) {
        println!(
            "{what:<44} {:>9.0} rows/s, {:>5} calls, {:>6.1} ms on average, {:>6.1} ms at most",
            rows as f64 / self.sum.as_secs_f64(),
            self.count,
            self.sum.as_secs_f64() * 1_000.0 / f64::from(self.count.max(1)),
            self.longest.as_secs_f64() * 1_000.0
        );
    }
}

fn origin() -> Origin {
    Origin::shared(ME, Epoch(1))
}

fn model(name: &str, kind: ModelKind) -> ModelDescriptor {
    let field = |name: &str| FieldDescriptor {
        id: FieldId::of(name),
        name: name.into(),
        ty: FieldType::Text,
        rule: MergeRule::Lww,
        nullable: true,
    };
    let fields = vec![field("name"), field("color")];
    ModelDescriptor { id: ModelId::of(name), name: name.into(), kind, fields, indexes: vec![] }
}

fn create(dir: &Path) -> Outcome<SqliteStore> {
    let owned_life = Life { mint: Hlc(1), epoch: Epoch(1) };
    let library = LibraryId(Uuid::from_u128(1));
    let identity = Identity { library, device: ME, shared_epoch: Epoch(1), owned_life };
    let models = [
        model("tag", ModelKind::Shared),
        model("link", ModelKind::Link),
        model("entry", ModelKind::Owned),
    ];
    Ok(SqliteStore::create(dir, identity, Schema::new(models)?)?)
}

/// Keys in the order of time, as new records have, and scattered ones, as links have.
fn key(model: &str, n: u64) -> RecordKey {
    let scatter = |n: u64| {
        let n = (n ^ n >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (n ^ n >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    let scattered = u128::from(scatter(n)) << 64 | u128::from(scatter(!n));
    if model == "link" {
        return Uuid::from_u128(scattered).into();
    }
    let mut random = [0; 10];
    random.copy_from_slice(&scattered.to_le_bytes()[..10]);
    time_ordered_id(1_700_000_000_000 + n, random).into()
}

fn record(n: u64) -> Record {
    let life = Dot::new(origin(), n + 1);
    let mut record = Record::default();
    record.lives.insert(life, Hlc(n));
    for (field, value) in [("name", format!("tag number {n}")), ("color", "#c0ffee".into())] {
        let version =
            Version { dot: life, hlc: Hlc(n), lives: vec![life], value: Value::Text(value) };
        record.fields.insert(FieldId::of(field), vec![version]);
    }
    record
}

fn fill(store: &mut SqliteStore, model: &str, rows: u64) -> Outcome<()> {
    let begun = Instant::now();
    for first in (0..rows).step_by(10_000) {
        store.begin_relaxed()?;
        for n in first..rows.min(first + 10_000) {
            store.put_record(ModelId::of(model), &key(model, n), &record(n))?;
        }
        store.commit()?;
    }
    store.make_durable()?;
    let took = begun.elapsed();
    Calls { count: 1, sum: took, longest: took }.tell(&format!("{model}: written"), rows);
    Ok(())
}

fn buckets(store: &mut SqliteStore, model: &str, rows: u64) -> Outcome<Vec<KeyRange>> {
    let id = ModelId::of(model);
    let (mut calls, mut sum) = (Calls::default(), Digest::default());
    let mut range = KeyRange::default();
    let mut ranges = Vec::new();
    loop {
        let buckets = calls.time(|| store.pinned_buckets(&PEER, id, &range, 1_024, 256))?;
        for bucket in buckets {
            sum.rows += bucket.digest.rows;
            let one = KeyRange { after: range.after.take(), upto: bucket.upto };
            range.after.clone_from(&one.upto);
            ranges.push(one);
        }
        if range.after.is_none() {
            break;
        }
    }
    assert_eq!(sum.rows, rows);
    calls.tell(&format!("{model}: buckets of 1,024, up to 256"), rows);
    Ok(ranges)
}

fn reconcile(store: &mut SqliteStore, model: &str, rows: u64) -> Outcome<()> {
    let id = ModelId::of(model);
    let mut calls = Calls::default();
    calls.time(|| store.pin(PEER))?;
    calls.tell(&format!("{model}: a pin"), 1);
    let ranges = buckets(store, model, rows)?;
    store.begin()?;
    let mut calls = Calls::default();
    for range in &ranges {
        calls.time(|| store.mirror_digest(id, range))?;
    }
    calls.tell(&format!("{model}: digests of the mirror, 1,024 each"), rows);
    let mut calls = Calls::default();
    calls.time(|| store.mirror_digest(id, &KeyRange::default()))?;
    calls.tell(&format!("{model}: the digest of the whole mirror"), rows);

    let (mut calls, mut read, mut pages) = (Calls::default(), 0, Vec::new());
    let mut range = KeyRange::default();
    while read < rows.min(100_000) {
        let page = calls.time(|| store.pinned_records(&PEER, id, &range, 256 << 10))?;
        read += page.records.len() as u64;
        let upto = page.upto.clone();
        pages.push((KeyRange { after: range.after.take(), upto: page.upto }, page.records));
        range.after = upto;
        if range.after.is_none() {
            break;
        }
    }
    calls.tell(&format!("{model}: pages of records, 256 KiB each"), read);
    let mut calls = Calls::default();
    for (range, records) in &pages {
        calls.time(|| store.mirror_range(id, range, records))?;
    }
    calls.tell(&format!("{model}: the same taken into the mirror, equal"), read);
    let mut calls = Calls::default();
    for (range, _) in &pages {
        calls.time(|| store.mirror_range(id, range, &[]))?;
    }
    calls.tell(&format!("{model}: the same, and the peer has none"), read);
    let mut calls = Calls::default();
    for range in ranges.iter().take(usize::try_from(read / 1_024)?) {
        calls.time(|| store.mirror_digest(id, range))?;
    }
    calls.tell(&format!("{model}: digests of that, 1,024 each"), read);
    let mut calls = Calls::default();
    calls.time(|| store.clear_mirror())?;
    calls.tell(&format!("{model}: the mirror emptied"), read);
    store.commit()?;
    store.unpin(&PEER);
    Ok(())
}

fn forget_log(store: &mut SqliteStore) -> Outcome<()> {
    for _ in 0..LOGGED / 10_000 {
        store.begin_relaxed()?;
        for _ in 0..10_000 {
            let head = store.vector().head(&origin());
            let dot = Dot::new(origin(), head.map_or(1, |head| head.seq + 1));
            let prev = head.map_or([0; 32], |head| head.hash);
            let draft = Draft { dot, prev, hlc: Hlc(dot.seq), needs: vec![] };
            store.append(&ChangeSet::new(draft, &[])?)?;
        }
        store.commit()?;
        store.flush_log()?;
    }
    let dir = store.dir().to_owned();
    let schema = store.schema().clone();
    let mut calls = Calls::default();
    let again = calls.time(|| SqliteStore::open(&dir, schema))?;
    calls.tell("a library opened whose log is whole", LOGGED);
    drop(again);
    store.begin()?;
    let mut calls = Calls::default();
    let upto: Floors = [(origin(), LOGGED)].into();
    calls.time(|| store.prune_log(&upto))?;
    store.commit()?;
    calls.tell("a floor raised", LOGGED);
    let mut calls = Calls::default();
    while calls.time(|| store.sweep())? {}
    calls.tell("what is below it swept", LOGGED);
    Ok(())
}

fn forget_tombstones(store: &mut SqliteStore) -> Outcome<()> {
    let life = Life { mint: Hlc(1), epoch: Epoch(1) };
    store.begin()?;
    for n in 0..LOGGED {
        if n % 1_000 == 0 {
            store.set_own_head(OwnedHead { life, seq: 1 + n / 1_000 })?;
        }
        let key = key("entry", n);
        store.put_owned(ModelId::of("entry"), &key, 1 + n / 1_000, None)?;
    }
    store.commit()?;
    store.begin()?;
    let mut calls = Calls::default();
    while calls.time(|| store.prune_lane(&ME, LOGGED))? > 0 {}
    calls.tell("tombstones forgotten", LOGGED);
    let mut calls = Calls::default();
    calls.time(|| store.commit())?;
    calls.tell("and committed", LOGGED);
    let mut calls = Calls::default();
    while calls.time(|| store.sweep())? {}
    calls.tell("their room given back", LOGGED);
    Ok(())
}

fn main() -> Outcome<()> {
    let rows = std::env::args().nth(1).map_or(Ok(1_000_000), |rows| rows.parse())?;
    let dir = tempfile::tempdir()?;
    let mut store = create(dir.path())?;
    for model in ["tag", "link"] {
        fill(&mut store, model, rows)?;
        reconcile(&mut store, model, rows)?;
    }
    forget_log(&mut store)?;
    forget_tombstones(&mut store)?;
    Ok(store.close()?)
}
