//! What merging left open, for people.

use serde_json::Value;

use super::short;
use super::table::{Align, Table};
use crate::answer::{ConflictRow, QuarantineRow, ResolvedReport, RetriedReport, SiblingRow};
use crate::text::{count, plain, plural};

const L: Align = Align::Left;
/// Characters of a value that are shown in a table.
const CELL: usize = 32;
/// Characters of a value that are shown by itself; `--json` has all of it.
const WHOLE: usize = 2_000;

pub(super) fn conflicts(rows: &[ConflictRow], first: bool, colour: bool) -> String {
    if rows.is_empty() {
        return if first { "No conflicts\n".to_owned() } else { String::new() };
    }
    let mut table = Table::new(&[
        ("RECORD", L),
        ("FIELD", L),
        ("SHOWS", L),
        ("BY", L),
        ("OTHERS", L),
        ("ID", L),
    ]);
    for row in rows {
        let others = row
            .losers
            .iter()
            .map(|loser| format!("{} by {}", shown(&loser.value, CELL), plain(&loser.device)));
        table.row([
            format!("{} {}", plain(&row.model), record(row.name.as_deref(), &row.record)),
            plain(&row.field),
            shown(&row.winner.value, CELL),
            plain(&row.winner.device),
            others.collect::<Vec<_>>().join("; "),
            short(&row.id),
        ]);
    }
    table.render(first, colour)
}

/// A record's name, or the first digits of its id.
pub(super) fn record(name: Option<&str>, id: &str) -> String {
    name.filter(|name| !name.is_empty()).map_or_else(|| short(id), plain)
}

/// A value, cut if it is long.
pub(super) fn shown(value: &Value, max: usize) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("{:?}", plain(text)),
        other => other.to_string(),
    };
    if text.chars().count() <= max {
        return text;
    }
    let cut: String = text.chars().take(max).collect();
    format!("{cut}…")
}

pub(super) fn conflict(row: &ConflictRow) -> String {
    let mut out = format!(
        "{} {}: the field {} was written by several devices that did not know of each other\n\n",
        plain(&row.model),
        record(row.name.as_deref(), &row.record),
        plain(&row.field)
    );
    out.push_str(&sibling("shows", &row.winner));
    for loser in &row.losers {
        out.push_str(&sibling("other", loser));
    }
    let id = short(&row.id);
    out.push_str(&format!("next: driftless conflicts resolve {id} --keep-winner\n"));
    match row.losers.len() {
        1 => out.push_str(&format!("  or: driftless conflicts resolve {id} --take-loser\n")),
        _ => out.push_str(&format!("  or: driftless conflicts resolve {id} --take DOT\n")),
    }
    out
}

fn sibling(what: &str, row: &SiblingRow) -> String {
    format!(
        "{what}  {}\n       by {} at {} by its clock\n       dot {}\n\n",
        shown(&row.value, WHOLE),
        plain(&row.device),
        row.time,
        row.dot
    )
}

pub(super) fn resolved(report: &ResolvedReport) -> String {
    let open = match report.open {
        0 => "no conflict is open any more".to_owned(),
        open => format!("{} open still", plural(open, "conflict is", "conflicts are")),
    };
    format!(
        "{} {}: {} is {} on every device that hears of it; {open}\n",
        plain(&report.model),
        record(report.name.as_deref(), &report.record),
        plain(&report.field),
        shown(&report.value, WHOLE)
    )
}

pub(super) fn quarantine(rows: &[QuarantineRow], colour: bool) -> String {
    if rows.is_empty() {
        return "Nothing waits in quarantine\n".to_owned();
    }
    let mut table =
        Table::new(&[("MODEL", L), ("RECORD", L), ("FIELD", L), ("FROM", L), ("WHY", L)]);
    for row in rows {
        table.row([
            plain(&row.model),
            short(&row.record),
            row.field.as_deref().map_or_else(|| "-".to_owned(), plain),
            row.device.as_deref().map_or_else(|| "-".to_owned(), plain),
            row.why.clone(),
        ]);
    }
    table.render(true, colour)
}

pub(super) fn retried(report: &RetriedReport) -> String {
    match (report.shown, report.quarantined) {
        (0, 0) => "Nothing waits in quarantine\n".to_owned(),
        (shown, 0) => format!("All {} that waited show now\n", count(shown)),
        (shown, left) => format!(
            "{} that waited now; {} still: driftless quarantine says why\n",
            plural(shown, "shows of those", "show of those"),
            plural(left, "waits", "wait")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cut_and_cannot_drive_a_terminal() {
        assert_eq!(shown(&Value::Null, 10), "nothing");
        assert_eq!(shown(&Value::from("a\u{1b}[1m"), 10), "\"a\u{fffd}[1m\"");
        assert_eq!(shown(&Value::from("abcdefgh"), 4), "\"abc…");
        assert_eq!(shown(&Value::from(7), 4), "7");
    }
}
