//! A library in one file, and life from it.

use std::path::Path;

use driftless_core::id::DeviceId;
use driftless_store::{DirLock, SqliteStore, StoreError};

use crate::error::Error;
use crate::found::make_private;
use crate::library::Library;
use crate::models::Models;
use crate::{guard, invite, key};

/// What of a backup is the device's secret key.
const KEY: &[u8] = b"device.key";

impl Library {
    /// Writes a consistent copy of the library into a new file, while everything runs. Returns its size
    /// in bytes.
    ///
    /// The file holds everything that this device needs to live on, its **secret key** among it, so
    /// only this user may read it: keep it as you keep a key. Left out is what others have anyway or
    /// what must not come back: the log, the history, open tickets.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let place = tempfile::tempdir().unwrap();
    /// # let library = home()?;
    /// let file = place.path().join("backup");
    /// assert!(library.backup(&file)? > 0);
    /// assert!(library.backup(&file).is_err(), "it is not written over");
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn backup(&self, file: &Path) -> Result<u64, Error> {
        let beside = [(KEY.to_vec(), key::to_text(&self.signing).into_bytes())];
        let without = [invite::TICKETS, guard::SPACE];
        Ok(driftless_store::back_up(self.dir(), file, &beside, &without)?)
    }

    /// Makes a library of a backup, in a directory that has none and is made if it is missing: this
    /// is the device that the backup was made on, then. It goes on under new epochs, so what it has
    /// written since comes back from the others. The device itself must not be in use elsewhere any
    /// more.
    ///
    /// On an error there is no library in `dir`.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let place = tempfile::tempdir().unwrap();
    /// # let (file, dir) = (place.path().join("backup"), place.path().join("restored"));
    /// # let library = Library::create(&place.path().join("library"), &models(), "Home", "laptop")?;
    /// library.backup(&file)?;
    /// let device = library.device_id();
    /// library.close();
    /// Library::restore(&file, &dir, &models())?;
    /// let library = Library::open(&dir, &models())?;
    /// assert!(library.is_renewed());
    /// assert_eq!(library.device_id(), device);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn restore(file: &Path, dir: &Path, models: &Models) -> Result<DeviceId, Error> {
        let schema = models.check()?;
        if dir.join("library.db").exists() {
            // Whoever has it open, this is what there is to say.
            return Err(StoreError::Exists { path: dir.to_owned() }.into());
        }
        make_private(dir).map_err(Error::io(dir, "creating the directory"))?;
        let _lock = DirLock::acquire(dir)?;
        let renews = [(guard::RENEWS.to_vec(), Vec::new())];
        driftless_store::restore(file, dir, (guard::SPACE, &renews), |beside| {
            let key = beside.into_iter().find(|(name, _)| name == KEY);
            let text = key.and_then(|(_, text)| String::from_utf8(text).ok());
            let bad = || Error::Key { path: file.to_owned(), what: "this backup has no key" };
            let signing = text.as_deref().and_then(key::from_text).ok_or_else(bad)?;
            match key::load(dir) {
                // An attempt that was killed has put it there.
                Ok(found) if found == signing => Ok(()),
                _ => key::save(dir, &signing),
            }
        })?;
        Ok(SqliteStore::open(dir, schema)?.identity().device)
    }
}
