//! What is missing, and what of it is only somewhere else.
//!
//! An entry keeps its id when it gets another name or folder. While the tree is walked, something with
//! an unknown name may be an entry of the location by its **inode**, if
//!
//! * it is the same thing: of the same kind, born at the same time (where that is not known: of the
//!   same size and age), as systems use inode numbers again;
//! * that entry was not found under its own name;
//! * the inode is no longer at the entry's place, else this is a second name of it, a hard link.
//!
//! A folder so takes along all that hangs on its id: one row is written. Then, as files get their
//! hashes, a file that is new may be one that is missing by its **content** ([`bury`]): where inodes
//! mean nothing, where something was copied and the first one deleted.
//!
//! A file that has the name of a known one takes over its id, whatever it was before: that is how
//! programs save (a new file is renamed onto the old one). A folder that has the name of a known one
//! does so only if it is no other known one.
//!
//! **Memory**: nothing while all names are known. From the first unknown name on 24 bytes for each
//! entry of the location; about 150 for each one that was moved, 300 for each one that is missing
//! (nothing for what was below it), and 72 for each one below the missing folder that is buried, of which 24 are kept to
//! the end.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use driftless::Uuid;
use driftless::rusqlite::Connection;

use super::begin::Begun;
use super::known::{Below, Inodes, all_below, by_id, last_row, with_content};
use super::report::Report;
use super::sink::{Batch, ROWS, Sink};
use super::walking::failed;
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::models::{Entry, EntryKind};
use crate::scan::{Meta, look_below};

/// What a scan did not find, and what it found elsewhere.
pub(super) struct Lost {
    location: Uuid,
    root: PathBuf,
    inodes_mean_something: bool,
    /// Whether unknown names are looked for among the inodes now.
    by_inode: bool,
    inodes: Option<Inodes>,
    /// Said to be gone before anybody looked; found under its old name it is not.
    doomed: HashMap<Uuid, Entry>,
    missing: Vec<Entry>,
    /// Found elsewhere than where the library has them, perhaps not yet written.
    adopted: HashMap<Uuid, (Uuid, Vec<u8>)>,
    /// Found under their names, with another inode.
    replaced: HashSet<Uuid>,
    /// New files that may be missing ones.
    new_files: u64,
    /// The rows behind this one are of this scan.
    after: i64,
    /// Folders that were not where they were thought to be, or went while they were looked at. What is
    /// known of what is in them may be wrong.
    owed: Vec<Uuid>,
}

impl Lost {
    pub(super) fn new(
        catalog: &Catalog<'_>,
        begun: &Begun,
        doomed: HashMap<Uuid, Entry>,
    ) -> Result<Self, CatalogError> {
        Ok(Self {
            location: begun.location.id,
            root: begun.path.clone(),
            inodes_mean_something: begun.inodes,
            by_inode: false,
            inodes: None,
            doomed,
            missing: Vec::new(),
            adopted: HashMap::new(),
            replaced: HashSet::new(),
            new_files: 0,
            after: catalog.read(last_row)?,
            owed: Vec::new(),
        })
    }

    /// From here on, whether unknown names are looked for among the inodes.
    pub(super) fn ask_inodes(&mut self, ask: bool) {
        self.by_inode = ask && self.inodes_mean_something;
    }

    /// Whether an entry is not where the library may still have it.
    pub(super) fn is_elsewhere(&self, id: Uuid) -> bool {
        self.adopted.contains_key(&id)
    }

    /// Whether an entry is elsewhere or said to be gone.
    pub(super) fn is_gone(&self, id: Uuid) -> bool {
        self.is_elsewhere(id) || self.doomed.contains_key(&id)
    }

    /// A folder could not be looked at, or is another one now.
    pub(super) fn owe(&mut self, folder: Uuid) {
        if folder != self.location {
            self.owed.push(folder);
        }
    }

    /// Folders that are to be compared once more, when more has been heard of them.
    pub(super) fn take_owed(&mut self) -> Vec<Uuid> {
        self.owed.sort_unstable();
        self.owed.dedup();
        std::mem::take(&mut self.owed)
    }

    /// Something was not found.
    pub(super) fn miss(&mut self, entry: Entry) {
        if !self.is_elsewhere(entry.id) {
            self.missing.push(entry);
        }
    }

    /// Something was found: where, and as which entry, if as any.
    pub(super) fn found(&mut self, entry: Option<&Entry>, meta: &Meta, at: (Uuid, &OsStr)) {
        let Some(entry) = entry else {
            self.new_files += u64::from(meta.kind == crate::scan::Kind::File && meta.size > 0);
            return;
        };
        self.doomed.remove(&entry.id);
        let (parent, name) = (at.0, at.1.as_bytes());
        if entry.parent != parent || entry.name_bytes() != name {
            self.adopted.insert(entry.id, (parent, name.to_owned()));
        } else if entry.inode.is_some_and(|inode| inode != meta.inode.cast_signed()) {
            self.replaced.insert(entry.id);
        }
    }

    /// The entry that something with an unknown name is by its inode.
    pub(super) fn by_inode(
        &mut self,
        catalog: &Catalog<'_>,
        meta: &Meta,
        kind: EntryKind,
    ) -> Result<Option<Entry>, CatalogError> {
        if !self.by_inode {
            return Ok(None);
        }
        let inode = meta.inode.cast_signed();
        catalog.read(|db| {
            let inodes = match self.inodes.take() {
                Some(inodes) => inodes,
                None => Inodes::load(db, self.location)?,
            };
            let mut found = None;
            for id in inodes.of(inode) {
                if self.is_elsewhere(id) || self.replaced.contains(&id) {
                    continue;
                }
                let entry = by_id(db, id)?.filter(|entry| is_same(entry, meta, kind));
                if let Some(entry) = entry
                    && !self.is_at_its_place(db, &entry, meta)?
                {
                    found = Some(entry);
                    break;
                }
            }
            self.inodes = Some(inodes);
            Ok(found)
        })
    }

    /// Whether the inode is where the entry is, as far as is known by now.
    fn is_at_its_place(
        &self,
        db: &Connection,
        entry: &Entry,
        meta: &Meta,
    ) -> Result<bool, CatalogError> {
        let Some(path) = self.path_of(db, entry)? else { return Ok(false) };
        // What cannot be looked at, for whatever reason, is not known to be there.
        Ok(look_below(&self.root, &path).is_ok_and(|there| there.inode == meta.inode))
    }

    /// Where an entry is in the location; `None` if the way up leads nowhere.
    fn path_of(&self, db: &Connection, entry: &Entry) -> Result<Option<PathBuf>, CatalogError> {
        let mut names = vec![entry.name_bytes().to_owned()];
        let (mut at, mut way) = (entry.parent, HashSet::from([entry.id]));
        while at != self.location {
            if !way.insert(at) {
                return Ok(None);
            }
            let (parent, name) = match self.adopted.get(&at) {
                Some(place) => place.clone(),
                None => match by_id(db, at)? {
                    Some(folder) => (folder.parent, folder.name_bytes().to_owned()),
                    None => return Ok(None),
                },
            };
            names.push(name);
            at = parent;
        }
        Ok(Some(names.iter().rev().map(|name| OsStr::from_bytes(name)).collect()))
    }

    /// The walk is over: what was said to be gone and was not found is missing.
    pub(super) fn end_walk(&mut self) {
        self.inodes = None;
        self.missing.extend(self.doomed.drain().map(|(_, entry)| entry));
        self.missing.sort_unstable_by_key(|entry| entry.id);
        self.missing.dedup_by_key(|entry| entry.id);
        let adopted = &self.adopted;
        self.missing.retain(|entry| !adopted.contains_key(&entry.id));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }
}

/// Whether something is what an entry with its inode was.
fn is_same(entry: &Entry, meta: &Meta, kind: EntryKind) -> bool {
    let born = meta.btime.map(|time| time.millis());
    let birth = match (entry.created_at, born) {
        (Some(was), Some(is)) => was == is,
        _ => {
            let size = i64::try_from(meta.size).unwrap_or(i64::MAX);
            let size = kind == EntryKind::Dir || entry.size == size;
            size && entry.modified_at == Some(meta.mtime.millis())
        }
    };
    entry.kind == kind.number() && birth
}

/// Takes away what is missing, with all below it, what is in a folder before the folder. A missing
/// file whose content a new file has is that file. With `awaited`, the sizes of files whose content is
/// not known yet, what may be one of them stays missing until then.
///
/// All that the walk wrote must be durable.
pub(super) fn bury(
    catalog: &Catalog<'_>,
    lost: &mut Lost,
    report: &mut Report<'_>,
    sink: &Sink<'_>,
    awaited: Option<&HashSet<i64>>,
) -> Result<(), CatalogError> {
    let missing = std::mem::take(&mut lost.missing);
    let mut burial = Burial {
        catalog,
        lost,
        report,
        sink,
        awaited,
        taken: HashMap::new(),
        buried: HashSet::new(),
        batch: Batch::default(),
    };
    for entry in missing {
        burial.one(entry)?;
    }
    burial.flush()
}

struct Burial<'b, 'c, 's> {
    catalog: &'b Catalog<'b>,
    lost: &'b mut Lost,
    report: &'b mut Report<'c>,
    sink: &'b Sink<'s>,
    awaited: Option<&'b HashSet<i64>>,
    /// New rows that gave way to missing ones, and to which; that may not be written yet.
    taken: HashMap<Uuid, Below>,
    /// What is missing may also be below a folder that is, and goes once.
    buried: HashSet<Uuid>,
    batch: Batch,
}

impl Burial<'_, '_, '_> {
    fn one(&mut self, entry: Entry) -> Result<(), CatalogError> {
        if self.lost.is_elsewhere(entry.id) {
            return Ok(());
        }
        let mut all = match entry.kind == EntryKind::Dir.number() {
            true => self.catalog.read(|db| all_below(db, entry.id))?,
            false => Vec::new(),
        };
        all.push(Below::from(&entry));
        let mut waits = false;
        let mut gone = Vec::with_capacity(all.len());
        for below in all {
            if let Some(instead) = self.taken.get(&below.id) {
                // It gave way to what goes now, as it is in something that is missing after all.
                gone.push(instead.clone());
                continue;
            }
            if self.is_away(&below)? {
                continue;
            }
            match self.same_content(&below)? {
                Some(new) => self.take_over(&below, new)?,
                None => {
                    waits |= self.may_come(&below);
                    gone.push(below);
                }
            }
        }
        if waits {
            self.lost.missing.push(entry);
            return Ok(());
        }
        for below in gone {
            if !self.buried.insert(below.id) {
                continue;
            }
            self.report.removed(below.kind, below.size);
            self.batch.gone.push(below.id);
            self.flush_if_full()?;
        }
        Ok(())
    }

    /// Whether something was found elsewhere than where the library still has it. Once its row is
    /// written, what is below a missing folder is there.
    fn is_away(&self, below: &Below) -> Result<bool, CatalogError> {
        let Some((parent, name)) = self.lost.adopted.get(&below.id) else { return Ok(false) };
        let entry = self.catalog.read(|db| by_id(db, below.id))?;
        Ok(entry.is_none_or(|entry| entry.parent != *parent || entry.name_bytes() != name))
    }

    fn may_be_found(&self, below: &Below) -> bool {
        self.lost.new_files > 0 && below.size > 0 && below.content.is_some()
    }

    /// Whether the content may turn up among the files that are still to be hashed.
    fn may_come(&self, below: &Below) -> bool {
        self.may_be_found(below) && self.awaited.is_some_and(|sizes| sizes.contains(&below.size))
    }

    /// A new file with the content of a missing one; rather one with its name.
    fn same_content(&self, below: &Below) -> Result<Option<Entry>, CatalogError> {
        let Some(content) = below.content.filter(|_| self.may_be_found(below)) else {
            return Ok(None);
        };
        self.catalog.read(|db| {
            let new = (self.lost.location, content.as_slice(), self.lost.after);
            let mut found = with_content(db, new)?;
            found.retain(|new| {
                let free = !self.taken.contains_key(&new.id) && !self.buried.contains(&new.id);
                new.size == below.size && new.id != below.id && free
            });
            if found.len() > 1
                && let Some(old) = by_id(db, below.id)?
                && let Some(at) = found.iter().position(|new| new.name_bytes() == old.name_bytes())
            {
                return Ok(Some(found.swap_remove(at)));
            }
            Ok((!found.is_empty()).then(|| found.swap_remove(0)))
        })
    }

    fn take_over(&mut self, below: &Below, new: Entry) -> Result<(), CatalogError> {
        self.batch.gone.push(new.id);
        self.report.was_moved(below);
        let entry = Entry { id: below.id, ..new };
        self.taken.insert(new.id, Below::from(&entry));
        self.lost.adopted.insert(entry.id, (entry.parent, entry.name_bytes().to_owned()));
        self.batch.put.push(entry);
        self.flush_if_full()
    }

    fn flush_if_full(&mut self) -> Result<(), CatalogError> {
        let full = self.batch.put.len() + self.batch.gone.len() >= ROWS;
        if full { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), CatalogError> {
        let batch = std::mem::take(&mut self.batch);
        self.report.tick();
        if self.sink.send(batch) { Ok(()) } else { Err(failed()) }
    }
}
