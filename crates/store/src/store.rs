//! [`Store`] on SQLite: every method in one line, each room's work in its file.

use driftless_core::change::ChangeSet;
use driftless_core::clock::Hlc;
use driftless_core::digest::Digests;
use driftless_core::id::{DeviceId, Dot, RecordKey, Seq};
use driftless_core::merge::Lost;
use driftless_core::page::Cursor;
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{OwnedLane, RowPage, Session, Store};
use driftless_core::value::Value;
use driftless_core::version::{OwnedHead, OwnedVector, Vector};

use crate::error::StoreError;
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
        self.keep_losses(model, key, lost, by)
    }

    fn lane(&self, device: &DeviceId) -> Option<&OwnedLane> {
        self.state.lanes.get(device).map(|lane| &lane.state)
    }

    fn owned_vector(&self) -> OwnedVector {
        let lanes = self.state.lanes.iter();
        lanes.filter_map(|(device, lane)| Some((*device, lane.state.exact?))).collect()
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

    fn acknowledged(&self, peer: &DeviceId) -> Option<&(Vector, OwnedVector)> {
        self.state.acks.get(peer)
    }

    fn set_acknowledged(
        &mut self,
        peer: DeviceId,
        shared: &Vector,
        owned: &OwnedVector,
    ) -> Result<(), StoreError> {
        self.state.set_ack(peer, (shared.clone(), owned.clone()));
        Ok(())
    }
}
