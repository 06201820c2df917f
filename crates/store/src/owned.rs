//! Writing owned rows and tombstones: one path for the device's own writes, pages and deltas.
//!
//! A row is in its model's table, or in `_unknown_owned` if this build has no table for it, or if
//! another device's row has its key there (see [`crate::whole`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use driftless_core::codec::Writer;
use driftless_core::digest::{Digest, Digests, OwnedChecksum};
use driftless_core::id::{DeviceId, RecordKey, Seq};
use driftless_core::schema::ModelId;
use driftless_core::store::{Missing, Place};
use driftless_core::version::Life;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use crate::error::{StoreError, Within, to_sql_seq};
use crate::fields::encode_fields;
use crate::lane::Lane;
use crate::layout::{Layout, Table};
use crate::quarantine::{key_of, set_notes};
use crate::row::{OwnedRow, Split, note_row};
use crate::whole;

const WHAT: &str = "an owned row";

/// Writes rows of one lane, and counts what that does to its digests.
pub(crate) struct LaneWriter<'a> {
    conn: &'a Connection,
    layout: &'a Layout,
    lanes: &'a BTreeMap<DeviceId, Lane>,
    device: DeviceId,
    lane: i64,
    scratch: Scratch,
    models: BTreeMap<ModelId, ModelWriter<'a>>,
    tombstones: bool,
    notes: u64,
    refuse_foreign: bool,
    /// Rows of the lane that are missing, if there are any, and those of them that were written.
    missing: Option<Arc<Missing>>,
    written: Vec<Place>,
}

/// What one writer can leave to the next one of the same lane and life: buffers that have grown.
pub(crate) struct Scratch {
    of: (DeviceId, Life),
    sums: OwnedChecksum,
    more: Writer,
}

impl Scratch {
    fn new((device, life): (DeviceId, Life)) -> Self {
        Self { of: (device, life), sums: OwnedChecksum::new(device, life), more: Writer::new() }
    }
}

/// One model's statement, prepared once for many rows, and what was counted.
struct ModelWriter<'a> {
    table: Option<(&'a Table, CachedStatement<'a>)>,
    rows: Digest,
}

/// What the rows did to what is kept in memory.
pub(crate) struct Change {
    pub(crate) digests: Digests,
    pub(crate) tombstones: bool,
    pub(crate) notes: u64,
    pub(crate) scratch: Scratch,
    /// Rows that are not missing any more.
    pub(crate) written: Vec<Place>,
}

impl<'a> LaneWriter<'a> {
    /// A writer for the lane of `device`, which is one of `lanes`, in the life `life`; with what an
    /// earlier one left.
    pub(crate) fn new(
        (conn, layout): (&'a Connection, &'a Layout),
        lanes: &'a BTreeMap<DeviceId, Lane>,
        (device, life): (DeviceId, Life),
        (notes, scratch): (u64, Option<Scratch>),
    ) -> Result<Self, StoreError> {
        let lane = lanes.get(&device).ok_or(StoreError::NotExact(device))?;
        let scratch = scratch.filter(|scratch| scratch.of == (device, life));
        let scratch = scratch.unwrap_or_else(|| Scratch::new((device, life)));
        Ok(Self {
            conn,
            layout,
            lanes,
            device,
            lane: lane.id,
            scratch,
            models: BTreeMap::new(),
            tombstones: lane.tombstones,
            notes,
            refuse_foreign: false,
            missing: None,
            written: Vec::new(),
        })
    }

    /// Rows of the lane may be missing: those that are written from here on are not any more.
    pub(crate) fn mend(&mut self, missing: &Arc<Missing>) {
        self.missing = missing.has_rows_of(&self.device).then(|| Arc::clone(missing));
    }

    fn note_written(&mut self, model: ModelId, key: &[u8]) -> Result<(), StoreError> {
        let rows = self.missing.as_ref().and_then(|missing| missing.owned.get(&self.device));
        let Some(rows) = rows else { return Ok(()) };
        let place = (model, key_of(self.conn, key)?);
        if rows.contains_key(&place) {
            self.written.push(place);
        }
        Ok(())
    }

    /// From here on a key that another device's row has is refused.
    pub(crate) fn refuse_foreign(&mut self) {
        self.refuse_foreign = true;
    }

    /// Another device's row has the key; nothing was written yet.
    fn check_foreign(&self, table: &Table, key: &[u8], lane: i64) -> Result<(), StoreError> {
        if !self.refuse_foreign {
            return Ok(());
        }
        let key = RecordKey::new(key)
            .map_err(|_| StoreError::damaged(self.conn, format!("the keys of {:?}", table.name)))?;
        let owner = self.device_of(lane)?;
        Err(StoreError::NotOwner { model: table.name.clone(), key, owner })
    }

    /// Ends the writing.
    pub(crate) fn finish(self) -> Change {
        let digests = self.models.iter().map(|(model, writer)| (*model, writer.rows)).collect();
        let Self { tombstones, notes, scratch, written, .. } = self;
        Change { digests, tombstones, notes, scratch, written }
    }

    fn model(&mut self, model: ModelId) -> Result<(), StoreError> {
        if self.models.contains_key(&model) {
            return Ok(());
        }
        let table = match self.layout.owned(model) {
            None => None,
            Some(table) => {
                let insert = self.conn.prepare_cached(&table.sql.insert);
                Some((table, insert.within(self.conn, WHAT)?))
            }
        };
        self.models.insert(model, ModelWriter { table, rows: Digest::default() });
        Ok(())
    }

    fn rows(&mut self, model: ModelId) -> &mut Digest {
        &mut self.models.get_mut(&model).expect("a model that was begun").rows
    }

    /// Writes a row, in the place of what the lane had under its key.
    pub(crate) fn put(&mut self, model: ModelId, row: OwnedRow<'_>) -> Result<(), StoreError> {
        self.model(model)?;
        self.note_written(model, row.key)?;
        let sum = self.scratch.sums.of(model, row.key, row.seq, row.fields.iter().copied());
        let writer = self.models.get_mut(&model).expect("a model that was begun");
        writer.rows.add(sum);
        match &mut writer.table {
            None => self.keep_whole(model, row, sum)?,
            Some((table, insert)) => {
                let table = *table;
                let split = Split::new(table, row.fields);
                let bound = (row.key, self.lane, row.seq, sum);
                if split.write(self.conn, insert, bound, &mut self.scratch.more)? == 0 {
                    self.replace(table, row, split, sum)?;
                } else if split.refused {
                    note_row(self.conn, table, &row, &mut self.notes)?;
                }
            }
        }
        if self.tombstones { self.unbury(model, row.key) } else { Ok(()) }
    }

    /// Writes a row whose key is in the table already.
    fn replace(
        &mut self,
        table: &Table,
        row: OwnedRow<'_>,
        split: Split<'_>,
        sum: u64,
    ) -> Result<(), StoreError> {
        let (lane, old, sql) = self.compare(table, row.key, &split)?;
        if lane == self.lane {
            self.rows(table.model).remove(old);
        } else {
            self.check_foreign(table, row.key, lane)?;
            if self.device > self.device_of(lane)? {
                return self.keep_whole(table.model, row, sum);
            }
            whole::move_out(self.conn, table, row.key)?;
        }
        let mut update = self.conn.prepare_cached(&sql).within(self.conn, WHAT)?;
        split.write(
            self.conn,
            &mut update,
            (row.key, self.lane, row.seq, sum),
            &mut self.scratch.more,
        )?;
        if split.refused || self.notes > 0 {
            note_row(self.conn, table, &row, &mut self.notes)?;
        }
        Ok(())
    }

    /// The lane and the checksum of the row that is there, and the statement that changes those of
    /// its columns that differ: an index over the others is left alone.
    fn compare(
        &self,
        table: &Table,
        key: &[u8],
        split: &Split<'_>,
    ) -> Result<(i64, u64, String), StoreError> {
        let mut load = self.conn.prepare_cached(&table.sql.load).within(self.conn, WHAT)?;
        let mut rows = load.query([key]).within(self.conn, WHAT)?;
        let Some(old) = rows.next().within(self.conn, WHAT)? else {
            return Err(StoreError::damaged(self.conn, format!("the keys of {:?}", table.name)));
        };
        let number =
            |at: usize| old.get::<_, i64>(table.columns.len() + at).within(self.conn, WHAT);
        let sql = table.update_of(&split.changed(self.conn, old, 0)?);
        Ok((number(1)?, number(3)?.cast_unsigned(), sql))
    }

    /// The lane and the checksum of the row with this key.
    fn find(&self, table: &Table, key: &[u8]) -> Result<Option<(i64, u64)>, StoreError> {
        self.conn
            .prepare_cached(&table.sql.find)
            .and_then(|mut find| {
                let row =
                    |row: &rusqlite::Row<'_>| Ok((row.get(0)?, i64::cast_unsigned(row.get(2)?)));
                find.query_row([key], row).optional()
            })
            .within(self.conn, WHAT)
    }

    fn device_of(&self, lane: i64) -> Result<DeviceId, StoreError> {
        let found = self.lanes.iter().find(|(_, other)| other.id == lane);
        let found = found.map(|(device, _)| *device);
        found.ok_or_else(|| StoreError::damaged(self.conn, format!("the lane {lane}")))
    }

    /// Keeps a row that has no place in a table.
    fn keep_whole(
        &mut self,
        model: ModelId,
        row: OwnedRow<'_>,
        sum: u64,
    ) -> Result<(), StoreError> {
        if let Some(old) = whole::find(self.conn, (model, row.key, self.lane))? {
            self.rows(model).remove(old);
        }
        self.scratch.more.clear();
        encode_fields(&mut self.scratch.more, row.fields);
        let content = (to_sql_seq(row.seq)?, self.scratch.more.as_bytes(), sum.cast_signed());
        whole::write(self.conn, (model, row.key, self.lane), content)
    }

    /// Keeps the tombstone of a row, and removes the row if there is one.
    pub(crate) fn bury(&mut self, model: ModelId, key: &[u8], seq: Seq) -> Result<(), StoreError> {
        self.model(model)?;
        self.note_written(model, key)?;
        let found = match self.layout.owned(model) {
            Some(table) => self.find(table, key)?.map(|(lane, sum)| (table, lane, sum)),
            None => None,
        };
        match found {
            Some((table, lane, sum)) if lane == self.lane => {
                self.rows(model).remove(sum);
                whole::delete_row(self.conn, table, key)?;
                set_notes(self.conn, &mut self.notes, model, key, &[])?;
                whole::move_in(self.conn, table, key, self.lanes, &mut self.notes)?;
            }
            other => {
                if let Some(sum) = whole::find(self.conn, (model, key, self.lane))? {
                    self.rows(model).remove(sum);
                    whole::delete(self.conn, (model, key, self.lane))?;
                } else if let Some((table, lane, _)) = other {
                    self.check_foreign(table, key, lane)?;
                }
            }
        }
        self.tombstones = true;
        let seq = to_sql_seq(seq)?;
        self.conn
            .prepare_cached(
                "INSERT INTO _tombstone (lane, model, key, seq) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (lane, model, key) DO UPDATE SET seq = excluded.seq",
            )
            .and_then(|mut put| put.execute(params![self.lane, model.0, key, seq]))
            .map(|_| ())
            .within(self.conn, "a tombstone")
    }

    fn unbury(&self, model: ModelId, key: &[u8]) -> Result<(), StoreError> {
        self.conn
            .prepare_cached("DELETE FROM _tombstone WHERE lane = ?1 AND model = ?2 AND key = ?3")
            .and_then(|mut delete| delete.execute(params![self.lane, model.0, key]))
            .map(|_| ())
            .within(self.conn, "a tombstone")
    }
}
