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

/// What of the internet's help an endpoint uses. With neither it sends nothing but to addresses that
/// it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outside {
    /// Relays carry what cannot go directly.
    pub relay: bool,
    /// Addresses of members are published and looked up.
    pub discovery: bool,
}

impl Outside {
    /// No relay, no discovery, no look-ups.
    pub const NONE: Self = Self { relay: false, discovery: false };
    /// All of it.
    pub const ALL: Self = Self { relay: true, discovery: true };
}

/// What a [`Net`](crate::Net) is told at its start.
pub struct NetConfig {
    /// The device's ed25519 secret; its public key is the device id.
    pub secret: [u8; 32],
    /// Where to listen. `None`: on all interfaces, at a port of the system's choice.
    pub listen: Option<SocketAddr>,
    /// What of the internet's help is used.
    pub outside: Outside,
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
