//! How keeping goes, for whoever asks.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use driftless::Uuid;

use super::lock;
use crate::error::CatalogError;
use crate::index::path_of;
use crate::models::Location;
use crate::{scan, watch};

/// Problems of one location that are kept; the oldest go first.
const MAX_PROBLEMS: usize = 64;

/// How a location is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// What happened before it was watched is being found.
    Scanning,
    /// It is watched.
    Watching,
    /// It cannot be watched, or not all of it, and is scanned from time to time.
    Rescanning,
    /// Its folder is not there.
    Offline,
    /// The library or the system failed; it is tried again.
    Failing,
}

impl Keeping {
    /// A stable word for it, for JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scanning => "scanning",
            Self::Watching => "watching",
            Self::Rescanning => "rescanning",
            Self::Offline => "offline",
            Self::Failing => "failing",
        }
    }
}

/// Something that is not as it should be with the keeping of a location.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepProblem {
    /// Some changes are not seen, or some rules do not hold.
    #[error(transparent)]
    Watch(#[from] watch::Problem),
    /// It is not watched.
    #[error(transparent)]
    Watcher(#[from] watch::WatchError),
    /// Something in it could not be read.
    #[error(transparent)]
    Scan(#[from] scan::Problem),
    /// Something failed, and is tried again.
    #[error(transparent)]
    Failed(#[from] CatalogError),
}

/// How one location is kept.
#[derive(Debug, Clone)]
pub struct KeepReport {
    /// The location; nil for what concerns none alone.
    pub location: Uuid,
    /// Its path.
    pub path: PathBuf,
    /// How it is kept.
    pub keeping: Keeping,
    /// The last things that went wrong.
    pub problems: Vec<Arc<KeepProblem>>,
    /// How many went wrong before those.
    pub more_problems: u64,
}

#[derive(Debug)]
struct Sheet {
    path: PathBuf,
    keeping: Keeping,
    problems: VecDeque<Arc<KeepProblem>>,
    more: u64,
}

/// Where all of it is noted.
#[derive(Debug, Default)]
pub(crate) struct Desk(Mutex<BTreeMap<Uuid, Sheet>>);

impl Desk {
    pub(super) fn all(&self) -> Vec<KeepReport> {
        let sheets = lock(&self.0);
        let report = |(id, sheet): (&Uuid, &Sheet)| KeepReport {
            location: *id,
            path: sheet.path.clone(),
            keeping: sheet.keeping,
            problems: sheet.problems.iter().cloned().collect(),
            more_problems: sheet.more,
        };
        sheets.iter().map(report).collect()
    }

    pub(super) fn open(&self, location: &Location) {
        let sheet = Sheet {
            path: path_of(location),
            keeping: Keeping::Scanning,
            problems: VecDeque::new(),
            more: 0,
        };
        lock(&self.0).insert(location.id, sheet);
    }

    pub(super) fn close(&self, id: Uuid) {
        lock(&self.0).remove(&id);
    }

    /// Something failed that concerns no location alone.
    pub(super) fn failed(&self, error: CatalogError) {
        let mut sheets = lock(&self.0);
        let sheet = sheets.entry(Uuid::nil()).or_insert_with(|| Sheet {
            path: PathBuf::new(),
            keeping: Keeping::Failing,
            problems: VecDeque::new(),
            more: 0,
        });
        sheet.add(error.into());
    }

    pub(super) fn set(&self, id: Uuid, keeping: Keeping) {
        if let Some(sheet) = lock(&self.0).get_mut(&id) {
            sheet.keeping = keeping;
        }
    }

    pub(super) fn add(&self, id: Uuid, problem: impl Into<KeepProblem>) {
        if let Some(sheet) = lock(&self.0).get_mut(&id) {
            sheet.add(problem.into());
        }
    }

    pub(super) fn add_more(&self, id: Uuid, more: u64) {
        if let Some(sheet) = lock(&self.0).get_mut(&id) {
            sheet.more = sheet.more.saturating_add(more);
        }
    }

    /// A scan saw all of it: what it did not meet again is over.
    pub(super) fn clear(&self, id: Uuid, is_over: impl Fn(&KeepProblem) -> bool) {
        if let Some(sheet) = lock(&self.0).get_mut(&id) {
            sheet.problems.retain(|problem| !is_over(problem));
        }
    }
}

impl Sheet {
    fn add(&mut self, problem: KeepProblem) {
        if self.problems.len() == MAX_PROBLEMS {
            self.problems.pop_front();
            self.more = self.more.saturating_add(1);
        }
        self.problems.push_back(Arc::new(problem));
    }
}
