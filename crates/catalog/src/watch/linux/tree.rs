//! The folders that are watched, and how they hang together: no system calls here.
//!
//! A folder is known by the number of its watch, and knows its parent and name, so that it takes
//! one change to move it with everything below it.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::super::ignore::Patterns;
use super::kernel::Identity;
use super::notes::Notes;

/// The number of a watch: unique for as long as the kernel's watcher is open.
pub(super) type Wd = i32;

/// A watched folder.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// `None` for the root, and for a folder that was moved away and is not yet anywhere.
    pub(super) parent: Option<Wd>,
    pub(super) name: Box<OsStr>,
    pub(super) identity: Identity,
    pub(super) children: BTreeMap<Box<OsStr>, Wd>,
    pub(super) list: Option<Box<Patterns>>,
    /// What there is to report; most folders have nothing.
    pub(super) notes: Option<Box<Notes>>,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: HashMap<Wd, Node>,
    root: Option<Wd>,
    /// Folders with rule files, and the patterns in them.
    lists: usize,
    patterns: usize,
}

impl Tree {
    pub(super) fn root(&self) -> Option<Wd> {
        self.root
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn contains(&self, wd: Wd) -> bool {
        self.nodes.contains_key(&wd)
    }

    pub(super) fn get(&self, wd: Wd) -> Option<&Node> {
        self.nodes.get(&wd)
    }

    pub(super) fn get_mut(&mut self, wd: Wd) -> Option<&mut Node> {
        self.nodes.get_mut(&wd)
    }

    pub(super) fn child(&self, parent: Wd, name: &OsStr) -> Option<Wd> {
        self.nodes.get(&parent)?.children.get(name).copied()
    }

    pub(super) fn set_root(&mut self, wd: Wd) {
        self.root = Some(wd);
        self.nodes.entry(wd).or_default();
    }

    pub(super) fn set_identity(&mut self, wd: Wd, identity: Identity) {
        if let Some(node) = self.nodes.get_mut(&wd) {
            node.identity = identity;
        }
    }

    /// Puts a folder at a place, from wherever it was. What was at the place must be gone.
    pub(super) fn attach(&mut self, wd: Wd, parent: Wd, name: &OsStr) {
        assert!(!self.is_within(parent, wd), "a folder would be in itself");
        self.detach(wd);
        let node = self.nodes.entry(wd).or_default();
        node.parent = Some(parent);
        node.name = name.into();
        if let Some(above) = self.nodes.get_mut(&parent) {
            above.children.insert(name.into(), wd);
        }
    }

    /// Takes a folder from its place, with all below it; it stays known.
    pub(super) fn detach(&mut self, wd: Wd) {
        let Some(node) = self.nodes.get_mut(&wd) else { return };
        let Some(parent) = node.parent.take() else { return };
        let name = std::mem::take(&mut node.name);
        if let Some(above) = self.nodes.get_mut(&parent)
            && above.children.get(&name) == Some(&wd)
        {
            above.children.remove(&name);
        }
    }

    /// Forgets a folder and all below it; gives their numbers.
    pub(super) fn remove(&mut self, wd: Wd) -> Vec<Wd> {
        self.detach(wd);
        if self.root == Some(wd) {
            self.root = None;
        }
        let all = self.subtree(wd);
        for wd in &all {
            self.set_list(*wd, None);
            self.nodes.remove(wd);
        }
        all
    }

    /// A folder and all below it, parents first.
    pub(super) fn subtree(&self, wd: Wd) -> Vec<Wd> {
        let mut all = Vec::new();
        if self.contains(wd) {
            all.push(wd);
        }
        let mut at = 0;
        while let Some(wd) = all.get(at) {
            at += 1;
            if let Some(node) = self.nodes.get(wd) {
                all.extend(node.children.values());
            }
        }
        all
    }

    /// A folder and those above it, up to the root or to one that hangs nowhere.
    pub(super) fn upwards(&self, wd: Wd) -> impl Iterator<Item = (Wd, &Node)> {
        let mut at = Some(wd);
        std::iter::from_fn(move || {
            let wd = at?;
            let node = self.nodes.get(&wd)?;
            at = node.parent;
            Some((wd, node))
        })
    }

    /// Whether a folder is another one or below it.
    pub(super) fn is_within(&self, wd: Wd, above: Wd) -> bool {
        self.upwards(wd).any(|(at, _)| at == above)
    }

    /// The path from the root; `None` for what hangs nowhere.
    pub(super) fn path(&self, wd: Wd) -> Option<PathBuf> {
        let mut names = Vec::new();
        let mut top = None;
        for (at, node) in self.upwards(wd) {
            names.push(&*node.name);
            top = Some(at);
        }
        if top.is_none() || top != self.root {
            return None;
        }
        // The root's own name is empty.
        names.pop();
        Some(names.into_iter().rev().collect())
    }

    /// The path of something in a folder.
    pub(super) fn path_of(&self, parent: Wd, name: &OsStr) -> Option<PathBuf> {
        self.path(parent).map(|path| path.join(name))
    }

    /// The folder at a path, if it is watched.
    pub(super) fn find(&self, path: &Path) -> Option<Wd> {
        path.iter().try_fold(self.root?, |at, name| self.child(at, name))
    }

    /// How many patterns are held.
    pub(super) fn patterns(&self) -> usize {
        self.patterns
    }

    /// Whether any folder has rules of its own.
    pub(super) fn has_lists(&self) -> bool {
        self.lists > 0
    }

    pub(super) fn set_list(&mut self, wd: Wd, list: Option<Patterns>) {
        let Some(node) = self.nodes.get_mut(&wd) else { return };
        let count =
            |list: &Option<Box<Patterns>>| list.as_ref().map_or((0, 0), |list| (1, list.count()));
        let old = count(&node.list);
        node.list = list.map(Box::new);
        let new = count(&node.list);
        self.lists = self.lists + new.0 - old.0;
        self.patterns = self.patterns + new.1 - old.1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.set_root(1);
        for (wd, parent, name) in [(2, 1, "a"), (3, 2, "b"), (4, 3, "c"), (5, 1, "d")] {
            tree.attach(wd, parent, OsStr::new(name));
        }
        tree
    }

    fn path(tree: &Tree, wd: Wd) -> Option<String> {
        tree.path(wd).map(|path| path.to_str().unwrap().to_owned())
    }

    #[test]
    fn paths_follow_a_folder_that_moves() {
        let mut tree = tree();
        assert_eq!(path(&tree, 1).as_deref(), Some(""));
        assert_eq!(path(&tree, 4).as_deref(), Some("a/b/c"));
        tree.detach(3);
        assert_eq!((path(&tree, 4), path(&tree, 3)), (None, None));
        assert_eq!(tree.child(2, OsStr::new("b")), None);
        tree.attach(3, 5, OsStr::new("x"));
        assert_eq!(path(&tree, 4).as_deref(), Some("d/x/c"));
        assert_eq!(tree.find(Path::new("d/x/c")), Some(4));
        assert_eq!(tree.find(Path::new("a/b")), None);
        assert!(tree.is_within(4, 5) && !tree.is_within(4, 2) && tree.is_within(4, 4));
    }

    #[test]
    fn a_folder_goes_with_all_below_it() {
        let mut tree = tree();
        assert_eq!(tree.remove(2), [2, 3, 4]);
        assert_eq!((tree.len(), tree.child(1, OsStr::new("a"))), (2, None));
        assert!(tree.remove(7).is_empty());
        assert_eq!(tree.remove(1), [1, 5]);
        assert_eq!(tree.root(), None);
    }
}
