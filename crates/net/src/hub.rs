//! The hub: one task that owns what is known of each peer, decides who is dialled when and which
//! link of a pair stays, and alone says `Connected` and `Disconnected`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use driftless_core::id::DeviceId;
use iroh::Endpoint;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Duration, Instant, sleep_until};

use crate::backoff::Backoff;
use crate::close::{self, Cause, Close};
use crate::dial::{DialError, dial};
use crate::event::NetEvent;
use crate::link::{self, Candidate, Link};
use crate::shared::{Shared, Wanted};
use crate::signs;

/// A link that lasted this long was a good one: the next attempt comes soon.
const LASTING: Duration = Duration::from_secs(5);

/// What is known of one peer.
struct Peer {
    slot: Slot,
    dial: Dial,
    backoff: Backoff,
}

/// The place of the one link.
enum Slot {
    Down,
    Up(Current),
    /// Closed by us for a better one, which comes up when the tasks of this one have ended.
    Closing(Current, Box<Candidate>),
}

/// The link that is in the slot.
struct Current {
    link: Arc<Link>,
    rank: Rank,
    since: Instant,
}

/// What decides between two connections of one pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rank {
    instance: [u8; 16],
    /// Who dialled.
    dialler: DeviceId,
}

impl Rank {
    /// Whether a new connection takes the place of `old`. Both sides come to the same answer.
    fn beats(&self, old: &Rank, me: DeviceId, peer: DeviceId) -> bool {
        self.instance != old.instance || self.dialler == old.dialler || self.dialler == me.min(peer)
    }
}

enum Dial {
    Idle,
    At(Instant),
    Running(AbortHandle),
}

/// What ended.
enum Done {
    Link((Cause, String)),
    Dial(Box<Result<Candidate, DialError>>),
}

/// Which task that was.
#[derive(Clone, Copy)]
enum Task {
    Link(DeviceId),
    Dial(DeviceId),
}

pub(crate) struct Hub {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    discovery: bool,
    seed: u64,
    peers: BTreeMap<DeviceId, Peer>,
    /// What was applied last of what the program wants.
    wanted: Wanted,
    tasks: JoinSet<Done>,
    names: HashMap<Id, Task>,
    generation: u64,
}

impl Hub {
    pub(crate) fn new(shared: Arc<Shared>, endpoint: Endpoint, discovery: bool, seed: u64) -> Self {
        Self {
            shared,
            endpoint,
            discovery,
            seed,
            peers: BTreeMap::new(),
            wanted: Wanted::default(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            generation: 0,
        }
    }

    /// Runs until told to stop, or until the handle is gone; then every link is closed and said to
    /// be.
    pub(crate) async fn run(
        mut self,
        mut wanted: watch::Receiver<Wanted>,
        mut candidates: mpsc::Receiver<Candidate>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let mut sign = Instant::now();
        loop {
            let next = self.next_dial();
            let signs = self.dialled().next().is_some();
            tokio::select! {
                _ = &mut stop => break,
                Ok(()) = wanted.changed() => {
                    let wanted = wanted.borrow_and_update().clone();
                    self.apply(wanted);
                }
                Some(candidate) = candidates.recv() => self.consider(candidate),
                Some(done) = self.tasks.join_next_with_id() => self.done(done),
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.dial_due();
                }
                () = sleep_until(sign), if signs => {
                    self.dialled().for_each(Link::sign);
                    sign = Instant::now() + signs::pause(SystemTime::now());
                }
            }
        }
        candidates.close();
        self.stop().await;
    }

    async fn stop(mut self) {
        for peer in self.peers.values_mut() {
            if let Dial::Running(attempt) = std::mem::replace(&mut peer.dial, Dial::Idle) {
                attempt.abort();
            }
            match &peer.slot {
                Slot::Down => {}
                Slot::Up(current) => current.link.close(Close::Shutdown, "the device stops"),
                Slot::Closing(_, next) => Close::Shutdown.connection(&next.conn, "stopping"),
            }
        }
        self.wanted.pause(None);
        while let Some(done) = self.tasks.join_next_with_id().await {
            self.done(done);
        }
    }

    // What the program wants.

    fn apply(&mut self, wanted: Wanted) {
        let before = std::mem::replace(&mut self.wanted, wanted);
        let mut touched: BTreeSet<DeviceId> = self.peers.keys().copied().collect();
        touched.extend(self.wanted.routes.keys());
        for id in touched {
            let moved = before.routes.get(&id) != self.wanted.routes.get(&id);
            let urged = before.urged != self.wanted.urged;
            let resumed = before.is_paused(&id) && !self.wanted.is_paused(&id);
            let paused = self.wanted.is_paused(&id);
            let peer = self.peer(id);
            if urged && !matches!(peer.dial, Dial::Running(_)) {
                peer.dial = Dial::Idle;
                peer.backoff.reset();
            }
            if paused && let Slot::Up(current) = &peer.slot {
                current.link.close(Close::Paused, "paused");
            }
            if moved || resumed || paused {
                if let Dial::Running(attempt) = &peer.dial {
                    attempt.abort();
                }
                peer.dial = Dial::Idle;
                peer.backoff.reset();
            }
            self.tend(id, Duration::ZERO);
        }
    }

    fn peer(&mut self, id: DeviceId) -> &mut Peer {
        let seed = self.seed;
        self.peers.entry(id).or_insert_with(|| Peer {
            slot: Slot::Down,
            dial: Dial::Idle,
            backoff: Backoff::new(seed, &id),
        })
    }

    /// Whether `id` is to be dialled when there is no link to it.
    fn is_dialled(&self, id: &DeviceId) -> bool {
        let findable =
            self.wanted.routes.get(id).is_some_and(|addrs| !addrs.is_empty() || self.discovery);
        findable && !self.wanted.is_paused(id) && *id != self.shared.me
    }

    // Dialling.

    /// Makes sure that an attempt is planned exactly if there should be one.
    fn tend(&mut self, id: DeviceId, delay: Duration) {
        let wanted = self.is_dialled(&id);
        let peer = self.peer(id);
        let wanted = wanted && matches!(peer.slot, Slot::Down);
        match peer.dial {
            Dial::Idle if wanted => peer.dial = Dial::At(Instant::now() + delay),
            Dial::At(_) if !wanted => peer.dial = Dial::Idle,
            // An attempt on its way is let be: the peer may have decided for it already.
            Dial::Idle | Dial::At(_) | Dial::Running(_) => {}
        }
        let next = match peer.dial {
            Dial::At(at) => Some(at),
            Dial::Running(_) => Some(Instant::now()),
            Dial::Idle => None,
        };
        self.shared.stats(&id).set_next(next);
    }

    fn retry(&mut self, id: DeviceId) {
        let delay = self.peer(id).backoff.delay();
        self.tend(id, delay);
    }

    fn next_dial(&self) -> Option<Instant> {
        let planned = |peer: &Peer| if let Dial::At(at) = peer.dial { Some(at) } else { None };
        self.peers.values().filter_map(planned).min()
    }

    fn dial_due(&mut self) {
        let now = Instant::now();
        let due = |peer: &Peer| matches!(peer.dial, Dial::At(at) if at <= now);
        let due: Vec<DeviceId> =
            self.peers.iter().filter(|(_, peer)| due(peer)).map(|(id, _)| *id).collect();
        for id in due {
            if !self.shared.members.is_member(&id) {
                self.failed(id, (Cause::NotMemberHere, "no member of this library".to_owned()));
                continue;
            }
            let addrs = self.wanted.routes.get(&id).cloned().unwrap_or_else(Vec::new);
            let (endpoint, shared) = (self.endpoint.clone(), self.shared.clone());
            let attempt = Box::pin(dial(endpoint, shared, id, addrs));
            let handle = self.tasks.spawn(async move { Done::Dial(Box::new(attempt.await)) });
            self.names.insert(handle.id(), Task::Dial(id));
            self.peer(id).dial = Dial::Running(handle);
        }
    }

    fn failed(&mut self, id: DeviceId, (cause, why): (Cause, String)) {
        let why = close::printable(why.as_bytes());
        tracing::debug!(peer = %id, why, "an attempt to connect failed");
        let peer = self.peer(id);
        peer.dial = Dial::Idle;
        if !matches!(peer.slot, Slot::Down) {
            return;
        }
        peer.backoff.failed();
        self.shared.stats(&id).set_failure(Some((cause, why)));
        self.retry(id);
    }

    /// The links that this side dialled, and so keeps alive.
    fn dialled(&self) -> impl Iterator<Item = &Link> {
        let me = self.shared.me;
        self.peers.values().filter_map(move |peer| match &peer.slot {
            Slot::Up(current) if current.rank.dialler == me => Some(&*current.link),
            Slot::Up(_) | Slot::Down | Slot::Closing(..) => None,
        })
    }

    // Ends of tasks.

    fn done(&mut self, done: Result<(Id, Done), JoinError>) {
        let (task, done) = match done {
            Ok((task, done)) => (task, Ok(done)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(name) = self.names.remove(&task) else { return };
        match (name, done) {
            (Task::Link(id), Ok(Done::Link(reason))) => self.link_ended(id, reason),
            (Task::Dial(id), Ok(Done::Dial(result))) => self.dial_ended(id, task, *result),
            // Only attempts are aborted, and whoever does has planned what follows.
            (Task::Dial(_), Err(error)) if error.is_cancelled() => {}
            (Task::Link(id), failed) => {
                tracing::error!(peer = %id, failed = failed.is_err(), "a link failed");
                self.link_ended(id, (Cause::Cut, "internal failure".to_owned()));
            }
            (Task::Dial(id), failed) => {
                tracing::error!(peer = %id, failed = failed.is_err(), "an attempt failed oddly");
                self.failed(id, (Cause::Cut, "internal failure".to_owned()));
            }
        }
    }

    fn dial_ended(&mut self, id: DeviceId, task: Id, result: Result<Candidate, DialError>) {
        let running = &self.peer(id).dial;
        let current = matches!(running, Dial::Running(attempt) if attempt.id() == task);
        match result {
            // Aborted too late to be stopped: its connection is as good as any.
            Ok(candidate) => {
                if current {
                    self.peer(id).dial = Dial::Idle;
                }
                self.consider(candidate);
            }
            Err(error) if current => self.failed(id, (error.cause(), error.to_string())),
            Err(error) => tracing::debug!(peer = %id, %error, "an abandoned attempt failed"),
        }
    }

    fn link_ended(&mut self, id: DeviceId, (cause, reason): (Cause, String)) {
        self.shared.clear_link(&id);
        let peer = self.peer(id);
        let (ended, next) = match std::mem::replace(&mut peer.slot, Slot::Down) {
            Slot::Up(current) => (current, None),
            Slot::Closing(current, next) => (current, Some(next)),
            Slot::Down => unreachable!("the task of a link outlives its slot"),
        };
        if ended.since.elapsed() >= LASTING {
            peer.backoff.reset();
        } else {
            peer.backoff.failed();
        }
        let conn = ended.link.generation;
        tracing::info!(peer = %id, conn, reason, "disconnected");
        self.shared.stats(&id).set_failure(Some((cause, reason.clone())));
        self.shared.emit(NetEvent::Disconnected { peer: id, conn, cause, reason });
        match next {
            Some(next) => self.consider(*next),
            None => self.retry(id),
        }
    }

    // Links.

    /// Decides whether a connection becomes the link of its pair.
    fn consider(&mut self, candidate: Candidate) {
        let (id, me) = (candidate.peer, self.shared.me);
        if self.wanted.is_paused(&id) || self.shared.is_paused(&id) {
            return Close::Paused.connection(&candidate.conn, "paused");
        }
        if !self.shared.members.is_member(&id) {
            return Close::NotMember.connection(&candidate.conn, "not a member of this library");
        }
        let rank = rank(&candidate, me);
        let peer = self.peer(id);
        match std::mem::replace(&mut peer.slot, Slot::Down) {
            Slot::Down => self.bring_up(candidate, rank),
            Slot::Up(current) if rank.beats(&current.rank, me, id) => {
                if rank.instance == current.rank.instance {
                    current.link.close(Close::Replaced, "replaced by another connection");
                } else {
                    // It was restarted, and nobody hears this; or it is there twice.
                    current.link.close(Close::Elsewhere, "this device has connected anew");
                }
                self.shared.clear_link(&id);
                self.peer(id).slot = Slot::Closing(current, Box::new(candidate));
            }
            Slot::Up(current) => {
                peer.slot = Slot::Up(current);
                refuse(&candidate);
            }
            Slot::Closing(current, next) => {
                let (stays, goes) = if rank.beats(&self::rank(&next, me), me, id) {
                    (Box::new(candidate), next)
                } else {
                    (next, Box::new(candidate))
                };
                peer.slot = Slot::Closing(current, stays);
                refuse(&goes);
            }
        }
    }

    fn bring_up(&mut self, candidate: Candidate, rank: Rank) {
        let id = candidate.peer;
        self.generation += 1;
        let conn = self.generation;
        let link = Arc::new(Link::new(id, conn, candidate.conn.clone()));
        let (route, address) = (link.route(), link.address());
        tracing::info!(peer = %id, conn, route, dialled = candidate.dialled, "connected");
        self.shared.stats(&id).set_failure(None);
        self.shared.set_link(link.clone());
        self.shared.emit(NetEvent::Connected { peer: id, conn, route, address });
        let served = Box::pin(link::run(link.clone(), candidate, self.shared.clone()));
        let handle = self.tasks.spawn(async move { Done::Link(served.await) });
        self.names.insert(handle.id(), Task::Link(id));
        self.peer(id).slot = Slot::Up(Current { link, rank, since: Instant::now() });
        self.tend(id, Duration::ZERO);
    }
}

fn rank(candidate: &Candidate, me: DeviceId) -> Rank {
    let dialler = if candidate.dialled { me } else { candidate.peer };
    Rank { instance: candidate.instance, dialler }
}

fn refuse(candidate: &Candidate) {
    Close::Duplicate.connection(&candidate.conn, "another connection of the pair stays");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_keep_the_same_connection() {
        let (small, large) = (DeviceId([1; 32]), DeviceId([2; 32]));
        for first in [small, large] {
            for second in [small, large] {
                let rank = |dialler, of: u8| Rank { instance: [of; 16], dialler };
                // As the small one sees it, the instances are the large one's; and the reverse.
                let at_small = rank(second, 2).beats(&rank(first, 2), small, large);
                let at_large = rank(second, 1).beats(&rank(first, 1), large, small);
                assert_eq!(at_small, at_large);
                assert_eq!(at_small, first == second || second == small);
                assert!(rank(second, 3).beats(&rank(first, 2), small, large), "restarted");
            }
        }
    }
}
