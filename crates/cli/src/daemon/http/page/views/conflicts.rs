//! What was written concurrently: the values side by side, and a button for each choice.

use askama::Template;
use driftless_catalog::Catalog;

use super::super::desk::{Desk, Frame};
use super::super::difference::{Part, difference};
use super::super::words::{Moment, moment, value};
use super::{filled, more};
use crate::answer::{ConflictRow, Rows, SiblingRow};
use crate::args::LibraryCommand;
use crate::failure::Failure;

/// Conflicts that are shown at once; the next come when these are resolved.
const SHOWN: usize = 100;

#[derive(Template)]
#[template(path = "conflicts.html")]
struct Conflicts {
    frame: Frame,
    conflicts: Vec<Card>,
    more: u64,
}

/// A conflict.
struct Card {
    id: String,
    model: String,
    record: String,
    name: String,
    field: String,
    winner: Choice,
    losers: Vec<Choice>,
}

/// One of its values.
struct Choice {
    value: String,
    device: String,
    when: Moment,
    dot: String,
    /// How it differs from what shows, if that is a matter of words.
    difference: Option<Vec<Part>>,
}

pub(in super::super) fn page(desk: &Desk<'_>) -> Result<String, Failure> {
    let list = LibraryCommand::Conflicts { command: None };
    let rows = desk.first(SHOWN, list, |rows| match rows {
        Rows::Conflicts(rows) => Some(rows),
        _ => None,
    })?;
    let frame = desk.frame("/conflicts")?;
    let more = more(frame.conflicts, rows.len());
    let mut conflicts = Vec::new();
    for mut row in rows {
        // What is noted about a file has no name: the file has.
        if let (None, Ok(id)) = (&row.name, row.record.parse()) {
            row.name = Catalog::new(desk.library()).name_of_subject(id)?;
        }
        conflicts.push(card(row, desk.now_ms));
    }
    filled(&Conflicts { frame, conflicts, more })
}

fn card(row: ConflictRow, now_ms: u64) -> Card {
    let choice = |sibling: &SiblingRow, difference| Choice {
        value: value(&sibling.value),
        device: sibling.device.clone(),
        when: moment(&sibling.time, now_ms),
        dot: sibling.dot.clone(),
        difference,
    };
    let winner = choice(&row.winner, None);
    let losers = row.losers.iter();
    let losers = losers.map(|it| choice(it, difference(&row.winner.value, &it.value))).collect();
    let name = row.name.filter(|name| !name.is_empty());
    Card {
        id: row.id,
        model: row.model.replace('_', " "),
        name: name.unwrap_or_else(|| row.record.clone()),
        record: row.record,
        field: row.field.replace('_', " "),
        winner,
        losers,
    }
}
