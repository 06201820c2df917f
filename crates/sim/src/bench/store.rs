//! The store's own promises, each kept by the [`Base`] and broken by a bug if so wanted.

use driftless_core::change::ChangeSet;
use driftless_core::clock::Hlc;
use driftless_core::digest::{Digest, Digests};
use driftless_core::id::{DeviceId, Dot, Epoch, RecordKey, Seq};
use driftless_core::merge::Lost;
use driftless_core::page::{Cursor, PageWriter};
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{
    Acked, Bucket, Floors, HeldRow, HistoryPage, KeyRange, Missing, OwnedLane, Pinned, Place,
    RecordPage, RowPage, Session, Store, WantedHistory,
};
use driftless_core::value::Value;
use driftless_core::version::{OwnedHead, OwnedVector, Vector};
use driftless_store::StoreError;

use crate::base::Base;
use crate::bug::Bug;

use super::{BenchStore, Done, keep_all, last_comers};

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
