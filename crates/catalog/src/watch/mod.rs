//! Watching a tree: what changes in it, as it changes, in terms of paths and nothing else.
//!
//! A [`Watcher`] gives [`Batch`]es of [`Event`]s. **Events say where to look, not what is there**:
//! whoever applies them looks at the file system himself. In the order in which they come:
//!
//! | event | to do |
//! |---|---|
//! | [`Removed`](Event::Removed) | forget the path and all below it, if it is known |
//! | [`Moved`](Event::Moved) | give the entry its new place, and all below it with it. What is known at the new place is replaced. Is `from` not known: as `Created{to}`. Is the folder of `to` not known: as `Removed{from}` |
//! | [`Created`](Event::Created) | look at the path; at a folder with all below it, as for `Rescan` |
//! | [`Changed`](Event::Changed) | look at the path, at a folder without what is below it |
//! | [`Rescan`](Event::Rescan) | compare the folder and all below it with what is known |
//! | [`RootGone`](Event::RootGone) | the location is offline; **nothing in it is deleted** |
//! | [`RootBack`](Event::RootBack) | the location is online; rescan it |
//!
//! **What is not there when it is looked at is passed over**: what took it away is an event still
//! to come, and if it was moved, the watcher says again at its new path that it changed. A folder
//! that is compared may find things gone, and forgets them.
//!
//! Within a batch, what was removed and moved comes first, in the order in which it happened, with
//! the paths of that moment; then what to look at, by path, with the paths at the end of the
//! batch; then what to rescan. `Created` is not exact: what existed already may be created once
//! more, and `Removed` may name what was never seen.
//!
//! **To start**, open the watcher, then scan, then ask for the [next](Watcher::next) batch, so that
//! nothing falls between the scan and the first event. Asking for a batch says that the batch
//! before it (or the first scan) has been applied.
//!
//! **Bounds.** A batch waits for [`Options::settle`] without changes, but never longer than
//! [`Options::max_latency`]. More than [`Options::max_in_folder`] changes in one folder become one
//! `Rescan` of it, more than [`Options::max_pending`] in all one of the root; whoever does not
//! ask for a long time costs no more than that. An overflow of the kernel's queue is a `Rescan` of
//! the root. Folders that get no watch are rescanned every [`Options::blind_interval`]. A file that is
//! held open and written to is reported every [`Options::while_written`], and once more when it is
//! closed. Where nothing happens nothing runs.
//!
//! **Roots that go.** The root is gone when its path no longer leads to the folder that was opened:
//! removed, renamed, its drive unmounted, another one mounted over it. It is back when a folder is
//! there again *on the same volume*, so that the empty folder under a drive that was unplugged is
//! not taken for the drive. A drive mounted somewhere below the root is rescanned when it comes,
//! and nothing is said when it goes, for the same reason.
//!
//! **What is not seen**: changes made by other machines on network drives ([`Problem::Remote`]),
//! writes through a memory map before the file is closed, a write to a file under the other names that
//! it has (hard links), and the time of a folder that changes with what is in it. Only Linux is watched
//! (by inotify): the libraries at hand lose what is created in a new folder before it is watched, or
//! the order and pairing of moves. Elsewhere, [`Watcher::open`] fails with
//! [`WatchError::Unsupported`], and whoever asks rescans from time to time.

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the watcher is on Linux only"))]
mod ignore;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the watcher is on Linux only"))]
mod problem;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub use ignore::{Ignore, MAX_PATTERN, MAX_PATTERNS, MAX_RULE_FILE, Rules};
#[cfg(target_os = "linux")]
pub use linux::{Stopper, Watcher};
#[cfg(not(target_os = "linux"))]
pub use other::{Stopper, Watcher};
pub use problem::{Problem, WatchError};

/// Something that happened. Paths are relative to the root, and empty for the root itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// Something is at this path that may not have been there; if a folder, with all below it.
    Created {
        /// Where.
        path: PathBuf,
    },
    /// Content or attributes changed.
    Changed {
        /// Where.
        path: PathBuf,
    },
    /// It is gone, with all below it.
    Removed {
        /// Where.
        path: PathBuf,
    },
    /// It has another name or is in another folder, with all below it.
    Moved {
        /// Where it was.
        from: PathBuf,
        /// Where it is.
        to: PathBuf,
    },
    /// Anything may have changed in this folder and below.
    Rescan {
        /// The folder.
        dir: PathBuf,
    },
    /// The root is no longer there.
    RootGone,
    /// The root is there again; anything may have changed.
    RootBack,
}

/// What happened since the last batch.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which they are to be applied.
    pub events: Vec<Event>,
    /// What went wrong meanwhile.
    pub problems: Vec<Problem>,
    /// How many more problems there were than are kept.
    pub more_problems: u64,
}

impl Batch {
    /// Nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.problems.is_empty()
    }
}

/// How to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What is not reported, and not watched.
    pub rules: Rules,
    /// A batch is given when nothing has happened for so long.
    pub settle: Duration,
    /// A batch is given so long after the first thing in it at the latest.
    pub max_latency: Duration,
    /// How often a file is reported that is written to and not closed.
    pub while_written: Duration,
    /// More changes than this in one folder become one rescan of it.
    pub max_in_folder: usize,
    /// More changes than this become one rescan of the root.
    pub max_pending: usize,
    /// Use at most so many of the system's watches, of which each folder takes one. The system has
    /// a limit for each user besides.
    pub max_watches: Option<usize>,
    /// How often folders are rescanned that have no watch.
    pub blind_interval: Duration,
    /// The longest pause between two looks whether a root that is gone is there again.
    pub max_pause: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            settle: Duration::from_millis(75),
            max_latency: Duration::from_millis(750),
            while_written: Duration::from_secs(2),
            max_in_folder: 4096,
            max_pending: 32 << 10,
            max_watches: None,
            blind_interval: Duration::from_secs(60),
            max_pause: Duration::from_secs(5),
        }
    }
}
