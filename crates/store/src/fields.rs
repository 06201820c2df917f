//! Fields of an owned row as bytes, where no column can hold them.
//!
//! ```text
//! fields = count (id:u32 value)*      ascending by id, none of them null
//! ```

use driftless_core::codec::{CodecError, Reader, Writer};
use driftless_core::limits::MAX_FIELDS;
use driftless_core::schema::FieldId;
use driftless_core::value::ValueRef;

/// The fields of a row that are not null, ascending by id.
pub(crate) type Fields<'a> = Vec<(FieldId, ValueRef<'a>)>;

/// Writes fields.
pub(crate) fn encode_fields(w: &mut Writer, fields: &[(FieldId, ValueRef<'_>)]) {
    w.count(fields.len());
    for (id, value) in fields {
        w.u32_le(id.0);
        value.encode(w);
    }
}

/// Reads fields, and appends them to `out`.
pub(crate) fn decode_fields<'a>(bytes: &'a [u8], out: &mut Fields<'a>) -> Result<(), CodecError> {
    let mut r = Reader::new(bytes);
    // A row holds up to so many named columns, and as many extras.
    for _ in 0..r.items(2 * MAX_FIELDS, 5, "the fields of a row")? {
        let id = FieldId(r.u32_le("a field id")?);
        out.push((id, ValueRef::decode(&mut r)?));
    }
    r.finish("the fields of a row")
}

/// Brings fields into canonical form: sorted by id, without nulls; a field twice is refused.
pub(crate) fn canonical(fields: &mut Fields<'_>) -> Result<(), CodecError> {
    fields.retain(|(_, value)| !value.is_null());
    if !fields.is_sorted_by(|a, b| a.0 < b.0) {
        fields.sort_by_key(|(id, _)| *id);
        if let Some(pair) = fields.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(CodecError::Invalid { what: "a field twice", found: pair[0].0.0.into() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_one_form() {
        let one = ValueRef::Int(1);
        let mut fields = vec![(FieldId(3), one), (FieldId(2), ValueRef::Null), (FieldId(1), one)];
        canonical(&mut fields).unwrap();
        assert_eq!(fields.iter().map(|f| f.0.0).collect::<Vec<_>>(), [1, 3]);
        let mut w = Writer::new();
        encode_fields(&mut w, &fields);
        let mut back = Vec::new();
        decode_fields(w.as_bytes(), &mut back).unwrap();
        assert_eq!(back.len(), 2);
        let mut twice = vec![(FieldId(3), one), (FieldId(3), one)];
        assert!(canonical(&mut twice).is_err());
    }
}
