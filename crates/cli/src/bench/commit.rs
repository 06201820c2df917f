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
/// Commits of either kind before the other has its turn: what the disk and the other tenants of the machine
/// do for a while falls on both.
const TURN: usize = 20;
/// Rows in a measurement, and in a transaction.
const ROWS: usize = 50_000;
pub(super) const AT_ONCE: usize = 1_000;
/// The library writes its peer log when it has been quiet for a moment. That is work of its commits, and
/// none of what it is compared with.
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
        let (mut ours, mut limit) = (Times::default(), Times::default());
        for tags in tags.chunks(TURN) {
            let bare: Vec<PlainRow> = tags.iter().map(rows::bare).collect();
            let tags = tags.to_vec();
            ours.each(tags, |tag| Ok(library.write(move |tx| tx.insert(&tag))?))?;
            limit.each(bare, |row| plain.insert(&[row], 1))?;
        }
        let (ours, limit) = (ours.of_one(), limit.of_one());
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

/// What was done one after the other.
#[derive(Default)]
struct Times {
    wall: Vec<f64>,
    cpu: f64,
}

impl Times {
    /// Does something with each, and what is done right after the last.
    fn each<T>(
        &mut self,
        items: Vec<T>,
        mut one: impl FnMut(T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let before = cpu();
        for item in items {
            let begun = Instant::now();
            one(item)?;
            self.wall.push(begun.elapsed().as_secs_f64());
        }
        std::thread::sleep(QUIET);
        self.cpu += cpu() - before;
        Ok(())
    }

    /// The median time of one, and the mean processor time.
    fn of_one(self) -> Cost {
        let count = u32::try_from(self.wall.len()).unwrap_or(u32::MAX);
        Cost { cpu: self.cpu / f64::from(count), wall: median(self.wall.into_iter()) }
    }
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
