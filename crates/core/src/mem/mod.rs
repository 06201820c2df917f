//! The reference implementation of [`Store`]: maps in memory, with transactions.
//!
//! It is written to be obviously right rather than fast. The simulator runs many replicas on it; a
//! "crash" is [`MemStore::rollback`].

mod compare;
mod damage;
mod history;
mod rows;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use rows::{decode_rows, encode_rows};

use crate::change::ChangeSet;
use crate::clock::Hlc;
use crate::digest::{Digest, Digests, OwnedChecksum, shared_checksum};
use crate::id::{DeviceId, Dot, Epoch, Origin, RecordKey, Seq};
use crate::merge::Lost;
use crate::page::Cursor;
use crate::record::Record;
use crate::schema::{FieldId, ModelId};
use crate::store::{
    Acked, Bucket, Floors, HeldRow, HistoryPage, KeyRange, Missing, OwnedLane, Pinned, Place,
    RecordPage, RowPage, Session, Store, WantedHistory,
};
use crate::value::Value;
use crate::version::{Head, OwnedHead, OwnedVector, Vector};

type Key = (ModelId, RecordKey);
/// A row's seq and its values, or `None` for a tombstone.
type Row = (Seq, Option<BTreeMap<FieldId, Value>>);

/// One device's owned lane.
#[derive(Clone, Debug, Default)]
struct Lane {
    state: OwnedLane,
    rows: BTreeMap<Key, Row>,
    staged: BTreeMap<Key, Row>,
}

/// What a commit keeps and a rollback brings back; parts that did not change are shared.
#[derive(Clone, Debug, Default)]
struct Inner {
    clock: Hlc,
    shared_epoch: Option<Epoch>,
    vector: Vector,
    records: BTreeMap<Key, Arc<Record>>,
    /// How much of the log and of the history there is.
    logged: usize,
    lost: usize,
    lanes: BTreeMap<DeviceId, Arc<Lane>>,
    /// The heads of all exact lanes.
    heads: OwnedVector,
    digests: Digests,
    acknowledged: BTreeMap<DeviceId, Acked>,
    floors: Floors,
    /// What a reconcile has brought; empty records say that the peer has none.
    mirror: BTreeMap<Key, Arc<Record>>,
    /// What was damaged, and is not back.
    missing: Missing,
    /// The last change sets that are lacking in the history, and before when those were written.
    gaps: BTreeMap<Origin, history::Lacking>,
}

/// A store in memory. Without [`MemStore::commit`] nothing is durable.
#[derive(Clone, Debug)]
pub struct MemStore {
    device: DeviceId,
    durable: Inner,
    open: Inner,
    /// Appended to, cut back by a rollback, and thinned out by a commit behind a pruning unless a
    /// history is kept. What of it was handed over is at its beginning.
    log: Vec<ChangeSet>,
    lost: Vec<(Key, Lost, Dot)>,
    /// What is kept for peers that compare.
    pins: BTreeMap<DeviceId, Inner>,
    /// Since when change sets are kept that are below the floors, Unix milliseconds.
    keeps_since: Option<u64>,
}

impl MemStore {
    /// An empty store of `device`.
    pub fn new(device: DeviceId) -> Self {
        let (durable, open) = (Inner::default(), Inner::default());
        let (log, lost, pins) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { device, durable, open, log, lost, pins, keeps_since: None }
    }

    /// Makes what was written durable.
    pub fn commit(&mut self) {
        if self.open.floors != self.durable.floors && self.keeps_since.is_none() {
            let floors = &self.open.floors;
            self.log.retain(|set| !is_pruned(floors, set));
            self.open.logged = self.log.len();
        }
        self.durable = self.open.clone();
    }

    /// The process ends: what was not committed is lost, and so is what was kept for peers.
    pub fn crash(&mut self) {
        self.rollback();
        self.pins.clear();
    }

    /// Forgets the log and what peers have acknowledged, as if `sync.db` had been deleted.
    pub fn lose_log(&mut self) {
        self.open.acknowledged.clear();
        for (origin, head) in self.open.vector.iter() {
            self.open.floors.insert(*origin, head.seq);
        }
        self.lose_history();
        self.commit();
    }

    /// Forgets what was written since the last commit.
    pub fn rollback(&mut self) {
        self.open = self.durable.clone();
        self.log.truncate(self.open.logged);
        self.lost.truncate(self.open.lost);
    }

    fn pinned(&self, peer: &DeviceId) -> &Inner {
        self.pins.get(peer).expect("something is pinned for the peer")
    }

    fn lane_mut(&mut self, device: DeviceId) -> &mut Lane {
        Arc::make_mut(self.open.lanes.entry(device).or_default())
    }

    fn set_exact(&mut self, device: DeviceId, head: OwnedHead) {
        self.lane_mut(device).state.exact = Some(head);
        self.open.heads.set(device, head);
    }

    /// The same state, as another device holds it that has taken part for as long.
    pub fn as_held_by(&self, device: DeviceId) -> Self {
        Self { device, ..self.clone() }
    }

    /// All shared records, in order.
    pub fn records(&self) -> impl Iterator<Item = (&ModelId, &RecordKey, &Record)> {
        self.open.records.iter().map(|((model, key), record)| (model, key, &**record))
    }

    /// The rows of a lane that show, in order; tombstones are left out.
    pub fn rows(&self, device: &DeviceId) -> Vec<(Key, Seq, BTreeMap<FieldId, Value>)> {
        let rows = self.open.lanes.get(device).into_iter().flat_map(|lane| &lane.rows);
        rows.filter_map(|(key, (seq, fields))| Some((key.clone(), *seq, fields.clone()?))).collect()
    }

    /// What was lost to deletes, in the order in which it happened.
    pub fn lost(&self) -> &[(Key, Lost, Dot)] {
        &self.lost
    }

    fn checksum(device: DeviceId, head: OwnedHead, key: &Key, row: &Row) -> Option<u64> {
        let (seq, fields) = row;
        let fields = fields.as_ref()?.iter().map(|(id, value)| (*id, value.as_ref()));
        Some(OwnedChecksum::new(device, head.life).of(key.0, key.1.as_bytes(), *seq, fields))
    }

    fn put_row(&mut self, device: DeviceId, head: OwnedHead, key: Key, row: Row) {
        let lane = Arc::make_mut(self.open.lanes.entry(device).or_default());
        let digest = self.open.digests.entry(key.0).or_default();
        let old = lane.rows.get(&key).and_then(|old| Self::checksum(device, head, &key, old));
        if let Some(sum) = old {
            digest.remove(sum);
        }
        if let Some(sum) = Self::checksum(device, head, &key, &row) {
            digest.add(sum);
        }
        self.open.missing.forget_row(&device, &key);
        lane.rows.insert(key, row);
    }

    fn clear_rows(&mut self, device: DeviceId) {
        let lane = self.lane_mut(device);
        let rows = std::mem::take(&mut lane.rows);
        let Some(head) = lane.state.exact else { return };
        for (key, row) in rows {
            if let Some(sum) = Self::checksum(device, head, &key, &row) {
                self.open.digests.entry(key.0).or_default().remove(sum);
            }
        }
    }
}

fn is_pruned(floors: &Floors, set: &ChangeSet) -> bool {
    let dot = set.dot();
    floors.get(&dot.origin).is_some_and(|floor| dot.seq <= *floor)
}

impl Store for MemStore {
    type Error = Infallible;

    fn clock(&self) -> Hlc {
        self.open.clock
    }

    fn set_clock(&mut self, time: Hlc) -> Result<(), Infallible> {
        self.open.clock = time;
        Ok(())
    }

    fn shared_epoch(&self) -> Option<Epoch> {
        self.open.shared_epoch
    }

    fn set_shared_epoch(&mut self, epoch: Epoch) -> Result<(), Infallible> {
        self.open.shared_epoch = Some(epoch);
        Ok(())
    }

    fn vector(&self) -> &Vector {
        &self.open.vector
    }

    fn record(&mut self, model: ModelId, key: &RecordKey) -> Result<Record, Infallible> {
        let record = self.open.records.get(&(model, key.clone()));
        Ok(record.map(|record| Record::clone(record)).unwrap_or_default())
    }

    fn put_record(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), Infallible> {
        let id = (model, key.clone());
        let digest = self.open.digests.entry(model).or_default();
        let old = if *record == Record::default() {
            self.open.records.remove(&id)
        } else {
            digest.add(shared_checksum(model, key, record));
            self.open.records.insert(id, Arc::new(record.clone()))
        };
        if let Some(old) = old {
            digest.remove(shared_checksum(model, key, &old));
        }
        Ok(())
    }

    fn append(&mut self, set: &ChangeSet) -> Result<(), Infallible> {
        let origin = set.header().origin;
        assert_eq!(set.header().seq, self.open.vector.seq(&origin) + 1, "streams are dense");
        self.open.vector.set(origin, set.head());
        self.log.push(set.clone());
        self.open.logged = self.log.len();
        Ok(())
    }

    fn log(&mut self, have: &Vector, max_bytes: usize) -> Result<Vec<ChangeSet>, Infallible> {
        let mut out = Vec::new();
        let mut bytes = 0;
        let floors = &self.open.floors;
        let wanted = |set: &&ChangeSet| !have.covers(&set.dot()) && !is_pruned(floors, set);
        for set in self.log.iter().filter(wanted) {
            bytes += set.bytes().len();
            if bytes > max_bytes && !out.is_empty() {
                break;
            }
            out.push(set.clone());
        }
        Ok(out)
    }

    fn keep_lost(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        lost: &[Lost],
        by: Dot,
    ) -> Result<(), Infallible> {
        let entries = lost.iter().map(|lost| ((model, key.clone()), lost.clone(), by));
        self.lost.extend(entries);
        self.open.lost = self.lost.len();
        Ok(())
    }

    fn lane(&self, device: &DeviceId) -> Option<&OwnedLane> {
        self.open.lanes.get(device).map(|lane| &lane.state)
    }

    fn owned_vector(&self) -> OwnedVector {
        self.open.heads.clone()
    }

    fn lanes(&self) -> Vec<DeviceId> {
        self.open.lanes.keys().copied().collect()
    }

    fn put_owned(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        seq: Seq,
        fields: Option<&[(FieldId, Value)]>,
    ) -> Result<(), Infallible> {
        let fields = fields.map(|fields| fields.iter().cloned().collect());
        let lane = self.lane_mut(self.device);
        let head = lane.state.exact.expect("the own lane's life is set first");
        self.put_row(self.device, head, (model, key.clone()), (seq, fields));
        Ok(())
    }

    fn set_own_head(&mut self, head: OwnedHead) -> Result<(), Infallible> {
        let device = self.device;
        let lane = self.lane_mut(device);
        let new_life = lane.state.exact.is_some_and(|old| old.life != head.life);
        if new_life {
            self.open.missing.owned.remove(&device);
        }
        let lane = self.lane_mut(device);
        if new_life {
            let rows = lane.rows.clone();
            self.clear_rows(device);
            for (key, (_, fields)) in rows {
                if fields.is_some() {
                    self.put_row(device, head, key, (head.seq, fields));
                }
            }
        }
        self.set_exact(device, head);
        let lane = self.lane_mut(device);
        if new_life {
            lane.state.floor = head.seq;
        }
        Ok(())
    }

    fn read_page(
        &mut self,
        device: &DeviceId,
        cursor: &Cursor,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<RowPage, Infallible> {
        let lane = self.open.lanes.get(device).map(Arc::clone).unwrap_or_default();
        let head = lane.state.exact.map_or(0, |head| head.seq);
        let mut rows: Vec<(&Key, &Row)> = lane.rows.iter().collect();
        rows.retain(|(key, row)| !cursor.passed(row.0, key.0, key.1.as_bytes()));
        rows.sort_by(|a, b| (a.1.0, a.0).cmp(&(b.1.0, b.0)));
        // About forty bytes a row is as exact as the reference needs to be.
        let fit = max_rows.min(max_bytes / 40).max(1);
        let next = match rows.get(fit) {
            None => Cursor::after(head),
            Some(_) => {
                let (key, row) = rows[fit - 1];
                Cursor::at(row.0, key.0, key.1.clone())
            }
        };
        rows.truncate(fit);
        Ok(RowPage { rows: encode_rows(&rows), count: rows.len(), next })
    }

    fn stage_page(
        &mut self,
        device: &DeviceId,
        rows: &[u8],
        session: Session,
    ) -> Result<(), Infallible> {
        let lane = self.lane_mut(*device);
        let before = lane.state.session.take();
        for (key, row) in decode_rows(rows) {
            let passed = |cursor: &Cursor| cursor.passed(row.0, key.0, key.1.as_bytes());
            if !before.as_ref().is_some_and(|session| passed(&session.cursor)) {
                lane.staged.insert(key, row);
            }
        }
        lane.state.session = Some(session);
        Ok(())
    }

    fn finish_session(&mut self, device: &DeviceId) -> Result<(), Infallible> {
        let lane = self.lane_mut(*device);
        let session = lane.state.session.take().expect("a session to finish");
        let staged = std::mem::take(&mut lane.staged);
        let head = OwnedHead { life: session.life, seq: session.target };
        if session.full {
            self.clear_rows(*device);
            self.open.missing.owned.remove(device);
        }
        for (key, row) in staged {
            self.put_row(*device, head, key, row);
        }
        self.set_exact(*device, head);
        let lane = self.lane_mut(*device);
        if session.full {
            lane.state.floor = session.target;
        }
        Ok(())
    }

    fn apply_delta(&mut self, device: &DeviceId, rows: &[u8], seq: Seq) -> Result<(), Infallible> {
        let exact = self.lane(device).and_then(|lane| lane.exact);
        let head = OwnedHead { seq, ..exact.expect("a delta to an exact lane") };
        for (key, row) in decode_rows(rows) {
            if exact.is_none_or(|exact| row.0 > exact.seq) {
                self.put_row(*device, head, key, row);
            }
        }
        self.set_exact(*device, head);
        Ok(())
    }

    fn drop_session(&mut self, device: &DeviceId) -> Result<(), Infallible> {
        if self.lane(device).is_some_and(|lane| lane.session.is_some()) {
            let lane = self.lane_mut(*device);
            lane.state.session = None;
            lane.staged.clear();
        }
        Ok(())
    }

    fn digests(&self) -> &Digests {
        &self.open.digests
    }

    fn acknowledged(&self, peer: &DeviceId) -> Option<&Acked> {
        self.open.acknowledged.get(peer)
    }

    fn set_acknowledged(&mut self, peer: DeviceId, acked: Acked) -> Result<(), Infallible> {
        self.open.acknowledged.insert(peer, acked);
        Ok(())
    }

    fn floors(&self) -> &Floors {
        &self.open.floors
    }

    fn prune_log(&mut self, upto: &Floors) -> Result<u64, Infallible> {
        let before = self.open.floors.clone();
        for (origin, seq) in upto {
            assert!(*seq <= self.open.vector.seq(origin), "what is not here cannot be pruned");
            let floor = self.open.floors.entry(*origin).or_default();
            *floor = (*floor).max(*seq);
        }
        let gone = |set: &&ChangeSet| !is_pruned(&before, set) && is_pruned(upto, set);
        Ok(self.log.iter().filter(gone).count() as u64)
    }

    fn prune_lane(&mut self, device: &DeviceId, upto: Seq) -> Result<u64, Infallible> {
        let lane = self.lane_mut(*device);
        let before = lane.rows.len();
        let mut floor = lane.state.floor;
        lane.rows.retain(|_, (seq, fields)| {
            let goes = fields.is_none() && *seq <= upto;
            if goes {
                floor = floor.max(*seq);
            }
            !goes
        });
        lane.state.floor = floor;
        Ok((before - lane.rows.len()) as u64)
    }

    fn pin(&mut self, peer: DeviceId) -> Result<Pinned, Infallible> {
        let inner = self.durable.clone();
        let shared = |model: &ModelId| inner.records.keys().any(|(of, _)| of == model);
        let digests = inner.digests.iter().filter(|(model, _)| shared(model));
        let digests = digests.map(|(model, digest)| (*model, *digest)).collect();
        let pinned = Pinned { vector: inner.vector.clone(), digests };
        self.pins.insert(peer, inner);
        Ok(pinned)
    }

    fn is_pinned(&self, peer: &DeviceId) -> bool {
        self.pins.contains_key(peer)
    }

    fn unpin(&mut self, peer: &DeviceId) {
        self.pins.remove(peer);
    }

    fn pinned_buckets(
        &mut self,
        peer: &DeviceId,
        model: ModelId,
        range: &KeyRange,
        rows: u64,
        max: usize,
    ) -> Result<Vec<Bucket>, Infallible> {
        Ok(self.pinned(peer).buckets(model, range, rows, max))
    }

    fn pinned_records(
        &mut self,
        peer: &DeviceId,
        model: ModelId,
        range: &KeyRange,
        max_bytes: usize,
    ) -> Result<RecordPage, Infallible> {
        Ok(self.pinned(peer).page(model, range, max_bytes))
    }

    fn has_mirror(&self) -> bool {
        !self.open.mirror.is_empty()
    }

    fn is_mirrored(&mut self, model: ModelId, key: &RecordKey) -> Result<bool, Infallible> {
        Ok(self.open.mirror.contains_key(&(model, key.clone())))
    }

    fn put_mirror(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), Infallible> {
        self.open.mirror.insert((model, key.clone()), Arc::new(record.clone()));
        Ok(())
    }

    fn mirror_range(
        &mut self,
        model: ModelId,
        range: &KeyRange,
        records: &[(RecordKey, Record)],
    ) -> Result<(), Infallible> {
        self.open.mirror_range(model, range, records);
        Ok(())
    }

    fn mirror_digest(&mut self, model: ModelId, range: &KeyRange) -> Result<Digest, Infallible> {
        Ok(self.open.mirror_digest(model, range))
    }

    fn mirrored(
        &mut self,
        after: Option<&(ModelId, RecordKey)>,
        max: usize,
    ) -> Result<Vec<(ModelId, RecordKey, Record)>, Infallible> {
        Ok(self.open.mirrored(after, max))
    }

    fn clear_mirror(&mut self) -> Result<(), Infallible> {
        self.open.mirror.clear();
        Ok(())
    }

    fn missing(&self) -> &Missing {
        &self.open.missing
    }

    fn mend_record(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), Infallible> {
        self.put_record(model, key, record)?;
        self.open.missing.shared.remove(&(model, key.clone()));
        Ok(())
    }

    fn mend_row(&mut self, device: &DeviceId, row: &HeldRow) -> Result<(), Infallible> {
        self.put_held(device, row);
        Ok(())
    }

    fn rows_of(
        &mut self,
        device: &DeviceId,
        keys: &[Place],
        _max_bytes: usize,
    ) -> Result<Vec<HeldRow>, Infallible> {
        Ok(keys.iter().map(|place| self.held(device, place)).collect())
    }

    fn wanted_history(&mut self) -> Result<WantedHistory, Infallible> {
        Ok(self.lacking_history())
    }

    fn history_below(
        &mut self,
        wanted: &WantedHistory,
        max_bytes: usize,
    ) -> Result<HistoryPage, Infallible> {
        Ok(self.past_below(wanted, max_bytes))
    }

    fn take_history(
        &mut self,
        asked: &WantedHistory,
        page: &HistoryPage,
    ) -> Result<(), Infallible> {
        self.take_past(asked, page);
        Ok(())
    }

    fn adopt(&mut self, vector: &Vector) -> Result<(), Infallible> {
        for (origin, head) in vector.grown_since(&self.open.vector).iter() {
            self.open.vector.set(*origin, Head { seq: head.seq, hash: head.hash });
            self.open.floors.insert(*origin, head.seq);
            self.adopted(*origin, *head);
        }
        Ok(())
    }
}
