//! The tags.

use askama::Template;

use super::super::desk::{Desk, Frame};
use super::{filled, more_of};
use crate::answer::{Rows, StatusReport, TagRow};
use crate::args::{CatalogCommand, LibraryCommand, TagCommand};
use crate::failure::Failure;
use crate::text::plural;

/// Tags that are shown at once.
const SHOWN: usize = 1_000;

#[derive(Template)]
#[template(path = "tags.html")]
struct Tags {
    frame: Frame,
    tags: Vec<Tag>,
    more: u64,
    colors: [&'static str; 7],
}

/// A tag, as lists show it.
pub(in super::super) struct Tag {
    pub(in super::super) id: String,
    pub(in super::super) name: String,
    pub(in super::super) color: Option<String>,
    pub(in super::super) description: Option<String>,
    pub(in super::super) on: String,
}

pub(in super::super) fn page(desk: &Desk<'_>) -> Result<String, Failure> {
    let status = desk.status()?;
    let (tags, more) = tags(desk, &status)?;
    filled(&Tags {
        frame: desk.frame_of("/tags", &status),
        tags,
        more,
        colors: ["red", "orange", "yellow", "green", "blue", "purple", "grey"],
    })
}

/// The tags that stand for themselves, the first by name, and how many more there are.
pub(super) fn tags(desk: &Desk<'_>, status: &StatusReport) -> Result<(Vec<Tag>, u64), Failure> {
    let list = TagCommand::Ls { deleted: false, as_of: None };
    let list = LibraryCommand::Catalog(CatalogCommand::Tag { command: list });
    let rows = desk.first(SHOWN, list, |rows| match rows {
        Rows::Tags(rows) => Some(rows),
        _ => None,
    })?;
    let more = more_of(status, "tag", (rows.len(), SHOWN));
    let tags = rows.into_iter().filter(|row| row.alias_of.is_none()).map(tag);
    Ok((tags.collect(), more))
}

fn tag(row: TagRow) -> Tag {
    Tag {
        id: row.id,
        name: row.name,
        color: row.color.map(shown),
        description: row.description,
        on: plural(row.subjects, "file", "files"),
    }
}

/// A colour as it is shown: the names of colours mean softer ones than a browser has for them.
fn shown(color: String) -> String {
    match color.as_str() {
        "red" => "#d64545",
        "orange" => "#e08a2e",
        "yellow" => "#dcb92c",
        "green" => "#3f9b57",
        "blue" => "#3b7dd8",
        "purple" => "#8a5cc7",
        "grey" => "#8b9794",
        _ => return color,
    }
    .to_owned()
}
