//! What happens to a replica.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::id::DeviceId;
use crate::message::Message;

/// One thing that happened. Time comes with it, as [`Now`].
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection to a member stands.
    Connected(DeviceId),
    /// A connection ended.
    Disconnected(DeviceId),
    /// A message came over a connection.
    Message(DeviceId, Message),
    /// The certificates that this device holds, to be handed to peers.
    Certificates(Vec<Bytes>),
    /// The other members that count: nothing that one of them lacks is pruned, unless it is silent for
    /// longer than the retention. With each, since when it is a member, Unix milliseconds.
    Members(BTreeMap<DeviceId, u64>),
    /// Prunes now.
    Prune,
    /// What is held here may be older than what this device has written and told others: both its
    /// lanes go on under new epochs, so that no seq is used twice.
    Renew,
    /// So many records and rows were found to be damaged and were taken out: they are missing in the
    /// store.
    Damaged(u64),
    /// A deadline of [`super::Engine::next_deadline`] has passed.
    Tick,
    /// Asks peers for their whole state; each answer is an [`super::Event::Answered`].
    Probe(u64),
    /// Sends the digests to this peer and asks for its own.
    Verify(DeviceId),
}

/// The time, twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// The wall clock, Unix milliseconds; may jump.
    pub wall_ms: u64,
    /// A steady clock in milliseconds, for deadlines.
    pub steady_ms: u64,
}
