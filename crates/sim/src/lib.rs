//! The simulator: the real engine over the reference store, in a world where time is virtual and
//! everything random follows from one seed.
//!
//! A run has three parts. While the [`plan`] lasts, users write, and networks, clocks and machines
//! fail; after every step of a replica the checkers look at it. Then everything heals, and must
//! converge within a bounded time. Then it must be silent.
//!
//! What is checked stands in [`violation::Rule`]; the checkers share no code with the merge and the
//! commit of the engine. [`bug::Bug`] lists the deliberate bugs by which the checkers are checked.

mod actions;
pub mod base;
mod bench;
pub mod bug;
mod check;
pub mod faults;
mod finale;
pub mod fold;
pub mod ledger;
mod links;
pub mod models;
pub mod network;
mod past;
pub mod plan;
pub mod rare;
mod replica;
pub mod rng;
pub mod scale;
pub mod shrink;
mod step;
pub mod trace;
mod undoing;
pub mod violation;
mod waits;
mod workload;
pub mod world;
