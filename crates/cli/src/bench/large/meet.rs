//! Two devices that have the same million entries meet and compare.

use std::time::{Duration, Instant};

use driftless::{Comparison, Library};

use super::super::catch_up::{PROMISED, kib, missed, peer, until};
use super::super::figure::Figure;
use super::super::place::Bench;
use crate::failure::Failure;
use crate::fleet::loopback;

/// Changes that one has missed.
const MISSED: usize = 10;
/// What is promised, in milliseconds and KiB.
const RECONNECT: (f64, f64) = (20.0, 4.0);
const CATCH_UP_MS: f64 = 50.0;
const VERIFY_MS: f64 = 20.0;
const PATIENCE: Duration = Duration::from_secs(300);
/// After so long two devices that are equal have told each other their digests.
pub(super) const QUIET: Duration = Duration::from_millis(1_500);

pub(super) fn run(bench: &mut Bench, library: &Library) -> Result<Vec<Figure>, Failure> {
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
    Ok(figures)
}

pub(super) fn equal(library: &Library) -> Result<(), Failure> {
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
