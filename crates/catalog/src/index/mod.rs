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
//! found is deleted only if its folder could be read to the end.
//!
//! Rows are made here and only handed to the library's writer ([`sink`]), a thousand at a time.

mod begin;
mod hashing;
mod ids;
mod known;
mod report;
mod sink;
mod walking;

use std::path::Path;
use std::time::Duration;

use driftless::Uuid;

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::models::{Location, LocationState};
use crate::scan::Cancel;
use begin::{Begun, begin, path_of};
use hashing::Hasher;
use report::Report;
use sink::Sink;

pub(crate) use begin::Guard;
pub use report::{Added, Changes, Counts, ScanPhase, ScanProgress};

/// Files up to this size are hashed before their rows are written.
const INLINE_BYTES: u64 = 256 << 10;

/// How to scan.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// Whether files get their content hash. Without, tags are put on single files.
    pub hash: bool,
    /// How long the rows of a batch (a thousand) wait for the last of their hashes. Once that was not
    /// enough, the scan writes all names first and the hashes afterwards.
    pub patience: Duration,
    /// A wish that the scan stops; what it found so far is kept.
    pub cancel: Cancel,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self { hash: true, patience: Duration::from_millis(250), cancel: Cancel::default() }
    }
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
        self.scan(begin(self, path, None)?, options, tell)
    }

    /// Makes a folder of this device a location, and returns at once: its scan is somebody else's,
    /// by [`Catalog::rescan`]. A folder that is a location already stays one as it is.
    ///
    /// # Errors
    /// As for [`Catalog::add_location`].
    pub fn register_location(&self, path: &Path) -> Result<Location, CatalogError> {
        begin::register(self, path)
    }

    /// Whether a location of this device is being scanned or removed at this moment.
    #[must_use]
    pub fn is_scanning(&self, location: Uuid) -> bool {
        Guard::is_taken(location)
    }

    /// Scans a location of this device again.
    ///
    /// # Errors
    /// As for [`Catalog::add_location`]. If the folder is gone or on another drive than it was (then
    /// most likely its drive is not mounted), its entries stay as they are.
    pub fn rescan(
        &self,
        location: Uuid,
        options: &ScanOptions,
        tell: &mut dyn FnMut(&ScanProgress),
    ) -> Result<Added, CatalogError> {
        let path = path_of(&self.own_location(location)?);
        self.scan(begin(self, &path, Some(location))?, options, tell)
    }

    fn scan(
        &self,
        begun: Begun,
        options: &ScanOptions,
        tell: &mut dyn FnMut(&ScanProgress),
    ) -> Result<Added, CatalogError> {
        let last = &begun.location;
        let expected = u64::try_from(last.files.saturating_add(last.dirs)).ok();
        let mut report = Report::new(tell, expected.filter(|expected| *expected > 0));
        match self.scan_all(&begun, options, &mut report) {
            Ok(()) => {
                self.end(&begun, Some(&report))?;
                Ok(report.finish(begun.location.id, begun.path))
            }
            Err(error) => {
                // That the scan failed is what there is to tell, whether or not it can be noted.
                drop(self.end(&begun, None));
                Err(error)
            }
        }
    }

    fn scan_all(
        &self,
        begun: &Begun,
        options: &ScanOptions,
        report: &mut Report<'_>,
    ) -> Result<(), CatalogError> {
        let mut hasher = Hasher::new(begun, options)?;
        std::thread::scope(|scope| {
            let sink = Sink::open(scope, self.library)?;
            let walked = walking::walk(self, begun, &mut hasher, report, &sink);
            // If the library failed, that is why the walk ended.
            sink.close().and(walked)
        })?;
        if hasher.left == 0 {
            return Ok(());
        }
        std::thread::scope(|scope| {
            let sink = Sink::open(scope, self.library)?;
            let hashed = hashing::hash_rest(self, begun, &mut hasher, report, &sink);
            sink.close().and(hashed)
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
}

fn count(location: &mut Location, report: &Report<'_>) {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let counts = report.counts();
    location.files = number(counts.files);
    location.dirs = number(counts.dirs);
    location.bytes = number(counts.bytes);
    location.problems = number(report.problem_count());
    location.scanned_at = Some(number(ids::now_ms()));
}
