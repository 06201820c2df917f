//! What happened: changes, and what happened to sync.

use askama::Template;

use super::super::desk::{Desk, Frame};
use super::super::words::{Moment, Tone, moment};
use super::filled;
use crate::answer::{ChangeRow, DeviceRow, LogRow, Rows};
use crate::args::{LibraryCommand, LogArgs};
use crate::failure::Failure;
use crate::text::{count, plural};

/// Lines of a view.
const LINES: u64 = 200;
/// Records of a change set that are told of by name.
const TOLD: usize = 3;

#[derive(Template)]
#[template(path = "activity.html")]
struct Activity {
    frame: Frame,
    devices: Vec<DeviceRow>,
    kinds: Vec<(&'static str, &'static str)>,
    kind: String,
    device: String,
    severity: String,
    since: String,
    lines: Vec<Line>,
}

/// Something that happened.
pub(in super::super) struct Line {
    pub(in super::super) when: Moment,
    pub(in super::super) tone: &'static str,
    pub(in super::super) sign: &'static str,
    pub(in super::super) device: String,
    pub(in super::super) words: String,
    /// The record that it is about, if it is one.
    pub(in super::super) record: Option<String>,
    /// The change set, which can be taken back.
    pub(in super::super) dot: Option<String>,
}

pub(in super::super) fn page(desk: &Desk<'_>) -> Result<String, Failure> {
    let text = |name: &str| desk.query.text(name).unwrap_or_default();
    let (kind, device, severity, since) =
        (text("kind"), text("device"), text("severity"), text("since"));
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let args = LogArgs {
        follow: false,
        device: said(&device),
        model: None,
        kind: said(&kind),
        severity: said(&severity),
        since: said(&since),
        limit: LINES,
    };
    filled(&Activity {
        frame: desk.frame("/activity")?,
        devices: devices(desk)?,
        kinds: vec![("", "Everything"), ("change_set", "Changes"), ("event", "Sync")],
        kind,
        device,
        severity,
        since,
        lines: read(desk, args)?,
    })
}

pub(super) fn devices(desk: &Desk<'_>) -> Result<Vec<DeviceRow>, Failure> {
    desk.list(LibraryCommand::Devices { command: None }, |rows| match rows {
        Rows::Devices(rows) => Some(rows),
        _ => None,
    })
}

/// What happened last, on all devices or what concerns one.
pub(super) fn lines(
    desk: &Desk<'_>,
    limit: u64,
    device: Option<String>,
) -> Result<Vec<Line>, Failure> {
    let args = LogArgs {
        follow: false,
        device,
        model: None,
        kind: None,
        severity: None,
        since: None,
        limit,
    };
    let mut lines = read(desk, args)?;
    lines.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(lines)
}

/// The latest first.
fn read(desk: &Desk<'_>, args: LogArgs) -> Result<Vec<Line>, Failure> {
    let rows = desk.list(LibraryCommand::Log(args), |rows| match rows {
        Rows::Log(rows) => Some(rows),
        _ => None,
    })?;
    Ok(rows.iter().rev().map(|row| line(row, desk.now_ms)).collect())
}

fn line(row: &LogRow, now_ms: u64) -> Line {
    let plain = |when: Moment, tone: Tone, device: String, words: String| Line {
        when,
        tone: tone.class(),
        sign: tone.sign(),
        device,
        words,
        record: None,
        dot: None,
    };
    match row {
        LogRow::Set { dot, time, device, changes, .. } => Line {
            sign: "i-edit",
            record: changes.first().filter(|_| changes.len() == 1).map(|it| it.record.clone()),
            dot: Some(dot.clone()),
            ..plain(moment(time, now_ms), Tone::Plain, device.clone(), summary(changes))
        },
        LogRow::Checkpoint { checkpoint, time, what } => {
            let words = format!("checkpoint {checkpoint}, before: {what}");
            plain(moment(time, now_ms), Tone::Plain, String::new(), words)
        }
        LogRow::Event { severity, last, times, device, words, .. } => {
            let tone = match severity.as_str() {
                "error" => Tone::Bad,
                "warning" => Tone::Watch,
                _ => Tone::Plain,
            };
            let again = match times {
                1 => String::new(),
                times => format!(" ({} times)", count(*times)),
            };
            let device = device.clone().unwrap_or_default();
            plain(moment(last, now_ms), tone, device, format!("{words}{again}"))
        }
    }
}

/// What a change set did, in a line.
pub(super) fn summary(changes: &[ChangeRow]) -> String {
    let told = changes.iter().take(TOLD).map(deed).collect::<Vec<_>>().join("; ");
    match changes.len() {
        0 => "nothing that is kept here".to_owned(),
        all if all <= TOLD => told,
        all => {
            let more = plural((all - TOLD) as u64, "record", "records");
            format!("{told}; and {more} more")
        }
    }
}

fn deed(change: &ChangeRow) -> String {
    let name = change.name.clone().filter(|name| !name.is_empty());
    let name = name.or_else(|| change.record.get(..8).map(str::to_owned)).unwrap_or_default();
    let model = change.model.replace('_', " ");
    let fields: Vec<&str> = change.fields.keys().map(String::as_str).collect();
    match (change.did.as_str(), fields.is_empty()) {
        ("set", false) => format!("set {} of {model} {name}", fields.join(", ")),
        (did, _) => format!("{did} {model} {name}"),
    }
}
