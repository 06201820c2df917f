//! What peers say to each other, in bounded bytes.
//!
//! # Format
//!
//! ```text
//! envelope = version:u8=1 library:16 sender:32 kind:u8 packing:u8 raw length:var payload
//! packing    0: payload as it is; 1: zstd
//! ```
//!
//! One envelope is one frame of the transport. Kinds that this version does not know decode to
//! [`Message::Unknown`] and are skipped. Payloads end where they end: what a later version appends
//! to one is left unread.

use bytes::Bytes;

use crate::change::ChangeSet;
use crate::clock::Hlc;
use crate::codec::{CodecError, Reader, Writer};
use crate::digest::{Digest, Digests};
use crate::id::{DeviceId, LibraryId, Origin, Seq};
use crate::limits::{
    MAX_BODY_BYTES, MAX_CERTS, MAX_FRAME_BYTES, MAX_ORIGINS, MAX_PAYLOAD_BYTES, MAX_SETS,
    MAX_TEXT_BYTES,
};
use crate::page::Cursor;
use crate::schema::ModelId;
use crate::store::Session;
use crate::version::{Hash, Life, OwnedHead, OwnedVector, Vector};

/// The major version of the protocol, part of the ALPN.
pub const ENVELOPE_VERSION: u8 = 1;
/// Payloads above this many bytes are compressed.
const PACK_ABOVE: usize = 512;

/// How a replica introduces itself on every connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Bits for what the sender can do beyond this version; none are defined yet.
    pub features: u64,
    /// A hash of its schema; different schemas sync all the same.
    pub schema: Hash,
    /// Its wall clock, Unix milliseconds.
    pub clock_ms: u64,
    /// Its hybrid clock.
    pub hlc: Hlc,
    /// Whether it has had the receiver's `Hello` on this connection. One that has not, although the
    /// receiver has introduced itself, needs it again.
    pub heard: bool,
    /// What it holds, durable and exact.
    pub state: State,
}

/// Vectors of what the sender holds, durable and exact: state and acknowledgement in one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// The shared lanes; only what grew, unless it stands in a `Hello`, a `Pong` or says so.
    pub shared: Vector,
    /// The owned lanes, likewise.
    pub owned: OwnedVector,
}

/// Change sets, each stream's in a row, all in a causal order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// The pull that this answers, or 0 if the origin sends it on its own account.
    pub pull: u64,
    /// The change sets.
    pub sets: Vec<ChangeSet>,
}

/// Asks for pages of an owned lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedPull {
    /// Whose lane.
    pub device: DeviceId,
    /// What the asker holds exactly.
    pub exact: Option<OwnedHead>,
    /// The transfer that it wants to go on with.
    pub session: Option<Session>,
    /// How many pages may be sent before it asks for more.
    pub credit: u64,
}

/// Rows of an owned lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Whose lane.
    pub device: DeviceId,
    /// The server's exact entry when the page was read: `as_of`.
    pub as_of: OwnedHead,
    /// Whether the transfer replaces the lane.
    pub full: bool,
    /// Whether it goes on with a transfer that has begun.
    pub goes_on: bool,
    /// What was passed before the first row.
    pub from: Cursor,
    /// What is passed after the last.
    pub next: Cursor,
    /// The rows, as [`crate::page`] writes them.
    pub rows: Bytes,
}

/// Digests at a state, to be compared where the states are equal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DigestReport {
    /// Whether the receiver should answer with its own.
    pub ask: bool,
    /// The state that the digests are of.
    pub state: State,
    /// The digests.
    pub digests: Digests,
}

/// Why a peer refuses to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The envelope is of a major version that the sender does not speak.
    Version,
    /// The message is for another library.
    Library,
    /// The message is malformed or breaks a rule.
    Protocol,
}

/// All that peers say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// The first message in each direction.
    Hello(Hello),
    /// What grew in the sender's state.
    Vector(State),
    /// Change sets.
    Changes(Changes),
    /// Asks for the change sets of these origins behind these seqs.
    Pull {
        /// Named again in the answer.
        id: u64,
        /// The origins, and up to where the asker has them.
        from: Vec<(Origin, Seq)>,
    },
    /// Asks for pages of an owned lane.
    OwnedPull(OwnedPull),
    /// Allows more pages of a transfer that runs.
    More {
        /// Whose lane.
        device: DeviceId,
        /// In which life.
        life: Life,
        /// How many may be sent in all since the pull: so a repeated message allows nothing, and
        /// the next one makes good for a lost one.
        credit: u64,
    },
    /// A page of an owned lane.
    Page(Page),
    /// Nothing more of what the pull with this id asked for.
    Covered {
        /// The pull.
        id: u64,
    },
    /// The sender does not cover what the receiver's transfer has come to: it must start over.
    Void {
        /// Whose lane.
        device: DeviceId,
        /// The life of the voided transfer.
        life: Life,
        /// Its target.
        target: Seq,
    },
    /// Digests, to be compared.
    Digest(DigestReport),
    /// Certificates of members, each as its own encoding has it.
    Membership(Vec<Bytes>),
    /// Asks for the whole state.
    Ping {
        /// Named again in the answer.
        token: u64,
    },
    /// The whole state.
    Pong {
        /// The ping's.
        token: u64,
        /// The sender's wall clock, Unix milliseconds.
        clock_ms: u64,
        /// What it holds.
        state: State,
    },
    /// A refusal in words.
    Error {
        /// What kind.
        refusal: Refusal,
        /// The words.
        text: String,
    },
    /// A kind that this version does not know; skipped.
    Unknown {
        /// Its number.
        kind: u8,
    },
}

/// A message with who sent it and for which library.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The library it belongs to.
    pub library: LibraryId,
    /// Who sent it.
    pub sender: DeviceId,
    /// What it says.
    pub message: Message,
}

impl Message {
    /// A short name for traces and counters.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Hello(_) => "hello",
            Message::Vector(_) => "vector",
            Message::Changes(_) => "changes",
            Message::Pull { .. } => "pull",
            Message::OwnedPull(_) => "owned_pull",
            Message::More { .. } => "more",
            Message::Page(_) => "page",
            Message::Covered { .. } => "covered",
            Message::Void { .. } => "void",
            Message::Digest(_) => "digest",
            Message::Membership(_) => "membership",
            Message::Ping { .. } => "ping",
            Message::Pong { .. } => "pong",
            Message::Error { .. } => "error",
            Message::Unknown { .. } => "unknown",
        }
    }

    /// Whether the message is bulk, behind which nothing live should wait.
    pub fn is_bulk(&self) -> bool {
        matches!(self, Message::Page(_))
    }

    fn kind(&self) -> u8 {
        match self {
            Message::Hello(_) => 1,
            Message::Vector(_) => 2,
            Message::Changes(_) => 3,
            Message::Pull { .. } => 4,
            Message::OwnedPull(_) => 5,
            Message::More { .. } => 6,
            Message::Page(_) => 7,
            Message::Covered { .. } => 8,
            Message::Void { .. } => 9,
            Message::Digest(_) => 10,
            Message::Membership(_) => 11,
            Message::Ping { .. } => 12,
            Message::Pong { .. } => 13,
            Message::Error { .. } => 14,
            Message::Unknown { kind } => *kind,
        }
    }

    /// The frame that carries this message. Its size is bounded by how its parts were made; a frame
    /// above [`MAX_FRAME_BYTES`] is refused.
    pub fn encode(&self, library: LibraryId, sender: DeviceId) -> Result<Bytes, CodecError> {
        let mut payload = Writer::new();
        self.encode_payload(&mut payload);
        let payload = payload.into_bytes();
        if payload.len() > MAX_PAYLOAD_BYTES {
            let (found, limit) = (payload.len() as u64, MAX_PAYLOAD_BYTES as u64);
            return Err(CodecError::TooLarge { what: "a message", found, limit });
        }
        let mut w = Writer::new();
        w.u8(ENVELOPE_VERSION);
        w.raw(library.0.as_bytes());
        w.raw(&sender.0);
        w.u8(self.kind());
        let packed = (payload.len() > PACK_ABOVE)
            .then(|| zstd::bulk::compress(&payload, 1))
            .transpose()
            .map_err(|_| CodecError::Compression("a message"))?
            .filter(|packed| packed.len() < payload.len());
        w.u8(packed.is_some().into());
        w.count(payload.len());
        w.raw(packed.as_ref().unwrap_or(&payload));
        if w.len() > MAX_FRAME_BYTES {
            let (found, limit) = (w.len() as u64, MAX_FRAME_BYTES as u64);
            return Err(CodecError::TooLarge { what: "a frame", found, limit });
        }
        Ok(Bytes::from(w.into_bytes()))
    }

    fn encode_payload(&self, w: &mut Writer) {
        match self {
            Message::Hello(hello) => hello.encode(w),
            Message::Vector(state) => state.encode(w),
            Message::Changes(changes) => changes.encode(w),
            Message::Pull { id, from } => {
                w.var(*id);
                w.count(from.len());
                for (origin, seq) in from {
                    w.origin(origin);
                    w.var(*seq);
                }
            }
            Message::OwnedPull(pull) => pull.encode(w),
            Message::More { device, life, credit: n }
            | Message::Void { device, life, target: n } => {
                w.raw(&device.0);
                life.encode(w);
                w.var(*n);
            }
            Message::Page(page) => page.encode(w),
            Message::Covered { id: n } | Message::Ping { token: n } => w.var(*n),
            Message::Digest(report) => report.encode(w),
            Message::Membership(certificates) => {
                w.count(certificates.len());
                for certificate in certificates {
                    w.bytes(certificate);
                }
            }
            Message::Pong { token, clock_ms, state } => {
                w.var(*token);
                w.var(*clock_ms);
                state.encode(w);
            }
            Message::Error { refusal, text } => {
                w.u8(*refusal as u8);
                w.text(text);
            }
            Message::Unknown { .. } => {}
        }
    }
}

impl Envelope {
    /// Reads a frame. Nothing is allocated beyond what the limits allow.
    pub fn decode(frame: &Bytes) -> Result<Self, CodecError> {
        if frame.len() > MAX_FRAME_BYTES {
            let (found, limit) = (frame.len() as u64, MAX_FRAME_BYTES as u64);
            return Err(CodecError::TooLarge { what: "a frame", found, limit });
        }
        let mut r = Reader::new(frame);
        let version = r.u8("an envelope's version")?;
        if version != ENVELOPE_VERSION {
            return Err(CodecError::Invalid {
                what: "an envelope's version",
                found: version.into(),
            });
        }
        let library = LibraryId(uuid::Uuid::from_bytes(r.array("a library id")?));
        let sender = DeviceId(r.array("a sender")?);
        let kind = r.u8("a message's kind")?;
        let packing = r.u8("a message's packing")?;
        let raw = r.count(MAX_PAYLOAD_BYTES, "a message's length")?;
        let at = frame.len() - r.rest().len();
        let payload = match packing {
            0 if r.rest().len() == raw => frame.slice(at..),
            1 => unpack(r.rest(), raw)?,
            _ => return Err(CodecError::Invalid { what: "a packing", found: packing.into() }),
        };
        Ok(Self { library, sender, message: decode_payload(kind, &payload)? })
    }
}

fn unpack(packed: &[u8], raw: usize) -> Result<Bytes, CodecError> {
    let payload = zstd::bulk::decompress(packed, raw);
    let payload = payload.map_err(|_| CodecError::Compression("a message"))?;
    if payload.len() == raw {
        Ok(payload.into())
    } else {
        Err(CodecError::Compression("a message"))
    }
}

fn decode_payload(kind: u8, payload: &Bytes) -> Result<Message, CodecError> {
    let mut r = Reader::new(payload);
    let r = &mut r;
    Ok(match kind {
        1 => Message::Hello(Hello::decode(r)?),
        2 => Message::Vector(State::decode(r)?),
        3 => Message::Changes(Changes::decode(r, payload)?),
        4 => {
            let id = r.var("a pull's id")?;
            let n = r.items(MAX_ORIGINS, 42, "a pull's origins")?;
            let mut from = Vec::with_capacity(n);
            for _ in 0..n {
                from.push((r.origin()?, r.var("a seq")?));
            }
            Message::Pull { id, from }
        }
        5 => Message::OwnedPull(OwnedPull::decode(r)?),
        6 => {
            let (device, life) = (DeviceId(r.array("a device id")?), Life::decode(r)?);
            Message::More { device, life, credit: r.var("a credit")? }
        }
        7 => Message::Page(Page::decode(r, payload)?),
        8 => Message::Covered { id: r.var("a pull's id")? },
        9 => {
            let (device, life) = (DeviceId(r.array("a device id")?), Life::decode(r)?);
            Message::Void { device, life, target: r.var("a target")? }
        }
        10 => Message::Digest(DigestReport::decode(r)?),
        11 => {
            let n = r.items(MAX_CERTS, 1, "certificates")?;
            let mut certificates = Vec::with_capacity(n);
            for _ in 0..n {
                let one = r.bytes(MAX_TEXT_BYTES * 4, "a certificate")?;
                certificates.push(Bytes::copy_from_slice(one));
            }
            Message::Membership(certificates)
        }
        12 => Message::Ping { token: r.var("a token")? },
        13 => {
            let (token, clock_ms) = (r.var("a token")?, r.var("a clock")?);
            Message::Pong { token, clock_ms, state: State::decode(r)? }
        }
        14 => {
            let refusal = match r.u8("a refusal")? {
                0 => Refusal::Version,
                1 => Refusal::Library,
                _ => Refusal::Protocol,
            };
            Message::Error { refusal, text: r.text(MAX_TEXT_BYTES, "a refusal")?.to_owned() }
        }
        kind => Message::Unknown { kind },
    })
}

impl Hello {
    fn encode(&self, w: &mut Writer) {
        w.u64_le(self.features);
        w.raw(&self.schema);
        w.var(self.clock_ms);
        w.u64_le(self.hlc.0);
        w.u8(self.heard.into());
        self.state.encode(w);
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
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
    fn encode(&self, w: &mut Writer) {
        self.shared.encode(w);
        self.owned.encode(w);
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { shared: Vector::decode(r)?, owned: OwnedVector::decode(r)? })
    }
}

impl Changes {
    fn encode(&self, w: &mut Writer) {
        w.var(self.pull);
        w.count(self.sets.len());
        for set in &self.sets {
            w.bytes(set.bytes());
        }
    }

    fn decode(r: &mut Reader<'_>, payload: &Bytes) -> Result<Self, CodecError> {
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

fn flag(r: &mut Reader<'_>, what: &'static str) -> Result<bool, CodecError> {
    match r.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        tag => Err(CodecError::Invalid { what, found: tag.into() }),
    }
}

impl OwnedPull {
    fn encode(&self, w: &mut Writer) {
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

    fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let device = DeviceId(r.array("a device id")?);
        let exact = if flag(r, "a head")? { Some(decode_head(r)?) } else { None };
        let session = if flag(r, "a session")? { Some(Session::decode(r)?) } else { None };
        Ok(Self { device, exact, session, credit: r.var("a credit")? })
    }
}

fn encode_head(w: &mut Writer, head: &OwnedHead) {
    head.life.encode(w);
    w.var(head.seq);
}

fn decode_head(r: &mut Reader<'_>) -> Result<OwnedHead, CodecError> {
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
    fn encode(&self, w: &mut Writer) {
        w.raw(&self.device.0);
        encode_head(w, &self.as_of);
        w.u8(self.full.into());
        w.u8(self.goes_on.into());
        self.from.encode(w);
        self.next.encode(w);
        w.bytes(&self.rows);
    }

    fn decode(r: &mut Reader<'_>, payload: &Bytes) -> Result<Self, CodecError> {
        let device = DeviceId(r.array("a device id")?);
        let as_of = decode_head(r)?;
        let (full, goes_on) = (flag(r, "full")?, flag(r, "goes on")?);
        let (from, next) = (Cursor::decode(r)?, Cursor::decode(r)?);
        let rows = payload.slice_ref(r.bytes(MAX_PAYLOAD_BYTES, "rows")?);
        Ok(Self { device, as_of, full, goes_on, from, next, rows })
    }
}

impl DigestReport {
    fn encode(&self, w: &mut Writer) {
        w.u8(self.ask.into());
        self.state.encode(w);
        w.count(self.digests.len());
        for (model, digest) in &self.digests {
            w.u32_le(model.0);
            w.u64_le(digest.rows);
            w.u64_le(digest.sum);
        }
    }

    fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let ask = flag(r, "ask")?;
        let state = State::decode(r)?;
        let mut digests = Digests::new();
        for _ in 0..r.items(65_536, 20, "digests")? {
            let model = ModelId(r.u32_le("a model id")?);
            let digest = Digest { rows: r.u64_le("rows")?, sum: r.u64_le("a sum")? };
            digests.insert(model, digest);
        }
        Ok(Self { ask, state, digests })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, RecordKey};

    const ME: DeviceId = DeviceId([9; 32]);

    fn samples() -> Vec<Message> {
        let life = Life { mint: Hlc(5), epoch: Epoch(6) };
        let head = OwnedHead { life, seq: 3 };
        let key = RecordKey::new(b"key").unwrap();
        let session = Session {
            life,
            cursor: Cursor::at(2, ModelId(1), key),
            target: 3,
            first: 2,
            full: true,
        };
        let state = State { shared: Vector::new(), owned: OwnedVector::from_iter([(ME, head)]) };
        vec![
            Message::Hello(Hello {
                features: 0,
                schema: [1; 32],
                clock_ms: 77,
                hlc: Hlc(8),
                heard: true,
                state: state.clone(),
            }),
            Message::Vector(state.clone()),
            Message::Changes(Changes { pull: 1, sets: vec![] }),
            Message::Pull { id: 3, from: vec![(Origin::shared(ME, Epoch(1)), 0)] },
            Message::OwnedPull(OwnedPull {
                device: ME,
                exact: Some(head),
                session: Some(session),
                credit: 2,
            }),
            Message::More { device: ME, life, credit: 1 },
            Message::Page(Page {
                device: ME,
                as_of: head,
                full: true,
                goes_on: false,
                from: Cursor::after(0),
                next: Cursor::after(3),
                rows: vec![7; 3_000].into(),
            }),
            Message::Covered { id: 1 },
            Message::Void { device: ME, life, target: 9 },
            Message::Digest(DigestReport {
                ask: true,
                state: state.clone(),
                digests: Digests::from([(ModelId(1), Digest { rows: 1, sum: 2 })]),
            }),
            Message::Membership(vec![Bytes::from_static(b"cert")]),
            Message::Ping { token: 4 },
            Message::Pong { token: 4, clock_ms: 5, state },
            Message::Error { refusal: Refusal::Protocol, text: "no".into() },
            Message::Unknown { kind: 200 },
        ]
    }

    #[test]
    fn every_kind_round_trips_and_survives_truncation() {
        let library = LibraryId(uuid::Uuid::from_bytes([2; 16]));
        for message in samples() {
            let frame = message.encode(library, ME).unwrap();
            let envelope = Envelope::decode(&frame).unwrap();
            assert_eq!(envelope, Envelope { library, sender: ME, message });
            for end in 0..frame.len() {
                // Only the absence of panics matters: a cut at a payload's end can be a message.
                drop(Envelope::decode(&frame.slice(..end)));
            }
        }
    }

    #[test]
    fn a_decompression_bomb_is_refused() {
        let mut w = Writer::new();
        w.u8(ENVELOPE_VERSION);
        w.raw(&[0; 48]);
        w.u8(2);
        w.u8(1);
        w.count(1000);
        w.raw(&zstd::bulk::compress(&vec![0; 1 << 20], 1).unwrap());
        let refused = Envelope::decode(&w.into_bytes().into());
        assert_eq!(refused, Err(CodecError::Compression("a message")));
    }

    #[test]
    fn another_major_version_is_refused() {
        let refused = Envelope::decode(&Bytes::from_static(&[2, 0, 0]));
        assert!(matches!(refused, Err(CodecError::Invalid { .. })));
    }
}
