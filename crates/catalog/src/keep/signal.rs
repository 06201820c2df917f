//! Telling the thread of a location to stop, whatever it is doing.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::lock;
use crate::scan::Cancel;
use crate::watch::Stopper;

#[derive(Default)]
pub(super) struct Signal {
    inner: Mutex<Inner>,
    stopped: Condvar,
}

#[derive(Default)]
struct Inner {
    stop: bool,
    /// The work that is under way.
    work: Cancel,
    /// All that is done in the background.
    all: Cancel,
    /// Ends the wait for a batch.
    watcher: Option<Stopper>,
}

impl Signal {
    pub(super) fn stop(&self) {
        let mut inner = lock(&self.inner);
        inner.stop = true;
        inner.work.cancel();
        inner.all.cancel();
        if let Some(watcher) = &inner.watcher {
            watcher.stop();
        }
        self.stopped.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        lock(&self.inner).stop
    }

    /// For a piece of work, which may also be asked to stop by others.
    pub(super) fn work(&self) -> Cancel {
        let mut inner = lock(&self.inner);
        inner.work = Cancel::default();
        if inner.stop {
            inner.work.cancel();
        }
        inner.work.clone()
    }

    /// For what is done until the end.
    pub(super) fn until_stopped(&self) -> Cancel {
        lock(&self.inner).all.clone()
    }

    /// This is to be stopped as well.
    pub(super) fn watch(&self, watcher: Option<Stopper>) {
        let mut inner = lock(&self.inner);
        if inner.stop
            && let Some(watcher) = &watcher
        {
            watcher.stop();
        }
        inner.watcher = watcher;
    }

    /// Waits until it is stopped, but no longer than this.
    pub(super) fn sleep(&self, until: Instant) {
        let inner = lock(&self.inner);
        let time = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let waited = self.stopped.wait_timeout_while(inner, time, |inner| !inner.stop);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
