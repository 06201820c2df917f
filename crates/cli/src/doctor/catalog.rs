//! The indexed folders of this device.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use driftless_catalog::keep::{KeepProblem, KeepReports};
use driftless_catalog::watch::Problem as WatchProblem;
use driftless_catalog::{Catalog, LocationInfo, LocationState};

use super::{Report, Words, words};
use crate::answer::Severity;
use crate::explain;
use crate::text::{plain, plural};

/// Looks at all locations of this device.
pub(super) fn check(catalog: Catalog<'_>, daemon: bool, report: &mut Report) {
    let locations = match catalog.locations() {
        Ok(locations) => locations,
        Err(error) => return report.unable("locations", error.into()),
    };
    let own: Vec<&LocationInfo> = locations.iter().filter(|info| info.here).collect();
    for info in &own {
        let busy = catalog.is_scanning(info.location.id);
        if let Some((severity, said)) = about(info, busy, daemon) {
            report.find("locations", severity, said);
        }
    }
    if !report.has("locations") {
        if own.is_empty() {
            return report.pass("locations", "no folder of this device is indexed");
        }
        let folders = plural(own.len() as u64, "indexed folder is", "indexed folders are");
        report.pass("locations", format!("{folders} as the last scan found"));
    }
}

/// What is to be said of a location, if anything.
fn about(info: &LocationInfo, busy: bool, daemon: bool) -> Option<(Severity, Words)> {
    let location = &info.location;
    let (path, id) = (plain(&location.path), location.id);
    let rescan = format!("driftless location rescan {id}");
    let state = LocationState::from_name(&location.state);
    let there = Path::new(OsStr::from_bytes(location.path_bytes())).is_dir();
    let said = match state {
        _ if busy => return None,
        _ if !there => (
            Severity::Warning,
            words(
                format!("{path} is not there: its drive is not mounted, or it was moved"),
                "Its entries stay in the catalogue as they were.",
                format!("mount it and run {rescan}; or driftless location rm {id} to forget it"),
            ),
        ),
        Some(LocationState::New) => (
            Severity::Note,
            words(
                format!("{path} has not been scanned yet"),
                "Its files are not in the catalogue.",
                if daemon { rescan } else { "driftless up".to_owned() },
            ),
        ),
        Some(LocationState::Scanning) => (
            Severity::Warning,
            words(
                format!("the scan of {path} was cut off"),
                "Its entries are as far as that scan came.",
                rescan,
            ),
        ),
        Some(LocationState::Failed) => (
            Severity::Warning,
            words(
                format!("the last scan of {path} failed"),
                "Its entries are as far as that scan came.",
                rescan,
            ),
        ),
        Some(LocationState::Offline) => (
            Severity::Warning,
            words(
                format!("{path} is offline: what is there is not the folder that was indexed"),
                "Its entries stay in the catalogue as they were.",
                format!("mount its drive and run {rescan}; or driftless location rm {id}"),
            ),
        ),
        Some(LocationState::Ready) if location.problems > 0 => {
            let count = u64::try_from(location.problems).unwrap_or(0);
            (
                Severity::Note,
                words(
                    format!("{} in {path} could not be read", plural(count, "thing", "things")),
                    "The rest of it is in the catalogue.",
                    format!("{rescan}, which names them"),
                ),
            )
        }
        Some(LocationState::Ready) => return None,
        None => (
            Severity::Note,
            words(
                format!("{path} is {:?}, which this version does not know", plain(&location.state)),
                "Its entries stay in the catalogue as they were.",
                rescan,
            ),
        ),
    };
    Some(said)
}

/// How the folders are watched, which only the daemon knows.
pub(super) fn watching(kept: &KeepReports, report: &mut Report) {
    let reports = kept.all();
    for of in &reports {
        for problem in &of.problems {
            let Some((effect, next)) = about_watching(problem) else { continue };
            let path = plain(&of.path.display().to_string());
            let what = format!("{path}: {}", plain(&explain::words(&**problem)));
            report.find("watching", Severity::Warning, words(what, effect, next));
        }
    }
    if !report.has("watching") {
        let folders = plural(reports.len() as u64, "folder is", "folders are");
        report.pass("watching", format!("{folders} followed as they change"));
    }
}

/// What a problem means and what cures it; `None` for what other checks tell.
fn about_watching(problem: &KeepProblem) -> Option<(&'static str, &'static str)> {
    const LATER: &str = "What changes there is found later, by a scan from time to time.";
    match problem {
        KeepProblem::Scan(_) => None,
        KeepProblem::Watch(WatchProblem::OutOfWatches { .. }) | KeepProblem::Watcher(_) => Some((
            LATER,
            "raise fs.inotify.max_user_watches and max_user_instances (sysctl), then driftless up",
        )),
        KeepProblem::Watch(
            WatchProblem::Pattern { .. }
            | WatchProblem::Rules { .. }
            | WatchProblem::TooManyRules { .. },
        ) => Some(("Files that these rules mean are indexed.", "correct the rules")),
        KeepProblem::Failed(_) => Some((
            "The catalogue may lag behind this folder; it is tried again.",
            "see to the cause, and driftless location rescan",
        )),
        _ => Some((LATER, "driftless location rescan, when it matters")),
    }
}
