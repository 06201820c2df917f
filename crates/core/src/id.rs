//! Names of things: devices, libraries, origins, dots, records.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::limits::MAX_KEY_BYTES;

/// Why a text is not one of our ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct IdError {
    /// What was given, cut to a readable length.
    pub text: String,
    /// What would have been right.
    pub expected: &'static str,
}

impl IdError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.chars().take(80).collect(), expected }
    }
}

/// Lower-case hexadecimal of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// The bytes of a hexadecimal text of even length, or `None`.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// A member device: its ed25519 public key, which is also its iroh `EndpointId`.
///
/// Displayed as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub [u8; 32]);

impl DeviceId {
    /// The first eight hex digits, for messages to people.
    pub fn short(&self) -> String {
        hex(&self.0[..4])
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.short())
    }
}

impl FromStr for DeviceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        unhex(text)
            .and_then(|bytes| bytes.try_into().ok())
            .map(DeviceId)
            .ok_or_else(|| IdError::new(text, "a device id (64 hex digits)"))
    }
}

/// The replicated unit: one person's or one team's data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LibraryId(pub Uuid);

impl fmt::Display for LibraryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A writing life of a device's lane: random, new at the first start and after a restore, a clone
/// or a fork. Displayed as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// One of the two streams that a device writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Shared records: a log, merged field by field.
    Shared,
    /// Device-owned records: state that only the owner writes.
    Owned,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lane::Shared => "shared",
            Lane::Owned => "owned",
        })
    }
}

/// One writing life of one device's lane. Displayed as `DEVICE/EPOCH/LANE`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The device that writes.
    pub device: DeviceId,
    /// Which of its writing lives.
    pub epoch: Epoch,
    /// Which of its streams.
    pub lane: Lane,
}

impl Origin {
    /// The shared lane of `device` under `epoch`.
    pub fn shared(device: DeviceId, epoch: Epoch) -> Self {
        Self { device, epoch, lane: Lane::Shared }
    }

    /// The owned lane of `device` under `epoch`.
    pub fn owned(device: DeviceId, epoch: Epoch) -> Self {
        Self { device, epoch, lane: Lane::Owned }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.device, self.epoch, self.lane)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}/{}", self.device, self.epoch, self.lane)
    }
}

impl FromStr for Origin {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::new(text, "an origin (DEVICE/EPOCH/LANE)");
        let mut parts = text.split('/');
        let (Some(device), Some(epoch), Some(lane), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        let lane = match lane {
            "shared" => Lane::Shared,
            "owned" => Lane::Owned,
            _ => return Err(bad()),
        };
        if epoch.len() != 16 {
            return Err(bad());
        }
        let epoch = Epoch(u64::from_str_radix(epoch, 16).map_err(|_| bad())?);
        Ok(Self { device: device.parse().map_err(|_| bad())?, epoch, lane })
    }
}

/// Position of a change set in its origin's stream; dense: 1, 2, 3 …
pub type Seq = u64;

/// The address of a change set. Displayed as `ORIGIN#SEQ`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who wrote, in which life, into which lane.
    pub origin: Origin,
    /// At which position.
    pub seq: Seq,
}

impl Dot {
    /// The dot of `origin` at `seq`.
    pub fn new(origin: Origin, seq: Seq) -> Self {
        Self { origin, seq }
    }
}

impl fmt::Display for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.origin, self.seq)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}#{}", self.origin, self.seq)
    }
}

impl FromStr for Dot {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::new(text, "a dot (ORIGIN#SEQ)");
        let (origin, seq) = text.rsplit_once('#').ok_or_else(bad)?;
        let seq = seq.parse().ok().filter(|seq| *seq > 0).ok_or_else(bad)?;
        Ok(Self { origin: origin.parse().map_err(|_| bad())?, seq })
    }
}

/// The key of a record within its model: opaque bytes, 1 to [`MAX_KEY_BYTES`]. Our models use
/// UUIDs; a key of 16 bytes is displayed as one, any other as hex.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey(Box<[u8]>);

impl RecordKey {
    /// A key of these bytes; refused if empty or longer than [`MAX_KEY_BYTES`].
    pub fn new(bytes: &[u8]) -> Result<Self, IdError> {
        if bytes.is_empty() || bytes.len() > MAX_KEY_BYTES {
            return Err(IdError::new(&hex(bytes), "a record key (1 to 64 bytes)"));
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key as a UUID, if it has 16 bytes.
    pub fn uuid(&self) -> Option<Uuid> {
        Uuid::from_slice(&self.0).ok()
    }
}

impl From<Uuid> for RecordKey {
    fn from(id: Uuid) -> Self {
        Self((*id.as_bytes()).into())
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.uuid() {
            Some(id) => id.fmt(f),
            None => f.write_str(&hex(&self.0)),
        }
    }
}

impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A random id, ordered by time (UUID v7, RFC 9562): `now_ms` is Unix time in milliseconds,
/// `random` is fresh randomness. Random v4 keys cost SQLite three to seven times as much.
pub fn time_ordered_id(now_ms: u64, random: [u8; 10]) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(now_ms, &random).into_uuid()
}

/// The id at which two devices must arrive without talking (UUID v8, RFC 9562): BLAKE3 over the
/// domain and the length-prefixed parts.
pub fn derived_id(domain: &str, parts: &[&[u8]]) -> Uuid {
    let mut hash = blake3::Hasher::new_derive_key("driftless 1 derived id");
    for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize().as_bytes()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_round_trip() {
        let origin = Origin::owned(DeviceId([7; 32]), Epoch(0xab));
        let dot = Dot::new(origin, 42);
        assert_eq!(dot.to_string().parse::<Dot>(), Ok(dot));
        assert!(origin.to_string().ends_with("/00000000000000ab/owned"));
        for bad in ["", "x", "#1", &format!("{origin}#0"), &format!("{origin}/x#1")] {
            assert!(bad.parse::<Dot>().is_err(), "{bad}");
        }
    }

    #[test]
    fn derived_ids_keep_parts_apart() {
        assert_eq!(derived_id("t", &[b"a", b"b"]), derived_id("t", &[b"a", b"b"]));
        assert_ne!(derived_id("t", &[b"ab", b""]), derived_id("t", &[b"a", b"b"]));
        assert_eq!(derived_id("t", &[]).get_version_num(), 8);
        assert_eq!(time_ordered_id(1, [0; 10]).get_version_num(), 7);
    }

    #[test]
    fn keys_are_bounded() {
        assert!(RecordKey::new(&[]).is_err());
        assert!(RecordKey::new(&[0; 65]).is_err());
        assert_eq!(RecordKey::new(&[1, 2]).unwrap().to_string(), "0102");
    }
}
