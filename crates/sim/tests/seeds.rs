//! A few hundred seeds, seeds that once broke a promise, and the promise that a seed is a run.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use driftless_core::engine::Config;
use driftless_sim::network::Quality;
use driftless_sim::plan::{Kind, Plan};
use driftless_sim::world::{Counts, run};

/// Runs seeds on all processors and adds up what happened in them.
fn run_all(seeds: std::ops::Range<u64>, replicas: Option<usize>) -> Counts {
    let next = AtomicU64::new(seeds.start);
    let counts = Mutex::new(BTreeMap::new());
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = run(Plan::random(seed, replicas), false);
                    assert_eq!(report.violation, None, "seed {seed}");
                    let mut all = counts.lock().expect("no seed broke a promise");
                    for (what, count) in report.counts {
                        *all.entry(what).or_default() += count;
                    }
                }
            });
        }
    });
    counts.into_inner().expect("no seed broke a promise")
}

#[test]
fn no_promise_is_broken() {
    let counts = run_all(0..SEEDS, None);
    // Runs that never meet the rare paths show nothing.
    for what in RARE {
        assert!(counts.get(what).is_some_and(|count| *count > 0), "{what} never happened");
    }
}

const SEEDS: u64 = 300;

const RARE: [&str; 24] = [
    "crashes after the commit",
    "crashes before the commit",
    "rolled back",
    "given up alone",
    "kills",
    "breaks",
    "cuts",
    "one-way cuts",
    "away",
    "left for ever",
    "batches of several",
    "pull",
    "owned_pull",
    "more",
    "answered",
    "compared",
    "not comparable",
    "a delta of one page",
    "session: page of a full one",
    "session: page of a delta",
    "session: a full one done",
    "session: a delta done",
    "session: a full one dropped",
    "session: a delta dropped",
];

/// Where nothing fails, nothing waits for a timer.
#[test]
fn without_faults_everything_is_everywhere_at_once() {
    for seed in 0..60 {
        let mut plan = Plan::random(seed, None);
        (plan.quality, plan.given_up) = (Quality::calm(), 0);
        plan.actions.retain(|action| matches!(action.kind, Kind::Write | Kind::Burst));
        for member in &mut plan.members {
            let page_rows = member.config.page_rows;
            member.config = Config { page_rows, ..Config::default() };
        }
        let report = run(plan, false);
        assert_eq!(report.violation, None, "seed {seed}");
        let ms = report.converged_ms;
        assert!(ms.is_some_and(|ms| ms <= 500), "seed {seed}: {ms:?}");
    }
}

#[test]
fn nor_among_more_replicas() {
    run_all(0..10, Some(8));
}

/// Seeds that found something, under the plans of their day.
#[test]
fn seeds_that_broke_a_promise_hold_now() {
    for seed in [0, 5, 210, 380, 651, 775, 1595, 5963] {
        assert_eq!(run(Plan::random(seed, None), false).violation, None, "seed {seed}");
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in [1, 2, 3] {
        let [one, two] = [false, true].map(|trace| run(Plan::random(seed, None), trace));
        assert_eq!(one.trace_hash, two.trace_hash);
        assert_eq!(one.counts, two.counts);
        assert!(one.lines.is_empty() && !two.lines.is_empty());
    }
    let [a, b] = [4, 5].map(|seed| run(Plan::random(seed, None), false).trace_hash);
    assert_ne!(a, b);
}
