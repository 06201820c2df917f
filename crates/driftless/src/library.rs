//! A library as its users hold it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use driftless_core::engine::{Config, Engine, Identity, Input};
use driftless_core::id::{DeviceId, LibraryId};
use driftless_core::ids::IdSource;
use driftless_core::schema::Schema;
use driftless_store::{DirLock, SqliteStore};
use ed25519_dalek::SigningKey;
use rusqlite::Connection;
use tokio::sync::broadcast;

use crate::error::Error;
use crate::event_log::{SyncEvent, Told};
use crate::events::{Change, StandingStream, Subscription};
use crate::guard::{self, Guard};
use crate::members::{self, Member, MemberSet};
use crate::models::Models;
use crate::pace::Standing;
use crate::room::Measured;
use crate::settings::{self, Setting};
use crate::sync::Running;
use crate::tx::WriteTx;
use crate::writer::{Command, Parts, Reply, Writer};
use crate::{key, random, time};

/// Changes that a subscriber may be behind before it is told that it missed some.
const CHANGES_KEPT: usize = 1_024;
/// Phases that a subscriber may be behind before it is told of later ones only.
const STANDINGS_KEPT: usize = 16;

/// An open library: one directory, one writer.
///
/// It may be shared between threads. Dropping it ends sync and closes the files.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let place = tempfile::tempdir().unwrap();
/// # let dir = place.path().join("library");
/// let library = Library::create(&dir, &models(), "Home", "laptop")?;
/// std::thread::scope(|scope| {
///     for n in 0..4 {
///         let library = &library;
///         scope.spawn(move || {
///             library.write(move |tx| {
///                 let id = tx.new_id();
///                 tx.insert(&Todo { id, title: format!("from thread {n}"), done: false })
///             })
///         });
///     }
/// });
/// let todos: Vec<Todo> = library.query(|db| driftless::all(db, "true", []))??;
/// assert_eq!(todos.len(), 4);
/// # Ok::<(), driftless::Error>(())
/// ```
pub struct Library {
    dir: PathBuf,
    library: LibraryId,
    device: DeviceId,
    schema: Arc<Schema>,
    commands: Sender<Command>,
    writer: Option<JoinHandle<()>>,
    changes: broadcast::Sender<Change>,
    pulse: broadcast::Sender<()>,
    standings: broadcast::Sender<Standing>,
    events: broadcast::Sender<SyncEvent>,
    pub(crate) readers: Mutex<Vec<Connection>>,
    pub(crate) room: Measured,
    renewed: bool,
    pub(crate) members: Arc<MemberSet>,
    pub(crate) open_until: Arc<AtomicU64>,
    pub(crate) signing: SigningKey,
    pub(crate) running: Mutex<Option<Running>>,
    _lock: DirLock,
}

/// How a transaction's closure failed.
enum Failed<E> {
    Refused(E),
    Panicked(Box<dyn Any + Send>),
}

impl<E: From<Error>> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::Refused(error.into())
    }
}

impl Library {
    /// Opens the library in `dir`. One process at a time can have it open.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let place = tempfile::tempdir().unwrap();
    /// # let dir = place.path().join("library");
    /// # Library::create(&dir, &models(), "Home", "laptop")?.close();
    /// let library = if dir.join("library.db").exists() {
    ///     Library::open(&dir, &models())?
    /// } else {
    ///     Library::create(&dir, &models(), "Home", "laptop")?
    /// };
    /// assert!(Library::open(&dir, &models()).is_err(), "it is open already");
    /// # drop(library);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn open(dir: &Path, models: &Models) -> Result<Self, Error> {
        Self::open_files(dir, models, None)
    }

    /// Opens the library in `dir` like [`Library::open`], with a guard against old copies.
    ///
    /// The guard is a small file in `state`: a directory of this device that is not copied together
    /// with `dir`, one for each library, made if it is missing. A second one in `runtime`, a directory
    /// that does not outlive the boot, tells if `state` is brought back as well. With it a copy that is brought back,
    /// or that runs on a second machine, is recognised at once, and goes on under new epochs
    /// ([`Library::is_renewed`]): what it writes before it meets others cannot collide with what
    /// this device wrote after the copy was made. Without it that shows at the first meeting with a
    /// peer that holds more, which may be too late for what was written until then.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let place = tempfile::tempdir().unwrap();
    /// # let (dir, copy) = (place.path().join("library"), place.path().join("copy"));
    /// # let state = place.path().join("state");
    /// # Library::create(&dir, &models(), "Home", "laptop")?.close();
    /// # let copy_files = |from: &std::path::Path, to: &std::path::Path| {
    /// #     std::fs::create_dir_all(to).unwrap();
    /// #     for file in std::fs::read_dir(from).unwrap() {
    /// #         let file = file.unwrap();
    /// #         std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    /// #     }
    /// # };
    /// let library = Library::open_guarded(&dir, &models(), &state, None)?;
    /// assert!(!library.is_renewed());
    /// # library.close();
    /// # copy_files(&dir, &copy);
    /// # let library = Library::open_guarded(&dir, &models(), &state, None)?;
    /// # library.write(|tx| {
    /// #     let id = tx.new_id();
    /// #     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })
    /// # })?;
    /// # library.close();
    /// // Somebody puts the files of last week in its place.
    /// # copy_files(&copy, &dir);
    /// let library = Library::open_guarded(&dir, &models(), &state, None)?;
    /// assert!(library.is_renewed());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn open_guarded(
        dir: &Path,
        models: &Models,
        state: &Path,
        runtime: Option<&Path>,
    ) -> Result<Self, Error> {
        Self::open_files(dir, models, Some((state, runtime)))
    }

    fn open_files(
        dir: &Path,
        models: &Models,
        places: Option<(&Path, Option<&Path>)>,
    ) -> Result<Self, Error> {
        if !dir.join("library.db").exists() {
            return Err(driftless_store::StoreError::NotALibrary { path: dir.to_owned() }.into());
        }
        let lock = DirLock::acquire(dir)?;
        let store = SqliteStore::open(dir, models.check()?)?;
        let signing = key::load(dir)?;
        if key::device_id(&signing) != store.identity().device {
            let path = dir.join("device.key");
            return Err(Error::Key { path, what: "this is the key of another device" });
        }
        let guard = places.map(|places| Guard::open(places, &store)).transpose()?;
        Self::start(dir, store, signing, lock, guard)
    }

    pub(crate) fn start(
        dir: &Path,
        mut store: SqliteStore,
        signing: SigningKey,
        lock: DirLock,
        guard: Option<(Guard, bool)>,
    ) -> Result<Self, Error> {
        let (mut guard, renewed) =
            guard.map_or((None, false), |(guard, older)| (Some(guard), older));
        store.refuse_foreign_keys();
        let identity = store.identity().clone();
        let schema = Arc::new(store.schema().clone());
        let roster = members::load(&store)?;
        let config = Config {
            max_drift_ms: settings::time_ms(&store, Setting::MaxDrift)?,
            retention_ms: settings::time_ms(&store, Setting::Retention)?,
            ..Config::default()
        };
        let who = Identity {
            device: identity.device,
            shared_epoch: identity.shared_epoch,
            owned_life: identity.owned_life,
        };
        store.begin()?;
        let reborn = guard::is_reborn(&mut store)?;
        let renewed = store.delete_local(guard::SPACE, guard::RENEWS)? || reborn || renewed;
        let mut engine = Engine::new(who, schema.clone(), config, &mut store, random::seed()?)?;
        if renewed {
            engine.handle(&mut store, Input::Renew, time::now())?;
        }
        let doubt = guard::doubt(&mut store, renewed || roster.len() < 2)?;
        if let Some(doubt) = doubt {
            engine.doubt(doubt);
        }
        if let Some(guard) = &mut guard {
            guard.renew(&mut store)?;
        }
        store.commit()?;
        if let Some(guard) = &mut guard {
            guard.settle(&store)?;
        }
        store.limit_history(settings::history(&store)?, time::wall_ms())?;
        let members = Arc::new(MemberSet::default());
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let (pulse, _) = broadcast::channel(1);
        let (standings, _) = broadcast::channel(STANDINGS_KEPT);
        let told = Told::new();
        let events = told.sender();
        let (commands, queue) = channel();
        let open_until = Arc::new(AtomicU64::new(0));
        let parts = Parts {
            store,
            engine,
            ids: IdSource::new(&random::bytes()?),
            guard,
            schema: schema.clone(),
            signing: signing.clone(),
            roster,
            members: members.clone(),
            changes: changes.clone(),
            pulse: pulse.clone(),
            standings: standings.clone(),
            open_until: open_until.clone(),
            doubt,
            told,
        };
        let run = move |queue: Receiver<Command>| Writer::new(parts).run(&queue);
        let writer = std::thread::Builder::new()
            .name("driftless-writer".to_owned())
            .spawn(move || run(queue))
            .map_err(Error::io(dir, "starting the writer's thread"))?;
        Ok(Self {
            dir: dir.to_owned(),
            library: identity.library,
            device: identity.device,
            schema,
            commands,
            writer: Some(writer),
            changes,
            pulse,
            standings,
            events,
            readers: Mutex::new(Vec::new()),
            room: Measured::default(),
            renewed,
            members,
            open_until,
            signing,
            running: Mutex::new(None),
            _lock: lock,
        })
    }

    /// The directory.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert!(library.dir().join("library.db").exists());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The library's id.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// assert_eq!(laptop.id(), phone.id());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn id(&self) -> LibraryId {
        self.library
    }

    /// This device's id.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// assert_ne!(laptop.device_id(), phone.device_id());
    /// assert_eq!(laptop.device_id().to_string().len(), 64);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn device_id(&self) -> DeviceId {
        self.device
    }

    /// Whether this directory was found to be older than what this device has written, or a copy of
    /// another one, when it was opened: then this device writes under new epochs from now on. What
    /// was written after the copy was made comes back from the other devices, as far as they had it;
    /// rows of this device's own are what they are here.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert!(!library.is_renewed());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn is_renewed(&self) -> bool {
        self.renewed
    }

    /// The models.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let names: Vec<&str> = library.schema().iter().map(|model| model.name.as_str()).collect();
    /// assert!(names.contains(&"todo") && names.contains(&"device"));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Runs a transaction on the writer's thread. When it returns `Ok`, what it wrote is durable on this device, and on its
    /// way to all others if sync is on. When the closure or the store fails, nothing of it was kept.
    /// Transactions of several threads at one time are made durable together. If the closure panics,
    /// the panic goes on in the caller.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let id = library.write(|tx| {
    ///     let id = tx.new_id();
    ///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })?;
    ///     Ok::<_, driftless::Error>(id)
    /// })?;
    /// // Here it is durable, and on its way to the other devices.
    /// assert!(library.get::<Todo>(id)?.is_some());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn write<T, E>(
        &self,
        write: impl FnOnce(&mut WriteTx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        // A closure that panics must not take the library's writer with it.
        let guarded = move |tx: &mut WriteTx<'_>| match catch_unwind(AssertUnwindSafe(|| write(tx)))
        {
            Ok(done) => done.map_err(Failed::Refused),
            Err(panic) => Err(Failed::Panicked(panic)),
        };
        match self.transact(move |writer| writer.local(guarded)) {
            Ok(value) => Ok(value),
            Err(Failed::Refused(error)) => Err(error),
            Err(Failed::Panicked(panic)) => resume_unwind(panic),
        }
    }

    /// Runs something within a batch's transaction, and waits until that is durable.
    pub(crate) fn transact<T, E>(
        &self,
        run: impl FnOnce(&mut Writer) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (reply, result) = sync_channel(1);
        let command = Command::Write(Box::new(move |writer| {
            let done = run(writer);
            let finish: Reply = Box::new(move |committed| {
                let committed = committed.map_err(|error| Error::NotDurable(error).into());
                // An author who has gone away needs no answer.
                drop(reply.send(done.and_then(|value| committed.map(|()| value))));
            });
            finish
        }));
        self.commands.send(command).map_err(|_| Error::Closed)?;
        result.recv().map_err(|_| Error::Closed)?
    }

    /// Looks at the writer's state between two transactions.
    pub(crate) fn call<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Writer) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, result) = sync_channel(1);
        let call = move |writer: &mut Writer| {
            // An asker who has gone away needs no answer.
            drop(reply.send(look(writer)));
        };
        self.commands.send(Command::Call(Box::new(call))).map_err(|_| Error::Closed)?;
        result.recv().map_err(|_| Error::Closed)
    }

    pub(crate) fn commands(&self) -> Sender<Command> {
        self.commands.clone()
    }

    /// Hears of every change from now on.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let mut changes = library.subscribe();
    /// library.write(|tx| {
    ///     let id = tx.new_id();
    ///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })
    /// })?;
    /// assert!(changes.next().unwrap().concerns("todo"));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn subscribe(&self) -> Subscription {
        Subscription { receiver: self.changes.subscribe() }
    }

    pub(crate) fn events_sender(&self) -> &broadcast::Sender<SyncEvent> {
        &self.events
    }

    pub(crate) fn pulse(&self) -> broadcast::Receiver<()> {
        self.pulse.subscribe()
    }

    /// Hears of phases and of how far they are, about twice a second while they change.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// let mut standings = library.subscribe_standing()?;
    /// assert_eq!(standings.next().unwrap().percent(), 100);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn subscribe_standing(&self) -> Result<StandingStream, Error> {
        let receiver = self.standings.subscribe();
        Ok(StandingStream { first: Some(self.call(Writer::standing)?), receiver })
    }

    /// The library's name.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let library = home()?;
    /// assert_eq!(library.name()?, "Home");
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn name(&self) -> Result<String, Error> {
        self.call(|writer| settings::library_name(&writer.store))?
    }

    /// All members, by device id.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// let names: Vec<String> = laptop.members()?.into_iter().map(|member| member.name).collect();
    /// assert!(names.contains(&"laptop".into()) && names.contains(&"phone".into()));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn members(&self) -> Result<Vec<Member>, Error> {
        self.call(|writer| writer.members())?
    }

    /// All digests, and one over them all.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// assert_eq!(laptop.digests()?, phone.digests()?);
    /// let (name, digest) = laptop.digests()?.pop().unwrap();
    /// assert_eq!((name.as_str(), digest.len()), ("all", 32));
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn digests(&self) -> Result<Vec<(String, String)>, Error> {
        let schema = self.schema.clone();
        self.call(move |writer| {
            let digests = writer.digests();
            let all = driftless_core::digest::digest_of_all(&digests);
            let rows = digests.iter().filter(|(_, digest)| digest.rows > 0);
            let mut out: Vec<_> =
                rows.map(|(id, digest)| (schema.name_of(*id), digest.to_string())).collect();
            out.sort();
            out.push(("all".to_owned(), format!("{all:032x}")));
            out
        })
    }

    /// Closes the library; what dropping it does as well.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let place = tempfile::tempdir().unwrap();
    /// # let dir = place.path().join("library");
    /// let library = Library::create(&dir, &models(), "Home", "laptop")?;
    /// library.close();
    /// let again = Library::open(&dir, &models())?;
    /// # drop(again);
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn close(self) {}
}

impl Drop for Library {
    fn drop(&mut self) {
        self.stop_sync();
        // The writer's connection has to be the last: only then SQLite takes the write-ahead log away.
        self.readers.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        // A writer that has ended already needs no word.
        drop(self.commands.send(Command::Stop));
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer's thread had panicked");
        }
    }
}
