//! What Linux tells about mounts: its table, udev's links, sysfs.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatVfs, StatxFlags, major, makedev, minor};

use super::mountinfo::{MAX_TABLE, Mount, find};
use super::{Volume, VolumeError, fsid, name_of, sizes};

/// So many disks are looked through; what is beyond has no UUID here.
const MAX_DISKS: usize = 4096;

/// Those whose source is an address, not a device of this machine.
const NETWORK: [&str; 14] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.glusterfs",
    "fuse.ceph",
];

/// The volume of a path without links; `None` if the table of mounts has nothing about it.
pub(super) fn volume_of(path: &Path, vfs: &StatVfs) -> Result<Option<Volume>, VolumeError> {
    let Some(table) = table().map_err(VolumeError::Mounts)? else { return Ok(None) };
    let Some(mount) = find(&table, mount_id(path), path) else { return Ok(None) };
    let disk = disk(&mount);
    let (capacity, free) = sizes(vfs);
    let label = disk.and_then(|disk| udev_name(Path::new("/dev/disk/by-label"), disk));
    Ok(Some(Volume {
        fingerprint: fingerprint(&mount, disk, vfs, Path::new("/dev/disk/by-uuid")),
        name: label.map_or_else(|| name_of(&mount.point), |label| unescape(&label)),
        mount_point: mount.point,
        fs_type: mount.fs_type,
        capacity,
        free,
        removable: disk.and_then(removable),
    }))
}

/// The table of mounts; `None` where there is no `/proc`.
fn table() -> io::Result<Option<Vec<u8>>> {
    let file = match fs::File::open("/proc/self/mountinfo") {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut table = Vec::new();
    let limit = u64::try_from(MAX_TABLE).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1)).read_to_end(&mut table)?;
    if table.len() > MAX_TABLE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the table of mounts is too long"));
    }
    Ok(Some(table))
}

/// Since Linux 5.8. It tells mounts apart that lie on top of each other.
fn mount_id(path: &Path) -> Option<u64> {
    let statx = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID).ok()?;
    (statx.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(statx.stx_mnt_id)
}

/// The number of the block device, if there is one. The source goes first, as btrfs and overlays
/// have device numbers that belong to no disk.
fn disk(mount: &Mount) -> Option<u64> {
    let source = Path::new(&mount.source);
    if source.is_absolute()
        && let Ok(meta) = source.metadata()
        && meta.file_type().is_block_device()
    {
        return Some(meta.rdev());
    }
    (mount.major != 0).then(|| makedev(mount.major, mount.minor))
}

fn fingerprint(mount: &Mount, disk: Option<u64>, vfs: &StatVfs, uuids: &Path) -> String {
    let fs_type = &mount.fs_type;
    if let Some(uuid) = disk.and_then(|disk| udev_name(uuids, disk)) {
        return format!("uuid:{uuid}");
    }
    if NETWORK.contains(&fs_type.as_str()) {
        return format!("net:{fs_type}:{}", digest(&[mount.source.as_bytes()]));
    }
    let fsid = fsid(vfs);
    if fsid != 0 && !is_device_number(fsid, mount) {
        return format!("fsid:{fs_type}:{fsid:016x}");
    }
    match disk {
        Some(disk) => {
            let (major, minor, capacity) = (major(disk), minor(disk), sizes(vfs).0);
            format!("dev:{fs_type}:{major}:{minor}:{capacity}")
        }
        None => {
            let parts = [mount.source.as_bytes(), mount.point.as_os_str().as_bytes()];
            format!("path:{fs_type}:{}", digest(&parts))
        }
    }
}

/// Many file systems give their device's number, as the kernel packs it, for want of an id.
fn is_device_number(fsid: u64, mount: &Mount) -> bool {
    let (major, minor) = (u64::from(mount.major), u64::from(mount.minor));
    fsid == (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// Bounded, and tells nobody which servers and folders there are.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
        hasher.update(b"\0");
    }
    hasher.finalize().to_hex().as_str()[..32].to_owned()
}

/// The name of udev's link to this disk in a folder such as `/dev/disk/by-uuid`, if any. No
/// folder, no link: a machine without udev is no error.
fn udev_name(folder: &Path, disk: u64) -> Option<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .ok()?
        .take(MAX_DISKS)
        .filter_map(Result::ok)
        .filter(|entry| entry.path().metadata().is_ok_and(|meta| meta.rdev() == disk))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.len() <= 128)
        .collect();
    // More than one would be strange; the same one of them must win every time.
    names.sort_unstable();
    names.into_iter().next()
}

/// Udev writes what does not fit a file name as `\x` and two hexadecimal digits for each byte.
fn unescape(label: &str) -> String {
    let mut out = Vec::with_capacity(label.len());
    let mut rest = label;
    while let Some(at) = rest.find("\\x") {
        let byte = rest.get(at + 2..at + 4).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let end = if byte.is_some() { at } else { at + 2 };
        out.extend_from_slice(&rest.as_bytes()[..end]);
        out.extend(byte);
        rest = &rest[if byte.is_some() { at + 4 } else { end }..];
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether the medium of a disk, or of the disk that a partition is on, can be taken out.
fn removable(disk: u64) -> Option<bool> {
    let link = format!("/sys/dev/block/{}:{}", major(disk), minor(disk));
    let device: PathBuf = fs::canonicalize(link).ok()?;
    let whole = device.parent()?;
    [device.as_path(), whole].iter().find_map(|at| flag(&at.join("removable")))
}

fn flag(path: &Path) -> Option<bool> {
    let mut byte = [0];
    fs::File::open(path).ok()?.read_exact(&mut byte).ok()?;
    match OsStr::from_bytes(&byte).to_str()? {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    fn mount(fs_type: &str, source: &str, major: u32) -> Mount {
        Mount {
            id: 1,
            major,
            minor: 0x1_02,
            point: "/mnt/it".into(),
            fs_type: fs_type.to_owned(),
            source: source.into(),
        }
    }

    fn vfs(fsid: u64) -> StatVfs {
        let mut vfs = rustix::fs::statvfs("/").unwrap();
        (vfs.f_fsid, vfs.f_blocks, vfs.f_frsize) = (fsid, 10, 4096);
        vfs
    }

    /// `/dev/null`, so that a disk is needed neither for its link nor for its number.
    fn links(name: &str) -> (TempDir, u64) {
        let folder = TempDir::new().unwrap();
        symlink("/dev/null", folder.path().join(name)).unwrap();
        symlink("/dev/zero", folder.path().join("another")).unwrap();
        symlink("/nowhere/at/all", folder.path().join("a-broken-one")).unwrap();
        (folder, fs::metadata("/dev/null").unwrap().rdev())
    }

    #[test]
    fn fingerprints_by_what_there_is() {
        let (uuids, disk) = links("1234-ABCD");
        let nowhere = Path::new("/nowhere/at/all");
        let of = |mount: &Mount, disk, fsid, uuids| fingerprint(mount, disk, &vfs(fsid), uuids);
        let ext4 = mount("ext4", "/dev/x", 8);
        assert_eq!(of(&ext4, Some(disk), 77, uuids.path()), "uuid:1234-ABCD");
        assert_eq!(of(&ext4, Some(disk), 0xabc, nowhere), "fsid:ext4:0000000000000abc");
        let number = 8 << 8 | 0x02 | 0x100 << 12;
        let by_number = of(&ext4, Some(makedev(8, 0x102)), number, nowhere);
        assert_eq!(by_number, "dev:ext4:8:258:40960");
        assert_eq!(of(&ext4, Some(makedev(8, 0x102)), 0, nowhere), by_number);
        let fuse = of(&mount("fuse.x", "x", 0), None, 0, nowhere);
        assert!(fuse.starts_with("path:fuse.x:"), "{fuse}");
        assert_ne!(fuse, of(&mount("fuse.x", "y", 0), None, 0, nowhere));
        let nfs = of(&mount("nfs4", "server:/export", 0), None, 5, nowhere);
        assert!(nfs.starts_with("net:nfs4:") && !nfs.contains("server"), "{nfs}");
        assert_eq!(nfs, of(&mount("nfs4", "server:/export", 0), None, 6, nowhere));
    }

    #[test]
    fn the_same_link_wins_every_time() {
        let (folder, disk) = links("b");
        symlink("/dev/null", folder.path().join("a")).unwrap();
        assert_eq!(udev_name(folder.path(), disk).as_deref(), Some("a"));
        assert_eq!(udev_name(folder.path(), disk + 1000), None);
    }

    #[test]
    fn labels_are_unescaped() {
        let cases = [
            ("My\\x20Disk", "My Disk"),
            ("gr\\xc3\\xbcn", "grün"),
            ("\\x5cx20", "\\x20"),
            ("a\\xzz\\x", "a\\xzz\\x"),
            ("\\x4", "\\x4"),
            ("\\xff", "\u{fffd}"),
            ("plain", "plain"),
        ];
        for (label, want) in cases {
            assert_eq!(unescape(label), want, "{label}");
        }
    }

    #[test]
    fn flags() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, want) in [("1\n", Some(true)), ("0\n", Some(false)), ("", None), ("x", None)] {
            fs::write(file.path(), text).unwrap();
            assert_eq!(flag(file.path()), want);
        }
    }

    #[test]
    fn every_mount_of_this_machine_is_found_by_its_own_id() {
        let table = table().unwrap().unwrap();
        let root = find(&table, mount_id(Path::new("/")), Path::new("/")).unwrap();
        assert_eq!(root.point, Path::new("/"));
        let proc = find(&table, mount_id(Path::new("/proc")), Path::new("/proc")).unwrap();
        assert_eq!(proc.fs_type, "proc");
    }
}
