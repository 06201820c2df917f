//! Shared records: the visible values in columns, everything that the merge needs in one BLOB.
//!
//! `_sync` is the record as [`Record::encode_with`] writes it, with origins as numbers of `_origin`,
//! and without the value that its column holds; or, where the table says all of that, in a short form
//! ([`crate::short`]). A record that has no table, or no life, is whole in
//! `_unknown_shared`.

use driftless_core::codec::{CodecError, Reader, Writer};
use driftless_core::digest::shared_checksum;
use driftless_core::id::{Dot, RecordKey};
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, MergeRule, ModelId};
use driftless_core::value::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::bind::{Bind, column_value, fits};
use crate::conflict::set_conflicts;
use crate::error::{StoreError, Within};
use crate::layout::{Column, Layout, Table};
use crate::open::SqliteStore;
use crate::origins::Origins;
use crate::quarantine::{Note, Reason, set_notes};
use crate::short;

const WHAT: &str = "a shared record";

/// Where a record is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In its model's table.
    Table,
    /// Whole in `_unknown_shared`.
    Whole,
}

/// What of a record shows in its table's columns.
pub(crate) struct Projection {
    /// The columns' values.
    values: Vec<Value>,
    /// For each column, the version whose value the column holds.
    held: Vec<Option<Dot>>,
    /// What does not show.
    notes: Vec<Note>,
}

impl Projection {
    pub(crate) fn of(table: &Table, record: &Record) -> Self {
        let mut projection = Self { values: Vec::new(), held: Vec::new(), notes: Vec::new() };
        for column in &table.columns {
            let (value, held) = projection.show(column, record);
            projection.values.push(value);
            projection.held.push(held);
        }
        let unknown = record.fields.keys().filter(|field| table.column(**field).is_none());
        projection.notes.extend(unknown.map(|field| (*field, Reason::UnknownField)));
        projection
    }

    /// What shows of one field, and whose value that is.
    fn show(&mut self, column: &Column, record: &Record) -> (Value, Option<Dot>) {
        let refused = (column.field, Reason::RefusedValue);
        if column.rule != MergeRule::Lww {
            let versions = record.versions(column.field);
            if versions.iter().any(|version| !matches!(version.value, Value::Int(_))) {
                self.notes.push(refused);
            }
            return (record.shown(column.field, column.rule), None);
        }
        match record.winner(column.field) {
            None => (Value::Null, None),
            Some(winner) if fits(column.ty, &winner.value.as_ref()) => {
                (winner.value.clone(), Some(winner.dot))
            }
            Some(_) => {
                self.notes.push(refused);
                (Value::Null, None)
            }
        }
    }

    /// The bytes of `_sync`.
    fn encode(&self, table: &Table, record: &Record, origins: &Origins) -> Vec<u8> {
        if let Some(bytes) = short::encode(table, record, &self.values, origins) {
            return bytes;
        }
        let mut w = Writer::new();
        record.encode_with(
            &mut w,
            |w, origin| origins.write(w, origin),
            |field, version| {
                table.column(field).is_some_and(|at| self.held[at] == Some(version.dot))
            },
        );
        w.into_bytes()
    }
}

/// A record from a row of its table, whose fields begin at column `first`.
pub(crate) fn decode_row(
    conn: &Connection,
    origins: &Origins,
    table: &Table,
    row: &Row<'_>,
    first: usize,
) -> Result<Record, StoreError> {
    let sync = row.get_ref(first + table.columns.len()).and_then(|sync| Ok(sync.as_blob()?));
    let sync = sync.within(conn, WHAT)?;
    let elsewhere = |field: FieldId| {
        let lost = CodecError::Invalid { what: "a value in a column", found: field.0.into() };
        let at = table.column(field).ok_or_else(|| lost.clone())?;
        let value = row.get_ref(first + at).map_err(|_| lost)?;
        Ok(column_value(value)?.to_owned())
    };
    if let Some(record) = short::decode(table, sync, origins, elsewhere).within(conn, WHAT)? {
        return Ok(record);
    }
    let mut r = Reader::new(sync);
    let record = Record::decode_with(&mut r, |r| origins.read(r), elsewhere);
    let record = record.within(conn, WHAT)?;
    r.finish("a record").within(conn, WHAT)?;
    Ok(record)
}

/// A record from `_unknown_shared`.
pub(crate) fn decode_whole(
    conn: &Connection,
    origins: &Origins,
    bytes: &[u8],
) -> Result<Record, StoreError> {
    let mut r = Reader::new(bytes);
    let nowhere = |field: FieldId| {
        Err(CodecError::Invalid { what: "a value kept elsewhere", found: field.0.into() })
    };
    let record = Record::decode_with(&mut r, |r| origins.read(r), nowhere).within(conn, WHAT)?;
    r.finish("a record").within(conn, WHAT)?;
    Ok(record)
}

/// Writes a record into its table; `update` if it is there already.
pub(crate) fn write_row(
    conn: &Connection,
    origins: &Origins,
    table: &Table,
    (key, record, sum): (&[u8], &Record, i64),
    update: bool,
) -> Result<Vec<Note>, StoreError> {
    let shown = Projection::of(table, record);
    let sync = shown.encode(table, record, origins);
    let sql = if update { &table.sql.update } else { &table.sql.insert };
    let mut write = conn.prepare_cached(sql).within(conn, WHAT)?;
    let mut bind = || {
        write.raw_bind_parameter(1, key)?;
        for (at, value) in shown.values.iter().enumerate() {
            write.raw_bind_parameter(at + 2, Bind(value.as_ref()))?;
        }
        write.raw_bind_parameter(table.columns.len() + 2, &sync[..])?;
        write.raw_bind_parameter(table.columns.len() + 3, sum)?;
        write.raw_execute()
    };
    match bind().within(conn, WHAT)? {
        1 => Ok(shown.notes),
        _ => Err(StoreError::damaged(conn, format!("the index of {:?} by key", table.name))),
    }
}

/// Writes a record whole.
pub(crate) fn write_whole(
    conn: &Connection,
    origins: &Origins,
    model: ModelId,
    (key, record, sum): (&[u8], &Record, i64),
) -> Result<(), StoreError> {
    let mut w = Writer::new();
    record.encode_with(&mut w, |w, origin| origins.write(w, origin), |_, _| false);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO _unknown_shared (model, key, record, _sum) VALUES (?1, ?2, ?3, ?4)",
    )
    .and_then(|mut put| put.execute(params![model.0, key, w.as_bytes(), sum]))
    .map(|_| ())
    .within(conn, WHAT)
}

/// The record with this key, wherever it is kept; an empty one if there is none.
pub(crate) fn load(
    conn: &Connection,
    origins: &Origins,
    layout: &Layout,
    (model, key): (ModelId, &RecordKey),
) -> Result<Record, StoreError> {
    if let Some(table) = layout.shared(model) {
        let mut select = conn.prepare_cached(&table.sql.load).within(conn, WHAT)?;
        let mut rows = select.query([key.as_bytes()]).within(conn, WHAT)?;
        if let Some(row) = rows.next().within(conn, WHAT)? {
            let sum = row.get(table.columns.len() + 1).within(conn, WHAT)?;
            return checked(conn, (model, key), decode_row(conn, origins, table, row, 0)?, sum);
        }
    }
    let mut select = conn
        .prepare_cached("SELECT record, _sum FROM _unknown_shared WHERE model = ?1 AND key = ?2")
        .within(conn, WHAT)?;
    let mut rows = select.query(params![model.0, key.as_bytes()]).within(conn, WHAT)?;
    match rows.next().within(conn, WHAT)? {
        None => Ok(Record::default()),
        Some(row) => {
            let bytes = row.get_ref(0).and_then(|bytes| Ok(bytes.as_blob()?));
            let record = decode_whole(conn, origins, bytes.within(conn, WHAT)?)?;
            checked(conn, (model, key), record, row.get(1).within(conn, WHAT)?)
        }
    }
}

/// A record that is what its checksum says: else what is written next would be made of damage, and
/// would have a checksum that hides it.
fn checked(
    conn: &Connection,
    (model, key): (ModelId, &RecordKey),
    record: Record,
    sum: i64,
) -> Result<Record, StoreError> {
    if shared_checksum(model, key, &record) == sum.cast_unsigned() {
        return Ok(record);
    }
    Err(StoreError::damaged(conn, format!("the record {key}")))
}

impl SqliteStore {
    pub(crate) fn load_record(
        &self,
        model: ModelId,
        key: &RecordKey,
    ) -> Result<Record, StoreError> {
        let loaded = load(&self.conn, &self.state.origins, &self.layout, (model, key));
        if matches!(loaded, Err(StoreError::Damaged { .. })) {
            self.met_damage.set(true);
        }
        loaded
    }

    /// Whether a record that was asked for was damaged, since this was asked last.
    pub fn take_met_damage(&self) -> bool {
        self.met_damage.take()
    }

    /// Where a record is, and its checksum.
    pub(crate) fn find_record(
        &self,
        model: ModelId,
        key: &[u8],
    ) -> Result<Option<(Place, u64)>, StoreError> {
        let conn = &self.conn;
        if let Some(table) = self.layout.shared(model) {
            let sum = conn
                .prepare_cached(&table.sql.find)
                .and_then(|mut select| select.query_row([key], |row| row.get(0)).optional());
            if let Some(sum) = sum.within(conn, WHAT)? {
                return Ok(Some((Place::Table, i64::cast_unsigned(sum))));
            }
        }
        let sum = conn
            .prepare_cached("SELECT _sum FROM _unknown_shared WHERE model = ?1 AND key = ?2")
            .and_then(|mut select| {
                select.query_row(params![model.0, key], |row| row.get(0)).optional()
            });
        Ok(sum.within(conn, WHAT)?.map(|sum| (Place::Whole, i64::cast_unsigned(sum))))
    }

    fn remove_record(&self, place: Place, model: ModelId, key: &[u8]) -> Result<(), StoreError> {
        let conn = &self.conn;
        let done = match (place, self.layout.shared(model)) {
            (Place::Table, Some(table)) => {
                conn.prepare_cached(&table.sql.delete).and_then(|mut delete| delete.execute([key]))
            }
            _ => conn
                .prepare_cached("DELETE FROM _unknown_shared WHERE model = ?1 AND key = ?2")
                .and_then(|mut delete| delete.execute(params![model.0, key])),
        };
        done.map(|_| ()).within(conn, WHAT)
    }

    pub(crate) fn save_record(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.writable()?;
        let bytes = key.as_bytes();
        let old = self.find_record(model, bytes)?;
        let gone = record.lives.is_empty() && record.fields.is_empty();
        let place = match self.layout.shared(model) {
            _ if gone => None,
            Some(_) if record.is_alive() => Some(Place::Table),
            _ => Some(Place::Whole),
        };
        if let Some((was, sum)) = old {
            if Some(was) != place {
                self.remove_record(was, model, bytes)?;
            }
            self.state.digest(model, |digest| digest.remove(sum));
        }
        let mut notes = Vec::new();
        if let Some(place) = place {
            for origin in record.origins() {
                self.state.intern(&self.conn, &origin)?;
            }
            let sum = shared_checksum(model, key, record);
            let row = (bytes, record, sum.cast_signed());
            let (conn, origins) = (&self.conn, &self.state.origins);
            match (place, self.layout.shared(model)) {
                (Place::Table, Some(table)) => {
                    let update = old.is_some_and(|(was, _)| was == place);
                    notes = write_row(conn, origins, table, row, update)?;
                }
                _ => write_whole(conn, origins, model, row)?,
            }
            self.state.digest(model, |digest| digest.add(sum));
        }
        set_notes(&self.conn, &mut self.state.notes, model, bytes, &notes)?;
        let (conflicts, table) = (&mut self.state.conflicts, self.layout.shared(model));
        set_conflicts(&self.conn, conflicts, (model, bytes), table, record)
    }
}
