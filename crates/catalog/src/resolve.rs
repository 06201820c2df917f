//! From a path to the entry that was indexed at it.
//!
//! A path of this device is made canonical first, except its last name: a link means the link. One
//! of another device is written `DEVICE:/path` and taken as it is, as this device cannot look.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use driftless::rusqlite::Connection;
use driftless::{DeviceId, Uuid};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::item::{Item, Loader, shown, uuid};
use crate::locations::locations;
use crate::models::Location;
use crate::owners::Owners;
use crate::paths::{below, bytes};

/// Where something is: a device, and a path on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    device: DeviceId,
    path: PathBuf,
    /// The device's name, if it is another one.
    other: Option<String>,
}

impl Catalog<'_> {
    /// What is indexed at a path of this device, or at `DEVICE:/path`. A local path that looks like
    /// the latter can be given as `./…`.
    pub fn resolve(&self, path: &OsStr) -> Result<Item, CatalogError> {
        let place = Place::parse(self, path, None)?;
        self.read(|db| place.find(db, &mut Loader::new(db)?))
    }

    /// What is indexed at all these paths; the first that is not is an error.
    pub fn resolve_all<P: AsRef<OsStr>>(&self, paths: &[P]) -> Result<Vec<Item>, CatalogError> {
        let places = paths.iter().map(|path| Place::parse(self, path.as_ref(), None));
        let places = places.collect::<Result<Vec<_>, _>>()?;
        self.read(|db| {
            let mut loader = Loader::new(db)?;
            places.iter().map(|place| place.find(db, &mut loader)).collect()
        })
    }
}

impl Place {
    /// From what a person wrote; `device` is meant unless the text says another.
    pub(crate) fn parse(
        catalog: &Catalog<'_>,
        text: &OsStr,
        device: Option<DeviceId>,
    ) -> Result<Self, CatalogError> {
        let here = catalog.library.device_id();
        let (device, path) = match split(text) {
            Some((selector, path)) => {
                let named = catalog.select_device(selector)?;
                if device.is_some_and(|device| device != named) {
                    let why = "the path names another device".to_owned();
                    return Err(CatalogError::Invalid { what: "device", why });
                }
                (named, path)
            }
            None => (device.unwrap_or(here), text),
        };
        if device == here {
            return Ok(Self { device, path: canonical(Path::new(path))?, other: None });
        }
        let path = Path::new(path);
        if !path.is_absolute() {
            let why = "a path on another device begins with a slash".to_owned();
            return Err(CatalogError::Invalid { what: "path", why });
        }
        let name = catalog.read(|db| {
            let owners = Owners::load(db)?;
            Ok(owners.of_device(&device).and_then(|owner| owner.name.clone()))
        })?;
        let other = Some(name.unwrap_or_else(|| device.short()));
        Ok(Self { device, path: plain(path), other })
    }

    /// The entry or location that is indexed at this place.
    pub(crate) fn find(
        &self,
        db: &Connection,
        loader: &mut Loader<'_>,
    ) -> Result<Item, CatalogError> {
        let Some(location) = self.location(db, loader.owners())? else {
            return Err(self.not_indexed(None));
        };
        let mut at = location.id;
        let rest = below(bytes(&self.path), location.path_bytes()).unwrap_or_default();
        for name in rest.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            let Some(child) = child(db, at, name)? else {
                return Err(self.not_indexed(Some(location.id)));
            };
            at = child;
        }
        let item = if at == location.id { loader.location(at)? } else { loader.by_id(at)? };
        let item = item.filter(|item| item.device == self.device);
        item.ok_or_else(|| self.not_indexed(Some(location.id)))
    }

    /// The location that the path lies in.
    fn location(&self, db: &Connection, owners: &Owners) -> Result<Option<Location>, CatalogError> {
        let Some(lane) = owners.lane(&self.device) else { return Ok(None) };
        let holds = |location: &Location| below(bytes(&self.path), location.path_bytes()).is_some();
        let all = locations(db)?.into_iter();
        let fits = all.filter(|(location, of)| *of == lane && holds(location));
        Ok(fits.map(|(location, _)| location).max_by_key(|location| location.path_bytes().len()))
    }

    fn not_indexed(&self, location: Option<Uuid>) -> CatalogError {
        let (path, device) = (self.path.clone(), self.other.clone());
        CatalogError::NotIndexed { path, device, location }
    }
}

/// Entries with one name that are looked at before it is better to look at the folder.
const FEW: usize = 64;

/// The entry with this name in a folder: by its exact bytes, else the only one that shows so.
///
/// Folders can be large, and so can be the number of entries with one name, but hardly both.
fn child(db: &Connection, parent: Uuid, name: &[u8]) -> Result<Option<Uuid>, CatalogError> {
    let text = String::from_utf8_lossy(name);
    let alike = match with_name(db, parent, &text)? {
        Some(alike) => alike,
        None => in_folder(db, parent, &text)?,
    };
    let exact = |(_, raw): &&Alike| raw.as_deref().unwrap_or(text.as_bytes()) == name;
    let exact = alike.iter().find(exact);
    Ok(exact.or(if alike.len() == 1 { alike.first() } else { None }).map(|(id, _)| *id))
}

/// An entry and the exact bytes of its name, if they are not UTF-8.
type Alike = (Uuid, Option<Vec<u8>>);

/// Those in the folder by way of the name; `None` if too many have it.
fn with_name(
    db: &Connection,
    folder: Uuid,
    name: &str,
) -> Result<Option<Vec<Alike>>, CatalogError> {
    let mut select = db.prepare_cached(
        "SELECT id, name_raw, parent FROM entry WHERE kind IN (0, 1, 2) AND name = ?1 LIMIT ?2",
    )?;
    let mut rows = select.query((name, i64::try_from(FEW + 1).unwrap_or(i64::MAX)))?;
    let (mut alike, mut seen) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        seen += 1;
        let read = shown(|| Ok(((uuid(row, 0)?, row.get(1)?), uuid(row, 2)?)))?;
        alike.extend(read.and_then(|(entry, parent)| (parent == folder).then_some(entry)));
    }
    alike.sort();
    Ok((seen <= FEW).then_some(alike))
}

/// Those in the folder by way of the folder.
fn in_folder(db: &Connection, folder: Uuid, name: &str) -> Result<Vec<Alike>, CatalogError> {
    // The plus keeps SQLite from going by the name.
    let mut select = db.prepare_cached(
        "SELECT id, name_raw FROM entry WHERE parent = ?1 AND +name = ?2 ORDER BY id",
    )?;
    let mut rows = select.query((folder.as_bytes(), name))?;
    let mut alike = Vec::new();
    while let Some(row) = rows.next()? {
        alike.extend(shown(|| Ok((uuid(row, 0)?, row.get(1)?)))?);
    }
    Ok(alike)
}

/// `DEVICE:/path`, if it is of that form.
fn split(text: &OsStr) -> Option<(&str, &OsStr)> {
    let all = text.as_bytes();
    let at = all.windows(2).position(|pair| pair == b":/")?;
    let device = std::str::from_utf8(&all[..at]).ok()?;
    let a_path = device.is_empty() || device.contains('/');
    (!a_path).then(|| (device, OsStr::from_bytes(&all[at + 1..])))
}

/// A path of this device without links, `.` and `..`, but for a link at its end. Of what is not
/// there any more, the text.
fn canonical(path: &Path) -> Result<PathBuf, CatalogError> {
    let absolute = std::path::absolute(path)
        .map_err(|source| CatalogError::Io { path: path.to_owned(), source })?;
    // `absolute` keeps `..`, behind which only the system can look.
    let whole = path.file_name().is_none();
    let resolved = match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) if !whole => {
            std::fs::canonicalize(parent).map(|parent| parent.join(name))
        }
        _ => std::fs::canonicalize(&absolute),
    };
    Ok(resolved.unwrap_or_else(|_| plain(&absolute)))
}

/// The path without `.`, `..` and double slashes, by its text alone.
fn plain(path: &Path) -> PathBuf {
    let mut names: Vec<&OsStr> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let mut plain = Vec::new();
    for name in names {
        plain.push(b'/');
        plain.extend_from_slice(name.as_bytes());
    }
    if plain.is_empty() {
        plain.push(b'/');
    }
    PathBuf::from(OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_before_paths() {
        let of = |text| split(OsStr::new(text)).map(|(device, path)| (device, path.to_str()));
        assert_eq!(of("desk:/home/x"), Some(("desk", Some("/home/x"))));
        assert_eq!(of("my desk:/"), Some(("my desk", Some("/"))));
        assert_eq!(of("desk:/a:/b"), Some(("desk", Some("/a:/b"))));
        for path in ["./desk:/x", "/a:/b", ":/x", "desk:x", "a:b/c", ""] {
            assert_eq!(of(path), None, "{path}");
        }
        assert_eq!(split(OsStr::from_bytes(b"d\xff:/x")), None);
    }

    #[test]
    fn plain_paths() {
        for (path, want) in
            [("/a//b/./c/../d/", "/a/b/d"), ("/", "/"), ("/../..", "/"), ("/a/..", "/")]
        {
            assert_eq!(plain(Path::new(path)), Path::new(want));
        }
    }

    #[test]
    fn a_link_at_the_end_means_itself() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("folder")).unwrap();
        std::os::unix::fs::symlink("folder", root.join("link")).unwrap();
        let of = |path: &str| canonical(&root.join(path)).unwrap();
        assert_eq!(of("link"), root.join("link"));
        assert_eq!(of("link/file"), root.join("folder/file"));
        assert_eq!(of("link/.."), root);
        assert_eq!(of("gone/../x"), root.join("x"));
        assert_eq!(of("."), root);
    }
}
