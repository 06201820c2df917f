//! Watching by inotify.
//!
//! One thread takes what the kernel says as it comes, so that the kernel's queue stays short, and
//! notes what is to be reported. Whoever asks for a batch takes the notes.
//!
//! ```text
//! kernel ──► state ──► notes ──► batch      state: what happened, in terms of the tree
//!              │                            notes: what to say about it
//!              ├── moves: halves that belong together
//!              ├── plant: watches and rules
//!              └── lost:  overflow, root, mounts
//! ```
//!
//! No descriptor in the tree is held open, as a drive could not be unmounted then.

mod kernel;
mod lost;
mod moves;
mod notes;
mod plant;
mod root;
mod state;
mod thread;
mod tree;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::{Batch, Options, WatchError};
use root::Root;
use state::State;
use thread::Shared;

/// Watches a tree; see the [module](super).
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Watches the folder at `root`, or the one that a link there leads to. When this returns all
    /// watches stand: whatever happens from now on is in a batch.
    ///
    /// # Errors
    /// If the root cannot be opened, or the system gives no watcher.
    pub fn open(root: &Path, options: Options) -> Result<Self, WatchError> {
        let system = |source| WatchError::System { path: root.to_owned(), source };
        let state = State::open(Root::open(root)?, options)?;
        let shared = Arc::new(Shared::new(state).map_err(system)?);
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || theirs.run())
            .map_err(system)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The next batch; `None` at the deadline, or once it was stopped.
    ///
    /// Asking for it says that the one before has been applied.
    pub fn next(&mut self, deadline: Instant) -> Option<Batch> {
        self.shared.next(deadline)
    }

    /// Ends a wait in [`next`](Self::next) from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.shared))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Ends the wait for a batch from another thread.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<Shared>);

impl Stopper {
    /// From now on no batch comes.
    pub fn stop(&self) {
        self.0.stop();
    }
}

#[cfg(test)]
impl Watcher {
    /// Keeps the watching thread from reading for as long as `work` lasts.
    pub(super) fn stalled<T>(&self, work: impl FnOnce() -> T) -> T {
        let _state = self.shared.lock();
        work()
    }

    /// How many folders are watched.
    pub(super) fn watches(&self) -> usize {
        self.shared.lock().tree.len()
    }

    /// How often the watching thread has run.
    pub(super) fn turns(&self) -> u64 {
        self.shared.turns()
    }
}
