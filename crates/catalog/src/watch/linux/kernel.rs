//! The kernel's part: inotify, opening folders, listing those in them.

use std::ffi::{CStr, OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

use super::tree::Wd;

/// What is asked about each folder.
const FOLDER: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::EXCL_UNLINK)
    .union(ANY);
/// And besides about the root.
const ROOT: WatchFlags = FOLDER.union(WatchFlags::DELETE_SELF).union(WatchFlags::MOVE_SELF);
/// About the folder that the root is in.
const PARENT: WatchFlags =
    ABOVE.union(WatchFlags::DELETE).union(WatchFlags::MOVED_FROM).union(WatchFlags::DELETE_SELF);
/// About the folders above that: nothing, until they move.
const ABOVE: WatchFlags = WatchFlags::MOVE_SELF.union(ANY);
/// A folder may be watched for two reasons; neither takes away what the other asked.
const ANY: WatchFlags = WatchFlags::ONLYDIR.union(WatchFlags::MASK_ADD);

/// Why a folder is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Root,
    Folder,
    /// The folder that the root is in.
    Parent,
    /// Further above.
    Above,
}

/// How much of the queue is read at once.
const BUFFER: usize = 32 << 10;
/// What an event takes besides its name, and what is added to the name at most.
const HEAD: usize = 16;
const PADDING: usize = 16;

/// One thing that the kernel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) wd: Wd,
    pub(super) what: ReadFlags,
    pub(super) cookie: u32,
    /// Empty if it is about the folder itself.
    pub(super) name: OsString,
}

/// A queue of the kernel's. All watches end with it.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<OwnedFd>);

impl Queue {
    pub(super) fn new() -> Result<Self, Errno> {
        Ok(Self(Arc::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)))
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.0
    }

    /// Watches an open folder. Its path serves where there is no `/proc`.
    pub(super) fn watch(&self, folder: &OwnedFd, path: &Path, why: Purpose) -> Result<Wd, Errno> {
        let flags = match why {
            Purpose::Root => ROOT,
            Purpose::Folder => FOLDER,
            Purpose::Parent => PARENT,
            Purpose::Above => ABOVE,
        };
        // By its descriptor it is surely the folder that was opened, however long its path.
        let open = format!("/proc/self/fd/{}", folder.as_raw_fd());
        match inotify::add_watch(&*self.0, open, flags) {
            Err(Errno::NOENT) => {
                inotify::add_watch(&*self.0, path, flags | WatchFlags::DONT_FOLLOW)
            }
            other => other,
        }
    }

    pub(super) fn unwatch(&self, wd: Wd) {
        match inotify::remove_watch(&*self.0, wd) {
            // The kernel has ended it by itself, as the folder is gone.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => unreachable!("the queue is open and a queue: {errno}"),
        }
    }

    /// What waits in the queue, at most as much as one call gives. Tells whether that was all.
    pub(super) fn read(&self, into: &mut Vec<Raw>) -> Result<bool, Errno> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut size = 0;
        let mut reader = Reader::new(&*self.0, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map_or(OsStr::new(""), os);
                    size += HEAD + name.len() + PADDING;
                    let (wd, what, cookie) = (event.wd(), event.events(), event.cookie());
                    into.push(Raw { wd, what, cookie, name: name.to_owned() });
                }
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            }
            if reader.is_buffer_empty() {
                // It was all if the longest event would have fitted too.
                return Ok(size + HEAD + 255 + PADDING <= BUFFER);
            }
        }
    }
}

/// Opens a folder without following a link anywhere on the way.
pub(super) fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // Kernels before 5.6, and sandboxes that do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(CWD, path, flags, Mode::empty()),
        other => other,
    }
}

/// Opens a folder in an open one, unless it is a link.
pub(super) fn open_in(folder: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(folder, name, flags, Mode::empty())
}

/// What tells a folder from all others on this machine at this moment.
pub(super) type Identity = (u64, u64);

pub(super) fn identity(folder: impl AsFd) -> Result<Identity, Errno> {
    let stat = rustix::fs::fstat(folder)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// That of whatever is at a path.
pub(super) fn identity_at(path: &Path) -> Result<Identity, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statat(CWD, path, flags)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// The names of the folders in an open one.
pub(super) fn folders_in(folder: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") && is_folder(folder, name, entry.file_type()) {
            names.push(os(name).to_owned());
        }
    }
    Ok(names)
}

/// Some file systems do not say in a listing what is what.
fn is_folder(folder: &OwnedFd, name: &CStr, listed: FileType) -> bool {
    match listed {
        FileType::Unknown => rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
        listed => listed == FileType::Directory,
    }
}

fn os(name: &CStr) -> &OsStr {
    OsStr::from_bytes(name.to_bytes())
}
