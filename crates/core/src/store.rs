//! What a store offers to the engine, inside one transaction.
//!
//! Every call belongs to the transaction that is open; what they wrote becomes durable together or
//! not at all. How records are laid out, where stamps live and how a transaction begins and ends is
//! the store's affair. [`crate::mem::MemStore`] is the reference implementation, the crate
//! `driftless-store` is the one on SQLite; one conformance suite holds both to the same behaviour.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::change::ChangeSet;
use crate::clock::Hlc;
use crate::digest::{Digest, Digests};
use crate::id::{DeviceId, Dot, Epoch, Origin, RecordKey, Seq};
use crate::merge::Lost;
use crate::page::Cursor;
use crate::record::Record;
use crate::schema::{FieldId, ModelId};
use crate::value::Value;
use crate::version::{Hash, Life, OwnedHead, OwnedVector, Vector};

/// A running transfer of an owned lane: pages until the cursor reaches the join of all `as_of`s.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The life of the lane that is being fetched.
    pub life: Life,
    /// How far the pages have come.
    pub cursor: Cursor,
    /// The join of the `as_of`s of all pages: where the state is exact.
    pub target: Seq,
    /// The first page's `as_of`; a server whose floor is above this and the cursor must start over.
    pub first: Seq,
    /// Whether the session replaces the lane, rather than adds to what is exact.
    pub full: bool,
}

/// What is held of one device's owned lane.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OwnedLane {
    /// The exact state that shows, if there is one.
    pub exact: Option<OwnedHead>,
    /// The transfer that is under way.
    pub session: Option<Session>,
    /// The highest seq whose tombstones may be missing here.
    pub floor: Seq,
}

/// Rows of an owned lane in the order (seq, model, key), tombstones included.
#[derive(Clone, Debug)]
pub struct RowPage {
    /// The rows, as [`crate::page`] writes them.
    pub rows: Bytes,
    /// How many.
    pub count: usize,
    /// Behind the last of them; `Cursor::after(head)` if nothing is left.
    pub next: Cursor,
}

/// For each origin, the highest seq whose change set is not logged here any more.
pub type Floors = BTreeMap<Origin, Seq>;

/// What a peer has acknowledged: durable and exact there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Acked {
    /// The shared lanes.
    pub shared: Vector,
    /// The owned lanes.
    pub owned: OwnedVector,
    /// When it said so last, Unix milliseconds of this device's wall clock.
    pub heard_ms: u64,
}

/// Keys of one model, in the order of their bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyRange {
    /// Keys behind this one; all from the first on if there is none.
    pub after: Option<RecordKey>,
    /// Keys up to and including this one; all to the last if there is none.
    pub upto: Option<RecordKey>,
}

impl KeyRange {
    /// Whether a key is in the range.
    pub fn contains(&self, key: &RecordKey) -> bool {
        self.after.as_ref().is_none_or(|after| after < key)
            && self.upto.as_ref().is_none_or(|upto| key <= upto)
    }
}

/// The shared lanes as they were when a peer began to compare its own with them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pinned {
    /// Their vector.
    pub vector: Vector,
    /// The digests of the shared models.
    pub digests: Digests,
}

/// Some neighbouring records of a pinned state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// The last key that belongs to it; none if it goes to the last key that there can be.
    pub upto: Option<RecordKey>,
    /// The digest of its records.
    pub digest: Digest,
}

/// Records of a pinned state, in the order of their keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordPage {
    /// The records.
    pub records: Vec<(RecordKey, Record)>,
    /// Up to where these are all; what `KeyRange::upto` of the question was if nothing is left out.
    pub upto: Option<RecordKey>,
}

/// A record's model and key.
pub type Place = (ModelId, RecordKey);

/// What is missing of a state that is otherwise what its vector says: records and rows that were
/// damaged, were taken out, and have not come back yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Missing {
    /// Shared records.
    pub shared: BTreeSet<Place>,
    /// Rows of exact owned lanes, with the seq that each had as far as it could be read, else 0.
    pub owned: BTreeMap<DeviceId, BTreeMap<Place, Seq>>,
}

impl Missing {
    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.owned.is_empty()
    }

    /// How many records and rows are missing.
    pub fn len(&self) -> usize {
        self.shared.len() + self.owned.values().map(BTreeMap::len).sum::<usize>()
    }

    /// Whether this shared record is missing.
    pub fn has_record(&self, model: ModelId, key: &RecordKey) -> bool {
        !self.shared.is_empty() && self.shared.contains(&(model, key.clone()))
    }

    /// Whether rows of a device's lane are missing.
    pub fn has_rows_of(&self, device: &DeviceId) -> bool {
        self.owned.contains_key(device)
    }

    /// A row is not missing any more. Whether it was.
    pub fn forget_row(&mut self, device: &DeviceId, place: &Place) -> bool {
        let Some(rows) = self.owned.get_mut(device) else { return false };
        let was = rows.remove(place).is_some();
        if rows.is_empty() {
            self.owned.remove(device);
        }
        was
    }
}

/// A row's seq, and its values that are not null, in the order of fields.
pub type RowContent = (Seq, Vec<(FieldId, Value)>);

/// The row that an exact lane has under a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldRow {
    /// Its model.
    pub model: ModelId,
    /// Its key.
    pub key: RecordKey,
    /// What is in it; `None` if there is no row.
    pub row: Option<RowContent>,
}

/// Where change sets of an origin's stream are lacking in the history: this one, and those below it as
/// far as that is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Gap {
    /// The stream.
    pub origin: Origin,
    /// The seq of the highest one that is lacking.
    pub seq: Seq,
    /// Its head hash: no other change set has it.
    pub hash: Hash,
}

/// What of the history is lacking, and could be taken in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WantedHistory {
    /// Nothing that was written before this time is wanted, Unix milliseconds.
    pub since_ms: u64,
    /// Where it is lacking, in the order of origins.
    pub gaps: Vec<Gap>,
}

/// A version that a change set ended, and that is kept by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndedVersion {
    /// The record's model.
    pub model: ModelId,
    /// The record's key.
    pub key: RecordKey,
    /// The version.
    pub lost: Lost,
    /// Whether a delete took it; else it was overwritten.
    pub deleted: bool,
}

/// A change set of the history, with what it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastSet {
    /// The change set.
    pub set: ChangeSet,
    /// The versions that it ended and that are kept by themselves, in the order in which they ended.
    pub ended: Vec<EndedVersion>,
}

/// Some of the history that was asked for: of each stream from its gap downward, without holes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HistoryPage {
    /// The change sets, the last applied first.
    pub sets: Vec<PastSet>,
    /// Whether there is more of what was asked for.
    pub more: bool,
    /// Every change set of the sender's vector that was written at this time or later, Unix
    /// milliseconds, is in its history; unknown if it keeps none.
    pub whole_since_ms: Option<u64>,
}

/// Storage as the engine sees it. All methods may fail with the store's own error, after which the
/// transaction must be rolled back.
pub trait Store {
    /// What can go wrong in the store.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The latest time of the clock that was kept.
    fn clock(&self) -> Hlc;
    /// Keeps the time of the clock.
    fn set_clock(&mut self, time: Hlc) -> Result<(), Self::Error>;

    /// The epoch in which this device writes its shared lane, if it was kept.
    fn shared_epoch(&self) -> Option<Epoch>;
    /// Keeps the epoch in which this device writes its shared lane from now on.
    fn set_shared_epoch(&mut self, epoch: Epoch) -> Result<(), Self::Error>;

    /// The shared lanes that are held.
    fn vector(&self) -> &Vector;
    /// The shared record with this key; an empty one if there is none.
    fn record(&mut self, model: ModelId, key: &RecordKey) -> Result<Record, Self::Error>;
    /// Keeps a shared record and its digest; one without lives and versions is removed. A record or
    /// field that the schema does not know is kept all the same, and only its projection waits.
    fn put_record(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), Self::Error>;
    /// Logs a change set and moves the vector to its head. It is the next of its origin.
    fn append(&mut self, set: &ChangeSet) -> Result<(), Self::Error>;
    /// The logged change sets that `have` lacks, in the order in which they were applied here, which
    /// is a causal one: at least one if there is any, and no more than `max_bytes` beyond that.
    fn log(&mut self, have: &Vector, max_bytes: usize) -> Result<Vec<ChangeSet>, Self::Error>;
    /// Keeps versions that were lost to a delete in the local history; `by` is the change set whose
    /// application lost them, or a version's own if it was lost to a reconcile.
    fn keep_lost(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        lost: &[Lost],
        by: Dot,
    ) -> Result<(), Self::Error>;
    /// Versions that were written before this time, and are overwritten by a change of the time `hlc`,
    /// are to be handed to [`Store::keep_overwritten`]. A store without a history says 0.
    fn keeps_older_than(&self, _hlc: Hlc) -> Hlc {
        Hlc(0)
    }
    /// Keeps versions in the local history that the change set `by` overwrote: their own change sets
    /// may leave it before that one does.
    fn keep_overwritten(
        &mut self,
        _model: ModelId,
        _key: &RecordKey,
        _overwritten: &[Lost],
        _by: Dot,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    /// What is held of a device's owned lane.
    fn lane(&self, device: &DeviceId) -> Option<&OwnedLane>;
    /// The heads of all exact owned lanes.
    fn owned_vector(&self) -> OwnedVector;
    /// Devices with an owned lane, exact or under way, in order.
    fn lanes(&self) -> Vec<DeviceId>;
    /// Writes one row of this device's own lane at `seq` (its values that are not null, in any
    /// order), or its tombstone. The lane's head is moved by [`Store::set_own_head`].
    fn put_owned(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        seq: Seq,
        fields: Option<&[(FieldId, Value)]>,
    ) -> Result<(), Self::Error>;
    /// Moves the head of this device's own lane. Under a new life, rows and digests are restated as
    /// they are at `head.seq`, which is then the floor.
    fn set_own_head(&mut self, head: OwnedHead) -> Result<(), Self::Error>;
    /// Rows of an exact lane behind `cursor`, up to `max_rows` and about `max_bytes`.
    fn read_page(
        &mut self,
        device: &DeviceId,
        cursor: &Cursor,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<RowPage, Self::Error>;
    /// Takes rows behind `lane.session`'s cursor into the session (those at or below it are skipped)
    /// and keeps `session` as its new state. If nothing of the lane is exact the rows may go in
    /// place, else they wait beside the exact ones.
    fn stage_page(
        &mut self,
        device: &DeviceId,
        rows: &[u8],
        session: Session,
    ) -> Result<(), Self::Error>;
    /// Ends a session: its rows take effect, and the lane is exact at the session's life and target.
    /// A full session replaces what was there and raises the floor to its target.
    fn finish_session(&mut self, device: &DeviceId) -> Result<(), Self::Error>;
    /// Applies a delta that fits one page to an exact lane and moves its head to `seq`.
    fn apply_delta(&mut self, device: &DeviceId, rows: &[u8], seq: Seq) -> Result<(), Self::Error>;
    /// Drops a session and what it brought; what is exact stays.
    fn drop_session(&mut self, device: &DeviceId) -> Result<(), Self::Error>;

    /// The digests of all models, kept with every row.
    fn digests(&self) -> &Digests;

    /// What a peer has acknowledged, as far as it was kept.
    fn acknowledged(&self, peer: &DeviceId) -> Option<&Acked>;
    /// Keeps a peer's acknowledgement. May be written later than the transaction; it can be lost.
    fn set_acknowledged(&mut self, peer: DeviceId, acked: Acked) -> Result<(), Self::Error>;

    /// The highest seqs whose change sets are not logged here any more; an origin of which all are
    /// logged is left out.
    fn floors(&self) -> &Floors;
    /// Forgets the logged change sets at or below `upto`, which is within the vector; the floors rise.
    /// Floors never fall. Returns how many were forgotten.
    fn prune_log(&mut self, upto: &Floors) -> Result<u64, Self::Error>;
    /// Forgets the tombstones of an exact lane at or below `upto`, or only the lowest of them if they
    /// are many; its floor rises to the highest of those. Returns how many were forgotten.
    fn prune_lane(&mut self, device: &DeviceId, upto: Seq) -> Result<u64, Self::Error>;

    // The history that is handed over. It is no part of the state: never applied, never in the log that
    // is served, and in no vector, floor or digest.

    /// What of the history is lacking here and could be taken in; nothing if none is kept, or there is
    /// no room for more.
    fn wanted_history(&mut self) -> Result<WantedHistory, Self::Error> {
        Ok(WantedHistory::default())
    }
    /// What the history here has of what a peer lacks: of each stream the change set of the gap and
    /// those below it, without holes, if they were written at `wanted.since_ms` or later. The last
    /// applied first; at least one if there is any, and no more than about `max_bytes` beyond that.
    fn history_below(
        &mut self,
        _wanted: &WantedHistory,
        _max_bytes: usize,
    ) -> Result<HistoryPage, Self::Error> {
        Ok(HistoryPage::default())
    }
    /// Takes in what was asked for, which the caller has checked to go on from the gaps. It is durable
    /// at once, whatever becomes of the transaction; what is there already is skipped.
    fn take_history(
        &mut self,
        _asked: &WantedHistory,
        _page: &HistoryPage,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    // A reconcile, at the side that serves. A pin outlives transactions; it does not outlive the
    // process.

    /// Keeps the shared lanes as they were after the last commit, for `peer` to compare its own with
    /// them, in the place of what was kept for it before.
    fn pin(&mut self, peer: DeviceId) -> Result<Pinned, Self::Error>;
    /// Whether something is kept for `peer`.
    fn is_pinned(&self, peer: &DeviceId) -> bool;
    /// Lets go of what was kept for `peer`, if anything was.
    fn unpin(&mut self, peer: &DeviceId);
    /// The records of a range of what is pinned for `peer`, `rows` of them to a bucket, as up to `max`
    /// buckets; fewer rows and buckets if that would take too long. The last bucket reaches `range.upto` if everything of the range is in them.
    fn pinned_buckets(
        &mut self,
        peer: &DeviceId,
        model: ModelId,
        range: &KeyRange,
        rows: u64,
        max: usize,
    ) -> Result<Vec<Bucket>, Self::Error>;
    /// The records of a range of what is pinned for `peer`: at least one if there is any, and no more
    /// than about `max_bytes` beyond that.
    fn pinned_records(
        &mut self,
        peer: &DeviceId,
        model: ModelId,
        range: &KeyRange,
        max_bytes: usize,
    ) -> Result<RecordPage, Self::Error>;

    // A reconcile, at the side that asks. The *mirror* is what the peer's records are taken to be:
    // ours, except where another one was kept for a key. It is durable with the transaction, so that
    // what has come need not come again; whether it is right is seen by comparing.

    /// Whether a record is kept in the mirror for any key.
    fn has_mirror(&self) -> bool;
    /// Whether one is kept for this key.
    fn is_mirrored(&mut self, model: ModelId, key: &RecordKey) -> Result<bool, Self::Error>;
    /// Keeps a record in the mirror; an empty one says that the peer has none.
    fn put_mirror(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), Self::Error>;
    /// The peer's records in a range are these and no others, ascending by key. Nothing needs to be
    /// kept where they are ours.
    fn mirror_range(
        &mut self,
        model: ModelId,
        range: &KeyRange,
        records: &[(RecordKey, Record)],
    ) -> Result<(), Self::Error>;
    /// The digest of a range as the mirror has it.
    fn mirror_digest(&mut self, model: ModelId, range: &KeyRange) -> Result<Digest, Self::Error>;
    /// What is kept in the mirror behind a place, in order, up to `max` records, fewer if they are
    /// large, none only if there is none; empty ones say that the peer has none.
    fn mirrored(
        &mut self,
        after: Option<&(ModelId, RecordKey)>,
        max: usize,
    ) -> Result<Vec<(ModelId, RecordKey, Record)>, Self::Error>;
    /// Forgets what is kept in the mirror.
    fn clear_mirror(&mut self) -> Result<(), Self::Error>;
    // What was damaged: it is taken out by whoever found it, and put back by the engine.

    /// What is missing here.
    fn missing(&self) -> &Missing;
    /// Puts a missing shared record back, as it is at the vector that is held; an empty one says that
    /// there is none. It is not missing any more.
    fn mend_record(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), Self::Error>;
    /// Puts a missing row of an exact lane back, as it is at the head that is held, or forgets that it
    /// is missing if there is none.
    fn mend_row(&mut self, device: &DeviceId, row: &HeldRow) -> Result<(), Self::Error>;
    /// The rows that an exact lane has under these keys, in their order: all of them, or the first
    /// ones if they are more than about `max_bytes`, at least one.
    fn rows_of(
        &mut self,
        device: &DeviceId,
        keys: &[Place],
        max_bytes: usize,
    ) -> Result<Vec<HeldRow>, Self::Error>;

    /// Takes over every head of `vector` that is further than ours. Its change sets are not logged
    /// here, so the floor rises to it.
    fn adopt(&mut self, vector: &Vector) -> Result<(), Self::Error>;
}
