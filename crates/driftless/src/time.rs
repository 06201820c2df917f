//! The clocks of a process.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use driftless_core::engine::Now;

/// Seconds by which `DRIFTLESS_CLOCK_OFFSET` shifts this process's wall clock, for tests.
fn offset_ms() -> i64 {
    static OFFSET: OnceLock<i64> = OnceLock::new();
    *OFFSET.get_or_init(|| {
        let text = std::env::var("DRIFTLESS_CLOCK_OFFSET").unwrap_or_default();
        let seconds: f64 = if text.is_empty() { 0.0 } else { text.parse().unwrap_or(0.0) };
        // Saturates, which is what a shift beyond the range should do.
        #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
        let ms = (seconds * 1000.0) as i64;
        ms
    })
}

/// Both clocks.
pub(crate) fn now() -> Now {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    let steady_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Now { wall_ms: wall_ms(), steady_ms }
}

/// The wall clock: Unix milliseconds.
pub(crate) fn wall_ms() -> u64 {
    // Before 1970 the clock counts as standing at its beginning.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_add_signed(offset_ms())
}
