//! `conflicts`.

use driftless::core::schema::FieldType;
use driftless::{Conflict, Library, Resolution, Sibling, Uuid};

use super::value::json_value;
use super::{Context, gone};
use crate::answer::{Answer, ConflictRow, ResolvedReport, Rows, SiblingRow};
use crate::args::{ConflictsCommand, ResolveArgs};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// Conflicts that are read at a time; their values can be large.
const CHUNK: usize = 16;
/// Candidates that an ambiguous selector tells of.
const CANDIDATES: usize = 20;
const MIN_PREFIX: usize = 4;

pub(super) fn run(
    context: Context<'_>,
    command: Option<ConflictsCommand>,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    match command {
        None => list(context.library, out),
        Some(ConflictsCommand::Show { conflict }) => {
            let conflict = select(context.library, &conflict)?;
            out.answer(Answer::Conflict(Box::new(row(&conflict)))).map_err(gone)?;
            Ok(Exit::Done)
        }
        Some(ConflictsCommand::Resolve(args)) => resolve(context.library, &args, out),
    }
}

fn list(library: &Library, out: &mut dyn Output) -> Result<Exit, Failure> {
    let mut last: Option<Conflict> = None;
    loop {
        let conflicts = library.conflicts(last.as_ref(), CHUNK)?;
        if last.is_none() || !conflicts.is_empty() {
            out.rows(Rows::Conflicts(conflicts.iter().map(row).collect())).map_err(gone)?;
        }
        match conflicts.into_iter().next_back() {
            Some(conflict) => last = Some(conflict),
            None => return Ok(Exit::Done),
        }
    }
}

fn resolve(library: &Library, args: &ResolveArgs, out: &mut dyn Output) -> Result<Exit, Failure> {
    let resolution = match &args.choice.take {
        Some(dot) => Resolution::Take(dot.parse().map_err(|error| {
            Failure::usage(format!("{error}")).next("driftless conflicts show CONFLICT")
        })?),
        None if args.choice.take_loser => Resolution::TakeLoser,
        None => Resolution::KeepWinner,
    };
    let chosen = select(library, &args.conflict)?;
    let conflict = library.resolve(chosen.id, resolution)?;
    let value = &conflict.choose(resolution)?.value;
    let report = ResolvedReport {
        id: conflict.id.to_string(),
        model: conflict.model.name.clone(),
        record: conflict.key.to_string(),
        name: conflict.record_name.clone(),
        field: conflict.field.name.clone(),
        value: json_value(Some(conflict.field.ty), value),
        open: library.conflict_count()?,
    };
    out.answer(Answer::Resolved(Box::new(report))).map_err(gone)?;
    Ok(Exit::Done)
}

/// The conflict that a selector means: an id, its first digits, or the record's name.
fn select(library: &Library, selector: &str) -> Result<Conflict, Failure> {
    if let Ok(id) = selector.parse::<Uuid>() {
        return library.conflict(id)?.ok_or_else(|| not_found(selector));
    }
    let mut found = by_prefix(library, selector)?;
    if found.is_empty() {
        found = by_name(library, selector)?;
    }
    if found.len() > 1 {
        let list: Vec<String> = found.iter().map(candidate).collect();
        let message = format!("{selector:?} is more than one conflict: {}", list.join(", "));
        return Err(Failure::new(Exit::Usage, "ambiguous", message)
            .next("run it again with one of these ids"));
    }
    found.pop().ok_or_else(|| not_found(selector))
}

fn by_prefix(library: &Library, selector: &str) -> Result<Vec<Conflict>, Failure> {
    let digits: String =
        selector.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    if digits.len() < MIN_PREFIX || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(Vec::new());
    }
    let fits = |id: Uuid| id.simple().to_string().starts_with(&digits);
    let ids = library.conflict_ids(fits, CANDIDATES)?;
    let mut found = Vec::new();
    for id in ids {
        found.extend(library.conflict(id)?);
    }
    Ok(found)
}

fn by_name(library: &Library, name: &str) -> Result<Vec<Conflict>, Failure> {
    let mut found = Vec::new();
    let mut last: Option<Conflict> = None;
    while found.len() < CANDIDATES {
        let conflicts = library.conflicts(last.as_ref(), CHUNK)?;
        let named = |conflict: &&Conflict| conflict.record_name.as_deref() == Some(name);
        found.extend(conflicts.iter().filter(named).cloned());
        match conflicts.into_iter().next_back() {
            Some(conflict) => last = Some(conflict),
            None => break,
        }
    }
    Ok(found)
}

fn candidate(conflict: &Conflict) -> String {
    let name = conflict.record_name.as_deref().unwrap_or_default();
    format!("{} {}.{} {name}", conflict.id, conflict.model.name, conflict.field.name)
}

fn not_found(selector: &str) -> Failure {
    let message =
        format!("no open conflict is called {selector:?}; it may have been resolved meanwhile");
    Failure::not_found("no_conflict", message).next("driftless conflicts")
}

fn row(conflict: &Conflict) -> ConflictRow {
    let ty = conflict.field.ty;
    ConflictRow {
        id: conflict.id.to_string(),
        model: conflict.model.name.clone(),
        record: conflict.key.to_string(),
        name: conflict.record_name.clone(),
        field: conflict.field.name.clone(),
        winner: sibling(ty, &conflict.winner),
        losers: conflict.losers.iter().map(|loser| sibling(ty, loser)).collect(),
    }
}

fn sibling(ty: FieldType, sibling: &Sibling) -> SiblingRow {
    let device_id = sibling.device.to_string();
    SiblingRow {
        value: json_value(Some(ty), &sibling.value),
        device: sibling.device_name.clone().unwrap_or_else(|| device_id.clone()),
        device_id,
        time: text::time(sibling.hlc.ms()),
        dot: sibling.dot.to_string(),
    }
}
