//! Opening and reading one file.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::super::dir::open_parent;
use super::super::meta::{Kind, Meta, stat_at, stat_fd};
use super::super::problem::{Problem, What};
use super::{Hashed, Outcome};

const BUFFER: usize = 128 << 10;

pub(super) fn buffer() -> Vec<u8> {
    vec![0; BUFFER]
}

/// Should it have become a FIFO since it was looked at, opening must not wait; should it have
/// become a link, it must fail.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Hashes a file. `go_on` is asked before the file is opened and after each read, with the number
/// of bytes just read.
pub(super) fn hash(
    root: &OwnedFd,
    path: &Path,
    buffer: &mut [u8],
    mut go_on: impl FnMut(u64) -> bool,
) -> Outcome {
    if !go_on(0) {
        return Outcome::Cancelled;
    }
    let result = open(root, path).and_then(|(file, meta)| read(&file, meta, buffer, go_on));
    match result {
        Ok(hashed) => Outcome::Hashed(hashed),
        Err(Stop::Cancelled) => Outcome::Cancelled,
        Err(Stop::What(what)) => Outcome::Problem(Problem::new(path.to_owned(), what)),
        Err(Stop::Errno(errno)) => Outcome::Problem(Problem::from_errno(path.to_owned(), errno)),
    }
}

/// Why there is no hash.
enum Stop {
    Cancelled,
    What(What),
    Errno(Errno),
}

impl From<Errno> for Stop {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

fn open(root: &OwnedFd, path: &Path) -> Result<(OwnedFd, Meta), Stop> {
    let (dir, name) = open_parent(root, path)?;
    if stat_at(dir.as_fd(), &name)?.kind != Kind::File {
        return Err(Stop::What(What::NotAFile));
    }
    let file = rustix::fs::openat(&dir, &*name, FILE, Mode::empty())?;
    let meta = stat_fd(file.as_fd())?;
    if meta.kind != Kind::File {
        return Err(Stop::What(What::NotAFile));
    }
    Ok((file, meta))
}

fn read(
    file: &OwnedFd,
    before: Meta,
    buffer: &mut [u8],
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<Hashed, Stop> {
    let mut hasher = blake3::Hasher::new();
    let mut total: u64 = 0;
    loop {
        let count = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut *buffer))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        let count = u64::try_from(count).map_err(|_| Errno::OVERFLOW)?;
        total = total.saturating_add(count);
        // A log that grows as fast as it is read would never end.
        if total > before.size {
            return Err(Stop::What(What::Changed));
        }
        if !go_on(count) {
            return Err(Stop::Cancelled);
        }
    }
    let after = stat_fd(file.as_fd())?;
    if total != before.size || (after.size, after.mtime) != (before.size, before.mtime) {
        return Err(Stop::What(What::Changed));
    }
    Ok(Hashed { hash: *hasher.finalize().as_bytes(), meta: after })
}
