//! How everything stands, at a glance.

use askama::Template;

use super::super::chart::{Chart, Range, charts};
use super::super::desk::{Desk, Frame};
use super::super::map::{Map, link, map, tone};
use super::super::words::{Moment, models, moment, round_trip};
use super::activity::{Line, lines};
use super::filled;
use crate::answer::{PeerState, StatusReport};
use crate::failure::Failure;
use crate::text::count;

/// What happened lately, at most.
const LATELY: u64 = 8;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    map: Map,
    devices: Vec<Row>,
    ranges: Vec<Range>,
    charts: Vec<Chart>,
    lately: Vec<Line>,
    counts: Vec<(String, String)>,
}

/// A device in the table.
struct Row {
    id: String,
    name: String,
    tone: &'static str,
    sign: &'static str,
    link: String,
    lag: String,
    round_trip: String,
    route: String,
    seen: Option<Moment>,
    failure: Option<String>,
}

pub(in super::super) fn page(desk: &Desk<'_>) -> Result<String, Failure> {
    let status = desk.status()?;
    let frame = desk.frame_of("/", &status);
    let (ranges, charts) = charts(desk)?;
    filled(&Overview {
        map: map(&status, frame.tone),
        frame,
        devices: status.peers.iter().map(|peer| row(peer, desk.now_ms)).collect(),
        ranges,
        charts,
        lately: lines(desk, LATELY, None)?,
        counts: counts(&status),
    })
}

fn counts(status: &StatusReport) -> Vec<(String, String)> {
    let counts: Vec<(String, u64)> =
        status.counts.iter().map(|(model, rows)| (model.clone(), *rows)).collect();
    models(&counts)
}

fn row(peer: &PeerState, now_ms: u64) -> Row {
    let tone = tone(peer);
    let (_, words) = link(peer);
    let lag = match (peer.behind, peer.ahead) {
        (0, 0) if peer.met => "none".to_owned(),
        (0, 0) => "not known".to_owned(),
        (behind, 0) => format!("{} behind", count(behind)),
        (0, ahead) => format!("{} to come", count(ahead)),
        (behind, ahead) => format!("{} behind, {} to come", count(behind), count(ahead)),
    };
    Row {
        id: peer.device_id.clone(),
        name: peer.name.clone(),
        tone: tone.class(),
        sign: tone.sign(),
        link: if peer.online { "online".to_owned() } else { words },
        lag,
        round_trip: round_trip(peer.rtt_ms).unwrap_or_default(),
        route: peer.route.clone().unwrap_or_default(),
        seen: peer.last_seen.as_deref().map(|seen| moment(seen, now_ms)),
        failure: peer.last_failure.clone().filter(|_| !peer.online),
    }
}
