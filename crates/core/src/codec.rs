//! Bounded bytes: the primitives of every format that leaves this process or is kept on disk.
//!
//! Integers are LEB128 varints of at most ten bytes; signed ones are zigzagged; byte strings carry
//! their length. A [`Reader`] checks every length and count against what is left and against the
//! caller's limit *before* it allocates.

use crate::id::{DeviceId, Dot, Epoch, IdError, Lane, Origin, RecordKey};

/// Why bytes are not what they should be. Nothing was changed by the attempt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end inside a value.
    #[error("the bytes end within {0}")]
    Truncated(&'static str),
    /// A length or count is above its limit.
    #[error("{what} of {found} is above the limit of {limit}")]
    TooLarge {
        /// Which length or count.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// A tag, flag or number that no version of this format defines or allows here.
    #[error("{what} has the invalid value {found}")]
    Invalid {
        /// Which field.
        what: &'static str,
        /// Its value.
        found: u64,
    },
    /// Text that is not UTF-8.
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    /// Bytes after the end of a value.
    #[error("{0} bytes too many after {1}")]
    Trailing(usize, &'static str),
    /// A number that is not finite, or another value without a canonical form.
    #[error("{0} has no canonical form")]
    NotCanonical(&'static str),
    /// A hash or checksum that does not match what it covers.
    #[error("{0} does not match its hash")]
    BadHash(&'static str),
    /// A compressed payload that does not decompress.
    #[error("{0} cannot be decompressed")]
    Compression(&'static str),
    /// A key that is empty or too long.
    #[error(transparent)]
    Key(#[from] IdError),
}

/// Collects canonical bytes.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer that goes on after `bytes`.
    pub fn append_to(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// What was written so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets what was written, keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// A number as it stands, four bytes, little endian.
    pub fn u32_le(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A number as it stands, eight bytes, little endian.
    pub fn u64_le(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// A varint (LEB128).
    pub fn var(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push((value & 0x7f) as u8);
    }

    /// A count or length as a varint.
    pub fn count(&mut self, value: usize) {
        self.var(value as u64);
    }

    /// A signed number, zigzagged.
    pub fn signed(&mut self, value: i64) {
        self.var(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// Bytes without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes with their length before them.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// Text with its length before it.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// An origin in full: 41 bytes.
    pub fn origin(&mut self, origin: &Origin) {
        self.raw(&origin.device.0);
        self.u64_le(origin.epoch.0);
        self.u8(lane_tag(origin.lane));
    }

    /// A dot in full.
    pub fn dot(&mut self, dot: &Dot) {
        self.origin(&dot.origin);
        self.var(dot.seq);
    }

    /// A record key.
    pub fn key(&mut self, key: &RecordKey) {
        self.bytes(key.as_bytes());
    }
}

fn lane_tag(lane: Lane) -> u8 {
    match lane {
        Lane::Shared => 0,
        Lane::Owned => 1,
    }
}

/// Reads canonical bytes; every method fails without consuming more than it says.
#[derive(Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Fails if anything is left.
    pub fn finish(self, what: &'static str) -> Result<(), CodecError> {
        match self.rest.len() {
            0 => Ok(()),
            n => Err(CodecError::Trailing(n, what)),
        }
    }

    /// The next `n` bytes.
    pub fn raw(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(CodecError::Truncated(what))?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(CodecError::Truncated(what))?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Four bytes, little endian.
    pub fn u32_le(&mut self, what: &'static str) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Eight bytes, little endian.
    pub fn u64_le(&mut self, what: &'static str) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A varint; refused if longer than needed or above 64 bits, so that every number has one
    /// form.
    pub fn var(&mut self, what: &'static str) -> Result<u64, CodecError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(CodecError::NotCanonical(what));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let padded = byte == 0 && shift > 0;
                return if padded { Err(CodecError::NotCanonical(what)) } else { Ok(value) };
            }
        }
        Err(CodecError::NotCanonical(what))
    }

    /// A count or length up to `limit`.
    pub fn count(&mut self, limit: usize, what: &'static str) -> Result<usize, CodecError> {
        let found = self.var(what)?;
        match usize::try_from(found) {
            Ok(n) if n <= limit => Ok(n),
            _ => Err(CodecError::TooLarge { what, found, limit: limit as u64 }),
        }
    }

    /// A count of items that take at least `min` bytes each: bounded by `limit` and by what is
    /// left, so that room for them may be allocated.
    pub fn items(
        &mut self,
        limit: usize,
        min: usize,
        what: &'static str,
    ) -> Result<usize, CodecError> {
        let n = self.count(limit, what)?;
        if n.saturating_mul(min) > self.rest.len() {
            return Err(CodecError::Truncated(what));
        }
        Ok(n)
    }

    /// A signed, zigzagged number.
    pub fn signed(&mut self, what: &'static str) -> Result<i64, CodecError> {
        let raw = self.var(what)?;
        Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    /// Bytes with their length before them, up to `limit`.
    pub fn bytes(&mut self, limit: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let n = self.count(limit, what)?;
        self.raw(n, what)
    }

    /// Text with its length before it, up to `limit` bytes.
    pub fn text(&mut self, limit: usize, what: &'static str) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes(limit, what)?).map_err(|_| CodecError::NotUtf8(what))
    }

    /// An origin.
    pub fn origin(&mut self) -> Result<Origin, CodecError> {
        let device = DeviceId(self.array("a device id")?);
        let epoch = Epoch(self.u64_le("an epoch")?);
        let lane = match self.u8("a lane")? {
            0 => Lane::Shared,
            1 => Lane::Owned,
            tag => return Err(CodecError::Invalid { what: "a lane", found: tag.into() }),
        };
        Ok(Origin { device, epoch, lane })
    }

    /// A dot; its seq is at least 1.
    pub fn dot(&mut self) -> Result<Dot, CodecError> {
        let origin = self.origin()?;
        Ok(Dot { origin, seq: self.seq()? })
    }

    /// A seq; at least 1, at most [`MAX_SEQ`](crate::limits::MAX_SEQ).
    pub fn seq(&mut self) -> Result<u64, CodecError> {
        match self.var("a seq")? {
            seq @ 1..=crate::limits::MAX_SEQ => Ok(seq),
            found => Err(CodecError::Invalid { what: "a seq", found }),
        }
    }

    /// A record key.
    pub fn key(&mut self) -> Result<RecordKey, CodecError> {
        Ok(RecordKey::new(self.bytes(crate::limits::MAX_KEY_BYTES, "a record key")?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_round_trip(u in any::<u64>(), i in any::<i64>()) {
            let mut w = Writer::new();
            w.var(u);
            w.signed(i);
            let mut r = Reader::new(w.as_bytes());
            prop_assert_eq!(r.var("u").unwrap(), u);
            prop_assert_eq!(r.signed("i").unwrap(), i);
            prop_assert!(r.finish("both").is_ok());
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut r = Reader::new(&bytes);
            // Only the absence of panics matters here.
            let _unused = (r.var("v"), r.text(8, "t"), r.dot(), r.key(), r.items(4, 8, "i"));
        }
    }

    #[test]
    fn a_number_has_one_form() {
        assert_eq!(Reader::new(&[0x80, 0]).var("n"), Err(CodecError::NotCanonical("n")));
        assert_eq!(Reader::new(&[0xff; 10]).var("n"), Err(CodecError::NotCanonical("n")));
        assert_eq!(Reader::new(&[0x80]).var("n"), Err(CodecError::Truncated("n")));
    }

    #[test]
    fn seqs_are_such_as_are_counted_to() {
        let read = |seq| {
            let mut w = Writer::new();
            w.var(seq);
            Reader::new(w.as_bytes()).seq()
        };
        assert_eq!(read(1), Ok(1));
        assert_eq!(read(crate::limits::MAX_SEQ), Ok(crate::limits::MAX_SEQ));
        for found in [0, crate::limits::MAX_SEQ + 1, u64::MAX] {
            assert_eq!(read(found), Err(CodecError::Invalid { what: "a seq", found }));
        }
    }

    #[test]
    fn counts_are_bounded_before_allocation() {
        let mut w = Writer::new();
        w.var(1 << 40);
        assert!(matches!(
            Reader::new(w.as_bytes()).bytes(10, "b"),
            Err(CodecError::TooLarge { .. })
        ));
        let mut w = Writer::new();
        w.var(1000);
        assert_eq!(Reader::new(w.as_bytes()).items(1000, 8, "i"), Err(CodecError::Truncated("i")));
    }
}
