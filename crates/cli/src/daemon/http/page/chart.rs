//! Charts of how sync went, as SVG: the drawing stretches with the page, the words around it do not.

use std::time::Duration;

use driftless::TrendPoint;

use super::desk::Desk;
use crate::failure::Failure;
use crate::text::{bytes, count};

/// The drawing's room.
const WIDE: f64 = 600.0;
const HIGH: f64 = 120.0;

/// How far back charts can go: the parameter, the words, the time.
const RANGES: [(&str, &str, u64); 4] = [
    ("5m", "5 minutes", 5 * 60),
    ("1h", "1 hour", 60 * 60),
    ("24h", "24 hours", 24 * 60 * 60),
    ("30d", "30 days", 30 * 24 * 60 * 60),
];

/// How far back charts can go, and whether they do.
pub(super) struct Range {
    pub(super) key: &'static str,
    pub(super) words: &'static str,
    pub(super) here: bool,
}

/// A chart.
pub(super) struct Chart {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    /// What the highest line on the paper stands for.
    pub(super) top: String,
    /// How far back the left edge is.
    pub(super) from: &'static str,
    pub(super) lines: Vec<Line>,
    /// In a sentence, for those who do not see it.
    pub(super) spoken: String,
}

/// A line in a chart.
pub(super) struct Line {
    pub(super) name: &'static str,
    /// The first or the second colour.
    pub(super) class: &'static str,
    pub(super) path: String,
    pub(super) area: String,
    /// The last value that is known.
    pub(super) now: String,
}

/// A line before it is drawn.
struct Series<'p> {
    name: &'static str,
    value: fn(&TrendPoint) -> Option<u64>,
    /// Whether a point that is missing means that nothing was.
    falls: bool,
    points: &'p [TrendPoint],
}

/// The paper: which times it has, and how high it goes.
struct Paper {
    begin_ms: u64,
    span_ms: u64,
    step_ms: u64,
    most: u64,
}

/// The charts of the range that is asked for.
pub(super) fn charts(desk: &Desk<'_>) -> Result<(Vec<Range>, Vec<Chart>), Failure> {
    let asked = desk.query.text("range");
    let chosen = RANGES.iter().find(|(key, ..)| Some(*key) == asked.as_deref());
    let (key, words, seconds) = *chosen.unwrap_or(&RANGES[0]);
    let trend = desk.library().trend(Duration::from_secs(seconds))?;
    let ranges = RANGES.iter();
    let ranges = ranges.map(|(it, words, _)| Range { key: it, words, here: *it == key }).collect();
    let span_ms = seconds * 1_000;
    let step_ms = trend.step_ms.max(1);
    let begin_ms = desk.now_ms.saturating_sub(span_ms);
    let points: Vec<TrendPoint> =
        trend.points.into_iter().filter(|point| point.at_ms >= begin_ms).collect();
    let series = |name, value, falls| Series { name, value, falls, points: &points };
    let draw = |id, title, unit: fn(u64, u64) -> String, series: [Series<'_>; 2]| {
        let values = series.iter().flat_map(|it| it.points.iter().filter_map(it.value));
        let most = rounded(values.max().unwrap_or(0));
        let paper = Paper { begin_ms, span_ms, step_ms, most };
        let [first, second] = series;
        let lines = vec![line(&paper, &first, "one", unit), line(&paper, &second, "two", unit)];
        let said: Vec<String> = lines.iter().map(|it| format!("{}: {}", it.name, it.now)).collect();
        Chart {
            id,
            title,
            top: unit(most, step_ms),
            from: words,
            spoken: format!("{title} over {words}. Last: {}.", said.join(", ")),
            lines,
        }
    };
    let charts = vec![
        draw(
            "changes",
            "Changes",
            rate,
            [
                series("Written here", |point| Some(point.committed), true),
                series("From others", |point| Some(point.applied), true),
            ],
        ),
        draw(
            "latency",
            "Time until it is here",
            delay,
            [
                series("From the writer's commit", |point| point.propagation_us, false),
                series("Commit", |point| point.commit_us, false),
            ],
        ),
        draw(
            "traffic",
            "Traffic",
            traffic,
            [
                series("Sent", |point| Some(point.sent_bytes), true),
                series("Received", |point| Some(point.received_bytes), true),
            ],
        ),
        draw(
            "backlog",
            "What others lack",
            changes,
            [
                series("Furthest behind", |point| Some(point.backlog), false),
                series("Conflicts", |point| Some(point.conflicts), false),
            ],
        ),
    ];
    Ok((ranges, charts))
}

/// The next round number, so that the paper does not move with every point.
fn rounded(most: u64) -> u64 {
    let mut digit = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let round = digit.saturating_mul(factor);
            if round >= most {
                return round;
            }
        }
        digit = digit.saturating_mul(10);
    }
}

fn line(
    paper: &Paper,
    series: &Series<'_>,
    class: &'static str,
    unit: fn(u64, u64) -> String,
) -> Line {
    let mut path = String::new();
    let mut area = String::new();
    for piece in pieces(paper, series) {
        let mut points = piece.iter().map(|(at, value)| (paper.x(*at), paper.y(*value)));
        let Some((first, y)) = points.next() else { continue };
        let mut drawn = format!("{first:.1} {y:.1}");
        let mut last = first;
        for (x, y) in points {
            drawn.push_str(&format!("L{x:.1} {y:.1}"));
            last = x;
        }
        path.push_str(&format!("M{drawn}"));
        area.push_str(&format!("M{first:.1} {HIGH:.1}L{drawn}L{last:.1} {HIGH:.1}Z"));
    }
    let latest = series.points.last().filter(|point| {
        let end = paper.begin_ms.saturating_add(paper.span_ms);
        !series.falls || point.at_ms.saturating_add(paper.step_ms.saturating_mul(3)) >= end
    });
    let now = match (latest.and_then(series.value), series.falls) {
        (Some(value), _) => unit(value, paper.step_ms),
        (None, true) => unit(0, paper.step_ms),
        (None, false) => "not known".to_owned(),
    };
    Line { name: series.name, class, path, area, now }
}

/// Parts of a line without a gap: time and value of each point.
fn pieces(paper: &Paper, series: &Series<'_>) -> Vec<Vec<(u64, u64)>> {
    let mut pieces: Vec<Vec<(u64, u64)>> = Vec::new();
    let gap = paper.step_ms.saturating_mul(5) / 2;
    let known = series.points.iter().filter_map(|it| Some((it.at_ms, (series.value)(it)?)));
    for (at, value) in known {
        let last = pieces.last().and_then(|piece| piece.last()).map(|(at, _)| *at);
        match (last, pieces.last_mut()) {
            (Some(last), Some(piece)) if at.saturating_sub(last) <= gap => piece.push((at, value)),
            (Some(last), Some(piece)) if series.falls => {
                piece.push((last.saturating_add(paper.step_ms), 0));
                piece.extend([(at.saturating_sub(paper.step_ms), 0), (at, value)]);
            }
            (None, _) if series.falls => {
                let before = at.saturating_sub(paper.step_ms).max(paper.begin_ms);
                pieces.push(vec![(paper.begin_ms, 0), (before, 0), (at, value)]);
            }
            _ => pieces.push(vec![(at, value)]),
        }
    }
    if let Some(piece) = pieces.last_mut().filter(|_| series.falls) {
        let end = paper.begin_ms.saturating_add(paper.span_ms);
        if let Some(last) = piece.last().map(|(at, _)| *at).filter(|at| end > at + gap) {
            piece.extend([(last.saturating_add(paper.step_ms), 0), (end, 0)]);
        }
    }
    pieces
}

impl Paper {
    #[expect(clippy::cast_precision_loss, reason = "a drawing has no such digits")]
    fn x(&self, at_ms: u64) -> f64 {
        let since = at_ms.saturating_sub(self.begin_ms) as f64;
        (WIDE * since / self.span_ms.max(1) as f64).min(WIDE)
    }

    #[expect(clippy::cast_precision_loss, reason = "a drawing has no such digits")]
    fn y(&self, value: u64) -> f64 {
        HIGH - (HIGH - 4.0) * value as f64 / self.most.max(1) as f64
    }
}

fn per_second(value: u64, step_ms: u64) -> u64 {
    let scaled = u128::from(value) * 1_000 / u128::from(step_ms.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

fn rate(value: u64, step_ms: u64) -> String {
    match per_second(value, step_ms) {
        0 if value > 0 => "less than 1 a second".to_owned(),
        rate => format!("{} a second", count(rate)),
    }
}

fn traffic(value: u64, step_ms: u64) -> String {
    format!("{} a second", bytes(per_second(value, step_ms)))
}

fn changes(value: u64, _: u64) -> String {
    count(value)
}

fn delay(us: u64, _: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        10_000..10_000_000 => format!("{} ms", count(us / 1_000)),
        _ => format!("{} s", count(us / 1_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at_ms: u64, committed: u64, commit_us: Option<u64>) -> TrendPoint {
        TrendPoint { at_ms, committed, commit_us, ..TrendPoint::default() }
    }

    const PAPER: Paper = Paper { begin_ms: 0, span_ms: 100_000, step_ms: 1_000, most: 10 };

    #[test]
    fn where_nothing_was_the_line_falls_and_what_is_not_known_is_a_gap() {
        let points = [point(50_000, 4, Some(1)), point(51_000, 4, None), point(90_000, 2, Some(3))];
        let series =
            Series { name: "", value: |it| Some(it.committed), falls: true, points: &points };
        let expected = vec![vec![
            (0, 0),
            (49_000, 0),
            (50_000, 4),
            (51_000, 4),
            (52_000, 0),
            (89_000, 0),
            (90_000, 2),
            (91_000, 0),
            (100_000, 0),
        ]];
        assert_eq!(pieces(&PAPER, &series), expected);
        let series = Series { value: |it| it.commit_us, falls: false, ..series };
        assert_eq!(pieces(&PAPER, &series), [vec![(50_000, 1)], vec![(90_000, 3)]]);
    }

    #[test]
    fn the_paper_goes_up_to_a_round_number() {
        let rounds = [0, 1, 3, 10, 11, 4_900, 5_001].map(rounded);
        assert_eq!(rounds, [1, 1, 5, 10, 20, 5_000, 10_000]);
        assert!(rounded(u64::MAX) == u64::MAX);
        assert!((PAPER.x(50_000) - 300.0).abs() < 0.1 && PAPER.y(10) < PAPER.y(5));
    }

    #[test]
    fn figures_have_units_that_fit() {
        assert_eq!(rate(50, 10_000), "5 a second");
        assert_eq!(rate(1, 10_000), "less than 1 a second");
        assert_eq!(traffic(20_000, 10_000), "2.0 kB a second");
        assert_eq!(delay(730, 0), "730 µs");
        assert_eq!(delay(1_250, 0), "1.2 ms");
        assert_eq!(delay(85_400, 0), "85 ms");
    }
}
