//! Applying change sets: each is a step that commits only when its needs are met.

use std::collections::BTreeMap;

use super::{Engine, Now};
use crate::change::{Change, ChangeSet};
use crate::codec::CodecError;
use crate::id::{DeviceId, Dot, Origin, Seq};
use crate::merge;
use crate::store::Store;
use crate::version::Vector;

/// How many change sets one batch applies at most, so that local writes wait for little.
const BUDGET: usize = 2_000;

/// Change sets that wait: for their predecessor, for what they need, or for the next batch.
#[derive(Default)]
pub(super) struct Pending {
    sets: BTreeMap<Origin, BTreeMap<Seq, (DeviceId, ChangeSet)>>,
    bytes: usize,
    over_budget: bool,
}

impl Pending {
    /// Whether some could be applied but were left for the next batch.
    pub(super) fn is_blocked_by_budget(&self) -> bool {
        self.over_budget
    }

    /// Those that wait, and who sent them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&DeviceId, &ChangeSet)> {
        self.sets.values().flat_map(BTreeMap::values).map(|(from, set)| (from, set))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.sets.values().map(BTreeMap::len).sum()
    }

    /// How far the stream of `origin` is here, without gaps, behind `have`.
    pub(super) fn end(&self, origin: &Origin, have: Seq) -> Seq {
        let waiting = self.sets.get(origin).into_iter().flat_map(|stream| stream.range(have + 1..));
        waiting.fold(have, |end, (seq, _)| if *seq == end + 1 { *seq } else { end })
    }

    /// Keeps a change set that `vector` lacks, unless it would take more than `limit` bytes in all:
    /// then it is dropped and will be pulled again.
    pub(super) fn add(&mut self, from: DeviceId, set: ChangeSet, vector: &Vector, limit: usize) {
        let dot = set.dot();
        let size = set.bytes().len();
        let next = vector.seq(&dot.origin).saturating_add(1);
        if dot.seq < next || (dot.seq > next && self.bytes.saturating_add(size) > limit) {
            return;
        }
        let stream = self.sets.entry(dot.origin).or_default();
        if let Some((_, old)) = stream.insert(dot.seq, (from, set)) {
            self.bytes -= old.bytes().len();
        }
        self.bytes += size;
    }

    /// Takes out the next change set that can be applied to a state with this vector. Those that
    /// the vector covers are forgotten.
    fn take_next(&mut self, vector: &Vector) -> Option<(DeviceId, ChangeSet)> {
        let bytes = &mut self.bytes;
        let mut found = None;
        self.sets.retain(|origin, stream| {
            if found.is_some() {
                return true;
            }
            let have = vector.seq(origin);
            while let Some(first) = stream.first_entry() {
                if *first.key() > have {
                    break;
                }
                *bytes -= first.remove().1.bytes().len();
            }
            if let Some(first) = stream.first_entry() {
                let header = first.get().1.header();
                if header.seq == have + 1 && vector.meets(&header.needs) {
                    let taken = first.remove();
                    *bytes -= taken.1.bytes().len();
                    found = Some(taken);
                }
            }
            !stream.is_empty()
        });
        found
    }
}

impl Engine {
    /// Applies what can be applied, up to the budget.
    pub(super) fn drain_pending<S: Store>(
        &mut self,
        store: &mut S,
        now: Now,
    ) -> Result<(), S::Error> {
        self.pending.over_budget = false;
        for _ in 0..BUDGET {
            let Some((from, set)) = self.pending.take_next(store.vector()) else { return Ok(()) };
            self.apply(store, from, &set, now)?;
        }
        self.pending.over_budget = true;
        Ok(())
    }

    /// Applies one change set whose predecessor and needs are there.
    fn apply<S: Store>(
        &mut self,
        store: &mut S,
        from: DeviceId,
        set: &ChangeSet,
        now: Now,
    ) -> Result<(), S::Error> {
        let header = set.header();
        let head = store.vector().head(&header.origin).map_or([0; 32], |head| head.hash);
        if header.prev != head {
            self.on_fork(from, header.origin, header.seq);
            return Ok(());
        }
        let changes = match set.changes() {
            Ok(changes) => changes,
            Err(error) => {
                self.refuse(from, set, &error);
                return Ok(());
            }
        };
        if let Err(error) = check_causality(&changes, store.vector()) {
            self.refuse(from, set, &error);
            return Ok(());
        }
        let dot = set.dot();
        for change in &changes {
            self.count(false, change.model, 1);
            if store.missing().has_record(change.model, &change.key) {
                // It is in the log, from which it is merged when the record is back (`recall`).
                continue;
            }
            let mut record = store.record(change.model, &change.key)?;
            self.mirror_before(store, change.model, &change.key, &record)?;
            let old = merge::overwritten(&record, &change.op, store.keeps_older_than(header.hlc));
            let covered = |seen: &Dot| *seen == dot || store.vector().covers(seen);
            let lost = merge::apply(&mut record, &change.op, dot, header.hlc, covered);
            self.count_superseded(change, &record, &dot);
            store.put_record(change.model, &change.key, &record)?;
            if !lost.is_empty() {
                store.keep_lost(change.model, &change.key, &lost, dot)?;
            }
            if !old.is_empty() {
                store.keep_overwritten(change.model, &change.key, &old, dot)?;
            }
        }
        store.append(set)?;
        if self.clock.absorb(header.hlc, now.wall_ms) {
            store.set_clock(self.clock.last())?;
        }
        Ok(())
    }

    /// A change set that no version of this program writes. It does not enter, and whoever hands it
    /// on is told.
    fn refuse(&mut self, from: DeviceId, set: &ChangeSet, error: &CodecError) {
        self.disconnect(from, format!("change set {} cannot be read: {error}", set.dot()));
    }
}

/// Changes may name only what their writer can have seen, which is within their needs: else the
/// state would depend on the order of arrival.
fn check_causality(changes: &[Change], vector: &Vector) -> Result<(), CodecError> {
    for change in changes {
        if !change.is_grounded() {
            return Err(CodecError::Invalid { what: "the number of lives that it saw", found: 0 });
        }
        if let Some(unseen) = change.dots().find(|dot| !vector.covers(dot)) {
            return Err(CodecError::Invalid { what: "a dot that it names", found: unseen.seq });
        }
    }
    Ok(())
}
