//! How fast a replica gets on: rate and remaining time, worked out from successive phases.

use std::collections::{BTreeMap, VecDeque};

use driftless_core::engine::Phase;
use driftless_core::id::{DeviceId, Seq};
use driftless_core::message::State;

/// How often a phase is looked at while things change.
pub(crate) const LOOK_EVERY_MS: u64 = 500;
/// How far back the rate looks.
const WINDOW_MS: u64 = 15_000;
/// A rate over less than this says nothing.
const LEAST_MS: u64 = 1_000;

/// How far a replica is, and how fast it gets on. What is counted are change sets.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// use driftless::core::engine::Phase;
///
/// let standing = phone.status()?.standing;
/// assert_eq!((standing.phase, standing.total), (Phase::Ready, 0));
/// assert_eq!(standing.percent(), 100);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Standing {
    /// The phase.
    pub phase: Phase,
    /// Change sets that have come in this phase.
    pub done: u64,
    /// Change sets that come in this phase, as far as is known; none if nothing is to come.
    pub total: u64,
    /// Change sets that come in a second, lately; `None` until that can be said.
    pub per_second: Option<f64>,
    /// In how many milliseconds the rest will have come, at that rate.
    pub remaining_ms: Option<u64>,
}

impl Standing {
    /// How much of the phase is done, of a hundred; a hundred only if all of it is.
    ///
    /// ```
    /// use driftless::core::engine::Phase;
    /// use driftless::Standing;
    ///
    /// let phase = Phase::CatchingUp { behind: 1 };
    /// let nearly =
    ///     Standing { phase, done: 999, total: 1_000, per_second: None, remaining_ms: None };
    /// assert_eq!(nearly.percent(), 99);
    /// ```
    #[must_use]
    pub fn percent(&self) -> u64 {
        self.done.saturating_mul(100).checked_div(self.total).unwrap_or(100).min(100)
    }
}

/// Which phase it is, whatever its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Nothing,
    Backfilling,
    CatchingUp,
}

/// Keeps what the rate follows from.
#[derive(Debug)]
pub(crate) struct Pace {
    kind: Kind,
    /// What was here when the phase began.
    began_with: State,
    /// Lanes that have become exact since then, and at which seq: a phase counts the others only.
    finished: BTreeMap<DeviceId, Seq>,
    /// When, and how much was done then.
    samples: VecDeque<(u64, u64)>,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self::of(Kind::Nothing, State::default())
    }

    fn of(kind: Kind, began_with: State) -> Self {
        Self { kind, began_with, finished: BTreeMap::new(), samples: VecDeque::new() }
    }

    /// Takes note of the phase as it is now, and of what is here.
    pub(crate) fn note(&mut self, phase: Phase, here: &State, now_ms: u64) -> Standing {
        let kind = kind(&phase);
        if kind != self.kind {
            *self = Self::of(kind, here.clone());
        }
        let (done, total) = match phase {
            Phase::Backfilling { done, total, .. } => {
                let finished = self.finished(here);
                (done.saturating_add(finished), total.saturating_add(finished))
            }
            Phase::CatchingUp { behind } => {
                let done = sum(here).saturating_sub(sum(&self.began_with));
                (done, done.saturating_add(behind))
            }
            Phase::Uninitialized | Phase::Ready => (0, 0),
        };
        self.sample(now_ms, done);
        let per_second = self.per_second();
        let left = total.saturating_sub(done);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an estimate; a float cast saturates"
        )]
        let remaining = |rate: f64| (left as f64 * 1e3 / rate).ceil() as u64;
        let remaining_ms = per_second.filter(|rate| *rate > 0.0).map(remaining);
        Standing { phase, done, total, per_second, remaining_ms }
    }

    /// What has come of lanes that the phase does not count any more.
    fn finished(&mut self, here: &State) -> u64 {
        for (device, head) in here.owned.iter() {
            if self.began_with.owned.head(device).is_none() {
                self.finished.entry(*device).or_insert(head.seq);
            }
        }
        self.finished.values().copied().fold(0, u64::saturating_add)
    }

    fn sample(&mut self, now_ms: u64, done: u64) {
        if self.kind == Kind::Nothing {
            return;
        }
        // Less than before: what was counted is gone, and so is what was known of the rate.
        if self.samples.back().is_some_and(|(_, before)| *before > done) {
            self.samples.clear();
        }
        // Many looks within a moment are as good as one.
        let crowded = |(at, _): &(u64, u64)| now_ms.saturating_sub(*at) < LOOK_EVERY_MS / 2;
        if self.samples.len() > 1 && self.samples.get(self.samples.len() - 2).is_some_and(crowded) {
            self.samples.pop_back();
        }
        self.samples.push_back((now_ms, done));
        let old = |(at, _): &(u64, u64)| now_ms.saturating_sub(*at) > WINDOW_MS;
        while self.samples.len() > 2 && self.samples.front().is_some_and(old) {
            self.samples.pop_front();
        }
    }

    fn per_second(&self) -> Option<f64> {
        let ((from, before), (to, after)) = (self.samples.front()?, self.samples.back()?);
        let took = to.saturating_sub(*from);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let rate = (after - before) as f64 * 1e3 / took as f64;
        (took >= LEAST_MS).then_some(rate)
    }
}

fn kind(phase: &Phase) -> Kind {
    match phase {
        Phase::Uninitialized | Phase::Ready => Kind::Nothing,
        Phase::Backfilling { .. } => Kind::Backfilling,
        Phase::CatchingUp { .. } => Kind::CatchingUp,
    }
}

/// How many change sets a state has.
fn sum(state: &State) -> u64 {
    let shared = state.shared.iter().map(|(_, head)| head.seq);
    let owned = state.owned.iter().map(|(_, head)| head.seq);
    shared.chain(owned).fold(0, u64::saturating_add)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use driftless_core::clock::Hlc;
    use driftless_core::id::{Epoch, Origin};
    use driftless_core::version::{Head, Life, OwnedHead, OwnedVector, Vector};

    use super::*;

    const ONE: DeviceId = DeviceId([1; 32]);
    const TWO: DeviceId = DeviceId([2; 32]);

    fn state(shared: Seq, owned: &[(DeviceId, Seq)]) -> State {
        let mut vector = Vector::new();
        vector.set(Origin::shared(ONE, Epoch(1)), Head { seq: shared, hash: [0; 32] });
        let life = Life { mint: Hlc(1), epoch: Epoch(1) };
        let heads = owned.iter().map(|(device, seq)| (*device, OwnedHead { life, seq: *seq }));
        State { shared: vector, owned: heads.collect::<OwnedVector>() }
    }

    fn receiving(done: u64, total: u64) -> Phase {
        Phase::Backfilling { peer: ONE, done, total }
    }

    #[test]
    fn a_rate_needs_a_second_and_follows_what_happens() {
        let (mut pace, none) = (Pace::new(), state(1, &[]));
        let first = pace.note(receiving(0, 10_000), &none, 0);
        assert_eq!((first.percent(), first.per_second, first.remaining_ms), (0, None, None));
        assert_eq!(pace.note(receiving(500, 10_000), &none, 500).per_second, None);
        let later = pace.note(receiving(2_000, 10_000), &none, 1_000);
        assert_eq!((later.percent(), later.per_second), (20, Some(2_000.0)));
        assert_eq!(later.remaining_ms, Some(4_000));
        // It stalls: the rate falls, and in the end nothing can be said of the time.
        let stalled = (3..60).map(|n| pace.note(receiving(2_000, 10_000), &none, n * 500));
        let stalled = stalled.last().unwrap();
        assert_eq!((stalled.per_second, stalled.remaining_ms), (Some(0.0), None));
    }

    #[test]
    fn a_lane_that_is_finished_stays_counted() {
        let mut pace = Pace::new();
        pace.note(receiving(0, 150), &state(1, &[]), 0);
        let half = pace.note(receiving(40, 50), &state(1, &[(ONE, 100)]), 1_000);
        assert_eq!((half.done, half.total, half.percent()), (140, 150, 93));
        // It grows meanwhile, which is no part of the backfill.
        let same = pace.note(receiving(40, 50), &state(9, &[(ONE, 105)]), 1_500);
        assert_eq!((same.done, same.total), (140, 150));
        let over = pace.note(Phase::Ready, &state(9, &[(ONE, 105), (TWO, 50)]), 2_000);
        assert_eq!((over.done, over.total, over.percent(), over.per_second), (0, 0, 100, None));
        // The next time begins anew.
        let next = pace.note(receiving(0, 10), &state(9, &[(ONE, 105), (TWO, 50)]), 3_000);
        assert_eq!((next.done, next.total), (0, 10));
    }

    #[test]
    fn catching_up_counts_from_where_it_began() {
        let mut pace = Pace::new();
        let begun = pace.note(Phase::CatchingUp { behind: 30 }, &state(1_000, &[(ONE, 7)]), 0);
        assert_eq!((begun.done, begun.total, begun.percent()), (0, 30, 0));
        let later = pace.note(Phase::CatchingUp { behind: 10 }, &state(1_020, &[(ONE, 7)]), 2_000);
        assert_eq!((later.done, later.total, later.per_second), (20, 30, Some(10.0)));
        assert_eq!(later.remaining_ms, Some(1_000));
    }

    #[test]
    fn many_looks_keep_few_samples() {
        let mut pace = Pace::new();
        for ms in 0..100_000 {
            pace.note(receiving(ms, 1_000_000), &state(0, &[]), ms);
        }
        assert!(pace.samples.len() < 100, "{}", pace.samples.len());
        let rate = pace.per_second().unwrap();
        assert!((999.0..1_001.0).contains(&rate), "{rate}");
    }
}
