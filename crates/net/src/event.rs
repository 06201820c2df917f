//! What a [`Net`](crate::Net) reports.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use driftless_core::id::DeviceId;

use crate::budget::FramePermit;
use crate::close::Cause;
use crate::config::Class;

/// Where events go. It is called from the tasks of the network, so it must not block; it puts the
/// event into a queue of its own. What bounds that queue is the [`FramePermit`] in each frame.
pub type Sink = Arc<dyn Fn(NetEvent) + Send + Sync>;

/// What happened on the network. For one peer the order is: `Connected`, then any number of
/// `Frame` and `Writable` of the same `conn`, maybe `Elsewhere`, then `Disconnected`; and again with a greater `conn`.
pub enum NetEvent {
    /// A link to a member is up.
    Connected {
        /// The member.
        peer: DeviceId,
        /// Number of the link: unique and increasing within this `Net`.
        conn: u64,
        /// The address in use, for people.
        route: String,
        /// Where the member was met, if the way to it is a direct one.
        address: Option<SocketAddr>,
    },
    /// A member says that another process with this device's key has connected to it: a copy of this
    /// device's data is in use. The link ends.
    Elsewhere {
        /// The member.
        peer: DeviceId,
    },
    /// The link is gone, and whatever was queued on it.
    Disconnected {
        /// The member.
        peer: DeviceId,
        /// Which link.
        conn: u64,
        /// Why.
        cause: Cause,
        /// Why, for people.
        reason: String,
    },
    /// A connection was turned away within the handshake, before one byte of it was read. One in a
    /// while is told, however many there are.
    Refused {
        /// Who it was, by its key.
        peer: DeviceId,
        /// Why.
        cause: Cause,
    },
    /// A frame has arrived; in order within its class.
    Frame {
        /// Who sent it.
        peer: DeviceId,
        /// Over which link.
        conn: u64,
        /// In which class.
        class: Class,
        /// The frame.
        bytes: Bytes,
        /// To be dropped when the frame has been dealt with: no more is read from the peer while
        /// too many bytes are out.
        permit: FramePermit,
    },
    /// A queue that refused a frame has room again.
    Writable {
        /// The member.
        peer: DeviceId,
        /// Which link.
        conn: u64,
        /// Which queue.
        class: Class,
    },
}

impl fmt::Debug for NetEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { peer, conn, route, .. } => {
                write!(f, "Connected {peer:?} #{conn} over {route}")
            }
            Self::Elsewhere { peer } => write!(f, "Elsewhere {peer:?}"),
            Self::Disconnected { peer, conn, reason, .. } => {
                write!(f, "Disconnected {peer:?} #{conn}: {reason}")
            }
            Self::Refused { peer, cause } => write!(f, "Refused {peer:?}: {cause:?}"),
            Self::Frame { peer, conn, class, bytes, .. } => {
                write!(f, "Frame {peer:?} #{conn} {class:?} of {} bytes", bytes.len())
            }
            Self::Writable { peer, conn, class } => {
                write!(f, "Writable {peer:?} #{conn} {class:?}")
            }
        }
    }
}
