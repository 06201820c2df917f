//! `undo`, `restore-record`, `tag ls --deleted`.

use driftless::core::id::Dot;
use driftless::core::schema::ModelId;
use driftless::core::undo::Obstacle;
use driftless::{Checkpoint, Deleted, Error, Library, UndoObstacle, UndoPlan, UndoStep, Undone};

use super::history::did;
use super::record::{Found, find, find_deleted};
use super::value::json_value;
use super::{Context, gone, select};
use crate::answer::{Answer, DeletedRow, ObstacleRow, Rows, UndoReport, UndoneField, UndoneRow};
use crate::args::{RestoreRecordArgs, UndoArgs};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text::{self, plural};

/// Records and obstacles that a report tells of by name; it says how many there are in all.
const TOLD: usize = 20;

pub(super) fn undo(
    context: Context<'_>,
    args: &UndoArgs,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let library = context.library;
    let target = match &args.to {
        Some(name) => Target::Checkpoint(checkpoint(library, name)?, args.all),
        None => {
            let dots = args.dots.iter().map(|dot| select_dot(library, dot));
            Target::Sets(dots.collect::<Result<_, _>>()?)
        }
    };
    let (plan, written) = if args.dry_run {
        (target.plan(library, args.force)?, Vec::new())
    } else {
        match target.undo(library, args.force) {
            Ok(Undone { plan, written }) => (plan, written),
            Err(Error::UndoRefused { plan }) => return Err(refused(&plan)),
            Err(error) => return Err(error.into()),
        }
    };
    let report = report(library, &plan, &written, args.dry_run);
    out.answer(Answer::Undone(Box::new(report))).map_err(gone)?;
    Ok(Exit::Done)
}

/// What is taken back.
enum Target {
    Sets(Vec<Dot>),
    Checkpoint(Checkpoint, bool),
}

impl Target {
    fn plan(&self, library: &Library, force: bool) -> Result<UndoPlan, Error> {
        match self {
            Self::Sets(dots) => library.plan_undo(dots, force),
            Self::Checkpoint(checkpoint, all) => library.plan_undo_to(checkpoint, *all, force),
        }
    }

    fn undo(&self, library: &Library, force: bool) -> Result<Undone, Error> {
        match self {
            Self::Sets(dots) => library.undo(dots, force),
            Self::Checkpoint(checkpoint, all) => library.undo_to(checkpoint, *all, force),
        }
    }
}

/// A change set: a dot, or `DEVICE#SEQ`.
fn select_dot(library: &Library, text: &str) -> Result<Dot, Failure> {
    if let Ok(dot) = text.parse() {
        return Ok(dot);
    }
    let wrong = || {
        Failure::usage(format!("{text:?} is neither a dot (ORIGIN#SEQ) nor DEVICE#SEQ"))
            .next("driftless log")
    };
    let (device, seq) = text.rsplit_once('#').ok_or_else(wrong)?;
    let seq = seq.parse().map_err(|_| wrong())?;
    let device = select::device(library, device)?;
    library.find_set(device, seq)?.ok_or_else(|| {
        let message = format!("{text} is not in this device's history");
        Failure::not_found("no_change_set", message).next("driftless log")
    })
}

fn checkpoint(library: &Library, name: &str) -> Result<Checkpoint, Failure> {
    let all = library.checkpoints()?;
    all.into_iter().find(|checkpoint| checkpoint.name == name).ok_or_else(|| {
        let message = format!("this device has taken no checkpoint {name:?}");
        Failure::not_found("no_checkpoint", message).next("driftless log")
    })
}

pub(super) fn restore(
    context: Context<'_>,
    args: &RestoreRecordArgs,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let (library, model) = (context.library, args.model.as_deref());
    let found = match find_deleted(library, &args.record, model)? {
        Some(found) => found,
        // What is there is refused in other words than what never was.
        None => find(library, &args.record, model)?,
    };
    let Found::Shared(model, key) = found else {
        let message = format!("{:?} belongs to a device, which alone can write it", args.record);
        return Err(Failure::refused("foreign", message).next("driftless location rescan"));
    };
    let Undone { plan, written } = library.restore_record(model, key)?;
    let report = report(library, &plan, &written, false);
    out.answer(Answer::Undone(Box::new(report))).map_err(gone)?;
    Ok(Exit::Done)
}

pub(super) fn deleted(
    library: &Library,
    model: ModelId,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let row = |deleted: Deleted| {
        let device_id = deleted.device.to_string();
        DeletedRow {
            id: deleted.key.to_string(),
            name: deleted.record_name,
            device: deleted.device_name.unwrap_or_else(|| device_id.clone()),
            device_id,
            time: text::time(deleted.hlc.ms()),
            dot: deleted.dot.to_string(),
        }
    };
    let rows = library.deleted(model)?.into_iter().map(row).collect();
    out.rows(Rows::Deleted(rows)).map_err(gone)?;
    Ok(Exit::Done)
}

fn report(library: &Library, plan: &UndoPlan, written: &[Dot], dry_run: bool) -> UndoReport {
    let dots = |dots: &[Dot]| dots.iter().map(ToString::to_string).collect();
    UndoReport {
        dry_run,
        undone: dots(&plan.sets),
        written: dots(written),
        changes: plan.steps.iter().map(|step| undone_row(library, step)).collect(),
        obstacles: plan.obstacles.iter().map(obstacle_row).collect(),
    }
}

fn undone_row(library: &Library, step: &UndoStep) -> UndoneRow {
    let fields = step.fields.iter().map(|(field, from, to)| UndoneField {
        field: field.name.clone(),
        from: json_value(Some(field.ty), from),
        to: json_value(Some(field.ty), to),
    });
    UndoneRow {
        model: step.model.name.clone(),
        record: step.key.to_string(),
        name: step.record_name.clone(),
        did: did(library, step.model.id, step.deed).to_owned(),
        fields: fields.collect(),
    }
}

fn obstacle_row(obstacle: &UndoObstacle) -> ObstacleRow {
    let (reason, why, by) = reason(&obstacle.obstacle);
    ObstacleRow {
        model: obstacle.model.clone(),
        record: obstacle.key.to_string(),
        name: obstacle.record_name.clone(),
        field: obstacle.field.clone(),
        reason: reason.to_owned(),
        why: why.to_owned(),
        by: by.iter().map(ToString::to_string).collect(),
        yields: obstacle.obstacle.yields(),
    }
}

fn reason(obstacle: &Obstacle) -> (&'static str, &'static str, &[Dot]) {
    match obstacle {
        Obstacle::Overwritten { by, .. } => {
            ("overwritten", "it was written since; --force overwrites that", by)
        }
        Obstacle::Conflict { with, .. } => {
            ("conflict", "other values stand beside it in conflict; --force overwrites them", with)
        }
        Obstacle::Unknown { .. } => {
            ("unknown", "what it was before is not in this device's history", &[])
        }
        Obstacle::NothingKnown => ("unknown", "what it held is not in this device's history", &[]),
        Obstacle::Deleted { by } => {
            ("deleted", "it was deleted since; driftless restore-record brings it back", by)
        }
        Obstacle::DeletedToo { by } => (
            "deleted_too",
            "others have deleted it as well; --force brings it back all the same",
            by,
        ),
        Obstacle::Changed { by } => {
            ("changed", "it was changed since; --force deletes it with that", by)
        }
    }
}

/// Why nothing was taken back.
fn refused(plan: &UndoPlan) -> Failure {
    let told = plan.obstacles.iter().take(TOLD).map(|obstacle| {
        let name = obstacle.record_name.clone().unwrap_or_else(|| obstacle.key.to_string());
        let field = obstacle.field.as_ref().map(|field| format!(".{field}")).unwrap_or_default();
        let (_, why, by) = reason(&obstacle.obstacle);
        let by: Vec<String> = by.iter().map(ToString::to_string).collect();
        let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
        format!("{} {}{field}: {why}{by}", obstacle.model, text::plain(&name))
    });
    let told: Vec<String> = told.collect();
    let more = match plan.obstacles.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!("; and {}", plural(more as u64, "more", "more")),
    };
    let next = if plan.obstacles.iter().any(|obstacle| obstacle.obstacle.yields()) {
        "run it with --dry-run to see all, with --force to do it anyway"
    } else {
        "run it with --dry-run to see all, with --force to do the rest"
    };
    let message = format!("it cannot simply be taken back: {}{more}", told.join("; "));
    Failure::refused("undo_refused", message).next(next)
}
