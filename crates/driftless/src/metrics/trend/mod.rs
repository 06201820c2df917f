//! The trend: what the metrics were, in steps of time, over restarts. `docs/http.md` tells how long
//! what is kept.

mod sampler;

use std::collections::BTreeMap;
use std::time::Duration;

use driftless_store::{Past, StoreError, TREND_STEPS, TrendSample};

use sampler::{APPLY, COMMIT, FINE_MS, FINE_STEPS, PROPAGATION, Totals};
pub(crate) use sampler::{Gauges, Sampler};

use super::counters::BOUNDS;
use crate::error::Error;
use crate::library::Library;
use crate::status::sizes;
use crate::time;
use crate::writer::Writer;

/// What the metrics were. Made by [`Library::trend`].
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use std::time::Duration;
///
/// let day: driftless::Trend = library.trend(Duration::from_secs(24 * 3_600))?;
/// assert_eq!(day.step_ms, 60_000);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trend {
    /// How long each step is, in milliseconds.
    pub step_ms: u64,
    /// The steps, the first first. A step in which nothing happened, or in which the library was not
    /// open, is missing.
    pub points: Vec<TrendPoint>,
}

/// A step of the trend: what happened in it, and how things were.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// use std::time::Duration;
///
/// let trend = phone.trend(Duration::from_secs(60))?;
/// let received: u64 = trend.points.iter().map(|point| point.received_bytes).sum();
/// println!("{received} bytes came in the last minute");
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrendPoint {
    /// The end of the step, Unix milliseconds by this device's clock.
    pub at_ms: u64,
    /// Changes that this device wrote in the step.
    pub committed: u64,
    /// Changes of others that were applied; of rows that a device owns, the pages that they came in.
    pub applied: u64,
    /// Bytes of messages to other devices.
    pub sent_bytes: u64,
    /// Bytes of messages from other devices.
    pub received_bytes: u64,
    /// The median of how long a local write took until it was durable, in microseconds, as near as the
    /// buckets of `driftless_commit_seconds` tell; `None` if there was none.
    pub commit_us: Option<u64>,
    /// The same of what came from others.
    pub apply_us: Option<u64>,
    /// The median age of what came when it was visible here, likewise.
    pub propagation_us: Option<u64>,
    /// Change sets that are here and that the member who lacks most of them had not acknowledged, at
    /// most.
    pub backlog: u64,
    /// For how long a member had lacked something, in milliseconds, at most; since the library was
    /// opened.
    pub lag_ms: u64,
    /// Members that were connected at the end.
    pub online: u32,
    /// Open conflicts at the end.
    pub conflicts: u64,
    /// What waited in quarantine at the end.
    pub quarantined: u64,
    /// Bytes of `library.db` with its write-ahead log at the end.
    pub library_bytes: u64,
    /// Bytes of `sync.db` with its write-ahead log at the end.
    pub sync_bytes: u64,
}

impl TrendPoint {
    fn of(at_ms: u64, sample: &TrendSample) -> Self {
        Self {
            at_ms,
            committed: sample.committed,
            applied: sample.applied,
            sent_bytes: sample.sent_bytes,
            received_bytes: sample.received_bytes,
            commit_us: median_us(&sample.times, COMMIT),
            apply_us: median_us(&sample.times, APPLY),
            propagation_us: median_us(&sample.times, PROPAGATION),
            backlog: sample.backlog,
            lag_ms: sample.lag_ms,
            online: u32::try_from(sample.online).unwrap_or(u32::MAX),
            conflicts: sample.conflicts,
            quarantined: sample.quarantined,
            library_bytes: sample.library_bytes,
            sync_bytes: sample.sync_bytes,
        }
    }
}

/// The median by the buckets of a histogram, as if what is in one were spread evenly over it. What is
/// beyond the last bound counts as the bound.
fn median_us(times: &BTreeMap<(u8, u8), u64>, histogram: u8) -> Option<u64> {
    let buckets = || times.range((histogram, 0)..=(histogram, u8::MAX));
    let all = buckets().map(|(_, count)| *count).fold(0, u64::saturating_add);
    let mut before = 0;
    for ((_, bucket), count) in buckets() {
        if all.saturating_sub(before).saturating_sub(*count) > all / 2 {
            before += count;
            continue;
        }
        let bucket = usize::from(*bucket);
        let low = bucket.checked_sub(1).and_then(|below| BOUNDS.get(below)).copied().unwrap_or(0.0);
        let high = BOUNDS.get(bucket).copied().unwrap_or(low);
        #[expect(clippy::cast_precision_loss, reason = "a part of a bucket")]
        let part = (all as f64 / 2.0 - before as f64).max(0.0) / *count as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates"
        )]
        return Some(((low + (high - low) * part.min(1.0)) * 1e6).round() as u64);
    }
    None
}

/// Where the steps of a trend are, and how long they are.
enum Place {
    Memory(BTreeMap<u64, TrendSample>),
    File(Box<Past>, u64),
}

impl Library {
    /// What the metrics were, from so long ago until now: in the finest steps that go back so far. Those
    /// of a second go back five minutes and not beyond the opening of the library; those of ten
    /// seconds an hour, of a minute a day, of a quarter of an hour 30 days, over restarts. What
    /// happened in the last ten seconds before a crash may be missing.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use std::time::Duration;
    ///
    /// let trend = library.trend(Duration::from_secs(3_600))?;
    /// for point in &trend.points {
    ///     println!("{} changes in the step that ended at {}", point.committed, point.at_ms);
    /// }
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn trend(&self, since: Duration) -> Result<Trend, Error> {
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let since_ms = time::wall_ms().saturating_sub(since);
        let place = self.call(move |writer| -> Result<Place, StoreError> {
            if since <= FINE_MS * FINE_STEPS
                && let Some(fine) = writer.trend.fine(since_ms)
            {
                return Ok(Place::Memory(fine));
            }
            let enough = |(step_ms, most): &&(u64, u64)| step_ms.saturating_mul(*most) >= since;
            let (step_ms, _) = TREND_STEPS.iter().find(enough).unwrap_or(&TREND_STEPS[2]);
            Ok(Place::File(Box::new(writer.store.past()?), *step_ms))
        })??;
        let (step_ms, samples) = match place {
            Place::Memory(samples) => (FINE_MS, samples),
            Place::File(past, step_ms) => (step_ms, past.trend(step_ms, since_ms)?),
        };
        let points = samples.iter().map(|(at_ms, sample)| TrendPoint::of(*at_ms, sample)).collect();
        Ok(Trend { step_ms, points })
    }
}

impl Writer {
    /// Measures what happened since the last time.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    pub(crate) fn sample_trend(&mut self, gauges: Gauges) {
        let totals = Totals::of(&self.counters, self.engine.tally());
        let (mut sample, active) = self.trend.measure(totals, gauges);
        match sizes(self.store.dir()) {
            Ok(sizes) => {
                let of = |file: &str| {
                    let parts = sizes.iter().filter(|(name, _)| name.starts_with(file));
                    parts.map(|(_, bytes)| bytes).sum()
                };
                (sample.library_bytes, sample.sync_bytes) = (of("library.db"), of("sync.db"));
            }
            Err(error) => tracing::warn!(%error, "the trend does not tell how large the files are"),
        }
        let now_ms = time::wall_ms();
        self.trend.keep(now_ms, &sample);
        if active {
            self.store.note_trend(now_ms, &sample);
            self.trend.write_later();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_as_near_as_the_buckets_tell() {
        let median = |buckets: &[(u8, u64)]| {
            median_us(&buckets.iter().map(|(bucket, count)| ((1, *bucket), *count)).collect(), 1)
        };
        assert_eq!(median(&[]), None);
        // From 0.5 to 1 ms, all of them.
        assert_eq!(median(&[(2, 10)]), Some(750));
        assert_eq!(median(&[(0, 1), (2, 100), (9, 1)]), Some(750));
        assert_eq!(median(&[(0, 10), (9, 1)]), Some(55));
        assert_eq!(median(&[(0, 1), (9, 10)]), Some(167_500));
        assert_eq!(median(&[(16, 3)]), Some(3_600_000_000), "beyond the last bound");
        assert_eq!(median(&[(0, 5), (1, 5)]), Some(100), "between the two");
        let others = BTreeMap::from([((0, 2), 5), ((2, 2), 5)]);
        assert_eq!(median_us(&others, 1), None);
    }
}
