//! Ids for many entries at a time, made where they are needed and not in a transaction.

use std::time::{SystemTime, UNIX_EPOCH};

use driftless::Uuid;
use driftless::core::id::time_ordered_id;

/// Makes v7 ids that only ever grow: rows that are written in this order go to the end of the index
/// on their ids. 62 of their bits come from a generator that the system's randomness started.
pub(super) struct Ids {
    random: blake3::OutputReader,
    last_ms: u64,
    /// Ids made within that millisecond, in the 12 bits behind the time (RFC 9562, method 1).
    count: u16,
}

const PER_MS: u16 = 1 << 12;

impl Ids {
    pub(super) fn new() -> Result<Self, driftless::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let random = blake3::Hasher::new_keyed(&seed).finalize_xof();
        Ok(Self { random, last_ms: 0, count: 0 })
    }

    pub(super) fn next(&mut self) -> Uuid {
        self.next_at(now_ms())
    }

    fn next_at(&mut self, now_ms: u64) -> Uuid {
        if now_ms > self.last_ms {
            (self.last_ms, self.count) = (now_ms, 0);
        } else if self.count == PER_MS {
            // Ahead of the clock for a moment, as it must not go back.
            (self.last_ms, self.count) = (self.last_ms + 1, 0);
        }
        let mut bytes = [0; 10];
        self.random.fill(&mut bytes[2..]);
        // The id takes the low 12 bits of the first two bytes.
        bytes[..2].copy_from_slice(&self.count.to_be_bytes());
        self.count += 1;
        time_ordered_id(self.last_ms, bytes)
    }
}

/// Unix milliseconds; a clock before 1970 counts as standing at its beginning.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_whatever_the_clock_does() {
        let mut ids = Ids::new().unwrap();
        let mut last = Uuid::nil();
        for n in 0..20_000u64 {
            let clock = if n < 10_000 { 5_000 } else { 4_000 };
            let id = ids.next_at(clock);
            assert!(id > last, "{n}: {id} after {last}");
            assert_eq!(id.get_version_num(), 7);
            last = id;
        }
        assert!(Ids::new().unwrap().next_at(5_000) != Ids::new().unwrap().next_at(5_000));
    }
}
