//! Content hashes: BLAKE3 over the bytes of a file, on two threads.
//!
//! Two, because one waits for the disk while the other counts, and because more would take the
//! machine away from its user. Results come as they are ready, each with the tag of its job.
//!
//! **A hash is of one state of a file, or there is none.** The file is looked at before and after
//! it is read; if size or modification time differ, or it held more or less than its size, it is
//! [`What::Changed`], to be tried again later. Two limits of that, both of file systems: a writer
//! can set the modification time back, and a write within the same tick of the file system's
//! clock (4 ms on many, 2 s on FAT) leaves no trace. So whoever keeps a hash of a file that was
//! modified only moments ago should look at it again: [`Hashed::meta`] says when that was.
//!
//! **Nothing but regular files is opened**: a FIFO would wait for a writer, a device may act.

mod read;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::dir::open_root;
use super::meta::Meta;
use super::problem::{Problem, RootError};

#[cfg(doc)]
use super::problem::What;

/// How many threads read and hash.
pub const WORKERS: usize = 2;

/// How many jobs a pool takes before it wants results to be taken.
pub const MAX_IN_FLIGHT: usize = 64;

/// A wish that work stops, shared by all who wait for it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks for the work to stop; it does so within one buffer's length.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A file to hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job<T> {
    /// The caller's own name for it.
    pub tag: T,
    /// Its path, relative to the pool's root.
    pub path: PathBuf,
}

/// A content hash and what it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed {
    /// BLAKE3 of the file's bytes.
    pub hash: [u8; 32],
    /// The file as it was before and after it was read. Compare it with what was found earlier:
    /// it may be another file by now.
    pub meta: Meta,
}

/// What became of a job.
#[derive(Debug)]
pub enum Outcome {
    /// It has its hash.
    Hashed(Hashed),
    /// It has none, for this reason.
    Problem(Problem),
    /// It has none, as the work was cancelled.
    Cancelled,
}

/// A job that is done.
#[derive(Debug)]
pub struct Done<T> {
    /// The job.
    pub job: Job<T>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Why a pool could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The root could not be opened.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The system gave no thread.
    #[error("no thread to hash with")]
    Thread(#[source] io::Error),
}

/// Two threads that hash the files of one tree.
///
/// Dropping it gives up what is not done yet; the threads end by themselves, and a file system
/// that does not answer holds up nobody but them.
#[derive(Debug)]
pub struct HashPool<T> {
    jobs: Sender<Job<T>>,
    done: Receiver<Done<T>>,
    in_flight: usize,
    shared: Arc<Shared>,
}

/// What pool and threads share.
#[derive(Debug)]
struct Shared {
    root: OwnedFd,
    cancel: Cancel,
    dropped: AtomicBool,
    bytes: AtomicU64,
}

impl Shared {
    fn wanted(&self) -> bool {
        !self.cancel.is_cancelled() && !self.dropped.load(Ordering::Relaxed)
    }
}

impl<T: Send + 'static> HashPool<T> {
    /// Opens the root and starts the threads.
    ///
    /// # Errors
    /// If either is not possible.
    pub fn open(root: &Path, cancel: Cancel) -> Result<Self, PoolError> {
        let root = open_root(root).map_err(|errno| RootError::of(root, errno))?;
        let dropped = AtomicBool::new(false);
        let shared = Arc::new(Shared { root, cancel, dropped, bytes: AtomicU64::new(0) });
        let (jobs, todo) = channel();
        let (finished, done) = channel();
        let todo = Arc::new(Mutex::new(todo));
        let pool = Self { jobs, done, in_flight: 0, shared };
        for n in 1..=WORKERS {
            let (todo, finished) = (Arc::clone(&todo), finished.clone());
            let shared = Arc::clone(&pool.shared);
            thread::Builder::new()
                .name(format!("hash-{n}"))
                .spawn(move || work(&shared, &todo, &finished))
                .map_err(PoolError::Thread)?;
        }
        Ok(pool)
    }

    /// Takes a job.
    ///
    /// # Errors
    /// Gives it back if [`MAX_IN_FLIGHT`] jobs are in the pool: take results first.
    pub fn submit(&mut self, job: Job<T>) -> Result<(), Job<T>> {
        if self.in_flight >= MAX_IN_FLIGHT {
            return Err(job);
        }
        self.jobs.send(job).map_err(|refused| refused.0)?;
        self.in_flight += 1;
        Ok(())
    }

    /// How many jobs are in the pool, results not yet taken included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Waits for a result. `None` if there is none to wait for.
    pub fn wait(&mut self) -> Option<Done<T>> {
        if self.in_flight == 0 {
            return None;
        }
        let done = self.done.recv().expect("the threads live as long as the pool");
        self.in_flight -= 1;
        Some(done)
    }

    /// Waits for a result, but no longer than this. `None` also if there is none to wait for.
    pub fn wait_for(&mut self, time: Duration) -> Option<Done<T>> {
        if self.in_flight == 0 {
            return None;
        }
        match self.done.recv_timeout(time) {
            Ok(done) => {
                self.in_flight -= 1;
                Some(done)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                unreachable!("the threads live as long as the pool")
            }
        }
    }

    /// A result, if one is ready.
    pub fn poll(&mut self) -> Option<Done<T>> {
        match self.done.try_recv() {
            Ok(done) => {
                self.in_flight -= 1;
                Some(done)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                unreachable!("the threads live as long as the pool")
            }
        }
    }

    /// How many bytes were read so far, those of files not yet done included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Does all these jobs, taking them from the iterator only as fast as they get done.
    pub fn run<I: Iterator<Item = Job<T>>>(self, jobs: I) -> Run<T, I> {
        Run { pool: self, jobs: Some(jobs) }
    }
}

impl<T> Drop for HashPool<T> {
    fn drop(&mut self) {
        self.shared.dropped.store(true, Ordering::Relaxed);
    }
}

/// The results of [`HashPool::run`].
#[derive(Debug)]
pub struct Run<T, I> {
    pool: HashPool<T>,
    /// None once it has ended.
    jobs: Option<I>,
}

impl<T: Send + 'static, I: Iterator<Item = Job<T>>> Iterator for Run<T, I> {
    type Item = Done<T>;

    fn next(&mut self) -> Option<Done<T>> {
        while self.pool.in_flight < MAX_IN_FLIGHT
            && let Some(jobs) = &mut self.jobs
        {
            let Some(job) = jobs.next() else {
                self.jobs = None;
                break;
            };
            assert!(self.pool.submit(job).is_ok(), "there was room for it");
        }
        self.pool.wait()
    }
}

fn work<T>(shared: &Shared, todo: &Mutex<Receiver<Job<T>>>, finished: &Sender<Done<T>>) {
    let mut buffer = read::buffer();
    loop {
        // Waiting under the lock is meant: whoever has it gets the next job.
        let job = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        let outcome = read::hash(&shared.root, &job.path, &mut buffer, |read| {
            shared.bytes.fetch_add(read, Ordering::Relaxed);
            shared.wanted()
        });
        if finished.send(Done { job, outcome }).is_err() {
            return;
        }
    }
}
