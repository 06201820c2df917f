//! What is kept and merged, but cannot show in this version.

use askama::Template;

use super::super::desk::{Desk, Frame};
use super::{filled, more};
use crate::answer::{QuarantineRow, Rows};
use crate::args::LibraryCommand;
use crate::failure::Failure;

/// Rows that are shown at once.
const SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "quarantine.html")]
struct Quarantine {
    frame: Frame,
    rows: Vec<QuarantineRow>,
    more: u64,
}

pub(in super::super) fn page(desk: &Desk<'_>) -> Result<String, Failure> {
    let list = LibraryCommand::Quarantine { command: None };
    let rows = desk.first(SHOWN, list, |rows| match rows {
        Rows::Quarantine(rows) => Some(rows),
        _ => None,
    })?;
    let frame = desk.frame("/quarantine")?;
    let more = more(frame.quarantined, rows.len());
    filled(&Quarantine { frame, rows, more })
}
