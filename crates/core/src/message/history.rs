//! Handing over history: change sets that are everywhere, to devices that were not there.
//!
//! ```text
//! wanted = since:var  gaps: count (origin seq:var hash:32)*
//! page   = more:u8  whole: u8 [since:var]  sets: count set*
//! set    = bytes  ended: count version*
//! version = model:u32 key  deleted:u8  field:u32  dot  hlc:u64  lives: count dot*  value
//! ```

use bytes::Bytes;

use super::parts::flag;
use crate::change::ChangeSet;
use crate::clock::Hlc;
use crate::codec::{CodecError, Reader, Writer};
use crate::limits::{MAX_BODY_BYTES, MAX_DOTS, MAX_ENDED, MAX_GAPS, MAX_SETS};
use crate::merge::Lost;
use crate::record::Version;
use crate::schema::{FieldId, ModelId};
use crate::store::{EndedVersion, Gap, HistoryPage, PastSet, WantedHistory};
use crate::value::Value;

/// The bit of a `Hello`'s features that says: the sender answers to `History`.
pub const ANSWERS_HISTORY: u64 = 2;

impl WantedHistory {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.var(self.since_ms);
        w.count(self.gaps.len());
        for gap in &self.gaps {
            w.origin(&gap.origin);
            w.var(gap.seq);
            w.raw(&gap.hash);
        }
    }

    /// Gaps must be in the order of their origins, one for each.
    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let since_ms = r.var("a time")?;
        let n = r.items(MAX_GAPS, 74, "gaps")?;
        let mut gaps: Vec<Gap> = Vec::with_capacity(n);
        for _ in 0..n {
            let gap = Gap { origin: r.origin()?, seq: r.seq()?, hash: r.array("a head hash")? };
            if gaps.last().is_some_and(|last| last.origin >= gap.origin) {
                return Err(CodecError::NotCanonical("gaps"));
            }
            gaps.push(gap);
        }
        Ok(Self { since_ms, gaps })
    }
}

impl HistoryPage {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.u8(self.more.into());
        w.u8(self.whole_since_ms.is_some().into());
        if let Some(since) = self.whole_since_ms {
            w.var(since);
        }
        w.count(self.sets.len());
        for PastSet { set, ended } in &self.sets {
            w.bytes(set.bytes());
            w.count(ended.len());
            for version in ended {
                version.encode(w);
            }
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>, payload: &Bytes) -> Result<Self, CodecError> {
        let more = flag(r, "more")?;
        let whole = flag(r, "whole")?;
        let whole_since_ms = if whole { Some(r.var("a time")?) } else { None };
        let n = r.items(MAX_SETS, 100, "change sets")?;
        let mut sets = Vec::with_capacity(n);
        for _ in 0..n {
            let bytes = r.bytes(MAX_BODY_BYTES * 2, "a change set")?;
            let set = ChangeSet::decode(payload.slice_ref(bytes))?;
            let n = r.items(MAX_ENDED, 60, "ended versions")?;
            let mut ended = Vec::with_capacity(n);
            for _ in 0..n {
                ended.push(EndedVersion::decode(r)?);
            }
            sets.push(PastSet { set, ended });
        }
        Ok(Self { sets, more, whole_since_ms })
    }
}

impl EndedVersion {
    fn encode(&self, w: &mut Writer) {
        w.u32_le(self.model.0);
        w.key(&self.key);
        w.u8(self.deleted.into());
        let Lost { field, version } = &self.lost;
        w.u32_le(field.0);
        w.dot(&version.dot);
        w.u64_le(version.hlc.0);
        w.count(version.lives.len());
        for life in &version.lives {
            w.dot(life);
        }
        version.value.encode(w);
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (model, key) = (ModelId(r.u32_le("a model id")?), r.key()?);
        let deleted = flag(r, "deleted")?;
        let field = FieldId(r.u32_le("a field id")?);
        let (dot, hlc) = (r.dot()?, Hlc(r.u64_le("a time")?));
        let n = r.items(MAX_DOTS, 42, "the lives of a version")?;
        let lives = (0..n).map(|_| r.dot()).collect::<Result<_, _>>()?;
        let version = Version { dot, hlc, lives, value: Value::decode(r)? };
        Ok(Self { model, key, lost: Lost { field, version }, deleted })
    }

    /// Its bytes in a message.
    pub fn size(&self) -> usize {
        let mut w = Writer::new();
        self.encode(&mut w);
        w.len()
    }
}
