//! What a watcher saw, brought into the library.
//!
//! First what moved and went, in the order in which it happened: entries that have moved get their new
//! places, those that are gone are noted and stay until the end. Then what is to be looked at is compared
//! with the library, as a scan does. What was said to be gone and has turned up under its old name or
//! with its content is not gone; the rest is buried.
//!
//! Looking is what decides, so that a watcher that said too much does no harm. Where names changed
//! hands within one batch the folders are compared as a whole, should it have mixed them up.
//!
//! **The disk is ahead of what was heard.** At a folder's path there may be another folder by now, and
//! what a scan found may be said to move once more. So a folder is only compared with the one that it
//! is, by its inode; if there is another one at its path, that is looked at by its name, from above. A
//! folder that is not there, or that goes while it is looked at, is **owed**: it is compared once more
//! with what is heard next, where it is then, or after a while.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use driftless::Uuid;
use driftless::rusqlite::Connection;

use super::begin::{Begun, begin_part};
use super::hashing::Hasher;
use super::known::by_id;
use super::lost::Lost;
use super::places::{Place, Places};
use super::report::{Growth, Report};
use super::rules::library_in;
use super::sink::{Batch, ROWS};
use super::walking::{Extent, Scope, failed};
use super::{ScanOptions, ScanProgress};
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::models::{Entry, EntryKind};
use crate::scan::{Problem, extension, name_text};
use crate::watch::Event;

/// Files whose hash is left to the caller, by name; should there be more, he looks for them.
const LEFT_TOLD: usize = 4_096;

/// What became of what a watcher saw.
#[derive(Debug)]
pub(crate) struct Updated {
    /// By how much the location has grown.
    pub(crate) growth: Growth,
    /// When the scan ended after which it has.
    pub(crate) after: Option<i64>,
    /// Files without a hash, and where they are.
    pub(crate) left: Vec<(Uuid, PathBuf)>,
    /// Whether there are more of them.
    pub(crate) more_left: bool,
    /// Folders that were not where they were thought to be. They are compared once more with what is
    /// heard next, or after a while.
    pub(crate) owed: Vec<Uuid>,
    /// What could not be read.
    pub(crate) problems: Vec<Problem>,
}

impl Catalog<'_> {
    /// Brings into the library what a watcher saw of a location, and what is owed since the last time.
    /// `options` says when to stop; whether files are hashed is the location's affair.
    pub(crate) fn update(
        &self,
        location: Uuid,
        (events, owed): (&[Event], &[Uuid]),
        options: &ScanOptions,
    ) -> Result<Updated, CatalogError> {
        let begun = begin_part(self, location, &options.cancel)?;
        let library = library_in(&begun.path, self.library.dir());
        let plan = self.read(|db| Plan::make(db, &begun, events, library.as_deref()))?;
        let mut tell = |_: &ScanProgress| {};
        let mut report = Report::new(&mut tell, None);
        self.write_moves(&plan, &mut report)?;
        let (scopes, again) = self.read(|db| plan.scopes(db, &begun, owed))?;
        let hash = !scopes.is_empty() && !begun.location.no_hash.unwrap_or(false);
        let options = ScanOptions { hash, ..options.clone() };
        let mut hasher = Hasher::new(&begun, &options, LEFT_TOLD)?;
        let mut lost = Lost::new(self, &begun, plan.doomed)?;
        for folder in again {
            lost.owe(folder);
        }
        self.compare(&begun, scopes, (&mut hasher, &mut report), &mut lost)?;
        self.bury(&mut lost, &mut report, None)?;
        let told = u64::try_from(hasher.left_files.len()).unwrap_or(u64::MAX);
        Ok(Updated {
            growth: report.growth,
            after: begun.location.scanned_at,
            more_left: hasher.left > told,
            left: hasher.left_files,
            owed: lost.take_owed(),
            problems: report.take_problems(),
        })
    }

    fn write_moves(&self, plan: &Plan, report: &mut Report<'_>) -> Result<(), CatalogError> {
        let moves = plan.order.iter().filter_map(|id| plan.moved.get(id));
        let moves: Vec<&(Entry, Entry)> = moves.filter(|(was, is)| was != is).collect();
        if moves.is_empty() {
            return Ok(());
        }
        self.writing(|sink| {
            for some in moves.chunks(ROWS) {
                let mut batch = Batch::default();
                for (was, is) in some {
                    report.compared(Some(was), is);
                    batch.put.push(is.clone());
                }
                if !sink.send(batch) {
                    return Err(failed());
                }
            }
            Ok(())
        })
    }
}

/// What is to be done.
#[derive(Default)]
struct Plan {
    /// As they were and as they are, by id; and in the order in which they moved first.
    moved: HashMap<Uuid, (Entry, Entry)>,
    order: Vec<Uuid>,
    /// Gone, unless they turn up; as the library has them.
    doomed: HashMap<Uuid, Entry>,
    /// To look at, with all below it if it says true.
    looks: BTreeMap<PathBuf, bool>,
    /// To look at, by the folder.
    places: BTreeSet<Place>,
    /// To compare with all below them.
    trees: BTreeSet<PathBuf>,
    /// Folders in which names changed hands.
    doubts: BTreeSet<Uuid>,
    /// Places that were left or taken.
    used: HashSet<Place>,
}

impl Plan {
    fn make(
        db: &Connection,
        begun: &Begun,
        events: &[Event],
        library: Option<&Path>,
    ) -> Result<Self, CatalogError> {
        let mut plan = Self::default();
        let mut at = Places::new(db, begun.location.id, &|_| false);
        let in_library = |path: &Path| library.is_some_and(|library| path.starts_with(library));
        for event in events {
            match event {
                Event::Created { path } | Event::Changed { path } if in_library(path) => {}
                Event::Created { path } => plan.look(path, true),
                Event::Changed { path } => plan.look(path, false),
                Event::Removed { path } => plan.removed(&mut at, path)?,
                Event::Moved { from, to } => plan.has_moved(&mut at, from, to)?,
                Event::Rescan { dir } if in_library(dir) => {}
                Event::Rescan { dir } => drop(plan.trees.insert(dir.clone())),
                // The whole is scanned again.
                Event::RootGone | Event::RootBack => {}
            }
        }
        Ok(plan)
    }

    fn look(&mut self, path: &Path, deep: bool) {
        // The root has no name and is no entry.
        if !path.as_os_str().is_empty() {
            *self.looks.entry(path.to_owned()).or_default() |= deep;
        }
    }

    fn removed(&mut self, at: &mut Places<'_>, path: &Path) -> Result<(), CatalogError> {
        if let Some((place, entry)) = known(at, path)? {
            self.used(&place);
            at.put(place, None);
            self.doom(entry);
        }
        Ok(())
    }

    /// An entry is gone. Should it have moved before, that counts for nothing, unless it is a folder:
    /// what was above it may have moved into it, and would be in itself.
    fn doom(&mut self, entry: Entry) {
        let was = match entry.kind == EntryKind::Dir.number() {
            true => None,
            false => self.moved.remove(&entry.id).map(|(was, _)| was),
        };
        self.doomed.insert(entry.id, was.unwrap_or(entry));
    }

    fn used(&mut self, place: &Place) {
        if !self.used.insert(place.clone()) {
            self.doubts.insert(place.0);
        }
    }

    fn has_moved(
        &mut self,
        at: &mut Places<'_>,
        from: &Path,
        to: &Path,
    ) -> Result<(), CatalogError> {
        let (Some(above), Some(name)) = (to.parent(), to.file_name()) else { return Ok(()) };
        let Some((left, entry)) = known(at, from)? else {
            self.look(to, true);
            return Ok(());
        };
        self.used(&left);
        at.put(left, None);
        let Ok(parent) = at.folder(above)? else {
            self.doom(entry);
            self.look(to, true);
            return Ok(());
        };
        let place = (parent, name.as_bytes().to_owned());
        self.used(&place);
        let is_dir = entry.kind == EntryKind::Dir.number();
        if !is_dir {
            self.places.insert(place.clone());
        }
        if let Some(there) = at.child(parent, &place.1)?
            && there.id != entry.id
        {
            // A file that was renamed onto a known one is that one: so programs save.
            if !is_dir && there.kind == entry.kind {
                self.doom(entry);
                return Ok(());
            }
            self.doom(there);
        }
        let is = placed(&entry, parent, name);
        if !self.moved.contains_key(&entry.id) {
            self.order.push(entry.id);
        }
        self.moved.entry(entry.id).or_insert_with(|| (entry.clone(), entry)).1 = is.clone();
        at.put(place, Some(is));
        Ok(())
    }

    /// What is compared with the library, which has the moves: scopes that do not overlap; and what of
    /// the owed stays so.
    fn scopes(
        &self,
        db: &Connection,
        begun: &Begun,
        owed: &[Uuid],
    ) -> Result<(Vec<Scope>, Vec<Uuid>), CatalogError> {
        let doomed = |id| self.doomed.contains_key(&id);
        let mut at = Places::new(db, begun.location.id, &doomed);
        let mut all = Scopes::default();
        let named = self.places.iter().map(|(parent, name)| {
            let folder = path_of(db, begun, *parent)?;
            Ok(folder.map(|folder| (folder.join(OsStr::from_bytes(name)), false)))
        });
        let named = named.collect::<Result<Vec<_>, CatalogError>>()?.into_iter().flatten();
        let looks = self.looks.iter().map(|(path, deep)| (path.clone(), *deep));
        for (path, deep) in looks.chain(named) {
            match at.true_folder(&begun.path, path.parent().unwrap_or(Path::new("")))? {
                Ok(_) => *all.names.entry(path).or_default() |= deep,
                Err(unknown) => drop(all.names.insert(unknown, true)),
            }
        }
        for dir in &self.trees {
            match at.true_folder(&begun.path, dir)? {
                Ok(id) => drop(all.trees.insert(dir.clone(), id)),
                Err(unknown) => drop(all.names.insert(unknown, true)),
            }
        }
        let moved = self.moved.values().map(|(_, is)| is).filter(|is| !doomed(is.id));
        for folder in moved.filter(|is| is.kind == EntryKind::Dir.number()) {
            // What came there may have moved on, and another one be there that was known before.
            if let Some(path) = path_of(db, begun, folder.id)?
                && let Err(unknown) = at.true_folder(&begun.path, &path)?
            {
                all.names.insert(unknown, true);
            }
        }
        for id in &self.doubts {
            let Some(path) = path_of(db, begun, *id)? else { continue };
            match at.true_folder(&begun.path, &path)? {
                Ok(there) if there == *id => drop(all.folders.insert(path, *id)),
                Ok(_) => {}
                Err(unknown) => drop(all.names.insert(unknown, true)),
            }
        }
        let mut again = Vec::new();
        for id in owed.iter().filter(|id| !doomed(**id)) {
            // What hangs nowhere is not looked for.
            let Some(path) = path_of(db, begun, *id)? else { continue };
            match at.true_folder(&begun.path, &path)? {
                Ok(there) if there == *id => drop(all.trees.insert(path, *id)),
                Ok(_) => {}
                Err(unknown) => {
                    all.names.insert(unknown, true);
                    again.push(*id);
                }
            }
        }
        Ok((all.into_scopes(db, &mut at)?, again))
    }
}

/// Where a path leads to and what is known there; `None` if nothing is.
fn known(at: &mut Places<'_>, path: &Path) -> Result<Option<(Place, Entry)>, CatalogError> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let Ok(parent) = at.folder(above)? else { return Ok(None) };
    let entry = at.child(parent, name.as_bytes())?;
    Ok(entry.map(|entry| ((parent, name.as_bytes().to_owned()), entry)))
}

/// An entry under another name.
fn placed(entry: &Entry, parent: Uuid, name: &OsStr) -> Entry {
    let (name, name_raw) = name_text(name);
    let file = entry.kind == EntryKind::File.number();
    let extension = if file { extension(&name) } else { None };
    Entry { parent, extension, name, name_raw, ..entry.clone() }
}

/// Where a folder is in the location; `None` if the way up leads nowhere.
fn path_of(db: &Connection, begun: &Begun, id: Uuid) -> Result<Option<PathBuf>, CatalogError> {
    let (mut names, mut at) = (Vec::new(), id);
    let mut way = HashSet::new();
    while at != begun.location.id {
        let Some(folder) = by_id(db, at)?.filter(|_| way.insert(at)) else { return Ok(None) };
        names.push(OsStr::from_bytes(folder.name_bytes()).to_owned());
        at = folder.parent;
    }
    Ok(Some(names.iter().rev().collect()))
}

/// What is to be compared, by path.
#[derive(Default)]
struct Scopes {
    names: BTreeMap<PathBuf, bool>,
    trees: BTreeMap<PathBuf, Uuid>,
    folders: BTreeMap<PathBuf, Uuid>,
}

impl Scopes {
    /// Leaves out what is compared anyway: nothing may be compared twice, as the second time would not
    /// see what the first one found.
    fn into_scopes(self, db: &Connection, at: &mut Places<'_>) -> Result<Vec<Scope>, CatalogError> {
        let Self { names, trees, folders } = self;
        let in_tree = |path: &Path| path.ancestors().any(|above| trees.contains_key(above));
        let is_deep = |path: &Path| names.get(path) == Some(&true);
        let in_deep = |path: &Path| path.ancestors().any(is_deep);
        let below_deep = |path: &Path| path.parent().is_some_and(in_deep);
        let below_tree = |path: &Path| path.parent().is_some_and(in_tree);
        let mut scopes = Vec::new();
        for (path, id) in &trees {
            if !below_tree(path) && !in_deep(path) {
                scopes.push(scope(db, *id, path, Extent::Tree)?);
            }
        }
        let mut by_folder: BTreeMap<&Path, BTreeMap<OsString, bool>> = BTreeMap::new();
        for path in folders.keys() {
            if !in_tree(path) && !in_deep(path) {
                by_folder.entry(path).or_default();
            }
        }
        for (path, deep) in &names {
            let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { continue };
            // A look at the folder of a tree, with all below it, is more than the tree.
            let in_tree = below_tree(path) || (!deep && trees.contains_key(path));
            if !in_tree && !below_deep(path) {
                by_folder.entry(above).or_default().insert(name.to_owned(), *deep);
            }
        }
        for (path, names) in by_folder {
            let whole = folders.contains_key(path);
            let Ok(id) = at.folder(path)? else { continue };
            let extent = if whole { Extent::Folder(names) } else { Extent::Names(names) };
            scopes.push(scope(db, id, path, extent)?);
        }
        Ok(scopes)
    }
}

fn scope(
    db: &Connection,
    folder: Uuid,
    path: &Path,
    extent: Extent,
) -> Result<Scope, CatalogError> {
    let inode = by_id(db, folder)?.and_then(|entry| entry.inode);
    Ok(Scope { folder, inode, known: true, path: path.to_owned(), extent })
}
