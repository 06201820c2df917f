//! How far a replica is, for its users.

use crate::id::DeviceId;

/// What a user sees of the state of sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// A joiner that has met nobody yet.
    Uninitialized,
    /// A lane of which nothing is exact yet is being fetched.
    Backfilling {
        /// From whom.
        peer: DeviceId,
        /// Change sets that the pages have come to.
        done: u64,
        /// Change sets that they must come to.
        total: u64,
    },
    /// Peers hold change sets that are not here yet.
    CatchingUp {
        /// How many.
        behind: u64,
    },
    /// Everything that connected peers hold is here.
    Ready,
}
