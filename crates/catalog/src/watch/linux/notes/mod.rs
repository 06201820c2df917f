//! What is to be reported, until it is.
//!
//! Moves and removals are kept in the order in which they happened, with the paths of that moment:
//! that order can always be repeated. What to look at is noted at the folder that it is in, by
//! name: a folder that moves takes its notes along, and the path is made when the batch is.
//!
//! Below a folder that is looked at as a whole nothing more is noted. What was created in this
//! very batch is not known to whoever gets it, so its move is no move.
//!
//! What was given with a batch stays noted until it has surely been looked at, as whoever looks
//! may come too late: if it moves meanwhile it is said again.

mod given;
mod moves;

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Instant;

use super::super::Event;
use super::tree::{Tree, Wd};
pub(super) use moves::Away;

/// Why to look at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Look {
    Changed,
    Created,
}

/// A folder is to be looked at with all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deep {
    /// It is new; `announced` if an event among the moves and removals says so already.
    New {
        announced: bool,
    },
    Rescan,
}

#[derive(Debug, Default)]
struct Slot {
    look: Option<Look>,
    /// That it was removed is said already.
    removed: bool,
}

/// What is noted at a folder.
#[derive(Debug, Default)]
pub(super) struct Notes {
    slots: BTreeMap<Box<OsStr>, Slot>,
    deep: Option<Deep>,
    /// What was moved to here, and whether the folder itself was moved. Whoever does not know what
    /// was moved looks at it.
    moved: Vec<Box<OsStr>>,
    moved_itself: bool,
    /// What the last two batches gave: a name, or all, and which batch it was.
    given: BTreeMap<Box<OsStr>, u64>,
    given_deep: Option<u64>,
}

/// Whether names in a folder need no notes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cover {
    None,
    /// The folder is compared with what is known of it.
    Rescan,
    /// Nothing in the folder is known.
    New,
}

/// Bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) in_folder: usize,
    pub(super) pending: usize,
}

#[derive(Debug)]
pub(super) struct Journal {
    limits: Limits,
    ops: Vec<Event>,
    dirty: HashSet<Wd>,
    /// Folders of which something was given.
    given: HashSet<Wd>,
    /// Counts batches.
    batch: u64,
    /// In all folders.
    slots: usize,
    /// Folders to be looked at with all below them: none, most of the time.
    deeps: usize,
    /// When the first and the last thing of this batch happened.
    span: Option<(Instant, Instant)>,
}

impl Journal {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ops: Vec::new(),
            dirty: HashSet::new(),
            given: HashSet::new(),
            batch: 0,
            slots: 0,
            deeps: 0,
            span: None,
        }
    }

    /// When the first and the last thing happened that is not yet given.
    pub(super) fn span(&self) -> Option<(Instant, Instant)> {
        self.span
    }

    fn mark(&mut self, now: Instant) {
        let first = self.span.map_or(now, |(first, _)| first);
        self.span = Some((first, now));
    }

    fn notes<'a>(&mut self, tree: &'a mut Tree, wd: Wd) -> Option<&'a mut Notes> {
        let node = tree.get_mut(wd)?;
        self.dirty.insert(wd);
        Some(node.notes.get_or_insert_default())
    }

    fn cover(&self, tree: &Tree, wd: Wd) -> Cover {
        if self.deeps == 0 {
            return Cover::None;
        }
        let mut cover = Cover::None;
        for (_, node) in tree.upwards(wd) {
            match node.notes.as_ref().and_then(|notes| notes.deep) {
                Some(Deep::New { announced: false }) => return Cover::New,
                Some(_) => cover = Cover::Rescan,
                None => {}
            }
        }
        cover
    }

    /// Something at this name is to be looked at.
    pub(super) fn touch(
        &mut self,
        tree: &mut Tree,
        parent: Wd,
        name: &OsStr,
        look: Look,
        now: Instant,
    ) {
        if self.cover(tree, parent) != Cover::None {
            return;
        }
        self.mark(now);
        let slot = self.slot(tree, parent, name);
        if let Some(slot) = slot {
            slot.look = slot.look.max(Some(look));
        }
        self.bound(tree, Some(parent));
    }

    /// Whether something at this name is to be looked at already.
    pub(super) fn is_noted(&self, tree: &Tree, parent: Wd, name: &OsStr) -> bool {
        let notes = tree.get(parent).and_then(|node| node.notes.as_ref());
        let slot = notes.and_then(|notes| notes.slots.get(name));
        slot.is_some_and(|slot| slot.look.is_some()) || self.cover(tree, parent) != Cover::None
    }

    fn slot<'a>(&mut self, tree: &'a mut Tree, parent: Wd, name: &OsStr) -> Option<&'a mut Slot> {
        let notes = self.notes(tree, parent)?;
        if !notes.slots.contains_key(name) {
            self.slots += 1;
        }
        Some(notes.slots.entry(name.into()).or_default())
    }

    fn push(&mut self, tree: &mut Tree, event: Event, now: Instant) {
        self.mark(now);
        self.ops.push(event);
        self.bound(tree, None);
    }

    /// Trades notes for rescans where there are too many.
    fn bound(&mut self, tree: &mut Tree, folder: Option<Wd>) {
        if let Some(wd) = folder
            && let Some(notes) = tree.get_mut(wd).and_then(|node| node.notes.as_mut())
            && notes.slots.len() > self.limits.in_folder
        {
            self.slots -= notes.slots.len();
            notes.slots.clear();
            self.set_deep(tree, wd, Deep::Rescan);
        }
        if self.ops.len() + self.slots > self.limits.pending {
            self.drop_all(tree);
            if let Some(root) = tree.root() {
                self.set_deep(tree, root, Deep::Rescan);
            }
        }
    }

    /// Forgets everything but that the root went and came.
    fn drop_all(&mut self, tree: &mut Tree) {
        self.ops.retain(|event| matches!(event, Event::RootGone | Event::RootBack));
        for wd in std::mem::take(&mut self.dirty) {
            if let Some(notes) = tree.get_mut(wd).and_then(|node| node.notes.as_mut()) {
                notes.slots.clear();
                notes.moved.clear();
                notes.deep = None;
            }
        }
        (self.slots, self.deeps) = (0, 0);
    }

    fn set_deep(&mut self, tree: &mut Tree, wd: Wd, deep: Deep) {
        let Some(notes) = self.notes(tree, wd) else { return };
        if notes.deep.is_none() {
            notes.deep = Some(deep);
            self.deeps += 1;
        }
    }

    /// A folder is new, with all below it.
    pub(super) fn new_folder(&mut self, tree: &mut Tree, wd: Wd, now: Instant) {
        let Some(parent) = tree.get(wd).and_then(|node| node.parent) else { return };
        if self.cover(tree, parent) == Cover::None {
            self.mark(now);
            self.set_deep(tree, wd, Deep::New { announced: false });
        }
    }

    /// Anything may have changed in a folder and below.
    pub(super) fn rescan(&mut self, tree: &mut Tree, wd: Wd, now: Instant) {
        if self.cover(tree, wd) == Cover::None {
            self.mark(now);
            self.set_deep(tree, wd, Deep::Rescan);
        }
    }

    /// The name is gone, with all below it.
    pub(super) fn removed(
        &mut self,
        tree: &mut Tree,
        parent: Wd,
        name: &OsStr,
        is_dir: bool,
        now: Instant,
    ) {
        if self.cover(tree, parent) != Cover::None {
            return;
        }
        let Some(path) = tree.path_of(parent, name) else {
            // The folder hangs nowhere at present, so there is no path to say.
            self.rescan(tree, parent, now);
            return;
        };
        if let Some(slot) = self.slot(tree, parent, name) {
            slot.look = None;
            if std::mem::replace(&mut slot.removed, true) {
                return;
            }
        }
        self.say_removed(tree, path, is_dir, now);
        self.bound(tree, Some(parent));
    }

    fn say_removed(&mut self, tree: &mut Tree, path: PathBuf, is_dir: bool, now: Instant) {
        // Whoever empties a folder to remove it says so once.
        while is_dir
            && let Some(Event::Removed { path: last }) = self.ops.last()
            && last.starts_with(&path)
        {
            self.ops.pop();
        }
        self.push(tree, Event::Removed { path }, now);
    }

    /// Forgets a folder and all below it, with what is noted there; gives their numbers.
    pub(super) fn drop_folder(&mut self, tree: &mut Tree, wd: Wd) -> Vec<Wd> {
        let all = tree.subtree(wd);
        for wd in &all {
            let notes = tree.get(*wd).and_then(|node| node.notes.as_ref());
            self.slots -= notes.map_or(0, |notes| notes.slots.len());
            self.dirty.remove(wd);
            self.given.remove(wd);
        }
        tree.remove(wd)
    }

    /// What was said of the name before was about something else.
    pub(super) fn clear_name(&mut self, tree: &mut Tree, parent: Wd, name: &OsStr) {
        if let Some(notes) = tree.get_mut(parent).and_then(|node| node.notes.as_mut())
            && notes.slots.remove(name).is_some()
        {
            self.slots -= 1;
        }
    }

    /// What is at this name may be something else than is thought.
    pub(super) fn look(
        &mut self,
        tree: &mut Tree,
        (parent, name): (Wd, &OsStr),
        node: Option<Wd>,
        now: Instant,
    ) {
        match node {
            Some(wd) => self.rescan(tree, wd, now),
            None => self.touch(tree, parent, name, Look::Changed, now),
        }
    }

    /// Something new is at this name.
    pub(super) fn look_new(
        &mut self,
        tree: &mut Tree,
        (parent, name): (Wd, &OsStr),
        node: Option<Wd>,
        now: Instant,
    ) {
        match node {
            Some(wd) => self.new_folder(tree, wd, now),
            None => self.touch(tree, parent, name, Look::Created, now),
        }
    }

    /// The root went or came. If it went again before it was said to be back, it just went.
    pub(super) fn root(&mut self, event: Event, now: Instant) {
        self.mark(now);
        let back = self.ops.iter().position(|event| *event == Event::RootBack);
        match back {
            Some(back) if event == Event::RootGone => self.ops.truncate(back),
            _ => self.ops.push(event),
        }
    }

    /// The tree is gone, and its notes with it; what was said stays.
    pub(super) fn forget_looks(&mut self) {
        self.dirty.clear();
        self.given.clear();
        (self.slots, self.deeps) = (0, 0);
        if self.ops.is_empty() {
            self.span = None;
        }
    }
}
