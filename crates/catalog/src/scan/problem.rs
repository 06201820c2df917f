//! What can go wrong when looking at a file system.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What kind of thing went wrong, or deserves a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// It is there and could not be read: permissions, a damaged disk, a server that is away.
    Unreadable,
    /// It was listed and is gone.
    Vanished,
    /// It became something else while it was looked at: another type, another directory.
    Changed,
    /// The system refuses the name or path as too long.
    TooLong,
    /// A directory deeper than [`super::walk::MAX_DEPTH`]; it was not entered.
    TooDeep,
    /// A directory with more entries than are taken from one; the others are missing.
    TooMany,
    /// A directory that contains itself, by a bind mount; it was not entered again.
    Cycle,
    /// Something that has no content to read; it was not opened.
    NotAFile,
    /// Rules of what to leave out that cannot be used, so that nothing is left out by them.
    Rules,
    /// A note: another volume is mounted here; it was not entered.
    OtherVolume,
    /// A note: the link's target does not exist, or the link leads back to itself.
    BrokenLink,
    /// A note: the name is not UTF-8 and shows with replacement characters.
    NotUtf8,
}

impl What {
    /// A stable word for it, for storing and for JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
            Self::Changed => "changed",
            Self::TooLong => "too_long",
            Self::TooDeep => "too_deep",
            Self::TooMany => "too_many",
            Self::Cycle => "cycle",
            Self::NotAFile => "not_a_file",
            Self::Rules => "rules",
            Self::OtherVolume => "other_volume",
            Self::BrokenLink => "broken_link",
            Self::NotUtf8 => "not_utf8",
        }
    }

    /// Whether everything is as it should be, so that nothing is missing from the catalogue.
    #[must_use]
    pub fn is_note(self) -> bool {
        matches!(self, Self::OtherVolume | Self::BrokenLink | Self::NotUtf8)
    }

    fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "cannot be read",
            Self::Vanished => "vanished while it was looked at",
            Self::Changed => "changed while it was looked at",
            Self::TooLong => "has a name or path that is too long",
            Self::TooDeep => "lies too deep and was not entered",
            Self::TooMany => "has too many entries",
            Self::Cycle => "contains itself and was not entered again",
            Self::NotAFile => "is not a regular file and was not opened",
            Self::Rules => "has rules that cannot be used",
            Self::OtherVolume => "is where another volume is mounted and was not entered",
            Self::BrokenLink => "links to what does not exist",
            Self::NotUtf8 => "has a name that is not UTF-8",
        }
    }

    pub(super) fn of(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::STALE => Self::Vanished,
            Errno::NOTDIR | Errno::LOOP | Errno::ISDIR => Self::Changed,
            Errno::NAMETOOLONG => Self::TooLong,
            _ => Self::Unreadable,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// Something that went wrong below the root. It never ends the work.
#[derive(Debug, thiserror::Error)]
#[error("{} {what}", path.display())]
pub struct Problem {
    /// Where, relative to the root; empty for the root itself.
    pub path: PathBuf,
    /// What.
    pub what: What,
    /// What the system said, if it was a system call that failed.
    pub source: Option<io::Error>,
}

impl Problem {
    pub(crate) fn new(path: PathBuf, what: What) -> Self {
        Self { path, what, source: None }
    }

    pub(super) fn from_errno(path: PathBuf, errno: Errno) -> Self {
        Self { path, what: What::of(errno), source: Some(errno.into()) }
    }
}

/// Why a tree could not be opened at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// Nothing is at this path.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// The path asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else is at this path.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This user may not read it.
    #[error("no permission to read {}", path.display())]
    Permission {
        /// The path asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else that the system refused.
    #[error("{} cannot be opened", path.display())]
    Io {
        /// The path asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl RootError {
    pub(super) fn of(path: &Path, errno: Errno) -> Self {
        let path = path.to_owned();
        let source = io::Error::from(errno);
        match errno {
            Errno::NOENT => Self::NotFound { path, source },
            Errno::NOTDIR => Self::NotADirectory { path, source },
            Errno::ACCESS | Errno::PERM => Self::Permission { path, source },
            _ => Self::Io { path, source },
        }
    }
}
