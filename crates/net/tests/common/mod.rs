//! Real devices on loopback, and a log of what their networks report.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use driftless_core::id::{DeviceId, LibraryId};
use driftless_net::{
    Cause, Class, FramePermit, Membership, Net, NetConfig, NetError, NetEvent, Outside, Pairing,
    Sink,
};
use iroh::endpoint::{Connection, PortmapperConfig, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey, TransportAddr};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

pub(crate) const LIBRARY: LibraryId = LibraryId(Uuid::from_u128(77));
/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn secret(n: u8) -> [u8; 32] {
    [n; 32]
}

pub(crate) fn device(n: u8) -> DeviceId {
    DeviceId(ed25519_dalek::SigningKey::from_bytes(&secret(n)).verifying_key().to_bytes())
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// An event without what can be held only once.
#[derive(Clone)]
pub(crate) enum Seen {
    Up { peer: DeviceId, conn: u64 },
    Elsewhere { peer: DeviceId },
    Down { peer: DeviceId, conn: u64, reason: String },
    Frame { peer: DeviceId, conn: u64, class: Class, bytes: Bytes },
    Writable { class: Class },
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up { peer, conn } => write!(f, "up {peer:?} #{conn}"),
            Self::Elsewhere { peer } => write!(f, "elsewhere, says {peer:?}"),
            Self::Down { peer, conn, reason } => write!(f, "down {peer:?} #{conn} {reason}"),
            Self::Frame { peer, conn, class, bytes } => {
                write!(f, "{class:?} of {} from {peer:?} #{conn}", bytes.len())
            }
            Self::Writable { class } => write!(f, "writable {class:?}"),
        }
    }
}

/// What a network has reported so far.
#[derive(Default)]
pub(crate) struct Log {
    seen: Mutex<Vec<Seen>>,
    changed: Notify,
    slow: AtomicBool,
    held: Mutex<Vec<FramePermit>>,
    /// Who was turned away, and why.
    pub(crate) refused: Mutex<Vec<(DeviceId, Cause)>>,
}

impl Log {
    fn sink(self: &Arc<Self>) -> Sink {
        let log = self.clone();
        Arc::new(move |event| log.take(event))
    }

    fn take(&self, event: NetEvent) {
        let seen = match event {
            NetEvent::Connected { peer, conn, .. } => Seen::Up { peer, conn },
            NetEvent::Elsewhere { peer } => Seen::Elsewhere { peer },
            NetEvent::Disconnected { peer, conn, reason, .. } => Seen::Down { peer, conn, reason },
            NetEvent::Frame { peer, conn, class, bytes, permit } => {
                if self.slow.load(Ordering::SeqCst) {
                    self.held.lock().unwrap().push(permit);
                }
                Seen::Frame { peer, conn, class, bytes }
            }
            NetEvent::Writable { class, .. } => Seen::Writable { class },
            // Whoever is turned away is no link, and comes again at any time.
            NetEvent::Refused { peer, cause } => {
                self.refused.lock().unwrap().push((peer, cause));
                return;
            }
        };
        self.seen.lock().unwrap().push(seen);
        self.changed.notify_waiters();
    }

    /// From now on frames are not dealt with.
    pub(crate) fn hold_frames(&self) {
        self.slow.store(true, Ordering::SeqCst);
    }

    /// All frames are dealt with.
    pub(crate) fn release_frames(&self) {
        self.slow.store(false, Ordering::SeqCst);
        self.held.lock().unwrap().clear();
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until the log shows something; fails with the log if it does not in time.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        mut found: impl FnMut(&[Seen]) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = found(&self.seen.lock().unwrap()) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(timeout(left, changed).await.is_ok(), "not seen: {what} in {:?}", self.seen());
        }
    }

    /// Waits until `peer` is connected, whatever came before; gives the number of the link.
    pub(crate) async fn up(&self, peer: DeviceId) -> u64 {
        self.until("a link", |seen| up_now(seen, peer)).await
    }

    /// Waits until `peer` is connected over a link later than `conn`.
    pub(crate) async fn up_after(&self, peer: DeviceId, conn: u64) -> u64 {
        self.until("a new link", |seen| up_now(seen, peer).filter(|now| *now > conn)).await
    }

    /// Waits until the link is gone; gives the reason.
    pub(crate) async fn down(&self, peer: DeviceId, link: u64) -> String {
        self.until("the end of a link", |seen| {
            seen.iter().find_map(|seen| match seen {
                Seen::Down { peer: p, conn, reason } if *p == peer && *conn == link => {
                    Some(reason.clone())
                }
                _ => None,
            })
        })
        .await
    }

    /// Waits for so many frames from `peer` in all, and gives them.
    pub(crate) async fn frames(&self, peer: DeviceId, count: usize) -> Vec<(Class, Bytes)> {
        self.until("frames", |seen| {
            let frames = frames_of(seen, peer);
            (frames.len() >= count).then_some(frames)
        })
        .await
    }

    /// The promises of `NetEvent` about order, over the whole log.
    pub(crate) fn check_order(&self) {
        let mut last: BTreeMap<DeviceId, u64> = BTreeMap::new();
        let mut up: BTreeMap<DeviceId, u64> = BTreeMap::new();
        for seen in self.seen() {
            match seen {
                Seen::Up { peer, conn } => {
                    assert!(conn > last.get(&peer).copied().unwrap_or(0), "{:?}", self.seen());
                    assert_eq!(up.insert(peer, conn), None, "{:?}", self.seen());
                    last.insert(peer, conn);
                }
                Seen::Down { peer, conn, .. } => {
                    assert_eq!(up.remove(&peer), Some(conn), "{:?}", self.seen());
                }
                Seen::Frame { peer, conn, .. } => {
                    assert_eq!(up.get(&peer), Some(&conn), "{:?}", self.seen());
                }
                Seen::Writable { .. } | Seen::Elsewhere { .. } => {}
            }
        }
    }
}

pub(crate) fn frames_of(seen: &[Seen], from: DeviceId) -> Vec<(Class, Bytes)> {
    let frame = |seen: &Seen| match seen {
        Seen::Frame { peer, class, bytes, .. } if *peer == from => Some((*class, bytes.clone())),
        _ => None,
    };
    seen.iter().filter_map(frame).collect()
}

pub(crate) fn up_now(seen: &[Seen], of: DeviceId) -> Option<u64> {
    seen.iter().rev().find_map(|seen| match seen {
        Seen::Up { peer, conn } if *peer == of => Some(Some(*conn)),
        Seen::Down { peer, .. } if *peer == of => Some(None),
        _ => None,
    })?
}

/// A set of members that can change.
#[derive(Default)]
pub(crate) struct Members(pub(crate) Mutex<BTreeSet<DeviceId>>);

impl Members {
    pub(crate) fn of(devices: &[u8]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(devices.iter().copied().map(device).collect())))
    }
}

impl Membership for Members {
    fn is_member(&self, device: &DeviceId) -> bool {
        self.0.lock().unwrap().contains(device)
    }
}

/// A device on loopback.
pub(crate) struct Node {
    pub(crate) net: Net,
    pub(crate) log: Arc<Log>,
}

impl Node {
    pub(crate) async fn start(n: u8, members: Arc<Members>) -> Self {
        Self::start_with(n, members, loopback(), None).await.unwrap()
    }

    pub(crate) async fn start_with(
        n: u8,
        members: Arc<Members>,
        listen: SocketAddr,
        pairing: Option<Arc<dyn Pairing>>,
    ) -> Result<Self, NetError> {
        let log = Arc::new(Log::default());
        let config = NetConfig {
            secret: secret(n),
            listen: Some(listen),
            outside: Outside::NONE,
            library: LIBRARY,
            members,
            pairing,
            jitter_seed: u64::from(n),
        };
        let net = Net::start(config, log.sink()).await?;
        Ok(Self { net, log })
    }

    pub(crate) fn id(&self) -> DeviceId {
        self.net.device_id()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.net.listen_addrs()[0]
    }

    /// Sets the routes to these.
    pub(crate) fn know(&self, others: &[&Node]) {
        let routes = others.iter().map(|node| (node.id(), vec![node.addr()])).collect();
        self.net.set_routes(routes);
    }

    pub(crate) fn send(&self, to: &Node, class: Class, bytes: Vec<u8>) {
        self.net.send(&to.id(), class, Bytes::from(bytes)).unwrap();
    }

    pub(crate) async fn stop(self) {
        timeout(PATIENCE, self.net.shutdown()).await.expect("the network stops in time");
        self.log.check_order();
    }
}

/// Two members, connected: the first one dialled.
pub(crate) async fn pair() -> (Node, Node) {
    let members = Members::of(&[1, 2]);
    let (a, b) = (Node::start(1, members.clone()).await, Node::start(2, members).await);
    a.know(&[&b]);
    a.log.up(b.id()).await;
    b.log.up(a.id()).await;
    (a, b)
}

/// Bytes that tell their place, so that nothing can be mixed up unnoticed.
pub(crate) fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((seed * 31 + at * 7 + (at >> 8)) % 251).unwrap()).collect()
}

/// A device that speaks a protocol by hand.
pub(crate) async fn by_hand(n: u8, to: &Node, alpn: &[u8]) -> (Endpoint, Connection) {
    let endpoint = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .clear_ip_transports()
        .bind_addr(loopback())
        .unwrap()
        .secret_key(SecretKey::from_bytes(&secret(n)))
        .bind()
        .await
        .unwrap();
    let id = EndpointId::from_bytes(&to.id().0).unwrap();
    let addr = EndpointAddr::from_parts(id, [TransportAddr::Ip(to.addr())]);
    let conn = endpoint.connect(addr, alpn).await.unwrap();
    (endpoint, conn)
}
