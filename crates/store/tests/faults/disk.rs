//! A disk that can be asked what of it would outlast a power cut, and that fails when it is told to.
//!
//! The files themselves are real, so that whatever the store does with them sees one and the same
//! content. Beside them this keeps what is *durable* of each, and in order what was done since its
//! last sync: that is what a power cut may take.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::luck::Luck;

/// What is counted, and can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Open,
    Read,
    Write,
    Sync,
    Truncate,
    Delete,
    Size,
    Access,
    Map,
}

/// When something goes wrong: at the nth operation, the first being 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Plan {
    /// Never.
    Well,
    /// That operation fails.
    Once(u64),
    /// That operation and all that follow fail.
    From(u64),
    /// The power goes while it runs: it may have happened, and nothing follows it.
    Cut(u64),
}

/// How an operation ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Well,
    /// It fails.
    Fails,
    /// It fails, as there is no room; a part of it may have been done.
    Full,
    /// The power goes; what it would have done may be on the disk.
    Cut,
}

/// What was done to a file since its last sync.
#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Size(usize),
}

#[derive(Clone, Debug, Default)]
struct Node {
    durable: Vec<u8>,
    changes: Vec<Change>,
}

/// What was done to the folder since its last sync.
#[derive(Clone, Debug)]
enum Entry {
    Link(PathBuf, usize),
    Unlink(PathBuf),
}

type Names = BTreeMap<PathBuf, usize>;

/// Files by name, as a power cut leaves them.
pub(crate) type Image = BTreeMap<PathBuf, Vec<u8>>;

#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
    plan: Plan,
    done: u64,
    /// What was done, in order.
    kinds: Vec<Kind>,
    /// What failed first.
    hit: Option<(Kind, PathBuf)>,
    nodes: Vec<Node>,
    names: Names,
    durable_names: Names,
    entries: Vec<Entry>,
}

impl Disk {
    /// The disk under `root`; what lies there is durable.
    pub(crate) fn new(root: &Path, plan: Plan) -> Self {
        let mut disk = Self {
            root: root.to_owned(),
            plan,
            done: 0,
            kinds: Vec::new(),
            hit: None,
            nodes: Vec::new(),
            names: Names::new(),
            durable_names: Names::new(),
            entries: Vec::new(),
        };
        for file in fs::read_dir(root).into_iter().flatten() {
            let path = file.unwrap().path();
            disk.durable_names.insert(path.clone(), disk.nodes.len());
            disk.nodes.push(Node { durable: fs::read(&path).unwrap(), changes: Vec::new() });
        }
        disk.names = disk.durable_names.clone();
        disk
    }

    /// The operations that there were, whether they failed or not.
    pub(crate) fn operations(&self) -> &[Kind] {
        &self.kinds
    }

    pub(crate) fn hit(&self) -> Option<&(Kind, PathBuf)> {
        self.hit.as_ref()
    }

    /// From here on everything goes well.
    pub(crate) fn mend(&mut self) {
        self.plan = Plan::Well;
    }

    /// Counts an operation on a file of this disk and says how it ends.
    pub(crate) fn operation(&mut self, kind: Kind, path: Option<&Path>) -> Fate {
        self.done += 1;
        self.kinds.push(kind);
        let fate = match self.plan {
            Plan::Once(n) if n == self.done => Fate::Fails,
            Plan::From(n) if n <= self.done => Fate::Fails,
            Plan::Cut(n) if n == self.done => Fate::Cut,
            Plan::Cut(n) if n < self.done => Fate::Fails,
            _ => Fate::Well,
        };
        if fate != Fate::Well && self.hit.is_none() {
            self.hit = Some((kind, path.unwrap_or(Path::new("a temporary file")).to_owned()));
        }
        // Every other write that fails does so as the disk is full.
        match (fate, kind) {
            (Fate::Fails, Kind::Write) if self.done.is_multiple_of(2) && !self.is_dark() => {
                Fate::Full
            }
            _ => fate,
        }
    }

    /// Whether the power is gone.
    pub(crate) fn is_dark(&self) -> bool {
        matches!(self.plan, Plan::Cut(n) if n <= self.done)
    }

    fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }

    /// A file was opened, and made if need be: its number.
    pub(crate) fn opened(&mut self, path: &Path, was_there: bool) -> Option<usize> {
        if !self.holds(path) {
            return None;
        }
        match self.names.get(path) {
            Some(node) if was_there => Some(*node),
            known => {
                if known.is_some() {
                    self.entries.push(Entry::Unlink(path.to_owned()));
                }
                let node = self.nodes.len();
                self.nodes.push(Node::default());
                self.names.insert(path.to_owned(), node);
                self.entries.push(Entry::Link(path.to_owned(), node));
                Some(node)
            }
        }
    }

    pub(crate) fn deleted(&mut self, path: &Path) {
        if self.names.remove(path).is_some() {
            self.entries.push(Entry::Unlink(path.to_owned()));
        }
    }

    pub(crate) fn written(&mut self, node: usize, at: usize, bytes: &[u8]) {
        self.nodes[node].changes.push(Change::Write(at, bytes.to_vec()));
    }

    pub(crate) fn truncated(&mut self, node: usize, size: usize) {
        self.nodes[node].changes.push(Change::Size(size));
    }

    pub(crate) fn synced(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        for change in std::mem::take(&mut node.changes) {
            change.apply(&mut node.durable);
        }
    }

    /// A sync has failed: the system takes what it could not write for written, so that the next sync
    /// has nothing to do, and it is lost when the power goes.
    pub(crate) fn sync_failed(&mut self, node: usize) {
        if !self.is_dark() {
            self.nodes[node].changes.clear();
        }
    }

    pub(crate) fn folder_synced(&mut self) {
        self.entries.clear();
        self.durable_names = self.names.clone();
    }

    /// The number of a file that is there.
    pub(crate) fn node(&self, path: &Path) -> Option<usize> {
        self.names.get(path).copied()
    }

    pub(crate) fn is_root(&self, path: &Path) -> bool {
        path == self.root
    }

    /// What lies on the disk when the power goes now, as luck will have it.
    pub(crate) fn image(&self, mut luck: Luck) -> Image {
        let mut names = self.durable_names.clone();
        for entry in &self.entries[..luck.prefix(self.entries.len())] {
            match entry {
                Entry::Link(path, node) => names.insert(path.clone(), *node),
                Entry::Unlink(path) => names.remove(path),
            };
        }
        let content = |(path, node): (PathBuf, usize)| {
            let node = &self.nodes[node];
            let mut bytes = node.durable.clone();
            for change in luck.of(&node.changes) {
                change.apply(&mut bytes);
            }
            (path.strip_prefix(&self.root).unwrap().to_owned(), bytes)
        };
        names.into_iter().map(content).collect()
    }

    /// The same disk in another folder, with all that a process that is killed now leaves there. The
    /// shared memory of SQLite is no part of it: it is made anew.
    pub(crate) fn moved(&self, to: &Path) -> Self {
        fs::create_dir_all(to).unwrap();
        let there = |path: &PathBuf| to.join(path.strip_prefix(&self.root).unwrap());
        let names = |names: &Names| names.iter().map(|(path, node)| (there(path), *node)).collect();
        for path in self.names.keys().filter(|path| path.exists()) {
            fs::copy(path, there(path)).unwrap();
        }
        let entry = |entry: &Entry| match entry {
            Entry::Link(path, node) => Entry::Link(there(path), *node),
            Entry::Unlink(path) => Entry::Unlink(there(path)),
        };
        Self {
            root: to.to_owned(),
            names: names(&self.names),
            durable_names: names(&self.durable_names),
            entries: self.entries.iter().map(entry).collect(),
            nodes: self.nodes.clone(),
            kinds: self.kinds.clone(),
            hit: self.hit.clone(),
            ..*self
        }
    }

    /// What lies there while the power is on, as the files themselves have it.
    pub(crate) fn files(&self) -> Image {
        let read = |path: &PathBuf| {
            let bytes = fs::read(path).ok()?;
            Some((path.strip_prefix(&self.root).unwrap().to_owned(), bytes))
        };
        self.names.keys().filter_map(read).collect()
    }

    /// What lies there while the power is on, according to what was done.
    pub(crate) fn visible(&self) -> Image {
        let content = |(path, node): (&PathBuf, &usize)| {
            let node = &self.nodes[*node];
            let mut bytes = node.durable.clone();
            node.changes.iter().for_each(|change| change.clone().apply(&mut bytes));
            (path.strip_prefix(&self.root).unwrap().to_owned(), bytes)
        };
        self.names.iter().map(content).collect()
    }
}

impl Change {
    fn apply(self, bytes: &mut Vec<u8>) {
        match self {
            Change::Size(size) => bytes.resize(size, 0),
            Change::Write(at, new) => {
                let end = at + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[at..end].copy_from_slice(&new);
            }
        }
    }
}

/// The unit that a disk writes wholly or not at all.
const SECTOR: usize = 512;

impl Luck {
    /// Which of the changes to a file reached the disk.
    fn of(&mut self, changes: &[Change]) -> Vec<Change> {
        let mut kept: Vec<Change> = match self {
            Luck::None => Vec::new(),
            Luck::All => changes.to_vec(),
            Luck::Prefix(_) | Luck::Torn(_) => changes[..self.prefix(changes.len())].to_vec(),
            Luck::Some(dice) => changes.iter().filter(|_| dice.next() % 2 == 0).cloned().collect(),
        };
        if let (Luck::Torn(dice), Some(Change::Write(at, bytes))) = (self, kept.last_mut()) {
            let sectors = (*at + bytes.len()).div_ceil(SECTOR) - *at / SECTOR;
            let first = SECTOR - *at % SECTOR;
            let keep = first + SECTOR * dice.below(sectors);
            bytes.truncate(keep.min(bytes.len()));
        }
        kept
    }
}
