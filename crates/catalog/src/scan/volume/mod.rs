//! Which drive a path is on.
//!
//! A volume is a mounted file system. Its **fingerprint** is to be the same whenever and wherever
//! that file system is mounted, and different for all others. What of that can be had depends on
//! the file system, and the first part of the fingerprint tells:
//!
//! | prefix | made of | the same after |
//! |---|---|---|
//! | `uuid:` | the file system's UUID (or serial number), by `/dev/disk/by-uuid` | everything; also on another machine |
//! | `net:` | type and source of a network file system | everything, while it is mounted from the same address |
//! | `fsid:` | type and the `f_fsid` of `statvfs`, where that is no mere device number: on ext4, btrfs and ZFS it comes from the UUID | remounting and restarting; for a file system in memory, neither |
//! | `dev:` | type, device number and capacity | remounting; another order of devices at the next start changes it |
//! | `path:` | type, source and mount point, for file systems without a device, such as FUSE | all, while it is mounted from and to the same place |
//!
//! A machine where `/dev/disk` comes and goes (a container, say) sees the same file system under
//! two fingerprints; whoever keeps volumes should match by path what no longer matches by
//! fingerprint.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "linux", test))]
mod mountinfo;

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfs;

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Tells it from all others; see the module.
    pub fingerprint: String,
    /// For people: its label, or the last part of its mount point.
    pub name: String,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Its type, as the system calls it; empty if it does not tell.
    pub fs_type: String,
    /// How many bytes it has.
    pub capacity: u64,
    /// How many of them this user can still fill.
    pub free: u64,
    /// Whether its medium can be taken out, if the system knows. It says no of most USB disks.
    pub removable: Option<bool>,
}

/// Why the volume of a path is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The path itself cannot be looked at.
    #[error("cannot tell which drive {} is on", path.display())]
    Path {
        /// The path asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The table of mounts cannot be read.
    #[error("cannot read which drives are mounted")]
    Mounts(#[source] io::Error),
}

/// The volume that a path is on; if it is a link, that of what it leads to.
///
/// # Errors
/// If the path does not exist or cannot be looked at, or the system's table of mounts is out of
/// bounds. Without such a table the answer is poorer and no error.
pub fn volume_of(path: &Path) -> Result<Volume, VolumeError> {
    let of = |source: io::Error| VolumeError::Path { path: path.to_owned(), source };
    let path = path.canonicalize().map_err(of)?;
    let vfs = rustix::fs::statvfs(&path).map_err(|errno| of(errno.into()))?;
    #[cfg(target_os = "linux")]
    if let Some(volume) = linux::volume_of(&path, &vfs)? {
        return Ok(volume);
    }
    by_statvfs(&path, &vfs).map_err(of)
}

/// What every Unix can tell: the mount point is where the device changes.
fn by_statvfs(path: &Path, vfs: &StatVfs) -> io::Result<Volume> {
    use std::os::unix::fs::MetadataExt;
    let device = path.metadata()?.dev();
    let mut mount_point = path;
    while let Some(above) = mount_point.parent() {
        if above.metadata()?.dev() != device {
            break;
        }
        mount_point = above;
    }
    let (capacity, free) = sizes(vfs);
    let fingerprint = match fsid(vfs) {
        0 => format!("dev::{device:x}:{capacity}"),
        fsid => format!("fsid::{fsid:016x}"),
    };
    Ok(Volume {
        fingerprint,
        name: name_of(mount_point),
        mount_point: mount_point.to_owned(),
        fs_type: String::new(),
        capacity,
        free,
        removable: None,
    })
}

/// Capacity and what is free.
// The widths of these fields differ from system to system.
#[allow(clippy::unnecessary_cast)]
fn sizes(vfs: &StatVfs) -> (u64, u64) {
    let block = vfs.f_frsize as u64;
    ((vfs.f_blocks as u64).saturating_mul(block), (vfs.f_bavail as u64).saturating_mul(block))
}

#[allow(clippy::unnecessary_cast)]
fn fsid(vfs: &StatVfs) -> u64 {
    vfs.f_fsid as u64
}

fn name_of(mount_point: &Path) -> String {
    mount_point.file_name().unwrap_or(mount_point.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn a_folder_and_what_is_in_it_are_on_the_same_volume() {
        let root = TempDir::new().unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("file", root.path().join("link")).unwrap();
        let volume = volume_of(root.path()).unwrap();
        for name in ["file", "link"] {
            let same = volume_of(&root.path().join(name)).unwrap();
            assert_eq!(same.fingerprint, volume.fingerprint);
            assert_eq!(same.mount_point, volume.mount_point);
        }
        assert!(root.path().canonicalize().unwrap().starts_with(&volume.mount_point));
        assert!(volume.capacity > 0 && volume.free <= volume.capacity);
        assert!(!volume.name.is_empty() && !volume.fs_type.is_empty());
        let (prefix, rest) = volume.fingerprint.split_once(':').unwrap();
        assert!(["uuid", "net", "fsid", "dev", "path"].contains(&prefix));
        assert!(!rest.is_empty() && volume.fingerprint.len() < 256);
    }

    #[test]
    fn other_file_systems_are_other_volumes() {
        let (proc, tmp) = (volume_of(Path::new("/proc/self")).unwrap(), TempDir::new().unwrap());
        assert_eq!((proc.fs_type.as_str(), proc.mount_point.as_path()), ("proc", "/proc".as_ref()));
        assert_ne!(proc.fingerprint, volume_of(tmp.path()).unwrap().fingerprint);
        assert_eq!(proc.capacity, 0);
    }

    #[test]
    fn without_a_table_of_mounts_the_mount_point_is_where_the_device_changes() {
        let vfs = rustix::fs::statvfs("/proc/sys").unwrap();
        let volume = by_statvfs(Path::new("/proc/sys"), &vfs).unwrap();
        assert_eq!(volume.mount_point, Path::new("/proc"));
        assert_eq!(volume.name, "proc");
        let vfs = rustix::fs::statvfs("/").unwrap();
        let volume = by_statvfs(Path::new("/"), &vfs).unwrap();
        assert_eq!((volume.mount_point.as_path(), volume.name.as_str()), ("/".as_ref(), "/"));
    }

    #[test]
    fn a_path_that_does_not_exist() {
        let error = volume_of(Path::new("/nowhere/at/all")).unwrap_err();
        let VolumeError::Path { path, source } = error else { panic!("{error:?}") };
        assert_eq!(path, Path::new("/nowhere/at/all"));
        assert_eq!(source.kind(), io::ErrorKind::NotFound);
    }
}
