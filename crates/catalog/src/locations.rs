//! Locations of all devices, and taking this device's own away.

use std::path::Path;

use driftless::rusqlite::{Connection, Error, Row};
use driftless::{DeviceId, Uuid};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::index::Turn;
use crate::item::{shown, uuid};
use crate::models::{Entry, Location, LocationRules, LocationState, Volume};
use crate::natural::natural_order;
use crate::owners::Owners;
use crate::paths;
use crate::scan::{Cancel, name_text};
use crate::select::{exactly_one, ids_like};

/// Entries that one transaction deletes.
const DELETED_AT_ONCE: usize = 1_000;

/// A location, with whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocationInfo {
    /// Its row.
    pub location: Location,
    /// The device that it is on.
    pub device: DeviceId,
    /// That device's name; empty until it has arrived here.
    pub device_name: String,
    /// Whether that is this device.
    pub here: bool,
    /// The volume that it is on, if that has arrived here.
    pub volume: Option<Volume>,
}

const LOCATION: &str = "SELECT id, volume, path, path_raw, name, state, files, dirs, bytes, \
                        scanned_at, problems, gitignore, skip_hidden, no_hash, _lane \
                        FROM location";
const VOLUME: &str = "SELECT id, fingerprint, name, mount_point, fs_type, capacity, removable, \
                      _lane FROM volume";

fn read_location(row: &Row<'_>) -> Result<(Location, i64), Error> {
    let location = Location {
        id: uuid(row, 0)?,
        volume: uuid(row, 1)?,
        path: row.get(2)?,
        path_raw: row.get(3)?,
        name: row.get(4)?,
        state: row.get(5)?,
        files: row.get(6)?,
        dirs: row.get(7)?,
        bytes: row.get(8)?,
        scanned_at: row.get(9)?,
        problems: row.get(10)?,
        gitignore: row.get(11)?,
        skip_hidden: row.get(12)?,
        no_hash: row.get(13)?,
    };
    Ok((location, row.get(14)?))
}

fn read_volume(row: &Row<'_>) -> Result<(Volume, i64), Error> {
    let volume = Volume {
        id: uuid(row, 0)?,
        fingerprint: row.get(1)?,
        name: row.get(2)?,
        mount_point: row.get(3)?,
        fs_type: row.get(4)?,
        capacity: row.get(5)?,
        removable: row.get(6)?,
    };
    Ok((volume, row.get(7)?))
}

fn all<T>(
    db: &Connection,
    sql: &str,
    read: impl Fn(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, CatalogError> {
    let mut select = db.prepare_cached(sql)?;
    let mut rows = select.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.extend(shown(|| read(row))?);
    }
    Ok(out)
}

/// All locations with their lanes.
pub(crate) fn locations(db: &Connection) -> Result<Vec<(Location, i64)>, CatalogError> {
    all(db, LOCATION, read_location)
}

/// All volumes with their lanes.
pub(crate) fn volumes(db: &Connection) -> Result<Vec<(Volume, i64)>, CatalogError> {
    all(db, VOLUME, read_volume)
}

impl Location {
    /// The location of a folder, on no volume yet and with nothing found.
    pub(crate) fn new(id: Uuid, path: &Path) -> Self {
        let (text, raw) = name_text(path.as_os_str());
        let (name, _) = name_text(path.file_name().unwrap_or(path.as_os_str()));
        Self {
            id,
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
            gitignore: None,
            skip_hidden: None,
            no_hash: None,
        }
    }

    /// From now on this is not indexed.
    pub(crate) fn set_rules(&mut self, rules: LocationRules) {
        self.gitignore = rules.gitignore.then_some(true);
        self.skip_hidden = rules.skip_hidden.then_some(true);
    }

    /// What of it is not indexed.
    #[must_use]
    pub fn rules(&self) -> LocationRules {
        LocationRules {
            gitignore: self.gitignore.unwrap_or(false),
            skip_hidden: self.skip_hidden.unwrap_or(false),
        }
    }

    /// The exact bytes of its path.
    #[must_use]
    pub fn path_bytes(&self) -> &[u8] {
        self.path_raw.as_deref().unwrap_or(self.path.as_bytes())
    }
}

impl Catalog<'_> {
    /// The locations of all devices, this one's first, then by device and path.
    pub fn locations(&self) -> Result<Vec<LocationInfo>, CatalogError> {
        let here = self.library.device_id();
        self.read(|db| {
            let owners = Owners::load(db)?;
            let volumes = volumes(db)?;
            let mut infos = Vec::new();
            for (mut location, lane) in locations(db)? {
                let Some(owner) = owners.of_lane(lane) else { continue };
                if owner.device == here && is_left_over(&location) {
                    LocationState::Failed.as_str().clone_into(&mut location.state);
                }
                let mut of = volumes.iter();
                let volume = of.find(|(volume, of)| volume.id == location.volume && *of == lane);
                infos.push(LocationInfo {
                    device: owner.device,
                    device_name: owner.name.clone().unwrap_or_default(),
                    here: owner.device == here,
                    volume: volume.map(|(volume, _)| volume.clone()),
                    location,
                });
            }
            infos.sort_by(|a, b| {
                (b.here.cmp(&a.here))
                    .then_with(|| natural_order(&a.device_name, &b.device_name))
                    .then_with(|| a.device.cmp(&b.device))
                    .then_with(|| natural_order(&a.location.path, &b.location.path))
                    .then_with(|| a.location.id.cmp(&b.location.id))
            });
            Ok(infos)
        })
    }

    /// The location that a selector means: an id, a unique prefix of it, a name or a path. What this
    /// device has goes before what others have.
    pub fn select_location(&self, selector: &str) -> Result<LocationInfo, CatalogError> {
        let ids = self.read(|db| ids_like(db, "location", selector, 100))?;
        let canonical = std::fs::canonicalize(selector);
        let path = canonical.as_ref().map_or(selector.as_bytes(), |path| paths::bytes(path));
        let fits = |info: &LocationInfo| {
            let path_fits = info.location.path_bytes() == path && info.here;
            ids.contains(&info.location.id)
                || path_fits
                || info.location.name == selector
                || info.location.path == selector
        };
        let mut found: Vec<_> = self.locations()?.into_iter().filter(fits).collect();
        if found.iter().any(|info| info.here) {
            found.retain(|info| info.here);
        }
        exactly_one("location", selector, found, |info| {
            (info.location.id.to_string(), info.location.path.clone())
        })
    }

    /// The location of this device with this id.
    pub(crate) fn own_location(&self, id: Uuid) -> Result<Location, CatalogError> {
        let found = self.locations()?.into_iter().find(|info| info.location.id == id);
        match found {
            Some(info) if info.here => Ok(info.location),
            Some(info) => {
                let path = info.location.path.into();
                Err(CatalogError::Foreign { path, device: info.device })
            }
            None => Err(CatalogError::NotFound { what: "location", given: id.to_string() }),
        }
    }

    /// Forgets a location of this device: its entries, a thousand at a time, then its row. The files
    /// themselves are not touched. If it is interrupted, it can be done again. Returns the number of
    /// entries.
    pub fn remove_location(&self, id: Uuid) -> Result<u64, CatalogError> {
        let location = self.own_location(id)?;
        let turn = Turn::take(&location, &Cancel::default())?;
        let (mut removed, mut last) = (0, 0);
        loop {
            let page = self.read(|db| entries_in(db, id, last))?;
            let Some((rowid, _)) = page.last() else { break };
            last = *rowid;
            removed += u64::try_from(page.len()).unwrap_or(u64::MAX);
            self.library.write(move |tx| {
                for (_, entry) in page {
                    tx.drop_row::<Entry>(entry)?;
                }
                Ok::<_, CatalogError>(())
            })?;
        }
        self.library.write(move |tx| Ok::<_, CatalogError>(tx.drop_row::<Location>(id)?))?;
        drop(turn);
        Ok(removed)
    }
}

/// Whether a location says that it is being scanned although nobody does that: the program ended
/// before the scan.
fn is_left_over(location: &Location) -> bool {
    location.state == LocationState::Scanning.as_str() && !Turn::is_taken(location.id)
}

/// The next entries of a location behind this row of the table. There is no index for it: it is one
/// walk over the table, and rarely wanted.
fn entries_in(
    db: &Connection,
    location: Uuid,
    last: i64,
) -> Result<Vec<(i64, Uuid)>, CatalogError> {
    let mut select = db.prepare_cached(
        "SELECT rowid, id FROM entry WHERE rowid > ?1 AND location = ?2 ORDER BY rowid LIMIT ?3",
    )?;
    let limit = i64::try_from(DELETED_AT_ONCE).unwrap_or(i64::MAX);
    let mut rows = select.query((last, location.as_bytes(), limit))?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        page.extend(shown(|| Ok((row.get(0)?, uuid(row, 1)?)))?);
    }
    Ok(page)
}
