//! Drawings of figures, as SVG: lines over two axes with logarithms.

/// A drawing's part.
pub(super) struct Panel {
    pub(super) title: &'static str,
    /// What is along the x axis.
    pub(super) x: &'static str,
    pub(super) lines: Vec<Line>,
}

/// A line: its points have an x and a y above zero.
pub(super) struct Line {
    pub(super) words: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// A panel's room, and its paper's within it.
const WIDE: f64 = 560.0;
const HIGH: f64 = 400.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 44.0;
/// How far apart the words at the ends of lines are.
const APART: f64 = 16.0;
const COLOURS: [&str; 8] =
    ["#0b766e", "#b4540a", "#2f6fb5", "#8c5bc7", "#a8861d", "#b5557a", "#5a8f3c", "#7a8a86"];
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#17211f}.faint{fill:#5b6a67}\
.grid{stroke:#dde5e2}.paper{fill:#fff}@media(prefers-color-scheme:dark){text{fill:#e4edea}\
.faint{fill:#95a6a1}.grid{stroke:#263330}.paper{fill:#141d1b}}";

/// Draws panels beside each other.
pub(super) fn svg(panels: &[Panel]) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a few panels")]
    let wide = WIDE * panels.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {HIGH}\" role=\"img\">\
         <style>{STYLE}</style><rect class=\"paper\" width=\"{wide}\" height=\"{HIGH}\" rx=\"12\"/>\n"
    );
    for (nth, panel) in panels.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a few panels")]
        let left = WIDE * nth as f64;
        out.push_str(&format!("<g transform=\"translate({left} 0)\">{}</g>\n", drawn(panel)));
    }
    out.push_str("</svg>\n");
    out
}

fn drawn(panel: &Panel) -> String {
    let all = || panel.lines.iter().flat_map(|line| &line.points).copied();
    let (x, y) = (Axis::of(all().map(|it| it.0), false), Axis::of(all().map(|it| it.1), true));
    let at_x = |value: f64| LEFT + x.part(value) * (WIDE - LEFT - RIGHT);
    let at_y = |value: f64| HIGH - BOTTOM - y.part(value) * (HIGH - TOP - BOTTOM);
    let mut out = format!("<text x=\"{LEFT}\" y=\"24\">{}</text>", panel.title);
    let right = WIDE - RIGHT;
    for tick in &y.ticks {
        let at = at_y(*tick);
        out.push_str(&format!(
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{right}\"/><text class=\"faint\" \
             text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 8.0,
            at + 4.0,
            number(*tick),
        ));
    }
    for tick in &x.ticks {
        out.push_str(&format!(
            "<text class=\"faint\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            at_x(*tick),
            HIGH - BOTTOM + 20.0,
            number(*tick),
        ));
    }
    out.push_str(&format!(
        "<text class=\"faint\" text-anchor=\"end\" x=\"{right}\" y=\"{:.1}\">{}</text>",
        HIGH - 6.0,
        panel.x
    ));
    let ends = panel.lines.iter().map(|line| line.points.last().map_or(0.0, |it| at_y(it.1)));
    let words = spread(&ends.collect::<Vec<_>>());
    for ((line, at), colour) in panel.lines.iter().zip(words).zip(COLOURS.iter().cycle()) {
        let points: Vec<String> =
            line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", at_x(*x), at_y(*y))).collect();
        out.push_str(&format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>\
             <circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>\n",
            points.join(" "),
            right + 14.0,
            at,
            right + 24.0,
            at + 4.0,
            line.words,
        ));
    }
    out
}

/// Where words stand that want to be at these heights, so that none hides another.
fn spread(wanted: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut places = vec![0.0; wanted.len()];
    let mut next = f64::MIN;
    for nth in &order {
        places[*nth] = wanted[*nth].max(next);
        next = places[*nth] + APART;
    }
    let mut next = HIGH - BOTTOM;
    for nth in order.iter().rev() {
        places[*nth] = places[*nth].min(next);
        next = places[*nth] - APART;
    }
    places
}

/// An axis with logarithms.
struct Axis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// One that holds these values: up to powers of ten, or as it is with each value a tick.
    fn of(values: impl Iterator<Item = f64>, to_tens: bool) -> Self {
        let mut values: Vec<f64> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let (low, high) =
            (values.first().copied().unwrap_or(0.0), values.last().copied().unwrap_or(1.0));
        if !to_tens {
            return Self { low, high, ticks: values.iter().map(|it| 10f64.powf(*it)).collect() };
        }
        let (low, high) = (low.floor(), high.ceil().max(low.floor() + 1.0));
        #[expect(clippy::cast_possible_truncation, reason = "a few powers of ten")]
        let powers = (low as i32)..=(high as i32);
        Self { low, high, ticks: powers.map(|power| 10f64.powi(power)).collect() }
    }

    /// How far along a value is, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        let part = (value.max(f64::MIN_POSITIVE).log10() - self.low) / (self.high - self.low);
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.5 }
    }
}

fn number(value: f64) -> String {
    match value {
        999_999.0.. => format!("{:.0} M", value / 1e6),
        999.0.. => format!("{:.0} k", value / 1e3),
        0.99.. => format!("{value:.0}"),
        _ => format!("{value:.3}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_powers_of_ten() {
        let axis = Axis::of([0.3, 40.0].into_iter(), true);
        assert_eq!(axis.ticks, [0.1, 1.0, 10.0, 100.0]);
        assert!((axis.part(10.0) - 2.0 / 3.0).abs() < 1e-9);
        let axis = Axis::of([1.0, 10.0, 1.0].into_iter(), false);
        assert_eq!(axis.ticks.len(), 2);
        assert!(Axis::of(std::iter::empty(), false).part(3.0).is_finite());
    }

    #[test]
    fn words_do_not_hide_each_other() {
        let places = spread(&[100.0, 101.0, 99.0, 400.0, 399.0]);
        for (nth, one) in places.iter().enumerate() {
            assert!(places[..nth].iter().all(|other| (one - other).abs() >= APART - 1e-9));
            assert!(*one <= HIGH - BOTTOM);
        }
    }

    #[test]
    fn a_drawing_is_whole_whatever_is_in_it() {
        let line = |points: &[(f64, f64)]| Line { words: "words", points: points.to_vec() };
        let lines = vec![line(&[(1.0, 2.0), (10.0, 2_000.0)]), line(&[(1.0, 0.0)]), line(&[])];
        let drawing = svg(&[Panel { title: "title", x: "x", lines }]);
        assert!(drawing.starts_with("<svg ") && drawing.ends_with("</svg>\n"));
        assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{drawing}");
        assert_eq!(drawing.matches("<polyline").count(), 3);
    }
}
