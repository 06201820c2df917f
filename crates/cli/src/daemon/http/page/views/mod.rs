//! The views: each asks, and fills a template.

pub(super) mod activity;
pub(super) mod conflicts;
pub(super) mod device;
pub(super) mod files;
pub(super) mod health;
pub(super) mod overview;
pub(super) mod quarantine;
pub(super) mod record;
pub(super) mod storage;
pub(super) mod tags;

use std::path::Path;

use askama::Template;

use crate::answer::StatusReport;
use crate::args::FileArg;
use crate::failure::Failure;

/// Fills a template.
fn filled(template: &impl Template) -> Result<String, Failure> {
    template.render().map_err(|error| Failure::internal(format!("a page cannot be made: {error}")))
}

/// How many more there are than are shown. What is counted later may be fewer.
fn more(all: u64, shown: usize) -> u64 {
    all.saturating_sub(shown as u64)
}

/// How many more records of a model there are, if as many are shown as there is room for.
fn more_of(status: &StatusReport, model: &str, (shown, room): (usize, usize)) -> u64 {
    match status.counts.get(model) {
        Some(all) if shown >= room => more(*all, shown),
        _ => 0,
    }
}

/// A record as commands name it.
fn named(record: &str) -> FileArg {
    FileArg::from(Path::new(record))
}
