//! What a checker found.

/// A promise of the design.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Vectors and clocks only grow, over crashes too.
    Grows,
    /// Whoever holds a change set holds all that its writer had seen, and nobody made it up.
    Closed,
    /// An exact lane is what its owner had at that seq.
    Lane,
    /// An owner has the rows that it wrote.
    Own,
    /// Nothing is told or taken for acknowledged that is not durable.
    Durable,
    /// Nothing is forgotten that a member lacks.
    Pruned,
    /// Equal states are equal, byte for byte, and so are their digests.
    Equal,
    /// Kept digests are those of the rows.
    Digest,
    /// Later change sets of one writer have later times.
    Clock,
    /// A state is the fold of the change sets that it holds.
    Fold,
    /// What shows follows from the stamps.
    Shown,
    /// A writer sees its own writes.
    Write,
    /// What is lost or repeated does not grow into more and more messages.
    Flood,
    /// A tick makes progress.
    Busy,
    /// A store does not fail of itself.
    Store,
    /// What is in a history was written so, and all that it is said to hold is in it.
    History,
    /// Honest peers find no fault with each other.
    Peace,
    /// Once all is well, everything is everywhere soon.
    Converges,
    /// Once everything is everywhere, only the refresh is sent.
    Silent,
}

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{rule:?} at {at_ms} ms: {what}")]
pub struct Violation {
    /// Which promise.
    pub rule: Rule,
    /// How.
    pub what: String,
    /// When, in virtual milliseconds.
    pub at_ms: u64,
}
