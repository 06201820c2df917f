//! Telling peers what we hold: an acknowledgement to whom it came from, news to the others.
//!
//! A device whose change we have applied waits for our word, and so does whoever can hear of the
//! change from us alone, as its device is not connected here or, among many devices, not to the peer:
//! they are told at once. All the others get it from its device as we did, and want our word for
//! their bookkeeping only. Among n devices that is the most part of n² messages for each change; so
//! it waits for a while, and what comes meanwhile goes with it.

use super::peer::Peer;
use super::{Engine, Now};
use crate::id::DeviceId;
use crate::message::{Message, State};
use crate::neighbours::are_neighbours;
use crate::store::Store;
use crate::version::{OwnedVector, Vector};

impl Engine {
    /// Tells every peer what grew since it was told last, if that cannot wait any more. What it will
    /// see from our own change sets is left out.
    pub(super) fn tell_news<S: Store>(&mut self, store: &S, now: Now) {
        let (shared, owned) = (store.vector(), self.state(store).owned);
        let waits_until = now.steady_ms.saturating_add(self.config.news_ms);
        let compare_at = now.steady_ms.saturating_add(self.config.compare_ms);
        let mut news = Vec::new();
        for id in self.ready_peers() {
            let Some(peer) = self.peers.get(&id) else { continue };
            let grown = self.grown(peer, shared, &owned);
            let nothing = grown == State::default();
            let urgent = !nothing && self.is_urgent(&id, peer, &grown);
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if nothing {
                peer.news_at = None;
                continue;
            }
            peer.compare_at.get_or_insert(compare_at);
            if urgent || *peer.news_at.get_or_insert(waits_until) <= now.steady_ms {
                peer.news_at = None;
                peer.told = State { shared: shared.clone(), owned: owned.clone() };
                news.push((id, grown));
            }
        }
        for (id, state) in news {
            self.send(vec![id], Message::Vector(state));
        }
    }

    /// What a peer has not been told of.
    fn grown(&self, peer: &Peer, shared: &Vector, owned: &OwnedVector) -> State {
        let own = self.shared_origin();
        let mut grown = shared.grown_since(&peer.told.shared);
        if peer.sent >= shared.seq(&own) {
            grown = grown.iter().filter(|(o, _)| **o != own).map(|(o, h)| (*o, *h)).collect();
        }
        State { shared: grown, owned: owned.grown_since(&peer.told.owned) }
    }

    /// Whether a peer waits for any of this.
    fn is_urgent(&self, id: &DeviceId, peer: &Peer, grown: &State) -> bool {
        let ours = |device: &DeviceId| device == id || *device == self.identity.device;
        let from_us_alone = |device: &DeviceId| {
            peer.follows.contains(device)
                || !self.is_ready(device)
                || !are_neighbours(&self.ring, device, id)
        };
        let shared = grown.shared.iter().any(|(origin, head)| {
            let lacks = || peer.known.shared.seq(origin) < head.seq;
            ours(&origin.device) || (from_us_alone(&origin.device) && lacks())
        });
        shared
            || grown.owned.iter().any(|(device, head)| {
                let lacks = || peer.known.owned.head(device).is_none_or(|known| known < *head);
                ours(device) || (from_us_alone(device) && lacks())
            })
    }
}
