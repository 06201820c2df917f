//! Digests: order-independent fingerprints of a model's records.
//!
//! A row's checksum is XXH3-64 over its model, key and canonical content, dots included. A model's
//! digest is the count and the wrapping sum of its rows' checksums, so it is kept within each
//! transaction by subtracting the old row and adding the new. Checksums find divergence and damage;
//! they are no defence against a member who forges rows.

use std::collections::BTreeMap;
use std::fmt;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::codec::Writer;
use crate::id::{DeviceId, RecordKey, Seq};
use crate::record::Record;
use crate::schema::{FieldId, ModelId};
use crate::value::ValueRef;
use crate::version::Life;

/// The fingerprint of some rows: their number and the sum of their checksums.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Digest {
    /// How many rows.
    pub rows: u64,
    /// The wrapping sum of their checksums.
    pub sum: u64,
}

impl Digest {
    /// Counts a row in.
    pub fn add(&mut self, checksum: u64) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(checksum);
    }

    /// Counts a row out.
    pub fn remove(&mut self, checksum: u64) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(checksum);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.rows, self.sum)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The digests of a library's models; models without rows are left out.
pub type Digests = BTreeMap<ModelId, Digest>;

/// One fingerprint over all models' digests.
pub fn digest_of_all(digests: &Digests) -> u128 {
    let mut w = Writer::new();
    for (model, digest) in digests.iter().filter(|(_, digest)| digest.rows > 0) {
        w.u32_le(model.0);
        w.u64_le(digest.rows);
        w.u64_le(digest.sum);
    }
    let hash = blake3::hash(w.as_bytes());
    let (first, _) = hash.as_bytes().split_at(16);
    first.iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

/// The checksum of a shared record.
pub fn shared_checksum(model: ModelId, key: &RecordKey, record: &Record) -> u64 {
    shared_checksum_in(&mut Writer::new(), model, key, record)
}

/// [`shared_checksum`] with a buffer of the caller's, in which the bytes that were summed are left.
pub fn shared_checksum_in(w: &mut Writer, model: ModelId, key: &RecordKey, record: &Record) -> u64 {
    w.clear();
    w.u32_le(model.0);
    w.key(key);
    record.encode(w);
    xxh3_64(w.as_bytes())
}

/// Makes the checksums of device-owned rows; keeps its buffer between rows.
pub struct OwnedChecksum {
    lane: Vec<u8>,
    row: Writer,
}

impl OwnedChecksum {
    /// For rows of `device`'s lane in the life `life`.
    pub fn new(device: DeviceId, life: Life) -> Self {
        let mut w = Writer::new();
        w.raw(&device.0);
        life.encode(&mut w);
        Self { lane: w.into_bytes(), row: Writer::new() }
    }

    /// The checksum of one row: `fields` are its values that are not null, in order of field ids.
    pub fn of<'a>(
        &mut self,
        model: ModelId,
        key: &[u8],
        seq: Seq,
        fields: impl Iterator<Item = (FieldId, ValueRef<'a>)>,
    ) -> u64 {
        self.row.clear();
        self.row.u32_le(model.0);
        self.row.bytes(key);
        self.row.var(seq);
        for (field, value) in fields.filter(|(_, value)| !value.is_null()) {
            self.row.u32_le(field.0);
            value.encode(&mut self.row);
        }
        let mut hash = Xxh3::new();
        hash.update(&self.lane);
        hash.update(self.row.as_bytes());
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_removal_undoes() {
        let mut a = Digest::default();
        a.add(u64::MAX);
        a.add(5);
        let mut b = Digest::default();
        b.add(5);
        b.add(u64::MAX);
        assert_eq!(a, b);
        a.remove(5);
        a.remove(u64::MAX);
        assert_eq!(a, Digest::default());
    }

    #[test]
    fn empty_models_do_not_count() {
        let empty = Digests::from([(ModelId(1), Digest::default())]);
        assert_eq!(digest_of_all(&empty), digest_of_all(&Digests::new()));
    }

    #[test]
    fn nulls_do_not_count_but_values_do() {
        let life = Life { mint: crate::clock::Hlc(1), epoch: crate::id::Epoch(2) };
        let mut sums = OwnedChecksum::new(DeviceId([1; 32]), life);
        let (one, null) = (ValueRef::Int(1), ValueRef::Null);
        let mut of = |fields: &[(FieldId, ValueRef<'_>)]| {
            sums.of(ModelId(1), b"k", 1, fields.iter().copied())
        };
        let plain = of(&[(FieldId(1), one)]);
        assert_eq!(plain, of(&[(FieldId(1), one), (FieldId(2), null)]));
        assert_ne!(plain, of(&[(FieldId(2), one)]));
    }
}
