//! What replicas hold of the history, also what was handed to them, held against the ledger.

use std::collections::BTreeSet;

use driftless_core::id::Dot;
use driftless_core::store::Store;

use crate::violation::{Rule, Violation};
use crate::world::World;

impl World {
    /// Every change set of the history is what its writer committed, there is one of each, and none is
    /// lacking that was written since the history is said to be whole.
    pub(crate) fn check_history(&self, i: usize) -> Result<(), Violation> {
        let store = &self.replicas[i].store;
        let (sets, begins_ms) = store.history().map_err(|error| self.store_failed(i, &error))?;
        let mut held: BTreeSet<Dot> = BTreeSet::new();
        for set in sets {
            let dot = set.dot();
            let written = self.ledger.get(&dot).is_some_and(|entry| entry.head == set.head().hash);
            if !written || !store.vector().covers(&dot) || !held.insert(dot) {
                let what = format!("{i} has {dot:?} in its history, which nobody committed so");
                return Err(self.violation(Rule::History, what));
            }
        }
        // A time that nobody took over says nothing of when its writer is ahead.
        let Some(begins_ms) = begins_ms.filter(|_| self.plan.has_good_clocks()) else {
            return Ok(());
        };
        for (origin, head) in store.vector().iter() {
            let dots = (1..=head.seq).map(|seq| Dot::new(*origin, seq));
            for dot in dots.filter(|dot| !held.contains(dot)) {
                let entry = self.ledger.get(&dot);
                if let Some(entry) = entry.filter(|entry| entry.hlc.ms() >= begins_ms) {
                    let at = entry.hlc.ms();
                    let what = format!(
                        "{i} lacks {dot:?} of {at}, and is said to have all since {begins_ms}"
                    );
                    return Err(self.violation(Rule::History, what));
                }
            }
        }
        Ok(())
    }
}
