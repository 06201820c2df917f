//! What waits here for something that it builds on, for people who ask.

use std::collections::BTreeSet;

use super::Engine;
use crate::id::{DeviceId, Dot, RecordKey, Seq};
use crate::schema::ModelId;
use crate::store::Store;

/// A change set that has come and cannot be applied yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waits {
    /// The change set.
    pub dot: Dot,
    /// Who sent it.
    pub from: DeviceId,
    /// What it builds on and is not here, of each origin the last; none if it only waits for its turn.
    pub lacks: Vec<Dot>,
}

impl Engine {
    /// The change sets that wait, up to `most`: those that change one of `records`, or all if none is
    /// named.
    pub fn waits<S: Store>(
        &self,
        store: &S,
        records: &BTreeSet<(ModelId, RecordKey)>,
        most: usize,
    ) -> Vec<Waits> {
        let vector = store.vector();
        let concerns = |set: &crate::change::ChangeSet| {
            let named =
                |change: crate::change::Change| records.contains(&(change.model, change.key));
            // What cannot be read concerns nobody; it is refused when its turn comes.
            records.is_empty() || set.changes().is_ok_and(|all| all.into_iter().any(named))
        };
        let waiting = self.pending.iter().filter(|(_, set)| concerns(set));
        let waits = waiting.map(|(from, set)| {
            let header = set.header();
            let before: (_, Seq) = (header.origin, header.seq.saturating_sub(1));
            let builds_on = header.needs.iter().copied().chain([before]);
            let lacks = builds_on.filter(|(origin, seq)| vector.seq(origin) < *seq);
            let lacks = lacks.map(|(origin, seq)| Dot::new(origin, seq)).collect();
            Waits { dot: set.dot(), from: *from, lacks }
        });
        waits.take(most).collect()
    }
}
