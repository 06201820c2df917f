//! Connections: how they come to stand, break, and are made again.

use std::collections::BTreeMap;

use driftless_core::engine::{Effect, Event as Told, Input};
use driftless_core::id::DeviceId;
use driftless_core::message::Message;

use crate::network::{Frame, LinkId, Side, link_of, replica_at};
use crate::replica::{EPOCH_MS, Replica};
use crate::violation::{Rule, Violation};
use crate::world::{Event, World};

/// After how long of silence a connection is given up.
const DEAD_AFTER_MS: u64 = 5_000;

impl World {
    pub(crate) fn start(&mut self, i: usize) -> Result<(), Violation> {
        let sleeps = self.replicas[i].sleeps_until > self.now && !self.calm;
        if self.replicas[i].gone || self.replicas[i].is_up() || sleeps {
            return Ok(());
        }
        let joins = !self.replicas[i].born;
        let started = self.replicas[i].start(self.now);
        started.map_err(|error| self.store_failed(i, &error))?;
        if joins {
            self.replicas[i].since = self.now;
            self.tell_members();
        } else {
            self.tell_member(i);
        }
        self.trace.note(&[self.now, 1, i as u64]);
        self.trace.line(self.now, || format!("{i} starts"));
        self.check_after(i, &[])?;
        for link in self.network.links_of(i) {
            let pause = self.rng.below(50);
            self.schedule(self.now + pause, Event::Dial(link));
        }
        Ok(())
    }

    /// Tells everybody who is to be waited for.
    pub(crate) fn tell_members(&mut self) {
        for i in 0..self.replicas.len() {
            self.tell_member(i);
        }
    }

    /// Tells one replica who is to be waited for: the members, but those that were evicted.
    fn tell_member(&mut self, i: usize) {
        let counts = |replica: &&Replica| replica.born && !replica.gone && !replica.evicted;
        let members = self.replicas.iter().filter(counts);
        let members: BTreeMap<DeviceId, u64> =
            members.map(|replica| (replica.id, EPOCH_MS + replica.since)).collect();
        self.post(i, Input::Members(members));
    }

    pub(crate) fn dial(&mut self, id: LinkId) {
        let up = self.replicas[id.0].is_up() && self.replicas[id.1].is_up();
        let link = self.network.link(id);
        if !up || link.connection.is_some() {
            return;
        }
        let free_at = link.blocked_until[0].max(link.blocked_until[1]);
        if free_at > self.now {
            return self.schedule(free_at, Event::Dial(id));
        }
        let up_at = [0, 1].map(|_| self.now + self.rng.between(1, 30));
        let connection = self.network.connect(id, up_at);
        self.count("connections");
        for (side, at) in up_at.into_iter().enumerate() {
            self.schedule(at, Event::Up(id, side, connection));
        }
    }

    pub(crate) fn up(&mut self, id: LinkId, side: Side, connection: u64) {
        let (here, there) = (replica_at(id, side), replica_at(id, 1 - side));
        if self.network.link(id).connection != Some(connection) || !self.replicas[here].is_up() {
            return;
        }
        let peer = self.replicas[there].id;
        let old = self.network.link_mut(id).ends[side].replace(connection);
        // An end that never noticed that the old connection broke learns of both at once, or only
        // of the new one.
        if old.is_some() && self.rng.chance(50) {
            self.post(here, Input::Disconnected(peer));
        }
        self.trace.line(self.now, || format!("{here} connected to {there} ({connection})"));
        self.post(here, Input::Connected(peer));
    }

    pub(crate) fn down(&mut self, id: LinkId, side: Side, connection: u64) {
        let (here, there) = (replica_at(id, side), replica_at(id, 1 - side));
        if self.network.link(id).ends[side] != Some(connection) {
            return;
        }
        self.network.link_mut(id).ends[side] = None;
        self.trace.line(self.now, || format!("{here} lost {there} ({connection})"));
        let peer = self.replicas[there].id;
        self.post(here, Input::Disconnected(peer));
    }

    pub(crate) fn dead(&mut self, id: LinkId, connection: u64) {
        let link = self.network.link(id);
        let blocked = link.blocked_until.iter().any(|until| *until > self.now);
        if link.connection == Some(connection) && blocked {
            self.break_link(id);
        }
    }

    /// The connection ends. Each end learns of it in its own time, and until then gets what was on
    /// its way.
    pub(crate) fn break_link(&mut self, id: LinkId) {
        let Some(connection) = self.network.link_mut(id).connection.take() else { return };
        self.count("breaks");
        for side in 0..2 {
            let pause = if self.rng.chance(80) { self.rng.below(50) } else { DEAD_AFTER_MS };
            self.schedule(self.now + pause, Event::Down(id, side, connection));
        }
        let pause = if self.calm { 50 } else { self.rng.between(20, 3_000) };
        self.schedule(self.now + pause, Event::Dial(id));
    }

    /// One replica lets go of all its connections at once.
    pub(crate) fn hang_up(&mut self, i: usize) {
        for id in self.network.links_of(i) {
            let side = Side::from(id.0 != i);
            self.break_link(id);
            if self.network.link_mut(id).ends[side].take().is_some() {
                let peer = self.replicas[replica_at(id, 1 - side)].id;
                self.post(i, Input::Disconnected(peer));
            }
        }
    }

    /// Swallows what goes to the ends in `to` until `until`.
    pub(crate) fn block(&mut self, id: LinkId, to: &[Side], until: u64, dies: bool) {
        let link = self.network.link_mut(id);
        for side in to {
            link.blocked_until[*side] = until;
        }
        if let Some(connection) = link.connection.filter(|_| dies) {
            self.schedule(self.now + DEAD_AFTER_MS, Event::Dead(id, connection));
        }
    }

    /// Carries out what a replica's engine wants done.
    pub(crate) fn release(&mut self, i: usize, effects: Vec<Effect>) -> Result<(), Violation> {
        for effect in effects {
            match effect {
                Effect::Send { to, message } => self.send(i, &to, &message)?,
                Effect::Disconnect { peer, reason } => {
                    let what = format!("{i} turns {peer:?} away: {reason}");
                    return Err(self.violation(Rule::Peace, what));
                }
                Effect::Certificates { .. } => self.count("certificates"),
                Effect::Event(told) => self.told(i, told)?,
            }
        }
        Ok(())
    }

    fn send(&mut self, i: usize, to: &[DeviceId], message: &Message) -> Result<(), Violation> {
        self.check_promise(i, message)?;
        let sender = self.replicas[i].id;
        let bytes = message
            .encode(self.library, sender)
            .map_err(|error| self.violation(Rule::Peace, format!("not encodable: {error}")))?;
        for peer in to {
            let Some(there) = self.replica_of(peer) else {
                return Err(self.violation(Rule::Peace, "a message to nobody"));
            };
            self.count(message.name());
            self.check_flood(i, there)?;
            let (id, side) = link_of(i, there);
            let link = self.network.link(id);
            let Some(connection) = link.ends[side].filter(|c| link.connection == Some(*c)) else {
                continue;
            };
            let sent = (self.now, bytes.len());
            let arrivals = self.network.send(id, side, sent, &self.quality, &mut self.rng);
            self.count("frames");
            self.follow_sent(message, bytes.len());
            if arrivals.is_empty() {
                self.count("frames lost");
            }
            self.trace.line(self.now, || {
                let lost = if arrivals.is_empty() { " (lost)" } else { "" };
                format!("{i} -> {there} {}{lost}", tell(message))
            });
            for at in arrivals {
                let frame = Frame { link: id, to: 1 - side, connection, bytes: bytes.clone() };
                self.schedule(at, Event::Frame(frame));
            }
        }
        Ok(())
    }

    fn told(&mut self, i: usize, told: Told) -> Result<(), Violation> {
        match told {
            Told::Compared { peer, differ } if !differ.is_empty() => {
                let what = format!("{i} and {peer:?} have equal states and differ in {differ:?}");
                return Err(self.violation(Rule::Equal, what));
            }
            Told::Fork { origin, seq, peer } => {
                let what = format!("{i} sees a fork of {origin:?} at {seq} with {peer:?}");
                return Err(self.violation(Rule::Peace, what));
            }
            Told::InDoubt(doubt) => {
                self.replicas[i].doubt = doubt;
                self.count(if doubt.is_some() { "in doubt: met" } else { "in doubt: ended" });
            }
            Told::Renewed if self.replicas[i].doubted => self.count("in doubt: renewed"),
            // It died before it had noted whom it has met.
            Told::Restated if self.replicas[i].doubted => self.count("in doubt: restated"),
            Told::Restated | Told::Renewed if !self.replicas[i].restored => {
                let what = format!("{i} goes on under a new epoch, and has lost nothing");
                return Err(self.violation(Rule::Peace, what));
            }
            Told::Twin { device } => {
                let i = self.replicas.iter().position(|replica| replica.id == device);
                if !i.is_some_and(|i| self.replicas[i].restored) {
                    let what =
                        format!("{device:?} is said to be there twice, and has lost nothing");
                    return Err(self.violation(Rule::Peace, what));
                }
                self.count("said to be there twice");
            }
            Told::Restated => self.count("restated again"),
            Told::Renewed => self.count("renewed again"),
            Told::Compared { .. } => self.count("compared"),
            Told::NotComparable { .. } => self.count("not comparable"),
            Told::Answered { .. } => self.count("answered"),
            Told::LaneExact { .. } => self.count("lane exact"),
            Told::Met { .. } => self.count("met"),
            Told::Pruned { .. } => self.count("pruned"),
            Told::Damaged { .. } => self.count("damaged"),
            Told::Mended { .. } => self.count("mended"),
            Told::HandedOver { more, .. } => {
                self.count("history: a page handed over");
                if !more {
                    self.count("history: handed over");
                }
                if self.replicas[i].joins {
                    self.count("history: handed over to a joiner");
                }
            }
            Told::ReconcileBegun { peer } => {
                self.count("reconcile: begun");
                if self.replicas[i].tried.replace(peer).is_some_and(|tried| tried != peer) {
                    self.count("reconcile: goes on with another peer");
                }
                let replica = &mut self.replicas[i];
                replica.reconciling = Some(peer);
                replica.joins = replica.durable.shared.is_empty();
            }
            Told::Reconciled { dropped, mended, .. } => {
                self.count("reconcile: done");
                if mended {
                    let what = format!("{i} had other digests than a peer with equal vectors");
                    return Err(self.violation(Rule::Equal, what));
                }
                if self.replicas[i].joins {
                    self.count("reconcile: a joiner came in");
                }
                (self.replicas[i].reconciling, self.replicas[i].tried) = (None, None);
                if dropped > 0 {
                    self.count("reconcile: dead dots dropped");
                }
            }
            Told::ReconcileAbandoned { .. } => {
                self.count("reconcile: abandoned");
                self.replicas[i].reconciling = None;
            }
            Told::PeerState { .. } | Told::Changed { .. } => {}
        }
        Ok(())
    }
}

/// A message in one line.
pub(crate) fn tell(message: &Message) -> String {
    match message {
        Message::Changes(changes) => {
            let sets: Vec<String> = changes.sets.iter().map(|s| format!("{:?}", s.dot())).collect();
            format!("changes {} [{}]", changes.pull, sets.join(" "))
        }
        Message::Vector(state) => {
            let shared: Vec<String> =
                state.shared.iter().map(|(o, h)| format!("{o:?}#{}", h.seq)).collect();
            let owned: Vec<String> =
                state.owned.iter().map(|(d, h)| format!("{d:?}@{}", h.seq)).collect();
            format!("vector [{}] [{}]", shared.join(" "), owned.join(" "))
        }
        Message::Page(page) => format!(
            "page of {:?} as of {} {}{} {:?} .. {:?}",
            page.device,
            page.as_of.seq,
            if page.full { "full" } else { "delta" },
            if page.goes_on { " on" } else { "" },
            page.from,
            page.next
        ),
        Message::Pull { .. } | Message::OwnedPull(_) | Message::More { .. } => {
            format!("{message:?}")
        }
        other => other.name().to_owned(),
    }
}
