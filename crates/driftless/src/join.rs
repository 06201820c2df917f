//! Joining a library that others have.

use std::path::Path;

use driftless_net::{JoinConfig, Outside, PairingCode, Ticket, pair_join};

use crate::error::Error;
use crate::found::Founding;
use crate::key;
use crate::library::Library;
use crate::models::Models;
use crate::sync::SyncOptions;

/// Joins the library of `ticket`: meets the device that made it, shows the person a code to compare
/// (`confirm` is given the code and the library's name), and makes a library in `dir` with a key of
/// its own. Nothing is left in `dir` if any of that fails. What the library holds arrives once sync
/// is turned on.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// # let place = tempfile::tempdir().unwrap();
/// # let dir = place.path().join("phone");
/// // On the device that has the library:
/// library.sync(loopback())?;
/// let ticket = library.invite(10 * 60_000)?;
///
/// // On the one that joins:
/// let phone = driftless::join(&dir, &models(), &ticket, "phone", &loopback(), |code, name| {
///     println!("the library {name}: do both devices show {code}?");
///     true
/// })?;
/// assert_eq!(phone.id(), library.id());
/// phone.sync(loopback())?;
/// # Ok::<(), driftless::Error>(())
/// ```
pub fn join(
    dir: &Path,
    models: &Models,
    ticket: &Ticket,
    device_name: &str,
    options: &SyncOptions,
    confirm: impl FnOnce(PairingCode, &str) -> bool + Send + 'static,
) -> Result<Library, Error> {
    if dir.join("library.db").exists() {
        return Err(driftless_store::StoreError::Exists { path: dir.to_owned() }.into());
    }
    let signing = key::generate()?;
    let config = JoinConfig {
        secret: signing.to_bytes(),
        outside: if options.offline { Outside::NONE } else { Outside::ALL },
        listen: options.listen,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io(dir, "starting the network"))?;
    // Asking a person takes its time and must not hold up the connection.
    let ask = |code: PairingCode, name: String| async move {
        let asked = tokio::task::spawn_blocking(move || confirm(code, &name));
        asked.await.unwrap_or(false)
    };
    let joined = runtime.block_on(pair_join(config, ticket, device_name, ask))?;
    let founding = Founding {
        library: joined.library,
        name: &joined.library_name,
        device_name,
        signing: &signing,
        certificates: &joined.certificates,
    };
    let library = Library::found(dir, models, &founding)?;
    let (inviter, routes) = (joined.inviter, joined.inviter_addrs);
    library.transact(move |writer| writer.keep_routes(&inviter, &routes))?;
    Ok(library)
}
