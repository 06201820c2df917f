//! Telling peers what we hold: an acknowledgement to whom it came from, news to the others.
//!
//! Whoever can hear of a change from us alone, as its device is not connected here or, among many
//! devices, not to the peer, is told at once. The device whose change it is has it visible here by then,
//! and waits for our word that it is durable: that may be a few milliseconds late, and one word, and one
//! sync of the disk, is for all that came meanwhile. All the others get it from its device as we did,
//! and want our word for their bookkeeping only. Among n devices that is the most part of n² messages
//! for each change; so it waits for longer, and for longer still where a peer has shown that it gets what
//! that device writes elsewhere.

use super::peer::Peer;
use super::{Engine, Now};
use crate::id::{DeviceId, Origin};
use crate::message::{Message, State};
use crate::neighbours::are_neighbours;
use crate::store::Store;
use crate::version::{Head, OwnedVector, Vector};

impl Engine {
    /// Tells every peer what grew since it was told last, if that cannot wait any more. What it will
    /// see from our own change sets is left out.
    pub(super) fn tell_news<S: Store>(&mut self, store: &S, now: Now) {
        let (shared, owned) = (store.vector(), self.state(store).owned);
        let compare_at = now.steady_ms.saturating_add(self.config.compare_ms);
        let mut news = Vec::new();
        for id in self.ready_peers() {
            let Some(peer) = self.peers.get(&id) else { continue };
            let wait = self.patience(&id, peer, (shared, &owned));
            let due = wait.map(|wait| now.steady_ms.saturating_add(wait));
            let due = due.map(|due| peer.news_at.map_or(due, |at| at.min(due)));
            let is_due = due.is_some_and(|due| due <= now.steady_ms);
            if is_due {
                news.push((id, self.grown(peer, shared, &owned)));
            }
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            peer.news_at = due.filter(|_| !is_due);
            if due.is_some() {
                peer.compare_at.get_or_insert(compare_at);
            }
            if is_due {
                peer.heard_bytes = 0;
                peer.told = State { shared: shared.clone(), owned: owned.clone() };
            }
        }
        for (id, state) in news {
            self.send(vec![id], Message::Vector(state));
        }
    }

    /// What a peer has not been told of our shared lanes, and cannot see from our own change sets.
    fn untold<'a>(
        &self,
        peer: &'a Peer,
        shared: &'a Vector,
    ) -> impl Iterator<Item = (&'a Origin, &'a Head)> + use<'a> {
        let own = self.shared_origin();
        let sees = peer.sent >= shared.seq(&own);
        shared.ahead_of(&peer.told.shared).filter(move |(origin, _)| !sees || **origin != own)
    }

    /// What a peer has not been told of.
    fn grown(&self, peer: &Peer, shared: &Vector, owned: &OwnedVector) -> State {
        let untold = self.untold(peer, shared).map(|(origin, head)| (*origin, *head));
        State { shared: untold.collect(), owned: owned.grown_since(&peer.told.owned) }
    }

    /// How long a peer can wait for what it has not been told of, in milliseconds; `None` if that is
    /// nothing.
    fn patience(
        &self,
        id: &DeviceId,
        peer: &Peer,
        (shared, owned): (&Vector, &OwnedVector),
    ) -> Option<u64> {
        let until_full = self.config.window_bytes / 4;
        let ack = if peer.heard_bytes >= until_full { 0 } else { self.config.ack_ms };
        let of = |device: &DeviceId, lacks: &dyn Fn() -> bool| {
            let from_us_alone = || {
                peer.follows.contains(device)
                    || !self.is_ready(device)
                    || !are_neighbours(&self.ring, device, id)
            };
            match () {
                () if device == id => ack,
                () if *device == self.identity.device || (from_us_alone() && lacks()) => 0,
                () if peer.elsewhere.contains(device) => self.config.late_news_ms,
                () => self.config.news_ms,
            }
        };
        let shared = self
            .untold(peer, shared)
            .map(|(origin, head)| of(&origin.device, &|| peer.known.shared.seq(origin) < head.seq));
        let owned = owned.ahead_of(&peer.told.owned).map(|(device, head)| {
            of(device, &|| peer.known.owned.head(device).is_none_or(|known| known < *head))
        });
        shared.chain(owned).min()
    }
}
