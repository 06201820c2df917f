//! A few hundred seeds, seeds that once broke a promise, and the promise that a seed is a run.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use driftless_core::engine::Config;
use driftless_sim::base::StoreKind;
use driftless_sim::network::Quality;
use driftless_sim::plan::{Kind, Plan, Setup};
use driftless_sim::rare::never;
use driftless_sim::world::{Counts, run};

/// Runs seeds on all processors and adds up what happened in them.
fn run_all(seeds: std::ops::Range<u64>, setup: &Setup) -> Counts {
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
                    let report = run(Plan::random(seed, setup), false);
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
    let counts = run_all(0..SEEDS, &Setup::default());
    // Runs that never meet the rare paths show nothing.
    assert_eq!(never(&counts), Vec::<&str>::new(), "these never happened");
}

const SEEDS: u64 = 300;

/// Where nothing fails, nothing waits for a timer.
#[test]
fn without_faults_everything_is_everywhere_at_once() {
    for seed in 0..60 {
        let mut plan = Plan::random(seed, &Setup::default());
        (plan.quality, plan.given_up, plan.relaxed) = (Quality::calm(), 0, 0);
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

/// Since when a history is whole is a time of clocks, and can be held against the ledger where they go
/// right.
#[test]
fn nor_is_a_history_said_to_be_whole_that_is_not() {
    let mut begins = false;
    for seed in 0..120 {
        let report = run(Plan::random(seed, &Setup::default()).with_good_clocks(), false);
        assert_eq!(report.violation, None, "seed {seed}");
        begins |= report.counts.contains_key("history: handed over");
    }
    assert!(begins, "no history was handed over");
}

#[test]
fn nor_among_so_many_that_each_has_links_with_some_only() {
    run_all(0..2, &Setup { devices: Some(25), ..Setup::default() });
}

/// What may not go wrong does not.
#[test]
fn faults_are_switched_one_by_one() {
    let setup =
        |list: &str| Setup { faults: list.parse().expect("a list of faults"), ..Setup::default() };
    let none = run_all(0..40, &setup("none"));
    let faults = ["kills", "cuts", "breaks", "frames lost", "power cuts", "rolled back", "flaps"];
    for what in faults {
        assert_eq!(none.get(what), None, "{what}");
    }
    let crashes = run_all(0..40, &setup("crash,loss"));
    assert!(crashes.contains_key("kills") && crashes.contains_key("frames lost"));
    assert!(!crashes.contains_key("cuts") && !crashes.contains_key("power cuts"));
}

#[test]
fn nor_among_more_replicas() {
    run_all(0..10, &Setup { devices: Some(9), ..Setup::default() });
}

/// Seeds that found something, under the plans of their day.
#[test]
fn seeds_that_broke_a_promise_hold_now() {
    for seed in [0, 5, 210, 380, 651, 775, 912, 1595, 5005, 5963] {
        assert_eq!(
            run(Plan::random(seed, &Setup::default()), false).violation,
            None,
            "seed {seed}"
        );
    }
}

#[test]
fn a_seed_is_a_run() {
    for seed in [1, 2, 3] {
        let [one, two] =
            [false, true].map(|trace| run(Plan::random(seed, &Setup::default()), trace));
        assert_eq!(one.trace_hash, two.trace_hash);
        assert_eq!(one.counts, two.counts);
        assert!(one.lines.is_empty() && !two.lines.is_empty());
    }
    let [a, b] = [4, 5].map(|seed| run(Plan::random(seed, &Setup::default()), false).trace_hash);
    assert_ne!(a, b);
}

/// The store that devices run on, with everything that may go wrong: killed, and without power.
#[test]
fn nor_on_sqlite() {
    let counts = run_all(0..16, &Setup { store: StoreKind::Sqlite, ..Setup::default() });
    for what in ["kills", "power cuts", "rolled back", "given up alone"] {
        assert!(counts.get(what).is_some_and(|count| *count > 0), "{what} never happened");
    }
}
