//! Pages column by column, in which values that are alike stand together and pack into fewer bytes.
//!
//! It is a form for the wire alone: who receives it makes rows of it again, as [`crate::page`] writes
//! them, byte for byte.
//!
//! ```text
//! columns = models: count (model:u32 fields: count u32*)*  rows:var  section*
//! section = bytes, in this order:
//!   heads    of each row, what stands first in a page's row
//!   seqs     of each row, seq - previous row's seq
//!   shared   of each row, how many bytes its key has in common with the key before, and how many follow
//!   extras   of each row that is no tombstone: count (id:u32 value)*
//!   tags, numbers   of each field of each model: the values' tags; whole numbers less the one before,
//!            lengths of texts and blobs
//!   data     of each field of each model: texts, blobs, real numbers
//!   keys     what is not in common with the key before
//! ```
//!
//! What is of no order, such as hashes, stands at the end, where it does not spoil the statistics of
//! the rest.

use bytes::Bytes;

use crate::codec::{CodecError, Reader, Writer};
use crate::limits::{MAX_FIELDS, MAX_KEY_BYTES, MAX_PAGE_ROWS, MAX_PAYLOAD_BYTES, MAX_VALUE_BYTES};
use crate::page::{PageModel, PageReader, PageWriter, decode_models, encode_models};
use crate::schema::FieldId;
use crate::value::ValueRef;

/// The bit of a `Hello`'s features that says: the sender reads pages in columns.
pub const READS_COLUMNS: u64 = 4;
/// A page with more columns than this is sent in rows.
const MAX_COLUMNS: usize = 16_384;

/// Whether a page's rows can be sent in columns.
pub(crate) fn fit(rows: &[u8]) -> bool {
    PageReader::new(rows).is_ok_and(|page| count(page.models()) <= MAX_COLUMNS)
}

fn count(models: &[PageModel]) -> usize {
    models.iter().map(|model| model.fields.len()).sum()
}

/// A column that is written.
#[derive(Default)]
struct Column {
    tags: Writer,
    numbers: Writer,
    data: Writer,
    last: i64,
}

impl Column {
    fn push(&mut self, value: &ValueRef<'_>) {
        match value {
            ValueRef::Null => self.tags.u8(0),
            ValueRef::Int(n) => {
                self.tags.u8(1);
                self.numbers.signed(n.wrapping_sub(self.last));
                self.last = *n;
            }
            ValueRef::Real(x) => {
                self.tags.u8(2);
                self.data.u64_le(x.to_bits());
            }
            ValueRef::Text(text) => self.push_bytes(3, text.as_bytes()),
            ValueRef::Blob(bytes) => self.push_bytes(4, bytes),
        }
    }

    fn push_bytes(&mut self, tag: u8, bytes: &[u8]) {
        self.tags.u8(tag);
        self.numbers.count(bytes.len());
        self.data.raw(bytes);
    }
}

/// What is written of the rows themselves.
#[derive(Default)]
struct Heads {
    heads: Writer,
    seqs: Writer,
    shared: Writer,
    extras: Writer,
    keys: Writer,
}

/// Writes a page's rows column by column.
pub(super) fn encode(w: &mut Writer, rows: &[u8]) -> Result<(), CodecError> {
    let mut page = PageReader::new(rows)?;
    let models = page.models().to_vec();
    let mut columns: Vec<Vec<Column>> = Vec::with_capacity(models.len());
    for model in &models {
        columns.push(model.fields.iter().map(|_| Column::default()).collect());
    }
    let (mut heads, mut values, mut extras) = (Heads::default(), Vec::new(), Vec::new());
    let (mut count, mut seq, mut key): (usize, u64, &[u8]) = (0, 0, &[]);
    while let Some(row) = page.next_row(&mut values, &mut extras)? {
        count += 1;
        heads.heads.count(row.model << 1 | usize::from(row.tombstone));
        heads.seqs.var(row.seq - seq);
        let shared = row.key.iter().zip(key).take_while(|(a, b)| a == b).count();
        heads.shared.count(shared);
        heads.shared.count(row.key.len() - shared);
        heads.keys.raw(&row.key[shared..]);
        (seq, key) = (row.seq, row.key);
        if row.tombstone {
            continue;
        }
        for (column, value) in columns[row.model].iter_mut().zip(&values) {
            column.push(value);
        }
        heads.extras.count(extras.len());
        for (field, value) in &extras {
            heads.extras.u32_le(field.0);
            value.encode(&mut heads.extras);
        }
    }
    encode_models(w, &models);
    w.count(count);
    for section in [&heads.heads, &heads.seqs, &heads.shared, &heads.extras] {
        w.bytes(section.as_bytes());
    }
    let columns = columns.iter().flatten();
    for column in columns.clone() {
        w.bytes(column.tags.as_bytes());
        w.bytes(column.numbers.as_bytes());
    }
    for column in columns {
        w.bytes(column.data.as_bytes());
    }
    w.bytes(heads.keys.as_bytes());
    Ok(())
}

/// A column that is read.
struct Values<'a> {
    tags: Reader<'a>,
    numbers: Reader<'a>,
    data: Reader<'a>,
    last: i64,
}

impl<'a> Values<'a> {
    fn next(&mut self) -> Result<ValueRef<'a>, CodecError> {
        Ok(match self.tags.u8("a value's tag")? {
            0 => ValueRef::Null,
            1 => {
                self.last = self.last.wrapping_add(self.numbers.signed("a whole number")?);
                ValueRef::Int(self.last)
            }
            // Whether it is canonical is asked where the row is read.
            2 => ValueRef::Real(f64::from_bits(self.data.u64_le("a real number")?)),
            3 => {
                let text = std::str::from_utf8(self.bytes("a text")?);
                ValueRef::Text(text.map_err(|_| CodecError::NotUtf8("a text"))?)
            }
            4 => ValueRef::Blob(self.bytes("a blob")?),
            tag => {
                return Err(CodecError::Invalid { what: "a value's tag", found: tag.into() });
            }
        })
    }

    fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], CodecError> {
        let len = self.numbers.count(MAX_VALUE_BYTES, what)?;
        self.data.raw(len, what)
    }

    fn finish(self) -> Result<(), CodecError> {
        self.tags.finish("the tags of a column")?;
        self.numbers.finish("the numbers of a column")?;
        self.data.finish("a column")
    }
}

fn section<'a>(r: &mut Reader<'a>, what: &'static str) -> Result<Reader<'a>, CodecError> {
    Ok(Reader::new(r.bytes(MAX_PAYLOAD_BYTES, what)?))
}

/// Reads columns and makes the rows of them.
pub(super) fn decode(r: &mut Reader<'_>) -> Result<Bytes, CodecError> {
    let models = models_of(r)?;
    let rows = r.count(MAX_PAGE_ROWS, "rows of a page")?;
    let mut heads = section(r, "the heads of a page's rows")?;
    let mut seqs = section(r, "the seqs of a page's rows")?;
    let mut shared = section(r, "the keys of a page's rows")?;
    let mut more = section(r, "the extra fields of a page's rows")?;
    let mut columns = decode_columns(r, &models)?;
    let mut keys = section(r, "the keys of a page's rows")?;
    let mut page = PageWriter::new(&models);
    let (mut seq, mut key) = (0u64, Vec::with_capacity(MAX_KEY_BYTES));
    let (mut values, mut extras) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let head = heads.count(usize::MAX, "a row's head")?;
        let (model, tombstone) = (head >> 1, head & 1 == 1);
        let found = seqs.var("a row's seq")?;
        let bad = CodecError::Invalid { what: "a row's seq", found };
        seq = seq.checked_add(found).ok_or(bad)?;
        next_key(&mut key, &mut shared, &mut keys)?;
        let bad = CodecError::Invalid { what: "a row's model", found: head as u64 };
        let columns = columns.get_mut(model).ok_or(bad)?;
        if tombstone {
            page.tombstone(model, seq, &key);
        } else {
            values.clear();
            for column in columns {
                values.push(column.next()?);
            }
            decode_extras(&mut more, &mut extras)?;
            page.row(model, seq, &key, values.iter().copied(), &extras);
        }
        if page.len() > MAX_PAYLOAD_BYTES {
            let (found, limit) = (page.len() as u64, MAX_PAYLOAD_BYTES as u64);
            return Err(CodecError::TooLarge { what: "a page", found, limit });
        }
    }
    for column in columns.into_iter().flatten() {
        column.finish()?;
    }
    for rest in [heads, seqs, shared, more, keys] {
        rest.finish("a page's columns")?;
    }
    Ok(page.finish().into())
}

fn models_of(r: &mut Reader<'_>) -> Result<Vec<PageModel>, CodecError> {
    let models = decode_models(r)?;
    let found = count(&models);
    if found > MAX_COLUMNS {
        let (found, limit) = (found as u64, MAX_COLUMNS as u64);
        return Err(CodecError::TooLarge { what: "the columns of a page", found, limit });
    }
    Ok(models)
}

fn decode_columns<'a>(
    r: &mut Reader<'a>,
    models: &[PageModel],
) -> Result<Vec<Vec<Values<'a>>>, CodecError> {
    let mut columns = Vec::with_capacity(models.len());
    for model in models {
        let mut of = Vec::with_capacity(model.fields.len());
        for _ in &model.fields {
            let tags = section(r, "the tags of a column")?;
            let numbers = section(r, "the numbers of a column")?;
            of.push(Values { tags, numbers, data: Reader::new(&[]), last: 0 });
        }
        columns.push(of);
    }
    for column in columns.iter_mut().flatten() {
        column.data = section(r, "a column")?;
    }
    Ok(columns)
}

/// The next key from the one before.
fn next_key(
    key: &mut Vec<u8>,
    shared: &mut Reader<'_>,
    keys: &mut Reader<'_>,
) -> Result<(), CodecError> {
    let same = shared.count(key.len(), "what keys have in common")?;
    key.truncate(same);
    let rest = shared.count(MAX_KEY_BYTES - same, "a record key")?;
    key.extend_from_slice(keys.raw(rest, "a record key")?);
    Ok(())
}

fn decode_extras<'a>(
    r: &mut Reader<'a>,
    extras: &mut Vec<(FieldId, ValueRef<'a>)>,
) -> Result<(), CodecError> {
    extras.clear();
    for _ in 0..r.items(MAX_FIELDS, 5, "the extra fields of a row")? {
        let field = FieldId(r.u32_le("a field id")?);
        extras.push((field, ValueRef::decode(r)?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ModelId;
    use crate::value::Value;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// A row: of which model, seq step, key, values (none for a tombstone), an extra.
    type Sample = (bool, u64, Vec<u8>, Option<[Value; 2]>, Option<Value>);

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Int),
            (-9i64..9).prop_map(Value::Int),
            any::<f64>().prop_filter("NaN", |x| !x.is_nan()).prop_map(Value::Real),
            ".{0,9}".prop_map(Value::Text),
            vec(any::<u8>(), 0..40).prop_map(Value::Blob),
        ]
        .prop_map(|value| value.canonical().unwrap())
    }

    fn any_row() -> impl Strategy<Value = Sample> {
        let key = prop_oneof![vec(0u8..3, 1..6), vec(any::<u8>(), 16)];
        let values = proptest::option::weighted(0.8, [any_value(), any_value()]);
        (any::<bool>(), 1u64..4, key, values, proptest::option::of(any_value()))
    }

    fn rows_of(samples: &[Sample]) -> Vec<u8> {
        let model = |model, fields: &[u32]| PageModel {
            model: ModelId(model),
            fields: fields.iter().map(|field| FieldId(*field)).collect(),
        };
        let mut page = PageWriter::new(&[model(1, &[3, 8]), model(7, &[4, 5])]);
        let mut seq = 0;
        for (of, step, key, values, extra) in samples {
            seq += step;
            let of = usize::from(*of);
            let Some(values) = values else {
                page.tombstone(of, seq, key);
                continue;
            };
            let extras: Vec<_> = extra.iter().map(|value| (FieldId(99), value.as_ref())).collect();
            page.row(of, seq, key, values.iter().map(Value::as_ref), &extras);
        }
        page.finish()
    }

    fn columns_of(rows: &[u8]) -> Vec<u8> {
        let mut w = Writer::new();
        encode(&mut w, rows).unwrap();
        w.into_bytes()
    }

    proptest! {
        #[test]
        fn rows_come_back_byte_for_byte(samples in vec(any_row(), 0..40)) {
            let rows = rows_of(&samples);
            prop_assert!(fit(&rows));
            let columns = columns_of(&rows);
            let mut r = Reader::new(&columns);
            prop_assert_eq!(&decode(&mut r).unwrap()[..], &rows[..]);
            prop_assert!(r.is_empty());
        }

        #[test]
        fn damage_is_refused_or_harmless(
            samples in vec(any_row(), 1..9), at in any::<prop::sample::Index>(), with in any::<u8>(),
        ) {
            let mut columns = columns_of(&rows_of(&samples));
            for end in 0..columns.len() {
                prop_assert!(decode(&mut Reader::new(&columns[..end])).is_err(), "cut at {end}");
            }
            let at = at.index(columns.len());
            columns[at] = with;
            if let Ok(rows) = decode(&mut Reader::new(&columns)) {
                prop_assert!(PageReader::new(&rows).is_ok());
            }
        }
    }

    #[test]
    fn pages_of_too_many_columns_are_not_sent_so() {
        let fields: Vec<FieldId> = (0..256).map(FieldId).collect();
        let models = |count: u32| -> Vec<PageModel> {
            let model = |n| PageModel { model: ModelId(n), fields: fields.clone() };
            (0..count).map(model).collect()
        };
        let (most, more) = (PageWriter::new(&models(64)), PageWriter::new(&models(65)));
        let (most, more) = (most.finish(), more.finish());
        assert!(fit(&most) && !fit(&more) && !fit(b"\x05"));
        let columns = columns_of(&more);
        let refused = decode(&mut Reader::new(&columns));
        assert!(matches!(refused, Err(CodecError::TooLarge { found: 16_640, .. })), "{refused:?}");
        assert_eq!(&decode(&mut Reader::new(&columns_of(&most))).unwrap()[..], &most[..]);
    }

    #[test]
    fn a_key_that_is_in_common_with_nothing_is_refused() {
        let mut key = b"ab".to_vec();
        let next = |key: &mut Vec<u8>, shared: &[u8]| {
            next_key(key, &mut Reader::new(shared), &mut Reader::new(&[7; 80]))
        };
        assert!(next(&mut key, &[3, 0]).is_err() && next(&mut key, &[1, 64]).is_err());
        key = b"ab".to_vec();
        next(&mut key, &[1, 63]).unwrap();
        assert_eq!(key.len(), MAX_KEY_BYTES);
    }

    /// A page of files as an index writes them: ids in order of time, names and hashes in none.
    fn files(count: i64) -> Vec<u8> {
        let fields = (1..=9).map(FieldId).collect();
        let mut page = PageWriter::new(&[PageModel { model: ModelId(1), fields }]);
        for n in 0..count {
            let hash = blake3::hash(&n.to_le_bytes());
            let (time, random) = ((1_700_000_000_000 + n / 20).to_be_bytes(), hash.as_bytes());
            let of_key = blake3::hash(random);
            let key = [&time[2..], &[0x70, 0][..], &of_key.as_bytes()[..8]].concat();
            let name = format!("{}-{n}.jpg", &hash.to_hex()[..6]);
            let values = [
                ValueRef::Blob(&[3; 16]),
                ValueRef::Blob(&[4; 16]),
                ValueRef::Text(&name),
                ValueRef::Null,
                ValueRef::Text("jpg"),
                ValueRef::Int(n * 4_321),
                ValueRef::Int(1_700_000_000_000 + n * 997),
                ValueRef::Int(1_000_000 + n),
                ValueRef::Blob(random),
            ];
            page.row(0, 1, &key, values, &[]);
        }
        page.finish()
    }

    #[test]
    fn little_is_left_of_a_file_but_what_is_random() {
        let packed = |rows: &[u8]| super::super::pack::pack(rows).unwrap().len();
        let rows = files(500);
        let (columns, rows) = (packed(&columns_of(&rows)), packed(&rows));
        assert!(columns <= 500 * 52 && rows > 500 * 60, "{columns} of {rows}");
    }
}
