//! The gate: strangers are turned away within the handshake, before one byte of a stream is read.

use std::fmt;
use std::sync::Arc;

use driftless_core::id::DeviceId;
use iroh::endpoint::{AfterHandshakeOutcome, Connection, EndpointHooks};

use crate::close::Close;
use crate::endpoint::{LINK_ALPN, PAIR_ALPN};
use crate::shared::Shared;

/// Looks at each connection, ours and others', right after its handshake.
#[derive(Clone)]
pub(crate) struct Gate(pub(crate) Arc<Shared>);

impl Gate {
    /// Why this connection may not be, if so.
    fn objection(&self, conn: &Connection) -> Option<(Close, &'static str)> {
        let peer = DeviceId(*conn.remote_id().as_bytes());
        match conn.alpn() {
            LINK_ALPN if !self.0.members.is_member(&peer) => {
                Some((Close::NotMember, "not a member of this library"))
            }
            LINK_ALPN if self.0.is_paused(&peer) => Some((Close::Paused, "paused")),
            LINK_ALPN => None,
            PAIR_ALPN if self.0.pairing.as_ref().is_some_and(|pairing| pairing.is_open()) => None,
            PAIR_ALPN => Some((Close::NotInviting, "no invitation is open")),
            _ => Some((Close::Protocol, "unknown protocol")),
        }
    }
}

impl EndpointHooks for Gate {
    async fn after_handshake<'a>(&'a self, conn: &'a Connection) -> AfterHandshakeOutcome {
        match self.objection(conn) {
            None => AfterHandshakeOutcome::Accept,
            Some((close, words)) => {
                let peer = DeviceId(*conn.remote_id().as_bytes());
                self.0.emit_refusal(peer, close.cause_here());
                AfterHandshakeOutcome::Reject {
                    error_code: close.code(),
                    reason: words.as_bytes().to_vec(),
                }
            }
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate of {:?}", self.0.me)
    }
}
