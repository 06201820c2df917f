//! `driftless-sim run --seeds A..B [--replicas N] [--jobs N] [--trace]`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use driftless_sim::plan::Plan;
use driftless_sim::shrink::shrink;
use driftless_sim::violation::Violation;
use driftless_sim::world::{Counts, run};

const USAGE: &str = "\
usage: driftless-sim run --seeds A..B [--replicas N] [--jobs N] [--trace]

  --seeds A..B   run the seeds from A up to, not including, B
  --replicas N   with N replicas (2 to 9) instead of as many as the seed picks
  --jobs N       that many seeds at once; as many as there are processors unless given
  --trace        print what happens, and run one seed after the other

The exit code is 0 if no promise was broken, 1 if one was, 2 for bad usage.";

/// How often a schedule is run to shorten it.
const SHRINK_RUNS: usize = 400;
/// How many lines of a shortened schedule are printed from its beginning, and from its end.
const FIRST_LINES: usize = 200;
const LAST_LINES: usize = 60;

struct Options {
    seeds: std::ops::Range<u64>,
    replicas: Option<usize>,
    jobs: usize,
    trace: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match parse(&args) {
        Ok(None) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Ok(Some(options)) => run_all(&options),
        Err(why) => {
            eprintln!("driftless-sim: {why}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// What the arguments ask for; `None` if they ask for help.
fn parse(args: &[String]) -> Result<Option<Options>, String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options { seeds: 0..0, replicas: None, jobs, trace: false };
    let mut args = args.iter().map(String::as_str);
    match args.next() {
        Some("run") => {}
        Some("help" | "--help" | "-h") => return Ok(None),
        Some(other) => return Err(format!("there is no command {other:?}")),
        None => return Err("a command is missing".into()),
    }
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg {
            "--seeds" => options.seeds = parse_seeds(value()?)?,
            "--replicas" => options.replicas = Some(parse_number(arg, value()?, 2, 9)?),
            "--jobs" => options.jobs = parse_number(arg, value()?, 1, 256)?,
            "--trace" => options.trace = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("there is no option {other:?}")),
        }
    }
    if options.seeds.is_empty() {
        return Err("--seeds A..B is missing, or empty".into());
    }
    if options.trace {
        options.jobs = 1;
    }
    Ok(Some(options))
}

fn parse_seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let bad = || format!("{text:?} is no range of seeds; 0..300 is one");
    let (from, to) = text.split_once("..").ok_or_else(bad)?;
    Ok(from.parse().map_err(|_| bad())?..to.parse().map_err(|_| bad())?)
}

fn parse_number(arg: &str, text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| format!("{arg} takes a number from {least} to {most}, not {text:?}"))
}

/// What all workers share.
struct Board {
    next: AtomicU64,
    done: AtomicU64,
    stop: AtomicBool,
    counts: Mutex<Counts>,
    failed: Mutex<BTreeMap<u64, Violation>>,
    began: Instant,
}

fn run_all(options: &Options) -> ExitCode {
    let board = Board {
        next: AtomicU64::new(options.seeds.start),
        done: AtomicU64::new(0),
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

fn work(options: &Options, board: &Board) {
    while !board.stop.load(Ordering::Relaxed) {
        let seed = board.next.fetch_add(1, Ordering::Relaxed);
        if seed >= options.seeds.end {
            return;
        }
        let report = run(Plan::random(seed, options.replicas), options.trace);
        for line in &report.lines {
            println!("{line}");
        }
        if options.trace {
            println!("seed {seed}: trace hash {:016x}", report.trace_hash);
        }
        let mut counts = board.counts.lock().expect("no worker panicked");
        for (what, count) in report.counts {
            *counts.entry(what).or_default() += count;
        }
        drop(counts);
        if let Some(violation) = report.violation {
            board.failed.lock().expect("no worker panicked").insert(seed, violation);
            board.stop.store(true, Ordering::Relaxed);
        }
        let done = board.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(500) {
            println!("{done} seeds, {} a minute", rate(done, board.began));
        }
    }
}

fn rate(done: u64, began: Instant) -> u64 {
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
    done.saturating_mul(60_000) / ms
}

fn report(options: &Options, board: &Board) -> ExitCode {
    let done = board.done.load(Ordering::Relaxed);
    println!("what happened, and how often:");
    for (what, count) in board.counts.lock().expect("no worker panicked").iter() {
        println!("{count:>12}  {what}");
    }
    let failed = board.failed.lock().expect("no worker panicked");
    let rate = rate(done, board.began);
    let Some((seed, violation)) = failed.first_key_value() else {
        println!("{done} seeds without a violation, {rate} a minute");
        return ExitCode::SUCCESS;
    };
    println!("seed {seed} breaks a promise: {violation}");
    explain(*seed, options.replicas);
    ExitCode::FAILURE
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

/// Prints the shortest schedule that breaks the same promise, and how to see the whole one.
fn explain(seed: u64, replicas: Option<usize>) {
    if let Some((plan, violation)) = shrink(&Plan::random(seed, replicas), SHRINK_RUNS) {
        println!("shortened to {} actions: {violation}", plan.actions.len());
        print_ends(&run(plan, true).lines);
    }
    let with = replicas.map(|n| format!(" --replicas {n}")).unwrap_or_default();
    println!("to replay: driftless-sim run --seeds {seed}..{}{with} --trace", seed + 1);
}
