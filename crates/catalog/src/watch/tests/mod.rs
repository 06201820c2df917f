//! The watcher against a real file system.
//!
//! A [`Mirror`] applies batches by the rules in the module's documentation, and must come to show
//! what is on the disk.

mod events;
mod limits;
mod roots;
mod rules;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Batch, Event, Options, Watcher};

/// No condition takes longer than this, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// What is known of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    Folder,
    File(Vec<u8>),
    Other,
}

impl Thing {
    /// What is there now, if anything.
    fn at(path: &Path) -> Option<Self> {
        let meta = path.symlink_metadata().ok()?;
        if meta.is_dir() {
            Some(Self::Folder)
        } else if meta.is_file() {
            fs::read(path).ok().map(Self::File)
        } else {
            Some(Self::Other)
        }
    }
}

/// Whoever applies batches, in the simplest form.
#[derive(Debug, Default)]
struct Mirror {
    root: PathBuf,
    /// By path: what it is, and an id that moves keep.
    things: BTreeMap<PathBuf, (u64, Thing)>,
    ids: u64,
    online: bool,
    /// All events applied.
    seen: Vec<Event>,
}

impl Mirror {
    fn of(root: &Path) -> Self {
        let mut mirror = Self { root: root.to_owned(), online: true, ..Self::default() };
        mirror.compare(Path::new(""));
        mirror
    }

    fn apply(&mut self, batch: &Batch) {
        for event in &batch.events {
            match event {
                Event::Created { path } => self.compare(path),
                Event::Changed { path } => self.look(path),
                Event::Removed { path } => self.forget(path),
                Event::Moved { from, to } => self.moved(from, to),
                Event::Rescan { dir } => self.compare(dir),
                Event::RootGone => self.online = false,
                Event::RootBack => {
                    self.online = true;
                    self.compare(Path::new(""));
                }
            }
            self.seen.push(event.clone());
        }
    }

    fn knows_folder_of(&self, path: &Path) -> bool {
        match path.parent() {
            Some(above) if above != Path::new("") => {
                matches!(self.things.get(above), Some((_, Thing::Folder)))
            }
            _ => true,
        }
    }

    fn set(&mut self, path: &Path, thing: Thing) {
        if !self.knows_folder_of(path) {
            return;
        }
        match self.things.get_mut(path) {
            Some((_, known)) if *known == thing => {}
            Some((_, known @ Thing::File(_))) if matches!(thing, Thing::File(_)) => *known = thing,
            _ => {
                self.forget(path);
                self.ids += 1;
                self.things.insert(path.to_owned(), (self.ids, thing));
            }
        }
    }

    fn look(&mut self, path: &Path) {
        if let Some(thing) = Thing::at(&self.root.join(path)) {
            self.set(path, thing);
        }
    }

    /// What is known at a path and below it.
    fn known(&self, path: &Path) -> Vec<PathBuf> {
        let from = self.things.range(path.to_owned()..);
        from.map(|(known, _)| known).take_while(|known| known.starts_with(path)).cloned().collect()
    }

    fn forget(&mut self, path: &Path) {
        for path in self.known(path) {
            self.things.remove(&path);
        }
    }

    fn moved(&mut self, from: &Path, to: &Path) {
        if !self.things.contains_key(from) {
            return self.compare(to);
        }
        if !self.knows_folder_of(to) {
            return self.forget(from);
        }
        self.forget(to);
        for path in self.known(from) {
            let thing = self.things.remove(&path).unwrap();
            let rest = path.strip_prefix(from).unwrap();
            let place = if rest == Path::new("") { to.to_owned() } else { to.join(rest) };
            self.things.insert(place, thing);
        }
    }

    /// A folder and all below it, against what is known.
    fn compare(&mut self, path: &Path) {
        let found = tree(&self.root, path);
        if path != Path::new("") && !found.contains_key(path) {
            // What is not there is passed over.
            return;
        }
        for known in self.known(path) {
            if !found.contains_key(&known) {
                self.things.remove(&known);
            }
        }
        for (path, thing) in found {
            self.set(&path, thing);
        }
    }

    fn id(&self, path: &str) -> Option<u64> {
        self.things.get(Path::new(path)).map(|(id, _)| *id)
    }

    fn shows_the_disk(&self) -> bool {
        let found = tree(&self.root, Path::new(""));
        self.things.len() == found.len()
            && self.things.iter().zip(&found).all(|(a, b)| (a.0, &a.1.1) == b)
    }

    /// Where the disk and the mirror differ.
    fn differences(&self) -> Vec<(PathBuf, Option<Thing>, Option<Thing>)> {
        let found = tree(&self.root, Path::new(""));
        let paths = found.keys().chain(self.things.keys());
        let both = paths.map(|path| {
            let known = self.things.get(path).map(|(_, known)| known.clone());
            (path.clone(), found.get(path).cloned(), known)
        });
        both.filter(|(_, is, known)| is != known).collect()
    }
}

/// Everything at a path and below it, by path; without the root itself.
fn tree(root: &Path, path: &Path) -> BTreeMap<PathBuf, Thing> {
    let mut found = BTreeMap::new();
    let mut paths = vec![path.to_owned()];
    while let Some(path) = paths.pop() {
        let at = root.join(&path);
        let Some(thing) = Thing::at(&at) else { continue };
        if thing == Thing::Folder {
            let Ok(entries) = fs::read_dir(&at) else { continue };
            paths.extend(entries.flatten().map(|entry| path.join(entry.file_name())));
        }
        if path != Path::new("") {
            found.insert(path, thing);
        }
    }
    found
}

/// A folder, its watcher and its mirror.
struct Scene {
    /// Ends before its folder does.
    watcher: Watcher,
    mirror: Mirror,
    batches: Vec<Batch>,
    /// Holds the root, and has room beside it.
    place: tempfile::TempDir,
}

impl Scene {
    fn new(files: &[&str]) -> Self {
        Self::with(files, Options::default())
    }

    /// A file for each path; a folder for each that ends with a slash.
    fn with(files: &[&str], options: Options) -> Self {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        fs::create_dir(&root).unwrap();
        for file in files {
            make(&root, file);
        }
        let watcher = Watcher::open(&root, options).unwrap();
        Self { watcher, mirror: Mirror::of(&root), batches: Vec::new(), place }
    }

    fn path(&self, path: &str) -> PathBuf {
        // A joined empty path would end with a slash.
        if path.is_empty() { self.mirror.root.clone() } else { self.mirror.root.join(path) }
    }

    fn outside(&self, path: &str) -> PathBuf {
        self.place.path().join(path)
    }

    fn make(&self, path: &str) {
        make(&self.mirror.root, path);
    }

    fn mv(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Applies batches until a condition holds.
    fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = soon();
        while !holds(self) {
            assert!(
                Instant::now() < deadline,
                "not in time: {what}; differences {:?}, problems {:?}, events {:?}",
                self.mirror.differences(),
                self.batches.iter().flat_map(|batch| &batch.problems).collect::<Vec<_>>(),
                self.mirror.seen
            );
            if let Some(batch) = self.watcher.next(Instant::now() + Duration::from_millis(200)) {
                self.mirror.apply(&batch);
                self.batches.push(batch);
            }
        }
    }

    /// Applies batches until so many folders are watched.
    fn watches(&mut self, count: usize) {
        self.until(&format!("{count} watches"), |scene| scene.watcher.watches() == count);
    }

    /// Applies batches until the mirror shows what is on the disk, and gives the events.
    fn settle(&mut self) -> Vec<Event> {
        self.until("the mirror shows the disk", |scene| scene.mirror.shows_the_disk());
        self.seen()
    }

    /// What was said since the last time. On a busy machine a file may be told of before it is
    /// written to its end, and is then told of once more; that is left out.
    fn seen(&mut self) -> Vec<Event> {
        let mut before = HashSet::new();
        let mut seen = std::mem::take(&mut self.mirror.seen);
        seen.retain(|event| {
            let more = match event {
                Event::Changed { path } => before.contains(&Event::Created { path: path.clone() }),
                _ => false,
            };
            !more && before.insert(event.clone())
        });
        seen
    }

    /// Makes a file and waits for it: all that happened before has been heard of then. Gives
    /// everything else that was said.
    fn flush(&mut self) -> Vec<Event> {
        let name = format!("flush-{}", self.mirror.ids);
        self.make(&name);
        self.until("a file at the end", |scene| scene.mirror.id(&name).is_some());
        fs::remove_file(self.path(&name)).unwrap();
        self.until("the file is gone", |scene| scene.mirror.id(&name).is_none());
        let mut seen = self.seen();
        seen.retain(|event| !format!("{event:?}").contains(&name));
        seen
    }
}

fn make(root: &Path, path: &str) {
    let at = root.join(path);
    if path.ends_with('/') {
        fs::create_dir_all(at).unwrap();
    } else {
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, path).unwrap();
    }
}

/// Two names change places, in one step.
fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

fn created(path: &str) -> Event {
    Event::Created { path: path.into() }
}

fn changed(path: &str) -> Event {
    Event::Changed { path: path.into() }
}

fn removed(path: &str) -> Event {
    Event::Removed { path: path.into() }
}

fn moved(from: &str, to: &str) -> Event {
    Event::Moved { from: from.into(), to: to.into() }
}

fn rescan(dir: &str) -> Event {
    Event::Rescan { dir: dir.into() }
}
