//! Sending our own change sets on our own account.

use super::peer::Peer;
use super::{Engine, Now};
use crate::change::ChangeSet;
use crate::id::DeviceId;
use crate::message::{Changes, Message};
use crate::store::Store;
use crate::version::{Head, Vector};

impl Engine {
    /// Sends to every peer what it lacks of our own shared lane, as far as its window allows. What
    /// several peers lack alike is read and sent once.
    pub(super) fn push_all<S: Store>(&mut self, store: &mut S, now: Now) -> Result<(), S::Error> {
        let own = self.shared_origin();
        let last = store.vector().seq(&own);
        loop {
            let mut groups = self.lagging(last);
            let Some((from, peers)) = groups.pop_first() else { return Ok(()) };
            if store.floors().get(&own).is_some_and(|floor| from < *floor) {
                self.reset(peers, last);
                continue;
            }
            let mut have: Vector = store.vector().clone();
            have.set(own, Head { seq: from, hash: [0; 32] });
            let sets = self.batch(store, &have)?;
            if sets.is_empty() {
                return Ok(());
            }
            for id in &peers {
                if let Some(peer) = self.peers.get_mut(id) {
                    note_sent(peer, &sets, now.steady_ms.saturating_add(self.config.patience_ms));
                }
            }
            self.send(peers, Message::Changes(Changes { pull: 0, sets }));
        }
    }

    /// Tells peers that what they lack of our own lane is not in the log any more.
    fn reset(&mut self, peers: Vec<DeviceId>, last: u64) {
        for id in &peers {
            if let Some(peer) = self.peers.get_mut(id) {
                peer.sent = last;
            }
        }
        self.send(peers, Message::Reset { pull: 0 });
    }

    /// Peers that lack something of our own lane and whose window is open, by what was sent.
    fn lagging(&self, last: u64) -> std::collections::BTreeMap<u64, Vec<DeviceId>> {
        let mut groups = std::collections::BTreeMap::<u64, Vec<DeviceId>>::new();
        for (id, peer) in self.ready() {
            if peer.sent < last && peer.in_flight_bytes() < self.config.window_bytes {
                groups.entry(peer.sent).or_default().push(*id);
            }
        }
        groups
    }
}

fn note_sent(peer: &mut Peer, sets: &[ChangeSet], resend_at: u64) {
    for set in sets {
        peer.in_flight.push_back((set.header().seq, set.bytes().len()));
        peer.sent = set.header().seq;
    }
    peer.resend_at.get_or_insert(resend_at);
}
