//! Members that are not waited for any more, and what everybody has and need not be kept.

use std::sync::mpsc::{SyncSender, sync_channel};

use driftless_core::engine::{Engine, Event, Input};
use driftless_core::id::DeviceId;

use crate::device::Device;
use crate::error::Error;
use crate::library::Library;
use crate::time;
use crate::wait::Watch;
use crate::writer::Writer;

/// What pruning came to.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let library = home()?;
/// let pruned = library.prune()?;
/// println!("{} change sets and {} tombstones are gone", pruned.sets, pruned.tombstones);
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pruned {
    /// Change sets that every member that counts has: they left the log.
    pub sets: u64,
    /// Tombstones of device-owned rows that went.
    pub tombstones: u64,
}

impl Library {
    /// No longer waits for a device: nothing is kept for it, and it does not count where all devices
    /// are meant. It stays a member. When it comes back it counts again, and loses nothing: it
    /// compares what it has with what the others have.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// phone.stop_sync();
    /// laptop.evict(phone.device_id())?;
    /// let evicted = laptop.members()?.into_iter().find(|member| member.evicted);
    /// assert_eq!(evicted.map(|member| member.device), Some(phone.device_id()));
    /// // Nobody else is there, so nobody is waited for.
    /// assert!(laptop.wait(std::time::Duration::from_secs(60), false)?.is_empty());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn evict(&self, device: DeviceId) -> Result<(), Error> {
        if device == self.device_id() {
            return Err(Error::EvictSelf);
        }
        let member = self.members()?.into_iter().find(|member| member.device == device);
        if member.ok_or(Error::NoMember(device))?.evicted {
            return Ok(());
        }
        let id = Device::row_id(&device);
        self.write(move |tx| tx.update(id, |row: &mut Device| row.evicted = Some(true)))
    }

    /// Forgets change sets and tombstones that every member has that counts: all but those that were
    /// evicted, or silent for longer than the retention. Returns when the files are as small as they
    /// can be. The library does so by itself from time to time, and then gives room back at leisure.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// // Nobody else needs to have it.
    /// assert!(library.prune()?.sets > 0);
    /// assert_eq!(library.prune()?, driftless::Pruned::default());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn prune(&self) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        loop {
            let more = self.prune_once()?;
            pruned.sets += more.sets;
            pruned.tombstones += more.tombstones;
            // Of very many tombstones a part is forgotten at a time.
            if more.tombstones == 0 {
                self.room.forget();
                return Ok(pruned);
            }
        }
    }

    fn prune_once(&self) -> Result<Pruned, Error> {
        let (reply, result) = sync_channel(1);
        self.transact(move |writer| {
            writer.take(Input::Prune, time::now());
            writer.watches.push(Box::new(Pruning {
                pruned: Pruned::default(),
                begun: false,
                reply,
            }));
            Ok::<_, Error>(())
        })?;
        result.recv().map_err(|_| Error::Closed)
    }
}

/// Hears what the batch pruned in which it was begun, and sees to it that the room is given back.
struct Pruning {
    pruned: Pruned,
    begun: bool,
    reply: SyncSender<Pruned>,
}

impl Watch for Pruning {
    fn on_event(&mut self, event: &Event, _engine: &Engine) {
        if let Event::Pruned { sets, tombstones } = event {
            self.pruned.sets += sets;
            self.pruned.tombstones += tombstones;
        }
    }

    fn poll(&mut self, writer: &mut Writer) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            writer.make_room();
        }
        // A slice at a time: others have their turn in between.
        if writer.sweep() {
            return false;
        }
        if self.reply.send(self.pruned).is_err() {
            tracing::debug!("whoever had this pruned has gone away");
        }
        true
    }

    fn deadline(&self) -> u64 {
        0
    }

    fn give_up(&mut self) {}

    fn awaited(&self) -> Vec<DeviceId> {
        Vec::new()
    }
}

impl Writer {
    /// Tells the engine without whom nothing is pruned, and says that this device counts if others
    /// have said that it does not.
    pub(crate) fn refresh_members(&mut self) {
        let members = match self.members() {
            Ok(members) => members,
            Err(error) => return tracing::error!(%error, "the devices cannot be read"),
        };
        let counting = members.iter().filter(|member| !member.evicted && !member.here);
        let counting = counting.map(|member| (member.device, member.issued_ms)).collect();
        let evicted =
            members.iter().filter(|member| member.evicted).map(|member| member.device).collect();
        let before = std::mem::replace(&mut self.evicted, evicted);
        self.tell_evicted(&before);
        self.take(Input::Members(counting), time::now());
        if members.iter().any(|member| member.here && member.evicted) {
            self.count_again();
        }
    }

    fn count_again(&mut self) {
        tracing::warn!(
            "this device had been evicted: the others no longer waited for it. It is back, and counts \
             again; what it has written meanwhile goes to them as ever"
        );
        self.follow_up("saying that this device counts again", |writer| {
            let id = Device::row_id(&writer.store.identity().device);
            writer.local(|tx| {
                let row: Option<Device> = tx.get(id)?;
                if row.is_some_and(|row| row.evicted == Some(true)) {
                    tx.update(id, |row: &mut Device| row.evicted = None)?;
                }
                Ok(())
            })
        });
    }

    /// Whether a member is not waited for.
    pub(crate) fn is_evicted(&self, device: &DeviceId) -> bool {
        self.evicted.contains(device)
    }
}
