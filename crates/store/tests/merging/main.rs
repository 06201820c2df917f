//! Replicas on SQLite that write apart and meet in every order: the real engine, the real store, and
//! no network between them.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod life;
mod siblings;
mod world;
