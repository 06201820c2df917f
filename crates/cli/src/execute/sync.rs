//! `sync`: waiting until every device has everything.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use driftless::{Library, PeerProgress};

use super::verdict::verdict;
use super::{Context, gone};
use crate::answer::{Answer, SyncPeer, SyncReport};
use crate::args::SyncArgs;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Progress};
use crate::text::{self, plain, plural};

/// How often somebody who waits is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(500);

pub(super) fn run(
    context: Context<'_>,
    args: &SyncArgs,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    context.open_network(args.offline)?;
    let patience = Duration::try_from_secs_f64(args.wait)
        .map_err(|_| Failure::usage("this is no time to wait"))?;
    let peers = wait(context.library, patience, args.reachable, out)?;
    let done = peers.iter().all(|peer| match peer.progress {
        driftless::Progress::Done => true,
        driftless::Progress::Unfinished => false,
        driftless::Progress::Unreachable => args.reachable,
    });
    let verdict = verdict(&context.library.status()?, text::now_ms());
    let report = SyncReport { done, peers: named(context.library, &peers)?, verdict };
    out.answer(Answer::Sync(report)).map_err(gone)?;
    Ok(if done { Exit::Done } else { Exit::NotYet })
}

/// Waits on a thread of its own, and tells meanwhile how far it is.
fn wait(
    library: &Library,
    patience: Duration,
    reachable_only: bool,
    out: &mut dyn Output,
) -> Result<Vec<PeerProgress>, Failure> {
    let (send, ended) = channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // The other end waits for as long as this thread lives.
            drop(send.send(library.wait(patience, reachable_only)));
        });
        let mut listening = true;
        loop {
            match ended.recv_timeout(TELL_EVERY) {
                Ok(peers) => return Ok(peers?),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::internal("the thread that waits has ended"));
                }
                Err(RecvTimeoutError::Timeout) if listening => {
                    let text = how_far(library)?;
                    listening = out.progress(Progress { text }).is_ok();
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    })
}

fn how_far(library: &Library) -> Result<String, Failure> {
    let peers = library.status()?.peers;
    let lacking = peers.iter().filter(|peer| !peer.online || peer.behind > 0 || peer.ahead > 0);
    let parts: Vec<String> = lacking
        .take(4)
        .map(|peer| {
            let name = plain(&peer.member.name);
            match (peer.online, peer.behind + peer.ahead) {
                (false, _) => format!("{name} is not connected"),
                (true, changes) => format!("{name}: {}", plural(changes, "change", "changes")),
            }
        })
        .collect();
    Ok(format!("waiting: {}", parts.join(", ")))
}

fn named(library: &Library, peers: &[PeerProgress]) -> Result<Vec<SyncPeer>, Failure> {
    let members = library.members()?;
    let name = |device| {
        let member = members.iter().find(|member| member.device == device);
        member.map_or_else(String::new, |member| member.name.clone())
    };
    let row = |peer: &PeerProgress| SyncPeer {
        device_id: peer.device.to_string(),
        name: name(peer.device),
        state: match peer.progress {
            driftless::Progress::Done => "done",
            driftless::Progress::Unfinished => "unfinished",
            driftless::Progress::Unreachable => "unreachable",
        }
        .to_owned(),
        behind: peer.behind,
        ahead: peer.ahead,
    };
    Ok(peers.iter().map(row).collect())
}
