//! [`Store`] on SQLite: every method in one line, each room's work in its file.

use driftless_core::change::ChangeSet;
use driftless_core::clock::Hlc;
use driftless_core::digest::{Digest, Digests};
use driftless_core::id::{DeviceId, Dot, Epoch, RecordKey, Seq};
use driftless_core::merge::Lost;
use driftless_core::page::Cursor;
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{
    Acked, Bucket, Floors, HeldRow, HistoryPage, KeyRange, Missing, OwnedLane, Pinned, Place,
    RecordPage, RowPage, Session, Store, WantedHistory,
};
use driftless_core::value::Value;
use driftless_core::version::{OwnedHead, OwnedVector, Vector};

use crate::error::StoreError;
use crate::identity::Identity;
use crate::log::Kind;
use crate::open::SqliteStore;

impl Store for SqliteStore {
    type Error = StoreError;

    fn clock(&self) -> Hlc {
        self.state.clock
    }

    fn set_clock(&mut self, time: Hlc) -> Result<(), StoreError> {
        self.writable()?;
        self.state.set_clock(time);
        Ok(())
    }

    fn shared_epoch(&self) -> Option<Epoch> {
        Some(self.state.identity.shared_epoch)
    }

    fn set_shared_epoch(&mut self, shared_epoch: Epoch) -> Result<(), StoreError> {
        self.writable()?;
        self.state.set_identity(Identity { shared_epoch, ..self.identity().clone() });
        Ok(())
    }

    fn vector(&self) -> &Vector {
        &self.state.vector
    }

    fn record(&mut self, model: ModelId, key: &RecordKey) -> Result<Record, StoreError> {
        self.load_record(model, key)
    }

    fn put_record(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.save_record(model, key, record)
    }

    fn append(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        self.append_set(set)
    }

    fn log(&mut self, have: &Vector, max_bytes: usize) -> Result<Vec<ChangeSet>, StoreError> {
        self.read_log(have, max_bytes)
    }

    fn keep_lost(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        lost: &[Lost],
        by: Dot,
    ) -> Result<(), StoreError> {
        self.keep_losses(model, key, lost, (by, Kind::Deleted))
    }

    fn keeps_older_than(&self, hlc: Hlc) -> Hlc {
        self.captured_before(hlc)
    }

    fn keep_overwritten(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        overwritten: &[Lost],
        by: Dot,
    ) -> Result<(), StoreError> {
        self.keep_losses(model, key, overwritten, (by, Kind::Overwritten))
    }

    fn lane(&self, device: &DeviceId) -> Option<&OwnedLane> {
        self.state.lanes.get(device).map(|lane| &lane.state)
    }

    fn owned_vector(&self) -> OwnedVector {
        self.state.owned_vector().clone()
    }

    fn lanes(&self) -> Vec<DeviceId> {
        self.state.lanes.keys().copied().collect()
    }

    fn put_owned(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        seq: Seq,
        fields: Option<&[(FieldId, Value)]>,
    ) -> Result<(), StoreError> {
        self.put_own_row(model, key, seq, fields)
    }

    fn set_own_head(&mut self, head: OwnedHead) -> Result<(), StoreError> {
        self.move_own_head(head)
    }

    fn read_page(
        &mut self,
        device: &DeviceId,
        cursor: &Cursor,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<RowPage, StoreError> {
        self.serve_page(device, cursor, max_rows, max_bytes)
    }

    fn stage_page(
        &mut self,
        device: &DeviceId,
        rows: &[u8],
        session: Session,
    ) -> Result<(), StoreError> {
        self.take_page(device, rows, session)
    }

    fn finish_session(&mut self, device: &DeviceId) -> Result<(), StoreError> {
        self.end_session(device)
    }

    fn apply_delta(&mut self, device: &DeviceId, rows: &[u8], seq: Seq) -> Result<(), StoreError> {
        self.take_delta(device, rows, seq)
    }

    fn drop_session(&mut self, device: &DeviceId) -> Result<(), StoreError> {
        self.void_session(device)
    }

    fn digests(&self) -> &Digests {
        &self.state.digests
    }

    fn acknowledged(&self, peer: &DeviceId) -> Option<&Acked> {
        self.state.acks.get(peer)
    }

    fn set_acknowledged(&mut self, peer: DeviceId, acked: Acked) -> Result<(), StoreError> {
        self.state.set_ack(peer, acked);
        Ok(())
    }

    fn floors(&self) -> &Floors {
        &self.state.floors
    }

    fn prune_log(&mut self, upto: &Floors) -> Result<u64, StoreError> {
        self.forget_log(upto)
    }

    fn prune_lane(&mut self, device: &DeviceId, upto: Seq) -> Result<u64, StoreError> {
        self.forget_tombstones(device, upto)
    }

    fn pin(&mut self, peer: DeviceId) -> Result<Pinned, StoreError> {
        self.pin_for(peer)
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
    ) -> Result<Vec<Bucket>, StoreError> {
        self.buckets_of(peer, (model, range), rows, max)
    }

    fn pinned_records(
        &mut self,
        peer: &DeviceId,
        model: ModelId,
        range: &KeyRange,
        max_bytes: usize,
    ) -> Result<RecordPage, StoreError> {
        self.page_of(peer, (model, range), max_bytes)
    }

    fn has_mirror(&self) -> bool {
        self.state.mirrored > 0
    }

    fn is_mirrored(&mut self, model: ModelId, key: &RecordKey) -> Result<bool, StoreError> {
        self.in_mirror(model, key.as_bytes())
    }

    fn put_mirror(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.keep_mirror(model, key, record)
    }

    fn mirror_range(
        &mut self,
        model: ModelId,
        range: &KeyRange,
        records: &[(RecordKey, Record)],
    ) -> Result<(), StoreError> {
        self.take_range(model, range, records)
    }

    fn mirror_digest(&mut self, model: ModelId, range: &KeyRange) -> Result<Digest, StoreError> {
        self.digest_of_mirror(model, range)
    }

    fn mirrored(
        &mut self,
        after: Option<&(ModelId, RecordKey)>,
        max: usize,
    ) -> Result<Vec<(ModelId, RecordKey, Record)>, StoreError> {
        self.mirror_page(after, max)
    }

    fn clear_mirror(&mut self) -> Result<(), StoreError> {
        self.empty_mirror()
    }

    fn missing(&self) -> &Missing {
        &self.state.missing
    }

    fn mend_record(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.put_back_record(model, key, record)
    }

    fn mend_row(&mut self, device: &DeviceId, row: &HeldRow) -> Result<(), StoreError> {
        self.put_back_row(device, row)
    }

    fn rows_of(
        &mut self,
        device: &DeviceId,
        keys: &[Place],
        max_bytes: usize,
    ) -> Result<Vec<HeldRow>, StoreError> {
        self.held_rows(device, keys, max_bytes)
    }

    fn wanted_history(&mut self) -> Result<WantedHistory, StoreError> {
        self.lacking_history()
    }

    fn history_below(
        &mut self,
        wanted: &WantedHistory,
        max_bytes: usize,
    ) -> Result<HistoryPage, StoreError> {
        self.past_below(wanted, max_bytes)
    }

    fn take_history(
        &mut self,
        asked: &WantedHistory,
        page: &HistoryPage,
    ) -> Result<(), StoreError> {
        self.take_past(asked, page)
    }

    fn adopt(&mut self, vector: &Vector) -> Result<(), StoreError> {
        self.adopt_heads(vector)
    }
}
