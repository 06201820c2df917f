//! This device's own owned lane: its first head, and going on above a greater life of its own.

use super::{Engine, Event, Now};
use crate::clock::Hlc;
use crate::id::Epoch;
use crate::store::Store;
use crate::version::{Life, OwnedHead, OwnedVector};

impl Engine {
    /// Gives the own lane its head, should it have none yet.
    pub(super) fn open_own_lane<S: Store>(&mut self, store: &mut S) -> Result<(), S::Error> {
        let life = self.identity.owned_life;
        let exact = store.lane(&self.identity.device).and_then(|lane| lane.exact);
        match exact {
            Some(head) => self.identity.owned_life = head.life,
            None => store.set_own_head(OwnedHead { life, seq: 1 })?,
        }
        Ok(())
    }

    /// A peer holds an own lane of a greater life than ours: it was restored or cloned. The lane goes
    /// on above it, as this device sees its rows now.
    pub(super) fn meet_own_lane<S: Store>(
        &mut self,
        store: &mut S,
        owned: &OwnedVector,
        now: Now,
    ) -> Result<(), S::Error> {
        let met = owned.head(&self.identity.device);
        self.remint_above(store, met, now)
    }

    pub(super) fn remint_above<S: Store>(
        &mut self,
        store: &mut S,
        met: Option<OwnedHead>,
        now: Now,
    ) -> Result<(), S::Error> {
        let mine = store.lane(&self.identity.device).and_then(|lane| lane.exact);
        let Some(met) = met.filter(|met| mine.is_none_or(|mine| *met > mine)) else {
            return Ok(());
        };
        let above = Hlc(met.life.mint.0.saturating_add(1));
        let mint = above.max(Hlc::from_ms(now.wall_ms));
        let life = Life { mint, epoch: Epoch(self.random()) };
        self.identity.owned_life = life;
        store.set_own_head(OwnedHead { life, seq: 1 })?;
        self.event(Event::Restated);
        Ok(())
    }
}
