//! How much room a library takes, on the device that wrote it and on one that took it in.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use driftless::{Error, Library, Progress, Setting, Syncable};
use driftless_catalog::{Entry, Tag, models};

use super::commit::{AT_ONCE, put};
use super::figure::Figure;
use super::place::Bench;
use super::plain::{Plain, PlainRow};
use super::rows;
use crate::failure::{Exit, Failure};
use crate::fleet::{Device, loopback};

const ENTRIES: usize = 100_000;
const TAGS: usize = 10_000;
/// Commits that are made durable together, so that making them does not take long.
const WRITERS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(120);
const TICKET_MS: u64 = 600_000;

/// Bytes of a library's two files.
#[derive(Clone, Copy)]
struct Files {
    library: u64,
    log: u64,
}

impl Files {
    fn all(self) -> f64 {
        mib(self.library + self.log)
    }
}

/// What a library came to, in the order of its life.
struct Grown {
    /// Written, and nothing pruned yet.
    kept: Files,
    /// Pruned, as the other device has all of it.
    here: Files,
    /// The other device.
    there: Files,
    /// The same rows in plain SQLite.
    plain: f64,
}

/// Bytes against those of the same rows in plain SQLite. They are the same each time, so they are
/// measured once.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    bench.tell("entries")?;
    let entries: Arc<[Entry]> = rows::entries(ENTRIES).into();
    let fill = |library: &Library| put(library, &entries);
    let plain = plain(bench, &entries)?;
    let of_entries = grow(bench, plain, fill)?;
    bench.tell("tags")?;
    let tags: Vec<Tag> = (0..TAGS).map(|n| rows::tag(rows::id(n), format!("tag {n}"))).collect();
    let plain = self::plain(bench, &tags)?;
    let of_tags = grow(bench, plain, |library| write(library, &tags))?;
    let one = |name, words, files: Files, plain| {
        let pairs = [(files.all(), plain)];
        Figure::of((name, "MiB"), (words, "the same rows in plain SQLite"), &pairs)
    };
    let log = |name, files: Files, plain| {
        let pairs = [(mib(files.log), plain)];
        Figure::of((name, "MiB"), ("of it sync.db", "the rows in plain SQLite"), &pairs)
    };
    let (e, t) = (of_entries, of_tags);
    Ok(vec![
        one("size_entries", "100,000 entries, both files", e.here, e.plain),
        log("size_entries_log", e.here, e.plain),
        one("size_entries_taken", "on the device that took them in", e.there, e.plain),
        one("size_tags", "10,000 tags, pruned, both files", t.here, t.plain),
        log("size_tags_log", t.here, t.plain),
        one("size_tags_taken", "on the device that took them in", t.there, t.plain),
        one("size_tags_kept", "while their change sets are kept", t.kept, t.plain),
    ])
}

/// A library that is filled, taken in by another device, and pruned on both.
fn grow(
    bench: &mut Bench,
    plain: f64,
    fill: impl FnOnce(&Library) -> Result<(), Failure>,
) -> Result<Grown, Failure> {
    let founder = bench.device()?;
    let library = founder.found()?;
    fill(&library)?;
    library.close();
    let kept = files(founder.dir())?;
    let library = without_history(founder.dir())?;
    library.sync(loopback())?;
    let joiner = bench.device()?;
    joiner.join(&library.invite(TICKET_MS)?.to_string())?;
    joiner.up()?;
    settle(&library)?;
    let here = pruned(library, &founder)?;
    joiner.kill();
    let there = pruned(without_history(joiner.dir())?, &joiner)?;
    Ok(Grown { kept, here, there, plain })
}

/// A library that keeps no history: what sync adds is measured, not for how long people want to look
/// back.
fn without_history(dir: &Path) -> Result<Library, Failure> {
    Library::open(dir, &models())?.set_setting(Setting::History, "0d")?;
    Ok(Library::open(dir, &models())?)
}

/// Waits until both have everything.
fn settle(library: &Library) -> Result<(), Failure> {
    let peers = library.wait(PATIENCE, false)?;
    if !peers.is_empty() && peers.iter().all(|peer| peer.progress == Progress::Done) {
        return Ok(());
    }
    Err(Failure::new(Exit::NotYet, "bench", "a new device is not done in time")
        .effect("The devices of the benchmark are its own; nothing else was touched.")
        .next("driftless bench size, on a machine with less to do"))
}

/// The files of a library that is pruned and closed.
fn pruned(library: Library, device: &Device) -> Result<Files, Failure> {
    library.prune()?;
    library.close();
    files(device.dir())
}

/// The same rows, keys and indexes in plain SQLite: its size in MiB.
fn plain<T: Syncable>(bench: &mut Bench, records: &[T]) -> Result<f64, Failure> {
    let dir = bench.fresh();
    let bare: Vec<PlainRow> = records.iter().map(rows::bare).collect();
    Plain::create(&dir, &T::descriptor())?.insert(&bare, AT_ONCE)?;
    Ok(mib(size(&dir, "plain.db")?))
}

/// Makes tags, each by a commit of its own.
fn write(library: &Library, tags: &[Tag]) -> Result<(), Failure> {
    std::thread::scope(|scope| {
        let chunks = tags.chunks(tags.len().div_ceil(WRITERS));
        let writers: Vec<_> = chunks
            .map(|tags| {
                scope.spawn(move || {
                    tags.iter().cloned().try_for_each(|tag| {
                        library.write(move |tx| tx.insert(&tag)).map_err(|error: Error| error)
                    })
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| match writer.join() {
            Ok(result) => Ok(result?),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Both files of a library that is closed.
fn files(dir: &Path) -> Result<Files, Failure> {
    let of = |name| Ok::<_, Failure>(size(dir, name)? + size(dir, &format!("{name}-wal"))?);
    Ok(Files { library: of("library.db")?, log: of("sync.db")? })
}

/// Bytes of a file; one that is not there has none.
pub(super) fn size(dir: &Path, name: &str) -> Result<u64, Failure> {
    match std::fs::metadata(dir.join(name)) {
        Ok(file) => Ok(file.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Failure::io("looking at the size of a file", &error)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
