//! The one merge of shared records: a pure function of a record's state and a change.
//!
//! State is a function of the *set* of changes, not of their order, as long as a change comes after
//! what it saw (the engine's steps see to that):
//!
//! - a record is alive while it has a life that no delete has covered;
//! - a version counts only while a life that its writer saw is alive;
//! - a field keeps every version that no other has overwritten (a multi-value register, Shapiro et
//!   al., *A comprehensive study of CRDTs*, 2011, with overwritten dots named instead of a context);
//! - a link is alive while it has an add that no remove has covered (observed-remove set, ibid.).

use crate::change::{Op, Write};
use crate::clock::Hlc;
use crate::id::Dot;
use crate::record::{Record, Version};
use crate::schema::FieldId;

/// A version that a delete took with it, or that came too late for a life that was over. Not part of
/// the state any more; kept in the local history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    /// The field.
    pub field: FieldId,
    /// What was lost.
    pub version: Version,
}

/// Applies one change of the change set at `dot` to `record`, and returns what was lost to deletes.
///
/// `covered` tells whether a dot is within the state that this change is applied to; a life that is
/// covered and not there is over. Applying a change twice does nothing the second time.
pub fn apply(
    record: &mut Record,
    op: &Op,
    dot: Dot,
    hlc: Hlc,
    covered: impl Fn(&Dot) -> bool,
) -> Vec<Lost> {
    let mut lost = Vec::new();
    match op {
        Op::Create { over, fields } => {
            record.lives.insert(dot, hlc);
            record.lives.retain(|life, _| !over.contains(life));
            for write in fields {
                put(record, write, dot, hlc, &[dot]);
            }
            bury(record, &covered, &mut lost);
        }
        Op::Set { lives, fields } => {
            let over = lives.iter().all(|life| !record.lives.contains_key(life) && covered(life));
            for write in fields {
                if over {
                    lost.push(Lost {
                        field: write.field,
                        version: version(write, dot, hlc, lives),
                    });
                } else {
                    put(record, write, dot, hlc, lives);
                }
            }
        }
        Op::Delete { lives } => {
            record.lives.retain(|life, _| !lives.contains(life));
            bury(record, &covered, &mut lost);
        }
    }
    lost
}

/// The versions of a record that an operation is about to overwrite and that were written before
/// `begin`: nobody may be able to look them up afterwards.
pub fn overwritten(record: &Record, op: &Op, begin: Hlc) -> Vec<Lost> {
    let (Op::Create { fields, .. } | Op::Set { fields, .. }) = op else { return Vec::new() };
    let gone = fields.iter().flat_map(|write| {
        let gone =
            move |version: &&Version| version.hlc < begin && write.over.contains(&version.dot);
        let versions = record.versions(write.field).iter().filter(gone);
        versions.map(|version| Lost { field: write.field, version: version.clone() })
    });
    gone.collect()
}

fn version(write: &Write, dot: Dot, hlc: Hlc, lives: &[Dot]) -> Version {
    Version { dot, hlc, lives: lives.to_vec(), value: write.value.clone() }
}

/// Adds a version in the place of those that it overwrites. One that is there already (it came with
/// a reconcile) stays as it is; what it overwrites still goes.
fn put(record: &mut Record, write: &Write, dot: Dot, hlc: Hlc, lives: &[Dot]) {
    let versions = record.fields.entry(write.field).or_default();
    versions.retain(|v| v.dot == dot || !write.over.contains(&v.dot));
    if let Err(at) = versions.binary_search_by_key(&dot, |v| v.dot) {
        versions.insert(at, version(write, dot, hlc, lives));
    }
}

/// Takes out the versions of which no life that their writer saw is alive any more.
fn bury(record: &mut Record, covered: &impl Fn(&Dot) -> bool, lost: &mut Vec<Lost>) {
    let lives = &record.lives;
    for (field, versions) in &mut record.fields {
        let dead = |v: &mut Version| v.lives.iter().all(|l| !lives.contains_key(l) && covered(l));
        let buried = versions.extract_if(.., dead);
        lost.extend(buried.map(|version| Lost { field: *field, version }));
    }
    record.fields.retain(|_, versions| !versions.is_empty());
}

/// What it means that a state lacks a dot which its vector covers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Absence {
    /// That it was overwritten or deleted there.
    Dead,
    /// Nothing: one of the two states, which have equal vectors, has lost something, and nobody can
    /// tell which. What either has stays.
    Unknown,
}

/// Joins the records of two states, ours into which it goes and another's: a dot that one side lacks
/// although its vector covers it is dead, any other stays. So the outcome is that of all changes that
/// are in either state (the join of dot stores in Almeida, Shoker, Baquero, *Delta state replicated
/// data types*, 2018).
///
/// `covers` tells whether the state of each side, ours first, covers a dot. Returns the versions of
/// ours that are lost to a delete, or would have been had they not been overwritten before.
pub fn join(
    mine: &mut Record,
    theirs: &Record,
    covers: [&dyn Fn(&Dot) -> bool; 2],
    absence: Absence,
) -> Vec<Lost> {
    let [here, there] =
        covers.map(|covers| move |dot: &Dot| absence == Absence::Dead && covers(dot));
    mine.lives.retain(|life, _| theirs.lives.contains_key(life) || !there(life));
    let unseen = theirs.lives.iter().filter(|(life, _)| !here(life));
    mine.lives.extend(unseen.map(|(life, hlc)| (*life, *hlc)));
    let mut lost = Vec::new();
    let lives = &mine.lives;
    for (field, versions) in &mut mine.fields {
        let others = theirs.versions(*field);
        let dead = |version: &mut Version| {
            others.iter().all(|other| other.dot != version.dot) && there(&version.dot)
        };
        // One whose record lives on was overwritten. Of the others nobody can tell.
        let gone = versions
            .extract_if(.., dead)
            .filter(|version| version.lives.iter().all(|life| !lives.contains_key(life)));
        lost.extend(gone.map(|version| Lost { field: *field, version }));
    }
    for (field, versions) in &theirs.fields {
        let mine = mine.fields.entry(*field).or_default();
        for version in versions.iter().filter(|version| !here(&version.dot)) {
            if let Err(at) = mine.binary_search_by_key(&version.dot, |v| v.dot) {
                mine.insert(at, version.clone());
            }
        }
    }
    bury(mine, &|dot: &Dot| covers.iter().any(|covers| covers(dot)), &mut lost);
    lost
}
