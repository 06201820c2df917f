//! Driftless on SQLite: `library.db`, the truth, and `sync.db`, the peer log and history.
//!
//! [`SqliteStore`] is the [`driftless_core::store::Store`] that devices run on: it belongs to one
//! thread, owns the only connection that writes, and keeps rows, stamps, digests and the vector in
//! one transaction. [`Snapshot`] reads beside it, from any thread. The tables are described in
//! `docs/storage.md`.
//!
//! Nothing here knows of the network, of threads or of a runtime.

mod as_of;
mod backup;
mod bind;
mod conflict;
mod damage;
mod durable;
mod error;
mod events;
mod fields;
mod floors;
mod format;
mod gaps;
mod handover;
mod held;
mod history;
mod identity;
mod lane;
mod layout;
mod local;
mod lock;
mod log;
mod migrate;
mod mirror;
mod missing;
mod open;
mod origins;
mod own;
mod owned;
mod past;
mod pin;
mod project;
mod quarantine;
mod range;
mod retry;
mod room;
mod row;
mod scan;
mod scrub;
mod serve;
mod session;
mod shared;
mod short;
mod sizes;
mod snapshot;
mod state;
mod store;
mod sweep;
mod synclog;
mod transaction;
mod trend;
mod whole;
mod wholeness;

pub use as_of::AsOf;
pub use backup::{back_up, restore};
pub use conflict::Conflict;
pub use damage::Taken;
pub use error::StoreError;
pub use events::{EVENTS_KEPT_MS, EventRow, MOST_EVENTS};
pub use history::HistoryLimits;
pub use identity::Identity;
pub use local::Local;
pub use lock::DirLock;
pub use log::Kind;
pub use missing::Salvage;
pub use open::{SqliteStore, StoreOptions};
pub use past::{Kept, Logged, Past};
pub use quarantine::{Quarantined, Reason};
pub use room::Room;
pub use scan::{BadRow, RowsRead};
pub use scrub::Scrubbed;
pub use sizes::Sizes;
pub use snapshot::{RowState, Snapshot};
pub use trend::{TREND_STEPS, TrendSample, trend_step};
