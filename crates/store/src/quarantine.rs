//! The dead letters: what is kept, counted, served and merged, and cannot show in a table.

use driftless_core::id::RecordKey;
use driftless_core::schema::{FieldId, ModelId};
use rusqlite::{Connection, params};

use crate::error::{StoreError, Within};
use crate::open::SqliteStore;

/// Why something waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// This build does not know the model.
    UnknownModel,
    /// This build does not know the field.
    UnknownField,
    /// The value does not fit the type of its field.
    RefusedValue,
    /// Another device's row has the same key; the row of the lesser device id shows.
    KeyTaken,
}

/// Something that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// The model.
    pub model: ModelId,
    /// The record.
    pub key: RecordKey,
    /// The field, or `None` for the whole record.
    pub field: Option<FieldId>,
    /// Why.
    pub reason: Reason,
}

/// What is noted about one field of a record that is in a table otherwise.
pub(crate) type Note = (FieldId, Reason);

const WHAT: &str = "the quarantine";
/// Where records are kept whole.
const WHOLE: [&str; 2] = ["_unknown_shared", "_unknown_owned"];

fn number(reason: Reason) -> i64 {
    match reason {
        Reason::UnknownModel => 0,
        Reason::UnknownField => 1,
        Reason::RefusedValue => 2,
        Reason::KeyTaken => 3,
    }
}

fn reason(conn: &Connection, number: i64) -> Result<Reason, StoreError> {
    match number {
        1 => Ok(Reason::UnknownField),
        2 => Ok(Reason::RefusedValue),
        n => Err(StoreError::damaged(conn, format!("the reason {n} in the quarantine"))),
    }
}

/// Replaces the notes about a record, and keeps their count.
pub(crate) fn set_notes(
    conn: &Connection,
    count: &mut u64,
    model: ModelId,
    key: &[u8],
    notes: &[Note],
) -> Result<(), StoreError> {
    if *count > 0 {
        let gone = conn
            .prepare_cached("DELETE FROM _quarantine WHERE model = ?1 AND key = ?2")
            .and_then(|mut delete| delete.execute(params![model.0, key]))
            .within(conn, WHAT)?;
        *count = count.saturating_sub(gone as u64);
    }
    for (field, reason) in notes {
        conn.prepare_cached(
            "INSERT INTO _quarantine (model, key, field, reason) VALUES (?1, ?2, ?3, ?4)",
        )
        .and_then(|mut insert| insert.execute(params![model.0, key, field.0, number(*reason)]))
        .within(conn, WHAT)?;
        *count += 1;
    }
    Ok(())
}

impl SqliteStore {
    /// How many records and fields wait in quarantine.
    pub fn quarantined(&self) -> Result<u64, StoreError> {
        let mut count = self.state.notes;
        for table in WHOLE {
            let sql = format!("SELECT model, count(*) FROM {table} GROUP BY model");
            let mut select = self.conn.prepare_cached(&sql).within(&self.conn, WHAT)?;
            let mut rows = select.query([]).within(&self.conn, WHAT)?;
            while let Some(row) = rows.next().within(&self.conn, WHAT)? {
                let model = ModelId(row.get(0).within(&self.conn, WHAT)?);
                if self.why_whole(table, model).is_some() {
                    count += row.get::<_, i64>(1).within(&self.conn, WHAT)?.cast_unsigned();
                }
            }
        }
        Ok(count)
    }

    /// Up to `limit` of what waits in quarantine.
    pub fn quarantine(&self, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        let mut out = Vec::new();
        for table in WHOLE {
            self.list_whole(table, limit, &mut out)?;
        }
        let mut select = self
            .conn
            .prepare_cached("SELECT model, key, field, reason FROM _quarantine LIMIT ?1")
            .within(&self.conn, WHAT)?;
        let left = i64::try_from(limit.saturating_sub(out.len())).unwrap_or(i64::MAX);
        let mut rows = select.query([left]).within(&self.conn, WHAT)?;
        while let Some(row) = rows.next().within(&self.conn, WHAT)? {
            let field = FieldId(row.get(2).within(&self.conn, WHAT)?);
            out.push(Quarantined {
                model: ModelId(row.get(0).within(&self.conn, WHAT)?),
                key: self.key_of(&row.get::<_, Vec<u8>>(1).within(&self.conn, WHAT)?)?,
                field: Some(field),
                reason: reason(&self.conn, row.get(3).within(&self.conn, WHAT)?)?,
            });
        }
        Ok(out)
    }

    /// Adds the records of `table` that wait as a whole.
    fn list_whole(
        &self,
        table: &'static str,
        limit: usize,
        out: &mut Vec<Quarantined>,
    ) -> Result<(), StoreError> {
        let sql = format!("SELECT model, key FROM {table} ORDER BY model, key");
        let mut select = self.conn.prepare_cached(&sql).within(&self.conn, WHAT)?;
        let mut rows = select.query([]).within(&self.conn, WHAT)?;
        while out.len() < limit {
            let Some(row) = rows.next().within(&self.conn, WHAT)? else { break };
            let model = ModelId(row.get(0).within(&self.conn, WHAT)?);
            if let Some(reason) = self.why_whole(table, model) {
                let key = row.get::<_, Vec<u8>>(1).within(&self.conn, WHAT)?;
                out.push(Quarantined { model, key: self.key_of(&key)?, field: None, reason });
            }
        }
        Ok(())
    }

    /// Why a record of this model is kept whole in `table`, if that is for something to come.
    fn why_whole(&self, table: &str, model: ModelId) -> Option<Reason> {
        match self.layout.table(model).map(|known| known.kind.is_shared()) {
            // A record without a life waits for nothing but its end.
            Some(true) if table == "_unknown_shared" => None,
            Some(false) if table == "_unknown_owned" => Some(Reason::KeyTaken),
            _ => Some(Reason::UnknownModel),
        }
    }

    /// A key that a table of ours holds.
    pub(crate) fn key_of(&self, bytes: &[u8]) -> Result<RecordKey, StoreError> {
        key_of(&self.conn, bytes)
    }
}

/// A key that a table of ours holds.
pub(crate) fn key_of(conn: &Connection, bytes: &[u8]) -> Result<RecordKey, StoreError> {
    RecordKey::new(bytes).map_err(|error| StoreError::damaged(conn, error.to_string()))
}
