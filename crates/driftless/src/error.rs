//! What can go wrong in a library.

use std::path::PathBuf;
use std::sync::Arc;

use driftless_core::engine::WriteError;
use driftless_core::member::CertError;
use driftless_core::schema::{FieldError, SchemaError};
use driftless_net::{NetError, PairError, TicketError};
use driftless_store::StoreError;

/// Why a library did not do what it was asked. Unless a variant says otherwise nothing was changed.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// use driftless::{Error, StoreError};
///
/// let nowhere = std::path::Path::new("/nothing/is/here");
/// match Library::open(nowhere, &models()) {
///     Err(Error::Store(StoreError::NotALibrary { path })) => assert_eq!(path, nowhere),
///     Err(other) => panic!("{other}"),
///     Ok(_) => panic!("a library out of nothing"),
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The transaction that this write was part of could not be made durable; nothing of it was
    /// kept.
    #[error("the write could not be made durable: {0}")]
    NotDurable(#[source] Arc<StoreError>),
    /// A write was refused.
    #[error(transparent)]
    Write(WriteError<StoreError>),
    /// A row does not fit its struct.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A description of models cannot be used.
    #[error("{}the description of the models cannot be used: {why}", place(.path))]
    Models {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// What is wrong.
        why: String,
    },
    /// The models are no schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A query failed.
    #[error("the query failed: {0}")]
    Query(#[from] rusqlite::Error),
    /// The network could not be opened.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Pairing failed.
    #[error(transparent)]
    Pair(#[from] PairError),
    /// A text is no ticket.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// Certificates do not hold together.
    #[error(transparent)]
    Certificate(#[from] CertError),
    /// The device's key is missing or is not the one that the library was made with.
    #[error("{}: {what}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The system refused.
    #[error("{doing} failed for {}: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's words.
        source: std::io::Error,
    },
    /// Sync is on already.
    #[error("sync is on already")]
    AlreadySyncing,
    /// What was asked needs the network, and sync is off.
    #[error("sync is off")]
    NotSyncing,
    /// An address at which this device could be reached is not known.
    #[error("no address of this device is known yet: it has never listened")]
    NoAddress,
    /// No member has this id.
    #[error("{0} is not a member of this library")]
    NoMember(driftless_core::id::DeviceId),
    /// A device cannot be asked to do without itself.
    #[error("this is the device that you are at; evict it on another one")]
    EvictSelf,
    /// Something stands in the way of taking change sets back. Nothing was done.
    #[error("{} in the way of taking that back", obstacles(.plan))]
    UndoRefused {
        /// What would be done, and what stands in the way.
        plan: Box<crate::history::UndoPlan>,
    },
    /// What was to be taken back was written again and again meanwhile. What was done is whole.
    #[error("what was to be taken back was written by others again and again meanwhile")]
    Unsettled,
    /// A change set is not in this device's history: it never was, or it was too old to be kept.
    #[error("the change set {dot} is not in this device's history")]
    NotInHistory {
        /// The change set.
        dot: driftless_core::id::Dot,
    },
    /// A change set of the history cannot be read.
    #[error("the change set {dot} of the history cannot be read: {source}")]
    HistoryUnreadable {
        /// The change set.
        dot: driftless_core::id::Dot,
        /// Why.
        source: driftless_core::codec::CodecError,
    },
    /// A change set wrote rows that its device owns: nobody keeps what they were.
    #[error(
        "the change set {dot} wrote rows that belong to its device; what they were is not kept"
    )]
    NotShared {
        /// The change set.
        dot: driftless_core::id::Dot,
    },
    /// This version does not know a model, or its records are not shared.
    #[error("this version knows no shared model {:08x}", .model.0)]
    UnknownModel {
        /// The model.
        model: driftless_core::schema::ModelId,
    },
    /// A record that was to be brought back is there.
    #[error("the {model} {key} is there")]
    RecordThere {
        /// The model's name.
        model: String,
        /// The record.
        key: driftless_core::id::RecordKey,
    },
    /// Nothing is known of a record that was to be brought back.
    #[error("this device's history knows of no {model} {key} that was deleted")]
    NothingDeleted {
        /// The model's name.
        model: String,
        /// The record.
        key: driftless_core::id::RecordKey,
    },
    /// It was asked how things were before the history begins.
    #[error("this device's history does not go back that far")]
    BeforeHistory {
        /// The time that was asked for, Unix milliseconds.
        at_ms: u64,
        /// Since when the history is whole; `None` if none is kept.
        begins_ms: Option<u64>,
    },
    /// What a field held at a time is not known, though the history goes back that far: it was
    /// overwritten where this device did not see it.
    #[error("what the {field} of the {model} {key} was then is not known here")]
    UnknownThen {
        /// The model's name.
        model: String,
        /// The record.
        key: driftless_core::id::RecordKey,
        /// The field's name.
        field: String,
    },
    /// A checkpoint cannot be read.
    #[error("a checkpoint cannot be read: {0}")]
    Checkpoint(#[source] driftless_core::codec::CodecError),
    /// There is no open conflict with this id, or none any more.
    #[error("there is no open conflict {conflict}; it may have been resolved meanwhile")]
    NoConflict {
        /// The id that was given.
        conflict: uuid::Uuid,
    },
    /// A conflict has no value of this change set.
    #[error("no value of the conflict {conflict} was written by {dot}; there are those of {}", list(.dots))]
    NoSibling {
        /// The conflict.
        conflict: uuid::Uuid,
        /// The change set that was given.
        dot: driftless_core::id::Dot,
        /// The change sets whose values it has, the winner's first.
        dots: Vec<driftless_core::id::Dot>,
    },
    /// "The loser" of a conflict was asked for, and there are several.
    #[error("the conflict {conflict} has {} losers: {}", .dots.len(), list(.dots))]
    ManyLosers {
        /// The conflict.
        conflict: uuid::Uuid,
        /// The change sets that wrote them, the latest first.
        dots: Vec<driftless_core::id::Dot>,
    },
    /// A setting that does not exist, or a value that it cannot have.
    #[error("setting {key:?}: {why}")]
    Setting {
        /// The key.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// The library was closed, or its thread has ended on an error that was logged.
    #[error("the library is closed")]
    Closed,
}

fn place(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(String::new, |path| format!("{}: ", path.display()))
}

fn obstacles(plan: &crate::history::UndoPlan) -> String {
    match plan.obstacles.len() {
        1 => "one thing stands".to_owned(),
        count => format!("{count} things stand"),
    }
}

fn list(dots: &[driftless_core::id::Dot]) -> String {
    dots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl From<WriteError<StoreError>> for Error {
    fn from(error: WriteError<StoreError>) -> Self {
        match error {
            WriteError::Store(error) => Self::Store(error),
            other => Self::Write(other),
        }
    }
}

impl Error {
    pub(crate) fn io(
        path: impl Into<PathBuf>,
        doing: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, doing, source }
    }

    /// Whether what was asked for is damaged on this device.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self.store(), Some(StoreError::Damaged { .. }))
            || matches!(self, Self::Write(WriteError::Missing { .. }))
    }

    /// The store's error within, if that is what went wrong.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::StoreError;
    ///
    /// let again = Library::create(library.dir(), &models(), "Home", "laptop");
    /// let error = again.err().expect("there is one already");
    /// assert!(matches!(error.store(), Some(StoreError::Locked { .. } | StoreError::Exists { .. })));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::NotDurable(error) => Some(error),
            _ => None,
        }
    }
}
