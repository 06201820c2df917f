//! Rows of an exact lane by their keys, for a peer that has lost them to damage.

use driftless_core::codec::Writer;
use driftless_core::digest::OwnedChecksum;
use driftless_core::id::{DeviceId, RecordKey, Seq};
use driftless_core::schema::ModelId;
use driftless_core::store::{HeldRow, Place, RowContent};
use rusqlite::params;

use crate::error::{StoreError, Within, from_sql_seq};
use crate::fields::{Fields, decode_fields, encode_fields};
use crate::open::SqliteStore;
use crate::row::read_fields;

const WHAT: &str = "an owned row";

impl SqliteStore {
    pub(crate) fn held_rows(
        &self,
        device: &DeviceId,
        keys: &[Place],
        max_bytes: usize,
    ) -> Result<Vec<HeldRow>, StoreError> {
        let lane = self.state.lanes.get(device).ok_or(StoreError::NotExact(*device))?;
        let head = lane.state.exact.ok_or(StoreError::NotExact(*device))?;
        let mut sums = OwnedChecksum::new(*device, head.life);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for (model, key) in keys {
            let mut w = Writer::new();
            let row = self.held_row(lane.id, (*model, key), &mut sums, &mut w)?;
            bytes += w.len();
            if bytes > max_bytes && !rows.is_empty() {
                break;
            }
            rows.push(HeldRow { model: *model, key: key.clone(), row });
        }
        Ok(rows)
    }

    /// The row of a lane under a key, which must be what its checksum says. The bytes of its fields
    /// are left in `w`.
    fn held_row(
        &self,
        lane: i64,
        (model, key): (ModelId, &RecordKey),
        sums: &mut OwnedChecksum,
        w: &mut Writer,
    ) -> Result<Option<RowContent>, StoreError> {
        let conn = &self.conn;
        let mut take = |seq: Seq, sum: i64, fields: &Fields<'_>| {
            if sums.of(model, key.as_bytes(), seq, fields.iter().copied()) != sum.cast_unsigned() {
                return Err(StoreError::damaged(conn, format!("the row {key}")));
            }
            encode_fields(w, fields);
            let owned = fields.iter().map(|(id, value)| (*id, (*value).to_owned()));
            Ok(Some((seq, owned.collect())))
        };
        if let Some(table) = self.layout.owned(model) {
            let own = table.columns.len();
            let mut select = conn.prepare_cached(&table.sql.load).within(conn, WHAT)?;
            let mut rows = select.query([key.as_bytes()]).within(conn, WHAT)?;
            if let Some(row) = rows.next().within(conn, WHAT)?
                && row.get::<_, i64>(own + 1).within(conn, WHAT)? == lane
            {
                let seq = from_sql_seq(conn, row.get(own + 2).within(conn, WHAT)?)?;
                let sum = row.get(own + 3).within(conn, WHAT)?;
                return take(seq, sum, &read_fields(conn, table, row, 0)?);
            }
        }
        let mut select = conn
            .prepare_cached(
                "SELECT seq, fields, _sum FROM _unknown_owned \
                 WHERE model = ?1 AND key = ?2 AND lane = ?3",
            )
            .within(conn, WHAT)?;
        let mut rows = select.query(params![model.0, key.as_bytes(), lane]).within(conn, WHAT)?;
        let Some(row) = rows.next().within(conn, WHAT)? else { return Ok(None) };
        let seq = from_sql_seq(conn, row.get(0).within(conn, WHAT)?)?;
        let bytes = row.get_ref(1).and_then(|bytes| Ok(bytes.as_blob()?)).within(conn, WHAT)?;
        let mut fields = Fields::new();
        decode_fields(bytes, &mut fields).within(conn, WHAT)?;
        take(seq, row.get(2).within(conn, WHAT)?, &fields)
    }
}
