//! Asking for records and rows by their keys: what was damaged at the one that asks.

use super::parts::{decode_head, encode_head, flag};
use crate::codec::{CodecError, Reader, Writer};
use crate::id::DeviceId;
use crate::limits::{MAX_FIELDS, MAX_RECALLED};
use crate::record::Record;
use crate::schema::{FieldId, ModelId};
use crate::store::{HeldRow, Place, RowContent};
use crate::value::Value;
use crate::version::{OwnedHead, Vector};

/// The bit of a `Hello`'s features that says: the sender answers to `Recall`.
pub const ANSWERS_RECALL: u64 = 1;

/// What is held under the keys that were asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Held {
    /// The sender has no exact state of them.
    Nothing,
    /// Shared records; empty ones say that there are none. Those that are left out did not fit.
    Records {
        /// The vector of which the records are.
        vector: Vector,
        /// The records.
        records: Vec<(Place, Record)>,
    },
    /// Rows of an owned lane. Those that are left out did not fit.
    Rows {
        /// The head of which the rows are.
        as_of: OwnedHead,
        /// The rows.
        rows: Vec<HeldRow>,
    },
}

/// Whose lane is meant: a device's owned one, or the shared ones.
pub(super) fn encode_of(w: &mut Writer, of: Option<&DeviceId>) {
    w.u8(of.is_some().into());
    if let Some(device) = of {
        w.raw(&device.0);
    }
}

pub(super) fn decode_of(r: &mut Reader<'_>) -> Result<Option<DeviceId>, CodecError> {
    Ok(if flag(r, "a lane")? { Some(DeviceId(r.array("a device id")?)) } else { None })
}

fn encode_place(w: &mut Writer, (model, key): &Place) {
    w.u32_le(model.0);
    w.key(key);
}

fn decode_place(r: &mut Reader<'_>) -> Result<Place, CodecError> {
    Ok((ModelId(r.u32_le("a model id")?), r.key()?))
}

pub(super) fn encode_places(w: &mut Writer, places: &[Place]) {
    w.count(places.len());
    for place in places {
        encode_place(w, place);
    }
}

pub(super) fn decode_places(r: &mut Reader<'_>) -> Result<Vec<Place>, CodecError> {
    let n = r.items(MAX_RECALLED, 5, "keys")?;
    let mut places = Vec::with_capacity(n);
    for _ in 0..n {
        places.push(decode_place(r)?);
    }
    Ok(places)
}

impl Held {
    pub(super) fn encode(&self, w: &mut Writer) {
        match self {
            Held::Nothing => w.u8(0),
            Held::Records { vector, records } => {
                w.u8(1);
                vector.encode(w);
                w.count(records.len());
                for (place, record) in records {
                    encode_place(w, place);
                    record.encode(w);
                }
            }
            Held::Rows { as_of, rows } => {
                w.u8(2);
                encode_head(w, as_of);
                w.count(rows.len());
                for HeldRow { model, key, row } in rows {
                    encode_place(w, &(*model, key.clone()));
                    encode_row(w, row.as_ref());
                }
            }
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match r.u8("what is held")? {
            0 => Held::Nothing,
            1 => {
                let vector = Vector::decode(r)?;
                let n = r.items(MAX_RECALLED, 7, "records")?;
                let mut records = Vec::with_capacity(n);
                for _ in 0..n {
                    records.push((decode_place(r)?, Record::decode(r)?));
                }
                Held::Records { vector, records }
            }
            2 => {
                let as_of = decode_head(r)?;
                let n = r.items(MAX_RECALLED, 6, "rows")?;
                let mut rows = Vec::with_capacity(n);
                for _ in 0..n {
                    let (model, key) = decode_place(r)?;
                    rows.push(HeldRow { model, key, row: decode_row(r)? });
                }
                Held::Rows { as_of, rows }
            }
            tag => return Err(CodecError::Invalid { what: "what is held", found: tag.into() }),
        })
    }
}

fn encode_row(w: &mut Writer, row: Option<&RowContent>) {
    w.u8(row.is_some().into());
    let Some((seq, fields)) = row else { return };
    w.var(*seq);
    w.count(fields.len());
    for (field, value) in fields {
        w.u32_le(field.0);
        value.encode(w);
    }
}

/// Reads a row, whose fields must be in their canonical order and none of them null.
fn decode_row(r: &mut Reader<'_>) -> Result<Option<RowContent>, CodecError> {
    if !flag(r, "a row")? {
        return Ok(None);
    }
    let seq = r.seq()?;
    // A row holds up to so many named fields, and as many that the schema does not know.
    let n = r.items(2 * MAX_FIELDS, 5, "the fields of a row")?;
    let mut fields: Vec<(FieldId, Value)> = Vec::with_capacity(n);
    for _ in 0..n {
        let field = FieldId(r.u32_le("a field id")?);
        let value = Value::decode(r)?;
        if value.is_null() || fields.last().is_some_and(|(last, _)| *last >= field) {
            return Err(CodecError::NotCanonical("the fields of a row"));
        }
        fields.push((field, value));
    }
    Ok(Some((seq, fields)))
}
