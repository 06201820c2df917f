//! Both sides of a reconcile, over the maps of the reference.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Inner, Key};
use crate::digest::{Digest, shared_checksum};
use crate::id::RecordKey;
use crate::record::Record;
use crate::schema::ModelId;
use crate::store::{Bucket, KeyRange, RecordPage};

/// The records of a model within a range.
fn within<'a>(
    records: &'a BTreeMap<Key, Arc<Record>>,
    model: ModelId,
    range: &'a KeyRange,
) -> impl Iterator<Item = (&'a RecordKey, &'a Arc<Record>)> {
    let of_model = records.iter().filter(move |((of, _), _)| *of == model);
    let in_range = of_model.filter(|((_, key), _)| range.contains(key));
    in_range.map(|((_, key), record)| (key, record))
}

impl Inner {
    pub(super) fn buckets(
        &self,
        model: ModelId,
        range: &KeyRange,
        rows: u64,
        max: usize,
    ) -> Vec<Bucket> {
        let mut buckets = Vec::new();
        let mut open = Digest::default();
        let mut last = None;
        for (key, record) in within(&self.records, model, range) {
            if open.rows >= rows.max(1) {
                buckets.push(Bucket { upto: last, digest: std::mem::take(&mut open) });
                if buckets.len() >= max.max(1) {
                    return buckets;
                }
            }
            open.add(shared_checksum(model, key, record));
            last = Some(key.clone());
        }
        buckets.push(Bucket { upto: range.upto.clone(), digest: open });
        buckets
    }

    pub(super) fn page(&self, model: ModelId, range: &KeyRange, max_bytes: usize) -> RecordPage {
        let mut records: Vec<(RecordKey, Record)> = Vec::new();
        let mut bytes = 0_usize;
        for (key, record) in within(&self.records, model, range) {
            if bytes > max_bytes {
                let upto = records.last().map(|(key, _)| key.clone());
                return RecordPage { records, upto };
            }
            // About a hundred bytes a version is as exact as the reference needs to be.
            bytes += 100 * (1 + record.fields.values().map(Vec::len).sum::<usize>());
            records.push((key.clone(), Record::clone(record)));
        }
        RecordPage { records, upto: range.upto.clone() }
    }

    pub(super) fn mirror_range(
        &mut self,
        model: ModelId,
        range: &KeyRange,
        records: &[(RecordKey, Record)],
    ) {
        let inside = |key: &Key| key.0 == model && range.contains(&key.1);
        self.mirror.retain(|key, _| !inside(key));
        let ours: Vec<Key> = self.records.keys().filter(|key| inside(key)).cloned().collect();
        for key in ours {
            self.mirror.insert(key, Arc::default());
        }
        for (key, record) in records {
            let key = (model, key.clone());
            match self.records.get(&key) {
                Some(ours) if **ours == *record => self.mirror.remove(&key),
                _ => self.mirror.insert(key, Arc::new(record.clone())),
            };
        }
    }

    pub(super) fn mirror_digest(&self, model: ModelId, range: &KeyRange) -> Digest {
        let mut digest = Digest::default();
        for (key, record) in within(&self.records, model, range) {
            if !self.mirror.contains_key(&(model, key.clone())) {
                digest.add(shared_checksum(model, key, record));
            }
        }
        for (key, record) in within(&self.mirror, model, range) {
            if **record != Record::default() {
                digest.add(shared_checksum(model, key, record));
            }
        }
        digest
    }

    pub(super) fn mirrored(
        &self,
        after: Option<&(ModelId, RecordKey)>,
        max: usize,
    ) -> Vec<(ModelId, RecordKey, Record)> {
        let behind = self.mirror.iter().filter(|(key, _)| after.is_none_or(|a| a < key));
        let records = behind
            .take(max)
            .map(|((model, key), record)| (*model, key.clone(), Record::clone(record)));
        records.collect()
    }
}
