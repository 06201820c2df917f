//! `why`.

use driftless::core::schema::{ModelId, ModelKind};
use driftless::{
    Delivery, LastChange, Library, RecordHere, RecordKey, Uuid, WaitingSet, Why, WhyNot, WhyRecord,
};
use driftless_catalog::Catalog;

use super::quarantine::why as why_in_quarantine;
use super::record::{Found, find};
use super::verdict::verdict;
use super::{Context, gone, select};
use crate::answer::{
    Answer, WhyChange, WhyDevice, WhyNext, WhyReason, WhyRecordRow, WhyReport, WhyWaiting,
};
use crate::args::WhyArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::reasons;
use crate::text::{self, plain, plural};

/// Devices that are named in a sentence.
const NAMED: usize = 3;

pub(super) fn run(
    context: Context<'_>,
    args: &WhyArgs,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let library = context.library;
    let records = records(library, args).map_err(|failure| unknown(library, failure))?;
    let mut why = library.why(&records)?;
    if why.records.iter().all(|record| record.here == RecordHere::Unknown) {
        let failure = Failure::not_found("no_record", "nothing is known of it on this device");
        return Err(unknown(library, failure.next("driftless status")));
    }
    if let Some(device) = &args.device {
        let device = select::device(library, device)?;
        why.devices.retain(|delivery| delivery.device == device);
    }
    let status = library.status()?;
    let now_ms = text::now_ms();
    let report = report(&why, verdict(&status, now_ms), now_ms);
    out.answer(Answer::Why(Box::new(report))).map_err(gone)?;
    Ok(Exit::Done)
}

/// What is asked about: of a file its row, and all that is said of it.
fn records(library: &Library, args: &WhyArgs) -> Result<Vec<(ModelId, RecordKey)>, Failure> {
    let owned = |key: &RecordKey| {
        let owned = library.schema().iter().filter(|model| model.kind == ModelKind::Owned);
        owned.map(|model| (model.id, key.clone())).collect::<Vec<_>>()
    };
    if args.record.is_path() {
        let catalog = Catalog::new(library);
        let item = catalog.resolve(args.record.as_os_str())?;
        let mut records = owned(&RecordKey::from(item.id));
        records.extend(catalog.records_about(&item)?);
        return Ok(records);
    }
    let selector = args.record.as_os_str().to_string_lossy();
    match (find(library, &selector, args.model.as_deref()), selector.parse::<Uuid>()) {
        (Ok(Found::Shared(model, key)), _) => Ok(vec![(model, key)]),
        (Ok(Found::Owned(key)), _) => Ok(owned(&key)),
        // What was damaged is in no table and may be in no history, but its key is known.
        (Err(failure), Ok(id)) if failure.exit == Exit::NotFound => {
            Ok(library.schema().iter().map(|model| (model.id, RecordKey::from(id))).collect())
        }
        (Err(failure), _) => Err(failure),
    }
}

/// Says of something that is not here what else is not here: it may be among that.
fn unknown(library: &Library, failure: Failure) -> Failure {
    if failure.exit != Exit::NotFound {
        return failure;
    }
    let hints = match hints(library) {
        Ok(hints) => hints,
        // What was asked comes first; why nothing more can be said would only hide it.
        Err(error) => vec![error.message],
    };
    match hints.is_empty() {
        true => failure,
        false => {
            let message = format!("{}; {}", failure.message, hints.join("; "));
            Failure { message, ..failure }
        }
    }
}

fn hints(library: &Library) -> Result<Vec<String>, Failure> {
    let why = library.why(&[])?;
    let mut hints: Vec<String> = Vec::new();
    for device in why.devices.iter().filter(|device| device.ahead > 0).take(NAMED) {
        let changes = plural(device.ahead, "change", "changes");
        hints.push(format!("{} has {changes} that this device lacks", plain(&device.name)));
    }
    let away = why.devices.iter().filter(|device| device.unlinked.is_some());
    let away: Vec<String> = away.map(|device| plain(&device.name)).take(NAMED).collect();
    if !away.is_empty() {
        hints.push(format!("not connected, and may have more: {}", away.join(", ")));
    }
    if !why.waiting.is_empty() {
        let sets = plural(why.waiting.len() as u64, "change set waits", "change sets wait");
        hints.push(format!("{sets} here for what they build on"));
    }
    let waiting = library.quarantined()?;
    if waiting > 0 {
        let records = plural(waiting, "record waits", "records wait");
        hints.push(format!("{records} in quarantine (driftless quarantine)"));
    }
    Ok(hints)
}

fn report(why: &Why, verdict: String, now_ms: u64) -> WhyReport {
    WhyReport {
        answer: answer(why, now_ms),
        verdict,
        records: why.records.iter().map(record).collect(),
        change: why.change.as_ref().map(change),
        devices: why.devices.iter().map(|delivery| device(delivery, now_ms)).collect(),
        waiting: why.waiting.iter().map(waiting).collect(),
    }
}

/// The answer in one sentence.
fn answer(why: &Why, now_ms: u64) -> String {
    let mut parts = Vec::new();
    let held = why.records.iter().filter_map(|record| Some((record, held_back(record)?)));
    for (record, words) in held.take(NAMED) {
        parts.push(format!("{}: {words}", plain(&record.model)));
    }
    let others: Vec<&Delivery> = why.devices.iter().filter(|device| !device.here).collect();
    let (have, lack): (Vec<&Delivery>, Vec<&Delivery>) =
        others.iter().copied().partition(|device| device.has);
    parts.push(match (have.len(), others.len()) {
        (_, 0) => "There is no other device to have it".to_owned(),
        (1, 1) => format!("{} has it", plain(&have[0].name)),
        (0, 1) => format!("{} is not known to have it", plain(&lack[0].name)),
        (n, all) if n == all => format!("All {n} other devices have it"),
        (n, all) => format!("{n} of {all} other devices have it"),
    });
    for device in lack.iter().take(NAMED) {
        let said = device.why_not.iter().map(|why| reasons::told(why, &device.name, now_ms).words);
        parts.push(format!("{}: {}", plain(&device.name), said.collect::<Vec<_>>().join(", ")));
    }
    if lack.len() > NAMED {
        parts.push(format!("and {} more", lack.len() - NAMED));
    }
    parts.join("; ")
}

/// Why a record does not show here, if it does not.
fn held_back(record: &WhyRecord) -> Option<String> {
    match &record.here {
        RecordHere::Quarantined { field, reason } => {
            let what = match field {
                Some(field) => format!("its field {} waits", plain(field)),
                None => "it waits".to_owned(),
            };
            Some(format!("{what} in quarantine on this device, as {}", why_in_quarantine(*reason)))
        }
        RecordHere::Damaged => {
            Some("it was damaged on this device, and comes back from another one".to_owned())
        }
        RecordHere::Deleted => Some("it was deleted".to_owned()),
        RecordHere::Shows | RecordHere::Unknown => None,
    }
}

fn record(record: &WhyRecord) -> WhyRecordRow {
    let state = match record.here {
        RecordHere::Shows => "shows",
        RecordHere::Quarantined { .. } => "quarantined",
        RecordHere::Damaged => "damaged",
        RecordHere::Deleted => "deleted",
        RecordHere::Unknown => "unknown",
    };
    WhyRecordRow {
        model: record.model.clone(),
        id: record.key.to_string(),
        name: record.name.clone(),
        state: state.to_owned(),
        reason: held_back(record),
    }
}

fn change(change: &LastChange) -> WhyChange {
    let device_id = change.device.to_string();
    WhyChange {
        dot: change.dot.to_string(),
        device: change.device_name.clone().unwrap_or_else(|| device_id.clone()),
        device_id,
        time: change.hlc.map(|hlc| text::time(hlc.ms())),
        logged: change.logged,
    }
}

fn waiting(set: &WaitingSet) -> WhyWaiting {
    WhyWaiting {
        dot: set.dot.to_string(),
        from: set.from.to_string(),
        lacks: set.lacks.iter().map(ToString::to_string).collect(),
    }
}

fn device(delivery: &Delivery, now_ms: u64) -> WhyDevice {
    let reason = |why: &WhyNot| {
        let told = reasons::told(why, &delivery.name, now_ms);
        WhyReason {
            reason: told.name.to_owned(),
            words: told.words,
            cure: told.cure,
            fields: told.fields,
        }
    };
    let next = delivery.next.filter(|_| !delivery.has).map(|step| {
        let (step, words, in_ms) = reasons::next(step);
        WhyNext { step: step.to_owned(), words, in_ms }
    });
    WhyDevice {
        device_id: delivery.device.to_string(),
        name: delivery.name.clone(),
        here: delivery.here,
        has: delivery.has,
        sent: delivery.sent_ms.map(text::time),
        acknowledged: delivery.acknowledged_ms.map(text::time),
        heard: delivery.heard_ms.map(text::time),
        behind: delivery.behind,
        ahead: delivery.ahead,
        clock_off_ms: delivery.clock_off_ms,
        reasons: delivery.why_not.iter().map(reason).collect(),
        next,
    }
}
