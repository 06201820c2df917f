//! Another device takes in many small changes of shared records, after it was away.

use std::time::{Duration, Instant};

use driftless::{DeviceId, Library, Progress, Syncable as _};
use driftless_catalog::Tag;

use super::commit::AT_ONCE;
use super::figure::Figure;
use super::gauge::{Process, cost};
use super::place::Bench;
use super::plain::{Plain, PlainRow};
use super::rows;
use crate::failure::{Exit, Failure};
use crate::fleet::{Device, loopback};

/// Change sets in a measurement, each of one change; half of them make a tag, half change one.
const CHANGES: usize = 10_000;
/// Commits that are made durable together, so that making them does not take long.
const WRITERS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(1);
const TICKET_MS: u64 = 600_000;

/// What the changes of one measurement cost the device that takes them in.
struct Merged {
    seconds: f64,
    cpu: Option<f64>,
}

/// Changes a second, from the moment when two devices may talk again until the other one has said
/// that everything is durable there.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let founder = bench.device()?;
    let library = founder.found()?;
    library.sync(loopback())?;
    let (peer, other) = joined(bench, &library)?;
    let process = || peer.process().and_then(Process::of).map(|process| process.cpu);
    let mut made = 0;
    let samples = bench.sample(|bench| {
        let tags: Vec<Tag> = (made..made + CHANGES / 2)
            .map(|n| rows::tag(rows::id(n), format!("tag {n}")))
            .collect();
        made += tags.len();
        part(&library, other)?;
        let bare = changes(&tags);
        write(&library, &tags)?;
        let (begun, before) = (Instant::now(), process());
        library.resume(Some(other))?;
        settle(&library)?;
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = process().zip(before).map(|(after, before)| after - before);
        let plain = Plain::create(&bench.fresh(), &Tag::descriptor())?;
        let ((), limit) = cost(|| plain.upsert(&bare, AT_ONCE))?;
        Ok((Merged { seconds, cpu }, limit))
    })?;
    let rate = |seconds: f64| 10_000.0 / seconds;
    let wall: Vec<_> = samples.iter().map(|(a, b)| (rate(a.seconds), rate(b.wall))).collect();
    let words = ("changes of others taken in, each a change set", "upserts in plain SQLite");
    let mut figures = vec![Figure::of(("merge", "changes/s"), words, &wall)];
    let cpu = samples.iter().filter_map(|(a, b)| Some((rate(a.cpu?), rate(b.cpu))));
    let cpu: Vec<_> = cpu.collect();
    if !cpu.is_empty() {
        let words = ("a second of processor time", "the same of the upserts");
        figures.push(Figure::of(("merge_cpu", "changes/s"), words, &cpu));
    }
    Ok(figures)
}

/// What the tags are changed to.
fn renamed(tag: &Tag) -> Tag {
    rows::tag(tag.id, format!("{}, renamed", tag.name))
}

/// The same for plain SQLite.
fn changes(tags: &[Tag]) -> Vec<PlainRow> {
    let (made, changed) = (tags.iter().map(rows::bare), tags.iter().map(renamed));
    made.chain(changed.map(|tag| rows::bare(&tag))).collect()
}

/// Makes the tags and changes them, each by a commit of its own.
fn write(library: &Library, tags: &[Tag]) -> Result<(), Failure> {
    in_turns(tags, |tag| {
        let (tag, new) = (tag.clone(), renamed(tag));
        let id = tag.id;
        library.write(move |tx| tx.insert(&tag))?;
        library.write(move |tx| tx.update(id, |tag: &mut Tag| tag.name = new.name))?;
        Ok(())
    })
}

/// Does something with each tag; many at a time, so that commits are made durable together.
pub(super) fn in_turns(
    tags: &[Tag],
    one: impl Fn(&Tag) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let one = &one;
    std::thread::scope(|scope| {
        let parts = tags.chunks(tags.len().div_ceil(WRITERS).max(1));
        let writers: Vec<_> =
            parts.map(|tags| scope.spawn(move || tags.iter().try_for_each(one))).collect();
        writers.into_iter().try_for_each(|writer| match writer.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// A second device that has everything, and its id.
pub(super) fn joined(bench: &mut Bench, library: &Library) -> Result<(Device, DeviceId), Failure> {
    let peer = bench.device()?;
    peer.join(&library.invite(TICKET_MS)?.to_string())?;
    peer.up()?;
    settle(library)?;
    Ok((peer, other_of(library)?))
}

/// The one other member.
fn other_of(library: &Library) -> Result<DeviceId, Failure> {
    let here = library.device_id();
    let other = library.members()?.into_iter().find(|member| member.device != here);
    Ok(other.ok_or_else(|| Failure::internal("two devices are members"))?.device)
}

/// Cuts the link, and waits until it is cut.
pub(super) fn part(library: &Library, other: DeviceId) -> Result<(), Failure> {
    library.pause(Some(other))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let online = |peer: &driftless::PeerStatus| peer.member.device == other && peer.online;
        if !library.status()?.peers.iter().any(online) {
            return Ok(());
        }
        late(deadline)?;
        std::thread::sleep(PAUSE);
    }
}

/// Waits until both have everything.
pub(super) fn settle(library: &Library) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let peers = library.wait(PATIENCE, false)?;
        if peers.iter().all(|peer| peer.progress == Progress::Done) {
            return Ok(());
        }
        late(deadline)?;
    }
}

fn late(deadline: Instant) -> Result<(), Failure> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(Failure::new(Exit::NotYet, "bench", "two devices are not done in time")
        .effect("The devices of the benchmark are its own; nothing else was touched.")
        .next("driftless bench merge, on a machine with less to do"))
}
