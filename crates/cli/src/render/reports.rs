//! Reports: how things stand, how a wait or a comparison ended, what a scan found.

use std::collections::BTreeMap;
use std::time::Duration;

use super::table::{Align, Table};
use crate::answer::{
    BackupReport, DeepReport, DoctorReport, NotedReport, PeerState, PhaseProgress, PrunedReport,
    Registered, RestoredReport, ScanReport, Severity, SizesReport, StatusReport, SyncReport,
    VerifyReport,
};
use crate::text::{bytes, count, duration, plain, plural};

const L: Align = Align::Left;
const R: Align = Align::Right;
/// Problems that are listed; the number of all is told.
const LISTED: usize = 10;
/// Damaged records that are listed.
const MOST_DAMAGED: usize = 20;

pub(super) fn status(status: &StatusReport, colour: bool) -> String {
    let verdict = plain(&status.verdict);
    let mut out = match colour {
        true => format!("\x1b[1m{verdict}\x1b[0m\n\n"),
        false => format!("{verdict}\n\n"),
    };
    let listen: Vec<String> = status.listen.iter().map(ToString::to_string).collect();
    let at = match (status.syncing, listen.is_empty()) {
        (false, _) => "the daemon is not running".to_owned(),
        (true, true) => "listening nowhere".to_owned(),
        (true, false) => format!("listening at {}", listen.join(", ")),
    };
    let phase = match &status.progress {
        Some(progress) => phase(progress),
        None => status.phase.replace('_', " "),
    };
    let (device, library) = (plain(&status.device), plain(&status.library));
    out.push_str(&format!("This device: {device}, library {library:?}; {phase}; {at}\n"));
    if !status.peers.is_empty() {
        out.push('\n');
        out.push_str(&peers(&status.peers, colour));
        out.push_str(&reasons(&status.peers));
    }
    out.push('\n');
    let counts = status.counts.iter().map(|(model, rows)| format!("{model} {}", count(*rows)));
    out.push_str(&format!("Records: {}\n", counts.collect::<Vec<_>>().join(", ")));
    out.push_str(&sizes(&status.sizes));
    if status.conflicts > 0 {
        out.push_str(&format!("Conflicts: {}\n", count(status.conflicts)));
    }
    if status.quarantined > 0 {
        out.push_str(&format!("In quarantine: {}\n", count(status.quarantined)));
    }
    out
}

/// The files, and what sync has of them.
fn sizes(sizes: &SizesReport) -> String {
    let files = sizes.files.iter().map(|(file, size)| format!("{file} {}", bytes(*size)));
    let mut out = format!("Files: {}\n", files.collect::<Vec<_>>().join(", "));
    if let Some(room) = &sizes.parts {
        let of = [
            (room.stamps, "stamps"),
            (room.sync_indexes, "indexes"),
            (room.log, "log"),
            (room.tombstones, "tombstones"),
            (room.history, "history"),
            (room.state, "the rest"),
        ];
        let of = of.into_iter().filter(|(size, _)| *size > 0);
        let of: Vec<_> = of.map(|(size, name)| format!("{name} {}", bytes(size))).collect();
        let data = bytes(room.rows + room.indexes);
        let (sync, free) = (bytes(room.sync), bytes(room.free));
        out.push_str(&format!(
            "Of them data {data}, sync {sync} ({}), free {free}\n",
            of.join(", ")
        ));
    }
    if let Some(problem) = &sizes.problem {
        out.push_str(&format!("What sync adds cannot be measured: {}\n", plain(problem)));
    }
    out
}

/// How far a phase is, in words.
pub(crate) fn phase(progress: &PhaseProgress) -> String {
    let doing = match progress.phase.as_str() {
        "backfilling" => "receiving".to_owned(),
        other => other.replace('_', " "),
    };
    let (percent, done, total) = (progress.percent, count(progress.done), count(progress.total));
    let mut text = format!("{doing}, {percent} % ({done} of {total} changes)");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are small and not negative; a float cast saturates"
    )]
    if let Some(rate) = progress.per_second {
        text.push_str(&format!(", {} a second", count(rate.round() as u64)));
    }
    if let Some(seconds) = progress.remaining_seconds {
        text.push_str(&format!(", {} left", duration(Duration::from_secs(seconds))));
    }
    text
}

fn peers(peers: &[PeerState], colour: bool) -> String {
    let mut table = Table::new(&[
        ("DEVICE", L),
        ("LINK", L),
        ("LACKS", R),
        ("HAS MORE", R),
        ("RTT", R),
        ("CLOCK", R),
        ("ROUTE", L),
        ("LAST SEEN", L),
    ]);
    for peer in peers {
        let link = match (peer.paused, peer.online, peer.met) {
            _ if peer.evicted => "evicted",
            (true, _, _) => "paused",
            (_, true, _) => "online",
            (_, _, true) => "offline",
            _ => "not met yet",
        };
        let known = |changes: u64| if peer.met { count(changes) } else { "?".to_owned() };
        table.row([
            plain(&peer.name),
            link.to_owned(),
            known(peer.behind),
            known(peer.ahead),
            peer.rtt_ms.map_or_else(|| "-".to_owned(), |rtt| format!("{rtt:.1} ms")),
            peer.clock_offset_ms.map_or_else(|| "-".to_owned(), clock),
            peer.route.as_deref().map_or_else(|| "-".to_owned(), plain),
            peer.last_seen.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.render(true, colour)
}

/// Why there is no link with those who are away.
fn reasons(peers: &[PeerState]) -> String {
    let away = peers.iter().filter(|peer| !peer.online && !peer.paused && !peer.evicted);
    let reason = |peer: &PeerState| {
        let why = peer.last_failure.as_ref()?;
        Some(format!("{} cannot be reached: {}\n", plain(&peer.name), plain(why)))
    };
    away.filter_map(reason).collect()
}

fn clock(offset_ms: i64) -> String {
    match offset_ms {
        -9_999..=9_999 => format!("{offset_ms:+} ms"),
        _ => format!("{:+} s", offset_ms / 1_000),
    }
}

pub(super) fn sync(report: &SyncReport) -> String {
    if report.peers.is_empty() {
        return "There is no other device to sync with\n".to_owned();
    }
    let mut out = match report.done {
        true if report.peers.iter().all(|peer| peer.state == "done") => {
            "Every other device has everything, and gave everything it has\n".to_owned()
        }
        true => "Every device that can be reached has everything, and gave everything\n".to_owned(),
        false => format!("Not everything is everywhere yet: {}\n", plain(&report.verdict)),
    };
    for peer in report.peers.iter().filter(|peer| peer.state != "done") {
        let lag = match (peer.behind, peer.ahead) {
            (0, 0) => String::new(),
            (behind, 0) => format!(", lacks {}", plural(behind, "change", "changes")),
            (behind, ahead) => format!(", lacks {}, has {} more", count(behind), count(ahead)),
        };
        out.push_str(&format!("  {}: {}{lag}\n", plain(&peer.name), peer.state));
    }
    if !report.done {
        out.push_str("next: driftless status\n");
    }
    out
}

pub(super) fn pruned(report: &PrunedReport) -> String {
    if report.sets == 0 && report.tombstones == 0 {
        return "Nothing is kept that every device has\n".to_owned();
    }
    let sets = plural(report.sets, "change", "changes");
    let tombstones = plural(report.tombstones, "trace of a deletion", "traces of deletions");
    format!("{sets} and {tombstones} need not be kept any more\n")
}

pub(super) fn backed_up(report: &BackupReport) -> String {
    let (file, size) = (plain(&report.file), bytes(report.bytes));
    format!("{file}: {size}\nIt holds this device's secret key: keep it as you keep a key\n")
}

pub(super) fn restored(report: &RestoredReport) -> String {
    let dir = plain(&report.dir);
    format!("The library is in {dir}\nnext: driftless up, to get what is newer from the others\n")
}

/// What reading everything found, and what becomes of it.
fn deep(report: &DeepReport) -> String {
    let mut out = String::new();
    for record in report.damaged.iter().take(MOST_DAMAGED) {
        out.push_str(&format!("Damaged: {} {}\n", plain(&record.model), plain(&record.id)));
    }
    if report.damaged.len() > MOST_DAMAGED {
        out.push_str(&format!("and {} more\n", report.damaged.len() - MOST_DAMAGED));
    }
    for fault in &report.faults {
        out.push_str(&format!("Made anew, as it did not hold together: {}\n", plain(fault)));
    }
    if report.missing > 0 {
        let records = plural(report.missing, "record waits", "records wait");
        out.push_str(&format!("{records} to come back from other devices\n"));
    } else if !report.damaged.is_empty() {
        out.push_str("They are whole again\n");
    }
    for words in &report.given_up {
        out.push_str(&format!("No other device has it: {}\n", plain(words)));
    }
    out
}

pub(super) fn verified(report: &VerifyReport) -> String {
    let mut out = String::new();
    match &report.rows {
        Some(models) if models.is_empty() => out.push_str("The rows are what was written\n"),
        Some(models) => {
            let names = models.iter().map(|model| plain(model)).collect::<Vec<_>>();
            out.push_str(&format!("Rows are damaged or changed: {}\n", names.join(", ")));
        }
        None => {}
    }
    out.push_str(&report.deep.as_ref().map_or_else(String::new, deep));
    if report.peers.is_empty() {
        out.push_str("No other device can be reached, so nothing was compared with others\n");
    }
    for peer in &report.peers {
        let found = match peer.state.as_str() {
            "equal" => "has the same data".to_owned(),
            "differ" => format!("differs in {}", peer.models.join(", ")),
            "not_yet" => "still has to catch up, or this device has".to_owned(),
            _ => "did not answer".to_owned(),
        };
        out.push_str(&format!("{}: {}\n", plain(&peer.name), plain(&found)));
    }
    if !report.equal {
        out.push_str("next: driftless sync, and driftless verify again\n");
    }
    out
}

pub(super) fn pairs(pairs: &BTreeMap<String, String>) -> String {
    let width = pairs.keys().map(|key| key.chars().count()).max().unwrap_or(0);
    pairs.iter().map(|(key, value)| format!("{:width$}  {}\n", plain(key), plain(value))).collect()
}

/// What is noted, a line for each field; of the fixed ones those that say something.
pub(super) fn noted(report: &NotedReport) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut line = |name: &str, value: String| lines.push((name.to_owned(), value));
    if let Some(note) = &report.note {
        line("note", note.lines().map(plain).collect::<Vec<_>>().join("\n      "));
    }
    for (name, flag) in [("favourite", report.favourite), ("hidden", report.hidden)] {
        if flag {
            line(name, "yes".to_owned());
        }
    }
    if let Some(stars) = report.rating {
        line("rating", format!("{stars} of 5"));
    }
    for (key, value) in &report.data {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        line(&plain(key), plain(&text));
    }
    if !report.tags.is_empty() {
        line("tags", plain(&report.tags.join(", ")));
    }
    let head = format!("{} on {}\n", plain(&report.path), plain(&report.device));
    if lines.is_empty() {
        return format!("{head}  nothing is noted\n");
    }
    let body = lines.iter().map(|(name, value)| format!("  {name}: {value}\n"));
    head + &body.collect::<String>()
}

pub(super) fn scan(scan: &ScanReport) -> String {
    let time = Duration::try_from_secs_f64(scan.seconds).unwrap_or(Duration::ZERO);
    let mut out = format!(
        "{}: {}, {}, {}, {} in {}\n",
        plain(&scan.path),
        plural(scan.files, "file", "files"),
        plural(scan.dirs, "folder", "folders"),
        plural(scan.links, "link", "links"),
        bytes(scan.bytes),
        duration(time),
    );
    if scan.problem_count > 0 {
        out.push_str(&format!("{}:\n", plural(scan.problem_count, "problem", "problems")));
        for problem in scan.problems.iter().take(LISTED) {
            out.push_str(&format!("  {}\n", plain(&problem.message)));
        }
    }
    out
}

pub(super) fn registered(report: &Registered) -> String {
    let path = plain(&report.path);
    if report.daemon {
        return format!("{path} is being scanned by the daemon\nnext: driftless location ls\n");
    }
    format!(
        "{path} is to be scanned: by the daemon when it runs, or now by a rescan\n\
         next: driftless up, or driftless location rescan {}\n",
        report.id
    )
}

pub(super) fn doctor(report: &DoctorReport, colour: bool) -> String {
    let mut table = Table::new(&[("CHECK", L), ("", L), ("WHAT", L)]);
    for passed in &report.passed {
        table.row([passed.check.clone(), "ok".to_owned(), plain(&passed.what)]);
    }
    let mut out = String::new();
    if !report.passed.is_empty() {
        out.push_str(&table.render(true, colour));
        out.push('\n');
    }
    for finding in &report.findings {
        let word = match finding.severity {
            Severity::Ok => "ok",
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let (what, effect, next) =
            (plain(&finding.what), plain(&finding.effect), plain(&finding.next));
        out.push_str(&format!("{word}: {}: {what}\n  {effect}\n  next: {next}\n", finding.check));
    }
    if let Some(verdict) = &report.verdict {
        out.push_str(&format!("{}\n", plain(verdict)));
    }
    let number = |severity| {
        report.findings.iter().filter(|finding| finding.severity == severity).count() as u64
    };
    out.push_str(&match report.worst {
        Severity::Ok => "Nothing is wrong\n".to_owned(),
        Severity::Note => "Nothing is wrong; the notes say what is worth knowing\n".to_owned(),
        Severity::Warning => {
            format!("{} to see to\n", plural(number(Severity::Warning), "warning", "warnings"))
        }
        Severity::Error => {
            format!("{} to mend\n", plural(number(Severity::Error), "error", "errors"))
        }
    });
    out
}
