//! Two devices that have the same million entries meet, compare, and mend what differs.

use std::time::{Duration, Instant};

use driftless::rusqlite::Connection;
use driftless::{Comparison, Library};

use super::super::catch_up::{PROMISED, kib, missed, peer, until};
use super::super::figure::Figure;
use super::super::place::Bench;
use super::Pair;
use crate::answer::StatusReport;
use crate::args::{LibraryCommand, VerifyArgs};
use crate::failure::{Exit, Failure};
use crate::fleet::loopback;

/// Changes that one has missed.
const MISSED: usize = 10;
/// Rows that differ.
const DIFFER: i64 = 10;
/// What is promised, in milliseconds, KiB and seconds.
const RECONNECT: (f64, f64) = (20.0, 4.0);
const CATCH_UP_MS: f64 = 50.0;
const VERIFY_MS: f64 = 20.0;
const REPAIR: (f64, f64) = (2.0, 256.0);
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(2);
/// After so long two devices that are equal have told each other their digests.
const QUIET: Duration = Duration::from_millis(1_500);

pub(super) fn run(
    bench: &mut Bench,
    library: &Library,
    pair: &Pair,
) -> Result<Vec<Figure>, Failure> {
    library.sync(loopback())?;
    until(library, |peer| peer.online && peer.behind == 0 && peer.ahead == 0)?;
    let mut figures = reconnect(bench, library)?;
    let mut count = 0;
    let times = bench.sample(|_| Ok((missed(library, &mut count, MISSED)?.1, CATCH_UP_MS)))?;
    let words = ("until the other device holds ten missed changes, once connected", PROMISED);
    figures.push(Figure::of(("large_catch_up", "ms"), words, &times));
    let times = bench.sample(|_| {
        let begun = Instant::now();
        equal(library)?;
        Ok((begun.elapsed().as_secs_f64() * 1e3, VERIFY_MS))
    })?;
    let words = ("comparing all digests that are kept with the other device", PROMISED);
    figures.push(Figure::of(("large_verify", "ms"), words, &times));
    figures.extend(repair(bench, library, pair)?);
    Ok(figures)
}

fn equal(library: &Library) -> Result<(), Failure> {
    let compared = library.verify(PATIENCE)?;
    if compared.iter().all(|(_, found)| *found == Comparison::Equal) {
        return Ok(());
    }
    Err(Failure::internal(format!("two devices are not equal: {compared:?}")))
}

/// They meet again and nothing has happened: milliseconds from the moment when the connection stands,
/// and KiB of frames both ways, with the digests that they exchange once all is quiet.
fn reconnect(bench: &mut Bench, library: &Library) -> Result<Vec<Figure>, Failure> {
    let samples = bench.sample(|_| {
        let before = peer(library)?;
        let (_, took) = missed(library, &mut 0, 0)?;
        std::thread::sleep(QUIET);
        Ok((took, kib(&before, &peer(library)?)))
    })?;
    let times: Vec<_> = samples.iter().map(|(ms, _)| (*ms, RECONNECT.0)).collect();
    let bytes: Vec<_> = samples.iter().map(|(_, kib)| (*kib, RECONNECT.1)).collect();
    let words = ("until two devices know that they have the same, once connected", PROMISED);
    let times = Figure::of(("large_reconnect", "ms"), words, &times);
    let words = ("sent both ways for that", PROMISED);
    Ok(vec![times, Figure::of(("large_reconnect_bytes", "KiB"), words, &bytes)])
}

/// Ten rows of one device are not what was written. From the question whether all rows are what they
/// should be until they are: reading all of them, and bringing back these.
fn repair(bench: &mut Bench, library: &Library, pair: &Pair) -> Result<Vec<Figure>, Failure> {
    let joiner = &pair.joiner;
    let samples = bench.sample(|_| {
        joiner.kill();
        damage(pair)?;
        joiner.up()?;
        until(library, |peer| peer.online && peer.behind == 0 && peer.ahead == 0)?;
        std::thread::sleep(QUIET);
        let before = peer(library)?;
        let begun = Instant::now();
        joiner.run(LibraryCommand::Verify(VerifyArgs { deep: true, offline: true }))?;
        whole(pair, begun)?;
        let seconds = begun.elapsed().as_secs_f64();
        equal(library)?;
        Ok((seconds, kib(&before, &peer(library)?)))
    })?;
    let times: Vec<_> = samples.iter().map(|(s, _)| (*s, REPAIR.0)).collect();
    let bytes: Vec<_> = samples.iter().map(|(_, kib)| (*kib, REPAIR.1)).collect();
    let words = ("reading all rows and bringing back ten that are damaged", PROMISED);
    let times = Figure::of(("large_repair", "s"), words, &times);
    let words = ("sent both ways for that", PROMISED);
    Ok(vec![times, Figure::of(("large_repair_bytes", "KiB"), words, &bytes)])
}

/// Alters rows behind the library's back.
fn damage(pair: &Pair) -> Result<(), Failure> {
    let failed = |error: driftless::rusqlite::Error| {
        Failure::new(Exit::Failed, "bench", format!("a library cannot be damaged: {error}"))
    };
    let db = Connection::open(pair.joiner.dir().join("library.db")).map_err(failed)?;
    let every = i64::try_from(pair.entries).unwrap_or(i64::MAX) / DIFFER;
    let sql = "UPDATE entry SET size = size + 1 WHERE rowid IN (SELECT rowid FROM \
               (SELECT rowid, row_number() OVER (ORDER BY id) AS n FROM entry) WHERE n % ?1 = 7)";
    let altered = db.execute(sql, [every]).map_err(failed)?;
    if i64::try_from(altered) == Ok(DIFFER) {
        return Ok(());
    }
    Err(Failure::internal(format!("{altered} rows were altered")))
}

/// Waits until all that was damaged is back.
fn whole(pair: &Pair, begun: Instant) -> Result<(), Failure> {
    loop {
        let StatusReport { damage, .. } = pair.joiner.status()?;
        if damage.missing == 0 {
            return Ok(());
        }
        if begun.elapsed() > PATIENCE {
            let text = format!("{} rows do not come back", damage.missing);
            return Err(Failure::new(Exit::NotYet, "bench", text));
        }
        std::thread::sleep(PAUSE);
    }
}
