//! Where something is and why it is not everywhere, for people.

use super::merge::record;
use crate::answer::{WhyChange, WhyDevice, WhyReport};
use crate::text::{duration, plain, plural};

pub(super) fn why(report: &WhyReport) -> String {
    let mut out = format!("{}\n\n", plain(&report.answer));
    for row in &report.records {
        let name = record(row.name.as_deref(), &row.id);
        out.push_str(&format!("{} {name}: {}\n", plain(&row.model), row.state));
    }
    if let Some(last) = &report.change {
        out.push_str(&change(last));
    }
    for set in &report.waiting {
        out.push_str(&format!("{} is here, and waits for {}\n", set.dot, set.lacks.join(", ")));
    }
    out.push('\n');
    for row in &report.devices {
        out.push_str(&device(row));
    }
    out.push_str(&format!("\nAltogether: {}\n", plain(&report.verdict)));
    out
}

fn change(last: &WhyChange) -> String {
    let when = last.time.as_ref().map(|time| format!(" at {time}")).unwrap_or_default();
    let kept = match last.logged {
        true => "; in this device's log",
        false => "",
    };
    let seq = last.dot.rsplit_once('#').map_or("", |(_, seq)| seq);
    format!("last change: {}#{seq}{when}{kept}\n", plain(&last.device))
}

fn device(row: &WhyDevice) -> String {
    let name = plain(&row.name);
    if row.here {
        let words = if row.has { "this device, durable" } else { "this device lacks it" };
        return format!("{name}: {words}\n");
    }
    let mut out = match (row.has, &row.acknowledged, &row.heard) {
        (true, Some(at), _) => format!("{name}: has it, acknowledged at {at}\n"),
        (true, None, Some(at)) => format!("{name}: has it, as of {at}\n"),
        (true, None, None) => format!("{name}: has it\n"),
        (false, ..) => format!("{name}: is not known to have it\n"),
    };
    if let Some(sent) = &row.sent {
        out.push_str(&format!("  sent at {sent}\n"));
    }
    for reason in &row.reasons {
        out.push_str(&format!("  {}\n    cure: {}\n", plain(&reason.words), plain(&reason.cure)));
    }
    if let Some(next) = &row.next {
        out.push_str(&format!("  next: {}\n", next.words));
    }
    if row.ahead > 0 {
        let changes = plural(row.ahead, "change", "changes");
        out.push_str(&format!("  it has {changes} that this device lacks\n"));
    }
    if let Some(ms) = row.clock_off_ms {
        let by = duration(std::time::Duration::from_millis(ms.unsigned_abs()));
        let side = if ms > 0 { "ahead of" } else { "behind" };
        out.push_str(&format!(
            "  its clock is {by} {side} this one's: among edits made apart the wrong clock decides \
             what shows\n"
        ));
    }
    out
}
