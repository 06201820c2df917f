//! Before a scan: which location it is of, on which volume, and that nobody else scans it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use driftless::rusqlite::Connection;
use driftless::{DeviceId, Uuid, WriteTx};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::links::is_there;
use crate::locations::{locations, volumes};
use crate::models::{Location, LocationState, Volume};
use crate::owners::Owners;
use crate::paths::{below, bytes};
use crate::scan::{self, name_text};

/// The locations that are being scanned or removed in this process; only one process has a library
/// open.
static ACTIVE: Mutex<BTreeSet<Uuid>> = Mutex::new(BTreeSet::new());

/// The right to change a location's entries, given back when it is dropped.
pub(crate) struct Guard(Uuid);

impl Guard {
    pub(crate) fn take(location: &Location) -> Result<Self, CatalogError> {
        let mut active = ACTIVE.lock().unwrap_or_else(PoisonError::into_inner);
        if active.insert(location.id) {
            return Ok(Self(location.id));
        }
        Err(CatalogError::Busy { path: PathBuf::from(&location.path) })
    }

    /// Whether somebody has the right for this location.
    pub(crate) fn is_taken(location: Uuid) -> bool {
        ACTIVE.lock().unwrap_or_else(PoisonError::into_inner).contains(&location)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        ACTIVE.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}

/// A location that is about to be scanned.
pub(super) struct Begun {
    pub(super) location: Location,
    pub(super) path: PathBuf,
    /// The fingerprint of the volume that it is on.
    pub(super) fingerprint: String,
    /// Whether there may be entries of an earlier scan.
    pub(super) known: bool,
    /// Whether inode numbers mean anything there.
    pub(super) inodes: bool,
    /// Held until the scan is over.
    pub(super) _guard: Guard,
}

/// Finds or makes the location of a folder, and says that it is being scanned. With `expected` it
/// must be that one.
pub(super) fn begin(
    catalog: &Catalog<'_>,
    path: &Path,
    expected: Option<Uuid>,
) -> Result<Begun, CatalogError> {
    let (path, drive) = folder(path)?;
    let inodes = !matches!(drive.fs_type.as_str(), "vfat" | "msdos" | "exfat");
    let fingerprint = drive.fingerprint.clone();
    let device = catalog.library.device_id();
    let of = path.clone();
    let (location, known) = catalog.library.write(move |tx| {
        let (mut location, known) = placed(tx, &device, (&of, &drive))?;
        if expected.is_some_and(|expected| location.id != expected) {
            return Err(CatalogError::OtherFolder { path: of });
        }
        location.state = LocationState::Scanning.as_str().to_owned();
        tx.put(&location)?;
        Ok((location, known))
    })?;
    let guard = Guard::take(&location)?;
    Ok(Begun { location, path, fingerprint, known, inodes, _guard: guard })
}

/// Makes the location of a folder, and leaves the scan to others. One that is there stays as it is.
pub(super) fn register(catalog: &Catalog<'_>, path: &Path) -> Result<Location, CatalogError> {
    let (path, drive) = folder(path)?;
    let device = catalog.library.device_id();
    catalog.library.write(move |tx| {
        let (mut location, known) = placed(tx, &device, (&path, &drive))?;
        if !known {
            location.state = LocationState::New.as_str().to_owned();
            tx.put(&location)?;
        }
        Ok(location)
    })
}

/// The canonical path of a folder that can be read, and the drive that it is on.
fn folder(path: &Path) -> Result<(PathBuf, scan::Volume), CatalogError> {
    let path = canonical(path)?;
    // Whether it can be read at all is better known before anything is written.
    drop(scan::Walk::open(&path, scan::walk::Options::default())?);
    let drive = scan::volume_of(&path)?;
    Ok((path, drive))
}

/// The location of a folder, placed on its volume, and whether it was there already. A new one is
/// not written yet.
fn placed(
    tx: &mut WriteTx<'_>,
    device: &DeviceId,
    (path, drive): (&Path, &scan::Volume),
) -> Result<(Location, bool), CatalogError> {
    let volume = volume(tx, device, drive)?;
    let (location, known) = match existing(tx.db(), device, (path, volume))? {
        Some(location) => (location, true),
        None => (new_location(tx, path), false),
    };
    let moved = known && location.volume != volume && is_there(tx.db(), "volume", location.volume)?;
    if moved {
        return Err(CatalogError::OtherFolder { path: path.to_owned() });
    }
    Ok((Location { volume, ..location }, known))
}

fn canonical(path: &Path) -> Result<PathBuf, CatalogError> {
    use std::io::ErrorKind;
    std::fs::canonicalize(path).map_err(|source| {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::NotFound => CatalogError::NoFolder { path, source },
            ErrorKind::NotADirectory => CatalogError::NotADirectory { path },
            ErrorKind::PermissionDenied => CatalogError::Permission { path, source },
            _ => CatalogError::Io { path, source },
        }
    })
}

/// This device's location at this path. Refused if another one lies in the path, or it in another,
/// on the same volume; a scan does not go from one volume to another.
fn existing(
    db: &Connection,
    device: &DeviceId,
    (path, volume): (&Path, Uuid),
) -> Result<Option<Location>, CatalogError> {
    let lane = Owners::load(db)?.lane(device);
    let own = locations(db)?.into_iter().filter(|(_, of)| Some(*of) == lane);
    for (location, _) in own {
        let other = location.path_bytes();
        if other == bytes(path) {
            return Ok(Some(location));
        }
        let inside = below(bytes(path), other).is_some();
        let nested = inside || below(other, bytes(path)).is_some();
        if nested && location.volume == volume {
            return Err(CatalogError::Nested {
                path: path.to_owned(),
                other: OsStr::from_bytes(other).into(),
                location: location.id,
                inside,
            });
        }
    }
    Ok(None)
}

fn new_location(tx: &mut WriteTx<'_>, path: &Path) -> Location {
    let (text, raw) = name_text(path.as_os_str());
    let (name, _) = name_text(path.file_name().unwrap_or(path.as_os_str()));
    Location {
        id: tx.new_id(),
        volume: Uuid::nil(),
        path: text,
        path_raw: raw,
        name,
        state: String::new(),
        files: 0,
        dirs: 0,
        bytes: 0,
        scanned_at: None,
        problems: 0,
    }
}

/// The id of this device's row of a volume, which is made or brought up to date if need be.
fn volume(
    tx: &mut WriteTx<'_>,
    device: &DeviceId,
    drive: &scan::Volume,
) -> Result<Uuid, CatalogError> {
    let fresh = Volume {
        id: Uuid::nil(),
        fingerprint: drive.fingerprint.clone(),
        name: drive.name.clone(),
        mount_point: drive.mount_point.to_string_lossy().into_owned(),
        fs_type: drive.fs_type.clone(),
        capacity: i64::try_from(drive.capacity).unwrap_or(i64::MAX),
        removable: drive.removable,
    };
    let lane = Owners::load(tx.db())?.lane(device);
    let own: Vec<Volume> = volumes(tx.db())?
        .into_iter()
        .filter_map(|(volume, of)| (Some(of) == lane).then_some(volume))
        .collect();
    let known = own
        .iter()
        .find(|volume| volume.fingerprint == fresh.fingerprint)
        .or_else(|| own.iter().find(|volume| may_be(volume, &fresh)));
    let id = known.map_or_else(|| tx.new_id(), |volume| volume.id);
    let fresh = Volume { id, ..fresh };
    if known != Some(&fresh) {
        tx.put(&fresh)?;
    }
    Ok(id)
}

/// Whether two fingerprints are of the same volume although they differ: one of them at least is of a
/// sort that does not last, and everything else is the same.
fn may_be(known: &Volume, fresh: &Volume) -> bool {
    let lasting = |volume: &Volume| {
        ["uuid:", "net:"].iter().any(|prefix| volume.fingerprint.starts_with(prefix))
    };
    !(lasting(known) && lasting(fresh))
        && known.mount_point == fresh.mount_point
        && known.fs_type == fresh.fs_type
        && known.capacity == fresh.capacity
}

/// The path of a location on this device.
pub(super) fn path_of(location: &Location) -> PathBuf {
    std::ffi::OsString::from_vec(location.path_bytes().to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(fingerprint: &str, capacity: i64) -> Volume {
        Volume {
            id: Uuid::nil(),
            fingerprint: fingerprint.into(),
            name: "disk".into(),
            mount_point: "/mnt".into(),
            fs_type: "ext4".into(),
            capacity,
            removable: None,
        }
    }

    #[test]
    fn a_volume_is_known_again_by_what_else_there_is() {
        let (strong, weak) = (volume("uuid:1", 7), volume("dev:ext4:8:1:7", 7));
        assert!(may_be(&strong, &weak) && may_be(&weak, &strong));
        assert!(may_be(&weak, &volume("dev:ext4:8:2:7", 7)));
        assert!(!may_be(&strong, &volume("uuid:2", 7)), "two disks in turn at one place");
        assert!(!may_be(&strong, &volume("dev:ext4:8:1:8", 8)), "another size");
    }

    #[test]
    fn one_at_a_time() {
        let location = Location {
            id: Uuid::from_bytes([9; 16]),
            volume: Uuid::nil(),
            path: "/x".into(),
            path_raw: None,
            name: "x".into(),
            state: String::new(),
            files: 0,
            dirs: 0,
            bytes: 0,
            scanned_at: None,
            problems: 0,
        };
        let first = Guard::take(&location).unwrap();
        assert!(matches!(Guard::take(&location), Err(CatalogError::Busy { .. })));
        drop(first);
        drop(Guard::take(&location).unwrap());
    }
}
