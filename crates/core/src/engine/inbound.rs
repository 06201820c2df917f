//! The one dispatch of messages.

use super::{Effect, Engine, Event, Now};
use crate::change::ChangeSet;
use crate::id::DeviceId;
use crate::message::{Changes, Message};
use crate::store::Store;
use crate::version::Vector;

impl Engine {
    pub(super) fn on_message<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        message: Message,
        now: Now,
    ) -> Result<(), S::Error> {
        let Some(peer) = self.peers.get(&id) else { return Ok(()) };
        match message {
            Message::Hello(hello) => self.on_hello(store, id, hello, now)?,
            Message::Membership(certificates) => {
                self.effects.push(Effect::Certificates { peer: id, certificates });
            }
            Message::Error { text, .. } => self.disconnect(id, format!("the peer refused: {text}")),
            Message::Unknown { .. } => {}
            // Whatever overtakes `Hello` will be told again after it.
            _ if !peer.ready => {}
            Message::Vector(state) => self.learn(store, id, &state, now)?,
            Message::Pong { token, state, .. } => self.on_pong(store, id, token, &state, now)?,
            Message::Ping { token } => {
                let state = self.state(store);
                self.send(vec![id], Message::Pong { token, clock_ms: now.wall_ms, state });
            }
            Message::Changes(changes) => self.on_changes(store, id, changes, now)?,
            Message::Pull { id: pull, from } => self.on_pull(store, id, pull, &from)?,
            Message::Covered { id: pull } => self.on_answer(store, id, pull),
            Message::OwnedPull(pull) => self.on_owned_pull(store, id, pull, now)?,
            Message::More { device, life, credit } => {
                self.serve_pages(store, id, device, life, credit)?;
            }
            Message::Page(page) => self.on_page(store, id, page, now)?,
            Message::Void { device, life, target } => {
                self.on_void(store, id, device, life, target)?;
            }
            Message::Reset { pull } => self.on_reset(id, pull),
            Message::Ask { session, turn, ask } => {
                self.on_ask(store, id, (session, turn), ask, now)?;
            }
            Message::Answer { session, turn, answer } => {
                self.on_reconcile_answer(store, id, (session, turn), answer, now)?;
            }
            Message::Recall { id: recall, of, keys } => {
                self.on_recall(store, id, (recall, of), &keys)?;
            }
            Message::Recalled { id: recall, of, held } => {
                self.on_recalled(store, id, (recall, of), held, now)?;
            }
            Message::History { id: question, wanted } => {
                self.on_history(store, id, question, wanted)?;
            }
            Message::Past { id: question, page } => self.on_past(store, id, question, page)?,
            Message::Digest(report) => self.on_digest(store, id, &report),
        }
        Ok(())
    }

    /// Takes change sets in: what is new waits until its needs are met, which is mostly at once.
    fn on_changes<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        changes: Changes,
        now: Now,
    ) -> Result<(), S::Error> {
        for set in changes.sets {
            let header = set.header();
            if changes.pull == 0 {
                self.note_pushed(&header.origin, now);
                self.tell_again(store, id, &set);
            }
            // Whoever sends a change set holds it and all that it builds on.
            let mut holds = Vector::new();
            holds.set(header.origin, set.head());
            for (origin, seq) in &header.needs {
                holds.set(*origin, crate::version::Head { seq: *seq, hash: [0; 32] });
            }
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.heard_bytes = peer.heard_bytes.saturating_add(set.bytes().len());
                peer.known.shared.join(&holds);
            }
            self.pending.add(id, set, store.vector(), self.config.pending_bytes);
        }
        self.drain_pending(store, now)?;
        self.on_answer(store, id, changes.pull);
        Ok(())
    }

    /// A peer sends what we have and have told it of: our word was lost.
    fn tell_again<S: Store>(&mut self, store: &S, id: DeviceId, set: &ChangeSet) {
        let dot = set.dot();
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if store.vector().covers(&dot) && peer.told.shared.covers(&dot) {
            let told = std::mem::take(&mut peer.told.shared);
            let rest = told.iter().filter(|(origin, _)| **origin != dot.origin);
            peer.told.shared = rest.map(|(origin, head)| (*origin, *head)).collect();
        }
    }

    pub(super) fn disconnect(&mut self, peer: DeviceId, reason: String) {
        self.on_disconnected(peer);
        self.effects.push(Effect::Disconnect { peer, reason });
    }

    pub(super) fn on_fork(&mut self, id: DeviceId, origin: super::Origin, seq: u64) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if peer.forked.insert(origin) {
            self.event(Event::Fork { origin, seq, peer: id });
        }
    }
}
