//! Statuses for tests.

use driftless::core::engine::Phase;
use driftless::core::message::State;
use driftless::{
    Delivery, DeviceId, LibraryId, Member, PeerStatus, Standing, Status, Uuid, Why, WhyNot,
};

/// A member that was met; one that is away was seen at the beginning of time.
pub(crate) fn peer(name: &str, online: bool, behind: u64, ahead: u64) -> PeerStatus {
    let device = DeviceId([1; 32]);
    PeerStatus {
        member: Member {
            device,
            name: name.to_owned(),
            issued_by: device,
            issued_ms: 0,
            os: None,
            addresses: vec![],
            evicted: false,
            here: false,
        },
        online,
        paused: false,
        twin: false,
        behind,
        ahead,
        lag_ms: 0,
        acknowledged_ms_ago: None,
        rtt_ms: None,
        route: None,
        clock_offset_ms: None,
        last_seen_ms: (!online).then_some(0),
        last_failure: None,
        cause: None,
        next_attempt_ms: None,
        met: true,
        traffic: (0, 0),
        queued: 0,
    }
}

/// A library that syncs, has nothing and listens nowhere.
pub(crate) fn status(peers: Vec<PeerStatus>) -> Status {
    Status {
        library: LibraryId(Uuid::nil()),
        name: "home".into(),
        device: DeviceId([0; 32]),
        standing: Standing {
            phase: Phase::Ready,
            done: 0,
            total: 0,
            per_second: None,
            remaining_ms: None,
        },
        syncing: true,
        listen: vec![],
        state: State::default(),
        peers,
        counts: vec![],
        quarantined: 0,
        conflicts: 0,
        max_drift_ms: 60_000,
        twin: false,
        damage: driftless::Damage::default(),
        sizes: vec![],
    }
}

/// What is known of why these peers lack what they lack.
pub(crate) fn why(peers: &[PeerStatus]) -> Why {
    let delivery = |peer: &PeerStatus| {
        let offline = WhyNot::Offline { last_seen_ms: None, failure: None };
        let in_flight = WhyNot::InFlight { sent_ms: None, behind: peer.behind };
        let why = if peer.online { in_flight } else { offline.clone() };
        Delivery {
            device: peer.member.device,
            name: peer.member.name.clone(),
            here: false,
            has: peer.behind == 0,
            sent_ms: None,
            acknowledged_ms: None,
            heard_ms: None,
            behind: peer.behind,
            ahead: peer.ahead,
            clock_off_ms: None,
            why_not: if peer.behind > 0 { vec![why] } else { vec![] },
            unlinked: (!peer.online).then_some(offline),
            next: None,
        }
    };
    Why {
        records: vec![],
        change: None,
        devices: peers.iter().map(delivery).collect(),
        waiting: vec![],
    }
}
