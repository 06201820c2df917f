//! What the library's files are used for.

use askama::Template;

use super::super::desk::{Desk, Frame};
use super::super::words::models;
use super::filled;
use crate::answer::{Answer, RoomReport};
use crate::args::LibraryCommand;
use crate::failure::Failure;
use crate::text::{bytes, count};

#[derive(Template)]
#[template(path = "storage.html")]
struct Storage {
    frame: Frame,
    total: String,
    parts: Vec<Part>,
    files: Vec<(String, String)>,
    counts: Vec<(String, String)>,
    change_sets: String,
    tombstones: String,
    problem: Option<String>,
}

/// A part of the room.
struct Part {
    name: &'static str,
    what: &'static str,
    bytes: String,
    /// Thousandths of the whole, where it begins and how wide it is.
    begin: u64,
    width: u64,
    class: String,
}

pub(in super::super) fn page(desk: &Desk<'_>) -> Result<String, Failure> {
    let status = desk.one(LibraryCommand::Status { watch: false }, |answer| match answer {
        Answer::Status(status) => Some(status),
        _ => None,
    })?;
    let room = status.sizes.parts.clone().unwrap_or_default();
    let counts: Vec<(String, u64)> =
        status.counts.iter().map(|(model, rows)| (model.clone(), *rows)).collect();
    let files = status.sizes.files.iter();
    filled(&Storage {
        frame: desk.frame_of("/storage", &status),
        total: bytes(parts(&room).iter().map(|(.., size)| size).sum()),
        parts: drawn(&room),
        files: files.map(|(name, size)| (name.clone(), bytes(*size))).collect(),
        counts: models(&counts),
        change_sets: count(room.change_sets),
        tombstones: count(room.tombstone_rows),
        problem: status.sizes.problem,
    })
}

fn parts(room: &RoomReport) -> [(&'static str, &'static str, u64); 8] {
    [
        ("Rows", "your data itself", room.rows),
        ("Indexes", "what makes it quick to find", room.indexes),
        (
            "Stamps",
            "which version of each field shows",
            room.stamps.saturating_add(room.sync_indexes),
        ),
        ("Tombstones", "that deletes stay deletes", room.tombstones),
        ("Log", "changes that other devices may ask for", room.log),
        ("History", "what changes replaced, to undo them", room.history),
        ("State", "what is known of the others, and what happened", room.state),
        ("Free", "room that is used again", room.free),
    ]
}

fn drawn(room: &RoomReport) -> Vec<Part> {
    let parts = parts(room);
    let total = parts.iter().map(|(.., size)| *size).sum::<u64>().max(1);
    let mut begin = 0;
    let draw = |(nth, (name, what, size)): (usize, (&'static str, &'static str, u64))| {
        let thousandths = u128::from(size) * 1_000 / u128::from(total);
        let width = u64::try_from(thousandths).unwrap_or(1_000);
        let part =
            Part { name, what, bytes: bytes(size), begin, width, class: format!("part-{nth}") };
        begin += width;
        part
    };
    parts.into_iter().enumerate().map(draw).collect()
}
