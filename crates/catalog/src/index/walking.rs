//! Walking a location or parts of it, and comparing what is there with what is known. There is one way
//! to do that, however little is compared.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use driftless::Uuid;
use driftless::core::ids::IdSource;

use super::begin::Begun;
use super::hashing::Hasher;
use super::known::{Known, way_up};
use super::lost::Lost;
use super::now_ms;
use super::report::Report;
use super::rows::Rows;
use super::rules::rules;
use super::sink::Sink;
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::models::{Entry, EntryKind};
use crate::scan::walk::{Options, ROOT};
use crate::scan::{
    Found, Kind, Listed, Meta, Problem, RootError, Step, Walk, What, extension, name_text,
    volume_of,
};
use crate::watch::Ignore;

/// A file that was modified so shortly ago may be modified again without another modification time:
/// clocks of file systems tick every 4 ms, that of FAT every 2 s.
const DOUBT: Duration = Duration::from_secs(3);

/// What is compared.
pub(super) struct Scope {
    /// A folder, by its id.
    pub(super) folder: Uuid,
    /// Its inode, if that is known: another folder may be at its path by now.
    pub(super) inode: Option<i64>,
    /// Whether there may be entries in it from an earlier scan.
    pub(super) known: bool,
    /// Where it is in the location.
    pub(super) path: PathBuf,
    pub(super) extent: Extent,
}

/// How much of a folder is compared. Folders that were not known are always compared with all below
/// them.
pub(super) enum Extent {
    /// It and all below it.
    Tree,
    /// What is directly in it; of a folder with such a name all below it, if it says true.
    Folder(BTreeMap<OsString, bool>),
    /// What has these names in it; of a folder all below it, if it says true. What is not there is
    /// passed over.
    Names(BTreeMap<OsString, bool>),
}

impl Extent {
    /// Whether something is to be looked at by its name.
    fn names(&self, name: &OsStr) -> bool {
        match self {
            Self::Tree => false,
            Self::Folder(names) | Self::Names(names) => names.contains_key(name),
        }
    }
}

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
    /// Whether any rule can concern what is in it.
    rules: bool,
}

/// The walk over one scope.
struct Tour {
    walk: Walk,
    scope: Scope,
    /// The scope's folder and those above it. None of them can be below it.
    above: HashSet<Uuid>,
    folders: HashMap<u64, Folder>,
    current: Option<Current>,
}

/// The library failed; [`Sink::close`] tells how.
pub(super) fn failed() -> CatalogError {
    CatalogError::Library(driftless::Error::Closed)
}

pub(super) struct Walker<'w, 'c, 's> {
    catalog: Catalog<'w>,
    begun: &'w Begun,
    rows: Rows<'w, 'c, 's>,
    lost: &'w mut Lost,
    ids: IdSource,
    ignore: Ignore,
    /// The library's own folder, which changes with everything that is written to it.
    own: Option<(u64, u64)>,
    /// The device that the location's root is on.
    device: Option<u64>,
}

impl<'w, 'c, 's> Walker<'w, 'c, 's> {
    pub(super) fn new(
        catalog: &Catalog<'w>,
        begun: &'w Begun,
        (hasher, report): (&'w mut Hasher, &'w mut Report<'c>),
        lost: &'w mut Lost,
        sink: &'w Sink<'s>,
    ) -> Result<Self, CatalogError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(driftless::Error::from)?;
        Ok(Self {
            catalog: *catalog,
            begun,
            rows: Rows::new(hasher, report, sink),
            lost,
            ids: IdSource::new(&seed),
            ignore: Ignore::open(&begun.path, &rules(begun.location.rules())),
            own: identity(catalog.library.dir()),
            device: identity(&begun.path).map(|(device, _)| device),
        })
    }

    /// Compares a scope, and writes what differs.
    pub(super) fn compare(&mut self, scope: Scope) -> Result<(), CatalogError> {
        let Some(mut tour) = self.set_out(scope)? else { return Ok(()) };
        while let Some(step) = tour.walk.next() {
            if let Err(stop) = self.rows.hasher.check() {
                // What was found so far is kept.
                self.rows.flush()?;
                return Err(stop);
            }
            match step {
                Step::Found(found) => self.found(&mut tour, found)?,
                Step::Problem(problem) => self.problem(&tour, problem),
                Step::Listed(listed) => self.listed(&mut tour, listed)?,
            }
            self.rows.step()?;
        }
        Ok(())
    }

    /// Hands over the last rows.
    pub(super) fn end(mut self) -> Result<(), CatalogError> {
        self.rows.flush()?;
        let (problems, _) = self.ignore.take_problems();
        for problem in problems {
            self.rows.report.rules(&problem);
        }
        self.lost.end_walk();
        Ok(())
    }

    /// Opens the folder of a scope; `None` if there is nothing to compare in it.
    fn set_out(&mut self, scope: Scope) -> Result<Option<Tour>, CatalogError> {
        let part = !scope.path.as_os_str().is_empty();
        let walk = match &scope.extent {
            Extent::Tree | Extent::Folder(_) => {
                Walk::open_below(&self.begun.path, &scope.path, None, Options::default())
            }
            Extent::Names(names) => {
                let mut names = names.keys().map(OsString::as_os_str);
                let names: &mut dyn Iterator<Item = &OsStr> = &mut names;
                Walk::open_below(&self.begun.path, &scope.path, Some(names), Options::default())
            }
        };
        let walk = match walk {
            Ok(walk) => walk,
            // What took it away is still to be heard of.
            Err(RootError::NotFound { .. } | RootError::NotADirectory { .. }) if part => {
                self.lost.owe(scope.folder);
                return Ok(None);
            }
            Err(_) if part => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if scope.inode.is_some_and(|inode| inode != walk.root().inode.cast_signed()) {
            // What is in this one is not in that one.
            self.lost.owe(scope.folder);
            return Ok(None);
        }
        if part && (self.ignore.enter(&scope.path) || !self.belongs(walk.root(), &scope.path)) {
            return Ok(None);
        }
        self.lost.ask_inodes(!matches!(scope.extent, Extent::Names(_)));
        let above = self.catalog.read(|db| way_up(db, scope.folder))?;
        let folders = HashMap::from([(ROOT, Folder { id: scope.folder, known: scope.known })]);
        Ok(Some(Tour { walk, scope, above, folders, current: None }))
    }

    /// The folder with this index, which is being listed.
    fn enter<'t>(
        &mut self,
        tour: &'t mut Tour,
        index: u64,
    ) -> Result<&'t mut Current, CatalogError> {
        if tour.current.as_ref().is_none_or(|current| current.index != index) {
            let folder = tour.folders.get(&index).copied();
            let Folder { id, known } = folder.expect("a folder is found before it is listed");
            let known = match (known, &tour.scope.extent) {
                (false, _) => Known::default(),
                (true, Extent::Names(names)) if index == ROOT => {
                    let names = names.keys().map(OsString::as_os_str);
                    let is_gone = |id| self.lost.is_gone(id);
                    self.catalog.read(|db| Known::load_names(db, id, names, is_gone))?
                }
                (true, _) => {
                    self.catalog.read(|db| Known::load(db, id, |id| self.lost.is_gone(id)))?
                }
            };
            let path = tour.scope.path.join(tour.walk.dir_path());
            // The walk does not enter what is ignored.
            self.ignore.enter(&path);
            let rules = self.ignore.has_rules();
            tour.current = Some(Current { index, id, path, known, rules });
        }
        Ok(tour.current.as_mut().expect("it was just entered"))
    }

    fn found(&mut self, tour: &mut Tour, found: Found) -> Result<(), CatalogError> {
        let (meta, index) = (found.meta, found.index);
        self.enter(tour, found.parent)?;
        let current = tour.current.as_mut().expect("it was just entered");
        let path = current.path.join(&found.name);
        let is_dir = meta.kind == Kind::Dir;
        if current.rules && self.ignore.ignores_here(&path, is_dir) {
            if is_dir {
                tour.walk.do_not_enter(index);
            }
            return Ok(());
        }
        self.rows.report.found(meta.kind, meta.size);
        let kind = match meta.kind {
            Kind::File => EntryKind::File,
            Kind::Dir => EntryKind::Dir,
            Kind::Link => EntryKind::Link,
            // If something else had this name before, that is gone.
            Kind::Other => return Ok(()),
        };
        let known = current.known.take(found.name.as_bytes());
        let parent = current.id;
        let on_the_way = is_dir && tour.walk.is_on_the_way(&meta);
        let old = if on_the_way { None } else { self.recognise(known, &meta, kind)? };
        if on_the_way || old.as_ref().is_some_and(|old| tour.above.contains(&old.id)) {
            // It was moved into a folder that was below it a moment ago.
            self.lost.owe(parent);
            tour.walk.do_not_enter(index);
            return Ok(());
        }
        self.lost.found(old.as_ref(), &meta, (parent, &found.name));
        let entry = self.entry(&found, kind, parent, old.as_ref());
        if is_dir {
            tour.folders.insert(index, Folder { id: entry.id, known: old.is_some() });
            let goes_on = self.goes_on(&tour.scope, &found, old.is_some());
            if !goes_on || !self.belongs(&meta, &path) {
                tour.walk.do_not_enter(index);
            }
            if !goes_on && old.as_ref().is_some_and(|old| old.inode != entry.inode) {
                // What is known to be in it was in another one.
                self.lost.owe(entry.id);
            }
        }
        let doubt = found.depth == 1 && tour.scope.extent.names(&found.name) && is_fresh(&meta);
        self.rows.keep(entry, old.as_ref(), doubt, path);
        Ok(())
    }

    /// The entry that something is: one with its name, if that is the same kind of thing and no other
    /// folder; else one with its inode.
    fn recognise(
        &mut self,
        known: Option<Entry>,
        meta: &Meta,
        kind: EntryKind,
    ) -> Result<Option<Entry>, CatalogError> {
        let known = known.filter(|known| !self.lost.is_elsewhere(known.id));
        let Some(known) = known else { return self.lost.by_inode(&self.catalog, meta, kind) };
        let another = known.inode.is_some_and(|inode| inode != meta.inode.cast_signed());
        if known.kind == kind.number() && !(another && kind == EntryKind::Dir) {
            return Ok(Some(known));
        }
        match self.lost.by_inode(&self.catalog, meta, kind)? {
            None if known.kind == kind.number() => Ok(Some(known)),
            other => {
                self.lost.miss(known);
                Ok(other)
            }
        }
    }

    /// Whether what is in a folder is compared as well.
    fn goes_on(&self, scope: &Scope, found: &Found, known: bool) -> bool {
        if found.depth > 1 || !known {
            return true;
        }
        match &scope.extent {
            Extent::Tree => true,
            Extent::Folder(names) | Extent::Names(names) => {
                names.get(&found.name).copied().unwrap_or(false)
            }
        }
    }

    /// Whether what is in a folder belongs to the location. Another volume does not: it can be
    /// indexed as a location of its own, and when it is not mounted its entries are not gone.
    fn belongs(&mut self, meta: &Meta, path: &Path) -> bool {
        if self.own == Some((meta.device, meta.inode)) {
            return false;
        }
        if self.device == Some(meta.device) {
            return true;
        }
        // One volume can have several device numbers, as btrfs has for its subvolumes.
        let volume = volume_of(&self.begun.path.join(path));
        let same = volume.is_ok_and(|volume| volume.fingerprint == self.begun.fingerprint);
        if !same {
            self.rows.report.problem(Problem::new(path.to_owned(), What::OtherVolume));
        }
        same
    }

    /// The row of what was found, with what stays of its old row.
    fn entry(
        &mut self,
        found: &Found,
        kind: EntryKind,
        parent: Uuid,
        old: Option<&Entry>,
    ) -> Entry {
        let meta = found.meta;
        let (name, name_raw) = name_text(&found.name);
        let size = if kind == EntryKind::Dir { 0 } else { meta.size };
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let modified_at = Some(meta.mtime.millis());
        let same = |old: &&Entry| old.size == size && old.modified_at == modified_at;
        Entry {
            id: old.map_or_else(|| self.ids.next(now_ms()), |old| old.id),
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
            link_target: found.target.as_ref().map(|to| to.to_string_lossy().into_owned()),
        }
    }

    fn problem(&mut self, tour: &Tour, mut problem: Problem) {
        if matches!(problem.what, What::Changed | What::Vanished | What::Cycle)
            && let Some(folder) = tour.walk.entering().and_then(|dir| tour.folders.get(&dir))
        {
            self.lost.owe(folder.id);
        }
        // What was named and is not there is passed over.
        if matches!(tour.scope.extent, Extent::Names(_)) && problem.what == What::Vanished {
            return;
        }
        problem.path = tour.scope.path.join(&problem.path);
        self.rows.report.problem(problem);
    }

    /// A folder was read: what is known and was not found is missing, unless something went wrong.
    fn listed(&mut self, tour: &mut Tour, listed: Listed) -> Result<(), CatalogError> {
        self.enter(tour, listed.dir)?;
        tour.folders.remove(&listed.dir);
        let Some(mut current) = tour.current.take() else { return Ok(()) };
        for entry in std::mem::take(&mut current.known.surplus) {
            self.lost.miss(entry);
        }
        let named = matches!(tour.scope.extent, Extent::Names(_)) && listed.dir == ROOT;
        if listed.complete && !named {
            for entry in current.known.into_missing() {
                self.lost.miss(entry);
            }
        }
        Ok(())
    }
}

/// Whether a file was modified only moments ago.
fn is_fresh(meta: &Meta) -> bool {
    let now = i64::try_from(now_ms()).unwrap_or(i64::MAX);
    let doubt = i64::try_from(DOUBT.as_millis()).unwrap_or(i64::MAX);
    meta.kind == Kind::File && meta.mtime.millis() >= now.saturating_sub(doubt)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let meta = path.metadata().ok()?;
    Some((meta.dev(), meta.ino()))
}
