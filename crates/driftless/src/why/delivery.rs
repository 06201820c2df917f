//! Where a change is, device by device: what the writer knows of it.

use driftless_core::id::DeviceId;
use driftless_core::message::{Refusal, State};
use driftless_core::neighbours::ALL_UP_TO;
use driftless_core::store::{Missing, Store as _};
use driftless_net::{Cause, Net};

use super::needs::Needs;
use super::{Delivery, NextStep, WhyNot};
use crate::event_log::EventKind;
use crate::members::Member;
use crate::time;
use crate::writer::{Meeting, Writer};

/// Bytes that wait for a peer, from which on its link counts as slow.
const MUCH: usize = 64 << 10;
/// A round trip in milliseconds from which on a link counts as slow, and how long an acknowledgement
/// may take on one that is not.
const LONG_MS: u64 = 2_000;
/// For how long a peer that has just cut the link as it cannot write is taken at its word, though it is
/// connected again.
const TAKEN_AT_ITS_WORD_MS: u64 = 30_000;

impl Writer {
    /// What was damaged here and is not back.
    pub(super) fn missing_places(&self) -> Missing {
        self.store.missing().clone()
    }

    /// All devices, this one first. `lacking` tells that this device itself lacks it.
    pub(super) fn deliveries(
        &self,
        mut members: Vec<Member>,
        needs: &Needs,
        lacking: bool,
    ) -> Vec<Delivery> {
        members.sort_by_key(|member| !member.here);
        members.into_iter().map(|member| self.delivery(member, needs, lacking)).collect()
    }

    fn delivery(&self, member: Member, needs: &Needs, lacking: bool) -> Delivery {
        let device = member.device;
        let lag =
            if member.here { Default::default() } else { self.engine.lag(&self.store, &device) };
        let acked = self.store.acknowledged(&device);
        let holds = self.holds(&device);
        let has = match (member.here, &holds) {
            (true, _) => !lacking,
            (false, None) => false,
            (false, Some(_)) if needs.everything => lag.behind == 0,
            (false, Some(holds)) => needs.are_met_by(&device, holds),
        };
        let fallback = Meeting::default();
        let meeting = self.meetings.get(&device).unwrap_or(&fallback);
        let own = self.engine.shared_origin();
        let seq = match needs.everything {
            true => Some(self.store.vector().seq(&own)),
            false => needs.last_of(&own),
        };
        let mut why_not = match member.here {
            true => vec![WhyNot::NotHere],
            false => self.why_not(&member, meeting, (seq, lag.behind)),
        };
        let linked = |why: &WhyNot| {
            matches!(why, WhyNot::NotHere | WhyNot::InFlight { .. } | WhyNot::SlowLink { .. })
        };
        let unlinked = why_not.last().filter(|why| !linked(why)).cloned();
        if has {
            why_not.clear();
        }
        let awaited = why_not.last().or(unlinked.as_ref());
        let next = awaited.map(|why| self.next_step(&device, why));
        let drift = self.engine.max_drift_ms();
        Delivery {
            name: member.name,
            here: member.here,
            has,
            sent_ms: seq.and_then(|seq| meeting.sent.when(seq)),
            acknowledged_ms: seq.and_then(|seq| meeting.acked.when(seq)).filter(|_| has),
            heard_ms: acked.map(|acked| acked.heard_ms).filter(|heard| *heard > 0),
            behind: lag.behind,
            ahead: lag.ahead,
            clock_off_ms: meeting.clock_offset_ms.filter(|ms| ms.unsigned_abs() > drift),
            next,
            unlinked,
            why_not,
            device,
        }
    }

    /// What a peer is known to hold: as it says now, else as it said last.
    fn holds(&self, device: &DeviceId) -> Option<State> {
        if let Some(known) = self.engine.known(device) {
            return Some(known.clone());
        }
        let acked = self.store.acknowledged(device)?.clone();
        Some(State { shared: acked.shared, owned: acked.owned })
    }

    /// Why a member lacks something; what has to be seen to first comes last.
    fn why_not(
        &self,
        member: &Member,
        meeting: &Meeting,
        (seq, behind): (Option<u64>, u64),
    ) -> Vec<WhyNot> {
        let device = &member.device;
        let mut why = Vec::new();
        if member.evicted {
            why.push(WhyNot::Evicted);
        }
        if self.is_twin(device) {
            why.push(WhyNot::Twin);
        }
        let Some(net) = self.net.as_deref() else {
            why.push(WhyNot::SyncOff);
            return why;
        };
        if self.watchman.unsound().is_some() {
            why.push(WhyNot::DamagedHere);
        } else if let Some(kind) = self.told.trouble() {
            why.push(WhyNot::UnwritableHere { full: kind == EventKind::DiskFull });
        } else if net.is_paused(device) {
            why.push(WhyNot::PausedHere);
        } else if self.engine.is_ready(device) && !cannot_write(meeting) {
            why.push(self.on_its_way(net, device, meeting, (seq, behind)));
        } else {
            why.push(self.not_connected(net, device, meeting));
        }
        why
    }

    /// Why a member that is connected does not have it yet.
    fn on_its_way(
        &self,
        net: &Net,
        device: &DeviceId,
        meeting: &Meeting,
        (seq, behind): (Option<u64>, u64),
    ) -> WhyNot {
        let sent_ms = seq.and_then(|seq| meeting.sent.when(seq));
        let (live, bulk) = net.queued(device);
        let rtt = net.rtt(device);
        let long = rtt.is_some_and(|rtt| rtt.as_millis() >= u128::from(LONG_MS));
        let own = self.engine.shared_origin();
        let held = self.engine.known(device).map_or(0, |known| known.shared.seq(&own));
        let awaited = meeting.sent.when(held.saturating_add(1));
        let late = awaited.is_some_and(|sent| time::wall_ms().saturating_sub(sent) > LONG_MS);
        if live + bulk >= MUCH || long || late {
            let rtt_ms = rtt.map(|rtt| rtt.as_secs_f64() * 1e3);
            return WhyNot::SlowLink { queued: (live + bulk) as u64, rtt_ms, behind };
        }
        WhyNot::InFlight { sent_ms, behind }
    }

    /// Why a member is not connected.
    fn not_connected(&self, net: &Net, device: &DeviceId, meeting: &Meeting) -> WhyNot {
        if cannot_write(meeting) {
            return WhyNot::UnwritableThere;
        }
        if let Some((Refusal::Version, _)) = meeting.refusal {
            return WhyNot::OtherVersion;
        }
        let failure = net.last_failure(device);
        match net.cause(device) {
            Some(Cause::OtherVersion) => return WhyNot::OtherVersion,
            Some(Cause::PausedThere) => return WhyNot::PausedThere,
            Some(Cause::NotMemberThere) => return WhyNot::NotMemberThere,
            Some(Cause::OtherLibrary) => return WhyNot::OtherLibrary,
            Some(Cause::UnwritableThere) => return WhyNot::UnwritableThere,
            Some(Cause::DamagedThere) => return WhyNot::DamagedThere,
            Some(Cause::DamagedHere) => return WhyNot::DamagedHere,
            Some(Cause::UnwritableHere) => return WhyNot::UnwritableHere { full: false },
            _ => {}
        }
        if self.roster.len() > ALL_UP_TO && !self.neighbourhood.is_neighbour(device) {
            return WhyNot::NoNeighbour;
        }
        match self.last_seen_ms(device) {
            None => WhyNot::NeverMet { failure },
            last_seen_ms => WhyNot::Offline { last_seen_ms, failure },
        }
    }

    /// When a member was heard last: in this process, or else when it acknowledged something.
    pub(crate) fn last_seen_ms(&self, device: &DeviceId) -> Option<u64> {
        let met = self.meetings.get(device).and_then(|meeting| meeting.last_seen_ms);
        let heard = self.store.acknowledged(device).map(|acked| acked.heard_ms);
        met.max(heard.filter(|heard| *heard > 0))
    }

    fn next_step(&self, device: &DeviceId, why: &WhyNot) -> NextStep {
        match why {
            WhyNot::SyncOff => NextStep::WhenSyncIsOn,
            WhyNot::InFlight { .. } | WhyNot::SlowLink { .. } | WhyNot::NoNeighbour => {
                NextStep::OnItsWay
            }
            WhyNot::Offline { .. } | WhyNot::NeverMet { .. } => {
                let attempt = self.net.as_ref().and_then(|net| net.next_attempt(device));
                let ms = attempt.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
                ms.map_or(NextStep::WhenItComes, |ms| NextStep::DialIn { ms })
            }
            _ => NextStep::ByHand,
        }
    }
}

/// Whether a peer has ended the last link a moment ago as it cannot write.
fn cannot_write(meeting: &Meeting) -> bool {
    meeting.ended.is_some_and(|(cause, at)| {
        let ago = time::now().steady_ms.saturating_sub(at);
        cause == Cause::UnwritableThere && ago < TAKEN_AT_ITS_WORD_MS
    })
}
