//! A device: its facts, and what happened with it.

use askama::Template;

use super::super::desk::{Desk, Frame};
use super::super::map::{link, tone};
use super::super::words::{minute, round_trip};
use super::activity::{Line, devices, lines};
use super::filled;
use crate::answer::{DeviceRow, PeerRow, PeerState, Rows};
use crate::args::LibraryCommand;
use crate::failure::Failure;
use crate::text::{bytes, count, duration};

/// What happened lately, at most.
const LATELY: u64 = 60;

#[derive(Template)]
#[template(path = "device.html")]
struct Device {
    frame: Frame,
    id: String,
    name: String,
    here: bool,
    tone: &'static str,
    sign: &'static str,
    state: String,
    paused: bool,
    evicted: bool,
    facts: Vec<(&'static str, String)>,
    lately: Vec<Line>,
    back: String,
}

pub(in super::super) fn page(desk: &Desk<'_>) -> Result<String, Failure> {
    let wanted = desk.query.text("id").unwrap_or_default();
    let device = devices(desk)?.into_iter().find(|device| device.id == wanted);
    let device = device.ok_or_else(|| {
        Failure::not_found("no_device", "no device of this library has that id")
            .next("driftless devices")
    })?;
    let status = desk.status()?;
    let frame = desk.frame_of("/", &status);
    let peer = status.peers.into_iter().find(|peer| peer.device_id == device.id);
    let links = desk.list(LibraryCommand::Peers { command: None }, |rows| match rows {
        Rows::Peers(rows) => Some(rows),
        _ => None,
    })?;
    let traffic = links.into_iter().find(|link| link.device_id == device.id);
    let tone = peer.as_ref().map_or(frame.tone, tone);
    let state = peer.as_ref().map_or_else(|| "this device".to_owned(), |peer| link(peer).1);
    filled(&Device {
        back: format!("/device?id={}", device.id),
        lately: lines(desk, LATELY, Some(device.id.clone()))?,
        facts: facts(&device, peer.as_ref(), traffic.as_ref()),
        here: device.here,
        tone: tone.class(),
        sign: tone.sign(),
        state,
        paused: peer.as_ref().is_some_and(|peer| peer.paused),
        evicted: peer.as_ref().is_some_and(|peer| peer.evicted),
        id: device.id,
        name: device.name,
        frame,
    })
}

/// What is known of it; what is not is left out.
fn facts(
    device: &DeviceRow,
    peer: Option<&PeerState>,
    traffic: Option<&PeerRow>,
) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Id", device.id.clone()), ("Member since", minute(&device.since))];
    if !device.invited_by.is_empty() {
        facts.push(("Invited by", device.invited_by.clone()));
    }
    facts.extend(device.os.clone().map(|os| ("System", os)));
    let addresses: Vec<String> = device.addresses.iter().map(ToString::to_string).collect();
    if !addresses.is_empty() {
        facts.push(("Addresses", addresses.join(", ")));
    }
    if let Some(peer) = peer {
        let met = if peer.met { count(peer.behind) } else { "not known".to_owned() };
        facts.push(("Changes it lacks", met));
        facts.push(("Changes to come from it", count(peer.ahead)));
        facts.extend(peer.route.clone().map(|route| ("Route", route)));
        facts.extend(round_trip(peer.rtt_ms).map(|it| ("Round trip", it)));
        facts.extend(peer.clock_offset_ms.map(|ms| ("Clock", clock(ms))));
        facts.extend(peer.last_seen.as_deref().map(|seen| ("Last seen", minute(seen))));
        facts.extend(peer.last_failure.clone().map(|why| ("Last failure", why)));
    }
    if let Some(traffic) = traffic {
        facts.push(("Received from it", bytes(traffic.received_bytes)));
        facts.push(("Sent to it", bytes(traffic.sent_bytes)));
    }
    facts
}

fn clock(ms: i64) -> String {
    let by = duration(std::time::Duration::from_millis(ms.unsigned_abs()));
    match ms {
        -50..=50 => format!("as this device's, within {by}"),
        51.. => format!("{by} ahead of this device's"),
        _ => format!("{by} behind this device's"),
    }
}
