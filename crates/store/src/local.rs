//! Small local tables: settings, certificates, tickets, routes. Never synced, and written with the
//! transaction like everything else.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{StoreError, Within};
use crate::open::SqliteStore;

/// A key of a space, and its value.
pub type Local = (Vec<u8>, Vec<u8>);

const WHAT: &str = "a local value";
/// The space of [`SqliteStore::setting`].
const SETTINGS: &str = "setting";

impl SqliteStore {
    /// The value of `key` in `space`.
    pub fn local(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        get(&self.conn, space, key)
    }

    /// Keeps the value of `key` in `space`.
    pub fn put_local(&mut self, space: &str, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.writable()?;
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO _local (space, key, value) VALUES (?1, ?2, ?3)")
            .and_then(|mut put| put.execute(params![space, key, value]))
            .map(|_| ())
            .within(&self.conn, WHAT)
    }

    /// Removes the value of `key` in `space`. Whether there was one.
    pub fn delete_local(&mut self, space: &str, key: &[u8]) -> Result<bool, StoreError> {
        self.writable()?;
        self.conn
            .prepare_cached("DELETE FROM _local WHERE space = ?1 AND key = ?2")
            .and_then(|mut delete| delete.execute(params![space, key]))
            .map(|n| n > 0)
            .within(&self.conn, WHAT)
    }

    /// All keys and values in `space`, in order.
    pub fn locals(&self, space: &str) -> Result<Vec<Local>, StoreError> {
        let mut select = self
            .conn
            .prepare_cached("SELECT key, value FROM _local WHERE space = ?1 ORDER BY key")
            .within(&self.conn, WHAT)?;
        let rows = select.query_map([space], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.and_then(Iterator::collect).within(&self.conn, WHAT)
    }

    /// A setting of this device.
    pub fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let value = self.local(SETTINGS, key.as_bytes())?;
        let text = value.map(String::from_utf8).transpose();
        text.map_err(|_| StoreError::damaged(&self.conn, format!("the setting {key:?}")))
    }

    /// Keeps a setting of this device.
    pub fn set_setting(&mut self, key: &str, value: &str) -> Result<(), StoreError> {
        self.put_local(SETTINGS, key.as_bytes(), value.as_bytes())
    }
}

pub(crate) fn get(
    conn: &Connection,
    space: &str,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    conn.prepare_cached("SELECT value FROM _local WHERE space = ?1 AND key = ?2")
        .and_then(|mut select| select.query_row(params![space, key], |row| row.get(0)).optional())
        .within(conn, WHAT)
}
