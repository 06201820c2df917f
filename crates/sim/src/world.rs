//! The world: virtual time, and everything that happens in it, in order.

use std::collections::BTreeMap;

use driftless_core::engine::Input;
use driftless_core::id::{DeviceId, LibraryId, Origin, Seq};
use driftless_core::message::{Envelope, Message};
use driftless_core::store::Store;
use driftless_store::StoreError;

use crate::check::Checker;
use crate::ledger::Ledger;
use crate::network::{Frame, LinkId, Network, Quality, Side, replica_at};
use crate::plan::Plan;
use crate::replica::{LIBRARY, Replica};
use crate::rng::Rng;
use crate::scale::Following;
use crate::trace::Trace;
use crate::violation::{Rule, Violation};

/// How often each rare thing happened: a run that never meets them shows nothing.
pub type Counts = BTreeMap<&'static str, u64>;

/// Something that is going to happen.
pub(crate) enum Event {
    /// An action of the plan.
    Act(usize),
    /// A replica starts.
    Start(usize),
    /// A replica looks into its inbox.
    Wake(usize),
    /// A replica's deadline may have passed.
    Timer(usize),
    /// The two ends of a link look for each other.
    Dial(LinkId),
    /// An end learns that a connection stands.
    Up(LinkId, Side, u64),
    /// An end learns that a connection has ended.
    Down(LinkId, Side, u64),
    /// A connection over which nothing came is given up.
    Dead(LinkId, u64),
    /// A replica prunes.
    Prune(usize),
    /// A connection breaks.
    Break(LinkId),
    /// What a replica made visible is made durable.
    Sync(usize),
    /// A frame arrives.
    Frame(Frame),
}

/// A run under way.
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) replicas: Vec<Replica>,
    by_id: BTreeMap<DeviceId, usize>,
    pub(crate) network: Network,
    pub(crate) quality: Quality,
    pub(crate) ledger: Ledger,
    /// Of restored devices, how much of what they wrote before is certain to be there in the end.
    pub(crate) sure: BTreeMap<Origin, Seq>,
    pub(crate) checker: Checker,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    /// Whether everything has healed.
    pub(crate) calm: bool,
    pub(crate) converged_ms: Option<u64>,
    pub(crate) library: LibraryId,
    pub(crate) following: Following,
    events: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// A hash over everything that happened.
    pub trace_hash: u64,
    /// The story, if it was asked for.
    pub lines: Vec<String>,
    /// What happened how often.
    pub counts: Counts,
    /// After what virtual time without faults everything was everywhere.
    pub converged_ms: Option<u64>,
    /// What a checker found.
    pub violation: Option<Violation>,
}

impl Report {
    /// A run that did not begin.
    fn nothing(violation: Violation) -> Self {
        let (lines, counts, violation) = (vec![], Counts::new(), Some(violation));
        Self { trace_hash: 0, lines, counts, converged_ms: None, violation }
    }
}

/// Runs a plan to its end.
pub fn run(plan: Plan, keep_trace: bool) -> Report {
    let mut world = match World::new(plan, keep_trace) {
        Ok(world) => world,
        Err(violation) => return Report::nothing(violation),
    };
    let violation = world.play().err();
    if let Some(violation) = &violation {
        world.trace.line(violation.at_ms, || format!("VIOLATION {violation}"));
    }
    for replica in &world.replicas {
        for (what, count) in replica.store.tally() {
            *world.counts.entry(what).or_default() += count;
        }
    }
    Report {
        trace_hash: world.trace.hash(),
        lines: world.trace.lines().to_vec(),
        counts: world.counts,
        converged_ms: world.converged_ms,
        violation,
    }
}

impl World {
    /// The world before anything has happened.
    pub fn new(plan: Plan, keep_trace: bool) -> Result<Self, Violation> {
        let n = plan.members.len();
        let replicas = plan.members.iter().enumerate();
        let replicas: Result<Vec<Replica>, StoreError> = replicas
            .map(|(i, member)| Replica::new(i, member.clone(), (plan.store, plan.bug)))
            .collect();
        let replicas = replicas.map_err(|error| Violation {
            rule: Rule::Store,
            what: format!("a store cannot be made: {error}"),
            at_ms: 0,
        })?;
        let mut world = Self {
            now: 0,
            rng: Rng::new(plan.seed ^ 0xabcd),
            by_id: replicas.iter().enumerate().map(|(i, replica)| (replica.id, i)).collect(),
            replicas,
            network: Network::new(&plan.links),
            quality: plan.quality.clone(),
            ledger: Ledger::default(),
            sure: BTreeMap::new(),
            checker: Checker::new(n),
            trace: Trace::new(keep_trace),
            counts: Counts::new(),
            calm: false,
            converged_ms: None,
            library: LIBRARY,
            following: Following::default(),
            events: BTreeMap::new(),
            scheduled: 0,
            plan,
        };
        for i in 0..n {
            world.schedule(world.plan.members[i].starts_at, Event::Start(i));
        }
        for i in 0..world.plan.actions.len() {
            world.schedule(world.plan.actions[i].at, Event::Act(i));
        }
        Ok(world)
    }

    /// Everything of the plan, then healing, then silence.
    pub fn play(&mut self) -> Result<(), Violation> {
        let end = self.plan.actions.last().map_or(0, |action| action.at);
        self.run_until(end + 200)?;
        self.heal()?;
        self.converge()?;
        self.stay_silent()
    }

    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((at.max(self.now), self.scheduled), event);
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn violation(&self, rule: Rule, what: impl Into<String>) -> Violation {
        Violation { rule, what: what.into(), at_ms: self.now }
    }

    /// Lets time run until `end`.
    pub(crate) fn run_until(&mut self, end: u64) -> Result<(), Violation> {
        while let Some(entry) = self.events.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, _), event) = entry.remove_entry();
            self.now = at;
            self.happen(event)?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Act(i) => self.act(self.plan.actions[i])?,
            Event::Start(i) => self.start(i)?,
            Event::Wake(i) => self.step(i)?,
            Event::Timer(i) => self.timer(i)?,
            Event::Dial(link) => self.dial(link),
            Event::Up(link, side, connection) => self.up(link, side, connection),
            Event::Down(link, side, connection) => self.down(link, side, connection),
            Event::Dead(link, connection) => self.dead(link, connection),
            Event::Prune(i) => self.post(i, Input::Prune),
            Event::Break(link) => self.break_link(link),
            Event::Sync(i) => self.sync(i)?,
            Event::Frame(frame) => self.arrive(frame)?,
        }
        Ok(())
    }

    /// Puts an input before a replica; it looks at it soon, mostly together with others.
    pub(crate) fn post(&mut self, to: usize, input: Input) {
        if self.replicas[to].is_up() {
            self.replicas[to].inbox.push_back(input);
            let pause = if self.rng.chance(50) { 0 } else { self.rng.below(4) };
            self.schedule(self.now + pause, Event::Wake(to));
        }
    }

    /// A frame reaches its end if that still believes in the connection.
    fn arrive(&mut self, frame: Frame) -> Result<(), Violation> {
        let link = self.network.link(frame.link);
        if link.ends[frame.to] != Some(frame.connection) {
            return Ok(());
        }
        let sender = replica_at(frame.link, 1 - frame.to);
        let from = self.replicas[sender].id;
        let to = replica_at(frame.link, frame.to);
        let envelope = Envelope::decode(&frame.bytes)
            .map_err(|error| self.violation(Rule::Peace, format!("a frame is refused: {error}")))?;
        if envelope.sender != from || envelope.library != self.library {
            return Err(self.violation(Rule::Peace, "an envelope names another sender or library"));
        }
        self.trace.note(&[self.now, to as u64]);
        self.trace.mix(&frame.bytes);
        if let Message::Page(page) = &envelope.message
            && page.full
            && !page.goes_on
            && let Some(session) =
                self.replicas[to].store.lane(&page.device).and_then(|lane| lane.session.as_ref())
            && session.full
            && session.life == page.as_of.life
        {
            self.count("session: a full one begun anew");
        }
        self.follow_arrived(sender, to, &envelope.message);
        self.post(to, Input::Message(from, envelope.message));
        Ok(())
    }

    /// The replica of a device.
    pub(crate) fn replica_of(&self, device: &DeviceId) -> Option<usize> {
        self.by_id.get(device).copied()
    }

    /// The replicas that still take part.
    pub(crate) fn members(&self) -> Vec<usize> {
        (0..self.replicas.len()).filter(|i| !self.replicas[*i].gone).collect()
    }
}
