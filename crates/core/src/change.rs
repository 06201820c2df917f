//! Changes and change sets: what one transaction wrote into the shared lane.
//!
//! # Format
//!
//! ```text
//! change set = header body:bytes
//! header     = len:count  version:u8=1  origin  seq:var  prev:32  hlc:u64
//!              needs: count (origin seq:var)*   body hash:32  extensions
//! extensions = count (id:var bytes)*            kept and covered by the head hash
//! extension 1  first:var                        the change sets of the stream from the one at this
//!                                               seq on belong together: one command wrote them
//! head hash  = BLAKE3("driftless 1 change set head", header)
//! body hash  = BLAKE3(body)
//! body       = seal:u8=0  origins: count origin*  changes: count change*
//! change     = len:count  model:u32 key op:u8 payload
//! op 1 create  over: dots, fields          a new life; removes the lives that it names
//! op 2 set     lives: dots, fields         the lives that its writer saw
//! op 3 delete  lives: dots                 the lives that it covers
//! fields     = count (id:u32 len:count over: dots value)*
//! dots       = count (index into origins:var seq:var)*
//! ```
//!
//! The header is what peers check; the body is opaque to whoever forwards it, is logged and sent on
//! verbatim, and begins with a byte that says whether it is sealed (0: plain), so that it can be
//! encrypted under a library key later. `prev` chains the stream: two change sets with one dot and
//! different hashes are a fork and are seen as one.

use bytes::Bytes;

use crate::clock::Hlc;
use crate::codec::{CodecError, Reader, Writer};
use crate::id::{Dot, Origin, RecordKey, Seq};
use crate::limits::{
    MAX_BODY_BYTES, MAX_CHANGES, MAX_DOTS, MAX_FIELDS, MAX_ORIGINS, MAX_VALUE_BYTES,
};
use crate::record::{Record, read_dot};
use crate::schema::{FieldId, ModelId};
use crate::value::Value;
use crate::version::{Hash, Head};

/// A value for a field, and the versions that it overwrites as far as its writer could see them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// The field.
    pub field: FieldId,
    /// The overwritten versions' dots.
    pub over: Vec<Dot>,
    /// The new value.
    pub value: Value,
}

/// What a change does to its record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// A new life with all fields. A link add is a create that overwrites the adds that it saw.
    Create {
        /// Lives that this one takes the place of.
        over: Vec<Dot>,
        /// All fields.
        fields: Vec<Write>,
    },
    /// New values of some fields.
    Set {
        /// The lives that the writer saw; the values count while one of them is alive.
        lives: Vec<Dot>,
        /// The fields.
        fields: Vec<Write>,
    },
    /// The end of the lives that the writer saw. A link remove is a delete.
    Delete {
        /// Those lives.
        lives: Vec<Dot>,
    },
}

/// One record's change. A change set has at most one for each record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The record's model.
    pub model: ModelId,
    /// The record's key.
    pub key: RecordKey,
    /// What happens to it.
    pub op: Op,
}

/// What peers check of a change set without looking into it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Who wrote it.
    pub origin: Origin,
    /// Its position in that stream.
    pub seq: Seq,
    /// The head hash of the change set before it; zeros at seq 1.
    pub prev: Hash,
    /// When.
    pub hlc: Hlc,
    /// What it builds on beyond the needs of its predecessors in the stream.
    pub needs: Vec<(Origin, Seq)>,
    /// BLAKE3 of the body.
    pub body_hash: Hash,
    /// The seq of the stream's change set that this one goes on with, if one command wrote them all.
    pub group: Option<Seq>,
}

/// One transaction's writes in the shared lane, as they are logged and forwarded: verbatim bytes
/// with a decoded header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeSet {
    header: Header,
    head: Hash,
    bytes: Bytes,
    body_at: usize,
}

const HEADER_VERSION: u8 = 1;
const MAX_HEADER_BYTES: usize = 4 << 20;
/// The extension that holds the group.
const GROUP: u64 = 1;

/// The head hash of a header's bytes.
fn head_hash(header: &[u8]) -> Hash {
    let mut hash = blake3::Hasher::new_derive_key("driftless 1 change set head");
    hash.update(header);
    *hash.finalize().as_bytes()
}

/// What a new change set says of itself, besides its changes.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Its dot.
    pub dot: Dot,
    /// The head hash of its predecessor, zeros at seq 1.
    pub prev: Hash,
    /// Its time.
    pub hlc: Hlc,
    /// What it builds on.
    pub needs: Vec<(Origin, Seq)>,
}

impl ChangeSet {
    /// Seals `changes` into a change set. Refused if its body is above [`MAX_BODY_BYTES`] or it has
    /// more than [`MAX_CHANGES`].
    pub fn new(draft: Draft, changes: &[Change]) -> Result<Self, CodecError> {
        Self::in_group(draft, None, changes)
    }

    /// [`ChangeSet::new`] for one that goes on with what the change set at `group` began.
    pub fn in_group(
        draft: Draft,
        group: Option<Seq>,
        changes: &[Change],
    ) -> Result<Self, CodecError> {
        if changes.len() > MAX_CHANGES {
            let (found, limit) = (changes.len() as u64, MAX_CHANGES as u64);
            return Err(CodecError::TooLarge { what: "changes in one transaction", found, limit });
        }
        let body = encode_body(changes);
        if body.len() > MAX_BODY_BYTES {
            let (found, limit) = (body.len() as u64, MAX_BODY_BYTES as u64);
            return Err(CodecError::TooLarge { what: "bytes in one transaction", found, limit });
        }
        let header = Header {
            origin: draft.dot.origin,
            seq: draft.dot.seq,
            prev: draft.prev,
            hlc: draft.hlc,
            needs: draft.needs,
            body_hash: *blake3::hash(&body).as_bytes(),
            group: group.filter(|first| (1..draft.dot.seq).contains(first)),
        };
        let head_bytes = header.encode();
        let mut w = Writer::new();
        w.bytes(&head_bytes);
        let body_at = w.len();
        w.bytes(&body);
        let bytes = Bytes::from(w.into_bytes());
        Ok(Self { header, head: head_hash(&head_bytes), bytes, body_at })
    }

    /// Reads a change set and checks its body against its header.
    pub fn decode(bytes: Bytes) -> Result<Self, CodecError> {
        let mut r = Reader::new(&bytes);
        let head_bytes = r.bytes(MAX_HEADER_BYTES, "a change set's header")?;
        let header = Header::decode(head_bytes)?;
        let body_at = bytes.len() - r.rest().len();
        let body = r.bytes(MAX_BODY_BYTES, "a change set's body")?;
        if *blake3::hash(body).as_bytes() != header.body_hash {
            return Err(CodecError::BadHash("a change set's body"));
        }
        r.finish("a change set")?;
        let head = head_hash(head_bytes);
        Ok(Self { header, head, bytes, body_at })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its address.
    pub fn dot(&self) -> Dot {
        Dot { origin: self.header.origin, seq: self.header.seq }
    }

    /// The end of the stream that it makes.
    pub fn head(&self) -> Head {
        Head { seq: self.header.seq, hash: self.head }
    }

    /// The verbatim bytes, as logged and sent.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The models of its changes, one for each. It ends early where it cannot be read: this is for
    /// counting.
    pub fn models(&self) -> impl Iterator<Item = ModelId> {
        let body = Reader::new(&self.bytes[self.body_at..]).bytes(MAX_BODY_BYTES, "a body");
        let mut changes = body.and_then(at_changes).ok();
        std::iter::from_fn(move || {
            let (reader, left) = changes.as_mut().filter(|(_, left)| *left > 0)?;
            *left -= 1;
            let one = reader.bytes(MAX_BODY_BYTES, "a change").ok()?;
            Some(ModelId(Reader::new(one).u32_le("a model id").ok()?))
        })
    }

    /// The changes.
    pub fn changes(&self) -> Result<Vec<Change>, CodecError> {
        let mut r = Reader::new(&self.bytes[self.body_at..]);
        decode_body(r.bytes(MAX_BODY_BYTES, "a change set's body")?)
    }
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.u8(HEADER_VERSION);
        w.origin(&self.origin);
        w.var(self.seq);
        w.raw(&self.prev);
        w.u64_le(self.hlc.0);
        w.count(self.needs.len());
        for (origin, seq) in &self.needs {
            w.origin(origin);
            w.var(*seq);
        }
        w.raw(&self.body_hash);
        w.count(usize::from(self.group.is_some()));
        if let Some(first) = self.group {
            let mut one = Writer::new();
            one.var(first);
            w.var(GROUP);
            w.bytes(one.as_bytes());
        }
        w.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(bytes);
        let version = r.u8("a header's version")?;
        if version != HEADER_VERSION {
            return Err(CodecError::Invalid { what: "a header's version", found: version.into() });
        }
        let (origin, seq) = (r.origin()?, r.seq()?);
        let prev = r.array("a previous head hash")?;
        let hlc = Hlc(r.u64_le("a time")?);
        let n = r.items(MAX_ORIGINS, 42, "needs")?;
        let mut needs = Vec::with_capacity(n);
        for _ in 0..n {
            needs.push((r.origin()?, r.seq()?));
        }
        let body_hash = r.array("a hash")?;
        let mut header = Self { origin, seq, prev, hlc, needs, body_hash, group: None };
        for _ in 0..r.items(64, 2, "a header's extensions")? {
            let id = r.var("an extension's id")?;
            let bytes = r.bytes(MAX_HEADER_BYTES, "an extension")?;
            if id == GROUP {
                // One that cannot be is as good as none: nothing but undoing asks for it.
                let first = Reader::new(bytes).seq().ok();
                header.group = first.filter(|first| (1..seq).contains(first));
            }
        }
        r.finish("a header")?;
        Ok(header)
    }
}

fn encode_body(changes: &[Change]) -> Vec<u8> {
    let mut origins: Vec<Origin> =
        changes.iter().flat_map(Change::dots).map(|dot| dot.origin).collect();
    origins.sort_unstable();
    origins.dedup();
    let mut w = Writer::new();
    w.u8(0);
    w.count(origins.len());
    for origin in &origins {
        w.origin(origin);
    }
    w.count(changes.len());
    let mut one = Writer::new();
    for change in changes {
        one.clear();
        change.encode(&mut one, &origins);
        w.bytes(one.as_bytes());
    }
    w.into_bytes()
}

/// Where the changes of a body begin, and how many there are.
fn at_changes(body: &[u8]) -> Result<(Reader<'_>, usize), CodecError> {
    let mut r = Reader::new(body);
    let seal = r.u8("a body's seal")?;
    if seal != 0 {
        return Err(CodecError::Invalid { what: "a body's seal", found: seal.into() });
    }
    for _ in 0..r.items(MAX_ORIGINS, 41, "a body's origins")? {
        r.origin()?;
    }
    let n = r.items(MAX_CHANGES, 8, "the changes of a change set")?;
    Ok((r, n))
}

fn decode_body(body: &[u8]) -> Result<Vec<Change>, CodecError> {
    let mut r = Reader::new(body);
    let seal = r.u8("a body's seal")?;
    if seal != 0 {
        return Err(CodecError::Invalid { what: "a body's seal", found: seal.into() });
    }
    let n = r.items(MAX_ORIGINS, 41, "a body's origins")?;
    let origins = (0..n).map(|_| r.origin()).collect::<Result<Vec<_>, _>>()?;
    let n = r.items(MAX_CHANGES, 8, "the changes of a change set")?;
    let mut changes = Vec::with_capacity(n);
    for _ in 0..n {
        let mut one = Reader::new(r.bytes(MAX_BODY_BYTES, "a change")?);
        changes.push(Change::decode(&mut one, &origins)?);
    }
    r.finish("a body")?;
    Ok(changes)
}

impl Change {
    fn writes(&self) -> &[Write] {
        match &self.op {
            Op::Create { fields, .. } | Op::Set { fields, .. } => fields,
            Op::Delete { .. } => &[],
        }
    }

    /// The dots that it names: lives that its writer saw, versions that it overwrites.
    pub fn dots(&self) -> impl Iterator<Item = &Dot> {
        let (Op::Create { over: lives, .. } | Op::Set { lives, .. } | Op::Delete { lives }) =
            &self.op;
        let over = self.writes().iter().flat_map(|write| &write.over);
        lives.iter().chain(over)
    }

    /// Whether nothing of it shows in a record that it was applied to at `dot`, as something later or
    /// concurrent stands above it.
    pub fn is_superseded(&self, record: &Record, dot: &Dot) -> bool {
        let mut writes = self.writes().iter().peekable();
        writes.peek().is_some()
            && writes.all(|write| record.winner(write.field).is_none_or(|it| it.dot != *dot))
    }

    /// Whether it says on which lives it builds, as setting and deleting must.
    pub fn is_grounded(&self) -> bool {
        match &self.op {
            Op::Create { .. } => true,
            Op::Set { lives, .. } | Op::Delete { lives } => !lives.is_empty(),
        }
    }

    fn encode(&self, w: &mut Writer, origins: &[Origin]) {
        w.u32_le(self.model.0);
        w.key(&self.key);
        let (tag, lives) = match &self.op {
            Op::Create { over, .. } => (1, over),
            Op::Set { lives, .. } => (2, lives),
            Op::Delete { lives } => (3, lives),
        };
        w.u8(tag);
        encode_dots(w, lives, origins);
        if tag == 3 {
            return;
        }
        w.count(self.writes().len());
        for write in self.writes() {
            w.u32_le(write.field.0);
            let mut one = Writer::new();
            encode_dots(&mut one, &write.over, origins);
            write.value.encode(&mut one);
            w.bytes(one.as_bytes());
        }
    }

    /// Bytes after what this version knows of a change are skipped: a later version may say more.
    fn decode(r: &mut Reader<'_>, origins: &[Origin]) -> Result<Self, CodecError> {
        let model = ModelId(r.u32_le("a model id")?);
        let key = r.key()?;
        let tag = r.u8("a change's kind")?;
        let lives = decode_dots(r, origins)?;
        let op = match tag {
            1 => Op::Create { over: lives, fields: decode_writes(r, origins)? },
            2 => Op::Set { lives, fields: decode_writes(r, origins)? },
            3 => Op::Delete { lives },
            _ => return Err(CodecError::Invalid { what: "a change's kind", found: tag.into() }),
        };
        Ok(Self { model, key, op })
    }
}

fn encode_dots(w: &mut Writer, dots: &[Dot], origins: &[Origin]) {
    w.count(dots.len());
    for dot in dots {
        w.count(origins.partition_point(|origin| *origin < dot.origin));
        w.var(dot.seq);
    }
}

fn decode_dots(r: &mut Reader<'_>, origins: &[Origin]) -> Result<Vec<Dot>, CodecError> {
    let n = r.items(MAX_DOTS, 2, "the dots of a change")?;
    (0..n).map(|_| read_dot(r, origins)).collect()
}

fn decode_writes(r: &mut Reader<'_>, origins: &[Origin]) -> Result<Vec<Write>, CodecError> {
    let n = r.items(MAX_FIELDS * 4, 6, "the fields of a change")?;
    let mut writes = Vec::with_capacity(n);
    for _ in 0..n {
        let field = FieldId(r.u32_le("a field id")?);
        let mut one = Reader::new(r.bytes(MAX_VALUE_BYTES * 2, "a field")?);
        let over = decode_dots(&mut one, origins)?;
        writes.push(Write { field, over, value: Value::decode(&mut one)? });
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeviceId, Epoch};

    fn origin(n: u8) -> Origin {
        Origin::shared(DeviceId([n; 32]), Epoch(n.into()))
    }

    fn sample() -> ChangeSet {
        let key = RecordKey::new(&[1; 16]).unwrap();
        let over = vec![Dot::new(origin(1), 3), Dot::new(origin(2), 9)];
        let write =
            Write { field: FieldId(7), over: over.clone(), value: Value::Text("é".into()) };
        let change = |op| Change { model: ModelId(4), key: key.clone(), op };
        let changes = [
            change(Op::Create { over: vec![], fields: vec![write.clone()] }),
            change(Op::Set { lives: over.clone(), fields: vec![write] }),
            change(Op::Delete { lives: over }),
        ];
        let draft = Draft {
            dot: Dot::new(origin(1), 4),
            prev: [3; 32],
            hlc: Hlc(77),
            needs: vec![(origin(2), 9)],
        };
        let set = ChangeSet::new(draft, &changes).unwrap();
        assert_eq!(set.changes().unwrap(), changes);
        set
    }

    #[test]
    fn change_sets_round_trip() {
        let set = sample();
        assert_eq!(ChangeSet::decode(set.bytes().clone()), Ok(set));
    }

    #[test]
    fn its_models_are_told_without_reading_the_rest() {
        assert_eq!(sample().models().collect::<Vec<_>>(), [ModelId(4); 3]);
    }

    #[test]
    fn what_something_later_stands_above_is_superseded() {
        let key = RecordKey::new(&[1; 16]).unwrap();
        let write =
            |name: &str| Write { field: FieldId(7), over: vec![], value: Value::Text(name.into()) };
        let change = |op| Change { model: ModelId(4), key: key.clone(), op };
        let (first, second) = (Dot::new(origin(1), 1), Dot::new(origin(2), 1));
        let mut record = Record::default();
        let made = change(Op::Create { over: vec![], fields: vec![write("a")] });
        crate::merge::apply(&mut record, &made.op, first, Hlc(5), |_| false);
        assert!(!made.is_superseded(&record, &first));
        for (hlc, over) in [(Hlc(4), true), (Hlc(6), false)] {
            let mut record = record.clone();
            let set = change(Op::Set { lives: vec![first], fields: vec![write("b")] });
            crate::merge::apply(&mut record, &set.op, second, hlc, |_| false);
            assert_eq!(set.is_superseded(&record, &second), over);
        }
        let delete = change(Op::Delete { lives: vec![first] });
        assert!(!delete.is_superseded(&record, &second), "an end is no value");
    }

    #[test]
    fn a_change_set_tells_what_it_goes_on_with() {
        let grouped = |group| {
            let (dot, prev) = (Dot::new(origin(1), 4), [3; 32]);
            let draft = Draft { dot, prev, hlc: Hlc(77), needs: vec![] };
            let set = ChangeSet::in_group(draft, group, &[]).unwrap();
            let read = ChangeSet::decode(set.bytes().clone()).unwrap();
            assert_eq!(read, set);
            read.header().group
        };
        assert_eq!(grouped(None), None);
        assert_eq!([Some(1), Some(3)].map(grouped), [Some(1), Some(3)]);
        assert_eq!([Some(0), Some(4), Some(9)].map(grouped), [None; 3]);
    }

    #[test]
    fn every_flipped_byte_is_seen_or_changes_the_head() {
        let set = sample();
        for at in 0..set.bytes().len() {
            let mut bytes = set.bytes().to_vec();
            bytes[at] ^= 0x20;
            if let Ok(other) = ChangeSet::decode(bytes.into()) {
                assert_ne!(other.head(), set.head(), "byte {at}");
            }
        }
    }

    #[test]
    fn truncation_is_refused() {
        let set = sample();
        for end in 0..set.bytes().len() {
            assert!(ChangeSet::decode(set.bytes().slice(..end)).is_err());
        }
    }
}
