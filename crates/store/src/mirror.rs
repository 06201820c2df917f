//! The mirror: what a peer's shared records are taken to be while this device compares its own with
//! them. Only where they differ from ours is anything kept: `_mirror` holds the peer's record whole, or
//! nulls where the peer has none.

use std::collections::BTreeMap;

use driftless_core::codec::Writer;
use driftless_core::digest::{Digest, shared_checksum};
use driftless_core::id::RecordKey;
use driftless_core::record::Record;
use driftless_core::schema::ModelId;
use driftless_core::store::KeyRange;
use rusqlite::{OptionalExtension, Row, params};

use crate::error::{StoreError, Within};
use crate::open::SqliteStore;
use crate::pin::shared_digest;
use crate::quarantine::key_of;
use crate::range::Shared;
use crate::shared::decode_whole;

const WHAT: &str = "the mirror";
/// Bytes of records that one call gives, beyond the first of them.
const MAX_PAGE: usize = 4 << 20;

impl SqliteStore {
    fn ours(&self) -> Shared<'_> {
        Shared { conn: &self.conn, layout: &self.layout, origins: &self.state.origins }
    }

    /// Whether something is kept for a key, by its bytes.
    pub(crate) fn in_mirror(&self, model: ModelId, key: &[u8]) -> Result<bool, StoreError> {
        if self.state.mirrored == 0 {
            return Ok(false);
        }
        let found = self
            .conn
            .prepare_cached("SELECT 1 FROM _mirror WHERE model = ?1 AND key = ?2")
            .and_then(|mut select| select.query_row(params![model.0, key], |_| Ok(())).optional());
        Ok(found.within(&self.conn, WHAT)?.is_some())
    }

    /// Keeps a record; an empty one says that the peer has none.
    pub(crate) fn keep_mirror(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), StoreError> {
        self.writable()?;
        let (mut sum, mut bytes) = (None, None);
        if *record != Record::default() {
            for origin in record.origins() {
                self.state.intern(&self.conn, &origin)?;
            }
            let mut w = Writer::new();
            let origins = &self.state.origins;
            record.encode_with(&mut w, |w, origin| origins.write(w, origin), |_, _| false);
            sum = Some(shared_checksum(model, key, record).cast_signed());
            bytes = Some(w.into_bytes());
        }
        let kept = self.in_mirror(model, key.as_bytes())?;
        self.conn
            .prepare_cached(
                "INSERT INTO _mirror (model, key, sum, record) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (model, key) \
                 DO UPDATE SET sum = excluded.sum, record = excluded.record",
            )
            .and_then(|mut put| put.execute(params![model.0, key.as_bytes(), sum, bytes]))
            .within(&self.conn, WHAT)?;
        self.state.mirrored += u64::from(!kept);
        Ok(())
    }

    /// Forgets what is kept for a key.
    fn forget_mirror(&mut self, model: ModelId, key: &[u8]) -> Result<(), StoreError> {
        if self.state.mirrored == 0 {
            return Ok(());
        }
        let gone = self
            .conn
            .prepare_cached("DELETE FROM _mirror WHERE model = ?1 AND key = ?2")
            .and_then(|mut delete| delete.execute(params![model.0, key]))
            .within(&self.conn, WHAT)?;
        self.state.mirrored = self.state.mirrored.saturating_sub(gone as u64);
        Ok(())
    }

    pub(crate) fn take_range(
        &mut self,
        model: ModelId,
        range: &KeyRange,
        records: &[(RecordKey, Record)],
    ) -> Result<(), StoreError> {
        self.writable()?;
        let mut ours: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        self.ours().sums(model, range, |key, sum| {
            ours.insert(key.to_vec(), sum);
            Ok(true)
        })?;
        let mut kept: BTreeMap<Vec<u8>, Option<u64>> = self.mirror_sums(model, range)?;
        for (key, record) in records.iter().filter(|(_, record)| *record != Record::default()) {
            let sum = shared_checksum(model, key, record);
            let same =
                ours.remove(key.as_bytes()) == Some(sum) && self.is_ours(model, key, record)?;
            let before = kept.remove(key.as_bytes());
            if !same {
                self.keep_mirror(model, key, record)?;
            } else if before.is_some() {
                self.forget_mirror(model, key.as_bytes())?;
            }
        }
        for key in ours.keys() {
            if kept.remove(key) != Some(None) {
                let key = key_of(&self.conn, key)?;
                self.keep_mirror(model, &key, &Record::default())?;
            }
        }
        for key in kept.keys() {
            self.forget_mirror(model, key)?;
        }
        Ok(())
    }

    /// Whether a record of ours is this one. A damaged one is not.
    fn is_ours(
        &self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<bool, StoreError> {
        match self.load_record(model, key) {
            Ok(ours) => Ok(ours == *record),
            Err(StoreError::Damaged { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What is kept in a range: keys and checksums, no checksum where the peer has no record.
    fn mirror_sums(
        &self,
        model: ModelId,
        range: &KeyRange,
    ) -> Result<BTreeMap<Vec<u8>, Option<u64>>, StoreError> {
        let mut sums = BTreeMap::new();
        if self.state.mirrored == 0 {
            return Ok(sums);
        }
        let conn = &self.conn;
        let end = if range.upto.is_some() { " AND key <= ?3" } else { "" };
        let sql = format!("SELECT key, sum FROM _mirror WHERE model = ?1 AND key > ?2{end}");
        let mut select = conn.prepare_cached(&sql).within(conn, WHAT)?;
        let after = range.after.as_ref().map_or(&[][..], RecordKey::as_bytes);
        let rows = match &range.upto {
            None => select.query(params![model.0, after]),
            Some(upto) => select.query(params![model.0, after, upto.as_bytes()]),
        };
        let mut rows = rows.within(conn, WHAT)?;
        while let Some(row) = rows.next().within(conn, WHAT)? {
            let sum: Option<i64> = row.get(1).within(conn, WHAT)?;
            sums.insert(row.get(0).within(conn, WHAT)?, sum.map(i64::cast_unsigned));
        }
        Ok(sums)
    }

    pub(crate) fn digest_of_mirror(
        &self,
        model: ModelId,
        range: &KeyRange,
    ) -> Result<Digest, StoreError> {
        let mut digest = if *range == KeyRange::default() {
            let kept = self.state.digests.get(&model).copied().unwrap_or_default();
            shared_digest(self.ours(), model, kept)?
        } else {
            self.ours().digest(model, range)?
        };
        for (key, theirs) in self.mirror_sums(model, range)? {
            if let Some((_, ours)) = self.find_record(model, &key)? {
                digest.remove(ours);
            }
            if let Some(theirs) = theirs {
                digest.add(theirs);
            }
        }
        Ok(digest)
    }

    pub(crate) fn mirror_page(
        &self,
        after: Option<&(ModelId, RecordKey)>,
        max: usize,
    ) -> Result<Vec<(ModelId, RecordKey, Record)>, StoreError> {
        let conn = &self.conn;
        let mut select = conn
            .prepare_cached(
                "SELECT model, key, sum, record FROM _mirror WHERE (model, key) > (?1, ?2) \
                 ORDER BY model, key LIMIT ?3",
            )
            .within(conn, WHAT)?;
        let (model, key) =
            after.map_or((-1, &[][..]), |(model, key)| (i64::from(model.0), key.as_bytes()));
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let mut rows = select.query(params![model, key, limit]).within(conn, WHAT)?;
        let (mut out, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next().within(conn, WHAT)? {
            let size = row.get_ref(3).and_then(|record| Ok(record.as_blob_or_null()?));
            bytes += size.within(conn, WHAT)?.map_or(0, <[u8]>::len);
            if bytes > MAX_PAGE && !out.is_empty() {
                break;
            }
            out.push(self.mirror_row(row)?);
        }
        Ok(out)
    }

    fn mirror_row(&self, row: &Row<'_>) -> Result<(ModelId, RecordKey, Record), StoreError> {
        let conn = &self.conn;
        let model = ModelId(row.get(0).within(conn, WHAT)?);
        let key = row.get_ref(1).and_then(|key| Ok(key.as_blob()?)).within(conn, WHAT)?;
        let key = key_of(conn, key)?;
        let sum: Option<i64> = row.get(2).within(conn, WHAT)?;
        let bytes = row.get_ref(3).and_then(|bytes| Ok(bytes.as_blob_or_null()?));
        let record = match (sum, bytes.within(conn, WHAT)?) {
            (None, None) => Record::default(),
            (Some(sum), Some(bytes)) => {
                let record = decode_whole(conn, &self.state.origins, bytes);
                self.ours().checked(
                    (model, &key),
                    record,
                    sum.cast_unsigned(),
                    &mut Writer::new(),
                )?
            }
            _ => return Err(StoreError::damaged(conn, format!("the mirror of {key}"))),
        };
        Ok((model, key, record))
    }

    pub(crate) fn empty_mirror(&mut self) -> Result<(), StoreError> {
        self.writable()?;
        if self.state.mirrored > 0 {
            self.conn.execute("DELETE FROM _mirror", []).within(&self.conn, WHAT)?;
            self.state.mirrored = 0;
            self.housework.room_in_library();
        }
        Ok(())
    }
}
