//! Pulling what peers hold and we lack, and answering pulls.

use std::collections::BTreeSet;

use super::peer::Pulling;
use super::{Engine, Now};
use crate::change::ChangeSet;
use crate::id::{DeviceId, Origin, Seq};
use crate::limits::MAX_SETS;
use crate::message::{Changes, Message};
use crate::store::Store;
use crate::version::{Head, Vector};

/// An origin that is further elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    /// Since when its device has sent nothing of it.
    since: u64,
}

impl Want {
    /// When its grace is over.
    pub(super) fn deadline(&self, grace_ms: u64) -> u64 {
        self.since.saturating_add(grace_ms)
    }
}

impl Engine {
    /// Asks for what is lacking: each origin from one peer, each peer for one thing at a time. An
    /// origin whose device is connected gets a grace to send its changes itself.
    pub(super) fn pull_missing<S: Store>(&mut self, store: &S, now: Now) {
        self.note_wanted(store.vector(), now);
        if self.wanted.is_empty() {
            return;
        }
        let mut asked: BTreeSet<Origin> = BTreeSet::new();
        for peer in self.peers.values() {
            asked.extend(peer.pulling.iter().flat_map(|pulling| pulling.from.keys()));
        }
        for id in self.most_reliable_first() {
            let from = self.lacking_from(store, id, &asked, now);
            if from.is_empty() {
                continue;
            }
            asked.extend(from.iter().map(|(origin, _)| *origin));
            let pull = self.id();
            let deadline = now.steady_ms.saturating_add(self.config.patience_ms);
            if let Some(peer) = self.peers.get_mut(&id) {
                let from = from.iter().copied().collect();
                peer.pulling = Some(Pulling { id: pull, from, deadline });
            }
            self.send(vec![id], Message::Pull { id: pull, from });
        }
    }

    /// What to pull from a peer: origins that it has further, that nobody was asked for, and whose
    /// devices are not about to send them.
    fn lacking_from<S: Store>(
        &self,
        store: &S,
        id: DeviceId,
        asked: &BTreeSet<Origin>,
        now: Now,
    ) -> Vec<(Origin, Seq)> {
        let peer = &self.peers[&id];
        if peer.pulling.is_some() || peer.reset {
            return Vec::new();
        }
        let overdue = |want: &Want| want.deadline(self.config.grace_ms) <= now.steady_ms;
        // What waits for its needs is there already and must not be asked for again.
        let here = |origin: &Origin| self.pending.end(origin, store.vector().seq(origin));
        let pullable = |origin: &Origin, want: &Want| {
            peer.known.shared.seq(origin) > here(origin)
                && (overdue(want) || !self.is_ready(&origin.device))
                && !asked.contains(origin)
                && !peer.forked.contains(origin)
        };
        let wanted = self.wanted.iter().filter(|(origin, want)| pullable(origin, want));
        wanted.map(|(origin, _)| (*origin, here(origin))).collect()
    }

    /// Peers that answer, before those that have not lately: one that is silent must not be asked
    /// again and again while others could help.
    pub(super) fn most_reliable_first(&self) -> Vec<DeviceId> {
        let mut peers: Vec<_> = self.ready().map(|(id, peer)| (peer.failures, *id)).collect();
        peers.sort_unstable();
        peers.into_iter().map(|(_, id)| id).collect()
    }

    /// A device sends its own changes: the others need not be asked.
    pub(super) fn note_pushed(&mut self, origin: &Origin, now: Now) {
        if let Some(want) = self.wanted.get_mut(origin) {
            want.since = now.steady_ms;
        }
    }

    /// Keeps which origins are further elsewhere, and since when.
    fn note_wanted(&mut self, vector: &Vector, now: Now) {
        let ahead = self.ready().flat_map(|(_, peer)| peer.known.shared.ahead_of(vector));
        let further: BTreeSet<Origin> = ahead.map(|(origin, _)| *origin).collect();
        self.wanted.retain(|origin, _| further.contains(origin));
        for origin in further {
            self.wanted.entry(origin).or_insert(Want { since: now.steady_ms });
        }
    }

    /// A pull was answered. If all that it asked for is still lacking, asking again at once would
    /// bring the same: it did not fit beside what waits, or the peer's log has lost what it says to
    /// hold. The peer is left in peace until the pull's deadline then.
    pub(super) fn on_answer<S: Store>(&mut self, store: &S, id: DeviceId, pull: u64) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(pulling) = peer.pulling.as_ref().filter(|pulling| pulling.id == pull) else {
            return;
        };
        let here = |origin: &Origin| self.pending.end(origin, store.vector().seq(origin));
        if pulling.from.iter().any(|(origin, seq)| here(origin) > *seq) {
            peer.pulling = None;
            peer.failures = 0;
        }
    }

    /// The next change sets from the log that `have` lacks, as many as go into one message.
    pub(super) fn batch<S: Store>(
        &self,
        store: &mut S,
        have: &Vector,
    ) -> Result<Vec<ChangeSet>, S::Error> {
        let mut sets = store.log(have, self.config.batch_bytes)?;
        sets.truncate(MAX_SETS);
        Ok(sets)
    }

    /// Answers a pull from the log, in the order in which the changes were applied here.
    pub(super) fn on_pull<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        pull: u64,
        from: &[(Origin, Seq)],
    ) -> Result<(), S::Error> {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.follows.extend(from.iter().map(|(origin, _)| origin.device));
        }
        let below = |(origin, seq): &(Origin, Seq)| {
            store.floors().get(origin).is_some_and(|floor| seq < floor)
        };
        if from.iter().any(below) {
            self.send(vec![id], Message::Reset { pull });
            return Ok(());
        }
        let mut have = store.vector().clone();
        for (origin, seq) in from {
            if *seq < have.seq(origin) {
                have.set(*origin, Head { seq: *seq, hash: [0; 32] });
            }
        }
        let sets = self.batch(store, &have)?;
        if sets.is_empty() {
            self.send(vec![id], Message::Covered { id: pull });
            return Ok(());
        }
        self.send(vec![id], Message::Changes(Changes { pull, sets }));
        Ok(())
    }
}
