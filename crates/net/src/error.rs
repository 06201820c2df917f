//! What can go wrong at the face of this crate.

use std::net::SocketAddr;

use driftless_core::id::DeviceId;
use driftless_core::limits::MAX_FRAME_BYTES;
use iroh::endpoint::{BindError, InvalidSocketAddr};

/// Why the network could not be opened. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The address is nothing that can be listened on.
    #[error("cannot listen on {addr}")]
    Address {
        /// What was asked for.
        addr: SocketAddr,
        /// Why not.
        source: Box<InvalidSocketAddr>,
    },
    /// The sockets could not be opened.
    #[error("cannot open the network{}", .addr.map(|a| format!(" on {a}")).unwrap_or_else(String::new))]
    Bind {
        /// What was asked for.
        addr: Option<SocketAddr>,
        /// Why not.
        source: Box<BindError>,
    },
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Random(#[from] getrandom::Error),
}

/// Why a frame was not queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no link to the peer now.
    #[error("{peer} is not connected")]
    NotConnected {
        /// The peer.
        peer: DeviceId,
    },
    /// The queue of this class is full; a `Writable` event follows when there is room.
    #[error("{queued} bytes are waiting for {peer} already")]
    Full {
        /// The peer.
        peer: DeviceId,
        /// Bytes in the queue.
        queued: usize,
    },
    /// No peer would accept a frame of this size.
    #[error("a frame of {len} bytes is above the limit of {MAX_FRAME_BYTES}")]
    TooLarge {
        /// Its size.
        len: usize,
    },
}
