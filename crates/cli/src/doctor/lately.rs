//! What the event log has of late that somebody should know, and that no other check tells.

use driftless::{EventFilter, EventKind, Library, SyncEvent};

use super::{Report, Words, words};
use crate::answer::Severity;
use crate::text::{ago, plain, plural};

/// How far it is looked back, in milliseconds.
const DAY_MS: u64 = 24 * 3_600_000;
/// Events that are looked at.
const MOST: usize = 1_000;

/// Looks at the events of the last day.
pub(super) fn check(library: &Library, now_ms: u64, report: &mut Report) {
    let filter = EventFilter {
        kinds: vec![EventKind::TicketRefused, EventKind::MessageRefused, EventKind::LinkRefused],
        since_ms: Some(now_ms.saturating_sub(DAY_MS)),
        ..EventFilter::default()
    };
    let events = match library.events(&filter, MOST) {
        Ok(events) => events,
        Err(error) => return report.unable("refused", error.into()),
    };
    for kind in filter.kinds {
        let of: Vec<&SyncEvent> = events.iter().filter(|event| event.kind == kind).collect();
        if let Some(last) = of.iter().max_by_key(|event| event.last_ms) {
            let times = of.iter().map(|event| event.times).sum();
            report.find("refused", Severity::Note, refused(last, times, now_ms));
        }
    }
    if !report.has("refused") {
        report.pass("refused", "nobody and nothing was refused within a day");
    }
}

fn refused(last: &SyncEvent, times: u64, now_ms: u64) -> Words {
    let what = format!(
        "{} ({} within a day, the last {})",
        plain(&last.words),
        plural(times, "time", "times"),
        ago(last.last_ms, now_ms)
    );
    match last.kind {
        EventKind::TicketRefused => words(
            what,
            "Whoever came with it is no member. A ticket works once, and not for long.",
            "driftless invite, and join with the new ticket, if that was one of your devices",
        ),
        EventKind::LinkRefused => words(
            what,
            "Nothing of the library was told to it.",
            "driftless log --kind link_refused; driftless peers resume, if the links are paused",
        ),
        _ => words(
            what,
            "Nothing is lost: what was refused is sent again once both understand each other.",
            "driftless log --kind message_refused; update driftless on the older of the two devices",
        ),
    }
}
