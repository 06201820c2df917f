//! What two peers say while one of them compares its shared lanes with the other's.

use super::parts::{decode_digests, encode_digests, flag};
use crate::codec::{CodecError, Reader, Writer};
use crate::digest::Digest;
use crate::id::RecordKey;
use crate::limits::{MAX_BUCKETS, MAX_PAYLOAD_BYTES};
use crate::record::Record;
use crate::schema::ModelId;
use crate::store::{Bucket, KeyRange, Pinned, RecordPage};
use crate::version::Vector;

/// A question of the one that compares. Asked again, it is answered again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// Keep your shared lanes as they are now, and tell their vector and digests.
    Pin,
    /// The digests of a range's records, so many to a bucket.
    Buckets {
        /// Of which model.
        model: ModelId,
        /// The range.
        range: KeyRange,
        /// How many records to a bucket.
        rows: u64,
    },
    /// The records of a range.
    Records {
        /// Of which model.
        model: ModelId,
        /// The range.
        range: KeyRange,
    },
    /// Nothing more.
    End,
}

/// What the other one says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To [`Ask::Pin`].
    Pinned(Pinned),
    /// To [`Ask::Buckets`].
    Buckets {
        /// The model.
        model: ModelId,
        /// Where the first bucket begins.
        after: Option<RecordKey>,
        /// One after the other.
        buckets: Vec<Bucket>,
    },
    /// To [`Ask::Records`].
    Records {
        /// The model.
        model: ModelId,
        /// Where the page begins.
        after: Option<RecordKey>,
        /// The records.
        page: RecordPage,
    },
    /// To any question: nothing is kept any more for whoever asked, or there is no room to keep it.
    Lapsed,
}

fn encode_key(w: &mut Writer, key: Option<&RecordKey>) {
    w.u8(key.is_some().into());
    if let Some(key) = key {
        w.key(key);
    }
}

fn decode_key(r: &mut Reader<'_>) -> Result<Option<RecordKey>, CodecError> {
    Ok(if flag(r, "a bound")? { Some(r.key()?) } else { None })
}

impl KeyRange {
    fn encode(&self, w: &mut Writer) {
        encode_key(w, self.after.as_ref());
        encode_key(w, self.upto.as_ref());
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { after: decode_key(r)?, upto: decode_key(r)? })
    }
}

impl Ask {
    pub(super) fn encode(&self, w: &mut Writer) {
        match self {
            Ask::Pin => w.u8(0),
            Ask::Buckets { model, range, rows } => {
                w.u8(1);
                w.u32_le(model.0);
                range.encode(w);
                w.var(*rows);
            }
            Ask::Records { model, range } => {
                w.u8(2);
                w.u32_le(model.0);
                range.encode(w);
            }
            Ask::End => w.u8(3),
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match r.u8("a question")? {
            0 => Ask::Pin,
            1 => {
                let (model, range) = (ModelId(r.u32_le("a model id")?), KeyRange::decode(r)?);
                Ask::Buckets { model, range, rows: r.var("the size of a bucket")? }
            }
            2 => Ask::Records {
                model: ModelId(r.u32_le("a model id")?),
                range: KeyRange::decode(r)?,
            },
            3 => Ask::End,
            tag => return Err(CodecError::Invalid { what: "a question", found: tag.into() }),
        })
    }
}

impl Answer {
    pub(super) fn encode(&self, w: &mut Writer) {
        match self {
            Answer::Pinned(pinned) => {
                w.u8(0);
                pinned.vector.encode(w);
                encode_digests(w, &pinned.digests);
            }
            Answer::Buckets { model, after, buckets } => {
                w.u8(1);
                w.u32_le(model.0);
                encode_key(w, after.as_ref());
                w.count(buckets.len());
                for bucket in buckets {
                    encode_key(w, bucket.upto.as_ref());
                    w.var(bucket.digest.rows);
                    w.u64_le(bucket.digest.sum);
                }
            }
            Answer::Records { model, after, page } => {
                w.u8(2);
                w.u32_le(model.0);
                encode_key(w, after.as_ref());
                encode_key(w, page.upto.as_ref());
                w.count(page.records.len());
                for (key, record) in &page.records {
                    w.key(key);
                    record.encode(w);
                }
            }
            Answer::Lapsed => w.u8(3),
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match r.u8("an answer")? {
            0 => {
                let vector = Vector::decode(r)?;
                Answer::Pinned(Pinned { vector, digests: decode_digests(r)? })
            }
            1 => {
                let (model, after) = (ModelId(r.u32_le("a model id")?), decode_key(r)?);
                let n = r.items(MAX_BUCKETS, 10, "buckets")?;
                let mut buckets = Vec::with_capacity(n);
                for _ in 0..n {
                    let upto = decode_key(r)?;
                    let digest = Digest { rows: r.var("rows")?, sum: r.u64_le("a sum")? };
                    buckets.push(Bucket { upto, digest });
                }
                Answer::Buckets { model, after, buckets }
            }
            2 => {
                let (model, after) = (ModelId(r.u32_le("a model id")?), decode_key(r)?);
                let upto = decode_key(r)?;
                // A record takes five bytes at least, and no more than the payload are there.
                let n = r.items(MAX_PAYLOAD_BYTES / 5, 5, "records")?;
                let mut records = Vec::with_capacity(n.min(65_536));
                for _ in 0..n {
                    records.push((r.key()?, Record::decode(r)?));
                }
                Answer::Records { model, after, page: RecordPage { records, upto } }
            }
            3 => Answer::Lapsed,
            tag => return Err(CodecError::Invalid { what: "an answer", found: tag.into() }),
        })
    }
}
