//! Local writes: one change at a time, and many at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use driftless::{Error, Library, Syncable as _};
use driftless_catalog::{Entry, Tag};

use super::figure::{Figure, median};
use super::gauge::{Cost, cost, cpu};
use super::place::Bench;
use super::plain::{Plain, PlainRow};
use super::rows;
use crate::failure::Failure;

/// Commits in a measurement.
const COMMITS: usize = 200;
/// Rows in a measurement, and in a transaction.
const ROWS: usize = 50_000;
pub(super) const AT_ONCE: usize = 1_000;
/// The library writes its peer log when it has been quiet for a moment. That is work of its commits.
const QUIET: Duration = Duration::from_millis(300);

/// One shared change to a commit, against the bare transaction.
pub(super) fn one(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let library = bench.library()?;
    let plain = Plain::create(&bench.fresh(), &Tag::descriptor())?;
    let mut made = 0;
    let pairs = bench.sample(|_| {
        let tags: Vec<Tag> =
            (made..made + COMMITS).map(|n| rows::tag(rows::id(n), format!("tag {n}"))).collect();
        made += COMMITS;
        let bare: Vec<PlainRow> = tags.iter().map(rows::bare).collect();
        let ours = each(tags, |tag| Ok(library.write(move |tx| tx.insert(&tag))?))?;
        let limit = each(bare, |row| plain.insert(&[row], 1))?;
        Ok((ours, limit))
    })?;
    let wall: Vec<_> = pairs.iter().map(|(a, b)| (a.wall * 1e3, b.wall * 1e3)).collect();
    let cpu: Vec<_> = pairs.iter().map(|(a, b)| (a.cpu * 1e3, b.cpu * 1e3)).collect();
    Ok(vec![
        Figure::of(("commit", "ms"), ("a durable commit of one change", BARE), &wall),
        Figure::of(("commit_cpu", "ms"), ("its processor time", BARE), &cpu),
    ])
}

const BARE: &str = "the same row in plain SQLite, as durable";

/// Does something with each, one after the other: the median time of one, and the mean processor
/// time, with what is done right after the last.
fn each<T>(items: Vec<T>, mut one: impl FnMut(T) -> Result<(), Failure>) -> Result<Cost, Failure> {
    let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
    let before = cpu();
    let mut times = Vec::with_capacity(items.len());
    for item in items {
        let begun = Instant::now();
        one(item)?;
        times.push(begun.elapsed().as_secs_f64());
    }
    std::thread::sleep(QUIET);
    Ok(Cost { wall: median(times.into_iter()), cpu: (cpu() - before) / f64::from(count) })
}

/// Many owned rows to a transaction, against a plain insert.
pub(super) fn bulk(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let entries: Arc<[Entry]> = rows::entries(ROWS).into();
    let bare: Vec<PlainRow> = entries.iter().map(rows::bare).collect();
    let pairs = bench.sample(|bench| {
        let library = bench.library()?;
        let ((), ours) = cost(|| put(&library, &entries))?;
        library.close();
        let plain = Plain::create(&bench.fresh(), &Entry::descriptor())?;
        let ((), limit) = cost(|| plain.insert(&bare, AT_ONCE))?;
        Ok((ours, limit))
    })?;
    let each = |seconds: f64| seconds * 1e6 / 50_000.0;
    let wall: Vec<_> = pairs.iter().map(|(a, b)| (each(a.wall), each(b.wall))).collect();
    let cpu: Vec<_> = pairs.iter().map(|(a, b)| (each(a.cpu), each(b.cpu))).collect();
    Ok(vec![
        Figure::of(("bulk", "us/row"), ("an entry, 1,000 to a transaction", INSERTED), &wall),
        Figure::of(("bulk_cpu", "us/row"), ("its processor time", INSERTED), &cpu),
    ])
}

const INSERTED: &str = "the same inserts in plain SQLite";

/// Writes entries, a thousand to a transaction.
pub(super) fn put(library: &Library, entries: &Arc<[Entry]>) -> Result<(), Failure> {
    for from in (0..entries.len()).step_by(AT_ONCE) {
        let (entries, to) = (entries.clone(), entries.len().min(from + AT_ONCE));
        library.write(move |tx| {
            entries[from..to].iter().try_for_each(|entry| tx.put(entry))?;
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}
