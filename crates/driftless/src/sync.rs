//! Turning the network on and off.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use driftless_core::id::DeviceId;
use driftless_net::{Net, NetConfig, Outside};
use tokio::runtime::Runtime;

use crate::device::Device;
use crate::error::Error;
use crate::event_log::{EventKind, Happened};
use crate::invite::Tickets;
use crate::library::Library;
use crate::random;
use crate::settings::{self, Setting};
use crate::writer::{Command, Writer, addresses_json};

/// How to open the network.
///
/// ```
/// use driftless::SyncOptions;
///
/// // Other devices find this one by relays and look-ups, or at a known port:
/// let anywhere = SyncOptions { listen: Some(([0, 0, 0, 0], 7700).into()), offline: false };
/// // For tests: nothing leaves this machine.
/// let here = SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true };
/// # assert!(!anywhere.offline && here.offline);
/// ```
#[derive(Clone, Debug, Default)]
pub struct SyncOptions {
    /// Where to listen; by default on all interfaces, at the port of the last time if it is free.
    pub listen: Option<SocketAddr>,
    /// No relay, no discovery, no look-ups: only addresses that are known.
    pub offline: bool,
}

/// The network while it is on.
pub(crate) struct Running {
    net: Arc<Net>,
    runtime: Runtime,
}

impl Library {
    /// Turns sync on: from now on this device stays connected to every member that it can reach.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::{Error, SyncOptions};
    ///
    /// let here = SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true };
    /// library.sync(here.clone())?;
    /// assert!(matches!(library.sync(here), Err(Error::AlreadySyncing)));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn sync(&self, options: SyncOptions) -> Result<(), Error> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            return Err(Error::AlreadySyncing);
        }
        // One thread carries what a disk takes in many times over; two wake each other for each packet.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("driftless-net")
            .enable_all()
            .build()
            .map_err(Error::io(self.dir(), "starting the network's threads"))?;
        let net = Arc::new(self.start_net(&runtime, &options)?);
        let (attached, listening) = (net.clone(), net.listen_addrs());
        self.transact(move |writer| writer.attach(attached, &listening))?;
        *running = Some(Running { net, runtime });
        Ok(())
    }

    fn start_net(&self, runtime: &Runtime, options: &SyncOptions) -> Result<Net, Error> {
        let earlier = self.call(|writer| settings::listen(&writer.store))??;
        let on = |setting| Ok::<_, Error>(!options.offline && self.setting(setting)? == "on");
        let outside = Outside { relay: on(Setting::Relay)?, discovery: on(Setting::Discovery)? };
        let wanted = options.listen.or_else(|| usual(&earlier));
        let start = |listen| {
            let commands = self.commands();
            let sink = Arc::new(move |event| {
                // After the writer has ended nobody is left to hear of it.
                drop(commands.send(Command::Net(event)));
            });
            let config = NetConfig {
                secret: self.signing.to_bytes(),
                listen,
                outside,
                library: self.id(),
                members: self.members.clone(),
                pairing: Some(Arc::new(Tickets::new(self.commands(), self.open_until.clone()))),
                jitter_seed: random::seed()?,
            };
            runtime.block_on(Net::start(config, sink)).map_err(Error::from)
        };
        // The port of the last time may be taken; any other will do, as peers are told of it.
        let retry = options.listen.is_none_or(|listen| listen.port() == 0) && wanted.is_some();
        let first = match options.listen {
            Some(listen) if listen.port() == 0 => earlier_port(listen, &earlier).or(Some(listen)),
            _ => wanted,
        };
        match start(first) {
            Err(_) if retry => start(options.listen),
            outcome => outcome,
        }
    }

    /// Turns sync off: tells the peers and closes the connections.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// library.sync(loopback())?;
    /// library.stop_sync();
    /// assert!(!library.is_syncing());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn stop_sync(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { net, runtime }) = running else { return };
        if let Err(error) = self.call(Writer::detach) {
            tracing::error!(%error, "the writer does not let go of the network");
        }
        match Arc::try_unwrap(net) {
            Ok(net) => runtime.block_on(net.shutdown()),
            Err(_) => tracing::error!("the network is still in use; it ends without farewell"),
        }
    }

    /// Whether sync is on.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert!(!library.is_syncing());
    /// library.sync(loopback())?;
    /// assert!(library.is_syncing());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn is_syncing(&self) -> bool {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn with_net<T>(&self, look: impl FnOnce(&Net) -> T) -> Result<T, Error> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|running| look(&running.net)).ok_or(Error::NotSyncing)
    }

    /// Where this device listens; empty while sync is off.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert!(library.listening().is_empty());
    /// library.sync(loopback())?;
    /// assert!(library.listening()[0].ip().is_loopback());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.with_net(Net::listen_addrs).unwrap_or_else(|_| Vec::new())
    }

    /// Cuts the link to a peer, or to all, until it is resumed.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// laptop.pause(Some(phone.device_id()))?;
    /// assert!(laptop.status()?.peers[0].paused);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn pause(&self, peer: Option<DeviceId>) -> Result<(), Error> {
        self.with_net(|net| net.pause(peer))?;
        self.note(move |writer| writer.links_told(EventKind::Paused, peer));
        Ok(())
    }

    /// Lets a link that was paused be made again.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// laptop.pause(None)?;
    /// laptop.resume(None)?;
    /// assert!(!laptop.status()?.peers[0].paused);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn resume(&self, peer: Option<DeviceId>) -> Result<(), Error> {
        self.with_net(|net| net.resume(peer))?;
        self.note(move |writer| writer.links_told(EventKind::Resumed, peer));
        Ok(())
    }

    /// Remembers an address of a member, or one at which any other member may be found, and tries
    /// it at once.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// // Somebody knows where the phone is; or that some device is there.
    /// laptop.add_route(Some(phone.device_id()), phone.listening()[0])?;
    /// laptop.add_route(None, ([192, 168, 1, 20], 7700).into())?;
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn add_route(&self, device: Option<DeviceId>, route: SocketAddr) -> Result<(), Error> {
        self.transact(move |writer| writer.add_route(device, route))
    }
}

fn usual(earlier: &[SocketAddr]) -> Option<SocketAddr> {
    let port = earlier.first()?.port();
    Some(SocketAddr::from(([0, 0, 0, 0], port)))
}

fn earlier_port(listen: SocketAddr, earlier: &[SocketAddr]) -> Option<SocketAddr> {
    let same = earlier.iter().find(|address| address.ip() == listen.ip())?;
    Some(SocketAddr::new(listen.ip(), same.port()))
}

impl Writer {
    fn attach(&mut self, net: Arc<Net>, listening: &[SocketAddr]) -> Result<(), Error> {
        settings::set_listen(&mut self.store, listening)?;
        let device = self.store.identity().device;
        let addresses = addresses_json(listening);
        let told = self.local(move |tx| {
            let id = Device::row_id(&device);
            let row: Option<Device> = tx.get(id)?;
            // A row that somebody deleted is not brought back: the certificate names the device.
            if row.is_some_and(|row| row.addresses != addresses) {
                tx.update(id, |row: &mut Device| row.addresses = addresses)?;
            }
            Ok::<_, Error>(())
        });
        match told {
            // A row that is damaged comes back by the network.
            Err(error) if error.is_damage() => {
                tracing::error!(%error, "this device's own row cannot be written");
            }
            told => told?,
        }
        self.net = Some(net);
        let at: Vec<String> = listening.iter().map(ToString::to_string).collect();
        let words = format!("sync is on; this device listens at {}", at.join(", "));
        self.record(Happened::new(EventKind::SyncOn, words).with("listen", at));
        self.refresh_routes();
        Ok(())
    }

    fn detach(&mut self) {
        self.net = None;
        self.record(Happened::new(EventKind::SyncOff, "sync is off"));
        let now = crate::time::now();
        let peers: Vec<DeviceId> = self.meetings.keys().copied().collect();
        for peer in peers {
            self.forget_connection(peer, now);
        }
        for watch in &mut self.watches {
            watch.give_up();
        }
    }

    fn add_route(&mut self, device: Option<DeviceId>, route: SocketAddr) -> Result<(), Error> {
        let here = self.store.identity().device;
        let devices: Vec<DeviceId> = match device {
            Some(device) if !self.roster.contains(&device) => return Err(Error::NoMember(device)),
            Some(device) => vec![device],
            None => self.roster.certificates().map(|c| c.device).filter(|d| *d != here).collect(),
        };
        for device in devices {
            self.keep_routes(&device, &[route])?;
        }
        self.refresh_routes();
        Ok(())
    }
}
