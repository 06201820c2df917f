//! Waiting until everybody has everything.

use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use driftless_core::engine::{Engine, Event, Input};
use driftless_core::id::DeviceId;
use driftless_core::message::State;
use driftless_core::store::Store as _;

use crate::error::Error;
use crate::library::Library;
use crate::neighbourhood::Neighbourhood;
use crate::time;
use crate::writer::Writer;

/// Something that watches the writer's batches until it has seen what it waits for.
pub(crate) trait Watch: Send {
    /// Hears of an event, after its transaction.
    fn on_event(&mut self, event: &Event, engine: &Engine);
    /// Looks after a batch; `true` when it is over.
    fn poll(&mut self, writer: &mut Writer) -> bool;
    /// When it is over in any case, on the steady clock.
    fn deadline(&self) -> u64;
    /// The network is gone: it is over.
    fn give_up(&mut self);
    /// Members that it cannot do without: they are met although they may be no neighbours.
    fn awaited(&self) -> Vec<DeviceId>;
}

/// How far a wait has come with one member.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// use driftless::Progress;
///
/// let reached = laptop.wait(std::time::Duration::from_secs(60), false)?;
/// assert!(reached.iter().all(|peer| peer.progress == Progress::Done));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It has everything that was here, and gave everything that it had.
    Done,
    /// Connected, and not there yet.
    Unfinished,
    /// It could not be reached.
    Unreachable,
}

/// A member's part in a wait.
///
/// ```
/// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
/// # use home::*;
/// # let (laptop, phone) = two_homes()?;
/// let reached = laptop.wait(std::time::Duration::from_secs(60), false)?;
/// assert_eq!(reached.len(), 1);
/// assert_eq!((reached[0].device, reached[0].behind, reached[0].ahead), (phone.device_id(), 0, 0));
/// # Ok::<(), driftless::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerProgress {
    /// The member.
    pub device: DeviceId,
    /// How far it has come.
    pub progress: Progress,
    /// Change sets that it lacks.
    pub behind: u64,
    /// Change sets of it that are not here.
    pub ahead: u64,
}

/// Waits for a target that is fixed at its start, member by member.
struct Wait {
    token: u64,
    target: State,
    /// What each member held when it first answered; `None` until then.
    members: BTreeMap<DeviceId, Option<State>>,
    done: BTreeMap<DeviceId, bool>,
    deadline: u64,
    reachable_only: bool,
    /// When those who were not dialled before count as not reachable.
    tried_until: u64,
    reply: Option<SyncSender<Vec<PeerProgress>>>,
}

impl Library {
    /// Waits until every member has everything that is here now and gave everything that it has, but
    /// not beyond `patience`. With `reachable_only` it does not wait for members that cannot be
    /// reached, once the others are done. Sync has to be on; if it is turned off meanwhile, the wait
    /// ends with whom it has come to.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// # let (laptop, phone) = two_homes()?;
    /// laptop.write(|tx| {
    ///     let id = tx.new_id();
    ///     tx.insert(&Todo { id, title: "Water the plants".into(), done: false })
    /// })?;
    /// laptop.wait(std::time::Duration::from_secs(60), false)?;
    /// // Now the phone has it.
    /// let todos: Vec<Todo> = phone.query(|db| driftless::all(db, "true", []))??;
    /// assert_eq!(todos[0].title, "Water the plants");
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn wait(
        &self,
        patience: Duration,
        reachable_only: bool,
    ) -> Result<Vec<PeerProgress>, Error> {
        if !self.is_syncing() {
            return Err(Error::NotSyncing);
        }
        let (reply, result) = sync_channel(1);
        self.transact(move |writer| {
            writer.begin_wait(patience, reachable_only, reply);
            Ok::<_, Error>(())
        })?;
        result.recv().map_err(|_| Error::Closed)
    }
}

impl Writer {
    fn begin_wait(
        &mut self,
        patience: Duration,
        reachable_only: bool,
        reply: SyncSender<Vec<PeerProgress>>,
    ) {
        let now = time::now();
        let here = self.store.identity().device;
        let others = self.roster.certificates().map(|certificate| certificate.device);
        let others = others.filter(|device| *device != here && !self.is_evicted(device));
        let members: BTreeMap<DeviceId, Option<State>> = others.map(|d| (d, None)).collect();
        let patience = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.tokens += 1;
        let token = self.tokens;
        let absent = members.keys().filter(|device| !self.is_reachable(device)).count();
        let tried_within = Neighbourhood::patience_ms(members.len() + 1, absent);
        let done = members.keys().map(|device| (*device, false)).collect();
        self.watches.push(Box::new(Wait {
            token,
            target: self.state(),
            members,
            done,
            deadline: now.steady_ms.saturating_add(patience),
            reachable_only,
            tried_until: now.steady_ms.saturating_add(tried_within),
            reply: Some(reply),
        }));
        self.take(Input::Probe(token), now);
    }
}

impl Watch for Wait {
    fn on_event(&mut self, event: &Event, engine: &Engine) {
        let peer = match event {
            Event::Answered { peer, token } if *token == self.token => peer,
            // Whoever is met only now said in its `Hello` what it holds.
            Event::Met { peer, .. } => peer,
            _ => return,
        };
        if let Some(state @ None) = self.members.get_mut(peer) {
            *state = engine.known(peer).cloned();
        }
    }

    fn poll(&mut self, writer: &mut Writer) -> bool {
        let mine = writer.state();
        for (device, held) in &self.members {
            let finished = || {
                let held = held.as_ref()?;
                let theirs = writer.engine.known(device)?;
                let whole = writer.store.missing().is_empty();
                Some(whole && includes(theirs, &self.target) && includes(&mine, held))
            };
            let done = self.done.entry(*device).or_insert(false);
            *done = *done || finished().unwrap_or(false);
        }
        let now = time::now().steady_ms;
        let over = now >= self.deadline;
        let tried = now >= self.tried_until;
        let missed = |device| !writer.is_reachable(device) && (tried || writer.is_missed(device));
        let mut done = self.done.iter();
        let all = done.all(|(device, done)| *done || self.reachable_only && missed(device));
        if !all && !over {
            return false;
        }
        if let Some(reply) = self.reply.take() {
            // An asker who has gone away needs no answer.
            drop(reply.send(self.report(writer)));
        }
        true
    }

    fn deadline(&self) -> u64 {
        match self.tried_until {
            at if self.reachable_only && at > time::now().steady_ms => self.deadline.min(at),
            _ => self.deadline,
        }
    }

    fn give_up(&mut self) {
        self.deadline = 0;
    }

    fn awaited(&self) -> Vec<DeviceId> {
        self.done.iter().filter(|(_, done)| !**done).map(|(device, _)| *device).collect()
    }
}

impl Wait {
    fn report(&self, writer: &Writer) -> Vec<PeerProgress> {
        let one = |(device, done): (&DeviceId, &bool)| {
            let lag = writer.engine.lag(&writer.store, device);
            let progress = match (*done, writer.is_reachable(device)) {
                (true, _) => Progress::Done,
                (false, true) => Progress::Unfinished,
                (false, false) => Progress::Unreachable,
            };
            PeerProgress { device: *device, progress, behind: lag.behind, ahead: lag.ahead }
        };
        self.done.iter().map(one).collect()
    }
}

fn includes(a: &State, b: &State) -> bool {
    a.shared.includes(&b.shared) && a.owned.includes(&b.owned)
}
