//! Owned rows that are in no model's table: `_unknown_owned` keeps them whole.
//!
//! They are rows of models that this build does not know, and rows whose key another device's row
//! has. Keys are random or made with the device's id, so the latter does not happen by itself; when
//! it does, the row of the least device id is in the table, whatever came first. Digests do not
//! depend on where a row is.

use std::collections::BTreeMap;

use driftless_core::codec::Writer;
use driftless_core::id::DeviceId;
use driftless_core::schema::ModelId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{StoreError, Within, from_sql_seq};
use crate::fields::{Fields, decode_fields, encode_fields};
use crate::lane::Lane;
use crate::layout::Table;
use crate::row::{OwnedRow, Split, note_row, read_fields};

const WHAT: &str = "an owned row without a table";

/// The key of a row: model, record, lane.
pub(crate) type Place<'a> = (ModelId, &'a [u8], i64);

/// The checksum of a row that is kept whole.
pub(crate) fn find(conn: &Connection, place: Place<'_>) -> Result<Option<u64>, StoreError> {
    let (model, key, lane) = place;
    conn.prepare_cached(
        "SELECT _sum FROM _unknown_owned WHERE model = ?1 AND key = ?2 AND lane = ?3",
    )
    .and_then(|mut select| {
        select.query_row(params![model.0, key, lane], |row| row.get(0)).optional()
    })
    .map(|sum| sum.map(i64::cast_unsigned))
    .within(conn, WHAT)
}

/// Keeps a row whole: its seq, fields and checksum.
pub(crate) fn write(
    conn: &Connection,
    (model, key, lane): Place<'_>,
    (seq, fields, sum): (i64, &[u8], i64),
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO _unknown_owned (model, key, lane, seq, fields, _sum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .and_then(|mut put| put.execute(params![model.0, key, lane, seq, fields, sum]))
    .map(|_| ())
    .within(conn, WHAT)
}

/// Removes a row that is kept whole.
pub(crate) fn delete(conn: &Connection, (model, key, lane): Place<'_>) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM _unknown_owned WHERE model = ?1 AND key = ?2 AND lane = ?3")
        .and_then(|mut delete| delete.execute(params![model.0, key, lane]))
        .map(|_| ())
        .within(conn, WHAT)
}

/// Removes a row from its table.
pub(crate) fn delete_row(conn: &Connection, table: &Table, key: &[u8]) -> Result<(), StoreError> {
    conn.prepare_cached(&table.sql.delete)
        .and_then(|mut delete| delete.execute([key]))
        .map(|_| ())
        .within(conn, WHAT)
}

/// Moves a row out of its table, to be kept whole.
pub(crate) fn move_out(conn: &Connection, table: &Table, key: &[u8]) -> Result<(), StoreError> {
    let mut select = conn.prepare_cached(&table.sql.load).within(conn, WHAT)?;
    let mut rows = select.query([key]).within(conn, WHAT)?;
    let Some(row) = rows.next().within(conn, WHAT)? else { return Ok(()) };
    let mut w = Writer::new();
    encode_fields(&mut w, &read_fields(conn, table, row, 0)?);
    let number = |at: usize| row.get::<_, i64>(table.columns.len() + at).within(conn, WHAT);
    let (lane, seq, sum) = (number(1)?, number(2)?, number(3)?);
    write(conn, (table.model, key, lane), (seq, w.as_bytes(), sum))
}

/// Moves the row of the least device id, of those that wait for this key, into the table, where the
/// key is free.
pub(crate) fn move_in(
    conn: &Connection,
    table: &Table,
    key: &[u8],
    lanes: &BTreeMap<DeviceId, Lane>,
    notes: &mut u64,
) -> Result<(), StoreError> {
    let mut select = conn
        .prepare_cached(
            "SELECT lane, seq, fields, _sum FROM _unknown_owned WHERE model = ?1 AND key = ?2",
        )
        .within(conn, WHAT)?;
    let mut rows = select.query(params![table.model.0, key]).within(conn, WHAT)?;
    let mut best: Option<(&DeviceId, i64, i64, Vec<u8>, i64)> = None;
    while let Some(row) = rows.next().within(conn, WHAT)? {
        let lane: i64 = row.get(0).within(conn, WHAT)?;
        let Some((device, _)) = lanes.iter().find(|(_, other)| other.id == lane) else {
            return Err(StoreError::damaged(conn, format!("the lane {lane}")));
        };
        if best.as_ref().is_none_or(|(least, ..)| device < *least) {
            let number = |at: usize| row.get::<_, i64>(at).within(conn, WHAT);
            best = Some((device, lane, number(1)?, row.get(2).within(conn, WHAT)?, number(3)?));
        }
    }
    let Some((_, lane, seq, bytes, sum)) = best else { return Ok(()) };
    let mut fields = Vec::new();
    decode_fields(&bytes, &mut fields).within(conn, WHAT)?;
    insert_row(conn, table, key, &fields, (lane, seq, sum), notes)?;
    delete(conn, (table.model, key, lane))
}

/// Puts a row into its table as it is.
fn insert_row(
    conn: &Connection,
    table: &Table,
    key: &[u8],
    fields: &Fields<'_>,
    (lane, seq, sum): (i64, i64, i64),
    notes: &mut u64,
) -> Result<(), StoreError> {
    let row = OwnedRow { key, seq: from_sql_seq(conn, seq)?, fields };
    let mut insert = conn.prepare_cached(&table.sql.insert).within(conn, WHAT)?;
    let split = Split::new(table, fields);
    let bound = (key, lane, row.seq, sum.cast_unsigned());
    if split.write(conn, &mut insert, bound, &mut Writer::new())? == 0 {
        return Err(StoreError::damaged(conn, format!("the keys of {:?}", table.name)));
    }
    if split.refused { note_row(conn, table, &row, notes) } else { Ok(()) }
}
