//! `batch`: many operations, each its own commit, their results in order.
//!
//! Operations on different tags run side by side, so that the disk makes many of their commits durable
//! at once; others wait for those before them that they could see, or that could see them. Either way
//! the outcome is that of running them one after another.

use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Condvar, Mutex, PoisonError};

use super::order::{End, Order, touches};
use super::{Context, execute, gone};
use crate::args::LibraryCommand;
use crate::failure::{Exit, Failure};
use crate::output::{Collected, Output};
use crate::wire::Step;

/// Operations that run side by side at most.
const SIDE_BY_SIDE: usize = 64;

/// Runs all steps, and gives one line of JSON for each. [`Exit::Failed`] if one of them failed.
pub(crate) fn run(
    context: Context<'_>,
    steps: impl Iterator<Item = io::Result<Step>> + Send,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let (jobs, queue) = channel();
    let queue = Mutex::new(queue);
    let running = Running::default();
    let (results, ordered) = channel();
    std::thread::scope(|scope| {
        let (queue, running) = (&queue, &running);
        let schedule = move || {
            let mut schedule =
                Schedule { running, jobs, results, workers: 0, order: Order::default() };
            schedule.all(steps, || {
                scope.spawn(move || work(context, queue, running));
            })
        };
        let scheduler = scope.spawn(schedule);
        // Dropped at the first trouble, so that no more is begun.
        let ordered = ordered;
        let mut exit = Exit::Done;
        while let Some(result) = next(&ordered, out)? {
            let Some((line, ok)) = next(&result, out)? else {
                return Err(Failure::internal("an operation of the batch gave no result"));
            };
            if !ok {
                exit = Exit::Failed;
            }
            out.line(line).map_err(gone)?;
        }
        match scheduler.join() {
            Ok(Ok(())) => Ok(exit),
            Ok(Err(error)) => Err(Failure::io("reading the batch", &error)
                .effect("The operations that were answered are done; the others were not begun.")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Whose result comes next. Before it waits for that it shows what there is.
fn next<T>(ordered: &Receiver<T>, out: &mut dyn Output) -> Result<Option<T>, Failure> {
    match ordered.try_recv() {
        Ok(next) => Ok(Some(next)),
        Err(TryRecvError::Disconnected) => Ok(None),
        Err(TryRecvError::Empty) => {
            out.flush().map_err(gone)?;
            // It ends when there is nothing more to come.
            Ok(ordered.recv().ok())
        }
    }
}

/// A line of JSON, and whether the operation went well.
type Outcome = (String, bool);

struct Job {
    command: LibraryCommand,
    /// What has to end before.
    after: Vec<End>,
    end: End,
    outcome: Sender<Outcome>,
}

/// What is under way.
#[derive(Default)]
struct Running {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Running {
    fn wait_for_at_most(&self, limit: usize) {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let below = self.changed.wait_while(count, |count| *count > limit);
        drop(below.unwrap_or_else(PoisonError::into_inner));
    }

    fn count(&self) -> usize {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}

/// Counts an operation out, however it ends.
struct Ended<'a>(&'a Running, End);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.1.tell();
        *self.0.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.changed.notify_all();
    }
}

struct Schedule<'a> {
    running: &'a Running,
    jobs: Sender<Job>,
    results: Sender<Receiver<Outcome>>,
    workers: usize,
    order: Order,
}

impl Schedule<'_> {
    fn all(
        &mut self,
        steps: impl Iterator<Item = io::Result<Step>>,
        mut hire: impl FnMut(),
    ) -> io::Result<()> {
        for step in steps {
            let (outcome, result) = channel();
            // If nobody prints any more, nothing more needs to be done.
            if self.results.send(result).is_err() {
                break;
            }
            let command = match step? {
                Ok(command) => command,
                Err(failure) => {
                    drop(outcome.send((failure.json().to_string(), false)));
                    continue;
                }
            };
            let end = End::default();
            let touched = touches(&command);
            let alone = touched.is_none();
            if alone {
                self.running.wait_for_at_most(0);
            }
            let after = touched.map(|touches| self.order.enter(touches, &end));
            let after = after.unwrap_or_default();
            self.running.wait_for_at_most(SIDE_BY_SIDE - 1);
            self.running.add();
            if self.workers < SIDE_BY_SIDE.min(self.running.count()) {
                self.workers += 1;
                hire();
            }
            if self.jobs.send(Job { command, after, end, outcome }).is_err() {
                break;
            }
            if alone {
                self.running.wait_for_at_most(0);
            }
        }
        Ok(())
    }
}

fn work(context: Context<'_>, queue: &Mutex<Receiver<Job>>, running: &Running) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { command, after, end, outcome }) = next else { return };
        let ended = Ended(running, end);
        // They came before this one, so others are at them.
        after.iter().for_each(End::wait);
        let result = one(context, command);
        // Once it is counted out, the next may build on it.
        drop(ended);
        // If nobody prints any more, nobody needs the result.
        drop(outcome.send(result));
    }
}

fn one(context: Context<'_>, command: LibraryCommand) -> Outcome {
    let mut collected = Collected::default();
    match execute(context, command, &mut collected) {
        Ok(exit) => match collected.json() {
            Ok(value) => (value.to_string(), exit == Exit::Done),
            Err(error) => (Failure::internal(error.to_string()).json().to_string(), false),
        },
        Err(failure) => (failure.json().to_string(), false),
    }
}
