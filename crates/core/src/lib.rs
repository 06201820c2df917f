//! What a Driftless replica *does*: identity, clock, version vectors, schema, merge, messages and
//! the protocol engine.
//!
//! This crate is deterministic and does no I/O: no clock, no threads, no randomness of its own.
//! Time and randomness come in as arguments; storage is behind one trait.

pub mod change;
pub mod clock;
pub mod codec;
pub mod digest;
pub mod engine;
pub mod id;
pub mod ids;
pub mod limits;
pub mod mem;
pub mod member;
pub mod merge;
pub mod message;
pub mod neighbours;
pub mod page;
pub mod record;
pub mod schema;
pub mod store;
pub mod undo;
pub mod value;
pub mod version;
