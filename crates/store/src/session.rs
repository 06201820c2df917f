//! Sessions: pages of another device's lane, staged beside what is exact or written in place, and
//! made exact in one step.

use std::sync::Arc;

use driftless_core::codec::{CodecError, Writer};
use driftless_core::digest::{Digest, Digests};
use driftless_core::id::{DeviceId, Seq};
use driftless_core::page::{PageReader, PageRow};
use driftless_core::schema::ModelId;
use driftless_core::store::Session;
use driftless_core::version::OwnedHead;
use rusqlite::{Connection, params};

use crate::error::{StoreError, Within, from_sql_seq, to_sql_seq};
use crate::fields::{Fields, canonical, decode_fields, encode_fields};
use crate::open::SqliteStore;
use crate::owned::{Change, LaneWriter};
use crate::row::OwnedRow;
use crate::whole;

const WHAT: &str = "a staged row";

/// Visits the rows of a page, which must ascend.
fn each_row(
    device: DeviceId,
    bytes: &[u8],
    mut visit: impl FnMut(ModelId, &PageRow<'_>, &Fields<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let refuse = |source| StoreError::Page { device, source };
    let mut page = PageReader::new(bytes).map_err(refuse)?;
    let (mut values, mut extras) = (Vec::new(), Vec::new());
    let mut fields = Fields::new();
    let mut last: Option<(Seq, ModelId, &[u8])> = None;
    while let Some(row) = page.next_row(&mut values, &mut extras).map_err(refuse)? {
        let model = &page.models()[row.model];
        let place = (row.seq, model.model, row.key);
        if last.is_some_and(|last| last >= place) {
            return Err(refuse(CodecError::NotCanonical("the order of a page's rows")));
        }
        last = Some(place);
        fields.clear();
        fields.extend(model.fields.iter().copied().zip(values.iter().copied()));
        fields.extend_from_slice(&extras);
        canonical(&mut fields).map_err(refuse)?;
        visit(model.model, &row, &fields)?;
    }
    Ok(())
}

fn write_row(
    writer: &mut LaneWriter<'_>,
    model: ModelId,
    row: &PageRow<'_>,
    fields: &Fields<'_>,
) -> Result<(), StoreError> {
    match row.tombstone {
        true => writer.bury(model, row.key, row.seq),
        false => writer.put(model, OwnedRow { key: row.key, seq: row.seq, fields }),
    }
}

impl SqliteStore {
    /// Takes over what a writer did; `pending` if a session has still to end before it counts.
    pub(crate) fn took(
        &mut self,
        device: &DeviceId,
        change: Change,
        pending: bool,
    ) -> Result<(), StoreError> {
        change.written.iter().try_for_each(|place| self.forget_row(device, place))?;
        self.state.notes = change.notes;
        self.scratch = Some(change.scratch);
        if !pending {
            self.state.add_digests(&change.digests);
        }
        let Some(lane) = self.state.lane_mut(device) else { return Ok(()) };
        lane.tombstones = change.tombstones;
        if pending {
            for (model, more) in change.digests {
                let digest = lane.pending.entry(model).or_default();
                digest.rows = digest.rows.wrapping_add(more.rows);
                digest.sum = digest.sum.wrapping_add(more.sum);
            }
        }
        Ok(())
    }

    pub(crate) fn take_page(
        &mut self,
        device: &DeviceId,
        bytes: &[u8],
        session: Session,
    ) -> Result<(), StoreError> {
        self.writable()?;
        let before = self.state.lane_or_new(&self.conn, device)?.state.session.clone();
        if before.as_ref().is_some_and(|before| before.life != session.life) {
            self.void_session(device)?;
        }
        let before = before.filter(|before| before.life == session.life).map(|s| s.cursor);
        let new = |model: ModelId, row: &PageRow<'_>| {
            !before.as_ref().is_some_and(|cursor| cursor.passed(row.seq, model, row.key))
        };
        let lanes = Arc::clone(&self.state.lanes);
        let lane = lanes.get(device).ok_or(StoreError::NoSession(*device))?;
        if lane.in_place() {
            let (parts, life) = ((&self.conn, &self.layout), (*device, session.life));
            let mut writer = LaneWriter::new(parts, &lanes, life, (self.state.notes, None))?;
            each_row(*device, bytes, |model, row, fields| {
                if new(model, row) { write_row(&mut writer, model, row, fields) } else { Ok(()) }
            })?;
            let change = writer.finish();
            drop(lanes);
            self.took(device, change, true)?;
        } else {
            let id = lane.id;
            drop(lanes);
            each_row(*device, bytes, |model, row, fields| {
                if new(model, row) { stage(&self.conn, id, model, row, fields) } else { Ok(()) }
            })?;
        }
        if let Some(lane) = self.state.lane_mut(device) {
            lane.state.session = Some(session);
        }
        Ok(())
    }

    pub(crate) fn take_delta(
        &mut self,
        device: &DeviceId,
        bytes: &[u8],
        seq: Seq,
    ) -> Result<(), StoreError> {
        self.writable()?;
        to_sql_seq(seq)?;
        let lanes = Arc::clone(&self.state.lanes);
        let exact = lanes.get(device).and_then(|lane| lane.state.exact);
        let exact = exact.ok_or(StoreError::NotExact(*device))?;
        let (parts, life) = ((&self.conn, &self.layout), (*device, exact.life));
        let mut writer = LaneWriter::new(parts, &lanes, life, (self.state.notes, None))?;
        writer.mend(&self.state.missing);
        each_row(*device, bytes, |model, row, fields| match row.seq > exact.seq {
            true => write_row(&mut writer, model, row, fields),
            false => Ok(()),
        })?;
        let change = writer.finish();
        drop(lanes);
        self.took(device, change, false)?;
        if let Some(lane) = self.state.lane_mut(device) {
            lane.state.exact = Some(OwnedHead { seq, ..exact });
        }
        Ok(())
    }

    pub(crate) fn end_session(&mut self, device: &DeviceId) -> Result<(), StoreError> {
        self.writable()?;
        let lane = self.state.lane_mut(device).ok_or(StoreError::NoSession(*device))?;
        let session = lane.state.session.take().ok_or(StoreError::NoSession(*device))?;
        to_sql_seq(session.target)?;
        let in_place = lane.in_place();
        let pending = std::mem::take(&mut lane.pending);
        if in_place {
            self.state.add_digests(&pending);
        } else {
            if session.full {
                self.clear_lane(device)?;
                self.forget_rows_of(device)?;
            }
            self.take_staged(device, &session)?;
        }
        if let Some(lane) = self.state.lane_mut(device) {
            lane.state.exact = Some(OwnedHead { life: session.life, seq: session.target });
            if session.full {
                lane.state.floor = session.target;
            }
        }
        Ok(())
    }

    pub(crate) fn void_session(&mut self, device: &DeviceId) -> Result<(), StoreError> {
        self.writable()?;
        let Some(lane) = self.state.lane_mut(device) else { return Ok(()) };
        lane.state.session = None;
        lane.pending.clear();
        let (id, in_place) = (lane.id, lane.in_place());
        if in_place {
            self.clear_lane(device)?;
        }
        delete_stage(&self.conn, id)
    }

    /// Writes what was staged, and empties the stage.
    fn take_staged(&mut self, device: &DeviceId, session: &Session) -> Result<(), StoreError> {
        let lanes = Arc::clone(&self.state.lanes);
        let id = lanes.get(device).ok_or(StoreError::NoSession(*device))?.id;
        let conn = &self.conn;
        let (parts, life) = ((conn, &self.layout), (*device, session.life));
        let mut writer = LaneWriter::new(parts, &lanes, life, (self.state.notes, None))?;
        writer.mend(&self.state.missing);
        let mut select = conn
            .prepare_cached(
                "SELECT model, key, seq, fields FROM _stage WHERE lane = ?1 ORDER BY model, key",
            )
            .within(conn, WHAT)?;
        let mut rows = select.query([id]).within(conn, WHAT)?;
        while let Some(row) = rows.next().within(conn, WHAT)? {
            let model = ModelId(row.get(0).within(conn, WHAT)?);
            let key = row.get_ref(1).and_then(|key| Ok(key.as_blob()?)).within(conn, WHAT)?;
            let seq = from_sql_seq(conn, row.get(2).within(conn, WHAT)?)?;
            let bytes = row.get_ref(3).and_then(|bytes| Ok(bytes.as_blob_or_null()?));
            match bytes.within(conn, WHAT)? {
                None => writer.bury(model, key, seq)?,
                Some(bytes) => {
                    let mut fields = Fields::new();
                    decode_fields(bytes, &mut fields).within(conn, WHAT)?;
                    writer.put(model, OwnedRow { key, seq, fields: &fields })?;
                }
            }
        }
        drop(rows);
        drop(select);
        let change = writer.finish();
        drop(lanes);
        self.took(device, change, false)?;
        delete_stage(&self.conn, id)
    }

    /// Removes everything of a lane; its digests count only if it was exact.
    fn clear_lane(&mut self, device: &DeviceId) -> Result<(), StoreError> {
        let Some(lane) = self.state.lane_mut(device) else { return Ok(()) };
        lane.tombstones = false;
        let (id, exact) = (lane.id, lane.state.exact.is_some());
        let lanes = Arc::clone(&self.state.lanes);
        let conn = &self.conn;
        let mut gone = Digests::new();
        for table in self.layout.iter().filter(|table| !table.kind.is_shared()) {
            let name = crate::layout::quoted(&table.name);
            if exact {
                let sums = format!("SELECT ?2, _sum FROM {name} WHERE _lane = ?1");
                count(conn, &sums, params![id, table.model.0], &mut gone)?;
            }
            let delete = format!("DELETE FROM {name} WHERE _lane = ?1");
            conn.execute(&delete, [id]).within(conn, WHAT)?;
        }
        if exact {
            let sums = "SELECT model, _sum FROM _unknown_owned WHERE lane = ?1";
            count(conn, sums, params![id], &mut gone)?;
        }
        for sql in
            ["DELETE FROM _unknown_owned WHERE lane = ?1", "DELETE FROM _tombstone WHERE lane = ?1"]
        {
            conn.execute(sql, [id]).within(conn, WHAT)?;
        }
        for table in self.layout.iter().filter(|table| !table.kind.is_shared()) {
            for key in free_keys(conn, table)? {
                whole::move_in(conn, table, &key, &lanes, &mut self.state.notes)?;
            }
            self.state.notes -= forget_notes(conn, table, self.state.notes)?;
        }
        let negative = gone.iter().map(|(model, digest)| {
            let rows = digest.rows.wrapping_neg();
            (*model, Digest { rows, sum: digest.sum.wrapping_neg() })
        });
        self.state.add_digests(&negative.collect());
        Ok(())
    }
}

/// Keeps a row beside what is exact.
fn stage(
    conn: &Connection,
    lane: i64,
    model: ModelId,
    row: &PageRow<'_>,
    fields: &Fields<'_>,
) -> Result<(), StoreError> {
    let seq = to_sql_seq(row.seq)?;
    let mut w = Writer::new();
    let bytes = (!row.tombstone).then(|| {
        encode_fields(&mut w, fields);
        w.as_bytes()
    });
    conn.prepare_cached(
        "INSERT INTO _stage (lane, model, key, seq, fields) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (lane, model, key) \
         DO UPDATE SET seq = excluded.seq, fields = excluded.fields",
    )
    .and_then(|mut put| put.execute(params![lane, model.0, row.key, seq, bytes]))
    .map(|_| ())
    .within(conn, WHAT)
}

fn delete_stage(conn: &Connection, lane: i64) -> Result<(), StoreError> {
    conn.execute("DELETE FROM _stage WHERE lane = ?1", [lane]).map(|_| ()).within(conn, WHAT)
}

/// Adds up the (model, checksum) pairs that a query gives.
fn count(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    into: &mut Digests,
) -> Result<(), StoreError> {
    let mut select = conn.prepare_cached(sql).within(conn, WHAT)?;
    let mut rows = select.query(params).within(conn, WHAT)?;
    while let Some(row) = rows.next().within(conn, WHAT)? {
        let model = ModelId(row.get(0).within(conn, WHAT)?);
        let sum: i64 = row.get(1).within(conn, WHAT)?;
        into.entry(model).or_default().add(sum.cast_unsigned());
    }
    Ok(())
}

/// Keys of rows that are kept whole though their place in the table is free.
fn free_keys(conn: &Connection, table: &crate::layout::Table) -> Result<Vec<Vec<u8>>, StoreError> {
    let sql = format!(
        "SELECT DISTINCT key FROM _unknown_owned WHERE model = ?1 \
         AND NOT EXISTS (SELECT 1 FROM \"{}\" WHERE id = key)",
        table.name
    );
    let mut select = conn.prepare_cached(&sql).within(conn, WHAT)?;
    let keys = select.query_map([table.model.0], |row| row.get(0));
    keys.and_then(Iterator::collect).within(conn, WHAT)
}

/// Forgets what was noted about rows that are gone. How many notes.
fn forget_notes(
    conn: &Connection,
    table: &crate::layout::Table,
    notes: u64,
) -> Result<u64, StoreError> {
    if notes == 0 {
        return Ok(0);
    }
    let sql = format!(
        "DELETE FROM _quarantine WHERE model = ?1 \
         AND NOT EXISTS (SELECT 1 FROM \"{}\" WHERE id = key)",
        table.name
    );
    let gone = conn.execute(&sql, [table.model.0]).within(conn, WHAT)?;
    Ok(notes.min(gone as u64))
}
