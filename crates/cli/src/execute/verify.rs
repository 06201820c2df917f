//! `verify`.

use std::time::{Duration, Instant};

use driftless::{Comparison, DeviceId, Examined, Library};

use super::{Context, gone};
use crate::answer::{Answer, DeepReport, VerifyPeer, VerifyReport};
use crate::args::VerifyArgs;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Progress};

/// How long peers may take to answer, and to catch up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Without a daemon: how long it may take to meet the other devices.
const MEETING: Duration = Duration::from_secs(5);
const MEETING_PAUSE: Duration = Duration::from_millis(50);

pub(super) fn run(
    context: Context<'_>,
    args: &VerifyArgs,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let found = if args.deep {
        let text = "reading all rows".to_owned();
        out.progress(Progress { text }).map_err(gone)?;
        Some(examine(context.library)?)
    } else {
        None
    };
    if !context.daemon {
        context.open_network(args.offline)?;
        meet(context.library)?;
    }
    let compared = context.library.verify(PATIENCE)?;
    let same_peers = compared.iter().all(|(_, found)| *found == Comparison::Equal);
    let left = context.library.status()?.damage;
    let equal = same_peers && left.count == 0 && found.as_ref().is_none_or(Examined::is_sound);
    let peers = named(context.library, compared)?;
    let deep = found.as_ref().map(|found| DeepReport::of(found, &left));
    if found.as_ref().is_some_and(Examined::is_sound) && !left.given_up.is_empty() {
        // Whoever looks once more has been told.
        context.library.forget_given_up()?;
    }
    let rows = found.map(|found| found.models);
    out.answer(Answer::Verified(VerifyReport { equal, peers, rows, deep })).map_err(gone)?;
    Ok(if equal { Exit::Done } else { Exit::NotYet })
}

/// Reads everything. A file of which more than records is damaged is no outcome but a failure.
fn examine(library: &Library) -> Result<Examined, Failure> {
    let found = library.examine()?;
    match &found.unsound {
        None => Ok(found),
        Some(words) => Err(Failure::damaged(words)),
    }
}

/// Gives the other devices a moment to be met.
fn meet(library: &Library) -> Result<(), Failure> {
    let deadline = Instant::now() + MEETING;
    while Instant::now() < deadline {
        if library.status()?.peers.iter().all(|peer| peer.online) {
            break;
        }
        std::thread::sleep(MEETING_PAUSE);
    }
    Ok(())
}

fn named(
    library: &Library,
    compared: Vec<(DeviceId, Comparison)>,
) -> Result<Vec<VerifyPeer>, Failure> {
    let members = library.members()?;
    let row = |(device, found): (DeviceId, Comparison)| {
        let member = members.iter().find(|member| member.device == device);
        let (state, models) = match found {
            Comparison::Equal => ("equal", vec![]),
            Comparison::Differ(models) => ("differ", models),
            Comparison::NotYet => ("not_yet", vec![]),
            Comparison::NoAnswer => ("no_answer", vec![]),
        };
        VerifyPeer {
            device_id: device.to_string(),
            name: member.map_or_else(String::new, |member| member.name.clone()),
            state: state.to_owned(),
            models,
        }
    };
    Ok(compared.into_iter().map(row).collect())
}
