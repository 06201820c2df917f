//! A new device takes in a million rows while either side is killed again and again.

use std::time::{Duration, Instant};

use super::catch_up::PROMISED;
use super::crowded::fill;
use super::figure::Figure;
use super::place::Bench;
use crate::answer::{PeerRow, Rows, StatusReport};
use crate::args::LibraryCommand;
use crate::failure::Failure;
use crate::fleet::Device;

/// What the new device takes in.
const ENTRIES: u64 = 1_000_000;
/// The change sets that they are written in, a thousand in each.
const SETS: u64 = ENTRIES / 1_000;
/// More than there are: the backfill is over.
const ALL: u64 = u64::MAX;
const KILLS: u32 = 20;
/// A page, which is the most that may have to come again after a kill.
const PAGE_KIB: f64 = 256.0;
const PATIENCE: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(5);

/// What twenty kills cost: change sets that were there and are gone (none), bytes that came again for each.
/// What comes is counted where it arrives, kill by kill, and set against what a device received that
/// nobody disturbed.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let server = bench.device()?;
    let library = server.found()?;
    fill(&library, usize::try_from(ENTRIES).unwrap_or(usize::MAX))?;
    library.close();
    server.up()?;
    let (joiner, calm) = (bench.device()?, bench.device()?);
    joiner.join(&server.ticket()?)?;
    joiner.up()?;
    let (mut received, mut before, mut kills) = (0, 0, 0);
    let begun = Instant::now();
    while kills < KILLS && before < ALL {
        bench.tell(&format!("{kills} kills, {before} change sets are there"))?;
        // So many more have to come before the next one: a thirtieth, and some of no order.
        let jitter = u64::from(begun.elapsed().subsec_micros()) % (SETS / 100);
        before = grown(&joiner, before + SETS / 30 + jitter)?;
        kills += 1;
        if kills % 2 == 0 {
            received += received_by(&joiner)?;
            joiner.kill();
            joiner.up()?;
        } else {
            server.kill();
            server.up()?;
        }
        let after = grown(&joiner, 1)?;
        if after < before {
            let text = format!("{before} change sets were there before a kill, {after} after it");
            return Err(Failure::internal(text));
        }
    }
    grown(&joiner, ALL)?;
    received += received_by(&joiner)?;
    joiner.kill();
    calm.join(&server.ticket()?)?;
    calm.up()?;
    grown(&calm, ALL)?;
    let undisturbed = received_by(&calm)?;
    #[expect(clippy::cast_precision_loss, reason = "some hundred millions at most")]
    let kib = received.saturating_sub(undisturbed) as f64 / 1_024.0 / f64::from(kills);
    let words = ("came again for each kill, of a million entries", PROMISED);
    let again = Figure::of(("killed_again", "KiB"), words, &[(kib, PAGE_KIB)]);
    let words = ("times that either side was killed", "wanted");
    let kills = (f64::from(kills), f64::from(KILLS));
    Ok(vec![again, Figure::of(("killed_times", "kills"), words, &[kills])])
}

/// Waits until so many change sets of the entries have come to a device.
fn grown(device: &Device, to: u64) -> Result<u64, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let there = come(&device.status()?);
        if there >= to {
            return Ok(there);
        }
        if Instant::now() > deadline {
            return Err(Failure::internal(format!("{there} change sets are there, no more")));
        }
        std::thread::sleep(PAUSE);
    }
}

/// How many have come, or all.
fn come(status: &StatusReport) -> u64 {
    let entries = status.counts.get("entry").copied().unwrap_or(0);
    let fill = status.backfill.as_ref().map_or(0, |fill| fill.done);
    if entries >= ENTRIES { ALL } else { fill }
}

/// Bytes of frames that the process has received since it began.
pub(super) fn received_by(device: &Device) -> Result<u64, Failure> {
    let collected = device.run(LibraryCommand::Peers { command: None })?;
    let of = |rows: &Rows| match rows {
        Rows::Peers(rows) => rows.iter().map(|row: &PeerRow| row.received_bytes).sum(),
        _ => 0,
    };
    Ok(collected.rows.iter().map(of).sum())
}
