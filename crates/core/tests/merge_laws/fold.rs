//! What a record must be, said without an order: a function of the set of changes. The merge, which
//! goes change by change, is held against it.

use std::collections::{BTreeMap, BTreeSet};

use driftless_core::change::{Op, Write};
use driftless_core::id::Dot;
use driftless_core::record::{Record, Version};
use driftless_core::schema::FieldId;

use crate::world::{History, RECORDS, Set, Sets, bit};

/// A value that a change set wrote.
pub(crate) struct Written<'a> {
    pub(crate) set: &'a Set,
    pub(crate) lives: Vec<Dot>,
    pub(crate) write: &'a Write,
}

/// Everything that `sets` wrote into a record.
pub(crate) fn written(history: &History, sets: Sets, record: usize) -> Vec<Written<'_>> {
    let mut all = Vec::new();
    for set in within(history, sets) {
        for (_, op) in set.changes.iter().filter(|(of, _)| *of == record) {
            let (lives, fields) = match op {
                Op::Create { fields, .. } => (vec![set.dot], fields),
                Op::Set { lives, fields } => (lives.clone(), fields),
                Op::Delete { .. } => continue,
            };
            let one = |write| Written { set, lives: lives.clone(), write };
            all.extend(fields.iter().map(one));
        }
    }
    all
}

fn within(history: &History, sets: Sets) -> impl Iterator<Item = &Set> {
    let here = move |(at, set): (usize, _)| (sets & bit(at) != 0).then_some(set);
    history.sets.iter().enumerate().filter_map(here)
}

/// The records that follow from `sets`.
pub(crate) fn fold(history: &History, sets: Sets) -> [Record; RECORDS] {
    std::array::from_fn(|record| fold_one(history, sets, record))
}

/// A life is over when a delete or a new life covered it; a version is there while nothing has
/// overwritten it and a life that its writer saw is not over.
fn fold_one(history: &History, sets: Sets, record: usize) -> Record {
    let mut result = Record::default();
    let mut over: BTreeSet<Dot> = BTreeSet::new();
    for set in within(history, sets) {
        for (_, op) in set.changes.iter().filter(|(of, _)| *of == record) {
            match op {
                Op::Create { over: lives, .. } => {
                    result.lives.insert(set.dot, set.hlc);
                    over.extend(lives);
                }
                Op::Delete { lives } => over.extend(lives),
                Op::Set { .. } => {}
            }
        }
    }
    result.lives.retain(|life, _| !over.contains(life));
    let all = written(history, sets, record);
    let overwritten = overwritten(&all);
    let mut fields: BTreeMap<FieldId, Vec<Version>> = BTreeMap::new();
    for Written { set, lives, write, .. } in all {
        let gone = overwritten.contains(&(write.field, set.dot));
        if !gone && lives.iter().any(|life| result.lives.contains_key(life)) {
            let value = write.value.clone();
            let version = Version { dot: set.dot, hlc: set.hlc, lives, value };
            fields.entry(write.field).or_default().push(version);
        }
    }
    for versions in fields.values_mut() {
        versions.sort_by_key(|version| version.dot);
    }
    result.fields = fields;
    result
}

/// The versions that another version names.
pub(crate) fn overwritten(all: &[Written<'_>]) -> BTreeSet<(FieldId, Dot)> {
    let named = |w: &Written<'_>| {
        let field = w.write.field;
        w.write.over.iter().map(move |dot| (field, *dot)).collect::<Vec<_>>()
    };
    all.iter().flat_map(named).collect()
}
