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
const KILLS: u32 = 20;
/// A page, which is the most that may have to come again after a kill.
const PAGE_KIB: f64 = 256.0;
const PATIENCE: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(5);

/// What twenty kills cost: rows that were there and are gone (none), bytes that came again for each.
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
    while kills < KILLS && before < ENTRIES {
        bench.tell(&format!("{kills} kills, {before} entries are there"))?;
        // So much more has to come before the next one: a twentieth, and a little of no order.
        let jitter = u64::from(begun.elapsed().subsec_micros()) % (ENTRIES / 100);
        let at = before + ENTRIES / 30 + jitter;
        before = grown(&joiner, at.min(ENTRIES))?;
        kills += 1;
        if kills % 2 == 0 {
            received += received_by(&joiner)?;
            joiner.kill();
            joiner.up()?;
        } else {
            server.kill();
            server.up()?;
        }
        let after = entries(&joiner.status()?);
        if after < before {
            let text = format!("{before} entries were there before a kill, {after} after it");
            return Err(Failure::internal(text));
        }
    }
    grown(&joiner, ENTRIES)?;
    received += received_by(&joiner)?;
    joiner.kill();
    calm.join(&server.ticket()?)?;
    calm.up()?;
    grown(&calm, ENTRIES)?;
    let undisturbed = received_by(&calm)?;
    #[expect(clippy::cast_precision_loss, reason = "some hundred millions at most")]
    let kib = received.saturating_sub(undisturbed) as f64 / 1_024.0 / f64::from(kills);
    let words = ("came again for each kill, of a million entries", PROMISED);
    let again = Figure::of(("killed_again", "KiB"), words, &[(kib, PAGE_KIB)]);
    let words = ("times that either side was killed", "wanted");
    let kills = (f64::from(kills), f64::from(KILLS));
    Ok(vec![again, Figure::of(("killed_times", "kills"), words, &[kills])])
}

/// Waits until a device has so many entries.
fn grown(device: &Device, to: u64) -> Result<u64, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let there = entries(&device.status()?);
        if there >= to {
            return Ok(there);
        }
        if Instant::now() > deadline {
            return Err(Failure::internal(format!("{there} of {to} entries are there, no more")));
        }
        std::thread::sleep(PAUSE);
    }
}

fn entries(status: &StatusReport) -> u64 {
    status.counts.get("entry").copied().unwrap_or(0)
}

/// Bytes of frames that the process has received since it began.
fn received_by(device: &Device) -> Result<u64, Failure> {
    let collected = device.run(LibraryCommand::Peers { command: None })?;
    let of = |rows: &Rows| match rows {
        Rows::Peers(rows) => rows.iter().map(|row: &PeerRow| row.received_bytes).sum(),
        _ => 0,
    };
    Ok(collected.rows.iter().map(of).sum())
}
