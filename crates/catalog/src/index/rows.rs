//! The rows that a walk makes: kept until there are enough of them, with their hashes if those come soon.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::INLINE_BYTES;
use super::hashing::{Hasher, settle};
use super::report::Report;
use super::sink::{Batch, ROWS, Sink};
use super::walking::failed;
use crate::error::CatalogError;
use crate::models::{Entry, EntryKind};
use crate::scan::{Done, Job, Outcome};

/// How long a row waits for others before it is written.
const HOLD: Duration = Duration::from_millis(500);

/// A row of the batch that is being filled.
struct Pending {
    entry: Entry,
    /// Where its file is; empty unless it is hashed.
    path: PathBuf,
    /// Whether it differs from what is written.
    dirty: bool,
    /// Whether its hash is still to come.
    waits: bool,
}

/// The batch that is being filled.
pub(super) struct Rows<'w, 'c, 's> {
    pub(super) hasher: &'w mut Hasher,
    pub(super) report: &'w mut Report<'c>,
    sink: &'w Sink<'s>,
    rows: Vec<Pending>,
    /// Rows whose hash is still to come, by the job's tag.
    waiting: HashMap<u64, usize>,
    since: Instant,
}

impl<'w, 'c, 's> Rows<'w, 'c, 's> {
    pub(super) fn new(
        hasher: &'w mut Hasher,
        report: &'w mut Report<'c>,
        sink: &'w Sink<'s>,
    ) -> Self {
        let (rows, waiting) = (Vec::new(), HashMap::new());
        Self { hasher, report, sink, rows, waiting, since: Instant::now() }
    }

    /// Keeps a row for writing if it is new or differs, and has the file hashed if need be, or if
    /// `doubt` says that its content may have changed without a trace.
    pub(super) fn keep(&mut self, entry: Entry, old: Option<&Entry>, doubt: bool, path: PathBuf) {
        self.report.compared(old, &entry);
        let dirty = old != Some(&entry);
        let file = entry.kind == EntryKind::File.number();
        let hash = self.hasher.pool.is_some() && file && (entry.content.is_none() || doubt);
        if !(dirty || hash) {
            return;
        }
        if self.rows.is_empty() {
            self.since = Instant::now();
        }
        let (row, size) = (self.rows.len(), entry.size);
        self.rows.push(Pending { entry, path: PathBuf::new(), dirty, waits: false });
        if hash {
            let small = u64::try_from(size).is_ok_and(|size| size <= INLINE_BYTES);
            if small && self.submit(&path, row) {
                let pending = &mut self.rows[row];
                (pending.waits, pending.path) = (true, path);
            } else {
                let id = self.rows[row].entry.id;
                self.hasher.leave(id, size, path);
            }
        }
    }

    /// Has a file hashed while the walk goes on. False if that is not done any more.
    fn submit(&mut self, path: &std::path::Path, row: usize) -> bool {
        let tag = self.hasher.tag();
        let mut job = Job { tag, path: path.to_owned() };
        while self.hasher.inline {
            let Some(pool) = &mut self.hasher.pool else { return false };
            match pool.submit(job) {
                Ok(()) => {
                    self.waiting.insert(tag, row);
                    return true;
                }
                Err(refused) => job = refused,
            }
            match pool.wait_for(self.hasher.patience) {
                Some(done) => self.take(done),
                None => self.hasher.inline = false,
            }
        }
        false
    }

    /// Takes the hashes that are there, and writes the batch if that is due.
    pub(super) fn step(&mut self) -> Result<(), CatalogError> {
        while let Some(done) = self.hasher.pool.as_mut().and_then(|pool| pool.poll()) {
            self.take(done);
        }
        self.report.tick();
        let due =
            self.rows.len() >= ROWS || (!self.rows.is_empty() && self.since.elapsed() >= HOLD);
        if due { self.flush() } else { Ok(()) }
    }

    fn take(&mut self, done: Done<u64>) {
        // A row that had waited too long is written; its file is hashed once more later.
        let Some(row) = self.waiting.remove(&done.job.tag) else { return };
        let pending = &mut self.rows[row];
        pending.waits = false;
        match done.outcome {
            Outcome::Hashed(hashed) => {
                pending.dirty |= settle(&mut pending.entry, &hashed, self.report);
            }
            Outcome::Problem(problem) => {
                self.hasher.failed.insert(pending.entry.id);
                self.report.problem(problem);
            }
            Outcome::Cancelled => {}
        }
    }

    /// Hands the batch to the library, when its hashes are there or have been waited for long enough.
    pub(super) fn flush(&mut self) -> Result<(), CatalogError> {
        let until = Instant::now() + self.hasher.patience;
        while !self.waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let Some(pool) = &mut self.hasher.pool else { break };
            match pool.wait_for(left) {
                Some(done) => self.take(done),
                None => {
                    self.hasher.inline = false;
                    break;
                }
            }
        }
        self.waiting.clear();
        let mut batch = Batch::default();
        for pending in self.rows.drain(..) {
            if pending.waits {
                self.hasher.leave(pending.entry.id, pending.entry.size, pending.path);
            }
            if pending.dirty {
                batch.put.push(pending.entry);
            }
        }
        self.since = Instant::now();
        if self.sink.send(batch) { Ok(()) } else { Err(failed()) }
    }
}
