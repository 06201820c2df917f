//! Hashing what the walk did not wait for.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use driftless::Uuid;

use super::ScanOptions;
use super::begin::Begun;
use super::known::without_hash;
use super::report::Report;
use super::sink::{Batch, ROWS, Sink};
use super::walking::failed;
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::locations::locations;
use crate::models::Entry;
use crate::owners::Owners;
use crate::paths::{Paths, below};
use crate::scan::{Cancel, Done, HashPool, Hashed, Job, Outcome};

/// Files that are looked up at once.
const PAGE: usize = 512;
/// How long a hash waits for others before its row is written.
const HOLD: Duration = Duration::from_secs(1);
/// How often progress is told while a large file is read.
const TICK: Duration = Duration::from_millis(100);

/// The hashing of one scan.
pub(super) struct Hasher {
    /// `None` if the scan does not hash.
    pub(super) pool: Option<HashPool<u64>>,
    pub(super) cancel: Cancel,
    pub(super) patience: Duration,
    /// Whether rows still wait for their hashes.
    pub(super) inline: bool,
    /// Files that are to be hashed after the walk, and their bytes.
    pub(super) left: u64,
    pub(super) left_bytes: u64,
    /// Their sizes, unless the caller hashes them.
    pub(super) left_sizes: HashSet<i64>,
    /// Some of them, for a caller who hashes them himself.
    pub(super) left_files: Vec<(Uuid, PathBuf)>,
    /// Files that could not be hashed; trying again at once would not help.
    pub(super) failed: HashSet<Uuid>,
    /// How many of those left behind the caller wants to know.
    told: usize,
    last_tag: u64,
}

impl Hasher {
    /// The caller hashes what is left himself and wants to know up to `told` of it, unless that is 0.
    pub(super) fn new(
        begun: &Begun,
        options: &ScanOptions,
        told: usize,
    ) -> Result<Self, CatalogError> {
        let pool = match options.hash {
            true => Some(HashPool::open(&begun.path, options.cancel.clone())?),
            false => None,
        };
        Ok(Self {
            inline: pool.is_some(),
            pool,
            cancel: options.cancel.clone(),
            patience: options.patience,
            left: 0,
            left_bytes: 0,
            left_sizes: HashSet::new(),
            left_files: Vec::new(),
            failed: HashSet::new(),
            told,
            last_tag: 0,
        })
    }

    /// A name for a job that no other job of this scan has.
    pub(super) fn tag(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    /// Leaves a file for after the walk.
    pub(super) fn leave(&mut self, id: Uuid, bytes: i64, path: PathBuf) {
        self.left += 1;
        self.left_bytes = self.left_bytes.saturating_add(u64::try_from(bytes).unwrap_or(0));
        if self.told == 0 {
            self.left_sizes.insert(bytes);
        } else if self.left_files.len() < self.told {
            self.left_files.push((id, path));
        }
    }

    pub(super) fn check(&self) -> Result<(), CatalogError> {
        if self.cancel.is_cancelled() { Err(CatalogError::Cancelled) } else { Ok(()) }
    }
}

/// Puts a hash into its row, with the size and times that it is of: the file may have changed since
/// it was found. Tells whether that changed the row.
pub(super) fn settle(entry: &mut Entry, hashed: &Hashed, report: &mut Report<'_>) -> bool {
    report.hashed += 1;
    report.hashed_bytes = report.hashed_bytes.saturating_add(hashed.meta.size);
    let size = entry.size;
    let changed = put_hash(entry, hashed);
    report.grew(entry.size.saturating_sub(size));
    changed
}

/// Puts a hash into its row, with the size and times that it is of. Tells whether that changed it.
pub(super) fn put_hash(entry: &mut Entry, hashed: &Hashed) -> bool {
    let size = i64::try_from(hashed.meta.size).unwrap_or(i64::MAX);
    let modified_at = Some(hashed.meta.mtime.millis());
    let before = (entry.content.as_deref(), entry.size, entry.modified_at);
    if before == (Some(hashed.hash.as_slice()), size, modified_at) {
        return false;
    }
    entry.content = Some(hashed.hash.to_vec());
    (entry.size, entry.modified_at) = (size, modified_at);
    true
}

/// Hashes the files of the location that have no hash, in the order of their rows, which is that of
/// the walk.
pub(super) fn hash_rest(
    catalog: &Catalog<'_>,
    begun: &Begun,
    hasher: &mut Hasher,
    report: &mut Report<'_>,
    sink: &Sink<'_>,
) -> Result<(), CatalogError> {
    report.begin_hashing(hasher.left_bytes);
    let read_before = hasher.pool.as_ref().map_or(0, HashPool::bytes);
    let mut rest = Rest {
        hasher,
        report,
        sink,
        read_before,
        files: HashMap::new(),
        batch: Batch::default(),
        since: Instant::now(),
    };
    let hashed = rest.all(catalog, begun);
    // What is hashed is kept even if that is not all.
    rest.flush().and(hashed)
}

/// A row of the table with a file, and its path in the location, if it has one.
pub(super) type File = (i64, Entry, Option<PathBuf>);

/// The next files of a location behind a row of the table that have no hash.
pub(super) fn page(
    catalog: &Catalog<'_>,
    location: Uuid,
    last: i64,
) -> Result<Vec<File>, CatalogError> {
    let device = catalog.library.device_id();
    catalog.read(|db| {
        let Some(lane) = Owners::load(db)?.lane(&device) else { return Ok(Vec::new()) };
        let Some((root, _)) = locations(db)?.into_iter().find(|(of, _)| of.id == location) else {
            return Ok(Vec::new());
        };
        let mut paths = Paths::new(db);
        let mut files = Vec::new();
        for (rowid, entry) in without_hash(db, location, last, PAGE)? {
            let path = paths.of((entry.parent, entry.location, lane), entry.name_bytes())?;
            let inside = path.as_deref().and_then(|p| below(p, root.path_bytes()));
            let inside = inside.map(|path| PathBuf::from(OsStr::from_bytes(path)));
            files.push((rowid, entry, inside));
        }
        Ok(files)
    })
}

struct Rest<'r, 'c, 's> {
    hasher: &'r mut Hasher,
    report: &'r mut Report<'c>,
    sink: &'r Sink<'s>,
    read_before: u64,
    /// Those that are being hashed.
    files: HashMap<u64, Entry>,
    batch: Batch,
    since: Instant,
}

impl Rest<'_, '_, '_> {
    fn all(&mut self, catalog: &Catalog<'_>, begun: &Begun) -> Result<(), CatalogError> {
        let mut last = 0;
        loop {
            let page = page(catalog, begun.location.id, last)?;
            let Some((rowid, ..)) = page.last() else { break };
            last = *rowid;
            for (_, entry, path) in page {
                if let Some(path) = path {
                    self.submit(entry, path)?;
                }
            }
        }
        while !self.files.is_empty() {
            self.take_one()?;
        }
        Ok(())
    }

    fn submit(&mut self, entry: Entry, path: PathBuf) -> Result<(), CatalogError> {
        if self.hasher.failed.contains(&entry.id) {
            return Ok(());
        }
        let tag = self.hasher.tag();
        let mut job = Job { tag, path };
        loop {
            let Some(pool) = &mut self.hasher.pool else { return Ok(()) };
            match pool.submit(job) {
                Ok(()) => break,
                Err(refused) => job = refused,
            }
            self.take_one()?;
        }
        self.files.insert(tag, entry);
        Ok(())
    }

    /// Takes a result, if one comes soon.
    fn take_one(&mut self) -> Result<(), CatalogError> {
        self.hasher.check()?;
        let Some(pool) = &mut self.hasher.pool else { return Ok(()) };
        let done = pool.wait_for(TICK);
        self.report.read(pool.bytes() - self.read_before);
        self.report.tick();
        if let Some(done) = done {
            self.take(done);
        }
        let due = self.batch.put.len() >= ROWS || self.since.elapsed() >= HOLD;
        if due { self.flush() } else { Ok(()) }
    }

    fn take(&mut self, done: Done<u64>) {
        // What is not among the files was given up by the walk and is hashed once more.
        let Some(mut entry) = self.files.remove(&done.job.tag) else { return };
        match done.outcome {
            Outcome::Hashed(hashed) => {
                if settle(&mut entry, &hashed, self.report) {
                    self.batch.put.push(entry);
                }
            }
            Outcome::Problem(problem) => self.report.problem(problem),
            Outcome::Cancelled => {}
        }
    }

    fn flush(&mut self) -> Result<(), CatalogError> {
        self.since = Instant::now();
        let batch = std::mem::take(&mut self.batch);
        if self.sink.send(batch) { Ok(()) } else { Err(failed()) }
    }
}
