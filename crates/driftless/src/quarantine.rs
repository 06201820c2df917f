//! What is kept, merged and handed on, and cannot show in a table of this version.

use std::collections::BTreeMap;

use driftless_core::id::{DeviceId, RecordKey};
use driftless_store::{Quarantined, Reason};

use crate::device::Device;
use crate::error::Error;
use crate::library::Library;
use crate::reader;

/// Records that are tried again within one transaction, so that other writes wait for little.
const CHUNK: usize = 200;

/// Something that waits in quarantine.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// for waiting in library.quarantine(100)? {
///     println!("{} {} waits: {:?}", waiting.model, waiting.key, waiting.reason);
/// }
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// The model's name, or its id in hex if this version does not know it.
    pub model: String,
    /// The record.
    pub key: RecordKey,
    /// The field's name, or its id in hex; `None` for a whole record.
    pub field: Option<String>,
    /// Why it waits.
    pub reason: Reason,
    /// Who wrote it.
    pub device: Option<DeviceId>,
    /// That device's name, as far as it is known here.
    pub device_name: Option<String>,
}

/// What trying again came to.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let retried = library.retry_quarantine()?;
/// println!("{} of {} wait still", retried.after, retried.before);
/// # assert_eq!((retried.before, retried.after), (0, 0));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retried {
    /// How much waited before.
    pub before: u64,
    /// How much waits still.
    pub after: u64,
}

impl Library {
    /// How much waits in quarantine: records of unknown models, and fields that cannot show.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert_eq!(library.quarantined()?, 0);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn quarantined(&self) -> Result<u64, Error> {
        Ok(self.call(|writer| writer.store.quarantined())??)
    }

    /// Up to `limit` of what waits in quarantine.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert!(library.quarantine(100)?.is_empty());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn quarantine(&self, limit: usize) -> Result<Vec<Waiting>, Error> {
        let found = self.call(move |writer| writer.store.quarantine(None, limit))??;
        let rows: Vec<Device> = self.query(|db| reader::all(db, "true", []))??;
        let names: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id, row.name)).collect();
        let waiting = |found: Quarantined| {
            let model = self.schema().model(found.model);
            let field = found.field.map(|id| {
                let known = model.and_then(|model| model.field(id));
                known.map_or_else(|| format!("{:08x}", id.0), |field| field.name.clone())
            });
            Waiting {
                model: self.schema().name_of(found.model),
                key: found.key,
                field,
                reason: found.reason,
                device: found.device,
                device_name: found.device.and_then(|id| names.get(&Device::row_id(&id)).cloned()),
            }
        };
        Ok(found.into_iter().map(waiting).collect())
    }

    /// Makes the projection of everything that waits anew.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert_eq!(library.retry_quarantine()?.after, 0);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn retry_quarantine(&self) -> Result<Retried, Error> {
        let before = self.quarantined()?;
        let mut last = None;
        loop {
            let after = last.take();
            let chunk = self.write(move |tx| {
                let chunk = tx.store.quarantine(after.as_ref(), CHUNK)?;
                for waiting in &chunk {
                    tx.store.retry(waiting)?;
                }
                Ok::<_, Error>(chunk)
            })?;
            match chunk.into_iter().next_back() {
                Some(waiting) => last = Some(waiting),
                None => return Ok(Retried { before, after: self.quarantined()? }),
            }
        }
    }
}
