//! Two devices with a large library in common meet, and one has missed a little: what is sent does not
//! depend on how large the library is.

use std::time::{Duration, Instant};

use driftless::{Library, PeerStatus};

use super::commit::put;
use super::figure::Figure;
use super::gauge::clock;
use super::place::Bench;
use super::rows;
use crate::failure::{Exit, Failure};
use crate::fleet::loopback;

/// What both have.
const ENTRIES: usize = 100_000;
/// What one has missed.
const MISSED: usize = 10;
/// What is promised: bytes of frames in both directions, and milliseconds.
const MOST_KIB: f64 = 64.0;
const MOST_MS: f64 = 50.0;
const PATIENCE: Duration = Duration::from_secs(120);
const TICKET_MS: u64 = 600_000;

/// From the moment when the connection stands until the other process has said that it holds the
/// missed changes durably: bytes of frames both ways, and time.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let founder = bench.device()?;
    let library = founder.found()?;
    put(&library, &rows::entries(ENTRIES).into())?;
    library.sync(loopback())?;
    let other = bench.device()?;
    other.join(&library.invite(TICKET_MS)?.to_string())?;
    other.up()?;
    until(&library, |peer| peer.online && peer.behind == 0 && peer.ahead == 0)?;
    let mut count = 0;
    let samples = bench.sample(|_| missed(&library, &mut count, MISSED))?;
    let bytes: Vec<_> = samples.iter().map(|(kib, _)| (*kib, MOST_KIB)).collect();
    let times: Vec<_> = samples.iter().map(|(_, ms)| (*ms, MOST_MS)).collect();
    let words = ("sent both ways for ten missed changes", PROMISED);
    let bytes = Figure::of(("catch_up_bytes", "KiB"), words, &bytes);
    let words = ("until the other device holds them, once connected", PROMISED);
    Ok(vec![bytes, Figure::of(("catch_up", "ms"), words, &times)])
}

/// Cuts the link, writes so many tags, and lets the two meet again: KiB of frames both ways, and
/// milliseconds from the moment when the connection stands.
pub(super) fn missed(
    library: &Library,
    count: &mut usize,
    changes: usize,
) -> Result<(f64, f64), Failure> {
    library.pause(None)?;
    until(library, |peer| !peer.online && peer.route.is_none())?;
    for _ in 0..changes {
        *count += 1;
        let tag = rows::tag(rows::id(*count), count.to_string());
        library.write(move |tx| tx.insert(&tag))?;
    }
    let before = peer(library)?;
    library.resume(None)?;
    until(library, |peer| peer.route.is_some())?;
    let begun = clock();
    let after = until(library, |peer| peer.online && peer.behind == 0 && peer.ahead == 0)?;
    let took = (clock() - begun) * 1e3;
    Ok((kib(&before, &after), took))
}

/// KiB of frames both ways since then.
pub(super) fn kib(before: &PeerStatus, after: &PeerStatus) -> f64 {
    let moved = |peer: &PeerStatus| peer.traffic.0 + peer.traffic.1;
    #[expect(clippy::cast_precision_loss, reason = "some millions at most")]
    let kib = moved(after).saturating_sub(moved(before)) as f64 / 1_024.0;
    kib
}

/// What these figures stand beside: no physical limit.
pub(super) const PROMISED: &str = "at most, as promised";

/// The one other device.
pub(super) fn peer(library: &Library) -> Result<PeerStatus, Failure> {
    let peer = library.status()?.peers.pop();
    peer.ok_or_else(|| Failure::internal("there is one other device"))
}

/// Waits for a property of the other device.
pub(super) fn until(
    library: &Library,
    look: impl Fn(&PeerStatus) -> bool,
) -> Result<PeerStatus, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let peer = peer(library)?;
        if look(&peer) {
            return Ok(peer);
        }
        if Instant::now() > deadline {
            return Err(Failure::new(Exit::NotYet, "bench", "two devices are not done in time")
                .effect("The devices of the benchmark are its own; nothing else was touched.")
                .next("driftless bench, on a machine with less to do"));
        }
        std::thread::yield_now();
    }
}
