//! Who this replica is.

use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Epoch, LibraryId};
use driftless_core::version::Life;
use rusqlite::Connection;
use uuid::Uuid;

use crate::error::{StoreError, Within};

/// Who this replica is, as `library.db` keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The library.
    pub library: LibraryId,
    /// This device.
    pub device: DeviceId,
    /// The epoch in which it writes its shared lane.
    pub shared_epoch: Epoch,
    /// The life in which it writes its owned lane.
    pub owned_life: Life,
}

/// Reads a value of `_meta`.
pub(crate) fn meta<T: rusqlite::types::FromSql>(
    conn: &Connection,
    key: &'static str,
) -> Result<T, StoreError> {
    conn.prepare_cached("SELECT value FROM _meta WHERE key = ?1")
        .and_then(|mut select| select.query_row([key], |row| row.get(0)))
        .within(conn, key)
}

/// Writes a value of `_meta`.
pub(crate) fn set_meta(
    conn: &Connection,
    key: &'static str,
    value: impl rusqlite::types::ToSql,
) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR REPLACE INTO _meta (key, value) VALUES (?1, ?2)")
        .and_then(|mut put| put.execute(rusqlite::params![key, value]))
        .map(|_| ())
        .within(conn, key)
}

impl Identity {
    pub(crate) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let number = |key| meta::<i64>(conn, key).map(i64::cast_unsigned);
        Ok(Self {
            library: LibraryId(Uuid::from_bytes(meta(conn, "library")?)),
            device: DeviceId(meta(conn, "device")?),
            shared_epoch: Epoch(number("shared_epoch")?),
            owned_life: Life {
                mint: Hlc(number("owned_mint")?),
                epoch: Epoch(number("owned_epoch")?),
            },
        })
    }

    pub(crate) fn save(&self, conn: &Connection) -> Result<(), StoreError> {
        set_meta(conn, "library", self.library.0.as_bytes())?;
        set_meta(conn, "device", self.device.0)?;
        set_meta(conn, "shared_epoch", self.shared_epoch.0.cast_signed())?;
        set_meta(conn, "owned_mint", self.owned_life.mint.0.cast_signed())?;
        set_meta(conn, "owned_epoch", self.owned_life.epoch.0.cast_signed())
    }
}
