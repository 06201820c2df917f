//! How far a replica is, for its users.

use crate::id::DeviceId;

/// What a user sees of the state of sync.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// A joiner that has met nobody yet.
    Uninitialized,
    /// Lanes of which nothing is exact yet are being fetched.
    Backfilling {
        /// From whom; one of them, if there are several.
        peer: DeviceId,
        /// Change sets that have come, of all these lanes.
        done: u64,
        /// Change sets that must come.
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
