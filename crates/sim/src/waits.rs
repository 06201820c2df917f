//! The checker of pruning: nothing is forgotten that a member lacks that is waited for.
//!
//! Who is waited for is worked out here from what happened: a member counts if it has been heard of,
//! since this replica was started, within the retention on this replica's wall clock, if it is a
//! member for less than that, or if a connection with it stood before and after the batch. That is
//! less than what the engine knows, as acknowledgements are kept over restarts: what is found here is
//! wrong, not all that is wrong is found.

use std::collections::BTreeSet;

use driftless_core::engine::Input;
use driftless_core::id::DeviceId;
use driftless_core::message::Message;

use crate::bench::Pruned;
use crate::violation::{Rule, Violation};
use crate::world::World;

/// What is known before a batch.
pub(crate) struct Before {
    /// Peers that say in it what they hold.
    heard: Vec<DeviceId>,
    /// Peers with whom a connection stands all the time.
    connected: BTreeSet<DeviceId>,
    /// Whom it was told to wait for before.
    members: BTreeSet<DeviceId>,
}

impl World {
    /// Looks at a batch before it is run.
    pub(crate) fn before_batch(&mut self, i: usize, inputs: &[Input]) -> Before {
        let mut connected = self.known_peers(i);
        let mut heard = Vec::new();
        let members = self.replicas[i].members.keys().copied().collect();
        for input in inputs {
            match input {
                Input::Connected(peer) | Input::Disconnected(peer) => {
                    connected.remove(peer);
                }
                Input::Message(peer, Message::Hello(_) | Message::Vector(_)) => heard.push(*peer),
                Input::Members(members) => self.replicas[i].members.clone_from(members),
                _ => {}
            }
        }
        Before { heard, connected, members }
    }

    fn known_peers(&self, i: usize) -> BTreeSet<DeviceId> {
        let Some(engine) = &self.replicas[i].engine else { return BTreeSet::new() };
        let peers = self.network.peers_of(i).map(|j| self.replicas[j].id);
        peers.filter(|peer| engine.is_ready(peer)).collect()
    }

    /// Looks at what a batch has forgotten.
    pub(crate) fn after_batch(&mut self, i: usize, before: Before) -> Result<(), Violation> {
        let pruned = self.replicas[i].store.take_pruned();
        let there = self.known_peers(i);
        let connected: BTreeSet<_> = before.connected.intersection(&there).copied().collect();
        let replica = &self.replicas[i];
        // A crash forgets what was heard, and a batch that failed heard nothing.
        if replica.is_up() {
            let told = |device: &&DeviceId| before.members.contains(*device);
            let others = replica.members.keys().filter(|device| **device != replica.id);
            for device in others.filter(told) {
                if connected.contains(device) || self.was_heard(i, device) {
                    self.check_forgotten(i, device, &pruned)?;
                }
            }
        }
        let wall_ms = self.replicas[i].now(self.now).wall_ms;
        for peer in before.heard.into_iter().filter(|peer| there.contains(peer)) {
            self.replicas[i].heard.insert(peer, wall_ms);
        }
        Ok(())
    }

    fn was_heard(&self, i: usize, device: &DeviceId) -> bool {
        let replica = &self.replicas[i];
        let since = replica.members.get(device).copied().unwrap_or(0);
        let heard = replica.heard.get(device).copied().unwrap_or(0).max(since);
        let oldest =
            replica.now(self.now).wall_ms.saturating_sub(replica.member.config.retention_ms);
        heard >= oldest
    }

    fn check_forgotten(
        &self,
        i: usize,
        device: &DeviceId,
        pruned: &Pruned,
    ) -> Result<(), Violation> {
        let Some(j) = self.replica_of(device) else { return Ok(()) };
        let holds = self.replicas[j].said();
        for (origin, seq) in &pruned.log {
            if holds.shared.seq(origin) < *seq {
                let what = format!("{i} forgets {origin:?} up to {seq}, which {j} lacks");
                return Err(self.violation(Rule::Pruned, what));
            }
        }
        for (owner, floor) in &pruned.lanes {
            let mine = self.replicas[i].durable.owned.head(owner);
            let theirs = holds.owned.head(owner);
            let has = match (mine, theirs) {
                (Some(mine), Some(theirs)) if theirs.life == mine.life => theirs.seq >= *floor,
                (Some(mine), Some(theirs)) => theirs.life > mine.life,
                (_, None) => false,
                (None, _) => true,
            };
            if !has {
                let what = format!(
                    "{i} forgets tombstones of {owner:?} up to {floor}, {j} has {theirs:?}"
                );
                return Err(self.violation(Rule::Pruned, what));
            }
        }
        Ok(())
    }
}
