//! `trend`.

use std::time::Duration;

use driftless::TrendPoint;

use super::{Context, gone};
use crate::answer::{Answer, TrendReport, TrendRow};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

/// As far back as anything is kept.
const MAX_SINCE_MS: u64 = 30 * 86_400_000;

pub(super) fn run(
    context: Context<'_>,
    since: &str,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let back = driftless::milliseconds(since).filter(|back| (1..=MAX_SINCE_MS).contains(back));
    let back = back.ok_or_else(|| {
        Failure::usage(format!("{since:?} is no time such as 5m, 1h or 7d, up to 30d"))
            .next("driftless trend --since 1h")
    })?;
    let until_ms = text::now_ms();
    let trend = context.library.trend(Duration::from_millis(back))?;
    let report = TrendReport {
        from_ms: until_ms.saturating_sub(back),
        until_ms,
        step_ms: trend.step_ms,
        points: trend.points.into_iter().map(row).collect(),
    };
    out.answer(Answer::Trend(Box::new(report))).map_err(gone)?;
    Ok(Exit::Done)
}

fn row(point: TrendPoint) -> TrendRow {
    TrendRow {
        at_ms: point.at_ms,
        committed: point.committed,
        applied: point.applied,
        sent_bytes: point.sent_bytes,
        received_bytes: point.received_bytes,
        commit_us: point.commit_us,
        apply_us: point.apply_us,
        propagation_us: point.propagation_us,
        backlog: point.backlog,
        lag_ms: point.lag_ms,
        online: point.online,
        conflicts: point.conflicts,
        quarantined: point.quarantined,
        library_bytes: point.library_bytes,
        sync_bytes: point.sync_bytes,
    }
}
