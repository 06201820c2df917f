//! One replica takes a step: a batch of inputs and local writes, one transaction, one batch of
//! effects, and its fate.

use driftless_core::engine::{Effect, Input};
use driftless_core::id::Dot;
use driftless_core::version::Vector;

use crate::bug::Bug;
use crate::plan::Fate;
use crate::replica::Batch;
use crate::violation::{Rule, Violation};
use crate::world::{Event, World};

/// Ticks in a row, at one moment, after which an engine is taken to be spinning.
const MOST_TICKS: u32 = 20;

impl World {
    pub(crate) fn timer(&mut self, i: usize) -> Result<(), Violation> {
        if self.replicas[i].timer_at.is_some_and(|at| at <= self.now) {
            self.replicas[i].timer_at = None;
            self.step(i)?;
            self.set_timer(i);
        }
        Ok(())
    }

    fn set_timer(&mut self, i: usize) {
        let Some(at) = self.replicas[i].deadline().map(|at| at.max(self.now)) else { return };
        if self.replicas[i].timer_at.is_none_or(|old| at < old) {
            self.replicas[i].timer_at = Some(at);
            self.schedule(at, Event::Timer(i));
        }
    }

    /// Takes some of what waits, and lets it meet its fate.
    pub(crate) fn step(&mut self, i: usize) -> Result<(), Violation> {
        let most = if self.calm { 64 } else { self.rng.index(6) + 1 };
        let due = self.replicas[i].deadline().is_some_and(|at| at <= self.now);
        let spurious = !self.calm && self.rng.chance(1);
        let replica = &mut self.replicas[i];
        if !replica.is_up() {
            return Ok(());
        }
        let count = most.min(replica.inbox.len());
        let mut inputs: Vec<Input> = replica.inbox.drain(..count).collect();
        let count = most.min(replica.wishes.len());
        let wishes: Vec<_> = replica.wishes.drain(..count).collect();
        let idle = inputs.is_empty() && wishes.is_empty();
        if due || spurious {
            inputs.push(Input::Tick);
        }
        if inputs.is_empty() && wishes.is_empty() {
            return Ok(());
        }
        self.note_batch(i, inputs.len(), wishes.len());
        let rehearses = self.plan.given_up > 0 && self.rng.chance(10);
        if let Some((_, seed)) = wishes.first().filter(|_| rehearses) {
            self.count("given up alone");
            let done = self.replicas[i].rehearse(seed ^ 1, self.now);
            done.map_err(|what| self.violation(Rule::Write, what))?;
        }
        let relaxed = wishes.is_empty() && self.rng.chance(self.plan.relaxed) && !self.calm;
        let heard = self.before_batch(i, &inputs);
        let done = self.replicas[i].run(inputs, wishes, (self.plan.given_up, relaxed), self.now);
        for what in std::mem::take(&mut self.replicas[i].undone) {
            self.count(what);
        }
        let batch = done.map_err(|what| self.violation(Rule::Write, format!("{i}: {what}")))?;
        self.meet_fate(i, batch, relaxed)?;
        self.after_batch(i, heard)?;
        self.check_busy(i, idle)?;
        let replica = &self.replicas[i];
        if !replica.inbox.is_empty() || !replica.wishes.is_empty() {
            self.schedule(self.now, Event::Wake(i));
        }
        self.set_timer(i);
        Ok(())
    }

    fn note_batch(&mut self, i: usize, inputs: usize, wishes: usize) {
        self.count("batches");
        if inputs + wishes > 1 {
            self.count("batches of several");
        }
        self.trace.note(&[self.now, 2, i as u64, inputs as u64, wishes as u64]);
    }

    /// A tick that leaves another one due at the same moment, again and again, is a loop.
    fn check_busy(&mut self, i: usize, idle: bool) -> Result<(), Violation> {
        let due = self.replicas[i].deadline().is_some_and(|at| at <= self.now);
        let replica = &mut self.replicas[i];
        replica.busy = if due && idle { replica.busy + 1 } else { 0 };
        if replica.busy > MOST_TICKS {
            return Err(self.violation(Rule::Busy, format!("{i} is ticked and stays due")));
        }
        Ok(())
    }

    fn meet_fate(&mut self, i: usize, batch: Batch, relaxed: bool) -> Result<(), Violation> {
        let mut fate = self.replicas[i].fate.take();
        if batch.aborted {
            fate = Some(Fate::RolledBack);
        }
        if let Some(fate) = fate {
            self.trace.line(self.now, || format!("{i} meets {fate:?}"));
        }
        let early = self.plan.bug == Some(Bug::AcknowledgeBeforeCommit);
        match fate {
            None if relaxed => self.make_visible(i, batch, early),
            None => {
                let effects = self.commit(i, batch)?;
                self.release(i, effects)
            }
            Some(Fate::CrashAfterCommit(released)) => {
                self.count("crashes after the commit");
                let mut effects = self.commit(i, batch)?;
                effects.truncate(released);
                self.release(i, effects)?;
                self.crash(i)
            }
            Some(Fate::CrashBeforeCommit) => {
                self.count("crashes before the commit");
                if early {
                    self.release(i, batch.effects)?;
                }
                self.crash(i)?;
                self.check_after(i, &[])
            }
            Some(Fate::RolledBack) => {
                self.count("rolled back");
                self.roll_back(i)?;
                self.check_after(i, &[])
            }
        }
    }

    /// Makes a batch of what others wrote visible. What follows from it is done once it is durable.
    fn make_visible(&mut self, i: usize, batch: Batch, early: bool) -> Result<(), Violation> {
        self.count("visible before it was durable");
        let committed = self.replicas[i].store.commit_relaxed();
        committed.map_err(|error| self.store_failed(i, &error))?;
        let replica = &mut self.replicas[i];
        if replica.held.is_empty() {
            let pause = self.rng.below(30);
            self.schedule(self.now + pause, Event::Sync(i));
        }
        self.check_after(i, &[])?;
        if early {
            return self.release(i, batch.effects);
        }
        self.replicas[i].held.extend(batch.effects);
        Ok(())
    }

    /// Makes durable what is visible, and does what waited for it.
    pub(crate) fn sync(&mut self, i: usize) -> Result<(), Violation> {
        if !self.replicas[i].is_up() {
            return Ok(());
        }
        let committed = self.replicas[i].store.commit();
        committed.map_err(|error| self.store_failed(i, &error))?;
        self.replicas[i].note_durable();
        let held = std::mem::take(&mut self.replicas[i].held);
        self.release(i, held)
    }

    /// Makes a batch durable, writes it into the ledger, and lets the checkers look.
    fn commit(&mut self, i: usize, batch: Batch) -> Result<Vec<Effect>, Violation> {
        let committed = self.replicas[i].store.commit();
        committed.map_err(|error| self.store_failed(i, &error))?;
        self.replicas[i].note_durable();
        for (dot, past) in &batch.written {
            self.enter(i, *dot, past)?;
        }
        let written: Vec<Dot> = batch.written.iter().map(|(dot, _)| *dot).collect();
        self.check_after(i, &written)?;
        let mut effects = std::mem::take(&mut self.replicas[i].held);
        effects.extend(batch.effects);
        Ok(effects)
    }

    /// Enters a change set into the ledger.
    fn enter(&mut self, i: usize, dot: Dot, past: &Vector) -> Result<(), Violation> {
        self.trace.line(self.now, || format!("{i} wrote {dot:?}"));
        self.count("change sets");
        let logged = self.replicas[i].store.logged(dot);
        let Some(set) = logged.map_err(|error| self.store_failed(i, &error))? else {
            return Err(self.violation(Rule::Write, format!("{dot:?} was committed, not logged")));
        };
        let entered = self.ledger.add(&set, past);
        entered.map_err(|error| self.violation(Rule::Write, format!("{dot:?}: {error}")))
    }

    /// The power fails: what was only visible is gone, and the machine starts again.
    pub(crate) fn cut_power(&mut self, i: usize) -> Result<(), Violation> {
        self.count("power cuts");
        self.trace.line(self.now, || format!("the power of {i} fails"));
        let gone = self.replicas[i].store.cut_power();
        if gone.map_err(|error| self.store_failed(i, &error))? {
            self.count("power cuts that took something");
            self.lost_power(i)?;
        }
        self.crash(i)
    }

    pub(crate) fn crash(&mut self, i: usize) -> Result<(), Violation> {
        self.trace.note(&[self.now, 3, i as u64]);
        self.trace.line(self.now, || format!("{i} crashes"));
        if self.replicas[i].reconciling.is_some() {
            self.count("reconcile: the asking side crashes");
        }
        let id = self.replicas[i].id;
        if self.replicas.iter().any(|replica| replica.reconciling == Some(id)) {
            self.count("reconcile: the serving side crashes");
        }
        self.hang_up(i);
        let crashed = self.replicas[i].crash();
        crashed.map_err(|error| self.store_failed(i, &error))?;
        let away = if self.rng.chance(50) { self.rng.below(200) } else { self.rng.below(20_000) };
        self.schedule(self.now + away, Event::Start(i));
        Ok(())
    }

    /// The transaction failed: peers are met anew.
    fn roll_back(&mut self, i: usize) -> Result<(), Violation> {
        let rolled_back = self.replicas[i].store.rollback();
        rolled_back.map_err(|error| self.store_failed(i, &error))?;
        let replica = &mut self.replicas[i];
        replica.mine = replica.mine_durable.clone();
        replica.held.clear();
        if let Some(engine) = &mut replica.engine {
            engine.rolled_back(&replica.store);
            if let Some(doubt) = replica.doubt {
                engine.doubt(doubt);
            }
        }
        self.hang_up(i);
        Ok(())
    }
}
