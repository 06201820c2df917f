//! The figures of the benchmarks.

use super::table::{Align, Table};
use crate::bench::Figure;
use crate::text::count;

/// A table: what was measured, beside its limit.
pub(crate) fn figures(figures: &[Figure]) -> String {
    let mut table = Table::new(&[
        ("FIGURE", Align::Left),
        ("VALUE", Align::Right),
        ("LIMIT", Align::Right),
        ("UNIT", Align::Left),
        ("RATIO", Align::Right),
        ("SAMPLES", Align::Right),
        ("WHAT, AGAINST WHAT", Align::Left),
    ]);
    for figure in figures {
        table.row([
            figure.name.to_string(),
            number(figure.value),
            number(figure.limit),
            figure.unit.to_owned(),
            number(figure.ratio),
            figure.samples.to_string(),
            format!("{}; {}", figure.words, figure.against),
        ]);
    }
    table.render(true, false)
}

/// Three digits or so.
fn number(value: f64) -> String {
    match value {
        1_000.0.. => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it saturates"
            )]
            let whole = value.round() as u64;
            count(whole)
        }
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_mean_something() {
        let shown = [123_456.0, 123.4, 12.34, 1.234, 0.1234].map(number);
        assert_eq!(shown, ["123,456", "123", "12.3", "1.23", "0.123"]);
    }
}
