//! `quarantine`.

use driftless::{Reason, Waiting};

use super::{Context, gone};
use crate::answer::{Answer, QuarantineRow, RetriedReport, Rows};
use crate::args::QuarantineCommand;
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// How much of what waits is listed.
const LISTED: usize = 10_000;

pub(super) fn run(
    context: Context<'_>,
    command: Option<QuarantineCommand>,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    match command {
        None => {
            let waiting = context.library.quarantine(LISTED.min(out.room()))?;
            let more = context.library.quarantined()?.saturating_sub(waiting.len() as u64);
            out.rows(Rows::Quarantine(waiting.iter().map(row).collect())).map_err(gone)?;
            if more > 0 {
                out.note(format!("and {more} more")).map_err(gone)?;
            }
        }
        Some(QuarantineCommand::Retry) => {
            let retried = context.library.retry_quarantine()?;
            let report = RetriedReport {
                tried: retried.before,
                shown: retried.before.saturating_sub(retried.after),
                quarantined: retried.after,
            };
            out.answer(Answer::Retried(report)).map_err(gone)?;
        }
    }
    Ok(Exit::Done)
}

fn row(waiting: &Waiting) -> QuarantineRow {
    let (reason, why) = words(waiting.reason);
    QuarantineRow {
        id: waiting.key.to_string(),
        model: waiting.model.clone(),
        record: waiting.key.to_string(),
        field: waiting.field.clone(),
        reason: reason.to_owned(),
        why: why.to_owned(),
        device: waiting.device_name.clone(),
        device_id: waiting.device.map(|device| device.to_string()),
    }
}

/// Why something waits, in words.
pub(crate) fn why(reason: Reason) -> &'static str {
    words(reason).1
}

fn words(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::UnknownModel => (
            "unknown_model",
            "this version does not know the model; it keeps the record, merges it and hands it on, \
             and a newer version shows it",
        ),
        Reason::UnknownField => (
            "unknown_field",
            "this version does not know the field; it keeps the value, merges it and hands it on, \
             and a newer version shows it",
        ),
        Reason::RefusedValue => (
            "refused_value",
            "the value does not fit the type that this version gives the field; it is kept, and \
             shows once somebody writes one that fits, or in a version that takes it",
        ),
        Reason::KeyTaken => (
            "key_taken",
            "another device's row has the same id and shows; this one is kept until that is gone",
        ),
    }
}
