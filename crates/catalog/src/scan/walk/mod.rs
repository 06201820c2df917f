//! Walking a tree: streaming, in a fixed order, surviving whatever happens to it meanwhile.
//!
//! **Order.** One directory at a time: all its entries, sorted by the bytes of their names, then
//! [`Step::Listed`], then its subdirectories in the same order, each in the same way. A parent so
//! comes before its children, all children of a directory come together, and the same tree gives
//! the same steps, whatever order the disk keeps.
//!
//! **Memory.** The names of the directory being listed, and for each directory above the present
//! one its subdirectories still to come: depth times width, not the size of the tree.
//!
//! **What may be concluded.** Only [`Listed::complete`] says that what was not found in a
//! directory is not there. A directory that could not be opened, that was cut as a cycle or that
//! lies beyond [`Options::levels`] is never listed, and says nothing about its children.
//!
//! Every entry is looked at through its open directory, so no path is built for it and none can
//! be too long. Of the directories on the way down the deepest few stay open; the others are
//! opened again on the way up, and checked to be the ones they were.

mod stack;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::dir::{ListError, Names, open_dir, open_parent, open_root};
use super::meta::{Kind, Meta, leads_somewhere, stat_at, stat_fd};
use super::problem::{Problem, RootError, What};
use stack::{Frame, Stack, Sub};

/// The index of the root; the first entry found has the next one.
pub const ROOT: u64 = 0;

/// No directory deeper than this is entered: a guard against file systems without end, far beyond
/// any real tree.
pub const MAX_DEPTH: u32 = 1 << 16;

/// How to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// List only so many levels, with 1 the root's own entries alone; all, if `None`.
    pub levels: Option<u32>,
    /// Look whether what links lead to exists. Costs a call for each link, and asks whatever
    /// file system the link leads to.
    pub check_links: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { levels: None, check_links: true }
    }
}

/// One entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Counts entries from 1, in the order in which they are found; [`ROOT`] is the root.
    pub index: u64,
    /// The index of its directory.
    pub parent: u64,
    /// 1 for the root's own entries.
    pub depth: u32,
    /// Its name, as the file system keeps it.
    pub name: OsString,
    /// What the file system says about it.
    pub meta: Meta,
    /// What a link says, whether or not that exists.
    pub target: Option<PathBuf>,
}

/// All entries of a directory have been given that could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// The directory's index.
    pub dir: u64,
    /// How many entries were found in it.
    pub entries: u64,
    /// Nothing went wrong: what was not found is not there.
    pub complete: bool,
}

/// What a walk gives, one at a time.
#[derive(Debug)]
pub enum Step {
    /// An entry.
    Found(Found),
    /// Something went wrong, or deserves a note. A note follows its entry.
    Problem(Problem),
    /// The end of a directory's entries; its subdirectories follow.
    Listed(Listed),
}

/// A walk over a tree: an iterator that ends when the tree does.
#[derive(Debug)]
pub struct Walk {
    options: Options,
    root: Meta,
    stack: Stack,
    /// The names of the directory being listed, and the next one to look at.
    names: Names,
    at: usize,
    listing: bool,
    buffer: Vec<u8>,
    last_index: u64,
    /// The directory that is being entered, until something in it is looked at.
    entering: Option<u64>,
    /// At most a handful: what one name or one directory gave beyond its first step.
    pending: VecDeque<Step>,
}

impl Walk {
    /// Opens the root. If it is a link to a directory, that directory is the root.
    ///
    /// # Errors
    /// If the root cannot be opened or looked at; the only fatal error there is.
    pub fn open(root: &Path, options: Options) -> Result<Self, RootError> {
        let of = |errno| RootError::of(root, errno);
        let (mut walk, frame) = Self::stand(open_root(root), options).map_err(of)?;
        walk.list(frame);
        Ok(walk)
    }

    /// Opens a folder below a root, to which no link is followed, as the root of the walk. With
    /// `names`, only these of its entries are looked at; [`Listed::complete`] is then about them.
    ///
    /// # Errors
    /// If the folder cannot be opened or looked at.
    pub fn open_below(
        root: &Path,
        folder: &Path,
        names: Option<&mut dyn Iterator<Item = &OsStr>>,
        options: Options,
    ) -> Result<Self, RootError> {
        let of = |errno| RootError::of(&root.join(folder), errno);
        let fd = open_root(root).and_then(|root| match folder.as_os_str().is_empty() {
            true => Ok(root),
            false => {
                let (parent, name) = open_parent(&root, folder)?;
                open_dir(parent.as_fd(), &name)
            }
        });
        let (mut walk, frame) = Self::stand(fd, options).map_err(of)?;
        match names {
            None => walk.list(frame),
            Some(names) => {
                let result = walk.names.set(names);
                walk.list_names(frame, result);
            }
        }
        Ok(walk)
    }

    /// A walk that has not listed its root yet.
    fn stand(fd: Result<OwnedFd, Errno>, options: Options) -> Result<(Self, Frame), Errno> {
        let fd = fd?;
        let meta = stat_fd(fd.as_fd())?;
        let walk = Self {
            options,
            root: meta,
            stack: Stack::default(),
            names: Names::default(),
            at: 0,
            listing: false,
            buffer: Vec::new(),
            last_index: ROOT,
            entering: None,
            pending: VecDeque::new(),
        };
        let own = Sub { name: c"".into(), index: ROOT, id: meta.identity() };
        Ok((walk, Frame::new(fd, meta.identity(), own)))
    }

    /// What the file system says about the root, which is not itself an entry.
    #[must_use]
    pub fn root(&self) -> &Meta {
        &self.root
    }

    /// The path, relative to the root, of the directory that the last step was about: the one
    /// that holds the entry found, or that was listed. Empty for the root.
    #[must_use]
    pub fn dir_path(&self) -> PathBuf {
        self.stack.path()
    }

    /// The index of the directory that the last step was about, if that was a problem with entering it.
    #[must_use]
    pub fn entering(&self) -> Option<u64> {
        self.entering
    }

    /// Whether this is the directory being listed, or one of those above it down from the root.
    #[must_use]
    pub fn is_on_the_way(&self, dir: &Meta) -> bool {
        self.stack.has(dir.identity())
    }

    /// Does not enter the directory that was found last. Of no effect unless the last step gave
    /// the directory with this index.
    pub fn do_not_enter(&mut self, dir: u64) {
        if let Some(top) = self.stack.top()
            && top.subs.back().is_some_and(|sub| sub.index == dir)
        {
            top.subs.pop_back();
        }
    }

    /// Reads the names of a directory just opened, which is listed from now on.
    fn list(&mut self, frame: Frame) {
        let result = match &frame.fd {
            Some(fd) => self.names.read(fd.as_fd(), &mut self.buffer),
            None => Err(ListError::System(Errno::NOENT)),
        };
        self.list_names(frame, result);
    }

    /// The names of the directory are there, or as many as could be read.
    fn list_names(&mut self, mut frame: Frame, result: Result<(), ListError>) {
        frame.complete = result.is_ok();
        self.stack.push(frame);
        self.at = 0;
        self.listing = true;
        if let Err(error) = result {
            let problem = match error {
                ListError::System(errno) => Problem::from_errno(self.dir_path(), errno),
                ListError::TooMany => Problem::new(self.dir_path(), What::TooMany),
            };
            self.pending.push_back(Step::Problem(problem));
        }
    }

    /// Looks at the next name of the directory being listed.
    fn look(&mut self) -> Step {
        self.entering = None;
        let Some(frame) = self.stack.top() else { unreachable!("a listing has its frame") };
        let Some(name) = self.names.get(self.at) else {
            self.listing = false;
            return Step::Listed(Listed {
                dir: frame.own.index,
                entries: frame.entries,
                complete: frame.complete,
            });
        };
        self.at += 1;
        let dir = frame.fd.as_ref().map(AsFd::as_fd);
        let seen = dir.ok_or(Errno::NOENT).and_then(|dir| look_at(dir, name, self.options));
        let seen = match seen {
            Ok(seen) => seen,
            Err(errno) => {
                // What vanished is not there, so the listing is as complete without it.
                frame.complete &= What::of(errno) == What::Vanished;
                let path = self.stack.path().join(os(name));
                return Step::Problem(Problem::from_errno(path, errno));
            }
        };
        self.last_index += 1;
        frame.entries += 1;
        let parent = frame.own.index;
        if seen.meta.kind == Kind::Dir {
            let own = Sub { name: name.into(), index: self.last_index, id: seen.meta.identity() };
            frame.subs.push_back(own);
        }
        let found = Found {
            index: self.last_index,
            parent,
            depth: self.stack.depth(),
            name: os(name).to_owned(),
            meta: seen.meta,
            target: seen.target,
        };
        self.note(&found.name, seen.broken);
        Step::Found(found)
    }

    /// Notes about an entry, to follow it.
    fn note(&mut self, name: &OsStr, broken: Option<Errno>) {
        if let Some(errno) = broken {
            let mut problem = Problem::new(self.stack.path().join(name), What::BrokenLink);
            problem.source = Some(errno.into());
            self.pending.push_back(Step::Problem(problem));
        }
        if name.to_str().is_none() {
            let problem = Problem::new(self.stack.path().join(name), What::NotUtf8);
            self.pending.push_back(Step::Problem(problem));
        }
    }

    /// Enters the next subdirectory, going up as often as needed. False at the end of the tree,
    /// or if there is something to say about a subdirectory instead of entering it.
    fn descend(&mut self) -> bool {
        while let Some(top) = self.stack.top() {
            let Some(sub) = top.subs.pop_front() else {
                self.stack.pop();
                continue;
            };
            if self.options.levels.is_some_and(|levels| self.stack.depth() >= levels) {
                continue;
            }
            match self.enter(sub) {
                Ok(()) => return true,
                Err(problem) => {
                    self.pending.push_back(Step::Problem(problem));
                    return false;
                }
            }
        }
        false
    }

    fn enter(&mut self, sub: Sub) -> Result<(), Problem> {
        self.entering = Some(sub.index);
        let path = |walk: &Self| walk.stack.path().join(os(&sub.name));
        if self.stack.depth() >= MAX_DEPTH {
            return Err(Problem::new(path(self), What::TooDeep));
        }
        let dir = self.stack.top().and_then(|top| top.fd.as_ref()).ok_or(Errno::NOENT);
        let opened = dir.and_then(|dir| open_dir(dir.as_fd(), &sub.name)).and_then(|fd| {
            let id = stat_fd(fd.as_fd())?.identity();
            Ok((fd, id))
        });
        let (fd, id) = opened.map_err(|errno| Problem::from_errno(path(self), errno))?;
        if self.stack.has(id) {
            return Err(Problem::new(path(self), What::Cycle));
        }
        let replaced = (id != sub.id).then(|| Problem::new(path(self), What::Changed));
        self.list(Frame::new(fd, id, sub));
        if let Some(problem) = replaced {
            // What is here now is listed; that the entry itself is out of date is worth a word.
            self.pending.push_back(Step::Problem(problem));
        }
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.pending.pop_front() {
                return Some(step);
            }
            if self.listing {
                return Some(self.look());
            }
            if !self.descend() && self.pending.is_empty() {
                return None;
            }
        }
    }
}

/// What one look at a name gave.
struct Seen {
    meta: Meta,
    target: Option<PathBuf>,
    broken: Option<Errno>,
}

fn look_at(dir: BorrowedFd<'_>, name: &CStr, options: Options) -> Result<Seen, Errno> {
    let meta = stat_at(dir, name)?;
    if meta.kind != Kind::Link {
        return Ok(Seen { meta, target: None, broken: None });
    }
    let target = match rustix::fs::readlinkat(dir, name, Vec::new()) {
        Ok(target) => PathBuf::from(OsString::from_vec(target.into_bytes())),
        // It was a link a moment ago.
        Err(Errno::INVAL) => return Err(Errno::LOOP),
        Err(errno) => return Err(errno),
    };
    let broken = if options.check_links { leads_nowhere(dir, name) } else { None };
    Ok(Seen { meta, target: Some(target), broken })
}

/// Why the link leads nowhere, if that is certain. That its target may not be seen is no reason.
fn leads_nowhere(dir: BorrowedFd<'_>, name: &CStr) -> Option<Errno> {
    match leads_somewhere(dir, name) {
        Err(errno @ (Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NAMETOOLONG)) => {
            Some(errno)
        }
        Ok(()) | Err(_) => None,
    }
}

fn os(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}
