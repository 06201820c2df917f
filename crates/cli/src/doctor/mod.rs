//! `doctor`: looks at everything that can be wrong, and says of each thing what it means and what
//! cures it.
//!
//! What a look at the directory tells ([`place`]) is told even if the library cannot be opened;
//! the rest asks an open library, the daemon's if one runs.

mod catalog;
mod clock;
mod lately;
mod network;
mod place;
mod replica;

use std::path::Path;

use driftless::{Setting, milliseconds};
use driftless_catalog::Catalog;

use crate::answer::{Answer, DoctorReport, Finding, Passed, Severity};
use crate::args::LibraryCommand;
use crate::client::{Reached, reach};
use crate::daemon::Background;
use crate::execute::{Context, execute, gone, verdict};
use crate::failure::{Exit, Failure};
use crate::output::{Output, Progress};
use crate::places::Places;
use crate::printer::{Look, Printer};
use crate::text;
use crate::wire::Request;

/// What was found so far.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
    passed: Vec<Passed>,
}

impl Report {
    /// A check that found nothing wrong.
    fn pass(&mut self, check: &str, what: impl Into<String>) {
        self.passed.push(Passed { check: check.to_owned(), what: what.into() });
    }

    /// Something that is worth knowing.
    fn find(&mut self, check: &str, severity: Severity, words: Words) {
        let Words { what, effect, next } = words;
        self.findings.push(Finding { check: check.to_owned(), severity, what, effect, next });
    }

    /// A check that could not be made.
    fn unable(&mut self, check: &str, failure: Failure) {
        let Failure { message, effect, next, .. } = failure;
        self.find(check, Severity::Error, Words { what: message, effect, next });
    }

    fn has(&self, check: &str) -> bool {
        self.findings.iter().any(|finding| finding.check == check)
    }

    /// The report, the worst first.
    fn end(mut self) -> DoctorReport {
        self.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let worst = self.findings.first().map_or(Severity::Ok, |finding| finding.severity);
        DoctorReport { findings: self.findings, passed: self.passed, worst, verdict: None }
    }
}

/// What a finding says.
struct Words {
    /// What is so.
    what: String,
    /// What it means.
    effect: String,
    /// What to do.
    next: String,
}

fn words(what: impl Into<String>, effect: impl Into<String>, next: impl Into<String>) -> Words {
    Words { what: what.into(), effect: effect.into(), next: next.into() }
}

/// Notes and warnings are no failure: the library works.
fn exit(worst: Severity) -> Exit {
    if worst == Severity::Error { Exit::Failed } else { Exit::Done }
}

/// Looks at a library that may be open elsewhere, or not open at all.
pub(crate) fn run(places: &Places, json: bool) -> Result<Exit, Failure> {
    if place::is_empty(&places.dir) {
        let message = format!("{} holds no library", places.dir.display());
        return Err(Failure::not_found("no_library", message).next(
            "driftless init, or driftless join TICKET; or name another directory with --dir",
        ));
    }
    let mut printer = Printer::new(Look { json, ..Look::default() });
    let exit = match reach(places) {
        Ok(Reached::Daemon(mut daemon)) => {
            daemon.run(&Request::Run(LibraryCommand::Doctor), &mut printer)
        }
        Ok(Reached::Open(library)) => {
            execute(Context::alone(&library), LibraryCommand::Doctor, &mut printer)
        }
        Err(failure) => tell(closed(&places.dir, failure), &mut printer),
    };
    let finished = printer.finish();
    let exit = exit?;
    finished.map_err(|error| Failure::output(&error))?;
    Ok(exit)
}

/// What can be said of a library that cannot be opened: why, and how its directory is.
fn closed(dir: &Path, why: Failure) -> DoctorReport {
    let mut report = Report::default();
    place::check(dir, &mut report);
    report.unable("library", why);
    report.end()
}

/// Looks at an open library.
pub(crate) fn examine(context: Context<'_>, out: &mut dyn Output) -> Result<Exit, Failure> {
    let mut report = Report::default();
    let library = context.library;
    let mut doing = |what: &str| out.progress(Progress { text: what.to_owned() }).map_err(gone);
    doing("looking at the directory")?;
    place::check(library.dir(), &mut report);
    doing("reading the databases")?;
    replica::files(library, &mut report);
    doing("looking at the other devices")?;
    let status = library.status()?;
    let (why, now_ms) = (library.why(&[])?, text::now_ms());
    network::check(&status, &why, (context.daemon, now_ms), &mut report);
    let retention = milliseconds(&library.setting(Setting::Retention)?);
    // A setting that is no time was refused when it was set.
    let retention = retention.ok_or_else(|| Failure::internal("retention is no time"))?;
    network::pruning(&status, (retention, now_ms), &mut report);
    lately::check(library, now_ms, &mut report);
    clock::check(library, &status, &mut report)?;
    doing("comparing digests")?;
    replica::digests(library, &status, &mut report);
    replica::damage(&status, &mut report);
    replica::quarantine(&status, &mut report);
    replica::twins(&status, &mut report);
    replica::versions(library, &mut report);
    catalog::check(Catalog::new(library), context.daemon, &mut report);
    if let Some(kept) = context.background.and_then(Background::kept) {
        catalog::watching(kept, &mut report);
    }
    let verdict = Some(verdict(&library.status()?, now_ms));
    tell(DoctorReport { verdict, ..report.end() }, out)
}

fn tell(report: DoctorReport, out: &mut dyn Output) -> Result<Exit, Failure> {
    let exit = exit(report.worst);
    out.answer(Answer::Doctor(report)).map_err(gone)?;
    Ok(exit)
}
