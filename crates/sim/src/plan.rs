//! What a seed means: who is there, how bad the network is, and what happens when.
//!
//! Everything is drawn, whatever may go wrong; what may not is then left out. So a seed is the same
//! run with one fault less when that fault is switched off, as far as possible.

use driftless_core::engine::Config;
use driftless_core::id::DeviceId;
use driftless_core::neighbours::neighbours;

use crate::base::StoreKind;
use crate::bug::Bug;
use crate::faults::{Fault, Faults};
use crate::network::{LinkId, Quality, link_of};
use crate::replica::device;
use crate::rng::Rng;

/// The largest number of devices of a simulation.
pub const MAX_DEVICES: usize = 5_000;

/// Up to so many devices there are chains and stars.
const ODD_UP_TO: usize = 30;
const YEAR_MS: i64 = 365 * 24 * 3_600_000;

/// What is asked for besides the seed.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many devices; 2 to 7, as the seed picks, if it is not said.
    pub devices: Option<usize>,
    /// What may go wrong.
    pub faults: Faults,
    /// Which store is under the devices.
    pub store: StoreKind,
    /// A deliberate bug.
    pub bug: Option<Bug>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { devices: None, faults: Faults::all(), store: StoreKind::Memory, bug: None }
    }
}

/// One replica of a plan.
#[derive(Clone, Debug)]
pub struct Member {
    /// When it starts for the first time, empty.
    pub starts_at: u64,
    /// How far its wall clock is ahead.
    pub wall_offset_ms: i64,
    /// How much faster its wall clock goes, in millionths.
    pub drift_ppm: i64,
    /// Whether it knows only some of the models.
    pub small_schema: bool,
    /// How its engine behaves.
    pub config: Config,
    /// Whether it keeps a history.
    pub keeps_history: bool,
}

/// What becomes of a batch of inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is made durable, and only this many of its effects are carried out before a crash.
    CrashAfterCommit(usize),
    /// The replica crashes before it is durable.
    CrashBeforeCommit,
    /// It cannot be made durable; the replica goes on.
    RolledBack,
}

/// Something that happens to the world. Each picks what it needs from a seed of its own, so that a
/// schedule can be shortened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A few local transactions.
    Write,
    /// A transaction that creates or edits one shared record.
    Small,
    /// A transaction with many owned rows.
    Burst,
    /// Transactions that take back what others did, or bring back what was deleted.
    Undo,
    /// A crash around the next commit of a replica.
    Crash,
    /// The next batch of a replica cannot be made durable.
    RollBack,
    /// A crash between batches.
    Kill,
    /// The power of a replica fails.
    PowerCut,
    /// A link is blocked, in both directions, for a while.
    Cut,
    /// A link is blocked in one direction.
    CutOneWay,
    /// A connection breaks.
    Break,
    /// A link goes and comes a few times.
    Flap,
    /// A replica is cut off from all others, for long.
    Away,
    /// A wall clock is set.
    Clock,
    /// A wall clock stands still for a while.
    StopClock,
    /// A replica is down for longer than short retentions.
    Years,
    /// A replica is cut off and evicted; the others prune; it comes back.
    Evict,
    /// A replica leaves for ever.
    Leave,
    /// A replica asks the others for their states.
    Probe,
    /// A replica asks another one for its digests.
    Verify,
    /// A replica prunes.
    Prune,
    /// A replica's log is lost while it is down.
    LoseLog,
    /// A copy is made of what a replica holds durably.
    Save,
    /// A replica's data are replaced by such a copy.
    Restore,
}

impl Kind {
    /// The fault that it is, if it is one.
    pub fn fault(self) -> Option<Fault> {
        match self {
            Kind::Write
            | Kind::Small
            | Kind::Burst
            | Kind::Undo
            | Kind::Probe
            | Kind::Verify
            | Kind::Prune => None,
            Kind::LoseLog => Some(Fault::LostLog),
            Kind::Save | Kind::Restore => Some(Fault::Restore),
            Kind::Crash | Kind::Kill => Some(Fault::Crash),
            Kind::RollBack => Some(Fault::Rollback),
            Kind::PowerCut => Some(Fault::Unsynced),
            Kind::Cut | Kind::Away => Some(Fault::Partition),
            Kind::CutOneWay => Some(Fault::OneWay),
            Kind::Break => Some(Fault::Break),
            Kind::Flap => Some(Fault::Flap),
            Kind::Clock => Some(Fault::Step),
            Kind::StopClock => Some(Fault::Stop),
            Kind::Years => Some(Fault::Years),
            Kind::Evict => Some(Fault::Evict),
            Kind::Leave => Some(Fault::Leave),
        }
    }
}

/// Something that happens at a time.
#[derive(Clone, Copy, Debug)]
pub struct Action {
    /// When, in virtual milliseconds.
    pub at: u64,
    /// What.
    pub kind: Kind,
    /// From which all its choices follow.
    pub seed: u64,
}

/// A whole schedule.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What everything else follows from.
    pub seed: u64,
    /// The replicas.
    pub members: Vec<Member>,
    /// The links that can be used before everything heals.
    pub links: Vec<LinkId>,
    /// How the network is until then.
    pub quality: Quality,
    /// How many transactions are given up in the middle of a batch, in percent.
    pub given_up: u64,
    /// How many batches of what others wrote are visible before they are durable, in percent.
    pub relaxed: u64,
    /// What happens, in order.
    pub actions: Vec<Action>,
    /// Which store is under the replicas.
    pub store: StoreKind,
    /// A deliberate bug.
    pub bug: Option<Bug>,
}

impl Plan {
    /// All wall clocks go right.
    pub fn with_good_clocks(mut self) -> Self {
        for member in &mut self.members {
            (member.wall_offset_ms, member.drift_ppm) = (0, 0);
        }
        self.actions.retain(|action| !matches!(action.kind, Kind::Clock | Kind::StopClock));
        self
    }

    /// Whether all wall clocks go right.
    pub(crate) fn has_good_clocks(&self) -> bool {
        let sets = |action: &Action| matches!(action.kind, Kind::Clock | Kind::StopClock);
        let good = |member: &Member| (member.wall_offset_ms, member.drift_ppm) == (0, 0);
        self.members.iter().all(good) && !self.actions.iter().any(sets)
    }

    /// The plan of a seed.
    pub fn random(seed: u64, setup: &Setup) -> Self {
        let rng = &mut Rng::new(seed);
        let picked = rng.pick(&[2, 2, 3, 3, 3, 4, 4, 5, 6, 7]);
        let n = setup.devices.unwrap_or(picked);
        let may = |fault| setup.faults.has(fault);
        let mut actions = actions(rng);
        add_restores(&mut actions, &mut Rng::new(seed ^ 0x5a5a));
        add_undos(&mut actions, &mut Rng::new(seed ^ 0x0d0));
        let end = actions.last().map_or(0, |action| action.at);
        actions.retain(|action| action.kind.fault().is_none_or(may));
        let mixed = rng.chance(30);
        let same = config(rng);
        // Drawn apart, as the copies are.
        let keeping = &mut Rng::new(seed ^ 0x4157);
        let members = (0..n).map(|i| {
            let starts_at = if i > 0 && rng.chance(30) { rng.below(end.max(1)) } else { 0 };
            let (wall_offset_ms, drift_ppm) = (wall_offset(rng), drift(rng));
            let small_schema = i > 0 && rng.chance(20);
            let config = if mixed { config(rng) } else { same.clone() };
            Member {
                starts_at: if may(Fault::Late) { starts_at } else { 0 },
                wall_offset_ms: if may(Fault::Skew) { wall_offset_ms } else { 0 },
                drift_ppm: if may(Fault::Drift) { drift_ppm } else { 0 },
                small_schema: may(Fault::Versions) && small_schema,
                config: if may(Fault::Settings) { config } else { Config::default() },
                keeps_history: keeping.chance(80),
            }
        });
        let members = members.collect();
        let links = topology(rng, n, may(Fault::Topology));
        let quality = without(quality(rng), &setup.faults);
        let given_up = if may(Fault::Rollback) { 2 } else { 0 };
        let relaxed = rng.pick(&[0, 30, 70, 100]);
        let relaxed = if may(Fault::Unsynced) { relaxed } else { 0 };
        let (store, bug) = (setup.store, setup.bug);
        Self { seed, members, links, quality, given_up, relaxed, actions, store, bug }
    }
}

fn actions(rng: &mut Rng) -> Vec<Action> {
    let faulty = rng.chance(80);
    let mut kinds = vec![Kind::Write; 14];
    kinds.extend([Kind::Burst, Kind::Burst, Kind::Probe, Kind::Verify, Kind::Prune, Kind::Prune]);
    if faulty {
        let faults = [
            (Kind::Crash, 3),
            (Kind::RollBack, 1),
            (Kind::Kill, 2),
            (Kind::PowerCut, 2),
            (Kind::Cut, 3),
            (Kind::CutOneWay, 1),
            (Kind::Break, 2),
            (Kind::Flap, 1),
            (Kind::Away, 1),
            (Kind::Clock, 1),
            (Kind::StopClock, 1),
            (Kind::LoseLog, 1),
            (Kind::Years, 1),
            (Kind::Evict, 1),
        ];
        for (kind, weight) in faults {
            if rng.chance(70) {
                kinds.extend(std::iter::repeat_n(kind, weight));
            }
        }
        if rng.chance(25) {
            kinds.extend([Kind::Leave, Kind::Leave]);
        }
    }
    let n = rng.pick(&[15, 30, 60, 120]);
    let gap = rng.pick(&[15, 150, 1_500, 6_000]);
    let mut at = 0;
    let mut next = || {
        at += rng.below(2 * gap);
        Action { at, kind: rng.pick(&kinds), seed: rng.draw() }
    };
    (0..n).map(|_| next()).collect()
}

/// Copies that are made and brought back, once or several times. They are drawn apart, and leave the
/// rest of a seed's schedule as it is.
fn add_restores(actions: &mut Vec<Action>, rng: &mut Rng) {
    let end = actions.last().map_or(0, |action| action.at);
    if rng.chance(75) {
        return;
    }
    let mut next = |kind, from| Action { at: from + rng.below(end), kind, seed: rng.draw() };
    let saves = [next(Kind::Save, 0), next(Kind::Save, 0)];
    let restores = [next(Kind::Restore, saves[0].at), next(Kind::Restore, saves[1].at)];
    actions.extend(saves.into_iter().chain(restores));
    actions.retain(|action| action.at <= end);
    actions.sort_by_key(|action| action.at);
}

/// What was done is taken back now and then; drawn apart, as the copies are.
fn add_undos(actions: &mut Vec<Action>, rng: &mut Rng) {
    let end = actions.last().map_or(0, |action| action.at);
    let count = rng.pick(&[0, 2, 5, 15]);
    let mut next = || Action { at: rng.below(end.max(1)), kind: Kind::Undo, seed: rng.draw() };
    let undos: Vec<Action> = (0..count).map(|_| next()).collect();
    actions.extend(undos);
    actions.retain(|action| action.at <= end);
    actions.sort_by_key(|action| action.at);
}

fn wall_offset(rng: &mut Rng) -> i64 {
    let small = i64::try_from(rng.below(4_000)).unwrap_or(0) - 2_000;
    rng.pick(&[0, 0, small, small, 45_000, YEAR_MS, -3_600_000])
}

/// Clocks of quartz, and clocks that are broken: two minutes an hour, so that it tells in a run.
fn drift(rng: &mut Rng) -> i64 {
    rng.pick(&[0, 0, 50, -200, 33_000, -33_000])
}

/// What a wall clock is set to.
pub(crate) fn new_wall_offset(rng: &mut Rng) -> i64 {
    wall_offset(rng)
}

fn config(rng: &mut Rng) -> Config {
    Config {
        max_drift_ms: 60_000,
        window_bytes: rng.pick(&[1, 600, 4_096, 256 << 10]),
        batch_bytes: rng.pick(&[1, 700, 256 << 10]),
        pending_bytes: rng.pick(&[0, 2_000, 16 << 20]),
        page_rows: rng.pick(&[1, 2, 3, 5, 5, 1_000]),
        page_bytes: rng.pick(&[40, 4_096]),
        page_credit: rng.between(1, 3),
        fetches: rng.index(4) + 1,
        patience_ms: rng.pick(&[1_000, 5_000]),
        grace_ms: rng.pick(&[0, 300, 2_000]),
        ack_ms: rng.pick(&[0, 5, 50]),
        news_ms: rng.pick(&[0, 20, 200, 2_000]),
        late_news_ms: rng.pick(&[0, 200, 1_000, 5_000]),
        refresh_ms: rng.pick(&[10_000, 60_000]),
        compare_ms: 1_000,
        retention_ms: rng.pick(&[30_000, 24 * 3_600_000]),
        prune_ms: rng.pick(&[100, 5_000, 60_000]),
        bucket_rows: rng.pick(&[1, 3, 8, 1_024]),
        fine_rows: rng.pick(&[1, 2, 32]),
        buckets: rng.pick(&[1, 2, 64]),
        pins: rng.index(3) + 1,
        restate_ms: 10_000,
    }
}

fn quality(rng: &mut Rng) -> Quality {
    let delay_min = rng.pick(&[1, 1, 20]);
    Quality {
        loss: rng.pick(&[0, 0, 2, 20]),
        repeats: rng.pick(&[0, 0, 5, 20]),
        delay_min,
        delay_max: delay_min + rng.pick(&[0, 5, 60, 2_000]),
        reorders: rng.chance(30),
        bytes_per_ms: rng.pick(&[None, None, None, None, Some(10), Some(100)]),
    }
}

/// A network with only those of its vices that may be.
fn without(drawn: Quality, faults: &Faults) -> Quality {
    let calm = Quality::calm();
    let delays = faults.has(Fault::Delay);
    Quality {
        loss: if faults.has(Fault::Loss) { drawn.loss } else { 0 },
        repeats: if faults.has(Fault::Repeats) { drawn.repeats } else { 0 },
        delay_min: if delays { drawn.delay_min } else { calm.delay_min },
        delay_max: if delays { drawn.delay_max } else { calm.delay_max },
        reorders: faults.has(Fault::Reorder) && drawn.reorders,
        bytes_per_ms: drawn.bytes_per_ms.filter(|_| faults.has(Fault::Slow)),
    }
}

/// A chain, a star, or the links that devices choose themselves.
fn topology(rng: &mut Rng, n: usize, odd: bool) -> Vec<LinkId> {
    let mut links = Vec::new();
    let odd = odd && n <= ODD_UP_TO;
    match rng.below(4) {
        0 if odd => links.extend((1..n).map(|b| (b - 1, b))),
        1 if odd => links.extend((1..n).map(|b| (0, b))),
        _ => neighbour_links(&(0..n).collect::<Vec<_>>(), device, |id| links.push(id)),
    }
    links
}

/// The links between these replicas that their devices keep.
pub(crate) fn neighbour_links(
    replicas: &[usize],
    id_of: impl Fn(usize) -> DeviceId,
    mut add: impl FnMut(LinkId),
) {
    let by_id: std::collections::BTreeMap<DeviceId, usize> =
        replicas.iter().map(|i| (id_of(*i), *i)).collect();
    for (id, i) in &by_id {
        for other in neighbours(id, by_id.keys().copied()) {
            if *i < by_id[&other] {
                add(link_of(*i, by_id[&other]).0);
            }
        }
    }
}
