//! Damage to the files: found, taken out, and brought back from the others.
//!
//! Rows that are not what was written are taken out in one transaction; the engine asks the other
//! devices for them. What cannot be pinned to rows makes the file unsound: nothing of it is served
//! then, and people are told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use driftless_core::digest::Digests;
use driftless_core::engine::Input;
use driftless_core::id::DeviceId;
use driftless_core::record::Record;
use driftless_core::schema::ModelId;
use driftless_core::store::{Place, Store as _};
use driftless_net::Cut;
use driftless_store::{BadRow, RowsRead, Salvage, Snapshot, StoreError, Taken};

use crate::error::Error;
use crate::event_log::{EventKind, Happened};
use crate::library::Library;
use crate::time;
use crate::writer::Writer;

/// Faults of a file's structure that are named.
const MAX_FAULTS: u32 = 10;
/// Missing records that are named in a status.
const MAX_NAMED: usize = 100;
/// Looks after which a file is given up in which every look finds more.
const MOST_LOOKS: usize = 10_000;
/// Where what was given up is noted.
const GIVEN_UP: &str = "given_up";
/// How long it takes until it is tried again to settle what nobody else has.
const SETTLE_AGAIN: Duration = Duration::from_secs(60);
/// How long after the start the first rows are looked at.
const SCRUB_AFTER: Duration = Duration::from_secs(10);
/// Between two slices of half a millisecond or less: less than a hundredth of a core.
const SCRUB_PAUSE: Duration = Duration::from_millis(100);
/// From the begin of one pass to that of the next, in milliseconds.
const SCRUB_EVERY_MS: u64 = 24 * 3_600_000;
/// The longest that is waited before it is looked whether a pass is due.
const SCRUB_LOOK: Duration = Duration::from_secs(3_600);

/// A record or row that was damaged on this device.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// for record in library.status()?.damage.missing {
///     println!("{} {} is on its way back", record.model, record.key);
/// }
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DamagedRecord {
    /// The name of its model.
    pub model: String,
    /// Its key.
    pub key: String,
    /// The device that it belongs to; none if it is shared.
    pub owner: Option<DeviceId>,
}

/// What is damaged on this device.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let damage = library.status()?.damage;
/// assert!(damage.is_none());
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Damage {
    /// Records that were damaged and are not back from other devices yet; a hundred at most.
    pub missing: Vec<DamagedRecord>,
    /// How many there are.
    pub count: u64,
    /// What no other device has: in words, what became of each.
    pub given_up: Vec<String>,
    /// Why nothing is served, as more than records is damaged.
    pub unsound: Option<String>,
}

impl Damage {
    /// Whether nothing is known to be damaged.
    ///
    /// ```
    /// assert!(driftless::Damage::default().is_none());
    /// ```
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What reading everything came to.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// assert!(library.examine()?.is_sound());
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Examined {
    /// The names of the models of which something was not what was written.
    pub models: Vec<String>,
    /// What was taken out, to be brought back from other devices.
    pub damaged: Vec<DamagedRecord>,
    /// What SQLite found wrong in the file, in its words.
    pub faults: Vec<String>,
    /// Why nothing is served from here on, as more than records and indexes is damaged.
    pub unsound: Option<String>,
}

impl Examined {
    /// Whether nothing was found.
    ///
    /// ```
    /// assert!(driftless::Examined::default().is_sound());
    /// ```
    pub fn is_sound(&self) -> bool {
        *self == Self::default()
    }
}

/// What one look at everything found.
#[derive(Clone, Default)]
struct Look {
    bad: Vec<BadRow>,
    /// Models whose rows do not give the digest that is kept.
    differ: BTreeSet<ModelId>,
    faults: Vec<String>,
    /// Why it could not be read to the end.
    unreadable: Option<String>,
    /// Whether all rows were looked at, as not too many of them are bad.
    ended: bool,
}

impl Look {
    /// At the pages and all rows.
    fn at_rows(snapshot: &Snapshot) -> Result<Self, StoreError> {
        let faults = found(snapshot.check_pages(MAX_FAULTS))?;
        let mut look = Self { faults, ended: true, ..Self::default() };
        match snapshot.read_rows() {
            Ok(RowsRead { digests, bad, all: true }) => {
                // The digests of models of which rows are taken out are made anew then.
                let known = bad.iter().filter_map(|row| row.model).collect();
                look.differ = &differing(snapshot.digests(), &digests) - &known;
                look.bad = bad;
            }
            Ok(RowsRead { bad, .. }) => (look.bad, look.ended) = (bad, false),
            Err(error) => look.unreadable = Some(damage(error)?),
        }
        Ok(look)
    }

    /// At what indexes have, too.
    fn at_all(snapshot: &Snapshot) -> Result<Self, StoreError> {
        let look = Self::at_rows(snapshot)?;
        Ok(Self { faults: found(snapshot.check_structure(MAX_FAULTS))?, ..look })
    }

    fn is_clean(&self) -> bool {
        self.bad.is_empty()
            && self.differ.is_empty()
            && self.faults.is_empty()
            && self.unreadable.is_none()
    }
}

/// What is wrong with a file's structure. One that cannot be checked to its end is a finding, too.
fn found(checked: Result<Vec<String>, StoreError>) -> Result<Vec<String>, StoreError> {
    checked.or_else(|error| Ok(vec![damage(error)?]))
}

/// The words of an error that is damage; any other error goes on.
fn damage(error: StoreError) -> Result<String, StoreError> {
    match &error {
        StoreError::Damaged { source: Some(source), .. } => Ok(format!("{error}: {source}")),
        StoreError::Damaged { .. } => Ok(error.to_string()),
        _ => Err(error),
    }
}

/// The models of which two digests differ.
pub(crate) fn differing(kept: &Digests, made: &Digests) -> BTreeSet<ModelId> {
    let of = |digests: &Digests, id: &ModelId| digests.get(id).copied().unwrap_or_default();
    let ids = kept.keys().chain(made.keys());
    ids.filter(|id| of(kept, id) != of(made, id)).copied().collect()
}

impl Library {
    /// Reads everything: all rows are compared with their checksums, their sums with the digests that
    /// are kept, and SQLite checks the structure of the file. What is damaged is taken out and brought
    /// back from the other devices as they are met; indexes and digests are made anew.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let found = library.examine()?;
    /// for record in &found.damaged {
    ///     println!("{} {} was damaged", record.model, record.key);
    /// }
    /// assert!(found.damaged.is_empty());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn examine(&self) -> Result<Examined, Error> {
        let mut found = Examined::default();
        let mut models = BTreeSet::new();
        for looks in 0.. {
            let look = Look::at_rows(&self.snapshot()?)?;
            self.treat(&look, &mut found, &mut models)?;
            if look.ended || found.unsound.is_some() {
                break;
            }
            if looks == MOST_LOOKS {
                found.unsound = Some("every look at the rows finds more damage".to_owned());
            }
        }
        // What takes longest comes last: by then the rows are on their way back.
        if found.unsound.is_none() {
            let faults = crate::damage::found(self.snapshot()?.check_structure(MAX_FAULTS))?;
            self.treat(&Look { faults, ..Look::default() }, &mut found, &mut models)?;
        }
        found.models = models.iter().map(|id| self.schema().name_of(*id)).collect();
        found.models.sort();
        let unsound = found.unsound.clone();
        self.call(move |writer| writer.set_unsound(unsound))?;
        Ok(found)
    }

    /// Treats what a look found, and adds it to what all looks did.
    fn treat(
        &self,
        look: &Look,
        found: &mut Examined,
        models: &mut BTreeSet<ModelId>,
    ) -> Result<(), Error> {
        found.faults.extend(look.faults.iter().cloned());
        found.unsound.clone_from(&look.unreadable);
        if look.is_clean() || found.unsound.is_some() {
            return Ok(());
        }
        models.extend(look.differ.iter().copied());
        let treated = look.clone();
        match self.transact(move |writer| writer.treat(&treated)) {
            Ok(taken) => {
                models.extend(taken.iter().map(|taken| taken.model));
                found.damaged.extend(taken.iter().map(|taken| self.schema().damaged(taken)));
            }
            Err(Error::Store(error)) => found.unsound = Some(damage(error)?),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Forgets what was noted of records that no other device has.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// library.forget_given_up()?;
    /// assert!(library.status()?.damage.given_up.is_empty());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn forget_given_up(&self) -> Result<(), Error> {
        self.transact(|writer| {
            for (key, _) in writer.store.locals(GIVEN_UP)? {
                writer.store.delete_local(GIVEN_UP, &key)?;
            }
            Ok(())
        })
    }
}

/// How models are named to people.
trait Names {
    fn damaged(&self, taken: &Taken) -> DamagedRecord;
}

impl Names for driftless_core::schema::Schema {
    fn damaged(&self, taken: &Taken) -> DamagedRecord {
        let (model, key) = (self.name_of(taken.model), taken.key.to_string());
        DamagedRecord { model, key, owner: taken.of }
    }
}

/// When rows are looked at next, and what to do about damage that was met.
#[derive(Debug)]
pub(crate) struct Watchman {
    scrub_at: Instant,
    settle_at: Option<Instant>,
    /// Damage that broke a transaction.
    met: Option<String>,
    unsound: Option<String>,
}

impl Watchman {
    pub(crate) fn new() -> Self {
        let scrub_at = Instant::now() + SCRUB_AFTER;
        Self { scrub_at, settle_at: None, met: None, unsound: None }
    }

    /// Why nothing is served.
    pub(crate) fn unsound(&self) -> Option<&str> {
        self.unsound.as_deref()
    }

    /// A transaction was broken by this error.
    pub(crate) fn met(&mut self, error: &StoreError) {
        if let StoreError::Damaged { path, .. } = error {
            let log = path.file_name().is_some_and(|name| name == "sync.db");
            let cure =
                if log { "; end the daemon and move sync.db away, it is made anew" } else { "" };
            self.met = Some(format!("{error}{cure}"));
        }
    }

    /// How long rows need not be looked at.
    pub(crate) fn patience(&self) -> Duration {
        if self.unsound.is_some() {
            return SCRUB_LOOK;
        }
        self.scrub_at.saturating_duration_since(Instant::now())
    }
}

impl Writer {
    /// Takes out what a look found, within the open transaction; all of it, or nothing on an error.
    fn treat(&mut self, look: &Look) -> Result<Vec<Taken>, Error> {
        self.store.savepoint()?;
        match self.try_to_treat(look) {
            Ok(taken) => {
                self.store.release()?;
                if !taken.is_empty() {
                    self.take(Input::Damaged(taken.len() as u64), time::now());
                }
                Ok(taken)
            }
            Err(error) => {
                self.store.rollback_to()?;
                Err(error.into())
            }
        }
    }

    fn try_to_treat(&mut self, look: &Look) -> Result<Vec<Taken>, StoreError> {
        let taken = self.store.take_out(&look.bad)?;
        if !look.faults.is_empty() {
            self.store.reindex()?;
            self.store.check_structure()?;
        }
        if !look.differ.is_empty() {
            self.store.recount_digests()?;
        }
        for Taken { of, model, key } in &taken {
            let model = self.schema.name_of(*model);
            tracing::error!(model, %key, owner = ?of, "damaged: it is brought back from other devices");
        }
        Ok(taken)
    }

    /// More than records is damaged, or not any more.
    fn set_unsound(&mut self, unsound: Option<String>) {
        if let Some(words) = &unsound {
            self.record(Happened::new(EventKind::Unsound, words.clone()));
            tracing::error!(
                words,
                "the library is damaged in more than its records: nothing of it is given to other \
                 devices. What they have is safe. Restore a backup, or move the directory away and join \
                 the library anew"
            );
            self.forget_everybody(Cut::Damaged, "its library is damaged");
        }
        self.watchman.unsound = unsound;
        drop(self.pulse.send(()));
    }

    /// Acts on damage that a batch has met, and settles what nobody else has.
    pub(crate) fn tend_damage(&mut self) {
        let met = self.watchman.met.take();
        if met.is_some() || self.store.take_met_damage() {
            self.look_into(met);
        }
        self.settle_missing();
    }

    /// Looks at everything, here and now, since something was met. If nothing is found to which it could
    /// be due, it will be met again, so nothing more is done with others.
    fn look_into(&mut self, met: Option<String>) {
        let looked = self.store.snapshot().and_then(|snapshot| Look::at_all(&snapshot));
        match looked {
            Ok(look) if look.unreadable.is_some() => self.set_unsound(look.unreadable),
            Ok(look) if look.is_clean() && met.is_some() => self.set_unsound(met),
            Ok(look) if look.is_clean() => {}
            Ok(look) => self.treat_next(look),
            Err(error) => {
                tracing::error!(%error, "damage cannot be looked into");
                if met.is_some() {
                    self.set_unsound(met);
                }
            }
        }
    }

    /// Takes out what was found, in the next batch.
    fn treat_next(&mut self, look: Look) {
        self.follow_up("taking out what is damaged", move |writer| match writer.treat(&look) {
            Ok(_) => Ok(()),
            Err(Error::Store(error)) => {
                let words = damage(error)?;
                writer.set_unsound(Some(words));
                Ok(())
            }
            Err(error) => Err(error),
        });
    }

    /// What no other device has is kept as it can be read, or is gone.
    fn settle_missing(&mut self) {
        let now = Instant::now();
        let waits = self.watchman.settle_at.is_some_and(|at| at > now);
        if waits || self.store.missing().is_empty() || self.watchman.unsound.is_some() {
            return;
        }
        let lost = self.engine.unmendable(&self.store);
        if lost.is_empty() {
            return;
        }
        self.watchman.settle_at = Some(now + SETTLE_AGAIN);
        self.follow_up("settling what no other device has", move |writer| {
            for (of, place) in &lost {
                writer.settle(of.as_ref(), place)?;
            }
            writer.watchman.settle_at = None;
            Ok(())
        });
    }

    fn settle(&mut self, of: Option<&DeviceId>, place: &Place) -> Result<(), Error> {
        let (model, key) = place;
        let left = self.store.salvage(of, place)?;
        let kept = left != Salvage::Nothing;
        match (of, left) {
            (None, Salvage::Record(record)) => self.store.mend_record(*model, key, &record)?,
            (None, _) => self.store.mend_record(*model, key, &Record::default())?,
            (Some(_), Salvage::Fields(fields)) => {
                self.local(|tx| tx.put_row(*model, key, fields))?;
            }
            (Some(_), _) => self.local(|tx| tx.remove_row(*model, key))?,
        }
        let name = self.schema.name_of(*model);
        let words = match kept {
            true => {
                format!("{name} {key} is kept as it can still be read; look whether it is right")
            }
            false => format!("{name} {key} is lost"),
        };
        tracing::error!(words, "damaged, and no other device has it");
        self.record(Happened::new(EventKind::GivenUp, words.clone()));
        let noted = format!("{name} {key}");
        Ok(self.store.put_local(GIVEN_UP, noted.as_bytes(), words.as_bytes())?)
    }

    /// Looks at some rows, if it is time, and if a pass is under way or due.
    pub(crate) fn scrub_if_due(&mut self) {
        if self.watchman.patience() > Duration::ZERO {
            return;
        }
        let wait = match self.scrub_slice() {
            Ok(wait) => wait,
            Err(StoreError::Damaged { .. }) => {
                self.look_into(None);
                SCRUB_LOOK
            }
            Err(error) => {
                tracing::warn!(%error, "the rows cannot be looked at now");
                SCRUB_LOOK
            }
        };
        self.watchman.scrub_at = Instant::now() + wait;
    }

    fn scrub_slice(&mut self) -> Result<Duration, StoreError> {
        let now = time::now().wall_ms;
        if let Some((began, true)) = self.store.scrubbed()? {
            let due = began.saturating_add(SCRUB_EVERY_MS);
            // One that began in the future was begun under a wrong clock.
            if due > now && began <= now {
                return Ok(Duration::from_millis(due - now).min(SCRUB_LOOK));
            }
        }
        let found = self.store.scrub(now)?;
        if !found.bad.is_empty() {
            self.treat_next(Look { bad: found.bad, ..Look::default() });
        }
        Ok(SCRUB_PAUSE)
    }

    /// What is damaged here.
    pub(crate) fn damage(&self) -> Result<Damage, Error> {
        let missing = self.store.missing();
        let shared = missing.shared.iter().map(|place| (None, place));
        let owned = missing.owned.iter();
        let owned =
            owned.flat_map(|(device, rows)| rows.keys().map(|place| (Some(*device), place)));
        let named = shared.chain(owned).take(MAX_NAMED).map(|(owner, (model, key))| {
            DamagedRecord { model: self.schema.name_of(*model), key: key.to_string(), owner }
        });
        let given_up = self.store.locals(GIVEN_UP)?.into_iter();
        Ok(Damage {
            missing: named.collect(),
            count: missing.len() as u64,
            given_up: given_up.map(|(_, words)| String::from_utf8_lossy(&words).into()).collect(),
            unsound: self.watchman.unsound.clone(),
        })
    }
}
