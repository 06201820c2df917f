//! The hybrid logical clock.
//!
//! Kulkarni, Demirbas, Madappa, Avva, Leone: *Logical Physical Clocks and Consistent Snapshots in
//! Globally Distributed Databases* (2014), with one change: a remote time that is ahead of the wall
//! clock by more than [`Clock::max_drift_ms`] is not absorbed. Dots prove what overwrote what, so
//! nothing depends on absorbing it; a device whose clock is a year ahead stays alone with that.

use std::fmt;

/// A hybrid logical time: 48 bits of Unix milliseconds, 16 bits of counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first time within the millisecond `ms` (Unix time); saturates at the end of 48 bits.
    pub fn from_ms(ms: u64) -> Self {
        Hlc(ms.min((1 << 48) - 1) << 16)
    }

    /// Unix time in milliseconds.
    pub fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// The counter within the millisecond.
    pub fn counter(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ms(), self.counter())
    }
}

/// The clock is at the end of its range (the year 10889): nothing more can be stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the hybrid clock has reached the end of its range")]
pub struct ClockExhausted;

/// The clock of one device. Never runs backwards; the store keeps [`Clock::last`] over restarts.
#[derive(Debug, Clone)]
pub struct Clock {
    last: Hlc,
    max_drift_ms: u64,
}

impl Clock {
    /// A clock that goes on after `last` and absorbs remote times up to `max_drift_ms` ahead.
    pub fn new(last: Hlc, max_drift_ms: u64) -> Self {
        Self { last, max_drift_ms }
    }

    /// The latest time given out or absorbed.
    pub fn last(&self) -> Hlc {
        self.last
    }

    /// How far ahead of the wall clock a remote time may be to be absorbed, in milliseconds.
    pub fn max_drift_ms(&self) -> u64 {
        self.max_drift_ms
    }

    /// A new time, greater than all before; `now_ms` is the wall clock.
    pub fn tick(&mut self, now_ms: u64) -> Result<Hlc, ClockExhausted> {
        let next = Hlc(self.last.0.checked_add(1).ok_or(ClockExhausted)?);
        self.last = next.max(Hlc::from_ms(now_ms));
        Ok(self.last)
    }

    /// Learns a remote time. Returns whether it was absorbed; if not, it was too far ahead and the
    /// clock is as it was.
    pub fn absorb(&mut self, remote: Hlc, now_ms: u64) -> bool {
        if remote.ms() > now_ms.saturating_add(self.max_drift_ms) {
            return false;
        }
        self.last = self.last.max(remote);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_backwards() {
        let mut clock = Clock::new(Hlc::default(), 60_000);
        let a = clock.tick(1_000).unwrap();
        let b = clock.tick(500).unwrap();
        assert!(b > a);
        let mut restarted = Clock::new(clock.last(), 60_000);
        assert!(restarted.tick(0).unwrap() > b);
    }

    #[test]
    fn a_clock_far_ahead_is_not_absorbed() {
        let mut clock = Clock::new(Hlc::default(), 60_000);
        assert!(!clock.absorb(Hlc::from_ms(70_000), 1_000));
        assert_eq!(clock.last(), Hlc::default());
        assert!(clock.absorb(Hlc::from_ms(61_000), 1_000));
        assert!(clock.tick(1_000).unwrap() > Hlc::from_ms(61_000));
    }

    #[test]
    fn the_end_of_time_is_an_error() {
        assert_eq!(Clock::new(Hlc(u64::MAX), 0).tick(0), Err(ClockExhausted));
    }
}
