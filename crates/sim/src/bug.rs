//! The store under a simulated replica: the reference store, and around it the deliberate bugs with
//! which the checkers are checked.

use std::convert::Infallible;

use driftless_core::change::ChangeSet;
use driftless_core::clock::Hlc;
use driftless_core::digest::{Digest, Digests};
use driftless_core::id::{DeviceId, Dot, RecordKey, Seq};
use driftless_core::mem::MemStore;
use driftless_core::merge::Lost;
use driftless_core::page::{Cursor, PageModel, PageReader, PageWriter};
use driftless_core::record::{Record, Version};
use driftless_core::schema::{FieldId, MergeRule, ModelId};
use driftless_core::store::{
    Acked, Bucket, Floors, KeyRange, OwnedLane, Pinned, RecordPage, RowPage, Session, Store,
};
use driftless_core::value::Value;
use driftless_core::version::{OwnedHead, OwnedVector, Vector};

use crate::world::Counts;

/// A deliberate bug around the engine. A run with one of them must end in a violation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// Effects are carried out before the transaction is durable.
    AcknowledgeBeforeCommit,
    /// Of concurrent values the one with the lowest stamp shows.
    ReversedStamps,
    /// Some remote changes are taken for applied: the vector moves over them.
    SkippedRange,
    /// Some pages lack their last row.
    LostRow,
    /// Pages lack the tombstones.
    LostTombstone,
    /// What a commit wrote is sometimes lost in a crash.
    LostCommit,
    /// The time of the clock is not kept over restarts.
    ForgottenClock,
    /// The version that came last replaces its siblings.
    LastComerWins,
    /// A page moves a lane's head without its rows.
    HeadWithoutRows,
    /// Deleted records stay.
    IgnoredDelete,
    /// A log entry in the middle of a range is not sent.
    HoleInLog,
    /// The digest of some rows is not kept.
    StaleDigest,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 12] = [
        Bug::AcknowledgeBeforeCommit,
        Bug::ReversedStamps,
        Bug::SkippedRange,
        Bug::LostRow,
        Bug::LostTombstone,
        Bug::LostCommit,
        Bug::ForgottenClock,
        Bug::LastComerWins,
        Bug::HeadWithoutRows,
        Bug::IgnoredDelete,
        Bug::HoleInLog,
        Bug::StaleDigest,
    ];
}

/// A [`MemStore`], with a bug if so wanted.
#[derive(Clone, Debug)]
pub struct BenchStore {
    mem: MemStore,
    /// What is durable, where more than that is visible.
    synced: Option<Box<MemStore>>,
    bug: Option<Bug>,
    /// Calls that the bug had a chance in.
    calls: u64,
    /// Whether the calls come from a local write.
    local: bool,
    digests: Digests,
    tally: Counts,
}

impl BenchStore {
    /// An empty store of `device`.
    pub fn new(device: DeviceId, bug: Option<Bug>) -> Self {
        let (mem, digests) = (MemStore::new(device), Digests::new());
        Self { mem, synced: None, bug, calls: 0, local: false, digests, tally: Counts::new() }
    }

    /// The reference store.
    pub fn mem(&self) -> &MemStore {
        &self.mem
    }

    /// The reference store, around the bug.
    pub fn mem_mut(&mut self) -> &mut MemStore {
        &mut self.mem
    }

    /// How often owned lanes took which way into the store.
    pub fn tally(&self) -> &Counts {
        &self.tally
    }

    fn tally_lane(&mut self, device: &DeviceId, what: [&'static str; 3]) {
        let lane = self.mem.lane(device).cloned().unwrap_or_default();
        let kind = match lane.session {
            None => what[0],
            Some(session) if session.full => what[1],
            Some(_) => what[2],
        };
        *self.tally.entry(kind).or_default() += 1;
    }

    /// Tells whether what follows is a local write.
    pub fn set_local(&mut self, local: bool) {
        self.local = local;
    }

    /// Makes what was written durable.
    pub fn commit(&mut self) {
        if self.bug == Some(Bug::LostCommit) && self.every(7) {
            return;
        }
        self.mem.commit();
        self.synced = None;
    }

    /// Makes what was written visible. It is durable with the next [`BenchStore::commit`].
    pub fn commit_relaxed(&mut self) {
        if self.synced.is_none() {
            let mut synced = self.mem.clone();
            synced.rollback();
            self.synced = Some(Box::new(synced));
        }
        self.mem.commit();
    }

    /// The power fails: what is not durable is lost. Returns whether anything was.
    pub fn cut_power(&mut self) -> bool {
        self.rollback();
        let Some(synced) = self.synced.take() else { return false };
        self.mem = *synced;
        self.digests = self.mem.digests().clone();
        true
    }

    /// Forgets what was written since the last commit.
    pub fn rollback(&mut self) {
        self.mem.rollback();
        self.digests = self.mem.digests().clone();
    }

    /// The process ends.
    pub fn crash(&mut self) {
        self.mem.crash();
        self.digests = self.mem.digests().clone();
    }

    /// What the store would project into the column of a field.
    pub fn project(&self, record: &Record, field: FieldId, rule: MergeRule) -> Value {
        if self.bug == Some(Bug::ReversedStamps) && rule == MergeRule::Lww {
            let first = record.versions(field).iter().min_by_key(|version| version.stamp());
            return first.map_or(Value::Null, |version| version.value.clone());
        }
        record.shown(field, rule)
    }

    fn every(&mut self, n: u64) -> bool {
        self.calls += 1;
        self.calls.is_multiple_of(n)
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The digests as the bug has them.
    fn update_digests(&mut self) {
        if self.has(Bug::StaleDigest) && self.every(5) {
            return;
        }
        self.digests = self.mem.digests().clone();
    }

    /// The rows of a page, without some.
    fn thin(&mut self, page: RowPage) -> RowPage {
        let drop_last = self.has(Bug::LostRow) && page.count > 1 && self.every(3);
        let mut reader = PageReader::new(&page.rows).expect("the reference store's page");
        let models: Vec<PageModel> = reader.models().to_vec();
        let mut writer = PageWriter::new(&models);
        let (mut values, mut extras) = (vec![], vec![]);
        let mut left = page.count;
        while let Ok(Some(row)) = reader.next_row(&mut values, &mut extras) {
            left -= 1;
            if (left == 0 && drop_last) || (row.tombstone && self.has(Bug::LostTombstone)) {
                continue;
            }
            if row.tombstone {
                writer.tombstone(row.model, row.seq, row.key);
            } else {
                writer.row(row.model, row.seq, row.key, values.iter().copied(), &extras);
            }
        }
        let count = writer.rows();
        RowPage { rows: writer.finish().into(), count, next: page.next }
    }
}

/// The versions of each field that came last, by what was there before.
fn last_comers(before: &Record, after: &Record) -> Record {
    let mut record = after.clone();
    for (field, versions) in &mut record.fields {
        let old = before.versions(*field);
        let is_new = |version: &Version| old.iter().all(|old| old.dot != version.dot);
        if versions.iter().any(is_new) {
            versions.retain(is_new);
        }
    }
    record
}

impl Store for BenchStore {
    type Error = Infallible;

    fn clock(&self) -> Hlc {
        self.mem.clock()
    }

    fn set_clock(&mut self, time: Hlc) -> Result<(), Infallible> {
        if self.has(Bug::ForgottenClock) { Ok(()) } else { self.mem.set_clock(time) }
    }

    fn vector(&self) -> &Vector {
        self.mem.vector()
    }

    fn record(&mut self, model: ModelId, key: &RecordKey) -> Result<Record, Infallible> {
        self.mem.record(model, key)
    }

    fn put_record(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), Infallible> {
        if !self.local && self.has(Bug::SkippedRange) && self.every(4) {
            return Ok(());
        }
        if !self.local && self.has(Bug::IgnoredDelete) && !record.is_alive() {
            return Ok(());
        }
        if self.has(Bug::LastComerWins) {
            let before = self.mem.record(model, key)?;
            self.mem.put_record(model, key, &last_comers(&before, record))?;
        } else {
            self.mem.put_record(model, key, record)?;
        }
        self.update_digests();
        Ok(())
    }

    fn append(&mut self, set: &ChangeSet) -> Result<(), Infallible> {
        self.mem.append(set)
    }

    fn log(&mut self, have: &Vector, max_bytes: usize) -> Result<Vec<ChangeSet>, Infallible> {
        let mut sets = self.mem.log(have, max_bytes)?;
        if self.has(Bug::HoleInLog) {
            sets.retain(|set| set.header().seq % 5 != 0);
        }
        Ok(sets)
    }

    fn keep_lost(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        lost: &[Lost],
        by: Dot,
    ) -> Result<(), Infallible> {
        self.mem.keep_lost(model, key, lost, by)
    }

    fn lane(&self, device: &DeviceId) -> Option<&OwnedLane> {
        self.mem.lane(device)
    }

    fn owned_vector(&self) -> OwnedVector {
        self.mem.owned_vector()
    }

    fn lanes(&self) -> Vec<DeviceId> {
        self.mem.lanes()
    }

    fn put_owned(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        seq: Seq,
        fields: Option<&[(FieldId, Value)]>,
    ) -> Result<(), Infallible> {
        self.mem.put_owned(model, key, seq, fields)?;
        self.update_digests();
        Ok(())
    }

    fn set_own_head(&mut self, head: OwnedHead) -> Result<(), Infallible> {
        self.mem.set_own_head(head)?;
        self.digests = self.mem.digests().clone();
        Ok(())
    }

    fn read_page(
        &mut self,
        device: &DeviceId,
        cursor: &Cursor,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<RowPage, Infallible> {
        let page = self.mem.read_page(device, cursor, max_rows, max_bytes)?;
        let thins = self.has(Bug::LostRow) || self.has(Bug::LostTombstone);
        Ok(if thins { self.thin(page) } else { page })
    }

    fn stage_page(
        &mut self,
        device: &DeviceId,
        rows: &[u8],
        session: Session,
    ) -> Result<(), Infallible> {
        let ways = ["session: begun", "session: page of a full one", "session: page of a delta"];
        self.tally_lane(device, ways);
        self.mem.stage_page(device, rows, session)
    }

    fn finish_session(&mut self, device: &DeviceId) -> Result<(), Infallible> {
        self.tally_lane(device, ["", "session: a full one done", "session: a delta done"]);
        self.mem.finish_session(device)?;
        self.update_digests();
        Ok(())
    }

    fn apply_delta(&mut self, device: &DeviceId, rows: &[u8], seq: Seq) -> Result<(), Infallible> {
        *self.tally.entry("a delta of one page").or_default() += 1;
        if self.has(Bug::HeadWithoutRows) {
            let none = PageWriter::new(&[]).finish();
            return self.mem.apply_delta(device, &none, seq);
        }
        self.mem.apply_delta(device, rows, seq)?;
        self.update_digests();
        Ok(())
    }

    fn drop_session(&mut self, device: &DeviceId) -> Result<(), Infallible> {
        let nothing = "session: none to drop";
        self.tally_lane(
            device,
            [nothing, "session: a full one dropped", "session: a delta dropped"],
        );
        self.mem.drop_session(device)
    }

    fn digests(&self) -> &Digests {
        &self.digests
    }

    fn acknowledged(&self, peer: &DeviceId) -> Option<&Acked> {
        self.mem.acknowledged(peer)
    }

    fn set_acknowledged(&mut self, peer: DeviceId, acked: Acked) -> Result<(), Infallible> {
        self.mem.set_acknowledged(peer, acked)
    }

    fn floors(&self) -> &Floors {
        self.mem.floors()
    }

    fn prune_log(&mut self, upto: &Floors) -> Result<u64, Infallible> {
        self.mem.prune_log(upto)
    }

    fn prune_lane(&mut self, device: &DeviceId, upto: Seq) -> Result<u64, Infallible> {
        self.mem.prune_lane(device, upto)
    }

    fn pin(&mut self, peer: DeviceId) -> Result<Pinned, Infallible> {
        self.mem.pin(peer)
    }

    fn is_pinned(&self, peer: &DeviceId) -> bool {
        self.mem.is_pinned(peer)
    }

    fn unpin(&mut self, peer: &DeviceId) {
        self.mem.unpin(peer);
    }

    fn pinned_buckets(
        &mut self,
        peer: &DeviceId,
        model: ModelId,
        range: &KeyRange,
        rows: u64,
        max: usize,
    ) -> Result<Vec<Bucket>, Infallible> {
        self.mem.pinned_buckets(peer, model, range, rows, max)
    }

    fn pinned_records(
        &mut self,
        peer: &DeviceId,
        model: ModelId,
        range: &KeyRange,
        max_bytes: usize,
    ) -> Result<RecordPage, Infallible> {
        self.mem.pinned_records(peer, model, range, max_bytes)
    }

    fn has_mirror(&self) -> bool {
        self.mem.has_mirror()
    }

    fn is_mirrored(&mut self, model: ModelId, key: &RecordKey) -> Result<bool, Infallible> {
        self.mem.is_mirrored(model, key)
    }

    fn put_mirror(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), Infallible> {
        self.mem.put_mirror(model, key, record)
    }

    fn mirror_range(
        &mut self,
        model: ModelId,
        range: &KeyRange,
        records: &[(RecordKey, Record)],
    ) -> Result<(), Infallible> {
        self.mem.mirror_range(model, range, records)
    }

    fn mirror_digest(&mut self, model: ModelId, range: &KeyRange) -> Result<Digest, Infallible> {
        self.mem.mirror_digest(model, range)
    }

    fn mirrored(
        &mut self,
        after: Option<&(ModelId, RecordKey)>,
        max: usize,
    ) -> Result<Vec<(ModelId, RecordKey, Record)>, Infallible> {
        self.mem.mirrored(after, max)
    }

    fn clear_mirror(&mut self) -> Result<(), Infallible> {
        self.mem.clear_mirror()
    }

    fn adopt(&mut self, vector: &Vector) -> Result<(), Infallible> {
        self.mem.adopt(vector)
    }
}
