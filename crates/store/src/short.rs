//! The short form of `_sync`: most records were made by one change set, and nobody has changed them
//! since. Their table says it all but for the change set's dot and time.
//!
//! ```text
//! short    = 0 origin:var seq:var hlc:u64      the origin by its number
//! ```
//!
//! No record that is alive begins like this in the long form, whose first byte counts origins. It
//! stands for one life, and for one version of each last-writer-wins field whose column is not null:
//! written with that life, and by a writer that saw no other.

use driftless_core::clock::Hlc;
use driftless_core::codec::{CodecError, Reader, Writer};
use driftless_core::id::Dot;
use driftless_core::record::{Record, Version};
use driftless_core::schema::{FieldId, MergeRule};
use driftless_core::value::Value;

use crate::layout::Table;
use crate::origins::Origins;

/// What the short form begins with.
const SHORT: u8 = 0;

/// The short form of a record whose columns hold `values`, if it has one.
pub(crate) fn encode(
    table: &Table,
    record: &Record,
    values: &[Value],
    origins: &Origins,
) -> Option<Vec<u8>> {
    let (life, hlc) = only(record)?;
    let mut fields = 0;
    for (column, value) in table.columns.iter().zip(values) {
        match record.versions(column.field) {
            [] => {}
            [version] if column.rule == MergeRule::Lww && !value.is_null() => {
                let same = (version.dot, version.hlc) == (life, hlc) && version.value == *value;
                if !same || version.lives != [life] {
                    return None;
                }
                fields += 1;
            }
            _ => return None,
        }
    }
    // A field without a column has to be kept whole.
    if fields != record.fields.len() {
        return None;
    }
    let mut w = Writer::new();
    w.u8(SHORT);
    origins.write(&mut w, &life.origin);
    w.var(life.seq);
    w.u64_le(hlc.0);
    Some(w.into_bytes())
}

fn only(record: &Record) -> Option<(Dot, Hlc)> {
    let mut lives = record.lives.iter();
    match (lives.next(), lives.next()) {
        (Some((life, hlc)), None) => Some((*life, *hlc)),
        _ => None,
    }
}

/// A record from the short form, if that is what the bytes are. `value_of` gives a column's value.
pub(crate) fn decode(
    table: &Table,
    bytes: &[u8],
    origins: &Origins,
    value_of: impl Fn(FieldId) -> Result<Value, CodecError>,
) -> Result<Option<Record>, CodecError> {
    if bytes.first() != Some(&SHORT) {
        return Ok(None);
    }
    let mut r = Reader::new(&bytes[1..]);
    let origin = origins.read(&mut r)?;
    let (life, hlc) = (Dot { origin, seq: r.seq()? }, Hlc(r.u64_le("a time")?));
    r.finish("a record")?;
    let mut record = Record::default();
    record.lives.insert(life, hlc);
    for column in table.columns.iter().filter(|column| column.rule == MergeRule::Lww) {
        let value = value_of(column.field)?;
        if !value.is_null() {
            let version = Version { dot: life, hlc, lives: vec![life], value };
            record.fields.insert(column.field, vec![version]);
        }
    }
    Ok(Some(record))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::collections::BTreeMap;

    use driftless_core::id::{DeviceId, Epoch, Origin};
    use driftless_core::schema::{FieldType, ModelId, ModelKind};

    use super::*;
    use crate::layout::Column;

    fn origin() -> Origin {
        Origin::shared(DeviceId([7; 32]), Epoch(1))
    }

    fn dot(seq: u64) -> Dot {
        Dot::new(origin(), seq)
    }

    fn origins() -> Origins {
        let mut origins = Origins::default();
        origins.insert(300, origin());
        origins
    }

    /// Columns "a" and "b", and the counter "c".
    fn table() -> Table {
        let column = |name: &str, rule| {
            let (field, ty) = (FieldId::of(name), FieldType::Int);
            Column { field, name: name.into(), ty, rule }
        };
        let columns = vec![
            column("a", MergeRule::Lww),
            column("b", MergeRule::Lww),
            column("c", MergeRule::Counter),
        ];
        Table::new(ModelId::of("x"), "x", ModelKind::Shared, columns)
    }

    fn version(seq: u64, value: Value) -> Vec<Version> {
        vec![Version { dot: dot(seq), hlc: Hlc(70 + seq), lives: vec![dot(1)], value }]
    }

    /// Made by change set 1, with the field "a".
    fn record() -> Record {
        let fields = BTreeMap::from([(FieldId::of("a"), version(1, Value::Int(5)))]);
        Record { lives: BTreeMap::from([(dot(1), Hlc(71))]), fields }
    }

    /// The columns' values, as a record shows in them.
    fn values(record: &Record) -> Vec<Value> {
        table().columns.iter().map(|column| record.shown(column.field, column.rule)).collect()
    }

    fn short(record: &Record) -> Option<Vec<u8>> {
        encode(&table(), record, &values(record), &origins())
    }

    #[test]
    fn what_nobody_has_changed_is_short_and_comes_back() {
        let record = record();
        let bytes = short(&record).unwrap();
        assert_eq!(bytes, [0, 0xac, 2, 1, 71, 0, 0, 0, 0, 0, 0, 0]);
        let value_of = |field| Ok(record.shown(field, MergeRule::Lww));
        let back = decode(&table(), &bytes, &origins(), value_of);
        assert_eq!(back, Ok(Some(record.clone())));
        for cut in 1..bytes.len() {
            assert!(decode(&table(), &bytes[..cut], &origins(), value_of).is_err(), "{cut}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(decode(&table(), &longer, &origins(), value_of).is_err());
        let mut unknown = bytes.clone();
        unknown[1] = 0xad;
        assert!(decode(&table(), &unknown, &origins(), value_of).is_err());
        assert_eq!(decode(&table(), &[1, 0], &origins(), value_of), Ok(None), "the long form");
    }

    #[test]
    fn whatever_else_there_is_makes_it_long() {
        assert!(short(&record()).is_some());
        let (a, b, c) = (FieldId::of("a"), FieldId::of("b"), FieldId::of("c"));
        let with = |change: &dyn Fn(&mut Record)| {
            let mut record = record();
            change(&mut record);
            short(&record)
        };
        let set = |field, versions: Vec<Version>| {
            with(&|record| drop(record.fields.insert(field, versions.clone())))
        };
        assert!(set(b, version(1, Value::Int(6))).is_some());
        assert_eq!(set(a, version(2, Value::Int(6))), None, "changed since");
        assert_eq!(set(b, version(1, Value::Null)), None, "a null that somebody wrote");
        assert_eq!(set(c, version(1, Value::Int(1))), None, "a counter");
        assert_eq!(set(FieldId::of("z"), version(1, Value::Int(1))), None, "no column");
        let both = [version(1, Value::Int(5)), version(2, Value::Int(6))].concat();
        assert_eq!(set(a, both), None, "siblings");
        let mut later = version(1, Value::Int(5));
        later[0].hlc = Hlc(99);
        assert_eq!(set(a, later), None, "another time");
        let mut blind = version(1, Value::Int(5));
        blind[0].lives = Vec::new();
        assert_eq!(set(a, blind), None, "a writer that saw no life");
        let twice = |record: &mut Record| {
            record.lives.insert(dot(2), Hlc(72));
        };
        assert_eq!(with(&twice), None, "two lives");
        // The column cannot hold it.
        assert_eq!(encode(&table(), &record(), &[Value::Null, Value::Null], &origins()), None);
    }
}
