//! Writing owned rows and tombstones: one path for the device's own writes, pages and deltas.
//!
//! A row is in its model's table, or in `_unknown_owned` if this build has no table for it, or if
//! another device's row has its key there (see [`crate::whole`]).

use std::collections::BTreeMap;

use driftless_core::codec::Writer;
use driftless_core::digest::{Digest, Digests, OwnedChecksum};
use driftless_core::id::{DeviceId, Seq};
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::value::ValueRef;
use driftless_core::version::Life;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};

use crate::bind::{Bind, fits};
use crate::error::{StoreError, Within, to_sql_seq};
use crate::fields::encode_fields;
use crate::lane::Lane;
use crate::layout::{Layout, Table};
use crate::quarantine::{Note, Reason, set_notes};
use crate::whole;

const WHAT: &str = "an owned row";

/// A row to be written; its fields are canonical.
#[derive(Clone, Copy)]
pub(crate) struct OwnedRow<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) seq: Seq,
    pub(crate) fields: &'a [(FieldId, ValueRef<'a>)],
}

/// What a statement did with a row.
pub(crate) struct Written {
    pub(crate) rows: usize,
    /// Whether a value does not fit its column.
    pub(crate) refused: bool,
}

/// Writes rows of one lane, and counts what that does to its digests.
pub(crate) struct LaneWriter<'a> {
    conn: &'a Connection,
    layout: &'a Layout,
    lanes: &'a BTreeMap<DeviceId, Lane>,
    device: DeviceId,
    lane: i64,
    sums: OwnedChecksum,
    models: BTreeMap<ModelId, ModelWriter<'a>>,
    more: Writer,
    tombstones: bool,
    notes: u64,
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
}

impl<'a> LaneWriter<'a> {
    /// A writer for the lane of `device`, which is one of `lanes`, in the life `life`.
    pub(crate) fn new(
        (conn, layout): (&'a Connection, &'a Layout),
        lanes: &'a BTreeMap<DeviceId, Lane>,
        (device, life): (DeviceId, Life),
        notes: u64,
    ) -> Result<Self, StoreError> {
        let lane = lanes.get(&device).ok_or(StoreError::NotExact(device))?;
        Ok(Self {
            conn,
            layout,
            lanes,
            device,
            lane: lane.id,
            sums: OwnedChecksum::new(device, life),
            models: BTreeMap::new(),
            more: Writer::new(),
            tombstones: lane.tombstones,
            notes,
        })
    }

    /// Ends the writing.
    pub(crate) fn finish(self) -> Change {
        let digests = self.models.iter().map(|(model, writer)| (*model, writer.rows)).collect();
        Change { digests, tombstones: self.tombstones, notes: self.notes }
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
        let sum = self.sums.of(model, row.key, row.seq, row.fields.iter().copied());
        let writer = self.models.get_mut(&model).expect("a model that was begun");
        writer.rows.add(sum);
        match &mut writer.table {
            None => self.keep_whole(model, row, sum)?,
            Some((table, insert)) => {
                let table = *table;
                let done =
                    write_row(self.conn, insert, table, (self.lane, sum), &row, &mut self.more)?;
                if done.rows == 0 {
                    self.replace(table, row, sum)?;
                } else if done.refused {
                    note_row(self.conn, table, &row, &mut self.notes)?;
                }
            }
        }
        if self.tombstones { self.unbury(model, row.key) } else { Ok(()) }
    }

    /// Writes a row whose key is in the table already.
    fn replace(&mut self, table: &Table, row: OwnedRow<'_>, sum: u64) -> Result<(), StoreError> {
        let Some((lane, old)) = self.find(table, row.key)? else {
            return Err(StoreError::damaged(self.conn, format!("the keys of {:?}", table.name)));
        };
        if lane == self.lane {
            self.rows(table.model).remove(old);
        } else if self.device < self.device_of(lane)? {
            whole::move_out(self.conn, table, row.key)?;
        } else {
            return self.keep_whole(table.model, row, sum);
        }
        let mut update = self.conn.prepare_cached(&table.sql.update).within(self.conn, WHAT)?;
        let ours = (self.lane, sum);
        let done = write_row(self.conn, &mut update, table, ours, &row, &mut self.more)?;
        if done.refused || self.notes > 0 {
            note_row(self.conn, table, &row, &mut self.notes)?;
        }
        Ok(())
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
        self.more.clear();
        encode_fields(&mut self.more, row.fields);
        let content = (to_sql_seq(row.seq)?, self.more.as_bytes(), sum.cast_signed());
        whole::write(self.conn, (model, row.key, self.lane), content)
    }

    /// Keeps the tombstone of a row, and removes the row if there is one.
    pub(crate) fn bury(&mut self, model: ModelId, key: &[u8], seq: Seq) -> Result<(), StoreError> {
        self.model(model)?;
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
            _ => {
                if let Some(sum) = whole::find(self.conn, (model, key, self.lane))? {
                    self.rows(model).remove(sum);
                    whole::delete(self.conn, (model, key, self.lane))?;
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

/// Notes the values that do not show, and forgets what was noted of the row before.
pub(crate) fn note_row(
    conn: &Connection,
    table: &Table,
    row: &OwnedRow<'_>,
    count: &mut u64,
) -> Result<(), StoreError> {
    let refused = |(id, value): &(FieldId, ValueRef<'_>)| {
        let column = &table.columns[table.column(*id)?];
        (!fits(column.ty, value)).then_some((*id, Reason::RefusedValue))
    };
    let notes: Vec<Note> = row.fields.iter().filter_map(refused).collect();
    set_notes(conn, count, table.model, row.key, &notes)
}

/// Binds a row to the parameters that inserts and updates share, and runs the statement. `more`
/// collects what no column can hold.
pub(crate) fn write_row(
    conn: &Connection,
    statement: &mut CachedStatement<'_>,
    table: &Table,
    (lane, sum): (i64, u64),
    row: &OwnedRow<'_>,
    more: &mut Writer,
) -> Result<Written, StoreError> {
    let seq = to_sql_seq(row.seq)?;
    let mut rest: Vec<(FieldId, ValueRef<'_>)> = Vec::new();
    let mut refused = false;
    let mut fields = row.fields.iter().copied().peekable();
    let mut run = || {
        statement.raw_bind_parameter(1, row.key)?;
        let mut at = 2;
        for column in &table.columns {
            while let Some(unknown) = fields.next_if(|(id, _)| *id < column.field) {
                rest.push(unknown);
            }
            let value = match fields.next_if(|(id, _)| *id == column.field) {
                None => ValueRef::Null,
                Some((_, value)) if fits(column.ty, &value) => value,
                Some(unfit) => {
                    rest.push(unfit);
                    refused = true;
                    ValueRef::Null
                }
            };
            statement.raw_bind_parameter(at, Bind(value))?;
            at += 1;
        }
        rest.extend(&mut fields);
        if rest.is_empty() {
            statement.raw_bind_parameter(at, Bind(ValueRef::Null))?;
        } else {
            more.clear();
            encode_fields(more, &rest);
            statement.raw_bind_parameter(at, more.as_bytes())?;
        }
        statement.raw_bind_parameter(at + 1, lane)?;
        statement.raw_bind_parameter(at + 2, seq)?;
        statement.raw_bind_parameter(at + 3, sum.cast_signed())?;
        statement.raw_execute()
    };
    let rows = run().within(conn, WHAT)?;
    Ok(Written { rows, refused })
}
