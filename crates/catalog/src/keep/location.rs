//! One location, from its watcher to its rows.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use driftless::{Library, Uuid};

use super::KeepOptions;
use super::report::{Desk, KeepProblem, Keeping};
use super::signal::Signal;
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::index::{Growth, Late, ScanOptions, library_in, path_of, pattern, rules};
use crate::models::{Location, LocationState};
use crate::scan::{Problem as ScanProblem, What};
use crate::watch::{Batch, Event, Options, Problem, WatchError, Watcher};

/// How often hashes that are under way are looked for.
const HASHES: Duration = Duration::from_millis(50);
/// The first pause after something failed, or went away.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause after something failed.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// More folders than this are not compared once more one by one, and none more often than this: instead
/// all is scanned.
const MAX_OWED: usize = 1_000;
const MAX_TRIES: u32 = 8;
/// Nobody waits longer than this for nothing.
const LONG: Duration = Duration::from_secs(3600);

/// A location that is kept.
pub(super) struct Kept<'k> {
    catalog: Catalog<'k>,
    id: Uuid,
    path: PathBuf,
    rules: crate::models::LocationRules,
    options: KeepOptions,
    signal: &'k Signal,
    desk: &'k Desk,
    watcher: Option<Watcher>,
    /// When the watcher is to be opened, if there is none.
    open_at: Instant,
    /// When all of it is to be scanned.
    scan_at: Option<Instant>,
    /// Some changes are not seen by the watcher.
    blind: bool,
    /// Growth that is not written yet, the scan that it comes after, and since when.
    growth: Growth,
    after: Option<i64>,
    grown: Option<(Instant, Instant)>,
    late: Late,
    /// Folders that are to be compared once more, when, and how often nothing came of it.
    owed: Vec<Uuid>,
    owed_at: Option<Instant>,
    owed_tries: u32,
    pause: Duration,
}

impl<'k> Kept<'k> {
    pub(super) fn new(
        library: &'k Library,
        location: Location,
        options: KeepOptions,
        signal: &'k Signal,
        desk: &'k Desk,
    ) -> Self {
        Self {
            catalog: Catalog::new(library),
            id: location.id,
            path: path_of(&location),
            rules: location.rules(),
            options,
            signal,
            desk,
            watcher: None,
            open_at: Instant::now(),
            scan_at: None,
            blind: false,
            growth: Growth::default(),
            after: None,
            grown: None,
            late: Late::default(),
            owed: Vec::new(),
            owed_at: None,
            owed_tries: 0,
            pause: FIRST_PAUSE,
        }
    }

    /// Keeps it until it is told to stop.
    pub(super) fn run(mut self) {
        while !self.signal.is_stopped() {
            let done = self.turn();
            if let Err(error) = done {
                self.failed(error);
            }
        }
        // What is not counted now is counted by the scan at the next start.
        if let Err(error) = self.write_growth() {
            self.desk.add(self.id, error);
        }
    }

    fn turn(&mut self) -> Result<(), CatalogError> {
        let now = Instant::now();
        if self.watcher.is_none() && self.open_at <= now {
            self.open()?;
        }
        if self.scan_at.is_some_and(|at| at <= now) {
            self.scan()?;
        }
        if let Some(batch) = self.wait() {
            self.apply(batch)?;
        } else if self.owed_at.is_some_and(|at| at <= Instant::now()) {
            self.try_again()?;
        }
        self.hash()?;
        if self.grown.is_some_and(|(_, last)| last.elapsed() >= self.options.quiet)
            || self.grown.is_some_and(|(first, _)| first.elapsed() >= self.options.busy)
        {
            self.write_growth()?;
        }
        Ok(())
    }

    /// Watches, then has all of it scanned.
    fn open(&mut self) -> Result<(), CatalogError> {
        self.open_at = Instant::now() + LONG;
        self.catalog.look_for(self.id)?;
        self.desk.clear(self.id, |problem| !matches!(problem, KeepProblem::Scan(_)));
        self.desk.set(self.id, Keeping::Scanning);
        self.scan_at = Some(Instant::now());
        match Watcher::open(&self.path, self.watch_options()) {
            Ok(watcher) => {
                self.signal.watch(Some(watcher.stopper()));
                self.watcher = Some(watcher);
                self.blind = false;
            }
            // It went just now; the scan meets the same.
            Err(WatchError::Root { .. }) => self.open_at = Instant::now() + self.pause,
            Err(error) => {
                self.desk.add(self.id, error);
                self.blind = true;
                self.open_at = Instant::now() + self.options.rescan_interval;
            }
        }
        Ok(())
    }

    fn watch_options(&self) -> Options {
        let mut rules = rules(self.rules);
        let library = library_in(&self.path, self.catalog.library.dir());
        rules.patterns.extend(library.as_deref().and_then(pattern));
        Options { rules, ..self.options.watch.clone() }
    }

    fn scan(&mut self) -> Result<(), CatalogError> {
        self.scan_at = None;
        let options = ScanOptions { cancel: self.signal.work(), ..ScanOptions::default() };
        let (added, left, owed) = self.catalog.rescan_kept(self.id, &options)?;
        self.desk.clear(self.id, |problem| {
            matches!(problem, KeepProblem::Scan(_) | KeepProblem::Failed(_))
        });
        self.note(added.problems);
        (self.growth, self.grown) = (Growth::default(), None);
        if left {
            self.late.all();
        }
        self.owed_tries = 0;
        self.owe(owed);
        self.went_well();
        Ok(())
    }

    /// These are to be compared once more.
    fn owe(&mut self, owed: Vec<Uuid>) {
        self.owed = owed;
        if self.owed.is_empty() {
            (self.owed_at, self.owed_tries) = (None, 0);
        } else if self.owed.len() > MAX_OWED || self.owed_tries >= MAX_TRIES {
            (self.owed, self.owed_at, self.owed_tries) = (Vec::new(), None, 0);
            self.scan_at = Some(Instant::now());
        } else {
            let pause = FIRST_PAUSE.saturating_mul(1 << self.owed_tries.min(MAX_TRIES));
            self.owed_at = Some(Instant::now() + pause);
        }
    }

    /// Nothing was heard of what is owed.
    fn try_again(&mut self) -> Result<(), CatalogError> {
        self.owed_tries += 1;
        self.update(&[])
    }

    fn went_well(&mut self) {
        self.pause = FIRST_PAUSE;
        let keeping = if self.blind { Keeping::Rescanning } else { Keeping::Watching };
        self.desk.set(self.id, keeping);
        if self.blind {
            self.scan_at.get_or_insert(Instant::now() + self.options.rescan_interval);
        }
    }

    /// What deserves a note is no problem, and what has changed or gone is heard of again.
    fn note(&self, problems: Vec<ScanProblem>) {
        for problem in problems {
            if !problem.what.is_note() && !matches!(problem.what, What::Changed | What::Vanished) {
                self.desk.add(self.id, problem);
            }
        }
    }

    /// Waits for something to do.
    fn wait(&mut self) -> Option<Batch> {
        let now = Instant::now();
        let open = self.watcher.is_none().then_some(self.open_at);
        let hashes = (!self.late.is_idle()).then(|| now + HASHES);
        let counts = self
            .grown
            .map(|(first, last)| (last + self.options.quiet).min(first + self.options.busy));
        let soonest = [open, self.scan_at, self.owed_at, hashes, counts].into_iter().flatten();
        let until = soonest.fold(now + LONG, Instant::min);
        match &mut self.watcher {
            Some(watcher) => watcher.next(until),
            None => {
                self.signal.sleep(until);
                None
            }
        }
    }

    fn apply(&mut self, batch: Batch) -> Result<(), CatalogError> {
        for problem in batch.problems {
            self.blind |= matches!(problem, Problem::Remote { .. });
            self.desk.add(self.id, problem);
        }
        self.desk.add_more(self.id, batch.more_problems);
        if batch.events.contains(&Event::RootGone) {
            self.away();
            return self.catalog.set_state(self.id, LocationState::Offline);
        }
        if batch.events.contains(&Event::RootBack) {
            self.scan_at = Some(Instant::now());
            return Ok(());
        }
        if !batch.events.is_empty() {
            self.update(&batch.events)?;
        }
        if self.scan_at.is_none() {
            self.went_well();
        }
        Ok(())
    }

    fn update(&mut self, events: &[Event]) -> Result<(), CatalogError> {
        let options = ScanOptions { cancel: self.signal.work(), ..ScanOptions::default() };
        // Should this fail, all is scanned.
        let owed = std::mem::take(&mut self.owed);
        self.owed_at = None;
        let updated = self.catalog.update(self.id, (events, &owed), &options)?;
        self.note(updated.problems);
        self.late.add(updated.left);
        if updated.more_left {
            self.late.all();
        }
        self.owe(updated.owed);
        self.grew(updated.growth, updated.after);
        Ok(())
    }

    /// The location has grown since the scan that ended `after`.
    fn grew(&mut self, growth: Growth, after: Option<i64>) {
        if self.after != after {
            // Somebody has scanned since, and counted all of it.
            (self.growth, self.grown, self.after) = (Growth::default(), None, after);
        }
        self.growth.add(growth);
        if !self.growth.is_none() {
            let now = Instant::now();
            self.grown = Some((self.grown.map_or(now, |(first, _)| first), now));
        }
    }

    fn write_growth(&mut self) -> Result<(), CatalogError> {
        self.grown = None;
        let growth = std::mem::take(&mut self.growth);
        if growth.is_none() { Ok(()) } else { self.catalog.grow(self.id, self.after, growth) }
    }

    fn hash(&mut self) -> Result<(), CatalogError> {
        if self.late.is_idle() || self.signal.is_stopped() {
            return Ok(());
        }
        let (turn, all) = (self.signal.work(), self.signal.until_stopped());
        let problems = self.late.step(&self.catalog, (self.id, &self.path), (&turn, &all))?;
        self.note(problems);
        Ok(())
    }

    /// The folder is not there; it is looked for from time to time.
    fn away(&mut self) {
        self.signal.watch(None);
        self.watcher = None;
        (self.scan_at, self.owed_at) = (None, None);
        self.owed.clear();
        self.late.stop();
        self.open_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(self.options.away);
        self.desk.set(self.id, Keeping::Offline);
    }

    fn failed(&mut self, error: CatalogError) {
        match error {
            // Somebody else went first. What was to be done is found by a scan.
            CatalogError::Cancelled => self.scan_at = Some(Instant::now()),
            // It was removed; whoever knows the locations hears of it and ends this.
            CatalogError::NotFound { .. } => self.signal.sleep(Instant::now() + FIRST_PAUSE),
            error if error.is_away() => self.away(),
            error => {
                self.desk.add(self.id, error);
                self.desk.set(self.id, Keeping::Failing);
                let again = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(MAX_PAUSE);
                if self.watcher.is_some() || self.blind {
                    self.scan_at = Some(again);
                } else {
                    self.open_at = again;
                }
            }
        }
    }
}
