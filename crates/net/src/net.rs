//! The handle of the network.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use driftless_core::id::DeviceId;
use iroh::{Endpoint, SecretKey};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::accept;
use crate::close::{Cause, Close, Cut};
use crate::config::{Class, NetConfig};
use crate::endpoint::{self, LINK_ALPN, PAIR_ALPN, Setup};
use crate::error::{NetError, SendError};
use crate::event::Sink;
use crate::gate::Gate;
use crate::hub::Hub;
use crate::shared::Shared;

/// Connections that passed the gate and wait for the hub's word.
const CANDIDATES: usize = 64;

/// Bytes of frames exchanged with a peer since the start, over all its links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Handed over to the consumer.
    pub received: u64,
    /// Given to the transport.
    pub sent: u64,
}

/// Links to the members of one library.
///
/// Dropping it ends everything at once, without farewell; [`shutdown`](Self::shutdown) is the
/// orderly way.
pub struct Net {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    hub: JoinHandle<()>,
    accept: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Net {
    /// Opens the network; must be called within a tokio runtime. Nobody is dialled before
    /// [`set_routes`](Self::set_routes).
    pub async fn start(config: NetConfig, sink: Sink) -> Result<Self, NetError> {
        let NetConfig { secret, listen, outside, library, members, pairing, jitter_seed } = config;
        let me = DeviceId(*SecretKey::from_bytes(&secret).public().as_bytes());
        let mut instance = [0; 16];
        getrandom::fill(&mut instance)?;
        let shared = Arc::new(Shared::new(me, instance, library, members, pairing, sink));
        let hook = Gate(shared.clone());
        let alpns: &[&[u8]] = &[LINK_ALPN, PAIR_ALPN];
        let endpoint =
            endpoint::bind(Setup { secret: &secret, listen, outside, alpns, hook }).await?;
        let (candidates, arriving) = mpsc::channel(CANDIDATES);
        let (stop, stopped) = oneshot::channel();
        let hub = Hub::new(shared.clone(), endpoint.clone(), outside.discovery, jitter_seed);
        let hub = tokio::spawn(hub.run(shared.wanted.subscribe(), arriving, stopped));
        let accept = tokio::spawn(accept::run(endpoint.clone(), shared.clone(), candidates));
        Ok(Self { shared, endpoint, hub, accept, stop: Some(stop) })
    }

    /// This device.
    pub fn device_id(&self) -> DeviceId {
        self.shared.me
    }

    /// Where this device listens: with real ports, and with the addresses of its interfaces if it
    /// listens on all of them, as far as they are known by now.
    pub fn listen_addrs(&self) -> Vec<SocketAddr> {
        endpoint::listen_addrs(&self.endpoint)
    }

    /// The relay through which this device can be reached, if it has one by now; for tickets.
    pub fn relay(&self) -> Option<String> {
        self.endpoint.addr().relay_urls().next().map(ToString::to_string)
    }

    /// Whom to stay connected with, and where they were seen. A peer whose addresses are new is
    /// dialled at once; one without any only if look-ups are allowed. Links that are up stay.
    pub fn set_routes(&self, routes: BTreeMap<DeviceId, Vec<SocketAddr>>) {
        self.shared.wanted.send_if_modified(|wanted| {
            let changed = wanted.routes != routes;
            wanted.routes = routes;
            changed
        });
    }

    /// Dials every peer of the routes that is not connected now, however long the wait before the
    /// next attempt would have been.
    pub fn dial_now(&self) {
        self.shared.wanted.send_modify(|wanted| wanted.urged += 1);
    }

    /// Queues a frame; never waits. A frame that was queued is lost if the link ends before it
    /// has gone out.
    pub fn send(&self, peer: &DeviceId, class: Class, frame: Bytes) -> Result<(), SendError> {
        let link = self.shared.link(peer).ok_or(SendError::NotConnected { peer: *peer })?;
        link.outbox.push(*peer, class, frame)
    }

    /// Bytes that wait to be given to the transport, live and bulk, a little more than their
    /// lengths for each frame.
    pub fn queued(&self, peer: &DeviceId) -> (usize, usize) {
        self.shared.link(peer).map_or((0, 0), |link| link.outbox.queued())
    }

    /// Cuts the link, if there is one; `reason` is told to both sides. The peer is dialled again
    /// as the routes say.
    pub fn disconnect(&self, peer: &DeviceId, cut: Cut, reason: &str) {
        if let Some(link) = self.shared.link(peer) {
            link.close(cut.close(), reason);
        }
    }

    /// Cuts the link with `peer`, or all links, and neither dials nor accepts until
    /// [`resume`](Self::resume).
    pub fn pause(&self, peer: Option<DeviceId>) {
        self.shared.wanted.send_modify(|wanted| wanted.pause(peer));
        let cut = self.shared.links();
        for link in cut.iter().filter(|link| peer.is_none_or(|peer| peer == link.peer)) {
            link.close(Close::Paused, "paused");
        }
    }

    /// Ends a pause and dials at once. `None` ends every pause; one peer is resumed also while all are
    /// paused, and the others stay so.
    pub fn resume(&self, peer: Option<DeviceId>) {
        self.shared.wanted.send_modify(|wanted| wanted.resume(peer));
    }

    /// Whether links with `peer` are paused.
    pub fn is_paused(&self, peer: &DeviceId) -> bool {
        self.shared.is_paused(peer)
    }

    /// The round-trip time to a connected peer.
    pub fn rtt(&self, peer: &DeviceId) -> Option<Duration> {
        self.shared.link(peer)?.rtt()
    }

    /// The address in use for a connected peer, for people.
    pub fn route(&self, peer: &DeviceId) -> Option<String> {
        Some(self.shared.link(peer)?.route())
    }

    /// Bytes of frames exchanged with `peer` since the start.
    pub fn traffic(&self, peer: &DeviceId) -> Traffic {
        self.shared.known_stats(peer).map_or_else(Traffic::default, |stats| Traffic {
            received: stats.received.load(Ordering::Relaxed),
            sent: stats.sent.load(Ordering::Relaxed),
        })
    }

    /// Why there is no link with `peer`: what ended the last one, or why the last attempt failed.
    /// `None` while it is connected and before the first attempt.
    pub fn last_failure(&self, peer: &DeviceId) -> Option<String> {
        self.shared.known_stats(peer)?.failure().map(|(_, words)| words)
    }

    /// The same, told apart for programs.
    pub fn cause(&self, peer: &DeviceId) -> Option<Cause> {
        self.shared.known_stats(peer)?.failure().map(|(cause, _)| cause)
    }

    /// In how long the peer is dialled the next time; `None` if it is not going to be, as it is
    /// connected, paused, or nowhere to be found.
    pub fn next_attempt(&self, peer: &DeviceId) -> Option<Duration> {
        let at = self.shared.known_stats(peer)?.next()?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Closes every link, says `Disconnected` for each, tells the peers, and gives the port back.
    pub async fn shutdown(mut self) {
        self.accept.abort();
        // Both ends are joined so that nothing holds the sockets afterwards.
        if let Err(error) = (&mut self.accept).await
            && !error.is_cancelled()
        {
            tracing::error!(%error, "accepting connections had failed");
        }
        if let Some(stop) = self.stop.take()
            && stop.send(()).is_err()
        {
            tracing::error!("the hub had ended before");
        }
        if let Err(error) = (&mut self.hub).await {
            tracing::error!(%error, "the hub had failed");
        }
        endpoint::close(self.endpoint.clone()).await;
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.hub.abort();
        self.accept.abort();
    }
}
