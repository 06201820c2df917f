//! A new device takes in everything of another one: two processes, one connection.

use std::time::{Duration, Instant};

use driftless::{Library, Syncable as _};
use driftless_catalog::{Entry, models};

use super::commit::{AT_ONCE, put};
use super::figure::Figure;
use super::gauge::{Process, cost};
use super::place::Bench;
use super::plain::{Plain, PlainRow};
use super::rows;
use crate::answer::{Answer, SyncReport};
use crate::args::{LibraryCommand, SyncArgs};
use crate::failure::{Exit, Failure};
use crate::fleet::Device;

/// What the new device takes in.
const ENTRIES: usize = 100_000;
/// How long that may take at most.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(2);

/// One new device.
pub(super) struct Taken {
    pub(super) seconds: f64,
    pub(super) process: Option<Process>,
}

/// What a hundred thousand entries cost a new device, from the start of its process until it says
/// that it has all of them.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let entries = rows::entries(ENTRIES);
    let bare: Vec<PlainRow> = entries.iter().map(rows::bare).collect();
    let server = bench.device()?;
    let library = server.found()?;
    put(&library, &entries.into())?;
    let from = library.device_id().to_string();
    library.close();
    server.up()?;
    let idle = server.process().and_then(Process::of);
    let samples = bench.sample(|bench| {
        let joiner = bench.device()?;
        joiner.join(&server.ticket()?)?;
        let taken = take(&joiner, &from, PATIENCE)?;
        joiner.kill();
        whole(&joiner)?;
        let plain = Plain::create(&bench.fresh(), &Entry::descriptor())?;
        let ((), limit) = cost(|| plain.insert(&bare, AT_ONCE))?;
        Ok((taken, limit))
    })?;
    let rate = |seconds: f64| 100_000.0 / seconds;
    let wall: Vec<_> = samples.iter().map(|(a, b)| (rate(a.seconds), rate(b.wall))).collect();
    let words = ("entries that a new device takes in", "inserts in plain SQLite");
    let mut figures = vec![Figure::of(("backfill", "rows/s"), words, &wall)];
    // Where the system tells nothing of other processes there is nothing to tell.
    let told = samples.iter().filter_map(|(taken, limit)| Some((taken.process?, limit.cpu)));
    let told: Vec<(Process, f64)> = told.collect();
    if let (Some(idle), false) = (idle, told.is_empty()) {
        let cpu: Vec<_> = told.iter().map(|(a, b)| (rate(a.cpu), rate(*b))).collect();
        let peak: Vec<_> = told.iter().map(|(a, _)| (a.peak_mib, idle.peak_mib)).collect();
        let words = ("a second of its processor time", "the same of the inserts");
        figures.push(Figure::of(("backfill_cpu", "rows/s"), words, &cpu));
        let words = ("the most memory it held", "a daemon that has just begun");
        figures.push(Figure::of(("backfill_memory", "MiB"), words, &peak));
    }
    Ok(figures)
}

/// Starts a device that has joined, and waits until it has everything of the other one.
pub(super) fn take(joiner: &Device, from: &str, patience: Duration) -> Result<Taken, Failure> {
    let begun = Instant::now();
    joiner.up()?;
    while !done(joiner, from)? {
        if begun.elapsed() > patience {
            return Err(Failure::new(Exit::NotYet, "bench", "a new device is not done in time")
                .effect("The devices of the benchmark are its own; nothing else was touched.")
                .next("driftless bench backfill, on a machine with less to do"));
        }
        std::thread::sleep(PAUSE);
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Taken { seconds, process: joiner.process().and_then(Process::of) })
}

/// Whether two devices have everything of each other. Others, of earlier measurements, are gone.
fn done(joiner: &Device, from: &str) -> Result<bool, Failure> {
    let args = SyncArgs { wait: 60.0, reachable: true, offline: true };
    match joiner.run(LibraryCommand::Sync(args))?.answer {
        Some(Answer::Sync(SyncReport { peers, .. })) => {
            Ok(peers.iter().any(|peer| peer.device_id == from && peer.state == "done"))
        }
        _ => Err(Failure::internal("a wait gives a report")),
    }
}

/// Fails unless a device has all of it.
fn whole(joiner: &Device) -> Result<(), Failure> {
    let library = Library::open(joiner.dir(), &models())?;
    let count = |db: &driftless::rusqlite::Connection| {
        db.query_row("SELECT count(*) FROM entry", [], |row| row.get::<_, i64>(0))
    };
    let count = library.query(count)?.map_err(driftless::Error::from)?;
    if usize::try_from(count) == Ok(ENTRIES) {
        return Ok(());
    }
    Err(Failure::internal(format!("a new device said that it has all, and has {count} entries")))
}
