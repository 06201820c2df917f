//! Which fields are in open conflict, kept with each record so that they can be counted and listed.

use driftless_core::id::{RecordKey, derived_id};
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, MergeRule, ModelId, ModelKind};
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::error::{StoreError, Within};
use crate::layout::Table;
use crate::open::SqliteStore;
use crate::quarantine::key_of;
use crate::snapshot::Snapshot;

const WHAT: &str = "the open conflicts";

/// A field of a shared record that has siblings of different values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Conflict {
    /// The model.
    pub model: ModelId,
    /// The record.
    pub key: RecordKey,
    /// The field.
    pub field: FieldId,
}

impl Conflict {
    /// Its id: the same on every device, and for as long as the field exists.
    pub fn id(&self) -> Uuid {
        let (model, field) = (self.model.0.to_le_bytes(), self.field.0.to_le_bytes());
        derived_id("driftless conflict", &[&model, self.key.as_bytes(), &field])
    }
}

/// Replaces what is noted about a record, and keeps the count. `table` is the record's, if this build
/// knows its model.
///
/// Only fields whose rule this build knows can be in conflict: the siblings of an unknown one may as
/// well be the subtotals of a counter. They are noted when the field becomes known.
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
    // A link's fields follow from its key.
    let Some(table) = table.filter(|table| table.kind == ModelKind::Shared && record.is_alive())
    else {
        return Ok(());
    };
    let known = |field: FieldId| table.column(field).map(|at| &table.columns[at]);
    let rule = |field: FieldId| known(field).map_or(MergeRule::Lww, |column| column.rule);
    for field in record.conflicts(rule).filter(|field| known(*field).is_some()) {
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

    /// Up to `limit` fields in open conflict behind `after`, ordered by model, key and field.
    pub fn conflicts(
        &self,
        after: Option<&Conflict>,
        limit: usize,
    ) -> Result<Vec<Conflict>, StoreError> {
        list(&self.conn, after, limit)
    }
}

impl Snapshot {
    /// Up to `limit` fields in open conflict behind `after`, ordered by model, key and field.
    pub fn conflicts(
        &self,
        after: Option<&Conflict>,
        limit: usize,
    ) -> Result<Vec<Conflict>, StoreError> {
        list(self.connection(), after, limit)
    }
}

fn list(
    conn: &Connection,
    after: Option<&Conflict>,
    limit: usize,
) -> Result<Vec<Conflict>, StoreError> {
    let mut select = conn
        .prepare_cached(
            "SELECT model, key, field FROM _conflict WHERE (model, key, field) > (?1, ?2, ?3) \
             ORDER BY model, key, field LIMIT ?4",
        )
        .within(conn, WHAT)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (model, key, field) = after.map_or((-1, &[][..], -1), |after| {
        (i64::from(after.model.0), after.key.as_bytes(), i64::from(after.field.0))
    });
    let mut rows = select.query(params![model, key, field, limit]).within(conn, WHAT)?;
    let mut out = Vec::new();
    while let Some(row) = rows.next().within(conn, WHAT)? {
        out.push(Conflict {
            model: ModelId(row.get(0).within(conn, WHAT)?),
            key: key_of(conn, &row.get::<_, Vec<u8>>(1).within(conn, WHAT)?)?,
            field: FieldId(row.get(2).within(conn, WHAT)?),
        });
    }
    Ok(out)
}
