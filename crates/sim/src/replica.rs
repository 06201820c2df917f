//! One simulated replica: the real engine over the reference store, with clocks of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use driftless_core::clock::Hlc;
use driftless_core::engine::{Doubt, Effect, Engine, Identity, Input, Now};
use driftless_core::id::{DeviceId, Dot, Epoch, LibraryId};
use driftless_core::message::State;
use driftless_core::schema::Schema;
use driftless_core::store::Store;
use driftless_core::version::{Life, OwnedHead, Vector};
use driftless_store::StoreError;

use crate::base::{Base, StoreKind};
use crate::bench::BenchStore;
use crate::bug::Bug;
use crate::models;
use crate::plan::{Fate, Kind, Member};
use crate::rng::Rng;
use crate::undoing;
use crate::workload::{self, Desk, Mine};

/// Unix time at which every simulation begins.
pub(crate) const EPOCH_MS: u64 = 1_750_000_000_000;

/// At one start in so many, the machine has booted, and may have been put back.
const BOOTS: u64 = 3;

/// A local transaction that a user asked for: of which kind, and from which seed.
pub(crate) type Wish = (Kind, u64);

/// What one batch of inputs came to, before its fate.
pub(crate) struct Batch {
    pub(crate) effects: Vec<Effect>,
    /// Change sets of our own, with what their writer had seen.
    pub(crate) written: Vec<(Dot, Vector)>,
    /// Whether a transaction was given up in the middle of the batch.
    pub(crate) aborted: bool,
}

pub(crate) struct Replica {
    pub(crate) id: DeviceId,
    pub(crate) member: Member,
    pub(crate) schema: Arc<Schema>,
    pub(crate) store: BenchStore,
    /// `None` while the replica is down.
    pub(crate) engine: Option<Engine>,
    pub(crate) born: bool,
    /// Since when it is a member, on the world's clock.
    pub(crate) since: u64,
    /// Whether the others do not wait for it any more.
    pub(crate) evicted: bool,
    /// Until when it stays down.
    pub(crate) sleeps_until: u64,
    /// When it last learned what a peer holds, on its own wall clock, since it was started.
    pub(crate) heard: BTreeMap<DeviceId, u64>,
    /// Whom it was told to wait for, and since when those are members.
    pub(crate) members: BTreeMap<DeviceId, u64>,
    /// With whom it compares its shared lanes, and with whom it did last, without coming to an end.
    pub(crate) reconciling: Option<DeviceId>,
    pub(crate) tried: Option<DeviceId>,
    /// Whether it held nothing when it began to.
    pub(crate) joins: bool,
    pub(crate) gone: bool,
    pub(crate) inbox: VecDeque<Input>,
    pub(crate) wishes: VecDeque<Wish>,
    pub(crate) fate: Option<Fate>,
    /// What is to be done once what is visible is durable.
    pub(crate) held: Vec<Effect>,
    /// A copy of its data, if one was made: what it meant to own, and what it held, at what time.
    saved: Option<(Mine, State, Hlc)>,
    /// Whether its data were ever replaced by an older copy, and whether they were since it started.
    pub(crate) restored: bool,
    renews: bool,
    /// What is in doubt since it has booted.
    pub(crate) doubt: Option<Doubt>,
    /// Whether anything ever was.
    pub(crate) doubted: bool,
    /// All that it held durably since it was copied.
    pub(crate) promised: State,
    /// When its wall clock stands still, and for how long it did before.
    stopped: std::ops::Range<u64>,
    stood_ms: u64,
    pub(crate) mine: Mine,
    /// What its users took back in this batch.
    pub(crate) undone: Vec<&'static str>,
    /// What it means to own, as far as that is durable.
    pub(crate) mine_durable: Mine,
    /// What it holds durably.
    pub(crate) durable: State,
    pub(crate) durable_clock: Hlc,
    pub(crate) timer_at: Option<u64>,
    /// Ticks in a row after which another one was due at once.
    pub(crate) busy: u32,
    index: u64,
    starts: u64,
}

/// The device of the replica with this index.
pub(crate) fn device(index: usize) -> DeviceId {
    let mut id = [0; 32];
    let [.., high, low] = (index + 1).to_be_bytes();
    id.chunks_exact_mut(2).for_each(|two| two.copy_from_slice(&[high, low]));
    DeviceId(id)
}

/// The library of all replicas.
pub(crate) const LIBRARY: LibraryId = LibraryId(uuid::Uuid::from_bytes([7; 16]));

fn shared_epoch(index: u64) -> Epoch {
    Epoch(1_000 + index)
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Replica {
    pub(crate) fn new(
        index: usize,
        member: Member,
        (kind, bug): (StoreKind, Option<Bug>),
    ) -> Result<Self, StoreError> {
        let id = device(index);
        let schema = models::schema(member.small_schema);
        let identity = driftless_store::Identity {
            library: LIBRARY,
            device: id,
            shared_epoch: shared_epoch(index as u64),
            owned_life: Life { mint: Hlc::default(), epoch: Epoch(0) },
        };
        let mut base = match kind {
            StoreKind::Memory => Base::memory(id),
            StoreKind::Sqlite => Base::sqlite(identity, &schema)?,
        };
        if member.keeps_history {
            base.keep_history()?;
        }
        Ok(Self {
            id,
            schema,
            store: BenchStore::new(base, bug),
            member,
            engine: None,
            born: false,
            since: 0,
            evicted: false,
            sleeps_until: 0,
            heard: BTreeMap::new(),
            members: BTreeMap::new(),
            reconciling: None,
            tried: None,
            joins: false,
            gone: false,
            inbox: VecDeque::new(),
            wishes: VecDeque::new(),
            fate: None,
            held: vec![],
            saved: None,
            restored: false,
            renews: false,
            doubt: None,
            doubted: false,
            promised: State::default(),
            stopped: 0..0,
            stood_ms: 0,
            mine: Mine::new(),
            undone: Vec::new(),
            mine_durable: Mine::new(),
            durable: State::default(),
            durable_clock: Hlc::default(),
            timer_at: None,
            busy: 0,
            index: index as u64,
            starts: 0,
        })
    }

    /// The replica's clocks when the world's shows `ms`.
    pub(crate) fn now(&self, ms: u64) -> Now {
        let stood = self.stood_ms + ms.min(self.stopped.end).saturating_sub(self.stopped.start);
        let signed = |ms| i64::try_from(ms).unwrap_or(i64::MAX);
        let drift = signed(ms).saturating_mul(self.member.drift_ppm);
        let offset = self.member.wall_offset_ms.saturating_add(drift / 1_000_000);
        Now {
            wall_ms: (EPOCH_MS + ms - stood).saturating_add_signed(offset),
            steady_ms: ms + 7_919 * (self.index + 1),
        }
    }

    /// The wall clock stands still from one time to another, unless it does already.
    pub(crate) fn stop_clock(&mut self, from: u64, until: u64) {
        if self.stopped.end <= from {
            self.stood_ms += self.stopped.end - self.stopped.start;
            self.stopped = from..until;
        }
    }

    /// When the world's clock shows what a deadline of this replica says.
    pub(crate) fn world_time(&self, steady_ms: u64) -> u64 {
        steady_ms.saturating_sub(7_919 * (self.index + 1))
    }

    /// Starts or restarts the engine from what is durable.
    pub(crate) fn start(&mut self, ms: u64) -> Result<(), StoreError> {
        let now = self.now(ms);
        self.starts += 1;
        self.born = true;
        let epoch = shared_epoch(self.index);
        let mint = Hlc::from_ms(now.wall_ms);
        let owned_life = Life { mint, epoch: Epoch(self.index * 1_000 + self.starts) };
        let identity = Identity { device: self.id, shared_epoch: epoch, owned_life };
        let (schema, config) = (self.schema.clone(), self.member.config.clone());
        let seed = self.index << 32 | self.starts;
        self.store.begin(false)?;
        let mut engine = Engine::new(identity, schema, config, &mut self.store, seed)?;
        if std::mem::take(&mut self.renews) {
            engine.handle(&mut self.store, Input::Renew, now)?;
            self.doubt = None;
        } else if self.starts > 1 && (self.index + self.starts).is_multiple_of(BOOTS) {
            self.doubts(&engine);
        }
        if let Some(doubt) = self.doubt {
            engine.doubt(doubt);
        }
        self.engine = Some(engine);
        self.store.commit()?;
        self.note_durable();
        Ok(())
    }

    /// The machine has booted.
    fn doubts(&mut self, engine: &Engine) {
        let head = self.store.lane(&self.id).and_then(|lane| lane.exact);
        let owned = OwnedHead { life: engine.identity().owned_life, seq: 0 };
        let shared = engine.identity().shared_epoch;
        self.doubt.get_or_insert(Doubt { shared, owned: head.or(Some(owned)) });
        self.doubted = true;
    }

    /// The process dies: what it did not commit is lost, and what it meant to do after the next sync.
    pub(crate) fn crash(&mut self) -> Result<(), StoreError> {
        self.engine = None;
        self.held.clear();
        self.heard.clear();
        self.reconciling = None;
        self.inbox.clear();
        self.wishes.clear();
        self.timer_at = None;
        self.mine = self.mine_durable.clone();
        self.store.crash()
    }

    /// Keeps a copy of what is durable.
    pub(crate) fn save(&mut self) -> Result<(), StoreError> {
        self.store.save()?;
        self.saved = Some((self.mine_durable.clone(), self.durable.clone(), self.durable_clock));
        self.promise();
        Ok(())
    }

    pub(crate) fn is_saved(&self) -> bool {
        self.saved.is_some()
    }

    /// Takes the copy for its data, while it is down.
    pub(crate) fn restore(&mut self) -> Result<(), StoreError> {
        let Some((mine, durable, clock)) = self.saved.clone() else { return Ok(()) };
        self.store.restore()?;
        (self.mine, self.mine_durable) = (mine.clone(), mine);
        (self.durable, self.durable_clock) = (durable, clock);
        (self.restored, self.renews) = (true, true);
        Ok(())
    }

    /// Takes what is in the store for durable.
    pub(crate) fn note_durable(&mut self) {
        let shared = self.store.vector().clone();
        self.durable = State { shared, owned: self.store.owned_vector() };
        self.durable_clock = self.store.clock();
        if self.is_saved() {
            self.promise();
        }
        self.mine_durable = self.mine.clone();
    }

    /// The most that it can have said to hold. What a device held before its data were replaced by an
    /// older copy is believed for as long as it has not said otherwise.
    pub(crate) fn said(&self) -> &State {
        if self.restored { &self.promised } else { &self.durable }
    }

    fn promise(&mut self) {
        self.promised.shared.join(&self.durable.shared);
        for (device, head) in self.durable.owned.grown_since(&self.promised.owned).iter() {
            self.promised.owned.set(*device, *head);
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.engine.is_some()
    }

    /// When the engine wants to be ticked, on the world's clock.
    pub(crate) fn deadline(&self) -> Option<u64> {
        let at = self.engine.as_ref()?.next_deadline()?;
        Some(self.world_time(at))
    }

    /// Runs inputs and wishes as one batch, up to its flush. Some percent of the transactions are
    /// given up, and the batch with them.
    pub(crate) fn run(
        &mut self,
        inputs: Vec<Input>,
        wishes: Vec<Wish>,
        (given_up, relaxed): (u64, bool),
        ms: u64,
    ) -> Result<Batch, String> {
        let now = self.now(ms);
        self.store.begin(relaxed).map_err(said)?;
        let engine = self.engine.as_mut().ok_or("a batch for a replica that is down")?;
        for input in inputs {
            engine.handle(&mut self.store, input, now).map_err(said)?;
        }
        let mut batch = Batch { effects: vec![], written: vec![], aborted: false };
        for (kind, seed) in wishes {
            let rng = &mut Rng::new(seed);
            let aborts = rng.chance(given_up);
            let before = self.store.vector().clone();
            match self.transact(kind, rng, aborts, now)? {
                Some(dot) => batch.written.push((dot, before)),
                None => batch.aborted |= aborts,
            }
            // What was given up is still in the store: nothing else may be written on top of it.
            if batch.aborted {
                break;
            }
        }
        let engine = self.engine.as_mut().ok_or("the replica went down")?;
        batch.effects = engine.flush(&mut self.store, now).map_err(said)?;
        Ok(batch)
    }

    /// A transaction that is given up before anything else shares its batch: the store is rolled
    /// back, and the engine need not hear of it.
    pub(crate) fn rehearse(&mut self, seed: u64, ms: u64) -> Result<(), String> {
        let now = self.now(ms);
        self.store.begin(false).map_err(said)?;
        self.transact(Kind::Write, &mut Rng::new(seed), true, now)?;
        self.store.rollback().map_err(said)?;
        self.mine = self.mine_durable.clone();
        Ok(())
    }

    /// One local transaction. Returns the dot of its shared change set, if it has one.
    fn transact(
        &mut self,
        kind: Kind,
        rng: &mut Rng,
        aborts: bool,
        now: Now,
    ) -> Result<Option<Dot>, String> {
        let engine = self.engine.as_mut().ok_or("a write on a replica that is down")?;
        let mut tx = engine.begin_local(&self.store, now).map_err(|error| error.to_string())?;
        self.store.set_local(true);
        let desk = &mut Desk {
            schema: &self.schema,
            store: &mut self.store,
            tx: &mut tx,
            me: self.index,
            mine: &mut self.mine,
        };
        match kind {
            Kind::Burst => workload::burst(desk, rng)?,
            Kind::Small => workload::small(desk, rng)?,
            Kind::Undo => self.undone.extend(undoing::undo(desk, rng)?),
            _ => workload::write(desk, rng)?,
        }
        self.store.set_local(false);
        if aborts {
            drop(tx);
            return Ok(None);
        }
        self.store.set_sealing(Some(engine.shared_origin()));
        let committed = engine.finish_local(&mut self.store, tx);
        self.store.set_sealing(None);
        Ok(committed.map_err(|error| error.to_string())?.shared)
    }
}
