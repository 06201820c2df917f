//! Learning what peers hold, and comparing digests where that is equal.

use super::{Engine, Event, Now};
use crate::digest::Digests;
use crate::id::DeviceId;
use crate::message::{DigestReport, Message, State};
use crate::schema::ModelId;
use crate::store::{Acked, Store};

impl Engine {
    /// A peer said what it holds. What it is known to hold only grows on one connection.
    pub(super) fn learn<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        state: &State,
        now: Now,
    ) -> Result<(), S::Error> {
        let own = self.shared_origin();
        let compare_at = now.steady_ms.saturating_add(self.config.compare_ms);
        let patience = self.config.patience_ms;
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.ready) else { return Ok(()) };
        let mut elsewhere = Vec::new();
        let before = peer.known.shared.seq(&own);
        for (origin, head) in state.shared.iter() {
            // It did not ask us for this; but what it had when we met it may have come from here.
            let known = peer.known.shared.seq(origin);
            if known > 0 && head.seq > known && !peer.follows.contains(&origin.device) {
                elsewhere.push(origin.device);
            }
            // At an equal seq too: what is known may only be that it needs so much of the origin,
            // and then its hash is not.
            if head.seq >= peer.known.shared.seq(origin) {
                peer.known.shared.set(*origin, *head);
            }
            if head.seq > peer.told.shared.seq(origin) {
                peer.follows.remove(&origin.device);
            }
        }
        for (device, head) in state.owned.iter() {
            if peer.known.owned.head(device).is_none_or(|old| old < *head) {
                peer.known.owned.set(*device, *head);
                peer.lacks.retain(|(of, _)| of != device);
            }
            if peer.told.owned.head(device).is_none_or(|told| told < *head) {
                peer.follows.remove(device);
            }
        }
        share(&mut peer.known.shared, store.vector());
        share(&mut peer.known.owned, &store.owned_vector());
        let acknowledged = peer.known.shared.seq(&own);
        peer.in_flight.retain(|(seq, _)| *seq > acknowledged);
        peer.sent = peer.sent.max(acknowledged);
        if peer.in_flight.is_empty() {
            peer.resend_at = None;
        } else if acknowledged > before {
            peer.resend_at = Some(now.steady_ms.saturating_add(patience));
        }
        peer.compare_at.get_or_insert(compare_at);
        let State { shared, owned } = peer.known.clone();
        elsewhere.retain(|device| self.is_ready(device));
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.elsewhere.extend(elsewhere);
        }
        let known = shared.clone();
        store.set_acknowledged(id, Acked { shared, owned, heard_ms: now.wall_ms })?;
        self.prune_soon(now);
        self.note_lives(&state.owned, now);
        self.meet_own_lanes(store, state, now)?;
        self.settle_doubt(store, &known);
        self.event(Event::PeerState { peer: id });
        Ok(())
    }

    pub(super) fn on_pong<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        token: u64,
        state: &State,
        now: Now,
    ) -> Result<(), S::Error> {
        self.learn(store, id, state, now)?;
        self.event(Event::Answered { peer: id, token });
        Ok(())
    }

    /// Digests are compared once after each change, when both sides hold the same.
    pub(super) fn compare_if_equal<S: Store>(&mut self, store: &S, id: DeviceId) {
        if !store.missing().is_empty() {
            return;
        }
        let mine = self.state(store);
        let Some(peer) = self.peers.get_mut(&id).filter(|peer| peer.ready) else { return };
        if same(&peer.known, &mine) && peer.compared.as_ref() != Some(&mine) {
            peer.compared = Some(mine);
            self.send_digests(store, id, false);
        }
    }

    /// Somebody wants digests to be compared. While anything is missing here they cannot be, and
    /// whoever asked is told at once: nobody would answer.
    pub(super) fn verify<S: Store>(&mut self, store: &S, id: DeviceId) {
        if store.missing().is_empty() {
            self.send_digests(store, id, true);
        } else {
            self.event(Event::NotComparable { peer: id });
        }
    }

    pub(super) fn send_digests<S: Store>(&mut self, store: &S, id: DeviceId, ask: bool) {
        if self.is_ready(&id) && store.missing().is_empty() {
            let report = DigestReport {
                ask,
                state: self.state(store).hash(),
                digests: store.digests().clone(),
            };
            self.send(vec![id], Message::Digest(report));
        }
    }

    pub(super) fn on_digest<S: Store>(&mut self, store: &S, id: DeviceId, report: &DigestReport) {
        if report.ask {
            self.send_digests(store, id, false);
        }
        if !store.missing().is_empty() || report.state != self.state(store).hash() {
            return self.event(Event::NotComparable { peer: id });
        }
        let differ = differing(store.digests(), &report.digests);
        self.note_divergence(store, id, &differ);
        self.event(Event::Compared { peer: id, differ });
    }
}

/// What is equal is kept once: among many devices that is nearly all that is known of them.
fn share<T: Clone + PartialEq>(known: &mut T, mine: &T) {
    if known == mine {
        known.clone_from(mine);
    }
}

/// Whether two states hold the same change sets, as far as their seqs tell.
fn same(a: &State, b: &State) -> bool {
    super::missing(a, b) == 0 && super::missing(b, a) == 0
}

fn differing(mine: &Digests, theirs: &Digests) -> Vec<ModelId> {
    let of = |digests: &Digests, model: &ModelId| digests.get(model).copied().unwrap_or_default();
    let mut models: Vec<ModelId> = mine.keys().chain(theirs.keys()).copied().collect();
    models.sort_unstable();
    models.dedup();
    models.retain(|model| of(mine, model) != of(theirs, model));
    models
}
