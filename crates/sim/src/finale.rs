//! The end of every run: everything heals, everything converges, and then it is silent.

use std::collections::BTreeSet;

use driftless_core::engine::{Lag, Phase};
use driftless_core::message::State;
use driftless_core::store::Store;

use crate::network::{LinkId, Quality};
use crate::plan::neighbour_links;
use crate::violation::{Rule, Violation};
use crate::world::{Counts, Event, World};

/// Within what virtual time everything must be everywhere.
const CONVERGES_MS: u64 = 300_000;
/// How long it takes at most until a peer that was silent is asked for history again, in patiences.
const PATIENCES: u64 = 14;
/// How long silence is watched, in refreshes.
const REFRESHES: u64 = 4;

impl World {
    /// Faults end, everybody is there, and everybody can reach everybody, if only through others.
    pub(crate) fn heal(&mut self) -> Result<(), Violation> {
        self.calm = true;
        self.quality = Quality::calm();
        self.trace.line(self.now, || "everything heals".to_owned());
        if self.rng.chance(50) || !self.is_connected() {
            let members = self.members();
            neighbour_links(&members, |i| self.replicas[i].id, |id| self.network.add(id));
        }
        for id in self.network.ids() {
            self.network.link_mut(id).blocked_until = [0; 2];
            self.schedule(self.now + 10, Event::Dial(id));
        }
        for i in 0..self.replicas.len() {
            self.replicas[i].fate = None;
            self.replicas[i].evicted = false;
            self.start(i)?;
        }
        self.tell_members();
        Ok(())
    }

    /// Whether those who are left can reach each other over the links of the plan.
    fn is_connected(&self) -> bool {
        let members = self.members();
        let mut next: Vec<usize> = members.first().copied().into_iter().collect();
        let mut reached: BTreeSet<usize> = next.iter().copied().collect();
        while let Some(i) = next.pop() {
            let stays = |j: &usize| !self.replicas[*j].gone;
            next.extend(self.network.peers_of(i).filter(stays).filter(|j| reached.insert(*j)));
        }
        reached.len() == members.len()
    }

    /// Everything that somebody holds is everywhere in bounded time.
    pub(crate) fn converge(&mut self) -> Result<(), Violation> {
        let began = self.now;
        self.converge_within(CONVERGES_MS)?;
        self.converged_ms = Some(self.now - began);
        Ok(())
    }

    fn converge_within(&mut self, ms: u64) -> Result<(), Violation> {
        let limit = self.now + ms;
        while self.now < limit {
            self.run_until(self.now + 50)?;
            if self.unfinished().is_none() {
                return self.check_end();
            }
        }
        let why = self.unfinished().unwrap_or_default();
        Err(self.violation(Rule::Converges, why))
    }

    /// What is left to do, if anything.
    fn unfinished(&self) -> Option<String> {
        let members = self.members();
        let first = &self.replicas[*members.first()?].durable;
        for i in &members {
            let replica = &self.replicas[*i];
            let Some(engine) = &replica.engine else { return Some(format!("{i} is down")) };
            if !replica.inbox.is_empty() || !replica.wishes.is_empty() {
                return Some(format!("{i} has work"));
            }
            if replica.durable != *first {
                return Some(format!("{i} holds {:?}, another {first:?}", replica.durable));
            }
            let phase = engine.phase(&replica.store);
            if phase != Phase::Ready {
                return Some(format!("{i} is {phase:?}"));
            }
            // What needs something that left with its writer, or that its writer lost, waits in vain
            // until a restart.
            let complete = members.len() == self.replicas.len() && self.sure.is_empty();
            if engine.waiting() > 0 && complete {
                return Some(format!("{i} has change sets that wait"));
            }
            if let Some(why) = self.open_session(*i, first).or_else(|| self.lagging(*i)) {
                return Some(why);
            }
        }
        None
    }

    /// A session may only be left if what it goes for has left with its owner.
    fn open_session(&self, i: usize, state: &State) -> Option<String> {
        let store = &self.replicas[i].store;
        store.lanes().into_iter().find_map(|device| {
            let session = store.lane(&device)?.session.as_ref()?;
            let gone = self.replica_of(&device).is_some_and(|owner| self.replicas[owner].gone);
            let exact = state.owned.head(&device).filter(|head| head.life == session.life);
            let lost = gone && exact.is_none_or(|head| head.seq < session.target);
            (!lost).then(|| format!("{i} has a session of {device:?} open: {session:?}"))
        })
    }

    fn lagging(&self, i: usize) -> Option<String> {
        let replica = &self.replicas[i];
        let engine = replica.engine.as_ref()?;
        self.network.peers_of(i).filter(|j| !self.replicas[*j].gone).find_map(|j| {
            let peer = self.replicas[j].id;
            let lag = engine.lag(&replica.store, &peer);
            let done = engine.is_ready(&peer) && lag == Lag::default();
            (!done).then(|| format!("{i} sees {j} at {lag:?}"))
        })
    }

    /// Every committed write of those who are left is there, and every state is what it must be.
    pub(crate) fn check_end(&mut self) -> Result<(), Violation> {
        self.trace.line(self.now, || "everything is everywhere".to_owned());
        let members = self.members();
        for (origin, end) in self.ledger.ends() {
            let stays = members.iter().any(|i| self.replicas[*i].id == origin.device);
            let held = members.first().map(|i| self.replicas[*i].durable.shared.seq(&origin));
            // Of what a restored device had written, what nobody else had is lost.
            let least = self.sure.get(&origin).copied().unwrap_or(end);
            if stays && held.is_some_and(|held| !(least..=end).contains(&held)) {
                let what = format!("{origin:?} wrote {end} change sets, {held:?} are there");
                return Err(self.violation(Rule::Fold, what));
            }
        }
        for i in members {
            self.check_all(i)?;
        }
        Ok(())
    }

    /// Nothing but the refresh is sent when nothing changes.
    pub(crate) fn stay_silent(&mut self) -> Result<(), Violation> {
        let configs = self.plan.members.iter().map(|member| &member.config);
        let refreshes = configs.map(|config| config.refresh_ms);
        let (shortest, longest) =
            refreshes.fold((u64::MAX, 0), |(low, high), ms| (low.min(ms), high.max(ms)));
        let patience = self.plan.members.iter().map(|member| member.config.patience_ms).max();
        // Digests are compared, what was lost is told again, and history is asked for again of whoever
        // did not answer before.
        let settled = longest + 10_000 + PATIENCES * patience.unwrap_or(0);
        self.run_until(self.now + settled)?;
        let before = self.counts.clone();
        let watched = longest * REFRESHES;
        self.run_until(self.now + watched)?;
        self.check_silence(&before, watched / shortest + 1)?;
        // A refresh may just have come in.
        self.converge_within(1_000)
    }

    fn check_silence(&self, before: &Counts, refreshes: u64) -> Result<(), Violation> {
        let links = self.network.ids().into_iter().filter(|id| self.stands(*id)).count() as u64;
        for (what, count) in &self.counts {
            let more = count - before.get(what).copied().unwrap_or(0);
            let most = match *what {
                "vector" | "frames" => 2 * links * refreshes,
                "pruned" => refreshes * self.replicas.len() as u64,
                "batches" | "batches of several" => 10 * links * refreshes,
                _ => 0,
            };
            if more > most {
                return Err(self.violation(Rule::Silent, format!("{more} more {what}")));
            }
        }
        Ok(())
    }

    fn stands(&self, id: LinkId) -> bool {
        self.network.link(id).connection.is_some()
    }
}
