//! What must have happened in a run over many seeds: paths that are never taken show nothing.

use crate::world::Counts;

/// The rare things, by the names under which they are counted.
pub const RARE: [&str; 54] = [
    "crashes after the commit",
    "crashes before the commit",
    "rolled back",
    "given up alone",
    "kills",
    "breaks",
    "cuts",
    "one-way cuts",
    "away",
    "left for ever",
    "flaps",
    "clocks stopped",
    "visible before it was durable",
    "power cuts that took something",
    "frames lost",
    "batches of several",
    "pull",
    "owned_pull",
    "more",
    "answered",
    "compared",
    "not comparable",
    "a delta of one page",
    "session: page of a full one",
    "session: page of a delta",
    "session: a full one done",
    "session: a delta done",
    "session: a full one dropped",
    "session: a delta dropped",
    "away for years",
    "evicted",
    "logs lost",
    "restored what was older",
    "in doubt: met",
    "in doubt: ended",
    "in doubt: renewed",
    "pruned",
    "reset",
    "reconcile: begun",
    "reconcile: done",
    "reconcile: dead dots dropped",
    "reconcile: a joiner came in",
    "reconcile: abandoned",
    "reconcile: goes on with another peer",
    "reconcile: the asking side crashes",
    "reconcile: the serving side crashes",
    "session: a full one begun anew",
    "history: a page handed over",
    "history: handed over",
    "history: handed over to a joiner",
    "undo: a creation",
    "undo: a delete",
    "undo: a write",
    "undo: something in the way",
];

/// Seeds after which all of them must have happened, when everything may go wrong.
pub const ENOUGH: u64 = 1_000;

/// Those that never happened.
pub fn never(counts: &Counts) -> Vec<&'static str> {
    RARE.into_iter().filter(|what| counts.get(what).is_none_or(|count| *count == 0)).collect()
}
