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

use super::{Engine, Event, Now};
use crate::codec::CodecError;
use crate::digest::Digests;
use crate::id::{DeviceId, Dot, Origin, RecordKey, Seq};
use crate::limits::MAX_KEY_BYTES;
use crate::merge::{self, Absence};
use crate::message::{Answer, Ask, Message};
use crate::record::Record;
use crate::schema::{ModelId, ModelKind};
use crate::store::{Bucket, KeyRange, Pinned, RecordPage, Store};
use crate::version::{Head, Vector};

/// How often a question is asked before the peer is given up.
const MOST_TRIES: u32 = 3;
/// Records that are joined at once.
const JOINED_AT_ONCE: usize = 256;

/// A reconcile under way.
#[derive(Clone, Debug)]
pub(super) struct Reconcile {
    peer: DeviceId,
    session: u64,
    absence: Absence,
    /// What the peer keeps for us, once it has said so.
    pinned: Option<Pinned>,
    /// What is asked, and the how many-th question it is.
    asked: Ask,
    turn: u64,
    /// What is to be asked next, the next one last.
    open: Vec<Ask>,
    tries: u32,
    /// When to ask again.
    pub(super) deadline: u64,
    /// Records of the peer that were compared, of those of the models that differ.
    done: u64,
    total: u64,
}

impl Reconcile {
    /// With whom, how many records were compared, and of how many.
    pub(super) fn progress(&self) -> Option<(DeviceId, u64, u64)> {
        self.pinned.as_ref()?;
        Some((self.peer, self.done.min(self.total), self.total))
    }
}

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
        self.reconcile = Some(Reconcile {
            peer,
            session,
            absence,
            pinned: None,
            asked: Ask::Pin,
            turn: 0,
            open: Vec::new(),
            tries: 1,
            deadline,
            done: 0,
            total: 0,
        });
        self.send(vec![peer], Message::Ask { session, turn: 0, ask: Ask::Pin });
        self.event(Event::ReconcileBegun { peer });
        Ok(())
    }

    /// A peer that holds what nobody connected has in its log, as far as is known; or one whose
    /// digests differ.
    fn whom_to_compare_with(&self, vector: &Vector) -> Option<(DeviceId, Absence)> {
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
                self.changed[0].insert(model);
            }
        }
    }
}

/// A stream of which two vectors have different change sets at the same seq.
fn forked(ours: &Vector, theirs: &Vector) -> Option<(Origin, Seq)> {
    let differs = |(origin, head): (&Origin, &Head)| {
        let other = theirs.head(origin)?;
        (other.seq == head.seq && other.hash != head.hash).then_some((*origin, head.seq))
    };
    ours.iter().find_map(differs)
}

/// The models of the records in the mirror.
fn mirrored_models<S: Store>(store: &mut S) -> Result<Vec<ModelId>, S::Error> {
    let last_key = RecordKey::new(&[u8::MAX; MAX_KEY_BYTES]);
    let mut models: Vec<ModelId> = Vec::new();
    let mut after = None;
    while let Some((model, key, _)) = store.mirrored(after.as_ref(), 1)?.pop() {
        models.push(model);
        after = Some((model, last_key.clone().unwrap_or(key)));
    }
    models.dedup();
    Ok(models)
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

/// The peer keeps its lanes: what is to be asked of each model.
fn begin(
    reconcile: &mut Reconcile,
    pinned: Pinned,
    models: Vec<(ModelId, u64, u64)>,
) -> Result<(), CodecError> {
    for (model, total, rows) in models.into_iter().rev() {
        reconcile.total = reconcile.total.saturating_add(total);
        reconcile.open.push(Ask::Buckets { model, range: KeyRange::default(), rows });
    }
    reconcile.pinned = Some(pinned);
    Ok(())
}

/// Compares buckets with what the mirror has; what differs is asked for, finer or as records.
fn compare<S: Store>(
    store: &mut S,
    reconcile: &mut Reconcile,
    (model, range): (ModelId, KeyRange),
    buckets: &[Bucket],
    (rows, fine): (u64, u64),
) -> Result<Result<(), CodecError>, S::Error> {
    let mut asks: Vec<Ask> = Vec::new();
    let mut after = range.after.clone();
    for (at, bucket) in buckets.iter().enumerate() {
        let upto = bucket.upto.clone();
        if !is_ahead(after.as_ref(), upto.as_ref(), range.upto.as_ref())
            || (at + 1 < buckets.len() && upto == range.upto)
        {
            return Ok(Err(CodecError::NotCanonical("the order of buckets")));
        }
        let part = KeyRange { after: after.take(), upto: upto.clone() };
        let mine = store.mirror_digest(model, &part)?;
        if mine == bucket.digest {
            reconcile.done = reconcile.done.saturating_add(mine.rows);
        } else if rows > fine && mine.rows > fine && bucket.digest.rows > fine {
            asks.push(Ask::Buckets { model, range: part, rows: fine });
        } else {
            ask_records(&mut asks, model, part);
        }
        after = upto;
    }
    if buckets.is_empty() {
        return Ok(Err(CodecError::NotCanonical("an answer without buckets")));
    }
    if after != range.upto {
        asks.push(Ask::Buckets { model, range: KeyRange { after, upto: range.upto }, rows });
    }
    reconcile.open.extend(asks.into_iter().rev());
    Ok(Ok(()))
}

/// Asks for the records of a range, together with those of the range before it.
fn ask_records(asks: &mut Vec<Ask>, model: ModelId, part: KeyRange) {
    match asks.last_mut() {
        Some(Ask::Records { range, .. }) if range.upto.is_some() && range.upto == part.after => {
            range.upto = part.upto;
        }
        _ => asks.push(Ask::Records { model, range: part }),
    }
}

/// Whether `upto` lies behind `after` and not behind `end`; no bound is the end of all keys.
fn is_ahead(after: Option<&RecordKey>, upto: Option<&RecordKey>, end: Option<&RecordKey>) -> bool {
    let Some(upto) = upto else { return end.is_none() };
    after.is_none_or(|after| after < upto) && end.is_none_or(|end| upto <= end)
}

/// Takes records into the mirror.
fn take<S: Store>(
    store: &mut S,
    reconcile: &mut Reconcile,
    (model, range): (ModelId, KeyRange),
    page: RecordPage,
) -> Result<Result<(), CodecError>, S::Error> {
    let Some(pinned) = &reconcile.pinned else { return Ok(Ok(())) };
    let RecordPage { records, upto } = page;
    let part = KeyRange { after: range.after.clone(), upto: upto.clone() };
    if !is_ahead(range.after.as_ref(), upto.as_ref(), range.upto.as_ref()) {
        return Ok(Err(CodecError::NotCanonical("the end of a page of records")));
    }
    if let Err(error) = check_records(&records, &part, &pinned.vector) {
        return Ok(Err(error));
    }
    store.mirror_range(model, &part, &records)?;
    reconcile.done = reconcile.done.saturating_add(records.len() as u64);
    if upto != range.upto {
        let rest = KeyRange { after: upto, upto: range.upto };
        reconcile.open.push(Ask::Records { model, range: rest });
    }
    Ok(Ok(()))
}

/// Records are in order, in their range, not empty, and name only what their state covers.
fn check_records(
    records: &[(RecordKey, Record)],
    range: &KeyRange,
    vector: &Vector,
) -> Result<(), CodecError> {
    let ordered = records.is_sorted_by(|a, b| a.0 < b.0);
    if !ordered || records.iter().any(|(key, _)| !range.contains(key)) {
        return Err(CodecError::NotCanonical("the order of records"));
    }
    for (_, record) in records {
        let versions = || record.fields.values().flatten();
        let dots = versions().flat_map(|version| version.lives.iter().chain([&version.dot]));
        if let Some(unseen) = record.lives.keys().chain(dots).find(|dot| !vector.covers(dot)) {
            return Err(CodecError::Invalid { what: "a dot of a record", found: unseen.seq });
        }
        if record.lives.is_empty() && versions().next().is_none() {
            return Err(CodecError::Invalid { what: "a record of nothing", found: 0 });
        }
    }
    Ok(())
}
