//! The parts of messages, as bytes.

use bytes::Bytes;

use super::{Changes, DigestReport, Hello, OwnedPull, Page, State, columns};
use crate::change::ChangeSet;
use crate::clock::Hlc;
use crate::codec::{CodecError, Reader, Writer};
use crate::digest::{Digest, Digests};
use crate::id::DeviceId;
use crate::limits::{MAX_BODY_BYTES, MAX_PAYLOAD_BYTES, MAX_SETS};
use crate::page::Cursor;
use crate::schema::ModelId;
use crate::store::Session;
use crate::version::{Hash, Life, OwnedHead, OwnedVector, Vector};

impl Hello {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.u64_le(self.features);
        w.raw(&self.schema);
        w.var(self.clock_ms);
        w.u64_le(self.hlc.0);
        w.u8(self.heard.into());
        self.state.encode(w);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            features: r.u64_le("features")?,
            schema: r.array("a schema's hash")?,
            clock_ms: r.var("a clock")?,
            hlc: Hlc(r.u64_le("a time")?),
            heard: flag(r, "heard")?,
            state: State::decode(r)?,
        })
    }
}

impl State {
    pub(super) fn encode(&self, w: &mut Writer) {
        self.shared.encode(w);
        self.owned.encode(w);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { shared: Vector::decode(r)?, owned: OwnedVector::decode(r)? })
    }

    /// Stands for the state: equal exactly where states are.
    pub fn hash(&self) -> Hash {
        let mut w = Writer::new();
        self.encode(&mut w);
        *blake3::hash(w.as_bytes()).as_bytes()
    }
}

impl Changes {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.var(self.pull);
        w.count(self.sets.len());
        for set in &self.sets {
            w.bytes(set.bytes());
        }
    }

    pub(super) fn decode(r: &mut Reader<'_>, payload: &Bytes) -> Result<Self, CodecError> {
        let pull = r.var("a pull's id")?;
        let n = r.items(MAX_SETS, 100, "change sets")?;
        let mut sets = Vec::with_capacity(n);
        for _ in 0..n {
            let bytes = r.bytes(MAX_BODY_BYTES * 2, "a change set")?;
            sets.push(ChangeSet::decode(payload.slice_ref(bytes))?);
        }
        Ok(Self { pull, sets })
    }
}

pub(super) fn flag(r: &mut Reader<'_>, what: &'static str) -> Result<bool, CodecError> {
    match r.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        tag => Err(CodecError::Invalid { what, found: tag.into() }),
    }
}

impl OwnedPull {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.raw(&self.device.0);
        w.u8(self.exact.is_some().into());
        if let Some(head) = &self.exact {
            encode_head(w, head);
        }
        w.u8(self.session.is_some().into());
        if let Some(session) = &self.session {
            session.encode(w);
        }
        w.var(self.credit);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let device = DeviceId(r.array("a device id")?);
        let exact = if flag(r, "a head")? { Some(decode_head(r)?) } else { None };
        let session = if flag(r, "a session")? { Some(Session::decode(r)?) } else { None };
        Ok(Self { device, exact, session, credit: r.var("a credit")? })
    }
}

pub(super) fn encode_head(w: &mut Writer, head: &OwnedHead) {
    head.life.encode(w);
    w.var(head.seq);
}

pub(super) fn decode_head(r: &mut Reader<'_>) -> Result<OwnedHead, CodecError> {
    Ok(OwnedHead { life: Life::decode(r)?, seq: r.seq()? })
}

impl Session {
    /// Writes the session.
    pub fn encode(&self, w: &mut Writer) {
        self.life.encode(w);
        self.cursor.encode(w);
        w.var(self.target);
        w.var(self.first);
        w.u8(self.full.into());
    }

    /// Reads a session.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            life: Life::decode(r)?,
            cursor: Cursor::decode(r)?,
            target: r.var("a target")?,
            first: r.var("a first target")?,
            full: flag(r, "full")?,
        })
    }
}

impl Page {
    pub(super) fn encode(&self, w: &mut Writer) -> Result<(), CodecError> {
        w.raw(&self.device.0);
        encode_head(w, &self.as_of);
        w.u8(self.full.into());
        w.u8(self.goes_on.into());
        self.from.encode(w);
        self.next.encode(w);
        if self.columns {
            return columns::encode(w, &self.rows);
        }
        w.bytes(&self.rows);
        Ok(())
    }

    pub(super) fn decode(
        r: &mut Reader<'_>,
        payload: &Bytes,
        columns: bool,
    ) -> Result<Self, CodecError> {
        let device = DeviceId(r.array("a device id")?);
        let as_of = decode_head(r)?;
        let (full, goes_on) = (flag(r, "full")?, flag(r, "goes on")?);
        let (from, next) = (Cursor::decode(r)?, Cursor::decode(r)?);
        let rows = if columns {
            columns::decode(r)?
        } else {
            payload.slice_ref(r.bytes(MAX_PAYLOAD_BYTES, "rows")?)
        };
        Ok(Self { device, as_of, full, goes_on, from, next, rows, columns })
    }
}

impl DigestReport {
    pub(super) fn encode(&self, w: &mut Writer) {
        w.u8(self.ask.into());
        w.raw(&self.state);
        encode_digests(w, &self.digests);
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let ask = flag(r, "ask")?;
        let state = r.array("a state's hash")?;
        Ok(Self { ask, state, digests: decode_digests(r)? })
    }
}

pub(super) fn encode_digests(w: &mut Writer, digests: &Digests) {
    w.count(digests.len());
    for (model, digest) in digests {
        w.u32_le(model.0);
        w.u64_le(digest.rows);
        w.u64_le(digest.sum);
    }
}

pub(super) fn decode_digests(r: &mut Reader<'_>) -> Result<Digests, CodecError> {
    let mut digests = Digests::new();
    for _ in 0..r.items(65_536, 20, "digests")? {
        let model = ModelId(r.u32_le("a model id")?);
        let digest = Digest { rows: r.u64_le("rows")?, sum: r.u64_le("a sum")? };
        digests.insert(model, digest);
    }
    Ok(digests)
}
