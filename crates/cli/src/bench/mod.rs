//! `bench`: how fast this is on this machine, each figure beside its physical limit in the same run.
//! What each measures, and what bounds it, is told in `docs/performance.md`.

mod backfill;
mod bare;
mod catch_up;
mod commit;
mod crowded;
mod curve;
mod figure;
mod gauge;
mod history;
mod idle;
mod index;
mod killed;
mod large;
mod merge;
mod offline;
mod peer;
mod place;
mod plain;
mod plot;
mod propagation;
mod rows;
mod size;
mod stream;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::args::BenchArgs;
use crate::failure::{Exit, Failure};
use crate::printer::{Look, Printer};
use crate::render;
use crate::text::duration;
use place::Bench;

pub(crate) use figure::Figure;
pub(crate) use peer::serve;

/// How long all of `--quick` may take. What has begun is finished, so this is less than is promised.
const QUICK: Duration = Duration::from_secs(40);

/// A benchmark gives some figures, whose names begin with its own.
struct Benchmark {
    name: &'static str,
    /// What it measures, for people.
    words: &'static str,
    run: fn(&mut Bench) -> Result<Vec<Figure>, Failure>,
}

const ALL: [Benchmark; 8] = [
    Benchmark { name: "commit", words: "one change, durable", run: commit::one },
    Benchmark { name: "bulk", words: "many rows, durable", run: commit::bulk },
    Benchmark { name: "index", words: "a folder, without hashing", run: index::run },
    Benchmark { name: "backfill", words: "a new device takes in entries", run: backfill::run },
    Benchmark { name: "propagation", words: "one change, seen elsewhere", run: propagation::run },
    Benchmark { name: "stream", words: "commits, one by one, seen elsewhere", run: stream::run },
    Benchmark { name: "merge", words: "changes of another device", run: merge::run },
    Benchmark { name: "offline", words: "edits of the same records, apart", run: offline::run },
];

/// These take minutes and a gigabyte of disk, or give the same each time: they run only when they are
/// named.
const LARGE: [Benchmark; 8] = [
    Benchmark {
        name: "catch_up",
        words: "ten missed changes of a large library",
        run: catch_up::run,
    },
    Benchmark { name: "crowded", words: "edits during a backfill of a million", run: crowded::run },
    Benchmark { name: "curve", words: "cost by size and by number of devices", run: curve::run },
    Benchmark { name: "history", words: "a million edits within a bound", run: history::run },
    Benchmark { name: "killed", words: "a backfill with twenty kills", run: killed::run },
    Benchmark { name: "large", words: "a library of a million entries", run: large::run },
    Benchmark { name: "idle", words: "a daemon with ten devices, at rest", run: idle::run },
    Benchmark { name: "size", words: "room on the disk", run: size::run },
];

/// Runs the benchmarks. Their processes and directories are gone afterwards, however it ends.
pub(crate) fn run(args: &BenchArgs, json: bool) -> Result<Exit, Failure> {
    let chosen = choose(args.name.as_deref())?;
    if args.plot.is_some() && args.name.as_deref() != Some("curve") {
        let failure = Failure::usage("only the benchmark curve draws something");
        return Err(failure.next("driftless bench curve --plot FILE"));
    }
    let begun = Instant::now();
    let printer = Printer::new(Look { json, ..Look::default() });
    let mut bench = Bench::new(args, printer)?;
    let mut figures = Vec::new();
    for (done, benchmark) in chosen.iter().enumerate() {
        if args.quick {
            let left = QUICK.saturating_sub(begun.elapsed());
            let share = left / u32::try_from(chosen.len() - done).unwrap_or(1);
            bench.finish_by(Instant::now() + share);
        }
        bench.begin(benchmark.name, benchmark.words)?;
        let measured = (benchmark.run)(&mut bench);
        // Who interrupted it knows why a process is gone.
        bench.check()?;
        figures.extend(measured?);
    }
    bench.end()?;
    let text = if json {
        json!({ "figures": figures }).to_string()
    } else {
        format!("{}in {}", render::figures(&figures), duration(begun.elapsed()))
    };
    writeln!(io::stdout(), "{text}").map_err(|error| Failure::output(&error))?;
    Ok(Exit::Done)
}

fn choose(name: Option<&str>) -> Result<Vec<&'static Benchmark>, Failure> {
    let Some(name) = name else { return Ok(ALL.iter().collect()) };
    let names: Vec<&str> = ALL.iter().chain(&LARGE).map(|benchmark| benchmark.name).collect();
    match ALL.iter().chain(&LARGE).find(|benchmark| benchmark.name == name) {
        Some(benchmark) => Ok(vec![benchmark]),
        None => {
            let text = format!("there is no benchmark {name:?}; there are {}", names.join(", "));
            Err(Failure::usage(text).next("driftless bench NAME, with one of these, or without"))
        }
    }
}
