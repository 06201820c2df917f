//! The engine, message by message: each handler, and the schedules that broke earlier designs.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod away;
mod compare;
mod damage;
mod handlers;
mod history;
mod lanes;
mod lost;
mod meeting;
mod news;
mod reconcile;
mod restored;
mod scenarios;
mod steps;
mod table;
