//! The one model that every library has: its devices.

use driftless_core::id::{DeviceId, derived_id};
use driftless_core::schema::Syncable as _;
use driftless_derive::Syncable;
use uuid::Uuid;

/// A member device, for people: its row is written by the device itself. Membership does not follow
/// from it (that is what certificates are for), but where a device can be reached does.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::Device;
///
/// let id = Device::row_id(&library.device_id());
/// library.write(move |tx| tx.update(id, |device: &mut Device| device.name = "desktop".into()))?;
/// assert_eq!(library.members()?[0].name, "desktop");
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(shared, crate = "driftless_core")]
pub struct Device {
    /// Derived from the key.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its operating system.
    pub os: String,
    /// Its processor architecture.
    pub hardware: String,
    /// Its ed25519 public key, which is its device id.
    pub key: Vec<u8>,
    /// Where it listens, as a JSON array of socket addresses.
    #[sync(ty = "json")]
    pub addresses: String,
    /// Whether it is not waited for any more: nothing is kept for it, and it counts nowhere. It stays a
    /// member, and says itself that it counts again when it comes back.
    pub evicted: Option<bool>,
}

impl Device {
    /// The id of a device's row.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::Device;
    ///
    /// let row: Device = library.get(Device::row_id(&library.device_id()))?.unwrap();
    /// assert_eq!(row.name, "laptop");
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn row_id(device: &DeviceId) -> Uuid {
        derived_id("device", &[&device.0])
    }

    /// The row of this machine, with no address yet.
    ///
    /// ```
    /// use driftless::{Device, DeviceId};
    ///
    /// let row = Device::here(&DeviceId([7; 32]), "laptop");
    /// assert_eq!((row.name.as_str(), row.os.as_str()), ("laptop", std::env::consts::OS));
    /// ```
    pub fn here(device: &DeviceId, name: &str) -> Self {
        Self {
            id: Self::row_id(device),
            name: name.to_owned(),
            os: std::env::consts::OS.to_owned(),
            hardware: std::env::consts::ARCH.to_owned(),
            key: device.0.to_vec(),
            addresses: "[]".to_owned(),
            evicted: None,
        }
    }

    /// The device id that the row is of, if its key has the right length.
    ///
    /// ```
    /// use driftless::{Device, DeviceId};
    ///
    /// let row = Device::here(&DeviceId([7; 32]), "laptop");
    /// assert_eq!(row.device_id(), Some(DeviceId([7; 32])));
    /// ```
    pub fn device_id(&self) -> Option<DeviceId> {
        Some(DeviceId(self.key.as_slice().try_into().ok()?))
    }
}

/// The id of the model.
pub(crate) fn model_id() -> driftless_core::schema::ModelId {
    Device::descriptor().id
}
