//! How the library is, at a glance.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use driftless_core::id::{DeviceId, LibraryId};
use driftless_core::message::State;
use driftless_net::Cause;

use crate::damage::Damage;
use crate::error::Error;
use crate::library::Library;
use crate::members::Member;
use crate::pace::Standing;
use crate::settings;
use crate::writer::Writer;

/// How one member is.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// let status = laptop.status()?;
/// let peer = &status.peers[0];
/// assert_eq!((peer.member.name.as_str(), peer.online), ("phone", true));
/// println!("{} lacks {} of our changes; we lack {} of its", peer.member.name, peer.behind, peer.ahead);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct PeerStatus {
    /// Who it is.
    pub member: Member,
    /// Whether it is connected and has introduced itself.
    pub online: bool,
    /// Whether its link is cut on purpose.
    pub paused: bool,
    /// Change sets that are here and that it has not acknowledged.
    pub behind: u64,
    /// Change sets that it has and that are not here.
    pub ahead: u64,
    /// For how long it has lacked something that is here, in milliseconds, as far as this process knows;
    /// 0 if it lacks nothing.
    pub lag_ms: u64,
    /// How long ago it acknowledged something new, in milliseconds, if it did since the library was
    /// opened.
    pub acknowledged_ms_ago: Option<u64>,
    /// The connection's round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// The connection's route.
    pub route: Option<String>,
    /// How far its clock is ahead of ours, in milliseconds, as of the latest meeting.
    pub clock_offset_ms: Option<i64>,
    /// When it was connected or heard last, Unix milliseconds, as far as that is known: of the time
    /// before this process, when it acknowledged something last.
    pub last_seen_ms: Option<u64>,
    /// Whether two copies of its data seem to be in use: one of them has to join anew.
    pub twin: bool,
    /// Why there is no connection.
    pub last_failure: Option<String>,
    /// The same, told apart for programs.
    pub cause: Option<Cause>,
    /// In how many milliseconds it is dialled the next time, if that is planned.
    pub next_attempt_ms: Option<u64>,
    /// Whether it has ever acknowledged anything.
    pub met: bool,
    /// Bytes received from it and sent to it over this process's connections.
    pub traffic: (u64, u64),
    /// Bytes that wait to be sent to it: bounded, as one that lets its queue run full is disconnected
    /// and met anew.
    pub queued: u64,
}

/// How a library is.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let status = library.status()?;
/// assert_eq!((status.name.as_str(), status.syncing), ("Home", false));
/// assert_eq!(status.counts.iter().find(|(model, _)| model == "todo"), Some(&("todo".into(), 0)));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// The library.
    pub library: LibraryId,
    /// Its name.
    pub name: String,
    /// This device.
    pub device: DeviceId,
    /// How far this replica is, and how fast it gets on.
    pub standing: Standing,
    /// Whether sync is on.
    pub syncing: bool,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// What it holds, durable and exact.
    pub state: State,
    /// All other members.
    pub peers: Vec<PeerStatus>,
    /// Rows of each model, by name.
    pub counts: Vec<(String, u64)>,
    /// Records whose projection waits.
    pub quarantined: u64,
    /// Fields with siblings of different values.
    pub conflicts: u64,
    /// How far ahead a remote clock may be to be followed, in milliseconds.
    pub max_drift_ms: u64,
    /// Whether another copy of this device's data seems to be in use: one of the two has to join anew.
    pub twin: bool,
    /// What is damaged on this device.
    pub damage: Damage,
    /// Bytes of the library's files.
    pub sizes: Vec<(String, u64)>,
}

/// Bytes of the library's files; one that is not there has none.
pub(crate) fn sizes(dir: &Path) -> Result<Vec<(String, u64)>, Error> {
    let mut sizes = Vec::new();
    for name in ["library.db", "library.db-wal", "sync.db", "sync.db-wal"] {
        let path = dir.join(name);
        match std::fs::metadata(&path) {
            Ok(file) => sizes.push((name.to_owned(), file.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(path, "looking at its size")(error)),
        }
    }
    Ok(sizes)
}

impl Library {
    /// How the library is now.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// use driftless::core::engine::Phase;
    ///
    /// let status = phone.status()?;
    /// assert_eq!(status.standing.phase, Phase::Ready);
    /// assert_eq!(status.peers.len(), 1);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn status(&self) -> Result<Status, Error> {
        let members = self.members()?;
        self.call(move |writer| writer.status(members))?
    }
}

impl Writer {
    /// Whether a member is connected and has introduced itself.
    pub(crate) fn is_reachable(&self, device: &DeviceId) -> bool {
        self.engine.is_ready(device)
    }

    /// Whether a member that a link is kept with was dialled in vain, or its link has ended.
    pub(crate) fn is_missed(&self, device: &DeviceId) -> bool {
        let failed = self.net.as_ref().is_some_and(|net| net.last_failure(device).is_some());
        failed && self.neighbourhood.is_neighbour(device)
    }

    fn status(&mut self, members: Vec<Member>) -> Result<Status, Error> {
        let standing = self.standing();
        let identity = self.store.identity();
        let digests = self.digests();
        let mut counts: Vec<(String, u64)> = self
            .schema
            .iter()
            .map(|model| {
                (model.name.clone(), digests.get(&model.id).map_or(0, |digest| digest.rows))
            })
            .collect();
        counts.sort();
        let others = members.into_iter().filter(|member| !member.here);
        Ok(Status {
            library: identity.library,
            name: settings::library_name(&self.store)?,
            device: identity.device,
            standing,
            syncing: self.net.is_some(),
            listen: self.net.as_ref().map_or_else(Vec::new, |net| net.listen_addrs()),
            state: self.state(),
            peers: others.map(|member| self.peer_status(member)).collect(),
            counts,
            quarantined: self.store.quarantined()?,
            conflicts: self.store.conflict_count(),
            max_drift_ms: self.engine.max_drift_ms(),
            twin: self.is_twin(&identity.device),
            damage: self.damage()?,
            sizes: sizes(self.store.dir())?,
        })
    }

    fn peer_status(&self, member: Member) -> PeerStatus {
        use driftless_core::store::Store as _;
        let device = member.device;
        let lag = self.engine.lag(&self.store, &device);
        let meeting = self.meetings.get(&device).cloned().unwrap_or_default();
        let net = self.net.as_ref();
        let traffic = net.map(|net| net.traffic(&device)).unwrap_or_default();
        let times = self.counters.peers.get(&device).copied().unwrap_or_default();
        let now = crate::time::now().steady_ms;
        let since = |then: u64| now.saturating_sub(then);
        let (live, bulk) = net.map_or((0, 0), |net| net.queued(&device));
        PeerStatus {
            member,
            online: self.engine.is_ready(&device),
            paused: net.is_some_and(|net| net.is_paused(&device)),
            behind: lag.behind,
            ahead: lag.ahead,
            lag_ms: times.behind_since.filter(|_| lag.behind > 0).map_or(0, since),
            acknowledged_ms_ago: times.acknowledged.map(since),
            rtt_ms: net.and_then(|net| net.rtt(&device)).map(|rtt| rtt.as_secs_f64() * 1e3),
            route: net.and_then(|net| net.route(&device)),
            clock_offset_ms: meeting.clock_offset_ms,
            last_seen_ms: self.last_seen_ms(&device),
            last_failure: net.and_then(|net| net.last_failure(&device)),
            cause: net.and_then(|net| net.cause(&device)),
            next_attempt_ms: net
                .and_then(|net| net.next_attempt(&device))
                .map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            twin: self.is_twin(&device),
            met: self.engine.is_ready(&device) || self.store.acknowledged(&device).is_some(),
            traffic: (traffic.received, traffic.sent),
            queued: (live + bulk) as u64,
        }
    }
}
