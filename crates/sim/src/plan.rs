//! What a seed means: who is there, how bad the network is, and what happens when.

use driftless_core::engine::Config;

use crate::bug::Bug;
use crate::network::{LinkId, Quality};
use crate::rng::Rng;

/// The largest number of replicas of a random plan.
pub const MAX_REPLICAS: usize = 5;

const YEAR_MS: i64 = 365 * 24 * 3_600_000;

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
    /// A transaction with many owned rows.
    Burst,
    /// A bad fate for the next batch of a replica.
    Fault,
    /// A crash between batches.
    Kill,
    /// A link is blocked, in both directions, for a while.
    Cut,
    /// A link is blocked in one direction.
    CutOneWay,
    /// A connection breaks.
    Break,
    /// A replica is cut off from all others, for long.
    Away,
    /// A wall clock is set.
    Clock,
    /// A replica leaves for ever.
    Leave,
    /// A replica asks the others for their states.
    Probe,
    /// A replica asks another one for its digests.
    Verify,
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
    /// What happens, in order.
    pub actions: Vec<Action>,
    /// A deliberate bug.
    pub bug: Option<Bug>,
}

impl Plan {
    /// The plan of a seed, with as many replicas as it picks or as are asked for.
    pub fn random(seed: u64, replicas: Option<usize>) -> Self {
        let rng = &mut Rng::new(seed);
        let picked = rng.pick(&[2, 2, 3, 3, 3, 4, 4, MAX_REPLICAS]);
        let n = replicas.unwrap_or(picked);
        let actions = actions(rng);
        let end = actions.last().map_or(0, |action| action.at);
        let mixed = rng.chance(30);
        let same = config(rng);
        let members = (0..n).map(|i| Member {
            starts_at: if i > 0 && rng.chance(30) { rng.below(end.max(1)) } else { 0 },
            wall_offset_ms: wall_offset(rng),
            drift_ppm: drift(rng),
            small_schema: i > 0 && rng.chance(20),
            config: if mixed { config(rng) } else { same.clone() },
        });
        let members = members.collect();
        let links = topology(rng, n);
        Self { seed, members, links, quality: quality(rng), given_up: 2, actions, bug: None }
    }
}

fn actions(rng: &mut Rng) -> Vec<Action> {
    let faulty = rng.chance(80);
    let mut kinds = vec![Kind::Write; 14];
    kinds.extend([Kind::Burst, Kind::Burst, Kind::Probe, Kind::Verify]);
    if faulty {
        let faults = [
            (Kind::Fault, 4),
            (Kind::Kill, 2),
            (Kind::Cut, 3),
            (Kind::CutOneWay, 1),
            (Kind::Break, 3),
            (Kind::Away, 1),
            (Kind::Clock, 1),
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
        news_ms: rng.pick(&[0, 20, 200, 2_000]),
        refresh_ms: rng.pick(&[10_000, 60_000]),
        compare_ms: 1_000,
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
    }
}

/// Everybody with everybody, a chain, or a star.
fn topology(rng: &mut Rng, n: usize) -> Vec<LinkId> {
    match rng.below(4) {
        0 => (1..n).map(|b| (b - 1, b)).collect(),
        1 => (1..n).map(|b| (0, b)).collect(),
        _ => (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b))).collect(),
    }
}
