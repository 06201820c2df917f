//! Bringing back what was damaged here: shared records and rows of owned lanes that are missing although
//! the vector covers them.
//!
//! While anything is missing the state is not exact. So digests are not compared, nobody reconciles
//! with this replica, and lanes of which rows are missing are neither served nor told; the log of
//! shared change sets is whole and goes on as ever. What is missing is asked for by key, of one peer
//! at a time.
//!
//! **A shared record** comes with the vector V of the peer. Once our vector includes V, the record as it
//! is at our vector follows from it: what our log has beyond V is applied to it, in the order of the
//! log, which is a causal one. Changes that come to a missing record meanwhile are logged and not
//! merged; this is where they are.
//!
//! **A row of an owned lane** comes with the peer's head. It is ours if it was written at or before our
//! head and the peer is at least as far; or if it has the very seq that the missing one had, as a seq
//! writes a row once. A row that was written later comes as the lane catches up.

use std::collections::BTreeMap;

use super::compare::check_dots;
use super::reconcile::forked;
use super::{Engine, Event, Now};
use crate::codec::CodecError;
use crate::id::{DeviceId, RecordKey, Seq};
use crate::limits::MAX_RECALLED;
use crate::merge;
use crate::message::{ANSWERS_RECALL, Held, Message};
use crate::record::Record;
use crate::schema::ModelId;
use crate::store::{HeldRow, Place, Store};
use crate::version::{Head, OwnedHead, Vector};

/// How long, in patiences, a peer is left in peace that could not help.
const IN_VAIN_PATIENCES: u64 = 12;

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) struct Recall {
    pub(super) peer: DeviceId,
    id: u64,
    /// Of whose lane; of the shared ones if of nobody's.
    of: Option<DeviceId>,
    /// When to give up on the peer.
    pub(super) deadline: u64,
    /// Shared records that have come, and the vector that ours must include before they can be used.
    held: Option<(Vector, Vec<(Place, Record)>)>,
}

impl Engine {
    /// Something was found to be damaged and was taken out.
    pub(super) fn on_damaged<S: Store>(&mut self, store: &mut S, records: u64) {
        let peers: Vec<DeviceId> = self.pins.keys().copied().collect();
        for peer in peers {
            self.unpin(store, peer);
        }
        for peer in self.peers.values_mut() {
            peer.serving.retain(|device, _| !store.missing().has_rows_of(device));
            (peer.diverged, peer.lane_differs) = (false, false);
        }
        self.event(Event::Damaged { records });
    }

    /// The head up to which a lane is served and told: none while rows of it are missing.
    pub(super) fn servable<S: Store>(store: &S, device: &DeviceId) -> Option<OwnedHead> {
        if store.missing().has_rows_of(device) {
            return None;
        }
        store.lane(device).and_then(|lane| lane.exact)
    }

    /// What is missing and cannot be brought back, as no other member has it: of whose lane, and
    /// its place. Empty while the members are not known.
    pub fn unmendable<S: Store>(&self, store: &S) -> Vec<(Option<DeviceId>, Place)> {
        let (here, missing) = (self.identity.device, store.missing());
        let Some(members) = self.members.as_ref().filter(|_| !missing.is_empty()) else {
            return Vec::new();
        };
        let others: Vec<&DeviceId> = members.keys().filter(|id| **id != here).collect();
        let mut lost = Vec::new();
        if others.is_empty() {
            lost.extend(missing.shared.iter().map(|place| (None, place.clone())));
        }
        for (place, seq) in missing.owned.get(&here).into_iter().flatten() {
            if !others.iter().any(|id| self.may_have(store, id, place, *seq)) {
                lost.push((Some(here), place.clone()));
            }
        }
        lost
    }

    /// Whether a member may hold a row of our own lane, by what it has acknowledged.
    fn may_have<S: Store>(&self, store: &S, id: &DeviceId, place: &Place, seq: Seq) -> bool {
        let here = self.identity.device;
        let known = self.known(id).map(|known| known.owned.head(&here));
        let acked = || store.acknowledged(id).and_then(|acked| acked.owned.head(&here));
        let head = known.unwrap_or_else(acked);
        let lacks =
            self.peers.get(id).is_some_and(|peer| peer.lacks.contains(&(here, place.clone())));
        let same = |head: &OwnedHead| head.life == self.identity.owned_life && head.seq >= seq;
        !lacks && head.as_ref().is_some_and(same)
    }

    /// Asks for what is missing, or takes over what has come.
    pub(super) fn recall_missing<S: Store>(
        &mut self,
        store: &mut S,
        now: Now,
    ) -> Result<(), S::Error> {
        for peer in self.peers.values_mut() {
            peer.recall_at = peer.recall_at.filter(|at| *at > now.steady_ms);
        }
        if store.missing().is_empty() {
            self.recall = None;
            return Ok(());
        }
        self.mend_from_log(store, now)?;
        if let Some(recall) = self.recall.take() {
            if let Some((vector, records)) = &recall.held
                && store.vector().includes(vector)
            {
                self.mend_records(store, vector, records)?;
                self.note_mended_records(store, recall.peer, records.len(), now);
            } else if recall.deadline <= now.steady_ms {
                self.in_vain(recall.peer, now);
            } else {
                self.recall = Some(recall);
                return Ok(());
            }
        }
        self.ask_for_missing(store, now);
        Ok(())
    }

    fn ask_for_missing<S: Store>(&mut self, store: &S, now: Now) {
        let missing = store.missing();
        let shared = (!missing.shared.is_empty()).then_some(None);
        let groups = shared.into_iter().chain(missing.owned.keys().copied().map(Some));
        let peers = self.most_reliable_first();
        for of in groups {
            for peer in &peers {
                let keys = self.worth_asking(store, *peer, of);
                if keys.is_empty() {
                    continue;
                }
                let (id, peer) = (self.id(), *peer);
                let deadline = now.steady_ms.saturating_add(self.config.patience_ms);
                self.recall = Some(Recall { peer, id, of, deadline, held: None });
                return self.send(vec![peer], Message::Recall { id, of, keys });
            }
        }
    }

    /// What of a lane can be asked of a peer, as it may have it.
    fn worth_asking<S: Store>(&self, store: &S, id: DeviceId, of: Option<DeviceId>) -> Vec<Place> {
        let (peer, missing) = (&self.peers[&id], store.missing());
        if peer.features & ANSWERS_RECALL == 0 || peer.recall_at.is_some() {
            return Vec::new();
        }
        let Some(device) = of else {
            return missing.shared.iter().take(MAX_RECALLED).cloned().collect();
        };
        let ours = store.lane(&device).and_then(|lane| lane.exact);
        let theirs = peer.known.owned.head(&device);
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Vec::new() };
        let has = |(place, seq): &(&Place, &Seq)| {
            (theirs.seq >= ours.seq || theirs.seq >= **seq)
                && !peer.lacks.contains(&(device, (*place).clone()))
        };
        let rows = missing.owned.get(&device).into_iter().flatten();
        let rows = rows.filter(|_| theirs.life == ours.life).filter(has);
        rows.take(MAX_RECALLED).map(|(place, _)| place.clone()).collect()
    }

    /// The peer could not help: others are asked, and it not at once.
    fn in_vain(&mut self, id: DeviceId, now: Now) {
        let wait = self.config.patience_ms.saturating_mul(IN_VAIN_PATIENCES);
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.recall_at = Some(now.steady_ms.saturating_add(wait));
        }
    }

    pub(super) fn on_recall<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        (recall, of): (u64, Option<DeviceId>),
        keys: &[Place],
    ) -> Result<(), S::Error> {
        let bytes = self.config.batch_bytes;
        let held = match of {
            None if store.missing().shared.is_empty() => held_records(store, keys, bytes)?,
            Some(device) => match Self::servable(store, &device) {
                Some(as_of) => Held::Rows { as_of, rows: store.rows_of(&device, keys, bytes)? },
                None => Held::Nothing,
            },
            None => Held::Nothing,
        };
        self.send(vec![id], Message::Recalled { id: recall, of, held });
        Ok(())
    }

    pub(super) fn on_recalled<S: Store>(
        &mut self,
        store: &mut S,
        id: DeviceId,
        (recall, of): (u64, Option<DeviceId>),
        held: Held,
        now: Now,
    ) -> Result<(), S::Error> {
        // Any other is one that came twice, or late.
        let ours = |asked: &mut Recall| {
            (asked.peer, asked.id, asked.of) == (id, recall, of) && asked.held.is_none()
        };
        let Some(asked) = self.recall.take_if(ours) else { return Ok(()) };
        match (of, held) {
            (None, Held::Records { vector, records }) => {
                self.take_records(store, asked, vector, records, now);
                Ok(())
            }
            (Some(device), Held::Rows { as_of, rows }) => {
                self.take_rows(store, (id, device), as_of, &rows, now)
            }
            _ => {
                self.in_vain(id, now);
                Ok(())
            }
        }
    }

    /// Shared records have come: they wait until our vector includes that of which they are.
    fn take_records<S: Store>(
        &mut self,
        store: &S,
        asked: Recall,
        vector: Vector,
        mut records: Vec<(Place, Record)>,
        now: Now,
    ) {
        let id = asked.peer;
        if let Some((origin, seq)) = forked(store.vector(), &vector) {
            self.on_fork(id, origin, seq);
            return self.in_vain(id, now);
        }
        let bad = records.iter().find_map(|(_, record)| check_dots(record, &vector).err());
        if let Some(error) = bad {
            return self.disconnect(id, format!("what it holds cannot be read: {error}"));
        }
        records.retain(|(place, _)| store.missing().shared.contains(place));
        if records.is_empty() {
            return self.in_vain(id, now);
        }
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.failures = 0;
            peer.known.shared.join(&vector);
        }
        self.recall = Some(Recall { held: Some((vector, records)), ..asked });
    }

    /// Without floors the log holds everything that there ever was.
    fn mend_from_log<S: Store>(&mut self, store: &mut S, now: Now) -> Result<(), S::Error> {
        let tried = std::mem::replace(&mut self.log_tried, true);
        if tried || store.missing().shared.is_empty() || !store.floors().is_empty() {
            return Ok(());
        }
        let empty = |place: &Place| (place.clone(), Record::default());
        let records: Vec<_> = store.missing().shared.iter().map(empty).collect();
        self.mend_records(store, &Vector::new(), &records)?;
        self.note_mended_records(store, self.identity.device, records.len(), now);
        Ok(())
    }

    /// Puts records back that are those at `vector`, which ours includes, with all that our log has
    /// beyond it. What the log does not hold any more is felt when digests are compared.
    fn mend_records<S: Store>(
        &mut self,
        store: &mut S,
        vector: &Vector,
        records: &[(Place, Record)],
    ) -> Result<(), S::Error> {
        let mut have = vector.clone();
        for (origin, floor) in store.floors() {
            if have.seq(origin) < *floor {
                have.set(*origin, Head { seq: *floor, hash: [0; 32] });
            }
        }
        let mut mended: BTreeMap<Place, Record> = records.iter().cloned().collect();
        loop {
            let sets = store.log(&have, self.config.batch_bytes)?;
            if sets.is_empty() {
                break;
            }
            for set in sets {
                let (dot, hlc) = (set.dot(), set.header().hlc);
                // What cannot be read was never applied.
                for change in set.changes().into_iter().flatten() {
                    let place = (change.model, change.key);
                    let Some(record) = mended.get_mut(&place) else { continue };
                    let covered = |seen: &crate::id::Dot| *seen == dot || have.covers(seen);
                    let lost = merge::apply(record, &change.op, dot, hlc, covered);
                    if !lost.is_empty() {
                        store.keep_lost(place.0, &place.1, &lost, dot)?;
                    }
                }
                have.set(dot.origin, set.head());
            }
        }
        for ((model, key), record) in mended {
            if store.missing().has_record(model, &key) {
                self.mirror_before(store, model, &key, &Record::default())?;
                store.mend_record(model, &key, &record)?;
                self.count(false, model, 1);
            }
        }
        Ok(())
    }

    fn take_rows<S: Store>(
        &mut self,
        store: &mut S,
        (id, device): (DeviceId, DeviceId),
        as_of: OwnedHead,
        rows: &[HeldRow],
        now: Now,
    ) -> Result<(), S::Error> {
        let ours = store.lane(&device).and_then(|lane| lane.exact);
        let Some(ours) = ours.filter(|ours| ours.life == as_of.life) else {
            self.in_vain(id, now);
            return Ok(());
        };
        let beyond = |row: &&HeldRow| row.row.as_ref().is_some_and(|(seq, _)| *seq > as_of.seq);
        if rows.iter().any(|row| beyond(&row)) {
            let error = CodecError::NotCanonical("a row beyond its lane's head");
            self.disconnect(id, format!("what it holds cannot be read: {error}"));
            return Ok(());
        }
        let mut mended = 0;
        for row in rows {
            let place = (row.model, row.key.clone());
            let noted = store.missing().owned.get(&device).and_then(|rows| rows.get(&place));
            let Some(noted) = noted.copied() else { continue };
            if is_ours(row, as_of.seq, ours.seq, noted) {
                store.mend_row(&device, row)?;
                self.count(false, row.model, 1);
                mended += 1;
            } else if let Some(peer) = self.peers.get_mut(&id) {
                peer.lacks.insert((device, place));
            }
        }
        if mended == 0 {
            self.in_vain(id, now);
        } else {
            self.note_mended_records(store, id, mended, now);
        }
        Ok(())
    }

    /// Something has come back; if that was all, digests tell whether all is well.
    fn note_mended_records<S: Store>(&mut self, store: &S, id: DeviceId, records: usize, now: Now) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.failures = 0;
        }
        let left = store.missing().len() as u64;
        if left == 0 {
            self.compare_anew(now);
        }
        self.event(Event::Mended { peer: id, records: records as u64, left });
    }

    /// Digests are compared with everybody as if they never had been.
    fn compare_anew(&mut self, now: Now) {
        let compare_at = now.steady_ms.saturating_add(self.config.compare_ms);
        for peer in self.peers.values_mut() {
            peer.compared = None;
            peer.compare_at = Some(compare_at);
        }
    }
}

/// Whether a peer's row is what a lane has at our head: see the module.
fn is_ours(row: &HeldRow, theirs: Seq, ours: Seq, noted: Seq) -> bool {
    match &row.row {
        Some((seq, _)) => *seq <= ours && (theirs >= ours || *seq == noted),
        None => theirs == ours,
    }
}

fn held_records<S: Store>(store: &mut S, keys: &[Place], most: usize) -> Result<Held, S::Error> {
    let mut records: Vec<(Place, Record)> = Vec::new();
    let mut w = crate::codec::Writer::new();
    for place in keys {
        let (model, key): &(ModelId, RecordKey) = place;
        let record = store.record(*model, key)?;
        record.encode(&mut w);
        if w.len() > most && !records.is_empty() {
            break;
        }
        records.push((place.clone(), record));
    }
    Ok(Held::Records { vector: store.vector().clone(), records })
}
