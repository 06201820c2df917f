//! Pages: device-owned rows on the wire, and the cursors that walk them.
//!
//! # Format
//!
//! ```text
//! rows   = models: count (model:u32 fields: count u32*)*  row*  end
//! row    = (index into models + 1) << 1 | tombstone :var   seq - previous row's seq :var
//!          key:bytes  [value*  extras: count (id:u32 value)*]      neither for a tombstone
//! end    = 0:u8
//! ```
//!
//! Fields stand in ascending order of their ids and so do extras, which are fields that the sender
//! keeps without knowing them. Values that are null are written as such.

use crate::codec::{CodecError, Reader, Writer};
use crate::id::{RecordKey, Seq};
use crate::limits::{MAX_FIELDS, MAX_KEY_BYTES, MAX_PAGE_ROWS};
use crate::schema::{FieldId, ModelId};
use crate::value::ValueRef;

/// How far a walk over an owned lane has come, in the order (seq, model, key).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// The position in the stream.
    pub seq: Seq,
    /// The last row of that position that was passed, or `None` if all of them were.
    pub at: Option<(ModelId, RecordKey)>,
}

impl Cursor {
    /// Everything up to and including `seq` was passed.
    pub fn after(seq: Seq) -> Self {
        Self { seq, at: None }
    }

    /// Just behind this row.
    pub fn at(seq: Seq, model: ModelId, key: RecordKey) -> Self {
        Self { seq, at: Some((model, key)) }
    }

    /// The last seq of which everything was passed.
    pub fn complete(&self) -> Seq {
        if self.at.is_none() { self.seq } else { self.seq.saturating_sub(1) }
    }

    /// Whether the row at (seq, model, key) was passed.
    pub fn passed(&self, seq: Seq, model: ModelId, key: &[u8]) -> bool {
        match &self.at {
            _ if seq != self.seq => seq < self.seq,
            None => true,
            Some((m, k)) => (model, key) <= (*m, k.as_bytes()),
        }
    }

    /// Writes the cursor.
    pub fn encode(&self, w: &mut Writer) {
        w.var(self.seq);
        match &self.at {
            None => w.u8(0),
            Some((model, key)) => {
                w.u8(1);
                w.u32_le(model.0);
                w.key(key);
            }
        }
    }

    /// Reads a cursor.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let seq = r.var("a cursor's seq")?;
        let at = match r.u8("a cursor's kind")? {
            0 => None,
            1 => Some((ModelId(r.u32_le("a model id")?), r.key()?)),
            tag => return Err(CodecError::Invalid { what: "a cursor's kind", found: tag.into() }),
        };
        Ok(Self { seq, at })
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cursor {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rank = |c: &Self| (c.seq, c.at.is_none());
        rank(self).cmp(&rank(other)).then_with(|| self.at.cmp(&other.at))
    }
}

/// The columns of one model within a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageModel {
    /// The model.
    pub model: ModelId,
    /// Its fields, ascending by id.
    pub fields: Vec<FieldId>,
}

/// Writes the models of a page, with which it begins in rows as in columns.
pub(crate) fn encode_models(w: &mut Writer, models: &[PageModel]) {
    w.count(models.len());
    for model in models {
        w.u32_le(model.model.0);
        w.count(model.fields.len());
        for field in &model.fields {
            w.u32_le(field.0);
        }
    }
}

/// Reads the models of a page.
pub(crate) fn decode_models(r: &mut Reader<'_>) -> Result<Vec<PageModel>, CodecError> {
    let n = r.items(4_096, 5, "the models of a page")?;
    let mut models = Vec::with_capacity(n);
    for _ in 0..n {
        let model = ModelId(r.u32_le("a model id")?);
        let n = r.items(MAX_FIELDS, 4, "the fields of a page")?;
        let mut fields = Vec::with_capacity(n);
        for _ in 0..n {
            fields.push(FieldId(r.u32_le("a field id")?));
        }
        if !fields.is_sorted_by(|a, b| a < b) {
            return Err(CodecError::NotCanonical("the order of a page's fields"));
        }
        models.push(PageModel { model, fields });
    }
    Ok(models)
}

/// Writes the rows of a page.
pub struct PageWriter {
    w: Writer,
    columns: Vec<usize>,
    seq: Seq,
    rows: usize,
}

impl PageWriter {
    /// A page with rows of these models.
    pub fn new(models: &[PageModel]) -> Self {
        let mut w = Writer::new();
        encode_models(&mut w, models);
        let columns = models.iter().map(|model| model.fields.len()).collect();
        Self { w, columns, seq: 0, rows: 0 }
    }

    fn head(&mut self, model: usize, tombstone: bool, seq: Seq, key: &[u8]) {
        self.w.count((model + 1) << 1 | usize::from(tombstone));
        self.w.var(seq - self.seq);
        self.w.bytes(key);
        self.seq = seq;
        self.rows += 1;
    }

    /// Adds a row of the model at index `model`; seqs must not descend.
    pub fn row<'a>(
        &mut self,
        model: usize,
        seq: Seq,
        key: &[u8],
        values: impl IntoIterator<Item = ValueRef<'a>>,
        extras: &[(FieldId, ValueRef<'a>)],
    ) {
        self.head(model, false, seq, key);
        let mut n = 0;
        for value in values {
            value.encode(&mut self.w);
            n += 1;
        }
        assert_eq!(n, self.columns[model], "one value for each column");
        self.w.count(extras.len());
        for (field, value) in extras {
            self.w.u32_le(field.0);
            value.encode(&mut self.w);
        }
    }

    /// Adds the tombstone of a row.
    pub fn tombstone(&mut self, model: usize, seq: Seq, key: &[u8]) {
        self.head(model, true, seq, key);
    }

    /// Rows and tombstones so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.w.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The page's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.w.u8(0);
        self.w.into_bytes()
    }
}

/// One row of a page, borrowed from its bytes.
#[derive(Debug)]
pub struct PageRow<'a> {
    /// Index into [`PageReader::models`].
    pub model: usize,
    /// The change set that last wrote the row.
    pub seq: Seq,
    /// The record's key.
    pub key: &'a [u8],
    /// Whether the row was deleted; it has no values then.
    pub tombstone: bool,
}

/// Reads the rows of a page without copying them.
pub struct PageReader<'a> {
    r: Reader<'a>,
    models: Vec<PageModel>,
    seq: Seq,
    rows: usize,
    done: bool,
}

impl<'a> PageReader<'a> {
    /// A reader over a page's bytes.
    pub fn new(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(bytes);
        let models = decode_models(&mut r)?;
        Ok(Self { r, models, seq: 0, rows: 0, done: false })
    }

    /// The models that rows refer to.
    pub fn models(&self) -> &[PageModel] {
        &self.models
    }

    /// The next row; its values go into `values` (one for each field of its model) and `extras`,
    /// which are cleared first. `None` at the end.
    pub fn next_row(
        &mut self,
        values: &mut Vec<ValueRef<'a>>,
        extras: &mut Vec<(FieldId, ValueRef<'a>)>,
    ) -> Result<Option<PageRow<'a>>, CodecError> {
        values.clear();
        extras.clear();
        if self.done {
            return Ok(None);
        }
        let head = self.r.var("a row's head")?;
        if head == 0 {
            self.done = true;
            self.r.clone().finish("a page")?;
            return Ok(None);
        }
        let bad = CodecError::Invalid { what: "a row's model", found: head };
        let model = usize::try_from(head >> 1).ok().and_then(|i| i.checked_sub(1));
        let model = model.filter(|i| *i < self.models.len()).ok_or(bad)?;
        let step = self.r.var("a row's seq")?;
        self.seq = self
            .seq
            .checked_add(step)
            .filter(|seq| *seq > 0)
            .ok_or(CodecError::Invalid { what: "a row's seq", found: step })?;
        self.rows += 1;
        if self.rows > MAX_PAGE_ROWS {
            let (found, limit) = (self.rows as u64, MAX_PAGE_ROWS as u64);
            return Err(CodecError::TooLarge { what: "rows of a page", found, limit });
        }
        let key = self.r.bytes(MAX_KEY_BYTES, "a record key")?;
        if key.is_empty() {
            return Err(CodecError::Invalid { what: "a record key's length", found: 0 });
        }
        let tombstone = head & 1 == 1;
        if !tombstone {
            for _ in 0..self.models[model].fields.len() {
                values.push(ValueRef::decode(&mut self.r)?);
            }
            for _ in 0..self.r.items(MAX_FIELDS, 5, "the extra fields of a row")? {
                let field = FieldId(self.r.u32_le("a field id")?);
                extras.push((field, ValueRef::decode(&mut self.r)?));
            }
        }
        Ok(Some(PageRow { model, seq: self.seq, key, tombstone }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_ordered_like_rows() {
        let key = |b| RecordKey::new(&[b]).unwrap();
        let (a, b) = (Cursor::at(3, ModelId(1), key(1)), Cursor::at(3, ModelId(1), key(2)));
        assert!(Cursor::after(2) < a && a < b && b < Cursor::after(3));
        assert!(b.passed(3, ModelId(1), &[2]) && !a.passed(3, ModelId(1), &[2]));
        assert!(a.passed(2, ModelId(9), &[9]) && !Cursor::after(3).passed(4, ModelId(0), &[0]));
        assert_eq!((a.complete(), Cursor::after(3).complete()), (2, 3));
    }

    #[test]
    fn pages_round_trip() {
        let fields = vec![FieldId(3), FieldId(8)];
        let mut page = PageWriter::new(&[PageModel { model: ModelId(1), fields }]);
        page.row(0, 4, b"k1", [ValueRef::Int(-1), ValueRef::Text("é\0")], &[]);
        page.tombstone(0, 4, b"k2");
        let extra = (FieldId(99), ValueRef::Blob(b"new"));
        page.row(0, 9, b"k3", [ValueRef::Null, ValueRef::Real(0.5)], &[extra]);
        let bytes = page.finish();
        let mut reader = PageReader::new(&bytes).unwrap();
        let (mut values, mut extras) = (vec![], vec![]);
        let mut seen = vec![];
        while let Some(row) = reader.next_row(&mut values, &mut extras).unwrap() {
            seen.push((row.seq, row.key.to_vec(), row.tombstone, values.len(), extras.len()));
        }
        let k = |n: u8| vec![b'k', b'0' + n];
        assert_eq!(seen, [(4, k(1), false, 2, 0), (4, k(2), true, 0, 0), (9, k(3), false, 2, 1)]);
        for end in 0..bytes.len() {
            let Ok(mut reader) = PageReader::new(&bytes[..end]) else { continue };
            let refused = loop {
                match reader.next_row(&mut values, &mut extras) {
                    Ok(Some(_)) => {}
                    Ok(None) => break false,
                    Err(_) => break true,
                }
            };
            assert!(refused, "cut at {end}");
        }
    }
}
