//! Keeping the catalogue true by itself: every location of this device is watched, and what happens in
//! it is brought into the library within moments.
//!
//! A [`Keeper`] has a thread that knows which locations there are, and one for each of them. That opens
//! the [watcher](crate::watch), then scans, which finds what happened while nobody watched, and from
//! then on applies what the watcher says. **A location whose folder goes** (removed, renamed, its drive
//! unmounted) is [offline](crate::LocationState::Offline) and keeps its entries; when the folder is
//! there again it is scanned and watched again.
//!
//! **People go first.** A scan or a removal that a person asks for interrupts the keeper's work on that
//! location, which is done again afterwards from the beginning.
//!
//! **Large files** are hashed in the background, so that small ones need not wait; an entry is there
//! first, and its hash when it is known.
//!
//! **Where nothing can be watched** (another system than Linux, no more watchers to be had, drives of
//! other machines), locations are scanned every [`KeepOptions::rescan_interval`].
//!
//! **Counts** of a location are written when nothing has happened for [`KeepOptions::quiet`], or every
//! [`KeepOptions::busy`].

mod location;
mod report;
mod signal;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use driftless::{Library, Uuid};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::models::{Location, LocationRules};
use crate::watch;
use location::Kept;
use signal::Signal;

pub(crate) use report::Desk;
pub use report::{KeepProblem, KeepReport, Keeping};

/// How often the locations are looked at if nobody says that they have changed.
const LOOK: Duration = Duration::from_secs(60);

/// How to keep.
#[derive(Debug, Clone)]
pub struct KeepOptions {
    /// How to watch. The rules are those of each location.
    pub watch: watch::Options,
    /// Counts are written when nothing has happened for so long,
    pub quiet: Duration,
    /// and at the latest after so long.
    pub busy: Duration,
    /// How often a location is scanned in which changes cannot all be seen.
    pub rescan_interval: Duration,
    /// The longest pause between two looks for a folder that is gone.
    pub away: Duration,
}

impl Default for KeepOptions {
    fn default() -> Self {
        Self {
            watch: watch::Options::default(),
            quiet: Duration::from_secs(2),
            busy: Duration::from_secs(30),
            rescan_interval: Duration::from_secs(600),
            away: Duration::from_secs(2),
        }
    }
}

/// Something for the thread that knows the locations.
enum Word {
    Changed,
    Stop,
}

/// Keeps the locations of this device, until it is dropped. It must be dropped before the library is
/// closed.
///
/// ```
/// use std::sync::Arc;
/// use driftless::Library;
/// use driftless_catalog::keep::{KeepOptions, Keeper};
/// # fn main() -> Result<(), driftless_catalog::CatalogError> {
/// # let place = tempfile::tempdir().unwrap();
/// # let dir = place.path().join("library");
/// # let models = driftless_catalog::models();
/// let library = Arc::new(Library::create(&dir, &models, "Home", "laptop")?);
/// let keeper = Keeper::start(&library, KeepOptions::default())?;
/// assert!(keeper.reports().is_empty());
/// keeper.stop();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Keeper {
    words: Sender<Word>,
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts to keep all locations of this device, those to come too.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(library: &Arc<Library>, options: KeepOptions) -> Result<Self, CatalogError> {
        let (words, heard) = channel();
        let desk = Arc::new(Desk::default());
        listen(library, words.clone())?;
        let crew = Crew {
            library: Arc::clone(library),
            options,
            desk: Arc::clone(&desk),
            kept: BTreeMap::new(),
        };
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || crew.run(&heard))
            .map_err(CatalogError::Thread)?;
        Ok(Self { words, desk, thread: Some(thread) })
    }

    /// How it goes, location by location.
    #[must_use]
    pub fn reports(&self) -> Vec<KeepReport> {
        self.desk.all()
    }

    /// The same for somebody who asks again and again, and does not hold the keeper.
    #[must_use]
    pub fn handle(&self) -> KeepReports {
        KeepReports(Arc::clone(&self.desk))
    }

    /// Ends it; what dropping it does as well. What was applied is durable, and the rest is found by
    /// the scan at the next start.
    pub fn stop(self) {}
}

/// How the keeping of locations goes; see [`Keeper::handle`].
#[derive(Debug, Clone)]
pub struct KeepReports(Arc<Desk>);

impl KeepReports {
    /// How it goes, location by location.
    #[must_use]
    pub fn all(&self) -> Vec<KeepReport> {
        self.0.all()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // A thread that has ended needs no word.
        drop(self.words.send(Word::Stop));
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Says when locations have changed. The thread ends by itself when the library is closed or nobody
/// listens any more, whichever it hears of first.
fn listen(library: &Library, words: Sender<Word>) -> Result<(), CatalogError> {
    let changes = library.subscribe();
    std::thread::Builder::new()
        .name("keeper-ear".to_owned())
        .spawn(move || {
            for change in changes {
                if change.concerns("location") && words.send(Word::Changed).is_err() {
                    return;
                }
            }
        })
        .map(drop)
        .map_err(CatalogError::Thread)
}

/// What decides how a location is kept.
type Manner = (Vec<u8>, LocationRules, bool);

fn manner(location: &Location) -> Manner {
    (location.path_bytes().to_owned(), location.rules(), location.no_hash.unwrap_or(false))
}

struct Hand {
    signal: Arc<Signal>,
    thread: JoinHandle<()>,
    manner: Manner,
}

/// One thread for each location.
struct Crew {
    library: Arc<Library>,
    options: KeepOptions,
    desk: Arc<Desk>,
    kept: BTreeMap<Uuid, Hand>,
}

impl Crew {
    fn run(mut self, heard: &Receiver<Word>) {
        loop {
            if let Err(error) = self.look() {
                self.desk.failed(error);
            }
            match heard.recv_timeout(LOOK) {
                Ok(Word::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Word::Changed) | Err(RecvTimeoutError::Timeout) => {}
            }
            // Many changes are one.
            if heard.try_iter().any(|word| matches!(word, Word::Stop)) {
                break;
            }
        }
        for hand in self.kept.values() {
            hand.signal.stop();
        }
        for id in self.kept.keys().copied().collect::<Vec<_>>() {
            self.dismiss(id);
        }
    }

    fn look(&mut self) -> Result<(), CatalogError> {
        let here = Catalog::new(&self.library).locations()?.into_iter().filter(|info| info.here);
        let wanted: BTreeMap<Uuid, Location> =
            here.map(|info| (info.location.id, info.location)).collect();
        let stale: Vec<Uuid> = self
            .kept
            .iter()
            .filter(|(id, hand)| {
                let same = wanted.get(id).is_some_and(|now| manner(now) == hand.manner);
                !same || hand.thread.is_finished()
            })
            .map(|(id, _)| *id)
            .collect();
        for id in stale {
            self.dismiss(id);
        }
        for (id, location) in wanted {
            if !self.kept.contains_key(&id) {
                let hand = self.hire(&location)?;
                self.kept.insert(id, hand);
            }
        }
        Ok(())
    }

    fn hire(&self, location: &Location) -> Result<Hand, CatalogError> {
        let signal = Arc::new(Signal::default());
        let (library, desk) = (Arc::clone(&self.library), Arc::clone(&self.desk));
        let (options, theirs) = (self.options.clone(), Arc::clone(&signal));
        let of = location.clone();
        desk.open(location);
        let thread = std::thread::Builder::new()
            .name("keep".to_owned())
            .spawn(move || Kept::new(&library, of, options, &theirs, &desk).run())
            .map_err(CatalogError::Thread)?;
        Ok(Hand { signal, thread, manner: manner(location) })
    }

    fn dismiss(&mut self, id: Uuid) {
        let Some(hand) = self.kept.remove(&id) else { return };
        hand.signal.stop();
        let ended = hand.thread.join();
        self.desk.close(id);
        if let Err(panic) = ended
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// What is kept behind a lock can be left half done by nobody.
fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
