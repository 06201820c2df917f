//! Hashing in the background: what a keeper's scans did not wait for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use driftless::Uuid;

use super::hashing::{page, put_hash};
use super::known::by_id;
use super::sink::write_few;
use super::turn::Turn;
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::models::{Entry, EntryKind};
use crate::scan::{Cancel, HashPool, Hashed, Job, Outcome, Problem, What};

/// Files that are being hashed at once; those that come later need not wait for all of them. Few
/// enough for one transaction, with all that can have been said of them.
const AT_ONCE: usize = 8;

/// The files of one location that are to be hashed, and those that are being hashed.
#[derive(Default)]
pub(crate) struct Late {
    pool: Option<HashPool<u64>>,
    under_way: HashMap<u64, Uuid>,
    queue: VecDeque<(Uuid, PathBuf)>,
    /// The last row of the table that was looked at, while all files without a hash are looked for.
    row: Option<i64>,
    /// Files that could not be read since then.
    failed: HashSet<Uuid>,
    last_tag: u64,
}

impl Late {
    /// These are to be hashed.
    pub(crate) fn add(&mut self, files: Vec<(Uuid, PathBuf)>) {
        for (id, _) in &files {
            // Something has changed, so it may be read now.
            self.failed.remove(id);
        }
        self.queue.extend(files);
    }

    /// All files of the location without a hash are.
    pub(crate) fn all(&mut self) {
        self.row = Some(0);
        self.failed.clear();
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_empty() && self.row.is_none()
    }

    /// Gives up what is under way; it is not forgotten by the library.
    pub(crate) fn stop(&mut self) {
        *self = Self::default();
    }

    /// Writes the hashes that are there, and has more files hashed. `turn` ends the wait for the right
    /// to write, `cancel` the hashing.
    pub(crate) fn step(
        &mut self,
        catalog: &Catalog<'_>,
        (location, root): (Uuid, &Path),
        (turn, cancel): (&Cancel, &Cancel),
    ) -> Result<Vec<Problem>, CatalogError> {
        let (hashed, problems) = self.take();
        if !hashed.is_empty() {
            let turn = Turn::wait(location, turn)?;
            catalog.library.write(move |tx| {
                let mut rows = Vec::new();
                for (id, hashed) in hashed {
                    // What has changed since is hashed once more.
                    if let Some(mut entry) = by_id(tx.db(), id)?.filter(|e| is_of(e, &hashed))
                        && put_hash(&mut entry, &hashed)
                    {
                        rows.push(entry);
                    }
                }
                write_few(tx, &rows)
            })?;
            drop(turn);
        }
        self.fill(catalog, (location, root), cancel)?;
        if self.is_idle() {
            self.pool = None;
        }
        Ok(problems)
    }

    fn take(&mut self) -> (Vec<(Uuid, Hashed)>, Vec<Problem>) {
        let (mut hashed, mut problems) = (Vec::new(), Vec::new());
        while let Some(result) = self.pool.as_mut().and_then(HashPool::poll) {
            let Some(id) = self.under_way.remove(&result.job.tag) else { continue };
            match result.outcome {
                Outcome::Hashed(of) => hashed.push((id, of)),
                Outcome::Problem(problem) => {
                    self.failed.insert(id);
                    // Whoever changed or took it is heard of.
                    if !matches!(problem.what, What::Changed | What::Vanished) {
                        problems.push(problem);
                    }
                }
                Outcome::Cancelled => {}
            }
        }
        (hashed, problems)
    }

    fn fill(
        &mut self,
        catalog: &Catalog<'_>,
        (location, root): (Uuid, &Path),
        cancel: &Cancel,
    ) -> Result<(), CatalogError> {
        if self.queue.is_empty()
            && let Some(row) = self.row
        {
            let page = page(catalog, location, row)?;
            self.row = page.last().map(|(row, ..)| *row);
            let files = page.into_iter().filter_map(|(_, entry, path)| Some((entry.id, path?)));
            self.queue.extend(files);
        }
        let mut busy = Vec::new();
        while self.under_way.len() < AT_ONCE
            && let Some((id, path)) = self.queue.pop_front()
        {
            if self.failed.contains(&id) {
                continue;
            }
            if self.under_way.values().any(|other| *other == id) {
                // It has changed since its turn came, and has another one.
                busy.push((id, path));
                continue;
            }
            let pool = match &mut self.pool {
                Some(pool) => pool,
                none => none.insert(HashPool::open(root, cancel.clone())?),
            };
            self.last_tag += 1;
            if let Err(refused) = pool.submit(Job { tag: self.last_tag, path }) {
                self.queue.push_front((id, refused.path));
                break;
            }
            self.under_way.insert(self.last_tag, id);
        }
        self.queue.extend(busy);
        Ok(())
    }
}

/// Whether a hash is of the file that an entry stands for, as the entry has it.
fn is_of(entry: &Entry, hashed: &Hashed) -> bool {
    entry.kind == EntryKind::File.number()
        && u64::try_from(entry.size) == Ok(hashed.meta.size)
        && entry.modified_at == Some(hashed.meta.mtime.millis())
        && entry.inode.is_none_or(|inode| inode == hashed.meta.inode.cast_signed())
}
