//! What the writer counts while it works. Plain numbers on its own thread: counting takes no lock.

use std::collections::BTreeMap;
use std::time::Duration;

use driftless_core::change::ChangeSet;
use driftless_core::engine::{Event, ModelCounts, Phase};
use driftless_core::id::DeviceId;
use driftless_core::message::Message;
use driftless_core::page::PageReader;
use driftless_core::schema::Schema;

/// Bounds of the buckets of histograms, in seconds: from a commit on a quick disk to a device that was
/// away.
pub(crate) const BOUNDS: [f64; 16] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0,
    3_600.0,
];
/// Origins of change sets that arrived in one batch whose age is looked at.
const ARRIVALS: usize = 16;

/// How often something took how long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    /// By bucket; the last has no bound.
    pub(crate) buckets: [u64; BOUNDS.len() + 1],
    pub(crate) seconds: f64,
}

impl Histogram {
    pub(crate) fn observe(&mut self, seconds: f64) {
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket] += 1;
        self.seconds += seconds;
    }
}

/// Which way messages go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Direction {
    /// To this device.
    Received,
    /// From it.
    Sent,
}

impl Direction {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}

/// Messages of one kind in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Change sets in them.
    pub(crate) sets: u64,
}

/// What is remembered of a peer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PeerTimes {
    /// Since when it lacks something, on the steady clock.
    pub(crate) behind_since: Option<u64>,
    /// When it acknowledged something last, on the steady clock.
    pub(crate) acknowledged: Option<u64>,
    pub(crate) connections: u64,
}

/// All of it, since the library was opened.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    pub(crate) commit: Histogram,
    pub(crate) apply: Histogram,
    pub(crate) propagation: Histogram,
    pub(crate) failures: u64,
    /// By direction and kind.
    pub(crate) traffic: BTreeMap<(Direction, &'static str), Traffic>,
    /// Changes in change sets, and pages of rows, that came from others.
    pub(crate) received: ModelCounts,
    /// The same of what went to others.
    pub(crate) sent: ModelCounts,
    /// Whether data came in this batch.
    carried: bool,
    pub(crate) transitions: BTreeMap<&'static str, u64>,
    phase: Option<&'static str>,
    /// What happened, by name.
    pub(crate) events: BTreeMap<&'static str, u64>,
    pub(crate) peers: BTreeMap<DeviceId, PeerTimes>,
    /// By whom the change sets were written that this batch brought, and when, Unix milliseconds.
    arrivals: Vec<(DeviceId, u64)>,
}

/// Names of what is counted of the engine's events, so that each is there from the beginning.
pub(crate) const EVENTS: [&str; 9] = [
    "divergence",
    "fork",
    "mended_records",
    "pruned_change_sets",
    "pruned_tombstones",
    "reconcile_begun",
    "reconciled",
    "reconciled_records",
    "twin",
];

impl Counters {
    /// None yet, of a library with this schema.
    pub(crate) fn of(schema: &Schema) -> Self {
        Self {
            commit: Histogram::default(),
            apply: Histogram::default(),
            propagation: Histogram::default(),
            failures: 0,
            traffic: BTreeMap::new(),
            received: ModelCounts::of(schema),
            sent: ModelCounts::of(schema),
            carried: false,
            transitions: BTreeMap::new(),
            phase: None,
            events: BTreeMap::new(),
            peers: BTreeMap::new(),
            arrivals: Vec::new(),
        }
    }

    /// A batch ended well; whether it was one of local writes. One that brought no data tells nothing
    /// of how long that takes.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    pub(crate) fn batch(&mut self, local: bool, took: Duration) {
        let carried = std::mem::take(&mut self.carried);
        if local {
            self.commit.observe(took.as_secs_f64());
        } else if carried {
            self.apply.observe(took.as_secs_f64());
        }
    }

    /// A message came, or went to this many.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    pub(crate) fn message(
        &mut self,
        direction: Direction,
        message: &Message,
        bytes: usize,
        to: usize,
    ) {
        let sets = match message {
            Message::Changes(changes) => changes.sets.len(),
            _ => 0,
        };
        let traffic = self.traffic.entry((direction, message.name())).or_default();
        traffic.messages += to as u64;
        traffic.bytes += (bytes * to) as u64;
        traffic.sets += (sets * to) as u64;
        self.models(direction, message, to as u64);
    }

    /// Which models the data of a message is about.
    fn models(&mut self, direction: Direction, message: &Message, to: u64) {
        let counts = match direction {
            Direction::Received => &mut self.received,
            Direction::Sent => &mut self.sent,
        };
        let mut add = |model| counts.add(model, to);
        match message {
            Message::Changes(changes) => {
                changes.sets.iter().flat_map(ChangeSet::models).for_each(add);
            }
            // Whoever applies a page that cannot be read refuses it.
            Message::Page(page) => {
                let models = PageReader::new(&page.rows).map(|rows| rows.models().to_vec());
                models.into_iter().flatten().for_each(|model| add(model.model));
            }
            _ => {}
        }
    }

    /// Change sets came, from their author: how old they are is known when they are visible.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    pub(crate) fn arrived(&mut self, from: DeviceId, message: &Message) {
        self.carried |= message.is_bulk() || matches!(message, Message::Changes(_));
        let Message::Changes(changes) = message else { return };
        let last = changes.sets.last().map(|set| set.header());
        if let Some(last) = last.filter(|last| last.origin.device == from)
            && self.arrivals.len() < ARRIVALS
        {
            self.arrivals.push((from, last.hlc.ms()));
        }
    }

    /// What came is visible. `clock` says how far a device's clock is ahead, in milliseconds.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    pub(crate) fn visible(&mut self, now_ms: u64, clock: impl Fn(&DeviceId) -> i64) {
        for (device, written) in self.arrivals.drain(..) {
            let written = written.saturating_add_signed(clock(&device).saturating_neg());
            #[expect(clippy::cast_precision_loss, reason = "ages are far below 2^52 ms")]
            let seconds = now_ms.saturating_sub(written) as f64 / 1e3;
            self.propagation.observe(seconds);
        }
    }

    pub(crate) fn lost(&mut self) {
        self.failures += 1;
        self.arrivals.clear();
        self.carried = false;
    }

    /// The phase may be another one.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    pub(crate) fn phase(&mut self, phase: &Phase) {
        let name = phase_name(phase);
        if self.phase.replace(name).is_some_and(|before| before != name) {
            *self.transitions.entry(name).or_default() += 1;
        }
    }

    /// The engine tells of something.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    pub(crate) fn event(&mut self, event: &Event, now_ms: u64) {
        let mut add = |name, count| *self.events.entry(name).or_default() += count;
        match event {
            Event::PeerState { peer } => {
                self.peers.entry(*peer).or_default().acknowledged = Some(now_ms);
            }
            Event::Compared { differ, .. } if !differ.is_empty() => add("divergence", 1),
            Event::Pruned { sets, tombstones } => {
                add("pruned_change_sets", *sets);
                add("pruned_tombstones", *tombstones);
            }
            Event::ReconcileBegun { .. } => add("reconcile_begun", 1),
            Event::Reconciled { records, .. } => {
                add("reconciled", 1);
                add("reconciled_records", *records);
            }
            Event::Mended { records, .. } => add("mended_records", *records),
            Event::Fork { .. } => add("fork", 1),
            Event::Twin { .. } => add("twin", 1),
            _ => {}
        }
    }

    /// Whether a peer lacks something, at this moment of the steady clock. Returns since when.
    pub(crate) fn behind(&mut self, peer: DeviceId, behind: bool, now_ms: u64) -> Option<u64> {
        let times = self.peers.entry(peer).or_default();
        times.behind_since = behind.then(|| times.behind_since.unwrap_or(now_ms));
        times.behind_since
    }
}

/// The word for a phase.
pub(crate) fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Uninitialized => "uninitialized",
        Phase::Backfilling { .. } => "backfilling",
        Phase::CatchingUp { .. } => "catching_up",
        Phase::Ready => "ready",
    }
}
