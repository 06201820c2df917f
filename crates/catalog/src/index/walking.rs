//! Walking a location, and comparing what is there with what is known.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use driftless::Uuid;

use super::INLINE_BYTES;
use super::begin::Begun;
use super::hashing::{Hasher, settle};
use super::ids::Ids;
use super::known::{Known, all_below};
use super::report::Report;
use super::sink::{Batch, ROWS, Sink};
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::models::{Entry, EntryKind};
use crate::scan::walk::{Options, ROOT};
use crate::scan::{
    Done, Found, Job, Kind, Listed, Meta, Outcome, Problem, Step, Walk, What, extension, name_text,
    volume_of,
};

/// How long a row waits for others before it is written.
const HOLD: Duration = Duration::from_millis(500);

/// A folder that was found and is still to be listed.
#[derive(Clone, Copy)]
struct Folder {
    id: Uuid,
    /// Whether there may be entries in it from an earlier scan.
    known: bool,
}

/// The folder that is being listed.
struct Current {
    index: u64,
    id: Uuid,
    path: PathBuf,
    known: Known,
}

/// A row of the batch that is being filled.
struct Pending {
    entry: Entry,
    /// Whether it differs from what is written.
    dirty: bool,
    /// Whether its hash is still to come.
    waits: bool,
}

/// The library failed; [`Sink::close`] tells how.
pub(super) fn failed() -> CatalogError {
    CatalogError::Library(driftless::Error::Closed)
}

struct Walker<'w, 'c, 's> {
    catalog: Catalog<'w>,
    begun: &'w Begun,
    hasher: &'w mut Hasher,
    report: &'w mut Report<'c>,
    sink: &'w Sink<'s>,
    ids: Ids,
    walk: Walk,
    /// The library's own folder, which changes with everything that is written to it.
    own: Option<(u64, u64)>,
    folders: HashMap<u64, Folder>,
    current: Option<Current>,
    rows: Vec<Pending>,
    gone: Vec<Uuid>,
    /// Rows whose hash is still to come, by the job's tag.
    waiting: HashMap<u64, usize>,
    since: Instant,
}

/// Walks the location and writes what differs from what is known.
pub(super) fn walk(
    catalog: &Catalog<'_>,
    begun: &Begun,
    hasher: &mut Hasher,
    report: &mut Report<'_>,
    sink: &Sink<'_>,
) -> Result<(), CatalogError> {
    let root = Folder { id: begun.location.id, known: begun.known };
    let mut walker = Walker {
        catalog: *catalog,
        begun,
        hasher,
        report,
        sink,
        ids: Ids::new()?,
        walk: Walk::open(&begun.path, Options::default())?,
        own: identity(catalog.library.dir()),
        folders: HashMap::from([(ROOT, root)]),
        current: None,
        rows: Vec::new(),
        gone: Vec::new(),
        waiting: HashMap::new(),
        since: Instant::now(),
    };
    while let Some(step) = walker.walk.next() {
        if let Err(stop) = walker.hasher.check() {
            // What was found so far is kept.
            walker.flush()?;
            return Err(stop);
        }
        walker.step(step)?;
    }
    walker.flush()
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let meta = path.metadata().ok()?;
    Some((meta.dev(), meta.ino()))
}

impl Walker<'_, '_, '_> {
    fn step(&mut self, step: Step) -> Result<(), CatalogError> {
        match step {
            Step::Found(found) => self.found(found)?,
            Step::Problem(problem) => self.report.problem(problem),
            Step::Listed(listed) => self.listed(listed)?,
        }
        self.poll();
        self.report.tick();
        let full = self.rows.len() + self.gone.len() >= ROWS;
        let due = !(self.rows.is_empty() && self.gone.is_empty()) && self.since.elapsed() >= HOLD;
        if full || due { self.flush() } else { Ok(()) }
    }

    /// The folder with this index, which is being listed.
    fn enter(&mut self, index: u64) -> Result<&mut Current, CatalogError> {
        if self.current.as_ref().is_none_or(|current| current.index != index) {
            let folder = self.folders.get(&index).copied();
            let Folder { id, known } = folder.expect("a folder is found before it is listed");
            let known = match known {
                true => self.catalog.read(|db| Known::load(db, id))?,
                false => Known::default(),
            };
            self.current = Some(Current { index, id, path: self.walk.dir_path(), known });
        }
        Ok(self.current.as_mut().expect("it was just entered"))
    }

    fn found(&mut self, found: Found) -> Result<(), CatalogError> {
        let (meta, index) = (found.meta, found.index);
        self.report.found(meta.kind, meta.size);
        let current = self.enter(found.parent)?;
        let kind = match meta.kind {
            Kind::File => EntryKind::File,
            Kind::Dir => EntryKind::Dir,
            Kind::Link => EntryKind::Link,
            // If something else had this name before, that is gone.
            Kind::Other => return Ok(()),
        };
        let mut old = current.known.take(found.name.as_bytes());
        let (parent, path) = (current.id, current.path.join(&found.name));
        if let Some(other) = old.take_if(|old| old.kind != kind.number()) {
            self.remove(&other)?;
        }
        let entry = self.entry(found, kind, parent, old.as_ref());
        if kind == EntryKind::Dir {
            self.folders.insert(index, Folder { id: entry.id, known: old.is_some() });
            if !self.belongs(&meta, &path) {
                self.walk.do_not_enter(index);
            }
        }
        self.compare(entry, old, path);
        Ok(())
    }

    /// Whether what is in a folder belongs to the location. Another volume does not: it can be
    /// indexed as a location of its own, and when it is not mounted its entries are not gone.
    fn belongs(&mut self, meta: &Meta, path: &Path) -> bool {
        if self.own == Some((meta.device, meta.inode)) {
            return false;
        }
        if meta.device == self.walk.root().device {
            return true;
        }
        // One volume can have several device numbers, as btrfs has for its subvolumes.
        let volume = volume_of(&self.begun.path.join(path));
        let same = volume.is_ok_and(|volume| volume.fingerprint == self.begun.fingerprint);
        if !same {
            self.report.problem(Problem::new(path.to_owned(), What::OtherVolume));
        }
        same
    }

    /// The row of what was found, with what stays of its old row.
    fn entry(&mut self, found: Found, kind: EntryKind, parent: Uuid, old: Option<&Entry>) -> Entry {
        let meta = found.meta;
        let (name, name_raw) = name_text(&found.name);
        let size = if kind == EntryKind::Dir { 0 } else { meta.size };
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let modified_at = Some(meta.mtime.millis());
        let same = |old: &&Entry| old.size == size && old.modified_at == modified_at;
        Entry {
            id: old.map_or_else(|| self.ids.next(), |old| old.id),
            location: self.begun.location.id,
            parent,
            extension: if kind == EntryKind::File { extension(&name) } else { None },
            name,
            name_raw,
            kind: kind.number(),
            size,
            modified_at,
            created_at: meta.btime.map(|time| time.millis()),
            inode: self.begun.inodes.then_some(meta.inode.cast_signed()),
            content: old.filter(same).and_then(|old| old.content.clone()),
            link_target: found.target.map(|to| to.to_string_lossy().into_owned()),
        }
    }

    /// Keeps a row for writing if it is new or differs, and has the file hashed if need be.
    fn compare(&mut self, entry: Entry, old: Option<Entry>, path: PathBuf) {
        let changes = &mut self.report.changes;
        let dirty = old.as_ref() != Some(&entry);
        match (&old, dirty) {
            (None, _) => changes.added += 1,
            (Some(_), true) => changes.updated += 1,
            (Some(_), false) => changes.unchanged += 1,
        }
        let file = entry.kind == EntryKind::File.number();
        let hash = self.hasher.pool.is_some() && file && entry.content.is_none();
        if !(dirty || hash) {
            return;
        }
        if self.rows.is_empty() && self.gone.is_empty() {
            self.since = Instant::now();
        }
        let (row, size) = (self.rows.len(), entry.size);
        self.rows.push(Pending { entry, dirty, waits: false });
        if hash {
            let small = u64::try_from(size).is_ok_and(|size| size <= INLINE_BYTES);
            if small && self.submit(path, row) {
                self.rows[row].waits = true;
            } else {
                self.hasher.leave(size);
            }
        }
    }

    /// Has a file hashed while the walk goes on. False if that is not done any more.
    fn submit(&mut self, path: PathBuf, row: usize) -> bool {
        let tag = self.hasher.tag();
        let mut job = Job { tag, path };
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

    /// Takes the hashes that are there.
    fn poll(&mut self) {
        while let Some(done) = self.hasher.pool.as_mut().and_then(|pool| pool.poll()) {
            self.take(done);
        }
    }

    fn take(&mut self, done: Done<u64>) {
        // A row that had waited too long is written; its file is hashed once more later.
        let Some(row) = self.waiting.remove(&done.job.tag) else { return };
        let pending = &mut self.rows[row];
        pending.waits = false;
        match done.outcome {
            Outcome::Hashed(hashed) => {
                settle(&mut pending.entry, &hashed, self.report);
                pending.dirty = true;
            }
            Outcome::Problem(problem) => {
                self.hasher.failed.insert(pending.entry.id);
                self.report.problem(problem);
            }
            Outcome::Cancelled => {}
        }
    }

    /// A folder was read: what is known and was not found is gone, unless something went wrong.
    fn listed(&mut self, listed: Listed) -> Result<(), CatalogError> {
        self.enter(listed.dir)?;
        self.folders.remove(&listed.dir);
        let Some(mut current) = self.current.take() else { return Ok(()) };
        self.bury(std::mem::take(&mut current.known.surplus))?;
        if listed.complete {
            for entry in current.known.missing() {
                self.remove(entry)?;
            }
        }
        Ok(())
    }

    /// An entry is gone, with all that was below it.
    fn remove(&mut self, entry: &Entry) -> Result<(), CatalogError> {
        if entry.kind == EntryKind::Dir.number() {
            let below = self.catalog.read(|db| all_below(db, entry.id))?;
            self.bury(below)?;
        }
        self.bury(vec![entry.id])
    }

    fn bury(&mut self, ids: Vec<Uuid>) -> Result<(), CatalogError> {
        for id in ids {
            self.report.changes.removed += 1;
            self.gone.push(id);
            if self.gone.len() >= ROWS {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Hands the batch to the library, when its hashes are there or have been waited for long enough.
    fn flush(&mut self) -> Result<(), CatalogError> {
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
        let mut batch = Batch { put: Vec::new(), gone: std::mem::take(&mut self.gone) };
        for pending in self.rows.drain(..) {
            if pending.waits {
                self.hasher.leave(pending.entry.size);
            }
            if pending.dirty {
                batch.put.push(pending.entry);
            }
        }
        self.since = Instant::now();
        if self.sink.send(batch) { Ok(()) } else { Err(failed()) }
    }
}
