//! Where benchmarks run: a directory of their own, and the processes that they started.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use driftless::Library;
use driftless_catalog::models;
use tempfile::TempDir;

use crate::args::BenchArgs;
use crate::failure::{Exit, Failure};
use crate::fleet::{Device, Slot, existing, kill_on_signals};
use crate::output::{Output as _, Progress};
use crate::printer::Printer;

/// How many measurements a median is of.
const SAMPLES: usize = 5;

/// The benchmarks under way.
pub(super) struct Bench {
    /// The folder that is to be indexed, if one is given.
    pub(super) path: Option<PathBuf>,
    /// Whether all has to end soon.
    pub(super) quick: bool,
    /// How large a large library is, if somebody said so.
    pub(super) rows: Option<u32>,
    /// Where a drawing is to be.
    pub(super) plot: Option<PathBuf>,
    printer: Printer,
    doing: String,
    until: Option<Instant>,
    slots: Arc<Mutex<Vec<Slot>>>,
    interrupted: Arc<AtomicBool>,
    numbers: u16,
    place: TempDir,
}

impl Bench {
    pub(super) fn new(args: &BenchArgs, printer: Printer) -> Result<Self, Failure> {
        let path = args.path.as_deref();
        let path =
            path.map(|path| existing(path, "driftless bench index --path DIR")).transpose()?;
        let place = tempfile::Builder::new().prefix("driftless-bench-").tempdir();
        let place = place.map_err(|error| Failure::io("making a directory", &error))?;
        let slots = Arc::new(Mutex::new(Vec::new()));
        Ok(Self {
            path,
            quick: args.quick,
            rows: args.rows,
            plot: args.plot.clone(),
            printer,
            doing: String::new(),
            until: None,
            interrupted: kill_on_signals(slots.clone())?,
            slots,
            numbers: 0,
            place,
        })
    }

    /// Takes no more samples from then on.
    pub(super) fn finish_by(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// Whether little time is to be taken.
    pub(super) fn is_quick(&self) -> bool {
        self.until.is_some()
    }

    /// A benchmark begins.
    pub(super) fn begin(&mut self, name: &str, words: &str) -> Result<(), Failure> {
        self.doing = format!("{name}: {words}");
        self.tell("preparing")
    }

    /// Tells how far it is.
    pub(super) fn tell(&mut self, text: &str) -> Result<(), Failure> {
        self.check()?;
        let text = format!("{} … {text}", self.doing);
        self.printer.progress(Progress { text }).map_err(|error| Failure::output(&error))
    }

    /// All benchmarks are over.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        self.printer.finish().map_err(|error| Failure::output(&error))
    }

    /// Fails if somebody wants it to end.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if !self.interrupted.load(Ordering::Relaxed) {
            return Ok(());
        }
        Err(Failure::new(Exit::Failed, "interrupted", "the benchmarks were interrupted")
            .effect("Their devices are gone; nothing else was touched.")
            .next("driftless bench"))
    }

    /// Measures a few times: as often as medians want it, or until the time is over.
    pub(super) fn sample<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        let mut samples = Vec::new();
        while samples.len() < SAMPLES {
            self.tell(&format!("{} of {SAMPLES}", samples.len() + 1))?;
            let begun = Instant::now();
            samples.push(one(self)?);
            // The next one will take as long as this one.
            let next = Instant::now() + begun.elapsed();
            if self.until.is_some_and(|until| next >= until) {
                break;
            }
        }
        Ok(samples)
    }

    /// A path that nothing is at.
    pub(super) fn fresh(&mut self) -> PathBuf {
        self.numbers += 1;
        self.place.path().join(self.numbers.to_string())
    }

    /// A new library that this process has open.
    pub(super) fn library(&mut self) -> Result<Library, Failure> {
        Ok(Library::create(&self.fresh(), &models(), "bench", "here")?)
    }

    /// A new device, whose process will not outlive the benchmarks.
    pub(super) fn device(&mut self) -> Result<Device, Failure> {
        self.numbers += 1;
        let device = Device::new(self.place.path(), self.numbers)?;
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).push(device.slot());
        Ok(device)
    }
}
