//! How large a history becomes under very many edits.

use std::time::Instant;

use driftless::{Error, Library, Setting};
use driftless_catalog::{Tag, models};

use super::figure::Figure;
use super::place::Bench;
use super::rows;
use super::size::{mib, size};
use crate::failure::Failure;

/// Edits, and of them in one change set.
const EDITS: usize = 1_000_000;
const QUICK_EDITS: usize = 50_000;
const AT_ONCE: usize = 100;
/// Tags that are edited in turn.
const TAGS: usize = 1_000;
/// Edits after which everybody has them, so that nothing but the history keeps them.
const KNOWN_EVERY: usize = 10_000;
/// The bounds that are measured, in MiB, with the names of their figures.
const BOUNDS: [(u32, &str, &str); 3] = [
    (4, "history_4_peak", "history_4_edit"),
    (16, "history_16_peak", "history_16_edit"),
    (64, "history_64_peak", "history_64_edit"),
];

/// What came of a library that was edited.
struct Edited {
    /// The largest `sync.db` with its write-ahead log, in MiB.
    peak: f64,
    /// How long an edit took, in microseconds.
    edit: f64,
}

/// A million edits, with several bounds.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let edits = if bench.is_quick() { QUICK_EDITS } else { EDITS };
    let mut figures = Vec::new();
    let mut fastest = None;
    for (bound, peak, edit) in BOUNDS {
        let edited = grow(bench, edits, bound)?;
        let limit = *fastest.get_or_insert(edited.edit);
        let words = ("sync.db at its largest, under a million edits", "the bound, history_mib");
        figures.push(Figure::of((peak, "MiB"), words, &[(edited.peak, f64::from(bound))]));
        let words = ("an edit, 100 to a change set", "with the smallest bound");
        figures.push(Figure::of((edit, "us"), words, &[(edited.edit, limit)]));
    }
    Ok(figures)
}

fn grow(bench: &mut Bench, edits: usize, bound: u32) -> Result<Edited, Failure> {
    let dir = bench.fresh();
    let library = Library::create(&dir, &models(), "bench", "here")?;
    library.set_setting(Setting::HistoryMib, &bound.to_string())?;
    library.close();
    // A library that is open looks at it once an hour.
    let library = Library::open(&dir, &models())?;
    let tags: Vec<Tag> = (0..TAGS).map(|n| rows::tag(rows::id(n), format!("tag {n}"))).collect();
    library.write(move |tx| tags.iter().try_for_each(|tag| tx.insert(tag)))?;
    let mut peak = 0.0f64;
    let (begun, mut looking) = (Instant::now(), 0.0);
    for from in (0..edits).step_by(AT_ONCE) {
        library.write(move |tx| {
            (from..from + AT_ONCE).try_for_each(|n| {
                let text = format!("what is said of it for the {n}th time");
                tx.update(rows::id(n % TAGS), |tag: &mut Tag| tag.description = Some(text))?;
                Ok::<_, Error>(())
            })
        })?;
        if (from + AT_ONCE).is_multiple_of(KNOWN_EVERY) {
            let paused = Instant::now();
            let now = mib(size(&dir, "sync.db")? + size(&dir, "sync.db-wal")?);
            peak = peak.max(now);
            library.prune()?;
            bench.tell(&format!("{bound} MiB, {} edits: {now:.1} MiB", from + AT_ONCE))?;
            looking += paused.elapsed().as_secs_f64();
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let edit = (begun.elapsed().as_secs_f64() - looking) * 1e6 / edits as f64;
    library.close();
    Ok(Edited { peak, edit })
}
