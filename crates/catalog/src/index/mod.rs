//! Indexing a folder: walking it, writing what is there, hashing the files.
//!
//! **Names early, rows written once.** A row that is written before its hash is known has to be
//! written again with it. Where a file is small and the disk quick, the hash costs about as much as
//! that second write: there the row waits for its hash. Where hashing is slow, the second write is
//! small beside it, and people should not wait for names. So
//!
//! * files up to [`INLINE_BYTES`] are hashed while the walk goes on, and the rows of a batch wait for
//!   their hashes, as long as that takes no longer than [`ScanOptions::patience`] for a batch;
//! * once a batch had to wait longer (a slow disk, a server), the walk goes on without hashing;
//! * what has no hash after the walk gets it then, larger files among them, and its row is written
//!   again; so is what an earlier scan left without one because it was stopped.
//!
//! **Rescans** compare each folder with what is known of it, by name. What is as it was is not
//! written; content is hashed again only if size or modification time have changed. What was not
//! found is deleted only if its folder could be read to the end, and only when the walk is over: it
//! may have moved ([`lost`]). What a watcher saw is brought into the library in the same way
//! ([`update`]).
//!
//! What is not indexed is said by [`rules`], to the scan and to the watcher alike.
//!
//! Rows are made here and only handed to the library's writer ([`sink`]), a thousand at a time.

mod begin;
mod hashing;
mod known;
mod late;
mod lost;
mod places;
mod report;
mod rows;
mod rules;
mod sink;
#[cfg(test)]
mod tests;
mod turn;
mod unseen;
mod update;
mod walking;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use driftless::Uuid;

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::models::{Location, LocationRules, LocationState};
use crate::scan::Cancel;
use begin::{Begun, begin, begin_again, there};
use hashing::Hasher;
use lost::{Lost, bury};
use report::Report;
use sink::Sink;
use walking::{Extent, Scope, Walker};

pub(crate) use begin::path_of;
pub(crate) use late::Late;
pub(crate) use report::Growth;
pub use report::{Added, Changes, Counts, ScanPhase, ScanProgress};
pub(crate) use rules::{library_in, pattern, rules};
pub(crate) use turn::Turn;

/// Files up to this size are hashed before their rows are written.
const INLINE_BYTES: u64 = 256 << 10;

/// How to scan.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// Whether files get their content hash. Without, tags are put on single files.
    pub hash: bool,
    /// What is left out from now on; `None` for what was said before, of a new location nothing.
    pub rules: Option<LocationRules>,
    /// How long the rows of a batch (a thousand) wait for the last of their hashes. Once that was not
    /// enough, the scan writes all names first and the hashes afterwards.
    pub patience: Duration,
    /// A wish that the scan stops; what it found so far is kept.
    pub cancel: Cancel,
}

impl Default for ScanOptions {
    fn default() -> Self {
        let patience = Duration::from_millis(250);
        Self { hash: true, rules: None, patience, cancel: Cancel::default() }
    }
}

/// Who has entries changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Person,
    Keeper,
}

impl Catalog<'_> {
    /// Indexes a folder of this device, and tells of its progress about ten times a second. A folder
    /// that is indexed already is scanned again. Returns when all is durable; other devices and
    /// readers see entries as they come.
    ///
    /// # Errors
    /// If the folder is not there or cannot be read; if it lies in a location or contains one; if the
    /// library fails. What goes wrong below the folder is reported in [`Added`] and is no error.
    pub fn add_location(
        &self,
        path: &Path,
        options: &ScanOptions,
        tell: &mut dyn FnMut(&ScanProgress),
    ) -> Result<Added, CatalogError> {
        self.scan(&begin(self, path, options)?, options, tell)
    }

    /// Makes a folder of this device a location, and returns at once: its scan is somebody else's,
    /// by [`Catalog::rescan`] or a [`Keeper`](crate::keep::Keeper). A folder that is a location already
    /// stays one as it is, but for its rules, if there are new ones.
    ///
    /// # Errors
    /// As for [`Catalog::add_location`].
    pub fn register_location(
        &self,
        path: &Path,
        rules: Option<LocationRules>,
    ) -> Result<Location, CatalogError> {
        begin::register(self, path, rules)
    }

    /// Whether a location of this device is being scanned or removed at this moment.
    #[must_use]
    pub fn is_scanning(&self, location: Uuid) -> bool {
        Turn::is_taken(location)
    }

    /// Scans a location of this device again. If a keeper is at work on it, that waits.
    ///
    /// # Errors
    /// As for [`Catalog::add_location`]. If the folder is gone or on another drive than it was (then
    /// most likely its drive is not mounted), the location is offline and its entries stay as they are.
    pub fn rescan(
        &self,
        location: Uuid,
        options: &ScanOptions,
        tell: &mut dyn FnMut(&ScanProgress),
    ) -> Result<Added, CatalogError> {
        self.scan(&begin_again(self, location, options, Who::Person)?, options, tell)
    }

    /// Scans a location again for the keeper. Where inodes tell what has moved, files that take long
    /// to hash are left for later; tells whether there are any, and what is owed ([`Updated`]).
    ///
    /// [`Updated`]: update::Updated
    pub(crate) fn rescan_kept(
        &self,
        location: Uuid,
        options: &ScanOptions,
    ) -> Result<(Added, bool, Vec<Uuid>), CatalogError> {
        let begun = begin_again(self, location, options, Who::Keeper)?;
        let mut tell = |_: &ScanProgress| {};
        let mut report = Report::new(&mut tell, None);
        let told = usize::from(begun.inodes);
        let hash = !begun.location.no_hash.unwrap_or(false);
        let options = &ScanOptions { hash, ..options.clone() };
        match self.scan_all(&begun, options, told, &mut report) {
            Ok((left, owed)) => {
                self.end(&begun, Some(&report))?;
                Ok((report.finish(begun.location.id, begun.path), left, owed))
            }
            // Somebody else goes first, and the keeper scans again.
            Err(CatalogError::Cancelled) => Err(CatalogError::Cancelled),
            Err(error) => Err(self.failed(&begun, error)),
        }
    }

    fn scan(
        &self,
        begun: &Begun,
        options: &ScanOptions,
        tell: &mut dyn FnMut(&ScanProgress),
    ) -> Result<Added, CatalogError> {
        let last = &begun.location;
        let expected = u64::try_from(last.files.saturating_add(last.dirs)).ok();
        let mut report = Report::new(tell, expected.filter(|expected| *expected > 0));
        match self.scan_all(begun, options, 0, &mut report) {
            Ok(_) => {
                self.end(begun, Some(&report))?;
                Ok(report.finish(begun.location.id, begun.path.clone()))
            }
            Err(error) => Err(self.failed(begun, error)),
        }
    }

    /// A scan failed: why, which is also noted.
    fn failed(&self, begun: &Begun, error: CatalogError) -> CatalogError {
        // That the scan failed is what there is to tell, whether or not it can be noted.
        drop(self.end(begun, None));
        error
    }

    /// Scans the whole location. With `told`, files that take long to hash are left to the caller;
    /// tells whether there are any, and which folders were not where they were thought to be.
    fn scan_all(
        &self,
        begun: &Begun,
        options: &ScanOptions,
        told: usize,
        report: &mut Report<'_>,
    ) -> Result<(bool, Vec<Uuid>), CatalogError> {
        let mut hasher = Hasher::new(begun, options, told)?;
        let mut lost = Lost::new(self, begun, HashMap::new())?;
        let scope = Scope {
            folder: begun.location.id,
            inode: None,
            known: begun.known,
            path: Default::default(),
            extent: Extent::Tree,
        };
        self.compare(begun, vec![scope], (&mut hasher, report), &mut lost)?;
        if hasher.left == 0 || told > 0 {
            self.bury(&mut lost, report, None)?;
            self.take_unseen(begun, report)?;
            return Ok((hasher.left > 0, lost.take_owed()));
        }
        self.bury(&mut lost, report, Some(&hasher))?;
        self.writing(|sink| hashing::hash_rest(self, begun, &mut hasher, report, sink))?;
        self.bury(&mut lost, report, None)?;
        self.take_unseen(begun, report)?;
        Ok((false, lost.take_owed()))
    }

    /// Compares scopes, which do not overlap. When it returns, what differs is durable.
    fn compare(
        &self,
        begun: &Begun,
        scopes: Vec<Scope>,
        (hasher, report): (&mut Hasher, &mut Report<'_>),
        lost: &mut Lost,
    ) -> Result<(), CatalogError> {
        self.writing(|sink| {
            let mut walker = Walker::new(self, begun, (hasher, report), lost, sink)?;
            for scope in scopes {
                walker.compare(scope)?;
            }
            walker.end()
        })
    }

    fn bury(
        &self,
        lost: &mut Lost,
        report: &mut Report<'_>,
        awaited: Option<&Hasher>,
    ) -> Result<(), CatalogError> {
        if lost.is_empty() {
            return Ok(());
        }
        let sizes = awaited.map(|hasher| &hasher.left_sizes);
        self.writing(|sink| bury(self, lost, report, sink, sizes))
    }

    /// Runs what writes batches, and waits until they are durable.
    fn writing<T>(
        &self,
        work: impl FnOnce(&Sink<'_>) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        std::thread::scope(|scope| {
            let sink = Sink::open(scope, self.library)?;
            let done = work(&sink);
            // If the library failed, that is why the work ended.
            sink.close().and(done)
        })
    }

    /// Writes how the scan ended: with what it found, or that it failed.
    fn end(&self, begun: &Begun, found: Option<&Report<'_>>) -> Result<(), CatalogError> {
        let mut location = begun.location.clone();
        let state = match found {
            None => LocationState::Failed,
            Some(report) => {
                count(&mut location, report);
                LocationState::Ready
            }
        };
        location.state = state.as_str().to_owned();
        self.library.write(move |tx| Ok(tx.put(&location)?))
    }

    /// Writes the state of a location, if it is another one.
    pub(crate) fn set_state(&self, id: Uuid, state: LocationState) -> Result<(), CatalogError> {
        self.change_location(id, move |location| state.as_str().clone_into(&mut location.state))
    }

    /// Whether the folder of a location of this device is there; if not, the location is offline.
    pub(crate) fn look_for(&self, id: Uuid) -> Result<(), CatalogError> {
        there(self, &self.own_location(id)?).map(drop)
    }

    /// Writes that a location has grown, unless it was scanned since the scan that ended `after`.
    pub(crate) fn grow(
        &self,
        id: Uuid,
        after: Option<i64>,
        by: Growth,
    ) -> Result<(), CatalogError> {
        self.change_location(id, move |location| {
            if location.scanned_at != after {
                return;
            }
            let add = |count: &mut i64, by: i64| *count = count.saturating_add(by).max(0);
            add(&mut location.files, by.files);
            add(&mut location.dirs, by.dirs);
            add(&mut location.bytes, by.bytes);
        })
    }

    fn change_location(
        &self,
        id: Uuid,
        change: impl FnOnce(&mut Location) + Send + 'static,
    ) -> Result<(), CatalogError> {
        self.library.write(move |tx| {
            // One that was removed meanwhile needs no change.
            let Some(before) = tx.get::<Location>(id)? else { return Ok(()) };
            let mut after = before.clone();
            change(&mut after);
            if after != before {
                tx.put(&after)?;
            }
            Ok(())
        })
    }
}

fn count(location: &mut Location, report: &Report<'_>) {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counts = report.counts();
    location.files = number(counts.files);
    location.dirs = number(counts.dirs);
    location.bytes = number(counts.bytes);
    location.problems = number(report.problem_count());
    location.scanned_at = Some(number(now_ms()));
}

/// Unix milliseconds; a clock before 1970 counts as standing at its beginning.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
