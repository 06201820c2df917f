//! Where entries are while what a watcher saw is gone through: as the library has them, and as they
//! were moved since.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use driftless::Uuid;
use driftless::rusqlite::Connection;

use super::known::{Known, with_name};
use crate::error::CatalogError;
use crate::models::{Entry, EntryKind};

/// Names that are looked up in a folder one by one before all of it is read.
const FEW: u32 = 8;
/// Entries that are kept; when there are more they are read again.
const MAX_KEPT: usize = 200_000;

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
            return Ok(with_name(self.db, parent, name)?.pop());
        }
        let known = Known::load(self.db, parent, |_| false)?;
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
