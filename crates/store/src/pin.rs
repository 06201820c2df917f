//! Pins: the shared lanes as they were at one moment, kept for a peer that compares its own with
//! them. Each is a connection of its own with an open read transaction, so that nothing is copied and
//! the writer goes on beside it; while it is open, the write-ahead log cannot begin anew.

use std::collections::BTreeMap;

use driftless_core::digest::{Digest, Digests};
use driftless_core::id::{DeviceId, RecordKey};
use driftless_core::record::Record;
use driftless_core::schema::ModelId;
use driftless_core::store::{Bucket, KeyRange, Pinned, RecordPage};
use rusqlite::{Connection, params};

use crate::error::{StoreError, Within};
use crate::layout::Layout;
use crate::open::{SqliteStore, open_reader};
use crate::origins::Origins;
use crate::quarantine::key_of;
use crate::range::Shared;
use crate::state::{load_digests, load_vector};

const WHAT: &str = "reading what is pinned";
/// Records that one call walks: more would keep the writer's thread for too long.
const MAX_WALKED: u64 = 8_192;

/// What is kept for peers.
pub(crate) type Pins = BTreeMap<DeviceId, Pin>;

/// The state of one moment.
#[derive(Debug)]
pub(crate) struct Pin {
    conn: Connection,
    origins: Origins,
}

impl SqliteStore {
    pub(crate) fn pin_for(&mut self, peer: DeviceId) -> Result<Pinned, StoreError> {
        self.pins.remove(&peer);
        let conn = open_reader(&self.dir, &self.options)?;
        conn.execute_batch("BEGIN").within(&conn, WHAT)?;
        let origins = Origins::load(&conn, "_origin")?;
        let (vector, _) = load_vector(&conn, &origins)?;
        let pin = Pin { conn, origins };
        let digests = pin.shared_digests(&self.layout)?;
        self.pins.insert(peer, pin);
        Ok(Pinned { vector, digests })
    }

    fn pinned(&self, peer: &DeviceId) -> Result<Shared<'_>, StoreError> {
        let pin = self.pins.get(peer).ok_or(StoreError::NotPinned(*peer))?;
        Ok(pin.shared(&self.layout))
    }

    pub(crate) fn buckets_of(
        &self,
        peer: &DeviceId,
        (model, range): (ModelId, &KeyRange),
        rows: u64,
        max: usize,
    ) -> Result<Vec<Bucket>, StoreError> {
        let shared = self.pinned(peer)?;
        let rows = rows.clamp(1, MAX_WALKED);
        let walked = usize::try_from(MAX_WALKED / rows).unwrap_or(usize::MAX);
        let max = max.min(walked).max(1);
        let mut full: Vec<Bucket> = Vec::new();
        let mut digest = Digest::default();
        let mut last: Vec<u8> = Vec::new();
        let mut rest = false;
        shared.sums(model, range, |key, sum| {
            if digest.rows == rows {
                let upto = Some(key_of(shared.conn, &last)?);
                full.push(Bucket { upto, digest: std::mem::take(&mut digest) });
                rest = full.len() == max;
                if rest {
                    return Ok(false);
                }
            }
            digest.add(sum);
            last.clear();
            last.extend_from_slice(key);
            Ok(true)
        })?;
        if !rest {
            full.push(Bucket { upto: range.upto.clone(), digest });
        }
        Ok(full)
    }

    pub(crate) fn page_of(
        &self,
        peer: &DeviceId,
        (model, range): (ModelId, &KeyRange),
        max_bytes: usize,
    ) -> Result<RecordPage, StoreError> {
        let shared = self.pinned(peer)?;
        let mut records: Vec<(RecordKey, Record)> = Vec::new();
        let (mut bytes, mut rest) = (0usize, false);
        shared.records(model, range, |key, record, size| {
            bytes = bytes.saturating_add(key.as_bytes().len()).saturating_add(size);
            rest = bytes > max_bytes && !records.is_empty();
            if !rest {
                records.push((key, record));
            }
            Ok(!rest)
        })?;
        let upto = match records.last() {
            Some((last, _)) if rest => Some(last.clone()),
            _ => range.upto.clone(),
        };
        Ok(RecordPage { records, upto })
    }
}

impl Pin {
    fn shared<'a>(&'a self, layout: &'a Layout) -> Shared<'a> {
        Shared { conn: &self.conn, layout, origins: &self.origins }
    }

    fn shared_digests(&self, layout: &Layout) -> Result<Digests, StoreError> {
        let mut digests = Digests::new();
        for (model, digest) in load_digests(&self.conn)? {
            let digest = shared_digest(self.shared(layout), model, digest)?;
            if digest != Digest::default() {
                digests.insert(model, digest);
            }
        }
        Ok(digests)
    }
}

/// The digest of a model's shared records. A model of which devices of different versions think
/// differently can have owned rows as well, and `kept` is of both.
pub(crate) fn shared_digest(
    shared: Shared<'_>,
    model: ModelId,
    kept: Digest,
) -> Result<Digest, StoreError> {
    let owned = "SELECT EXISTS (SELECT 1 FROM _unknown_owned WHERE model = ?1)";
    let owned = shared
        .conn
        .prepare_cached(owned)
        .and_then(|mut select| select.query_row(params![model.0], |row| row.get::<_, bool>(0)))
        .within(shared.conn, WHAT)?;
    if owned || shared.layout.owned(model).is_some() {
        return shared.digest(model, &KeyRange::default());
    }
    Ok(kept)
}
