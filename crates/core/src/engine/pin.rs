//! Serving a reconcile: our shared lanes stay as they are for the peer that compares its own with
//! them, whatever is written meanwhile.

use super::{Engine, Now};
use crate::id::DeviceId;
use crate::message::{Answer, Ask, Message};
use crate::store::{Pinned, Store};

/// How long, in patiences, the lanes are kept for a peer that asks nothing.
const KEPT_PATIENCES: u64 = 3;
/// How long, in patiences, they are kept for a peer whatever it asks: what is kept for one is room
/// that a store cannot reuse. A peer that needs longer has what it took, and goes on from there.
const MOST_PATIENCES: u64 = 120;

/// A peer that compares.
#[derive(Clone, Debug)]
pub(super) struct Pin {
    session: u64,
    /// What was said of what is kept: said again if it is asked again.
    pinned: Pinned,
    /// When it is taken to be gone.
    pub(super) until: u64,
    /// When it has to be content with what it has.
    end: u64,
}

impl Engine {
    pub(super) fn on_ask<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        (session, turn): (u64, u64),
        ask: Ask,
        now: Now,
    ) -> Result<(), S::Error> {
        let answer = match ask {
            Ask::Pin if !store.missing().shared.is_empty() => Answer::Lapsed,
            Ask::Pin => self.pin_for(store, id, session, now)?,
            Ask::End => {
                if self.pins.get(&id).is_some_and(|pin| pin.session == session) {
                    self.unpin(store, id);
                }
                return Ok(());
            }
            _ if !self.is_pinned(store, id, session) => Answer::Lapsed,
            Ask::Buckets { model, range, rows } => {
                let buckets =
                    store.pinned_buckets(&id, model, &range, rows, self.config.buckets)?;
                Answer::Buckets { model, after: range.after, buckets }
            }
            Ask::Records { model, range } => {
                let page = store.pinned_records(&id, model, &range, self.config.batch_bytes)?;
                Answer::Records { model, after: range.after, page }
            }
        };
        let patience = self.config.patience_ms.saturating_mul(KEPT_PATIENCES);
        if let Some(pin) = self.pins.get_mut(&id) {
            pin.until = now.steady_ms.saturating_add(patience).min(pin.end);
        }
        self.send(vec![id], Message::Answer { session, turn, answer });
        Ok(())
    }

    fn is_pinned<S: Store>(&self, store: &S, id: DeviceId, session: u64) -> bool {
        self.pins.get(&id).is_some_and(|pin| pin.session == session) && store.is_pinned(&id)
    }

    fn pin_for<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        session: u64,
        now: Now,
    ) -> Result<Answer, S::Error> {
        match self.pins.get(&id) {
            Some(pin) if pin.session == session && store.is_pinned(&id) => {
                return Ok(Answer::Pinned(pin.pinned.clone()));
            }
            // A question that comes late is not what the peer waits for.
            Some(pin) if pin.session > session => return Ok(Answer::Lapsed),
            None if self.pins.len() >= self.config.pins => return Ok(Answer::Lapsed),
            _ => {}
        }
        let pinned = store.pin(id)?;
        let longest = self.config.patience_ms.saturating_mul(MOST_PATIENCES);
        let end = now.steady_ms.saturating_add(longest);
        self.pins.insert(id, Pin { session, pinned: pinned.clone(), until: end, end });
        Ok(Answer::Pinned(pinned))
    }

    /// A peer that is met anew has begun to count its questions anew, too.
    pub(super) fn unpin<S: Store>(&mut self, store: &mut S, id: DeviceId) {
        if self.pins.remove(&id).is_some() {
            store.unpin(&id);
        }
    }

    /// Lets go of what is kept for peers that are gone.
    pub(super) fn unpin_gone<S: Store>(&mut self, store: &mut S, now: Now) {
        let peers = &self.peers;
        self.pins.retain(|id, pin| {
            let stays = peers.contains_key(id) && pin.until > now.steady_ms;
            if !stays {
                store.unpin(id);
            }
            stays
        });
    }
}
