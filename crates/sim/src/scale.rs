//! How the cost of a change grows with the number of devices.
//!
//! All devices have taken part for long: each has a lane of its own that all others hold, and a
//! bounded set of neighbours. The network is a home's: a few milliseconds, nothing lost. First one
//! half of the devices is cut off from the other while changes are written in both; then the two
//! meet. After that, changes are written one after the other, each when the one before is everywhere.

use std::collections::BTreeMap;

use driftless_core::clock::Hlc;
use driftless_core::engine::Config;
use driftless_core::id::{Dot, Epoch};
use driftless_core::mem::MemStore;
use driftless_core::message::Message;
use driftless_core::page::{Cursor, PageWriter};
use driftless_core::store::{Session, Store};
use driftless_core::version::{Life, OwnedHead};

use crate::base::StoreKind;
use crate::network::Quality;
use crate::plan::{Kind, Member, Plan, neighbour_links};
use crate::replica::device;
use crate::violation::{Rule, Violation};
use crate::world::{Event, World};

/// Frames take between these.
const DELAY_MS: (u64, u64) = (5, 20);
/// For how long the two halves are apart.
const APART_MS: u64 = 20_000;
/// Within what virtual time a change must be everywhere.
const LIMIT_MS: u64 = 120_000;

/// How far a change has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hops {
    /// Over how many links it came to a replica, and when.
    pub(crate) reached: BTreeMap<usize, (u64, u64)>,
}

/// How far the changes that are followed have come, and what was sent meanwhile.
#[derive(Clone, Debug, Default)]
pub(crate) struct Following {
    /// By change set.
    pub(crate) hops: BTreeMap<Dot, Hops>,
    /// Messages sent.
    pub(crate) messages: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Of those, what the periodic refresh sent.
    pub(crate) refresh: (u64, u64),
}

/// What was measured while some changes went everywhere.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Spread {
    /// How many changes.
    pub changes: u64,
    /// The most links that one of them went over.
    pub hops_max: u64,
    /// How many on average, over all devices and changes.
    pub hops_mean: f64,
    /// Virtual milliseconds until the last change was at the last device.
    pub ms_max: u64,
    /// How many on average, over changes, until the last device had it.
    pub ms_mean: f64,
    /// Messages sent for each change, divided by the number of devices.
    pub messages: f64,
    /// Bytes sent for each change, divided by the number of devices.
    pub bytes: f64,
}

/// What was measured among so many devices.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Scale {
    /// How many devices.
    pub devices: usize,
    /// The most links that one of them keeps.
    pub links_max: usize,
    /// After a partition in two halves.
    pub healed: Spread,
    /// One change after the other.
    pub steady: Spread,
}

/// Measures among `devices` devices, with `changes` changes in each part.
pub fn measure(devices: usize, changes: usize) -> Result<Scale, Violation> {
    let mut world = World::new(plan(devices), false)?;
    settle(&mut world)?;
    let healed = heal_halves(&mut world, changes)?;
    world.quiet()?;
    let steady = one_by_one(&mut world, changes)?;
    world.quiet()?;
    world.check_end()?;
    let links_max = (0..devices).map(|i| world.network.peers_of(i).count()).max().unwrap_or(0);
    Ok(Scale { devices, links_max, healed, steady })
}

fn plan(devices: usize) -> Plan {
    let config = Config::default();
    let member = |_| Member {
        starts_at: 0,
        wall_offset_ms: 0,
        drift_ppm: 0,
        small_schema: false,
        keeps_history: false,
        config: config.clone(),
    };
    let mut links = Vec::new();
    neighbour_links(&(0..devices).collect::<Vec<_>>(), device, |id| links.push(id));
    let (delay_min, delay_max) = DELAY_MS;
    Plan {
        seed: devices as u64,
        members: (0..devices).map(member).collect(),
        links,
        quality: Quality { delay_min, delay_max, ..Quality::calm() },
        given_up: 0,
        relaxed: 0,
        actions: vec![],
        store: StoreKind::Memory,
        bug: None,
    }
}

/// Lets every device hold the lanes of all others, as after years together, and meets everybody.
fn settle(world: &mut World) -> Result<(), Violation> {
    let empty = PageWriter::new(&[]).finish();
    let mut held = MemStore::new(device(0));
    let life = |i| Life { mint: Hlc::default(), epoch: Epoch(i) };
    for (i, replica) in (1_u64..).zip(&world.replicas[1..]) {
        let cursor = Cursor::after(1);
        let session = Session { life: life(i), cursor, target: 1, first: 1, full: true };
        let Ok(()) = held.stage_page(&replica.id, &empty, session);
        let Ok(()) = held.finish_session(&replica.id);
    }
    let Ok(()) = held.set_own_head(OwnedHead { life: life(0), seq: 1 });
    held.commit();
    for replica in &mut world.replicas {
        if let Some(mem) = replica.store.mem_mut() {
            *mem = held.as_held_by(replica.id);
        }
    }
    world.calm = true;
    for i in 0..world.replicas.len() {
        world.enter_own_lane(i)?;
    }
    world.quiet()
}

/// Changes are written in both halves while they are apart; then they meet.
fn heal_halves(world: &mut World, changes: usize) -> Result<Spread, Violation> {
    let n = world.replicas.len();
    let until = world.now + APART_MS;
    for id in world.network.ids().into_iter().filter(|(a, b)| (*a < n / 2) != (*b < n / 2)) {
        world.block(id, &[0, 1], until, true);
    }
    for change in 0..changes {
        world.write_small(writer(change, n));
        world.run_until(world.now + 50)?;
    }
    let dots = world.ends();
    world.run_until(until)?;
    // From here on: what the two halves tell each other, and how far each change then has to go.
    let known = std::mem::take(&mut world.following);
    world.following = Following { hops: known.hops, ..Following::default() };
    let began = world.now;
    world.run_until_everywhere(&dots)?;
    world.run_until(world.now + 2_000)?;
    Ok(world.spread(&dots, |_| began))
}

fn one_by_one(world: &mut World, changes: usize) -> Result<Spread, Violation> {
    let n = world.replicas.len();
    let mut starts = BTreeMap::new();
    let (mut dots, mut sums) = (Vec::new(), Following::default());
    for change in 0..changes {
        world.following = Following::default();
        let began = world.now;
        let i = writer(change + 1, n);
        world.write_small(i);
        world.run_until(world.now + 1)?;
        let dot = world.last_of(i)?;
        world.run_until_everywhere(&[dot])?;
        // Acknowledgements and news are part of what a change costs.
        world.run_until(world.now + 2_000)?;
        starts.insert(dot, began);
        dots.push(dot);
        let done = std::mem::take(&mut world.following);
        sums.messages += done.messages - done.refresh.0;
        sums.bytes += done.bytes - done.refresh.1;
        sums.hops.extend(done.hops);
    }
    world.following = sums;
    Ok(world.spread(&dots, |dot| starts[dot]))
}

/// Writers stand apart from each other.
fn writer(change: usize, n: usize) -> usize {
    (change * 379 + 5) % n
}

impl World {
    fn write_small(&mut self, i: usize) {
        let seed = self.rng.draw();
        self.replicas[i].wishes.push_back((Kind::Small, seed));
        self.schedule(self.now, Event::Wake(i));
    }

    /// Nothing but refreshes is to come any more.
    fn quiet(&mut self) -> Result<(), Violation> {
        self.converge()?;
        self.run_until(self.now + 5_000)
    }

    /// The last change set of every writer.
    fn ends(&self) -> Vec<Dot> {
        self.ledger.ends().into_iter().map(|(origin, seq)| Dot::new(origin, seq)).collect()
    }

    fn last_of(&self, i: usize) -> Result<Dot, Violation> {
        let device = self.replicas[i].id;
        let last = self.ends().into_iter().find(|dot| dot.origin.device == device);
        last.ok_or_else(|| self.violation(Rule::Write, format!("{i} has written nothing")))
    }

    fn run_until_everywhere(&mut self, dots: &[Dot]) -> Result<(), Violation> {
        let limit = self.now + LIMIT_MS;
        let lacks = |world: &World| {
            let holds = |i: usize, dot: &Dot| world.replicas[i].durable.shared.covers(dot);
            (0..world.replicas.len()).any(|i| !dots.iter().all(|dot| holds(i, dot)))
        };
        while lacks(self) {
            if self.now >= limit {
                let what = format!("not everybody has {dots:?} within {LIMIT_MS} ms");
                return Err(self.violation(Rule::Converges, what));
            }
            self.run_until(self.now + 5)?;
        }
        Ok(())
    }

    /// A message went over a link.
    pub(crate) fn follow_sent(&mut self, message: &Message, bytes: usize) {
        let following = &mut self.following;
        following.messages += 1;
        following.bytes += bytes as u64;
        // A refresh tells everything; news tell what grew.
        if let Message::Vector(state) = message
            && state.owned.len() == self.replicas.len()
        {
            following.refresh.0 += 1;
            following.refresh.1 += bytes as u64;
        }
    }

    /// Change sets came to a replica over a link.
    pub(crate) fn follow_arrived(&mut self, from: usize, to: usize, message: &Message) {
        let Message::Changes(changes) = message else { return };
        let (now, device) = (self.now, self.replicas[to].id);
        for set in changes.sets.iter().filter(|set| set.dot().origin.device != device) {
            let hops = self.following.hops.entry(set.dot()).or_default();
            let so_far = hops.reached.get(&from).map_or(0, |(hops, _)| *hops);
            hops.reached.entry(to).or_insert((so_far + 1, now));
        }
    }

    fn spread(&self, dots: &[Dot], began: impl Fn(&Dot) -> u64) -> Spread {
        let following = &self.following;
        let (mut hops_max, mut hops_sum, mut reached) = (0, 0, 0);
        let (mut ms_max, mut ms_sum) = (0, 0);
        for dot in dots {
            let hops = following.hops.get(dot).cloned().unwrap_or_default();
            let began = began(dot);
            let last = hops.reached.values().map(|(_, at)| at.saturating_sub(began)).max();
            ms_max = ms_max.max(last.unwrap_or(0));
            ms_sum += last.unwrap_or(0);
            hops_max =
                hops_max.max(hops.reached.values().map(|(hops, _)| *hops).max().unwrap_or(0));
            hops_sum += hops.reached.values().map(|(hops, _)| hops).sum::<u64>();
            reached += hops.reached.len() as u64;
        }
        let changes = dots.len() as u64;
        let per = |sum: u64, by: u64| sum as f64 / by.max(1) as f64;
        let each = changes * self.replicas.len() as u64;
        Spread {
            changes,
            hops_max,
            hops_mean: per(hops_sum, reached),
            ms_max,
            ms_mean: per(ms_sum, changes),
            messages: per(following.messages, each),
            bytes: per(following.bytes, each),
        }
    }
}
