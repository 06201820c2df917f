//! What the writer tells the event log, in words.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use driftless_core::engine::{Doubt, Event, Phase};
use driftless_core::id::DeviceId;
use driftless_core::member::Roster;
use driftless_core::message::Refusal;
use driftless_net::{Cause, Refusal as Ticketless};
use driftless_store::StoreError;
use tokio::sync::broadcast;

use super::{EventKind, Happened, Recorder, SyncEvent};
use crate::device::Device;
use crate::library::Library;
use crate::pace::Standing;
use crate::writer::Writer;
use crate::{reader, time};

/// Events that a subscriber may be behind before it misses some.
const EVENTS_KEPT: usize = 256;
/// By how much longer nothing is counted than counting took.
const IDLE: u32 = 100;

/// What was told last, so that only what is new is told.
pub(crate) struct Told {
    recorder: Recorder,
    sender: broadcast::Sender<SyncEvent>,
    /// The phase that was told, and the one that was seen last.
    phase: (&'static str, &'static str),
    /// When this device began to receive the library, on the steady clock.
    backfill: Option<u64>,
    quarantined: u64,
    conflicts: u64,
    /// When it may be counted again.
    count_after: Instant,
    /// Devices whose clocks are not followed.
    far: BTreeSet<DeviceId>,
    /// Why the files cannot be written.
    trouble: Option<EventKind>,
    /// Whether it was told how things were when the library was opened.
    opened: bool,
}

impl Told {
    pub(crate) fn new() -> Self {
        let (sender, _) = broadcast::channel(EVENTS_KEPT);
        Self {
            recorder: Recorder::default(),
            sender,
            phase: ("ready", "ready"),
            backfill: None,
            quarantined: 0,
            conflicts: 0,
            count_after: Instant::now(),
            far: BTreeSet::new(),
            trouble: None,
            opened: false,
        }
    }

    pub(crate) fn sender(&self) -> broadcast::Sender<SyncEvent> {
        self.sender.clone()
    }

    /// What waits in quarantine, as of the last count.
    pub(crate) fn quarantined(&self) -> u64 {
        self.quarantined
    }

    /// Why the files cannot be written now.
    pub(crate) fn trouble(&self) -> Option<EventKind> {
        self.trouble
    }
}

/// The name of a phase.
fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Uninitialized => "uninitialized",
        Phase::Backfilling { .. } => "backfilling",
        Phase::CatchingUp { .. } => "catching_up",
        Phase::Ready => "ready",
    }
}

/// The name of the reason why a link ended.
pub(crate) fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Unreachable => "unreachable",
        Cause::Stopped => "stopped",
        Cause::PausedHere => "paused_here",
        Cause::PausedThere => "paused_there",
        Cause::NotMemberHere => "not_member_here",
        Cause::NotMemberThere => "not_member_there",
        Cause::OtherVersion => "other_version",
        Cause::OtherLibrary => "other_library",
        Cause::UnwritableHere => "unwritable_here",
        Cause::UnwritableThere => "unwritable_there",
        Cause::DamagedHere => "damaged_here",
        Cause::DamagedThere => "damaged_there",
        Cause::Elsewhere => "elsewhere",
        Cause::Protocol => "protocol",
        Cause::Cut => "cut",
    }
}

fn refusal_name(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Version => "version",
        Refusal::Library => "library",
        Refusal::Protocol => "protocol",
    }
}

/// The kind of trouble that keeps the files from being written.
fn trouble(error: &StoreError) -> EventKind {
    match error {
        StoreError::Full { .. } => EventKind::DiskFull,
        StoreError::Io { source, .. }
            if matches!(
                source.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            ) =>
        {
            EventKind::DiskFull
        }
        _ => EventKind::Unwritable,
    }
}

/// Why a ticket was refused, by name.
fn ticket_name(refusal: Ticketless) -> &'static str {
    match refusal {
        Ticketless::UnknownTicket => "unknown",
        Ticketless::Used => "used",
        Ticketless::Expired => "expired",
        Ticketless::WrongProof => "wrong",
        Ticketless::NotInviting => "not_inviting",
        Ticketless::Busy => "busy",
        Ticketless::Failed => "failed",
    }
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

impl Library {
    /// Notes something that was done to sync by whoever uses the library.
    pub(crate) fn note(&self, happened: impl FnOnce(&Writer) -> Happened + Send + 'static) {
        let noted = self.call(|writer| {
            let happened = happened(writer);
            writer.record(happened);
        });
        if let Err(error) = noted {
            tracing::debug!(%error, "nothing is noted in a library that was closed");
        }
    }
}

impl Writer {
    /// Keeps an event.
    pub(crate) fn record(&mut self, happened: Happened) {
        let now = time::now();
        let store = &mut self.store;
        let place = || (store.next_event(), store.last_pos());
        let (row, tell) = self.told.recorder.record(happened, (now.wall_ms, now.steady_ms), place);
        self.store.note_event(row.clone());
        self.log_soon();
        if tell {
            // Nobody listening is no failure.
            drop(self.told.sender.send(SyncEvent::of(row)));
        }
    }

    /// What a device is called.
    pub(crate) fn called(&self, device: &DeviceId) -> String {
        let row: Result<Option<Device>, _> =
            reader::get(self.store.connection(), Device::row_id(device));
        // A row that is damaged, or not here yet, is no reason to tell nothing.
        let row = row.ok().flatten().map(|row| row.name);
        let certified = || self.roster.get(device).map(|certificate| certificate.name.clone());
        row.or_else(certified).unwrap_or_else(|| device.to_string())
    }

    /// Takes note of how things are when the library is opened, and tells what is odd about it.
    pub(crate) fn tell_opening(&mut self, doubt: Option<Doubt>) {
        self.told.conflicts = self.store.conflict_count();
        match self.store.quarantined() {
            Ok(count) => self.told.quarantined = count,
            Err(error) => tracing::warn!(%error, "the quarantine cannot be counted"),
        }
        if let Some(aside) = self.store.log_set_aside() {
            let words = format!("sync.db could not be used, and was moved to {}", aside.display());
            self.record(Happened::new(EventKind::LogLost, words));
        } else if self.store.log_incomplete() {
            let words = "change sets were missing from sync.db: the log was deleted or put back";
            self.record(Happened::new(EventKind::LogLost, words));
        }
        if doubt.is_some() {
            self.tell_doubt(doubt);
        }
        self.told.opened = true;
    }

    fn tell_doubt(&mut self, doubt: Option<Doubt>) {
        self.record(match doubt {
            Some(_) => Happened::new(
                EventKind::InDoubt,
                "the machine has booted: until another device is met it is not certain that all that \
                 this one wrote is here",
            ),
            None => Happened::new(EventKind::DoubtSettled, "all that this device wrote is here"),
        });
    }

    /// Tells what the engine told, where that is of interest later.
    pub(crate) fn tell_log(&mut self, event: &Event) {
        let happened = match event {
            Event::Met { peer, .. } => return self.tell_clock(peer),
            Event::Compared { peer, differ } if !differ.is_empty() => {
                let models: Vec<String> =
                    differ.iter().map(|model| self.schema.name_of(*model)).collect();
                let name = self.called(peer);
                let words = format!("{name} holds other data, in {}", models.join(", "));
                Happened::new(EventKind::Diverged, words).about(peer).with("models", models)
            }
            Event::Fork { origin, peer, seq } => {
                let name = self.called(&origin.device);
                let words = format!("what {name} wrote has two branches: it was copied");
                let happened = Happened::new(EventKind::Twin, words).about(&origin.device);
                happened.with("seen_at", peer.to_string()).with("seq", *seq)
            }
            Event::Twin { device } => {
                let words = format!("two copies of the data of {} are in use", self.called(device));
                Happened::new(EventKind::Twin, words).about(device)
            }
            Event::Renewed => Happened::new(
                EventKind::Renewed,
                "this device goes on under a new epoch: its directory was older than what it had written",
            ),
            Event::InDoubt(doubt) => return self.tell_doubt(*doubt),
            Event::Pruned { sets, tombstones } if sets.saturating_add(*tombstones) > 0 => {
                let words = format!(
                    "{} and {} that everybody has were pruned",
                    count(*sets, "change set", "change sets"),
                    count(*tombstones, "tombstone", "tombstones")
                );
                let happened = Happened::new(EventKind::Pruned, words);
                happened.with("sets", *sets).with("tombstones", *tombstones)
            }
            Event::ReconcileBegun { peer } => {
                let words = format!("what both have is compared with {}", self.called(peer));
                Happened::new(EventKind::ReconcileBegun, words).about(peer)
            }
            Event::Reconciled { peer, records, dropped, mended } => {
                let kind = if *mended { EventKind::Repaired } else { EventKind::Reconciled };
                let (name, many) = (self.called(peer), count(*records, "record", "records"));
                let words = format!("everything that {name} had is here; {many} differed");
                let happened = Happened::new(kind, words).about(peer);
                happened.with("records", *records).with("dropped", *dropped)
            }
            Event::ReconcileAbandoned { peer } => {
                let words =
                    format!("comparing with {} was cut off; it begins again", self.called(peer));
                Happened::new(EventKind::ReconcileAbandoned, words).about(peer)
            }
            Event::Damaged { records } => {
                let many = count(*records, "record was", "records were");
                let words = format!("{many} damaged here; they are asked of other devices");
                Happened::new(EventKind::Damaged, words).with("records", *records)
            }
            Event::Mended { peer, records, left } => {
                let many = count(*records, "damaged record is", "damaged records are");
                let words = format!("{many} back; {left} are missing still");
                let happened = Happened::new(EventKind::Mended, words).about(peer);
                happened.with("records", *records).with("left", *left)
            }
            _ => return,
        };
        self.record(happened);
    }

    /// Members that are new.
    pub(crate) fn tell_members(&mut self, roster: &Roster) {
        let new = roster.certificates().filter(|new| !self.roster.contains(&new.device));
        let new: Vec<Happened> = new
            .map(|new| {
                let by = self.called(&new.issued_by);
                let words = format!("{} is a member, let in by {by}", new.name);
                Happened::new(EventKind::MemberJoined, words).about(&new.device)
            })
            .collect();
        new.into_iter().for_each(|happened| self.record(happened));
    }

    /// Members that are not waited for any more, or are again.
    pub(crate) fn tell_evicted(&mut self, before: &BTreeSet<DeviceId>) {
        if !self.told.opened {
            return;
        }
        let told = |device: &DeviceId, kind, words| {
            Happened::new(kind, format!("{} {words}", self.called(device))).about(device)
        };
        let gone = self.evicted.difference(before);
        let gone =
            gone.map(|gone| told(gone, EventKind::MemberEvicted, "is not waited for any more"));
        let back = before.difference(&self.evicted);
        let back = back.map(|back| told(back, EventKind::MemberBack, "counts again"));
        let all: Vec<Happened> = gone.chain(back).collect();
        all.into_iter().for_each(|happened| self.record(happened));
    }

    /// Links that were cut on purpose, or may be made again.
    pub(crate) fn links_told(&self, kind: EventKind, peer: Option<DeviceId>) -> Happened {
        let whom = peer.map_or_else(|| "all devices".to_owned(), |peer| self.called(&peer));
        let done = if kind == EventKind::Paused { "paused" } else { "resumed" };
        let happened = Happened::new(kind, format!("links with {whom} were {done}"));
        match peer {
            Some(peer) => happened.about(&peer),
            None => happened,
        }
    }

    /// A ticket was refused. Which one is nobody's business.
    pub(crate) fn tell_ticket(&mut self, refusal: Ticketless) {
        let words = format!("a ticket was refused: {refusal}");
        self.record(
            Happened::new(EventKind::TicketRefused, words).with("why", ticket_name(refusal)),
        );
    }

    /// A clock that is too far off is told once, and once when it is not any more.
    fn tell_clock(&mut self, peer: &DeviceId) {
        let offset = self.meetings.get(peer).and_then(|meeting| meeting.clock_offset_ms);
        let offset = offset.unwrap_or(0);
        let far = offset.unsigned_abs() > self.engine.max_drift_ms();
        let new = if far { self.told.far.insert(*peer) } else { self.told.far.remove(peer) };
        if !new {
            return;
        }
        let name = self.called(peer);
        let (kind, words) = match (far, offset > 0) {
            (false, _) => (EventKind::ClockAgrees, format!("the clock of {name} is right again")),
            (true, ahead) => {
                let side = if ahead { "ahead of" } else { "behind" };
                let by = offset.unsigned_abs() / 1_000;
                let words = format!(
                    "the clock of {name} is {by} s {side} this one's: its times are not followed"
                );
                (EventKind::ClockRefused, words)
            }
        };
        self.record(Happened::new(kind, words).about(peer).with("offset_ms", offset));
    }

    /// A link stands.
    pub(crate) fn tell_link_up(&mut self, peer: &DeviceId, route: &str) {
        let words = format!("{} is connected ({route})", self.called(peer));
        self.record(Happened::new(EventKind::LinkUp, words).about(peer).with("route", route));
    }

    /// A link ended.
    pub(crate) fn tell_link_lost(&mut self, peer: &DeviceId, cause: Cause, reason: &str) {
        let words = format!("{} is not connected any more: {reason}", self.called(peer));
        let happened = Happened::new(EventKind::LinkLost, words).about(peer);
        self.record(happened.with("cause", cause_name(cause)).with("reason", reason));
    }

    /// Somebody was turned away at the door.
    pub(crate) fn tell_turned_away(&mut self, peer: &DeviceId, cause: Cause) {
        let why = match cause {
            Cause::PausedHere => "its links are paused on this device",
            Cause::NotMemberHere => "it is no member of this library",
            _ => "this device has nothing to do with it now",
        };
        let name = self.called(peer);
        let happened = Happened::new(EventKind::LinkRefused, format!("{name} was refused: {why}"));
        // Strangers are told of together, as there can be any number of them.
        let known = self.roster.contains(peer);
        let happened = if known { happened.about(peer) } else { happened };
        self.record(happened.with("key", peer.to_string()).with("cause", cause_name(cause)));
    }

    /// A message was refused, here or by the peer.
    pub(crate) fn tell_refusal(
        &mut self,
        peer: &DeviceId,
        refusal: Refusal,
        by_us: bool,
        text: &str,
    ) {
        let name = self.called(peer);
        let words = match by_us {
            true => format!("a message of {name} was refused: {text}"),
            false => format!("{name} refused a message: {text}"),
        };
        let happened = Happened::new(EventKind::MessageRefused, words).about(peer);
        let by = if by_us { "here" } else { "there" };
        self.record(happened.with("why", refusal_name(refusal)).with("by", by));
    }

    /// The files cannot be written. It is told once, until they can.
    pub(crate) fn tell_trouble(&mut self, error: &StoreError) {
        if matches!(error, StoreError::Damaged { .. }) {
            return;
        }
        let kind = trouble(error);
        if self.told.trouble.replace(kind) != Some(kind) {
            self.record(Happened::new(kind, error.to_string()));
        }
    }

    /// A transaction went well.
    pub(crate) fn tell_writable(&mut self) {
        if self.told.trouble.take().is_some() {
            self.record(Happened::new(EventKind::Writable, "the files can be written again"));
        }
    }

    /// The phase, if it is another one. To be catching up for a moment is not worth a word.
    pub(crate) fn tell_phase(&mut self, standing: &Standing) {
        let name = phase_name(&standing.phase);
        let (told, seen) = self.told.phase;
        self.told.phase.1 = name;
        if name == told || (name == "catching_up" && seen != name) {
            return;
        }
        self.told.phase.0 = name;
        let words = format!("this device is {}", name.replace('_', " "));
        self.record(Happened::new(EventKind::Phase, words).with("from", told).with("to", name));
        let now = time::now().steady_ms;
        if let Phase::Backfilling { peer, total, .. } = standing.phase {
            self.told.backfill = Some(now);
            let words = format!("the library is received from {}", self.called(&peer));
            let happened = Happened::new(EventKind::BackfillBegun, words).about(&peer);
            self.record(happened.with("change_sets", total));
        } else if let Some(began) = self.told.backfill.take() {
            let ms = now.saturating_sub(began);
            let rows = self.digests().values().map(|digest| digest.rows).sum::<u64>();
            let words = format!("the library was received: {rows} records in {} s", ms / 1_000);
            let happened = Happened::new(EventKind::BackfillFinished, words);
            self.record(happened.with("records", rows).with("ms", ms));
        }
    }

    /// How much waits in quarantine and how much is in conflict, if that has changed. When it is to be
    /// counted again, if it was too early.
    pub(crate) fn tell_counts(&mut self) -> Option<Duration> {
        let (before, now) = (self.told.conflicts, self.store.conflict_count());
        self.told.conflicts = now;
        let open = count(now, "conflict is open", "conflicts are open");
        match now.cmp(&before) {
            std::cmp::Ordering::Equal => {}
            order => {
                let more = order.is_gt();
                let kind = if more { EventKind::ConflictOpened } else { EventKind::ConflictClosed };
                let happened = Happened::new(kind, open).with("open", now);
                self.record(happened.with("before", before));
            }
        }
        let wait = self.told.count_after.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            return Some(wait);
        }
        let began = Instant::now();
        match self.store.quarantined() {
            Ok(now) => self.tell_quarantine(now),
            Err(error) => tracing::warn!(%error, "the quarantine cannot be counted"),
        }
        self.told.count_after = Instant::now() + began.elapsed() * IDLE;
        None
    }

    fn tell_quarantine(&mut self, now: u64) {
        let before = std::mem::replace(&mut self.told.quarantined, now);
        if now == before {
            return;
        }
        let kind = if now > before { EventKind::Quarantined } else { EventKind::Released };
        let words = count(now, "record or field waits", "records or fields wait");
        let happened = Happened::new(kind, format!("{words} in quarantine"));
        self.record(happened.with("waiting", now).with("before", before));
    }
}
