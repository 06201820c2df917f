//! What can go wrong in the store.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use driftless_core::codec::CodecError;
use driftless_core::id::{DeviceId, Origin, RecordKey, Seq};
use rusqlite::{Connection, ErrorCode, ffi};

/// Why the store did not do what it was asked.
///
/// Within a transaction every error leaves the transaction to be rolled back; nothing of it shows
/// (see [`crate::SqliteStore::commit`] for what a power cut may bring back). Outside of one nothing was changed, unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no library in this directory.
    #[error("{} holds no library", path.display())]
    NotALibrary {
        /// The directory, or the file that is not a library's.
        path: PathBuf,
    },
    /// A library is there already. It was not touched.
    #[error("{} holds a library already", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// The file was written by a later version. It was not touched.
    #[error("{} has the format {found}, this version knows {known} and those before", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest format that is known here.
        known: i64,
    },
    /// What is in the file cannot be what was written.
    #[error("{} is damaged: {object}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What in it.
        object: String,
        /// How it was noticed.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// There is no room left on the disk.
    #[error("no room left on the disk of {} ({doing})", path.display())]
    Full {
        /// The file that could not grow.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// SQLite's or the system's words.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file or its directory cannot be written.
    #[error("{} cannot be written ({doing})", path.display())]
    ReadOnly {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// SQLite's or the system's words, if they said any.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Another connection holds the file; it may be tried again.
    #[error("{} is in use by another program ({doing})", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// SQLite's words.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process has opened the library for writing.
    #[error("another process has opened the library in {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{doing} failed for {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// SQLite refused for a reason that has no variant of its own.
    #[error("{doing} failed in {}", path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// SQLite's words.
        #[source]
        source: rusqlite::Error,
    },
    /// The log does not reach back that far: who asks must reconcile.
    #[error("the log does not hold {origin}#{seq} any more")]
    LogGap {
        /// The origin.
        origin: Origin,
        /// The first change set that is gone.
        seq: Seq,
    },
    /// A page from a peer is malformed.
    #[error("a page of {device}'s lane is malformed")]
    Page {
        /// Whose lane.
        device: DeviceId,
        /// What is wrong with it.
        #[source]
        source: CodecError,
    },
    /// A change set does not follow its predecessor.
    #[error("{origin}#{found} does not follow #{have}")]
    OutOfOrder {
        /// The stream.
        origin: Origin,
        /// Its last position here.
        have: Seq,
        /// The position that was to be appended.
        found: Seq,
    },
    /// A row with this key belongs to another device, which alone can write it.
    #[error("{model} {key} belongs to another device, {owner}")]
    NotOwner {
        /// The model's name.
        model: String,
        /// The key.
        key: RecordKey,
        /// Whose row it is.
        owner: DeviceId,
    },
    /// A position above 2^63 - 1.
    #[error("the position {0} is beyond what can be kept")]
    SeqRange(Seq),
    /// The lane has no exact state here.
    #[error("no exact state of the lane of {0} is held here")]
    NotExact(DeviceId),
    /// No transfer of the lane is under way.
    #[error("no session for the lane of {0} is under way")]
    NoSession(DeviceId),
    /// Nothing is pinned for the peer.
    #[error("nothing is pinned for {0}")]
    NotPinned(DeviceId),
    /// A write or a commit without an open transaction.
    #[error("no transaction is open")]
    NoTransaction,
    /// A transaction or savepoint is open already.
    #[error("a transaction or savepoint is open already")]
    Nested,
    /// SQLite gave up the whole transaction; it must be rolled back.
    #[error("the transaction in {} was given up by SQLite", path.display())]
    TransactionLost {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// What SQLite said about the file at `path`.
    pub(crate) fn sqlite(path: PathBuf, doing: &'static str, source: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        let code = source.sqlite_error().map(|error| (error.code, error.extended_code));
        match (code, &source) {
            (Some((ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE)), _) => {
                StoreError::Full { path, doing, source: source.into() }
            }
            (Some((ErrorCode::ReadOnly, _)), _) => {
                StoreError::ReadOnly { path, doing, source: Some(source.into()) }
            }
            (Some((ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _)), _) => {
                StoreError::Busy { path, doing, source }
            }
            (Some((ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)), _)
            | (
                None,
                E::FromSqlConversionFailure(..)
                | E::IntegralValueOutOfRange(..)
                | E::InvalidColumnType(..)
                | E::QueryReturnedNoRows
                | E::Utf8Error(..),
            ) => StoreError::Damaged { path, object: doing.into(), source: Some(source.into()) },
            _ => StoreError::Sql { path, doing, source },
        }
    }

    /// What the system said about `path`.
    pub(crate) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::Full { path, doing, source: source.into() }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::ReadOnly { path, doing, source: Some(source.into()) }
            }
            _ => StoreError::Io { path, doing, source },
        }
    }

    /// Something in `conn`'s file that cannot be what was written.
    pub(crate) fn damaged(conn: &Connection, object: impl Into<String>) -> Self {
        StoreError::Damaged { path: path_of(conn), object: object.into(), source: None }
    }
}

/// The file behind a connection.
pub(crate) fn path_of(conn: &Connection) -> PathBuf {
    conn.path().map(PathBuf::from).unwrap_or_default()
}

/// Tells an error what was being done, and in which file.
pub(crate) trait Within<T> {
    /// The same, with its error made ours.
    fn within(self, conn: &Connection, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Within<T> for Result<T, rusqlite::Error> {
    fn within(self, conn: &Connection, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::sqlite(path_of(conn), doing, source))
    }
}

/// Bytes that this store wrote and cannot read back.
impl<T> Within<T> for Result<T, CodecError> {
    fn within(self, conn: &Connection, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Damaged {
            path: path_of(conn),
            object: doing.into(),
            source: Some(source.into()),
        })
    }
}

/// A position as SQLite keeps it.
pub(crate) fn to_sql_seq(seq: Seq) -> Result<i64, StoreError> {
    i64::try_from(seq).map_err(|_| StoreError::SeqRange(seq))
}

/// A position from SQLite; a negative one is damage.
pub(crate) fn from_sql_seq(conn: &Connection, seq: i64) -> Result<Seq, StoreError> {
    Seq::try_from(seq).map_err(|_| StoreError::damaged(conn, format!("the seq {seq}")))
}
