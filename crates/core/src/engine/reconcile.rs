//! Comparing our shared lanes with a peer's, and taking over what differs: for whoever asks from
//! below a floor, however that came to be, and for replicas whose digests differ at equal vectors.
//!
//! The peer keeps its lanes as they are (`pin`) and tells their vector V. We compare digests of
//! models, then of ranges of keys, ever finer (range-based set reconciliation, A. Meyer, 2022), and
//! fetch the records of the ranges that differ into the *mirror*, where the store keeps what the peer
//! holds as far as that is not what we hold. At the end each of these records is joined with ours: a
//! dot that one side lacks and its vector covers is dead, any other stays; and V joins our vector, all
//! in one transaction. So the state is exact before and after.
//!
//! Meanwhile both sides go on. What we write or apply between comparing a record and the end would
//! change what was compared, so the record as it was goes into the mirror first. What came before a
//! session ended early need not come again: the mirror stays, and the next session, with whomever,
//! compares it like everything else.
//!
//! The other direction is the same with the roles exchanged, if the peer lacks anything of ours.

use super::compare::{Reconcile, begin, compare, take};
use super::{Engine, Event, Now};
use crate::clock::Hlc;
use crate::codec::CodecError;
use crate::digest::Digests;
use crate::id::{DeviceId, Dot, Origin, RecordKey, Seq};
use crate::limits::MAX_KEY_BYTES;
use crate::merge::{self, Absence};
use crate::message::{Answer, Ask, Message};
use crate::record::Record;
use crate::schema::{ModelId, ModelKind};
use crate::store::{Pinned, Store};
use crate::version::{Head, Vector};

/// How often a question is asked before the peer is given up.
const MOST_TRIES: u32 = 3;
/// Records that are joined at once.
const JOINED_AT_ONCE: usize = 256;

impl Engine {
    /// A peer's log does not reach back to what we have.
    pub(super) fn on_reset(&mut self, id: DeviceId, pull: u64) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.reset = true;
        if peer.pulling.as_ref().is_some_and(|pulling| pulling.id == pull) {
            peer.pulling = None;
            peer.failures = 0;
        }
    }

    /// A peer with equal vectors has other digests: what differs is to be mended, once.
    pub(super) fn note_divergence<S: Store>(
        &mut self,
        store: &S,
        id: DeviceId,
        differ: &[ModelId],
    ) {
        let owned = differ.iter().filter(|model| self.is_owned(**model)).count();
        let lane = store.lane(&id).and_then(|lane| lane.exact);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.diverged = owned < differ.len() && peer.mended.as_ref() != Some(store.vector());
            peer.lane_differs = owned > 0 && lane.is_some() && peer.lane_mended != lane;
        }
    }

    fn is_owned(&self, model: ModelId) -> bool {
        self.schema.model(model).is_some_and(|model| model.kind == ModelKind::Owned)
    }

    /// Keeps in the mirror what a record was before it changes, while a reconcile is under way.
    pub(super) fn mirror_before<S: Store>(
        &self,
        store: &mut S,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), S::Error> {
        if self.reconcile.is_some() && !store.is_mirrored(model, key)? {
            store.put_mirror(model, key, record)?;
        }
        Ok(())
    }

    /// Begins a reconcile if one is needed and none is under way.
    pub(super) fn reconcile_missing<S: Store>(
        &mut self,
        store: &mut S,
        now: Now,
    ) -> Result<(), S::Error> {
        if self.wanted.is_empty() {
            self.peers.values_mut().for_each(|peer| peer.reset = false);
        }
        if self.reconcile.is_some() || self.reconcile_at.is_some_and(|at| at > now.steady_ms) {
            return Ok(());
        }
        self.reconcile_at = None;
        let Some((peer, absence)) = self.whom_to_compare_with(store.vector()) else {
            // What an earlier one brought is of no use once all has come by the log.
            let done = self.wanted.is_empty() && self.ready().next().is_some();
            return if done && store.has_mirror() { store.clear_mirror() } else { Ok(()) };
        };
        let (session, deadline) =
            (self.id(), now.steady_ms.saturating_add(self.config.patience_ms));
        self.reconcile = Some(Reconcile::new(peer, session, absence, deadline));
        self.send(vec![peer], Message::Ask { session, turn: 0, ask: Ask::Pin });
        self.event(Event::ReconcileBegun { peer });
        Ok(())
    }

    /// A peer that holds what nobody connected has in its log, as far as is known; or one whose
    /// digests differ.
    fn whom_to_compare_with(&self, vector: &Vector) -> Option<(DeviceId, Absence)> {
        if self.wanted.is_empty() && !self.ready().any(|(_, peer)| peer.diverged) {
            return None;
        }
        let further = |id: &DeviceId, origin| {
            self.peers[id].known.shared.seq(origin) > self.pending.end(origin, vector.seq(origin))
        };
        let peers = self.most_reliable_first();
        let (below, logged): (Vec<_>, Vec<_>) = peers.iter().partition(|id| self.peers[id].reset);
        let lost = self.wanted.keys().find(|origin| {
            below.iter().any(|id| further(id, origin))
                && !logged.iter().any(|id| further(id, origin))
        });
        if let Some(origin) = lost {
            let peer = below.into_iter().find(|id| further(id, origin))?;
            return Some((peer, Absence::Dead));
        }
        let diverged = peers.into_iter().find(|id| self.peers[id].diverged);
        diverged.map(|id| (id, Absence::Unknown))
    }

    /// The reconcile with this peer, if there is one, comes to nothing. What it brought stays in the
    /// mirror.
    pub(super) fn abandon_reconcile_with(&mut self, id: DeviceId) {
        if self.reconcile.as_ref().is_some_and(|reconcile| reconcile.peer == id) {
            self.reconcile = None;
            self.event(Event::ReconcileAbandoned { peer: id });
        }
    }

    /// A question that was not answered in time is asked again, a few times.
    pub(super) fn ask_again(&mut self, now: Now) {
        let Some(reconcile) = &mut self.reconcile else { return };
        if reconcile.deadline > now.steady_ms {
            return;
        }
        let (id, session) = (reconcile.peer, reconcile.session);
        if reconcile.tries >= MOST_TRIES {
            return self.give_up_reconcile(id, now);
        }
        reconcile.tries += 1;
        reconcile.deadline = now.steady_ms.saturating_add(self.config.patience_ms);
        let (turn, ask) = (reconcile.turn, reconcile.asked.clone());
        self.send(vec![id], Message::Ask { session, turn, ask });
    }

    /// The peer does not go on: it is asked after others, and not at once.
    fn give_up_reconcile(&mut self, id: DeviceId, now: Now) {
        self.abandon_reconcile_with(id);
        self.reconcile_at = Some(now.steady_ms.saturating_add(self.config.patience_ms));
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.failures = peer.failures.saturating_add(1);
            peer.diverged = false;
        }
    }

    pub(super) fn on_reconcile_answer<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        (session, turn): (u64, u64),
        answer: Answer,
        now: Now,
    ) -> Result<(), S::Error> {
        // Any other is one that came twice, or late.
        let ours = |reconcile: &Reconcile| {
            (reconcile.peer, reconcile.session, reconcile.turn) == (id, session, turn)
        };
        let Some(mut reconcile) = self.reconcile.take_if(|reconcile| ours(reconcile)) else {
            return Ok(());
        };
        let next = match (reconcile.asked.clone(), answer) {
            (_, Answer::Lapsed) => {
                self.reconcile = Some(reconcile);
                self.give_up_reconcile(id, now);
                return Ok(());
            }
            (Ask::Pin, Answer::Pinned(pinned)) => {
                if let Some((origin, seq)) = forked(store.vector(), &pinned.vector) {
                    self.on_fork(id, origin, seq);
                    self.reconcile = Some(reconcile);
                    self.give_up_reconcile(id, now);
                    return Ok(());
                }
                let models = self.models_to_compare(store, &pinned)?;
                begin(&mut reconcile, pinned, models)
            }
            (
                Ask::Buckets { model, range, rows },
                Answer::Buckets { model: of, after, buckets },
            ) if of == model && after == range.after => {
                let sizes = (rows, self.config.fine_rows);
                compare(store, &mut reconcile, (model, range), &buckets, sizes)?
            }
            (Ask::Records { model, range }, Answer::Records { model: of, after, page })
                if of == model && after == range.after =>
            {
                take(store, &mut reconcile, (model, range), page)?
            }
            _ => Err(CodecError::NotCanonical("an answer to what was asked")),
        };
        if let Err(error) = next {
            self.reconcile = Some(reconcile);
            self.disconnect(id, format!("its shared lanes cannot be compared: {error}"));
            return Ok(());
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.failures = 0;
        }
        let Some(ask) = reconcile.open.pop() else {
            return self.finish_reconcile(store, reconcile, now);
        };
        reconcile.asked = ask.clone();
        reconcile.turn += 1;
        reconcile.tries = 1;
        reconcile.deadline = now.steady_ms.saturating_add(self.config.patience_ms);
        let turn = reconcile.turn;
        self.reconcile = Some(reconcile);
        self.send(vec![id], Message::Ask { session, turn, ask });
        Ok(())
    }

    /// The models of which something differs, with how much the peer has of them and how much of that
    /// goes into a bucket.
    fn models_to_compare<S: Store>(
        &self,
        store: &mut S,
        pinned: &Pinned,
    ) -> Result<Vec<(ModelId, u64, u64)>, S::Error> {
        // What an earlier session brought may be of a model that neither side has records of.
        let mut models = mirrored_models(store)?;
        models.extend(pinned.digests.keys().chain(store.digests().keys()));
        models.sort_unstable();
        models.dedup();
        let of =
            |digests: &Digests, model: ModelId| digests.get(&model).copied().unwrap_or_default();
        let differs = |model: &ModelId| {
            let unsure = store.has_mirror();
            unsure || of(&pinned.digests, *model) != of(store.digests(), *model)
        };
        models.retain(|model| !self.is_owned(*model) && differs(model));
        let sized = models
            .into_iter()
            .map(|model| (model, of(&pinned.digests, model).rows, self.config.bucket_rows));
        Ok(sized.collect())
    }

    /// Everything was compared.
    fn finish_reconcile<S: Store>(
        &mut self,
        store: &mut S,
        reconcile: Reconcile,
        now: Now,
    ) -> Result<(), S::Error> {
        let (id, session) = (reconcile.peer, reconcile.session);
        let turn = reconcile.turn + 1;
        self.send(vec![id], Message::Ask { session, turn, ask: Ask::End });
        let Some(pinned) = &reconcile.pinned else { return Ok(()) };
        let mended = reconcile.absence == Absence::Unknown;
        // What was deleted here since must not come back; the states are compared anew.
        if mended && pinned.vector != *store.vector() {
            self.reconcile = Some(reconcile);
            self.give_up_reconcile(id, now);
            return Ok(());
        }
        let (records, dropped) = self.join_mirror(store, &pinned.vector, reconcile.absence)?;
        // What is taken over was written by now: the history is said to begin behind it.
        if self.clock.absorb(Hlc::from_ms(now.wall_ms), now.wall_ms) {
            store.set_clock(self.clock.last())?;
        }
        store.adopt(&pinned.vector)?;
        store.clear_mirror()?;
        let compare_at = now.steady_ms.saturating_add(self.config.compare_ms);
        for peer in self.peers.values_mut() {
            peer.reset = false;
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.known.shared.join(&pinned.vector);
            if mended {
                peer.diverged = false;
                peer.mended = Some(pinned.vector.clone());
                peer.compared = None;
                peer.compare_at = Some(compare_at);
            }
        }
        self.event(Event::Reconciled { peer: id, records, dropped, mended });
        self.drain_pending(store, now)
    }

    /// Joins the records of the mirror with ours. How many, and how many dots of ours went.
    fn join_mirror<S: Store>(
        &mut self,
        store: &mut S,
        theirs: &Vector,
        absence: Absence,
    ) -> Result<(u64, u64), S::Error> {
        let ours = store.vector().clone();
        let covers: [&dyn Fn(&Dot) -> bool; 2] =
            [&|dot| ours.covers(dot), &|dot| theirs.covers(dot)];
        let (mut records, mut dropped) = (0, 0);
        let mut last = None;
        loop {
            let page = store.mirrored(last.as_ref(), JOINED_AT_ONCE)?;
            let Some((model, key, _)) = page.last() else { return Ok((records, dropped)) };
            last = Some((*model, key.clone()));
            for (model, key, other) in page {
                // What is missing here was not lost there; it is brought back by itself (`recall`).
                if store.missing().has_record(model, &key) {
                    continue;
                }
                let before = store.record(model, &key)?;
                let mut record = before.clone();
                let lost = merge::join(&mut record, &other, covers, absence);
                records += 1;
                if record == before {
                    continue;
                }
                dropped += gone(&before, &record);
                store.put_record(model, &key, &record)?;
                for lost in lost {
                    let by = lost.version.dot;
                    store.keep_lost(model, &key, &[lost], by)?;
                }
                self.count(false, model, 1);
            }
        }
    }
}

/// A stream of which two vectors have different change sets at the same seq.
pub(super) fn forked(ours: &Vector, theirs: &Vector) -> Option<(Origin, Seq)> {
    let differs = |(origin, head): (&Origin, &Head)| {
        let other = theirs.head(origin)?;
        (other.seq == head.seq && other.hash != head.hash).then_some((*origin, head.seq))
    };
    ours.iter().find_map(differs)
}

/// The models of the records in the mirror.
fn mirrored_models<S: Store>(store: &mut S) -> Result<Vec<ModelId>, S::Error> {
    let last_key = RecordKey::new(&[u8::MAX; MAX_KEY_BYTES]).expect("as long as a key may be");
    let mut models: Vec<ModelId> = Vec::new();
    loop {
        let behind = models.last().map(|model| (*model, last_key.clone()));
        match store.mirrored(behind.as_ref(), 1)?.first() {
            Some((model, ..)) => models.push(*model),
            None => return Ok(models),
        }
    }
}

/// How many dots of a record are not in it any more.
fn gone(before: &Record, after: &Record) -> u64 {
    let lives = before.lives.keys().filter(|life| !after.lives.contains_key(life)).count();
    let versions = before.fields.iter().map(|(field, versions)| {
        let there = after.versions(*field);
        let is_gone = |dot: &Dot| there.iter().all(|version| version.dot != *dot);
        versions.iter().filter(|version| is_gone(&version.dot)).count()
    });
    (lives + versions.sum::<usize>()) as u64
}
