//! What a reconcile under way has compared, and what it is to ask next: range-based set
//! reconciliation over the keys of a model, with the mirror on our side.

use crate::codec::CodecError;
use crate::id::{DeviceId, RecordKey};
use crate::merge::Absence;
use crate::message::Ask;
use crate::record::Record;
use crate::schema::ModelId;
use crate::store::{Bucket, KeyRange, Pinned, RecordPage, Store};
use crate::version::Vector;

/// A reconcile under way.
#[derive(Clone, Debug)]
pub(super) struct Reconcile {
    pub(super) peer: DeviceId,
    pub(super) session: u64,
    pub(super) absence: Absence,
    /// What the peer keeps for us, once it has said so.
    pub(super) pinned: Option<Pinned>,
    /// What is asked, and the how many-th question it is.
    pub(super) asked: Ask,
    pub(super) turn: u64,
    /// What is to be asked next, the next one last.
    pub(super) open: Vec<Ask>,
    pub(super) tries: u32,
    /// When to ask again.
    pub(super) deadline: u64,
    /// Records of the peer that were compared, of those of the models that differ.
    done: u64,
    total: u64,
}

impl Reconcile {
    /// Asks a peer to keep its lanes; the question is the first that is asked.
    pub(super) fn new(peer: DeviceId, session: u64, absence: Absence, deadline: u64) -> Self {
        Self {
            peer,
            session,
            absence,
            pinned: None,
            asked: Ask::Pin,
            turn: 0,
            open: Vec::new(),
            tries: 1,
            deadline,
            done: 0,
            total: 0,
        }
    }

    /// With whom, how many records were compared, and of how many.
    pub(super) fn progress(&self) -> Option<(DeviceId, u64, u64)> {
        self.pinned.as_ref()?;
        Some((self.peer, self.done.min(self.total), self.total))
    }
}

/// The peer keeps its lanes: what is to be asked of each model.
pub(super) fn begin(
    reconcile: &mut Reconcile,
    pinned: Pinned,
    models: Vec<(ModelId, u64, u64)>,
) -> Result<(), CodecError> {
    for (model, total, rows) in models.into_iter().rev() {
        reconcile.total = reconcile.total.saturating_add(total);
        reconcile.open.push(Ask::Buckets { model, range: KeyRange::default(), rows });
    }
    reconcile.pinned = Some(pinned);
    Ok(())
}

/// Compares buckets with what the mirror has; what differs is asked for, finer or as records.
pub(super) fn compare<S: Store>(
    store: &mut S,
    reconcile: &mut Reconcile,
    (model, range): (ModelId, KeyRange),
    buckets: &[Bucket],
    (rows, fine): (u64, u64),
) -> Result<Result<(), CodecError>, S::Error> {
    let mut asks: Vec<Ask> = Vec::new();
    let mut after = range.after.clone();
    for (at, bucket) in buckets.iter().enumerate() {
        let upto = bucket.upto.clone();
        if !is_ahead(after.as_ref(), upto.as_ref(), range.upto.as_ref())
            || (at + 1 < buckets.len() && upto == range.upto)
        {
            return Ok(Err(CodecError::NotCanonical("the order of buckets")));
        }
        let part = KeyRange { after: after.take(), upto: upto.clone() };
        let mine = store.mirror_digest(model, &part)?;
        if mine == bucket.digest {
            reconcile.done = reconcile.done.saturating_add(mine.rows);
        } else if rows > fine && mine.rows > fine && bucket.digest.rows > fine {
            asks.push(Ask::Buckets { model, range: part, rows: fine });
        } else {
            ask_records(&mut asks, model, part);
        }
        after = upto;
    }
    if buckets.is_empty() {
        return Ok(Err(CodecError::NotCanonical("an answer without buckets")));
    }
    if after != range.upto {
        asks.push(Ask::Buckets { model, range: KeyRange { after, upto: range.upto }, rows });
    }
    reconcile.open.extend(asks.into_iter().rev());
    Ok(Ok(()))
}

/// Asks for the records of a range, together with those of the range before it.
fn ask_records(asks: &mut Vec<Ask>, model: ModelId, part: KeyRange) {
    match asks.last_mut() {
        Some(Ask::Records { range, .. }) if range.upto.is_some() && range.upto == part.after => {
            range.upto = part.upto;
        }
        _ => asks.push(Ask::Records { model, range: part }),
    }
}

/// Whether `upto` lies behind `after` and not behind `end`; no bound is the end of all keys.
fn is_ahead(after: Option<&RecordKey>, upto: Option<&RecordKey>, end: Option<&RecordKey>) -> bool {
    let Some(upto) = upto else { return end.is_none() };
    after.is_none_or(|after| after < upto) && end.is_none_or(|end| upto <= end)
}

/// Takes records into the mirror.
pub(super) fn take<S: Store>(
    store: &mut S,
    reconcile: &mut Reconcile,
    (model, range): (ModelId, KeyRange),
    page: RecordPage,
) -> Result<Result<(), CodecError>, S::Error> {
    let Some(pinned) = &reconcile.pinned else { return Ok(Ok(())) };
    let RecordPage { records, upto } = page;
    let part = KeyRange { after: range.after.clone(), upto: upto.clone() };
    if !is_ahead(range.after.as_ref(), upto.as_ref(), range.upto.as_ref()) {
        return Ok(Err(CodecError::NotCanonical("the end of a page of records")));
    }
    if let Err(error) = check_records(&records, &part, &pinned.vector) {
        return Ok(Err(error));
    }
    store.mirror_range(model, &part, &records)?;
    reconcile.done = reconcile.done.saturating_add(records.len() as u64);
    if upto != range.upto {
        let rest = KeyRange { after: upto, upto: range.upto };
        reconcile.open.push(Ask::Records { model, range: rest });
    }
    Ok(Ok(()))
}

/// Records are in order, in their range, not empty, and name only what their state covers.
fn check_records(
    records: &[(RecordKey, Record)],
    range: &KeyRange,
    vector: &Vector,
) -> Result<(), CodecError> {
    let ordered = records.is_sorted_by(|a, b| a.0 < b.0);
    if !ordered || records.iter().any(|(key, _)| !range.contains(key)) {
        return Err(CodecError::NotCanonical("the order of records"));
    }
    for (_, record) in records {
        check_dots(record, vector)?;
        if record.lives.is_empty() && record.fields.values().flatten().next().is_none() {
            return Err(CodecError::Invalid { what: "a record of nothing", found: 0 });
        }
    }
    Ok(())
}

/// A record names only what its state covers.
pub(super) fn check_dots(record: &Record, vector: &Vector) -> Result<(), CodecError> {
    let versions = record.fields.values().flatten();
    let dots = versions.flat_map(|version| version.lives.iter().chain([&version.dot]));
    match record.lives.keys().chain(dots).find(|dot| !vector.covers(dot)) {
        Some(unseen) => Err(CodecError::Invalid { what: "a dot of a record", found: unseen.seq }),
        None => Ok(()),
    }
}
