//! `log`: change sets, and what happened to sync, in the order in which both came here.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use driftless::{
    Checkpoint, DeviceId, EventFilter, EventKind, EventStream, FieldChange, Library, LogEntry,
    LogFilter, RecordChange, Severity, Subscription, SyncEvent,
};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::history::{did, model_of};
use super::value::json_value;
use super::{Context, gone, select};
use crate::answer::{ChangeRow, LogRow, Rows};
use crate::args::LogArgs;
use crate::explain::no_daemon;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Progress};
use crate::text;

/// How often it is looked whether whoever follows is still there.
const BEAT: Duration = Duration::from_secs(5);
/// Change sets that are read at a time while following.
const NEWS: usize = 1_000;

/// What of the log is wanted.
struct Wanted {
    /// Change sets; none if they are not wanted.
    sets: Option<LogFilter>,
    /// Events; none if they are not wanted.
    events: Option<EventFilter>,
    limit: usize,
}

pub(super) fn run(
    context: Context<'_>,
    args: &LogArgs,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let library = context.library;
    if args.follow && !context.daemon {
        return Err(no_daemon("to follow what happens needs the daemon, and none runs"));
    }
    let mut wanted = wanted(library, args)?;
    let (changes, happening) = (library.subscribe(), library.subscribe_events());
    let names = names(library)?;
    let (rows, mut told) = past(library, &wanted, &names)?;
    out.rows(Rows::Log(rows)).map_err(gone)?;
    if !args.follow {
        return Ok(Exit::Done);
    }
    if let Some(filter) = &mut wanted.sets {
        // What is not in the history yet is behind everything that is.
        let last = library.log(&LogFilter::default(), 1)?.last().map(|entry| entry.pos);
        filter.after = told.pos.max(last);
    }
    let mut news = News { changes, happening, runtime: runtime()? };
    out.flush().map_err(gone)?;
    while !context.stopping.load(Ordering::Relaxed) {
        let rows = match news.wait(wanted.sets.is_some()) {
            Woken::Happened(event) => happened(&event, &wanted, &mut told, &names),
            Woken::Changed => {
                written(library, &mut wanted, out)?;
                continue;
            }
            Woken::Beat => {
                out.progress(Progress { text: "following".to_owned() }).map_err(gone)?;
                continue;
            }
            Woken::Closed => break,
        };
        if !rows.is_empty() {
            out.rows(Rows::Log(rows)).map_err(gone)?;
            out.flush().map_err(gone)?;
        }
    }
    Ok(Exit::Done)
}

/// Where it is heard of what is new.
struct News {
    changes: Subscription,
    happening: EventStream,
    runtime: Runtime,
}

/// Why a wait is over.
enum Woken {
    Happened(SyncEvent),
    Changed,
    /// Nothing, for a while.
    Beat,
    /// Nothing will ever come again.
    Closed,
}

impl News {
    /// Waits until there is something new; nothing is done before. What was changed is waited for only
    /// if somebody wants to know. The end of sync, which a daemon that ends begins with, is an event.
    fn wait(&mut self, sets: bool) -> Woken {
        let Self { changes, happening, runtime } = self;
        let woken = runtime.block_on(async {
            tokio::select! {
                event = happening.changed() => event.map_or(Woken::Closed, Woken::Happened),
                change = changes.changed(), if sets => change.map_or(Woken::Closed, |_| Woken::Changed),
                () = tokio::time::sleep(BEAT) => Woken::Beat,
            }
        });
        if matches!(woken, Woken::Changed) {
            // One look finds all of them.
            while changes.poll().is_some() {}
        }
        woken
    }
}

/// What waits for two things at once, on the thread of whoever follows.
fn runtime() -> Result<Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_time().build();
    built.map_err(|error| Failure::io("preparing to wait", &error))
}

/// The row of an event, if it is wanted.
fn happened(event: &SyncEvent, wanted: &Wanted, told: &mut ToldUpTo, names: &Names) -> Vec<LogRow> {
    // What was told already comes once more.
    let new = event.id > told.event || event.times > 1;
    if !new || !wanted.events.as_ref().is_some_and(|filter| filter.fits(event)) {
        return Vec::new();
    }
    told.event = told.event.max(event.id);
    vec![event_row(names, event)]
}

/// Tells of the change sets that are new.
fn written(library: &Library, wanted: &mut Wanted, out: &mut dyn Output) -> Result<(), Failure> {
    let Some(filter) = &mut wanted.sets else { return Ok(()) };
    loop {
        let news = library.log(filter, NEWS)?;
        filter.after = news.last().map(|entry| entry.pos).max(filter.after);
        if !news.is_empty() {
            let rows = news.iter().map(|entry| log_row(library, entry)).collect();
            out.rows(Rows::Log(rows)).map_err(gone)?;
            out.flush().map_err(gone)?;
        }
        if news.len() < NEWS {
            return Ok(());
        }
    }
}

/// What the options ask for.
fn wanted(library: &Library, args: &LogArgs) -> Result<Wanted, Failure> {
    let device =
        args.device.as_deref().map(|device| select::device(library, device)).transpose()?;
    let since_ms = args.since.as_deref().map(text::parse_time).transpose()?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let severity = args.severity.as_deref().map(severity).transpose()?;
    let mut sets = LogFilter { device, since_ms, ..LogFilter::default() };
    let mut events = EventFilter { device, since_ms, severity, ..EventFilter::default() };
    // A change set is nothing grave.
    let quiet = severity.is_none_or(|severity| severity == Severity::Info);
    let both = match args.kind.as_deref().or(args.model.as_deref()) {
        None => (quiet, true),
        Some("change_set") => (true, false),
        Some("event") => (false, true),
        Some(kind) => match EventKind::of_name(kind).filter(|_| args.kind.is_some()) {
            Some(kind) => {
                events.kinds.push(kind);
                (false, true)
            }
            None => {
                sets.model =
                    Some(model_of(library, kind).map_err(|failure| of_kind(failure, args))?);
                (true, false)
            }
        },
    };
    Ok(Wanted { sets: both.0.then_some(sets), events: both.1.then_some(events), limit })
}

/// Says what else `--kind` could have been.
fn of_kind(failure: Failure, args: &LogArgs) -> Failure {
    if args.kind.is_none() {
        return failure;
    }
    let kinds: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
    let message = format!(
        "{}; no event either: those are change_set, event, {}",
        failure.message,
        kinds.join(", ")
    );
    Failure { message, ..failure }
}

fn severity(name: &str) -> Result<Severity, Failure> {
    name.parse().map_err(|error| Failure::usage(format!("{name:?} is no severity: {error}")))
}

/// Up to where was told.
struct ToldUpTo {
    pos: Option<i64>,
    event: i64,
}

/// What has happened already: the last change sets, and the events since the first of them.
fn past(
    library: &Library,
    wanted: &Wanted,
    names: &Names,
) -> Result<(Vec<LogRow>, ToldUpTo), Failure> {
    let limit = wanted.limit;
    let mut entries = Vec::new();
    let (mut from, mut after) = (0, i64::MIN);
    let mut checkpoints = Vec::new();
    if let Some(filter) = &wanted.sets {
        entries = library.log(filter, limit)?;
        if filter.device.is_none() && filter.model.is_none() {
            checkpoints = library.checkpoints()?;
        }
        let first = entries.first().filter(|_| entries.len() >= limit);
        after = first.map_or(i64::MIN, |first| first.pos);
        from = filter.since_ms.max(first.map(|entry| entry.hlc.ms())).unwrap_or(0);
    }
    checkpoints.retain(|checkpoint| checkpoint.made_ms >= from);
    let mut events = Vec::new();
    if let Some(filter) = &wanted.events {
        events = library.events(filter, limit)?;
    }
    let last = events.last().map_or(0, |event| event.id);
    events.retain(|event| event.pos >= after);
    let told = ToldUpTo { pos: entries.last().map(|entry| entry.pos), event: last };
    Ok((merged(library, &entries, &checkpoints, (&events, names)), told))
}

/// Change sets in their order, checkpoints where they belong by what they hold, events behind the
/// change sets that were here by then.
fn merged(
    library: &Library,
    entries: &[LogEntry],
    checkpoints: &[Checkpoint],
    (events, names): (&[SyncEvent], &Names),
) -> Vec<LogRow> {
    let mut checkpoints = checkpoints.iter().peekable();
    let mut events = events.iter().peekable();
    let told = |checkpoint: &Checkpoint| LogRow::Checkpoint {
        checkpoint: checkpoint.name.clone(),
        time: text::time(checkpoint.made_ms),
        what: checkpoint.what.clone(),
    };
    let mut rows = Vec::new();
    for entry in entries {
        while let Some(event) = events.next_if(|event| event.pos < entry.pos) {
            rows.push(event_row(names, event));
        }
        let before = |checkpoint: &&Checkpoint| !checkpoint.vector.covers(&entry.dot);
        while let Some(checkpoint) = checkpoints.next_if(before) {
            rows.push(told(checkpoint));
        }
        rows.push(log_row(library, entry));
    }
    rows.extend(events.map(|event| event_row(names, event)));
    rows.extend(checkpoints.map(told));
    rows
}

/// What devices are called.
type Names = BTreeMap<DeviceId, String>;

fn names(library: &Library) -> Result<Names, Failure> {
    let members = library.members()?;
    Ok(members.into_iter().map(|member| (member.device, member.name)).collect())
}

fn event_row(names: &Names, event: &SyncEvent) -> LogRow {
    let name = |device: DeviceId| names.get(&device).cloned().unwrap_or_else(|| device.to_string());
    LogRow::Event {
        event: event.kind.name().to_owned(),
        severity: event.severity.name().to_owned(),
        time: text::time(event.first_ms),
        last: text::time(event.last_ms),
        times: event.times,
        device: event.device.map(name),
        device_id: event.device.map(|device| device.to_string()),
        words: event.words.clone(),
        fields: event.fields.clone(),
        changes: Vec::new(),
    }
}

fn log_row(library: &Library, entry: &LogEntry) -> LogRow {
    let device_id = entry.device.to_string();
    LogRow::Set {
        dot: entry.dot.to_string(),
        time: text::time(entry.hlc.ms()),
        device: entry.device_name.clone().unwrap_or_else(|| device_id.clone()),
        device_id,
        group: entry.group.map(|first| first.to_string()),
        changes: entry.changes.iter().map(|change| change_row(library, change)).collect(),
    }
}

fn change_row(library: &Library, change: &RecordChange) -> ChangeRow {
    let value = |field: &FieldChange| {
        field.value.as_ref().map_or(Value::Null, |value| json_value(field.ty, value))
    };
    let fields: BTreeMap<String, Value> =
        change.fields.iter().map(|field| (field.name.clone(), value(field))).collect();
    ChangeRow {
        model: change.model_name.clone(),
        record: change.key.to_string(),
        name: change.record_name.clone(),
        did: did(library, change.model, change.deed).to_owned(),
        fields,
    }
}
