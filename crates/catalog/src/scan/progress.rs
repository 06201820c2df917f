//! How far a scan is, how fast it goes and how long it may still take.
//!
//! It reads no clock: whoever calls says what time it is, in milliseconds of any clock that does
//! not run backwards.

use std::collections::VecDeque;
use std::time::Duration;

use super::meta::Kind;

/// The rate is that of about the last ten seconds: long enough to be steady, short enough to
/// notice that a scan went from a cached to a cold part of the disk.
const SAMPLES: usize = 40;
const BETWEEN_SAMPLES: u64 = 250;

/// How much there is to do in all, as far as it is known: from the scan before, say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Total {
    /// So many entries.
    Entries(u64),
    /// So many bytes.
    Bytes(u64),
}

/// Counts of what was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Links.
    pub links: u64,
    /// FIFOs, sockets and devices.
    pub others: u64,
    /// Bytes: of the files found, or of those read, as the caller counts.
    pub bytes: u64,
    /// Problems that are no mere notes.
    pub problems: u64,
    /// When it began, by the caller's clock.
    pub started_ms: u64,
    samples: VecDeque<Sample>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    at_ms: u64,
    entries: u64,
    bytes: u64,
}

impl Progress {
    /// Nothing done yet.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        let mut samples = VecDeque::with_capacity(SAMPLES);
        samples.push_back(Sample { at_ms: now_ms, entries: 0, bytes: 0 });
        Self {
            files: 0,
            dirs: 0,
            links: 0,
            others: 0,
            bytes: 0,
            problems: 0,
            started_ms: now_ms,
            samples,
        }
    }

    /// Counts an entry. Only the sizes of files count: those of directories mean nothing.
    pub fn found(&mut self, kind: Kind, size: u64) {
        match kind {
            Kind::File => {
                self.files += 1;
                self.bytes = self.bytes.saturating_add(size);
            }
            Kind::Dir => self.dirs += 1,
            Kind::Link => self.links += 1,
            Kind::Other => self.others += 1,
        }
    }

    /// All entries counted.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.files + self.dirs + self.links + self.others
    }

    /// Remembers how far it is at this time. Call it as often as is handy; what comes sooner
    /// than a quarter of a second after the last is ignored.
    pub fn tick(&mut self, now_ms: u64) {
        let due = self.samples.back().map(|last| last.at_ms.saturating_add(BETWEEN_SAMPLES));
        if due.is_some_and(|due| now_ms < due) {
            return;
        }
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        let (entries, bytes) = (self.entries(), self.bytes);
        self.samples.push_back(Sample { at_ms: now_ms, entries, bytes });
    }

    /// How long it has run.
    #[must_use]
    pub fn elapsed(&self, now_ms: u64) -> Duration {
        Duration::from_millis(now_ms.saturating_sub(self.started_ms))
    }

    /// Entries a second of late; `None` while there is too little to tell.
    #[must_use]
    pub fn entries_per_second(&self, now_ms: u64) -> Option<f64> {
        self.rate(now_ms, self.entries(), |sample| sample.entries)
    }

    /// Bytes a second of late; `None` while there is too little to tell.
    #[must_use]
    pub fn bytes_per_second(&self, now_ms: u64) -> Option<f64> {
        self.rate(now_ms, self.bytes, |sample| sample.bytes)
    }

    /// How much of the total is done, from 0 to 1. There can be more than was expected.
    #[must_use]
    pub fn fraction(&self, total: Total) -> f64 {
        let (done, total) = self.against(total);
        if done >= total { 1.0 } else { float(done) / float(total) }
    }

    /// How long it may still take at the rate of late; `None` while there is no telling.
    #[must_use]
    pub fn remaining(&self, now_ms: u64, total: Total) -> Option<Duration> {
        let rate = match total {
            Total::Entries(_) => self.entries_per_second(now_ms)?,
            Total::Bytes(_) => self.bytes_per_second(now_ms)?,
        };
        let (done, total) = self.against(total);
        let left = total.saturating_sub(done);
        if left == 0 {
            return Some(Duration::ZERO);
        }
        // At a standstill this is infinite, which no duration holds.
        Duration::try_from_secs_f64(float(left) / rate).ok()
    }

    fn against(&self, total: Total) -> (u64, u64) {
        match total {
            Total::Entries(total) => (self.entries(), total),
            Total::Bytes(total) => (self.bytes, total),
        }
    }

    fn rate(&self, now_ms: u64, count: u64, of: impl Fn(&Sample) -> u64) -> Option<f64> {
        let first = self.samples.front()?;
        let millis = now_ms.checked_sub(first.at_ms).filter(|millis| *millis >= BETWEEN_SAMPLES)?;
        Some(float(count.saturating_sub(of(first))) * 1000.0 / float(millis))
    }
}

/// Beyond 2^53 it loses digits that no rate needs.
#[allow(clippy::cast_precision_loss)]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_kind() {
        let mut progress = Progress::new(5);
        for kind in [Kind::File, Kind::File, Kind::Dir, Kind::Link, Kind::Other] {
            progress.found(kind, 100);
        }
        assert_eq!((progress.files, progress.dirs, progress.links, progress.others), (2, 1, 1, 1));
        assert_eq!((progress.entries(), progress.bytes), (5, 200));
        assert_eq!(progress.elapsed(1005), Duration::from_secs(1));
        assert_eq!(progress.elapsed(0), Duration::ZERO, "a clock that ran backwards");
    }

    #[test]
    fn nothing_is_estimated_from_nothing() {
        let mut progress = Progress::new(1000);
        progress.found(Kind::File, 1);
        assert_eq!(progress.entries_per_second(1000), None);
        assert_eq!(progress.entries_per_second(1249), None);
        assert_eq!(progress.remaining(1100, Total::Entries(100)), None);
        assert_eq!(progress.entries_per_second(2000), Some(1.0));
    }

    #[test]
    fn the_rest_is_estimated_at_the_rate_of_late() {
        let mut progress = Progress::new(0);
        let mut now = 0;
        // A minute at ten a second, then a minute at a hundred a second.
        for each in [1, 10] {
            for _ in 0..600 {
                now += 100;
                (0..each).for_each(|_| progress.found(Kind::File, 1000));
                progress.tick(now);
            }
        }
        assert_eq!(progress.entries(), 6600);
        assert_eq!(progress.entries_per_second(now), Some(100.0));
        assert_eq!(progress.bytes_per_second(now), Some(100_000.0));
        let left = progress.remaining(now, Total::Entries(7600));
        assert_eq!(left, Some(Duration::from_secs(10)));
        let left = progress.remaining(now, Total::Bytes(6_700_000));
        assert_eq!(left, Some(Duration::from_secs(1)));
        assert_eq!(progress.fraction(Total::Entries(13_200)), 0.5);
    }

    #[test]
    fn more_than_expected_and_standstill() {
        let mut progress = Progress::new(0);
        progress.found(Kind::Dir, 0);
        assert_eq!(progress.fraction(Total::Entries(0)), 1.0);
        assert_eq!(progress.remaining(1000, Total::Entries(1)), Some(Duration::ZERO));
        assert_eq!(progress.bytes_per_second(1000), Some(0.0));
        assert_eq!(progress.remaining(1000, Total::Bytes(10)), None);
        assert_eq!(progress.samples.len(), 1);
        (0..1000).for_each(|n| progress.tick(n * 1000));
        assert_eq!(progress.samples.len(), SAMPLES, "bounded however long it takes");
    }
}
