//! Signs of life. The side of a link that dialled gives them, for all its links at one moment, and
//! all devices at the same ones: multiples of [`EVERY`] by the time of day. So a device with many
//! peers wakes up once, not once for each, and what it hears from others comes together too.
//!
//! A sign is a datagram, which the transport of the other side acknowledges; nobody reads it. What
//! keeps a link alive where this does not, as for a path in reserve, is the transport's own timer
//! ([`crate::endpoint`]), which any packet puts off.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

/// How often a device that has dialled says that it is there. Whoever was dialled only answers, and
/// hears from the silence that the other is gone: where both sides had such a clock, they asked each
/// other at the same moment, twice as often as is of use.
pub(crate) const EVERY: Duration = Duration::from_millis(1_500);

/// What the transport keeps of signs that nobody reads: the last one, with what it adds to it.
pub(crate) const BUFFER: usize = 64;

/// What is said.
pub(crate) const SIGN: Bytes = Bytes::from_static(&[0]);

/// How long it is from `now` to the next sign, at most [`EVERY`]. A clock that is wrong, or set, makes
/// one pause shorter and none longer.
pub(crate) fn pause(now: SystemTime) -> Duration {
    let period = EVERY.as_nanos();
    // Before 1970 the pauses are as long; only the moments are not those of other devices.
    let since = match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since,
        Err(before) => before.duration(),
    };
    let gone = u64::try_from(since.as_nanos() % period).expect("less than the period");
    EVERY - Duration::from_nanos(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_devices_mean_the_same_moment_and_no_pause_is_too_long() {
        let at = |ms: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        assert_eq!(pause(at(0)), EVERY);
        assert_eq!(pause(at(3_000_001)), Duration::from_millis(1_499));
        assert_eq!(pause(at(1_499)), Duration::from_millis(1));
        let begin = 1_800_000_000_123;
        for ms in begin..begin + 3_000 {
            let next = at(ms) + pause(at(ms));
            assert_eq!(pause(next), EVERY, "a moment for all");
            assert!(pause(at(ms)) <= EVERY);
        }
        assert!(pause(SystemTime::UNIX_EPOCH - Duration::from_millis(700)) <= EVERY);
    }
}
