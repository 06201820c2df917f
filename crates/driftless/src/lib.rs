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
//!
//! **Models** are structs with `#[derive(Syncable)]` ([`macro@Syncable`] has its attributes); their
//! tables are made from them. Who may write a record, and how two writes merge, is said on the
//! struct: `shared` records are everybody's and merge field by field, `owned` rows only their device
//! writes, a `link` is there or not. [`Device`] is the one model that every library has.
//!
//! **Other devices** come in by a ticket: [`Library::invite`] on one, [`join`] on the other. While
//! [`Library::sync`] is on, everything goes by itself; [`Library::wait`] waits until everybody has
//! everything, [`Library::verify`] proves it, [`Library::status`] says how things stand.
//!
//! **Hearing of changes**: [`Library::subscribe`] tells which models changed, [`Library::live`] a
//! query's result whenever it has become another, [`Library::subscribe_status`] the state of sync.
//! Each is an iterator that waits on the calling thread, and has an async `changed` that any executor
//! can run.
//!
//! **Waiting**: calls wait on the disk, on the calling thread. In async code they belong on a thread
//! that may wait, as in `examples/axum.rs`:
//!
//! ```
//! # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
//! # use home::*;
//! # let library = std::sync::Arc::new(home()?);
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(async {
//! let shared = library.clone();
//! let status = tokio::task::spawn_blocking(move || shared.status()).await.unwrap()?;
//! assert_eq!(status.name, "Home");
//! # Ok::<(), driftless::Error>(())
//! # })?;
//! # Ok::<(), driftless::Error>(())
//! ```

mod backup;
mod conflicts;
mod damage;
pub mod device;
mod error;
mod event_log;
mod events;
mod evict;
mod found;
mod guard;
mod history;
mod invite;
mod join;
mod key;
mod library;
mod live;
mod members;
mod metrics;
mod models;
mod neighbourhood;
mod pace;
mod quarantine;
mod query;
mod random;
mod reader;
mod room;
mod settings;
mod snapshot;
mod status;
mod sync;
mod time;
mod tx;
mod verify;
mod wait;
mod why;
mod writer;

pub use driftless_core as core;
/// # In a program
///
/// ```
/// use driftless::{Uuid, derived_id};
///
/// // Two devices that star the same thing before they meet make one star.
/// let thing = Uuid::from_u128(7);
/// let star = derived_id("star", &[thing.as_bytes()]);
/// assert_eq!(star, derived_id("star", &[thing.as_bytes()]));
/// assert_ne!(star, derived_id("flag", &[thing.as_bytes()]));
/// ```
#[doc(inline)]
pub use driftless_core::id::derived_id;
/// # In a program
///
/// Ids compare, sort, print and can be read again.
///
/// ```
/// use driftless::{DeviceId, RecordKey, Uuid};
///
/// let device = DeviceId([7; 32]);
/// assert_eq!(device.to_string().parse::<DeviceId>().ok(), Some(device));
/// assert_eq!(RecordKey::from(Uuid::nil()).to_string(), Uuid::nil().to_string());
/// ```
#[doc(inline)]
pub use driftless_core::id::{DeviceId, Dot, LibraryId, RecordKey};
/// # In a program
///
/// ```
/// use driftless::{Syncable, Uuid};
///
/// #[derive(Syncable, PartialEq, Debug)]
/// #[sync(shared, index(title))]
/// struct Todo {
///     id: Uuid,
///     title: String,
///     #[sync(rule = "counter")]
///     postponed: i64,
///     note: Option<String>,
/// }
///
/// let model = Todo::descriptor();
/// assert_eq!((model.name.as_str(), model.fields.len()), ("todo", 3));
/// let todo = Todo { id: Uuid::nil(), title: "Water".into(), postponed: 0, note: None };
/// assert_eq!(Todo::from_values(&todo.key(), todo.values()).ok(), Some(todo));
/// ```
#[doc(inline)]
pub use driftless_core::schema::Syncable;
/// # In a program
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::{Syncable, Uuid};
/// #[derive(Syncable)]
/// #[sync(owned)] // or shared, or link
/// struct Reading {
///     id: Uuid,
///     value: i64,
///     #[sync(ty = "time")]
///     taken_at: Option<i64>,
/// }
/// # assert_eq!(Reading::descriptor().name, "reading");
/// ```
#[doc(inline)]
pub use driftless_derive::Syncable;
/// # In a program
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// use driftless::Cause;
///
/// laptop.pause(Some(phone.device_id()))?;
/// let mut statuses = laptop.subscribe_status();
/// let paused = statuses.find(|status| {
///     status.as_ref().is_ok_and(|status| status.peers[0].cause == Some(Cause::PausedHere))
/// });
/// assert!(paused.is_some());
/// # Ok::<(), driftless::Error>(())
/// ```
#[doc(inline)]
pub use driftless_net::Cause;
/// # In a program
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// # let place = tempfile::tempdir().unwrap();
/// use driftless::{Error, PairError, PairingCode, Refusal, join};
///
/// library.sync(loopback())?;
/// let ticket = library.invite(60_000)?;
/// let compare = |code: PairingCode, _library: &str| code.to_string().len() == 6;
/// let joined = join(&place.path().join("a"), &models(), &ticket, "phone", &loopback(), compare);
/// assert!(joined.is_ok());
/// // A ticket works once.
/// let again = join(&place.path().join("b"), &models(), &ticket, "tablet", &loopback(), compare);
/// assert!(matches!(again, Err(Error::Pair(PairError::Refused(Refusal::Used)))));
/// # Ok::<(), driftless::Error>(())
/// ```
#[doc(inline)]
pub use driftless_net::{PairError, PairingCode, Refusal};
/// # In a program
///
/// ```
/// use driftless::{Ticket, TicketError};
///
/// // What people type or scan is read by `parse`, and refused in words.
/// let refused = "hello".parse::<Ticket>();
/// assert_eq!(refused.err(), Some(TicketError::NotATicket));
/// ```
#[doc(inline)]
pub use driftless_net::{Ticket, TicketError};
/// # In a program
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::Reason;
///
/// let waiting = library.quarantine(100)?;
/// // A newer version on another device wrote what this one does not know.
/// let newer = waiting.iter().any(|waiting| waiting.reason == Reason::UnknownModel);
/// assert!(!newer);
/// # Ok::<(), driftless::Error>(())
/// ```
#[doc(inline)]
pub use driftless_store::Reason;
/// # In a program
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let room: driftless::Room = library.room()?;
/// assert!(room.sync() >= room.stamps + room.log);
/// # Ok::<(), driftless::Error>(())
/// ```
#[doc(inline)]
pub use driftless_store::Room;
/// # In a program
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// use driftless::{Error, StoreError};
///
/// // A row belongs to the device that wrote it.
/// let id = Uuid::from_u128(7);
/// laptop.write(move |tx| tx.put(&Reading { id, value: 20 }))?;
/// laptop.wait(std::time::Duration::from_secs(60), false)?;
/// let refused = phone.write(move |tx| tx.put(&Reading { id, value: 21 }));
/// assert!(matches!(refused, Err(Error::Store(StoreError::NotOwner { .. }))));
/// # Ok::<(), driftless::Error>(())
/// ```
#[doc(inline)]
pub use driftless_store::StoreError;
/// # In a program
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::{RowState, Snapshot};
///
/// library.write(|tx| tx.put(&Reading { id: Uuid::from_u128(7), value: 20 }))?;
/// let snapshot: Snapshot = library.snapshot()?;
/// let rows: Vec<RowState> = snapshot.rows(Reading::descriptor().id, None, 100)?;
/// assert_eq!(rows[0].device, library.device_id());
/// # Ok::<(), driftless::Error>(())
/// ```
#[doc(inline)]
pub use driftless_store::{RowState, Snapshot};
pub use rusqlite;
pub use uuid::Uuid;

pub use conflicts::{Conflict, Resolution, Sibling};
pub use damage::{Damage, DamagedRecord, Examined};
pub use device::Device;
pub use error::Error;
pub use event_log::{EventFilter, EventKind, EventStream, NoSeverity, Severity, SyncEvent};
pub use events::{Change, StandingStream, Subscription};
pub use evict::Pruned;
pub use history::{
    Checkpoint, Deed, Deleted, FieldChange, HistoryEntry, LogEntry, LogFilter, RecordChange,
    Replaced, UndoObstacle, UndoPlan, UndoStep, Undone,
};
pub use invite::PairingNotice;
pub use join::join;
pub use library::Library;
pub use live::{LiveQuery, StatusStream};
pub use members::Member;
pub use metrics::{Metric, MetricKind, MetricSample, Trend, TrendPoint, prometheus};
pub use models::Models;
pub use pace::Standing;
pub use quarantine::{Retried, Waiting};
pub use reader::{all, get};
pub use settings::{Setting, milliseconds};
pub use status::{PeerStatus, Status};
pub use sync::SyncOptions;
pub use tx::WriteTx;
pub use verify::{Comparison, FileCheck};
pub use wait::{PeerProgress, Progress};
pub use why::{Delivery, LastChange, NextStep, RecordHere, WaitingSet, Why, WhyNot, WhyRecord};
