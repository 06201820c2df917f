//! Watches on folders: setting and ending them, and the rules that say where.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

use rustix::io::Errno;

use super::super::ignore::Patterns;
use super::super::problem::Problem;
use super::kernel::{Purpose, Queue, folders_in, identity, identity_at, open_folder, open_in};
use super::state::State;
use super::tree::Wd;

/// More patterns than this are not held for one tree.
const MAX_ALL_PATTERNS: usize = 64 << 10;

/// Folders that are still to be watched: the folder that they are in, and their names.
type ToDo = Vec<(Wd, Vec<OsString>)>;

/// A watched folder, opened.
struct Open {
    wd: Wd,
    fd: OwnedFd,
    /// Its path from the root.
    at: PathBuf,
}

impl State {
    /// Makes the watches below a name true to what is there now: a folder, if `is_dir`. Whatever
    /// was known there and is not there any more is forgotten. Gives the folder's watch.
    pub(super) fn settle_name(
        &mut self,
        (parent, name): (Wd, &OsStr),
        is_dir: bool,
        now: Instant,
    ) -> Option<Wd> {
        if is_dir {
            return self.plant(parent, name, now);
        }
        if let Some(child) = self.tree.child(parent, name) {
            self.drop_folder(child);
        }
        None
    }

    /// Watches a folder and all below it. Nothing that is created meanwhile is missed: a folder
    /// is watched before it is listed.
    fn plant(&mut self, parent: Wd, name: &OsStr, now: Instant) -> Option<Wd> {
        let mut to_do = ToDo::new();
        let folder = self.open_folder(parent, now)?;
        let top = self.plant_in(&folder, name, &mut to_do, now);
        drop(folder);
        self.plant_all(to_do, now);
        top
    }

    fn plant_all(&mut self, mut to_do: ToDo, now: Instant) {
        while let Some((parent, names)) = to_do.pop() {
            let Some(folder) = self.open_folder(parent, now) else { continue };
            for name in names {
                self.plant_in(&folder, &name, &mut to_do, now);
            }
        }
    }

    /// Opens a watched folder. What is heard lags behind what is: at its path may be another
    /// folder by now, and the folder elsewhere. Then it is in doubt until that has been heard.
    fn open_folder(&mut self, wd: Wd, now: Instant) -> Option<Open> {
        let node = self.tree.get(wd)?;
        let known = node.identity;
        let Some(at) = self.tree.path(wd) else {
            self.doubts.entry(wd).or_insert(now);
            return None;
        };
        let path = self.root.path().join(&at);
        match open_folder(&path).and_then(|fd| Ok((identity(&fd)?, fd))) {
            Ok((is, fd)) if is == known => Some(Open { wd, fd, at }),
            Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE) => {
                self.doubts.entry(wd).or_insert(now);
                None
            }
            Err(errno) => {
                self.not_watched(wd, at, errno, now);
                None
            }
        }
    }

    fn plant_in(
        &mut self,
        folder: &Open,
        name: &OsStr,
        to_do: &mut ToDo,
        now: Instant,
    ) -> Option<Wd> {
        let queue = self.queue.clone()?;
        let at = folder.at.join(name);
        let path = self.root.path().join(&at);
        let opened = open_in(&folder.fd, name)
            .and_then(|fd| Ok((queue.watch(&fd, &path, Purpose::Folder)?, fd)));
        let known = self.tree.child(folder.wd, name);
        let (wd, fd) = match opened {
            Ok((wd, fd)) => (wd, fd),
            Err(errno) => {
                if let Some(known) = known {
                    self.drop_folder(known);
                }
                self.not_watched(folder.wd, at, errno, now);
                return None;
            }
        };
        if known == Some(wd) {
            return known;
        }
        if let Some(other) = known {
            self.drop_folder(other);
        }
        if self.tree.contains(wd) || self.guards.contains_key(&wd) {
            return self.replant(wd, folder, name, &fd, now);
        }
        if self.options.max_watches.is_some_and(|max| self.tree.len() >= max) {
            queue.unwatch(wd);
            self.not_watched(folder.wd, at, Errno::NOSPC, now);
            return None;
        }
        self.tree.attach(wd, folder.wd, name);
        self.enter(Open { wd, fd, at }, to_do);
        Some(wd)
    }

    /// A folder that is watched already, met at another place: moved, or mounted twice.
    fn replant(
        &mut self,
        wd: Wd,
        folder: &Open,
        name: &OsStr,
        fd: &OwnedFd,
        now: Instant,
    ) -> Option<Wd> {
        let place = self.tree.path(wd);
        let is_there_too = place.as_ref().is_some_and(|place| {
            let there = identity_at(&self.root.path().join(place));
            there.is_ok() && there == identity(fd)
        });
        if is_there_too || self.guards.contains_key(&wd) {
            self.problems.push(Problem::SeenTwice { path: folder.at.join(name) });
            return None;
        }
        if self.tree.is_within(folder.wd, wd) {
            // The one was moved out of the other, then the other into the one.
            self.doubts.entry(folder.wd).or_insert(now);
            return None;
        }
        self.tree.attach(wd, folder.wd, name);
        if place.is_some() {
            // It moved, and that is still to be heard of: paths said of it from now on are ahead
            // of what is known.
            self.journal.rescan(&mut self.tree, wd, now);
        }
        Some(wd)
    }

    /// Reads the rules of a folder just watched, and which folders in it to watch.
    fn enter(&mut self, folder: Open, to_do: &mut ToDo) {
        let Open { wd, fd, at } = folder;
        match identity(&fd) {
            Ok(identity) => self.tree.set_identity(wd, identity),
            Err(errno) => unreachable!("it is open: {errno}"),
        }
        let list = self.read_rules(&fd, &at);
        self.tree.set_list(wd, list);
        match folders_in(&fd) {
            Ok(mut names) => {
                names.retain(|name| !self.ignored(wd, name, true));
                if !names.is_empty() {
                    to_do.push((wd, names));
                }
            }
            // It was removed since it was opened.
            Err(Errno::NOENT) => {}
            Err(errno) => {
                self.see_nothing(wd, Problem::Unwatched { path: at, source: errno.into() })
            }
        }
    }

    /// Whether there is a folder at a name, or something else; `None` if there is nothing.
    pub(super) fn kind_at(&self, (parent, name): (Wd, &OsStr)) -> Option<bool> {
        let path = self.root.path().join(self.tree.path_of(parent, name)?);
        Some(path.symlink_metadata().ok()?.is_dir())
    }

    /// A folder that got no watch.
    fn not_watched(&mut self, parent: Wd, path: PathBuf, errno: Errno, now: Instant) {
        match errno {
            // It is gone or something else by now, which is still to be heard of.
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE => {}
            // Nobody can look into it, so nothing is missed; should it be opened, that is heard.
            // What is too deep stays too deep.
            Errno::ACCESS | Errno::PERM | Errno::NAMETOOLONG => {
                self.problems.push(Problem::Unwatched { path, source: errno.into() });
            }
            Errno::NOSPC => {
                // One is enough to say, as there may be thousands.
                let problem = Problem::OutOfWatches { path, watches: self.tree.len() };
                self.see_nothing(parent, problem);
                self.journal.rescan(&mut self.tree, parent, now);
            }
            errno => {
                let problem = Problem::Unwatched { path, source: errno.into() };
                self.see_nothing(parent, problem);
                self.journal.rescan(&mut self.tree, parent, now);
            }
        }
    }

    /// Some folder in this one has no watch.
    fn see_nothing(&mut self, wd: Wd, problem: Problem) {
        let said = !self.blind.is_empty() && matches!(problem, Problem::OutOfWatches { .. });
        if !said {
            self.problems.push(problem);
        }
        self.blind.insert(wd);
        if self.blind_at.is_none() {
            self.blind_at = Some(Instant::now() + self.options.blind_interval);
        }
    }

    /// Tries again where watches were missing, and has those folders rescanned.
    pub(super) fn retry_blind(&mut self, now: Instant) {
        self.blind_at = None;
        let blind: Vec<_> = self.blind.iter().copied().collect();
        for wd in blind {
            if self.tree.contains(wd) {
                self.resync(wd, now);
                self.journal.rescan(&mut self.tree, wd, now);
            }
        }
        if self.blind_at.is_none() {
            // All of them have their watches.
            self.blind.clear();
        }
    }

    /// Forgets a folder and all below it.
    pub(super) fn drop_folder(&mut self, wd: Wd) {
        let all = self.journal.drop_folder(&mut self.tree, wd);
        for wd in all {
            self.blind.remove(&wd);
            self.doubts.remove(&wd);
            if let Some(queue) = &self.queue {
                queue.unwatch(wd);
            }
        }
    }

    /// Makes the watches below a folder true to what is there and to the rules.
    pub(super) fn resync(&mut self, wd: Wd, now: Instant) {
        let mut folders = vec![wd];
        let mut to_do = ToDo::new();
        while let Some(wd) = folders.pop() {
            let Some(folder) = self.open_folder(wd, now) else { continue };
            let names = folders_in(&folder.fd).unwrap_or_else(|errno| {
                self.not_watched(wd, folder.at.clone(), errno, now);
                Vec::new()
            });
            for name in names {
                let known = self.tree.child(wd, &name);
                if self.ignored(wd, &name, true) {
                    self.settle_name((wd, &name), false, now);
                } else if self.plant_in(&folder, &name, &mut to_do, now) == known {
                    folders.extend(known);
                }
            }
        }
        self.plant_all(to_do, now);
    }

    /// Whether something in a folder that is not ignored is.
    pub(super) fn ignored(&self, parent: Wd, name: &OsStr, is_dir: bool) -> bool {
        if self.settings.is_empty() && !self.tree.has_lists() {
            return false;
        }
        let Some(path) = self.tree.path_of(parent, name) else { return false };
        let depth = path.iter().count();
        let lists = self.tree.upwards(parent).enumerate().filter_map(|(up, (_, node))| {
            // The folder itself is one level above what is in it.
            Some((depth - 1 - up, node.list.as_deref()?))
        });
        self.settings.ignores(&path, is_dir, lists)
    }

    fn read_rules(&mut self, fd: &OwnedFd, at: &std::path::Path) -> Option<Patterns> {
        if self.settings.files().is_empty() {
            return None;
        }
        let list = Patterns::of_folder(fd, at, self.settings.files(), &mut self.problems)?;
        if self.tree.patterns() + list.count() > MAX_ALL_PATTERNS {
            self.problems.push(Problem::TooManyRules { path: Some(at.to_owned()) });
            return None;
        }
        Some(list)
    }

    /// A rule file of this folder may have changed.
    pub(super) fn reload_rules(&mut self, wd: Wd, now: Instant) {
        let Some(Open { fd, at, .. }) = self.open_folder(wd, now) else { return };
        let new = self.read_rules(&fd, &at);
        let old = self.tree.get(wd).and_then(|node| node.list.as_deref());
        let same = match (old, &new) {
            (Some(old), Some(new)) => old.same(new),
            (None, None) => true,
            _ => false,
        };
        if same {
            return;
        }
        self.tree.set_list(wd, new);
        self.resync(wd, now);
        self.journal.rescan(&mut self.tree, wd, now);
    }

    /// What rules for what is in a folder, if that does not depend on the folder's path.
    pub(super) fn rules_above(&self, wd: Wd) -> Option<Vec<Wd>> {
        if self.settings.is_anchored() {
            return None;
        }
        let mut rules = Vec::new();
        for (wd, node) in self.tree.upwards(wd) {
            match &node.list {
                Some(list) if list.is_anchored() => return None,
                Some(_) => rules.push(wd),
                None => {}
            }
        }
        Some(rules)
    }

    /// Watches the folders above the root, as far as they may be.
    pub(super) fn guard(&mut self, queue: &Queue) {
        self.guards.clear();
        let above: Vec<_> = self.root.above().map(PathBuf::from).collect();
        for (up, path) in above.into_iter().enumerate() {
            let why = if up == 0 { Purpose::Parent } else { Purpose::Above };
            let watched = open_folder(&path).and_then(|fd| queue.watch(&fd, &path, why));
            // Who may not read a folder cannot watch it. That the root is gone is then noticed by
            // the next thing that happens.
            if let Ok(wd) = watched {
                self.guards.insert(wd, why);
            }
        }
    }

    /// Watches the root and all below it. What was known must have been forgotten.
    pub(super) fn build(&mut self, now: Instant) -> io::Result<()> {
        let queue = Queue::new()?;
        let path = self.root.path().to_owned();
        let fd = open_folder(&path)?;
        let root = queue.watch(&fd, &path, Purpose::Root)?;
        self.guard(&queue);
        self.queue = Some(queue);
        self.tree.set_root(root);
        let mut to_do = ToDo::new();
        self.enter(Open { wd: root, fd, at: PathBuf::new() }, &mut to_do);
        self.plant_all(to_do, now);
        self.mounts = self.mounts_now();
        Ok(())
    }
}
