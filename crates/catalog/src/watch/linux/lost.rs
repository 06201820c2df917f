//! When all of it is in doubt: the queue ran over, the root went, drives came and went.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::inotify::ReadFlags;

use super::super::Event;
use super::kernel::{Purpose, Raw};
use super::root::{Mounts, mounts_below};
use super::state::{Gone, Lost, State};
use super::tree::Tree;

/// The first pause between two looks for a root that is gone.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// After an overflow all starts anew when it is quiet, or after this at the latest.
const MAX_LOST: Duration = Duration::from_secs(2);

impl State {
    /// The kernel has dropped what did not fit its queue.
    pub(super) fn overflow(&mut self, now: Instant) {
        if let Some(root) = self.tree.root() {
            self.journal.rescan(&mut self.tree, root, now);
            let since = self.lost.map_or(now, |lost| lost.since);
            self.lost = Some(Lost { since, heard: now });
        }
    }

    pub(super) fn rebuild_at(&self) -> Option<Instant> {
        let lost = self.lost?;
        Some((lost.heard + self.options.settle).min(lost.since + MAX_LOST))
    }

    /// Sets all watches anew, then has everything rescanned.
    pub(super) fn rebuild(&mut self, now: Instant) {
        self.forget_all();
        if !self.root.is_there() {
            self.root_gone(now);
            return;
        }
        match self.build(now) {
            Ok(()) => {
                self.lost = None;
                if let Some(root) = self.tree.root() {
                    self.journal.rescan(&mut self.tree, root, now);
                }
            }
            // The root went just now, or the system has nothing left to give; both show next time.
            Err(_) => self.lost = Some(Lost { since: now, heard: now + MAX_LOST }),
        }
    }

    fn forget_all(&mut self) {
        self.queue = None;
        self.tree = Tree::default();
        self.guards.clear();
        self.away.clear();
        self.writing.clear();
        self.recent.clear();
        self.doubts.clear();
        self.blind.clear();
        self.blind_at = None;
        self.journal.forget_looks();
    }

    /// About a folder above the root.
    pub(super) fn apply_above(&mut self, purpose: Purpose, raw: &Raw, now: Instant) {
        let its_name = self.root.path().file_name() == Some(&raw.name);
        let in_it = purpose == Purpose::Parent && its_name;
        if in_it && raw.what.contains(ReadFlags::DELETE) {
            // The number of a folder that is gone may be that of one made since.
            self.root_gone(now);
        } else if raw.name.is_empty() || (in_it && raw.what.contains(ReadFlags::MOVED_FROM)) {
            if raw.what.contains(ReadFlags::IGNORED) {
                self.guards.remove(&raw.wd);
            }
            self.check_root(now);
        }
    }

    /// The root may not be where it was.
    pub(super) fn check_root(&mut self, now: Instant) {
        if self.gone.is_none() && !self.root.is_there() {
            self.root_gone(now);
        }
    }

    pub(super) fn root_gone(&mut self, now: Instant) {
        self.forget_all();
        self.lost = None;
        if self.gone.is_none() {
            self.journal.root(Event::RootGone, now);
        }
        self.gone = Some(Gone { next: now, pause: FIRST_PAUSE });
    }

    /// Looks whether the root is there again.
    pub(super) fn try_back(&mut self, now: Instant) {
        let Some(gone) = &mut self.gone else { return };
        gone.next = now + gone.pause;
        gone.pause = (gone.pause * 2).min(self.options.max_pause);
        // Whatever the reason is: it is not there, and is looked for again.
        if !matches!(self.root.come_back(), Ok(true)) {
            return;
        }
        if self.build(now).is_ok() && self.root.is_there() {
            self.gone = None;
            self.journal.forget_looks();
            self.journal.root(Event::RootBack, now);
        } else {
            self.forget_all();
        }
    }

    pub(super) fn mounts_now(&self) -> Mounts {
        // Without a table nothing is known of mounts, and nothing is said of them.
        mounts_below(self.root.path()).unwrap_or_else(|_| Mounts::new())
    }

    /// Something was mounted or unmounted somewhere.
    pub(super) fn mounts_changed(&mut self, now: Instant) {
        if self.gone.is_some() {
            self.gone = Some(Gone { next: now, pause: FIRST_PAUSE });
            return;
        }
        self.check_root(now);
        if self.gone.is_some() || self.lost.is_some() {
            return;
        }
        let mounts = self.mounts_now();
        let before = std::mem::replace(&mut self.mounts, mounts.clone());
        for (path, id) in &mounts {
            if before.get(path) != Some(id) {
                self.mounted(path, true, now);
            }
        }
        for path in before.keys().filter(|path| !mounts.contains_key(*path)) {
            self.mounted(path, false, now);
        }
    }

    /// Another folder shows at this path than before. What was on a drive that went is not said
    /// to be gone.
    fn mounted(&mut self, path: &Path, came: bool, now: Instant) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
        let Some(parent) = self.tree.find(parent) else { return };
        if self.ignored(parent, name, true) {
            return;
        }
        self.settle_name((parent, name), false, now);
        let node = self.settle_name((parent, name), true, now);
        if came && let Some(wd) = node {
            self.journal.rescan(&mut self.tree, wd, now);
        }
    }
}
