//! What a [`Net`](crate::Net) is told at its start.

use std::net::SocketAddr;
use std::sync::Arc;

use driftless_core::id::{DeviceId, LibraryId};

use crate::pairing::Pairing;

/// Who belongs to the library. Asked within handshakes, so it has to answer at once.
pub trait Membership: Send + Sync {
    /// Whether `device` is a member now.
    fn is_member(&self, device: &DeviceId) -> bool;
}

/// What a [`Net`](crate::Net) is told at its start.
pub struct NetConfig {
    /// The device's ed25519 secret; its public key is the device id.
    pub secret: [u8; 32],
    /// Where to listen. `None`: on all interfaces, at a port of the system's choice.
    pub listen: Option<SocketAddr>,
    /// No relay, no discovery, no look-ups: nothing is asked of any network.
    pub offline: bool,
    /// The library that is synced over these links.
    pub library: LibraryId,
    /// Who may connect.
    pub members: Arc<dyn Membership>,
    /// Who answers joiners; without it no pairing connection is accepted.
    pub pairing: Option<Arc<dyn Pairing>>,
    /// Seed of the jitter between attempts to connect.
    pub jitter_seed: u64,
}

/// How urgent a frame is. Each class has a stream, a queue and a budget of its own, and keeps the
/// order of its frames; live goes before bulk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Small and urgent: new changes, vectors, acknowledgements.
    Live,
    /// Large and patient: pages, catch-up.
    Bulk,
}
