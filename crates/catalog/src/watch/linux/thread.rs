//! The thread that listens to the kernel, and the meeting point with whoever wants batches.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use super::super::Batch;
use super::kernel::{Queue, Raw};
use super::state::State;

/// The kernel's queue is read so often at most: it folds writes that follow each other into one.
const PAUSE: Duration = Duration::from_millis(2);

/// So many reads catch up with the longest queue.
const MAX_READS: usize = 256;

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// There is something for a batch, or no more.
    changed: Condvar,
    /// Wakes the thread.
    wake: OwnedFd,
    turns: AtomicU64,
}

impl Shared {
    pub(super) fn new(state: State) -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            wake,
            turns: AtomicU64::new(0),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state")
    }

    #[cfg(test)]
    pub(super) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
        self.wake();
    }

    pub(super) fn next(&self, deadline: Instant) -> Option<Batch> {
        let mut state = self.lock();
        let applied = Instant::now() + state.options.settle;
        loop {
            let now = Instant::now();
            if state.stopped {
                return None;
            }
            if applied <= now && state.journal.has_given() {
                self.catch_up(&mut state);
                state.all_applied();
            }
            let ready = state.ready_at(now);
            if ready.is_some_and(|ready| ready <= now) {
                // What moved before the last batch was applied must not be heard after this one.
                self.catch_up(&mut state);
                let batch = state.take();
                if !batch.is_empty() {
                    return Some(batch);
                }
                continue;
            }
            if deadline <= now {
                return None;
            }
            let applied = state.journal.has_given().then_some(applied);
            let until = [ready, applied].into_iter().flatten().fold(deadline, Instant::min);
            let waited = self.changed.wait_timeout(state, until.saturating_duration_since(now));
            state = waited.expect("nobody panics while holding the state").0;
        }
    }

    /// Hears what has been said until now, in the thread's place.
    fn catch_up(&self, state: &mut State) {
        let mut raw = Vec::new();
        for _ in 0..MAX_READS {
            let Some(queue) = state.queue.clone() else { break };
            raw.clear();
            let all = drain(state, &queue, &mut raw);
            if !raw.is_empty() {
                // There may be something to do at a time that the thread does not know of.
                self.wake();
            }
            if all {
                break;
            }
        }
    }

    fn wake(&self) {
        match rustix::io::write(&self.wake, &1u64.to_ne_bytes()) {
            // It is full of earlier wakes, and wakes as well.
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(errno) => unreachable!("the event is open: {errno}"),
        }
    }

    fn woken(&self) {
        match rustix::io::read(&self.wake, &mut [0; 8]) {
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(errno) => unreachable!("the event is open: {errno}"),
        }
    }

    /// The thread.
    pub(super) fn run(&self) {
        // Without a table of mounts, that a drive came or went is seen by what it does to the root.
        let mounts = File::open("/proc/self/mountinfo").ok();
        let mut raw = Vec::new();
        loop {
            self.turns.fetch_add(1, Ordering::Relaxed);
            let (queue, timeout) = {
                let state = self.lock();
                if state.stopped {
                    return;
                }
                let now = Instant::now();
                let timeout = state.next_tick().map(|at| at.saturating_duration_since(now));
                (state.queue.clone(), timeout)
            };
            let mounts_changed = self.wait(queue.as_ref(), mounts.as_ref(), timeout);
            self.woken();
            let all = self.work(queue, mounts_changed, &mut raw);
            if all && !raw.is_empty() {
                self.wait(None, None, Some(PAUSE));
            }
        }
    }

    /// Sleeps until something happens, the thread is woken, or the time is over. Tells whether the
    /// table of mounts has changed.
    fn wait(&self, queue: Option<&Queue>, mounts: Option<&File>, time: Option<Duration>) -> bool {
        let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
        fds.extend(queue.map(|queue| PollFd::new(queue.fd(), PollFlags::IN)));
        let mounts_at = fds.len();
        fds.extend(mounts.map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)));
        // What does not fit is longer than anybody waits.
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        match poll(&mut fds, time.as_ref()) {
            Ok(_) => fds.get(mounts_at).is_some_and(|fd| !fd.revents().is_empty()),
            Err(Errno::INTR) => false,
            Err(errno) => unreachable!("the descriptors are open: {errno}"),
        }
    }

    /// Tells whether all was read that waited.
    fn work(&self, queue: Option<Queue>, mounts_changed: bool, raw: &mut Vec<Raw>) -> bool {
        let mut state = self.lock();
        let was_ready = state.ready_at(Instant::now()).is_some();
        raw.clear();
        let all = queue.is_none_or(|queue| drain(&mut state, &queue, raw));
        let now = Instant::now();
        if mounts_changed {
            state.mounts_changed(now);
        }
        state.tick(now);
        if !was_ready && state.ready_at(now).is_some() {
            self.changed.notify_all();
        }
        all
    }
}

/// Reads what waits, at most as much as one call gives. Tells whether that was all.
fn drain(state: &mut State, queue: &Queue, raw: &mut Vec<Raw>) -> bool {
    let now = Instant::now();
    let read = queue.read(raw);
    for raw in raw.iter() {
        // What an older queue said is about watches that are no more.
        if state.queue.as_ref().is_some_and(|current| current.is(queue)) {
            state.apply(raw, now);
        }
    }
    match read {
        Ok(true) => state.heard = Some(now),
        Ok(false) => {}
        Err(_) => state.overflow(now),
    }
    !matches!(read, Ok(false))
}
