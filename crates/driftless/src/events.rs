//! Hearing of changes.

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::pace::Standing;

/// Records changed, and the change is visible to readers. What this device wrote is durable then; what
/// others wrote is so a little later, and is not acknowledged before.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let mut changes = library.subscribe();
/// library.write(|tx| {
///     let id = tx.new_id();
///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })
/// })?;
/// let change = changes.next().unwrap();
/// assert_eq!((change.models.as_slice(), change.local), (&["todo".to_owned()][..], true));
/// # Ok::<(), driftless::Error>(())
/// ```
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
    ///
    /// ```
    /// use driftless::Change;
    ///
    /// let change = Change { models: vec!["todo".into()], local: false };
    /// assert!(change.concerns("todo") && !change.concerns("reading"));
    /// let missed = Change { models: vec![], local: false };
    /// assert!(missed.concerns("todo"));
    /// ```
    pub fn concerns(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|name| name == model)
    }

    fn missed() -> Self {
        Self { models: Vec::new(), local: false }
    }
}

/// Changes as they happen, from the moment of subscribing on. A subscriber that falls far behind is
/// told so by a [`Change`] without models, and costs no more memory.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// let changes = phone.subscribe();
/// laptop.write(|tx| {
///     let id = tx.new_id();
///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })
/// })?;
/// // On a thread of its own this would be the whole loop.
/// for change in changes {
///     if change.concerns("todo") {
///         break;
///     }
/// }
/// let todos: Vec<Todo> = phone.query(|db| driftless::all(db, "true", []))??;
/// assert_eq!(todos.len(), 1);
/// # Ok::<(), driftless::Error>(())
/// ```
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
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// let mut changes = library.subscribe();
    /// library.write(|tx| {
    ///     let id = tx.new_id();
    ///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })
    /// })?;
    /// # runtime.block_on(async {
    /// let change = changes.changed().await.expect("the library is open");
    /// assert!(change.concerns("todo"));
    /// # });
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub async fn changed(&mut self) -> Option<Change> {
        match self.receiver.recv().await {
            Ok(change) => Some(change),
            Err(RecvError::Lagged(_)) => Some(Change::missed()),
            Err(RecvError::Closed) => None,
        }
    }

    /// What has happened already, without waiting.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let mut changes = library.subscribe();
    /// assert_eq!(changes.poll(), None);
    /// library.write(|tx| {
    ///     let id = tx.new_id();
    ///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })
    /// })?;
    /// // What a write did has been told when it returns.
    /// assert!(changes.poll().unwrap().concerns("todo"));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn poll(&mut self) -> Option<Change> {
        match self.receiver.try_recv() {
            Ok(change) => Some(change),
            Err(TryRecvError::Lagged(_)) => Some(Change::missed()),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

/// Phases, and how far they are: as it is now, and then whenever that has changed, looked at about
/// twice a second. Made by [`Library::subscribe_standing`](crate::Library::subscribe_standing).
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::core::engine::Phase;
///
/// // On a thread of its own this would be a progress bar.
/// for standing in library.subscribe_standing()? {
///     println!("{} %", standing.percent());
///     if standing.phase == Phase::Ready {
///         break;
///     }
/// }
/// # Ok::<(), driftless::Error>(())
/// ```
pub struct StandingStream {
    pub(crate) first: Option<Standing>,
    pub(crate) receiver: Receiver<Standing>,
}

/// Waits on the calling thread; ends when the library was closed.
impl Iterator for StandingStream {
    type Item = Standing;

    fn next(&mut self) -> Option<Standing> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            match self.receiver.blocking_recv() {
                Ok(standing) => return Some(standing),
                // Only the latest are of interest.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl StandingStream {
    /// Waits for the next, in async code; `None` when the library was closed.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// let mut standings = library.subscribe_standing()?;
    /// # runtime.block_on(async {
    /// let standing = standings.changed().await.expect("the library is open");
    /// assert_eq!(standing.percent(), 100);
    /// # });
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub async fn changed(&mut self) -> Option<Standing> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            match self.receiver.recv().await {
                Ok(standing) => return Some(standing),
                // Only the latest are of interest.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
