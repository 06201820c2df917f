//! What is given, and what was.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Instant;

use super::super::super::Event;
use super::super::tree::{Tree, Wd};
use super::{Cover, Deep, Journal, Look};

impl Journal {
    /// A folder was moved before what the last batch gave in it was surely looked at.
    pub(in super::super) fn say_again(&mut self, tree: &mut Tree, wd: Wd, now: Instant) {
        if self.given.is_empty() {
            return;
        }
        for wd in tree.subtree(wd) {
            let Some(notes) = tree.get(wd).and_then(|node| node.notes.as_ref()) else { continue };
            if notes.given_deep.is_some() {
                self.rescan(tree, wd, now);
            }
            let given: Vec<_> = notes_given(tree, wd);
            for name in given {
                self.touch(tree, wd, &name, Look::Changed, now);
            }
        }
    }

    /// Whoever gets the events looks at everything from here down anyway.
    pub(in super::super) fn given_all(&mut self, tree: &mut Tree, wd: Wd) {
        if let Some(notes) = self.notes(tree, wd) {
            notes.given_deep = Some(self.batch);
            self.given.insert(wd);
        }
    }

    /// All that was given before has been looked at, and what moved until then has been heard of.
    pub(in super::super) fn all_applied(&mut self, tree: &mut Tree) {
        self.forget_given(tree, self.batch + 1);
    }

    /// Forgets what was given in batches before this one.
    fn forget_given(&mut self, tree: &mut Tree, batch: u64) {
        self.given.retain(|wd| {
            let Some(node) = tree.get_mut(*wd) else { return false };
            let Some(notes) = node.notes.as_mut() else { return false };
            notes.given.retain(|_, given| *given >= batch);
            notes.given_deep = notes.given_deep.filter(|given| *given >= batch);
            !notes.given.is_empty() || notes.given_deep.is_some()
        });
    }

    /// Whether anything was given that may not have been looked at.
    pub(in super::super) fn has_given(&self) -> bool {
        !self.given.is_empty()
    }

    /// The batch. What is noted at folders that hang nowhere at present waits for the next.
    pub(in super::super) fn take(&mut self, tree: &mut Tree) -> Vec<Event> {
        self.span = None;
        // Of the batch before, what was moved before it was looked at may still be unheard of.
        self.forget_given(tree, self.batch);
        self.batch += 1;
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
        for name in std::mem::take(&mut notes.moved) {
            notes.given.insert(name, self.batch);
        }
        let moved = std::mem::take(&mut notes.moved_itself);
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
                    notes.given.insert(name, self.batch);
                }
            }
            (None, _) => {}
        }
        if deep.is_some() || moved {
            notes.given_deep = Some(self.batch);
        }
        if notes.given.is_empty() && notes.given_deep.is_none() {
            node.notes = None;
        } else {
            self.given.insert(wd);
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
    notes.map_or_else(Vec::new, |notes| notes.given.keys().cloned().collect())
}

fn look_path(event: &Event) -> Option<&PathBuf> {
    match event {
        Event::Created { path } | Event::Changed { path } => Some(path),
        _ => None,
    }
}
