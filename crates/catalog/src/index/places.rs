//! Where entries are while what a watcher saw is gone through: as the library has them, and as they
//! were moved since.
//!
//! What a watcher says lags behind what is, and a scan may be ahead of it. So before something is looked
//! at in a folder, the folder is compared with the one that is there.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use driftless::Uuid;
use driftless::rusqlite::Connection;

use super::known::{Known, with_name};
use crate::error::CatalogError;
use crate::models::{Entry, EntryKind};
use crate::scan::{Kind, look_below};

/// Names that are looked up in a folder one by one before all of it is read.
const FEW: u32 = 8;
/// Entries that are kept; when there are more they are read again.
const MAX_KEPT: usize = 200_000;

/// What is at the path of a folder that is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// The folder, as far as can be told.
    Same,
    /// Another folder.
    Another,
    /// No folder.
    Nothing,
}

/// A name in a folder.
pub(super) type Place = (Uuid, Vec<u8>);

pub(super) struct Places<'a> {
    db: &'a Connection,
    location: Uuid,
    /// Entries that are on their way out; what seems to be in them is not.
    doomed: &'a dyn Fn(Uuid) -> bool,
    /// What was moved or is gone.
    placed: HashMap<Place, Option<Entry>>,
    read: HashMap<Uuid, Known>,
    kept: usize,
    lookups: HashMap<Uuid, u32>,
    ways: HashMap<PathBuf, Uuid>,
    /// Folders that were seen to be where they are known to be.
    true_folders: HashSet<Uuid>,
}

impl<'a> Places<'a> {
    pub(super) fn new(
        db: &'a Connection,
        location: Uuid,
        doomed: &'a dyn Fn(Uuid) -> bool,
    ) -> Self {
        Self {
            db,
            location,
            doomed,
            placed: HashMap::new(),
            read: HashMap::new(),
            kept: 0,
            lookups: HashMap::new(),
            ways: HashMap::new(),
            true_folders: HashSet::new(),
        }
    }

    /// The folder at a path in the location; if it is not known, the path of the topmost thing on the
    /// way to it that is not a known folder.
    pub(super) fn folder(&mut self, path: &Path) -> Result<Result<Uuid, PathBuf>, CatalogError> {
        if let Some(id) = self.ways.get(path) {
            return Ok(Ok(*id));
        }
        let (mut at, mut way) = (self.location, PathBuf::new());
        for name in path {
            way.push(name);
            match self.child(at, name.as_bytes())? {
                Some(entry)
                    if entry.kind == EntryKind::Dir.number() && !(self.doomed)(entry.id) =>
                {
                    at = entry.id;
                }
                Some(_) | None => return Ok(Err(way)),
            }
        }
        self.ways.insert(way, at);
        Ok(Ok(at))
    }

    /// The folder at a path, as [`folder`](Self::folder) says, if it is the one that is there. If there
    /// is another one, it is not known; if there is none, what took it away is still to be heard of.
    pub(super) fn true_folder(
        &mut self,
        root: &Path,
        path: &Path,
    ) -> Result<Result<Uuid, PathBuf>, CatalogError> {
        let folder = self.folder(path)?;
        let (Ok(id), false) = (&folder, path.as_os_str().is_empty()) else { return Ok(folder) };
        if self.true_folders.contains(id) {
            return Ok(folder);
        }
        if self.is_there(root, path)? == There::Same {
            self.true_folders.insert(*id);
            return Ok(folder);
        }
        let mut way = PathBuf::new();
        for name in path {
            way.push(name);
            match self.is_there(root, &way)? {
                There::Same => {}
                There::Another => return Ok(Err(way)),
                There::Nothing => break,
            }
        }
        Ok(folder)
    }

    /// Whether the folder that is known at a path is there.
    pub(super) fn is_there(&mut self, root: &Path, path: &Path) -> Result<There, CatalogError> {
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(There::Same);
        };
        let Ok(parent) = self.folder(above)? else { return Ok(There::Nothing) };
        let known = self.child(parent, name.as_bytes())?;
        let inode = known.and_then(|entry| entry.inode);
        // What cannot be looked at, for whatever reason, is not known to be another one.
        let Ok(there) = look_below(root, path) else { return Ok(There::Nothing) };
        let another = inode.is_some_and(|inode| inode != there.inode.cast_signed());
        Ok(if there.kind != Kind::Dir {
            There::Nothing
        } else if another {
            There::Another
        } else {
            There::Same
        })
    }

    /// What has this name in a folder.
    pub(super) fn child(
        &mut self,
        parent: Uuid,
        name: &[u8],
    ) -> Result<Option<Entry>, CatalogError> {
        let place = (parent, name.to_owned());
        if let Some(entry) = self.placed.get(&place) {
            return Ok(entry.clone());
        }
        if let Some(known) = self.read.get(&parent) {
            return Ok(known.get(name).cloned());
        }
        let lookups = self.lookups.entry(parent).or_default();
        *lookups += 1;
        if *lookups <= FEW {
            let mut found = with_name(self.db, parent, name)?;
            // What is on its way out may still be where something else is by now.
            let at = found.iter().rposition(|entry| !(self.doomed)(entry.id));
            return Ok(at.map(|at| found.swap_remove(at)).or_else(|| found.pop()));
        }
        let known = Known::load(self.db, parent, self.doomed)?;
        let found = known.get(name).cloned();
        if self.kept + known.len() > MAX_KEPT {
            self.read.clear();
            self.kept = 0;
        }
        self.kept += known.len();
        self.read.insert(parent, known);
        Ok(found)
    }

    /// From now on this is at a place, or nothing.
    pub(super) fn put(&mut self, place: Place, entry: Option<Entry>) {
        // A folder may be in the way of others.
        self.ways.clear();
        self.placed.insert(place, entry);
    }
}
