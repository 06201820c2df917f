//! `invite`.

use std::time::Duration;

use driftless::core::id::DeviceId;
use driftless::{Library, PairingNotice};

use super::{Context, gone};
use crate::answer::{Answer, Invitation, Pairing};
use crate::args::InviteArgs;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Progress};
use crate::text;

/// The longest life of a ticket: a week.
const MAX_LIFE_MS: u64 = 7 * 86_400_000;
/// How often it is looked whether somebody shows the ticket.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) fn run(
    context: Context<'_>,
    args: &InviteArgs,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let life =
        driftless::milliseconds(&args.expires).filter(|life| (1..=MAX_LIFE_MS).contains(life));
    let life = life.ok_or_else(|| {
        Failure::usage(format!("{:?} is no time such as 10m or 2h, up to 7d", args.expires))
            .next("driftless invite --expires 10m")
    })?;
    let ticket = context.library.invite(life)?;
    let expires_ms = ticket.expires.saturating_mul(1_000);
    let invitation = Invitation {
        ticket: ticket.encode(),
        expires: text::time(expires_ms),
        reachable: context.library.is_syncing(),
    };
    out.answer(Answer::Invitation(invitation)).map_err(gone)?;
    if args.attend && context.daemon {
        attend(context.library, expires_ms, out)?;
    }
    Ok(Exit::Done)
}

/// Shows the codes of those who come, until one of them is in.
fn attend(library: &Library, expires_ms: u64, out: &mut dyn Output) -> Result<(), Failure> {
    // What was not looked at before is about other tickets.
    library.pairing_notices()?;
    let mut shown: Vec<PairingNotice> = Vec::new();
    while text::now_ms() < expires_ms {
        for notice in library.pairing_notices()? {
            out.answer(Answer::Pairing(pairing(&notice, false))).map_err(gone)?;
            shown.push(notice);
        }
        let members = library.members()?;
        let is_in = |joiner: DeviceId| members.iter().any(|member| member.device == joiner);
        if let Some(joined) = shown.iter().find(|notice| is_in(notice.joiner)) {
            return out.answer(Answer::Pairing(pairing(joined, true))).map_err(gone);
        }
        let text = "waiting for a device that joins; Ctrl-C leaves the ticket good".to_owned();
        out.progress(Progress { text }).map_err(gone)?;
        std::thread::sleep(LOOK_EVERY);
    }
    out.note("The ticket has expired; nobody has joined.".to_owned()).map_err(gone)
}

fn pairing(notice: &PairingNotice, joined: bool) -> Pairing {
    Pairing {
        code: notice.code.clone(),
        device_id: notice.joiner.to_string(),
        name: notice.name.clone(),
        joined,
    }
}
