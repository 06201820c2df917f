//! What is kept and merged, but cannot show in this version.

use askama::Template;

use super::super::desk::{Desk, Frame};
use super::filled;
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
    more: usize,
}

pub(in super::super) fn page(desk: &Desk<'_>) -> Result<String, Failure> {
    let mut rows = desk.list(LibraryCommand::Quarantine { command: None }, |rows| match rows {
        Rows::Quarantine(rows) => Some(rows),
        _ => None,
    })?;
    let more = rows.len().saturating_sub(SHOWN);
    rows.truncate(SHOWN);
    filled(&Quarantine { frame: desk.frame("/quarantine")?, rows, more })
}
