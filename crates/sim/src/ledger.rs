//! What was committed, kept outside of all replicas: every change set with what its writer had
//! seen, and the rows of every owner at every head.

use std::collections::BTreeMap;

use driftless_core::change::{ChangeSet, Op};
use driftless_core::clock::Hlc;
use driftless_core::codec::CodecError;
use driftless_core::id::{DeviceId, Dot, Origin, RecordKey, Seq};
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::value::Value;
use driftless_core::version::{Hash, OwnedHead, Vector};

/// A record's place.
pub type Place = (ModelId, RecordKey);
/// Rows that show, as [`driftless_core::mem::MemStore::rows`] gives them.
pub type Rows = Vec<(Place, Seq, BTreeMap<FieldId, Value>)>;

/// What a change set did to a record, without what it says of lives and overwritten dots: that
/// follows from what its writer had seen, and is worked out anew by the checkers.
#[derive(Clone, Debug)]
pub enum Deed {
    /// A new life with these values.
    Create(Vec<(FieldId, Value)>),
    /// New values.
    Set(Vec<(FieldId, Value)>),
    /// The end of the lives that were seen.
    Delete,
}

/// A committed change set.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its address.
    pub dot: Dot,
    /// Its time.
    pub hlc: Hlc,
    /// Its head hash.
    pub head: Hash,
    /// What its writer had seen, of its own origin too.
    pub past: Vector,
    /// What it did.
    pub deeds: BTreeMap<Place, Deed>,
}

impl Entry {
    /// Whether the writer had seen the change set at `dot`.
    pub fn saw(&self, dot: &Dot) -> bool {
        self.past.covers(dot)
    }
}

/// All that was committed.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    sets: BTreeMap<Dot, Entry>,
    places: BTreeMap<Place, Vec<Dot>>,
    lanes: BTreeMap<(DeviceId, OwnedHead), Rows>,
}

impl Ledger {
    /// Notes a change set that was committed by a writer whose vector was `past`.
    pub fn add(&mut self, set: &ChangeSet, past: &Vector) -> Result<(), CodecError> {
        let mut deeds = BTreeMap::new();
        for change in set.changes()? {
            let values = |fields: &[driftless_core::change::Write]| {
                fields.iter().map(|write| (write.field, write.value.clone())).collect()
            };
            let deed = match &change.op {
                Op::Create { fields, .. } => Deed::Create(values(fields)),
                Op::Set { fields, .. } => Deed::Set(values(fields)),
                Op::Delete { .. } => Deed::Delete,
            };
            deeds.insert((change.model, change.key), deed);
        }
        let dot = set.dot();
        for place in deeds.keys() {
            self.places.entry(place.clone()).or_default().push(dot);
        }
        let past = past.clone();
        let (hlc, head) = (set.header().hlc, set.head().hash);
        self.sets.insert(dot, Entry { dot, hlc, head, past, deeds });
        Ok(())
    }

    /// Notes the rows of an owner at a head.
    pub fn add_rows(&mut self, device: DeviceId, head: OwnedHead, rows: Rows) {
        self.lanes.insert((device, head), rows);
    }

    /// The change set at `dot`.
    pub fn get(&self, dot: &Dot) -> Option<&Entry> {
        self.sets.get(dot)
    }

    /// The owner's rows at a head.
    pub fn rows(&self, device: DeviceId, head: OwnedHead) -> Option<&Rows> {
        self.lanes.get(&(device, head))
    }

    /// The last seq of every origin.
    pub fn ends(&self) -> BTreeMap<Origin, Seq> {
        let mut ends = BTreeMap::new();
        for dot in self.sets.keys() {
            ends.insert(dot.origin, dot.seq);
        }
        ends
    }

    /// How many change sets were committed.
    pub fn len(&self) -> usize {
        self.sets.len()
    }

    /// Whether nothing was committed.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Every record that was ever written.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.keys()
    }

    /// The change sets that wrote a record, with what they did to it.
    pub fn deeds<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = (&'a Entry, &'a Deed)> {
        let dots = self.places.get(place).into_iter().flatten();
        dots.filter_map(|dot| self.sets.get(dot)).map(|entry| (entry, &entry.deeds[place]))
    }
}
