//! `prune`.

use std::time::Duration;

use super::{Context, gone};
use crate::answer::{Answer, PrunedReport};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// How long devices that are connected may take to say what they have.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(context: Context<'_>, now: bool, out: &mut dyn Output) -> Result<Exit, Failure> {
    if !now && context.library.is_syncing() {
        // Whoever has not got there yet is the reason why something is kept, and no failure.
        context.library.wait(PATIENCE, true)?;
    }
    let pruned = context.library.prune()?;
    let report = PrunedReport { sets: pruned.sets, tombstones: pruned.tombstones };
    out.answer(Answer::Pruned(report)).map_err(gone)?;
    Ok(Exit::Done)
}
