//! Where things are: the library, this device's state beside it, the daemon's socket.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use driftless::{Error, Library};
use driftless_catalog::models;

use crate::failure::{Exit, Failure};

/// The most bytes that the address of a socket can have on every Unix, less the final NUL.
const MAX_SOCKET_PATH: usize = 103;

/// What of the environment decides about places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    pub(crate) runtime_dir: Option<PathBuf>,
    pub(crate) state_home: Option<PathBuf>,
    pub(crate) data_home: Option<PathBuf>,
    pub(crate) home: Option<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn here() -> Self {
        // The specification of these variables says that relative paths are to be ignored.
        let path = |name| -> Option<PathBuf> {
            std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
        };
        Self {
            runtime_dir: path("XDG_RUNTIME_DIR"),
            state_home: path("XDG_STATE_HOME"),
            data_home: path("XDG_DATA_HOME"),
            home: path("HOME"),
        }
    }

    /// The library's directory if nobody names one.
    pub(crate) fn default_dir(&self) -> Option<PathBuf> {
        let home = self.home.as_ref();
        let data = match &self.data_home {
            Some(data) => data.clone(),
            None if cfg!(target_os = "macos") => home?.join("Library/Application Support"),
            None => home?.join(".local/share"),
        };
        Some(data.join("driftless"))
    }

    fn state(&self) -> Option<PathBuf> {
        let home = || Some(self.home.as_ref()?.join(".local/state"));
        Some(self.state_home.clone().or_else(home)?.join("driftless"))
    }
}

/// The places of one library.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The library's directory; canonical if it exists.
    pub(crate) dir: PathBuf,
    /// Where the daemon's socket may be, the first choice first.
    sockets: Vec<PathBuf>,
    /// What is kept of this library on this device, and not copied with its directory.
    state: Option<PathBuf>,
    /// The same for what does not outlive the boot.
    runtime: Option<PathBuf>,
}

impl Places {
    pub(crate) fn new(dir: Option<PathBuf>, around: &Surroundings) -> Result<Self, Failure> {
        let named = dir.filter(|dir| !dir.as_os_str().is_empty());
        let dir = named.or_else(|| around.default_dir()).ok_or_else(|| {
            Failure::usage("there is no home directory to find the library in")
                .next("name its directory with --dir")
        })?;
        let dir = std::path::absolute(&dir)
            .map_err(|error| Failure::io(&format!("finding {}", dir.display()), &error))?;
        let dir = dir.canonicalize().unwrap_or(dir);
        let name = folder_name(&dir);
        let mut socket_name = OsString::from(&name);
        socket_name.push(".sock");
        let runtime = around.runtime_dir.as_ref().map(|dir| dir.join("driftless"));
        let state = around.state().map(|state| state.join(&name));
        // Addresses of sockets are short; a state directory deep down may leave no room for one.
        let short = PathBuf::from(format!("/tmp/driftless-{}", rustix::process::getuid().as_raw()));
        let sockets = [
            runtime.as_ref().map(|dir| dir.join(&socket_name)),
            state.as_ref().map(|dir| dir.join("socket")),
            Some(short.join(&socket_name)),
        ];
        let fits = |path: &PathBuf| path.as_os_str().len() <= MAX_SOCKET_PATH;
        let sockets = sockets.into_iter().flatten().filter(fits).collect();
        Ok(Self { dir, sockets, state, runtime: runtime.map(|dir| dir.join(&name)) })
    }

    /// Opens the library, and says it if it was found to be an old copy.
    pub(crate) fn open(&self) -> Result<Library, Error> {
        let library = self.open_quietly()?;
        if library.is_renewed() {
            eprintln!(
                "This directory is older than what this device has written, or a copy of it. It goes \
                 on under a new epoch: what was written since the copy comes back from the other \
                 devices as far as they have it. Should the original be in use as well, remove one of \
                 the two and let it join anew: driftless invite, then driftless join."
            );
        }
        Ok(library)
    }

    /// Opens the library, with a guard against old copies of it if there is a place for one.
    pub(crate) fn open_quietly(&self) -> Result<Library, Error> {
        match self.state.as_ref().map(|state| make_private(state).map(|()| state)) {
            Some(Ok(state)) => {
                let runtime = self.runtime.as_ref().filter(|dir| match make_private(dir) {
                    Ok(()) => true,
                    Err(error) => {
                        tracing::warn!(%error, "no place for a second guard");
                        false
                    }
                });
                Library::open_guarded(&self.dir, &models(), state, runtime.map(PathBuf::as_path))
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "no place for a guard against old copies of the library");
                Library::open(&self.dir, &models())
            }
            None => Library::open(&self.dir, &models()),
        }
    }

    /// What is kept of this library on this device alone; `None` if there is no safe place for it.
    pub(crate) fn make_state_dir(&self) -> Option<PathBuf> {
        let state = self.state.as_ref()?;
        match make_private(state) {
            Ok(()) => Some(state.clone()),
            Err(error) => {
                tracing::warn!(%error, state = %state.display(), "no place for this device's state");
                None
            }
        }
    }

    /// Where a client looks for the daemon. It may have been started with other variables set.
    pub(crate) fn sockets(&self) -> &[PathBuf] {
        &self.sockets
    }

    /// Where a daemon listens: the first place that can be made safe.
    pub(crate) fn make_socket_dir(&self) -> Result<PathBuf, Failure> {
        let mut last = None;
        for socket in &self.sockets {
            let Some(folder) = socket.parent() else { continue };
            match make_private(folder) {
                Ok(()) => return Ok(socket.clone()),
                Err(error) => last = Some((folder.to_owned(), error)),
            }
        }
        let why = last.map_or_else(String::new, |(folder, error)| {
            format!(" ({}: {error})", folder.display())
        });
        Err(Failure::new(Exit::Failed, "no_socket", format!("no place for the socket{why}"))
            .next("set XDG_RUNTIME_DIR or XDG_STATE_HOME to a directory of yours"))
    }
}

/// A name for a library's folder of state: readable, and different for different paths.
fn folder_name(dir: &Path) -> String {
    let hash = blake3::hash(dir.as_os_str().as_bytes());
    hash.to_hex()[..16].to_owned()
}

/// Makes a folder that only this user may enter, or makes sure that it is one.
fn make_private(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let meta = fs::symlink_metadata(folder)?;
    let ours = meta.uid() == rustix::process::getuid().as_raw();
    if !meta.is_dir() || !ours {
        return Err(io::Error::other("this is no directory of yours"));
    }
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_private_and_their_addresses_short() {
        let place = tempfile::tempdir().unwrap();
        let around = Surroundings {
            runtime_dir: Some(place.path().join("run")),
            state_home: Some(place.path().join("x".repeat(120))),
            ..Surroundings::default()
        };
        let places = Places::new(Some(place.path().to_owned()), &around).unwrap();
        assert_eq!(places.sockets().len(), 2, "{places:?}");
        let socket = places.make_socket_dir().unwrap();
        let folder = socket.parent().unwrap();
        assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        places.make_socket_dir().unwrap();
        assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_library_has_one_name_however_it_is_reached() {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().join("real");
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, place.path().join("link")).unwrap();
        let sockets = |dir: &str| {
            let dir = Some(place.path().join(dir));
            Places::new(dir, &Surroundings::default()).unwrap().sockets().to_vec()
        };
        assert_eq!(sockets("real"), sockets("link"));
        assert_ne!(sockets("real"), sockets("other"));
    }
}
