//! A record: what is noted about it, where it is and why it is not everywhere, what happened to it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use askama::Template;

use super::super::desk::{Desk, Frame};
use super::super::words::{Moment, Tone, minute, moment, value};
use super::files::address;
use super::{filled, named};
use crate::answer::{Answer, FieldRow, HistoryRow, NotedReport, Rows, WhyDevice, WhyReport};
use crate::args::{CatalogCommand, FileArg, HistoryArgs, LibraryCommand, MetaCommand, WhyArgs};
use crate::failure::{Exit, Failure};

/// Changes that are shown, the latest.
const TOLD: usize = 200;

#[derive(Template)]
#[template(path = "record.html")]
struct Record {
    frame: Frame,
    title: String,
    why: WhyReport,
    changed: Option<Moment>,
    devices: Vec<Where>,
    noted: Option<Noted>,
    history: Vec<Past>,
    /// The record, if there may be older changes.
    older: Option<String>,
    back: String,
}

/// The last change, as one device has it.
struct Where {
    tone: &'static str,
    sign: &'static str,
    words: String,
    row: WhyDevice,
    sent: Option<String>,
    acknowledged: Option<String>,
}

/// What is noted about a file.
struct Noted {
    /// The file as forms name it.
    file: String,
    row: NotedReport,
    data: Vec<(String, String)>,
    /// How many stars it could have, and whether it does.
    stars: [(i64, bool); 5],
}

/// A change.
struct Past {
    when: Option<Moment>,
    row: HistoryRow,
    fields: Vec<(String, String, Vec<String>)>,
}

pub(in super::super) fn page(desk: &Desk<'_>) -> Result<String, Failure> {
    let id = desk.query.text("id").ok_or_else(|| {
        Failure::usage("which record is asked for is not said").next("driftless find NAME")
    })?;
    let args = WhyArgs { record: named(&id), device: None, model: None };
    let why = desk.one(LibraryCommand::Why(args), |answer| match answer {
        Answer::Why(report) => Some(*report),
        _ => None,
    })?;
    let noted = desk.query.bytes("file").map(|file| noted(desk, file)).transpose()?;
    let name = why.records.iter().find_map(|row| row.name.clone().filter(|name| !name.is_empty()));
    let history = history(desk, &id)?;
    let changed = why.change.as_ref().and_then(|change| change.time.as_deref());
    filled(&Record {
        frame: desk.frame("/files")?,
        title: name.unwrap_or_else(|| id.clone()),
        changed: changed.map(|time| moment(time, desk.now_ms)),
        devices: why.devices.iter().cloned().map(located).collect(),
        older: (history.len() >= TOLD).then(|| id.clone()),
        history,
        back: match desk.query.bytes("file") {
            Some(file) => address("/record", &[("id", id.as_bytes()), ("file", file)]),
            None => address("/record", &[("id", id.as_bytes())]),
        },
        noted,
        why,
    })
}

fn noted(desk: &Desk<'_>, file: &[u8]) -> Result<Noted, Failure> {
    let path = Path::new(OsStr::from_bytes(file));
    let command = MetaCommand::Get { file: FileArg::from(path), as_of: None };
    let command = LibraryCommand::Catalog(CatalogCommand::Meta { command });
    let row = desk.one(command, |answer| match answer {
        Answer::Noted(row) => Some(*row),
        _ => None,
    })?;
    let data = row.data.iter().map(|(name, it)| (name.clone(), value(it))).collect();
    let stars = [1, 2, 3, 4, 5].map(|stars| (stars, row.rating == Some(stars)));
    Ok(Noted { file: address("", &[("file", file)]), row, data, stars })
}

fn located(row: WhyDevice) -> Where {
    let (tone, words) = match (row.has, row.here) {
        (true, true) => (Tone::Good, "this device, durable"),
        (true, false) => (Tone::Good, "has it"),
        (false, true) => (Tone::Bad, "this device lacks it"),
        (false, false) => (Tone::Watch, "is not known to have it"),
    };
    Where {
        tone: tone.class(),
        sign: tone.sign(),
        words: words.to_owned(),
        sent: row.sent.as_deref().map(minute),
        acknowledged: row.acknowledged.as_deref().map(minute),
        row,
    }
}

/// What happened to it; of some records nothing is kept.
fn history(desk: &Desk<'_>, id: &str) -> Result<Vec<Past>, Failure> {
    let args = HistoryArgs { record: named(id), model: None };
    let rows = desk.first(TOLD, LibraryCommand::History(args), |rows| match rows {
        Rows::History(rows) => Some(rows),
        _ => None,
    });
    match rows {
        Ok(rows) => Ok(rows.into_iter().map(|row| past(row, desk.now_ms)).collect()),
        Err(failure) if failure.exit == Exit::NotFound => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

fn past(row: HistoryRow, now_ms: u64) -> Past {
    let field = |field: &FieldRow| {
        let before = field.replaced.iter().map(|before| match before.known {
            true => format!("{} by {}", value(&before.value), before.device),
            false => format!("unknown, by {}", before.device),
        });
        (field.field.clone(), value(&field.value), before.collect())
    };
    Past {
        when: row.time.as_deref().map(|time| moment(time, now_ms)),
        // Of a row as it is now, what is empty says nothing.
        fields: row
            .fields
            .iter()
            .filter(|it| row.did != "state" || !it.value.is_null())
            .map(field)
            .collect(),
        row,
    }
}
