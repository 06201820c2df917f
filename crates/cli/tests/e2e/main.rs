//! The real program, from end to end: daemons that are processes, connections on loopback, commands
//! as people and scripts give them.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod absences;
mod bad_input;
mod bench;
mod causes;
mod commands;
mod common;
mod daemon;
mod damage;
mod dashboard;
mod demo;
mod doctor;
mod events;
mod history;
mod http;
mod kills;
mod locations;
mod long_away;
mod meetings;
mod merging;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod prompts;
mod restored;
mod said;
mod size;
mod terminal;
mod top;
mod tour;
mod traces;
mod watch;
mod web;
