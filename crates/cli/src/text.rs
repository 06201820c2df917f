//! Numbers and times for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::failure::Failure;

/// RFC 3339 in UTC with milliseconds; beyond the year 9999 the number itself.
pub(crate) fn time(unix_ms: u64) -> String {
    let timestamp =
        i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(|| unix_ms.to_string(), |timestamp| format!("{timestamp:.3}"))
}

/// The same for times that may be before 1970.
pub(crate) fn signed_time(unix_ms: i64) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(unix_ms);
    timestamp.map_or_else(|_| unix_ms.to_string(), |timestamp| format!("{timestamp:.3}"))
}

/// Unix milliseconds now, by the clock that the library goes by.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let shift = std::env::var("DRIFTLESS_CLOCK_OFFSET").ok();
    let seconds = shift.and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
    let shift = (seconds * 1e3) as i64;
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).saturating_add_signed(shift)
}

/// A time from a person, in Unix milliseconds: a day, RFC 3339, or how long ago.
pub(crate) fn parse_time(text: &str) -> Result<u64, Failure> {
    let ago = driftless::milliseconds(text).map(|ago| now_ms().saturating_sub(ago));
    let exact = || text.parse::<jiff::Timestamp>().ok();
    let day = || {
        let day = text.parse::<jiff::civil::Date>().ok()?;
        Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    };
    let at = || exact().or_else(day).and_then(|at| u64::try_from(at.as_millisecond()).ok());
    ago.or_else(at).ok_or_else(|| {
        Failure::usage(format!("{text:?} is no time"))
            .next("say it as 2026-01-31, 2026-01-31T12:00:00Z, or 90m, 12h, 7d for so long ago")
    })
}

/// How long ago something was, roughly.
pub(crate) fn ago(then_ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(then_ms) / 1_000;
    match seconds {
        0..5 => "just now".to_owned(),
        5..90 => format!("{seconds} s ago"),
        90..5_400 => format!("{} min ago", (seconds + 30) / 60),
        5_400..129_600 => format!("{} h ago", (seconds + 1_800) / 3_600),
        _ => format!("{} days ago", (seconds + 43_200) / 86_400),
    }
}

/// How long something takes, roughly.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..10 => format!("{:.1} s", time.as_secs_f64()),
        10..90 => format!("{seconds} s"),
        90..5_400 => format!("{} min", (seconds + 30) / 60),
        5_400..129_600 => format!("{:.1} h", time.as_secs_f64() / 3_600.0),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

/// A number of bytes in units that fit.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1_000 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = count as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    let digits = if value < 9.95 { 1 } else { 0 };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A number with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// "1 change", "2 changes".
pub(crate) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A text from elsewhere, with nothing in it that could drive a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(1_750_000_000_123), "2025-06-15T15:06:40.123Z");
        assert_eq!(time(u64::MAX), u64::MAX.to_string());
        assert_eq!(signed_time(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(ago(0, 4_000), "just now");
        assert_eq!(ago(0, 7_200_000), "2 h ago");
        assert_eq!(ago(5_000, 0), "just now");
        assert_eq!(ago(0, 86_400_000 * 3), "3 days ago");
        assert_eq!(duration(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(129_600)), "2 days");
    }

    #[test]
    fn numbers() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (9_960, "10 kB"),
            (999_499, "999 kB"),
            (999_600, "1.0 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(100), "100");
        assert_eq!(plural(1, "change", "changes"), "1 change");
        assert_eq!(plain("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
    }
}
