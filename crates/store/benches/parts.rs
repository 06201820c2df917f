//! The store's three ways of writing, each transaction durable: `cargo bench -p driftless-store`.
#![allow(clippy::unwrap_used, reason = "a benchmark that fails has nothing to tell")]

use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use driftless_core::change::{Change, ChangeSet, Draft, Op, Write};
use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Dot, Epoch, LibraryId, Origin, RecordKey, time_ordered_id};
use driftless_core::merge;
use driftless_core::page::{Cursor, PageModel, PageWriter};
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, IndexDescriptor, MergeRule, ModelDescriptor, ModelId,
    ModelKind, Schema,
};
use driftless_core::store::{Session, Store as _};
use driftless_core::value::Value;
use driftless_core::version::{Life, OwnedHead};
use driftless_store::{Identity, SqliteStore};
use tempfile::TempDir;
use uuid::Uuid;

const ROWS: u64 = 1_000;

fn model(name: &str, kind: ModelKind) -> ModelDescriptor {
    let field = |(name, ty): (&str, FieldType)| FieldDescriptor {
        id: FieldId::of(name),
        name: name.into(),
        ty,
        rule: MergeRule::Lww,
        nullable: true,
    };
    let fields = [("name", FieldType::Text), ("parent", FieldType::Uuid), ("size", FieldType::Int)];
    let index = |name: &str| IndexDescriptor { columns: vec![name.into()], partial: false };
    ModelDescriptor {
        id: ModelId::of(name),
        name: name.into(),
        kind,
        fields: fields.into_iter().map(field).collect(),
        indexes: vec![index("parent"), index("name")],
    }
}

fn life() -> Life {
    Life { mint: Hlc(1), epoch: Epoch(1) }
}

fn create(dir: &Path) -> SqliteStore {
    let identity = Identity {
        library: LibraryId(Uuid::from_u128(1)),
        device: DeviceId([1; 32]),
        shared_epoch: Epoch(1),
        owned_life: life(),
    };
    let models = [model("entry", ModelKind::Owned), model("tag", ModelKind::Shared)];
    SqliteStore::create(dir, identity, Schema::new(models).unwrap()).unwrap()
}

fn fresh() -> (TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = create(dir.path());
    (dir, store)
}

/// The nth record: its key and its fields, in the order of their ids.
fn record(n: u64) -> (RecordKey, Vec<(FieldId, Value)>) {
    let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&scattered.to_be_bytes());
    let id = time_ordered_id(1_700_000_000_000 + n, random);
    let mut fields = vec![
        (FieldId::of("name"), Value::Text(format!("{scattered:x}.jpg"))),
        (FieldId::of("parent"), Value::Blob(vec![4; 16])),
        (FieldId::of("size"), Value::Int(4_321)),
    ];
    fields.sort_by_key(|(id, _)| *id);
    (id.into(), fields)
}

/// Own rows, a thousand to a transaction.
fn commit(c: &mut Criterion) {
    let mut group = c.benchmark_group("commit");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    let (_dir, mut store) = fresh();
    let (mut n, mut seq) = (0, 0);
    group.bench_function("1,000 owned rows", |b| {
        b.iter(|| {
            seq += 1;
            store.begin().unwrap();
            store.set_own_head(OwnedHead { life: life(), seq }).unwrap();
            for _ in 0..ROWS {
                n += 1;
                let (key, fields) = record(n);
                store.put_owned(ModelId::of("entry"), &key, seq, Some(&fields)).unwrap();
            }
            store.commit().unwrap();
        });
    });
    group.finish();
}

fn page() -> Vec<u8> {
    let fields = record(0).1.iter().map(|(id, _)| *id).collect();
    let mut page = PageWriter::new(&[PageModel { model: ModelId::of("entry"), fields }]);
    for n in 0..ROWS {
        let (key, fields) = record(n);
        page.row(0, 1, key.as_bytes(), fields.iter().map(|(_, value)| value.as_ref()), &[]);
    }
    page.finish()
}

/// A page of another device's rows: the first of its lane, and a delta to what is exact.
fn apply_page(c: &mut Criterion) {
    let mut group = c.benchmark_group("apply a page of 1,000 rows");
    group.throughput(Throughput::Elements(ROWS)).sample_size(20);
    let (page, other) = (page(), DeviceId([2; 32]));
    group.bench_function("in place", |b| {
        let apply = |(_, store): &mut (TempDir, SqliteStore)| {
            let cursor = Cursor::after(1);
            let session = Session { life: life(), cursor, target: 1, first: 1, full: true };
            store.begin().unwrap();
            store.stage_page(&other, &page, session).unwrap();
            store.finish_session(&other).unwrap();
            store.commit().unwrap();
        };
        b.iter_batched_ref(fresh, apply, BatchSize::PerIteration);
    });
    group.finish();
}

/// One change set that makes a record, as the engine applies it.
fn apply_change_set(c: &mut Criterion) {
    let origin = Origin::shared(DeviceId([2; 32]), Epoch(2));
    let (_dir, mut store) = fresh();
    let mut n = 0;
    c.bench_function("apply a change set", |b| {
        b.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                n += 1;
                let (key, fields) = record(n);
                let write = |(field, value)| Write { field, over: vec![], value };
                let fields = fields.into_iter().map(write).collect();
                let change = Change {
                    model: ModelId::of("tag"),
                    key,
                    op: Op::Create { over: vec![], fields },
                };
                let prev = store.vector().head(&origin).map_or([0; 32], |head| head.hash);
                let dot = Dot::new(origin, n);
                let draft = Draft { dot, prev, hlc: Hlc(n), needs: vec![] };
                let set = ChangeSet::new(draft, std::slice::from_ref(&change)).unwrap();
                let begun = Instant::now();
                store.begin().unwrap();
                let mut record = store.record(change.model, &change.key).unwrap();
                merge::apply(&mut record, &change.op, dot, Hlc(n), |_| false);
                store.put_record(change.model, &change.key, &record).unwrap();
                store.append(&set).unwrap();
                store.commit().unwrap();
                spent += begun.elapsed();
            }
            // Its log is written by the way, as the driver does.
            store.flush_log().unwrap();
            spent
        });
    });
}

criterion_group!(parts, commit, apply_page, apply_change_set);
criterion_main!(parts);
