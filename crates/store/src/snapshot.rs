//! Reading beside the writer: one consistent state of everything that is synced.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use driftless_core::digest::Digests;
use driftless_core::id::{DeviceId, RecordKey, Seq};
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, ModelId, Schema};
use driftless_core::value::Value;
use driftless_core::version::{OwnedHead, OwnedVector, Vector};
use rusqlite::{Connection, Row, params};

use crate::damage::{Depth, structure};
use crate::error::{StoreError, Within, from_sql_seq};
use crate::fields::{Fields, decode_fields};
use crate::layout::{Layout, Table};
use crate::open::{SqliteStore, open_reader};
use crate::quarantine::key_of;
use crate::row::read_fields;
use crate::shared::{decode_row, decode_whole, load};
use crate::state::State;

const WHAT: &str = "a synced row";

/// What was committed when it was taken. Usable from any thread, beside the writer.
pub struct Snapshot {
    conn: Connection,
    schema: Schema,
    layout: Layout,
    state: State,
    /// The exact lanes by their numbers.
    lanes: BTreeMap<i64, (DeviceId, OwnedHead)>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("vector", &self.state.vector).finish_non_exhaustive()
    }
}

/// A device-owned row of an exact lane.
#[derive(Clone, PartialEq, Debug)]
pub struct RowState {
    /// Its key.
    pub key: RecordKey,
    /// Whose it is.
    pub device: DeviceId,
    /// The head of that lane: its life, and how far it is held.
    pub head: OwnedHead,
    /// The change set that last wrote the row.
    pub seq: Seq,
    /// Its values that are not null, in order.
    pub fields: Vec<(FieldId, Value)>,
}

impl SqliteStore {
    /// What is committed at this moment.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let conn = open_reader(&self.dir, &self.options)?;
        conn.execute_batch("BEGIN").within(&conn, "reading")?;
        let state = State::load(&conn)?;
        let exact = state.lanes.iter();
        let lanes = exact
            .filter_map(|(device, lane)| Some((lane.id, (*device, lane.state.exact?))))
            .collect();
        let (schema, layout) = (self.schema.clone(), self.layout.clone());
        Ok(Snapshot { conn, schema, layout, state, lanes })
    }
}

impl Snapshot {
    /// The shared lanes that are held.
    pub fn vector(&self) -> &Vector {
        &self.state.vector
    }

    /// The heads of all exact owned lanes.
    pub fn owned_vector(&self) -> OwnedVector {
        self.lanes.values().copied().collect()
    }

    /// The digests as they are kept.
    pub fn digests(&self) -> &Digests {
        &self.state.digests
    }

    pub(crate) fn origins(&self) -> &crate::origins::Origins {
        &self.state.origins
    }

    /// The table of a shared model.
    pub(crate) fn table(&self, model: ModelId) -> Option<&Table> {
        self.layout.shared(model)
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The connection, for queries on the same state.
    pub fn connection(&self) -> &Connection {
        &self.conn
    }

    /// Every model that the schema knows or that has records here, in order.
    pub fn models(&self) -> Result<Vec<ModelId>, StoreError> {
        let mut models: BTreeSet<ModelId> = self.layout.iter().map(|table| table.model).collect();
        models.extend(self.state.digests.keys());
        for table in ["_unknown_shared", "_unknown_owned"] {
            let sql = format!("SELECT DISTINCT model FROM {table}");
            let mut select = self.conn.prepare(&sql).within(&self.conn, WHAT)?;
            let found = select.query_map([], |row| row.get(0).map(ModelId));
            let found: Result<Vec<_>, _> = found.and_then(Iterator::collect);
            models.extend(found.within(&self.conn, WHAT)?);
        }
        Ok(models.into_iter().collect())
    }

    /// The shared record with this key; an empty one if there is none.
    pub fn record(&self, model: ModelId, key: &RecordKey) -> Result<Record, StoreError> {
        load(&self.conn, &self.state.origins, &self.layout, (model, key))
    }

    /// Shared records of a model behind the key `after`, in the order of keys, up to `limit`.
    pub fn records(
        &self,
        model: ModelId,
        after: Option<&RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Record)>, StoreError> {
        let (conn, origins) = (&self.conn, &self.state.origins);
        let from = after.map_or(&[][..], RecordKey::as_bytes);
        let mut out = Vec::new();
        if let Some(table) = self.layout.shared(model) {
            let mut select = conn.prepare_cached(&table.sql.scan).within(conn, WHAT)?;
            let mut rows = select.query(params![from, sql_limit(limit)]).within(conn, WHAT)?;
            while let Some(row) = rows.next().within(conn, WHAT)? {
                out.push((row_key(conn, row)?, decode_row(conn, origins, table, row, 1)?));
            }
        }
        let mut select = conn
            .prepare_cached(
                "SELECT key, record FROM _unknown_shared \
                 WHERE model = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
            )
            .within(conn, WHAT)?;
        let mut rows = select.query(params![model.0, from, sql_limit(limit)]).within(conn, WHAT)?;
        while let Some(row) = rows.next().within(conn, WHAT)? {
            let bytes = row.get_ref(1).and_then(|bytes| Ok(bytes.as_blob()?));
            let record = decode_whole(conn, origins, bytes.within(conn, WHAT)?)?;
            out.push((row_key(conn, row)?, record));
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out.truncate(limit);
        Ok(out)
    }

    /// Rows of a model in exact owned lanes behind `after`, in the order of keys and, within a key,
    /// devices, up to `limit`.
    pub fn rows(
        &self,
        model: ModelId,
        after: Option<(&RecordKey, &DeviceId)>,
        limit: usize,
    ) -> Result<Vec<RowState>, StoreError> {
        let mut out = Vec::new();
        if let Some(table) = self.layout.owned(model) {
            self.table_rows(table, after, limit, &mut out)?;
        }
        self.whole_rows(model, after, limit, &mut out)?;
        out.sort_by(|a, b| (&a.key, a.device).cmp(&(&b.key, b.device)));
        out.truncate(limit);
        Ok(out)
    }

    /// The row of a model with this key in an exact owned lane; of several devices' the least's.
    pub fn row(&self, model: ModelId, key: &RecordKey) -> Result<Option<RowState>, StoreError> {
        if let Some(table) = self.layout.owned(model) {
            let conn = &self.conn;
            let mut select = conn.prepare_cached(&table.sql.load).within(conn, WHAT)?;
            let mut rows = select.query([key.as_bytes()]).within(conn, WHAT)?;
            if let Some(row) = rows.next().within(conn, WHAT)? {
                let own = table.columns.len();
                let lane: i64 = row.get(own + 1).within(conn, WHAT)?;
                if let Some((device, head)) = self.lanes.get(&lane) {
                    let seq = from_sql_seq(conn, row.get(own + 2).within(conn, WHAT)?)?;
                    let fields = to_owned(&read_fields(conn, table, row, 0)?);
                    let (key, device, head) = (key.clone(), *device, *head);
                    return Ok(Some(RowState { key, device, head, seq, fields }));
                }
            }
        }
        Ok(None)
    }

    fn table_rows(
        &self,
        table: &Table,
        after: Option<(&RecordKey, &DeviceId)>,
        limit: usize,
        out: &mut Vec<RowState>,
    ) -> Result<(), StoreError> {
        let conn = &self.conn;
        let own = table.columns.len() + 1;
        let sql = table.sql.scan.replacen("id > ?1", "id >= ?1", 1).replacen(" LIMIT ?2", "", 1);
        let mut select = conn.prepare_cached(&sql).within(conn, WHAT)?;
        let from = after.map_or(&[][..], |(key, _)| key.as_bytes());
        let mut rows = select.query([from]).within(conn, WHAT)?;
        while let Some(row) = rows.next().within(conn, WHAT)? {
            if out.len() >= limit {
                break;
            }
            let lane: i64 = row.get(own + 1).within(conn, WHAT)?;
            let Some((device, head)) = self.lanes.get(&lane) else { continue };
            let key = row_key(conn, row)?;
            if after.is_some_and(|after| (&key, device) <= after) {
                continue;
            }
            let seq = from_sql_seq(conn, row.get(own + 2).within(conn, WHAT)?)?;
            let fields = to_owned(&read_fields(conn, table, row, 1)?);
            out.push(RowState { key, device: *device, head: *head, seq, fields });
        }
        Ok(())
    }

    fn whole_rows(
        &self,
        model: ModelId,
        after: Option<(&RecordKey, &DeviceId)>,
        limit: usize,
        out: &mut Vec<RowState>,
    ) -> Result<(), StoreError> {
        let conn = &self.conn;
        let mut select = conn
            .prepare_cached(
                "SELECT key, lane, _unknown_owned.seq, fields FROM _unknown_owned \
                 JOIN _lane ON _lane.id = lane AND _lane.mint IS NOT NULL \
                 WHERE model = ?1 AND key >= ?2 AND (key, device) > (?2, ?3) \
                 ORDER BY key, device LIMIT ?4",
            )
            .within(conn, WHAT)?;
        let (key, device) =
            after.map_or((&[][..], &[][..]), |(key, device)| (key.as_bytes(), &device.0[..]));
        let mut rows =
            select.query(params![model.0, key, device, sql_limit(limit)]).within(conn, WHAT)?;
        while let Some(row) = rows.next().within(conn, WHAT)? {
            let lane: i64 = row.get(1).within(conn, WHAT)?;
            let Some((device, head)) = self.lanes.get(&lane) else { continue };
            let seq = from_sql_seq(conn, row.get(2).within(conn, WHAT)?)?;
            let bytes = row.get_ref(3).and_then(|bytes| Ok(bytes.as_blob()?));
            let mut fields = Fields::new();
            decode_fields(bytes.within(conn, WHAT)?, &mut fields).within(conn, WHAT)?;
            let (key, fields) = (row_key(conn, row)?, to_owned(&fields));
            out.push(RowState { key, device: *device, head: *head, seq, fields });
        }
        Ok(())
    }

    /// What SQLite finds wrong with the file's pages, up to `limit` findings; empty if all is well. Reads
    /// the whole file once.
    pub fn check_pages(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        structure(&self.conn, Depth::Pages, limit)
    }

    /// The same, and what indexes have that tables have not. Looks up every row in every index.
    pub fn check_structure(&self, limit: u32) -> Result<Vec<String>, StoreError> {
        structure(&self.conn, Depth::Indexes, limit)
    }
}

fn row_key(conn: &Connection, row: &Row<'_>) -> Result<RecordKey, StoreError> {
    let key = row.get_ref(0).and_then(|key| Ok(key.as_blob()?)).within(conn, WHAT)?;
    key_of(conn, key)
}

fn to_owned(fields: &Fields<'_>) -> Vec<(FieldId, Value)> {
    fields.iter().map(|(id, value)| (*id, (*value).to_owned())).collect()
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
