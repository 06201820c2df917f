//! Who may change a location's entries: one at a time, and people before the keeper.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use driftless::Uuid;

use crate::error::CatalogError;
use crate::models::Location;
use crate::scan::Cancel;

/// How often somebody who waits looks whether he still wants to.
const LOOK: Duration = Duration::from_millis(50);

/// The locations that are being changed in this process; only one process has a library open.
static TURNS: Mutex<Turns> = Mutex::new(Turns { held: BTreeMap::new(), wanted: BTreeMap::new() });
static CHANGED: Condvar = Condvar::new();

struct Turns {
    /// By location; with what ends the work of a holder who lets others go first.
    held: BTreeMap<Uuid, Option<Cancel>>,
    /// How many people wait for a location.
    wanted: BTreeMap<Uuid, usize>,
}

/// The right to change a location's entries, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Uuid);

fn turns() -> MutexGuard<'static, Turns> {
    // Nothing in here can be left half done.
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait(turns: MutexGuard<'static, Turns>) -> MutexGuard<'static, Turns> {
    CHANGED.wait_timeout(turns, LOOK).unwrap_or_else(PoisonError::into_inner).0
}

impl Turn {
    /// For a person. The keeper is asked to let go, and waited for; another person's work is not.
    pub(crate) fn take(location: &Location, cancel: &Cancel) -> Result<Self, CatalogError> {
        let id = location.id;
        let mut turns = turns();
        *turns.wanted.entry(id).or_default() += 1;
        let taken = loop {
            match turns.held.get(&id) {
                None => break Ok(Self(id)),
                Some(None) => {
                    break Err(CatalogError::Busy { path: PathBuf::from(&location.path) });
                }
                Some(Some(theirs)) => theirs.cancel(),
            }
            if cancel.is_cancelled() {
                break Err(CatalogError::Cancelled);
            }
            turns = wait(turns);
        };
        if taken.is_ok() {
            turns.held.insert(id, None);
        }
        if let Some(count) = turns.wanted.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                turns.wanted.remove(&id);
            }
        }
        CHANGED.notify_all();
        taken
    }

    /// For the keeper, which waits for everybody. Its work has to end when `cancel` says so.
    pub(crate) fn wait(id: Uuid, cancel: &Cancel) -> Result<Self, CatalogError> {
        let mut turns = turns();
        while turns.held.contains_key(&id) || turns.wanted.contains_key(&id) {
            if cancel.is_cancelled() {
                return Err(CatalogError::Cancelled);
            }
            turns = wait(turns);
        }
        turns.held.insert(id, Some(cancel.clone()));
        Ok(Self(id))
    }

    /// Whether anybody in this process is changing a location's entries.
    pub(crate) fn is_taken(id: Uuid) -> bool {
        turns().held.contains_key(&id)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        turns().held.remove(&self.0);
        CHANGED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn location(byte: u8) -> Location {
        Location::new(Uuid::from_bytes([byte; 16]), Path::new("/x"))
    }

    #[test]
    fn one_person_at_a_time() {
        let (location, never) = (location(9), Cancel::default());
        let first = Turn::take(&location, &never).unwrap();
        assert!(matches!(Turn::take(&location, &never), Err(CatalogError::Busy { .. })));
        assert!(Turn::is_taken(location.id));
        drop(first);
        drop(Turn::take(&location, &never).unwrap());
        assert!(!Turn::is_taken(location.id));
    }

    #[test]
    fn the_keeper_lets_people_go_first_and_waits_for_them() {
        let (location, never) = (location(8), Cancel::default());
        let work = Cancel::default();
        let keeping = Turn::wait(location.id, &work).unwrap();
        std::thread::scope(|scope| {
            let person = scope.spawn(|| Turn::take(&location, &never).unwrap());
            while !work.is_cancelled() {
                std::thread::yield_now();
            }
            // Somebody waits, so the keeper gets no second turn before him.
            let again = scope.spawn(|| Turn::wait(location.id, &never).unwrap());
            drop(keeping);
            let person = person.join().unwrap();
            assert!(matches!(Turn::wait(location.id, &work), Err(CatalogError::Cancelled)));
            drop(person);
            drop(again.join().unwrap());
        });
    }
}
