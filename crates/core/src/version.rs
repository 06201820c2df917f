//! Vectors: what a state holds, completely, from whom.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::sync::Arc;

use crate::clock::Hlc;
use crate::codec::{CodecError, Reader, Writer};
use crate::id::{DeviceId, Dot, Epoch, Origin, Seq};
use crate::limits::MAX_ORIGINS;

/// A BLAKE3 hash.
pub type Hash = [u8; 32];

/// The end of a stream: everything up to and including `seq` is there, and `hash` is the head hash
/// of the change set at `seq`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The last position.
    pub seq: Seq,
    /// The hash of that change set's header, which covers all before it.
    pub hash: Hash,
}

/// The entries of `a`, each with what `b` has at its key: looked up if they are few, else found by
/// walking both.
fn beside<'a, K: Ord, V>(
    a: &'a BTreeMap<K, V>,
    b: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V, Option<&'a V>)> {
    let mut walk = (a.len().saturating_mul(8) > b.len()).then(|| b.iter().peekable());
    a.iter().map(move |(key, value)| {
        let other = match &mut walk {
            None => b.get(key),
            Some(others) => loop {
                match others.peek().map(|(other, _)| (*other).cmp(key)) {
                    Some(Ordering::Less) => drop(others.next()),
                    Some(Ordering::Equal) => break others.next().map(|(_, value)| value),
                    Some(Ordering::Greater) | None => break None,
                }
            },
        };
        (key, value, other)
    })
}

/// `origin → head` over the shared lanes: everything up to the heads is in this state.
///
/// Copies share their entries until one of them changes: among many devices most of what is known
/// of peers is the same as what is here, and to find that out then costs nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Vector(Arc<BTreeMap<Origin, Head>>);

impl Vector {
    /// An empty vector.
    pub fn new() -> Self {
        Self::default()
    }

    /// The last seq of `origin`, 0 if nothing is there.
    pub fn seq(&self, origin: &Origin) -> Seq {
        self.0.get(origin).map_or(0, |head| head.seq)
    }

    /// The head of `origin`.
    pub fn head(&self, origin: &Origin) -> Option<Head> {
        self.0.get(origin).copied()
    }

    /// Moves the head of `origin`.
    pub fn set(&mut self, origin: Origin, head: Head) {
        if self.0.get(&origin) != Some(&head) {
            Arc::make_mut(&mut self.0).insert(origin, head);
        }
    }

    /// Whether `dot` is in this state.
    pub fn covers(&self, dot: &Dot) -> bool {
        self.seq(&dot.origin) >= dot.seq
    }

    /// Whether everything of `other` is in this state.
    pub fn includes(&self, other: &Vector) -> bool {
        self.shares(other)
            || beside(&other.0, &self.0)
                .all(|(_, head, mine)| mine.map_or(0, |mine| mine.seq) >= head.seq)
    }

    /// Whether the two are copies of one vector, which is cheap to say: `false` says nothing.
    fn shares(&self, other: &Vector) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether all of `needs` are in this state.
    pub fn meets(&self, needs: &[(Origin, Seq)]) -> bool {
        needs.iter().all(|(origin, seq)| self.seq(origin) >= *seq)
    }

    /// Takes over every head of `other` that is further.
    pub fn join(&mut self, other: &Vector) {
        if self.is_empty() {
            self.clone_from(other);
        } else if !self.shares(other) {
            for (origin, head) in other.iter() {
                if head.seq > self.seq(origin) {
                    self.set(*origin, *head);
                }
            }
        }
    }

    /// How many change sets of this vector `other` lacks.
    pub fn missing_in(&self, other: &Vector) -> u64 {
        if self.shares(other) {
            return 0;
        }
        let lacks = |head: &Head, theirs: Option<&Head>| {
            head.seq.saturating_sub(theirs.map_or(0, |theirs| theirs.seq))
        };
        beside(&self.0, &other.0).map(|(_, head, theirs)| lacks(head, theirs)).sum()
    }

    /// The heads that are further than those of `base`: what grew.
    pub fn grown_since(&self, base: &Vector) -> Vector {
        self.ahead_of(base).map(|(origin, head)| (*origin, *head)).collect()
    }

    /// The heads that are further than those of `base`, in order, looked for as they are asked for.
    pub fn ahead_of<'a>(
        &'a self,
        base: &'a Vector,
    ) -> impl Iterator<Item = (&'a Origin, &'a Head)> + use<'a> {
        let differs = (!self.shares(base)).then(|| beside(&self.0, &base.0));
        let ahead = differs.into_iter().flatten();
        let ahead = ahead.filter(|(_, head, base)| head.seq > base.map_or(0, |base| base.seq));
        ahead.map(|(origin, head, _)| (origin, head))
    }

    /// All origins with their heads, in order.
    pub fn iter(&self) -> btree_map::Iter<'_, Origin, Head> {
        self.0.iter()
    }

    /// How many origins.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is in this state.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the vector.
    pub fn encode(&self, w: &mut Writer) {
        w.count(self.len());
        for (origin, head) in self.iter() {
            w.origin(origin);
            w.var(head.seq);
            w.raw(&head.hash);
        }
    }

    /// Reads a vector.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let n = r.items(MAX_ORIGINS, 74, "a vector")?;
        let mut vector = Self::new();
        for _ in 0..n {
            let origin = r.origin()?;
            let head = Head { seq: r.seq()?, hash: r.array("a head hash")? };
            vector.set(origin, head);
        }
        Ok(vector)
    }
}

impl FromIterator<(Origin, Head)> for Vector {
    fn from_iter<I: IntoIterator<Item = (Origin, Head)>>(heads: I) -> Self {
        Vector(Arc::new(heads.into_iter().collect()))
    }
}

/// Which writing life of an owned lane: ordered by mint, then by epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Life {
    /// The owner's clock when the epoch was minted, above every mint that it had met.
    pub mint: Hlc,
    /// The epoch.
    pub epoch: Epoch,
}

impl Life {
    /// Writes the life.
    pub fn encode(&self, w: &mut Writer) {
        w.u64_le(self.mint.0);
        w.u64_le(self.epoch.0);
    }

    /// Reads a life.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { mint: Hlc(r.u64_le("a mint")?), epoch: Epoch(r.u64_le("an epoch")?) })
    }
}

/// How far an owned lane is held: a position in the stream of a life. Ordered: a later life covers
/// everything of an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OwnedHead {
    /// The life.
    pub life: Life,
    /// The last position.
    pub seq: Seq,
}

/// `device → head` over the owned lanes, each the exact state of its owner at that head. Copies
/// share their entries, as those of a [`Vector`] do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OwnedVector(Arc<BTreeMap<DeviceId, OwnedHead>>);

impl OwnedVector {
    /// An empty vector.
    pub fn new() -> Self {
        Self::default()
    }

    /// The head of `device`'s lane.
    pub fn head(&self, device: &DeviceId) -> Option<OwnedHead> {
        self.0.get(device).copied()
    }

    /// Moves the head of `device`'s lane.
    pub fn set(&mut self, device: DeviceId, head: OwnedHead) {
        if self.0.get(&device) != Some(&head) {
            Arc::make_mut(&mut self.0).insert(device, head);
        }
    }

    /// Whether everything of `other` is in this state.
    pub fn includes(&self, other: &OwnedVector) -> bool {
        other.ahead_of(self).next().is_none()
    }

    /// The heads that are further than those of `base`.
    pub fn grown_since(&self, base: &OwnedVector) -> OwnedVector {
        self.ahead_of(base).map(|(device, head)| (*device, *head)).collect()
    }

    /// The heads that are further than those of `base`, in order, looked for as they are asked for.
    pub fn ahead_of<'a>(
        &'a self,
        base: &'a OwnedVector,
    ) -> impl Iterator<Item = (&'a DeviceId, &'a OwnedHead)> + use<'a> {
        let differs = (!Arc::ptr_eq(&self.0, &base.0)).then(|| beside(&self.0, &base.0));
        let ahead = differs.into_iter().flatten();
        let ahead = ahead.filter(|(_, head, base)| Some(*head) > *base);
        ahead.map(|(device, head, _)| (device, head))
    }

    /// How many change sets of this vector `other` lacks; a lane of another life counts whole.
    pub fn missing_in(&self, other: &OwnedVector) -> u64 {
        if Arc::ptr_eq(&self.0, &other.0) {
            return 0;
        }
        beside(&self.0, &other.0)
            .map(|(_, head, theirs)| match theirs {
                Some(theirs) if theirs.life == head.life => head.seq.saturating_sub(theirs.seq),
                Some(theirs) if theirs.life > head.life => 0,
                _ => head.seq,
            })
            .sum()
    }

    /// All devices with their heads, in order.
    pub fn iter(&self) -> btree_map::Iter<'_, DeviceId, OwnedHead> {
        self.0.iter()
    }

    /// How many lanes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no lane is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the vector.
    pub fn encode(&self, w: &mut Writer) {
        w.count(self.len());
        for (device, head) in self.iter() {
            w.raw(&device.0);
            head.life.encode(w);
            w.var(head.seq);
        }
    }

    /// Reads a vector.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let n = r.items(MAX_ORIGINS, 49, "an owned vector")?;
        let mut vector = Self::new();
        for _ in 0..n {
            let device = DeviceId(r.array("a device id")?);
            vector.set(device, OwnedHead { life: Life::decode(r)?, seq: r.seq()? });
        }
        Ok(vector)
    }
}

impl FromIterator<(DeviceId, OwnedHead)> for OwnedVector {
    fn from_iter<I: IntoIterator<Item = (DeviceId, OwnedHead)>>(heads: I) -> Self {
        OwnedVector(Arc::new(heads.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(n: u8) -> Origin {
        Origin::shared(DeviceId([n; 32]), Epoch(1))
    }

    fn vector(heads: &[(u8, Seq)]) -> Vector {
        heads.iter().map(|(n, seq)| (origin(*n), Head { seq: *seq, hash: [*n; 32] })).collect()
    }

    #[test]
    fn inclusion_and_join() {
        let (a, b) = (vector(&[(1, 5), (2, 1)]), vector(&[(1, 3), (3, 2)]));
        assert!(!a.includes(&b) && !b.includes(&a));
        let mut both = a.clone();
        both.join(&b);
        assert!(both.includes(&a) && both.includes(&b));
        assert_eq!(both.missing_in(&a), 2);
        assert_eq!(a.grown_since(&b), vector(&[(1, 5), (2, 1)]));
    }

    #[test]
    fn vectors_round_trip() {
        let a = vector(&[(1, 5), (2, 1)]);
        let mut w = Writer::new();
        a.encode(&mut w);
        assert_eq!(Vector::decode(&mut Reader::new(w.as_bytes())), Ok(a));
    }

    #[test]
    fn a_later_life_covers_an_earlier_one() {
        let head = |mint, seq| OwnedHead { life: Life { mint: Hlc(mint), epoch: Epoch(9) }, seq };
        let of = |head| OwnedVector::from_iter([(DeviceId([1; 32]), head)]);
        assert!(of(head(2, 1)).includes(&of(head(1, 50))));
        assert_eq!(of(head(1, 50)).missing_in(&of(head(2, 1))), 0);
        assert_eq!(of(head(2, 7)).missing_in(&of(head(1, 50))), 7);
    }
}
