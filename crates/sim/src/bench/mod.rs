//! The store as a replica's engine sees it: a [`Base`], with a bug if so wanted.

use std::borrow::Cow;
use std::collections::BTreeMap;

use driftless_core::change::ChangeSet;
use driftless_core::digest::Digests;
use driftless_core::id::{DeviceId, Dot, Origin, RecordKey, Seq};
use driftless_core::mem::MemStore;
use driftless_core::page::{PageModel, PageReader, PageWriter};
use driftless_core::record::{Record, Version};
use driftless_core::schema::{FieldId, MergeRule, ModelId};
use driftless_core::store::{Floors, RowPage, Store as _};
use driftless_core::value::Value;
use driftless_core::version::{Head, OwnedHead, Vector};
use driftless_store::StoreError;

use crate::base::Base;
use crate::bug::Bug;
use crate::ledger::Rows;
use crate::world::Counts;

/// Calls something that can fail on whichever store there is.
macro_rules! base {
    ($self:expr, $store:ident => $call:expr) => {
        match &mut $self.base {
            Base::Memory { mem: $store, .. } => $call.map_err(|never| match never {}),
            Base::Sqlite(disk) => {
                let $store = disk.store_mut();
                $call
            }
        }
    };
}

/// Reads from whichever store there is.
macro_rules! read {
    ($self:expr, $store:ident => $call:expr) => {
        match &$self.base {
            Base::Memory { mem: $store, .. } => $call,
            Base::Sqlite(disk) => {
                let $store = disk.store();
                $call
            }
        }
    };
}

mod store;

type Done<T = ()> = Result<T, StoreError>;

/// A store, with a bug if so wanted.
pub(crate) struct BenchStore {
    base: Base,
    bug: Option<Bug>,
    /// Calls that the bug had a chance in.
    calls: u64,
    /// Whether the calls come from a local write.
    local: bool,
    digests: Digests,
    tally: Counts,
    /// What was forgotten since the checkers looked.
    pruned: Pruned,
    /// What a bug works with.
    scratch: Scratch,
}

/// What a replica has forgotten on purpose.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pruned {
    /// Of the log.
    pub(crate) log: Floors,
    /// Tombstones of lanes.
    pub(crate) lanes: BTreeMap<DeviceId, Seq>,
}

/// What bugs remember.
#[derive(Default)]
struct Scratch {
    /// The store before the last local commit.
    before: Option<Box<MemStore>>,
    /// What is shown instead of the vector while a change set is sealed.
    sealing: Option<Vector>,
    /// What the peer of a reconcile has.
    theirs: BTreeMap<(ModelId, RecordKey), Record>,
    /// What is shown instead of the floors.
    floors: Option<Floors>,
}

impl BenchStore {
    pub(crate) fn new(base: Base, bug: Option<Bug>) -> Self {
        let (digests, tally) = (Digests::new(), Counts::new());
        let (pruned, scratch) = (Pruned::default(), Scratch::default());
        Self { base, bug, calls: 0, local: false, digests, tally, pruned, scratch }
    }

    /// The reference store; `None` if there is another one.
    pub(crate) fn mem_mut(&mut self) -> Option<&mut MemStore> {
        match &mut self.base {
            Base::Memory { mem, .. } => Some(mem),
            Base::Sqlite(_) => None,
        }
    }

    /// All shared records, in order.
    pub(crate) fn records(&self) -> Done<Vec<(ModelId, RecordKey, Cow<'_, Record>)>> {
        self.base.records()
    }

    /// The change sets of the history, and since when it is whole, Unix milliseconds.
    pub(crate) fn history(&self) -> Done<(Vec<ChangeSet>, Option<u64>)> {
        Ok((self.base.history()?, self.base.history_begin()))
    }

    /// The rows of an exact lane that show, in order.
    pub(crate) fn rows(&self, device: &DeviceId) -> Done<Rows> {
        self.base.rows(device)
    }

    /// The rows of all exact lanes that show.
    pub(crate) fn all_rows(&self) -> Done<Vec<(DeviceId, OwnedHead, Rows)>> {
        self.base.all_rows(&self.owned_vector())
    }

    /// The change set at a dot, if it is logged.
    pub(crate) fn logged(&mut self, dot: Dot) -> Done<Option<ChangeSet>> {
        let mut have = self.vector().clone();
        have.set(dot.origin, Head { seq: dot.seq - 1, hash: [0; 32] });
        let sets = base!(self, store => store.log(&have, usize::MAX))?;
        Ok(sets.into_iter().find(|set| set.dot() == dot))
    }

    /// How often owned lanes took which way into the store.
    pub(crate) fn tally(&self) -> &Counts {
        &self.tally
    }

    fn tally_lane(&mut self, device: &DeviceId, what: [&'static str; 3]) {
        let lane = self.lane(device).cloned().unwrap_or_default();
        let kind = match lane.session {
            None => what[0],
            Some(session) if session.full => what[1],
            Some(_) => what[2],
        };
        *self.tally.entry(kind).or_default() += 1;
    }

    /// Tells whether what follows is a local write.
    pub(crate) fn set_local(&mut self, local: bool) {
        self.local = local;
        if local
            && self.has(Bug::ReusedSeq)
            && let Base::Memory { mem, .. } = &self.base
        {
            let mut before = mem.clone();
            before.rollback();
            self.scratch.before = Some(before);
        }
    }

    /// Tells whether what follows seals a change set of `origin`.
    pub(crate) fn set_sealing(&mut self, origin: Option<Origin>) {
        self.scratch.sealing = None;
        if let Some(origin) = origin.filter(|_| self.has(Bug::NoNeeds)) {
            let head = self.vector().head(&origin);
            self.scratch.sealing = Some(head.into_iter().map(|head| (origin, head)).collect());
        }
    }

    /// What was forgotten on purpose since this was asked last.
    pub(crate) fn take_pruned(&mut self) -> Pruned {
        std::mem::take(&mut self.pruned)
    }

    /// Begins a batch, which may be relaxed: visible before it is durable.
    pub(crate) fn begin(&mut self, relaxed: bool) -> Done {
        self.base.begin(relaxed)
    }

    /// Makes what was written durable.
    pub(crate) fn commit(&mut self) -> Done {
        if self.bug == Some(Bug::LostCommit) && self.every(7) {
            return Ok(());
        }
        self.base.commit()
    }

    /// Makes what was written visible. It is durable with the next [`BenchStore::commit`].
    pub(crate) fn commit_relaxed(&mut self) -> Done {
        self.base.commit_relaxed()
    }

    /// Forgets what was written since the last commit.
    pub(crate) fn rollback(&mut self) -> Done {
        self.base.rollback()?;
        self.read_digests();
        Ok(())
    }

    /// The process dies.
    pub(crate) fn crash(&mut self) -> Done {
        self.base.crash()?;
        if let (Base::Memory { mem, .. }, Some(before)) =
            (&mut self.base, self.scratch.before.take())
        {
            *mem = before;
        }
        self.read_digests();
        Ok(())
    }

    /// The power fails: what is not durable is lost. Returns whether anything was.
    pub(crate) fn cut_power(&mut self) -> Done<bool> {
        let gone = self.base.cut_power()?;
        self.read_digests();
        Ok(gone)
    }

    /// The process dies, and the log is lost before it starts again.
    pub(crate) fn lose_log(&mut self) -> Done {
        self.base.lose_log()
    }

    /// Keeps a copy of what is there.
    pub(crate) fn save(&mut self) -> Done {
        self.base.save()
    }

    /// Puts the copy in the place of what is there, while the process is down.
    pub(crate) fn restore(&mut self) -> Done {
        self.base.restore()?;
        self.read_digests();
        Ok(())
    }

    fn read_digests(&mut self) {
        self.digests = read!(self, store => store.digests().clone());
    }

    /// What the store would project into the column of a field.
    pub(crate) fn project(&self, record: &Record, field: FieldId, rule: MergeRule) -> Value {
        if self.bug == Some(Bug::ReversedStamps) && rule == MergeRule::Lww {
            let first = record.versions(field).iter().min_by_key(|version| version.stamp());
            return first.map_or(Value::Null, |version| version.value.clone());
        }
        record.shown(field, rule)
    }

    fn every(&mut self, n: u64) -> bool {
        self.calls += 1;
        self.calls.is_multiple_of(n)
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The digests as the bug has them.
    fn update_digests(&mut self) {
        if self.has(Bug::StaleDigest) && self.every(5) {
            return;
        }
        self.read_digests();
    }

    /// The rows of a page, without some.
    fn thin(&mut self, page: RowPage) -> RowPage {
        let drop_last = self.has(Bug::LostRow) && page.count > 1 && self.every(3);
        let mut reader = PageReader::new(&page.rows).expect("the reference store's page");
        let models: Vec<PageModel> = reader.models().to_vec();
        let mut writer = PageWriter::new(&models);
        let (mut values, mut extras) = (vec![], vec![]);
        let mut left = page.count;
        while let Ok(Some(row)) = reader.next_row(&mut values, &mut extras) {
            left -= 1;
            if (left == 0 && drop_last) || (row.tombstone && self.has(Bug::LostTombstone)) {
                continue;
            }
            if row.tombstone {
                writer.tombstone(row.model, row.seq, row.key);
            } else {
                writer.row(row.model, row.seq, row.key, values.iter().copied(), &extras);
            }
        }
        let count = writer.rows();
        RowPage { rows: writer.finish().into(), count, next: page.next }
    }
}

/// The versions of each field that came last, by what was there before.
fn last_comers(before: &Record, after: &Record) -> Record {
    let mut record = after.clone();
    for (field, versions) in &mut record.fields {
        let old = before.versions(*field);
        let is_new = |version: &Version| old.iter().all(|old| old.dot != version.dot);
        if versions.iter().any(is_new) {
            versions.retain(is_new);
        }
    }
    record
}

/// A record with everything that either has.
fn keep_all(record: &mut Record, ours: &Record) {
    record.lives.extend(&ours.lives);
    for (field, versions) in &ours.fields {
        let there = record.fields.entry(*field).or_default();
        for version in versions {
            if there.iter().all(|other| other.dot != version.dot) {
                there.push(version.clone());
            }
        }
        there.sort_by_key(|version| version.dot);
    }
}
