//! What the metrics were, each as a line that goes up and down.

use std::time::Duration;

use super::table::{Align, Table};
use crate::answer::{TrendReport, TrendRow};
use crate::text::{self, bytes, count};

/// How many cells a line has at most.
const CELLS: u64 = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How the steps of a cell come to one number, and the cells of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fold {
    Sum,
    Most,
}

/// A line: its name, what of a step it shows, how that is put together, and how it is said.
struct Line {
    name: &'static str,
    of: fn(&TrendRow) -> Option<u64>,
    fold: Fold,
    said: fn(u64) -> String,
}

fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        _ => text::duration(Duration::from_micros(us)),
    }
}

fn milliseconds(ms: u64) -> String {
    text::duration(Duration::from_millis(ms))
}

const LINES: [Line; 13] = [
    Line { name: "committed", of: |it| Some(it.committed), fold: Fold::Sum, said: count },
    Line { name: "applied", of: |it| Some(it.applied), fold: Fold::Sum, said: count },
    Line { name: "sent", of: |it| Some(it.sent_bytes), fold: Fold::Sum, said: bytes },
    Line { name: "received", of: |it| Some(it.received_bytes), fold: Fold::Sum, said: bytes },
    Line { name: "commit", of: |it| it.commit_us, fold: Fold::Most, said: time },
    Line { name: "apply", of: |it| it.apply_us, fold: Fold::Most, said: time },
    Line { name: "propagation", of: |it| it.propagation_us, fold: Fold::Most, said: time },
    Line { name: "backlog", of: |it| Some(it.backlog), fold: Fold::Most, said: count },
    Line { name: "lag", of: |it| Some(it.lag_ms), fold: Fold::Most, said: milliseconds },
    Line { name: "online", of: |it| Some(it.online.into()), fold: Fold::Most, said: count },
    Line { name: "conflicts", of: |it| Some(it.conflicts), fold: Fold::Most, said: count },
    Line { name: "quarantined", of: |it| Some(it.quarantined), fold: Fold::Most, said: count },
    Line {
        name: "files",
        of: |it| Some(it.library_bytes.saturating_add(it.sync_bytes)),
        fold: Fold::Most,
        said: bytes,
    },
];

pub(super) fn trend(report: &TrendReport, colour: bool) -> String {
    let whole = report.until_ms.saturating_sub(report.from_ms);
    if report.points.is_empty() {
        return format!("Nothing has happened for {}\n", milliseconds(whole));
    }
    let mut table = Table::new(&[
        ("OF", Align::Left),
        ("TREND", Align::Left),
        ("LAST", Align::Right),
        ("ALL, OR MOST", Align::Right),
    ]);
    for line in &LINES {
        let known = || report.points.iter().filter_map(line.of);
        let Some(last) = known().next_back() else { continue };
        let all = line.fold.over(known());
        table.row([
            line.name.to_owned(),
            sparkline(&cells(report, line)),
            (line.said)(last),
            (line.said)(all),
        ]);
    }
    let (back, step) = (milliseconds(whole), milliseconds(report.step_ms));
    format!("{back} until now, in steps of {step}; no bar where nothing happened\n")
        + &table.render(true, colour)
}

impl Fold {
    fn over(self, numbers: impl Iterator<Item = u64>) -> u64 {
        match self {
            Self::Sum => numbers.fold(0, u64::saturating_add),
            Self::Most => numbers.max().unwrap_or(0),
        }
    }
}

/// The steps of a line, several to a cell where there are many.
fn cells(report: &TrendReport, line: &Line) -> Vec<Option<u64>> {
    let whole = report.until_ms.saturating_sub(report.from_ms);
    let steps = whole.div_ceil(report.step_ms.max(1)).saturating_add(1);
    let width = steps.div_ceil(CELLS).max(1).saturating_mul(report.step_ms.max(1));
    let place = |at_ms: u64| at_ms.saturating_sub(report.from_ms).saturating_sub(1) / width;
    let last = report.points.last().map_or(0, |point| place(point.at_ms));
    let cell = |cell: u64| {
        let inside = report.points.iter().filter(|point| place(point.at_ms) == cell);
        let numbers: Vec<u64> = inside.filter_map(line.of).collect();
        (!numbers.is_empty()).then(|| line.fold.over(numbers.into_iter()))
    };
    (0..=last.max(whole.saturating_sub(1) / width)).map(cell).collect()
}

fn sparkline(cells: &[Option<u64>]) -> String {
    let most = cells.iter().flatten().copied().max().unwrap_or(0);
    let bar = |cell: &Option<u64>| match cell {
        None => ' ',
        Some(number) => {
            let height = u128::from(*number) * 7 / u128::from(most.max(1));
            usize::try_from(height).ok().and_then(|height| BARS.get(height)).copied().unwrap_or('█')
        }
    };
    cells.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_ms: u64, committed: u64) -> TrendRow {
        TrendRow {
            at_ms,
            committed,
            sent_bytes: 2_000,
            commit_us: Some(750),
            propagation_us: Some(2_500_000),
            backlog: 3,
            lag_ms: 1_500,
            online: 1,
            library_bytes: 1_000_000,
            ..TrendRow::default()
        }
    }

    #[test]
    fn a_trend_goes_up_and_down_and_has_gaps() {
        let points = vec![point(10_000, 1), point(20_000, 8), point(40_000, 4)];
        let report = TrendReport { from_ms: 0, until_ms: 40_000, step_ms: 10_000, points };
        let shown = trend(&report, false);
        let line = |name: &str| {
            let found = shown.lines().find(|line| line.starts_with(name));
            found.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(line("committed").as_deref(), Some("committed ▁█ ▄ 4 13"));
        assert_eq!(line("commit ").as_deref(), Some("commit ██ █ 750 µs 750 µs"));
        assert_eq!(line("propagation").as_deref(), Some("propagation ██ █ 2.5 s 2.5 s"));
        assert_eq!(line("sent").as_deref(), Some("sent ██ █ 2.0 kB 6.0 kB"));
        assert_eq!(line("apply"), None, "nothing is known of it");
    }

    #[test]
    fn many_steps_fit_a_terminal_and_none_are_said_in_words() {
        let points: Vec<TrendRow> = (1..=360).map(|n| point(n * 10_000 + 5, 1)).collect();
        let mut report = TrendReport { from_ms: 5, until_ms: 3_600_005, step_ms: 10_000, points };
        let widths: Vec<usize> = LINES.iter().map(|line| cells(&report, line).len()).collect();
        assert!(widths.iter().all(|width| (40..=61).contains(width)), "{widths:?}");
        let sum: u64 = cells(&report, &LINES[0]).into_iter().flatten().sum();
        assert_eq!(sum, 360);
        report.points.clear();
        assert_eq!(trend(&report, false), "Nothing has happened for 60 min\n");
    }
}
