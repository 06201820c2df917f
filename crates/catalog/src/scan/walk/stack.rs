//! The directories on the way from the root to the present one.

use std::collections::{HashSet, VecDeque};
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::io::Errno;

use super::super::dir::open_dir;
use super::super::meta::stat_fd;

/// So many of the deepest directories stay open: a process has few descriptors (often 1,024, and
/// the network wants some), and trees can be deep.
const KEEP_OPEN: usize = 32;

/// Device and inode.
pub(super) type Id = (u64, u64);

/// A subdirectory that was found and is still to be entered.
#[derive(Debug)]
pub(super) struct Sub {
    pub(super) name: Box<CStr>,
    pub(super) index: u64,
    pub(super) id: Id,
}

/// A directory that was entered.
#[derive(Debug)]
pub(super) struct Frame {
    /// None while it is closed to save descriptors, and for good if it could not be opened again.
    pub(super) fd: Option<OwnedFd>,
    /// What was really opened.
    pub(super) id: Id,
    /// As it was found in its parent.
    pub(super) own: Sub,
    /// Its subdirectories still to come.
    pub(super) subs: VecDeque<Sub>,
    pub(super) entries: u64,
    pub(super) complete: bool,
}

impl Frame {
    pub(super) fn new(fd: OwnedFd, id: Id, own: Sub) -> Self {
        Self { fd: Some(fd), id, own, subs: VecDeque::new(), entries: 0, complete: true }
    }
}

/// The frames, and what they keep open.
#[derive(Debug, Default)]
pub(super) struct Stack {
    frames: Vec<Frame>,
    /// The ids of all frames, to meet none of them below itself.
    ids: HashSet<Id>,
}

impl Stack {
    pub(super) fn top(&mut self) -> Option<&mut Frame> {
        self.frames.last_mut()
    }

    /// The depth of the entries of the top directory.
    pub(super) fn depth(&self) -> u32 {
        u32::try_from(self.frames.len()).unwrap_or(u32::MAX)
    }

    /// Whether this directory is one of those on the way. File systems without inode numbers give
    /// 0 for all, which proves nothing.
    pub(super) fn has(&self, id: Id) -> bool {
        id.1 != 0 && self.ids.contains(&id)
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.ids.insert(frame.id);
        self.frames.push(frame);
        // The root stays open: everything can be found again from it.
        if let Some(far) = self.frames.len().checked_sub(KEEP_OPEN + 1)
            && far > 0
        {
            self.frames[far].fd = None;
        }
    }

    /// Leaves the top directory for the one above, which is opened again if it was closed.
    pub(super) fn pop(&mut self) {
        let Some(left) = self.frames.pop() else { return };
        self.ids.remove(&left.id);
        let Some(above) = self.frames.last() else { return };
        if above.fd.is_some() {
            return;
        }
        let id = above.id;
        let wanted = !above.subs.is_empty();
        // Upwards works even where the path has become too long or has been renamed. What cannot
        // be opened again stays closed, and each of its subdirectories will be reported.
        let fd = left.fd.and_then(|fd| open_same(fd.as_fd(), c"..", id).ok());
        let fd = fd.or_else(|| if wanted { self.reopen() } else { None });
        if let Some(above) = self.frames.last_mut() {
            above.fd = fd;
        }
    }

    /// The top directory, opened again by all names on the way from the root.
    fn reopen(&self) -> Option<OwnedFd> {
        let (root, way) = self.frames.split_first()?;
        let root = root.fd.as_ref()?;
        let mut at: Option<OwnedFd> = None;
        for frame in way {
            let parent = at.as_ref().unwrap_or(root);
            at = Some(open_same(parent.as_fd(), &frame.own.name, frame.id).ok()?);
        }
        at
    }

    /// The path of the top directory, relative to the root.
    pub(super) fn path(&self) -> PathBuf {
        let below_root = self.frames.iter().skip(1);
        below_root.map(|frame| OsStr::from_bytes(frame.own.name.to_bytes())).collect()
    }
}

/// Opens a directory if it is still the one that it was.
fn open_same(from: BorrowedFd<'_>, name: &CStr, id: Id) -> Result<OwnedFd, Errno> {
    let fd = open_dir(from, name)?;
    if stat_fd(fd.as_fd())?.identity() == id { Ok(fd) } else { Err(Errno::STALE) }
}
