//! The library's data on this device: its files, digests, what waits in quarantine, versions.

use std::time::Duration;

use driftless::{Comparison, Library, Status, rusqlite};

use super::{Report, words};
use crate::answer::Severity;
use crate::failure::{DAMAGED_EFFECT, DAMAGED_NEXT, Failure};
use crate::text::{plain, plural};

/// How long connected devices may take to say what their digests are.
const PATIENCE: Duration = Duration::from_secs(3);
/// A fault of SQLite before it can make a write-ahead log unusable.
const SAFE_SQLITE: i32 = 3_051_003;

/// Reads both databases, and asks SQLite whether they hold together.
pub(super) fn files(library: &Library, report: &mut Report) {
    let checked = match library.verify_files() {
        Ok(checked) => checked,
        Err(error) => return report.unable("files", error.into()),
    };
    for file in checked.iter().filter(|file| !file.is_sound()) {
        let truth = file.name == "library.db";
        let (effect, next) = if truth {
            (
                "Some of what is in the library cannot be trusted here; the other devices have \
                 their own copies.",
                "driftless verify --deep, which mends what it can; if it cannot, it says what to do",
            )
        } else {
            (
                "Nothing but history is in it; the library itself is not touched by this.",
                "driftless down, then move sync.db away; it is made anew",
            )
        };
        let what = format!("{} is damaged: {}", file.name, plain(&file.faults.join("; ")));
        report.find("files", Severity::Error, words(what, effect, next));
    }
    if !report.has("files") {
        report.pass("files", "library.db and sync.db hold together");
    }
}

/// Compares the digests that are kept with those of the connected devices.
pub(super) fn digests(library: &Library, status: &Status, report: &mut Report) {
    if !status.peers.iter().any(|peer| peer.online) {
        return;
    }
    let compared = match library.verify(PATIENCE) {
        Ok(compared) => compared,
        Err(error) => return report.unable("digests", error.into()),
    };
    let mut equal = 0;
    for (device, found) in compared {
        let peer = status.peers.iter().find(|peer| peer.member.device == device);
        let name = peer.map_or_else(|| device.to_string(), |peer| plain(&peer.member.name));
        match found {
            Comparison::Equal => equal += 1,
            Comparison::Differ(models) => {
                let said = words(
                    format!("{name} holds other data at the same vector, in {}", models.join(", ")),
                    "This must never be: one of the two was damaged, or changed by other hands.",
                    "driftless verify --deep, on both devices",
                );
                report.find("digests", Severity::Error, said);
            }
            Comparison::NotYet | Comparison::NoAnswer => {
                let said = words(
                    format!("{name} could not be compared with yet"),
                    "One of the two still has to catch up.",
                    "driftless sync, then driftless verify",
                );
                report.find("digests", Severity::Note, said);
            }
        }
    }
    if equal > 0 && !report.has("digests") {
        let devices = plural(equal, "other device has", "other devices have");
        report.pass("digests", format!("{devices} the same data"));
    }
}

/// Records that are named.
const NAMED: usize = 5;

/// What is damaged, and from whom it comes back.
pub(super) fn damage(status: &Status, report: &mut Report) {
    let damage = &status.damage;
    if let Some(why) = &damage.unsound {
        let what = format!("library.db is damaged in more than its records: {}", plain(why));
        report.find("damage", Severity::Error, words(what, DAMAGED_EFFECT, DAMAGED_NEXT));
    }
    if damage.count > 0 {
        let mut named: Vec<String> = damage
            .missing
            .iter()
            .take(NAMED)
            .map(|record| format!("{} {}", plain(&record.model), plain(&record.key)))
            .collect();
        if damage.count > named.len() as u64 {
            named.push(format!("{} more", damage.count - named.len() as u64));
        }
        let records = plural(damage.count, "record was", "records were");
        let said = words(
            format!("{records} damaged here and taken out: {}", named.join(", ")),
            "They cannot be read or written on this device until they are back; the other devices \
             have them.",
            from_whom(status),
        );
        report.find("damage", Severity::Warning, said);
    }
    for lost in &damage.given_up {
        let said = words(
            format!("{}: it was damaged, and no other device has it", plain(lost)),
            "What this device wrote after the others were met last is on this device alone.",
            "look at it and correct it, or restore it from a backup; driftless verify --deep, once \
             you have",
        );
        report.find("damage", Severity::Warning, said);
    }
    if !report.has("damage") {
        report.pass("damage", "no record is known to be damaged (driftless verify --deep looks)");
    }
}

/// Who has what is missing here, and what to do for it to come back.
fn from_whom(status: &Status) -> String {
    let counts = |peer: &&driftless::PeerStatus| !peer.member.evicted;
    let peers: Vec<_> = status.peers.iter().filter(counts).collect();
    let names = |online: bool| -> Vec<String> {
        let those = peers.iter().filter(|peer| peer.online == online);
        those.map(|peer| plain(&peer.member.name)).collect()
    };
    let (online, away) = (names(true), names(false));
    if !online.is_empty() {
        let names = online.join(", ");
        return format!("they are being asked of {names}; driftless verify --deep looks again");
    }
    if away.is_empty() {
        return "there is no other device to ask: restore a backup".to_owned();
    }
    format!("driftless up, here and on {}; then driftless verify --deep", away.join(" or "))
}

/// Whether records wait that this version cannot show.
pub(super) fn quarantine(status: &Status, report: &mut Report) {
    if status.quarantined == 0 {
        return report.pass("quarantine", "no record waits");
    }
    let records = plural(status.quarantined, "record waits", "records wait");
    let said = words(
        format!("{records} in quarantine"),
        "They are kept and handed on to other devices, and cannot be shown here: most likely a \
         newer version wrote them.",
        "update driftless on this device",
    );
    report.find("quarantine", Severity::Warning, said);
}

/// Whether one device's data are in use twice.
pub(super) fn twins(status: &Status, report: &mut Report) {
    let others = status.peers.iter().filter(|peer| peer.twin);
    let others = others.map(|peer| plain(&peer.member.name));
    for name in status.twin.then(|| "this device".to_owned()).into_iter().chain(others) {
        let said = words(
            format!("two copies of the data of {name} are in use at once"),
            "What both write of tags, collections and notes is kept. Of their files, the other \
             devices see those of one of the two, in turns.",
            "on one of the two: driftless down, move its directory away, and driftless join with a \
             new ticket, so that it is a device of its own",
        );
        report.find("copies", Severity::Error, said);
    }
    if !report.has("copies") {
        report.pass("copies", "no device seems to be there twice");
    }
}

/// The program's, the format's and SQLite's.
pub(super) fn versions(library: &Library, report: &mut Report) {
    let format =
        library.query(|db| db.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)));
    let format = match format.and_then(|format| Ok(format?)) {
        Ok(format) => format,
        Err(error) => return report.unable("versions", Failure::from(error)),
    };
    let sqlite = rusqlite::version();
    if rusqlite::version_number() < SAFE_SQLITE {
        let said = words(
            format!("SQLite {sqlite} has a fault that can damage a database after a crash"),
            "The library works, and is at risk when the machine fails.",
            "build driftless with the SQLite that it brings along",
        );
        return report.find("versions", Severity::Warning, said);
    }
    let program = env!("CARGO_PKG_VERSION");
    report.pass("versions", format!("driftless {program}, format {format}, SQLite {sqlite}"));
}
