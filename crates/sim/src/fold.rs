//! What a record must be: the definitions of lives and versions, said over the set of all change
//! sets at once. It shares nothing with the merge, which goes change by change, nor with the commit,
//! which says which lives it saw and which dots it overwrites: here that follows from the past.

use driftless_core::id::Dot;
use driftless_core::record::{Record, Version};
use driftless_core::schema::{FieldId, MergeRule};
use driftless_core::value::Value;

use crate::ledger::{Deed, Entry, Ledger, Place};
use crate::models::rule_of;

/// The record at `place` in the state that holds the change sets for which `holds` says so.
pub fn fold(ledger: &Ledger, place: &Place, holds: impl Fn(&Dot) -> bool) -> Record {
    let deeds: Vec<_> = ledger.deeds(place).filter(|(entry, _)| holds(&entry.dot)).collect();
    let state = State { deeds: &deeds };
    let mut record = Record::default();
    for (entry, _) in state.lives().filter(|(life, _)| !state.is_over(life, |_| true)) {
        record.lives.insert(entry.dot, entry.hlc);
    }
    for write in state.writes().filter(|write| state.shows(write)) {
        let (dot, hlc) = (write.by.dot, write.by.hlc);
        let lives = state.lives_seen_by(&write);
        let version = Version { dot, hlc, lives, value: write.value.clone() };
        record.fields.entry(write.field).or_default().push(version);
    }
    for versions in record.fields.values_mut() {
        versions.sort_by_key(|version| version.dot);
    }
    record
}

/// What must show of a field.
pub fn shown(record: &Record, field: FieldId) -> Value {
    let versions = record.fields.get(&field).map_or(&[][..], Vec::as_slice);
    let number = |version: &Version| match version.value {
        Value::Int(n) => Some(n),
        _ => None,
    };
    match rule_of(field) {
        MergeRule::Lww => {
            let last = |a: &&Version, b: &&Version| {
                let of = |v: &Version| (v.hlc, v.dot.origin, v.dot.seq);
                of(a).cmp(&of(b))
            };
            versions.iter().max_by(last).map_or(Value::Null, |version| version.value.clone())
        }
        MergeRule::Counter => {
            Value::Int(versions.iter().filter_map(number).fold(0, i64::wrapping_add))
        }
        MergeRule::Max => versions.iter().filter_map(number).max().map_or(Value::Null, Value::Int),
        MergeRule::Min => versions.iter().filter_map(number).min().map_or(Value::Null, Value::Int),
    }
}

/// A value that was written.
struct Written<'a> {
    by: &'a Entry,
    creates: bool,
    field: FieldId,
    value: &'a Value,
}

/// The change sets of one record that are in a state.
struct State<'a> {
    deeds: &'a [(&'a Entry, &'a Deed)],
}

impl<'a> State<'a> {
    /// Lives are creations.
    fn lives(&self) -> impl Iterator<Item = &'a (&'a Entry, &'a Deed)> {
        self.deeds.iter().filter(|(_, deed)| matches!(deed, Deed::Create(_)))
    }

    /// A life is over when somebody who had seen it deleted the record or made it anew.
    fn is_over(&self, life: &Entry, within: impl Fn(&Entry) -> bool) -> bool {
        self.deeds.iter().any(|(entry, deed)| {
            !matches!(deed, Deed::Set(_)) && entry.saw(&life.dot) && within(entry)
        })
    }

    fn writes(&self) -> impl Iterator<Item = Written<'a>> {
        self.deeds.iter().flat_map(|(by, deed)| {
            let (creates, values) = match deed {
                Deed::Create(values) => (true, values.as_slice()),
                Deed::Set(values) => (false, values.as_slice()),
                Deed::Delete => (false, &[][..]),
            };
            values.iter().map(move |(field, value)| Written { by, creates, field: *field, value })
        })
    }

    /// The lives that were not over, as far as the writer had seen.
    fn lives_seen_by(&self, write: &Written<'_>) -> Vec<Dot> {
        if write.creates {
            return vec![write.by.dot];
        }
        let seen = |life: &Entry| {
            write.by.saw(&life.dot) && !self.is_over(life, |entry| write.by.saw(&entry.dot))
        };
        let mut lives: Vec<Dot> =
            self.lives().filter(|(life, _)| seen(life)).map(|(life, _)| life.dot).collect();
        lives.sort_unstable();
        lives
    }

    /// A version counts while a life that its writer saw is not over.
    fn counts(&self, write: &Written<'_>) -> bool {
        let seen = self.lives_seen_by(write);
        self.lives().any(|(life, _)| seen.contains(&life.dot) && !self.is_over(life, |_| true))
    }

    /// A version is there if it counts and no other that counts was written by somebody who had seen
    /// it; of a counter, everybody overwrites only what the own device wrote.
    fn shows(&self, write: &Written<'_>) -> bool {
        let replaces = |other: &Written<'_>| {
            other.field == write.field
                && other.by.saw(&write.by.dot)
                && (rule_of(write.field) != MergeRule::Counter
                    || other.by.dot.origin.device == write.by.dot.origin.device)
        };
        self.counts(write) && !self.writes().any(|other| replaces(&other) && self.counts(&other))
    }
}
