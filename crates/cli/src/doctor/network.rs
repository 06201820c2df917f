//! The daemon, where it listens, and the other devices.

use driftless::{PeerStatus, Status};

use super::{Report, words};
use crate::answer::Severity;
use crate::text::{ago, plain, plural};

/// Looks at what the daemon says of itself and of the other devices.
pub(super) fn check(status: &Status, daemon: bool, now_ms: u64, report: &mut Report) {
    if !daemon {
        let said = words(
            "the daemon is not running",
            "What is written here stays here, and nothing comes in, until it runs.",
            "driftless up",
        );
        report.find("daemon", Severity::Note, said);
    } else {
        report.pass("daemon", "the daemon answers at its socket");
        ports(status, report);
    }
    peers(status, daemon, now_ms, report);
}

fn ports(status: &Status, report: &mut Report) {
    let addresses: Vec<String> = status.listen.iter().map(ToString::to_string).collect();
    if !status.syncing || addresses.is_empty() {
        let said = words(
            "this device listens nowhere",
            "Other devices can be reached from here, but cannot reach this one.",
            "driftless down, then driftless up --listen 0.0.0.0:0 (port 0 picks one that is free)",
        );
        return report.find("ports", Severity::Error, said);
    }
    let at = addresses.join(", ");
    if status.listen.iter().all(|address| address.ip().is_loopback()) {
        let said = words(
            format!("this device listens at {at} alone, which is within this machine"),
            "Devices on other machines cannot reach it.",
            "driftless down, then driftless up --listen 0.0.0.0:0, unless this is what you want",
        );
        return report.find("ports", Severity::Note, said);
    }
    report.pass("ports", format!("listening at {at}"));
}

fn peers(status: &Status, daemon: bool, now_ms: u64, report: &mut Report) {
    let peers: Vec<&PeerStatus> = status.peers.iter().filter(|peer| !peer.member.evicted).collect();
    if peers.is_empty() {
        let said = words(
            "this library is on this device alone",
            "If this disk dies, everything in the library is lost.",
            "driftless invite, then driftless join TICKET on another device",
        );
        return report.find("peers", Severity::Note, said);
    }
    let online = peers.iter().filter(|peer| peer.online).count();
    for peer in &peers {
        if daemon && !peer.online {
            report.find("peers", Severity::Note, away(peer, now_ms));
        }
        if peer.met && peer.behind > 0 {
            report.find("peers", Severity::Note, behind(peer));
        }
    }
    if daemon && online == 0 {
        let said = words(
            "no other device can be reached",
            "What is written here is on this device alone until one of them is met.",
            "driftless up on another device; driftless peers add ADDRESS if it is not found",
        );
        report.find("peers", Severity::Warning, said);
    }
    if !report.has("peers") {
        let total = plural(peers.len() as u64, "other device", "other devices");
        let known = if daemon { "connected, with everything" } else { "known to have everything" };
        report.pass("peers", format!("{total} {known}"));
    }
}

fn away(peer: &PeerStatus, now_ms: u64) -> super::Words {
    let name = plain(&peer.member.name);
    if peer.paused {
        return words(
            format!("the link to {name} is paused"),
            "Nothing goes to it or comes from it on this link.",
            format!("driftless peers resume {name}"),
        );
    }
    let mut what = format!("{name} is not connected");
    match (peer.last_seen_ms, peer.met) {
        (Some(seen), _) => what.push_str(&format!(", last seen {}", ago(seen, now_ms))),
        (None, true) => {}
        (None, false) => what.push_str(", and has never been met by this device"),
    }
    if let Some(why) = &peer.last_failure {
        what.push_str(&format!(" ({})", plain(why)));
    }
    words(
        what,
        "It is tried again for as long as it takes; nothing is lost meanwhile.",
        format!("driftless up on {name}; driftless peers add ADDRESS if it is not found"),
    )
}

fn behind(peer: &PeerStatus) -> super::Words {
    let (name, changes) = (plain(&peer.member.name), plural(peer.behind, "change", "changes"));
    let next = if peer.online { "driftless sync" } else { "driftless status" };
    words(
        format!("{name} is not known to have {changes} of this device"),
        "Until it has them, a disk that dies here may take them along.",
        next,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn peer(name: &str, online: bool, behind: u64) -> PeerStatus {
        PeerStatus { last_seen_ms: None, ..samples::peer(name, online, behind, 0) }
    }

    fn told(listen: &str, peers: Vec<PeerStatus>) -> Vec<(String, Severity, String)> {
        let listen = listen.parse().into_iter().collect();
        let status = Status { listen, ..samples::status(peers) };
        let mut report = Report::default();
        check(&status, true, 0, &mut report);
        let findings = report.findings.into_iter();
        findings.map(|found| (found.check, found.severity, found.what)).collect()
    }

    #[test]
    fn what_listens_and_who_is_there() {
        let everywhere = "0.0.0.0:7700";
        assert_eq!(told(everywhere, vec![peer("a", true, 0)]), []);
        let local = told("127.0.0.1:7700", vec![peer("a", true, 0)]);
        assert_eq!((local.len(), local[0].1), (1, Severity::Note), "{local:?}");
        assert_eq!(told("", vec![peer("a", true, 0)])[0].1, Severity::Error);
        let alone = told(everywhere, vec![]);
        assert_eq!((alone[0].1, alone[0].2.contains("alone")), (Severity::Note, true));
        let late = told(everywhere, vec![peer("a", true, 3), peer("b", true, 0)]);
        assert_eq!(late.len(), 1, "{late:?}");
        assert!(late[0].2.contains("3 changes"), "{late:?}");
        let one_away = told(everywhere, vec![peer("a", true, 0), peer("b", false, 0)]);
        assert_eq!((one_away.len(), one_away[0].1), (1, Severity::Note), "{one_away:?}");
        let all_away = told(everywhere, vec![peer("a", false, 0)]);
        assert!(all_away.iter().any(|found| found.1 == Severity::Warning), "{all_away:?}");
    }
}
