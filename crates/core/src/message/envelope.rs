//! Frames: a message with its library and sender, packed where that saves bytes.

use bytes::Bytes;

use super::{ENVELOPE_VERSION, Envelope, Message, pack, payload};
use crate::codec::{CodecError, Reader, Writer};
use crate::id::{DeviceId, LibraryId};
use crate::limits::{MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES};

/// Payloads above this many bytes are compressed.
const PACK_ABOVE: usize = 512;

impl Message {
    /// The frame that carries this message. Its size is bounded by how its parts were made; a frame
    /// above [`MAX_FRAME_BYTES`] is refused.
    pub fn encode(&self, library: LibraryId, sender: DeviceId) -> Result<Bytes, CodecError> {
        let mut payload = Writer::new();
        self.encode_payload(&mut payload)?;
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
            .then(|| pack::pack(&payload))
            .transpose()?
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
}

impl Envelope {
    /// The major version that a frame says to be of, whatever else is in it.
    pub fn version_of(frame: &[u8]) -> Option<u8> {
        frame.first().copied()
    }

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
            1 => pack::unpack(r.rest(), raw)?,
            _ => return Err(CodecError::Invalid { what: "a packing", found: packing.into() }),
        };
        Ok(Self { library, sender, message: payload::decode(kind, &payload)? })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Answer, Ask, Changes, DigestReport, Held, Hello, OwnedPull, Page, Refusal, State,
    };
    use super::*;
    use crate::clock::Hlc;
    use crate::digest::{Digest, Digests};
    use crate::id::{Dot, Epoch, Origin, RecordKey};
    use crate::page::{Cursor, PageModel, PageWriter};
    use crate::record::Record;
    use crate::schema::{FieldId, ModelId};
    use crate::store::{Bucket, HeldRow, KeyRange, Pinned, RecordPage, Session};
    use crate::value::{Value, ValueRef};
    use crate::version::{Head, Life, OwnedHead, OwnedVector, Vector};

    const ME: DeviceId = DeviceId([9; 32]);

    fn samples() -> Vec<Message> {
        let life = Life { mint: Hlc(5), epoch: Epoch(6) };
        let head = OwnedHead { life, seq: 3 };
        let key = RecordKey::new(b"key").unwrap();
        let mut columns =
            PageWriter::new(&[PageModel { model: ModelId(1), fields: vec![FieldId(2)] }]);
        columns.row(0, 2, b"key", [ValueRef::Int(4)], &[]);
        columns.tombstone(0, 3, b"keys");
        let session = Session {
            life,
            cursor: Cursor::at(2, ModelId(1), key.clone()),
            target: 3,
            first: 2,
            full: true,
        };
        let state = State { shared: Vector::new(), owned: OwnedVector::from_iter([(ME, head)]) };
        let digest = Digest { rows: 1, sum: 2 };
        let origin = Origin::shared(ME, Epoch(1));
        let pinned = Pinned {
            vector: Vector::from_iter([(origin, Head { seq: 4, hash: [1; 32] })]),
            digests: Digests::from([(ModelId(1), digest)]),
        };
        let range = KeyRange { after: None, upto: Some(key.clone()) };
        let buckets = vec![
            Bucket { upto: Some(key.clone()), digest },
            Bucket { upto: None, digest: Digest::default() },
        ];
        let mut record = Record::default();
        record.lives.insert(Dot::new(origin, 1), Hlc(3));
        let place = (ModelId(1), key.clone());
        let vector = pinned.vector.clone();
        let records = vec![(place.clone(), record.clone()), (place.clone(), Record::default())];
        let fields = vec![(FieldId(1), Value::Int(7)), (FieldId(9), Value::Text("x".into()))];
        let held = |row| HeldRow { model: ModelId(1), key: key.clone(), row };
        let rows = vec![held(Some((2, fields))), held(None)];
        let page = RecordPage { records: vec![(key.clone(), record)], upto: None };
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
                columns: false,
            }),
            Message::Page(Page {
                device: ME,
                as_of: head,
                full: false,
                goes_on: true,
                from: Cursor::after(1),
                next: Cursor::after(3),
                rows: columns.finish().into(),
                columns: true,
            }),
            Message::Covered { id: 1 },
            Message::Void { device: ME, life, target: 9 },
            Message::Digest(DigestReport {
                ask: true,
                state: state.hash(),
                digests: Digests::from([(ModelId(1), Digest { rows: 1, sum: 2 })]),
            }),
            Message::Membership(vec![Bytes::from_static(b"cert")]),
            Message::Ping { token: 4 },
            Message::Pong { token: 4, clock_ms: 5, state },
            Message::Error { refusal: Refusal::Protocol, text: "no".into() },
            Message::Reset { pull: 6 },
            Message::Ask { session: 7, turn: 3, ask: Ask::Pin },
            Message::Ask {
                session: 7,
                turn: 3,
                ask: Ask::Buckets { model: ModelId(1), range: range.clone(), rows: 9 },
            },
            Message::Ask { session: 7, turn: 3, ask: Ask::Records { model: ModelId(1), range } },
            Message::Ask { session: 7, turn: 3, ask: Ask::End },
            Message::Answer { session: 7, turn: 3, answer: Answer::Pinned(pinned) },
            Message::Answer {
                session: 7,
                turn: 3,
                answer: Answer::Buckets { model: ModelId(1), after: None, buckets },
            },
            Message::Answer {
                session: 7,
                turn: 3,
                answer: Answer::Records { model: ModelId(1), after: Some(key), page },
            },
            Message::Answer { session: 7, turn: 3, answer: Answer::Lapsed },
            Message::Recall { id: 8, of: None, keys: vec![place.clone()] },
            Message::Recall { id: 8, of: Some(ME), keys: vec![] },
            Message::Recalled { id: 8, of: None, held: Held::Nothing },
            Message::Recalled { id: 8, of: None, held: Held::Records { vector, records } },
            Message::Recalled { id: 8, of: Some(ME), held: Held::Rows { as_of: head, rows } },
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
