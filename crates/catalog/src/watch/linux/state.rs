//! From what the kernel says to what is reported.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ffi::OsStr;
use std::time::Instant;

use rustix::fs::inotify::ReadFlags;

use super::super::ignore::Settings;
use super::super::problem::{Problems, WatchError};
use super::super::{Batch, Event, Options};
use super::kernel::{Purpose, Queue, Raw};
use super::notes::{Away, Journal, Limits, Look};
use super::root::{Mounts, Root};
use super::tree::{Tree, Wd};

/// More files than this are not held back while they are written.
const MAX_WRITING: usize = 4096;

/// All that the watching thread knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) settings: Settings,
    pub(super) root: Root,
    /// `None` while the root is gone.
    pub(super) queue: Option<Queue>,
    pub(super) tree: Tree,
    pub(super) journal: Journal,
    pub(super) problems: Problems,
    /// What was moved away and has not arrived, by the kernel's cookie.
    pub(super) away: HashMap<u32, Away>,
    /// Files that are written to and not closed, and since when.
    pub(super) writing: HashMap<Name, Instant>,
    /// Folders that were not where they are thought to be when something in them wanted to be
    /// watched, and since when.
    pub(super) doubts: BTreeMap<Wd, Instant>,
    /// Folders in which some folder has no watch, and when to try again.
    pub(super) blind: BTreeSet<Wd>,
    pub(super) blind_at: Option<Instant>,
    /// The folders above the root.
    pub(super) guards: HashMap<Wd, Purpose>,
    pub(super) mounts: Mounts,
    pub(super) lost: Option<Lost>,
    pub(super) gone: Option<Gone>,
    /// From where to where the last moves went, the newest last.
    pub(super) recent: VecDeque<(Name, Name)>,
    /// All that the kernel had said at this time has been heard.
    pub(super) heard: Option<Instant>,
    pub(super) stopped: bool,
}

/// A name in a folder.
pub(super) type Name = (Wd, Box<OsStr>);

/// The kernel's queue ran over: the tree is not what is thought.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    pub(super) since: Instant,
    /// When something was heard last: it is useless to start anew while it goes on.
    pub(super) heard: Instant,
}

/// The root is gone: when to look again, and after what pause.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone {
    pub(super) next: Instant,
    pub(super) pause: std::time::Duration,
}

impl State {
    pub(super) fn open(root: Root, options: Options) -> Result<Self, WatchError> {
        let mut problems = Problems::default();
        let settings = Settings::new(&options.rules, &mut problems);
        if let Some(problem) = root.problem() {
            problems.push(problem);
        }
        let limits = Limits { in_folder: options.max_in_folder, pending: options.max_pending };
        let path = root.path().to_owned();
        let mut state = Self {
            options,
            settings,
            root,
            queue: None,
            tree: Tree::default(),
            journal: Journal::new(limits),
            problems,
            away: HashMap::new(),
            writing: HashMap::new(),
            doubts: BTreeMap::new(),
            blind: BTreeSet::new(),
            blind_at: None,
            guards: HashMap::new(),
            mounts: Mounts::new(),
            lost: None,
            gone: None,
            recent: VecDeque::new(),
            heard: None,
            stopped: false,
        };
        state.build(Instant::now()).map_err(|source| WatchError::System { path, source })?;
        state.look_at_all();
        Ok(state)
    }

    /// Whoever uses this scans the whole tree next.
    fn look_at_all(&mut self) {
        if let Some(root) = self.tree.root() {
            self.journal.given_all(&mut self.tree, root);
        }
    }

    /// When a batch may be taken; `None`, if there is nothing for one.
    pub(super) fn ready_at(&self, now: Instant) -> Option<Instant> {
        if self.lost.is_some() {
            return None;
        }
        if !self.problems.is_empty() {
            return Some(now);
        }
        let (first, last) = self.journal.span()?;
        Some((last + self.options.settle).min(first + self.options.max_latency))
    }

    pub(super) fn take(&mut self) -> Batch {
        let events = self.journal.take(&mut self.tree);
        if events.contains(&Event::RootBack) {
            self.look_at_all();
        }
        let (problems, more_problems) = self.problems.take();
        Batch { events, problems, more_problems }
    }

    /// All batches have been applied, and all has been heard that had happened by then.
    pub(super) fn all_applied(&mut self) {
        self.journal.all_applied(&mut self.tree);
    }

    /// One thing that the kernel said.
    pub(super) fn apply(&mut self, raw: &Raw, now: Instant) {
        if raw.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.overflow(now);
        } else if let Some(purpose) = self.guards.get(&raw.wd).copied() {
            self.apply_above(purpose, raw, now);
        } else if !self.tree.contains(raw.wd) {
            // Said before the watch was ended.
        } else if raw.name.is_empty() {
            self.apply_itself(raw, now);
        } else if let Some(lost) = &mut self.lost {
            lost.heard = now;
        } else {
            self.apply_name(raw, now);
        }
    }

    /// About a watched folder itself.
    fn apply_itself(&mut self, raw: &Raw, now: Instant) {
        let ended = ReadFlags::IGNORED | ReadFlags::UNMOUNT | ReadFlags::DELETE_SELF;
        let is_root = self.tree.root() == Some(raw.wd);
        if is_root && raw.what.intersects(ended) {
            self.root_gone(now);
        } else if is_root && raw.what.contains(ReadFlags::MOVE_SELF) {
            self.check_root(now);
        } else if raw.what.contains(ReadFlags::IGNORED) {
            self.drop_folder(raw.wd);
        }
    }

    /// About a name in a watched folder.
    fn apply_name(&mut self, raw: &Raw, now: Instant) {
        let is_dir = raw.what.contains(ReadFlags::ISDIR);
        let (parent, name) = (raw.wd, raw.name.as_os_str());
        let rules = !is_dir && self.settings.is_rule_file(name);
        if rules && !raw.what.contains(ReadFlags::MODIFY) {
            self.reload_rules(parent, now);
        }
        if self.ignored(parent, name, is_dir) {
            if raw.what.contains(ReadFlags::MOVED_TO)
                && let Some(away) = self.away.remove(&raw.cookie)
            {
                self.did_not_arrive(&away, now);
            }
        } else if raw.what.contains(ReadFlags::CREATE) {
            self.created((parent, name), is_dir, now);
        } else if raw.what.contains(ReadFlags::DELETE) {
            self.removed((parent, name), is_dir, now);
        } else if raw.what.contains(ReadFlags::MOVED_FROM) {
            self.moved_from((parent, name), is_dir, raw.cookie, now);
        } else if raw.what.contains(ReadFlags::MOVED_TO) {
            self.moved_to((parent, name), is_dir, raw.cookie, now);
        } else if raw.what.contains(ReadFlags::MODIFY) {
            self.written((parent, name), now);
        } else {
            self.changed((parent, name), is_dir, now);
        }
    }

    pub(super) fn created(&mut self, place: (Wd, &OsStr), is_dir: bool, now: Instant) {
        self.settle_away(place, now);
        let node = self.settle_name(place, is_dir, now);
        self.journal.look_new(&mut self.tree, place, node, now);
    }

    pub(super) fn removed(&mut self, (parent, name): (Wd, &OsStr), is_dir: bool, now: Instant) {
        self.settle_name((parent, name), false, now);
        self.writing.remove(&(parent, name.into()));
        self.journal.removed(&mut self.tree, parent, name, is_dir, now);
    }

    /// Written to; most often it is closed soon.
    fn written(&mut self, (parent, name): (Wd, &OsStr), now: Instant) {
        if self.journal.is_noted(&self.tree, parent, name) {
            return;
        }
        if self.writing.len() < MAX_WRITING {
            self.writing.entry((parent, name.into())).or_insert(now);
        } else {
            self.journal.touch(&mut self.tree, parent, name, Look::Changed, now);
        }
    }

    fn changed(&mut self, (parent, name): (Wd, &OsStr), is_dir: bool, now: Instant) {
        self.writing.remove(&(parent, name.into()));
        if is_dir && self.tree.child(parent, name).is_none() {
            // It could not be entered before; perhaps it can now.
            self.created((parent, name), is_dir, now);
        } else {
            self.journal.touch(&mut self.tree, parent, name, Look::Changed, now);
        }
    }

    /// What has to be done at its time.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.gone.is_some_and(|gone| gone.next <= now) {
            self.try_back(now);
        }
        if self.rebuild_at().is_some_and(|at| at <= now) {
            self.rebuild(now);
        }
        self.tick_away(now);
        self.tick_doubts(now);
        self.tick_writing(now);
        if self.blind_at.is_some_and(|at| at <= now) {
            self.retry_blind(now);
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let away = self.away.values().map(|away| away.at + self.options.settle).min();
        let writing = self.writing.values().min().map(|since| *since + self.options.while_written);
        let doubts = self.doubts.values().min().map(|since| *since + self.options.settle);
        let gone = self.gone.map(|gone| gone.next);
        [away, writing, doubts, gone, self.rebuild_at(), self.blind_at].into_iter().flatten().min()
    }

    /// All that has moved has been heard of by now, so the folders can be found.
    fn tick_doubts(&mut self, now: Instant) {
        let (settle, heard) = (self.options.settle, self.heard);
        let is_due = |_: &Wd, since: &mut Instant| *since + settle <= now && heard > Some(*since);
        let due: Vec<_> = self.doubts.extract_if(.., is_due).collect();
        for (wd, _) in due {
            self.reload_rules(wd, now);
            self.resync(wd, now);
            self.journal.rescan(&mut self.tree, wd, now);
        }
    }

    fn tick_writing(&mut self, now: Instant) {
        let pause = self.options.while_written;
        let due: Vec<_> = self.writing.extract_if(|_, since| *since + pause <= now).collect();
        for ((parent, name), _) in due {
            if self.settings.is_rule_file(&name) && self.tree.contains(parent) {
                self.reload_rules(parent, now);
            }
            self.journal.touch(&mut self.tree, parent, &name, Look::Changed, now);
        }
    }
}
