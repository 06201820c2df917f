//! Opening a library's files: made, found, migrated, refused.

use std::cell::Cell;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use driftless_core::schema::Schema;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::durable::Durability;
use crate::error::{StoreError, Within, path_of};
use crate::events::Events;
use crate::format::{LIBRARY_FORMAT, LIBRARY_ID, LIBRARY_STEPS, LIBRARY_TABLES};
use crate::history::Keeping;
use crate::identity::{Identity, set_meta};
use crate::layout::Layout;
use crate::migrate;
use crate::owned::Scratch;
use crate::pin::Pins;
use crate::project;
use crate::scrub::Scrub;
use crate::state::State;
use crate::sweep::Housework;
use crate::synclog::SyncLog;
use crate::transaction::Open;
use crate::trend::Trend;

/// How a library is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// How long to wait for a lock that another connection holds.
    pub busy_timeout: Duration,
    /// SQLite's page cache, in KiB, for each connection.
    pub cache_kib: u32,
    /// How large the write-ahead log may get before it is moved into `library.db`, in KiB.
    pub wal_kib: u32,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(5), cache_kib: 8 << 10, wal_kib: 16 << 10 }
    }
}

/// The page size of new files: 16 KiB would be a little faster in bulk and write twice as much for
/// a small commit.
const PAGE_BYTES: u32 = 8_192;
/// Statements kept prepared: about a dozen for each model, and the embedder's own.
const STATEMENTS: usize = 512;

/// A library's data on this device, open for writing.
///
/// Belongs to one thread; see [`SqliteStore::begin`] for writing and [`SqliteStore::reader`] for
/// reading from others. That no second process writes is the caller's care, by
/// [`crate::DirLock`].
pub struct SqliteStore {
    pub(crate) dir: PathBuf,
    pub(crate) options: StoreOptions,
    pub(crate) schema: Schema,
    pub(crate) layout: Layout,
    pub(crate) conn: Connection,
    pub(crate) log: SyncLog,
    pub(crate) state: State,
    pub(crate) tx: Option<Open>,
    pub(crate) refuse_foreign: bool,
    pub(crate) durability: Durability,
    /// What the last writer of owned rows left.
    pub(crate) scratch: Option<Scratch>,
    /// What is kept for peers that compare.
    pub(crate) pins: Pins,
    pub(crate) housework: Housework,
    pub(crate) keeping: Keeping,
    pub(crate) events: Events,
    pub(crate) trend: Trend,
    pub(crate) scrub: Scrub,
    /// Whether a record that was asked for was damaged.
    pub(crate) met_damage: Cell<bool>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The name of the file that is the truth.
pub(crate) const LIBRARY_FILE: &str = "library.db";

impl SqliteStore {
    /// Makes a library in `dir`, which is made as well if need be. On an error nothing is left that
    /// was not there before.
    pub fn create(dir: &Path, identity: Identity, schema: Schema) -> Result<Self, StoreError> {
        Self::create_with(dir, identity, schema, StoreOptions::default())
    }

    /// [`SqliteStore::create`] with options.
    pub fn create_with(
        dir: &Path,
        identity: Identity,
        schema: Schema,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let path = dir.join(LIBRARY_FILE);
        let made_dir = !dir.exists();
        fs::create_dir_all(dir).map_err(|error| StoreError::io(dir, "making the folder", error))?;
        // Whoever makes the file, and nobody else, may remove it again.
        let made_file = match fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => {
                clean_up(dir, made_dir, false);
                return Err(StoreError::io(&path, "making the library", error));
            }
        };
        let made = init(&path, &identity, &options)
            .and_then(|()| Self::open_with(dir, schema, options))
            .and_then(|store| sync_dir(dir).map(|()| store));
        if made.is_err() && made_file {
            clean_up(dir, made_dir, true);
        }
        made
    }

    /// Opens the library in `dir`. A schema that differs from the last one is brought into the
    /// tables; a format of an earlier version is migrated; both in one transaction.
    pub fn open(dir: &Path, schema: Schema) -> Result<Self, StoreError> {
        Self::open_with(dir, schema, StoreOptions::default())
    }

    /// [`SqliteStore::open`] with options.
    pub fn open_with(
        dir: &Path,
        schema: Schema,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let path = dir.join(LIBRARY_FILE);
        let found = fs::metadata(&path).map(|meta| meta.is_file());
        match found {
            Ok(true) => {}
            Ok(false) => return Err(StoreError::NotALibrary { path: dir.to_owned() }),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Err(StoreError::NotALibrary { path: dir.to_owned() });
            }
            Err(error) => return Err(StoreError::io(&path, "opening", error)),
        }
        let mut conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE, &options)?;
        let format = check_format(&conn, dir)?;
        if conn.is_readonly("main").within(&conn, "opening")? {
            return Err(StoreError::ReadOnly { path, doing: "opening", source: None });
        }
        durable(&conn, &options)?;
        if format < LIBRARY_FORMAT {
            migrate::forward(&conn, (format, LIBRARY_FORMAT), &LIBRARY_STEPS)?;
        }
        let layout = Layout::of(&schema);
        project::bring_up_to_date(&conn, &schema, &layout)?;
        let mut state = State::load(&conn)?;
        let log = SyncLog::open(dir, &mut state, &conn, &options)?;
        let housework = Housework::at_open(&state);
        let events = Events::load(&log.conn)?;
        let max_pages = wal_pages(&conn, &options)?;
        let durability = Durability::of(&mut conn, max_pages)?;
        Ok(Self {
            dir: dir.to_owned(),
            options,
            schema,
            layout,
            conn,
            log,
            state,
            tx: None,
            refuse_foreign: false,
            durability,
            scratch: None,
            pins: Pins::default(),
            housework,
            keeping: Keeping::default(),
            events,
            trend: Trend::default(),
            scrub: Scrub::default(),
            met_damage: Cell::new(false),
        })
    }

    /// Closes the library, with everything in its place: the log moved, the write-ahead logs gone.
    /// Dropping the store instead loses nothing either. An open transaction is rolled back.
    pub fn close(mut self) -> Result<(), StoreError> {
        if self.in_transaction() {
            self.rollback()?;
        }
        self.flush_log()?;
        self.begin()?;
        self.commit()?;
        drop(self.pins);
        for conn in [self.log.conn, self.conn] {
            let path = path_of(&conn);
            conn.close().map_err(|(_, error)| StoreError::sqlite(path, "closing", error))?;
        }
        Ok(())
    }

    /// Who this replica is.
    pub fn identity(&self) -> &Identity {
        &self.state.identity
    }

    /// The schema that the library was opened with.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The library's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The writing connection, for queries that must see the open transaction. Writing through it
    /// would go unnoticed by everybody else.
    pub fn connection(&self) -> &Connection {
        &self.conn
    }

    /// A new connection that reads what is committed, usable from any thread.
    pub fn reader(&self) -> Result<Connection, StoreError> {
        open_reader(&self.dir, &self.options)
    }
}

/// A connection that can only read.
pub(crate) fn open_reader(dir: &Path, options: &StoreOptions) -> Result<Connection, StoreError> {
    let path = dir.join(LIBRARY_FILE);
    let conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY, options)?;
    conn.pragma_update(None, "query_only", true).within(&conn, "opening for reading")?;
    Ok(conn)
}

/// Opens a file; what it holds is not looked at yet.
pub(crate) fn connect(
    path: &Path,
    flags: OpenFlags,
    options: &StoreOptions,
) -> Result<Connection, StoreError> {
    const DOING: &str = "opening";
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)
        .map_err(|error| cannot_open(path, DOING, error))?;
    conn.busy_timeout(options.busy_timeout).within(&conn, DOING)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ] {
        conn.set_db_config(config, on).within(&conn, DOING)?;
    }
    conn.pragma_update(None, "cache_size", -i64::from(options.cache_kib)).within(&conn, DOING)?;
    Ok(conn)
}

/// Why a file could not be opened: SQLite does not say, the system does.
fn cannot_open(path: &Path, doing: &'static str, source: rusqlite::Error) -> StoreError {
    match fs::OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => StoreError::io(path, doing, error),
        _ => StoreError::sqlite(path.to_owned(), doing, source),
    }
}

/// Makes commits durable, in a write-ahead log of bounded size.
pub(crate) fn durable(conn: &Connection, options: &StoreOptions) -> Result<(), StoreError> {
    const DOING: &str = "turning on the write-ahead log";
    let mode: String = conn
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| not_writable(conn, DOING, error))?;
    if mode != "wal" {
        return Err(StoreError::ReadOnly { path: path_of(conn), doing: DOING, source: None });
    }
    conn.pragma_update(None, "synchronous", "FULL").within(conn, DOING)?;
    conn.pragma_update(None, "wal_autocheckpoint", wal_pages(conn, options)?)
        .within(conn, DOING)?;
    conn.pragma_update(None, "journal_size_limit", i64::from(options.wal_kib) << 11)
        .within(conn, DOING)
}

/// How many pages a write-ahead log may hold.
fn wal_pages(conn: &Connection, options: &StoreOptions) -> Result<u32, StoreError> {
    let page: u32 = conn
        .query_row("PRAGMA page_size", [], |row| row.get(0))
        .within(conn, "reading the size of a page")?;
    let pages = (u64::from(options.wal_kib) << 10) / u64::from(page.max(512));
    Ok(u32::try_from(pages).unwrap_or(u32::MAX).clamp(50, 1 << 30))
}

/// A write-ahead log that cannot be opened: its folder decides what that means.
fn not_writable(conn: &Connection, doing: &'static str, source: rusqlite::Error) -> StoreError {
    let path = path_of(conn);
    let Some(dir) = path.parent().map(Path::to_owned) else {
        return StoreError::sqlite(path, doing, source);
    };
    let probe = dir.join(".driftless-probe");
    match fs::OpenOptions::new().write(true).create_new(true).open(&probe) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            StoreError::io(&dir, doing, error)
        }
        _ => match fs::remove_file(&probe) {
            Ok(()) => StoreError::sqlite(path, doing, source),
            Err(error) => StoreError::io(&dir, doing, error),
        },
    }
}

/// A pragma that is a number.
pub(crate) fn pragma(conn: &Connection, name: &'static str) -> Result<i64, StoreError> {
    let value = conn.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
    value.map_err(|error| not_writable(conn, "reading the file's header", error))
}

/// The format of the file, which is one that can be opened.
pub(crate) fn check_format(conn: &Connection, dir: &Path) -> Result<i64, StoreError> {
    let found = (pragma(conn, "application_id")?, pragma(conn, "user_version")?);
    match found {
        (LIBRARY_ID, found) if (1..=LIBRARY_FORMAT).contains(&found) => Ok(found),
        (LIBRARY_ID, found) if found > LIBRARY_FORMAT => {
            Err(StoreError::Newer { path: path_of(conn), found, known: LIBRARY_FORMAT })
        }
        (LIBRARY_ID, found) => Err(StoreError::damaged(conn, format!("the format {found}"))),
        _ => Err(StoreError::NotALibrary { path: dir.to_owned() }),
    }
}

/// Makes `library.db`, in one transaction. An empty file that a crash left is taken over.
fn init(path: &Path, identity: &Identity, options: &StoreOptions) -> Result<(), StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let conn = connect(path, flags, options)?;
    const DOING: &str = "making the library";
    refuse_tables(&conn, path)?;
    if conn.is_readonly("main").within(&conn, DOING)? {
        return Err(StoreError::ReadOnly { path: path.to_owned(), doing: DOING, source: None });
    }
    conn.pragma_update(None, "page_size", PAGE_BYTES).within(&conn, DOING)?;
    // So that room can be given back to the system without writing the whole file anew.
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL").within(&conn, DOING)?;
    durable(&conn, options)?;
    conn.execute_batch("BEGIN IMMEDIATE").within(&conn, DOING)?;
    // Another process may have been quicker.
    refuse_tables(&conn, path)?;
    conn.execute_batch(LIBRARY_TABLES).within(&conn, DOING)?;
    identity.save(&conn)?;
    set_meta(&conn, "clock", 0)?;
    conn.pragma_update(None, "application_id", LIBRARY_ID).within(&conn, DOING)?;
    conn.pragma_update(None, "user_version", LIBRARY_FORMAT).within(&conn, DOING)?;
    conn.execute_batch("COMMIT").within(&conn, DOING)
}

/// Fails if there is anything in the file.
fn refuse_tables(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| not_writable(conn, "making the library", error))?;
    match tables {
        0 => Ok(()),
        _ => Err(StoreError::Exists { path: path.parent().unwrap_or(path).to_owned() }),
    }
}

/// Makes the names of new files durable; SQLite has seen to what is in them.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let synced = fs::File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| StoreError::io(dir, "making the library", error))
}

/// Removes what a failed [`SqliteStore::create`] made. What cannot be removed is an empty file that
/// no one takes for a library.
fn clean_up(dir: &Path, made_dir: bool, made_file: bool) {
    for file in [LIBRARY_FILE, crate::synclog::LOG_FILE].iter().filter(|_| made_file) {
        for suffix in ["", "-wal", "-shm"] {
            fs::remove_file(dir.join(format!("{file}{suffix}"))).ok();
        }
    }
    if made_dir {
        fs::remove_dir(dir).ok();
    }
}
