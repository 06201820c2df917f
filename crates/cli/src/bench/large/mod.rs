//! A library of a million entries on two devices: what it takes to get there, and what is still quick
//! then. It is made once, and all these figures come out of it.

mod find;
mod meet;
mod repair;

use std::time::{Duration, Instant};

use driftless::Syncable as _;
use driftless_catalog::Entry;

use super::backfill::{Taken, take};
use super::catch_up::PROMISED;
use super::commit::{AT_ONCE, put};
use super::figure::Figure;
use super::gauge::{Cost, Process, cost};
use super::killed::received_by;
use super::place::Bench;
use super::plain::{Plain, PlainRow};
use super::rows;
use crate::failure::Failure;
use crate::fleet::Device;

/// Entries, and with `--quick`.
const ENTRIES: usize = 1_000_000;
const FEW: usize = 100_000;
/// Written at a time.
const PART: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(900);
/// What is promised: bytes of a row on the wire, memory of either side, and milliseconds until a
/// daemon is ready.
const MOST_BYTES: f64 = 52.0;
const MOST_MIB: f64 = 96.0;
const START_MS: f64 = 150.0;

/// Two devices with the same entries, all of the first one's.
struct Pair {
    founder: Device,
    joiner: Device,
    entries: usize,
}

/// What the second device has cost.
struct Backfill {
    taken: Taken,
    /// Bytes of frames that it received.
    received: u64,
    server: Option<Process>,
    /// The same rows in plain SQLite.
    plain: Cost,
}

pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let usual = if bench.quick { FEW } else { ENTRIES };
    let said = bench.rows.and_then(|rows| usize::try_from(rows).ok());
    // Ten of them are damaged below, at equal distances.
    let entries = said.unwrap_or(usual) / 1_000 * 1_000;
    let founder = bench.device()?;
    let (from, plain) = fill(bench, &founder, entries)?;
    founder.up()?;
    bench.tell("the other device takes them in")?;
    let joiner = bench.device()?;
    joiner.join(&founder.ticket()?)?;
    let taken = take(&joiner, &from, PATIENCE)?;
    let server = founder.process().and_then(Process::of);
    let backfill = Backfill { taken, received: received_by(&joiner)?, server, plain };
    let mut figures = taken_in(&backfill, entries);
    let pair = Pair { founder, joiner, entries };
    figures.push(start(bench, &pair.founder)?);
    pair.founder.kill();
    let library = pair.founder.open()?;
    figures.extend(find::run(bench, &library)?);
    figures.extend(meet::run(bench, &library)?);
    figures.extend(repair::run(bench, &library, &pair)?);
    Ok(figures)
}

/// Writes entries into a library and into plain SQLite, part by part in turns: the id of their device,
/// and what plain SQLite took.
fn fill(bench: &mut Bench, founder: &Device, entries: usize) -> Result<(String, Cost), Failure> {
    let library = founder.found()?;
    library.write(|tx| tx.put(&rows::location()))?;
    let plain = Plain::create(&bench.fresh(), &Entry::descriptor())?;
    let all = rows::entries(entries);
    let mut sum = Cost { wall: 0.0, cpu: 0.0 };
    for (n, part) in all.chunks(PART).enumerate() {
        bench.tell(&format!("{} entries are written", n * PART))?;
        put(&library, &part.to_vec().into())?;
        let bare: Vec<PlainRow> = part.iter().map(rows::bare).collect();
        let ((), took) = cost(|| plain.insert(&bare, AT_ONCE))?;
        (sum.wall, sum.cpu) = (sum.wall + took.wall, sum.cpu + took.cpu);
    }
    let from = library.device_id().to_string();
    library.close();
    Ok((from, sum))
}

fn taken_in(backfill: &Backfill, entries: usize) -> Vec<Figure> {
    let Backfill { taken, received, server, plain } = backfill;
    #[expect(clippy::cast_precision_loss, reason = "some hundred millions at most")]
    let (rows, bytes) = (entries as f64, *received as f64);
    let words = ("until a new device has all of them", "inserting them in plain SQLite");
    let mut figures =
        vec![Figure::of(("large_backfill", "s"), words, &[(taken.seconds, plain.wall)])];
    let words = ("bytes of frames for each", PROMISED);
    figures.push(Figure::of(("large_bytes", "B/row"), words, &[(bytes / rows, MOST_BYTES)]));
    let memory = |name, words, process: &Process| {
        Figure::of((name, "MiB"), (words, PROMISED), &[(process.peak_mib, MOST_MIB)])
    };
    // Where the system tells nothing of other processes there is nothing to tell.
    if let Some(process) = &taken.process {
        let words = ("taken in, a second of its processor time", "the same of the inserts");
        let pair = (rows / process.cpu, rows / plain.cpu);
        figures.push(Figure::of(("large_backfill_cpu", "rows/s"), words, &[pair]));
        figures.push(memory("large_memory", "the most memory that it held", process));
    }
    if let Some(process) = server {
        let words = "the most memory that the other device held";
        figures.push(memory("large_memory_server", words, process));
    }
    figures
}

/// From the start of the process until the daemon says that it is ready. The one before was killed.
fn start(bench: &mut Bench, device: &Device) -> Result<Figure, Failure> {
    let times = bench.sample(|_| {
        device.kill();
        let begun = Instant::now();
        device.up()?;
        Ok((begun.elapsed().as_secs_f64() * 1e3, START_MS))
    })?;
    Ok(Figure::of(("large_start", "ms"), ("until a daemon is ready", PROMISED), &times))
}
