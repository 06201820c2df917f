//! `driftless-sim run`: seeds on all processors, and the story of one that breaks a promise.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use driftless_sim::base::StoreKind;
use driftless_sim::faults::Faults;
use driftless_sim::plan::{Plan, Setup};
use driftless_sim::rare::{ENOUGH, never};
use driftless_sim::shrink::shrink;
use driftless_sim::violation::Violation;
use driftless_sim::world::{Counts, Report, run};

use crate::args::RunOptions;

/// How often a schedule is run to shorten it.
const SHRINK_RUNS: usize = 400;
/// How many lines of a shortened schedule are printed from its beginning, and from its end.
const FIRST_LINES: usize = 200;
const LAST_LINES: usize = 60;
/// Every so many seeds without a violation, one is run twice.
const REPLAY_EVERY: u64 = 20;

/// What all workers share.
struct Board {
    next: AtomicU64,
    done: AtomicU64,
    replayed: AtomicU64,
    stop: AtomicBool,
    counts: Mutex<Counts>,
    failed: Mutex<BTreeMap<u64, Failure>>,
    began: Instant,
}

/// What is wrong with a seed.
enum Failure {
    /// A promise is broken.
    Broken(Violation),
    /// The same seed gave another run.
    NotAgain([u64; 2]),
}

pub(crate) fn run_all(options: &RunOptions) -> ExitCode {
    let board = Board {
        next: AtomicU64::new(options.seeds.start),
        done: AtomicU64::new(0),
        replayed: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        counts: Mutex::new(BTreeMap::new()),
        failed: Mutex::new(BTreeMap::new()),
        began: Instant::now(),
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| work(options, &board));
        }
    });
    report(options, &board)
}

fn work(options: &RunOptions, board: &Board) {
    while !board.stop.load(Ordering::Relaxed) {
        let seed = board.next.fetch_add(1, Ordering::Relaxed);
        if seed >= options.seeds.end {
            return;
        }
        let report = run(Plan::random(seed, &options.setup), options.trace);
        for line in &report.lines {
            println!("{line}");
        }
        if options.trace {
            println!("seed {seed}: trace hash {:016x}", report.trace_hash);
        }
        let mut counts = board.counts.lock().expect("no worker panicked");
        for (what, count) in &report.counts {
            *counts.entry(what).or_default() += count;
        }
        drop(counts);
        if let Some(failure) = judge(options, board, seed, report) {
            board.failed.lock().expect("no worker panicked").insert(seed, failure);
            board.stop.store(true, Ordering::Relaxed);
        }
        let done = board.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(500) {
            println!("{done} seeds, {} a minute", rate(done, board.began));
        }
    }
}

/// What is wrong with a seed. One that breaks a promise, and some that do not, are run again: that
/// must be the same run.
fn judge(options: &RunOptions, board: &Board, seed: u64, report: Report) -> Option<Failure> {
    if report.violation.is_some() || seed.is_multiple_of(REPLAY_EVERY) {
        let again = run(Plan::random(seed, &options.setup), false).trace_hash;
        if again != report.trace_hash {
            return Some(Failure::NotAgain([report.trace_hash, again]));
        }
        board.replayed.fetch_add(1, Ordering::Relaxed);
    }
    report.violation.map(Failure::Broken)
}

fn rate(done: u64, began: Instant) -> u64 {
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    done.saturating_mul(60_000) / ms
}

fn report(options: &RunOptions, board: &Board) -> ExitCode {
    let done = board.done.load(Ordering::Relaxed);
    println!("what happened, and how often:");
    for (what, count) in board.counts.lock().expect("no worker panicked").iter() {
        println!("{count:>12}  {what}");
    }
    let replayed = board.replayed.load(Ordering::Relaxed);
    println!("{replayed} seeds replayed, same hash");
    let failed = board.failed.lock().expect("no worker panicked");
    let rate = rate(done, board.began);
    let Some((seed, failure)) = failed.first_key_value() else {
        println!("{done} seeds without a violation, {rate} a minute");
        return check_rare(options, board, done);
    };
    println!("commit {}", commit());
    match failure {
        Failure::Broken(violation) => {
            println!("seed {seed} breaks a promise: {violation}");
            println!("replayed: the same trace hash");
            explain(*seed, &options.setup);
        }
        Failure::NotAgain([one, two]) => {
            println!("seed {seed} is not one run: trace hash {one:016x}, and then {two:016x}");
        }
    }
    let devices = options.setup.devices.map(|n| format!(" --devices {n}")).unwrap_or_default();
    let store = match options.setup.store {
        StoreKind::Memory => "",
        StoreKind::Sqlite => " --store sqlite",
    };
    let with = format!("{devices}{store} --faults {}", options.faults);
    println!("to replay: driftless-sim run --seeds {seed}..{}{with} --trace", seed + 1);
    ExitCode::FAILURE
}

/// Over enough seeds everything rare must have happened.
fn check_rare(options: &RunOptions, board: &Board, done: u64) -> ExitCode {
    let counts = board.counts.lock().expect("no worker panicked");
    let never = never(&counts);
    let wanted = options.setup.devices.is_none() && options.setup.faults == Faults::all();
    if never.is_empty() || !wanted || done < ENOUGH {
        return ExitCode::SUCCESS;
    }
    println!("these never happened, so the run shows nothing of them: {}", never.join(", "));
    ExitCode::FAILURE
}

/// The commit that this was built from: as the build was told, or else as git knows it now.
fn commit() -> String {
    if let Some(commit) = option_env!("DRIFTLESS_COMMIT") {
        return commit.to_owned();
    }
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        let output = git.current_dir(env!("CARGO_MANIFEST_DIR")).args(args).output().ok();
        let output = output.filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty());
    if changed { format!("{commit}, with changes") } else { commit }
}

/// Prints how a story begins and how it ends.
fn print_ends(lines: &[String]) {
    let (first, rest) = lines.split_at(lines.len().min(FIRST_LINES));
    let (left_out, last) = rest.split_at(rest.len().saturating_sub(LAST_LINES));
    for line in first {
        println!("{line}");
    }
    if !left_out.is_empty() {
        println!("          … {} lines …", left_out.len());
    }
    for line in last {
        println!("{line}");
    }
}

/// Prints the shortest schedule that breaks the same promise.
fn explain(seed: u64, setup: &Setup) {
    if let Some((plan, violation)) = shrink(&Plan::random(seed, setup), SHRINK_RUNS) {
        println!("shortened to {} actions: {violation}", plan.actions.len());
        print_ends(&run(plan, true).lines);
    }
}
