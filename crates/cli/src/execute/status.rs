//! `status` and `digest`.

use std::collections::BTreeMap;

use driftless::core::engine::Phase;
use driftless::core::id::Origin;
use driftless::{Library, Member, PeerStatus, Room, Standing, Status};

use super::verdict::verdict;
use super::{Context, gone};
use crate::answer::{
    Answer, Backfill, PeerState, PhaseProgress, RoomReport, SizesReport, StatusReport,
};
use crate::daemon::Background;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

pub(super) fn run(context: Context<'_>, out: &mut dyn Output) -> Result<Exit, Failure> {
    let status = context.library.status()?;
    let members = context.library.members()?;
    let here = members.iter().find(|member| member.here);
    let mut report = report(&status, here, text::now_ms());
    let http = context.background.and_then(Background::http);
    report.http = http.map(|place| place.address.to_string());
    match context.library.room() {
        Ok(room) => report.sizes.parts = Some(parts(&room)),
        // How things stand is told all the same, of a damaged file above all.
        Err(error) => report.sizes.problem = Some(error.to_string()),
    }
    out.answer(Answer::Status(Box::new(report))).map_err(gone)?;
    Ok(Exit::Done)
}

/// How things stand, but for what takes longer to measure.
pub(crate) fn glance(library: &Library) -> Result<StatusReport, Failure> {
    let status = library.status()?;
    let members = library.members()?;
    let here = members.iter().find(|member| member.here);
    Ok(report(&status, here, text::now_ms()))
}

pub(super) fn digest(context: Context<'_>, out: &mut dyn Output) -> Result<Exit, Failure> {
    let digests = context.library.digests()?.into_iter().collect();
    out.answer(Answer::Digests(digests)).map_err(gone)?;
    Ok(Exit::Done)
}

fn report(status: &Status, here: Option<&Member>, now_ms: u64) -> StatusReport {
    let (phase, backfill, missing) = phase(&status.standing.phase);
    StatusReport {
        device_id: status.device.to_string(),
        device: here.map_or_else(String::new, |member| member.name.clone()),
        library_id: status.library.to_string(),
        library: status.name.clone(),
        phase: phase.to_owned(),
        backfill,
        missing,
        progress: (status.standing.total > 0).then(|| phase_progress(&status.standing)),
        verdict: verdict(status, now_ms),
        syncing: status.syncing,
        http: None,
        listen: status.listen.clone(),
        vector: vector(status),
        peers: status.peers.iter().map(peer).collect(),
        counts: status.counts.iter().cloned().collect(),
        quarantined: status.quarantined,
        conflicts: status.conflicts,
        twin: status.twin,
        damage: (&status.damage).into(),
        sizes: SizesReport { files: status.sizes.iter().cloned().collect(), ..Default::default() },
    }
}

fn parts(room: &Room) -> RoomReport {
    RoomReport {
        sync: room.sync(),
        rows: room.rows,
        indexes: room.indexes,
        stamps: room.stamps,
        sync_indexes: room.sync_indexes,
        tombstones: room.tombstones,
        log: room.log,
        history: room.history,
        state: room.state,
        free: room.free,
        change_sets: room.change_sets,
        tombstone_rows: room.tombstone_rows,
    }
}

/// How far a phase is.
pub(crate) fn phase_progress(standing: &Standing) -> PhaseProgress {
    let (name, backfill, _) = phase(&standing.phase);
    PhaseProgress {
        phase: name.to_owned(),
        peer: backfill.map(|backfill| backfill.peer),
        done: standing.done,
        total: standing.total,
        percent: standing.percent(),
        per_second: standing.per_second,
        remaining_seconds: standing.remaining_ms.map(|ms| ms.div_ceil(1_000)),
    }
}

fn phase(phase: &Phase) -> (&'static str, Option<Backfill>, u64) {
    match *phase {
        Phase::Uninitialized => ("uninitialized", None, 0),
        Phase::Backfilling { peer, done, total } => {
            ("backfilling", Some(Backfill { peer: peer.to_string(), done, total }), 0)
        }
        Phase::CatchingUp { behind } => ("catching_up", None, behind),
        Phase::Ready => ("ready", None, 0),
    }
}

fn vector(status: &Status) -> BTreeMap<String, u64> {
    let shared = status.state.shared.iter().map(|(origin, head)| (*origin, head.seq));
    let owned = status.state.owned.iter();
    let owned = owned.map(|(device, head)| (Origin::owned(*device, head.life.epoch), head.seq));
    shared.chain(owned).map(|(origin, seq)| (origin.to_string(), seq)).collect()
}

fn peer(peer: &PeerStatus) -> PeerState {
    PeerState {
        device_id: peer.member.device.to_string(),
        name: peer.member.name.clone(),
        online: peer.online,
        behind: peer.behind,
        ahead: peer.ahead,
        lag_ms: peer.lag_ms,
        acked_ms_ago: peer.acknowledged_ms_ago,
        rtt_ms: peer.rtt_ms,
        clock_offset_ms: peer.clock_offset_ms,
        acked: peer.met && peer.behind == 0,
        met: peer.met,
        evicted: peer.member.evicted,
        paused: peer.paused,
        twin: peer.twin,
        route: peer.route.clone(),
        last_seen: peer.last_seen_ms.map(text::time),
        last_failure: peer.last_failure.clone(),
    }
}
