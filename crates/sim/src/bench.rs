//! The store as a replica's engine sees it: a [`Base`], with a bug if so wanted.

use std::borrow::Cow;
use std::collections::BTreeMap;

use driftless_core::change::ChangeSet;
use driftless_core::clock::Hlc;
use driftless_core::digest::{Digest, Digests};
use driftless_core::id::{DeviceId, Dot, Epoch, Origin, RecordKey, Seq};
use driftless_core::mem::MemStore;
use driftless_core::merge::Lost;
use driftless_core::page::{Cursor, PageModel, PageReader, PageWriter};
use driftless_core::record::{Record, Version};
use driftless_core::schema::{FieldId, MergeRule, ModelId};
use driftless_core::store::{
    Acked, Bucket, Floors, HeldRow, HistoryPage, KeyRange, Missing, OwnedLane, Pinned, Place,
    RecordPage, RowPage, Session, Store, WantedHistory,
};
use driftless_core::value::Value;
use driftless_core::version::{Head, OwnedHead, OwnedVector, Vector};
use driftless_store::StoreError;

use crate::base::Base;
use crate::bug::Bug;
use crate::ledger::Rows;
use crate::world::Counts;

/// Calls something that can fail on whichever store there is.
macro_rules! base {
    ($self:expr, $store:ident => $call:expr) => {
        match &mut $self.base {
            Base::Memory { mem: $store, .. } => $call.map_err(|never| match never {}),
            Base::Sqlite(disk) => {
                let $store = disk.store_mut();
                $call
            }
        }
    };
}

/// Reads from whichever store there is.
macro_rules! read {
    ($self:expr, $store:ident => $call:expr) => {
        match &$self.base {
            Base::Memory { mem: $store, .. } => $call,
            Base::Sqlite(disk) => {
                let $store = disk.store();
                $call
            }
        }
    };
}

type Done<T = ()> = Result<T, StoreError>;

/// A store, with a bug if so wanted.
pub(crate) struct BenchStore {
    base: Base,
    bug: Option<Bug>,
    /// Calls that the bug had a chance in.
    calls: u64,
    /// Whether the calls come from a local write.
    local: bool,
    digests: Digests,
    tally: Counts,
    /// What was forgotten since the checkers looked.
    pruned: Pruned,
    /// What a bug works with.
    scratch: Scratch,
}

/// What a replica has forgotten on purpose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pruned {
    /// Of the log.
    pub(crate) log: Floors,
    /// Tombstones of lanes.
    pub(crate) lanes: BTreeMap<DeviceId, Seq>,
}

/// What bugs remember.
#[derive(Default)]
struct Scratch {
    /// The store before the last local commit.
    before: Option<Box<MemStore>>,
    /// What is shown instead of the vector while a change set is sealed.
    sealing: Option<Vector>,
    /// What the peer of a reconcile has.
    theirs: BTreeMap<(ModelId, RecordKey), Record>,
    /// What is shown instead of the floors.
    floors: Option<Floors>,
}

impl BenchStore {
    pub(crate) fn new(base: Base, bug: Option<Bug>) -> Self {
        let (digests, tally) = (Digests::new(), Counts::new());
        let (pruned, scratch) = (Pruned::default(), Scratch::default());
        Self { base, bug, calls: 0, local: false, digests, tally, pruned, scratch }
    }

    /// The reference store; `None` if there is another one.
    pub(crate) fn mem_mut(&mut self) -> Option<&mut MemStore> {
        match &mut self.base {
            Base::Memory { mem, .. } => Some(mem),
            Base::Sqlite(_) => None,
        }
    }

    /// All shared records, in order.
    pub(crate) fn records(&self) -> Done<Vec<(ModelId, RecordKey, Cow<'_, Record>)>> {
        self.base.records()
    }

    /// The change sets of the history, and since when it is whole, Unix milliseconds.
    pub(crate) fn history(&self) -> Done<(Vec<ChangeSet>, Option<u64>)> {
        Ok((self.base.history()?, self.base.history_begin()))
    }

    /// The rows of an exact lane that show, in order.
    pub(crate) fn rows(&self, device: &DeviceId) -> Done<Rows> {
        self.base.rows(device)
    }

    /// The rows of all exact lanes that show.
    pub(crate) fn all_rows(&self) -> Done<Vec<(DeviceId, OwnedHead, Rows)>> {
        self.base.all_rows(&self.owned_vector())
    }

    /// The change set at a dot, if it is logged.
    pub(crate) fn logged(&mut self, dot: Dot) -> Done<Option<ChangeSet>> {
        let mut have = self.vector().clone();
        have.set(dot.origin, Head { seq: dot.seq - 1, hash: [0; 32] });
        let sets = base!(self, store => store.log(&have, usize::MAX))?;
        Ok(sets.into_iter().find(|set| set.dot() == dot))
    }

    /// How often owned lanes took which way into the store.
    pub(crate) fn tally(&self) -> &Counts {
        &self.tally
    }

    fn tally_lane(&mut self, device: &DeviceId, what: [&'static str; 3]) {
        let lane = self.lane(device).cloned().unwrap_or_default();
        let kind = match lane.session {
            None => what[0],
            Some(session) if session.full => what[1],
            Some(_) => what[2],
        };
        *self.tally.entry(kind).or_default() += 1;
    }

    /// Tells whether what follows is a local write.
    pub(crate) fn set_local(&mut self, local: bool) {
        self.local = local;
        if local
            && self.has(Bug::ReusedSeq)
            && let Base::Memory { mem, .. } = &self.base
        {
            let mut before = mem.clone();
            before.rollback();
            self.scratch.before = Some(before);
        }
    }

    /// Tells whether what follows seals a change set of `origin`.
    pub(crate) fn set_sealing(&mut self, origin: Option<Origin>) {
        self.scratch.sealing = None;
        if let Some(origin) = origin.filter(|_| self.has(Bug::NoNeeds)) {
            let head = self.vector().head(&origin);
            self.scratch.sealing = Some(head.into_iter().map(|head| (origin, head)).collect());
        }
    }

    /// What was forgotten on purpose since this was asked last.
    pub(crate) fn take_pruned(&mut self) -> Pruned {
        std::mem::take(&mut self.pruned)
    }

    /// Begins a batch, which may be relaxed: visible before it is durable.
    pub(crate) fn begin(&mut self, relaxed: bool) -> Done {
        self.base.begin(relaxed)
    }

    /// Makes what was written durable.
    pub(crate) fn commit(&mut self) -> Done {
        if self.bug == Some(Bug::LostCommit) && self.every(7) {
            return Ok(());
        }
        self.base.commit()
    }

    /// Makes what was written visible. It is durable with the next [`BenchStore::commit`].
    pub(crate) fn commit_relaxed(&mut self) -> Done {
        self.base.commit_relaxed()
    }

    /// Forgets what was written since the last commit.
    pub(crate) fn rollback(&mut self) -> Done {
        self.base.rollback()?;
        self.read_digests();
        Ok(())
    }

    /// The process dies.
    pub(crate) fn crash(&mut self) -> Done {
        self.base.crash()?;
        if let (Base::Memory { mem, .. }, Some(before)) =
            (&mut self.base, self.scratch.before.take())
        {
            *mem = before;
        }
        self.read_digests();
        Ok(())
    }

    /// The power fails: what is not durable is lost. Returns whether anything was.
    pub(crate) fn cut_power(&mut self) -> Done<bool> {
        let gone = self.base.cut_power()?;
        self.read_digests();
        Ok(gone)
    }

    /// The process dies, and the log is lost before it starts again.
    pub(crate) fn lose_log(&mut self) -> Done {
        self.base.lose_log()
    }

    /// Keeps a copy of what is there.
    pub(crate) fn save(&mut self) -> Done {
        self.base.save()
    }

    /// Puts the copy in the place of what is there, while the process is down.
    pub(crate) fn restore(&mut self) -> Done {
        self.base.restore()?;
        self.read_digests();
        Ok(())
    }

    fn read_digests(&mut self) {
        self.digests = read!(self, store => store.digests().clone());
    }

    /// What the store would project into the column of a field.
    pub(crate) fn project(&self, record: &Record, field: FieldId, rule: MergeRule) -> Value {
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
        self.read_digests();
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

/// A record with everything that either has.
fn keep_all(record: &mut Record, ours: &Record) {
    record.lives.extend(&ours.lives);
    for (field, versions) in &ours.fields {
        let there = record.fields.entry(*field).or_default();
        for version in versions {
            if there.iter().all(|other| other.dot != version.dot) {
                there.push(version.clone());
            }
        }
        there.sort_by_key(|version| version.dot);
    }
}

impl Store for BenchStore {
    type Error = StoreError;

    fn clock(&self) -> Hlc {
        read!(self, store => store.clock())
    }

    fn set_clock(&mut self, time: Hlc) -> Result<(), StoreError> {
        if self.has(Bug::ForgottenClock) {
            Ok(())
        } else {
            base!(self, store => store.set_clock(time))
        }
    }

    fn shared_epoch(&self) -> Option<Epoch> {
        read!(self, store => store.shared_epoch())
    }

    fn set_shared_epoch(&mut self, epoch: Epoch) -> Result<(), StoreError> {
        base!(self, store => store.set_shared_epoch(epoch))
    }

    fn vector(&self) -> &Vector {
        if let Some(sealing) = &self.scratch.sealing {
            return sealing;
        }
        read!(self, store => store.vector())
    }

    fn record(&mut self, model: ModelId, key: &RecordKey) -> Result<Record, StoreError> {
        base!(self, store => store.record(model, key))
    }

    fn put_record(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), StoreError> {
        if !self.local && self.has(Bug::SkippedRange) && self.every(4) {
            return Ok(());
        }
        if !self.local && self.has(Bug::IgnoredDelete) && !record.is_alive() {
            return Ok(());
        }
        if let Some(theirs) = self.scratch.theirs.remove(&(model, key.clone())) {
            base!(self, store => store.put_record(model, key, &theirs))?;
        } else if self.has(Bug::LastComerWins) {
            let before = base!(self, store => store.record(model, key))?;
            base!(self, store => store.put_record(model, key, &last_comers(&before, record)))?;
        } else {
            base!(self, store => store.put_record(model, key, record))?;
        }
        self.update_digests();
        Ok(())
    }

    fn append(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        base!(self, store => store.append(set))
    }

    fn log(&mut self, have: &Vector, max_bytes: usize) -> Result<Vec<ChangeSet>, StoreError> {
        let mut sets = base!(self, store => store.log(have, max_bytes))?;
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
    ) -> Result<(), StoreError> {
        base!(self, store => store.keep_lost(model, key, lost, by))
    }

    fn lane(&self, device: &DeviceId) -> Option<&OwnedLane> {
        read!(self, store => store.lane(device))
    }

    fn owned_vector(&self) -> OwnedVector {
        read!(self, store => store.owned_vector())
    }

    fn lanes(&self) -> Vec<DeviceId> {
        read!(self, store => store.lanes())
    }

    fn put_owned(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        seq: Seq,
        fields: Option<&[(FieldId, Value)]>,
    ) -> Result<(), StoreError> {
        base!(self, store => store.put_owned(model, key, seq, fields))?;
        self.update_digests();
        Ok(())
    }

    fn set_own_head(&mut self, head: OwnedHead) -> Result<(), StoreError> {
        base!(self, store => store.set_own_head(head))?;
        self.read_digests();
        Ok(())
    }

    fn read_page(
        &mut self,
        device: &DeviceId,
        cursor: &Cursor,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<RowPage, StoreError> {
        let page = base!(self, store => store.read_page(device, cursor, max_rows, max_bytes))?;
        let thins = self.has(Bug::LostRow) || self.has(Bug::LostTombstone);
        Ok(if thins { self.thin(page) } else { page })
    }

    fn stage_page(
        &mut self,
        device: &DeviceId,
        rows: &[u8],
        session: Session,
    ) -> Result<(), StoreError> {
        let ways = ["session: begun", "session: page of a full one", "session: page of a delta"];
        self.tally_lane(device, ways);
        base!(self, store => store.stage_page(device, rows, session))
    }

    fn finish_session(&mut self, device: &DeviceId) -> Result<(), StoreError> {
        self.tally_lane(device, ["", "session: a full one done", "session: a delta done"]);
        base!(self, store => store.finish_session(device))?;
        self.update_digests();
        Ok(())
    }

    fn apply_delta(&mut self, device: &DeviceId, rows: &[u8], seq: Seq) -> Result<(), StoreError> {
        *self.tally.entry("a delta of one page").or_default() += 1;
        if self.has(Bug::HeadWithoutRows) {
            let none = PageWriter::new(&[]).finish();
            return base!(self, store => store.apply_delta(device, &none, seq));
        }
        base!(self, store => store.apply_delta(device, rows, seq))?;
        self.update_digests();
        Ok(())
    }

    fn drop_session(&mut self, device: &DeviceId) -> Result<(), StoreError> {
        let nothing = "session: none to drop";
        self.tally_lane(
            device,
            [nothing, "session: a full one dropped", "session: a delta dropped"],
        );
        base!(self, store => store.drop_session(device))
    }

    fn digests(&self) -> &Digests {
        &self.digests
    }

    fn acknowledged(&self, peer: &DeviceId) -> Option<&Acked> {
        read!(self, store => store.acknowledged(peer))
    }

    fn set_acknowledged(&mut self, peer: DeviceId, acked: Acked) -> Done {
        base!(self, store => store.set_acknowledged(peer, acked))
    }

    fn floors(&self) -> &Floors {
        if let Some(floors) = &self.scratch.floors {
            return floors;
        }
        read!(self, store => store.floors())
    }

    fn prune_log(&mut self, upto: &Floors) -> Done<u64> {
        let mut upto = upto.clone();
        if self.has(Bug::PrunedEarly) {
            upto = self.vector().iter().map(|(origin, head)| (*origin, head.seq)).collect();
        }
        let upto = &upto;
        for (origin, seq) in upto {
            let pruned = self.pruned.log.entry(*origin).or_default();
            *pruned = (*pruned).max(*seq);
        }
        base!(self, store => store.prune_log(upto))
    }

    fn prune_lane(&mut self, device: &DeviceId, upto: Seq) -> Done<u64> {
        let head = self.lane(device).and_then(|lane| lane.exact).map_or(0, |head| head.seq);
        let upto = if self.has(Bug::EarlyTombstones) { head } else { upto };
        let gone = base!(self, store => store.prune_lane(device, upto))?;
        if gone > 0 {
            let pruned = self.pruned.lanes.entry(*device).or_default();
            *pruned = (*pruned).max(upto);
        }
        Ok(gone)
    }

    fn pin(&mut self, peer: DeviceId) -> Done<Pinned> {
        base!(self, store => store.pin(peer))
    }

    fn is_pinned(&self, peer: &DeviceId) -> bool {
        read!(self, store => store.is_pinned(peer))
    }

    fn unpin(&mut self, peer: &DeviceId) {
        match &mut self.base {
            Base::Memory { mem, .. } => mem.unpin(peer),
            Base::Sqlite(disk) => disk.store_mut().unpin(peer),
        }
    }

    fn pinned_buckets(
        &mut self,
        peer: &DeviceId,
        model: ModelId,
        range: &KeyRange,
        rows: u64,
        max: usize,
    ) -> Done<Vec<Bucket>> {
        base!(self, store => store.pinned_buckets(peer, model, range, rows, max))
    }

    fn pinned_records(
        &mut self,
        peer: &DeviceId,
        model: ModelId,
        range: &KeyRange,
        max_bytes: usize,
    ) -> Done<RecordPage> {
        base!(self, store => store.pinned_records(peer, model, range, max_bytes))
    }

    fn has_mirror(&self) -> bool {
        read!(self, store => store.has_mirror())
    }

    fn is_mirrored(&mut self, model: ModelId, key: &RecordKey) -> Done<bool> {
        base!(self, store => store.is_mirrored(model, key))
    }

    fn put_mirror(&mut self, model: ModelId, key: &RecordKey, record: &Record) -> Done {
        base!(self, store => store.put_mirror(model, key, record))
    }

    fn mirror_range(
        &mut self,
        model: ModelId,
        range: &KeyRange,
        records: &[(RecordKey, Record)],
    ) -> Done {
        base!(self, store => store.mirror_range(model, range, records))
    }

    fn mirror_digest(&mut self, model: ModelId, range: &KeyRange) -> Done<Digest> {
        base!(self, store => store.mirror_digest(model, range))
    }

    fn mirrored(
        &mut self,
        after: Option<&(ModelId, RecordKey)>,
        max: usize,
    ) -> Done<Vec<(ModelId, RecordKey, Record)>> {
        let mut page = base!(self, store => store.mirrored(after, max))?;
        for (model, key, record) in &mut page {
            if self.has(Bug::DeadDotsKept) {
                let ours = self.record(*model, key)?;
                keep_all(record, &ours);
            }
            if self.has(Bug::UnseenDotsDropped) {
                self.scratch.theirs.insert((*model, key.clone()), record.clone());
            }
        }
        Ok(page)
    }

    fn clear_mirror(&mut self) -> Done {
        self.scratch.theirs.clear();
        base!(self, store => store.clear_mirror())
    }

    fn missing(&self) -> &Missing {
        read!(self, store => store.missing())
    }

    fn mend_record(&mut self, model: ModelId, key: &RecordKey, record: &Record) -> Done {
        base!(self, store => store.mend_record(model, key, record))
    }

    fn mend_row(&mut self, device: &DeviceId, row: &HeldRow) -> Done {
        base!(self, store => store.mend_row(device, row))
    }

    fn rows_of(&mut self, device: &DeviceId, keys: &[Place], max: usize) -> Done<Vec<HeldRow>> {
        base!(self, store => store.rows_of(device, keys, max))
    }

    fn wanted_history(&mut self) -> Done<WantedHistory> {
        base!(self, store => store.wanted_history())
    }

    fn history_below(&mut self, wanted: &WantedHistory, max: usize) -> Done<HistoryPage> {
        let mut page = base!(self, store => store.history_below(wanted, max))?;
        if self.has(Bug::BoastedHistory) {
            (page.more, page.whole_since_ms) = (false, Some(0));
        }
        Ok(page)
    }

    fn take_history(&mut self, asked: &WantedHistory, page: &HistoryPage) -> Done {
        base!(self, store => store.take_history(asked, page))
    }

    fn adopt(&mut self, vector: &Vector) -> Done {
        if self.has(Bug::FloorNotRaised) {
            self.scratch.floors = Some(self.floors().clone());
        }
        base!(self, store => store.adopt(vector))
    }
}
