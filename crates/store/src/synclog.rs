//! `sync.db`: the peer log, what was lost to deletes, others' acknowledgements. It may be deleted at
//! any time while the library is closed; nothing but history is lost.

use std::fs;
use std::path::{Path, PathBuf};

use driftless_core::codec::Reader;
use driftless_core::id::DeviceId;
use driftless_core::store::Acked;
use driftless_core::version::{OwnedVector, Vector};
use rusqlite::{Connection, OpenFlags, params};

use crate::error::{StoreError, Within, path_of};
use crate::format::{LOG_FORMAT, LOG_ID, LOG_STEPS, LOG_TABLES};
use crate::identity::Identity;
use crate::migrate;
use crate::open::{StoreOptions, connect, durable, pragma};
use crate::origins::Origins;
use crate::state::{Acks, State};
use crate::wholeness::raise_floors;

/// The name of the file that is expendable.
pub(crate) const LOG_FILE: &str = "sync.db";

/// The open `sync.db`.
#[derive(Debug)]
pub(crate) struct SyncLog {
    pub(crate) conn: Connection,
    pub(crate) origins: Origins,
    /// What `library.db` holds up to this position is durable here too, and goes from there with
    /// its next commit.
    pub(crate) flushed: i64,
    /// Whether `flushed` waits for that commit.
    pub(crate) to_delete: bool,
    /// Whether floors were raised at open, as change sets of the vector were missing.
    pub(crate) incomplete: bool,
    /// Where a file that could not be used was put.
    pub(crate) set_aside: Option<PathBuf>,
}

impl SyncLog {
    /// Opens or makes the file beside `library`, and completes `state` by what it holds.
    pub(crate) fn open(
        dir: &Path,
        state: &mut State,
        library: &Connection,
        options: &StoreOptions,
    ) -> Result<Self, StoreError> {
        // Moving a large write-ahead log would keep the writer's thread, and in this file it gains little.
        let options = &StoreOptions { wal_kib: options.wal_kib / 4, ..options.clone() };
        let path = dir.join(LOG_FILE);
        let (conn, set_aside) = match open_file(&path, &state.identity, options) {
            Ok(Some(conn)) => (conn, None),
            Ok(None) | Err(StoreError::Damaged { .. }) => {
                let aside = put_aside(dir)?;
                let conn = open_file(&path, &state.identity, options)?;
                let conn = conn.ok_or(StoreError::Exists { path: path.clone() })?;
                (conn, Some(aside))
            }
            Err(error) => return Err(error),
        };
        let origins = Origins::load(&conn, "origin")?;
        move_beyond(&conn, &origins, state)?;
        state.acks = std::sync::Arc::new(load_acks(&conn)?);
        state.next_pos = last_pos(&conn, "log")?
            .max(last_pos(&conn, "beyond")?)
            .max(last_pos(&conn, "lost")?)
            .max(last_pos(library, "_unlogged")?)
            .max(last_pos(library, "_unlost")?)
            + 1;
        let mut log =
            Self { conn, origins, flushed: 0, to_delete: false, incomplete: false, set_aside };
        log.incomplete = raise_floors(state, library, (&log.conn, &log.origins))?;
        Ok(log)
    }

    /// Removes from `library` what is durable here.
    pub(crate) fn delete_flushed(&self, library: &Connection) -> Result<(), StoreError> {
        if !self.to_delete {
            return Ok(());
        }
        for sql in ["DELETE FROM _unlogged WHERE pos <= ?1", "DELETE FROM _unlost WHERE pos <= ?1"]
        {
            library
                .prepare_cached(sql)
                .and_then(|mut delete| delete.execute([self.flushed]))
                .within(library, "removing what is logged")?;
        }
        Ok(())
    }

    /// The commit that removed it is durable.
    pub(crate) fn forget_flushed(&mut self) {
        self.to_delete = false;
    }
}

/// Moves change sets that the library does not hold out of the log: it is always ahead of the log,
/// unless it was put back from an older copy. They are kept, as they may be the last copies.
fn move_beyond(conn: &Connection, origins: &Origins, state: &State) -> Result<(), StoreError> {
    const DOING: &str = "moving change sets that the library does not hold";
    for (id, origin) in origins.iter() {
        let head = i64::try_from(state.vector.seq(origin)).unwrap_or(i64::MAX);
        let any = "SELECT EXISTS (SELECT 1 FROM log WHERE origin = ?1 AND seq > ?2)";
        if !conn.query_row(any, [id, head], |row| row.get(0)).within(conn, DOING)? {
            continue;
        }
        conn.execute_batch("BEGIN IMMEDIATE").within(conn, DOING)?;
        for sql in [
            "INSERT OR REPLACE INTO beyond SELECT * FROM log WHERE origin = ?1 AND seq > ?2",
            "DELETE FROM log WHERE origin = ?1 AND seq > ?2",
        ] {
            conn.execute(sql, [id, head]).within(conn, DOING)?;
        }
        conn.execute_batch("COMMIT").within(conn, DOING)?;
    }
    Ok(())
}

fn last_pos(conn: &Connection, table: &str) -> Result<i64, StoreError> {
    let sql = format!("SELECT coalesce(max(pos), 0) FROM {table}");
    let pos: i64 = conn.query_row(&sql, [], |row| row.get(0)).within(conn, "the log's end")?;
    // What was handed over has positions below 0.
    match pos.max(0) {
        // Room for all the positions that a library can ever need.
        pos @ 0..0x4000_0000_0000_0000 => Ok(pos),
        _ => Err(StoreError::damaged(conn, format!("the log position {pos}"))),
    }
}

/// Opens the file, or makes it. `None` if it belongs to another library or device, or to another
/// program.
fn open_file(
    path: &Path,
    identity: &Identity,
    options: &StoreOptions,
) -> Result<Option<Connection>, StoreError> {
    const DOING: &str = "opening the log";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let conn = connect(path, flags, options)?;
    let found = (pragma(&conn, "application_id")?, pragma(&conn, "user_version")?);
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .within(&conn, DOING)?;
    match found {
        (LOG_ID, found) if found > LOG_FORMAT => {
            return Err(StoreError::Newer { path: path_of(&conn), found, known: LOG_FORMAT });
        }
        (LOG_ID, LOG_FORMAT) => {}
        (LOG_ID, found) if found >= 1 => {}
        _ if tables == 0 => {
            conn.pragma_update(None, "auto_vacuum", "INCREMENTAL").within(&conn, DOING)?;
            durable(&conn, options)?;
            init(&conn, identity)?;
        }
        _ => return Ok(None),
    }
    durable(&conn, options)?;
    let owner = conn
        .query_row(
            "SELECT (SELECT value FROM meta WHERE key = 'library'), \
                    (SELECT value FROM meta WHERE key = 'device')",
            [],
            |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, [u8; 32]>(1)?)),
        )
        .within(&conn, DOING)?;
    if owner != (*identity.library.0.as_bytes(), identity.device.0) {
        return Ok(None);
    }
    if let (LOG_ID, format @ 1..LOG_FORMAT) = found {
        give_back_later(&conn)?;
        migrate::forward(&conn, (format, LOG_FORMAT), &LOG_STEPS)?;
    }
    Ok(Some(conn))
}

/// Lets a file of format 1 give room back: it is written anew for that, once.
fn give_back_later(conn: &Connection) -> Result<(), StoreError> {
    if pragma(conn, "auto_vacuum")? != 0 {
        return Ok(());
    }
    let doing = "writing the log anew";
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL").within(conn, doing)?;
    conn.execute_batch("VACUUM").within(conn, doing)
}

fn init(conn: &Connection, identity: &Identity) -> Result<(), StoreError> {
    const DOING: &str = "making the log";
    conn.execute_batch("BEGIN IMMEDIATE").within(conn, DOING)?;
    conn.execute_batch(LOG_TABLES).within(conn, DOING)?;
    conn.execute(
        "INSERT INTO meta (key, value) VALUES ('library', ?1), ('device', ?2)",
        params![identity.library.0.as_bytes(), identity.device.0],
    )
    .within(conn, DOING)?;
    conn.pragma_update(None, "application_id", LOG_ID).within(conn, DOING)?;
    conn.pragma_update(None, "user_version", LOG_FORMAT).within(conn, DOING)?;
    conn.execute_batch("COMMIT").within(conn, DOING)
}

/// Moves a file that cannot be used out of the way, with what belongs to it.
fn put_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let aside = dir.join(format!("{LOG_FILE}.aside"));
    for suffix in ["-wal", "-shm", ""] {
        let from = dir.join(format!("{LOG_FILE}{suffix}"));
        let to = dir.join(format!("{LOG_FILE}.aside{suffix}"));
        if from.exists() {
            fs::rename(&from, &to)
                .map_err(|error| StoreError::io(&from, "putting the log aside", error))?;
        }
    }
    Ok(aside)
}

fn load_acks(conn: &Connection) -> Result<Acks, StoreError> {
    const WHAT: &str = "an acknowledgement";
    let mut select =
        conn.prepare("SELECT peer, shared, owned, heard_ms FROM ack").within(conn, WHAT)?;
    let mut rows = select.query([]).within(conn, WHAT)?;
    let mut acks = Acks::new();
    while let Some(row) = rows.next().within(conn, WHAT)? {
        let (shared, owned): (Vec<u8>, Vec<u8>) =
            (row.get(1).within(conn, WHAT)?, row.get(2).within(conn, WHAT)?);
        let shared = Vector::decode(&mut Reader::new(&shared)).within(conn, WHAT)?;
        let owned = OwnedVector::decode(&mut Reader::new(&owned)).within(conn, WHAT)?;
        let heard_ms = row.get::<_, i64>(3).within(conn, WHAT)?.cast_unsigned();
        let acked = Acked { shared, owned, heard_ms };
        acks.insert(DeviceId(row.get(0).within(conn, WHAT)?), acked);
    }
    Ok(acks)
}
