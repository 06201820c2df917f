//! Opening and listing directories relative to open ones, so that no path is built for an entry
//! and no path is ever too long.

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The root of a tree. The one place where a link is followed: the user named it.
pub(super) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, DIR, Mode::empty())
}

/// A directory in `parent`, unless it is a link.
pub(super) fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, DIR.union(OFlags::NOFOLLOW), Mode::empty())
}

/// The directory that holds `relative`, and its last name.
///
/// One step for each component: a path longer than the system takes works too, and no link is
/// followed on the way.
pub(super) fn open_parent(root: &OwnedFd, relative: &Path) -> Result<(OwnedFd, CString), Errno> {
    let mut dir = rustix::io::fcntl_dupfd_cloexec(root, 0)?;
    let mut last: Option<CString> = None;
    for component in relative.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            // What is above the root is none of our business.
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(Errno::INVAL);
            }
        };
        if let Some(above) = last.take() {
            dir = open_dir(dir.as_fd(), &above)?;
        }
        last = Some(CString::new(name.as_bytes()).map_err(|_| Errno::INVAL)?);
    }
    Ok((dir, last.ok_or(Errno::INVAL)?))
}

/// The names in one directory, packed: one allocation however many there are.
#[derive(Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where each name starts and where its terminating zero ends.
    spans: Vec<(usize, usize)>,
}

/// Why a directory was not listed to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListError {
    /// The system refused.
    System(Errno),
    /// More names than a directory can have here.
    TooMany,
}

impl From<Errno> for ListError {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// A guard against file systems without end: far more than any real directory holds.
const MAX_NAMES: usize = 1 << 24;
const MAX_BYTES: usize = 1 << 30;

/// What a huge directory leaves allocated for those that come after it.
const KEEP_NAMES: usize = 16 << 10;
const KEEP_BYTES: usize = 1 << 20;

impl Names {
    fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.bytes.shrink_to(KEEP_BYTES);
        self.spans.shrink_to(KEEP_NAMES);
    }

    fn push(&mut self, name: &CStr) -> Result<(), ListError> {
        if matches!(name.to_bytes(), b"." | b"..") {
            return Ok(());
        }
        if self.spans.len() >= MAX_NAMES || self.bytes.len() >= MAX_BYTES {
            return Err(ListError::TooMany);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name.to_bytes_with_nul());
        self.spans.push((start, self.bytes.len()));
        Ok(())
    }

    /// Sorts by bytes, and drops what a directory that changed meanwhile listed twice.
    fn arrange(&mut self) {
        let bytes = &self.bytes;
        self.spans.sort_unstable_by(|a, b| bytes[a.0..a.1].cmp(&bytes[b.0..b.1]));
        self.spans.dedup_by(|a, b| bytes[a.0..a.1] == bytes[b.0..b.1]);
    }

    /// The name at this position in byte order.
    pub(super) fn get(&self, at: usize) -> Option<&CStr> {
        let (start, end) = *self.spans.get(at)?;
        Some(
            CStr::from_bytes_with_nul(&self.bytes[start..end])
                .expect("every span ends with its name's zero"),
        )
    }

    /// Replaces the names by these. On an error, holds those that came before it.
    pub(super) fn set(&mut self, names: &mut dyn Iterator<Item = &OsStr>) -> Result<(), ListError> {
        self.clear();
        let mut result = Ok(());
        for name in names {
            let name = CString::new(name.as_bytes()).map_err(|_| Errno::INVAL.into());
            result = result.and(name.and_then(|name| self.push(&name)));
        }
        self.arrange();
        result
    }

    /// Replaces the names by those in `dir`. On an error, holds those that were read before it.
    pub(super) fn read(
        &mut self,
        dir: BorrowedFd<'_>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), ListError> {
        self.clear();
        let result = self.fill(dir, buffer);
        self.arrange();
        result
    }

    #[cfg(target_os = "linux")]
    fn fill(&mut self, dir: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> Result<(), ListError> {
        // Room for a few hundred names a call; the longest name is a hundredth of it.
        buffer.reserve(64 << 10);
        let mut entries = rustix::fs::RawDir::new(dir, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            self.push(entry?.file_name())?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn fill(&mut self, dir: BorrowedFd<'_>, _buffer: &mut Vec<u8>) -> Result<(), ListError> {
        for entry in rustix::fs::Dir::read_from(dir)? {
            self.push(entry?.file_name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(names: &[&CStr]) -> Names {
        let mut packed = Names::default();
        for name in names {
            packed.push(name).unwrap();
        }
        packed.arrange();
        packed
    }

    #[test]
    fn names_are_sorted_by_bytes_and_given_once() {
        let names = packed(&[c"b", c".", c"a\xff", c"..", c"a", c"ab", c"b", c"B"]);
        let all: Vec<_> = (0..).map_while(|at| names.get(at)).collect();
        assert_eq!(all, [c"B", c"a", c"ab", c"a\xff", c"b"]);
    }

    #[test]
    fn too_many_names_are_refused() {
        let mut names = Names { bytes: Vec::new(), spans: vec![(0, 1); MAX_NAMES] };
        assert_eq!(names.push(c"one more"), Err(ListError::TooMany));
    }

    #[test]
    fn nothing_above_the_root_is_opened() {
        let root = open_root(Path::new("/proc")).unwrap();
        let name = |path: &str| open_parent(&root, Path::new(path)).map(|(_, name)| name);
        assert_eq!(name("./sys/./kernel/ostype"), Ok(c"ostype".to_owned()));
        for path in ["../etc", "sys/../..", "/etc/passwd", "", "."] {
            assert_eq!(name(path), Err(Errno::INVAL), "{path:?}");
        }
        assert_eq!(name("self/status"), Err(Errno::NOTDIR), "a link on the way");
    }
}
