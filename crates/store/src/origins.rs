//! Origins as small integers.

use std::collections::BTreeMap;

use driftless_core::codec::{CodecError, Reader, Writer};
use driftless_core::id::{DeviceId, Epoch, Lane, Origin};
use rusqlite::{Connection, params};

use crate::error::{StoreError, Within};

/// The origins that have been met, with the numbers by which one file knows them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    by_id: BTreeMap<i64, Origin>,
    ids: BTreeMap<Origin, i64>,
}

fn lane_number(lane: Lane) -> i64 {
    match lane {
        Lane::Shared => 0,
        Lane::Owned => 1,
    }
}

impl Origins {
    /// Reads all of them from `table`.
    pub(crate) fn load(conn: &Connection, table: &str) -> Result<Self, StoreError> {
        let sql = format!("SELECT id, device, epoch, lane FROM {table}");
        let mut select = conn.prepare(&sql).within(conn, "the origins")?;
        let mut rows = select.query([]).within(conn, "the origins")?;
        let mut origins = Self::default();
        while let Some(row) = rows.next().within(conn, "the origins")? {
            let lane: i64 = row.get(3).within(conn, "the origins")?;
            let origin = Origin {
                device: DeviceId(row.get(1).within(conn, "the origins")?),
                epoch: Epoch(row.get::<_, i64>(2).within(conn, "the origins")?.cast_unsigned()),
                lane: match lane {
                    0 => Lane::Shared,
                    1 => Lane::Owned,
                    n => return Err(StoreError::damaged(conn, format!("the lane kind {n}"))),
                },
            };
            origins.insert(row.get(0).within(conn, "the origins")?, origin);
        }
        Ok(origins)
    }

    pub(crate) fn insert(&mut self, id: i64, origin: Origin) {
        self.by_id.insert(id, origin);
        self.ids.insert(origin, id);
    }

    /// The number of an origin that has been met.
    pub(crate) fn id(&self, origin: &Origin) -> Option<i64> {
        self.ids.get(origin).copied()
    }

    /// The origin with this number.
    pub(crate) fn origin(&self, id: i64) -> Option<Origin> {
        self.by_id.get(&id).copied()
    }

    /// All of them, with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, &Origin)> {
        self.by_id.iter().map(|(id, origin)| (*id, origin))
    }

    /// Gives an origin that has not been met a number in `table`.
    pub(crate) fn add(
        &mut self,
        conn: &Connection,
        table: &str,
        origin: &Origin,
    ) -> Result<i64, StoreError> {
        let sql = format!("INSERT INTO {table} (device, epoch, lane) VALUES (?1, ?2, ?3)");
        let (epoch, lane) = (origin.epoch.0.cast_signed(), lane_number(origin.lane));
        conn.execute(&sql, params![origin.device.0, epoch, lane])
            .within(conn, "keeping an origin")?;
        let id = conn.last_insert_rowid();
        self.insert(id, *origin);
        Ok(id)
    }

    /// Writes the number of an origin that has been met.
    pub(crate) fn write(&self, w: &mut Writer, origin: &Origin) {
        let id = self.id(origin).expect("origins are interned before they are written");
        w.var(id.cast_unsigned());
    }

    /// Reads an origin by its number.
    pub(crate) fn read(&self, r: &mut Reader<'_>) -> Result<Origin, CodecError> {
        let found = r.var("an origin's number")?;
        self.origin(found.cast_signed())
            .ok_or(CodecError::Invalid { what: "an origin's number", found })
    }
}
