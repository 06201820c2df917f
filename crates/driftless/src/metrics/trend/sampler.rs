//! Measures, a while after something has happened, what happened since it measured last. Nothing is
//! measured while nothing happens.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use driftless_core::engine::Tally;
use driftless_store::{TrendSample, trend_step};

use super::super::counters::{BOUNDS, Counters, Direction, Histogram};

/// How long the finest steps are, which are in memory alone.
pub(super) const FINE_MS: u64 = 1_000;
/// How many of them there are.
pub(super) const FINE_STEPS: u64 = 300;
/// How long what was measured may wait for something to be written with.
const WRITE_AFTER: Duration = Duration::from_secs(10);
/// Bytes of messages that are more than keeping links alive.
const TALK: u64 = 4_096;

/// The numbers of histograms within a sample.
pub(super) const COMMIT: u8 = 0;
pub(super) const APPLY: u8 = 1;
pub(super) const PROPAGATION: u8 = 2;

/// Sums since the library was opened.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    committed: u64,
    applied: u64,
    sent: u64,
    received: u64,
    times: [[u64; BOUNDS.len() + 1]; 3],
}

/// How things are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) backlog: u64,
    pub(crate) lag_ms: u64,
    pub(crate) online: u64,
    pub(crate) conflicts: u64,
    pub(crate) quarantined: u64,
}

impl Gauges {
    /// Time alone changes nothing.
    fn differ(&self, other: &Self) -> bool {
        Self { lag_ms: 0, ..*self } != Self { lag_ms: 0, ..*other }
    }
}

/// What was measured lately.
#[derive(Debug)]
pub(crate) struct Sampler {
    before: Totals,
    gauges: Gauges,
    /// The finest steps, by their ends.
    fine: VecDeque<(u64, TrendSample)>,
    /// Since when it measures, Unix milliseconds.
    pub(super) began_ms: u64,
    /// When what was measured is to be written.
    pub(crate) due: Option<Instant>,
}

impl Totals {
    pub(super) fn of(counters: &Counters, tally: &Tally) -> Self {
        let bytes = |way: Direction| {
            let kinds = counters.traffic.iter().filter(|((direction, _), _)| *direction == way);
            kinds.map(|(_, traffic)| traffic.bytes).fold(0, u64::saturating_add)
        };
        let buckets = |of: &Histogram| of.buckets;
        Self {
            committed: tally.committed.total(),
            applied: tally.applied.total(),
            sent: bytes(Direction::Sent),
            received: bytes(Direction::Received),
            times: [&counters.commit, &counters.apply, &counters.propagation].map(buckets),
        }
    }

    /// What was added since.
    fn since(&self, before: &Self) -> TrendSample {
        let mut times = BTreeMap::new();
        for (histogram, (now, then)) in (0..).zip(self.times.iter().zip(&before.times)) {
            for (bucket, (now, then)) in (0..).zip(now.iter().zip(then)) {
                if now > then {
                    times.insert((histogram, bucket), now - then);
                }
            }
        }
        TrendSample {
            committed: self.committed.saturating_sub(before.committed),
            applied: self.applied.saturating_sub(before.applied),
            sent_bytes: self.sent.saturating_sub(before.sent),
            received_bytes: self.received.saturating_sub(before.received),
            times,
            ..TrendSample::default()
        }
    }
}

impl Sampler {
    pub(crate) fn new(gauges: Gauges, now_ms: u64) -> Self {
        Self {
            before: Totals::default(),
            gauges,
            fine: VecDeque::new(),
            began_ms: now_ms,
            due: None,
        }
    }

    /// What happened since the last time, and whether it is more than that links are alive.
    pub(super) fn measure(&mut self, totals: Totals, gauges: Gauges) -> (TrendSample, bool) {
        let mut sample = totals.since(&self.before);
        self.before = totals;
        let changed = std::mem::replace(&mut self.gauges, gauges).differ(&gauges);
        let talk = sample.sent_bytes.saturating_add(sample.received_bytes);
        let active = changed || sample.committed > 0 || sample.applied > 0 || talk >= TALK;
        (sample.backlog, sample.lag_ms, sample.online) =
            (gauges.backlog, gauges.lag_ms, gauges.online);
        (sample.conflicts, sample.quarantined) = (gauges.conflicts, gauges.quarantined);
        (sample, active)
    }

    /// Keeps a sample in memory.
    pub(super) fn keep(&mut self, now_ms: u64, sample: &TrendSample) {
        let at_ms = trend_step(now_ms, FINE_MS);
        // A clock that was put back begins anew.
        while self.fine.back().is_some_and(|(last, _)| *last > at_ms) {
            self.fine.pop_back();
        }
        match self.fine.back_mut() {
            Some((last, sum)) if *last == at_ms => sum.add(sample),
            _ => self.fine.push_back((at_ms, sample.clone())),
        }
        let old = at_ms.saturating_sub(FINE_MS * FINE_STEPS);
        while self.fine.front().is_some_and(|(first, _)| *first <= old) {
            self.fine.pop_front();
        }
    }

    /// It is to be written soon.
    pub(super) fn write_later(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + WRITE_AFTER);
    }

    /// The finest steps from a moment on, if that is not before the first of them.
    pub(super) fn fine(&self, since_ms: u64) -> Option<BTreeMap<u64, TrendSample>> {
        let all = self.began_ms <= since_ms;
        let steps = || self.fine.iter().filter(|(at_ms, _)| *at_ms > since_ms).cloned().collect();
        all.then(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(committed: u64, sent: u64) -> Totals {
        Totals { committed, sent, ..Totals::default() }
    }

    #[test]
    fn what_is_told_is_what_is_new_and_an_alive_link_is_no_news() {
        let mut sampler = Sampler::new(Gauges::default(), 0);
        let none = Gauges::default();
        let (first, active) = sampler.measure(totals(3, 100), none);
        assert_eq!((first.committed, first.sent_bytes, active), (3, 100, true));
        let (ping, active) = sampler.measure(totals(3, 200), none);
        assert_eq!((ping.committed, ping.sent_bytes, active), (0, 100, false));
        assert!(sampler.measure(totals(3, 200 + TALK), none).1, "it serves somebody");
        let late = Gauges { lag_ms: 5, ..none };
        assert!(!sampler.measure(totals(3, 200 + TALK), late).1, "time alone is no news");
        assert!(sampler.measure(totals(3, 200 + TALK), Gauges { online: 1, ..late }).1);
    }

    #[test]
    fn the_finest_steps_are_bounded_and_follow_the_clock() {
        let mut sampler = Sampler::new(Gauges::default(), 0);
        let one = TrendSample { committed: 1, ..TrendSample::default() };
        for ms in (0..1_000_000).step_by(250) {
            sampler.keep(ms, &one);
        }
        let found = sampler.fine(0).unwrap_or_default();
        assert_eq!(found.len(), 300);
        assert!(found.values().all(|step| step.committed == 4));
        assert_eq!(sampler.fine(998_000).map(|steps| steps.len()), Some(2));
        sampler.keep(800_500, &one);
        let found = sampler.fine(0).unwrap_or_default();
        assert_eq!(
            found.last_key_value().map(|(at, step)| (*at, step.committed)),
            Some((801_000, 5))
        );
        assert_eq!(Sampler::new(Gauges::default(), 7).fine(6), None, "it did not measure then");
    }
}
