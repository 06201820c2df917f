//! Systems without a watcher.

use std::path::Path;
use std::time::Instant;

use super::{Batch, Options, WatchError};

/// Watches a tree; not on this system.
#[derive(Debug)]
pub enum Watcher {}

/// Ends a wait from another thread; not on this system.
#[derive(Debug, Clone)]
pub enum Stopper {}

impl Watcher {
    /// Fails.
    ///
    /// # Errors
    /// Always, with [`WatchError::Unsupported`].
    pub fn open(root: &Path, _options: Options) -> Result<Self, WatchError> {
        Err(WatchError::Unsupported { path: root.to_owned() })
    }

    /// There is none.
    pub fn next(&mut self, _deadline: Instant) -> Option<Batch> {
        match *self {}
    }

    /// There is none.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        match *self {}
    }
}

impl Stopper {
    /// There is none.
    pub fn stop(&self) {
        match *self {}
    }
}
