//! A run of the script on a disk that may fail, and what must be found afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use driftless_core::mem::MemStore;
use driftless_core::schema::{ModelId, Schema};
use driftless_core::store::{Acked, KeyRange, Store};
use driftless_store::{SqliteStore, StoreError, StoreOptions, TrendSample};

use crate::common::{self, device, field, identity};
use crate::disk::{Disk, Image, Plan};
use crate::dump;
use crate::script::{Call, Script, Step};
use crate::vfs::{self, Laid, Shared};

/// A state that the script leads to.
pub(crate) struct State {
    pub(crate) memory: MemStore,
    brief: String,
    lines: Vec<String>,
}

impl State {
    pub(crate) fn all(script: &Script, from: MemStore) -> Vec<State> {
        let states = script.states(from).into_iter();
        let state = |mut memory: MemStore| State {
            brief: dump::brief(&memory),
            lines: dump::of_memory(&mut memory),
            memory,
        };
        states.map(state).collect()
    }
}

/// The script, and what it leads to.
pub(crate) struct Play {
    pub(crate) script: Script,
    pub(crate) states: Vec<State>,
    /// What lies on the disk at the start; a library is made if nothing does.
    pub(crate) start: Image,
}

/// A run that is under way.
pub(crate) struct Run<'a> {
    play: &'a Play,
    /// Where the library is; a process that was killed leaves it to the next one in another place.
    root: &'a Path,
    lives: usize,
    disk: Shared,
    laid: Option<Laid>,
    store: Option<SqliteStore>,
    schema: usize,
    pub(crate) next: usize,
    /// The state that shows, and the one that was promised to be durable.
    pub(crate) shows: Option<usize>,
    pub(crate) durable: Option<usize>,
    /// The state whose acknowledgements `sync.db` has.
    pub(crate) flushed: Option<usize>,
    /// Whether a commit has failed, so that the next state may be there.
    pub(crate) doubt: bool,
}

pub(crate) fn schema(at: usize) -> Schema {
    let mut tag = common::tag();
    if at == 1 {
        tag.fields.push(field("new", driftless_core::schema::FieldType::Text));
        return Schema::new([tag, common::entry()]).unwrap();
    }
    Schema::new([tag, common::entry(), common::volume()]).unwrap()
}

fn options() -> StoreOptions {
    // A cache that does not hold everything, and a log that is moved now and then.
    StoreOptions { cache_kib: 64, wal_kib: 0, ..StoreOptions::default() }
}

pub(crate) fn put(dir: &Path, image: &Image) {
    fs::create_dir_all(dir).unwrap();
    for (name, bytes) in image {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

impl<'a> Run<'a> {
    /// A run from the start of the play.
    pub(crate) fn new(play: &'a Play, root: &'a Path, plan: Plan) -> Self {
        let there = (!play.start.is_empty()).then_some(0);
        Self::from(play, root, &play.start, plan, there)
    }

    /// A run on what lies on a disk.
    fn from(
        play: &'a Play,
        root: &'a Path,
        image: &Image,
        plan: Plan,
        there: Option<usize>,
    ) -> Self {
        let dir = root.join("0");
        put(&dir, image);
        let (disk, laid) = vfs::lay(Disk::new(&dir, plan));
        Self {
            play,
            root,
            lives: 0,
            disk,
            laid: Some(laid),
            store: None,
            schema: 0,
            next: 0,
            shows: there,
            durable: there,
            flushed: there,
            doubt: false,
        }
    }

    fn dir(&self) -> PathBuf {
        self.root.join(self.lives.to_string())
    }

    pub(crate) fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.next == self.play.script.steps.len()
    }

    /// Does the next step.
    pub(crate) fn advance(&mut self) -> Result<(), StoreError> {
        self.open()?;
        let steps = &self.play.script.steps;
        let Some(step) = steps.get(self.next) else { return Ok(()) };
        match step {
            Step::Strict(calls) => self.transaction(calls, false)?,
            Step::Relaxed(calls) => self.transaction(calls, true)?,
            Step::Durable => {
                self.store().make_durable()?;
                self.durable = self.shows;
            }
            Step::Flush => {
                self.store().flush_log()?;
                self.note_flushed();
            }
            Step::Trend => {
                let sample = TrendSample { committed: 1, ..TrendSample::default() };
                self.store().note_trend(1_000_000, &sample);
                self.store().keep_trend();
                self.store().flush_log()?;
                self.note_flushed();
            }
            Step::Sweep => {
                while self.store().sweep()? {}
                self.store().move_log()?;
                self.durable = self.shows;
            }
            Step::GiveBack => while self.store().give_back(8)? {},
            Step::Pin(n) => {
                self.store().pin(device(*n))?;
            }
            Step::Compare(n) => self.compare(*n)?,
            Step::Unpin(n) => self.store().unpin(&device(*n)),
            Step::Look => {
                let snapshot = self.store().snapshot()?;
                assert_eq!(snapshot.read_rows()?.bad, vec![]);
            }
            Step::Reopen { closed, schema } => {
                let store = self.store.take().expect("it was opened");
                self.schema = *schema;
                self.next += 1;
                if *closed {
                    store.close()?
                } else {
                    drop(store)
                }
                return self.open();
            }
            Step::Nothing => {
                self.store().begin()?;
                self.store().commit()?;
            }
            Step::Kill => {
                self.next += 1;
                self.kill();
                return self.open();
            }
        }
        self.next += 1;
        Ok(())
    }

    fn store(&mut self) -> &mut SqliteStore {
        self.store.as_mut().expect("it was opened")
    }

    /// Opens the library, or makes it.
    fn open(&mut self) -> Result<(), StoreError> {
        if self.store.is_some() {
            return Ok(());
        }
        let (dir, schema) = (self.dir(), schema(self.schema));
        let store = match self.shows {
            Some(_) => SqliteStore::open_with(&dir, schema, options())?,
            None => SqliteStore::create_with(&dir, identity(1), schema, options())?,
        };
        if self.shows.is_none() {
            (self.shows, self.durable, self.flushed) = (Some(0), Some(0), Some(0));
        }
        self.store = Some(store);
        self.settle();
        Ok(())
    }

    fn transaction(&mut self, calls: &[Call], relaxed: bool) -> Result<(), StoreError> {
        let (play, number) = (self.play, self.shows.map_or(0, |shows| shows + 1));
        let store = self.store();
        if relaxed {
            store.begin_relaxed()?
        } else {
            store.begin()?
        }
        for call in calls {
            let Call::Undone(calls) = call else {
                play.script.call(store, call)?;
                continue;
            };
            store.savepoint()?;
            for call in calls {
                play.script.call(store, call)?;
            }
            store.rollback_to()?;
        }
        store.set_setting("state", &number.to_string())?;
        self.doubt = true;
        self.store().commit()?;
        self.doubt = false;
        self.shows = Some(number);
        if !relaxed {
            self.durable = self.shows;
        }
        Ok(())
    }

    /// `sync.db` has the acknowledgements that are known; those that a process took with it are not.
    fn note_flushed(&mut self) {
        let (play, shows) = (self.play, self.shows.expect("there is a library"));
        let (store, state) = (self.store(), &play.states[shows].memory);
        let mut peers = PEERS;
        if peers.all(|n| store.acknowledged(&device(n)) == state.acknowledged(&device(n))) {
            self.flushed = Some(shows);
        }
    }

    fn compare(&mut self, n: u8) -> Result<(), StoreError> {
        let (store, peer, range) = (self.store(), device(n), KeyRange::default());
        if !store.is_pinned(&peer) {
            return Ok(());
        }
        for model in [ModelId::of("tag"), ModelId::of("unknown")] {
            store.pinned_buckets(&peer, model, &range, 2, 8)?;
            store.pinned_records(&peer, model, &range, 1_000)?;
        }
        Ok(())
    }

    /// The process dies, and what it wrote is found by the next one.
    fn kill(&mut self) {
        let old = self.disk.clone();
        self.lives += 1;
        let moved = old.lock().unwrap().moved(&self.dir());
        old.lock().unwrap().mend();
        // Of what the dead one closes nothing is seen any more.
        self.laid = None;
        self.store = None;
        let (disk, laid) = vfs::lay(moved);
        (self.disk, self.laid) = (disk, Some(laid));
    }

    /// What a caller does after a failure: rolls back what is open. The store must then hold the state
    /// that it held, or the next one, and say so.
    pub(crate) fn recover(&mut self, error: &StoreError) {
        refused_in_words(error);
        let Some(store) = &mut self.store else { return };
        if store.in_transaction()
            && let Err(error) = store.rollback()
        {
            refused_in_words(&error);
        }
        assert!(!store.in_transaction());
        self.settle();
    }

    /// Which state it is, if a commit has failed.
    fn settle(&mut self) {
        let Some(store) = &self.store else { return };
        let brief = dump::brief(store);
        let shows = self.shows.expect("there is a library");
        let is = |state: usize| self.play.states.get(state).is_some_and(|s| s.brief == brief);
        if is(shows) {
            return;
        }
        assert!(self.doubt && is(shows + 1), "neither state {shows} nor the next:\n{brief}");
        (self.shows, self.doubt) = (Some(shows + 1), false);
        self.next += 1;
    }

    /// Goes on until something fails, or to the end.
    pub(crate) fn until_failure(&mut self) -> Option<StoreError> {
        while !self.is_over() {
            if let Err(error) = self.advance() {
                return Some(error);
            }
        }
        None
    }

    /// Does something on other disks, and comes back to this one.
    pub(crate) fn aside(&mut self, act: impl FnOnce()) {
        self.laid = None;
        act();
        self.laid = Some(vfs::lay_again(&self.disk));
    }

    /// Gives the store up and opens the library anew.
    pub(crate) fn give_up(&mut self) {
        self.store = None;
    }

    /// Everything is as the state that shows says, in memory as on the disk.
    pub(crate) fn check(&mut self) {
        self.open().unwrap();
        let shows = self.shows.expect("there is a library");
        let store = self.store();
        assert_eq!(store.log_set_aside(), None);
        assert!(!store.log_incomplete(), "floors were raised: {:?}", store.floors());
        let number = store.setting("state").unwrap();
        assert_eq!(number, (shows > 0).then(|| shows.to_string()));
        let lines = dump::of_files(store).unwrap();
        assert_eq!(lines, self.play.states[shows].lines, "state {shows}");
    }
}

/// Those who may have acknowledged something.
const PEERS: std::ops::Range<u8> = 1..6;

/// What is known of a run that has ended somewhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Known {
    /// The first state that may be there; none if there may be no library.
    pub(crate) from: Option<usize>,
    /// The last one.
    pub(crate) to: usize,
    /// The one whose acknowledgements must be there.
    pub(crate) flushed: Option<usize>,
}

impl Run<'_> {
    /// What must be found when the process ends here, or with the power.
    pub(crate) fn known(&self, power: bool) -> Known {
        let to = self.shows.map_or(0, |shows| shows + usize::from(self.doubt));
        let from = if power { self.durable } else { self.shows };
        Known { from, to, flushed: self.flushed }
    }
}

/// A machine that starts with `image`: one of the states that may be there is there, wholly, and
/// everything goes on from it to the end.
pub(crate) fn reboot(play: &Play, image: &Image, known: Known) {
    let root = place();
    let mut run = Run::from(play, root.path(), image, Plan::Well, known.from);
    match (known.from, SqliteStore::open_with(&run.dir(), schema(0), options())) {
        (None, Err(StoreError::NotALibrary { .. })) => run.open().unwrap(),
        (from, found) => {
            let found = found.unwrap();
            let number = found.setting("state").unwrap();
            let number = number.map_or(0, |number| number.parse().unwrap());
            let may = from.unwrap_or(0)..=known.to;
            assert!(may.contains(&number), "state {number}, {known:?}");
            (run.store, run.shows) = (Some(found), Some(number));
        }
    }
    acknowledged(play, &run, known);
    run.next = play.after(run.shows.unwrap());
    run.check();
    let enough = (run.next + GOES_ON).min(play.script.steps.len());
    while run.next < enough {
        run.advance().unwrap();
    }
    run.check();
}

/// So many steps show that a library goes on.
const GOES_ON: usize = 8;

/// No acknowledgement that is kept is one that never was, and none of those that were moved is gone.
fn acknowledged(play: &Play, run: &Run<'_>, known: Known) {
    for peer in PEERS {
        let kept = run.store.as_ref().unwrap().acknowledged(&device(peer));
        let was = |state: &State| state.memory.acknowledged(&device(peer)).cloned();
        let may: Vec<Option<Acked>> =
            play.states[known.flushed.unwrap_or(0)..=known.to].iter().map(was).collect();
        assert!(may.contains(&kept.cloned()), "{peer}: {kept:?} is none of {may:?}");
    }
}

impl Play {
    /// The step behind the one that leads to a state.
    fn after(&self, state: usize) -> usize {
        let steps = self.script.steps.iter().enumerate();
        let mut leads = steps.filter(|(_, step)| step.calls().is_some()).map(|(at, _)| at + 1);
        if state == 0 { 0 } else { leads.nth(state - 1).expect("there are as many") }
    }
}

/// A folder that goes away, in memory where that can be had.
pub(crate) fn place() -> tempfile::TempDir {
    let place = Path::new("/dev/shm");
    let place = if place.is_dir() { place.to_owned() } else { std::env::temp_dir() };
    tempfile::tempdir_in(place).unwrap()
}

/// A disk that fails is no damage, and no other library.
fn refused_in_words(error: &StoreError) {
    let said = matches!(
        error,
        StoreError::Sql { .. }
            | StoreError::Io { .. }
            | StoreError::Full { .. }
            | StoreError::TransactionLost { .. }
    );
    assert!(said, "{error:?}");
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(disk) = self.disk.lock()
        {
            let (next, states) = (self.next, (self.durable, self.shows));
            eprintln!("{:?} failed; step {next}, states {states:?}", disk.hit());
        }
    }
}
