//! The device's secret key: a file in the library's directory that only its owner may read.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use driftless_core::id::{DeviceId, hex, unhex};
use ed25519_dalek::SigningKey;

use crate::error::Error;
use crate::random;

fn path(dir: &Path) -> PathBuf {
    dir.join("device.key")
}

/// A fresh key.
pub(crate) fn generate() -> Result<SigningKey, Error> {
    Ok(SigningKey::from_bytes(&random::bytes()?))
}

/// The device id of a key.
pub(crate) fn device_id(key: &SigningKey) -> DeviceId {
    DeviceId(key.verifying_key().to_bytes())
}

/// A key as it stands in files.
pub(crate) fn to_text(key: &SigningKey) -> String {
    hex(&key.to_bytes())
}

/// Reads that.
pub(crate) fn from_text(text: &str) -> Option<SigningKey> {
    let secret = unhex(text.trim()).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    secret.map(|secret| SigningKey::from_bytes(&secret))
}

/// Keeps a key in a directory that has none.
pub(crate) fn save(dir: &Path, key: &SigningKey) -> Result<(), Error> {
    let path = path(dir);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        let mut file = options.open(&path)?;
        writeln!(file, "{}", to_text(key))?;
        file.sync_all()
    };
    write().map_err(Error::io(&path, "writing the device's key"))
}

/// Reads the key of a directory.
pub(crate) fn load(dir: &Path) -> Result<SigningKey, Error> {
    let path = path(dir);
    let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => {
            Error::Key { path: path.clone(), what: "the device's key is missing" }
        }
        _ => Error::Io { path: path.clone(), doing: "reading the device's key", source },
    })?;
    let bad = || Error::Key { path, what: "this is no key (64 hex digits)" };
    from_text(&text).ok_or_else(bad)
}
