//! The stages of the demo as they are told.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::output::{Output, Progress};
use crate::printer::{Look, Printer};
use crate::text::{bytes, count, duration};

/// What a stage came to: numbers by name.
#[derive(Default)]
pub(super) struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    pub(super) fn of(counts: &[(&'static str, u64)]) -> Self {
        Self(counts.to_vec())
    }

    fn text(&self) -> String {
        let one = |(name, number): &(&str, u64)| match *name {
            "bytes" => bytes(*number),
            name => format!("{} {}", count(*number), name.replace('_', " ")),
        };
        self.0.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// Shows stages, and keeps them.
pub(super) struct Stages {
    json: bool,
    printer: Printer,
    done: Vec<Value>,
    begun: Instant,
}

impl Stages {
    pub(super) fn new(json: bool) -> Self {
        let printer = Printer::new(Look { json, ..Look::default() });
        Self { json, printer, done: Vec::new(), begun: Instant::now() }
    }

    /// Where progress is shown.
    pub(super) fn out(&mut self) -> &mut dyn Output {
        &mut self.printer
    }

    /// A stage begins.
    pub(super) fn begin(&mut self, words: &str) -> io::Result<Instant> {
        self.printer.progress(Progress { text: format!("{words} …") })?;
        Ok(Instant::now())
    }

    /// A stage has ended.
    pub(super) fn end(
        &mut self,
        name: &str,
        words: &str,
        begun: Instant,
        counts: &Counts,
    ) -> io::Result<()> {
        let time = begun.elapsed();
        let mut stage = Map::new();
        stage.insert("name".to_owned(), name.into());
        stage.insert("seconds".to_owned(), seconds(time));
        stage.extend(counts.0.iter().map(|(name, number)| ((*name).to_owned(), (*number).into())));
        self.done.push(Value::Object(stage));
        let (time, counts) = (duration(time), counts.text());
        self.say(&format!("{name:<8} {time:>7}  {words}: {counts}"))
    }

    /// A line for people.
    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        self.printer.finish()?;
        if self.json {
            return Ok(());
        }
        writeln!(io::stdout(), "{line}")
    }

    /// How long everything has taken.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// All stages.
    pub(super) fn json(self) -> Value {
        Value::Array(self.done)
    }
}

fn seconds(time: Duration) -> Value {
    // To the millisecond.
    ((time.as_secs_f64() * 1e3).round() / 1e3).into()
}
