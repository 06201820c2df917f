//! Queries and states that are told again whenever they change.

use rusqlite::Connection;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::error::Error;
use crate::events::{Change, Subscription};
use crate::library::Library;
use crate::status::Status;

/// A query whose result is told whenever it has become another. Made by [`Library::live`].
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let mut titles = library.live(&["todo"], |db| {
///     let mut select = db.prepare("SELECT title FROM todo ORDER BY title")?;
///     let rows = select.query_map([], |row| row.get::<_, String>(0))?;
///     rows.collect::<Result<Vec<_>, _>>()
/// });
/// assert!(titles.next().unwrap()?.is_empty());
/// library.write(|tx| {
///     let id = tx.new_id();
///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })
/// })?;
/// assert_eq!(titles.next().unwrap()?, ["Water the plants"]);
/// # Ok::<(), driftless::Error>(())
/// ```
pub struct LiveQuery<'a, T, Q> {
    library: &'a Library,
    models: Vec<String>,
    query: Q,
    changes: Subscription,
    last: Option<T>,
}

/// The result: the first time as it is now, then each time it has changed; waits on the calling
/// thread until then. Ends when the library was closed.
impl<T, Q> Iterator for LiveQuery<'_, T, Q>
where
    T: PartialEq + Clone,
    Q: FnMut(&Connection) -> Result<T, rusqlite::Error>,
{
    type Item = Result<T, Error>;

    fn next(&mut self) -> Option<Result<T, Error>> {
        loop {
            if self.last.is_some() && !self.wait_for_change()? {
                continue;
            }
            match self.run() {
                Ok(now) if self.last.as_ref() == Some(&now) => {}
                Ok(now) => {
                    self.last = Some(now.clone());
                    return Some(Ok(now));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<T, Q> LiveQuery<'_, T, Q>
where
    Q: FnMut(&Connection) -> Result<T, rusqlite::Error>,
{
    /// Waits, in async code, until the result may be another; `false` when the library was closed.
    /// The query itself waits on the disk: run it by [`LiveQuery::now`], where that is allowed.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// let mut count = library.live(&["todo"], |db| {
    ///     db.query_row("SELECT count(*) FROM todo", [], |row| row.get::<_, i64>(0))
    /// });
    /// library.write(|tx| {
    ///     let id = tx.new_id();
    ///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })
    /// })?;
    /// # runtime.block_on(async {
    /// assert!(count.changed().await);
    /// assert_eq!(count.now()?, 1);
    /// # Ok::<(), driftless::Error>(())
    /// # })?;
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub async fn changed(&mut self) -> bool {
        while let Some(change) = self.changes.changed().await {
            if self.concerns(&change) {
                return true;
            }
        }
        false
    }

    /// The result as it is now.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let mut count = library.live(&["todo"], |db| {
    ///     db.query_row("SELECT count(*) FROM todo", [], |row| row.get::<_, i64>(0))
    /// });
    /// assert_eq!(count.now()?, 0);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn now(&mut self) -> Result<T, Error> {
        self.run()
    }

    fn concerns(&self, change: &Change) -> bool {
        self.models.iter().any(|model| change.concerns(model))
    }

    fn run(&mut self) -> Result<T, Error> {
        Ok(self.library.query(&mut self.query)??)
    }

    /// Waits for the next change; whether it concerns the query. `None` at the end.
    fn wait_for_change(&mut self) -> Option<bool> {
        let change = self.changes.next()?;
        Some(self.concerns(&change))
    }
}

/// The library's status whenever something of it may have changed. Made by
/// [`Library::subscribe_status`].
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// let mut statuses = laptop.subscribe_status();
/// assert!(statuses.next().unwrap()?.peers[0].online);
/// phone.stop_sync();
/// let gone = statuses.find(|status| status.as_ref().is_ok_and(|status| !status.peers[0].online));
/// assert!(gone.is_some());
/// # Ok::<(), driftless::Error>(())
/// ```
pub struct StatusStream<'a> {
    library: &'a Library,
    pulse: Receiver<()>,
    begun: bool,
}

/// The status: the first time as it is now, then after each change; waits on the calling thread
/// until then. Changes that come quickly are told together. Ends when the library was closed.
impl Iterator for StatusStream<'_> {
    type Item = Result<Status, Error>;

    fn next(&mut self) -> Option<Result<Status, Error>> {
        if self.begun {
            match self.pulse.blocking_recv() {
                Ok(()) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
        self.begun = true;
        Some(self.library.status())
    }
}

impl StatusStream<'_> {
    /// Waits, in async code, until something of the status may have changed; `false` when the library
    /// was closed. What it is then, [`Library::status`] says.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// let mut statuses = library.subscribe_status();
    /// library.sync(loopback())?;
    /// # runtime.block_on(async {
    /// while !library.status()?.syncing && statuses.changed().await {}
    /// # Ok::<(), driftless::Error>(())
    /// # })?;
    /// assert!(library.status()?.syncing);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub async fn changed(&mut self) -> bool {
        !matches!(self.pulse.recv().await, Err(RecvError::Closed))
    }
}

impl Library {
    /// A query over `models` that is run again when one of them changes; see [`LiveQuery`].
    ///
    /// ```
    /// # use driftless::{Library, Models, Syncable, Uuid};
    /// # #[derive(Syncable)]
    /// # #[sync(shared)]
    /// # struct Todo { id: Uuid, title: String }
    /// # let place = tempfile::tempdir().unwrap();
    /// # let dir = place.path().join("library");
    /// # let library = Library::create(&dir, &Models::new().with::<Todo>(), "Home", "laptop")?;
    /// let mut count = library.live(&["todo"], |db| {
    ///     db.query_row("SELECT count(*) FROM todo", [], |row| row.get::<_, i64>(0))
    /// });
    /// assert_eq!(count.next().unwrap()?, 0);
    /// library.write(|tx| {
    ///     let id = tx.new_id();
    ///     tx.insert(&Todo { id, title: "Water the plants".into() })
    /// })?;
    /// assert_eq!(count.next().unwrap()?, 1);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn live<T, Q>(&self, models: &[&str], query: Q) -> LiveQuery<'_, T, Q>
    where
        T: PartialEq + Clone,
        Q: FnMut(&Connection) -> Result<T, rusqlite::Error>,
    {
        let models = models.iter().map(|model| (*model).to_owned()).collect();
        LiveQuery { library: self, models, query, changes: self.subscribe(), last: None }
    }

    /// The status as it changes: peers that come and go, lags, phases.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let mut statuses = library.subscribe_status();
    /// assert!(!statuses.next().unwrap()?.syncing);
    /// library.sync(loopback())?;
    /// assert!(statuses.any(|status| status.is_ok_and(|status| status.syncing)));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn subscribe_status(&self) -> StatusStream<'_> {
        StatusStream { library: self, pulse: self.pulse(), begun: false }
    }
}
