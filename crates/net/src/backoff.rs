//! How long to wait before the next attempt to connect.

use std::time::Duration;

use driftless_core::id::DeviceId;

const FIRST: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(15);

/// Doubling waits with jitter, for ever.
#[derive(Debug)]
pub(crate) struct Backoff {
    failures: u32,
    random: u64,
}

impl Backoff {
    /// Waits for `peer`, different for each of its peers and for each seed.
    pub(crate) fn new(seed: u64, peer: &DeviceId) -> Self {
        let mut head = [0; 8];
        head.copy_from_slice(&peer.0[..8]);
        Self { failures: 0, random: seed ^ u64::from_le_bytes(head) }
    }

    /// All is well, or something new is known: begin anew.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// An attempt failed, or what it brought did not last.
    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The wait before the next attempt: between one half and the whole of 100 ms, doubled for
    /// each failure, up to 15 s.
    pub(crate) fn delay(&mut self) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16));
        let whole = doubled.min(CAP);
        whole / 2 + (whole / 2).mul_f64(self.fraction())
    }

    /// A number in `[0, 1)`: SplitMix64 (Steele, Lea, Flood 2014).
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (z >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let mut backoff = Backoff::new(1, &DeviceId([3; 32]));
        let mut whole = FIRST;
        for _ in 0..50 {
            let delay = backoff.delay();
            assert!(delay >= whole / 2 && delay <= whole, "{delay:?} of {whole:?}");
            backoff.failed();
            whole = (whole * 2).min(CAP);
        }
        backoff.reset();
        assert!(backoff.delay() <= FIRST);
    }

    #[test]
    fn a_peer_that_is_away_for_hours_is_tried_all_along_and_seldom() {
        const AWAY: Duration = Duration::from_secs(8 * 3_600);
        let mut backoff = Backoff::new(7, &DeviceId([3; 32]));
        let (mut time, mut attempts) = (Duration::ZERO, 0);
        while time < AWAY {
            let delay = backoff.delay();
            assert!(delay <= CAP, "{delay:?} at {time:?}: it may be back already");
            time += delay;
            attempts += 1;
            backoff.failed();
        }
        let most = AWAY.div_duration_f64(CAP / 2) + 16.0;
        assert!(f64::from(attempts) <= most, "{attempts} attempts");
    }

    #[test]
    fn seeds_and_peers_differ() {
        let delays = |seed, peer| {
            let mut backoff = Backoff::new(seed, &DeviceId([peer; 32]));
            [backoff.delay(), backoff.delay()]
        };
        assert_eq!(delays(1, 1), delays(1, 1));
        assert_ne!(delays(1, 1), delays(2, 1));
        assert_ne!(delays(1, 1), delays(1, 2));
    }
}
