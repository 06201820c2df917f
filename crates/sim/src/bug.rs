//! The deliberate bugs with which the checkers are checked.

/// A deliberate bug around the engine. A run with one of them must end in a violation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// Effects are carried out before the transaction is durable.
    AcknowledgeBeforeCommit,
    /// Of concurrent values the one with the lowest stamp shows.
    ReversedStamps,
    /// Some remote changes are taken for applied: the vector moves over them.
    SkippedRange,
    /// Some pages lack their last row.
    LostRow,
    /// Pages lack the tombstones.
    LostTombstone,
    /// What a commit wrote is sometimes lost in a crash.
    LostCommit,
    /// The time of the clock is not kept over restarts.
    ForgottenClock,
    /// The version that came last replaces its siblings.
    LastComerWins,
    /// A page moves a lane's head without its rows.
    HeadWithoutRows,
    /// Deleted records stay.
    IgnoredDelete,
    /// A log entry in the middle of a range is not sent.
    HoleInLog,
    /// The digest of some rows is not kept.
    StaleDigest,
    /// The log is pruned of what a member has not acknowledged.
    PrunedEarly,
    /// Tombstones go before every member has them.
    EarlyTombstones,
    /// A crash takes the last local commit, and its seq is used again.
    ReusedSeq,
    /// Change sets do not say what they build on, so they are applied without it.
    NoNeeds,
    /// A reconcile keeps dots that are dead at the peer.
    DeadDotsKept,
    /// A reconcile drops dots that the peer has not seen.
    UnseenDotsDropped,
    /// The floor is not raised after a reconcile.
    FloorNotRaised,
    /// A history is said to be whole that is not.
    BoastedHistory,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 20] = [
        Bug::AcknowledgeBeforeCommit,
        Bug::ReversedStamps,
        Bug::SkippedRange,
        Bug::LostRow,
        Bug::LostTombstone,
        Bug::LostCommit,
        Bug::ForgottenClock,
        Bug::LastComerWins,
        Bug::HeadWithoutRows,
        Bug::IgnoredDelete,
        Bug::HoleInLog,
        Bug::StaleDigest,
        Bug::PrunedEarly,
        Bug::EarlyTombstones,
        Bug::ReusedSeq,
        Bug::NoNeeds,
        Bug::DeadDotsKept,
        Bug::UnseenDotsDropped,
        Bug::FloorNotRaised,
        Bug::BoastedHistory,
    ];
}
