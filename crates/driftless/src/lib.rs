//! Driftless keeps a library — the SQLite data of one person or team — the same on every device,
//! with no server and no leader.
//!
//! A [`Library`] is a directory with a `library.db` in it. [`Library::write`] runs a transaction: its
//! rows are durable when it returns, and reach every other device by themselves while
//! [`Library::sync`] is on. [`Library::query`] gives a read-only SQLite connection for plain SQL.
//! Models are structs with `#[derive(Syncable)]`.
//!
//! ```
//! use driftless::{Library, Models, Syncable, Uuid};
//!
//! #[derive(Syncable)]
//! #[sync(shared)]
//! struct Todo {
//!     id: Uuid,
//!     title: String,
//!     done: bool,
//! }
//!
//! # fn main() -> Result<(), driftless::Error> {
//! # let place = tempfile::tempdir().unwrap();
//! # let dir = place.path().join("library");
//! let models = Models::new().with::<Todo>();
//! let library = Library::create(&dir, &models, "Home", "laptop")?;
//! let id = library.write(|tx| {
//!     let todo = Todo { id: tx.new_id(), title: "Water the plants".into(), done: false };
//!     tx.insert(&todo)?;
//!     Ok::<_, driftless::Error>(todo.id)
//! })?;
//! library.write(move |tx| tx.update(id, |todo: &mut Todo| todo.done = true))?;
//! let open: i64 = library.query(|db| {
//!     db.query_row("SELECT count(*) FROM todo WHERE NOT done", [], |row| row.get(0))
//! })??;
//! assert_eq!(open, 0);
//! # Ok(())
//! # }
//! ```

mod conflicts;
pub mod device;
mod error;
mod events;
mod invite;
mod join;
mod key;
mod library;
mod live;
mod members;
mod models;
mod quarantine;
mod reader;
mod settings;
mod snapshot;
mod status;
mod sync;
mod time;
mod tx;
mod verify;
mod wait;
mod writer;

pub use driftless_core as core;
pub use driftless_core::id::{DeviceId, Dot, LibraryId, RecordKey, derived_id};
pub use driftless_core::schema::Syncable;
pub use driftless_derive::Syncable;
pub use driftless_net::{PairError, PairingCode, Refusal, Ticket, TicketError};
pub use driftless_store::{Reason, RowState, Snapshot, StoreError};
pub use rusqlite;
pub use uuid::Uuid;

pub use conflicts::{Conflict, Resolution, Sibling};
pub use device::Device;
pub use error::Error;
pub use events::{Change, Subscription};
pub use invite::PairingNotice;
pub use join::join;
pub use library::Library;
pub use live::{LiveQuery, StatusStream};
pub use members::Member;
pub use models::Models;
pub use quarantine::{Retried, Waiting};
pub use reader::{all, get};
pub use settings::{Setting, milliseconds};
pub use status::{PeerStatus, Status};
pub use sync::SyncOptions;
pub use tx::WriteTx;
pub use verify::{Comparison, FileCheck};
pub use wait::{PeerProgress, Progress};
