//! `batch`: many operations, each its own commit, their results in order.
//!
//! Operations that cannot see each other run side by side, so that the disk makes many of their
//! commits durable at once; all others wait until those before them have ended. Either way the
//! outcome is that of running them one after another.

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Condvar, Mutex, PoisonError};

use super::{Context, execute, gone};
use crate::args::{CatalogCommand, LibraryCommand, TagCommand};
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
                Schedule { running, jobs, results, workers: 0, about: BTreeSet::new() };
            schedule.all(steps, || {
                scope.spawn(move || work(context, queue, running));
            })
        };
        let scheduler = scope.spawn(schedule);
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
    outcome: Sender<Outcome>,
}

/// What operations on tags have in common that may run side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Create,
    Set,
    Add,
    Remove,
}

/// The class of an operation, and what no other one that runs beside it may be about.
fn class(command: &LibraryCommand) -> Option<(Class, Option<&str>)> {
    let LibraryCommand::Catalog(CatalogCommand::Tag { command }) = command else { return None };
    match command {
        TagCommand::Create { parent: None, .. } => Some((Class::Create, None)),
        // Names tell tags apart; an id could be that of a tag which goes by its name elsewhere.
        TagCommand::Set { tag, fields } if !could_be_an_id(tag) && leave_names(fields) => {
            Some((Class::Set, Some(tag)))
        }
        TagCommand::Add { .. } => Some((Class::Add, None)),
        TagCommand::Remove { .. } => Some((Class::Remove, None)),
        _ => None,
    }
}

fn could_be_an_id(selector: &str) -> bool {
    selector.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn leave_names(fields: &[String]) -> bool {
    let named = |field: &String| field.starts_with("name=") || field.starts_with("parent=");
    !fields.iter().any(named)
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

    fn add(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}

/// Counts an operation out, however it ends.
struct Ended<'a>(&'a Running);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        *self.0.count.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.changed.notify_all();
    }
}

struct Schedule<'a> {
    running: &'a Running,
    jobs: Sender<Job>,
    results: Sender<Receiver<Outcome>>,
    workers: usize,
    /// What those under way are about.
    about: BTreeSet<String>,
}

impl Schedule<'_> {
    fn all(
        &mut self,
        steps: impl Iterator<Item = io::Result<Step>>,
        mut hire: impl FnMut(),
    ) -> io::Result<()> {
        let mut now = None;
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
            let next = class(&command);
            let same = next.is_some_and(|(class, _)| Some(class) == now);
            let about = next.and_then(|(_, about)| about);
            let together = same && about.is_none_or(|about| !self.about.contains(about));
            if !together {
                self.running.wait_for_at_most(0);
                self.about.clear();
            }
            self.about.extend(about.map(str::to_owned));
            now = next.map(|(class, _)| class);
            self.running.wait_for_at_most(SIDE_BY_SIDE - 1);
            self.running.add();
            if self.workers < SIDE_BY_SIDE && (self.workers == 0 || together) {
                self.workers += 1;
                hire();
            }
            if self.jobs.send(Job { command, outcome }).is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn work(context: Context<'_>, queue: &Mutex<Receiver<Job>>, running: &Running) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { command, outcome }) = next else { return };
        let ended = Ended(running);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Option<Class> {
        use clap::Parser as _;
        let line = ["driftless", "tag"].iter().chain(words);
        let cli = crate::args::Cli::try_parse_from(line).unwrap();
        let crate::args::Command::Library(command) = cli.command else { panic!("{words:?}") };
        class(&command).map(|(class, _)| class)
    }

    #[test]
    fn only_what_cannot_see_each_other_runs_side_by_side() {
        assert_eq!(of(&["create", "a"]), Some(Class::Create));
        assert_eq!(of(&["create", "a", "--parent", "b"]), None);
        assert_eq!(of(&["add", "a", "/x"]), Some(Class::Add));
        assert_eq!(of(&["remove", "a", "/x"]), Some(Class::Remove));
        assert_eq!(of(&["set", "holiday", "color=red"]), Some(Class::Set));
        assert_eq!(of(&["set", "holiday", "color=red", "name=x"]), None);
        assert_eq!(of(&["set", "holiday", "parent="]), None);
        assert_eq!(of(&["set", "beef", "color=red"]), None, "it could be an id");
        assert_eq!(of(&["rm", "a"]), None);
    }
}
