//! What users do: random transactions, each held at once against what its writer must see then.

use std::collections::BTreeMap;

use driftless_core::engine::{LocalTx, WriteError};
use driftless_core::id::RecordKey;
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, MergeRule, ModelId, Schema};
use driftless_core::store::Store;
use driftless_core::value::Value;
use driftless_store::StoreError;

use crate::bench::BenchStore;
use crate::ledger::Place;
use crate::models::{
    COLLECTION, COUNT, DEVICE, ENTRY, LOCATION, LOW, MEMBER, METADATA, NAME, ON, PARENT, SIZE, TAG,
    TAGGING, TOP, VOLUME, key, rule_of,
};
use crate::rng::Rng;

/// The rows that an owner means to have.
pub(crate) type Mine = BTreeMap<Place, BTreeMap<FieldId, Value>>;

/// Keys of each shared model: few, so that writers meet.
const KEYS: u64 = 4;
/// Keys of each owned model.
const ROWS: u64 = 12;

/// A transaction and what it writes to.
pub(crate) struct Desk<'a> {
    /// The schema of the writer.
    pub(crate) schema: &'a Schema,
    /// Its store.
    pub(crate) store: &'a mut BenchStore,
    /// The transaction.
    pub(crate) tx: &'a mut LocalTx,
    /// The writer's number.
    pub(crate) me: u64,
    /// What the writer means to own.
    pub(crate) mine: &'a mut Mine,
}

/// What went wrong, in words.
pub(crate) type Outcome = Result<(), String>;

/// A few operations on shared records and owned rows.
pub(crate) fn write(desk: &mut Desk<'_>, rng: &mut Rng) -> Outcome {
    for _ in 0..rng.pick(&[1, 1, 1, 2, 4]) {
        match rng.below(10) {
            0..=4 => shared(desk, rng)?,
            5 | 6 => link(desk, rng)?,
            _ => owned(desk, rng)?,
        }
    }
    Ok(())
}

/// Many owned rows at one seq, so that pages split them.
pub(crate) fn burst(desk: &mut Desk<'_>, rng: &mut Rng) -> Outcome {
    for _ in 0..rng.between(3, 15) {
        owned(desk, rng)?;
    }
    Ok(())
}

/// One shared record, created or edited.
pub(crate) fn small(desk: &mut Desk<'_>, rng: &mut Rng) -> Outcome {
    let key = key(rng.below(KEYS));
    let fields = vec![(NAME, Value::Text(format!("t{}", rng.below(1_000_000))))];
    match record(desk, TAG, &key)?.is_alive() {
        true => desk.set(TAG, &key, fields),
        false => desk.create(TAG, &key, fields),
    }
}

fn knows(desk: &Desk<'_>, model: ModelId) -> bool {
    desk.schema.model(model).is_some()
}

/// One of these models, or the first where the schema does not know it.
fn one_of(desk: &Desk<'_>, models: &[ModelId], rng: &mut Rng) -> ModelId {
    let model = rng.pick(models);
    if knows(desk, model) { model } else { models[0] }
}

fn shared(desk: &mut Desk<'_>, rng: &mut Rng) -> Outcome {
    if rng.chance(5) {
        return own_device(desk, rng);
    }
    let model = one_of(desk, &[TAG, METADATA, METADATA, COLLECTION], rng);
    let key = key(rng.below(KEYS));
    let alive = record(desk, model, &key)?.is_alive();
    match rng.below(10) {
        0..=1 if alive => desk.delete(model, &key),
        2 if alive => {
            desk.delete(model, &key)?;
            desk.create(model, &key, values(model, rng))
        }
        3 | 4 if alive && model == TAG => desk.set(model, &key, vec![(PARENT, place(rng))]),
        _ if alive => desk.set(model, &key, values(model, rng)),
        0 => desk.absent(model, &key),
        _ => desk.create(model, &key, values(model, rng)),
    }
}

/// A device writes about itself, and nobody else does.
fn own_device(desk: &mut Desk<'_>, rng: &mut Rng) -> Outcome {
    let key = key(1_000 + desk.me);
    match record(desk, DEVICE, &key)?.is_alive() {
        true => desk.set(DEVICE, &key, values(DEVICE, rng)),
        false => desk.create(DEVICE, &key, values(DEVICE, rng)),
    }
}

fn link(desk: &mut Desk<'_>, rng: &mut Rng) -> Outcome {
    let model = one_of(desk, &[TAGGING, TAGGING, MEMBER], rng);
    let key = key(100 + rng.below(KEYS));
    if rng.chance(40) { desk.delete(model, &key) } else { desk.link(model, &key) }
}

/// A row of the own lane: written, moved to another place, or deleted.
fn owned(desk: &mut Desk<'_>, rng: &mut Rng) -> Outcome {
    let model = one_of(desk, &[ENTRY, ENTRY, ENTRY, LOCATION, VOLUME], rng);
    let key = key(200 + rng.below(ROWS));
    if rng.chance(30) {
        let done = desk.tx.delete_owned(desk.schema, desk.store, model, &key);
        accept(done)?;
        desk.mine.remove(&(model, key));
        return Ok(());
    }
    let mut fields = vec![(NAME, text(rng))];
    if model != LOCATION {
        fields.push((SIZE, Value::Int(number(rng))));
    }
    if model == ENTRY {
        fields.push((PARENT, place(rng)));
    }
    if model != VOLUME {
        fields.push((ON, place(rng)));
    }
    accept(desk.tx.put_owned(desk.schema, desk.store, model, &key, fields.clone()))?;
    fields.retain(|(_, value)| !value.is_null());
    desk.mine.insert((model, key), fields.into_iter().collect());
    Ok(())
}

fn text(rng: &mut Rng) -> Value {
    match rng.below(12) {
        0 => Value::Null,
        1 => Value::Text("x".repeat(300)),
        n => Value::Text(format!("t{}", n * 31 + rng.below(30))),
    }
}

fn number(rng: &mut Rng) -> i64 {
    i64::try_from(rng.below(200)).unwrap_or(0) - 100
}

/// Where something is moved to: under another one, which may be under this one, or under none.
fn place(rng: &mut Rng) -> Value {
    match rng.below(KEYS + 1) {
        n if n < KEYS => Value::Int(i64::try_from(n).unwrap_or(0)),
        _ => Value::Null,
    }
}

/// Values for some of the model's fields; a counter's is a total.
fn values(model: ModelId, rng: &mut Rng) -> Vec<(FieldId, Value)> {
    let numbers = match model {
        METADATA => &[SIZE, COUNT, TOP, LOW][..],
        TAG => &[SIZE],
        _ => &[COUNT],
    };
    let mut fields = Vec::new();
    if rng.chance(60) {
        fields.push((NAME, text(rng)));
    }
    for field in numbers {
        if rng.chance(40) {
            fields.push((*field, Value::Int(number(rng))));
        }
    }
    fields
}

fn record(desk: &mut Desk<'_>, model: ModelId, key: &RecordKey) -> Result<Record, String> {
    desk.store.record(model, key).map_err(|error| format!("a record cannot be read: {error}"))
}

fn accept<T>(done: Result<T, WriteError<StoreError>>) -> Result<T, String> {
    done.map_err(|error| format!("a write was refused: {error}"))
}

fn expect(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(what()) }
}

/// What must show of a field after `wanted` was set where `before` showed.
fn expected(field: FieldId, before: &Value, wanted: &Value) -> Value {
    match (rule_of(field), before, wanted) {
        (MergeRule::Max, Value::Int(old), Value::Int(new)) => Value::Int(*old.max(new)),
        (MergeRule::Min, Value::Int(old), Value::Int(new)) => Value::Int(*old.min(new)),
        _ => wanted.clone(),
    }
}

impl Desk<'_> {
    fn create(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        fields: Vec<(FieldId, Value)>,
    ) -> Outcome {
        accept(self.tx.create(self.schema, self.store, model, key, fields.clone()))?;
        self.shows(model, key, &Record::default(), &fields)
    }

    fn set(&mut self, model: ModelId, key: &RecordKey, fields: Vec<(FieldId, Value)>) -> Outcome {
        let before = record(self, model, key)?;
        let again = self.tx.create(self.schema, self.store, model, key, vec![]);
        expect(matches!(again, Err(WriteError::Exists { .. })), || "created twice".into())?;
        accept(self.tx.set(self.schema, self.store, model, key, fields.clone()))?;
        self.shows(model, key, &before, &fields)
    }

    fn delete(&mut self, model: ModelId, key: &RecordKey) -> Outcome {
        let before = record(self, model, key)?.is_alive();
        let was = accept(self.tx.delete(self.schema, self.store, model, key))?;
        let after = record(self, model, key)?.is_alive();
        expect(was == before && !after, || format!("{key} is still there after its delete"))
    }

    fn link(&mut self, model: ModelId, key: &RecordKey) -> Outcome {
        let fields = vec![(NAME, Value::Text("link".into()))];
        accept(self.tx.link(self.schema, self.store, model, key, fields.clone()))?;
        self.shows(model, key, &Record::default(), &fields)
    }

    fn absent(&mut self, model: ModelId, key: &RecordKey) -> Outcome {
        let set = self.tx.set(self.schema, self.store, model, key, vec![(NAME, Value::Null)]);
        expect(matches!(set, Err(WriteError::NotFound { .. })), || "set what is not there".into())
    }

    /// A writer sees its own writes, and no sibling of what it wrote.
    fn shows(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        before: &Record,
        fields: &[(FieldId, Value)],
    ) -> Outcome {
        let after = record(self, model, key)?;
        expect(after.is_alive(), || format!("{key} is not there after its creation"))?;
        for (field, wanted) in fields {
            let rule = rule_of(*field);
            let must = expected(*field, &before.shown(*field, rule), wanted);
            let shows = after.shown(*field, rule);
            let settled = rule != MergeRule::Lww || after.versions(*field).len() <= 1;
            expect(shows == must && settled, || {
                format!("{key} {field:?} shows {shows:?} after {wanted:?} was written")
            })?;
        }
        Ok(())
    }
}
