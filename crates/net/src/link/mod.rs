//! A link: the one QUIC connection of a pair, with a live and a bulk stream, and one that tells how
//! much of the bulk was read.

mod flow;
mod frames;
mod greet;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use driftless_core::id::DeviceId;
use iroh::TransportAddr;
use iroh::endpoint::{Connection, ConnectionError, RecvStream, SendStream};
use tokio::task::JoinSet;

use crate::close::{self, Cause, Close};
use crate::config::Class;
use crate::outbox::Outbox;
use crate::shared::{PeerStats, Shared, unpoisoned};
use crate::signs;

use flow::Flow;
pub(crate) use greet::{GreetError, Greeting, answer, greet};

/// Stream priority: what is buffered of live goes into the next packet before bulk.
const LIVE_PRIORITY: i32 = 1;

/// Both directions of one stream.
pub(crate) struct Lane {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

/// A connection whose greeting was read, and that may become the link of its pair.
pub(crate) struct Candidate {
    pub(crate) peer: DeviceId,
    pub(crate) conn: Connection,
    /// Who dialled: this side or the peer.
    pub(crate) dialled: bool,
    /// The peer's instance.
    pub(crate) instance: [u8; 16],
    pub(crate) live: Lane,
    pub(crate) bulk: Lane,
    pub(crate) flow: Lane,
}

/// A link that is up, as its tasks and the handle see it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) peer: DeviceId,
    pub(crate) generation: u64,
    pub(crate) outbox: Outbox,
    conn: Connection,
    /// Why it was closed by us; the first reason stays.
    cause: Mutex<Option<(Close, String)>>,
}

impl Link {
    pub(crate) fn new(peer: DeviceId, generation: u64, conn: Connection) -> Self {
        let (outbox, cause) = (Outbox::default(), Mutex::new(None));
        Self { peer, generation, outbox, conn, cause }
    }

    /// Closes the link; what is queued is lost.
    pub(crate) fn close(&self, close: Close, words: &str) {
        unpoisoned(&self.cause).get_or_insert_with(|| (close, words.to_owned()));
        close.connection(&self.conn, words);
    }

    /// Says that this device is there. Where it cannot be said, as to a peer that takes no signs, the
    /// transport does it, or the link is about to end.
    pub(crate) fn sign(&self) {
        if let Err(error) = self.conn.send_datagram(signs::SIGN) {
            tracing::trace!(peer = %self.peer, %error, "no sign of life");
        }
    }

    /// The address in use, for people.
    pub(crate) fn route(&self) -> String {
        match self.path() {
            Some(TransportAddr::Ip(addr)) => addr.to_string(),
            Some(TransportAddr::Relay(url)) => format!("relay {url}"),
            Some(other) => format!("{other:?}"),
            None => "unknown".to_owned(),
        }
    }

    /// The address in use, if it is the peer's own.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self.path() {
            Some(TransportAddr::Ip(addr)) => Some(addr),
            _ => None,
        }
    }

    fn path(&self) -> Option<TransportAddr> {
        let paths = self.conn.paths();
        let path = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next());
        path.map(|path| path.remote_addr().clone())
    }

    /// The round-trip time of the path in use.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.conn.paths().iter().find(|path| path.is_selected()).map(|path| path.rtt())
    }

    /// Why it ended, for programs and for people.
    fn reason(&self, error: &ConnectionError) -> (Cause, String) {
        match (error, unpoisoned(&self.cause).clone()) {
            (ConnectionError::LocallyClosed, Some((close, words))) => (close.cause_here(), words),
            _ => (close::cause(error), close::words(error)),
        }
    }
}

/// Serves a link until it ends; gives the reason.
pub(crate) async fn run(
    link: Arc<Link>,
    candidate: Candidate,
    shared: Arc<Shared>,
) -> (Cause, String) {
    let Candidate { conn, dialled, live, bulk, flow, .. } = candidate;
    let greeting = (!dialled).then(|| Greeting::of(&shared));
    let live_side = Side {
        class: Class::Live,
        link: link.clone(),
        stats: shared.stats(&link.peer),
        shared: shared.clone(),
        flow: Arc::default(),
    };
    let bulk_side = Side { class: Class::Bulk, ..live_side.clone() };
    let (tell, hear) = (bulk_side.flow.clone(), bulk_side.flow.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(frames::write_live(live_side.clone(), live.send, greeting));
    tasks.spawn(frames::read(live_side, live.recv));
    tasks.spawn(frames::write_bulk(bulk_side.clone(), bulk.send));
    tasks.spawn(frames::read(bulk_side, bulk.recv));
    tasks.spawn(async move { tell.tell(flow.send).await });
    tasks.spawn(async move { hear.hear(flow.recv).await });
    tokio::select! {
        _ = conn.closed() => {}
        Some(ended) = tasks.join_next() => close_after(&link, &conn, ended),
    }
    tasks.shutdown().await;
    let error = conn.closed().await;
    if Close::Elsewhere.is_in(&error) {
        shared.emit(crate::NetEvent::Elsewhere { peer: link.peer });
    }
    link.reason(&error)
}

/// A task of a link, as seen by itself.
#[derive(Clone)]
struct Side {
    class: Class,
    link: Arc<Link>,
    stats: Arc<PeerStats>,
    shared: Arc<Shared>,
    flow: Arc<Flow>,
}

/// A task of the link ended by itself: either the connection is gone already, or the peer broke
/// the protocol and is told so.
fn close_after(
    link: &Link,
    conn: &Connection,
    ended: Result<Result<std::convert::Infallible, frames::FrameError>, tokio::task::JoinError>,
) {
    let words = match ended {
        Ok(Ok(never)) => match never {},
        Ok(Err(error)) => error.to_string(),
        Err(error) => {
            tracing::error!(peer = %link.peer, %error, "a task of a link failed");
            "internal failure".to_owned()
        }
    };
    if conn.close_reason().is_none() {
        tracing::warn!(peer = %link.peer, words, "closing the link");
        link.close(Close::Protocol, &words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Outside;
    use crate::endpoint::{self, LINK_ALPN, Setup};

    #[derive(Debug, Clone)]
    struct Open;

    impl iroh::endpoint::EndpointHooks for Open {}

    async fn listen(secret: [u8; 32]) -> iroh::Endpoint {
        let listen = Some("127.0.0.1:0".parse().unwrap());
        let outside = Outside::NONE;
        let setup = Setup { secret: &secret, listen, outside, alpns: &[LINK_ALPN], hook: Open };
        endpoint::bind(setup).await.unwrap()
    }

    #[tokio::test]
    async fn signs_of_life_arrive_and_what_nobody_reads_breaks_nothing() {
        let (here, there) = (listen([1; 32]).await, listen([2; 32]).await);
        let answers = {
            let there = there.clone();
            tokio::spawn(async move { there.accept().await.unwrap().await.unwrap() })
        };
        let conn = endpoint::connect(&here, there.addr(), LINK_ALPN).await.unwrap();
        let answered = answers.await.unwrap();
        let link = Link::new(DeviceId([2; 32]), 1, conn);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        // Many more than fit what is kept of them.
        for sign in 1..=100 {
            link.sign();
            while answered.stats().frame_rx.datagram < sign {
                assert!(tokio::time::Instant::now() < deadline, "sign {sign} does not arrive");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        assert!(answered.close_reason().is_none() && link.conn.close_reason().is_none());
        endpoint::close(here).await;
        endpoint::close(there).await;
        link.sign(); // To a link that has ended: nothing happens.
    }
}
