//! The store under a replica: the reference store in memory, or the one on SQLite, with what a
//! crash and a power cut do to each.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use driftless_core::change::ChangeSet;
use driftless_core::id::{DeviceId, RecordKey};
use driftless_core::mem::MemStore;
use driftless_core::record::Record;
use driftless_core::schema::{ModelId, Schema};
use driftless_core::version::{OwnedHead, OwnedVector};
use driftless_store::{HistoryLimits, Identity, SqliteStore, StoreError, StoreOptions};
use tempfile::TempDir;

use crate::ledger::Rows;
use crate::replica::EPOCH_MS;

/// Which store is under the replicas.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StoreKind {
    /// The reference store.
    #[default]
    Memory,
    /// SQLite, on files.
    Sqlite,
}

/// Every so many commits the log is moved into `sync.db`; until then `library.db` keeps it.
const FLUSH_EVERY: u64 = 3;

/// A store, and what of it is durable.
pub(crate) enum Base {
    Memory { mem: Box<MemStore>, synced: Option<Box<MemStore>>, saved: Option<Box<MemStore>> },
    Sqlite(Box<Disk>),
}

/// A store on files.
pub(crate) struct Disk {
    store: Option<SqliteStore>,
    schema: Schema,
    root: TempDir,
    /// Whether there is a copy of what is durable, as more than that is visible.
    synced: bool,
    commits: u64,
    /// Whether it keeps a history.
    keeps: bool,
}

type Done<T> = Result<T, StoreError>;

impl Base {
    pub(crate) fn memory(device: DeviceId) -> Self {
        Self::Memory { mem: Box::new(MemStore::new(device)), synced: None, saved: None }
    }

    /// Keeps a history from now on.
    pub(crate) fn keep_history(&mut self) -> Done<()> {
        match self {
            Base::Memory { mem, .. } => {
                mem.keep_history(0);
                Ok(())
            }
            Base::Sqlite(disk) => disk.keep_history(),
        }
    }

    /// The change sets of the history.
    pub(crate) fn history(&self) -> Done<Vec<ChangeSet>> {
        match self {
            Base::Memory { mem, .. } => Ok(mem.history().to_vec()),
            Base::Sqlite(disk) => {
                let mut sets = Vec::new();
                disk.store().past()?.walk(None, |logged| {
                    sets.push(logged.set);
                    Ok::<_, StoreError>(ControlFlow::Continue(()))
                })?;
                Ok(sets)
            }
        }
    }

    /// Since when it is whole, Unix milliseconds.
    pub(crate) fn history_begin(&self) -> Option<u64> {
        match self {
            Base::Memory { mem, .. } => mem.history_begin(),
            Base::Sqlite(disk) => disk.store().history_begin(),
        }
    }

    pub(crate) fn sqlite(identity: Identity, schema: &Schema) -> Done<Self> {
        Ok(Self::Sqlite(Box::new(Disk::new(identity, schema)?)))
    }

    /// Begins a batch. One that is relaxed is visible before it is durable.
    pub(crate) fn begin(&mut self, relaxed: bool) -> Done<()> {
        match self {
            Base::Memory { .. } => Ok(()),
            Base::Sqlite(disk) if disk.store().in_transaction() => Ok(()),
            Base::Sqlite(disk) if relaxed => disk.store_mut().begin_relaxed(),
            Base::Sqlite(disk) => disk.store_mut().begin(),
        }
    }

    /// Makes everything durable.
    pub(crate) fn commit(&mut self) -> Done<()> {
        match self {
            Base::Memory { mem, synced, .. } => {
                mem.commit();
                *synced = None;
                Ok(())
            }
            Base::Sqlite(disk) => disk.commit(),
        }
    }

    /// Makes the batch visible, and durable with the next [`Base::commit`].
    pub(crate) fn commit_relaxed(&mut self) -> Done<()> {
        match self {
            Base::Memory { mem, synced, .. } => {
                if synced.is_none() {
                    let mut before = mem.clone();
                    before.rollback();
                    *synced = Some(before);
                }
                mem.commit();
                Ok(())
            }
            Base::Sqlite(disk) => disk.commit_relaxed(),
        }
    }

    /// Forgets the batch.
    pub(crate) fn rollback(&mut self) -> Done<()> {
        match self {
            Base::Memory { mem, .. } => mem.rollback(),
            Base::Sqlite(disk) if disk.store().in_transaction() => disk.store_mut().rollback()?,
            Base::Sqlite(_) => {}
        }
        Ok(())
    }

    /// The process dies.
    pub(crate) fn crash(&mut self) -> Done<()> {
        match self {
            Base::Memory { mem, .. } => mem.crash(),
            Base::Sqlite(disk) => disk.crash()?,
        }
        Ok(())
    }

    /// The power fails. Returns whether anything that was visible is gone.
    pub(crate) fn cut_power(&mut self) -> Done<bool> {
        match self {
            Base::Memory { mem, synced, .. } => {
                mem.crash();
                let Some(synced) = synced.take() else { return Ok(false) };
                *mem = synced;
                mem.crash();
                Ok(true)
            }
            Base::Sqlite(disk) => disk.cut_power(),
        }
    }

    /// The log and what goes with it is lost while the process is down.
    pub(crate) fn lose_log(&mut self) -> Done<()> {
        match self {
            Base::Memory { mem, .. } => mem.lose_log(),
            Base::Sqlite(disk) => disk.lose_log()?,
        }
        Ok(())
    }

    /// Keeps a copy of what is there, which is durable.
    pub(crate) fn save(&mut self) -> Done<()> {
        match self {
            Base::Memory { mem, saved, .. } => *saved = Some(mem.clone()),
            Base::Sqlite(disk) => copy(&disk.place("live"), &disk.place("saved"))?,
        }
        Ok(())
    }

    /// Puts that copy in the place of what is there, while the process is down.
    pub(crate) fn restore(&mut self) -> Done<()> {
        match self {
            Base::Memory { mem, synced, saved } => {
                if let Some(saved) = saved {
                    mem.clone_from(saved);
                    mem.crash();
                }
                *synced = None;
            }
            Base::Sqlite(disk) => {
                disk.open_copy("saved")?;
                disk.synced = false;
            }
        }
        Ok(())
    }

    /// All shared records, in order.
    pub(crate) fn records(&self) -> Done<Vec<(ModelId, RecordKey, Cow<'_, Record>)>> {
        match self {
            Base::Memory { mem, .. } => {
                let records = mem.records();
                let borrowed = |(model, key, record): (&ModelId, &RecordKey, _)| {
                    (*model, key.clone(), Cow::Borrowed(record))
                };
                Ok(records.map(borrowed).collect())
            }
            Base::Sqlite(disk) => disk.records(),
        }
    }

    /// The rows of an exact lane that show, in order.
    pub(crate) fn rows(&self, device: &DeviceId) -> Done<Rows> {
        match self {
            Base::Memory { mem, .. } => Ok(mem.rows(device)),
            Base::Sqlite(disk) => {
                let mut rows = disk.rows(|id| id == device)?;
                Ok(rows.remove(device).unwrap_or_default())
            }
        }
    }
}

impl Base {
    /// The rows of all lanes at these heads that show.
    pub(crate) fn all_rows(&self, heads: &OwnedVector) -> Done<Vec<(DeviceId, OwnedHead, Rows)>> {
        match self {
            Base::Memory { mem, .. } => {
                Ok(heads.iter().map(|(id, head)| (*id, *head, mem.rows(id))).collect())
            }
            Base::Sqlite(disk) => {
                let mut all = disk.rows(|_| true)?;
                let rows_of = |(id, head): (&DeviceId, &OwnedHead)| {
                    (*id, *head, all.remove(id).unwrap_or_default())
                };
                Ok(heads.iter().map(rows_of).collect())
            }
        }
    }
}

impl Disk {
    fn new(identity: Identity, schema: &Schema) -> Done<Self> {
        let place = Path::new("/dev/shm");
        let place = if place.is_dir() { place.to_owned() } else { std::env::temp_dir() };
        let root = TempDir::new_in(&place)
            .map_err(|error| failed(&place, "making a folder for a replica", error))?;
        let live = root.path().join("live");
        let store = SqliteStore::create_with(&live, identity, schema.clone(), options())?;
        let schema = schema.clone();
        Ok(Self { store: Some(store), schema, root, synced: false, commits: 0, keeps: false })
    }

    pub(crate) fn store(&self) -> &SqliteStore {
        self.store.as_ref().expect("the store is open but while it is opened anew")
    }

    pub(crate) fn store_mut(&mut self) -> &mut SqliteStore {
        self.store.as_mut().expect("the store is open but while it is opened anew")
    }

    fn keep_history(&mut self) -> Done<()> {
        self.keeps = true;
        let limits = HistoryLimits { keep_ms: u64::MAX, max_bytes: u64::MAX };
        self.store_mut().limit_history(Some(limits), EPOCH_MS)
    }

    fn place(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn commit(&mut self) -> Done<()> {
        self.commits += 1;
        let flushes = self.commits.is_multiple_of(FLUSH_EVERY);
        let store = self.store_mut();
        if store.in_transaction() {
            store.commit()?;
        }
        store.make_durable()?;
        if flushes {
            store.flush_log()?;
        }
        self.synced = false;
        Ok(())
    }

    fn commit_relaxed(&mut self) -> Done<()> {
        // What the open transaction has written is not committed in the copy.
        if !self.synced {
            copy(&self.place("live"), &self.place("synced"))?;
            self.synced = true;
        }
        self.store_mut().commit()
    }

    /// The files as they are when a process is killed: closing them would tidy up.
    fn crash(&mut self) -> Done<()> {
        copy(&self.place("live"), &self.place("killed"))?;
        self.open_copy("killed")
    }

    fn lose_log(&mut self) -> Done<()> {
        let killed = self.place("killed");
        copy(&self.place("live"), &killed)?;
        for name in ["sync.db", "sync.db-wal", "sync.db-shm"] {
            let file = killed.join(name);
            if file.exists() {
                fs::remove_file(&file).map_err(|error| failed(&file, "losing a log", error))?;
            }
        }
        self.open_copy("killed")
    }

    fn cut_power(&mut self) -> Done<bool> {
        let gone = self.synced;
        if gone {
            self.open_copy("synced")?;
        } else {
            self.crash()?;
        }
        self.synced = false;
        Ok(gone)
    }

    fn open_copy(&mut self, name: &str) -> Done<()> {
        self.store = None;
        let live = self.place("live");
        copy(&self.place(name), &live)?;
        self.store = Some(SqliteStore::open_with(&live, self.schema.clone(), options())?);
        if self.keeps { self.keep_history() } else { Ok(()) }
    }

    fn records(&self) -> Done<Vec<(ModelId, RecordKey, Cow<'_, Record>)>> {
        let snapshot = self.store().snapshot()?;
        let mut all = Vec::new();
        for model in snapshot.models()? {
            let records = snapshot.records(model, None, usize::MAX)?;
            all.extend(records.into_iter().map(|(key, record)| (model, key, Cow::Owned(record))));
        }
        Ok(all)
    }

    fn rows(&self, wanted: impl Fn(&DeviceId) -> bool) -> Done<BTreeMap<DeviceId, Rows>> {
        let snapshot = self.store().snapshot()?;
        let mut all = BTreeMap::<DeviceId, Rows>::new();
        for model in snapshot.models()? {
            for row in snapshot.rows(model, None, usize::MAX)? {
                if wanted(&row.device) {
                    let fields = row.fields.into_iter().collect();
                    all.entry(row.device).or_default().push(((model, row.key), row.seq, fields));
                }
            }
        }
        Ok(all)
    }
}

fn options() -> StoreOptions {
    StoreOptions { cache_kib: 512, wal_kib: 64, ..StoreOptions::default() }
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), doing, source }
}

/// Copies the files of a folder into another one, in the place of what was there.
fn copy(from: &Path, to: &Path) -> Done<()> {
    let copy = || -> io::Result<()> {
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        fs::create_dir_all(to)?;
        for file in fs::read_dir(from)? {
            let file = file?;
            fs::copy(file.path(), to.join(file.file_name()))?;
        }
        Ok(())
    };
    copy().map_err(|error| failed(to, "copying the files of a replica", error))
}
