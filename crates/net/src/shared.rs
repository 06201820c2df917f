//! What the tasks of one [`Net`](crate::Net) and its handle share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use driftless_core::id::{DeviceId, LibraryId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::close::Cause;
use crate::config::{Class, Membership};
use crate::event::{NetEvent, Sink};
use crate::link::Link;
use crate::pairing::Pairing;

/// What the program wants of the network: the latest word counts, nothing is queued.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    /// Whom to stay connected with, and where they were seen.
    pub(crate) routes: BTreeMap<DeviceId, Vec<SocketAddr>>,
    /// Nobody is dialled or accepted, but for those who were resumed since.
    pub(crate) all_paused: bool,
    /// Who was resumed while all are paused.
    pub(crate) resumed: BTreeSet<DeviceId>,
    /// These are neither dialled nor accepted.
    pub(crate) paused: BTreeSet<DeviceId>,
    /// How often the program has asked not to wait with the next attempts.
    pub(crate) urged: u64,
}

impl Wanted {
    pub(crate) fn is_paused(&self, peer: &DeviceId) -> bool {
        self.paused.contains(peer) || (self.all_paused && !self.resumed.contains(peer))
    }

    /// Pauses one peer, or all.
    pub(crate) fn pause(&mut self, peer: Option<DeviceId>) {
        match peer {
            Some(peer) => {
                self.paused.insert(peer);
                self.resumed.remove(&peer);
            }
            None => {
                self.all_paused = true;
                self.resumed.clear();
            }
        }
    }

    /// Ends the pause of one peer, whatever holds for the others, or every pause.
    pub(crate) fn resume(&mut self, peer: Option<DeviceId>) {
        match peer {
            Some(peer) => {
                self.paused.remove(&peer);
                if self.all_paused {
                    self.resumed.insert(peer);
                }
            }
            None => {
                self.all_paused = false;
                self.paused.clear();
                self.resumed.clear();
            }
        }
    }
}

/// What is kept of a peer over all its links.
#[derive(Debug)]
pub(crate) struct PeerStats {
    live: Budget,
    bulk: Budget,
    /// Bytes of frames that were handed over.
    pub(crate) received: AtomicU64,
    /// Bytes of frames that were given to the transport.
    pub(crate) sent: AtomicU64,
    failure: Mutex<Option<(Cause, String)>>,
    /// When it is dialled the next time.
    next: Mutex<Option<Instant>>,
}

impl PeerStats {
    fn new() -> Self {
        Self {
            live: Budget::new(Class::Live),
            bulk: Budget::new(Class::Bulk),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            failure: Mutex::new(None),
            next: Mutex::new(None),
        }
    }

    pub(crate) fn budget(&self, class: Class) -> &Budget {
        match class {
            Class::Live => &self.live,
            Class::Bulk => &self.bulk,
        }
    }

    pub(crate) fn count(counter: &AtomicU64, len: usize) {
        counter.fetch_add(len as u64, Ordering::Relaxed);
    }

    /// Why the last attempt to reach the peer failed; `None` if it is reached.
    pub(crate) fn set_failure(&self, why: Option<(Cause, String)>) {
        *unpoisoned(&self.failure) = why;
    }

    pub(crate) fn failure(&self) -> Option<(Cause, String)> {
        unpoisoned(&self.failure).clone()
    }

    pub(crate) fn set_next(&self, at: Option<Instant>) {
        *unpoisoned(&self.next) = at;
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        *unpoisoned(&self.next)
    }
}

#[derive(Default)]
struct Peers {
    stats: BTreeMap<DeviceId, Arc<PeerStats>>,
    links: BTreeMap<DeviceId, Arc<Link>>,
}

/// What the tasks of one `Net` and its handle share. It holds no endpoint, so that the endpoint's
/// own hook may hold it.
pub(crate) struct Shared {
    pub(crate) me: DeviceId,
    pub(crate) library: LibraryId,
    /// Random, of this start of the process: tells a restarted peer from a second link.
    pub(crate) instance: [u8; 16],
    pub(crate) members: Arc<dyn Membership>,
    pub(crate) pairing: Option<Arc<dyn Pairing>>,
    pub(crate) wanted: watch::Sender<Wanted>,
    sink: Sink,
    peers: Mutex<Peers>,
    /// When a refusal was told last.
    refused_at: Mutex<Option<Instant>>,
}

/// How often refusals are told at most: whoever is turned away can come again as often as it likes.
const REFUSALS_EVERY: Duration = Duration::from_millis(200);

impl Shared {
    pub(crate) fn new(
        me: DeviceId,
        instance: [u8; 16],
        library: LibraryId,
        members: Arc<dyn Membership>,
        pairing: Option<Arc<dyn Pairing>>,
        sink: Sink,
    ) -> Self {
        let (wanted, peers, refused_at) =
            (watch::Sender::default(), Mutex::default(), Mutex::default());
        Self { me, library, instance, members, pairing, wanted, sink, peers, refused_at }
    }

    /// Hands an event to the consumer.
    pub(crate) fn emit(&self, event: NetEvent) {
        (self.sink)(event);
    }

    /// Tells that a connection was turned away, now and then.
    pub(crate) fn emit_refusal(&self, peer: DeviceId, cause: Cause) {
        let mut last = unpoisoned(&self.refused_at);
        if last.is_none_or(|last| last.elapsed() >= REFUSALS_EVERY) {
            *last = Some(Instant::now());
            drop(last);
            self.emit(NetEvent::Refused { peer, cause });
        }
    }

    /// Whether links with `peer` are paused.
    pub(crate) fn is_paused(&self, peer: &DeviceId) -> bool {
        self.wanted.borrow().is_paused(peer)
    }

    /// The link with `peer` that is up.
    pub(crate) fn link(&self, peer: &DeviceId) -> Option<Arc<Link>> {
        self.peers().links.get(peer).cloned()
    }

    /// All links that are up.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.peers().links.values().cloned().collect()
    }

    pub(crate) fn set_link(&self, link: Arc<Link>) {
        self.peers().links.insert(link.peer, link);
    }

    pub(crate) fn clear_link(&self, peer: &DeviceId) {
        self.peers().links.remove(peer);
    }

    /// What is kept of `peer`, made at the first request. Only asked for members.
    pub(crate) fn stats(&self, peer: &DeviceId) -> Arc<PeerStats> {
        let mut peers = self.peers();
        peers.stats.entry(*peer).or_insert_with(|| Arc::new(PeerStats::new())).clone()
    }

    /// What is kept of `peer`, if anything.
    pub(crate) fn known_stats(&self, peer: &DeviceId) -> Option<Arc<PeerStats>> {
        self.peers().stats.get(peer).cloned()
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        unpoisoned(&self.peers)
    }
}

/// The locks here guard plain values that are complete after each statement, so one that was held
/// in a panic is as good as any.
pub(crate) fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_resumed_leaves_the_others_paused() {
        let [one, two] = [DeviceId([1; 32]), DeviceId([2; 32])];
        let mut wanted = Wanted::default();
        let paused = |wanted: &Wanted| [wanted.is_paused(&one), wanted.is_paused(&two)];
        wanted.pause(None);
        assert_eq!(paused(&wanted), [true, true]);
        wanted.resume(Some(one));
        assert_eq!(paused(&wanted), [false, true]);
        wanted.pause(Some(one));
        assert_eq!(paused(&wanted), [true, true]);
        wanted.resume(Some(one));
        wanted.pause(None);
        assert_eq!(paused(&wanted), [true, true], "a new pause is for all");
        wanted.resume(None);
        assert_eq!(paused(&wanted), [false, false]);
        wanted.pause(Some(two));
        wanted.resume(Some(one));
        assert_eq!(paused(&wanted), [false, true]);
    }
}
