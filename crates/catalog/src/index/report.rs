//! What a scan tells while it goes and at its end.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use driftless::Uuid;

use super::known::Below;
use crate::models::{Entry, EntryKind};
use crate::scan::{Kind, Problem, Progress, Total, What};

/// Problems that are kept with their paths; more are counted.
const MAX_PROBLEMS: usize = 1_000;
/// How often progress is told at most.
const BETWEEN_REPORTS: Duration = Duration::from_millis(100);

/// What was found in a location.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Regular files.
    pub files: u64,
    /// Folders.
    pub dirs: u64,
    /// Symbolic links.
    pub links: u64,
    /// FIFOs, sockets and devices, which are not indexed.
    pub others: u64,
    /// The sizes of the files, added up.
    pub bytes: u64,
}

impl Counts {
    /// Everything that is indexed.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.files + self.dirs + self.links
    }
}

/// What a scan did to the entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// New ones.
    pub added: u64,
    /// Those of which something changed, but not their place.
    pub updated: u64,
    /// Those that have another name or are in another folder.
    pub moved: u64,
    /// Those that are gone.
    pub removed: u64,
    /// Those that are as they were.
    pub unchanged: u64,
}

/// By how much what is in a location grew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Growth {
    pub(crate) files: i64,
    pub(crate) dirs: i64,
    pub(crate) bytes: i64,
}

impl Growth {
    /// An entry of this kind and size came (1) or went (-1).
    fn count(&mut self, kind: i64, size: i64, by: i64) {
        if kind == EntryKind::File.number() {
            self.files += by;
            self.bytes = self.bytes.saturating_add(size.saturating_mul(by));
        } else if kind == EntryKind::Dir.number() {
            self.dirs += by;
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.dirs += other.dirs;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What a scan is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScanPhase {
    /// Walking the tree and writing what is there; small files are hashed on the way.
    Walking,
    /// Hashing the files that the walk did not wait for.
    Hashing,
    /// Done.
    Done,
}

/// How far a scan is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ScanProgress {
    /// What it is doing.
    pub phase: ScanPhase,
    /// What was found so far.
    pub counts: Counts,
    /// How many of the files were hashed by this scan.
    pub hashed: u64,
    /// How many bytes were read for that.
    pub hashed_bytes: u64,
    /// How many things could not be read.
    pub problems: u64,
    /// How long it has run.
    pub elapsed: Duration,
    /// Entries a second of late, while walking.
    pub entries_per_second: Option<f64>,
    /// Bytes a second of late, while hashing.
    pub bytes_per_second: Option<f64>,
    /// How long the phase may still take, if it can be told: a first walk does not know how much is
    /// to come.
    pub remaining: Option<Duration>,
}

/// What a scan came to.
#[derive(Debug)]
pub struct Added {
    /// The location.
    pub id: Uuid,
    /// Its canonical path.
    pub path: PathBuf,
    /// What is in it.
    pub counts: Counts,
    /// What the scan changed.
    pub changes: Changes,
    /// Files that it hashed.
    pub hashed: u64,
    /// Bytes of those.
    pub hashed_bytes: u64,
    /// What could not be read and what deserves a note, the first thousand, with paths relative to
    /// the location.
    pub problems: Vec<Problem>,
    /// How many things could not be read, notes not counted.
    pub problem_count: u64,
    /// How many notes there are: broken links, names that are not UTF-8.
    pub note_count: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Where an entry is.
fn place(entry: &Entry) -> (Uuid, &[u8]) {
    (entry.parent, entry.name_bytes())
}

/// Collects what there is to tell, and tells it.
pub(super) struct Report<'c> {
    tell: &'c mut dyn FnMut(&ScanProgress),
    started: Instant,
    told: Option<Instant>,
    phase: ScanPhase,
    walked: Progress,
    read: Progress,
    expected: Option<Total>,
    pub(super) changes: Changes,
    pub(super) growth: Growth,
    pub(super) hashed: u64,
    pub(super) hashed_bytes: u64,
    problems: Vec<Problem>,
    problem_count: u64,
    note_count: u64,
}

impl<'c> Report<'c> {
    /// `expected` is how many entries the last scan found.
    pub(super) fn new(tell: &'c mut dyn FnMut(&ScanProgress), expected: Option<u64>) -> Self {
        Self {
            tell,
            started: Instant::now(),
            told: None,
            phase: ScanPhase::Walking,
            walked: Progress::new(0),
            read: Progress::new(0),
            expected: expected.map(Total::Entries),
            changes: Changes::default(),
            growth: Growth::default(),
            hashed: 0,
            hashed_bytes: 0,
            problems: Vec::new(),
            problem_count: 0,
            note_count: 0,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn found(&mut self, kind: Kind, size: u64) {
        self.walked.found(kind, size);
    }

    /// What a row was and what it is from now on.
    pub(super) fn compared(&mut self, old: Option<&Entry>, new: &Entry) {
        let changes = &mut self.changes;
        match old {
            None => changes.added += 1,
            Some(old) if place(old) != place(new) => changes.moved += 1,
            Some(old) if old != new => changes.updated += 1,
            Some(_) => changes.unchanged += 1,
        }
        if let Some(old) = old {
            self.growth.count(old.kind, old.size, -1);
        }
        self.growth.count(new.kind, new.size, 1);
    }

    /// A file was larger by so much than it was thought to be.
    pub(super) fn grew(&mut self, bytes: i64) {
        self.growth.bytes = self.growth.bytes.saturating_add(bytes);
    }

    /// A row is gone.
    pub(super) fn removed(&mut self, kind: i64, size: i64) {
        self.changes.removed += 1;
        self.growth.count(kind, size, -1);
    }

    /// What was added is what was missing elsewhere: an entry moved.
    pub(super) fn was_moved(&mut self, old: &Below) {
        self.changes.added = self.changes.added.saturating_sub(1);
        self.changes.moved += 1;
        self.growth.count(old.kind, old.size, -1);
    }

    /// Rules that cannot be used.
    pub(super) fn rules(&mut self, problem: &crate::watch::Problem) {
        let path = problem.path().map(Path::to_owned).unwrap_or_default();
        let source = std::io::Error::other(problem.to_string());
        self.problem(Problem { path, what: What::Rules, source: Some(source) });
    }

    /// The problems so far, with paths relative to the location.
    pub(super) fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        if problem.what.is_note() {
            self.note_count += 1;
        } else {
            self.problem_count += 1;
        }
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    /// From here on files are hashed, so many bytes of them.
    pub(super) fn begin_hashing(&mut self, bytes: u64) {
        self.phase = ScanPhase::Hashing;
        self.read = Progress::new(self.now_ms());
        self.expected = Some(Total::Bytes(bytes));
        self.told = None;
    }

    /// So many bytes were read since hashing began.
    pub(super) fn read(&mut self, bytes: u64) {
        self.read.bytes = bytes;
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            files: self.walked.files,
            dirs: self.walked.dirs,
            links: self.walked.links,
            others: self.walked.others,
            bytes: self.walked.bytes,
        }
    }

    pub(super) fn problem_count(&self) -> u64 {
        self.problem_count
    }

    /// Tells how far it is, if that is due.
    pub(super) fn tick(&mut self) {
        if self.told.is_none_or(|told| told.elapsed() >= BETWEEN_REPORTS) {
            self.tell_now();
        }
    }

    fn tell_now(&mut self) {
        let now = self.now_ms();
        let walking = self.phase == ScanPhase::Walking;
        let progress = if walking { &mut self.walked } else { &mut self.read };
        progress.tick(now);
        let remaining = self.expected.and_then(|total| progress.remaining(now, total));
        let said = ScanProgress {
            phase: self.phase,
            counts: self.counts(),
            hashed: self.hashed,
            hashed_bytes: self.hashed_bytes,
            problems: self.problem_count,
            elapsed: self.started.elapsed(),
            entries_per_second: walking.then(|| self.walked.entries_per_second(now)).flatten(),
            bytes_per_second: (!walking).then(|| self.read.bytes_per_second(now)).flatten(),
            remaining,
        };
        (self.tell)(&said);
        self.told = Some(Instant::now());
    }

    pub(super) fn finish(mut self, id: Uuid, path: PathBuf) -> Added {
        self.phase = ScanPhase::Done;
        self.expected = None;
        self.tell_now();
        Added {
            id,
            path,
            counts: self.counts(),
            changes: self.changes,
            hashed: self.hashed,
            hashed_bytes: self.hashed_bytes,
            problems: self.problems,
            problem_count: self.problem_count,
            note_count: self.note_count,
            elapsed: self.started.elapsed(),
        }
    }
}
