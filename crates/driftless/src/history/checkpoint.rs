//! Checkpoints: places in this device's past to which it can be undone.

use driftless_core::codec::{CodecError, Reader, Writer};
use driftless_core::store::Store as _;
use driftless_core::version::Vector;
use driftless_store::SqliteStore;

use crate::error::Error;
use crate::library::Library;
use crate::time;

const SPACE: &str = "checkpoint";
/// How many are kept; then the oldest goes.
const KEPT: usize = 100;
/// Bytes of what is said about one.
const MAX_WHAT: usize = 1_024;

/// A place in this device's past, taken before something large.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let first = library.checkpoint("before the cleaning")?;
/// assert_eq!((first.name.as_str(), first.what.as_str()), ("c1", "before the cleaning"));
/// assert_eq!(library.checkpoint("before the painting")?.name, "c2");
/// assert_eq!(library.checkpoints()?[0], first);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Its name: `c1`, `c2` and so on.
    pub name: String,
    /// When it was taken, Unix milliseconds.
    pub made_ms: u64,
    /// Before what.
    pub what: String,
    /// What was there.
    pub vector: Vector,
}

/// ```text
/// key   = number:u64, big endian     value = version:u8=1  made:u64  what:bytes  vector
/// ```
fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    let mut w = Writer::new();
    w.u8(1);
    w.u64_le(checkpoint.made_ms);
    w.bytes(checkpoint.what.as_bytes());
    checkpoint.vector.encode(&mut w);
    w.into_bytes()
}

fn decode(number: u64, bytes: &[u8]) -> Result<Checkpoint, CodecError> {
    let mut r = Reader::new(bytes);
    match r.u8("a checkpoint's version")? {
        1 => {}
        n => return Err(CodecError::Invalid { what: "a checkpoint's version", found: n.into() }),
    }
    let made_ms = r.u64_le("a checkpoint's time")?;
    let what = r.bytes(MAX_WHAT, "a checkpoint's reason")?;
    let what = String::from_utf8_lossy(what).into_owned();
    let vector = Vector::decode(&mut r)?;
    Ok(Checkpoint { name: format!("c{number}"), made_ms, what, vector })
}

fn all(store: &SqliteStore) -> Result<Vec<(u64, Checkpoint)>, Error> {
    let mut found = Vec::new();
    for (key, value) in store.locals(SPACE)? {
        let Ok(number) = key.try_into().map(u64::from_be_bytes) else {
            return Err(Error::Checkpoint(CodecError::Invalid {
                what: "a checkpoint's number",
                found: 0,
            }));
        };
        found.push((number, decode(number, &value).map_err(Error::Checkpoint)?));
    }
    Ok(found)
}

impl Library {
    /// Takes a checkpoint: [`Library::undo_to`] goes back to it. `what` says before what it is taken.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let checkpoint = library.checkpoint("before the cleaning")?;
    /// library.write(|tx| tx.link(&Star { id: Uuid::from_u128(7), todo: Uuid::nil() }))?;
    /// let undone = library.undo_to(&checkpoint, false, false)?;
    /// assert_eq!(undone.plan.steps.len(), 1);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn checkpoint(&self, what: &str) -> Result<Checkpoint, Error> {
        let end = what.floor_char_boundary(MAX_WHAT);
        let what = what[..end].to_owned();
        self.transact(move |writer| {
            let known = all(&writer.store)?;
            let number = known.last().map_or(1, |(last, _)| last + 1);
            let checkpoint = Checkpoint {
                name: format!("c{number}"),
                made_ms: time::wall_ms(),
                what,
                vector: writer.store.vector().clone(),
            };
            let surplus = (known.len() + 1).saturating_sub(KEPT);
            for (number, _) in &known[..surplus] {
                writer.store.delete_local(SPACE, &number.to_be_bytes())?;
            }
            writer.store.put_local(SPACE, &number.to_be_bytes(), &encode(&checkpoint))?;
            Ok(checkpoint)
        })
    }

    /// The checkpoints of this device, the oldest first.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert_eq!(library.checkpoints()?, []);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, Error> {
        let all = self.call(|writer| all(&writer.store))??;
        Ok(all.into_iter().map(|(_, checkpoint)| checkpoint).collect())
    }
}
