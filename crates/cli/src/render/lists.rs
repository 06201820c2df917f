//! Lists as tables.

use super::table::{Align, Table};
use super::{short, size};
use crate::answer::{CollectionRow, DeviceRow, EntryRow, LocationRow, PeerRow, TagRow};
use crate::text::{bytes, count, plain};

const L: Align = Align::Left;
const R: Align = Align::Right;

fn or_dash(text: Option<&str>) -> String {
    text.filter(|text| !text.is_empty()).map_or_else(|| "-".to_owned(), plain)
}

pub(super) fn devices(rows: &[DeviceRow], colour: bool) -> String {
    let mut table = Table::new(&[
        ("NAME", L),
        ("STATE", L),
        ("LINK", L),
        ("SYSTEM", L),
        ("SINCE", L),
        ("ID", L),
    ]);
    for row in rows {
        let link = match (row.here, row.online) {
            (true, _) => "this device",
            (false, true) => "online",
            (false, false) => "offline",
        };
        table.row([
            plain(&row.name),
            row.state.clone(),
            link.to_owned(),
            or_dash(row.os.as_deref()),
            row.since.clone(),
            short(&row.id),
        ]);
    }
    table.render(true, colour)
}

pub(super) fn peers(rows: &[PeerRow], colour: bool) -> String {
    if rows.is_empty() {
        return "No other device belongs to the library yet\nnext: driftless invite\n".to_owned();
    }
    let mut table = Table::new(&[
        ("NAME", L),
        ("LINK", L),
        ("RTT", R),
        ("ROUTE", L),
        ("RECEIVED", R),
        ("SENT", R),
        ("LAST SEEN", L),
        ("WHY NOT", L),
    ]);
    for row in rows {
        let link = match (row.paused, row.online) {
            (true, _) => "paused",
            (false, true) => "online",
            (false, false) => "offline",
        };
        table.row([
            plain(&row.name),
            link.to_owned(),
            row.rtt_ms.map_or_else(|| "-".to_owned(), |rtt| format!("{rtt:.1} ms")),
            or_dash(row.route.as_deref()),
            bytes(row.received_bytes),
            bytes(row.sent_bytes),
            or_dash(row.last_seen.as_deref()),
            or_dash(row.last_failure.as_deref().filter(|_| !row.online)),
        ]);
    }
    table.render(true, colour)
}

pub(super) fn locations(rows: &[LocationRow], colour: bool) -> String {
    if rows.is_empty() {
        return "No folder is indexed yet\nnext: driftless location add PATH\n".to_owned();
    }
    let mut table = Table::new(&[
        ("DEVICE", L),
        ("PATH", L),
        ("STATE", L),
        ("FILES", R),
        ("FOLDERS", R),
        ("SIZE", R),
        ("PROBLEMS", R),
        ("SCANNED", L),
        ("ID", L),
    ]);
    for row in rows {
        table.row([
            plain(&row.device),
            plain(&row.path),
            plain(&row.state),
            count(row.files),
            count(row.dirs),
            bytes(row.bytes),
            count(row.problems),
            or_dash(row.scanned_at.as_deref()),
            short(&row.id),
        ]);
    }
    table.render(true, colour)
}

pub(super) fn entries(rows: &[EntryRow], first: bool, colour: bool) -> String {
    if rows.is_empty() {
        return if first { "Nothing\n".to_owned() } else { String::new() };
    }
    let mut table = Table::new(&[
        ("KIND", L),
        ("SIZE", R),
        ("MODIFIED", L),
        ("DEVICE", L),
        ("PATH", L),
        ("TAGS", L),
        ("NOTED", L),
    ]);
    for row in rows {
        let path = match &row.link_target {
            Some(target) => format!("{} -> {}", plain(&row.path), plain(target)),
            None => plain(&row.path),
        };
        table.row([
            plain(&row.kind),
            size(&row.kind, row.size),
            // To the second: people do not read milliseconds.
            row.modified_at.as_ref().map_or_else(|| "-".to_owned(), |time| seconds(time)),
            plain(&row.device),
            path,
            row.tags.iter().map(|tag| plain(tag)).collect::<Vec<_>>().join(", "),
            noted(row),
        ]);
    }
    table.render(first, colour)
}

/// What people noted about an entry, in a few words.
fn noted(row: &EntryRow) -> String {
    let favourite = row.favourite.then(|| "favourite".to_owned());
    let rating = row.rating.map(|stars| format!("{stars}/5"));
    let hidden = row.hidden.then(|| "hidden".to_owned());
    let note = row.note.as_ref().map(|note| {
        let line = note.lines().next().unwrap_or_default();
        let short: String = line.chars().take(40).collect();
        let more = if short.len() < note.len() { "…" } else { "" };
        format!("“{}{more}”", plain(&short))
    });
    let all = [favourite, rating, hidden, note];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

pub(super) fn collections(rows: &[CollectionRow], colour: bool) -> String {
    if rows.is_empty() {
        return "No collections yet\nnext: driftless collection create NAME\n".to_owned();
    }
    let mut table = Table::new(&[("NAME", L), ("MEMBERS", R), ("DESCRIPTION", L), ("ID", L)]);
    for row in rows {
        table.row([
            plain(&row.name),
            count(row.members),
            or_dash(row.description.as_deref()),
            short(&row.id),
        ]);
    }
    table.render(true, colour)
}

fn seconds(time: &str) -> String {
    match time.split_once('.') {
        Some((to_the_second, _)) => format!("{to_the_second}Z"),
        None => time.to_owned(),
    }
}

pub(super) fn tags(rows: &[TagRow], colour: bool) -> String {
    if rows.is_empty() {
        return "No tags yet\nnext: driftless tag create NAME\n".to_owned();
    }
    let mut table = Table::new(&[
        ("NAME", L),
        ("COLOR", L),
        ("ON", R),
        ("UNDER", L),
        ("DESCRIPTION", L),
        ("ID", L),
    ]);
    // What is one tag to people is one row.
    for row in rows.iter().filter(|row| row.alias_of.is_none()) {
        let parent = row.parent.as_deref().map(|parent| {
            let named = rows.iter().find(|tag| tag.id == parent);
            named.map_or(parent, |tag| &tag.name)
        });
        table.row([
            plain(&row.name),
            or_dash(row.color.as_deref()),
            count(row.subjects),
            or_dash(parent),
            or_dash(row.description.as_deref()),
            short(&row.id),
        ]);
    }
    table.render(true, colour)
}
