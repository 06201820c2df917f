//! Actions of a plan: what users, networks and clocks do to the world.

use driftless_core::engine::Input;

use crate::network::{LinkId, Side, replica_at};
use crate::plan::{Action, Fate, Kind, new_wall_offset};
use crate::rng::Rng;
use crate::violation::Violation;
use crate::world::{Event, World};

impl World {
    pub(crate) fn act(&mut self, action: Action) -> Result<(), Violation> {
        let rng = &mut Rng::new(action.seed);
        let up: Vec<usize> =
            (0..self.replicas.len()).filter(|i| self.replicas[*i].is_up()).collect();
        if up.is_empty() {
            return Ok(());
        }
        let i = rng.pick(&up);
        let links = self.network.links_of(i);
        self.trace.note(&[self.now, 4, action.kind as u64, i as u64]);
        self.trace.line(self.now, || format!("{:?} at {i}", action.kind));
        let link = (!links.is_empty()).then(|| rng.pick(&links));
        match (action.kind, link) {
            (Kind::Write | Kind::Small | Kind::Burst | Kind::Undo, _) => {
                self.wish(i, action.kind, rng);
            }
            (Kind::Crash, _) => {
                self.replicas[i].fate = Some(crash(rng));
                self.wish(i, Kind::Write, rng);
            }
            (Kind::RollBack, _) => {
                self.replicas[i].fate = Some(Fate::RolledBack);
                self.wish(i, Kind::Write, rng);
            }
            (Kind::Kill, _) => {
                self.count("kills");
                self.crash(i)?;
            }
            (Kind::PowerCut, _) => self.cut_power(i)?,
            (Kind::Cut, Some(link)) => self.cut(link, &[0, 1], rng),
            (Kind::CutOneWay, Some(link)) => {
                let to = rng.index(2);
                self.cut(link, &[to], rng);
            }
            (Kind::Break, Some(link)) => self.break_link(link),
            (Kind::Flap, Some(link)) => self.flap(link, rng),
            (Kind::Away, _) => self.isolate(&links, rng),
            (Kind::Clock, _) => self.replicas[i].member.wall_offset_ms = new_wall_offset(rng),
            (Kind::StopClock, _) => {
                self.count("clocks stopped");
                let stands = rng.pick(&[500, 5_000, 60_000]);
                self.replicas[i].stop_clock(self.now, self.now + stands);
            }
            (Kind::Prune, _) => self.post(i, Input::Prune),
            (Kind::LoseLog, _) => self.lose_log(i)?,
            (Kind::Save, _) => self.save(i)?,
            (Kind::Restore, _) => self.restore(rng)?,
            (Kind::Years, _) => self.sleep(i, rng)?,
            (Kind::Evict, _) => self.evict(i, &links, rng),
            (Kind::Leave, _) => self.leave(i)?,
            (Kind::Probe, _) => self.post(i, Input::Probe(rng.draw())),
            (Kind::Verify, Some(link)) => {
                let side = Side::from(link.0 == i);
                let peer = self.replicas[replica_at(link, side)].id;
                self.post(i, Input::Verify(peer));
            }
            (Kind::Cut | Kind::CutOneWay | Kind::Break | Kind::Flap | Kind::Verify, None) => {}
        }
        Ok(())
    }

    /// A replica is down for longer than the short retentions, and the others prune meanwhile.
    fn sleep(&mut self, i: usize, rng: &mut Rng) -> Result<(), Violation> {
        self.count("away for years");
        self.crash(i)?;
        let until = self.now + rng.between(60_000, 400_000);
        self.replicas[i].sleeps_until = until;
        self.schedule(until, Event::Start(i));
        for j in (0..self.replicas.len()).filter(|j| *j != i) {
            self.schedule(self.now + 40_000, Event::Prune(j));
        }
        Ok(())
    }

    /// A replica is cut off, and not waited for any more. It comes back, and is evicted still.
    fn evict(&mut self, i: usize, links: &[LinkId], rng: &mut Rng) {
        let others = self.members().into_iter().filter(|j| self.replicas[*j].born && *j != i);
        if others.filter(|j| !self.replicas[*j].evicted).count() < 2 {
            return;
        }
        self.count("evicted");
        self.replicas[i].evicted = true;
        self.isolate(links, rng);
        self.tell_members();
        for j in (0..self.replicas.len()).filter(|j| *j != i) {
            self.schedule(self.now + 1_000, Event::Prune(j));
        }
    }

    /// A replica goes down, and starts again without its log.
    fn lose_log(&mut self, i: usize) -> Result<(), Violation> {
        self.count("logs lost");
        self.crash(i)?;
        let lost = self.replicas[i].store.lose_log();
        lost.map_err(|error| self.store_failed(i, &error))
    }

    fn save(&mut self, i: usize) -> Result<(), Violation> {
        self.sync(i)?;
        let saved = self.replicas[i].save();
        saved.map_err(|error| self.store_failed(i, &error))
    }

    /// A replica goes down, and starts again from an older copy of its data. What it wrote since is
    /// lost unless somebody else has it.
    fn restore(&mut self, rng: &mut Rng) -> Result<(), Violation> {
        let has_copy = |i: &usize| self.replicas[*i].is_up() && self.replicas[*i].is_saved();
        let saved: Vec<usize> = (0..self.replicas.len()).filter(has_copy).collect();
        if saved.is_empty() {
            return Ok(());
        }
        let i = rng.pick(&saved);
        self.count("restored");
        self.crash(i)?;
        let before = self.replicas[i].durable.shared.clone();
        let restored = self.replicas[i].restore();
        restored.map_err(|error| self.store_failed(i, &error))?;
        if self.replicas[i].durable.shared != before {
            self.count("restored what was older");
        }
        self.lost_power(i)?;
        self.note_losses();
        Ok(())
    }

    /// What nobody who is left holds cannot come back.
    fn note_losses(&mut self) {
        for (origin, end) in self.ledger.ends() {
            let stay = self.replicas.iter().filter(|replica| !replica.gone);
            let held = stay.map(|replica| replica.durable.shared.seq(&origin)).max();
            let held = held.unwrap_or(0);
            if held < end {
                let sure = self.sure.entry(origin).or_insert(held);
                *sure = held.min(*sure);
            }
        }
    }

    fn wish(&mut self, i: usize, kind: Kind, rng: &mut Rng) {
        for _ in 0..rng.pick(&[1, 1, 2, 5]) {
            self.replicas[i].wishes.push_back((kind, rng.draw()));
        }
        self.schedule(self.now, Event::Wake(i));
    }

    fn cut(&mut self, link: LinkId, to: &[Side], rng: &mut Rng) {
        self.count(if to.len() == 2 { "cuts" } else { "one-way cuts" });
        let until = self.now + rng.pick(&[100, 2_000, 10_000, 40_000]);
        let dies = to.len() == 2 || rng.chance(50);
        self.block(link, to, until, dies);
    }

    /// A link that goes and comes, a few times in a row.
    fn flap(&mut self, link: LinkId, rng: &mut Rng) {
        self.count("flaps");
        let mut at = self.now;
        for _ in 0..rng.between(3, 12) {
            self.schedule(at, Event::Break(link));
            at += rng.between(5, 800);
        }
    }

    fn isolate(&mut self, links: &[LinkId], rng: &mut Rng) {
        self.count("away");
        let until = self.now + rng.between(20_000, 600_000);
        for link in links {
            self.block(*link, &[0, 1], until, true);
        }
    }

    /// A device goes and never comes back, unless it would leave fewer than two behind.
    fn leave(&mut self, i: usize) -> Result<(), Violation> {
        let others = self.members().into_iter().filter(|j| self.replicas[*j].born && *j != i);
        if others.count() < 2 {
            return Ok(());
        }
        self.count("left for ever");
        self.hang_up(i);
        let crashed = self.replicas[i].crash();
        crashed.map_err(|error| self.store_failed(i, &error))?;
        self.replicas[i].gone = true;
        self.note_losses();
        Ok(())
    }
}

fn crash(rng: &mut Rng) -> Fate {
    match rng.below(3) {
        0 => Fate::CrashAfterCommit(0),
        1 => Fate::CrashAfterCommit(rng.index(4)),
        _ => Fate::CrashBeforeCommit,
    }
}
