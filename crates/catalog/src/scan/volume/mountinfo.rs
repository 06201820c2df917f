//! The kernel's table of mounts: `proc_pid_mountinfo(5)`.
//!
//! ```text
//! 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
//! id up dev  root  point options    tags…    - type source    super options
//! ```
//!
//! Spaces, tabs, line ends and backslashes within a field are written as `\` and three octal
//! digits.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A table longer than this is refused; the kernel allows 100,000 mounts by default.
pub(super) const MAX_TABLE: usize = 64 << 20;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) id: u64,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) point: PathBuf,
    pub(super) fs_type: String,
    pub(super) source: OsString,
}

/// The mount that a path is on: the one with this id if the kernel tells ids, else the last one
/// mounted at the longest part of the path.
pub(super) fn find(table: &[u8], id: Option<u64>, path: &Path) -> Option<Mount> {
    let mut best: Option<Mount> = None;
    for mount in table.split(|byte| *byte == b'\n').filter_map(parse) {
        if id == Some(mount.id) {
            return Some(mount);
        }
        let length = |mount: &Mount| mount.point.as_os_str().len();
        if path.starts_with(&mount.point)
            && best.as_ref().is_none_or(|best| length(&mount) >= length(best))
        {
            best = Some(mount);
        }
    }
    best
}

/// One line; what is no mount is passed over.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let _parent = fields.next()?;
    let device = std::str::from_utf8(fields.next()?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let _root = fields.next()?;
    let point = unescape(fields.next()?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let fs_type = String::from_utf8_lossy(fields.next()?).into_owned();
    Some(Mount {
        id,
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        point: PathBuf::from(OsString::from_vec(point)),
        fs_type,
        source: OsString::from_vec(unescape(fields.next()?)),
    })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        match (first, octal(after)) {
            (b'\\', Some((byte, after))) => {
                out.push(byte);
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// The byte that three octal digits stand for, and what follows them.
fn octal(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = bytes.split_at_checked(3)?;
    let value = digits.iter().try_fold(0_u32, |value, digit| {
        (b'0'..=b'7').contains(digit).then(|| value * 8 + u32::from(digit - b'0'))
    })?;
    Some((u8::try_from(value).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    const TABLE: &[u8] = b"\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 8:2 / /home rw shared:2 master:3 propagate_from:2 - btrfs /dev/sda2 rw,subvol=/home
24 22 0:45 / /media/My\\040Disk\\011\\134 rw - fuseblk /dev/sdb1 rw
25 22 0:50 /share /srv/n rw - nfs4 server:/ex\\040port rw
26 22 8:5 / /home rw - ext4 /dev/sdc1 rw
27 22 0:51 / /homework rw - tmpfs  rw
not a mount
28 22 x:1 / /home/broken rw - ext4 /dev/sdd1 rw
29 22 8:7 / /home/short rw
30 22 8:8 / /home/\xff rw - ext4 /dev/sde1 rw";

    fn on(path: &str) -> u64 {
        find(TABLE, None, Path::new(path)).unwrap().id
    }

    #[test]
    fn the_longest_mount_point_wins_and_of_equals_the_last() {
        assert_eq!(on("/etc/passwd"), 22);
        assert_eq!(on("/home"), 26);
        assert_eq!(on("/home/me"), 26);
        assert_eq!(on("/home/broken/x"), 26);
        assert_eq!(on("/homework/x"), 27, "whole names only");
        assert_eq!(find(b"", None, Path::new("/")), None);
    }

    #[test]
    fn an_id_wins_over_everything() {
        let found = find(TABLE, Some(23), Path::new("/home/me")).unwrap();
        assert_eq!((found.id, found.fs_type.as_str()), (23, "btrfs"));
        assert_eq!(find(TABLE, Some(99), Path::new("/home")).unwrap().id, 26);
    }

    #[test]
    fn escapes_and_bytes() {
        let disk = find(TABLE, Some(24), Path::new("/")).unwrap();
        assert_eq!(disk.point, Path::new("/media/My Disk\t\\"));
        assert_eq!((disk.major, disk.minor), (0, 45));
        let nfs = find(TABLE, Some(25), Path::new("/")).unwrap();
        assert_eq!((nfs.fs_type.as_str(), nfs.source.to_str()), ("nfs4", Some("server:/ex port")));
        assert_eq!(find(TABLE, Some(27), Path::new("/")).unwrap().source, "");
        let bytes = find(TABLE, Some(30), Path::new("/")).unwrap();
        assert_eq!(bytes.point.as_os_str(), OsStr::from_bytes(b"/home/\xff"));
        for (escaped, want) in [
            (&b"a\\1"[..], &b"a\\1"[..]),
            (b"\\", b"\\"),
            (b"\\189", b"\\189"),
            (b"\\777", b"\\777"),
            (b"\\040\\040", b"  "),
            (b"\\000", b"\0"),
        ] {
            assert_eq!(unescape(escaped), want);
        }
    }
}
