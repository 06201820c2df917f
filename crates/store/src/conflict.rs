//! Which fields are in open conflict, kept with each record so that they can be counted and listed.

use driftless_core::id::RecordKey;
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, MergeRule, ModelId};
use rusqlite::{Connection, params};

use crate::error::{StoreError, Within};
use crate::layout::Table;
use crate::open::SqliteStore;

const WHAT: &str = "the open conflicts";

/// A field of a shared record that has siblings of different values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The model.
    pub model: ModelId,
    /// The record.
    pub key: RecordKey,
    /// The field.
    pub field: FieldId,
}

/// Replaces what is noted about a record, and keeps the count. `table` is the record's, if this build
/// knows its model.
pub(crate) fn set_conflicts(
    conn: &Connection,
    count: &mut u64,
    (model, key): (ModelId, &[u8]),
    table: Option<&Table>,
    record: &Record,
) -> Result<(), StoreError> {
    if *count > 0 {
        let gone = conn
            .prepare_cached("DELETE FROM _conflict WHERE model = ?1 AND key = ?2")
            .and_then(|mut delete| delete.execute(params![model.0, key]))
            .within(conn, WHAT)?;
        *count = count.saturating_sub(gone as u64);
    }
    if !record.is_alive() {
        return Ok(());
    }
    let rule = |field: FieldId| {
        let column = table.and_then(|table| table.column(field).map(|at| &table.columns[at]));
        column.map_or(MergeRule::Lww, |column| column.rule)
    };
    for field in record.conflicts(rule) {
        conn.prepare_cached("INSERT INTO _conflict (model, key, field) VALUES (?1, ?2, ?3)")
            .and_then(|mut insert| insert.execute(params![model.0, key, field.0]))
            .within(conn, WHAT)?;
        *count += 1;
    }
    Ok(())
}

/// How many fields `_conflict` holds.
pub(crate) fn count_conflicts(conn: &Connection) -> Result<u64, StoreError> {
    let count = conn.query_row("SELECT count(*) FROM _conflict", [], |row| row.get::<_, i64>(0));
    Ok(count.within(conn, WHAT)?.cast_unsigned())
}

impl SqliteStore {
    /// How many fields are in open conflict.
    pub fn conflict_count(&self) -> u64 {
        self.state.conflicts
    }

    /// Up to `limit` fields in open conflict, ordered by model, key and field.
    pub fn conflicts(&self, limit: usize) -> Result<Vec<Conflict>, StoreError> {
        let conn = &self.conn;
        let mut select = conn
            .prepare_cached(
                "SELECT model, key, field FROM _conflict ORDER BY model, key, field LIMIT ?1",
            )
            .within(conn, WHAT)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = select.query([limit]).within(conn, WHAT)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().within(conn, WHAT)? {
            out.push(Conflict {
                model: ModelId(row.get(0).within(conn, WHAT)?),
                key: self.key_of(&row.get::<_, Vec<u8>>(1).within(conn, WHAT)?)?,
                field: FieldId(row.get(2).within(conn, WHAT)?),
            });
        }
        Ok(out)
    }
}
