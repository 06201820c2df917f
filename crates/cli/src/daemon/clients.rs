//! The clients that are connected, so that they can be told to go.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use driftless::Library;
use driftless_catalog::keep::KeepReports;

use super::background::Background;
use super::{FAREWELL, HttpPlace, Stop, remove, serve};

/// Clients that are served at once.
const MAX_CLIENTS: usize = 64;

/// The clients that are connected.
#[derive(Default)]
pub(super) struct Clients {
    inner: Mutex<Inner>,
    left: Condvar,
    /// Long work is to end.
    stopping: AtomicBool,
    /// How folders are kept, if they are.
    kept: OnceLock<KeepReports>,
    /// Where the daemon is reached over HTTP.
    http: OnceLock<HttpPlace>,
}

#[derive(Default)]
struct Inner {
    /// Whether nobody is let in any more.
    over: bool,
    next: u64,
    streams: BTreeMap<u64, UnixStream>,
}

impl Clients {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can be left half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a client on a thread of its own.
    pub(super) fn take(
        self: &Arc<Self>,
        stream: UnixStream,
        library: &Arc<Library>,
        stop: &Sender<Stop>,
    ) {
        let Some(number) = self.register(&stream) else { return };
        let (clients, library, stop) = (self.clone(), library.clone(), stop.clone());
        let serve = move || {
            let registered = Registered { clients, number };
            let background = Background::new(library, registered.clients.clone());
            if let Err(error) = serve::serve(&stream, &background, &stop) {
                tracing::debug!(%error, "a client went away");
            }
            // The library is let go of before the client is counted out.
            drop(background);
        };
        let thread = std::thread::Builder::new().name(format!("driftless-client-{number}"));
        if let Err(error) = thread.spawn(serve) {
            tracing::error!(%error, "no thread for a client");
        }
    }

    /// Registers a client; `None` if it cannot be served.
    fn register(&self, stream: &UnixStream) -> Option<u64> {
        let mut inner = self.inner();
        if inner.over || inner.streams.len() >= MAX_CLIENTS {
            return None;
        }
        let copy = stream.try_clone().map_err(|error| tracing::error!(%error, "a client is lost"));
        let number = inner.next;
        inner.next += 1;
        inner.streams.insert(number, copy.ok()?);
        Some(number)
    }

    /// Folders are kept from now on.
    pub(super) fn keep(&self, kept: KeepReports) {
        // There is one keeper in the life of a daemon.
        self.kept.get_or_init(|| kept);
    }

    pub(super) fn kept(&self) -> Option<&KeepReports> {
        self.kept.get()
    }

    /// The daemon is reached over HTTP from now on.
    pub(super) fn reach_over_http(&self, place: HttpPlace) {
        // It has one place in the life of a daemon.
        self.http.get_or_init(|| place);
    }

    pub(super) fn http(&self) -> Option<&HttpPlace> {
        self.http.get()
    }

    /// Set when long work is to end.
    pub(super) fn stopping(&self) -> &AtomicBool {
        &self.stopping
    }

    /// Whether nobody is let in any more.
    pub(super) fn are_over(&self) -> bool {
        self.inner().over
    }

    /// Lets nobody in any more, and takes the socket away.
    pub(super) fn close_door(&self, socket: &Path) {
        self.inner().over = true;
        self.stopping.store(true, Ordering::Relaxed);
        // A last connection wakes the thread that accepts.
        drop(UnixStream::connect(socket));
        remove(socket);
    }

    /// Lets those that are being served have their answers, within bounds, and hears no more.
    pub(super) fn farewell(&self) {
        let inner = self.inner();
        for stream in inner.streams.values() {
            // One that has gone needs no farewell.
            drop(stream.shutdown(Shutdown::Read));
        }
        let left = self.left.wait_timeout_while(inner, FAREWELL, |inner| !inner.streams.is_empty());
        drop(left.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Counts a client out when its thread ends, however it ends.
struct Registered {
    clients: Arc<Clients>,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.clients.inner().streams.remove(&self.number);
        self.clients.left.notify_all();
    }
}
