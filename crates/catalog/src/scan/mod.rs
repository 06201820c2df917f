//! What the indexer knows about file systems, and nothing about sync.
//!
//! * [`walk`] lists a tree, streaming, in a fixed order, without following links;
//! * [`hash`] gives files their content hash on two threads;
//! * [`volume`] tells which drive a path is on, by a fingerprint that survives remounting;
//! * [`progress`] counts, and estimates what remains;
//! * [`name`] turns names from bytes to text and finds extensions.
//!
//! Trees change while they are looked at, so whatever goes wrong below the root is a [`Problem`]
//! with its path and never ends the work.

mod dir;
pub mod hash;
mod meta;
pub mod name;
mod problem;
pub mod progress;
pub mod volume;
pub mod walk;

pub use hash::{Cancel, Done, HashPool, Hashed, Job, Outcome, PoolError};
pub use meta::{FileTime, Kind, Meta, look_below};
pub use name::{extension, name_text};
pub use problem::{Problem, RootError, What};
pub use progress::{Progress, Total};
pub use volume::{Volume, VolumeError, volume_of};
pub use walk::{Found, Listed, Options, Step, Walk};
