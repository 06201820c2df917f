//! A thousand commits, one after the other, while another device is connected: what it costs that they
//! are seen elsewhere.

use driftless::Library;

use super::figure::Figure;
use super::gauge::clock;
use super::place::Bench;
use super::propagation::{join, seen};
use super::rows;
use crate::failure::Failure;
use crate::fleet::loopback;

/// Commits in a measurement.
const COMMITS: usize = 1_000;
/// What both sides still write of the last measurement is no part of the next one.
const QUIET: std::time::Duration = std::time::Duration::from_millis(300);

/// Until the other device can read the last one, against making them with no other device.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let founder = bench.device()?;
    let library = founder.found()?;
    library.sync(loopback())?;
    let peer = join(bench, &library)?;
    let alone = bench.library()?;
    let mut made = 0;
    let pairs = bench.sample(|_| {
        // The outer two against the inner two: what the machine does for a while falls on both.
        let (mut there, mut here) = (0.0, 0.0);
        for with_peer in [true, false, false, true] {
            let first = made;
            made += COMMITS;
            let begun = clock();
            if with_peer {
                commit(&library, first)?;
                there += (seen(&peer.lines, &(made - 1).to_string())? - begun) / 2.0;
            } else {
                commit(&alone, first)?;
                here += (clock() - begun) / 2.0;
            }
            std::thread::sleep(QUIET);
        }
        Ok((there, here))
    })?;
    let words = ("1,000 commits until another device can read them", "making them with no other");
    Ok(vec![Figure::of(("stream", "s"), words, &pairs)])
}

fn commit(library: &Library, first: usize) -> Result<(), Failure> {
    for n in first..first + COMMITS {
        let tag = rows::tag(rows::id(n), n.to_string());
        library.write(move |tx| tx.insert(&tag))?;
    }
    Ok(())
}
