//! Damage to the reference: what a scrub would have found is taken out by hand.

use std::sync::Arc;

use super::{Key, MemStore};
use crate::digest::shared_checksum;
use crate::id::DeviceId;
use crate::store::{HeldRow, Place};

impl MemStore {
    /// A shared record is lost to damage, which was noticed: it is missing from here on. Whether there
    /// was one.
    pub fn damage_record(&mut self, place: &Place) -> bool {
        let Some(record) = self.open.records.remove(place) else { return false };
        let sum = shared_checksum(place.0, &place.1, &record);
        self.open.digests.entry(place.0).or_default().remove(sum);
        self.open.missing.shared.insert(place.clone())
    }

    /// The same with a row of an exact lane. Nothing of it can be read any more if `unreadable`, not
    /// even its seq.
    pub fn damage_row(&mut self, device: DeviceId, place: &Place, unreadable: bool) -> bool {
        let Some(lane) = self.open.lanes.get_mut(&device) else { return false };
        let Some(head) = lane.state.exact else { return false };
        let found = lane.rows.get(place).and_then(|row| Self::checksum(device, head, place, row));
        let Some(sum) = found else { return false };
        let seq = Arc::make_mut(lane).rows.remove(place).map_or(0, |(seq, _)| seq);
        self.open.digests.entry(place.0).or_default().remove(sum);
        let rows = self.open.missing.owned.entry(device).or_default();
        rows.insert(place.clone(), if unreadable { 0 } else { seq });
        true
    }

    pub(super) fn held(&self, device: &DeviceId, place: &Place) -> HeldRow {
        let row = self.open.lanes.get(device).and_then(|lane| lane.rows.get(place));
        let row = row.and_then(|(seq, fields)| {
            let fields = fields.as_ref()?.iter();
            Some((*seq, fields.map(|(id, value)| (*id, value.clone())).collect()))
        });
        HeldRow { model: place.0, key: place.1.clone(), row }
    }

    pub(super) fn put_held(&mut self, device: &DeviceId, held: &HeldRow) {
        let place: Key = (held.model, held.key.clone());
        self.open.missing.forget_row(device, &place);
        let head = self.open.lanes.get(device).and_then(|lane| lane.state.exact);
        if let (Some((seq, fields)), Some(head)) = (&held.row, head) {
            let fields = fields.iter().cloned().collect();
            self.put_row(*device, head, place, (*seq, Some(fields)));
        }
    }
}
