//! The daemon, where it listens, and the other devices.

use std::time::Duration;

use driftless::{Delivery, PeerStatus, Status, Why, WhyNot};

use super::{Report, words};
use crate::answer::Severity;
use crate::reasons;
use crate::text::{duration, plain, plural};

/// Looks at what the daemon says of itself and of the other devices.
pub(super) fn check(
    status: &Status,
    why: &Why,
    (daemon, now_ms): (bool, u64),
    report: &mut Report,
) {
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
    peers(status, why, (daemon, now_ms), report);
    evicted(status, report);
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

/// Devices that are members and are not waited for.
fn evicted(status: &Status, report: &mut Report) {
    for peer in status.peers.iter().filter(|peer| peer.member.evicted) {
        let name = plain(&peer.member.name);
        let said = words(
            format!("{name} was evicted: it is not waited for"),
            "Nothing is kept for it. It is a member still, and loses nothing if it comes back.",
            format!("driftless up on {name}, after which it counts again"),
        );
        report.find("evicted", Severity::Note, said);
    }
}

fn peers(status: &Status, why: &Why, (daemon, now_ms): (bool, u64), report: &mut Report) {
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
        let delivery = why.devices.iter().find(|delivery| delivery.device == peer.member.device);
        let Some(delivery) = delivery else { continue };
        if daemon && let Some(why) = &delivery.unlinked {
            report.find("peers", severity(why), away(delivery, why, now_ms));
        } else if daemon && let Some(words) = late(delivery, now_ms) {
            report.find("peers", Severity::Note, words);
        }
        if peer.met && peer.behind > 0 && !peer.online {
            report.find("peers", Severity::Note, behind(peer));
        }
        if peer.online {
            report.pass("route", route(peer));
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

/// How a connected device is reached.
fn route(peer: &PeerStatus) -> String {
    let name = plain(&peer.member.name);
    let Some(route) = &peer.route else { return format!("{name} is connected") };
    let how = match route.strip_prefix("relay ") {
        Some(relay) => format!("by the relay {}", plain(relay)),
        None => format!("directly, at {}", plain(route)),
    };
    match peer.rtt_ms {
        Some(ms) => format!("{name} is connected {how}; its answers take {ms:.1} ms"),
        None => format!("{name} is connected {how}"),
    }
}

/// To be away is how devices are; that something keeps two apart which are both there is not.
fn severity(why: &WhyNot) -> Severity {
    match why {
        WhyNot::Offline { .. }
        | WhyNot::NeverMet { .. }
        | WhyNot::NoNeighbour
        | WhyNot::PausedHere
        | WhyNot::PausedThere
        | WhyNot::SyncOff
        | WhyNot::Evicted => Severity::Note,
        _ => Severity::Warning,
    }
}

fn away(delivery: &Delivery, why: &WhyNot, now_ms: u64) -> super::Words {
    let told = reasons::told(why, &delivery.name, now_ms);
    let next = delivery.next.map(|step| reasons::next(step).1);
    let effect = match next {
        Some(next) => format!("Nothing is lost meanwhile: {next}."),
        None => "Nothing is lost meanwhile.".to_owned(),
    };
    words(format!("{}: {}", plain(&delivery.name), told.words), effect, told.cure)
}

/// What there is to say of a device that is connected and lacks something.
fn late(delivery: &Delivery, now_ms: u64) -> Option<super::Words> {
    let why = delivery.why_not.last()?;
    let told = reasons::told(why, &delivery.name, now_ms);
    let effect = "Until it has everything, a disk that dies here may take some of it along.";
    Some(words(format!("{}: {}", plain(&delivery.name), told.words), effect, told.cure))
}

/// For whom change sets are kept, and for how long.
pub(super) fn pruning(status: &Status, (retention_ms, now_ms): (u64, u64), report: &mut Report) {
    let waited = |peer: &&PeerStatus| !peer.member.evicted && !peer.online && peer.behind > 0;
    for peer in status.peers.iter().filter(waited) {
        let name = plain(&peer.member.name);
        let silent = now_ms.saturating_sub(peer.last_seen_ms.unwrap_or(peer.member.issued_ms));
        if silent >= retention_ms {
            continue;
        }
        let left = duration(Duration::from_millis(retention_ms - silent));
        let said = words(
            format!("{} are kept for {name}", plural(peer.behind, "change", "changes")),
            format!("They take room until it comes back, or has been silent for {left} longer."),
            format!("driftless devices evict {name}, if it is gone for good"),
        );
        report.find("pruning", Severity::Note, said);
    }
    if !report.has("pruning") {
        report.pass("pruning", "nothing is kept for a device that is away");
    }
}

fn behind(peer: &PeerStatus) -> super::Words {
    let (name, changes) = (plain(&peer.member.name), plural(peer.behind, "change", "changes"));
    let next = "driftless status";
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
        let mut peer = samples::peer(name, online, behind, 0);
        peer.member.device = driftless::DeviceId([name.as_bytes()[0]; 32]);
        PeerStatus { last_seen_ms: None, ..peer }
    }

    fn told(listen: &str, peers: Vec<PeerStatus>) -> Vec<(String, Severity, String)> {
        let listen = listen.parse().into_iter().collect();
        let status = Status { listen, ..samples::status(peers) };
        let why = samples::why(&status.peers);
        let mut report = Report::default();
        check(&status, &why, (true, 0), &mut report);
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
