//! A library and a folder to index, in a place of their own.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod scene;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use std::time::Duration;

use driftless::{Library, Progress, SyncOptions, Uuid, join};
use driftless_catalog::{Added, Catalog, CatalogError, Item, Listing, ScanOptions, models};
use tempfile::TempDir;

pub struct Home {
    pub place: TempDir,
    pub library: Library,
    pub root: PathBuf,
}

impl Home {
    pub fn new() -> Self {
        let place = TempDir::new().unwrap();
        let library =
            Library::create(&place.path().join("library"), &models(), "Test", "laptop").unwrap();
        let root = place.path().canonicalize().unwrap().join("files");
        fs::create_dir(&root).unwrap();
        Self { place, library, root }
    }

    /// Another device of the same library, with a folder of its own.
    pub fn joined(&self) -> Self {
        let place = TempDir::new().unwrap();
        self.online();
        let ticket = self.library.invite(60_000).unwrap();
        let dir = place.path().join("library");
        let library = join(&dir, &models(), &ticket, "desk", &loopback(), |_, _| true).unwrap();
        let root = place.path().canonicalize().unwrap().join("files");
        fs::create_dir(&root).unwrap();
        let home = Self { place, library, root };
        home.online();
        home.settle();
        home
    }

    pub fn online(&self) {
        if !self.library.is_syncing() {
            self.library.sync(loopback()).unwrap();
        }
    }

    /// Waits until everything is everywhere.
    pub fn settle(&self) {
        let peers = self.library.wait(Duration::from_secs(60), false).unwrap();
        assert!(peers.iter().all(|peer| peer.progress == Progress::Done), "{peers:?}");
    }

    pub fn catalog(&self) -> Catalog<'_> {
        Catalog::new(&self.library)
    }

    pub fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.root.join(name.as_ref())
    }

    pub fn write(&self, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Indexes the folder, or scans it again.
    pub fn scan(&self) -> Added {
        self.scan_with(&ScanOptions::default())
    }

    pub fn scan_with(&self, options: &ScanOptions) -> Added {
        self.catalog().add_location(&self.root, options, &mut |_| {}).unwrap()
    }

    pub fn at(&self, name: impl AsRef<OsStr>) -> Item {
        self.find(name).unwrap()
    }

    /// What is at a path of any device.
    pub fn find_at(&self, path: &str) -> Item {
        self.catalog().resolve(OsStr::new(path)).unwrap()
    }

    pub fn find(&self, name: impl AsRef<OsStr>) -> Result<Item, CatalogError> {
        self.catalog().resolve(self.path(name).as_os_str())
    }

    pub fn count(&self, sql: &str) -> i64 {
        self.library.query(|db| db.query_row(sql, [], |row| row.get(0))).unwrap().unwrap()
    }

    /// How many entries were written after this seq.
    pub fn written_after(&self, seq: i64) -> i64 {
        self.count(&format!("SELECT count(*) FROM entry WHERE _seq > {seq}"))
    }

    pub fn last_seq(&self) -> i64 {
        self.count("SELECT coalesce(max(_seq), 0) FROM entry")
    }

    pub fn id_of(&self, name: impl AsRef<OsStr>) -> Uuid {
        self.at(name).id
    }
}

fn loopback() -> SyncOptions {
    SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true }
}

/// Two devices that were apart meet, and have the same afterwards.
pub fn meet(one: &Home, two: &Home) {
    one.online();
    two.online();
    one.settle();
    two.settle();
    assert_eq!(one.library.digests().unwrap(), two.library.digests().unwrap());
}

pub fn raw(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

pub fn names(listing: &Listing) -> Vec<&str> {
    listing.items.iter().map(|item| item.name.as_str()).collect()
}

/// Sets a file's modification time, as a change within the clock's tick would not show.
pub fn touch(path: &Path, secs: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(secs);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}
