//! The daemon: it has the library open, stays in sync, and does what clients ask over its socket.

mod background;
mod clients;
mod http;
mod phases;
mod serve;

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use driftless::{Error, Library, StoreError, SyncOptions};
use driftless_catalog::keep::{KeepOptions, Keeper};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::UpArgs;
use crate::client::Connection;
use crate::execute::scan_waiting;
use crate::failure::{Exit, Failure};
use crate::places::Places;
use crate::telling;
use crate::text;
use clients::Clients;
use http::Http;

pub(crate) use background::Background;
pub(crate) use http::HttpPlace;

/// How long a starting daemon waits for a command that has the library open.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// How long clients are given to have their answers when the daemon ends.
const FAREWELL: Duration = Duration::from_secs(3);
const FAREWELL_PAUSE: Duration = Duration::from_millis(10);

/// Why the daemon ends.
pub(crate) enum Stop {
    /// A signal.
    Signal,
    /// A client asked. The connection is closed when all is over.
    Asked(UnixStream),
    /// No more clients can come.
    Broken(io::Error),
}

/// Runs the daemon until it is stopped.
pub(crate) fn up(places: &Places, args: &UpArgs, as_json: bool) -> Result<Exit, Failure> {
    let (stop, stopped) = channel();
    let signals = watch_signals(stop.clone())?;
    if args.tied {
        watch_input(stop.clone())?;
    }
    let library = Arc::new(open(places)?);
    library.sync(SyncOptions { listen: args.listen, offline: args.offline })?;
    let socket = places.make_socket_dir()?;
    let listener = listen(&socket)?;
    let clients = Arc::new(Clients::default());
    accept(listener, library.clone(), clients.clone(), stop.clone())?;
    let background = Background::new(library.clone(), clients.clone());
    let http = Http::start(places, args.http, background, stop)?;
    clients.reach_over_http(http.place.clone());
    tell_ready(&library, http.place.address, as_json)?;
    phases::tell(&library, as_json)?;
    let keeper = keep(&library, &clients, args)?;
    // Without senders nobody could end it any more.
    let why = stopped.recv().ok();
    let deadline = Instant::now() + FAREWELL;
    clients.close_door(&socket);
    // Whoever waits for other devices waits in vain from now on, and is told how far it has come.
    library.stop_sync();
    http.stop();
    drop(keeper);
    clients.farewell();
    close(library, deadline);
    // Who asked for the end may read with it what became of everything.
    telling::end();
    signals.close();
    match why {
        Some(Stop::Broken(error)) => Err(Failure::io("listening for commands", &error)
            .effect("What was committed is safe.")
            .next("driftless up")),
        Some(Stop::Asked(client)) => {
            // It learns of the end by this, and not sooner. One that has gone need not learn of it.
            drop(client.shutdown(Shutdown::Both));
            Ok(Exit::Done)
        }
        Some(Stop::Signal) | None => Ok(Exit::Done),
    }
}

/// Keeps the catalogue true while folders change, unless nobody wants that.
fn keep(
    library: &Arc<Library>,
    clients: &Arc<Clients>,
    args: &UpArgs,
) -> Result<Option<Keeper>, Failure> {
    if args.no_watch {
        scan_what_waits(library, clients);
        return Ok(None);
    }
    let keeper = Keeper::start(library, KeepOptions::default())?;
    clients.keep(keeper.handle());
    Ok(Some(keeper))
}

/// Begins the scans that are still to come: of folders that were added while no daemon ran, and of
/// those whose scan did not come to its end.
fn scan_what_waits(library: &Arc<Library>, clients: &Arc<Clients>) {
    let background = Background::new(library.clone(), clients.clone());
    if let Err(error) = background.spawn(scan_waiting) {
        tracing::error!(%error, "no thread for scans");
    }
}

fn watch_signals(stop: Sender<Stop>) -> Result<signal_hook::iterator::Handle, Failure> {
    let watching = |error: &io::Error| Failure::io("watching for signals", error);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| watching(&error))?;
    let handle = signals.handle();
    std::thread::Builder::new()
        .name("driftless-signals".to_owned())
        .spawn(move || {
            for (count, signal) in signals.forever().enumerate() {
                if count > 0 {
                    // What was answered is durable; who asks twice wants no farewells.
                    std::process::exit(Exit::Failed as i32);
                }
                tracing::info!(signal, "stopping");
                // If it is ending already there is nobody to tell.
                drop(stop.send(Stop::Signal));
            }
        })
        .map_err(|error| watching(&error))?;
    Ok(handle)
}

/// Ends the daemon when the standard input does.
fn watch_input(stop: Sender<Stop>) -> Result<(), Failure> {
    std::thread::Builder::new()
        .name("driftless-input".to_owned())
        .spawn(move || {
            if let Err(error) = io::copy(&mut io::stdin().lock(), &mut io::sink()) {
                tracing::warn!(%error, "the standard input cannot be read");
            }
            // If the daemon is ending already there is nobody to tell.
            drop(stop.send(Stop::Signal));
        })
        .map(drop)
        .map_err(|error| Failure::io("starting a thread", &error))
}

/// Opens the library. A command that has it open is waited for; a daemon is not.
fn open(places: &Places) -> Result<Library, Failure> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    let mut told = false;
    loop {
        match places.open() {
            Err(Error::Store(StoreError::Locked { .. })) => {}
            other => return Ok(other?),
        }
        if Connection::open(places)?.is_some() {
            let message = format!("a daemon runs for {} already", places.dir.display());
            return Err(Failure::refused("already_up", message).next("driftless status"));
        }
        if !told {
            tracing::info!("waiting for a command that has the library open");
            told = true;
        }
        if Instant::now() >= deadline {
            let message = format!("another process has {} open", places.dir.display());
            return Err(Failure::refused("locked", message)
                .next("run it again when the other process has ended"));
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Listens at `socket`. We have the library's lock, so whatever is there was left behind.
fn listen(socket: &Path) -> Result<UnixListener, Failure> {
    remove(socket);
    let failed =
        |error: io::Error| Failure::io(&format!("listening at {}", socket.display()), &error);
    let listener = UnixListener::bind(socket).map_err(failed)?;
    // Its folder lets nobody else in to begin with.
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

fn remove(socket: &Path) {
    if let Err(error) = std::fs::remove_file(socket)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(socket = %socket.display(), %error, "the socket cannot be removed");
    }
}

fn accept(
    listener: UnixListener,
    library: Arc<Library>,
    clients: Arc<Clients>,
    stop: Sender<Stop>,
) -> Result<(), Failure> {
    std::thread::Builder::new()
        .name("driftless-accept".to_owned())
        .spawn(move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => clients.take(stream, &library, &stop),
                    Err(error) => {
                        drop(stop.send(Stop::Broken(error)));
                        return;
                    }
                }
                if clients.are_over() {
                    return;
                }
            }
        })
        .map(drop)
        .map_err(|error| Failure::io("starting a thread", &error))
}

fn tell_ready(library: &Library, http: SocketAddr, as_json: bool) -> Result<(), Failure> {
    let listening = library.listening();
    let line = if as_json {
        let device_id = library.device_id().to_string();
        json!({"ready": true, "device_id": device_id, "listen": listening, "http": http})
            .to_string()
    } else {
        let members = library.members()?;
        let here = members.iter().find(|member| member.here);
        let device = here.map_or("this device", |member| &member.name);
        let at: Vec<String> = listening.iter().map(ToString::to_string).collect();
        let (library, device) = (text::plain(&library.name()?), text::plain(device));
        format!("{device} is up with the library {library:?}, listening at {}", at.join(", "))
    };
    let mut out = io::stdout().lock();
    let told = writeln!(out, "{line}").and_then(|()| out.flush());
    told.map_err(|error| Failure::io("writing to the standard output", &error))
}

/// Closes the library, which is ours alone unless a client's command still runs.
fn close(library: Arc<Library>, deadline: Instant) {
    let mut library = library;
    loop {
        match Arc::try_unwrap(library) {
            Ok(library) => return library.close(),
            Err(shared) if Instant::now() < deadline => library = shared,
            Err(_) => {
                tracing::warn!("a command is still running; it ends with the daemon");
                return;
            }
        }
        std::thread::sleep(FAREWELL_PAUSE);
    }
}
