//! Work that goes on when whoever asked for it has their answer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use driftless::Library;
use driftless_catalog::keep::KeepReports;

use super::HttpPlace;
use super::clients::Clients;

/// The daemon's library, for work on a thread of its own. What works there looks at the flag that it
/// is given, and ends soon after that is set.
#[derive(Clone)]
pub(crate) struct Background {
    library: Arc<Library>,
    clients: Arc<Clients>,
}

impl Background {
    pub(super) fn new(library: Arc<Library>, clients: Arc<Clients>) -> Self {
        Self { library, clients }
    }

    pub(crate) fn library(&self) -> &Library {
        &self.library
    }

    /// How folders are kept, if they are.
    pub(crate) fn kept(&self) -> Option<&KeepReports> {
        self.clients.kept()
    }

    /// Where the daemon is reached over HTTP.
    pub(crate) fn http(&self) -> Option<&HttpPlace> {
        self.clients.http()
    }

    /// Set when long work is to end.
    pub(crate) fn stopping(&self) -> &AtomicBool {
        self.clients.stopping()
    }

    /// Begins a piece of work.
    pub(crate) fn spawn(
        &self,
        work: impl FnOnce(&Library, &AtomicBool) + Send + 'static,
    ) -> io::Result<()> {
        let own = self.clone();
        std::thread::Builder::new()
            .name("driftless-work".to_owned())
            .spawn(move || work(own.library(), own.stopping()))
            .map(drop)
    }
}
