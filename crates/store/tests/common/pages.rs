//! Owned lanes, read as a peer reads them.

use std::collections::BTreeMap;

use driftless_core::id::{DeviceId, RecordKey};
use driftless_core::page::{Cursor, PageReader};
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::Store;
use driftless_core::value::Value;

/// Rows with their seqs, tombstones included.
pub(crate) type Walked = Vec<(u64, ModelId, RecordKey, Option<BTreeMap<FieldId, Value>>)>;

/// All rows of a lane by pages of some size.
pub(crate) fn walk<S: Store>(
    store: &mut S,
    lane: &DeviceId,
    max_rows: usize,
    max_bytes: usize,
) -> Walked {
    let head = store.lane(lane).and_then(|lane| lane.exact).unwrap();
    let mut cursor = Cursor::after(0);
    let mut out = Walked::new();
    while cursor < Cursor::after(head.seq) {
        let page = store.read_page(lane, &cursor, max_rows, max_bytes).unwrap();
        let rows = decode(&page.rows);
        assert_eq!(rows.len(), page.count);
        assert!(page.count <= max_rows && page.next > cursor);
        out.extend(rows);
        cursor = page.next;
    }
    out
}

fn decode(bytes: &[u8]) -> Walked {
    let mut page = PageReader::new(bytes).unwrap();
    let (mut values, mut extras) = (vec![], vec![]);
    let mut out = Walked::new();
    while let Some(row) = page.next_row(&mut values, &mut extras).unwrap() {
        let model = &page.models()[row.model];
        let fields = model.fields.iter().zip(&values).map(|(id, value)| (*id, *value));
        let fields = fields.chain(extras.iter().copied()).filter(|(_, value)| !value.is_null());
        let fields = fields.map(|(id, value)| (id, value.to_owned())).collect();
        let key = RecordKey::new(row.key).unwrap();
        out.push((row.seq, model.model, key, (!row.tombstone).then_some(fields)));
    }
    out
}
