//! What a look at everything finds.

use askama::Template;

use super::super::desk::{Desk, Frame};
use super::super::words::Tone;
use super::filled;
use crate::answer::{Answer, DoctorReport, Finding, Severity};
use crate::args::LibraryCommand;
use crate::failure::Failure;

#[derive(Template)]
#[template(path = "health.html")]
struct Health {
    frame: Frame,
    report: DoctorReport,
}

impl Health {
    fn tone(&self, finding: &Finding) -> Tone {
        match finding.severity {
            Severity::Ok => Tone::Good,
            Severity::Note => Tone::Plain,
            Severity::Warning => Tone::Watch,
            Severity::Error => Tone::Bad,
        }
    }
}

pub(in super::super) fn page(desk: &Desk<'_>) -> Result<String, Failure> {
    let report = desk.one(LibraryCommand::Doctor, |answer| match answer {
        Answer::Doctor(report) => Some(report),
        _ => None,
    })?;
    filled(&Health { frame: desk.frame("/health")?, report })
}
