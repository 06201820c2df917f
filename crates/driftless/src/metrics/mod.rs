//! Numbers for monitoring: what was done since the library was opened, and how things are.

mod counters;
mod families;
mod text;
mod trend;

pub(crate) use counters::{Counters, Direction};
pub(crate) use trend::{Gauges, Sampler};
pub use trend::{Trend, TrendPoint};

use crate::error::Error;
use crate::library::Library;

/// What a metric is.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::MetricKind;
///
/// let metrics = library.metrics()?;
/// let counters = metrics.iter().filter(|metric| metric.kind == MetricKind::Counter);
/// assert!(counters.into_iter().all(|metric| metric.name.ends_with("_total")));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// A count that only grows, since the library was opened.
    Counter,
    /// A value as it is.
    Gauge,
    /// How often something took how long; its samples are the buckets, the sum and the count.
    Histogram,
}

/// A value of a metric.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::MetricSample;
///
/// let metrics = library.metrics()?;
/// let phase = metrics.iter().find(|metric| metric.name == "driftless_phase").unwrap();
/// let now: &MetricSample = phase.samples.iter().find(|sample| sample.value == 1.0).unwrap();
/// assert_eq!(now.labels, [("phase", "ready".to_owned())]);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct MetricSample {
    /// The metric's name; of a histogram with `_bucket`, `_sum` or `_count`.
    pub name: String,
    /// What tells it from the metric's other values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// A metric with its values.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// library.write(|tx| {
///     let id = tx.new_id();
///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })
/// })?;
/// let metrics = library.metrics()?;
/// let committed = metrics.iter().find(|it| it.name == "driftless_changes_committed_total").unwrap();
/// let todo = committed.samples.iter().find(|it| it.labels == [("model", "todo".to_owned())]);
/// assert_eq!(todo.unwrap().value, 1.0);
/// println!("{}", driftless::prometheus(&metrics));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Metric {
    /// Its name, by the conventions of Prometheus.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its values.
    pub samples: Vec<MetricSample>,
}

/// Metrics as Prometheus reads them: its text format, version 0.0.4.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let text = driftless::prometheus(&library.metrics()?);
/// assert!(text.contains("# TYPE driftless_commit_seconds histogram"));
/// # Ok::<(), driftless::Error>(())
/// ```
pub fn prometheus(metrics: &[Metric]) -> String {
    text::written(metrics)
}

impl Library {
    /// Numbers for monitoring, in an order that stays the same.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let metrics = library.metrics()?;
    /// assert!(metrics.iter().any(|metric| metric.name == "driftless_phase"));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn metrics(&self) -> Result<Vec<Metric>, Error> {
        let status = self.status()?;
        let (counters, tally, quarantined, now) = self.call(|writer| {
            let now = crate::time::now();
            let quarantined = writer.store.quarantined_by_model();
            (writer.counters.clone(), writer.engine.tally().clone(), quarantined, now)
        })?;
        let room = match self.room() {
            Ok(room) => Some(room),
            Err(error) => {
                // The others are told all the same, of a damaged file above all.
                tracing::warn!(%error, "the room of the files cannot be measured");
                None
            }
        };
        let quarantined = quarantined?;
        let schema = self.schema();
        let facts = families::Facts { status, counters, tally, quarantined, room, now, schema };
        Ok(facts.metrics())
    }
}
