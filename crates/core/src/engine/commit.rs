//! Local writes: from what the user wants to a change set, within one transaction.

use std::collections::BTreeMap;

use super::{Engine, Now, WriteError};
use crate::change::{Change, ChangeSet, Draft, Op, Write};
use crate::clock::{ClockExhausted, Hlc};
use crate::codec::CodecError;
use crate::id::{DeviceId, Dot, Origin, RecordKey};
use crate::limits::MAX_BODY_BYTES;
use crate::merge::{self, Lost};
use crate::record::{Record, Version};
use crate::schema::{FieldId, MergeRule, ModelDescriptor, ModelId, ModelKind, Schema};
use crate::store::Store;
use crate::value::Value;
use crate::version::{OwnedHead, Vector};

type Result<T, S> = std::result::Result<T, WriteError<<S as Store>::Error>>;

/// What a transaction has done to one shared record.
struct Touched {
    /// As it was before.
    base: Record,
    /// Whether the transaction gave it a new life.
    created: bool,
    /// Whether it ended the lives of `base`.
    ended: bool,
    /// Values that it wrote.
    writes: BTreeMap<FieldId, Value>,
}

/// A local transaction under way: one change set in the making for each lane. Dropping it does
/// nothing to the engine; the store's transaction must then be rolled back.
pub struct LocalTx {
    hlc: Hlc,
    dot: Dot,
    vector: Vector,
    touched: BTreeMap<(ModelId, RecordKey), Touched>,
    owned: OwnedHead,
    owned_rows: u64,
    models: BTreeMap<ModelId, u64>,
    group: Option<Dot>,
}

/// What a transaction became.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Committed {
    /// The change set in the shared lane, if anything shared was written.
    pub shared: Option<Dot>,
    /// The change set in the owned lane, if anything owned was written.
    pub owned: Option<Dot>,
}

fn model<E>(schema: &Schema, id: ModelId) -> std::result::Result<&ModelDescriptor, WriteError<E>> {
    schema.model(id).ok_or(WriteError::UnknownModel(id))
}

impl Engine {
    /// Begins a local transaction at a new time of the clock.
    pub fn begin_local<S: Store>(
        &mut self,
        store: &S,
        now: Now,
    ) -> std::result::Result<LocalTx, ClockExhausted> {
        let hlc = self.clock.tick(now.wall_ms)?;
        let origin = Origin::shared(self.identity.device, self.next_shared_epoch());
        let mut vector = store.vector().clone();
        let seq = vector.seq(&origin) + 1;
        vector.set(origin, crate::version::Head { seq, hash: [0; 32] });
        let device = self.identity.device;
        let own = store.lane(&device).and_then(|lane| lane.exact);
        let life = self.identity.owned_life;
        let owned = OwnedHead { life, seq: own.map_or(0, |head| head.seq) + 1 };
        Ok(LocalTx {
            hlc,
            dot: Dot::new(origin, seq),
            vector,
            touched: BTreeMap::new(),
            owned,
            owned_rows: 0,
            models: Default::default(),
            group: None,
        })
    }

    /// The schema that writes are checked against.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Seals what a transaction wrote and moves the vectors.
    pub fn finish_local<S: Store>(&mut self, store: &mut S, tx: LocalTx) -> Result<Committed, S> {
        let mut committed = Committed::default();
        for ((model, key), touched) in &tx.touched {
            let mirrored = self.mirror_before(store, *model, key, &touched.base);
            mirrored.map_err(WriteError::Store)?;
        }
        let changes = tx.seal(&self.schema, store)?;
        store.set_clock(self.clock.last()).map_err(WriteError::Store)?;
        if !changes.is_empty() {
            let origin = tx.dot.origin;
            if origin.epoch != self.identity.shared_epoch {
                self.renew_shared(store, origin.epoch).map_err(WriteError::Store)?;
            }
            let mut needs = store.vector().grown_since(&self.needs_base);
            needs = needs.iter().filter(|(o, _)| **o != origin).map(|(o, h)| (*o, *h)).collect();
            let draft = Draft {
                dot: tx.dot,
                prev: store.vector().head(&origin).map_or([0; 32], |head| head.hash),
                hlc: tx.hlc,
                needs: needs.iter().map(|(origin, head)| (*origin, head.seq)).collect(),
            };
            // After a new epoch was minted nothing goes on.
            let group = tx.group.filter(|first| first.origin == origin).map(|first| first.seq);
            let set = ChangeSet::in_group(draft, group, &changes).map_err(WriteError::TooLarge)?;
            store.append(&set).map_err(WriteError::Store)?;
            self.needs_base = store.vector().clone();
            committed.shared = Some(tx.dot);
        }
        if tx.owned_rows > 0 {
            store.set_own_head(tx.owned).map_err(WriteError::Store)?;
            let origin = Origin::owned(self.identity.device, tx.owned.life.epoch);
            committed.owned = Some(Dot::new(origin, tx.owned.seq));
        }
        for (model, changes) in tx.models {
            self.count(true, model, changes);
        }
        Ok(committed)
    }
}

impl LocalTx {
    /// The time of the transaction.
    pub fn hlc(&self) -> Hlc {
        self.hlc
    }

    /// The change set that the transaction writes into the shared lane, if it writes there.
    pub fn dot(&self) -> Dot {
        self.dot
    }

    /// Says that the transaction goes on with what that of `first` began: one command wrote both.
    pub fn go_on_with(&mut self, first: Dot) {
        self.group = Some(first);
    }

    /// Creates a shared record with these fields (those that are missing are null). Refused if it is
    /// alive.
    pub fn create<S: Store>(
        &mut self,
        schema: &Schema,
        store: &mut S,
        id: ModelId,
        key: &RecordKey,
        fields: Vec<(FieldId, Value)>,
    ) -> Result<(), S> {
        let descriptor = of_kind(schema, id, ModelKind::Shared)?;
        if seen(store, id, key)?.is_alive() {
            return Err(WriteError::Exists { model: descriptor.name.clone(), key: key.clone() });
        }
        let fields = canonical(descriptor, fields)?;
        let touched = self.touch(store, id, key)?;
        touched.created = true;
        touched.writes = fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
        self.put(store, descriptor, key)
    }

    /// Adds a link; one that exists is added again, so that it survives a concurrent removal.
    pub fn link<S: Store>(
        &mut self,
        schema: &Schema,
        store: &mut S,
        id: ModelId,
        key: &RecordKey,
        fields: Vec<(FieldId, Value)>,
    ) -> Result<(), S> {
        let descriptor = of_kind(schema, id, ModelKind::Link)?;
        let fields = canonical(descriptor, fields)?;
        let touched = self.touch(store, id, key)?;
        touched.created = true;
        touched.writes = fields.into_iter().collect();
        self.put(store, descriptor, key)
    }

    /// Sets fields of a living shared record. A value that shows already and has no sibling is left
    /// as it is. Counters are set to a total by changing this device's part.
    pub fn set<S: Store>(
        &mut self,
        schema: &Schema,
        store: &mut S,
        id: ModelId,
        key: &RecordKey,
        fields: Vec<(FieldId, Value)>,
    ) -> Result<(), S> {
        self.write(schema, store, (id, key), fields, Sense::Merge)
    }

    /// Sets fields of a living shared record so that these values show, also where the rule of a field
    /// would leave what is there: a maximum that is lower, a minimum that is higher.
    pub fn put_back<S: Store>(
        &mut self,
        schema: &Schema,
        store: &mut S,
        id: ModelId,
        key: &RecordKey,
        fields: Vec<(FieldId, Value)>,
    ) -> Result<(), S> {
        self.write(schema, store, (id, key), fields, Sense::PutBack)
    }

    fn write<S: Store>(
        &mut self,
        schema: &Schema,
        store: &mut S,
        (id, key): (ModelId, &RecordKey),
        fields: Vec<(FieldId, Value)>,
        sense: Sense,
    ) -> Result<(), S> {
        let descriptor = of_kind(schema, id, ModelKind::Shared)?;
        let record = seen(store, id, key)?;
        if !record.is_alive() {
            return Err(WriteError::NotFound { model: descriptor.name.clone(), key: key.clone() });
        }
        let device = self.dot.origin.device;
        let mut news = Vec::new();
        for (field, value) in canonical(descriptor, fields)? {
            let rule = match (sense, rule_of(descriptor, field)) {
                (Sense::PutBack, MergeRule::Max | MergeRule::Min) => MergeRule::Lww,
                (_, rule) => rule,
            };
            if let Some(value) = value_to_write(&record, field, rule, value, device) {
                news.push((field, value));
            }
        }
        if news.is_empty() {
            return Ok(());
        }
        self.touch(store, id, key)?.writes.extend(news);
        self.put(store, descriptor, key)
    }

    /// Adds to a counter of a living shared record; additions of several devices add up, whether they
    /// knew of each other or not. Returns what shows then.
    pub fn add<S: Store>(
        &mut self,
        schema: &Schema,
        store: &mut S,
        id: ModelId,
        key: &RecordKey,
        (field, delta): (FieldId, i64),
    ) -> Result<i64, S> {
        let descriptor = of_kind(schema, id, ModelKind::Shared)?;
        let model = || descriptor.name.clone();
        let Some(counter) = descriptor.field(field) else {
            return Err(WriteError::UnknownField { model: model(), field });
        };
        if counter.rule != MergeRule::Counter {
            return Err(WriteError::NotACounter { model: model(), field: counter.name.clone() });
        }
        let record = seen(store, id, key)?;
        let shown = record.shown(field, MergeRule::Counter);
        let total = if let Value::Int(total) = shown { total } else { 0 };
        let overflow =
            || WriteError::Overflow { model: model(), field: counter.name.clone(), total, delta };
        let sum = total.checked_add(delta).ok_or_else(overflow)?;
        self.set(schema, store, id, key, vec![(field, Value::Int(sum))])?;
        Ok(sum)
    }

    /// Deletes a living shared record, or removes a link. Returns whether there was one.
    pub fn delete<S: Store>(
        &mut self,
        schema: &Schema,
        store: &mut S,
        id: ModelId,
        key: &RecordKey,
    ) -> Result<bool, S> {
        let descriptor = model(schema, id)?;
        if !descriptor.kind.is_shared() {
            return Err(wrong_kind(descriptor));
        }
        if !seen(store, id, key)?.is_alive() {
            return Ok(false);
        }
        let touched = self.touch(store, id, key)?;
        touched.created = false;
        touched.ended = true;
        touched.writes.clear();
        self.put(store, descriptor, key)?;
        Ok(true)
    }

    /// Writes a row of this device's owned lane: all its fields.
    pub fn put_owned<S: Store>(
        &mut self,
        schema: &Schema,
        store: &mut S,
        id: ModelId,
        key: &RecordKey,
        fields: Vec<(FieldId, Value)>,
    ) -> Result<(), S> {
        let descriptor = of_kind(schema, id, ModelKind::Owned)?;
        let mut fields = canonical(descriptor, fields)?;
        fields.retain(|(_, value)| !value.is_null());
        check_row(&fields).map_err(WriteError::TooLarge)?;
        self.note_owned(id);
        store.put_owned(id, key, self.owned.seq, Some(&fields)).map_err(WriteError::Store)
    }

    /// Deletes a row of this device's owned lane.
    pub fn delete_owned<S: Store>(
        &mut self,
        schema: &Schema,
        store: &mut S,
        id: ModelId,
        key: &RecordKey,
    ) -> Result<(), S> {
        of_kind(schema, id, ModelKind::Owned)?;
        self.note_owned(id);
        store.put_owned(id, key, self.owned.seq, None).map_err(WriteError::Store)
    }

    fn note_owned(&mut self, id: ModelId) {
        self.owned_rows += 1;
        *self.models.entry(id).or_default() += 1;
    }

    fn touch<S: Store>(
        &mut self,
        store: &mut S,
        id: ModelId,
        key: &RecordKey,
    ) -> Result<&mut Touched, S> {
        let place = (id, key.clone());
        *self.models.entry(id).or_default() += 1;
        if !self.touched.contains_key(&place) {
            let base = seen(store, id, key)?;
            let fresh = Touched { base, created: false, ended: false, writes: BTreeMap::new() };
            self.touched.insert(place.clone(), fresh);
        }
        Ok(self.touched.get_mut(&place).expect("it was just put there"))
    }

    /// Puts the record into the store as it is after the transaction so far.
    fn put<S: Store>(
        &self,
        store: &mut S,
        descriptor: &ModelDescriptor,
        key: &RecordKey,
    ) -> Result<(), S> {
        let touched = &self.touched[&(descriptor.id, key.clone())];
        let (record, _) = self.outcome(touched, touched.op(self.dot.origin.device, descriptor));
        store.put_record(descriptor.id, key, &record).map_err(WriteError::Store)
    }

    /// The record after the transaction, and what it lost.
    fn outcome(&self, touched: &Touched, op: Option<Op>) -> (Record, Vec<Lost>) {
        let mut record = touched.base.clone();
        let covered = |dot: &Dot| self.vector.covers(dot);
        let apply = |op: &Op| merge::apply(&mut record, op, self.dot, self.hlc, covered);
        let lost = op.as_ref().map_or_else(Vec::new, apply);
        (record, lost)
    }

    /// The change set's changes. What a delete takes with it goes to the history, from which it can
    /// be restored.
    fn seal<S: Store>(&self, schema: &Schema, store: &mut S) -> Result<Vec<Change>, S> {
        let mut changes = Vec::new();
        for ((id, key), touched) in &self.touched {
            let Some(op) = touched.op(self.dot.origin.device, model(schema, *id)?) else {
                continue;
            };
            let (_, lost) = self.outcome(touched, Some(op.clone()));
            if !lost.is_empty() {
                store.keep_lost(*id, key, &lost, self.dot).map_err(WriteError::Store)?;
            }
            let old = merge::overwritten(&touched.base, &op, store.keeps_older_than(self.hlc));
            if !old.is_empty() {
                store.keep_overwritten(*id, key, &old, self.dot).map_err(WriteError::Store)?;
            }
            changes.push(Change { model: *id, key: key.clone(), op });
        }
        Ok(changes)
    }
}

/// Whether a write means what its field's rule makes of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sense {
    Merge,
    PutBack,
}

/// The record that a write sees. One that is missing cannot be seen, so it cannot be written either.
fn seen<S: Store>(store: &mut S, id: ModelId, key: &RecordKey) -> Result<Record, S> {
    if store.missing().has_record(id, key) {
        return Err(WriteError::Missing { key: key.clone() });
    }
    store.record(id, key).map_err(WriteError::Store)
}

/// What is written so that `value` shows; `None` if it shows already.
fn value_to_write(
    record: &Record,
    field: FieldId,
    rule: MergeRule,
    value: Value,
    device: DeviceId,
) -> Option<Value> {
    let shown = record.shown(field, rule);
    let settled = record.versions(field).len() <= 1;
    match (rule, &shown, &value) {
        (MergeRule::Counter, Value::Int(total), Value::Int(wanted)) if total != wanted => {
            let mine = record.versions(field).iter().filter(|v| v.dot.origin.device == device);
            let mine = mine.fold(0i64, |sum, v| match v.value {
                Value::Int(n) => sum.wrapping_add(n),
                _ => sum,
            });
            Some(Value::Int(mine.wrapping_add(wanted.wrapping_sub(*total))))
        }
        (MergeRule::Max, Value::Int(old), Value::Int(new)) if new <= old => None,
        (MergeRule::Min, Value::Int(old), Value::Int(new)) if new >= old => None,
        (MergeRule::Counter, ..) => None,
        _ if shown == value && settled => None,
        _ => Some(value),
    }
}

fn rule_of(descriptor: &ModelDescriptor, field: FieldId) -> MergeRule {
    descriptor.field(field).map_or(MergeRule::Lww, |field| field.rule)
}

impl Touched {
    /// All that the transaction did to the record, as one operation; `None` if that is nothing.
    fn op(&self, device: DeviceId, descriptor: &ModelDescriptor) -> Option<Op> {
        let lives: Vec<Dot> = self.base.lives.keys().copied().collect();
        let fields = self.writes.iter().map(|(field, value)| {
            let over = self.overwritten(*field, rule_of(descriptor, *field), device);
            Write { field: *field, over, value: value.clone() }
        });
        match (self.created, self.ended) {
            (true, _) => Some(Op::Create { over: lives, fields: fields.collect() }),
            (false, true) => (!lives.is_empty()).then_some(Op::Delete { lives }),
            (false, false) if self.writes.is_empty() => None,
            (false, false) => Some(Op::Set { lives, fields: fields.collect() }),
        }
    }

    /// The versions that a write takes the place of: all that its writer sees, but of a counter only
    /// its own device's.
    fn overwritten(&self, field: FieldId, rule: MergeRule, device: DeviceId) -> Vec<Dot> {
        let mine =
            |version: &&Version| rule != MergeRule::Counter || version.dot.origin.device == device;
        self.base.versions(field).iter().filter(mine).map(|version| version.dot).collect()
    }
}

/// A row must fit one page, whatever else is in it.
fn check_row(fields: &[(FieldId, Value)]) -> std::result::Result<(), CodecError> {
    let bytes = fields.iter().map(|(_, value)| match value {
        Value::Text(text) => text.len(),
        Value::Blob(bytes) => bytes.len(),
        Value::Null | Value::Int(_) | Value::Real(_) => 0,
    });
    let (found, limit) = (bytes.sum::<usize>(), MAX_BODY_BYTES);
    if found <= limit {
        return Ok(());
    }
    let (found, limit) = (found as u64, limit as u64);
    Err(CodecError::TooLarge { what: "bytes in one row", found, limit })
}

fn wrong_kind<E>(descriptor: &ModelDescriptor) -> WriteError<E> {
    WriteError::Kind { model: descriptor.name.clone(), kind: descriptor.kind }
}

fn of_kind<E>(
    schema: &Schema,
    id: ModelId,
    kind: ModelKind,
) -> std::result::Result<&ModelDescriptor, WriteError<E>> {
    let descriptor = model(schema, id)?;
    if descriptor.kind == kind { Ok(descriptor) } else { Err(wrong_kind(descriptor)) }
}

/// The fields with canonical values; those that the model does not have are refused.
fn canonical<E>(
    descriptor: &ModelDescriptor,
    fields: Vec<(FieldId, Value)>,
) -> std::result::Result<Vec<(FieldId, Value)>, WriteError<E>> {
    let check = |(id, value): (FieldId, Value)| {
        let model = || descriptor.name.clone();
        let Some(field) = descriptor.field(id) else {
            return Err(WriteError::UnknownField { model: model(), field: id });
        };
        let value = value.canonical().map_err(|source| {
            let field = field.name.clone();
            WriteError::Value { model: model(), field, source }
        })?;
        Ok((id, value))
    };
    fields.into_iter().map(check).collect()
}
