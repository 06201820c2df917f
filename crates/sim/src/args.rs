//! What the command line asks for.

use std::ops::Range;

use driftless_sim::base::StoreKind;
use driftless_sim::faults::Faults;
use driftless_sim::plan::{MAX_DEVICES, Setup};

pub(crate) const USAGE: &str = "\
usage: driftless-sim run --seeds A..B [--devices N] [--faults all|none|LIST]
                       [--store memory|sqlite] [--jobs N] [--trace]
       driftless-sim scale [--devices N,N,…] [--changes N] [--json]

run: seeds, one run each
  --seeds A..B   run the seeds from A up to, not including, B
  --devices N    with N devices (2 to 5000) instead of as many as the seed picks (2 to 7)
  --faults LIST  what may go wrong: all (the default), none, or names with commas between them
  --store KIND   the reference store in memory (the default), or SQLite on files
  --jobs N       that many seeds at once; as many as there are processors unless given
  --trace        print what happens, and run one seed after the other

scale: how the cost of a change grows with the number of devices
  --devices LIST the numbers of devices; 10,100,1000 unless given
  --changes N    changes that are written in each part of the measurement; 5 unless given
  --json         the figures as JSON

The exit code is 0 if no promise was broken, 1 if one was, 2 for bad usage.";

/// What is to be done.
pub(crate) enum Command {
    Help,
    Run(RunOptions),
    Scale(ScaleOptions),
}

/// Seeds to run.
pub(crate) struct RunOptions {
    pub(crate) seeds: Range<u64>,
    pub(crate) setup: Setup,
    /// The list of faults, as it was given.
    pub(crate) faults: String,
    pub(crate) jobs: usize,
    pub(crate) trace: bool,
}

/// Sizes to measure.
pub(crate) struct ScaleOptions {
    pub(crate) devices: Vec<usize>,
    pub(crate) changes: usize,
    pub(crate) json: bool,
}

/// Reads the arguments.
pub(crate) fn parse(args: &[String]) -> Result<Command, String> {
    let mut args = args.iter().map(String::as_str);
    let command = args.next().ok_or("a command is missing")?;
    let rest: Vec<&str> = args.collect();
    if rest.iter().any(|arg| matches!(*arg, "--help" | "-h")) {
        return Ok(Command::Help);
    }
    match command {
        "run" => parse_run(&rest).map(Command::Run),
        "scale" => parse_scale(&rest).map(Command::Scale),
        "help" | "--help" | "-h" => Ok(Command::Help),
        other => Err(format!("there is no command {other:?}")),
    }
}

fn parse_run(args: &[&str]) -> Result<RunOptions, String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let (setup, faults) = (Setup::default(), "all".to_owned());
    let mut options = RunOptions { seeds: 0..0, setup, faults, jobs, trace: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match *arg {
            "--seeds" => options.seeds = seeds(value()?)?,
            "--devices" => {
                options.setup.devices = Some(number(arg, value()?, 2, MAX_DEVICES)?);
            }
            "--faults" => {
                let list = value()?;
                options.setup.faults = list.parse::<Faults>().map_err(|error| error.to_string())?;
                (*list).clone_into(&mut options.faults);
            }
            "--store" => {
                options.setup.store = match *value()? {
                    "memory" => StoreKind::Memory,
                    "sqlite" => StoreKind::Sqlite,
                    other => return Err(format!("--store takes memory or sqlite, not {other:?}")),
                }
            }
            "--jobs" => options.jobs = number(arg, value()?, 1, 256)?,
            "--trace" => options.trace = true,
            other => return Err(format!("there is no option {other:?}")),
        }
    }
    if options.seeds.is_empty() {
        return Err("--seeds A..B is missing, or empty".into());
    }
    if options.trace {
        options.jobs = 1;
    }
    Ok(options)
}

fn parse_scale(args: &[&str]) -> Result<ScaleOptions, String> {
    let mut options = ScaleOptions { devices: vec![10, 100, 1_000], changes: 5, json: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match *arg {
            "--devices" => {
                let list = value()?.split(',');
                let sizes = list.map(|one| number(arg, one, 2, MAX_DEVICES));
                options.devices = sizes.collect::<Result<_, _>>()?;
            }
            "--changes" => options.changes = number(arg, value()?, 1, 1_000)?,
            "--json" => options.json = true,
            other => return Err(format!("there is no option {other:?}")),
        }
    }
    Ok(options)
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let bad = || format!("{text:?} is no range of seeds; 0..300 is one");
    let (from, to) = text.split_once("..").ok_or_else(bad)?;
    Ok(from.parse().map_err(|_| bad())?..to.parse().map_err(|_| bad())?)
}

fn number(arg: &str, text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| format!("{arg} takes a number from {least} to {most}, not {text:?}"))
}
