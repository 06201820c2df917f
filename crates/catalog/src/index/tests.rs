//! What a watcher says is older than what is on the disk, and a scan may be ahead of it. Here the disk
//! is in its last state already while the first events come; after the last ones every row must stand
//! for something that is there.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use driftless::{Library, Uuid};
use tempfile::TempDir;

use super::begin::{self, begin_part};
use super::known::{Below, all_below, by_id};
use super::lost::Lost;
use super::report::Report;
use super::*;
use crate::models::{Entry, models};
use crate::watch::Event;

struct Scene {
    _place: TempDir,
    library: Library,
    root: PathBuf,
    location: Uuid,
}

impl Scene {
    /// With these files, which are known.
    fn new(files: &[&str]) -> Self {
        let place = TempDir::new().unwrap();
        let library =
            Library::create(&place.path().join("library"), &models(), "Test", "laptop").unwrap();
        let root = place.path().canonicalize().unwrap().join("files");
        let scene = Self { _place: place, library, root, location: Uuid::nil() };
        for file in files {
            scene.put(file, file);
        }
        let added = Catalog::new(&scene.library)
            .add_location(&scene.root, &ScanOptions::default(), &mut |_| {})
            .unwrap();
        Self { location: added.id, ..scene }
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn mv(&self, from: &str, to: &str) {
        fs::rename(self.root.join(from), self.root.join(to)).unwrap();
    }

    /// Brings in what was heard; gives what is owed then.
    fn hear(&self, events: &[Event], owed: &[Uuid]) -> Vec<Uuid> {
        let options = ScanOptions::default();
        let updated =
            Catalog::new(&self.library).update(self.location, (events, owed), &options).unwrap();
        updated.owed
    }

    fn rows(&self) -> HashMap<Uuid, Entry> {
        let ids: Vec<Vec<u8>> = self.query(|db| {
            let mut select = db.prepare("SELECT id FROM entry").unwrap();
            select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        });
        let ids = ids.iter().map(|id| Uuid::from_slice(id).unwrap());
        ids.map(|id| (id, self.query(|db| by_id(db, id)).unwrap().unwrap())).collect()
    }

    fn query<T>(&self, query: impl FnOnce(&driftless::rusqlite::Connection) -> T) -> T {
        self.library.query(query).unwrap()
    }

    fn id(&self, path: &str) -> Uuid {
        let rows = self.rows();
        let is_it = |id: &&Uuid| self.way(&rows, **id) == Some(PathBuf::from(path));
        *rows.keys().find(is_it).unwrap()
    }

    fn way(&self, rows: &HashMap<Uuid, Entry>, id: Uuid) -> Option<PathBuf> {
        let (mut way, mut at) = (PathBuf::new(), id);
        for _ in 0..=rows.len() {
            if at == self.location {
                return Some(way);
            }
            let entry = rows.get(&at)?;
            way = match way.as_os_str().is_empty() {
                true => PathBuf::from(&entry.name),
                false => Path::new(&entry.name).join(way),
            };
            at = entry.parent;
        }
        None
    }

    /// Every row stands for what is on the disk, and for everything there is one.
    #[track_caller]
    fn shows_the_disk(&self) {
        let rows = self.rows();
        let mut known: Vec<_> =
            rows.values().map(|row| (self.way(&rows, row.id), row.content.clone())).collect();
        known.sort();
        let mut disk = BTreeMap::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for found in fs::read_dir(self.root.join(&folder)).unwrap() {
                let path = folder.join(found.unwrap().file_name());
                let content = match self.root.join(&path).is_dir() {
                    true => {
                        folders.push(path.clone());
                        None
                    }
                    false => {
                        let bytes = fs::read(self.root.join(&path)).unwrap();
                        Some(blake3::hash(&bytes).as_bytes().to_vec())
                    }
                };
                disk.insert(Some(path), content);
            }
        }
        assert_eq!(known, disk.into_iter().collect::<Vec<_>>());
    }
}

/// Nothing is owed.
const NONE: [Uuid; 0] = [];

fn created(path: &str) -> Event {
    Event::Created { path: path.into() }
}

fn changed(path: &str) -> Event {
    Event::Changed { path: path.into() }
}

fn moved(from: &str, to: &str) -> Event {
    Event::Moved { from: from.into(), to: to.into() }
}

fn rescan(dir: &str) -> Event {
    Event::Rescan { dir: dir.into() }
}

#[test]
fn a_folder_is_not_taken_for_another_one_at_its_path() {
    let scene = Scene::new(&["b/1", "b/2", "c/d/3"]);
    scene.mv("b", "aside");
    scene.put("b/new", "new");
    // The new folder holds the old one: seen as the same, that would be in itself.
    scene.mv("aside", "b/old");
    scene.put("b/old/1", "another");
    scene.hear(&[rescan("b"), changed("b/1")], &[]);
    let owed = scene.hear(&[moved("b", "aside"), created("b"), moved("aside", "b/old")], &[]);
    let owed = scene.hear(&[changed("b/old/1"), rescan("b/old")], &owed);
    assert_eq!(owed, NONE);
    scene.shows_the_disk();
}

#[test]
fn folders_in_which_names_changed_hands_are_compared_only_if_they_are_there() {
    let scene = Scene::new(&["a/1", "a/2", "a/3/4", "c/5"]);
    // Heard of: two names of the folder changed hands. Not yet: it went, and another one came.
    scene.mv("a/1", "a/9");
    scene.mv("a/2", "a/1");
    scene.mv("a", "z");
    scene.put("a/other", "other");
    let owed = scene.hear(&[moved("a/1", "a/9"), moved("a/2", "a/1")], &[]);
    let owed = scene.hear(&[moved("a", "z"), created("a")], &owed);
    assert_eq!(owed, NONE);
    scene.shows_the_disk();
}

#[test]
fn what_was_said_to_move_is_compared_with_what_is_there() {
    let scene = Scene::new(&["a/1", "x/2"]);
    let a = scene.id("a");
    scene.mv("a", "c");
    scene.mv("x", "b");
    // A scan is ahead of what is heard; it is `x` that is at `b`.
    scene.hear(&[moved("a", "b")], &[]);
    scene.hear(&[moved("b", "c"), moved("x", "b")], &[]);
    scene.shows_the_disk();
    assert_eq!(scene.id("c"), a);
}

#[test]
fn a_folder_that_went_after_others_moved_into_it_is_not_in_itself() {
    let scene = Scene::new(&["c/b/1", "c/2", "d/3"]);
    scene.mv("c/b", "b");
    scene.mv("c", "b/c");
    fs::create_dir(scene.root.join("new")).unwrap();
    scene.mv("b", "new/b");
    // Nothing is known of `new`, so the folder is taken for gone from where it was.
    let events = [moved("c/b", "b"), moved("c", "b/c"), moved("b", "new/b"), created("new")];
    assert_eq!(scene.hear(&events, &[]), NONE);
    scene.shows_the_disk();
}

#[test]
fn what_is_in_a_folder_comes_before_it_even_if_that_is_in_itself() {
    let scene = Scene::new(&["a/b/c/1", "a/b/2", "a/3"]);
    let rows = scene.rows();
    let below = |folder| scene.query(|db| all_below(db, folder)).unwrap();
    let at = |all: &[Below], path| all.iter().position(|row| row.id == scene.id(path)).unwrap();
    let all = below(scene.id("a"));
    assert_eq!(all.len(), 5);
    assert!(at(&all, "a/b/c/1") < at(&all, "a/b/c") && at(&all, "a/b/c") < at(&all, "a/b"));
    let (a, b) = (scene.id("a"), scene.id("a/b"));
    let ring = Entry { parent: b, ..rows[&a].clone() };
    scene.library.write(move |tx| Ok::<_, CatalogError>(tx.put(&ring)?)).unwrap();
    assert_eq!(below(a).len(), 6);
}

#[test]
fn a_folder_that_is_not_there_is_looked_for_once_more() {
    let scene = Scene::new(&["a/1", "b/2"]);
    let a = scene.id("a");
    scene.put("a/1", "more");
    scene.put("a/new", "new");
    scene.mv("a", "z");
    let owed = scene.hear(&[changed("a/1"), created("a/new")], &[]);
    assert_eq!(owed, [a]);
    // Nothing was heard of it; and then that it moved, but not once more what changed in it.
    assert_eq!(scene.hear(&[], &owed), [a]);
    assert_eq!(scene.hear(&[moved("a", "z")], &owed), NONE);
    scene.shows_the_disk();
    assert_eq!(scene.id("z"), a);
    // One that is gone is not looked for.
    fs::remove_dir_all(scene.root.join("z")).unwrap();
    assert_eq!(scene.hear(&[Event::Removed { path: "z".into() }], &[a]), NONE);
    assert_eq!(scene.hear(&[], &[a]), NONE);
    scene.shows_the_disk();
}

#[test]
fn a_folder_that_is_to_be_looked_at_twice_is_looked_at() {
    let scene = Scene::new(&["a/b/1"]);
    scene.put("a/b/2", "2");
    scene.put("a/b/c/3", "3");
    scene.hear(&[created("a/b"), rescan("a/b")], &[]);
    scene.shows_the_disk();
}

/// A folder that was compared in one place is missing in the next, as it moved meanwhile: what was
/// found in it goes with it, wherever it was before.
#[test]
fn what_was_found_in_something_missing_goes_with_it() {
    let scene = Scene::new(&["a/b/1", "c/2", "keep"]);
    let catalog = Catalog::new(&scene.library);
    let (a, b, c) = (scene.id("a"), scene.id("a/b"), scene.id("c"));
    scene.mv("c", "a/b/c");
    let begun = begin_part(&catalog, scene.location, &Cancel::default()).unwrap();
    let mut lost = Lost::new(&catalog, &begun, HashMap::new()).unwrap();
    let mut tell = |_: &ScanProgress| {};
    let mut report = Report::new(&mut tell, None);
    let mut hasher = Hasher::new(&begun, &ScanOptions::default(), 1).unwrap();
    let inode = scene.rows()[&b].inode;
    let scope = Scope { folder: b, inode, known: true, path: "a/b".into(), extent: Extent::Tree };
    catalog.compare(&begun, vec![scope], (&mut hasher, &mut report), &mut lost).unwrap();
    assert_eq!(scene.rows()[&c].parent, b);
    fs::remove_dir_all(scene.root.join("a")).unwrap();
    lost.miss(scene.rows()[&a].clone());
    catalog.bury(&mut lost, &mut report, None).unwrap();
    scene.shows_the_disk();
    assert_eq!(scene.rows().len(), 1);
}

#[test]
fn a_file_that_gave_way_in_something_missing_goes_with_it() {
    let scene = Scene::new(&["old/same", "keep"]);
    let catalog = Catalog::new(&scene.library);
    let (old, same) = (scene.id("old"), scene.id("old/same"));
    let begun = begin_part(&catalog, scene.location, &Cancel::default()).unwrap();
    let mut lost = Lost::new(&catalog, &begun, HashMap::new()).unwrap();
    // A copy with the same content, in a folder that is new.
    scene.put("new/same", "old/same");
    fs::remove_dir_all(scene.root.join("old")).unwrap();
    let mut tell = |_: &ScanProgress| {};
    let mut report = Report::new(&mut tell, None);
    let mut hasher = Hasher::new(&begun, &ScanOptions::default(), 1).unwrap();
    let scope = Scope {
        folder: scene.location,
        inode: None,
        known: true,
        path: PathBuf::new(),
        extent: Extent::Tree,
    };
    catalog.compare(&begun, vec![scope], (&mut hasher, &mut report), &mut lost).unwrap();
    let rows = scene.rows();
    let new = rows.values().find(|row| row.name == "new").unwrap();
    assert!(rows.contains_key(&old) && rows.contains_key(&same));
    // It went again.
    fs::remove_dir_all(scene.root.join("new")).unwrap();
    lost.miss(new.clone());
    catalog.bury(&mut lost, &mut report, None).unwrap();
    scene.shows_the_disk();
    let growth = |files, dirs, bytes| Growth { files, dirs, bytes };
    assert_eq!(report.growth, growth(-1, -1, -8));
}

#[test]
fn a_scan_takes_away_what_hangs_nowhere() {
    let scene = Scene::new(&["a/1", "b/2"]);
    let rows = scene.rows();
    let (a, b) = (scene.id("a"), scene.id("b"));
    let file = &rows[&scene.id("a/1")];
    let stray = |n: u128, parent: Uuid| Entry { id: Uuid::from_u128(n), parent, ..file.clone() };
    let ring = Entry { parent: Uuid::from_u128(9), ..rows[&b].clone() };
    let lost = [
        stray(7, Uuid::from_u128(8)),
        Entry { id: Uuid::from_u128(9), parent: Uuid::from_u128(10), ..rows[&a].clone() },
        Entry { id: Uuid::from_u128(10), parent: Uuid::from_u128(9), ..rows[&a].clone() },
        ring,
    ];
    scene
        .library
        .write(move |tx| {
            for row in &lost {
                tx.put(row)?;
            }
            Ok::<_, CatalogError>(())
        })
        .unwrap();
    let catalog = Catalog::new(&scene.library);
    let added = catalog.rescan(scene.location, &ScanOptions::default(), &mut |_| {}).unwrap();
    scene.shows_the_disk();
    // `b` is found by its inode, wherever the library had it.
    assert_eq!(scene.id("b"), b);
    assert_eq!(added.changes.removed, 3);
    assert_eq!(added.counts.entries(), 4);
}

#[test]
fn what_the_keeper_has_scanned_before_the_person_who_made_the_location_is_not_written_twice() {
    let place = TempDir::new().unwrap();
    let library =
        Library::create(&place.path().join("library"), &models(), "Test", "laptop").unwrap();
    let root = place.path().canonicalize().unwrap().join("files");
    let mut scene = Scene { _place: place, library, root, location: Uuid::nil() };
    scene.put("folder/file", "text");
    let catalog = Catalog::new(&scene.library);
    let options = ScanOptions::default();
    let look = || begin::Place::look(&scene.root).unwrap();
    let made = begin::found(&catalog, &look(), LocationState::Scanning).unwrap();
    catalog.rescan_kept(made.id, &options).unwrap();
    let begun = begin::begin_found(&catalog, look(), &made, &options).unwrap();
    let added = catalog.scan(&begun, &options, &mut |_| {}).unwrap();
    assert_eq!(added.counts.files, 1);
    scene.location = made.id;
    scene.shows_the_disk();
}
