//! What can go wrong in the catalogue.

use std::io;
use std::path::PathBuf;

use driftless::{DeviceId, Uuid};

use crate::scan::{PoolError, RootError, VolumeError};

/// Why the catalogue did not do what it was asked. Unless a variant says otherwise nothing was
/// changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// A selector that fits nothing.
    #[error("there is no {what} {given:?}")]
    NotFound {
        /// What was looked for: "tag", "location", "device", …
        what: &'static str,
        /// The selector.
        given: String,
    },
    /// A path that no scan of a device has seen.
    #[error("{} is not indexed on {}", path.display(), on(device.as_deref()))]
    NotIndexed {
        /// The path.
        path: PathBuf,
        /// The other device's name; `None` for this one.
        device: Option<String>,
        /// The location that the path is in, if it is in one: then a rescan may find it.
        location: Option<Uuid>,
    },
    /// A selector that fits more than one.
    #[error("{given:?} fits more than one {what}")]
    Ambiguous {
        /// What was looked for.
        what: &'static str,
        /// The selector.
        given: String,
        /// Some of those that it fits.
        candidates: Vec<Candidate>,
    },
    /// No folder is at this path.
    #[error("{} does not exist", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else than a folder is at this path.
    #[error("{} is not a folder", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// This user may not read the folder.
    #[error("no permission to read {}", path.display())]
    Permission {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Locations do not lie in each other.
    #[error("{} {} {}, which is indexed already", path.display(), how(*inside), other.display())]
    Nested {
        /// The path that was to be indexed.
        path: PathBuf,
        /// The path of the location there is.
        other: PathBuf,
        /// The id of that location.
        location: Uuid,
        /// Whether `path` lies in `other`; else it contains it.
        inside: bool,
    },
    /// A folder is at this path, but not the one that was indexed: most likely the drive that it was
    /// on is not mounted. Its entries stay as they are.
    #[error("{} is not the folder that was indexed: it is on another drive", path.display())]
    OtherFolder {
        /// The location's path.
        path: PathBuf,
    },
    /// A scan of this location is under way already.
    #[error("{} is being scanned already", path.display())]
    Busy {
        /// The location's path.
        path: PathBuf,
    },
    /// The location is another device's, which alone can change it.
    #[error("{} belongs to another device", path.display())]
    Foreign {
        /// The location's path.
        path: PathBuf,
        /// Whose it is.
        device: DeviceId,
    },
    /// A value that cannot be.
    #[error("{what}: {why}")]
    Invalid {
        /// Which field or argument.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// A tag cannot be under itself.
    #[error("the tag would be under itself")]
    TagCycle {
        /// The tag.
        tag: Uuid,
        /// The parent that it was to get.
        parent: Uuid,
    },
    /// The scan was asked to stop; what it found so far is kept.
    #[error("the scan was stopped")]
    Cancelled,
    /// A folder could not be scanned.
    #[error("{} cannot be scanned: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no thread.
    #[error("the system gives no thread: {0}")]
    Thread(#[source] io::Error),
    /// The drive of a path is not known.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The library failed. Of a scan, what was committed before is kept.
    #[error(transparent)]
    Library(#[from] driftless::Error),
}

impl CatalogError {
    /// Whether it says that the folder of a location is not there.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(
            self,
            Self::NoFolder { .. } | Self::NotADirectory { .. } | Self::OtherFolder { .. }
        )
    }
}

/// One of several that a selector fits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Its id as text.
    pub id: String,
    /// Its name.
    pub name: String,
}

fn on(device: Option<&str>) -> String {
    device.map_or_else(|| "this device".to_owned(), |name| format!("{name:?}"))
}

fn how(inside: bool) -> &'static str {
    if inside { "lies in" } else { "contains" }
}

impl From<driftless::rusqlite::Error> for CatalogError {
    fn from(error: driftless::rusqlite::Error) -> Self {
        Self::Library(driftless::Error::Query(error))
    }
}

impl From<RootError> for CatalogError {
    fn from(error: RootError) -> Self {
        match error {
            RootError::NotFound { path, source } => Self::NoFolder { path, source },
            RootError::NotADirectory { path, .. } => Self::NotADirectory { path },
            RootError::Permission { path, source } => Self::Permission { path, source },
            RootError::Io { path, source } => Self::Io { path, source },
        }
    }
}

impl From<PoolError> for CatalogError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Root(error) => error.into(),
            PoolError::Thread(source) => Self::Thread(source),
        }
    }
}
