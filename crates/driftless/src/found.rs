//! How a library begins: its directory, its key, its first row.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use driftless_core::clock::Hlc;
use driftless_core::engine::{Config, Engine, Identity};
use driftless_core::id::{Epoch, LibraryId, time_ordered_id};
use driftless_core::ids::IdSource;
use driftless_core::member::{Certificate, Roster};
use driftless_core::schema::Schema;
use driftless_core::version::Life;
use driftless_store::{DirLock, SqliteStore};
use ed25519_dalek::SigningKey;

use crate::device::Device;
use crate::error::Error;
use crate::library::Library;
use crate::models::Models;
use crate::tx::WriteTx;
use crate::{key, members, random, settings, time};

/// What a new library's directory is filled with.
pub(crate) struct Founding<'a> {
    pub(crate) library: LibraryId,
    pub(crate) name: &'a str,
    pub(crate) device_name: &'a str,
    pub(crate) signing: &'a SigningKey,
    pub(crate) certificates: &'a [Certificate],
}

impl Library {
    /// Creates a library in `dir`, with this device as its founder. The directory is made if it is
    /// missing; one that holds a library already is refused and left as it is.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let place = tempfile::tempdir().unwrap();
    /// # let dir = place.path().join("library");
    /// let library = Library::create(&dir, &models(), "Home", "laptop")?;
    /// assert_eq!(library.name()?, "Home");
    /// assert!(dir.join("library.db").exists());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn create(
        dir: &Path,
        models: &Models,
        name: &str,
        device_name: &str,
    ) -> Result<Self, Error> {
        let signing = key::generate()?;
        let device = key::device_id(&signing);
        let library = LibraryId(time_ordered_id(time::wall_ms(), random::bytes()?));
        let now = time::wall_ms();
        let root = Certificate::issue(library, device, device_name, &signing, now)?;
        let certificates = &[root];
        let founding = Founding { library, name, device_name, signing: &signing, certificates };
        Self::found(dir, models, &founding)
    }

    /// Fills a directory: its certificates, name and this device's row are written in one
    /// transaction. If that fails, the files that were made are taken away again.
    pub(crate) fn found(
        dir: &Path,
        models: &Models,
        founding: &Founding<'_>,
    ) -> Result<Self, Error> {
        let schema = models.check()?;
        let made_dir = !dir.exists();
        make_private(dir).map_err(Error::io(dir, "creating the directory"))?;
        let lock = DirLock::acquire(dir)?;
        if dir.join("library.db").exists() {
            return Err(driftless_store::StoreError::Exists { path: dir.to_owned() }.into());
        }
        let filled = fill(dir, schema, founding);
        if filled.is_err() {
            for file in [
                "library.db",
                "library.db-wal",
                "library.db-shm",
                "sync.db",
                "sync.db-wal",
                "sync.db-shm",
                "device.key",
            ] {
                // What was not made cannot be taken away; the first error is the one to tell.
                drop(std::fs::remove_file(dir.join(file)));
            }
            if made_dir {
                drop(std::fs::remove_file(dir.join("lock")));
                drop(std::fs::remove_dir(dir));
            }
        }
        let store = filled?;
        let library = Self::start(dir, store, founding.signing.clone(), lock, None)?;
        Ok(library)
    }
}

/// Makes a directory that only this user may enter; one that is there stays as it is.
pub(crate) fn make_private(dir: &Path) -> std::io::Result<()> {
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made,
    }
}

/// Fills the files of a new library; they are complete and durable when it returns.
fn fill(dir: &Path, schema: Schema, founding: &Founding<'_>) -> Result<SqliteStore, Error> {
    let device = key::device_id(founding.signing);
    key::save(dir, founding.signing)?;
    // A founder whose certificates do not hold together would find out only at its next start.
    Roster::from_certificates(founding.library, founding.certificates.to_vec())?;
    let life = Life { mint: Hlc::from_ms(time::wall_ms()), epoch: Epoch(random::seed()?) };
    let epoch = Epoch(random::seed()?);
    let identity = driftless_store::Identity {
        library: founding.library,
        device,
        shared_epoch: epoch,
        owned_life: life,
    };
    let mut store = SqliteStore::create(dir, identity, schema.clone())?;
    let who = Identity { device, shared_epoch: epoch, owned_life: life };
    store.begin()?;
    members::keep(&mut store, founding.certificates)?;
    settings::set_library_name(&mut store, founding.name)?;
    let schema = Arc::new(schema);
    let mut engine =
        Engine::new(who, schema.clone(), Config::default(), &mut store, random::seed()?)?;
    let local = engine
        .begin_local(&store, time::now())
        .map_err(|error| Error::from(driftless_core::engine::WriteError::Clock(error)))?;
    let mut tx = WriteTx {
        store: &mut store,
        schema: &schema,
        local,
        wall_ms: time::wall_ms(),
        ids: &mut IdSource::new(&random::bytes()?),
    };
    tx.insert(&Device::here(&device, founding.device_name))?;
    let local = tx.local;
    engine.finish_local(&mut store, local).map_err(Error::from)?;
    store.commit()?;
    Ok(store)
}
