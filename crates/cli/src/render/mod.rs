//! Results for people: sentences and tables.

mod figures;
mod history;
mod lists;
mod merge;
mod reports;
mod table;
mod ticket;
mod trend;
mod why;

use std::io;

use crate::answer::{Answer, Rows, TaggedReport};
use crate::printer::Look;
use crate::text::{bytes, count, plain, plural};

pub(crate) use figures::figures;
pub(crate) use reports::phase;

/// A result.
pub(crate) fn answer(answer: &Answer, look: Look, colour: bool) -> String {
    match answer {
        Answer::Record(record) => format!(
            "{}
",
            plain(&record.did)
        ),
        Answer::Library(founded) => format!(
            "This device, {}, is a member of the library {:?} in {}\nnext: driftless up\n",
            plain(&founded.device),
            plain(&founded.library),
            plain(&founded.dir)
        ),
        Answer::Invitation(invitation) => ticket::invitation(invitation, look.qr),
        Answer::Pairing(pairing) => ticket::pairing(pairing),
        Answer::Status(status) => reports::status(status, colour),
        Answer::Sync(report) => reports::sync(report),
        Answer::Digests(digests) => reports::pairs(digests),
        Answer::Settings(settings) => reports::pairs(settings),
        Answer::Verified(report) => reports::verified(report),
        Answer::Links(report) => {
            let done = if report.paused { "cut until they are resumed" } else { "made again" };
            let whose = report.device_id.as_ref().map_or("to all devices", |_| "to this device");
            format!("Links {whose} are {done}\n")
        }
        Answer::Route(route) => format!("{} is tried for every device\n", route.address),
        Answer::Stopped(report) if report.stopped => "The daemon has stopped\n".to_owned(),
        Answer::Stopped(_) => "No daemon was running\n".to_owned(),
        Answer::Scans(scans) => scans.iter().map(reports::scan).collect(),
        Answer::Doctor(report) => reports::doctor(report, colour),
        Answer::Registered(report) => reports::registered(report),
        Answer::Conflict(conflict) => merge::conflict(conflict),
        Answer::Resolved(report) => merge::resolved(report),
        Answer::Retried(report) => merge::retried(report),
        Answer::Pruned(report) => reports::pruned(report),
        Answer::Backup(report) => reports::backed_up(report),
        Answer::Restored(report) => reports::restored(report),
        Answer::Tagged(report) => {
            let (what, on) =
                if report.added { ("put on", "had it") } else { ("taken off", "lacked it") };
            let files = plural(report.changed, "file", "files");
            format!("{} {what} {files}{}\n", plain(&report.name), rest(report, on))
        }
        Answer::Collected(report) => {
            let (what, on) = if report.added {
                ("put into", "had been there")
            } else {
                ("taken out of", "had not been there")
            };
            let files = plural(report.changed, "file", "files");
            format!("{files} {what} {}{}\n", plain(&report.name), rest(report, on))
        }
        Answer::Undone(report) => history::undone(report),
        Answer::Trend(report) => trend::trend(report, colour),
        Answer::Why(report) => why::why(report),
        Answer::Noted(report) => reports::noted(report),
        Answer::Dashboard(report) => format!("{}\n", report.url),
    }
}

/// Those of which nothing had to be changed. Copies count as one.
fn rest(report: &TaggedReport, on: &str) -> String {
    match report.files.saturating_sub(report.changed) {
        0 => String::new(),
        rest => format!("; {} {on}", count(rest)),
    }
}

/// A part of a list. `first` tells whether it is the list's beginning.
pub(crate) fn rows(rows: &Rows, lines: bool, first: bool, colour: bool) -> String {
    match rows {
        Rows::Devices(rows) => lists::devices(rows, colour),
        Rows::Peers(rows) => lists::peers(rows, colour),
        Rows::Locations(rows) => lists::locations(rows, colour),
        Rows::Entries(rows) if lines => {
            rows.iter().map(|row| format!("{}\n", plain(&row.path))).collect()
        }
        Rows::Entries(rows) => lists::entries(rows, first, colour),
        Rows::Tags(rows) => lists::tags(rows, colour),
        Rows::Collections(rows) => lists::collections(rows, colour),
        Rows::Conflicts(rows) => merge::conflicts(rows, first, colour),
        Rows::Quarantine(rows) => merge::quarantine(rows, colour),
        Rows::History(rows) => history::history(rows, first),
        Rows::Log(rows) => history::log(rows),
        Rows::Deleted(rows) => history::deleted(rows, colour),
    }
}

/// A line of progress, as long as the terminal is wide.
pub(crate) fn fit(text: &str) -> String {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    let width = size.map_or(80, |size| usize::from(size.ws_col));
    let width = if width < 20 { 80 } else { width - 1 };
    plain(text).chars().take(width).collect()
}

/// A size, or a dash for what has none.
fn size(kind: &str, length: u64) -> String {
    if kind == "file" { bytes(length) } else { "-".to_owned() }
}

/// The first digits of an id, enough to say it.
fn short(id: &str) -> String {
    id.chars().take(13).collect()
}
