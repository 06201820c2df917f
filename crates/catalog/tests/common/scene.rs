//! A library, a folder that is indexed, and its keeper.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftless::rusqlite::Connection;
use driftless::{Library, Uuid};
use driftless_catalog::keep::{KeepOptions, Keeper, Keeping};
use driftless_catalog::{Catalog, EntryKind, Item, ScanOptions, models};
use tempfile::TempDir;

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A library, a folder that is indexed, and its keeper.
pub struct Scene {
    /// Ends before its library.
    pub keeper: Option<Keeper>,
    pub library: Arc<Library>,
    pub root: PathBuf,
    pub location: Uuid,
    pub place: TempDir,
}

impl Scene {
    pub fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, KeepOptions::default(), ScanOptions::default())
    }

    pub fn with(files: &[(&str, &str)], options: KeepOptions, scan: ScanOptions) -> Self {
        let place = TempDir::new().unwrap();
        let dir = place.path().join("library");
        let library = Arc::new(Library::create(&dir, &models(), "Test", "laptop").unwrap());
        let root = place.path().canonicalize().unwrap().join("files");
        fs::create_dir(&root).unwrap();
        for (file, text) in files {
            put(&root.join(file), text);
        }
        let added = Catalog::new(&library).add_location(&root, &scan, &mut |_| {}).unwrap();
        let mut scene = Self { keeper: None, library, root, location: added.id, place };
        scene.start(options);
        scene
    }

    pub fn start(&mut self, options: KeepOptions) {
        self.keeper = Some(Keeper::start(&self.library, options).unwrap());
        self.until_watched();
    }

    pub fn until_watched(&self) {
        self.until("it is watched", |scene| scene.keeping() == Some(Keeping::Watching));
    }

    pub fn keeping(&self) -> Option<Keeping> {
        let reports = self.keeper.as_ref()?.reports();
        reports.iter().find(|report| report.location == self.location).map(|report| report.keeping)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub fn put(&self, name: &str, text: &str) {
        put(&self.path(name), text);
    }

    pub fn mv(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub fn catalog(&self) -> Catalog<'_> {
        Catalog::new(&self.library)
    }

    pub fn find(&self, name: &str) -> Option<Item> {
        self.catalog().resolve(self.path(name).as_os_str()).ok()
    }

    pub fn at(&self, name: &str) -> Item {
        self.find(name).unwrap_or_else(|| panic!("{name} is not there: {:?}", self.known()))
    }

    pub fn query<T>(&self, query: impl FnOnce(&Connection) -> T) -> T {
        self.library.query(query).unwrap()
    }

    pub fn count(&self, sql: &str) -> i64 {
        self.query(|db| db.query_row(sql, [], |row| row.get(0)).unwrap())
    }

    pub fn last_seq(&self) -> i64 {
        self.count("SELECT coalesce(max(_seq), 0) FROM entry")
    }

    pub fn state(&self) -> String {
        self.catalog().locations().unwrap()[0].location.state.clone()
    }

    /// Every path that is known, with the content of files.
    pub fn known(&self) -> BTreeMap<PathBuf, Option<[u8; 32]>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(listing) = self.catalog().ls(Some(folder.as_os_str()), None) else { continue };
            for item in listing.items {
                let path = PathBuf::from(&item.path);
                if item.kind == EntryKind::Dir {
                    folders.push(path.clone());
                }
                found.insert(path, item.content);
            }
        }
        found
    }

    pub fn on_disk(&self) -> BTreeMap<PathBuf, Option<[u8; 32]>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let hash = match path.is_dir() {
                    true => {
                        folders.push(path.clone());
                        None
                    }
                    false => fs::read(&path).ok().map(|bytes| *blake3::hash(&bytes).as_bytes()),
                };
                found.insert(path, hash);
            }
        }
        found
    }

    pub fn shows_the_disk(&self) -> bool {
        self.known() == self.on_disk()
    }

    pub fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            if Instant::now() > deadline {
                let (known, disk) = (self.known(), self.on_disk());
                let wrong: Vec<_> = known
                    .keys()
                    .chain(disk.keys())
                    .filter(|path| known.get(*path) != disk.get(*path))
                    .collect();
                let reports = self.keeper.as_ref().map(Keeper::reports);
                panic!("waited in vain until {what}; wrong: {wrong:?}; {reports:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn settle(&self) {
        self.until("the catalogue shows the disk", Self::shows_the_disk);
    }
}

pub fn put(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub fn hash(text: &str) -> Option<[u8; 32]> {
    Some(*blake3::hash(text.as_bytes()).as_bytes())
}
