//! The event log: what happened to sync on this device. `docs/why.md` tells what is in it, for how
//! long, and how to read it.

mod kind;
mod recorder;
mod telling;

use driftless_core::id::DeviceId;
use driftless_store::EventRow;
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

pub use kind::{EventKind, NoSeverity, Severity};
pub(crate) use recorder::{Happened, Recorder};
pub(crate) use telling::Told;

use crate::error::Error;
use crate::library::Library;

/// Something that happened to sync.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// use driftless::{EventFilter, EventKind};
///
/// let filter = EventFilter { kinds: vec![EventKind::LinkUp], ..EventFilter::default() };
/// let event = laptop.events(&filter, 100)?.remove(0);
/// assert_eq!(event.device, Some(phone.device_id()));
/// println!("{}", event.words);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct SyncEvent {
    /// Its number: later ones happened later.
    pub id: i64,
    /// The place of the last change set that was here then; see [`crate::LogEntry::pos`].
    pub pos: i64,
    /// When it happened first, Unix milliseconds by this device's clock.
    pub first_ms: u64,
    /// When it happened last.
    pub last_ms: u64,
    /// How often, from the first time to the last.
    pub times: u64,
    /// How grave it is.
    pub severity: Severity,
    /// What kind of thing it is.
    pub kind: EventKind,
    /// The device concerned, if it is one.
    pub device: Option<DeviceId>,
    /// What happened, for people.
    pub words: String,
    /// The same for programs: a JSON object.
    pub fields: Value,
}

/// Which events are wanted; all, if nothing is said.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::{EventFilter, Severity};
///
/// let grave = EventFilter { severity: Some(Severity::Error), ..EventFilter::default() };
/// assert!(library.events(&grave, 100)?.is_empty());
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventFilter {
    /// Those of one of these kinds; of every kind if none is named.
    pub kinds: Vec<EventKind>,
    /// Those of this severity, or graver.
    pub severity: Option<Severity>,
    /// Those that concern this device.
    pub device: Option<DeviceId>,
    /// Those that happened at this time or later, Unix milliseconds.
    pub since_ms: Option<u64>,
}

impl EventFilter {
    /// Whether an event is wanted.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::EventFilter;
    ///
    /// library.sync(loopback())?;
    /// let event = library.events(&EventFilter::default(), 1)?.remove(0);
    /// let future = EventFilter { since_ms: Some(u64::MAX), ..EventFilter::default() };
    /// assert!(EventFilter::default().fits(&event) && !future.fits(&event));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn fits(&self, event: &SyncEvent) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind))
            && self.severity.is_none_or(|severity| event.severity >= severity)
            && self.device.is_none_or(|device| event.device == Some(device))
            && self.since_ms.is_none_or(|since| event.last_ms >= since)
    }
}

impl SyncEvent {
    fn of(row: EventRow) -> Self {
        Self {
            id: row.id,
            pos: row.pos,
            first_ms: row.first_ms,
            last_ms: row.last_ms,
            times: row.times,
            severity: Severity::of_number(row.severity),
            kind: EventKind::of_name(&row.kind).unwrap_or(EventKind::Other),
            device: row.device,
            words: row.words,
            // What a later version wrote may be anything; the words are there all the same.
            fields: serde_json::from_str(&row.fields).unwrap_or(Value::Null),
        }
    }
}

/// Events as they happen, from the moment of subscribing on. Of something that happens again and again
/// not every time is told. Made by [`Library::subscribe_events`].
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// use driftless::EventKind;
///
/// let mut events = laptop.subscribe_events();
/// phone.stop_sync();
/// let lost = events.find(|event| event.kind == EventKind::LinkLost).unwrap();
/// assert_eq!(lost.device, Some(phone.device_id()));
/// # Ok::<(), driftless::Error>(())
/// ```
pub struct EventStream {
    receiver: Receiver<SyncEvent>,
}

/// Waits for the next event, on a thread; ends when the library was closed. Who falls far behind misses
/// some, which [`Library::events`] has.
impl Iterator for EventStream {
    type Item = SyncEvent;

    fn next(&mut self) -> Option<SyncEvent> {
        loop {
            match self.receiver.blocking_recv() {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl EventStream {
    /// Waits for the next event, in async code; `None` when the library was closed.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// let mut events = library.subscribe_events();
    /// library.sync(loopback())?;
    /// # runtime.block_on(async {
    /// let event = events.changed().await.expect("the library is open");
    /// assert_eq!(event.kind, driftless::EventKind::SyncOn);
    /// # });
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub async fn changed(&mut self) -> Option<SyncEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// What has happened already, without waiting.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let mut events = library.subscribe_events();
    /// assert_eq!(events.poll(), None);
    /// library.sync(loopback())?;
    /// assert!(events.poll().is_some());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn poll(&mut self) -> Option<SyncEvent> {
        loop {
            match self.receiver.try_recv() {
                Ok(event) => return Some(event),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            }
        }
    }
}

impl Library {
    /// The last events that fit, up to `limit`, the first first.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// use driftless::{EventFilter, EventKind};
    ///
    /// library.sync(loopback())?;
    /// let events = library.events(&EventFilter::default(), 100)?;
    /// assert!(events.iter().any(|event| event.kind == EventKind::SyncOn));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn events(&self, filter: &EventFilter, limit: usize) -> Result<Vec<SyncEvent>, Error> {
        let mut found = Vec::new();
        self.past()?.events_back(|row| {
            let event = SyncEvent::of(row);
            if found.len() < limit && filter.fits(&event) {
                found.push(event);
            }
            Ok::<_, Error>(found.len() < limit)
        })?;
        found.sort_by_key(|event| event.id);
        Ok(found)
    }

    /// Hears of every event from now on.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let mut events = library.subscribe_events();
    /// library.sync(loopback())?;
    /// assert_eq!(events.next().unwrap().kind, driftless::EventKind::SyncOn);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn subscribe_events(&self) -> EventStream {
        EventStream { receiver: self.events_sender().subscribe() }
    }
}
