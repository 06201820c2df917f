//! Three devices in a row: the first and the third have no link, so that all goes through the second.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use driftless::core::engine::WriteError;
use driftless::{Error, Library, RecordKey, StoreError, SyncOptions, Syncable, WriteTx, join};
use driftless_catalog::{Catalog, models};
use tempfile::TempDir;

/// How long anything may take that should be quick.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// The devices.
pub(crate) struct Three {
    pub(crate) first: Library,
    pub(crate) second: Library,
    pub(crate) third: Library,
    _place: TempDir,
}

fn loopback() -> SyncOptions {
    SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true }
}

pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Waits until a device holds the very same as another.
fn same(one: &Library, other: &Library) {
    until("both hold the same", || one.digests().unwrap() == other.digests().unwrap());
}

impl Three {
    pub(crate) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let dir = |name: &str| place.path().join(name);
        let joined = |inviter: &Library, name: &str| {
            let ticket = inviter.invite(60_000).unwrap();
            join(&dir(name), &models(), &ticket, name, &loopback(), |_, _| true).unwrap()
        };
        let first = Library::create(&dir("first"), &models(), "Home", "first").unwrap();
        first.sync(loopback()).unwrap();
        let second = joined(&first, "second");
        second.sync(loopback()).unwrap();
        let third = joined(&second, "third");
        first.pause(Some(third.device_id())).unwrap();
        let three = Self { first, second, third, _place: place };
        three.third_up();
        three.settle();
        three
    }

    /// Turns the third's network on, but for the link to the first.
    fn third_up(&self) {
        self.third.sync(loopback()).unwrap();
        self.third.pause(Some(self.first.device_id())).unwrap();
    }

    fn first_up(&self) {
        self.first.sync(loopback()).unwrap();
        self.first.pause(Some(self.third.device_id())).unwrap();
    }

    pub(crate) fn all(&self) -> [&Library; 3] {
        [&self.first, &self.second, &self.third]
    }

    /// Waits until all hold the same.
    pub(crate) fn settle(&self) {
        until("all hold the same", || {
            let [first, second, third] = self.all().map(|library| library.digests().unwrap());
            first == second && second == third
        });
    }

    /// The first writes while all are there.
    pub(crate) fn live<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut WriteTx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> T {
        let made = self.first.write(write).unwrap();
        self.settle();
        made
    }

    /// The first writes while the third is away, and is away itself when that comes back.
    pub(crate) fn relayed<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut WriteTx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> T {
        self.third.stop_sync();
        let made = self.first.write(write).unwrap();
        same(&self.first, &self.second);
        self.first.stop_sync();
        self.third_up();
        same(&self.second, &self.third);
        self.first_up();
        until("the first is back", || {
            let peers = self.second.status().unwrap().peers;
            peers.iter().all(|peer| peer.online)
        });
        made
    }

    /// The third writes, and it comes to the first by the second.
    pub(crate) fn by_the_third<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut WriteTx<'_>) -> Result<T, Error> + Send + 'static,
    ) -> T {
        let made = self.third.write(write).unwrap();
        self.settle();
        made
    }

    /// Every device has this record, and it is this.
    pub(crate) fn all_have<T: Syncable + PartialEq + Debug>(&self, record: &T) {
        for library in self.all() {
            assert_eq!(library.get::<T>(record.key()).unwrap().as_ref(), Some(record));
        }
    }

    /// No device has this record.
    pub(crate) fn none_has<T: Syncable + PartialEq + Debug>(&self, key: impl Into<RecordKey>) {
        let key = key.into();
        for library in self.all() {
            assert_eq!(library.get::<T>(key.clone()).unwrap(), None);
        }
    }

    /// A row of the first is its alone: what others try is refused, and leaves nothing behind.
    pub(crate) fn is_the_first_s_alone<T>(&self, row: &T)
    where
        T: Syncable + Clone + Send + PartialEq + Debug + 'static,
    {
        let before = self.first.digests().unwrap();
        for library in [&self.second, &self.third] {
            let (own, key) = (row.clone(), row.key());
            let put = library.write(move |tx| tx.put(&own));
            assert!(matches!(put, Err(Error::Store(StoreError::NotOwner { .. }))), "{put:?}");
            let gone = key.clone();
            let dropped = library.write(move |tx| tx.drop_row::<T>(gone));
            assert!(
                matches!(dropped, Err(Error::Store(StoreError::NotOwner { .. }))),
                "{dropped:?}"
            );
            let changed = library.write(move |tx| tx.update(key, |_: &mut T| {}));
            let kind = matches!(&changed, Err(Error::Write(WriteError::Kind { .. })));
            assert!(kind, "{changed:?}");
            assert_eq!(library.digests().unwrap(), before);
        }
        self.all_have(row);
    }

    /// All hold the same, by their own account and by each other's; and the first and the third have
    /// never met.
    pub(crate) fn end(self) {
        self.settle();
        for library in self.all() {
            assert_eq!(library.verify_rows().unwrap(), [""; 0]);
            let status = library.status().unwrap();
            assert_eq!((status.quarantined, status.conflicts), (0, 0));
        }
        let third = self.third.status().unwrap();
        let first = self.first.device_id();
        let link = third.peers.iter().find(|peer| peer.member.device == first).unwrap();
        assert!(!link.online && link.traffic == (0, 0), "{link:?}");
    }
}

/// What a device's catalogue says.
pub(crate) fn catalog(library: &Library) -> Catalog<'_> {
    Catalog::new(library)
}
