//! What was moved: a move has two halves, and only both of them are one.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Instant;

use super::super::super::Event;
use super::super::tree::{Node, Tree, Wd};
use super::{Cover, Deep, Journal, Look};

/// Something that was moved away and has not arrived.
#[derive(Debug)]
pub(in super::super) struct Away {
    parent: Wd,
    name: Box<OsStr>,
    /// `None` if it was not known there.
    from: Option<PathBuf>,
    new: bool,
    changed: bool,
    covered: bool,
    pub(in super::super) is_dir: bool,
    /// Its watch, if it is a folder that has one.
    pub(in super::super) node: Option<Wd>,
    pub(in super::super) at: Instant,
}

impl Away {
    /// Where it was.
    pub(in super::super) fn place(&self) -> (Wd, &OsStr) {
        (self.parent, &self.name)
    }
}

impl Journal {
    /// The name was moved away. `changed`: it is to be looked at when it arrives.
    pub(in super::super) fn away(
        &mut self,
        tree: &mut Tree,
        (parent, name): (Wd, &OsStr),
        node: Option<Wd>,
        is_dir: bool,
        mut changed: bool,
        now: Instant,
    ) -> Away {
        self.mark(now);
        let cover = self.cover(tree, parent);
        let from = match cover {
            Cover::New => None,
            Cover::None | Cover::Rescan => tree.path_of(parent, name),
        };
        changed |= !self.given.is_empty()
            && tree
                .upwards(parent)
                .filter_map(|(_, node)| node.notes.as_ref())
                .any(|notes| notes.given_deep.is_some());
        let mut new = node.and_then(|wd| tree.get(wd)?.notes.as_ref()?.deep)
            == Some(Deep::New { announced: false });
        if let Some(notes) = tree.get_mut(parent).and_then(|node| node.notes.as_mut()) {
            changed |= notes.given.contains_key(name);
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
    pub(in super::super) fn lost(&mut self, tree: &mut Tree, away: &Away, now: Instant) {
        if tree.contains(away.parent) {
            self.removed(tree, away.parent, &away.name, away.is_dir, now);
        }
    }

    /// What was moved away is here now. `node`: its watch, if it is a folder and has one.
    pub(in super::super) fn arrived(
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
                self.note_moved(tree, (parent, name), node);
                if away.changed {
                    self.look(tree, (parent, name), node, now);
                }
            }
            (from, _) => {
                if from.is_some() && !away.covered {
                    self.removed(tree, away.parent, &away.name, away.is_dir, now);
                }
                self.look_new(tree, (parent, name), node, now);
            }
        }
    }

    fn note_moved(&mut self, tree: &mut Tree, (parent, name): (Wd, &OsStr), node: Option<Wd>) {
        let notes = self.notes(tree, node.unwrap_or(parent));
        match (notes, node) {
            (Some(notes), Some(_)) => notes.moved_itself = true,
            (Some(notes), None) => notes.moved.push(name.into()),
            (None, _) => {}
        }
    }

    /// What was just said to have moved from the one name to the other has changed places with it.
    pub(in super::super) fn swapped(
        &mut self,
        tree: &Tree,
        one: (Wd, &OsStr),
        other: (Wd, &OsStr),
    ) {
        let path = |(parent, name)| tree.path_of(parent, name);
        if let Some(Event::Moved { from, to }) = self.ops.last()
            && Some(from) == path(one).as_ref()
            && Some(to) == path(other).as_ref()
        {
            self.ops.pop();
        }
    }

    /// Says at once that a folder is new, as something known is moved into it.
    fn announce(&mut self, tree: &mut Tree, wd: Wd, now: Instant) {
        if self.cover(tree, wd) != Cover::New {
            return;
        }
        let deep = |node: &Node| node.notes.as_ref().and_then(|notes| notes.deep);
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
}
