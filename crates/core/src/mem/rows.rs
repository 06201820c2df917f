//! Rows of a page as the reference keeps them.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Key, Row};
use crate::id::RecordKey;
use crate::page::{PageModel, PageReader, PageWriter};
use crate::schema::{FieldId, ModelId};
use crate::value::ValueRef;

pub(super) fn decode_rows(bytes: &[u8]) -> Vec<(Key, Row)> {
    let mut page = PageReader::new(bytes).expect("the engine checked the page");
    let (mut values, mut extras) = (Vec::new(), Vec::new());
    let mut rows = Vec::new();
    while let Some(row) = page.next_row(&mut values, &mut extras).expect("the engine checked it") {
        let model = &page.models()[row.model];
        let named = model.fields.iter().copied().zip(values.iter().copied());
        let fields = named.chain(extras.iter().copied()).filter(|(_, value)| !value.is_null());
        let fields = fields.map(|(id, value)| (id, value.to_owned())).collect();
        let key = RecordKey::new(row.key).expect("the engine checked the key");
        rows.push(((model.model, key), (row.seq, (!row.tombstone).then_some(fields))));
    }
    rows
}

/// Writes rows of one page; every field travels as an extra, as the reference knows no schema.
pub(super) fn encode_rows(rows: &[(&Key, &Row)]) -> Bytes {
    let models: BTreeSet<ModelId> = rows.iter().map(|(key, _)| key.0).collect();
    let models: Vec<_> =
        models.into_iter().map(|model| PageModel { model, fields: vec![] }).collect();
    let mut page = PageWriter::new(&models);
    for (key, (seq, fields)) in rows {
        let model = models.partition_point(|model| model.model < key.0);
        match fields {
            None => page.tombstone(model, *seq, key.1.as_bytes()),
            Some(fields) => {
                let extras: Vec<(FieldId, ValueRef<'_>)> =
                    fields.iter().map(|(id, value)| (*id, value.as_ref())).collect();
                page.row(model, *seq, key.1.as_bytes(), [], &extras);
            }
        }
    }
    page.finish().into()
}
