//! Hearing of changes.

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

/// Records changed, and the change is durable and visible to readers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The names of their models. Empty if too many changes were missed to tell: then look again at
    /// everything.
    pub models: Vec<String>,
    /// Whether this device made the change.
    pub local: bool,
}

impl Change {
    /// Whether records of `model` may have changed.
    pub fn concerns(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|name| name == model)
    }

    fn missed() -> Self {
        Self { models: Vec::new(), local: false }
    }
}

/// Changes as they happen, from the moment of subscribing on. A subscriber that falls far behind is
/// told so by a [`Change`] without models, and costs no more memory.
pub struct Subscription {
    pub(crate) receiver: Receiver<Change>,
}

/// Waits for the next change, on a thread; ends when the library was closed.
impl Iterator for Subscription {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        match self.receiver.blocking_recv() {
            Ok(change) => Some(change),
            Err(RecvError::Lagged(_)) => Some(Change::missed()),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Subscription {
    /// Waits for the next change, in async code; `None` when the library was closed.
    pub async fn changed(&mut self) -> Option<Change> {
        match self.receiver.recv().await {
            Ok(change) => Some(change),
            Err(RecvError::Lagged(_)) => Some(Change::missed()),
            Err(RecvError::Closed) => None,
        }
    }

    /// What has happened already, without waiting.
    pub fn poll(&mut self) -> Option<Change> {
        match self.receiver.try_recv() {
            Ok(change) => Some(change),
            Err(TryRecvError::Lagged(_)) => Some(Change::missed()),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}
