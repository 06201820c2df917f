//! Looking into folders, of this device and others.

use std::ffi::OsStr;

use driftless::DeviceId;

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::item::{Item, Listing, Loader, sort};
use crate::locations::locations;
use crate::models::EntryKind;
use crate::resolve::Place;

/// The most items that a listing has.
pub const MAX_LISTED: usize = 100_000;

impl Catalog<'_> {
    /// What is in a folder, folders first, by name; a file or link gives itself. Without a path, the
    /// locations. `path` is one of this device or `DEVICE:/path`; with `device`, one of that device.
    pub fn ls(
        &self,
        path: Option<&OsStr>,
        device: Option<DeviceId>,
    ) -> Result<Listing, CatalogError> {
        match path {
            None => self.ls_locations(device),
            Some(path) => {
                let place = Place::parse(self, path, device)?;
                self.read(|db| {
                    let mut loader = Loader::new(db)?;
                    let item = place.find(db, &mut loader)?;
                    folder(&mut loader, item)
                })
            }
        }
    }

    fn ls_locations(&self, device: Option<DeviceId>) -> Result<Listing, CatalogError> {
        self.read(|db| {
            let mut loader = Loader::new(db)?;
            let mut items = Vec::new();
            for (location, _) in locations(db)? {
                items.extend(loader.location(location.id)?);
            }
            items.retain(|item| device.is_none_or(|device| item.device == device));
            sort(&mut items);
            Ok(Listing { items, more: false })
        })
    }
}

fn folder(loader: &mut Loader<'_>, item: Item) -> Result<Listing, CatalogError> {
    if item.kind != EntryKind::Dir {
        return Ok(Listing { items: vec![item], more: false });
    }
    let mut items = loader.children(item.id, MAX_LISTED + 1)?;
    // An entry that claims to be in another device's folder is not shown there.
    items.retain(|child| child.device == item.device);
    let more = items.len() > MAX_LISTED;
    items.truncate(MAX_LISTED);
    sort(&mut items);
    Ok(Listing { items, more })
}
