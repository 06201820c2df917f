//! The protocol engine: what a replica does, as a function of its state and of what happens.
//!
//! [`Engine::handle`] takes one [`Input`] within an open transaction of the store;
//! [`Engine::flush`] ends an ordered batch of inputs and returns the ordered batch of [`Effect`]s,
//! which are carried out after the transaction is durable. If it cannot be made durable, the store
//! is rolled back and [`Engine::rolled_back`] is called: peers are met anew, nothing is lost.
//!
//! # A write, step by step
//!
//! 1. [`Engine::begin_local`] takes a time; [`LocalTx`] turns each write into a change, merges it
//!    into the record and puts it into the store; [`Engine::finish_local`] seals the change set.
//! 2. `broadcast` sends it to every peer that has what precedes it, within a window.
//! 3. The peer's `inbound` checks it, `apply` merges it once its needs are met and moves the vector.
//! 4. The peer's next flush tells us its vector, which is the acknowledgement; `news` tells the others
//!    a little later.
//! 5. `ack` learns it; whoever sees that a peer holds more than itself pulls (`catchup`), unless
//!    the origin is connected and will send it on its own account.
//!
//! Owned lanes (`session`) are pulled in pages, a few at a time, from whoever holds them exactly.
//!
//! What every member has acknowledged is pruned from the log (`prune`). Whoever asks from below that
//! is told so, and compares its shared lanes with ours (`reconcile` there, `pin` here).

mod ack;
mod apply;
mod broadcast;
mod catchup;
mod commit;
mod compare;
mod effect;
mod hello;
mod history;
mod inbound;
mod input;
mod news;
mod own;
mod peer;
mod phase;
mod pin;
mod prune;
mod recall;
mod reconcile;
mod refused;
mod serve;
mod session;
mod tally;
mod twins;
mod waits;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

pub use commit::{Committed, LocalTx};
pub use effect::{Effect, Event};
pub use input::{Input, Now};
pub use own::Doubt;
pub use phase::Phase;
pub use refused::WriteError;
pub use tally::{ModelCounts, Tally};
pub use waits::Waits;

use crate::change::Change;
use crate::clock::{Clock, Hlc};
use crate::id::{DeviceId, Dot, Epoch, Origin};
use crate::message::{Message, State};
use crate::record::Record;
use crate::schema::{ModelId, Schema};
use crate::store::Store;
use crate::version::{Life, OwnedHead, Vector};

use apply::Pending;
use catchup::Want;
use compare::Reconcile;
use history::Asked;
use peer::Peer;
use pin::Pin;
use recall::Recall;
use session::Fetch;
use twins::Twins;

/// How an engine behaves. Times in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct Config {
    /// How far ahead a remote clock may be to be absorbed.
    pub max_drift_ms: u64,
    /// Unacknowledged change sets of our own on the way to one peer.
    pub window_bytes: usize,
    /// Change sets in one message.
    pub batch_bytes: usize,
    /// Change sets that wait for what they need.
    pub pending_bytes: usize,
    /// Rows in one page.
    pub page_rows: usize,
    /// Bytes in one page.
    pub page_bytes: usize,
    /// Pages of one transfer on the way.
    pub page_credit: u64,
    /// Owned lanes that are fetched at once.
    pub fetches: usize,
    /// How long an unanswered request is waited for, and an unacknowledged change set before it is
    /// sent again.
    pub patience_ms: u64,
    /// How long a connected origin is trusted to send its own changes before others are asked.
    pub grace_ms: u64,
    /// How long a peer whose changes we have applied may wait for our word, for what follows to go with
    /// it; not longer than until a quarter of its window is full.
    pub ack_ms: u64,
    /// How long what we hold of others' change sets may go untold to peers that do not wait for it.
    pub news_ms: u64,
    /// The same for peers that have shown that they get them elsewhere.
    pub late_news_ms: u64,
    /// How often a peer is told the whole state, should something have been lost on the way.
    pub refresh_ms: u64,
    /// How long after the last change digests are compared.
    pub compare_ms: u64,
    /// How long a member may be silent before nothing is kept for it any more.
    pub retention_ms: u64,
    /// How long after an acknowledgement what everybody has is pruned.
    pub prune_ms: u64,
    /// Records to a bucket when two replicas compare their shared lanes.
    pub bucket_rows: u64,
    /// Records to a bucket where such a one differs.
    pub fine_rows: u64,
    /// Buckets in one answer.
    pub buckets: usize,
    /// How many peers may compare with this replica at once.
    pub pins: usize,
    /// How long this device's owned lane is left alone once it was restated above a life that was met.
    pub restate_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_drift_ms: 60_000,
            window_bytes: 256 << 10,
            batch_bytes: 256 << 10,
            pending_bytes: 16 << 20,
            page_rows: 500,
            page_bytes: 256 << 10,
            page_credit: 3,
            fetches: 4,
            patience_ms: 5_000,
            grace_ms: 300,
            ack_ms: 5,
            news_ms: 200,
            late_news_ms: 400,
            refresh_ms: 60_000,
            compare_ms: 1_000,
            retention_ms: 30 * 24 * 3_600_000,
            prune_ms: 60_000,
            bucket_rows: 1_024,
            fine_rows: 32,
            buckets: 64,
            pins: 4,
            restate_ms: 10 * 60_000,
        }
    }
}

/// Who a replica is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// This device.
    pub device: DeviceId,
    /// The epoch under which it writes its shared lane.
    pub shared_epoch: Epoch,
    /// The life under which it writes its owned lane.
    pub owned_life: Life,
}

/// How far a peer is, compared with this device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Lag {
    /// Change sets that are here and that the peer has not acknowledged.
    pub behind: u64,
    /// Change sets that the peer has and that are not here.
    pub ahead: u64,
}

/// One replica's protocol state. See the [module](self).
pub struct Engine {
    identity: Identity,
    schema: Arc<Schema>,
    config: Config,
    clock: Clock,
    /// The vector when the last change set of our own was made: needs are what grew since. Empty
    /// after a start, so that the first change set names everything.
    needs_base: Vector,
    peers: BTreeMap<DeviceId, Peer>,
    pending: Pending,
    fetches: BTreeMap<DeviceId, Fetch>,
    /// Transfers that nobody connected covers while another could be begun, and since when.
    uncovered: BTreeMap<DeviceId, u64>,
    /// Origins that are known to be further than they are here.
    wanted: BTreeMap<Origin, Want>,
    /// The comparison of the shared lanes with a peer's that is under way.
    reconcile: Option<Reconcile>,
    /// When the next one may begin, after one that came to nothing.
    reconcile_at: Option<u64>,
    /// What is asked for as it is missing here.
    recall: Option<Recall>,
    /// What of the history is asked for.
    history: Option<Asked>,
    /// Whether history has come since others were told of it.
    history_grew: bool,
    /// Whether missing records were looked for in the log.
    log_tried: bool,
    /// Peers that compare theirs with ours.
    pins: BTreeMap<DeviceId, Pin>,
    /// The members that nothing is pruned without, and since when each is one; unknown at first.
    members: Option<BTreeMap<DeviceId, u64>>,
    /// They and this device, in the order of their ids.
    ring: Vec<DeviceId>,
    /// When to prune.
    prune_at: Option<u64>,
    /// When the last batch ended; what was due by then has been acted upon.
    flushed_at: u64,
    certificates: Vec<Bytes>,
    /// How many changes of which models there were in this batch, by remote hands and by ours.
    changed: [BTreeMap<ModelId, u64>; 2],
    /// Of those by remote hands, how many were superseded when they came.
    superseded: BTreeMap<ModelId, u64>,
    /// The same of all batches since the start.
    tally: Tally,
    effects: Vec<Effect>,
    next_id: u64,
    random: u64,
    /// Devices that may be there twice.
    twins: Twins,
    /// What of the own lanes is not certain to be all that was written.
    doubt: Option<own::Doubted>,
}

impl Engine {
    /// An engine over a store. `seed` feeds the little randomness that it needs (epochs).
    pub fn new<S: Store>(
        identity: Identity,
        schema: Arc<Schema>,
        config: Config,
        store: &mut S,
        seed: u64,
    ) -> Result<Self, S::Error> {
        let clock = Clock::new(store.clock(), config.max_drift_ms);
        let tally = Tally::of(&schema);
        let mut engine = Self {
            identity,
            schema,
            config,
            clock,
            needs_base: Vector::new(),
            peers: BTreeMap::new(),
            pending: Pending::default(),
            fetches: BTreeMap::new(),
            uncovered: BTreeMap::new(),
            wanted: BTreeMap::new(),
            reconcile: None,
            reconcile_at: None,
            recall: None,
            history: None,
            history_grew: false,
            log_tried: false,
            pins: BTreeMap::new(),
            members: None,
            ring: Vec::new(),
            prune_at: None,
            flushed_at: 0,
            certificates: Vec::new(),
            changed: Default::default(),
            superseded: BTreeMap::new(),
            tally,
            effects: Vec::new(),
            next_id: 1,
            random: seed,
            twins: Twins::default(),
            doubt: None,
        };
        engine.open_own_lanes(store)?;
        Ok(engine)
    }

    /// Who this replica is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The latest time of the clock.
    pub fn clock(&self) -> Hlc {
        self.clock.last()
    }

    /// How far ahead a remote clock may be to be absorbed.
    pub fn max_drift_ms(&self) -> u64 {
        self.config.max_drift_ms
    }

    /// The origin of this device's shared lane.
    pub fn shared_origin(&self) -> Origin {
        Origin::shared(self.identity.device, self.identity.shared_epoch)
    }

    /// Takes one input within an open transaction.
    pub fn handle<S: Store>(
        &mut self,
        store: &mut S,
        input: Input,
        now: Now,
    ) -> Result<(), S::Error> {
        match input {
            Input::Connected(peer) => self.on_connected(store, peer, now),
            Input::Disconnected(peer) => self.on_disconnected(peer),
            Input::Message(peer, message) => self.on_message(store, peer, message, now)?,
            Input::Certificates(certificates) => self.on_certificates(certificates),
            Input::Members(members) => self.on_members(members),
            Input::Prune => self.prune(store, now)?,
            Input::Renew => self.renew(store, now)?,
            Input::Damaged(records) => {
                self.log_tried = false;
                self.on_damaged(store, records);
            }
            Input::Tick => self.on_tick(store, now)?,
            Input::Probe(token) => self.send(self.ready_peers(), Message::Ping { token }),
            Input::Verify(peer) => self.verify(store, peer),
        }
        Ok(())
    }

    /// Ends a batch of inputs: says what follows from all of them together, and returns what is to
    /// be done once the transaction is durable.
    pub fn flush<S: Store>(&mut self, store: &mut S, now: Now) -> Result<Vec<Effect>, S::Error> {
        self.flushed_at = now.steady_ms;
        self.drain_pending(store, now)?;
        self.push_all(store, now)?;
        self.tell_news(store, now);
        self.unpin_gone(store, now);
        self.pull_missing(store, now);
        self.reconcile_missing(store, now)?;
        self.recall_missing(store, now)?;
        self.fetch_missing(store, now)?;
        self.ask_for_history(store, now)?;
        for (models, local) in std::mem::take(&mut self.changed).into_iter().zip([false, true]) {
            if !models.is_empty() {
                self.prune_soon(now);
                let tally = if local { &mut self.tally.committed } else { &mut self.tally.applied };
                for (model, changes) in &models {
                    tally.add(*model, *changes);
                }
                self.event(Event::Changed { models: models.into_keys().collect(), local });
            }
        }
        for (model, changes) in std::mem::take(&mut self.superseded) {
            self.tally.superseded.add(model, changes);
        }
        Ok(std::mem::take(&mut self.effects))
    }

    /// What was changed since the start.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Counts changes that were written or applied.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    fn count(&mut self, local: bool, model: ModelId, changes: u64) {
        *self.changed[usize::from(local)].entry(model).or_default() += changes;
    }

    /// Counts a change that was applied, if nothing of it shows.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    fn count_superseded(&mut self, change: &Change, record: &Record, dot: &Dot) {
        if change.is_superseded(record, dot) {
            *self.superseded.entry(change.model).or_default() += 1;
        }
    }

    /// The transaction was rolled back: forgets what was derived from it. Peers must be met anew
    /// (their connections are to be ended), and nothing else is lost.
    pub fn rolled_back<S: Store>(&mut self, store: &S) {
        self.clock = Clock::new(store.clock().max(self.clock.last()), self.config.max_drift_ms);
        self.needs_base = Vector::new();
        // The own lanes may have gone on under new epochs that are rolled back, too.
        if let Some(epoch) = store.shared_epoch() {
            self.identity.shared_epoch = epoch;
        }
        if let Some(head) = store.lane(&self.identity.device).and_then(|lane| lane.exact) {
            self.identity.owned_life = head.life;
        }
        self.peers.clear();
        self.pending = Pending::default();
        self.fetches.clear();
        self.uncovered.clear();
        self.wanted.clear();
        self.reconcile = None;
        self.recall = None;
        self.history = None;
        self.changed = Default::default();
        self.superseded.clear();
        self.effects.clear();
    }

    /// When [`Input::Tick`] is due, on the steady clock; `None` while nothing is awaited.
    pub fn next_deadline(&self) -> Option<u64> {
        let peers = self.peers.values().filter_map(Peer::deadline);
        let fetches = self.fetches.values().map(|fetch| fetch.deadline);
        let graces = self.wanted.values().map(|want| want.deadline(self.config.grace_ms));
        let uncovered = self.uncovered.values().map(|since| self.uncovered_until(*since));
        let waits = graces.chain(uncovered).filter(|at| *at > self.flushed_at);
        let pins = self.pins.values().map(|pin| pin.until);
        let reconcile = self.reconcile.iter().map(|reconcile| reconcile.deadline);
        let recall = self.recall.iter().map(|recall| recall.deadline);
        let history = self.history.iter().map(|asked| asked.deadline);
        let recall = recall.chain(history);
        let others =
            pins.chain(reconcile).chain(recall).chain(self.reconcile_at).chain(self.prune_at);
        let now = self.pending.is_blocked_by_budget().then_some(0);
        peers.chain(fetches).chain(waits).chain(others).chain(now).min()
    }

    /// Whether a peer has introduced itself on a connection that stands.
    pub fn is_ready(&self, peer: &DeviceId) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.ready)
    }

    /// What a connected peer is known to hold.
    pub fn known(&self, peer: &DeviceId) -> Option<&State> {
        self.peers.get(peer).filter(|peer| peer.ready).map(|peer| &peer.known)
    }

    /// What this device holds, durable and exact: of the shared lanes all change sets, though records
    /// may be missing; owned lanes without those of which rows are missing.
    pub fn state<S: Store>(&self, store: &S) -> State {
        let mut owned = store.owned_vector();
        if !store.missing().owned.is_empty() {
            let whole =
                |(device, _): &(&DeviceId, &OwnedHead)| !store.missing().has_rows_of(device);
            owned = owned.iter().filter(whole).map(|(device, head)| (*device, *head)).collect();
        }
        State { shared: store.vector().clone(), owned }
    }

    /// How far a peer is, from what it said on this connection or else acknowledged before.
    pub fn lag<S: Store>(&self, store: &S, peer: &DeviceId) -> Lag {
        let mine = self.state(store);
        let kept;
        let theirs = match self.known(peer) {
            Some(state) => state,
            None => {
                let acked = store.acknowledged(peer).cloned().unwrap_or_default();
                kept = State { shared: acked.shared, owned: acked.owned };
                &kept
            }
        };
        Lag { behind: missing(&mine, theirs), ahead: missing(theirs, &mine) }
    }

    /// How far this replica is.
    pub fn phase<S: Store>(&self, store: &S) -> Phase {
        let compared = self.reconcile.as_ref().and_then(Reconcile::progress);
        let compared = compared.map(|(peer, done, total)| Phase::Backfilling { peer, done, total });
        if let Some(phase) = self.backfilling(store).or(compared) {
            return phase;
        }
        let mine = self.state(store);
        let ahead = self.ready().map(|(_, peer)| missing(&peer.known, &mine)).max();
        let alone = mine.shared.is_empty() && mine.owned.len() <= 1;
        match ahead {
            Some(0) => Phase::Ready,
            Some(behind) => Phase::CatchingUp { behind },
            None if alone && self.certificates.len() > 1 => Phase::Uninitialized,
            None => Phase::Ready,
        }
    }

    /// How far the lanes have come of which nothing is exact yet, all of them together: those that
    /// are under way and those whose turn is still to come.
    fn backfilling<S: Store>(&self, store: &S) -> Option<Phase> {
        let mut lanes: BTreeMap<DeviceId, (OwnedHead, DeviceId)> = BTreeMap::new();
        for (id, peer) in self.ready() {
            for (device, head) in peer.known.owned.iter() {
                let exact = store.lane(device).is_some_and(|lane| lane.exact.is_some());
                let further = lanes.get(device).is_none_or(|(best, _)| best < head);
                if *device != self.identity.device && !exact && further {
                    lanes.insert(*device, (*head, *id));
                }
            }
        }
        let fetched = self.fetches.iter().find(|(device, _)| lanes.contains_key(*device));
        let (_, (_, first)) = lanes.first_key_value()?;
        let peer = fetched.map_or(*first, |(_, fetch)| fetch.peer);
        let (mut done, mut total) = (0_u64, 0_u64);
        for (device, (head, _)) in &lanes {
            let session = store.lane(device).and_then(|lane| lane.session.as_ref());
            let session = session.filter(|session| session.life == head.life);
            let come = session.map_or(0, |session| session.cursor.complete());
            let target = session.map_or(head.seq, |session| session.target.max(head.seq));
            done = done.saturating_add(come.min(target));
            total = total.saturating_add(target);
        }
        Some(Phase::Backfilling { peer, done, total })
    }

    /// How many change sets wait for what they need, or for the next batch.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    fn ready(&self) -> impl Iterator<Item = (&DeviceId, &Peer)> {
        self.peers.iter().filter(|(_, peer)| peer.ready)
    }

    fn ready_peers(&self) -> Vec<DeviceId> {
        self.ready().map(|(id, _)| *id).collect()
    }

    fn send(&mut self, to: Vec<DeviceId>, message: Message) {
        if !to.is_empty() {
            self.effects.push(Effect::Send { to, message });
        }
    }

    fn event(&mut self, event: Event) {
        self.effects.push(Effect::Event(event));
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// How many change sets of `a` are missing in `b`.
fn missing(a: &State, b: &State) -> u64 {
    a.shared.missing_in(&b.shared).saturating_add(a.owned.missing_in(&b.owned))
}
