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

use crate::args::FileArg;
use crate::failure::Failure;

/// Fills a template.
fn filled(template: &impl Template) -> Result<String, Failure> {
    template.render().map_err(|error| Failure::internal(format!("a page cannot be made: {error}")))
}

/// A record as commands name it.
fn named(record: &str) -> FileArg {
    FileArg::from(Path::new(record))
}
