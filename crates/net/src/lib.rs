//! Driftless over iroh: one QUIC connection for each pair of members, frames in two classes, and
//! pairing. This crate moves bytes; what they mean is the affair of `driftless-core`.
//!
//! # A link, from both sides
//!
//! ```text
//! dialler                                        acceptor
//!   QUIC handshake, ALPN driftless/1   ────────►   no member, or paused: closed in words,
//!                                                  before one byte of a stream is read
//!   live stream: greeting              ────────►   another library: closed
//!   bulk and flow streams: a tag byte  ────────►   the hub decides: one link for a pair
//!                                      ◄────────   live stream: greeting; Connected
//!   the hub decides too; Connected
//!   frames, both ways, both streams    ◄───────►
//! ```
//!
//! A greeting names the library and the *instance*, a random number of this start of the process.
//! If two links of one pair compete, the newer wins if its peer's instance is new (the peer was
//! restarted and the old link is dead, though nobody told us yet), or if the same side dialled
//! both; else the one stays that the smaller device id dialled. Both sides compute the same.
//!
//! # Rooms
//!
//! [`Net`] is the handle. The *hub* is one task that owns what is known of each peer and decides
//! who is dialled when and which link stays; it alone says `Connected` and `Disconnected`, so
//! these come in order. The *gate* turns strangers away within the handshake. A *link* has a
//! reader and a writer for each class, so that no peer and no class waits for another.

mod accept;
mod backoff;
mod budget;
mod close;
mod config;
mod dial;
mod endpoint;
mod error;
mod event;
mod gate;
mod hub;
mod link;
mod net;
mod outbox;
mod pairing;
mod shared;
mod signs;
mod ticket;

pub use budget::{BULK_BUDGET_BYTES, FramePermit, LIVE_BUDGET_BYTES};
pub use close::{Cause, Cut};
pub use config::{Class, Membership, NetConfig, Outside};
pub use error::{NetError, SendError};
pub use event::{NetEvent, Sink};
pub use net::{Net, Traffic};
pub use outbox::{BULK_QUEUE_BYTES, LIVE_QUEUE_BYTES};
pub use pairing::{
    JoinConfig, Joined, OpenTicket, PairError, Pairing, PairingCode, Refusal, pair_join,
};
pub use ticket::{Ticket, TicketError, ticket_id};
