//! Walking the shared records of a model by key: those in its table, and those that are kept whole.

use driftless_core::codec::Writer;
use driftless_core::digest::{Digest, shared_checksum_in};
use driftless_core::id::RecordKey;
use driftless_core::record::Record;
use driftless_core::schema::ModelId;
use driftless_core::store::KeyRange;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{CachedStatement, Connection, Row, Rows, ToSql};

use crate::error::{StoreError, Within};
use crate::layout::{Layout, Table, quoted};
use crate::origins::Origins;
use crate::quarantine::key_of;
use crate::shared::{decode_row, decode_whole};

const WHAT: &str = "a shared record";

/// Where shared records are read: one connection, with what it takes to read them.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) layout: &'a Layout,
    pub(crate) origins: &'a Origins,
}

/// What is read of each record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The key and the kept checksum.
    Sum,
    /// All of it.
    Record,
}

/// Records of one of the two places, in the order of keys.
struct Source<'s> {
    rows: Rows<'s>,
    key: Vec<u8>,
    more: bool,
}

impl Source<'_> {
    fn advance(&mut self, conn: &Connection) -> Result<(), StoreError> {
        self.rows.advance().within(conn, WHAT)?;
        let Some(row) = self.rows.get() else {
            self.more = false;
            return Ok(());
        };
        let key = row.get_ref(0).and_then(|key| Ok(key.as_blob()?)).within(conn, WHAT)?;
        self.key.clear();
        self.key.extend_from_slice(key);
        self.more = true;
        Ok(())
    }
}

/// The end of a statement that walks a range by the column `key`; its bounds are the parameters from
/// `first` on.
fn bounds(key: &str, range: &KeyRange, first: usize) -> String {
    let upto = match range.upto {
        Some(_) => format!(" AND {key} <= ?{}", first + 1),
        None => String::new(),
    };
    format!("{key} > ?{first}{upto} ORDER BY {key}")
}

fn statement<'c>(
    conn: &'c Connection,
    (table, part): (Option<&Table>, Part),
    range: &KeyRange,
) -> Result<CachedStatement<'c>, StoreError> {
    let sql = match table {
        Some(table) => {
            let mut columns = String::new();
            if part == Part::Record {
                for column in &table.columns {
                    columns.push_str(&quoted(&column.name));
                    columns.push_str(", ");
                }
                columns.push_str("_sync, ");
            }
            let (name, end) = (quoted(&table.name), bounds("id", range, 1));
            format!("SELECT id, {columns}_sum FROM {name} WHERE {end}")
        }
        None => {
            let record = if part == Part::Record { "record, " } else { "" };
            let end = bounds("key", range, 2);
            format!("SELECT key, {record}_sum FROM _unknown_shared WHERE model = ?1 AND {end}")
        }
    };
    conn.prepare_cached(&sql).within(conn, WHAT)
}

fn query<'s>(
    conn: &Connection,
    statement: &'s mut CachedStatement<'_>,
    model: Option<ModelId>,
    range: &KeyRange,
) -> Result<Source<'s>, StoreError> {
    // No key is empty, so the empty key stands before all of them.
    let after = range.after.as_ref().map_or(&[][..], RecordKey::as_bytes);
    let upto = range.upto.as_ref().map(RecordKey::as_bytes);
    let model = model.map(|model| model.0);
    let mut all: Vec<&dyn ToSql> = Vec::with_capacity(3);
    if let Some(model) = &model {
        all.push(model);
    }
    all.push(&after);
    if let Some(upto) = &upto {
        all.push(upto);
    }
    let rows = statement.query(&all[..]).within(conn, WHAT)?;
    let mut source = Source { rows, key: Vec::new(), more: false };
    source.advance(conn)?;
    Ok(source)
}

impl Shared<'_> {
    /// Visits the records of a range in the order of keys, as long as the visitor wants more, with
    /// the table of those that are in one.
    fn walk(
        &self,
        (model, part): (ModelId, Part),
        range: &KeyRange,
        mut visit: impl FnMut(&[u8], Option<&Table>, &Row<'_>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let conn = self.conn;
        let table = self.layout.shared(model);
        let mut prepared = match table {
            Some(_) => Some(statement(conn, (table, part), range)?),
            None => None,
        };
        let mut whole = statement(conn, (None, part), range)?;
        let mut in_table = match &mut prepared {
            Some(prepared) => Some(query(conn, prepared, None, range)?),
            None => None,
        };
        let mut whole = query(conn, &mut whole, Some(model), range)?;
        loop {
            let first = in_table.as_mut().filter(|source| source.more);
            let (source, table) = match first {
                Some(source) if !whole.more || source.key < whole.key => (source, table),
                _ if whole.more => (&mut whole, None),
                _ => return Ok(()),
            };
            let Some(row) = source.rows.get() else { return Ok(()) };
            if !visit(&source.key, table, row)? {
                return Ok(());
            }
            source.advance(conn)?;
        }
    }

    /// Visits the keys of a range and their kept checksums, in order, as long as the visitor wants
    /// more.
    pub(crate) fn sums(
        &self,
        model: ModelId,
        range: &KeyRange,
        mut visit: impl FnMut(&[u8], u64) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        self.walk((model, Part::Sum), range, |key, _, row| {
            visit(key, row.get::<_, i64>(1).within(self.conn, WHAT)?.cast_unsigned())
        })
    }

    /// The digest of a range, by the kept checksums.
    pub(crate) fn digest(&self, model: ModelId, range: &KeyRange) -> Result<Digest, StoreError> {
        let mut digest = Digest::default();
        self.sums(model, range, |_, sum| {
            digest.add(sum);
            Ok(true)
        })?;
        Ok(digest)
    }

    /// Visits the records of a range in the order of keys, with the size of their canonical bytes,
    /// as long as the visitor wants more. One that is not what its checksum says is refused.
    pub(crate) fn records(
        &self,
        model: ModelId,
        range: &KeyRange,
        mut visit: impl FnMut(RecordKey, Record, usize) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let (conn, origins) = (self.conn, self.origins);
        let mut w = Writer::new();
        self.walk((model, Part::Record), range, |key, table, row| {
            let key = key_of(conn, key)?;
            let columns = table.map_or(0, |table| table.columns.len());
            let sum = row.get::<_, i64>(columns + 2).within(conn, WHAT)?.cast_unsigned();
            let record = match table {
                Some(table) => decode_row(conn, origins, table, row, 1),
                None => {
                    let bytes = row.get_ref(1).and_then(|bytes| Ok(bytes.as_blob()?));
                    bytes.within(conn, WHAT).and_then(|bytes| decode_whole(conn, origins, bytes))
                }
            };
            let record = self.checked((model, &key), record, sum, &mut w)?;
            visit(key, record, w.len())
        })
    }

    /// A record that is what its checksum says; else an error that names it. Its canonical bytes are
    /// left in `w`.
    pub(crate) fn checked(
        &self,
        (model, key): (ModelId, &RecordKey),
        record: Result<Record, StoreError>,
        sum: u64,
        w: &mut Writer,
    ) -> Result<Record, StoreError> {
        let name = || match self.layout.table(model) {
            Some(table) => format!("the record {key} of {:?}", table.name),
            None => format!("the record {key} of model {:08x}", model.0),
        };
        match record {
            Ok(record) if shared_checksum_in(w, model, key, &record) == sum => Ok(record),
            Ok(_) => Err(StoreError::damaged(self.conn, name())),
            Err(StoreError::Damaged { path, source, .. }) => {
                Err(StoreError::Damaged { path, object: name(), source })
            }
            Err(error) => Err(error),
        }
    }
}
