//! Figures: medians, each beside its limit.

use std::borrow::Cow;

use serde::Serialize;

/// One figure, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: Cow<'static, str>,
    /// The median of what was measured.
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The median of what the machine does without any of this, in the same run and unit.
    pub(crate) limit: f64,
    /// The value as a multiple of the limit.
    pub(crate) ratio: f64,
    /// How many measurements the medians are of.
    pub(crate) samples: usize,
    /// What it is, for people.
    #[serde(skip)]
    pub(crate) words: &'static str,
    /// What the limit is, for people.
    #[serde(skip)]
    pub(crate) against: &'static str,
}

impl Figure {
    /// A figure of (value, limit) pairs.
    pub(super) fn of(
        (name, unit): (&'static str, &'static str),
        (words, against): (&'static str, &'static str),
        pairs: &[(f64, f64)],
    ) -> Self {
        let value = median(pairs.iter().map(|pair| pair.0));
        let limit = median(pairs.iter().map(|pair| pair.1));
        let ratio = round(value / limit);
        let (value, limit) = (round(value), round(limit));
        let name = name.into();
        Self { name, value, unit, limit, ratio, samples: pairs.len(), words, against }
    }
}

/// The middle one; of none, zero.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    at(values, 1, 2)
}

/// What so large a part of the values does not exceed.
pub(super) fn at(values: impl Iterator<Item = f64>, part: usize, of: usize) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() * part / of).or(values.last()).copied().unwrap_or(0.0)
}

/// To four digits: more would say what was not measured.
fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10f64.powf(3.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_digits() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median(std::iter::empty()), 0.0);
        assert_eq!(at((1..=20).map(f64::from), 19, 20), 20.0);
        assert_eq!(
            (round(123_456.0), round(0.001_234_56), round(f64::NAN)),
            (123_500.0, 0.001_235, 0.0)
        );
        let figure = Figure::of(("x", "ms"), ("", ""), &[(4.0, 2.0), (6.0, 2.0), (5.0, 2.0)]);
        assert_eq!((figure.value, figure.limit, figure.ratio, figure.samples), (5.0, 2.0, 2.5, 3));
    }
}
