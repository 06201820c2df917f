//! What happened, for people.

use serde_json::Value;

use super::merge::{record, shown};
use super::table::{Align, Table};
use crate::answer::{ChangeRow, DeletedRow, FieldRow, HistoryRow, LogRow, UndoReport};
use crate::text::{count, plain, plural};

const L: Align = Align::Left;
/// Characters of a value in a line.
const CELL: usize = 60;
/// Records that are told of by name.
const TOLD: usize = 20;

/// A change set as people can say it: `DEVICE#SEQ`.
fn short_dot(device: &str, dot: &str) -> String {
    let seq = dot.rsplit_once('#').map_or("", |(_, seq)| seq);
    format!("{}#{seq}", plain(device))
}

pub(super) fn history(rows: &[HistoryRow], first: bool) -> String {
    if rows.is_empty() {
        return if first { "Nothing is known of it\n".to_owned() } else { String::new() };
    }
    rows.iter().map(entry).collect()
}

fn entry(row: &HistoryRow) -> String {
    let mut out = format!(
        "{}  {}  {} {} {}\n",
        row.time.as_deref().unwrap_or("now"),
        short_dot(&row.device, &row.dot),
        plain(&row.model),
        record(row.name.as_deref(), &row.record),
        row.did,
    );
    for field in &row.fields {
        out.push_str(&line(field));
    }
    out
}

fn line(field: &FieldRow) -> String {
    let value = shown(&field.value, CELL);
    let before = field.replaced.iter().map(|replaced| {
        let value = if replaced.known {
            shown(&replaced.value, CELL)
        } else {
            "unknown, before the history".to_owned()
        };
        format!("{value} by {}", plain(&replaced.device))
    });
    let before: Vec<String> = before.collect();
    match before.is_empty() {
        true => format!("    {} = {value}\n", plain(&field.field)),
        false => format!("    {} = {value}  (was {})\n", plain(&field.field), before.join("; ")),
    }
}

pub(super) fn log(rows: &[LogRow]) -> String {
    rows.iter()
        .map(|row| match row {
            LogRow::Set { dot, time, device, changes, .. } => {
                format!("{time}  {}  {}\n", short_dot(device, dot), summary(changes))
            }
            LogRow::Checkpoint { checkpoint, time, what } => {
                format!("{time}  checkpoint {checkpoint}, before: {}\n", plain(what))
            }
            LogRow::Event { time, severity, words, times, last, .. } => {
                let grave = if severity == "info" { "" } else { severity };
                let mark = if grave.is_empty() { String::new() } else { format!("{grave}: ") };
                let again = match times {
                    1 => String::new(),
                    times => format!(" ({times} times, the last at {last})"),
                };
                format!("{time}  - {mark}{}{again}\n", plain(words))
            }
        })
        .collect()
}

/// What a change set did, in a line.
fn summary(changes: &[ChangeRow]) -> String {
    let Some(first) = changes.first() else { return "nothing".to_owned() };
    let told = |change: &ChangeRow| {
        let fields: Vec<String> = change
            .fields
            .iter()
            .map(|(name, value)| format!("{}={}", plain(name), brief(value)))
            .collect();
        let name = record(change.name.as_deref(), &change.record);
        format!("{} {name} {} {}", plain(&change.model), change.did, fields.join(" "))
    };
    if changes.len() <= 3 {
        return changes.iter().map(told).collect::<Vec<_>>().join("; ");
    }
    let alike = changes.iter().filter(|c| (&c.model, &c.did) == (&first.model, &first.did)).count();
    if alike == changes.len() {
        return format!("{} of {} {}", count(alike as u64), plain(&first.model), first.did);
    }
    format!("{} and {} more records", told(first), count(changes.len() as u64 - 1))
}

fn brief(value: &Value) -> String {
    shown(value, 24)
}

pub(super) fn deleted(rows: &[DeletedRow], colour: bool) -> String {
    if rows.is_empty() {
        return "None was deleted, as far as this device's history goes\n".to_owned();
    }
    let mut table = Table::new(&[("NAME", L), ("DELETED", L), ("BY", L), ("CHANGE", L), ("ID", L)]);
    for row in rows {
        table.row([
            row.name.as_deref().map_or_else(|| "-".to_owned(), plain),
            row.time.clone(),
            plain(&row.device),
            short_dot(&row.device, &row.dot),
            row.id.clone(),
        ]);
    }
    table.render(true, colour)
}

pub(super) fn undone(report: &UndoReport) -> String {
    let records = plural(report.changes.len() as u64, "record", "records");
    let mut out = match (report.dry_run, report.changes.len()) {
        (_, 0) => "Nothing has to be written: all is as it should be\n".to_owned(),
        (true, _) => format!("Would write {records}\n"),
        (false, _) => format!("Taken back: {records} written\n"),
    };
    for change in report.changes.iter().take(TOLD) {
        let name = record(change.name.as_deref(), &change.record);
        out.push_str(&format!("  {} {name} {}\n", plain(&change.model), change.did));
        for field in &change.fields {
            let (from, to) = (shown(&field.from, CELL), shown(&field.to, CELL));
            out.push_str(&format!("    {} = {to}  (was {from})\n", plain(&field.field)));
        }
    }
    if report.changes.len() > TOLD {
        let more = count((report.changes.len() - TOLD) as u64);
        out.push_str(&format!("  and {more} more; --json has all\n"));
    }
    for obstacle in report.obstacles.iter().take(TOLD) {
        let name = record(obstacle.name.as_deref(), &obstacle.record);
        let field = obstacle.field.as_ref().map(|f| format!(".{}", plain(f))).unwrap_or_default();
        out.push_str(&format!(
            "  in the way: {} {name}{field}: {}\n",
            plain(&obstacle.model),
            obstacle.why
        ));
    }
    out
}
