//! Two devices that are apart, and on which the same records are edited: they meet, and merge both
//! ways.

use std::sync::Arc;
use std::time::Instant;

use driftless::Library;
use driftless_catalog::Tag;

use super::catch_up::PROMISED;
use super::commit::AT_ONCE;
use super::figure::Figure;
use super::merge::{in_turns, joined, part, settle};
use super::place::Bench;
use super::rows;
use crate::failure::Failure;
use crate::fleet::loopback;

/// Edits on either side, each of another record and a commit of its own.
const EDITS: usize = 10_000;
/// What is promised, in seconds.
const MOST_S: f64 = 1.0;

/// From the moment when two devices may talk again until either has all of the other, durably. Each
/// edit of one is concurrent with one of the other, so each leaves a conflict.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let founder = bench.device()?;
    let library = founder.found()?;
    let tags: Arc<[Tag]> = (0..EDITS).map(|n| rows::tag(rows::id(n), format!("tag {n}"))).collect();
    for from in (0..EDITS).step_by(AT_ONCE) {
        let tags = tags.clone();
        library.write(move |tx| {
            tags[from..EDITS.min(from + AT_ONCE)].iter().try_for_each(|tag| tx.insert(tag))
        })?;
    }
    library.sync(loopback())?;
    let (peer, other) = joined(bench, &library)?;
    let mut round = 0;
    let seconds = bench.sample(|_| {
        round += 1;
        part(&library, other)?;
        peer.kill();
        let there = peer.open()?;
        edit(&there, &tags, &format!("there {round}"))?;
        there.close();
        peer.up()?;
        edit(&library, &tags, &format!("here {round}"))?;
        let begun = Instant::now();
        library.resume(Some(other))?;
        settle(&library)?;
        Ok((begun.elapsed().as_secs_f64(), MOST_S))
    })?;
    let words = ("10,000 edits here and 10,000 there of the same tags, merged both ways", PROMISED);
    Ok(vec![Figure::of(("offline", "s"), words, &seconds)])
}

fn edit(library: &Library, tags: &[Tag], name: &str) -> Result<(), Failure> {
    in_turns(tags, |tag| {
        let (id, name) = (tag.id, name.to_owned());
        library.write(move |tx| tx.update(id, |tag: &mut Tag| tag.name = name))?;
        Ok(())
    })
}
