//! What the room of a library's files is used for.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use driftless_store::Room;

use crate::error::Error;
use crate::library::Library;

/// For how long a measurement is good at least.
const FRESH: Duration = Duration::from_secs(5);
/// Of all the time, measuring takes at most this part.
const PART: u32 = 50;

/// The latest measurement.
#[derive(Debug, Default)]
pub(crate) struct Measured(Mutex<Option<(Room, Instant)>>);

impl Measured {
    /// The files have just become smaller: whoever asks next is told how small.
    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Library {
    /// What the room of the library's files is used for: the data, and what sync adds to it.
    ///
    /// Measuring visits every page of both files, on the caller's thread and beside all writing: about
    /// a third of a second for a million files. So what was found is told again for five seconds, and
    /// for fifty times as long as it took to find.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let room = library.room()?;
    /// println!("{} of {} bytes are what sync adds", room.sync(), room.total());
    /// assert!(room.rows > 0 && room.total() > room.sync());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn room(&self) -> Result<Room, Error> {
        // Whoever asks meanwhile waits for the same answer.
        let mut known = self.room.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((room, until)) = *known
            && Instant::now() < until
        {
            return Ok(room);
        }
        let begun = Instant::now();
        let room = Room::measure(self.dir())?;
        let took = begun.elapsed();
        *known = Some((room, Instant::now() + FRESH.max(took.saturating_mul(PART))));
        Ok(room)
    }
}
