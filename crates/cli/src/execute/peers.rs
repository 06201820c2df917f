//! `peers`.

use driftless::PeerStatus;

use super::{Context, gone, select};
use crate::answer::{Answer, LinksReport, PeerRow, RouteReport, Rows};
use crate::args::PeersCommand;
use crate::explain::no_daemon;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

pub(super) fn run(
    context: Context<'_>,
    command: Option<PeersCommand>,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let answer = match command {
        None => {
            let peers = context.library.status()?.peers;
            let rows = peers.iter().map(row).collect();
            out.rows(Rows::Peers(rows)).map_err(gone)?;
            return Ok(Exit::Done);
        }
        Some(PeersCommand::Add { addr }) => {
            context.library.add_route(None, addr)?;
            Answer::Route(RouteReport { address: addr })
        }
        Some(PeersCommand::Pause { device }) => links(context, device.as_deref(), true)?,
        Some(PeersCommand::Resume { device }) => links(context, device.as_deref(), false)?,
    };
    out.answer(answer).map_err(gone)?;
    Ok(Exit::Done)
}

fn links(context: Context<'_>, device: Option<&str>, paused: bool) -> Result<Answer, Failure> {
    if !context.daemon {
        return Err(no_daemon("no daemon runs, so there are no links to cut or to make"));
    }
    let device = device.map(|device| select::device(context.library, device)).transpose()?;
    if device == Some(context.library.device_id()) {
        return Err(
            Failure::usage("there is no link to this device itself").next("driftless peers")
        );
    }
    if paused {
        context.library.pause(device)?;
    } else {
        context.library.resume(device)?;
    }
    Ok(Answer::Links(LinksReport { device_id: device.map(|device| device.to_string()), paused }))
}

fn row(peer: &PeerStatus) -> PeerRow {
    PeerRow {
        device_id: peer.member.device.to_string(),
        name: peer.member.name.clone(),
        online: peer.online,
        paused: peer.paused,
        route: peer.route.clone(),
        rtt_ms: peer.rtt_ms,
        last_seen: peer.last_seen_ms.map(text::time),
        last_failure: peer.last_failure.clone(),
        addresses: peer.member.addresses.clone(),
        received_bytes: peer.traffic.0,
        sent_bytes: peer.traffic.1,
    }
}
