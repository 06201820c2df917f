//! This device's own lanes: their first heads, and going on under new epochs where what is held here
//! may be older than what this device has written before.

use super::{Engine, Event, Now};
use crate::clock::Hlc;
use crate::id::Epoch;
use crate::message::State;
use crate::store::Store;
use crate::version::{Head, Life, OwnedHead, Vector};

impl Engine {
    /// Takes over the epochs that were kept, or keeps those that the replica begins with.
    pub(super) fn open_own_lanes<S: Store>(&mut self, store: &mut S) -> Result<(), S::Error> {
        match store.shared_epoch() {
            Some(epoch) => self.identity.shared_epoch = epoch,
            None => store.set_shared_epoch(self.identity.shared_epoch)?,
        }
        let life = self.identity.owned_life;
        let exact = store.lane(&self.identity.device).and_then(|lane| lane.exact);
        match exact {
            Some(head) => self.identity.owned_life = head.life,
            None => store.set_own_head(OwnedHead { life, seq: 1 })?,
        }
        Ok(())
    }

    /// Both lanes go on under new epochs.
    pub(super) fn renew<S: Store>(&mut self, store: &mut S, now: Now) -> Result<(), S::Error> {
        self.renew_shared(store)?;
        self.restate_above(store, self.identity.owned_life, now)
    }

    /// A peer holds more of what this device has written than is here: this is a restored replica, or
    /// a clone. What it writes from now on must not take the same seqs.
    pub(super) fn meet_own_lanes<S: Store>(
        &mut self,
        store: &mut S,
        met: &State,
        now: Now,
    ) -> Result<(), S::Error> {
        if self.is_beyond(store.vector(), &met.shared) {
            self.renew_shared(store)?;
        }
        self.restate_if_met(store, met.owned.head(&self.identity.device), now)
    }

    /// Whether others hold changes of this device's shared stream that are not here.
    fn is_beyond(&self, ours: &Vector, theirs: &Vector) -> bool {
        let origin = self.shared_origin();
        let Some(met) = theirs.head(&origin) else { return false };
        let Head { seq, hash } = ours.head(&origin).unwrap_or(Head { seq: 0, hash: [0; 32] });
        met.seq > seq || (met.seq == seq && met.hash != hash)
    }

    fn renew_shared<S: Store>(&mut self, store: &mut S) -> Result<(), S::Error> {
        self.identity.shared_epoch = Epoch(self.random());
        store.set_shared_epoch(self.identity.shared_epoch)?;
        // The first change set of the new epoch needs all that is here, the old epoch's among it.
        self.needs_base = Vector::new();
        for peer in self.peers.values_mut() {
            peer.sent = 0;
            peer.in_flight.clear();
            peer.resend_at = None;
        }
        self.event(Event::Renewed);
        Ok(())
    }

    /// Goes on above a life of the own lane that was met, should it be beyond what is here: as this
    /// device sees its rows now.
    pub(super) fn restate_if_met<S: Store>(
        &mut self,
        store: &mut S,
        met: Option<OwnedHead>,
        now: Now,
    ) -> Result<(), S::Error> {
        let mine = store.lane(&self.identity.device).and_then(|lane| lane.exact);
        match met.filter(|met| mine.is_none_or(|mine| *met > mine)) {
            Some(met) => self.restate_above(store, met.life, now),
            None => Ok(()),
        }
    }

    fn restate_above<S: Store>(
        &mut self,
        store: &mut S,
        life: Life,
        now: Now,
    ) -> Result<(), S::Error> {
        let above = Hlc(life.mint.0.saturating_add(1));
        let mint = above.max(Hlc::from_ms(now.wall_ms));
        let life = Life { mint, epoch: Epoch(self.random()) };
        self.identity.owned_life = life;
        store.set_own_head(OwnedHead { life, seq: 1 })?;
        self.event(Event::Restated);
        Ok(())
    }
}
