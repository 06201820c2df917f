//! Whose rows are whose: the one place that knows how the store says it.
//!
//! The store keeps a number in the column `_lane` of every owned row; its table `_lane` has the
//! device of each number. Names of devices are in the model `device`.

use driftless::rusqlite::Connection;
use driftless::{Device, DeviceId};

use crate::error::CatalogError;
use crate::item::{shown, uuid};

/// A device that is a member or of which rows are held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    pub(crate) device: DeviceId,
    /// The number of its rows; `None` while nothing of it is held.
    pub(crate) lane: Option<i64>,
    /// Its name, once its row is here.
    pub(crate) name: Option<String>,
}

/// All devices.
#[derive(Clone, Debug)]
pub(crate) struct Owners(Vec<Owner>);

impl Owners {
    pub(crate) fn load(db: &Connection) -> Result<Self, CatalogError> {
        let mut owners: Vec<Owner> = Vec::new();
        let mut select = db.prepare_cached("SELECT id, device FROM _lane ORDER BY id")?;
        let lanes = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for lane in lanes {
            let (lane, device) = lane?;
            owners.push(Owner { device: DeviceId(device), lane: Some(lane), name: None });
        }
        let mut select = db.prepare_cached("SELECT key, id, name FROM device ORDER BY id")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let read = shown(|| Ok((row.get(0)?, uuid(row, 1)?, row.get(2)?)))?;
            // Any member can write a shared row; only that with the derived id names a device.
            let Some((key, id, name)) = read else { continue };
            let device = DeviceId(key);
            if id != Device::row_id(&device) {
                continue;
            }
            match owners.iter_mut().find(|owner| owner.device == device) {
                Some(owner) => owner.name = Some(name),
                None => owners.push(Owner { device, lane: None, name: Some(name) }),
            }
        }
        Ok(Self(owners))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Owner> {
        self.0.iter()
    }

    /// The device of a row's `_lane`.
    pub(crate) fn of_lane(&self, lane: i64) -> Option<&Owner> {
        self.0.iter().find(|owner| owner.lane == Some(lane))
    }

    pub(crate) fn of_device(&self, device: &DeviceId) -> Option<&Owner> {
        self.0.iter().find(|owner| owner.device == *device)
    }

    /// The number of a device's rows, if any are held.
    pub(crate) fn lane(&self, device: &DeviceId) -> Option<i64> {
        self.of_device(device)?.lane
    }
}
