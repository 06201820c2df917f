//! What is to be reported, until it is.
//!
//! Moves and removals are kept in the order in which they happened, with the paths of that moment:
//! that order can always be repeated. What to look at is noted at the folder that it is in, by
//! name: a folder that moves takes its notes along, and the path is made when the batch is.
//!
//! Below a folder that is looked at as a whole nothing more is noted. What was created in this
//! very batch is not known to whoever gets it, so its move is no move.
//!
//! What was given with the last batch stays noted until the next, as whoever looks at it may come
//! too late: if it moves meanwhile it is said again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Instant;

use super::super::Event;
use super::tree::{Tree, Wd};

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
    /// What the last batch gave.
    given: BTreeSet<Box<OsStr>>,
    given_deep: bool,
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

/// Something that was moved away and has not arrived.
#[derive(Debug)]
pub(super) struct Away {
    parent: Wd,
    name: Box<OsStr>,
    /// `None` if it was not known there.
    from: Option<PathBuf>,
    new: bool,
    changed: bool,
    covered: bool,
    pub(super) is_dir: bool,
    /// Its watch, if it is a folder that has one.
    pub(super) node: Option<Wd>,
    pub(super) at: Instant,
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
    given: Vec<Wd>,
    /// In all folders.
    slots: usize,
    /// Folders to be looked at with all below them: none, most of the time.
    deeps: usize,
    /// When the first and the last thing of this batch happened.
    span: Option<(Instant, Instant)>,
}

impl Away {
    /// The folder that it was in.
    pub(super) fn parent(&self) -> Wd {
        self.parent
    }

    /// Whether it was there.
    pub(super) fn was_at(&self, (parent, name): (Wd, &OsStr)) -> bool {
        self.parent == parent && *self.name == *name
    }
}

impl Journal {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ops: Vec::new(),
            dirty: HashSet::new(),
            given: Vec::new(),
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

    /// The name was moved away. `changed`: it is to be looked at when it arrives; `late`: what was
    /// given with the last batch may not have been looked at.
    pub(super) fn away(
        &mut self,
        tree: &mut Tree,
        (parent, name): (Wd, &OsStr),
        node: Option<Wd>,
        is_dir: bool,
        (mut changed, late): (bool, bool),
        now: Instant,
    ) -> Away {
        self.mark(now);
        let cover = self.cover(tree, parent);
        let from = match cover {
            Cover::New => None,
            Cover::None | Cover::Rescan => tree.path_of(parent, name),
        };
        if late {
            changed |= tree
                .upwards(parent)
                .any(|(_, node)| node.notes.as_ref().is_some_and(|notes| notes.given_deep));
        }
        let mut new = node.and_then(|wd| tree.get(wd)?.notes.as_ref()?.deep)
            == Some(Deep::New { announced: false });
        if let Some(notes) = tree.get_mut(parent).and_then(|node| node.notes.as_mut()) {
            changed |= late && notes.given.contains(name);
            if let Some(slot) = notes.slots.remove(name) {
                self.slots -= 1;
                new |= slot.look == Some(Look::Created);
                changed |= slot.look == Some(Look::Changed);
            }
        }
        let covered = cover != Cover::None;
        // What happened below it was not noted, as it would have been looked at where it was.
        changed |= covered;
        Away { parent, name: name.into(), from, new, changed, covered, is_dir, node, at: now }
    }

    /// What was moved away did not arrive anywhere. Its folder may have another path by now.
    pub(super) fn lost(&mut self, tree: &mut Tree, away: &Away, now: Instant) {
        if tree.contains(away.parent) {
            self.removed(tree, away.parent, &away.name, away.is_dir, now);
        }
    }

    /// What was moved away is here now. `node`: its watch, if it is a folder and has one.
    pub(super) fn arrived(
        &mut self,
        tree: &mut Tree,
        away: Away,
        (parent, name): (Wd, &OsStr),
        node: Option<Wd>,
        now: Instant,
    ) {
        self.clear_name(tree, parent, name);
        // Folders above it may have moved between its two halves: where it was has another name.
        let stale = away.from.is_some() && away.from != tree.path_of(away.parent, &away.name);
        let to = tree.path_of(parent, name);
        match (away.from, to) {
            _ if stale => {
                self.rescan(tree, away.parent, now);
                self.look_new(tree, (parent, name), node, now);
            }
            (Some(from), Some(to)) if !away.new => {
                self.announce(tree, parent, now);
                self.push(tree, Event::Moved { from, to }, now);
                if away.changed {
                    match node {
                        Some(wd) => self.rescan(tree, wd, now),
                        None => self.touch(tree, parent, name, Look::Changed, now),
                    }
                }
            }
            (from, _) => {
                if let (Some(path), false) = (from, away.covered) {
                    self.push(tree, Event::Removed { path }, now);
                }
                self.look_new(tree, (parent, name), node, now);
            }
        }
    }

    /// Forgets a folder and all below it, with what is noted there; gives their numbers.
    pub(super) fn drop_folder(&mut self, tree: &mut Tree, wd: Wd) -> Vec<Wd> {
        let all = tree.subtree(wd);
        for wd in &all {
            let notes = tree.get(*wd).and_then(|node| node.notes.as_ref());
            self.slots -= notes.map_or(0, |notes| notes.slots.len());
            self.dirty.remove(wd);
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

    /// Says at once that a folder is new, as something known is moved into it.
    fn announce(&mut self, tree: &mut Tree, wd: Wd, now: Instant) {
        if self.cover(tree, wd) != Cover::New {
            return;
        }
        let deep = |node: &super::tree::Node| node.notes.as_ref().and_then(|notes| notes.deep);
        let new = tree.upwards(wd).filter(|(_, node)| matches!(deep(node), Some(Deep::New { .. })));
        let new: Vec<_> = new.map(|(wd, _)| wd).collect();
        for wd in &new {
            if let Some(notes) = tree.get_mut(*wd).and_then(|node| node.notes.as_mut()) {
                notes.deep = Some(Deep::New { announced: true });
            }
        }
        let Some(top) = new.last().copied() else { return };
        // Should it be removed, that is worth saying once more.
        if let Some((parent, name)) =
            tree.get(top).and_then(|node| Some((node.parent?, node.name.clone())))
        {
            self.clear_name(tree, parent, &name);
        }
        if let Some(path) = tree.path(top) {
            self.push(tree, Event::Created { path }, now);
        }
    }

    /// A folder was moved before what the last batch gave in it was surely looked at.
    pub(super) fn say_again(&mut self, tree: &mut Tree, wd: Wd, now: Instant) {
        for wd in tree.subtree(wd) {
            let Some(notes) = tree.get(wd).and_then(|node| node.notes.as_ref()) else { continue };
            if notes.given_deep {
                self.rescan(tree, wd, now);
            }
            let given: Vec<_> = notes_given(tree, wd);
            for name in given {
                self.touch(tree, wd, &name, Look::Changed, now);
            }
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

    /// Whoever gets the events looks at everything from here down anyway.
    pub(super) fn given_all(&mut self, tree: &mut Tree, wd: Wd) {
        if let Some(notes) = self.notes(tree, wd) {
            notes.given_deep = true;
            self.given.push(wd);
        }
    }

    /// The batch. What is noted at folders that hang nowhere at present waits for the next.
    pub(super) fn take(&mut self, tree: &mut Tree) -> Vec<Event> {
        self.span = None;
        for wd in std::mem::take(&mut self.given) {
            if let Some(notes) = tree.get_mut(wd).and_then(|node| node.notes.as_mut()) {
                notes.given.clear();
                notes.given_deep = false;
            }
        }
        let mut events = std::mem::take(&mut self.ops);
        let dirty: Vec<_> = std::mem::take(&mut self.dirty).into_iter().collect();
        // Before any of them is taken, as notes cover those below them.
        let places: Vec<_> = dirty.into_iter().filter_map(|wd| self.place(tree, wd)).collect();
        (self.slots, self.deeps) = (0, 0);
        let (mut looks, mut rescans) = (Vec::new(), Vec::new());
        for place in places {
            match place {
                Place::Hangs(wd) => self.keep_notes(tree, wd),
                Place::Covered(wd) => self.take_notes(tree, wd, None, &mut looks, &mut rescans),
                Place::At(wd, path) => {
                    self.take_notes(tree, wd, Some(path), &mut looks, &mut rescans);
                }
            }
        }
        looks.sort_unstable_by(|a, b| look_path(a).cmp(&look_path(b)));
        rescans.sort_unstable();
        events.append(&mut looks);
        events.append(&mut rescans);
        events
    }

    fn place(&self, tree: &Tree, wd: Wd) -> Option<Place> {
        let node = tree.get(wd)?;
        let Some(path) = tree.path(wd) else { return Some(Place::Hangs(wd)) };
        let covered = node.parent.is_some_and(|parent| self.cover(tree, parent) != Cover::None);
        Some(if covered { Place::Covered(wd) } else { Place::At(wd, path) })
    }

    fn keep_notes(&mut self, tree: &Tree, wd: Wd) {
        if let Some(notes) = tree.get(wd).and_then(|node| node.notes.as_ref()) {
            self.dirty.insert(wd);
            self.slots += notes.slots.len();
            self.deeps += usize::from(notes.deep.is_some());
        }
    }

    fn take_notes(
        &mut self,
        tree: &mut Tree,
        wd: Wd,
        path: Option<PathBuf>,
        looks: &mut Vec<Event>,
        rescans: &mut Vec<Event>,
    ) {
        let Some(node) = tree.get_mut(wd) else { return };
        let Some(notes) = node.notes.as_mut() else { return };
        let (slots, deep) = (std::mem::take(&mut notes.slots), notes.deep.take());
        match (path, deep) {
            (Some(path), Some(Deep::New { .. })) => looks.push(Event::Created { path }),
            (Some(dir), Some(Deep::Rescan)) => rescans.push(Event::Rescan { dir }),
            (Some(dir), None) => {
                for (name, slot) in slots {
                    let path = dir.join(&*name);
                    match slot.look {
                        Some(Look::Created) => looks.push(Event::Created { path }),
                        Some(Look::Changed) => looks.push(Event::Changed { path }),
                        None => continue,
                    }
                    notes.given.insert(name);
                }
            }
            (None, _) => {}
        }
        notes.given_deep = deep.is_some();
        if notes.given.is_empty() && !notes.given_deep {
            node.notes = None;
        } else {
            self.given.push(wd);
        }
    }
}

/// Where a folder with notes is.
enum Place {
    /// Nowhere at present.
    Hangs(Wd),
    /// Below one that is looked at as a whole.
    Covered(Wd),
    At(Wd, PathBuf),
}

fn notes_given(tree: &Tree, wd: Wd) -> Vec<Box<OsStr>> {
    let notes = tree.get(wd).and_then(|node| node.notes.as_ref());
    notes.map_or_else(Vec::new, |notes| notes.given.iter().cloned().collect())
}

fn look_path(event: &Event) -> Option<&PathBuf> {
    match event {
        Event::Created { path } | Event::Changed { path } => Some(path),
        _ => None,
    }
}
