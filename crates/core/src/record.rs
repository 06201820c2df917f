//! A shared record as state: its lives, its fields' versions, their dots and stamps.
//!
//! # Format
//!
//! ```text
//! record   = origins lives fields
//! origins  = count origin*          sorted; canonical: 41 bytes each, in a store: interned
//! dot      = var(index into origins) var(seq)
//! lives    = count (dot hlc:u64)*   sorted by dot
//! fields   = count (id:u32 count version*)*   sorted by id; versions sorted by dot
//! version  = flags [dot hlc:u64] [lives: count dot*] [value]
//! flags    bit 0: dot and hlc are those of the record's first life
//!          bit 1: lives are all of the record's lives
//!          bit 2: the value is elsewhere (in the column)
//! ```
//!
//! Written from equal records with full origins and no value elsewhere, the bytes are equal: that is
//! the canonical encoding that digests, snapshots and dumps use.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Hlc;
use crate::codec::{CodecError, Reader, Writer};
use crate::id::{Dot, Origin};
use crate::limits::{MAX_DOTS, MAX_FIELDS, MAX_ORIGINS};
use crate::schema::{FieldId, MergeRule};
use crate::value::Value;

/// A version of a field that no other version has overwritten.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// The change set that wrote it.
    pub dot: Dot,
    /// When it was written; with the dot's origin its stamp.
    pub hlc: Hlc,
    /// The lives of the record that its writer saw, in order.
    pub lives: Vec<Dot>,
    /// What was written.
    pub value: Value,
}

impl Version {
    /// What picks the visible one among concurrent values. Totally ordered.
    pub fn stamp(&self) -> (Hlc, Dot) {
        (self.hlc, self.dot)
    }
}

/// A shared record. Alive while it has a life; a record without lives and versions is no record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// The creations that no delete has covered, with their times.
    pub lives: BTreeMap<Dot, Hlc>,
    /// The versions of each field, ordered by dot; more than one = siblings.
    pub fields: BTreeMap<FieldId, Vec<Version>>,
}

impl Record {
    /// Whether the record exists for its users.
    pub fn is_alive(&self) -> bool {
        !self.lives.is_empty()
    }

    /// The versions of a field.
    pub fn versions(&self, field: FieldId) -> &[Version] {
        self.fields.get(&field).map_or(&[], Vec::as_slice)
    }

    /// The version with the highest stamp.
    pub fn winner(&self, field: FieldId) -> Option<&Version> {
        self.versions(field).iter().max_by_key(|version| version.stamp())
    }

    /// What shows of a field under `rule`.
    pub fn shown(&self, field: FieldId, rule: MergeRule) -> Value {
        let numbers = || {
            self.versions(field).iter().filter_map(|version| match version.value {
                Value::Int(n) => Some(n),
                _ => None,
            })
        };
        match rule {
            MergeRule::Lww => self.winner(field).map_or(Value::Null, |v| v.value.clone()),
            // A sum that leaves 64 bits wraps alike on every device, in whatever order it is made.
            MergeRule::Counter => Value::Int(numbers().fold(0, i64::wrapping_add)),
            MergeRule::Max => numbers().max().map_or(Value::Null, Value::Int),
            MergeRule::Min => numbers().min().map_or(Value::Null, Value::Int),
        }
    }

    /// The fields in open conflict: last-writer-wins fields with siblings of different values.
    /// `rule` tells each field's.
    pub fn conflicts(&self, rule: impl Fn(FieldId) -> MergeRule) -> impl Iterator<Item = FieldId> {
        self.fields.iter().filter_map(move |(id, versions)| {
            let differ = versions.windows(2).any(|pair| pair[0].value != pair[1].value);
            (differ && rule(*id) == MergeRule::Lww).then_some(*id)
        })
    }

    /// Every origin that the record names, in order.
    pub fn origins(&self) -> BTreeSet<Origin> {
        let mut origins: BTreeSet<Origin> = self.lives.keys().map(|dot| dot.origin).collect();
        for version in self.fields.values().flatten() {
            origins.insert(version.dot.origin);
            origins.extend(version.lives.iter().map(|dot| dot.origin));
        }
        origins
    }

    /// The canonical bytes.
    pub fn encode(&self, w: &mut Writer) {
        self.encode_with(w, |w, origin| w.origin(origin), |_, _| false);
    }

    /// The record with origins written by `write_origin`, and without the values of the versions
    /// for which `elsewhere` says that they are kept elsewhere.
    pub fn encode_with(
        &self,
        w: &mut Writer,
        mut write_origin: impl FnMut(&mut Writer, &Origin),
        elsewhere: impl Fn(FieldId, &Version) -> bool,
    ) {
        let origins: Vec<Origin> = self.origins().into_iter().collect();
        w.count(origins.len());
        for origin in &origins {
            write_origin(w, origin);
        }
        let dot = |w: &mut Writer, dot: &Dot| {
            w.count(origins.partition_point(|origin| *origin < dot.origin));
            w.var(dot.seq);
        };
        w.count(self.lives.len());
        for (life, hlc) in &self.lives {
            dot(w, life);
            w.u64_le(hlc.0);
        }
        w.count(self.fields.len());
        for (id, versions) in &self.fields {
            w.u32_le(id.0);
            w.count(versions.len());
            for version in versions {
                let omit = elsewhere(*id, version);
                self.encode_version(w, version, omit, dot);
            }
        }
    }

    fn encode_version(
        &self,
        w: &mut Writer,
        version: &Version,
        omit: bool,
        dot: impl Fn(&mut Writer, &Dot),
    ) {
        let first = self
            .lives
            .first_key_value()
            .is_some_and(|(life, hlc)| (*life, *hlc) == (version.dot, version.hlc));
        let all = version.lives.iter().eq(self.lives.keys());
        w.u8(u8::from(first) | u8::from(all) << 1 | u8::from(omit) << 2);
        if !first {
            dot(w, &version.dot);
            w.u64_le(version.hlc.0);
        }
        if !all {
            w.count(version.lives.len());
            for life in &version.lives {
                dot(w, life);
            }
        }
        if !omit {
            version.value.encode(w);
        }
    }

    /// Reads a record in canonical form.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Self::decode_with(
            r,
            |r| r.origin(),
            |field| {
                Err(CodecError::Invalid { what: "a value kept elsewhere", found: field.0.into() })
            },
        )
    }

    /// Reads a record whose origins are read by `read_origin` and whose values that are kept
    /// elsewhere are given by `value_of`.
    pub fn decode_with(
        r: &mut Reader<'_>,
        mut read_origin: impl FnMut(&mut Reader<'_>) -> Result<Origin, CodecError>,
        mut value_of: impl FnMut(FieldId) -> Result<Value, CodecError>,
    ) -> Result<Self, CodecError> {
        let n = r.items(MAX_ORIGINS, 1, "the origins of a record")?;
        let origins = (0..n).map(|_| read_origin(r)).collect::<Result<Vec<_>, _>>()?;
        let dot = |r: &mut Reader<'_>| read_dot(r, &origins);
        let mut record = Self::default();
        for _ in 0..r.items(MAX_DOTS, 10, "the lives of a record")? {
            let life = dot(r)?;
            record.lives.insert(life, Hlc(r.u64_le("a time")?));
        }
        for _ in 0..r.items(MAX_FIELDS * 4, 6, "the fields of a record")? {
            let id = FieldId(r.u32_le("a field id")?);
            let n = r.items(MAX_DOTS, 1, "the versions of a field")?;
            let mut versions = Vec::with_capacity(n);
            for _ in 0..n {
                versions.push(record.decode_version(r, id, dot, &mut value_of)?);
            }
            if !versions.is_sorted_by(|a: &Version, b| a.dot < b.dot) {
                return Err(CodecError::NotCanonical("the order of a field's versions"));
            }
            if record.fields.insert(id, versions).is_some() {
                return Err(CodecError::Invalid { what: "a field twice", found: id.0.into() });
            }
        }
        Ok(record)
    }

    fn decode_version(
        &self,
        r: &mut Reader<'_>,
        id: FieldId,
        dot: impl Fn(&mut Reader<'_>) -> Result<Dot, CodecError>,
        value_of: &mut impl FnMut(FieldId) -> Result<Value, CodecError>,
    ) -> Result<Version, CodecError> {
        let flags = r.u8("a version's flags")?;
        if flags > 7 {
            return Err(CodecError::Invalid { what: "a version's flags", found: flags.into() });
        }
        let (own, hlc) = match self.lives.first_key_value() {
            Some((life, hlc)) if flags & 1 != 0 => (*life, *hlc),
            _ if flags & 1 != 0 => {
                return Err(CodecError::Invalid { what: "a version's life", found: 0 });
            }
            _ => (dot(r)?, Hlc(r.u64_le("a time")?)),
        };
        let lives = if flags & 2 != 0 {
            self.lives.keys().copied().collect()
        } else {
            let n = r.items(MAX_DOTS, 2, "the lives of a version")?;
            (0..n).map(|_| dot(r)).collect::<Result<_, _>>()?
        };
        let value = if flags & 4 != 0 { value_of(id)? } else { Value::decode(r)? };
        Ok(Version { dot: own, hlc, lives, value })
    }
}

/// Reads a dot as an index into `origins` and a seq.
pub(crate) fn read_dot(r: &mut Reader<'_>, origins: &[Origin]) -> Result<Dot, CodecError> {
    let index = r.var("an origin's index")?;
    let origin = usize::try_from(index).ok().and_then(|i| origins.get(i)).copied();
    let origin = origin.ok_or(CodecError::Invalid { what: "an origin's index", found: index })?;
    Ok(Dot { origin, seq: r.seq()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeviceId, Epoch};

    fn dot(device: u8, seq: u64) -> Dot {
        Dot::new(Origin::shared(DeviceId([device; 32]), Epoch(1)), seq)
    }

    fn version(device: u8, seq: u64, hlc: u64, value: i64) -> Version {
        let value = Value::Int(value);
        Version { dot: dot(device, seq), hlc: Hlc(hlc), lives: vec![dot(1, 1)], value }
    }

    fn sample() -> Record {
        let mut record = Record::default();
        record.lives.insert(dot(1, 1), Hlc(10));
        record.fields.insert(FieldId(5), vec![version(1, 1, 10, 7)]);
        record.fields.insert(FieldId(9), vec![version(1, 2, 30, 8), version(2, 1, 20, 9)]);
        record
    }

    #[test]
    fn records_round_trip() {
        let record = sample();
        let mut w = Writer::new();
        record.encode(&mut w);
        let mut r = Reader::new(w.as_bytes());
        assert_eq!(Record::decode(&mut r), Ok(record));
        assert!(r.is_empty());
    }

    #[test]
    fn values_can_be_elsewhere() {
        let record = sample();
        let mut w = Writer::new();
        record.encode_with(&mut w, |w, o| w.origin(o), |id, _| id == FieldId(5));
        let back = Record::decode_with(
            &mut Reader::new(w.as_bytes()),
            |r| r.origin(),
            |_| Ok(Value::Int(7)),
        );
        assert_eq!(back, Ok(record));
        assert!(Record::decode(&mut Reader::new(w.as_bytes())).is_err());
    }

    #[test]
    fn rules_decide_what_shows() {
        let record = sample();
        let id = FieldId(9);
        assert_eq!(record.shown(id, MergeRule::Lww), Value::Int(8));
        assert_eq!(record.shown(id, MergeRule::Counter), Value::Int(17));
        assert_eq!(record.shown(id, MergeRule::Max), Value::Int(9));
        assert_eq!(record.shown(id, MergeRule::Min), Value::Int(8));
    }
}
