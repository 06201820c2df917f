//! Forgetting what every member has: change sets in the log, tombstones of owned lanes.
//!
//! A member that is silent for longer than the retention is not waited for. It loses nothing: what it
//! lacks then is below our floor, so it is told to reconcile, and what it has written meanwhile comes
//! to us as ever.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, Event, Now};
use crate::id::{DeviceId, Seq};
use crate::message::State;
use crate::store::{Floors, Store};
use crate::version::OwnedHead;

impl Engine {
    pub(super) fn on_members(&mut self, members: BTreeMap<DeviceId, u64>) {
        let all: BTreeSet<DeviceId> =
            members.keys().copied().chain([self.identity.device]).collect();
        self.ring = all.into_iter().collect();
        self.members = Some(members);
    }

    /// Something may be prunable before long.
    pub(super) fn prune_soon(&mut self, now: Now) {
        let at = now.steady_ms.saturating_add(self.config.prune_ms);
        self.prune_at.get_or_insert(at);
    }

    pub(super) fn prune<S: Store>(&mut self, store: &mut S, now: Now) -> Result<(), S::Error> {
        self.prune_at = None;
        let Some(acked) = self.acknowledgements(store, now) else { return Ok(()) };
        let mut upto = Floors::new();
        for (origin, head) in store.vector().iter() {
            let everywhere = acked.iter().map(|acked| acked.shared.seq(origin)).min();
            let seq = everywhere.map_or(head.seq, |seq| seq.min(head.seq));
            if store.floors().get(origin).copied().unwrap_or(0) < seq {
                upto.insert(*origin, seq);
            }
        }
        let sets = if upto.is_empty() { 0 } else { store.prune_log(&upto)? };
        let mut tombstones = 0;
        for device in store.lanes() {
            let Some(head) = store.lane(&device).and_then(|lane| lane.exact) else { continue };
            let seq = acked.iter().map(|acked| seen_of(acked, &device, head)).min();
            tombstones += store.prune_lane(&device, seq.unwrap_or(head.seq))?;
        }
        if tombstones > 0 {
            // Of very many a store forgets a part at a time.
            self.prune_soon(now);
        }
        if sets > 0 || tombstones > 0 {
            self.event(Event::Pruned { sets, tombstones });
        }
        Ok(())
    }

    /// What each of the members that count has acknowledged; `None` while they are not known.
    fn acknowledgements<S: Store>(&self, store: &S, now: Now) -> Option<Vec<State>> {
        let oldest = now.wall_ms.saturating_sub(self.config.retention_ms);
        let others = self.members.as_ref()?.iter().filter(|(id, _)| **id != self.identity.device);
        let acked = others.filter_map(|(id, since)| match self.known(id) {
            Some(known) => Some(known.clone()),
            None => {
                let acked = store.acknowledged(id).cloned().unwrap_or_default();
                let counts = acked.heard_ms.max(*since) >= oldest;
                counts.then_some(State { shared: acked.shared, owned: acked.owned })
            }
        });
        Some(acked.collect())
    }
}

/// Up to where a member needs no tombstones of a lane whose head is this.
fn seen_of(acked: &State, device: &DeviceId, head: OwnedHead) -> Seq {
    match acked.owned.head(device) {
        Some(theirs) if theirs.life == head.life => theirs.seq.min(head.seq),
        Some(theirs) if theirs.life > head.life => head.seq,
        _ => 0,
    }
}
