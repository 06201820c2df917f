//! History that others hand over: the change sets that led to what came here as state, by a reconcile,
//! or whose copies were lost with `sync.db`.
//!
//! Of each stream the history here has the change sets from its head down to a *gap*. The head hash of
//! the one that is lacking is known: from the vector, or from the change set above it. So what a peer
//! hands over can be checked to be what the origin wrote, one by one, downward; a peer cannot make up a
//! change set. What it says beside that is believed: which old values a change set ended, and since
//! when its history is whole.
//!
//! It goes to the history and nowhere else, waits for everything else that is to be fetched, and comes
//! from one peer at a time, in pages of which each is durable by itself. A peer that has handed over
//! all that it has is asked again only where the gap is another one by then, or when it says that it
//! has come by more.

use std::collections::BTreeMap;

use super::{Engine, Event, Now};
use crate::change::{Change, Op};
use crate::codec::CodecError;
use crate::id::{DeviceId, Origin, Seq};
use crate::limits::MAX_GAPS;
use crate::merge::Lost;
use crate::message::{ANSWERS_HISTORY, Message};
use crate::store::{EndedVersion, Gap, HistoryPage, PastSet, Store, WantedHistory};
use crate::version::Head;

/// How many patiences a peer that did not answer is left in peace.
const SILENT_PATIENCES: u64 = 12;

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) peer: DeviceId,
    id: u64,
    wanted: WantedHistory,
    /// When to give up on the peer.
    pub(super) deadline: u64,
}

impl Engine {
    /// Asks for history that is lacking, if there is nothing else to fetch.
    pub(super) fn ask_for_history<S: Store>(
        &mut self,
        store: &mut S,
        now: Now,
    ) -> Result<(), S::Error> {
        for peer in self.peers.values_mut() {
            peer.history_at = peer.history_at.filter(|at| *at > now.steady_ms);
        }
        if let Some(silent) = self.history.take_if(|asked| asked.deadline <= now.steady_ms) {
            let wait = self.config.patience_ms.saturating_mul(SILENT_PATIENCES);
            if let Some(peer) = self.peers.get_mut(&silent.peer) {
                peer.history_at = Some(now.steady_ms.saturating_add(wait));
            }
        }
        let answers = |peer: &super::Peer| peer.features & ANSWERS_HISTORY != 0;
        let nobody = !self.ready().any(|(_, peer)| answers(peer));
        if self.history.is_some() || nobody || self.fetches_else(store) {
            return Ok(());
        }
        let WantedHistory { since_ms, gaps } = store.wanted_history()?;
        for id in self.most_reliable_first() {
            let peer = &self.peers[&id];
            if gaps.is_empty() || !answers(peer) || peer.history_at.is_some() {
                continue;
            }
            let may_have = |gap: &&Gap| {
                peer.known.shared.seq(&gap.origin) >= gap.seq
                    && peer.handed.get(&gap.origin) != Some(&gap.seq)
            };
            let gaps: Vec<Gap> = gaps.iter().filter(may_have).take(MAX_GAPS).copied().collect();
            if gaps.is_empty() {
                continue;
            }
            let (wanted, question) = (WantedHistory { since_ms, gaps }, self.id());
            let deadline = now.steady_ms.saturating_add(self.config.patience_ms);
            let message = Message::History { id: question, wanted: wanted.clone() };
            self.history = Some(Asked { peer: id, id: question, wanted, deadline });
            self.send(vec![id], message);
            return Ok(());
        }
        Ok(())
    }

    /// Whether anything is being fetched that goes before.
    fn fetches_else<S: Store>(&self, store: &S) -> bool {
        self.reconcile.is_some()
            || !self.fetches.is_empty()
            || self.peers.values().any(|peer| peer.pulling.is_some())
            || !store.missing().is_empty()
    }

    pub(super) fn on_history<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        question: u64,
        mut wanted: WantedHistory,
    ) -> Result<(), S::Error> {
        // Of what is not here nothing can be said.
        wanted.gaps.retain(|gap| {
            let head = store.vector().head(&gap.origin);
            head.is_some_and(|head| {
                head.seq > gap.seq || (head.seq == gap.seq && head.hash == gap.hash)
            })
        });
        let page = store.history_below(&wanted, self.config.batch_bytes)?;
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.history_told = !page.more;
        }
        self.send(vec![id], Message::Past { id: question, page });
        Ok(())
    }

    pub(super) fn on_past<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        question: u64,
        page: HistoryPage,
    ) -> Result<(), S::Error> {
        if question == 0 {
            if let Some(peer) = self.peers.get_mut(&id) {
                peer.handed.clear();
            }
            return Ok(());
        }
        // Any other is one that came twice, or late.
        let ours = |asked: &mut Asked| (asked.peer, asked.id) == (id, question);
        let Some(asked) = self.history.take_if(ours) else { return Ok(()) };
        let left = match goes_on(&asked.wanted, &page) {
            Ok(left) => left,
            Err(error) => {
                self.disconnect(id, format!("the history that it hands over is wrong: {error}"));
                return Ok(());
            }
        };
        store.take_history(&asked.wanted, &page)?;
        self.history_grew |= !page.sets.is_empty();
        let over = !page.more || page.sets.is_empty();
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.failures = 0;
            if over {
                peer.handed.extend(left);
            }
        }
        if !page.sets.is_empty() {
            let sets = page.sets.len() as u64;
            self.event(Event::HandedOver { peer: id, sets, more: !over });
        }
        if over && std::mem::take(&mut self.history_grew) {
            self.tell_of_history(id);
        }
        Ok(())
    }

    /// There is more history here than those were told of that have asked.
    fn tell_of_history(&mut self, giver: DeviceId) {
        let mut told = Vec::new();
        for (id, peer) in self.peers.iter_mut().filter(|(id, peer)| peer.ready && **id != giver) {
            if std::mem::take(&mut peer.history_told) {
                told.push(*id);
            }
        }
        let page = HistoryPage { more: true, ..HistoryPage::default() };
        self.send(told, Message::Past { id: 0, page });
    }
}

/// Checks that change sets go on from the gaps, downward, and that what they ended can be theirs.
/// Where the gaps are behind them.
fn goes_on(
    wanted: &WantedHistory,
    page: &HistoryPage,
) -> Result<BTreeMap<Origin, Seq>, CodecError> {
    let gaps = wanted.gaps.iter();
    let mut gaps: BTreeMap<Origin, Head> =
        gaps.map(|gap| (gap.origin, Head { seq: gap.seq, hash: gap.hash })).collect();
    for PastSet { set, ended } in &page.sets {
        let header = set.header();
        let Some(gap) = gaps.get_mut(&header.origin) else {
            return Err(CodecError::NotCanonical("a change set that was not asked for"));
        };
        if *gap != set.head() {
            return Err(CodecError::BadHash("a change set of the history"));
        }
        *gap = Head { seq: header.seq.saturating_sub(1), hash: header.prev };
        let changes = set.changes()?;
        for version in ended {
            // It may be of a change set that is not here yet: the giver lost it to this one.
            if !is_ended(version, &changes) {
                return Err(CodecError::NotCanonical("a version that a change set ended"));
            }
        }
    }
    Ok(gaps.into_iter().map(|(origin, gap)| (origin, gap.seq)).collect())
}

/// Whether a change set with these changes can have ended a version.
fn is_ended(version: &EndedVersion, changes: &[Change]) -> bool {
    let Lost { field, version: lost } = &version.lost;
    let of = |change: &&Change| change.model == version.model && change.key == version.key;
    changes.iter().filter(of).any(|change| match &change.op {
        Op::Create { fields, .. } | Op::Set { fields, .. } if !version.deleted => {
            fields.iter().any(|write| write.field == *field && write.over.contains(&lost.dot))
        }
        Op::Delete { .. } => version.deleted,
        Op::Create { .. } | Op::Set { .. } => true,
    })
}
