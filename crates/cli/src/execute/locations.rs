//! `location`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::BASE64;
use driftless::{Library, Uuid};
use driftless_catalog::keep::{KeepReport, KeepReports};
use driftless_catalog::{
    Added, Catalog, CatalogError, LocationInfo, LocationRules, LocationState, ScanOptions,
    ScanPhase, ScanProgress,
};

use super::{Context, gone};
use crate::answer::{Answer, LocationRow, ProblemRow, Record, Registered, Rows, ScanReport};
use crate::args::LocationCommand;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Progress, Throttle};
use crate::text::{bytes, count, duration, plain, plural, signed_time};

/// Problems that a report names; it counts all.
const NAMED: usize = 100;

pub(super) fn run(
    context: Context<'_>,
    command: LocationCommand,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let catalog = Catalog::new(context.library);
    let answer = match command {
        LocationCommand::Ls => {
            let kept = context.background.and_then(|background| background.kept());
            let kept = kept.map_or_else(Vec::new, KeepReports::all);
            let rows = catalog.locations()?.iter().map(|info| row(info, &kept)).collect();
            out.rows(Rows::Locations(rows)).map_err(gone)?;
            return Ok(Exit::Done);
        }
        LocationCommand::Add { path, no_hash, detach, gitignore, no_hidden } => {
            let path = Path::new(path.as_os_str());
            let rules = LocationRules { gitignore, skip_hidden: no_hidden };
            // Without any, those of before hold.
            let rules = (rules != LocationRules::default()).then_some(rules);
            if detach {
                Answer::Registered(register(context, path, rules)?)
            } else {
                let added = scan(context, !no_hash, out, |options, tell| {
                    catalog.add_location(path, &ScanOptions { rules, ..options.clone() }, tell)
                })?;
                Answer::Scans(vec![report(&added)])
            }
        }
        LocationCommand::Rescan { location, no_hash } => {
            Answer::Scans(rescan(context, location.as_deref(), !no_hash, out)?)
        }
        LocationCommand::Rm { location } => {
            let info = catalog.select_location(&location)?;
            let removed = catalog.remove_location(info.location.id)?;
            let entries = plural(removed, "entry", "entries");
            let did = format!("{} is forgotten, with {entries}", info.location.path);
            Answer::Record(Record { id: info.location.id.to_string(), did })
        }
    };
    out.answer(answer).map_err(gone)?;
    Ok(Exit::Done)
}

/// Makes a location. A daemon scans it by and by; without one, the next that runs does.
fn register(
    context: Context<'_>,
    path: &Path,
    rules: Option<LocationRules>,
) -> Result<Registered, Failure> {
    let location = Catalog::new(context.library).register_location(path, rules)?;
    // Who keeps folders scans them as well.
    if let Some(background) = context.background.filter(|background| background.kept().is_none()) {
        let id = location.id;
        let scan = move |library: &Library, stopping: &AtomicBool| {
            scan_in_background(library, stopping, id);
        };
        background.spawn(scan).map_err(|error| Failure::io("starting a thread", &error))?;
    }
    Ok(Registered {
        id: location.id.to_string(),
        path: location.path,
        state: location.state,
        daemon: context.background.is_some(),
    })
}

/// Scans the locations of this device whose first scan has not begun, and those whose last one did
/// not come to its end.
pub(crate) fn scan_waiting(library: &Library, stopping: &AtomicBool) {
    let locations = match Catalog::new(library).locations() {
        Ok(locations) => locations,
        Err(error) => {
            tracing::warn!(%error, "the locations cannot be read");
            return;
        }
    };
    for info in locations.iter().filter(|info| info.here) {
        let state = LocationState::from_name(&info.location.state);
        if state.is_some_and(|state| state != LocationState::Ready) {
            scan_in_background(library, stopping, info.location.id);
        }
    }
}

/// Scans a location while nobody waits for it. How it ended is kept as the location's state.
fn scan_in_background(library: &Library, stopping: &AtomicBool, id: Uuid) {
    let options = ScanOptions::default();
    let cancel = options.cancel.clone();
    let mut tell = |_: &ScanProgress| {
        if stopping.load(Ordering::Relaxed) {
            cancel.cancel();
        }
    };
    if stopping.load(Ordering::Relaxed) {
        return;
    }
    match Catalog::new(library).rescan(id, &options, &mut tell) {
        Ok(added) => {
            let files = added.counts.files;
            tracing::info!(location = %id, files, "scanned {}", added.path.display());
        }
        // Somebody else scans it.
        Err(CatalogError::Busy { .. }) => {}
        Err(error) => tracing::warn!(location = %id, %error, "the scan has failed"),
    }
}

/// Scans the location that was named, or all of this device. One of several whose folder is not there
/// keeps nobody from the others.
fn rescan(
    context: Context<'_>,
    selector: Option<&str>,
    hash: bool,
    out: &mut dyn Output,
) -> Result<Vec<ScanReport>, Failure> {
    let catalog = Catalog::new(context.library);
    let (mut reports, mut away) = (Vec::new(), None);
    let ids = chosen(catalog, selector)?;
    for id in &ids {
        let done = scan(context, hash, out, |options, tell| catalog.rescan(*id, options, tell));
        match done {
            Ok(added) => reports.push(report(&added)),
            Err(error) if error.is_away() => {
                if ids.len() > 1 {
                    out.note(format!("{error}; it is offline")).map_err(gone)?;
                }
                away = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    match away {
        Some(error) if reports.is_empty() => Err(Failure::from(error)
            .effect("The location is offline; its entries stay as they are.")
            .next("mount its drive or put the folder back, and run driftless location rescan")),
        _ => Ok(reports),
    }
}

/// The location that was named, or all of this device.
fn chosen(catalog: Catalog<'_>, selector: Option<&str>) -> Result<Vec<Uuid>, Failure> {
    if let Some(selector) = selector {
        return Ok(vec![catalog.select_location(selector)?.location.id]);
    }
    let own: Vec<LocationInfo> =
        catalog.locations()?.into_iter().filter(|info| info.here).collect();
    if own.is_empty() {
        let message = "no folder of this device is indexed";
        return Err(Failure::not_found("no_location", message).next("driftless location add PATH"));
    }
    Ok(own.into_iter().map(|info| info.location.id).collect())
}

/// Scans, and tells how far it is. The scan stops if nobody listens any more or the daemon ends.
fn scan(
    context: Context<'_>,
    hash: bool,
    out: &mut dyn Output,
    scan: impl FnOnce(&ScanOptions, &mut dyn FnMut(&ScanProgress)) -> Result<Added, CatalogError>,
) -> Result<Added, CatalogError> {
    let options = ScanOptions { hash, ..ScanOptions::default() };
    let cancel = options.cancel.clone();
    let mut throttle = Throttle::new();
    let mut tell = |progress: &ScanProgress| {
        let heard = !throttle.is_due() || out.progress(words(progress)).is_ok();
        if !heard || context.stopping.load(Ordering::Relaxed) {
            cancel.cancel();
        }
    };
    scan(&options, &mut tell)
}

fn words(progress: &ScanProgress) -> Progress {
    let found = count(progress.counts.entries());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts saturate")]
    let whole = |rate: f64| rate as u64;
    let mut text = match progress.phase {
        ScanPhase::Walking => format!("looking: {found} found"),
        ScanPhase::Hashing | ScanPhase::Done => {
            format!("reading: {} of {found} found", bytes(progress.hashed_bytes))
        }
    };
    if let Some(rate) = progress.entries_per_second {
        text.push_str(&format!(", {}/s", count(whole(rate))));
    }
    if let Some(rate) = progress.bytes_per_second {
        text.push_str(&format!(", {}/s", bytes(whole(rate))));
    }
    if let Some(remaining) = progress.remaining {
        text.push_str(&format!(", {} remaining", duration(remaining)));
    }
    if progress.problems > 0 {
        text.push_str(&format!(", {}", plural(progress.problems, "problem", "problems")));
    }
    Progress { text }
}

fn report(added: &Added) -> ScanReport {
    let problem = |problem: &driftless_catalog::scan::Problem| ProblemRow {
        path: problem.path.display().to_string(),
        what: problem.what.as_str().to_owned(),
        message: plain(&crate::explain::words(problem)),
    };
    ScanReport {
        id: added.id.to_string(),
        path: added.path.display().to_string(),
        files: added.counts.files,
        dirs: added.counts.dirs,
        links: added.counts.links,
        bytes: added.counts.bytes,
        added: added.changes.added,
        updated: added.changes.updated,
        removed: added.changes.removed,
        hashed: added.hashed,
        seconds: added.elapsed.as_secs_f64(),
        problem_count: added.problem_count,
        note_count: added.note_count,
        problems: added.problems.iter().take(NAMED).map(problem).collect(),
    }
}

fn row(info: &LocationInfo, kept: &[KeepReport]) -> LocationRow {
    let location = &info.location;
    let kept = kept.iter().find(|report| report.location == location.id);
    let rules = location.rules();
    // Rows come from other devices; a count below nothing is nothing.
    let number = |count: i64| u64::try_from(count).unwrap_or(0);
    LocationRow {
        id: location.id.to_string(),
        device: info.device_name.clone(),
        device_id: info.device.to_string(),
        path: location.path.clone(),
        path_raw: location.path_raw.as_deref().map(|raw| BASE64.encode(raw)),
        name: location.name.clone(),
        state: location.state.clone(),
        files: number(location.files),
        dirs: number(location.dirs),
        bytes: number(location.bytes),
        problems: number(location.problems),
        scanned_at: location.scanned_at.map(signed_time),
        volume: info.volume.as_ref().map(|volume| volume.name.clone()),
        gitignore: rules.gitignore,
        hidden: !rules.skip_hidden,
        watch: kept.map(|report| report.keeping.as_str().to_owned()),
    }
}
