//! Three replicas that write and deliver as the engine's rules say: a writer overwrites what it sees,
//! and a change set arrives after everything that its writer had seen.

use std::collections::BTreeMap;

use driftless_core::change::{Op, Write};
use driftless_core::clock::Hlc;
use driftless_core::codec::{Reader, Writer};
use driftless_core::id::{DeviceId, Dot, Epoch, Origin, Seq};
use driftless_core::merge::{Absence, Lost, apply, join};
use driftless_core::record::Record;
use driftless_core::schema::{
    FieldDescriptor, FieldId, FieldType, MergeRule, ModelDescriptor, ModelId, ModelKind,
};
use driftless_core::value::Value;

pub(crate) const REPLICAS: usize = 3;
/// Record 0 is written in every way; record 1 is a link, only added and removed.
pub(crate) const RECORDS: usize = 2;
pub(crate) const LINK: usize = 1;

pub(crate) const NAME: FieldId = FieldId(11);
pub(crate) const COUNT: FieldId = FieldId(12);
pub(crate) const TOP: FieldId = FieldId(13);
pub(crate) const LOW: FieldId = FieldId(14);
pub(crate) const FIELDS: [(FieldId, MergeRule); 4] = [
    (NAME, MergeRule::Lww),
    (COUNT, MergeRule::Counter),
    (TOP, MergeRule::Max),
    (LOW, MergeRule::Min),
];

/// A set of change sets, by their positions in the history.
pub(crate) type Sets = u64;

/// What a user does to a record.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// A new life with these values, in the place of the lives that are seen: a creation, a
    /// restore, a link add.
    Create([i64; FIELDS.len()]),
    /// New values of some fields; an amount to add for a counter.
    Set(Vec<(FieldId, i64)>),
    /// The end of the lives that are seen.
    Delete,
}

/// A change set of a history.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) dot: Dot,
    pub(crate) hlc: Hlc,
    /// Everything that its writer had seen.
    pub(crate) past: Sets,
    pub(crate) changes: Vec<(usize, Op)>,
}

/// All change sets, in an order in which they could have been written.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) sets: Vec<Set>,
}

impl History {
    /// Which change sets can come next where those of `seen` are.
    pub(crate) fn next(&self, seen: Sets) -> impl Iterator<Item = usize> + '_ {
        let ready = move |at: &usize| seen & bit(*at) == 0 && self.sets[*at].past & !seen == 0;
        (0..self.sets.len()).filter(ready)
    }

    /// A causal order of delivery, chosen by `picks`.
    pub(crate) fn order(&self, picks: &[usize]) -> Vec<usize> {
        let (mut seen, mut order) = (0, Vec::with_capacity(self.sets.len()));
        let mut picks = picks.iter().copied().cycle();
        while order.len() < self.sets.len() {
            let ready: Vec<usize> = self.next(seen).collect();
            let at = ready[picks.next().unwrap_or(0) % ready.len()];
            seen |= bit(at);
            order.push(at);
        }
        order
    }

    /// Every causal order of delivery, as the state that it ends in.
    pub(crate) fn for_each_outcome(&self, mut visit: impl FnMut(&State)) {
        self.descend(State::default(), &mut visit);
    }

    fn descend(&self, mut state: State, visit: &mut impl FnMut(&State)) {
        let ready: Vec<usize> = self.next(state.seen).collect();
        let Some((last, others)) = ready.split_last() else {
            return visit(&state);
        };
        for at in others {
            let mut further = state.clone();
            further.deliver(self, *at);
            self.descend(further, visit);
        }
        state.deliver(self, *last);
        self.descend(state, visit);
    }

    /// The state after delivery in this order.
    pub(crate) fn replay(&self, order: &[usize]) -> State {
        let mut state = State::default();
        for at in order {
            state.deliver(self, *at);
        }
        state
    }
}

pub(crate) fn bit(at: usize) -> Sets {
    1 << at
}

/// What a replica holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) seen: Sets,
    pub(crate) vector: BTreeMap<Origin, Seq>,
    pub(crate) records: [Record; RECORDS],
    pub(crate) lost: Vec<(usize, Lost)>,
}

impl State {
    /// Applies a change set whose past is here.
    pub(crate) fn deliver(&mut self, history: &History, at: usize) {
        let set = &history.sets[at];
        assert_eq!(set.past & !self.seen, 0, "delivered before what it builds on");
        for (record, op) in &set.changes {
            self.apply(*record, op, set);
        }
        self.cover(set.dot, at);
    }

    /// Applies one change of `set`, without moving the vector.
    pub(crate) fn apply(&mut self, record: usize, op: &Op, set: &Set) {
        let vector = &self.vector;
        let covered = |dot: &Dot| vector.get(&dot.origin).is_some_and(|seq| *seq >= dot.seq);
        let lost = apply(&mut self.records[record], op, set.dot, set.hlc, covered);
        self.lost.extend(lost.into_iter().map(|lost| (record, lost)));
    }

    /// Takes in the whole of another state at once, as a reconcile does.
    pub(crate) fn reconcile(&mut self, other: &State) {
        let covers = |vector: &BTreeMap<Origin, Seq>, dot: &Dot| {
            vector.get(&dot.origin).is_some_and(|seq| *seq >= dot.seq)
        };
        for (at, theirs) in other.records.iter().enumerate() {
            let sides: [&dyn Fn(&Dot) -> bool; 2] =
                [&|dot| covers(&self.vector, dot), &|dot| covers(&other.vector, dot)];
            let lost = join(&mut self.records[at], theirs, sides, Absence::Dead);
            self.lost.extend(lost.into_iter().map(|lost| (at, lost)));
        }
        for (origin, seq) in &other.vector {
            let mine = self.vector.entry(*origin).or_default();
            *mine = (*mine).max(*seq);
        }
        self.seen |= other.seen;
    }

    /// Moves the vector over a change set.
    pub(crate) fn cover(&mut self, dot: Dot, at: usize) {
        self.vector.insert(dot.origin, dot.seq);
        self.seen |= bit(at);
    }

    /// The canonical bytes of all records.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        for record in &self.records {
            record.encode(&mut w);
        }
        w.into_bytes()
    }

    /// That the canonical bytes say everything.
    pub(crate) fn assert_comes_back(&self) {
        let bytes = self.bytes();
        let mut r = Reader::new(&bytes);
        for record in &self.records {
            assert_eq!(Record::decode(&mut r).as_ref(), Ok(record));
        }
        assert!(r.is_empty());
    }

    /// What shows of a field of record 0.
    pub(crate) fn shown(&self, field: FieldId) -> Value {
        self.records[0].shown(field, rule(field))
    }

    /// Whether a version of this dot was reported as lost.
    pub(crate) fn has_lost(&self, record: usize, field: FieldId, dot: Dot) -> bool {
        let same = |(of, lost): &(usize, Lost)| {
            *of == record && lost.field == field && lost.version.dot == dot
        };
        self.lost.iter().any(same)
    }
}

/// How concurrent values of a field merge.
pub(crate) fn rule(field: FieldId) -> MergeRule {
    let known = FIELDS.iter().find(|(id, _)| *id == field);
    known.map_or(MergeRule::Lww, |(_, rule)| *rule)
}

/// The model of record 0.
pub(crate) fn model() -> ModelDescriptor {
    let field = |(at, (id, rule)): (usize, &(FieldId, MergeRule))| FieldDescriptor {
        id: *id,
        name: format!("field{at}"),
        ty: FieldType::Int,
        rule: *rule,
        nullable: false,
    };
    let fields = FIELDS.iter().enumerate().map(field).collect();
    let (id, kind) = (ModelId(1), ModelKind::Shared);
    ModelDescriptor { id, name: "record".into(), kind, fields, indexes: vec![] }
}

/// One replica: a state, and the stream that it writes.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    pub(crate) state: State,
    origin: Origin,
}

/// The replicas and what they wrote.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) history: History,
    pub(crate) replicas: Vec<Replica>,
}

impl World {
    pub(crate) fn new() -> Self {
        let origin = |n: usize| {
            let device = u8::try_from(n).expect("few replicas");
            Origin::shared(DeviceId([device; 32]), Epoch(7))
        };
        let replica = |n| Replica { state: State::default(), origin: origin(n) };
        Self { history: History::default(), replicas: (0..REPLICAS).map(replica).collect() }
    }

    /// The next writes of a replica are a stream of its own, as after a restore.
    pub(crate) fn new_epoch(&mut self, at: usize) {
        self.replicas[at].origin.epoch.0 += 1;
    }

    /// A transaction at a replica; `None` if nothing of it can be done there now.
    pub(crate) fn write(&mut self, at: usize, hlc: u64, deeds: &[(usize, Deed)]) -> Option<usize> {
        let Replica { state, origin } = &mut self.replicas[at];
        let device = origin.device;
        let op = |(record, deed): &(usize, Deed)| {
            Some((*record, change(&state.records[*record], device, deed)?))
        };
        let changes: Vec<(usize, Op)> = deeds.iter().filter_map(op).collect();
        if changes.is_empty() {
            return None;
        }
        let seq = state.vector.get(origin).map_or(1, |seq| seq + 1);
        let (dot, past) = (Dot::new(*origin, seq), state.seen);
        let position = self.history.sets.len();
        self.history.sets.push(Set { dot, hlc: Hlc(hlc), past, changes });
        state.deliver(&self.history, position);
        Some(position)
    }

    /// One deed to record 0 that must be possible.
    pub(crate) fn act(&mut self, at: usize, hlc: u64, deed: Deed) -> usize {
        self.write(at, hlc, &[(0, deed)]).expect("possible in this state")
    }

    /// Everything that `from` has reaches `to`.
    pub(crate) fn pull(&mut self, to: usize, from: usize) {
        let have = self.replicas[from].state.seen;
        self.deliver_within(to, have);
    }

    /// `to` reconciles with `from`.
    pub(crate) fn reconcile(&mut self, to: usize, from: usize) {
        let other = self.replicas[from].state.clone();
        self.replicas[to].state.reconcile(&other);
    }

    /// Everything reaches everyone.
    pub(crate) fn settle(&mut self) {
        for to in 0..REPLICAS {
            self.deliver_within(to, Sets::MAX);
        }
    }

    fn deliver_within(&mut self, to: usize, sets: Sets) {
        let state = &mut self.replicas[to].state;
        while let Some(at) = self.history.next(state.seen).find(|at| sets & bit(*at) != 0) {
            state.deliver(&self.history, at);
        }
    }

    /// One change set, of those that can come next, reaches `to`.
    pub(crate) fn deliver_one(&mut self, to: usize, pick: usize) {
        let state = &mut self.replicas[to].state;
        let ready: Vec<usize> = self.history.next(state.seen).collect();
        if !ready.is_empty() {
            state.deliver(&self.history, ready[pick % ready.len()]);
        }
    }

    pub(crate) fn state(&self, at: usize) -> &State {
        &self.replicas[at].state
    }

    pub(crate) fn dot(&self, position: usize) -> Dot {
        self.history.sets[position].dot
    }
}

/// What a writer on `device` that sees `record` says: its deed, and what it overwrites.
pub(crate) fn change(record: &Record, device: DeviceId, deed: &Deed) -> Option<Op> {
    let lives: Vec<Dot> = record.lives.keys().copied().collect();
    match deed {
        Deed::Create(values) => {
            let write = |((field, _), value): (&(FieldId, MergeRule), &i64)| Write {
                field: *field,
                over: record.versions(*field).iter().map(|version| version.dot).collect(),
                value: Value::Int(*value),
            };
            let fields = FIELDS.iter().zip(values).map(write).collect();
            Some(Op::Create { over: lives, fields })
        }
        Deed::Set(values) if record.is_alive() => {
            let write = |(field, value): &(FieldId, i64)| overwrite(record, device, *field, *value);
            Some(Op::Set { lives, fields: values.iter().map(write).collect() })
        }
        Deed::Delete if record.is_alive() => Some(Op::Delete { lives }),
        Deed::Set(_) | Deed::Delete => None,
    }
}

/// A write overwrites what it sees; that of a counter only the device's own subtotal. What a maximum
/// or minimum overwrites is within its value.
fn overwrite(record: &Record, device: DeviceId, field: FieldId, value: i64) -> Write {
    let mut over = Vec::new();
    let mut result = if rule(field) == MergeRule::Counter { 0 } else { value };
    for version in record.versions(field) {
        let Value::Int(seen) = version.value else { panic!("only whole numbers are written") };
        match rule(field) {
            MergeRule::Lww => {}
            MergeRule::Counter if version.dot.origin.device != device => continue,
            MergeRule::Counter => result += seen,
            MergeRule::Max => result = result.max(seen),
            MergeRule::Min => result = result.min(seen),
        }
        over.push(version.dot);
    }
    if rule(field) == MergeRule::Counter {
        result += value;
    }
    Write { field, over, value: Value::Int(result) }
}
