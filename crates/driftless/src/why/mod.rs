//! Why something is not everywhere: where a record's last change is, who lacks it, for which reason,
//! and what happens next.

mod delivery;
mod needs;

use driftless_core::clock::Hlc;
use driftless_core::id::{DeviceId, Dot, RecordKey};
use driftless_core::schema::ModelId;
use driftless_store::Reason;

use crate::device::Device;
use crate::error::Error;
use crate::library::Library;
use crate::quarantine::Waiting;
use crate::reader;

/// How a record is on this device.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// use driftless::RecordHere;
///
/// let todo = (Todo::descriptor().id, Uuid::from_u128(7).into());
/// assert_eq!(library.why(&[todo])?.records[0].here, RecordHere::Unknown);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordHere {
    /// It is here and shows.
    Shows,
    /// It is here and cannot show, or a field of it cannot.
    Quarantined {
        /// The field's name; `None` for the whole record.
        field: Option<String>,
        /// Why.
        reason: Reason,
    },
    /// It was damaged on this device, and comes back from another one.
    Damaged,
    /// It was deleted.
    Deleted,
    /// Nothing is known of it here.
    Unknown,
}

/// A record that is asked about.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// library.write(|tx| tx.put(&Reading { id: Uuid::from_u128(7), value: 20 }))?;
/// let why = library.why(&[(Reading::descriptor().id, Uuid::from_u128(7).into())])?;
/// assert_eq!(why.records[0].model, "reading");
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WhyRecord {
    /// Its model's name.
    pub model: String,
    /// Its key.
    pub key: RecordKey,
    /// What it is called, if its model has names.
    pub name: Option<String>,
    /// How it is on this device.
    pub here: RecordHere,
}

/// The last change of what is asked about.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let id = library.write(|tx| {
///     let id = tx.new_id();
///     tx.insert(&Todo { id, title: "Water".into(), done: false })?;
///     Ok::<_, driftless::Error>(id)
/// })?;
/// let change = library.why(&[(Todo::descriptor().id, id.into())])?.change.unwrap();
/// assert_eq!((change.device, change.logged), (library.device_id(), true));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastChange {
    /// The change set.
    pub dot: Dot,
    /// Who wrote it.
    pub device: DeviceId,
    /// That device's name, as far as it is known here.
    pub device_name: Option<String>,
    /// When, by the clock of who wrote it; nothing is known of device-owned rows.
    pub hlc: Option<Hlc>,
    /// Whether the change set itself is in the log here: else everybody who counts has it, or it came
    /// as a state and not as a change set.
    pub logged: bool,
}

/// Why a device lacks something, or may lack something.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// use driftless::WhyNot;
///
/// laptop.pause(Some(phone.device_id()))?;
/// let id = Uuid::from_u128(7);
/// laptop.write(move |tx| tx.put(&Reading { id, value: 20 }))?;
/// let why = laptop.why(&[(Reading::descriptor().id, id.into())])?;
/// assert_eq!(why.devices[1].why_not, [WhyNot::PausedHere]);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum WhyNot {
    /// Sync is off on this device.
    SyncOff,
    /// It does not answer: it is off, asleep, or elsewhere.
    Offline {
        /// When it was heard last, Unix milliseconds.
        last_seen_ms: Option<u64>,
        /// What came of the last attempt.
        failure: Option<String>,
    },
    /// It has never been met by this device.
    NeverMet {
        /// What came of the last attempt.
        failure: Option<String>,
    },
    /// No link is kept with it: it hears by way of others.
    NoNeighbour,
    /// Links with it are paused on this device.
    PausedHere,
    /// It has paused its links.
    PausedThere,
    /// It was taken out of those that are waited for.
    Evicted,
    /// It speaks another version of the protocol.
    OtherVersion,
    /// It does not know this device as a member.
    NotMemberThere,
    /// It speaks for another library.
    OtherLibrary,
    /// This device's files cannot be written.
    UnwritableHere {
        /// Whether it is for want of room.
        full: bool,
    },
    /// Its files cannot be written.
    UnwritableThere,
    /// The library is damaged here: nothing of it is given to others.
    DamagedHere,
    /// Its library is damaged.
    DamagedThere,
    /// Two copies of its data are in use.
    Twin,
    /// It has not said yet that it has it.
    InFlight {
        /// When it was sent, Unix milliseconds, if this process sent it.
        sent_ms: Option<u64>,
        /// How many change sets of this device it has not acknowledged.
        behind: u64,
    },
    /// Much waits to be sent to it.
    SlowLink {
        /// Bytes that wait.
        queued: u64,
        /// The round trip in milliseconds.
        rtt_ms: Option<f64>,
        /// How many change sets of this device it has not acknowledged.
        behind: u64,
    },
    /// What it waits for is not here either.
    NotHere,
}

/// What happens next.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// use driftless::NextStep;
///
/// laptop.stop_sync();
/// let id = Uuid::from_u128(7);
/// laptop.write(move |tx| tx.put(&Reading { id, value: 20 }))?;
/// let why = laptop.why(&[(Reading::descriptor().id, id.into())])?;
/// assert_eq!(why.devices[1].next, Some(NextStep::WhenSyncIsOn));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NextStep {
    /// It is on its way.
    OnItsWay,
    /// It is dialled again in so many milliseconds, and gets everything as soon as it answers.
    DialIn {
        /// Milliseconds.
        ms: u64,
    },
    /// It gets everything as soon as it dials this device.
    WhenItComes,
    /// It gets everything as soon as sync is on.
    WhenSyncIsOn,
    /// Somebody has to do something first.
    ByHand,
}

/// Where the last change is, with respect to one device.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// let id = Uuid::from_u128(7);
/// laptop.write(move |tx| tx.put(&Reading { id, value: 20 }))?;
/// laptop.wait(std::time::Duration::from_secs(60), false)?;
/// let why = laptop.why(&[(Reading::descriptor().id, id.into())])?;
/// assert!(why.devices.iter().all(|device| device.has));
/// # assert_eq!(why.devices[1].device, phone.device_id());
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery {
    /// The device.
    pub device: DeviceId,
    /// Its name.
    pub name: String,
    /// Whether it is this device.
    pub here: bool,
    /// Whether it is known to have the last change, durably.
    pub has: bool,
    /// When it was sent the change, if this process sent it.
    pub sent_ms: Option<u64>,
    /// When it acknowledged it, if that was to this process.
    pub acknowledged_ms: Option<u64>,
    /// Of when the last acknowledgement is, whatever it was of.
    pub heard_ms: Option<u64>,
    /// How many change sets of this device it has not acknowledged.
    pub behind: u64,
    /// How many change sets it has that are not here: one of them may be about what is asked.
    pub ahead: u64,
    /// How far its clock is off, in milliseconds, if that is further than is followed.
    pub clock_off_ms: Option<i64>,
    /// Why it lacks the change; what has to be seen to first comes last.
    pub why_not: Vec<WhyNot>,
    /// Why there is no link with it, whatever it has; `None` while it is connected.
    pub unlinked: Option<WhyNot>,
    /// What happens next, if it lacks the change or is not connected.
    pub next: Option<NextStep>,
}

/// A change set that has come here and waits for what it builds on.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// for set in library.why(&[])?.waiting {
///     println!("{} waits for {:?}", set.dot, set.lacks);
/// }
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaitingSet {
    /// The change set.
    pub dot: Dot,
    /// Who sent it.
    pub from: DeviceId,
    /// What is not here yet.
    pub lacks: Vec<Dot>,
}

/// The answer to the question where something is, and why it is not everywhere.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// phone.stop_sync();
/// let id = laptop.write(|tx| {
///     let id = tx.new_id();
///     tx.insert(&Todo { id, title: "Water".into(), done: false })?;
///     Ok::<_, driftless::Error>(id)
/// })?;
/// let why = laptop.why(&[(Todo::descriptor().id, id.into())])?;
/// for device in why.devices.iter().filter(|device| !device.has) {
///     println!("{} lacks it: {:?}; next: {:?}", device.name, device.why_not, device.next);
/// }
/// # assert!(why.devices[0].has && !why.devices[1].has);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Why {
    /// What is asked about.
    pub records: Vec<WhyRecord>,
    /// The last change of any of it, as far as it is known here.
    pub change: Option<LastChange>,
    /// All devices: this one first.
    pub devices: Vec<Delivery>,
    /// Change sets about it that have come and wait for what they build on.
    pub waiting: Vec<WaitingSet>,
}

/// Change sets that wait and are told of.
const WAITING: usize = 20;
/// Records that may be asked about at once.
const MOST_RECORDS: usize = 10_000;
/// Of what waits in quarantine so much is looked at.
const MOST_WAITING: usize = 10_000;

impl Library {
    /// Where the last change of these records is: which devices have it, which lack it and why, and
    /// what happens next. Of several records it is about all of them together. Without any it is about
    /// everything that this device has.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// let id = Uuid::from_u128(7);
    /// laptop.write(move |tx| tx.put(&Reading { id, value: 20 }))?;
    /// let why = laptop.why(&[(Reading::descriptor().id, id.into())])?;
    /// assert_eq!(why.devices[0].device, laptop.device_id());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn why(&self, records: &[(ModelId, RecordKey)]) -> Result<Why, Error> {
        let records = &records[..records.len().min(MOST_RECORDS)];
        let damaged = self.call(|writer| writer.missing_places())?;
        let (mut known, needs) = needs::of(&self.past()?, records, &damaged)?;
        self.look_into_quarantine(&mut known)?;
        let needed = needs.clone();
        let about = records.iter().cloned().collect();
        let members = self.members()?;
        let lacking = known
            .iter()
            .any(|record| matches!(record.here, RecordHere::Damaged | RecordHere::Unknown));
        let (devices, waits) = self.call(move |writer| {
            let devices = writer.deliveries(members, &needed, lacking);
            (devices, writer.engine.waits(&writer.store, &about, WAITING))
        })?;
        let waiting = waits.into_iter();
        let waiting =
            waiting.map(|set| WaitingSet { dot: set.dot, from: set.from, lacks: set.lacks });
        let change = needs.last.map(|(dot, hlc, logged)| self.last_change(dot, hlc, logged));
        Ok(Why { records: known, change: change.transpose()?, devices, waiting: waiting.collect() })
    }

    /// What is here may wait in quarantine.
    fn look_into_quarantine(&self, known: &mut [WhyRecord]) -> Result<(), Error> {
        if known.is_empty() || self.quarantined()? == 0 {
            return Ok(());
        }
        for waiting in self.quarantine(MOST_WAITING)? {
            let Waiting { model, key, field, reason, .. } = waiting;
            let same = |record: &&mut WhyRecord| (&record.model, &record.key) == (&model, &key);
            if let Some(record) = known.iter_mut().find(same) {
                record.here = RecordHere::Quarantined { field, reason };
            }
        }
        Ok(())
    }

    fn last_change(&self, dot: Dot, hlc: Option<Hlc>, logged: bool) -> Result<LastChange, Error> {
        let device = dot.origin.device;
        let row: Option<Device> = self.query(|db| reader::get(db, Device::row_id(&device)))??;
        Ok(LastChange { dot, device, device_name: row.map(|row| row.name), hlc, logged })
    }
}
