//! The root: what makes it the same one, and what is mounted in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::super::problem::{Problem, WatchError};
use super::kernel::{Identity, identity, identity_at, open_folder};
use crate::scan::{Volume, volume_of};

/// A table of mounts longer than this is not read to its end.
const MAX_TABLE: u64 = 16 << 20;
/// More mounts than this in one tree are not told apart.
const MAX_MOUNTS: usize = 4096;

/// Where the root is and what it is.
#[derive(Debug)]
pub(super) struct Root {
    /// Without links.
    path: PathBuf,
    identity: Identity,
    /// `None` if the system did not tell.
    volume: Option<Volume>,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self, WatchError> {
        let of = |source| WatchError::Root { path: path.to_owned(), source };
        let real = path.canonicalize().map_err(of)?;
        let folder = open_folder(&real).map_err(|errno| of(errno.into()))?;
        let identity = identity(folder).map_err(|errno| of(errno.into()))?;
        // A volume that cannot be told is one that anything may come back to.
        let volume = volume_of(&real).ok();
        Ok(Self { path: real, identity, volume })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is worth saying about it.
    pub(super) fn problem(&self) -> Option<Problem> {
        let volume = self.volume.as_ref()?;
        let remote = volume.fingerprint.starts_with("net:");
        remote.then(|| Problem::Remote { fs_type: volume.fs_type.clone() })
    }

    /// Whether the path leads to the folder that was opened.
    pub(super) fn is_there(&self) -> bool {
        identity_at(&self.path) == Ok(self.identity)
    }

    /// Takes the folder that is at the path now for the root, if it is on the same volume.
    pub(super) fn come_back(&mut self) -> Result<bool, Errno> {
        let identity = identity(open_folder(&self.path)?)?;
        if let Some(was) = &self.volume {
            match volume_of(&self.path) {
                Ok(is) if same_volume(was, &is) => {}
                // Gone again, or another drive, or the empty folder where the drive was.
                Ok(_) | Err(_) => return Ok(false),
            }
        }
        self.identity = identity;
        Ok(true)
    }

    /// The folders above it, from the one that it is in upwards.
    pub(super) fn above(&self) -> impl Iterator<Item = &Path> {
        self.path.ancestors().skip(1)
    }
}

/// Whether a volume is the one that was there. Some have no fingerprint that survives mounting;
/// for them, the same place and size must do.
fn same_volume(was: &Volume, is: &Volume) -> bool {
    if was.mount_point != is.mount_point {
        return false;
    }
    let weak = |volume: &Volume| {
        volume.fingerprint.starts_with("dev:") || matches!(&*volume.fs_type, "tmpfs" | "ramfs")
    };
    was.fingerprint == is.fingerprint
        || (weak(was) && weak(is) && was.fs_type == is.fs_type && was.capacity == is.capacity)
}

/// What is mounted below a path: where, relative to it, and the mount's number.
pub(super) type Mounts = BTreeMap<PathBuf, u64>;

pub(super) fn mounts_below(root: &Path) -> io::Result<Mounts> {
    let mut table = Vec::new();
    File::open("/proc/self/mountinfo")?.take(MAX_TABLE).read_to_end(&mut table)?;
    let mut mounts = Mounts::new();
    for (id, point) in table.split(|byte| *byte == b'\n').filter_map(mount) {
        match point.strip_prefix(root) {
            Ok(below) if below != Path::new("") && mounts.len() < MAX_MOUNTS => {
                // Of mounts on top of each other the last one shows.
                mounts.insert(below.to_owned(), id);
            }
            _ => {}
        }
    }
    Ok(mounts)
}

/// The number and place of a mount in a line of `proc_pid_mountinfo(5)`.
fn mount(line: &[u8]) -> Option<(u64, PathBuf)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let point = fields.nth(3)?;
    Some((id, PathBuf::from(OsString::from_vec(unescape(point)))))
}

/// Blanks, line ends and backslashes are written as `\` and three octal digits.
fn unescape(mut field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    while let Some((first, rest)) = field.split_first() {
        field = rest;
        match rest {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] if *first == b'\\' => {
                out.push(((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'));
                field = rest;
            }
            _ => out.push(*first),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table() {
        let line = b"36 35 98:0 / /mnt/a\\040b\\134c rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(mount(line), Some((36, "/mnt/a b\\c".into())));
        assert_eq!(mount(b""), None);
        assert_eq!(mount(b"36 35 98:0 /"), None);
        assert_eq!(unescape(b"\\9\\04\\777\\"), b"\\9\\04\\777\\");
    }

    #[test]
    fn what_is_mounted_below() {
        let below = mounts_below(Path::new("/")).unwrap();
        assert!(below.contains_key(Path::new("proc")), "{below:?}");
        assert!(!below.contains_key(Path::new("")));
        assert!(mounts_below(Path::new("/proc/self/fdinfo")).unwrap().is_empty());
    }

    #[test]
    fn which_volume_is_the_same() {
        let volume = |fingerprint: &str, fs_type: &str, mount_point: &str, capacity| Volume {
            fingerprint: fingerprint.to_owned(),
            name: String::new(),
            mount_point: mount_point.into(),
            fs_type: fs_type.to_owned(),
            capacity,
            free: 0,
            removable: None,
        };
        let stick = volume("uuid:1", "vfat", "/mnt", 1);
        assert!(same_volume(&stick, &stick));
        assert!(!same_volume(&stick, &volume("uuid:2", "vfat", "/mnt", 1)));
        assert!(!same_volume(&stick, &volume("uuid:1", "vfat", "/", 1)), "not mounted");
        assert!(!same_volume(&stick, &volume("dev:vfat:8:1:1", "vfat", "/mnt", 1)));
        let weak = volume("dev:vfat:8:1:1", "vfat", "/mnt", 1);
        assert!(same_volume(&weak, &volume("dev:vfat:8:17:1", "vfat", "/mnt", 1)));
        assert!(!same_volume(&weak, &volume("dev:vfat:8:17:2", "vfat", "/mnt", 2)));
        let memory = volume("fsid:tmpfs:1", "tmpfs", "/mnt", 1);
        assert!(same_volume(&memory, &volume("fsid:tmpfs:2", "tmpfs", "/mnt", 1)));
    }
}
