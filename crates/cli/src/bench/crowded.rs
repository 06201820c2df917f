//! A new device takes in a million rows while people go on editing tags on both sides.

use std::time::Duration;

use driftless::{Library, Subscription};

use super::catch_up::{PROMISED, peer, until};
use super::commit::put;
use super::figure::Figure;
use super::gauge::{Process, clock};
use super::peer::{COMMAND, newest};
use super::place::Bench;
use super::propagation::{high, seen};
use super::rows;
use crate::failure::Failure;
use crate::fleet::{Device, Lines, loopback};

/// What the new device takes in.
const ENTRIES: usize = 1_000_000;
/// Made and written at a time.
const PART: usize = 100_000;
/// What is promised: milliseconds for 95 of 100 edits, and memory.
const MOST_MS: f64 = 100.0;
const MOST_MIB: f64 = 200.0;
const TICKET_MS: u64 = 600_000;
/// Between two edits.
const PAUSE: Duration = Duration::from_millis(30);

/// Latencies of edits either way for as long as the backfill goes on, and the most memory that the
/// new device held.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let founder = bench.device()?;
    let library = founder.found()?;
    fill(&library, ENTRIES)?;
    library.sync(loopback())?;
    let joiner = bench.device()?;
    joiner.join(&library.invite(TICKET_MS)?.to_string())?;
    let begun = clock();
    let (_, lines) = joiner.start(&[COMMAND])?;
    let mut changes = library.subscribe();
    until(&library, |peer| peer.online)?;
    let (mut there, mut back) = (Vec::new(), Vec::new());
    let mut count = 0;
    let mut least = u64::MAX;
    while peer(&library)?.behind > 0 {
        least = least.min(peer(&library)?.behind);
        bench.tell(&format!("{least} changes are still to come, {} edits", there.len()))?;
        count += 1;
        there.push((from_here(&library, &lines, count)?, MOST_MS));
        count += 1;
        back.push((from_there(&joiner, &library, &mut changes, count)?, MOST_MS));
        std::thread::sleep(PAUSE);
    }
    let seconds = clock() - begun;
    let memory = joiner.process().and_then(Process::of).map(|process| process.peak_mib);
    if there.is_empty() {
        return Err(Failure::internal("the backfill was over before there was an edit"));
    }
    let mut figures = vec![
        high(
            "crowded_there_p95",
            ("an edit during a backfill, at the new device", PROMISED),
            &there,
        ),
        high("crowded_back_p95", ("an edit of the new device meanwhile", PROMISED), &back),
    ];
    if let Some(mib) = memory {
        let words = ("the most memory that it held", PROMISED);
        figures.push(Figure::of(("crowded_memory", "MiB"), words, &[(mib, MOST_MIB)]));
    }
    let words = ("a million entries, with edits meanwhile", "of itself");
    figures.push(Figure::of(("crowded", "s"), words, &[(seconds, seconds)]));
    Ok(figures)
}

/// Writes so many entries, a part at a time.
pub(super) fn fill(library: &Library, count: usize) -> Result<(), Failure> {
    let all = rows::entries(count);
    for part in all.chunks(PART) {
        put(library, &part.to_vec().into())?;
    }
    Ok(())
}

fn from_here(library: &Library, lines: &Lines, count: usize) -> Result<f64, Failure> {
    let name = count.to_string();
    let tag = rows::tag(rows::id(count), name.clone());
    let begun = clock();
    library.write(move |tx| tx.insert(&tag))?;
    Ok((seen(lines, &name)? - begun) * 1e3)
}

fn from_there(
    joiner: &Device,
    library: &Library,
    changes: &mut Subscription,
    count: usize,
) -> Result<f64, Failure> {
    let name = count.to_string();
    let begun = clock();
    joiner.say(&name)?;
    for change in changes.by_ref().filter(|change| change.concerns("tag")) {
        tracing::debug!(?change);
        let found = library.query(newest)?.map_err(driftless::Error::from)?;
        if found.as_deref() == Some(&name) {
            return Ok((clock() - begun) * 1e3);
        }
    }
    Err(Failure::internal("the library was closed meanwhile"))
}
