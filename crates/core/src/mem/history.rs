//! The history of the store in memory: the log, from which nothing is removed while one is kept.

use super::MemStore;
use crate::change::ChangeSet;
use crate::id::{Dot, Origin, Seq};
use crate::store::{EndedVersion, Gap, HistoryPage, PastSet, WantedHistory};
use crate::version::{Hash, Head};

/// The highest change set of a stream that is lacking, and before when it and those below it were
/// written, Unix milliseconds, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Lacking {
    head: Head,
    before_ms: u64,
}

impl MemStore {
    /// Keeps a history from now on, and takes in what was written since then (Unix milliseconds).
    pub fn keep_history(&mut self, since_ms: u64) {
        self.keeps_since = Some(since_ms);
    }

    /// The change sets that are kept, in the order in which they were applied.
    pub fn history(&self) -> &[ChangeSet] {
        &self.log
    }

    /// Since when every change set of the vector is kept, Unix milliseconds; `None` without a history.
    pub fn history_begin(&self) -> Option<u64> {
        let befores = self.open.gaps.values().map(|gap| gap.before_ms);
        self.keeps_since.map(|_| befores.max().unwrap_or(0))
    }

    fn kept(&self, origin: &Origin, seq: Seq) -> Option<usize> {
        self.log.iter().position(|set| set.dot() == Dot::new(*origin, seq))
    }

    /// The gap at or below a head whose change set may be kept.
    fn gap_below(&self, origin: &Origin, mut gap: Lacking) -> Option<Lacking> {
        while gap.head.seq > 0 {
            let Some(at) = self.kept(origin, gap.head.seq) else { return Some(gap) };
            let header = self.log[at].header();
            gap.head = Head { seq: header.seq - 1, hash: header.prev };
            gap.before_ms = gap.before_ms.min(header.hlc.ms().saturating_add(1));
        }
        None
    }

    fn latest(&self) -> u64 {
        self.open.clock.ms().saturating_add(1)
    }

    pub(super) fn adopted(&mut self, origin: Origin, head: Head) {
        let gap = Lacking { head, before_ms: self.latest() };
        self.open.gaps.insert(origin, gap);
    }

    /// What is below the floors is lost.
    pub(super) fn lose_history(&mut self) {
        self.log.clear();
        self.lost.clear();
        (self.open.logged, self.open.lost) = (0, 0);
        let before_ms = self.latest();
        let heads = self.open.vector.iter();
        self.open.gaps =
            heads.map(|(origin, head)| (*origin, Lacking { head: *head, before_ms })).collect();
    }

    pub(super) fn lacking_history(&self) -> WantedHistory {
        let Some(since_ms) = self.keeps_since else { return WantedHistory::default() };
        let wanted = self.open.gaps.iter().filter(|(_, gap)| gap.before_ms > since_ms);
        let gap = |(origin, gap): (&Origin, &Lacking)| Gap {
            origin: *origin,
            seq: gap.head.seq,
            hash: gap.head.hash,
        };
        WantedHistory { since_ms, gaps: wanted.map(gap).collect() }
    }

    pub(super) fn past_below(&self, wanted: &WantedHistory, max_bytes: usize) -> HistoryPage {
        let mut next: Vec<(Origin, Seq, Hash)> =
            wanted.gaps.iter().map(|gap| (gap.origin, gap.seq, gap.hash)).collect();
        let whole_since_ms = self.history_begin();
        let mut page = HistoryPage { sets: Vec::new(), more: false, whole_since_ms };
        let mut bytes = 0;
        // The last applied of those that are next, whichever stream it is of.
        loop {
            let found = |(at, (origin, seq, _)): (usize, &(Origin, Seq, Hash))| {
                Some((self.kept(origin, *seq)?, at))
            };
            let Some((place, at)) = next.iter().enumerate().filter_map(found).max() else { break };
            let (set, (_, _, hash)) = (&self.log[place], next[at]);
            let header = set.header();
            if set.head().hash != hash || header.hlc.ms() < wanted.since_ms {
                next.remove(at);
                continue;
            }
            let ended = self.ended_by(set);
            bytes += set.bytes().len() + ended.iter().map(EndedVersion::size).sum::<usize>();
            if bytes > max_bytes && !page.sets.is_empty() {
                page.more = true;
                break;
            }
            next[at] = (header.origin, header.seq - 1, header.prev);
            page.sets.push(PastSet { set: set.clone(), ended });
        }
        page
    }

    /// What a change set deleted.
    fn ended_by(&self, set: &ChangeSet) -> Vec<EndedVersion> {
        let Ok(changes) = set.changes() else { return Vec::new() };
        let of = |(place, _, by): &&(super::Key, _, Dot)| {
            let changed =
                |change: &crate::change::Change| (change.model, &change.key) == (place.0, &place.1);
            *by == set.dot() && changes.iter().any(changed)
        };
        let lost = self.lost.iter().filter(of);
        let version = |((model, key), lost, _): &(super::Key, crate::merge::Lost, Dot)| {
            EndedVersion { model: *model, key: key.clone(), lost: lost.clone(), deleted: true }
        };
        lost.map(version).collect()
    }

    pub(super) fn take_past(&mut self, asked: &WantedHistory, page: &HistoryPage) {
        let (mut sets, mut lost) = (Vec::new(), Vec::new());
        for past in &page.sets {
            let dot = past.set.dot();
            if self.kept(&dot.origin, dot.seq).is_some() {
                continue;
            }
            let deleted = past.ended.iter().rev().filter(|ended| ended.deleted);
            lost.extend(
                deleted.map(|ended| ((ended.model, ended.key.clone()), ended.lost.clone(), dot)),
            );
            sets.push(past.set.clone());
        }
        // Durable at once, so that a rollback does not take them.
        for inner in [&mut self.durable, &mut self.open] {
            inner.logged += sets.len();
            inner.lost += lost.len();
        }
        self.log.splice(0..0, sets.into_iter().rev());
        self.lost.splice(0..0, lost.into_iter().rev());
        for gap in &asked.gaps {
            let Some(lacking) = self.open.gaps.remove(&gap.origin) else { continue };
            let Some(mut lacking) = self.gap_below(&gap.origin, lacking) else { continue };
            if let (false, Some(since)) = (page.more, page.whole_since_ms) {
                lacking.before_ms = lacking.before_ms.min(since.max(asked.since_ms));
            }
            self.open.gaps.insert(gap.origin, lacking);
        }
    }
}
