//! This device's own lane: rows as they are written here, and its head.

use std::sync::Arc;

use driftless_core::digest::{Digest, Digests, OwnedChecksum};
use driftless_core::id::{RecordKey, Seq};
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::value::Value;
use driftless_core::version::{Life, OwnedHead};
use rusqlite::{Connection, params};

use crate::error::{StoreError, Within, to_sql_seq};
use crate::fields::{Fields, canonical, decode_fields};
use crate::identity::Identity;
use crate::layout::Table;
use crate::open::SqliteStore;
use crate::owned::LaneWriter;
use crate::row::{OwnedRow, read_fields};

const WHAT: &str = "restating the owned rows";
/// Rows that are restated between two looks at the table.
const CHUNK: i64 = 1_000;

impl SqliteStore {
    pub(crate) fn put_own_row(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        seq: Seq,
        fields: Option<&[(FieldId, Value)]>,
    ) -> Result<(), StoreError> {
        self.writable()?;
        let device = self.state.identity.device;
        let exact = self.state.lanes.get(&device).and_then(|lane| lane.state.exact);
        let life = exact.ok_or(StoreError::NotExact(device))?.life;
        let lanes = Arc::clone(&self.state.lanes);
        let scratch = self.scratch.take();
        let parts = (&self.conn, &self.layout);
        let mut writer =
            LaneWriter::new(parts, &lanes, (device, life), (self.state.notes, scratch))?;
        writer.mend(&self.state.missing);
        if self.refuse_foreign {
            writer.refuse_foreign();
        }
        match fields {
            None => writer.bury(model, key.as_bytes(), seq)?,
            Some(fields) => {
                let mut row: Fields<'_> =
                    fields.iter().map(|(id, value)| (*id, value.as_ref())).collect();
                canonical(&mut row).map_err(|source| StoreError::Page { device, source })?;
                writer.put(model, OwnedRow { key: key.as_bytes(), seq, fields: &row })?;
            }
        }
        let change = writer.finish();
        drop(lanes);
        self.took(&device, change, false)
    }

    pub(crate) fn move_own_head(&mut self, head: OwnedHead) -> Result<(), StoreError> {
        self.writable()?;
        to_sql_seq(head.seq)?;
        let device = self.state.identity.device;
        let lane = self.state.lane_or_new(&self.conn, &device)?;
        let before = lane.state.exact.replace(head);
        let id = lane.id;
        if before.is_some_and(|old| old.life != head.life) {
            lane.state.floor = head.seq;
            lane.tombstones = false;
            self.restate(id, head)?;
            // What this device does not see any more is withdrawn.
            self.forget_rows_of(&device)?;
        }
        if self.state.identity.owned_life != head.life {
            let owned_life = head.life;
            self.state.set_identity(Identity { owned_life, ..(*self.state.identity).clone() });
        }
        Ok(())
    }

    /// Writes all rows of this device's lane as they are, under a new life and at one seq, and drops
    /// its tombstones.
    fn restate(&mut self, lane: i64, head: OwnedHead) -> Result<(), StoreError> {
        let mut sums = OwnedChecksum::new(self.state.identity.device, head.life);
        let mut delta = Digests::new();
        for table in self.layout.iter().filter(|table| !table.kind.is_shared()) {
            let digest = delta.entry(table.model).or_default();
            restate_table(&self.conn, table, (lane, head.seq), &mut sums, digest)?;
        }
        restate_whole(&self.conn, (lane, head.seq), &mut sums, &mut delta)?;
        self.conn
            .execute("DELETE FROM _tombstone WHERE lane = ?1", [lane])
            .within(&self.conn, WHAT)?;
        self.state.add_digests(&delta);
        Ok(())
    }

    /// From here on a write of this device to a key that another device's row has is refused. Without
    /// this both rows are kept, and the same one of them shows everywhere; which is how what two
    /// devices wrote apart is treated in any case.
    pub fn refuse_foreign_keys(&mut self) {
        self.refuse_foreign = true;
    }

    /// The life under which this device writes owned rows.
    pub fn owned_life(&self) -> Life {
        self.state.identity.owned_life
    }
}

fn restate_table(
    conn: &Connection,
    table: &Table,
    (lane, seq): (i64, Seq),
    sums: &mut OwnedChecksum,
    digest: &mut Digest,
) -> Result<(), StoreError> {
    let sql_seq = to_sql_seq(seq)?;
    let sql = format!("UPDATE \"{}\" SET _seq = ?2, _sum = ?3 WHERE id = ?1", table.name);
    let mut update = conn.prepare_cached(&sql).within(conn, WHAT)?;
    let mut scan = conn.prepare_cached(&table.sql.scan).within(conn, WHAT)?;
    let own = table.columns.len() + 1;
    let mut last: Vec<u8> = Vec::new();
    loop {
        // Rows that are updated under a running query could be met twice.
        let mut chunk: Vec<(Vec<u8>, u64)> = Vec::new();
        let mut seen = 0;
        let mut rows = scan.query(params![last, CHUNK]).within(conn, WHAT)?;
        while let Some(row) = rows.next().within(conn, WHAT)? {
            seen += 1;
            last = row.get(0).within(conn, WHAT)?;
            if row.get::<_, i64>(own + 1).within(conn, WHAT)? != lane {
                continue;
            }
            digest.remove(i64::cast_unsigned(row.get(own + 3).within(conn, WHAT)?));
            let fields = read_fields(conn, table, row, 1)?;
            let sum = sums.of(table.model, &last, seq, fields.iter().copied());
            digest.add(sum);
            chunk.push((last.clone(), sum));
        }
        drop(rows);
        for (key, sum) in chunk {
            update.execute(params![key, sql_seq, sum.cast_signed()]).within(conn, WHAT)?;
        }
        if seen < CHUNK {
            return Ok(());
        }
    }
}

fn restate_whole(
    conn: &Connection,
    (lane, seq): (i64, Seq),
    sums: &mut OwnedChecksum,
    delta: &mut Digests,
) -> Result<(), StoreError> {
    let sql_seq = to_sql_seq(seq)?;
    let mut select = conn
        .prepare_cached(
            "SELECT rowid, model, key, fields, _sum FROM _unknown_owned \
             WHERE rowid > ?1 AND lane = ?2 ORDER BY rowid LIMIT 1",
        )
        .within(conn, WHAT)?;
    let mut update = conn
        .prepare_cached("UPDATE _unknown_owned SET seq = ?2, _sum = ?3 WHERE rowid = ?1")
        .within(conn, WHAT)?;
    let mut last = 0i64;
    loop {
        let mut rows = select.query([last, lane]).within(conn, WHAT)?;
        let Some(row) = rows.next().within(conn, WHAT)? else { return Ok(()) };
        last = row.get(0).within(conn, WHAT)?;
        let model = ModelId(row.get(1).within(conn, WHAT)?);
        let (key, bytes): (Vec<u8>, Vec<u8>) =
            (row.get(2).within(conn, WHAT)?, row.get(3).within(conn, WHAT)?);
        let old = i64::cast_unsigned(row.get(4).within(conn, WHAT)?);
        drop(rows);
        let mut fields = Vec::new();
        decode_fields(&bytes, &mut fields).within(conn, WHAT)?;
        let sum = sums.of(model, &key, seq, fields.iter().copied());
        let digest = delta.entry(model).or_default();
        digest.remove(old);
        digest.add(sum);
        update.execute(params![last, sql_seq, sum.cast_signed()]).within(conn, WHAT)?;
    }
}
