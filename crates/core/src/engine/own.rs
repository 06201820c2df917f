//! This device's own lanes: their first heads, and going on under new epochs where what is held here
//! may be older than what this device has written before.

use super::{Engine, Event, Now};
use crate::clock::Hlc;
use crate::id::{Epoch, Origin};
use crate::message::State;
use crate::store::Store;
use crate::version::{Head, Life, OwnedHead, Vector};

/// What is held here of the own lanes may not be all that was written: the machine may have been put
/// back to an earlier state with all that could tell. To be told to [`Engine::doubt`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doubt {
    /// The shared epoch that is in doubt: nothing more is written under it. One that has been renewed
    /// since is not.
    pub shared: Epoch,
    /// How far the owned lane had gone when the doubt arose; nothing once a peer was met that held no
    /// more of it.
    pub owned: Option<OwnedHead>,
}

/// A doubt, and what would come in the shared epoch's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubted {
    doubt: Doubt,
    next: Epoch,
}

impl Engine {
    /// From now on, and until a peer has been met, it is not certain that the own lanes are all that
    /// this device has written. A shared write goes on under a new epoch. An owned write does not, as
    /// that would cost the whole lane: if a peer turns out to hold more of the lane than there was, it is
    /// restated then. A peer that has at least as much of the shared lane as is here ends the doubt.
    ///
    /// It is not kept in the store: to be told again after a start or [`Engine::rolled_back`], as the
    /// last [`Event::InDoubt`] said.
    pub fn doubt(&mut self, doubt: Doubt) {
        let next = Epoch(self.random());
        self.doubt = Some(Doubted { doubt, next });
    }

    /// The epoch of the next shared write.
    pub(super) fn next_shared_epoch(&self) -> Epoch {
        let current = self.identity.shared_epoch;
        let doubted = self.doubt.filter(|doubted| doubted.doubt.shared == current);
        doubted.map_or(current, |doubted| doubted.next)
    }

    /// A peer that is met says what it holds of the own lanes: if it is more than there was when the
    /// doubt arose, what was written since may have taken the same seqs.
    pub(super) fn meet_in_doubt<S: Store>(
        &mut self,
        store: &mut S,
        met: &State,
        now: Now,
    ) -> Result<(), S::Error> {
        let Some(Doubted { doubt, .. }) = &mut self.doubt else { return Ok(()) };
        let Some(had) = doubt.owned.take() else { return Ok(()) };
        let rest = *doubt;
        self.event(Event::InDoubt(Some(rest)));
        let same = |met: &OwnedHead| met.life == had.life && met.life == self.identity.owned_life;
        let met = met.owned.head(&self.identity.device).filter(same);
        match met.filter(|met| met.seq > had.seq) {
            Some(met) => self.restate_above(store, met.life, now),
            None => Ok(()),
        }
    }

    /// Ends a doubt once a peer holds all that is here of the shared stream in question.
    pub(super) fn settle_doubt<S: Store>(&mut self, store: &S, known: &Vector) {
        let Some(Doubted { doubt, .. }) = self.doubt else { return };
        let origin = Origin::shared(self.identity.device, doubt.shared);
        if doubt.owned.is_none() && known.seq(&origin) >= store.vector().seq(&origin) {
            self.doubt = None;
            self.event(Event::InDoubt(None));
        }
    }

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
        let epoch = Epoch(self.random());
        self.renew_shared(store, epoch)?;
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
            let epoch = Epoch(self.random());
            self.renew_shared(store, epoch)?;
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

    /// The shared lane goes on under another epoch.
    pub(super) fn renew_shared<S: Store>(
        &mut self,
        store: &mut S,
        epoch: Epoch,
    ) -> Result<(), S::Error> {
        self.identity.shared_epoch = epoch;
        store.set_shared_epoch(epoch)?;
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
            Some(met) if self.may_outbid(now) => self.restate_above(store, met.life, now),
            _ => Ok(()),
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
