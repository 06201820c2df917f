//! What the tests of the store share: a schema, an identity, change sets.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it, and may panic")]

pub(crate) mod format_1;
pub(crate) mod pages;

use std::path::Path;

use driftless_core::change::{Change, ChangeSet, Draft};
use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Dot, Epoch, LibraryId, Origin, RecordKey};
use driftless_core::record::{Record, Version};
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, IndexDescriptor, MergeRule, ModelDescriptor, ModelId,
    ModelKind, Schema,
};
use driftless_core::store::Store;
use driftless_core::value::Value;
use driftless_core::version::{Life, OwnedHead, OwnedVector};
use driftless_store::{Identity, SqliteStore};
use uuid::Uuid;

pub(crate) const TYPES: [FieldType; 8] = [
    FieldType::Bool,
    FieldType::Int,
    FieldType::Real,
    FieldType::Text,
    FieldType::Blob,
    FieldType::Uuid,
    FieldType::Json,
    FieldType::Time,
];

pub(crate) fn field(name: &str, ty: FieldType) -> FieldDescriptor {
    let (id, rule) = (FieldId::of(name), MergeRule::Lww);
    FieldDescriptor { id, name: name.into(), ty, rule, nullable: true }
}

pub(crate) fn model(name: &str, kind: ModelKind, fields: Vec<FieldDescriptor>) -> ModelDescriptor {
    let id = ModelId::of(name);
    ModelDescriptor { id, name: name.into(), kind, fields, indexes: vec![] }
}

pub(crate) fn tag() -> ModelDescriptor {
    let count = FieldDescriptor { rule: MergeRule::Counter, ..field("count", FieldType::Int) };
    let fields = vec![
        field("name", FieldType::Text),
        field("order", FieldType::Int),
        field("color", FieldType::Text),
        count,
    ];
    let mut tag = model("tag", ModelKind::Shared, fields);
    tag.indexes.push(IndexDescriptor { columns: vec!["name".into()], partial: false });
    tag
}

pub(crate) fn entry() -> ModelDescriptor {
    let fields = vec![
        field("name", FieldType::Text),
        field("parent", FieldType::Uuid),
        field("size", FieldType::Int),
        field("weight", FieldType::Real),
        field("hash", FieldType::Blob),
        field("hidden", FieldType::Bool),
    ];
    let mut entry = model("entry", ModelKind::Owned, fields);
    entry.indexes.push(IndexDescriptor { columns: vec!["parent".into()], partial: true });
    entry
}

pub(crate) fn volume() -> ModelDescriptor {
    model("volume", ModelKind::Owned, vec![field("name", FieldType::Text)])
}

pub(crate) fn schema() -> Schema {
    Schema::new([tag(), entry(), volume()]).unwrap()
}

pub(crate) fn device(n: u8) -> DeviceId {
    DeviceId([n; 32])
}

pub(crate) fn life(n: u64) -> Life {
    Life { mint: Hlc(n), epoch: Epoch(n) }
}

pub(crate) fn head(life_no: u64, seq: u64) -> OwnedHead {
    OwnedHead { life: life(life_no), seq }
}

pub(crate) fn identity(n: u8) -> Identity {
    Identity {
        library: LibraryId(Uuid::from_bytes([9; 16])),
        device: device(n),
        shared_epoch: Epoch(u64::MAX),
        owned_life: life(1),
    }
}

pub(crate) fn create(dir: &Path) -> SqliteStore {
    SqliteStore::create(dir, identity(1), schema()).unwrap()
}

pub(crate) fn key(n: u8) -> RecordKey {
    RecordKey::new(&[n; 16]).unwrap()
}

pub(crate) fn origin(n: u8) -> Origin {
    Origin::shared(device(n), Epoch(u64::MAX - u64::from(n)))
}

pub(crate) fn dot(n: u8, seq: u64) -> Dot {
    Dot::new(origin(n), seq)
}

pub(crate) fn version(n: u8, seq: u64, hlc: u64, value: Value) -> Version {
    Version { dot: dot(n, seq), hlc: Hlc(hlc), lives: vec![dot(1, 1)], value }
}

/// A record with one life, and these versions of its fields.
pub(crate) fn record(fields: &[(&str, Vec<Version>)]) -> Record {
    let mut record = Record::default();
    record.lives.insert(dot(1, 1), Hlc(10));
    for (name, versions) in fields {
        record.fields.insert(FieldId::of(name), versions.clone());
    }
    record
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// The next change set of an origin.
pub(crate) fn next_set<S: Store>(store: &S, n: u8, changes: &[Change]) -> ChangeSet {
    let at = store.vector().head(&origin(n));
    let dot = Dot::new(origin(n), at.map_or(1, |head| head.seq + 1));
    let prev = at.map_or([0; 32], |head| head.hash);
    ChangeSet::new(Draft { dot, prev, hlc: Hlc(dot.seq), needs: vec![] }, changes).unwrap()
}

/// Everything that can be asked of a store without changing it, in a comparable form.
pub(crate) fn state<S: Store>(store: &S) -> (Hlc, [String; 2], OwnedVector, String, Vec<String>) {
    let digests = store.digests().iter().filter(|(_, digest)| digest.rows > 0);
    let lanes = store.lanes();
    let lanes = lanes.iter().map(|device| format!("{device:?} {:?}", store.lane(device)));
    (
        store.clock(),
        [format!("{:?}", store.vector()), format!("{:?} {}", store.floors(), store.has_mirror())],
        store.owned_vector(),
        format!("{:?}", digests.collect::<Vec<_>>()),
        lanes.collect(),
    )
}
