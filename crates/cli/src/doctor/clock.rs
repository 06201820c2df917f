//! The clock: against the other devices', and against what this device has seen before.

use std::time::UNIX_EPOCH;

use driftless::{Error, Library, Setting, Status, milliseconds};

use super::{Report, Words, words};
use crate::answer::Severity;
use crate::failure::Failure;
use crate::text::{self, duration, plain};

const SET_IT: &str = "set the clock, best by the network: timedatectl set-ntp true";

/// Looks at the clock.
pub(super) fn check(
    library: &Library,
    status: &Status,
    report: &mut Report,
) -> Result<(), Failure> {
    let drift = milliseconds(&library.setting(Setting::MaxDrift)?);
    // A setting that is no time was refused when it was set.
    let drift = drift.ok_or_else(|| Failure::internal("max_drift is no time"))?;
    let latest = latest(library)?;
    report_on(&offsets(status), (drift, latest, text::now_ms()), report);
    Ok(())
}

/// How far the clocks of connected devices are ahead of ours, in milliseconds.
fn offsets(status: &Status) -> Vec<(String, i64)> {
    let online = status.peers.iter().filter(|peer| peer.online);
    online.filter_map(|peer| Some((plain(&peer.member.name), peer.clock_offset_ms?))).collect()
}

/// A moment that has certainly come: when a file of the library was written, or this device let
/// another one in. Unix milliseconds.
fn latest(library: &Library) -> Result<u64, Failure> {
    let here = library.device_id();
    let members = library.members()?;
    let own = members.iter().filter(|member| member.issued_by == here);
    let mut latest = own.map(|member| member.issued_ms).max().unwrap_or(0);
    for file in ["library.db", "library.db-wal"] {
        let path = library.dir().join(file);
        match std::fs::metadata(&path).and_then(|meta| meta.modified()) {
            Ok(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                latest = latest.max(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::Io { path, doing: "looking at it", source }.into()),
        }
    }
    Ok(latest)
}

/// `drift` is what is tolerated, `latest` a moment that has come, `now` what the clock says.
fn report_on(
    offsets: &[(String, i64)],
    (drift, latest, now): (u64, u64, u64),
    report: &mut Report,
) {
    let far: Vec<&(String, i64)> =
        offsets.iter().filter(|(_, offset)| offset.unsigned_abs() > drift).collect();
    let ours = far.len() == offsets.len() && far.len() > 1;
    for (name, offset) in &far {
        report.find("clock", Severity::Warning, apart(name, *offset, ours));
    }
    if latest > now.saturating_add(drift) {
        let by = duration(std::time::Duration::from_millis(latest - now));
        let said = words(
            format!("the clock is {by} behind a moment at which this library was written"),
            "It was set back, or ran ahead before. Times that are shown may be wrong; nothing is lost.",
            SET_IT,
        );
        report.find("clock", Severity::Warning, said);
    }
    if report.has("clock") {
        return;
    }
    let widest = offsets.iter().map(|(_, offset)| offset.unsigned_abs()).max();
    let what = match widest {
        Some(widest) => format!("within {widest} ms of the other devices' clocks"),
        None => "it has not run backwards; no other device is connected to compare with".to_owned(),
    };
    report.pass("clock", what);
}

fn apart(name: &str, offset: i64, ours: bool) -> Words {
    let by = duration(std::time::Duration::from_millis(offset.unsigned_abs()));
    let which = if offset > 0 { "ahead of" } else { "behind" };
    let whose = if ours { " (like others: it is this device's that is wrong)" } else { "" };
    words(
        format!("{name}'s clock is {by} {which} this one's{whose}"),
        "Later edits win all the same; among edits made apart, the wrong clock decides what shows.",
        if ours { SET_IT.to_owned() } else { format!("on the device that is wrong: {SET_IT}") },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(offsets: &[i64], latest: u64) -> Vec<String> {
        let offsets: Vec<(String, i64)> =
            offsets.iter().map(|offset| ("phone".to_owned(), *offset)).collect();
        let mut report = Report::default();
        report_on(&offsets, (60_000, latest, 1_000_000), &mut report);
        assert_ne!(report.findings.is_empty(), report.passed.is_empty());
        report.findings.into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn clocks_that_are_far_apart_are_told() {
        assert_eq!(found(&[], 1_000_000).len(), 0);
        assert_eq!(found(&[-60_000, 60_000], 1_060_000).len(), 0);
        assert_eq!(found(&[7_200_000], 0), ["phone's clock is 2.0 h ahead of this one's"]);
        assert!(found(&[-90_000, -90_000], 0)[0].contains("this device's that is wrong"));
        assert!(!found(&[-90_000, 0], 0)[0].contains("this device's that is wrong"));
        assert_eq!(found(&[0], 1_060_001).len(), 1, "it was set back");
    }
}
