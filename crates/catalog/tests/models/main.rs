//! Every model of the catalogue on three devices: written, changed and deleted on the first, seen on
//! the second, and on a third that has never met the first.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod collection;
mod device;
mod entry;
mod location;
mod tag;
mod three;
mod user_metadata;
mod volume;
