//! The indexed folders of this device.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use driftless_catalog::{Catalog, LocationInfo, LocationState};

use super::{Report, Words, words};
use crate::answer::Severity;
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
