//! The parts of the core that every record passes through: `cargo bench -p driftless-core`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use driftless_core::change::{Change, ChangeSet, Draft, Op, Write};
use driftless_core::clock::Hlc;
use driftless_core::digest::{OwnedChecksum, shared_checksum};
use driftless_core::id::{DeviceId, Dot, Epoch, Origin, RecordKey};
use driftless_core::merge;
use driftless_core::page::{PageModel, PageReader, PageWriter};
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::value::{Value, ValueRef};
use driftless_core::version::Life;

const ROWS: u64 = 1_000;

fn origin(n: u8) -> Origin {
    Origin::shared(DeviceId([n; 32]), Epoch(n.into()))
}

/// The fields of a file entry: most are numbers, one is a name, one a hash.
fn values() -> Vec<(FieldId, Value)> {
    let number = |n: u32| (FieldId(n), Value::Int(1_700_000_000_000 + i64::from(n)));
    let mut values: Vec<_> = (1..=7).map(number).collect();
    values.push((FieldId(8), Value::Text("IMG_20250615_150640.jpg".into())));
    values.push((FieldId(9), Value::Blob(vec![7; 32])));
    values.push((FieldId(10), Value::Blob(vec![9; 16])));
    values
}

fn create() -> Op {
    let write = |(field, value)| Write { field, over: vec![], value };
    Op::Create { over: vec![], fields: values().into_iter().map(write).collect() }
}

fn key(n: u64) -> RecordKey {
    RecordKey::from(uuid::Uuid::from_u128(n.into()))
}

fn change_sets(c: &mut Criterion) {
    let change = Change { model: ModelId(1), key: key(1), op: create() };
    let draft = || Draft {
        dot: Dot::new(origin(1), 7),
        prev: [3; 32],
        hlc: Hlc(99),
        needs: vec![(origin(2), 5)],
    };
    let seal = || ChangeSet::new(draft(), std::slice::from_ref(&change)).expect("one change fits");
    let bytes = seal().bytes().clone();
    let mut group = c.benchmark_group("change set");
    group.bench_function("encode", |b| b.iter(|| black_box(seal())));
    group.bench_function("decode", |b| {
        b.iter(|| {
            let set = ChangeSet::decode(black_box(bytes.clone())).expect("what was encoded");
            black_box(set.changes().expect("what was encoded"))
        });
    });
    group.finish();
}

fn page() -> Vec<u8> {
    let values = values();
    let fields = values.iter().map(|(field, _)| *field).collect();
    let mut page = PageWriter::new(&[PageModel { model: ModelId(1), fields }]);
    for n in 0..ROWS {
        let row = values.iter().map(|(_, value)| value.as_ref());
        page.row(0, 1, key(n).as_bytes(), row, &[]);
    }
    page.finish()
}

fn pages(c: &mut Criterion) {
    let bytes = page();
    let mut group = c.benchmark_group("page of 1,000 rows");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("encode", |b| b.iter(|| black_box(page())));
    group.bench_function("decode", |b| {
        b.iter(|| {
            let mut reader = PageReader::new(black_box(&bytes)).expect("what was encoded");
            let (mut row, mut extras) = (Vec::new(), Vec::new());
            let mut rows = 0;
            while reader.next_row(&mut row, &mut extras).expect("what was encoded").is_some() {
                rows += 1;
            }
            rows
        });
    });
    group.finish();
}

/// A record, and a change that overwrites one of its fields.
fn merging(c: &mut Criterion) {
    let mut record = Record::default();
    let first = Dot::new(origin(1), 1);
    merge::apply(&mut record, &create(), first, Hlc(1), |_| false);
    let write = Write { field: FieldId(8), over: vec![first], value: Value::Text("new".into()) };
    let set = Op::Set { lives: vec![first], fields: vec![write] };
    let mut group = c.benchmark_group("a shared record");
    group.bench_function("create", |b| {
        let op = create();
        b.iter(|| {
            let mut record = Record::default();
            merge::apply(&mut record, black_box(&op), first, Hlc(1), |_| false);
            record
        });
    });
    group.bench_function("set a field", |b| {
        b.iter(|| {
            let mut record = record.clone();
            merge::apply(&mut record, black_box(&set), Dot::new(origin(2), 1), Hlc(2), |_| true);
            record
        });
    });
    group.bench_function("checksum", |b| {
        b.iter(|| shared_checksum(ModelId(1), &key(1), black_box(&record)));
    });
    group.finish();
}

fn digests(c: &mut Criterion) {
    let values = values();
    let row: Vec<(FieldId, ValueRef<'_>)> = values.iter().map(|(f, v)| (*f, v.as_ref())).collect();
    let mut sums = OwnedChecksum::new(DeviceId([1; 32]), Life { mint: Hlc(1), epoch: Epoch(1) });
    let key = key(1);
    c.bench_function("checksum of an owned row", |b| {
        b.iter(|| sums.of(ModelId(1), key.as_bytes(), 1, black_box(&row).iter().copied()));
    });
}

criterion_group!(parts, change_sets, pages, merging, digests);
criterion_main!(parts);
