//! Ids that only ever grow.

use uuid::Uuid;

use crate::id::time_ordered_id;

/// Makes v7 ids of which each is greater than the one before, whatever the clock does: what was made
/// first is first in the order of ids, and rows that are written in this order go to the end of the
/// index on them. 62 bits of each are random.
///
/// Within a millisecond a counter grows in the 12 bits behind the time (RFC 9562, section 6.2,
/// method 1). That holds for one source: one made anew, or on another device, knows nothing of it.
pub struct IdSource {
    random: blake3::OutputReader,
    last_ms: u64,
    /// Ids made within that millisecond.
    count: u16,
}

const PER_MS: u16 = 1 << 12;

impl IdSource {
    /// `seed` is fresh randomness: whoever knows it knows the ids.
    pub fn new(seed: &[u8; 32]) -> Self {
        let random = blake3::Hasher::new_keyed(seed).finalize_xof();
        Self { random, last_ms: 0, count: 0 }
    }

    /// The next id. `now_ms` is Unix time in milliseconds; where the clock goes back, or 4,096 ids
    /// have been made within its millisecond, the id is of a time ahead of it.
    pub fn next(&mut self, now_ms: u64) -> Uuid {
        if now_ms > self.last_ms {
            (self.last_ms, self.count) = (now_ms, 0);
        } else if self.count == PER_MS {
            (self.last_ms, self.count) = (self.last_ms.saturating_add(1), 0);
        }
        let mut bytes = [0; 10];
        self.random.fill(&mut bytes[2..]);
        // The id takes the low 12 bits of the first two bytes.
        bytes[..2].copy_from_slice(&self.count.to_be_bytes());
        self.count += 1;
        time_ordered_id(self.last_ms, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_whatever_the_clock_does() {
        let mut ids = IdSource::new(&[7; 32]);
        let mut last = Uuid::nil();
        for n in 0..20_000u64 {
            let clock = if n < 10_000 { 5_000 } else { 4_000 };
            let id = ids.next(clock);
            assert!(id > last, "{n}: {id} after {last}");
            assert_eq!(id.get_version_num(), 7);
            last = id;
        }
        assert_ne!(IdSource::new(&[7; 32]).next(5_000), IdSource::new(&[8; 32]).next(5_000));
    }
}
