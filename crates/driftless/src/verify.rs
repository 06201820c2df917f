//! Comparing digests with peers.

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use driftless_core::engine::{Engine, Event, Input};
use driftless_core::id::DeviceId;
use driftless_core::schema::ModelId;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::damage::differing;
use crate::error::Error;
use crate::library::Library;
use crate::time;
use crate::wait::Watch;
use crate::writer::Writer;

/// What comparing with a peer came to.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// use driftless::Comparison;
///
/// let compared = laptop.verify(std::time::Duration::from_secs(60))?;
/// assert_eq!(compared, [(phone.device_id(), Comparison::Equal)]);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// The same data.
    Equal,
    /// At equal vectors these models differ, which must never be.
    Differ(Vec<String>),
    /// The states are not equal yet: somebody still has to catch up.
    NotYet,
    /// It did not answer in time.
    NoAnswer,
}

/// What SQLite says of one of the library's files.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// for file in library.verify_files()?.iter().filter(|file| !file.is_sound()) {
///     println!("{} is damaged: {}", file.name, file.faults.join("; "));
/// }
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileCheck {
    /// The file's name in the library's directory.
    pub name: &'static str,
    /// What does not hold together, in SQLite's words; a few of them at most.
    pub faults: Vec<String>,
}

impl FileCheck {
    /// Whether nothing was found.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert!(library.verify_files()?.iter().all(|file| file.is_sound()));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Faults of a file that are named.
const MAX_FAULTS: usize = 10;

/// How often peers that were not there yet are asked again.
const ASK_AGAIN_MS: u64 = 100;

struct Verify {
    answers: BTreeMap<DeviceId, Answer>,
    /// When to ask those again who were not there yet.
    again_at: u64,
    deadline: u64,
    reply: Option<SyncSender<BTreeMap<DeviceId, Answer>>>,
}

#[derive(Clone)]
enum Answer {
    None,
    NotYet,
    Compared(Vec<ModelId>),
}

impl Library {
    /// Compares the digests that are kept with those of every connected peer. Peers that still have
    /// to catch up are given until `patience` is over.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// use driftless::Comparison;
    ///
    /// for (device, found) in laptop.verify(std::time::Duration::from_secs(60))? {
    ///     assert_eq!(found, Comparison::Equal, "{device} differs");
    /// }
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn verify(&self, patience: Duration) -> Result<Vec<(DeviceId, Comparison)>, Error> {
        let (reply, result) = sync_channel(1);
        self.transact(move |writer| {
            writer.begin_verify(patience, reply);
            Ok::<_, Error>(())
        })?;
        let answers = result.recv().map_err(|_| Error::Closed)?;
        let told = |answer| match answer {
            Answer::None => Comparison::NoAnswer,
            Answer::NotYet => Comparison::NotYet,
            Answer::Compared(differ) if differ.is_empty() => Comparison::Equal,
            Answer::Compared(differ) => {
                Comparison::Differ(differ.iter().map(|id| self.schema().name_of(*id)).collect())
            }
        };
        Ok(answers.into_iter().map(|(device, answer)| (device, told(answer))).collect())
    }

    /// Recomputes all digests from the rows and compares them with those that are kept. Returns the
    /// models that differ: their rows were damaged or changed by other hands.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert!(library.verify_rows()?.is_empty());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn verify_rows(&self) -> Result<Vec<String>, Error> {
        let snapshot = self.snapshot()?;
        let read = snapshot.read_rows()?;
        let mut differ = differing(snapshot.digests(), &read.digests);
        differ.extend(read.bad.iter().filter_map(|row| row.model));
        Ok(differ.iter().map(|id| self.schema().name_of(*id)).collect())
    }
}

impl Library {
    /// Has SQLite read the library's files and say whether they hold together. It takes as long as
    /// reading them does, and nobody waits for it.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let checked = library.verify_files()?;
    /// let names: Vec<&str> = checked.iter().map(|file| file.name).collect();
    /// assert_eq!(names, ["library.db", "sync.db"]);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn verify_files(&self) -> Result<Vec<FileCheck>, Error> {
        let truth = self.query(faults)?;
        let path = self.dir().join("sync.db");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let log = Connection::open_with_flags(&path, flags).and_then(|db| faults(&db));
        [("library.db", truth), ("sync.db", log)]
            .into_iter()
            .map(|(name, faults)| Ok(FileCheck { name, faults: faults? }))
            .collect()
    }
}

/// What SQLite finds wrong in a file. One that it cannot read to the end is a finding as well.
fn faults(db: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let look = || {
        let mut check = db.prepare(&format!("PRAGMA quick_check({MAX_FAULTS})"))?;
        let words = check.query_map([], |row| row.get::<_, String>(0))?;
        words.collect::<Result<Vec<_>, _>>()
    };
    match look() {
        Ok(words) => Ok(words.into_iter().filter(|word| word != "ok").collect()),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Ok(vec![error.to_string()])
            }
            _ => Err(error),
        },
    }
}

impl Writer {
    fn begin_verify(&mut self, patience: Duration, reply: SyncSender<BTreeMap<DeviceId, Answer>>) {
        let now = time::now();
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let here = self.store.identity().device;
        let members = self.roster.certificates().map(|certificate| certificate.device);
        let peers: Vec<DeviceId> =
            members.filter(|device| *device != here && self.engine.is_ready(device)).collect();
        for peer in &peers {
            self.take(Input::Verify(*peer), now);
        }
        self.watches.push(Box::new(Verify {
            answers: peers.into_iter().map(|peer| (peer, Answer::None)).collect(),
            again_at: now.steady_ms.saturating_add(ASK_AGAIN_MS),
            deadline: now.steady_ms.saturating_add(patience),
            reply: Some(reply),
        }));
    }
}

impl Watch for Verify {
    fn on_event(&mut self, event: &Event, _engine: &Engine) {
        let (peer, answer) = match event {
            Event::Compared { peer, differ } => (peer, Answer::Compared(differ.clone())),
            Event::NotComparable { peer } => (peer, Answer::NotYet),
            _ => return,
        };
        if let Some(kept) = self.answers.get_mut(peer) {
            *kept = answer;
        }
    }

    fn poll(&mut self, writer: &mut Writer) -> bool {
        let now = time::now();
        let all = self.answers.values().all(|answer| matches!(answer, Answer::Compared(_)));
        if !all && now.steady_ms < self.deadline {
            if now.steady_ms >= self.again_at {
                self.again_at = now.steady_ms.saturating_add(ASK_AGAIN_MS);
                self.ask_again(writer);
            }
            return false;
        }
        if let Some(reply) = self.reply.take() {
            // An asker who has gone away needs no answer.
            drop(reply.send(self.answers.clone()));
        }
        true
    }

    fn deadline(&self) -> u64 {
        self.deadline.min(self.again_at)
    }

    fn give_up(&mut self) {
        self.deadline = 0;
    }

    fn awaited(&self) -> Vec<DeviceId> {
        // It asks those who are connected when it begins.
        Vec::new()
    }
}

impl Verify {
    fn ask_again(&self, writer: &mut Writer) {
        let waiting = self.answers.iter().filter(|(_, answer)| matches!(answer, Answer::NotYet));
        for peer in waiting.map(|(peer, _)| *peer) {
            writer.later(move |writer| writer.take(Input::Verify(peer), time::now()));
        }
    }
}
