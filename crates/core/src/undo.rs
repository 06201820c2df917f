//! Taking change sets back: from a record as it is, and what is known of its past, to what has to be
//! written. Undoing is an ordinary write; nothing here changes what merging means.
//!
//! [`take_back`] turns a record into what it would be without one of its changes, the last change
//! first if there are several. [`difference`] is then what a transaction has to write.

use std::collections::BTreeSet;

use crate::change::{Op, Write};
use crate::clock::Hlc;
use crate::id::Dot;
use crate::merge::Lost;
use crate::record::{Record, Version};
use crate::schema::{FieldId, MergeRule, ModelDescriptor, ModelKind};
use crate::value::Value;

/// A change of one record, and who made it when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Done {
    /// The change set.
    pub dot: Dot,
    /// Its time.
    pub hlc: Hlc,
    /// What it did to the record.
    pub op: Op,
}

/// A version that is no part of the record any more and is known by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The version.
    pub lost: Lost,
    /// Whether a delete took it; else another version overwrote it.
    pub deleted: bool,
}

/// What is known of a record's past.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecordPast {
    /// Its changes, in the order in which they were applied.
    pub changes: Vec<Done>,
    /// Versions that are known by themselves.
    pub ended: Vec<Ended>,
}

/// Why a change, or a part of it, cannot simply be taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Obstacle {
    /// The field was written since.
    Overwritten {
        /// The field.
        field: FieldId,
        /// What stands there now.
        by: Vec<Dot>,
    },
    /// The field is in conflict: other values stand beside the one that would be taken back.
    Conflict {
        /// The field.
        field: FieldId,
        /// The other values.
        with: Vec<Dot>,
    },
    /// What the field held before is not in this history any more.
    Unknown {
        /// The field.
        field: FieldId,
    },
    /// What the record held before it was deleted is not in this history any more.
    NothingKnown,
    /// The record was deleted since.
    Deleted {
        /// By these, as far as is known.
        by: Vec<Dot>,
    },
    /// Others have deleted the record as well.
    DeletedToo {
        /// They.
        by: Vec<Dot>,
    },
    /// The record, which was created, was written or added again since.
    Changed {
        /// By these.
        by: Vec<Dot>,
    },
}

impl Obstacle {
    /// Whether it can be overcome by force.
    pub fn yields(&self) -> bool {
        !matches!(self, Self::Unknown { .. } | Self::NothingKnown | Self::Deleted { .. })
    }
}

/// What has to be written to a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// It comes into being, or is added, with these fields; the others are null.
    Create(Vec<(FieldId, Value)>),
    /// These fields are written.
    Set(Vec<(FieldId, Value)>),
    /// It is deleted, or removed.
    Delete,
}

impl RecordPast {
    /// The version of a field with this dot.
    pub fn version(&self, record: &Record, field: FieldId, dot: &Dot) -> Option<Version> {
        let here = record.versions(field).iter().find(|version| version.dot == *dot);
        let kept = || {
            let of = |ended: &&Ended| ended.lost.field == field && ended.lost.version.dot == *dot;
            self.ended.iter().find(of).map(|ended| ended.lost.version.clone())
        };
        here.cloned().or_else(kept).or_else(|| {
            let done = self.changes.iter().find(|done| done.dot == *dot)?;
            let write = done.writes().iter().find(|write| write.field == field)?;
            let (dot, hlc, lives) = (done.dot, done.hlc, done.lives());
            Some(Version { dot, hlc, lives, value: write.value.clone() })
        })
    }

    /// The time of a life, as far as it is known.
    fn born(&self, record: &Record, life: &Dot) -> Hlc {
        let known = record.lives.get(life).copied();
        let created = || self.changes.iter().find(|done| done.dot == *life).map(|done| done.hlc);
        known.or_else(created).unwrap_or_default()
    }

    /// The changes that ended any of these lives.
    fn deletes_of<'a>(&'a self, lives: &'a [Dot]) -> impl Iterator<Item = &'a Done> {
        self.changes.iter().filter(|done| match &done.op {
            Op::Delete { lives: ended } | Op::Create { over: ended, .. } => {
                ended.iter().any(|life| lives.contains(life))
            }
            Op::Set { .. } => false,
        })
    }
}

impl Done {
    /// The fields that it wrote.
    pub fn writes(&self) -> &[Write] {
        match &self.op {
            Op::Create { fields, .. } | Op::Set { fields, .. } => fields,
            Op::Delete { .. } => &[],
        }
    }

    /// The lives that its versions count for.
    fn lives(&self) -> Vec<Dot> {
        match &self.op {
            Op::Create { .. } => vec![self.dot],
            Op::Set { lives, .. } | Op::Delete { lives } => lives.clone(),
        }
    }
}

/// Taking changes of one record back.
pub struct TakeBack<'a> {
    /// What is known of the record.
    pub past: &'a RecordPast,
    /// The rules of its fields.
    pub model: &'a ModelDescriptor,
    /// All change sets that are taken back together.
    pub undone: &'a BTreeSet<Dot>,
    /// Whether obstacles that yield are no reason to leave it.
    pub force: bool,
}

impl TakeBack<'_> {
    /// Makes `record` what it would be without a change; what stands in the way is told, and left as
    /// it is unless it is forced and yields.
    pub fn take_back(&self, record: &mut Record, done: &Done) -> Vec<Obstacle> {
        match &done.op {
            Op::Set { fields, .. } if record.is_alive() => {
                fields.iter().filter_map(|write| self.unwrite(record, done, write)).collect()
            }
            Op::Set { lives, .. } => {
                let by = self.past.deletes_of(lives).map(|done| done.dot).collect();
                vec![Obstacle::Deleted { by }]
            }
            Op::Create { over, fields } => self.uncreate(record, done, over, fields),
            Op::Delete { lives } => self.undelete(record, done, lives),
        }
    }

    fn rule(&self, field: FieldId) -> MergeRule {
        self.model.field(field).map_or(MergeRule::Lww, |field| field.rule)
    }

    /// Puts the versions that a write overwrote back in its place; tells what stands in the way.
    fn unwrite(&self, record: &mut Record, done: &Done, write: &Write) -> Option<Obstacle> {
        let field = write.field;
        let versions = record.versions(field).to_vec();
        let stands = versions.iter().any(|version| version.dot == done.dot);
        let others: Vec<Dot> =
            versions.iter().map(|version| version.dot).filter(|dot| *dot != done.dot).collect();
        let known = |dot| self.past.version(record, field, dot);
        let before: Option<Vec<Version>> = write.over.iter().map(known).collect();
        let Some(before) = before else { return Some(Obstacle::Unknown { field }) };
        let rule = self.rule(field);
        if rule == MergeRule::Counter && !stands {
            return self.uncount(record, write, (&versions, &before), done);
        }
        let obstacle = match (rule, stands, others.is_empty()) {
            (_, false, _) => Some(Obstacle::Overwritten { field, by: others }),
            (MergeRule::Lww, true, false) => Some(Obstacle::Conflict { field, with: others }),
            _ => None,
        };
        if obstacle.is_some() && !self.force {
            return obstacle;
        }
        let beside = |version: &Version| rule != MergeRule::Lww && version.dot != done.dot;
        let mut versions: Vec<Version> = versions.into_iter().filter(beside).collect();
        for version in before {
            // A delete took it meanwhile, or another write that knew it ended it as well.
            let taken = !version.lives.iter().any(|life| record.lives.contains_key(life));
            if taken || (obstacle.is_none() && self.is_ended_by_others(field, &version.dot)) {
                continue;
            }
            if let Err(at) = versions.binary_search_by_key(&version.dot, |v| v.dot) {
                versions.insert(at, version);
            }
        }
        record.fields.insert(field, versions);
        record.fields.retain(|_, versions| !versions.is_empty());
        obstacle
    }

    /// Whether a change that is not taken back overwrote a version of a field.
    fn is_ended_by_others(&self, field: FieldId, dot: &Dot) -> bool {
        let staying = self.past.changes.iter().filter(|done| !self.undone.contains(&done.dot));
        let mut writes = staying.flat_map(Done::writes);
        writes.any(|write| write.field == field && write.over.contains(dot))
    }

    /// Takes an addition to a counter out of what the same device has counted since.
    fn uncount(
        &self,
        record: &mut Record,
        write: &Write,
        (versions, before): (&[Version], &[Version]),
        done: &Done,
    ) -> Option<Obstacle> {
        let number = |value: &Value| if let Value::Int(n) = value { *n } else { 0 };
        let had = before.iter().fold(0i64, |sum, v| sum.wrapping_add(number(&v.value)));
        let added = number(&write.value).wrapping_sub(had);
        let device = done.dot.origin.device;
        let mut versions = versions.to_vec();
        let own = versions.iter_mut().find(|version| version.dot.origin.device == device);
        let Some(own) = own else { return Some(Obstacle::Unknown { field: write.field }) };
        own.value = Value::Int(number(&own.value).wrapping_sub(added));
        record.fields.insert(write.field, versions);
        None
    }

    /// Takes a life back, with what it wrote.
    fn uncreate(
        &self,
        record: &mut Record,
        done: &Done,
        over: &[Dot],
        fields: &[Write],
    ) -> Vec<Obstacle> {
        if !record.is_alive() {
            // That it is not there is what was wanted.
            return Vec::new();
        }
        if !record.lives.contains_key(&done.dot) {
            if self.model.kind == ModelKind::Link && !self.force {
                // Somebody has added it again since, and wants it.
                return Vec::new();
            }
            let later = self.past.changes.iter().filter(|other| match &other.op {
                Op::Create { over, .. } => over.contains(&done.dot),
                Op::Set { .. } | Op::Delete { .. } => false,
            });
            let obstacle = Obstacle::Changed { by: later.map(|other| other.dot).collect() };
            if self.force && over.is_empty() {
                record.lives.clear();
                record.fields.clear();
            }
            return vec![obstacle];
        }
        if !over.is_empty() {
            return self.unreplace(record, done, over, fields);
        }
        let mut lives = record.lives.clone();
        lives.remove(&done.dot);
        let lost = |version: &Version| version.lives.iter().all(|life| !lives.contains_key(life));
        let all = record.fields.values().flatten().filter(|version| lost(version));
        let later: BTreeSet<Dot> =
            all.map(|version| version.dot).filter(|dot| *dot != done.dot).collect();
        if !later.is_empty() && !self.force {
            return vec![Obstacle::Changed { by: later.into_iter().collect() }];
        }
        for versions in record.fields.values_mut() {
            versions.retain(|version| !lost(version));
        }
        record.fields.retain(|_, versions| !versions.is_empty());
        record.lives = lives;
        match later.is_empty() {
            true => Vec::new(),
            false => vec![Obstacle::Changed { by: later.into_iter().collect() }],
        }
    }

    /// Takes a life back that took the place of others.
    fn unreplace(
        &self,
        record: &mut Record,
        done: &Done,
        over: &[Dot],
        fields: &[Write],
    ) -> Vec<Obstacle> {
        record.lives.remove(&done.dot);
        for life in over {
            record.lives.insert(*life, self.past.born(record, life));
        }
        let mut obstacles = Vec::new();
        if self.model.kind != ModelKind::Link {
            obstacles.extend(fields.iter().filter_map(|write| self.unwrite(record, done, write)));
            for version in self.taken_with(over) {
                let versions = record.fields.entry(version.0).or_default();
                if versions.is_empty() {
                    versions.push(version.1);
                }
            }
        }
        obstacles
    }

    /// The versions that deletes took with these lives, without those that others of them overwrote.
    fn taken_with(&self, lives: &[Dot]) -> Vec<(FieldId, Version)> {
        let taken = self.past.ended.iter().filter(|ended| {
            ended.deleted && ended.lost.version.lives.iter().any(|life| lives.contains(life))
        });
        let taken: Vec<&Lost> = taken.map(|ended| &ended.lost).collect();
        let outdated = |lost: &Lost| {
            let writer = |other: &&Lost| other.field == lost.field;
            taken.iter().copied().filter(writer).any(|other| {
                let done = self.past.changes.iter().find(|done| done.dot == other.version.dot);
                let writes = done.map_or(&[][..], Done::writes);
                writes.iter().any(|write| {
                    write.field == lost.field && write.over.contains(&lost.version.dot)
                })
            })
        };
        let left = taken.iter().filter(|lost| !outdated(lost));
        left.map(|lost| (lost.field, lost.version.clone())).collect()
    }

    /// Brings lives back, with what the delete took.
    fn undelete(&self, record: &mut Record, done: &Done, lives: &[Dot]) -> Vec<Obstacle> {
        if record.is_alive() {
            // It is there, as was wanted: what was written to its new life stays.
            return Vec::new();
        }
        let deletes = self.past.deletes_of(lives).map(|other| other.dot);
        let too: Vec<Dot> =
            deletes.filter(|dot| *dot != done.dot && !self.undone.contains(dot)).collect();
        if !too.is_empty() && !self.force {
            return vec![Obstacle::DeletedToo { by: too }];
        }
        let taken = self.taken_with(lives);
        let created = |life: &Dot| self.past.changes.iter().any(|done| done.dot == *life);
        if taken.is_empty() && !lives.iter().any(created) {
            return vec![Obstacle::NothingKnown];
        }
        for life in lives {
            record.lives.insert(*life, self.past.born(record, life));
        }
        for (field, version) in taken {
            let versions = record.fields.entry(field).or_default();
            if let Err(at) = versions.binary_search_by_key(&version.dot, |v| v.dot) {
                versions.insert(at, version);
            }
        }
        if too.is_empty() { Vec::new() } else { vec![Obstacle::DeletedToo { by: too }] }
    }
}

/// What a transaction has to write so that users see `after` where they see `before`; `None` if they
/// see it already. Fields that the model does not have are left alone.
pub fn difference(before: &Record, after: &Record, model: &ModelDescriptor) -> Option<Step> {
    let shown = |record: &Record| {
        let fields = model.fields.iter();
        fields.map(|field| (field.id, record.shown(field.id, field.rule))).collect::<Vec<_>>()
    };
    match (before.is_alive(), after.is_alive()) {
        (false, false) => None,
        (true, false) => Some(Step::Delete),
        (false, true) => {
            let fields = shown(after).into_iter();
            let said = fields.filter(|(field, _)| !after.versions(*field).is_empty());
            Some(Step::Create(said.filter(|(_, value)| !value.is_null()).collect()))
        }
        (true, true) => {
            let pairs = shown(before).into_iter().zip(shown(after));
            let fields: Vec<_> =
                pairs.filter(|(old, new)| old != new).map(|(_, new)| new).collect();
            (!fields.is_empty() && model.kind != ModelKind::Link).then_some(Step::Set(fields))
        }
    }
}

/// A record as it was at a time, by the clocks of those who wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Then {
    /// The record. Versions and lives that were there, whatever came of them.
    pub record: Record,
    /// Fields of which it is not known what they held.
    pub unknown: BTreeSet<FieldId>,
}

/// What a record was at the time `at`. The past has to hold all its changes since then.
pub fn at(record: &Record, past: &RecordPast, at: Hlc) -> Then {
    let lives = lives_at(record, past, at);
    let mut versions: Vec<(FieldId, Version)> = Vec::new();
    let here = record.fields.iter();
    versions.extend(here.flat_map(|(field, all)| all.iter().map(|v| (*field, v.clone()))));
    versions.extend(past.ended.iter().map(|e| (e.lost.field, e.lost.version.clone())));
    for done in &past.changes {
        let lives = done.lives();
        versions.extend(done.writes().iter().map(|write| {
            let version = Version {
                dot: done.dot,
                hlc: done.hlc,
                lives: lives.clone(),
                value: write.value.clone(),
            };
            (write.field, version)
        }));
    }
    let known: BTreeSet<(FieldId, Dot)> = versions.iter().map(|(f, v)| (*f, v.dot)).collect();
    let (mut gone, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for done in &past.changes {
        for write in done.writes() {
            let over = write.over.iter().map(|dot| (write.field, *dot));
            if done.hlc <= at {
                gone.extend(over);
            } else if over.into_iter().any(|place| !known.contains(&place)) {
                unknown.insert(write.field);
            }
        }
    }
    let mut then = Record { lives, ..Record::default() };
    for (field, version) in versions {
        let alive = version.lives.iter().any(|life| then.lives.contains_key(life));
        if version.hlc > at || !alive || gone.contains(&(field, version.dot)) {
            continue;
        }
        let versions = then.fields.entry(field).or_default();
        if let Err(place) = versions.binary_search_by_key(&version.dot, |v| v.dot) {
            versions.insert(place, version);
        }
    }
    Then { record: then, unknown }
}

/// The lives that a record had at a time.
fn lives_at(record: &Record, past: &RecordPast, at: Hlc) -> std::collections::BTreeMap<Dot, Hlc> {
    let mut born: std::collections::BTreeMap<Dot, Hlc> = record.lives.clone();
    let mut over: BTreeSet<Dot> = BTreeSet::new();
    for done in &past.changes {
        if matches!(done.op, Op::Create { .. }) {
            born.insert(done.dot, done.hlc);
        }
    }
    for done in &past.changes {
        let (Op::Create { over: ended, .. } | Op::Delete { lives: ended }) = &done.op else {
            continue;
        };
        for life in ended {
            // One that is known only by its end was there before the history begins.
            born.entry(*life).or_default();
            if done.hlc <= at {
                over.insert(*life);
            }
        }
    }
    born.retain(|life, hlc| *hlc <= at && !over.contains(life));
    born
}
