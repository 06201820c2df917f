//! Before entries change: which location it is, on which volume, whether it is there, and that nobody
//! else changes it.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use driftless::rusqlite::Connection;
use driftless::{DeviceId, Uuid, WriteTx};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::links::is_there;
use crate::locations::{locations, volumes};
use crate::models::{Location, LocationRules, LocationState, Volume};
use crate::owners::Owners;
use crate::paths::{below, bytes};
use crate::scan::{self, Cancel};

use super::turn::Turn;
use super::{ScanOptions, Who};

/// A location whose entries are about to be changed.
pub(crate) struct Begun {
    pub(super) location: Location,
    pub(super) path: PathBuf,
    /// The fingerprint of the volume that it is on.
    pub(super) fingerprint: String,
    /// Whether there may be entries of an earlier scan.
    pub(super) known: bool,
    /// Whether inode numbers mean anything there.
    pub(super) inodes: bool,
    /// Held until the work is over.
    pub(super) _turn: Turn,
}

/// The folder of a location, as it is now.
pub(super) struct Place {
    path: PathBuf,
    drive: scan::Volume,
    inodes: bool,
}

impl Place {
    pub(super) fn look(path: &Path) -> Result<Self, CatalogError> {
        let path = canonical(path)?;
        // Whether it can be read at all is better known before anything is written.
        drop(scan::Walk::open(&path, scan::walk::Options::default())?);
        let drive = scan::volume_of(&path)?;
        let inodes = !matches!(drive.fs_type.as_str(), "vfat" | "msdos" | "exfat");
        Ok(Self { path, drive, inodes })
    }

    fn begun(self, location: Location, known: bool, turn: Turn) -> Begun {
        Begun {
            location,
            path: self.path,
            fingerprint: self.drive.fingerprint,
            known,
            inodes: self.inodes,
            _turn: turn,
        }
    }
}

/// Finds or makes the location of a folder for a person, and says that it is being scanned.
pub(super) fn begin(
    catalog: &Catalog<'_>,
    path: &Path,
    options: &ScanOptions,
) -> Result<Begun, CatalogError> {
    let place = Place::look(path)?;
    let location = found(catalog, &place, LocationState::Scanning)?;
    begin_found(catalog, place, &location, options)
}

/// Begins to scan a location for a person.
pub(super) fn begin_found(
    catalog: &Catalog<'_>,
    place: Place,
    location: &Location,
    options: &ScanOptions,
) -> Result<Begun, CatalogError> {
    let turn = Turn::take(location, &options.cancel)?;
    // Only whoever has the turn can say so: the keeper may have scanned a location since it was made.
    let known = catalog.read(|db| has_entries(db, location.id))?;
    let location = scanning(catalog, &place, location.id, Some(options))?;
    Ok(place.begun(location, known, turn))
}

fn has_entries(db: &Connection, location: Uuid) -> Result<bool, CatalogError> {
    let mut select = db.prepare_cached("SELECT EXISTS (SELECT 1 FROM entry WHERE parent = ?1)")?;
    Ok(select.query_row([location.as_bytes()], |row| row.get(0))?)
}

/// Begins to scan a location of this device again; if its folder is not there, it is offline.
pub(super) fn begin_again(
    catalog: &Catalog<'_>,
    id: Uuid,
    options: &ScanOptions,
    who: Who,
) -> Result<Begun, CatalogError> {
    let location = catalog.own_location(id)?;
    let turn = match who {
        Who::Person => Turn::take(&location, &options.cancel)?,
        Who::Keeper => Turn::wait(id, &options.cancel)?,
    };
    let place = there(catalog, &location)?;
    let person = matches!(who, Who::Person).then_some(options);
    let location = scanning(catalog, &place, id, person)?;
    Ok(place.begun(location, true, turn))
}

/// Begins to bring a part of a location up to date: nothing is written of that.
pub(super) fn begin_part(
    catalog: &Catalog<'_>,
    id: Uuid,
    cancel: &Cancel,
) -> Result<Begun, CatalogError> {
    let turn = Turn::wait(id, cancel)?;
    let location = catalog.own_location(id)?;
    let place = there(catalog, &location)?;
    Ok(place.begun(location, true, turn))
}

/// The folder of a location, if it is there; else the location is offline.
pub(super) fn there(catalog: &Catalog<'_>, location: &Location) -> Result<Place, CatalogError> {
    let place = Place::look(&path_of(location)).and_then(|place| {
        let path = place.path.clone();
        let device = catalog.library.device_id();
        let there = catalog.read(|db| seen(db, &device, (&place.path, &place.drive)))?;
        match there {
            Some(there) if there.id == location.id => Ok(place),
            Some(_) | None => Err(CatalogError::OtherFolder { path }),
        }
    });
    if let Err(error) = &place
        && error.is_away()
    {
        catalog.set_state(location.id, LocationState::Offline)?;
    }
    place
}

/// The location of a folder; a new one is made, with this state.
pub(super) fn found(
    catalog: &Catalog<'_>,
    place: &Place,
    state: LocationState,
) -> Result<Location, CatalogError> {
    let device = catalog.library.device_id();
    let (path, drive) = (place.path.clone(), place.drive.clone());
    if let Some(location) = catalog.read(|db| seen(db, &device, (&path, &drive)))? {
        return Ok(location);
    }
    catalog.library.write(move |tx| {
        // Somebody else may have made it since.
        if let Some(location) = seen(tx.db(), &device, (&path, &drive))? {
            return Ok(location);
        }
        let volume = volume(tx, &device, &drive)?;
        let mut location = Location { volume, ..Location::new(tx.new_id(), &path) };
        state.as_str().clone_into(&mut location.state);
        tx.put(&location)?;
        Ok(location)
    })
}

/// Makes the location of a folder, and leaves the scan to others. One that is there stays as it is, but
/// for its rules.
pub(super) fn register(
    catalog: &Catalog<'_>,
    path: &Path,
    rules: Option<LocationRules>,
) -> Result<Location, CatalogError> {
    let place = Place::look(path)?;
    let location = found(catalog, &place, LocationState::New)?;
    if let Some(rules) = rules.filter(|rules| *rules != location.rules()) {
        catalog.change_location(location.id, move |location| location.set_rules(rules))?;
    }
    catalog.own_location(location.id)
}

/// This device's location at a path, if there is one and it is on this volume.
fn seen(
    db: &Connection,
    device: &DeviceId,
    (path, drive): (&Path, &scan::Volume),
) -> Result<Option<Location>, CatalogError> {
    let volume = known_volume(db, device, drive)?.map(|volume| volume.id);
    let location = existing(db, device, (path, volume))?;
    if let Some(location) = &location
        && Some(location.volume) != volume
        && is_there(db, "volume", location.volume)?
    {
        return Err(CatalogError::OtherFolder { path: path.to_owned() });
    }
    Ok(location)
}

/// Says that a location is being scanned. What a person wishes for it is kept.
fn scanning(
    catalog: &Catalog<'_>,
    place: &Place,
    id: Uuid,
    person: Option<&ScanOptions>,
) -> Result<Location, CatalogError> {
    let device = catalog.library.device_id();
    let drive = place.drive.clone();
    let wishes = person.map(|options| (options.hash, options.rules));
    catalog.library.write(move |tx| {
        let Some(mut location) = tx.get::<Location>(id)? else {
            return Err(CatalogError::NotFound { what: "location", given: id.to_string() });
        };
        location.volume = volume(tx, &device, &drive)?;
        location.state = LocationState::Scanning.as_str().to_owned();
        if let Some((hash, rules)) = wishes {
            location.no_hash = (!hash).then_some(true);
            if let Some(rules) = rules {
                location.set_rules(rules);
            }
        }
        tx.put(&location)?;
        Ok(location)
    })
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
    (path, volume): (&Path, Option<Uuid>),
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
        if nested && Some(location.volume) == volume {
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

/// The id of this device's row of a volume, which is made or brought up to date if need be.
fn volume(
    tx: &mut WriteTx<'_>,
    device: &DeviceId,
    drive: &scan::Volume,
) -> Result<Uuid, CatalogError> {
    let known = known_volume(tx.db(), device, drive)?;
    let id = known.as_ref().map_or_else(|| tx.new_id(), |volume| volume.id);
    let fresh = Volume { id, ..row_of(drive) };
    if known.as_ref() != Some(&fresh) {
        tx.put(&fresh)?;
    }
    Ok(id)
}

fn row_of(drive: &scan::Volume) -> Volume {
    Volume {
        id: Uuid::nil(),
        fingerprint: drive.fingerprint.clone(),
        name: drive.name.clone(),
        mount_point: drive.mount_point.to_string_lossy().into_owned(),
        fs_type: drive.fs_type.clone(),
        capacity: i64::try_from(drive.capacity).unwrap_or(i64::MAX),
        removable: drive.removable,
    }
}

/// This device's row of a volume.
fn known_volume(
    db: &Connection,
    device: &DeviceId,
    drive: &scan::Volume,
) -> Result<Option<Volume>, CatalogError> {
    let fresh = row_of(drive);
    let lane = Owners::load(db)?.lane(device);
    let own: Vec<Volume> = volumes(db)?
        .into_iter()
        .filter_map(|(volume, of)| (Some(of) == lane).then_some(volume))
        .collect();
    let same = own.iter().find(|volume| volume.fingerprint == fresh.fingerprint);
    Ok(same.or_else(|| own.iter().find(|volume| may_be(volume, &fresh))).cloned())
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
pub(crate) fn path_of(location: &Location) -> PathBuf {
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
}
