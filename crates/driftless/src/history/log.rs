//! The log of change sets, for people and programs that want to know what happened.

use std::ops::ControlFlow;

use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Dot};
use driftless_core::schema::ModelId;
use driftless_core::undo::Done;
use driftless_store::{Logged, Past};

use super::{RecordChange, Teller, past};
use crate::conflicts::{Names, names};
use crate::error::Error;
use crate::library::Library;

/// Which change sets are wanted; all, if nothing is said.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::LogFilter;
///
/// library.write(|tx| tx.link(&Star { id: Uuid::from_u128(7), todo: Uuid::from_u128(8) }))?;
/// let todos = LogFilter { model: Some(Todo::descriptor().id), ..LogFilter::default() };
/// let stars = LogFilter { model: Some(Star::descriptor().id), ..LogFilter::default() };
/// assert_eq!((library.log(&todos, 9)?.len(), library.log(&stars, 9)?.len()), (0, 1));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogFilter {
    /// Those of this device.
    pub device: Option<DeviceId>,
    /// Those that changed a record of this model.
    pub model: Option<ModelId>,
    /// Those that were written at this time or later, Unix milliseconds.
    pub since_ms: Option<u64>,
    /// Those that came here behind this place; see [`LogEntry::pos`].
    pub after: Option<i64>,
}

/// A change set.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::LogFilter;
///
/// library.write(|tx| tx.link(&Star { id: Uuid::from_u128(7), todo: Uuid::from_u128(8) }))?;
/// let last = library.log(&LogFilter::default(), 1)?.remove(0);
/// assert_eq!(last.device, library.device_id());
/// // What comes from now on.
/// let news = LogFilter { after: Some(last.pos), ..LogFilter::default() };
/// assert_eq!(library.log(&news, 10)?, []);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogEntry {
    /// Its place in the order in which change sets came here.
    pub pos: i64,
    /// Its address.
    pub dot: Dot,
    /// When it was written, by the clock of who wrote it.
    pub hlc: Hlc,
    /// Who wrote it.
    pub device: DeviceId,
    /// That device's name, as far as it is known here.
    pub device_name: Option<String>,
    /// The first change set of the command that wrote it, if it wrote several.
    pub group: Option<Dot>,
    /// What it changed. What the values took the place of is told by [`Library::history`].
    pub changes: Vec<RecordChange>,
}

impl LogFilter {
    fn fits(&self, logged: &Logged) -> Result<bool, Error> {
        let header = logged.set.header();
        let outside = self.device.is_some_and(|device| device != header.origin.device)
            || self.since_ms.is_some_and(|since| header.hlc.ms() < since)
            || self.after.is_some_and(|after| logged.pos <= after);
        Ok(match self.model {
            _ if outside => false,
            None => true,
            Some(model) => past::changes(logged)?.iter().any(|change| change.model == model),
        })
    }
}

impl Library {
    /// The last change sets that fit, up to `limit`, in the order in which they came here.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// for n in 0..3 {
    ///     library.write(move |tx| tx.link(&Star { id: Uuid::from_u128(n), todo: Uuid::nil() }))?;
    /// }
    /// let log = library.log(&driftless::LogFilter::default(), 2)?;
    /// assert_eq!((log.len(), log[1].dot.seq - log[0].dot.seq), (2, 1));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn log(&self, filter: &LogFilter, limit: usize) -> Result<Vec<LogEntry>, Error> {
        let past = self.past()?;
        let mut found: Vec<Logged> = Vec::new();
        past.walk_back(|logged| {
            let behind = filter.after.is_some_and(|after| logged.pos <= after);
            if behind || found.len() >= limit {
                return Ok::<_, Error>(ControlFlow::Break(()));
            }
            if filter.fits(&logged)? {
                found.push(logged);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let writers = found.iter().map(|logged| logged.set.header().origin.device);
        let names = names(past.snapshot().connection(), writers)?;
        found.iter().rev().map(|logged| entry(&past, &names, logged)).collect()
    }
}

fn entry(past: &Past, names: &Names, logged: &Logged) -> Result<LogEntry, Error> {
    let (header, dot) = (logged.set.header(), logged.set.dot());
    let teller = Teller { past, names };
    let told = past::changes(logged)?.into_iter().map(|change| {
        let done = Done { dot, hlc: header.hlc, op: change.op };
        teller.change((change.model, &change.key), &done, None)
    });
    Ok(LogEntry {
        pos: logged.pos,
        dot,
        hlc: header.hlc,
        device: dot.origin.device,
        device_name: names.get(&dot.origin.device).cloned(),
        group: header.group.map(|first| Dot::new(dot.origin, first)),
        changes: told.collect(),
    })
}
