//! What can go wrong when watching a tree.

use std::io;
use std::path::{Path, PathBuf};

/// Why a tree cannot be watched at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The root cannot be opened as a folder.
    #[error("{} cannot be opened to be watched", path.display())]
    Root {
        /// The root asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gives no watcher: too many of them on this machine, or too many open files.
    #[error("the system gives no watcher for {}", path.display())]
    System {
        /// The root asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This system has no watcher that is supported; whoever asks rescans from time to time.
    #[error("{} cannot be watched: this system is not supported", path.display())]
    Unsupported {
        /// The root asked for.
        path: PathBuf,
    },
}

/// Something below the root that is not as it should be. The work goes on.
///
/// Paths are relative to the root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A pattern that is none; the other patterns of its list hold.
    #[error("line {line} of {} is no pattern: {reason}", list(path.as_deref()))]
    Pattern {
        /// The rule file, or `None` for the location's own list.
        path: Option<PathBuf>,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A rule file that could not be read; it holds nothing.
    #[error("the rules in {} cannot be read", path.display())]
    Rules {
        /// The rule file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// More rules than are taken, in one list or in all of the tree together; none of the list
    /// holds, as half of it might say the opposite of the whole.
    #[error("{} has too many rules; none of them holds", list(path.as_deref()))]
    TooManyRules {
        /// The rule file, or `None` for the location's own list.
        path: Option<PathBuf>,
    },
    /// Changes in this folder and below are not seen.
    #[error("{} cannot be watched", path.display())]
    Unwatched {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system, or the limit that was set, allows no more watches: changes in this folder and
    /// below are only seen by rescans.
    #[error("{} cannot be watched: all {watches} watches allowed are in use", path.display())]
    OutOfWatches {
        /// The first folder that got none.
        path: PathBuf,
        /// How many are in use here.
        watches: usize,
    },
    /// The same folder is at two places, by a bind mount; changes are seen at the other one.
    #[error("{} is the same folder as another one and watched only there", path.display())]
    SeenTwice {
        /// The place without a watch.
        path: PathBuf,
    },
    /// The root is on another machine: what is changed there is only seen by rescans.
    #[error("changes that other machines make on this {fs_type} drive are not seen")]
    Remote {
        /// The type of the file system.
        fs_type: String,
    },
}

impl Problem {
    /// The path that it is about, if it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Pattern { path, .. } | Self::TooManyRules { path } => path.as_deref(),
            Self::Rules { path, .. }
            | Self::Unwatched { path, .. }
            | Self::OutOfWatches { path, .. }
            | Self::SeenTwice { path } => Some(path),
            Self::Remote { .. } => None,
        }
    }
}

fn list(path: Option<&Path>) -> String {
    path.map_or_else(|| "the location's list".to_owned(), |path| path.display().to_string())
}

/// So many problems are kept until they are asked for; the others are counted.
const MAX_PROBLEMS: usize = 256;

/// Problems not yet given to anyone.
#[derive(Debug, Default)]
pub(super) struct Problems {
    kept: Vec<Problem>,
    dropped: u64,
}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        if self.kept.len() < MAX_PROBLEMS {
            self.kept.push(problem);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Those that were kept, and how many were not.
    pub(super) fn take(&mut self) -> (Vec<Problem>, u64) {
        (std::mem::take(&mut self.kept), std::mem::take(&mut self.dropped))
    }
}
