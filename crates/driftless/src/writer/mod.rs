//! The writer's thread: it owns the store and the engine, and nobody else touches them.
//!
//! Commands come in over one queue. A batch of them is one transaction; what follows from it is
//! released after the commit, in order (the first law of `docs/architecture.md`).

mod chores;
mod inbox;
mod local;
mod marks;
mod network;
mod spans;

pub(crate) use marks::Marks;
pub(crate) use network::{addresses, addresses_json};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use driftless_core::engine::{Doubt, Effect, Engine, Event, Input, Now};
use driftless_core::id::DeviceId;
use driftless_core::ids::IdSource;
use driftless_core::member::Roster;
use driftless_core::message::Refusal;
use driftless_core::schema::Schema;
use driftless_core::store::Store as _;
use driftless_net::{Cause, Class, Cut, FramePermit, Net, NetEvent};
use driftless_store::{SqliteStore, StoreError};
use ed25519_dalek::SigningKey;
use tokio::sync::broadcast;

use crate::damage::Watchman;
use crate::event_log::Told;
use crate::events::Change;
use crate::guard::{self, Guard};
use crate::invite::PairingNotice;
use crate::members::{self, MemberSet};
use crate::metrics::{Counters, Gauges, Sampler};
use crate::neighbourhood::Neighbourhood;
use crate::pace::{LOOK_EVERY_MS, Pace, Standing};
use crate::time;
use crate::wait::Watch;
use chores::LogTimer;
use inbox::Inbox;

/// How long a batch goes on taking in commands that have come already.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// How many commands a batch takes in at most.
const BATCH_COMMANDS: usize = 1_024;
/// How long the writer leaves a store alone that could not make a transaction durable.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// How often it is looked what of the history is too old.
const HISTORY_EVERY: Duration = Duration::from_secs(3_600);
/// How long it is said that two copies of a device are in use, after the last sign of it.
const TWIN_MS: u64 = 30 * 60_000;
/// How long what others wrote may be visible and not durable, if nobody is told that it is here. Before
/// that the engine has an acknowledgement to send, mostly.
const SYNC_DELAY: Duration = Duration::from_millis(20);
/// After others' changes were shown, those that come within this time are shown together. So the first
/// of a stream is there at once, and the others, at most so much later, cost one transaction for many.
const GATHER: Duration = Duration::from_millis(1);

/// Tells the author of a write how it ended.
pub(crate) type Reply = Box<dyn FnOnce(Result<(), Arc<StoreError>>) + Send>;

/// What the writer is asked to do.
pub(crate) enum Command {
    /// Run a local write within the batch's transaction.
    Write(Box<dyn FnOnce(&mut Writer) -> Reply + Send>),
    /// Take in what happened in the network.
    Net(NetEvent),
    /// Look at the state between two batches.
    Call(Box<dyn FnOnce(&mut Writer) + Send>),
    /// End.
    Stop,
}

/// Whether a command is a page of rows, or as large.
fn is_bulk(command: &Command) -> bool {
    matches!(command, Command::Net(NetEvent::Frame { class: Class::Bulk, .. }))
}

/// The writer's state.
pub(crate) struct Writer {
    pub(crate) store: SqliteStore,
    pub(crate) engine: Engine,
    ids: IdSource,
    guard: Option<Guard>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) signing: SigningKey,
    pub(crate) roster: Roster,
    pub(crate) members: Arc<MemberSet>,
    /// Members that are not waited for.
    pub(crate) evicted: BTreeSet<DeviceId>,
    pub(crate) net: Option<Arc<Net>>,
    pub(crate) meetings: BTreeMap<DeviceId, Meeting>,
    pub(crate) watches: Vec<Box<dyn Watch>>,
    /// With whom links are kept.
    pub(crate) neighbourhood: Neighbourhood,
    pub(crate) changes: broadcast::Sender<Change>,
    /// Beats when the status may have changed.
    pub(crate) pulse: broadcast::Sender<()>,
    /// When the last ticket will be forgotten, Unix milliseconds.
    pub(crate) open_until: Arc<AtomicU64>,
    /// Joiners that showed a ticket.
    pub(crate) notices: Vec<PairingNotice>,
    pace: Pace,
    /// Hears of phases and of how far they are.
    pub(crate) standings: broadcast::Sender<Standing>,
    /// When the phase is looked at, on the steady clock; `None` while nothing changes.
    look_due: Option<u64>,
    /// What was told of the phase last.
    told_standing: Option<Standing>,
    /// Whether connections came or went in this batch.
    connections_changed: bool,
    /// The last token of a probe.
    pub(crate) tokens: u64,
    /// Frames of this batch: their permits end with it.
    permits: Vec<FramePermit>,
    /// Work that a batch made for the next one.
    followups: VecDeque<Command>,
    /// Why the open transaction cannot be committed any more.
    broken: Option<Arc<StoreError>>,
    /// When the peer log is written.
    log: LogTimer,
    /// When what is visible is to be durable at the latest.
    sync_due: Option<Instant>,
    /// Until when changes of others are gathered.
    gather_until: Option<Instant>,
    /// When it is looked the next time what of the history is too old.
    history_due: Instant,
    /// When housework that failed may be tried again.
    sweep_after: Option<Instant>,
    /// Devices of which two copies seem to be in use, and when that was seen last, Unix milliseconds.
    twins: BTreeMap<DeviceId, u64>,
    /// Looks after damage.
    pub(crate) watchman: Watchman,
    /// What was told the event log.
    pub(crate) told: Told,
    /// For monitoring.
    pub(crate) counters: Counters,
    /// For tracing.
    sessions: spans::Sessions,
    /// The same, in steps of time.
    pub(crate) trend: Sampler,
}

/// What is known of a peer's latest connection, and of those before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meeting {
    /// The connection that stands, by its number.
    pub(crate) conn: Option<u64>,
    /// How far its clock is ahead, in milliseconds, as of its last `Hello`.
    pub(crate) clock_offset_ms: Option<i64>,
    /// When it was connected last, Unix milliseconds.
    pub(crate) last_seen_ms: Option<u64>,
    /// Why the last connection ended, and when on the steady clock.
    pub(crate) ended: Option<(Cause, u64)>,
    /// Why a message was refused since they met last, and whether by this device.
    pub(crate) refusal: Option<(Refusal, bool)>,
    /// When it was sent what of this device's shared lane.
    pub(crate) sent: Marks,
    /// When it acknowledged what of that.
    pub(crate) acked: Marks,
}

/// The parts of a writer that its library puts together.
pub(crate) struct Parts {
    pub(crate) store: SqliteStore,
    pub(crate) engine: Engine,
    pub(crate) ids: IdSource,
    pub(crate) guard: Option<Guard>,
    pub(crate) schema: Arc<Schema>,
    pub(crate) signing: SigningKey,
    pub(crate) roster: Roster,
    pub(crate) members: Arc<MemberSet>,
    pub(crate) changes: broadcast::Sender<Change>,
    pub(crate) pulse: broadcast::Sender<()>,
    pub(crate) standings: broadcast::Sender<Standing>,
    pub(crate) open_until: Arc<AtomicU64>,
    /// What is in doubt of the own lanes.
    pub(crate) doubt: Option<Doubt>,
    pub(crate) told: Told,
}

impl Writer {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { store, engine, ids, guard, schema, signing, roster, members, .. } = parts;
        let Parts { changes, pulse, standings, open_until, doubt, told, .. } = parts;
        members.replace(&roster);
        let counters = Counters::of(&schema);
        let mut writer = Self {
            store,
            engine,
            ids,
            guard,
            schema,
            signing,
            roster,
            members,
            evicted: BTreeSet::new(),
            net: None,
            meetings: BTreeMap::new(),
            watches: Vec::new(),
            neighbourhood: Neighbourhood::default(),
            changes,
            pulse,
            open_until,
            notices: Vec::new(),
            tokens: 0,
            pace: Pace::new(),
            standings,
            look_due: None,
            told_standing: None,
            connections_changed: false,
            permits: Vec::new(),
            followups: VecDeque::new(),
            broken: None,
            log: LogTimer::default(),
            sync_due: None,
            gather_until: None,
            history_due: Instant::now() + HISTORY_EVERY,
            sweep_after: None,
            twins: BTreeMap::new(),
            watchman: Watchman::new(),
            told,
            counters,
            sessions: spans::Sessions::default(),
            trend: Sampler::new(Gauges::default(), time::wall_ms()),
        };
        writer.offer_certificates();
        writer.refresh_members();
        writer.tell_opening(doubt);
        if let Err(error) = writer.recall_tickets() {
            tracing::error!(%error, "open tickets cannot be read");
        }
        let gauges = writer.gauges(time::now().steady_ms);
        writer.trend = Sampler::new(gauges, time::wall_ms());
        writer
    }

    /// Works until it is told to stop, or until everybody who could tell it something is gone.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    pub(crate) fn run(mut self, commands: &Receiver<Command>) {
        let mut inbox = Inbox::new(commands, is_bulk);
        while let Some(first) = self.next(&mut inbox) {
            if !self.batch(first, &mut inbox) {
                break;
            }
            self.tend_damage();
            self.poll_watches();
            self.tend_links();
            self.look_if_due();
            self.keep_trend_if_due();
            self.flush_log_if_due();
            self.look_at_history_if_due();
        }
        self.tell_counts();
        self.end_trend();
        if let Err(error) = self.store.flush_log() {
            tracing::warn!(%error, "the peer log will be written at the next start");
        }
        if let Some(guard) = &mut self.guard {
            guard.close();
        }
    }

    /// The next command, or a tick when one is due. `None` to end.
    fn next(&mut self, inbox: &mut Inbox<'_, Command>) -> Option<Option<Command>> {
        if let Some(command) = self.followups.pop_front() {
            return Some(Some(command));
        }
        if self.store.is_log_large() && self.has_leisure() && inbox.is_calm() {
            self.move_log();
        }
        while self.may_sweep() {
            match inbox.try_first() {
                Ok(command) => return Some(Some(command)),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) if self.sweep() => {}
                Err(TryRecvError::Empty) => break,
            }
        }
        loop {
            let patience = self.patience();
            let scrub = self.watchman.patience();
            let wait = patience.map_or(scrub, |due| due.min(scrub));
            match inbox.first(Some(wait)) {
                Ok(command) => return Some(Some(command)),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if patience.is_some_and(|due| due <= wait) => {
                    return Some(None);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.scrub_if_due();
            if let Some(command) = self.followups.pop_front() {
                return Some(Some(command));
            }
        }
    }

    /// Whether two copies of a device seem to be in use.
    pub(crate) fn is_twin(&self, device: &DeviceId) -> bool {
        let since = time::now().wall_ms.saturating_sub(TWIN_MS);
        self.twins.get(device).is_some_and(|seen| *seen >= since)
    }

    /// How long nothing has to be done by itself.
    fn patience(&self) -> Option<Duration> {
        let now = time::now().steady_ms;
        let engine = self.engine.next_deadline();
        let watches = self.watches.iter().map(|watch| watch.deadline());
        let due = engine.into_iter().chain(watches).chain(self.look_due);
        let links = self.net.as_ref().and_then(|_| self.neighbourhood.deadline());
        let due = due.chain(links).min();
        let due = due.map(|at| Duration::from_millis(at.saturating_sub(now)));
        let log = self.log.due().map(|at| at.saturating_duration_since(Instant::now()));
        let trend = self.trend.due.map(|at| at.saturating_duration_since(Instant::now()));
        let sync = self.sync_due.map(|at| at.saturating_duration_since(Instant::now()));
        [due, log, trend, sync].into_iter().flatten().min()
    }

    /// One transaction. Returns whether to go on.
    fn batch(&mut self, first: Option<Command>, inbox: &mut Inbox<'_, Command>) -> bool {
        let mut next = match first {
            Some(Command::Call(call)) => {
                call(self);
                return true;
            }
            Some(Command::Stop) => return false,
            other => other,
        };
        let now = time::now();
        let mut replies: Vec<Reply> = Vec::new();
        // What others wrote is visible first and durable behind; what is written here is durable
        // before anybody sees it.
        let relaxed = !matches!(next, Some(Command::Write(_)));
        let bulk = next.as_ref().is_some_and(is_bulk);
        let work = self.begin_work(!relaxed);
        let entered = work.span.enter();
        let begun = if relaxed { self.store.begin_relaxed() } else { self.store.begin() };
        if let Err(error) = begun {
            self.broken = Some(Arc::new(error));
        }
        let started = Instant::now();
        let gathers = relaxed && !bulk && matches!(next, Some(Command::Net(_)));
        let gather_until = self.gather_until.take().filter(|_| gathers);
        let mut left_over = None;
        for _ in 0..BATCH_COMMANDS {
            match next.take() {
                Some(Command::Write(write)) if !relaxed => replies.push(write(self)),
                Some(Command::Net(event)) => self.on_net(event, now),
                Some(other) => {
                    left_over = Some(other);
                    break;
                }
                None => {}
            }
            if self.broken.is_some() || started.elapsed() > BATCH_TIME {
                break;
            }
            let more = || match gather_until {
                Some(until) => inbox.more_until(until),
                None => inbox.try_more(bulk),
            };
            match self.followups.pop_front().or_else(more) {
                Some(command) => next = Some(command),
                None => break,
            }
        }
        let ended =
            self.end_transaction(time::now()).and_then(|effects| self.show(effects, gathers));
        self.permits.clear();
        self.note_batch(ended.is_ok(), relaxed, started.elapsed());
        self.end_work(&work, ended.is_ok());
        drop(entered);
        drop(work);
        for reply in replies {
            reply(ended.as_ref().map(|_| ()).map_err(Arc::clone));
        }
        match ended {
            Ok(effects) => self.release(effects),
            Err(error) => self.recover(&error),
        }
        match left_over {
            Some(Command::Stop) => false,
            Some(command) => {
                self.followups.push_front(command);
                true
            }
            None => true,
        }
    }

    /// Counts a batch that has ended.
    fn note_batch(&mut self, well: bool, relaxed: bool, took: Duration) {
        if !well {
            return self.counters.lost();
        }
        self.counters.batch(!relaxed, took);
        let meetings = &self.meetings;
        let clock = |device: &DeviceId| meetings.get(device)?.clock_offset_ms;
        self.counters.visible(time::wall_ms(), |device| clock(device).unwrap_or(0));
    }

    fn end_transaction(&mut self, now: Now) -> Result<Vec<Effect>, Arc<StoreError>> {
        self.look_due = self.look_due.or(Some(now.steady_ms.saturating_add(LOOK_EVERY_MS)));
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let due = self.engine.next_deadline().is_some_and(|at| at <= now.steady_ms);
        if due {
            self.engine.handle(&mut self.store, Input::Tick, now).map_err(Arc::new)?;
        }
        let effects = self.engine.flush(&mut self.store, now).map_err(Arc::new)?;
        self.store.commit().map_err(Arc::new)?;
        self.tell_writable();
        if self.store.unflushed() > 0 {
            self.log.when_quiet(Instant::now());
        }
        Ok(effects)
    }

    /// Tells of what a committed transaction changed, and makes it durable. What is left is for
    /// then; if nothing is, what comes next may be made durable with it. `gathers`: live changes of
    /// others that come soon are shown together.
    fn show(
        &mut self,
        effects: Vec<Effect>,
        gathers: bool,
    ) -> Result<Vec<Effect>, Arc<StoreError>> {
        let shows = |effect: &Effect| matches!(effect, Effect::Event(Event::Changed { .. }));
        let (visible, rest): (Vec<Effect>, Vec<Effect>) = effects.into_iter().partition(shows);
        if gathers && !visible.is_empty() {
            self.gather_until = Some(Instant::now() + GATHER);
        }
        self.release(visible);
        if rest.is_empty() && !self.store.is_durable() {
            let now = Instant::now();
            if *self.sync_due.get_or_insert(now + SYNC_DELAY) > now {
                return Ok(rest);
            }
        }
        self.sync_due = None;
        self.store.make_durable().map_err(Arc::new)?;
        if let Some(guard) = &mut self.guard {
            guard.note(&self.store);
        }
        Ok(rest)
    }

    /// The transaction is lost: nothing of it happened, or, if others have it as well, it is not
    /// certain to outlast a power cut. Peers are met anew.
    fn recover(&mut self, error: &StoreError) {
        tracing::error!(%error, "a transaction could not be made durable; nobody was told of it");
        if self.store.in_transaction()
            && let Err(error) = self.store.rollback()
        {
            tracing::error!(%error, "rolling back failed as well");
        }
        // What is visible is made durable before anybody is told of it; to try without need would be
        // another error each time.
        self.sync_due = None;
        self.watchman.met(error);
        self.tell_trouble(error);
        self.engine.rolled_back(&self.store);
        match guard::doubted(&self.store) {
            Ok(doubt) => doubt.into_iter().for_each(|doubt| self.engine.doubt(doubt)),
            Err(error) => {
                tracing::error!(%error, "whether the own lanes are in doubt is not known")
            }
        }
        match members::load(&self.store) {
            Ok(roster) => self.roster = roster,
            Err(error) => tracing::error!(%error, "the certificates cannot be read"),
        }
        self.members.replace(&self.roster);
        self.offer_certificates();
        self.refresh_members();
        self.disconnect_all(Cut::Unwritable, "this device cannot write to its disk");
        std::thread::sleep(PAUSE_AFTER_FAILURE);
    }

    /// Carries out what follows from a durable transaction.
    fn release(&mut self, effects: Vec<Effect>) {
        let told = effects.iter().any(|effect| matches!(effect, Effect::Event(_)));
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    self.note_sent(&to, &message);
                    self.transmit(&to, &message);
                }
                Effect::Disconnect { peer, reason } => {
                    self.disconnect(&peer, Cut::Other, &reason);
                }
                Effect::Certificates { certificates, .. } => self.take_certificates(&certificates),
                Effect::Event(event) => self.tell(event),
            }
        }
        if told || std::mem::take(&mut self.connections_changed) {
            // Nobody listening is no failure.
            drop(self.pulse.send(()));
        }
    }

    fn tell(&mut self, event: Event) {
        match &event {
            Event::Changed { models, local } => {
                if models.contains(&crate::device::model_id()) {
                    self.refresh_routes();
                    self.refresh_members();
                }
                let models = models.iter().map(|model| self.schema.name_of(*model)).collect();
                // Nobody listening is no failure.
                drop(self.changes.send(Change { models, local: *local }));
            }
            Event::Met { peer, clock_offset_ms } => {
                // What it said was true when it was sent, which is half a round trip ago.
                let rtt = self.net.as_ref().and_then(|net| net.rtt(peer)).unwrap_or_default();
                let halfway = i64::try_from(rtt.as_millis() / 2).unwrap_or(i64::MAX);
                let offset = clock_offset_ms.saturating_add(halfway);
                let meeting = self.meetings.entry(*peer).or_default();
                (meeting.clock_offset_ms, meeting.refusal) = (Some(offset), None);
            }
            Event::PeerState { peer } => self.note_acked(peer),
            Event::Compared { peer, differ } if !differ.is_empty() => {
                let models: Vec<_> = differ.iter().map(|id| self.schema.name_of(*id)).collect();
                tracing::error!(%peer, ?models, "equal vectors with unequal digests");
            }
            Event::Pruned { sets, tombstones } => {
                tracing::info!(sets, tombstones, "what everybody has was pruned");
            }
            Event::ReconcileBegun { peer } => {
                tracing::info!(%peer, "what both have is compared, as the peer's log is not enough");
            }
            Event::Reconciled { peer, records, dropped, mended } => {
                tracing::info!(%peer, records, dropped, mended, "everything that the peer had is here");
            }
            Event::Fork { origin, seq, peer } => {
                self.twins.insert(origin.device, time::now().wall_ms);
                tracing::error!(%peer, %origin, seq, "two branches of one stream: a device was cloned");
            }
            Event::HandedOver { peer, sets, more: false } => {
                tracing::info!(%peer, sets, "the peer has handed over what it has of the history");
            }
            Event::Mended { peer, records, left } => {
                tracing::info!(%peer, records, left, "what was damaged here is back");
            }
            Event::Renewed => {
                self.forget_marks();
                tracing::warn!("this device goes on under a new epoch of its shared lane");
            }
            Event::Twin { device } => {
                self.twins.insert(*device, time::now().wall_ms);
                tracing::error!(%device, "two copies of this device's data are in use");
            }
            Event::InDoubt(doubt) => {
                let doubt = *doubt;
                self.later(move |writer| {
                    if let Err(error) = guard::note_doubt(&mut writer.store, doubt) {
                        // It is told again at the next start.
                        tracing::warn!(%error, "what was in doubt stays noted as such");
                    }
                });
            }
            _ => tracing::debug!(?event),
        }
        self.tell_log(&event);
        self.counters.event(&event, time::now().steady_ms);
        for watch in &mut self.watches {
            watch.on_event(&event, &self.engine);
        }
    }

    /// The state that this device holds, durable and exact.
    pub(crate) fn state(&self) -> driftless_core::message::State {
        self.engine.state(&self.store)
    }

    /// All digests.
    pub(crate) fn digests(&self) -> driftless_core::digest::Digests {
        self.store.digests().clone()
    }
}
