//! Meeting a peer: states, clocks, certificates.

use bytes::Bytes;

use super::peer::Peer;
use super::{Engine, Event, Now};
use crate::id::DeviceId;
use crate::message::{ANSWERS_HISTORY, ANSWERS_RECALL, Hello, Message, READS_COLUMNS};
use crate::store::Store;

impl Engine {
    /// A new connection starts from nothing: whatever was on its way over an old one may be lost.
    pub(super) fn on_connected<S: Store>(&mut self, store: &mut S, id: DeviceId, now: Now) {
        self.on_disconnected(id);
        self.unpin(store, id);
        let peer = Peer {
            hello_at: now.steady_ms.saturating_add(self.config.patience_ms),
            ..Peer::default()
        };
        self.peers.insert(id, peer);
        self.say_hello(store, id, now);
    }

    pub(super) fn on_disconnected(&mut self, id: DeviceId) {
        self.abandon_reconcile_with(id);
        self.peers.remove(&id);
        self.fetches.retain(|_, fetch| fetch.peer != id);
        self.recall = self.recall.take().filter(|recall| recall.peer != id);
        self.history = self.history.take().filter(|asked| asked.peer != id);
    }

    fn say_hello<S: Store>(&mut self, store: &S, id: DeviceId, now: Now) {
        let state = self.state(store);
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.told = state.clone();
        peer.refresh_at = now.steady_ms.saturating_add(self.config.refresh_ms);
        let hello = Hello {
            features: ANSWERS_RECALL | ANSWERS_HISTORY | READS_COLUMNS,
            schema: self.schema.hash(),
            clock_ms: now.wall_ms,
            hlc: self.clock.last(),
            heard: peer.ready,
            state,
        };
        self.send(vec![id], Message::Hello(hello));
        if !self.certificates.is_empty() {
            self.send(vec![id], Message::Membership(self.certificates.clone()));
        }
    }

    pub(super) fn on_hello<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        hello: Hello,
        now: Now,
    ) -> Result<(), S::Error> {
        let Some(peer) = self.peers.get_mut(&id) else { return Ok(()) };
        let origin = super::Origin::shared(self.identity.device, self.identity.shared_epoch);
        let missed = peer.ready && !hello.heard;
        peer.ready = true;
        peer.features = hello.features;
        peer.sent = hello.state.shared.seq(&origin);
        peer.in_flight.clear();
        peer.resend_at = None;
        peer.compare_at = Some(now.steady_ms.saturating_add(self.config.compare_ms));
        if self.clock.absorb(hello.hlc, now.wall_ms) {
            store.set_clock(self.clock.last())?;
        }
        let theirs = i64::try_from(hello.clock_ms).unwrap_or(i64::MAX);
        let ours = i64::try_from(now.wall_ms).unwrap_or(i64::MAX);
        let clock_offset_ms = theirs.saturating_sub(ours);
        self.event(Event::Met { peer: id, clock_offset_ms });
        // It says so again and has still not had ours, so that must have been lost. The answer says
        // that its own was heard, so that nobody answers that.
        if missed {
            self.say_hello(store, id, now);
        }
        self.meet_in_doubt(store, &hello.state, now)?;
        self.learn(store, id, &hello.state, now)
    }

    pub(super) fn on_certificates(&mut self, certificates: Vec<Bytes>) {
        if self.certificates != certificates {
            self.certificates = certificates;
            self.send(self.ready_peers(), Message::Membership(self.certificates.clone()));
        }
    }

    /// Deadlines of connections: `Hello` again, the whole state again, digests.
    pub(super) fn on_tick<S: Store>(&mut self, store: &mut S, now: Now) -> Result<(), S::Error> {
        let ids: Vec<DeviceId> = self.peers.keys().copied().collect();
        for id in ids {
            let patience = self.config.patience_ms;
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if !peer.ready && peer.hello_at <= now.steady_ms {
                peer.hello_at = now.steady_ms.saturating_add(patience);
                self.say_hello(store, id, now);
                continue;
            }
            if peer.ready && peer.refresh_at <= now.steady_ms {
                peer.refresh_at = now.steady_ms.saturating_add(self.config.refresh_ms);
                let state = self.state(store);
                self.send(vec![id], Message::Vector(state));
            }
            let due = |at: Option<u64>| at.is_some_and(|at| at <= now.steady_ms);
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if peer.pulling.as_ref().is_some_and(|pull| pull.deadline <= now.steady_ms) {
                peer.pulling = None;
                peer.failures = peer.failures.saturating_add(1);
            }
            if due(peer.resend_at) {
                peer.resend_at = None;
                peer.in_flight.clear();
                let own = super::Origin::shared(self.identity.device, self.identity.shared_epoch);
                peer.sent = peer.known.shared.seq(&own);
            }
            if due(peer.compare_at) {
                peer.compare_at = None;
                self.compare_if_equal(store, id);
            }
        }
        self.give_up_fetches(now);
        self.ask_again(now);
        if self.prune_at.is_some_and(|at| at <= now.steady_ms) {
            self.prune(store, now)?;
        }
        Ok(())
    }
}
