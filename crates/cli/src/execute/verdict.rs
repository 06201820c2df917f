//! How things stand, in one sentence, and never better than is known.

use std::time::Duration;

use driftless::core::engine::Phase;
use driftless::{Cause, PeerStatus, Status};

use crate::text::{ago, duration, plain, plural};

/// Devices that are named in the sentence; the table has the others.
const NAMED: usize = 3;

/// The sentence.
pub(crate) fn verdict(status: &Status, now_ms: u64) -> String {
    let mut text = of_peers(status, now_ms);
    let off = status.peers.iter().filter_map(|peer| clock(peer, status.max_drift_ms));
    for words in off.take(NAMED) {
        text.push_str(&format!("; {words}"));
    }
    let twins = status.peers.iter().filter(|peer| peer.twin).map(|peer| plain(&peer.member.name));
    let here = status.twin.then(|| "this device".to_owned());
    for name in here.into_iter().chain(twins).take(NAMED) {
        text.push_str(&format!("; two copies of the data of {name} are in use (driftless doctor)"));
    }
    text.push_str(&damage(status));
    if status.conflicts > 0 {
        let open = plural(status.conflicts, "conflict is", "conflicts are");
        text.push_str(&format!("; {open} open (driftless conflicts)"));
    }
    text
}

/// What to say of damage.
fn damage(status: &Status) -> String {
    let damage = &status.damage;
    let mut text = String::new();
    if damage.unsound.is_some() {
        text.push_str(
            "; the library is damaged on this device, and nothing of it is given to others",
        );
    }
    if damage.count > 0 {
        let records = plural(damage.count, "damaged record waits", "damaged records wait");
        text.push_str(&format!("; {records} to come back from other devices"));
    }
    if !damage.given_up.is_empty() {
        let records = plural(damage.given_up.len() as u64, "record was", "records were");
        text.push_str(&format!("; {records} damaged and no other device has it"));
    }
    if !text.is_empty() {
        text.push_str(" (driftless doctor)");
    }
    text
}

fn of_peers(status: &Status, now_ms: u64) -> String {
    let counting: Vec<&PeerStatus> =
        status.peers.iter().filter(|peer| !peer.member.evicted).collect();
    let total = counting.len();
    if total == 0 {
        return "This library is on this device alone".to_owned();
    }
    let (current, others): (Vec<&PeerStatus>, Vec<&PeerStatus>) =
        counting.into_iter().partition(|peer| is_current(peer));
    let mut text = match (current.len(), total) {
        (0, _) if !status.syncing => "The daemon is not running".to_owned(),
        (0, _) => "Up to date with no other device".to_owned(),
        (_, 1) => format!("Up to date with {}", plain(&current[0].member.name)),
        (n, _) if n == total => format!("Up to date with all {n} other devices"),
        (n, _) => format!("Up to date with {n} of {total} devices"),
    };
    if let Phase::Backfilling { .. } = status.standing.phase {
        let percent = status.standing.percent();
        text.push_str(&format!("; receiving the library ({percent} %)"));
    }
    for peer in others.iter().take(NAMED) {
        text.push_str(&format!("; {}", about(peer, status.syncing, now_ms)));
    }
    if others.len() > NAMED {
        text.push_str(&format!("; and {} more", others.len() - NAMED));
    }
    text
}

/// What to say of a clock that is further off than clocks may drift: what that does, and the cure.
fn clock(peer: &PeerStatus, max_drift_ms: u64) -> Option<String> {
    let offset = peer.clock_offset_ms.filter(|ms| ms.unsigned_abs() > max_drift_ms)?;
    let (name, by) =
        (plain(&peer.member.name), duration(Duration::from_millis(offset.unsigned_abs())));
    let (side, wins) = if offset > 0 { ("ahead of", "its") } else { ("behind", "this device's") };
    Some(format!(
        "the clock of {name} is {by} {side} this one's: where both edit the same thing without \
         knowing of each other {wins} edit shows; set the clock that is wrong"
    ))
}

/// Whether it is known that both have the same, at this moment.
fn is_current(peer: &PeerStatus) -> bool {
    peer.online && peer.behind == 0 && peer.ahead == 0
}

fn about(peer: &PeerStatus, syncing: bool, now_ms: u64) -> String {
    let name = plain(&peer.member.name);
    if peer.online {
        return match (peer.behind, peer.ahead) {
            (behind, 0) => format!("{name} is {} behind", changes(behind)),
            (0, ahead) => format!("{name} has {} that this device lacks", changes(ahead)),
            (behind, ahead) => {
                format!(
                    "{name} is {} behind and has {ahead} that this device lacks",
                    changes(behind)
                )
            }
        };
    }
    let mut text = match (peer.met, peer.behind) {
        (false, _) => format!("{name} has not been met yet"),
        (true, 0) => format!("{name} had everything of this device"),
        (true, behind) => format!("{name} is {} behind", changes(behind)),
    };
    if peer.ahead > 0 {
        text.push_str(&format!(" and has {} that this device lacks", changes(peer.ahead)));
    }
    match peer.last_seen_ms {
        Some(seen) if syncing && !peer.paused => {
            let away = Duration::from_millis(now_ms.saturating_sub(seen));
            text.push_str(&format!(", offline for {}", duration(away)));
        }
        Some(seen) => text.push_str(&format!(", last seen {}", ago(seen, now_ms))),
        None if peer.met => {
            text.push_str(if syncing { ", not connected" } else { " when it was met last" })
        }
        None => {}
    }
    text.push_str(match peer.cause {
        _ if peer.paused => ", its link is paused",
        Some(Cause::PausedThere) => ", it has paused its links",
        Some(Cause::OtherVersion) => ", it speaks another version of the protocol",
        Some(Cause::NotMemberThere) => ", it does not know this device as a member",
        Some(Cause::UnwritableThere) => ", it cannot write to its disk",
        Some(Cause::DamagedThere) => ", its library is damaged",
        _ => "",
    });
    text
}

fn changes(number: u64) -> String {
    plural(number, "change", "changes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{peer, status};

    fn said(peers: Vec<PeerStatus>) -> String {
        verdict(&status(peers), 7_200_000)
    }

    #[test]
    fn conflicts_and_clocks_are_told_of() {
        let alone = Status { conflicts: 2, ..status(vec![]) };
        let text = verdict(&alone, 0);
        assert!(text.ends_with("; 2 conflicts are open (driftless conflicts)"), "{text}");
        let off = |ms| {
            let peer = PeerStatus { clock_offset_ms: Some(ms), ..peer("phone", true, 0, 0) };
            said(vec![peer])
        };
        assert_eq!(off(60_000), "Up to date with phone");
        assert!(
            off(31_536_000_000).contains("phone is 365 days ahead of"),
            "{}",
            off(31_536_000_000)
        );
        assert!(off(-3_600_000).contains("behind this one's"), "{}", off(-3_600_000));
    }

    #[test]
    fn damage_is_told_of() {
        let damage = driftless::Damage { count: 2, ..Default::default() };
        let text = verdict(&Status { damage, ..status(vec![]) }, 0);
        let end = "; 2 damaged records wait to come back from other devices (driftless doctor)";
        assert!(text.ends_with(end), "{text}");
        let damage = driftless::Damage {
            given_up: vec!["tag 1 is lost".into()],
            unsound: Some("malformed".into()),
            ..Default::default()
        };
        let text = verdict(&Status { damage, ..status(vec![]) }, 0);
        assert!(text.contains("nothing of it is given to others"), "{text}");
        assert!(text.contains("1 record was damaged"), "{text}");
    }

    #[test]
    fn who_is_evicted_does_not_count() {
        let mut gone = peer("old", false, 100, 0);
        gone.member.evicted = true;
        assert_eq!(said(vec![gone.clone()]), "This library is on this device alone");
        assert_eq!(said(vec![gone, peer("phone", true, 0, 0)]), "Up to date with phone");
    }

    #[test]
    fn nothing_better_than_known_is_said() {
        assert_eq!(said(vec![]), "This library is on this device alone");
        assert_eq!(said(vec![peer("phone", true, 0, 0)]), "Up to date with phone");
        assert_eq!(
            said(vec![peer("a", true, 0, 0), peer("b", true, 0, 0), peer("phone", false, 212, 0)]),
            "Up to date with 2 of 3 devices; phone is 212 changes behind, offline for 2.0 h"
        );
        assert_eq!(
            said(vec![peer("a", false, 0, 0)]),
            "Up to date with no other device; a had everything of this device, offline for 2.0 h"
        );
        assert_eq!(
            said(vec![peer("a", true, 0, 0), peer("b", true, 0, 1)]),
            "Up to date with 1 of 2 devices; b has 1 change that this device lacks"
        );
    }
}
