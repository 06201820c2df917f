//! What the file system says about one entry.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use super::dir::{open_parent, open_root};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link, never followed.
    Link,
    /// A FIFO, socket or device; never opened.
    Other,
}

impl Kind {
    fn of(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Dir,
            FileType::Symlink => Self::Link,
            _ => Self::Other,
        }
    }
}

/// A time kept by a file system, exactly as it keeps it. Before 1970, `secs` is negative and
/// `nanos` still counts forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileTime {
    /// Whole seconds since 1970.
    pub secs: i64,
    /// Nanoseconds on top, below 1,000,000,000.
    pub nanos: u32,
}

impl FileTime {
    /// Milliseconds since 1970, rounded down; times that do not fit end at the limits.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.secs.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
    }
}

/// What the file system says about one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Its length in bytes, as the file system reports it.
    pub size: u64,
    /// When its content last changed, which whoever may write it can set.
    pub mtime: FileTime,
    /// When content or attributes last changed, which nobody can set.
    pub ctime: FileTime,
    /// When it was created, where the file system keeps that.
    pub btime: Option<FileTime>,
    /// Its inode number.
    pub inode: u64,
    /// The number of the device that it is on; not stable over reboots.
    pub device: u64,
    /// How many names it has.
    pub links: u64,
}

impl Meta {
    /// What tells it from everything else on this machine at this moment.
    pub(super) fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// To look at something mounts nothing.
#[cfg(target_os = "linux")]
const NO_AUTOMOUNT: AtFlags = AtFlags::NO_AUTOMOUNT;
#[cfg(not(target_os = "linux"))]
const NO_AUTOMOUNT: AtFlags = AtFlags::empty();

/// About the entry itself, not what it links to.
pub(super) fn stat_at(dir: BorrowedFd<'_>, name: &CStr) -> Result<Meta, Errno> {
    stat(dir, name, AtFlags::SYMLINK_NOFOLLOW | NO_AUTOMOUNT)
}

/// Whether the entry, or what it links to, can be looked at; if not, why.
pub(super) fn leads_somewhere(dir: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    rustix::fs::statat(dir, name, NO_AUTOMOUNT).map(|_| ())
}

/// About what is at a path below a root, to which no link is followed.
///
/// # Errors
/// If it is not there or cannot be looked at.
pub fn look_below(root: &Path, path: &Path) -> std::io::Result<Meta> {
    let (dir, name) = open_parent(&open_root(root)?, path)?;
    Ok(stat_at(dir.as_fd(), &name)?)
}

/// About what is open.
#[cfg(target_os = "linux")]
pub(super) fn stat_fd(fd: BorrowedFd<'_>) -> Result<Meta, Errno> {
    stat(fd, c"", AtFlags::EMPTY_PATH)
}

/// About what is open.
#[cfg(not(target_os = "linux"))]
pub(super) fn stat_fd(fd: BorrowedFd<'_>) -> Result<Meta, Errno> {
    rustix::fs::fstat(fd).map(|stat| from_stat(&stat))
}

#[cfg(target_os = "linux")]
fn stat(dir: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<Meta, Errno> {
    use rustix::fs::StatxFlags;
    let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    match rustix::fs::statx(dir, name, flags, mask) {
        Ok(statx) => Ok(from_statx(&statx)),
        // Kernels before 4.11, and sandboxes that do not know the call.
        Err(Errno::NOSYS) => rustix::fs::statat(dir, name, flags).map(|stat| from_stat(&stat)),
        Err(errno) => Err(errno),
    }
}

#[cfg(not(target_os = "linux"))]
fn stat(dir: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<Meta, Errno> {
    rustix::fs::statat(dir, name, flags).map(|stat| from_stat(&stat))
}

#[cfg(target_os = "linux")]
fn from_statx(statx: &rustix::fs::Statx) -> Meta {
    use rustix::fs::{StatxFlags, StatxTimestamp, makedev};
    let time = |t: &StatxTimestamp| FileTime { secs: t.tv_sec, nanos: t.tv_nsec };
    let born = statx.stx_mask & StatxFlags::BTIME.bits() != 0;
    Meta {
        kind: Kind::of(FileType::from_raw_mode(statx.stx_mode.into())),
        size: statx.stx_size,
        mtime: time(&statx.stx_mtime),
        ctime: time(&statx.stx_ctime),
        btime: born.then(|| time(&statx.stx_btime)),
        inode: statx.stx_ino,
        device: makedev(statx.stx_dev_major, statx.stx_dev_minor),
        links: statx.stx_nlink.into(),
    }
}

// The widths and signs of these fields differ from system to system.
#[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation)]
fn from_stat(stat: &Stat) -> Meta {
    #[cfg(target_vendor = "apple")]
    let btime =
        Some(FileTime { secs: stat.st_birthtime as i64, nanos: stat.st_birthtime_nsec as u32 });
    #[cfg(not(target_vendor = "apple"))]
    let btime = None;
    Meta {
        kind: Kind::of(FileType::from_raw_mode(stat.st_mode)),
        size: stat.st_size as u64,
        mtime: FileTime { secs: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as u32 },
        ctime: FileTime { secs: stat.st_ctime as i64, nanos: stat.st_ctime_nsec as u32 },
        btime,
        inode: stat.st_ino as u64,
        device: stat.st_dev as u64,
        links: stat.st_nlink as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn milliseconds_round_down_on_both_sides_of_1970() {
        assert_eq!(FileTime { secs: 1, nanos: 999_999_999 }.millis(), 1999);
        assert_eq!(FileTime { secs: -1, nanos: 1_500_000 }.millis(), -999);
        assert_eq!(FileTime { secs: i64::MAX, nanos: 0 }.millis(), i64::MAX);
        assert_eq!(FileTime { secs: i64::MIN, nanos: 0 }.millis(), i64::MIN);
    }

    #[test]
    fn both_calls_say_the_same() {
        let file = File::open("/proc/self/exe").unwrap();
        let plain = from_stat(&rustix::fs::fstat(&file).unwrap());
        let full = stat_fd(file.as_fd()).unwrap();
        assert_eq!(plain, Meta { btime: None, ..full });
    }
}
