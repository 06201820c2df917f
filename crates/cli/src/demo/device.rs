//! A device of the demo: a directory, and a daemon that is a process of its own.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use driftless::{Library, SyncOptions, Ticket};
use driftless_catalog::models;

use crate::answer::{Answer, StatusReport, SyncReport};
use crate::args::{LibraryCommand, SyncArgs};
use crate::client::Connection;
use crate::execute::{Context, run_batch};
use crate::failure::{Exit, Failure};
use crate::output::{Collected, Output};
use crate::places::{Places, Surroundings};
use crate::wire::{Request, Step};

/// How long a daemon may take to be ready.
const READY: Duration = Duration::from_secs(30);

/// A daemon's process, if one runs.
pub(super) type Slot = Arc<Mutex<Option<Child>>>;

/// A device.
pub(super) struct Device {
    pub(super) name: String,
    home: PathBuf,
    places: Places,
    daemon: Slot,
}

fn lock(slot: &Slot) -> MutexGuard<'_, Option<Child>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills a daemon at once, as a power cut would.
pub(super) fn kill(slot: &Slot) {
    if let Some(mut child) = lock(slot).take() {
        // One that has ended by itself cannot be killed, which is as good.
        drop(child.kill());
        drop(child.wait());
    }
}

fn loopback() -> SyncOptions {
    let listen: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    SyncOptions { listen: Some(listen), offline: true }
}

impl Device {
    pub(super) fn new(place: &Path, number: u8) -> Result<Self, Failure> {
        let name = format!("device-{number}");
        let home = place.join(&name);
        let around = Surroundings {
            runtime_dir: Some(home.join("run")),
            state_home: Some(home.join("state")),
            ..Surroundings::default()
        };
        std::fs::create_dir_all(&home)
            .map_err(|error| Failure::io(&format!("making {}", home.display()), &error))?;
        let places = Places::new(Some(home.join("library")), &around)?;
        Ok(Self { name, home, places, daemon: Slot::default() })
    }

    pub(super) fn slot(&self) -> Slot {
        self.daemon.clone()
    }

    /// Begins a library on this device.
    pub(super) fn found(&self) -> Result<(), Failure> {
        Library::create(&self.places.dir, &models(), "demo", &self.name)?.close();
        Ok(())
    }

    /// Joins the library of a ticket.
    pub(super) fn join(&self, ticket: &str) -> Result<(), Failure> {
        let ticket = Ticket::parse(ticket)?;
        let (dir, yes) = (&self.places.dir, |_, _: &str| true);
        driftless::join(dir, &models(), &ticket, &self.name, &loopback(), yes)?.close();
        Ok(())
    }

    /// Starts the daemon, and waits until it is ready.
    pub(super) fn up(&self) -> Result<(), Failure> {
        let failed =
            |error: std::io::Error| Failure::io(&format!("starting {}", self.name), &error);
        let log = File::create(self.log()).map_err(failed)?;
        let program = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(program)
            .arg("--dir")
            .arg(&self.places.dir)
            .args(["--json", "up", "--offline", "--listen", "127.0.0.1:0", "--tied"])
            .env("XDG_RUNTIME_DIR", self.home.join("run"))
            .env("XDG_STATE_HOME", self.home.join("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // A signal from the keyboard is for the demo, which ends its devices in order.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let output = child.stdout.take();
        *lock(&self.daemon) = Some(child);
        match output {
            Some(output) => self.await_ready(output),
            None => Err(Failure::internal("a piped output is missing")),
        }
    }

    fn await_ready(&self, output: ChildStdout) -> Result<(), Failure> {
        let (send, first) = channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(output).read_line(&mut line);
            // If it took too long nobody waits any more.
            drop(send.send(read.map(|_| line)));
        });
        match first.recv_timeout(READY) {
            Ok(Ok(line)) if line.contains("\"ready\":true") => Ok(()),
            Ok(_) => Err(self.not_ready("did not start")),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(self.not_ready("took too long to start"))
            }
        }
    }

    fn not_ready(&self, what: &str) -> Failure {
        let log = std::fs::read_to_string(self.log());
        let last: String = match &log {
            Ok(log) => log.lines().rev().take(3).collect::<Vec<_>>().join(" / "),
            Err(error) => error.to_string(),
        };
        Failure::new(Exit::Failed, "demo", format!("{} {what}: {last}", self.name))
            .effect("The demo's directories are its own; nothing else was touched.")
            .next("driftless demo --keep, and look at the logs")
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Kills the daemon.
    pub(super) fn kill(&self) {
        kill(&self.daemon);
    }

    fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(&self.places)?.ok_or_else(|| self.not_ready("is not running any more"))
    }

    /// Runs a command at the daemon; what it tells of its progress goes to `out`.
    pub(super) fn run_telling(
        &self,
        command: LibraryCommand,
        out: &mut dyn Output,
    ) -> Result<Exit, Failure> {
        self.connect()?.run(&Request::Run(command), out)
    }

    /// Runs a command at the daemon.
    pub(super) fn run(&self, command: LibraryCommand) -> Result<Collected, Failure> {
        let mut collected = Collected::default();
        self.run_telling(command, &mut collected)?;
        Ok(collected)
    }

    /// Runs many operations, each its own commit: at the daemon, or without one if it was killed.
    /// All have to go well.
    pub(super) fn batch(&self, commands: Vec<LibraryCommand>) -> Result<(), Failure> {
        let mut collected = Collected::default();
        let running = lock(&self.daemon).is_some();
        let exit = if running {
            self.connect()?.batch(commands, &mut collected)?
        } else {
            let library = Library::open(&self.places.dir, &models())?;
            let steps = commands.into_iter().map(|command| Ok(Step::Ok(command)));
            run_batch(Context::alone(&library), steps, &mut collected)?
        };
        match (exit, collected.lines.iter().find(|line| line.contains("\"error\""))) {
            (Exit::Done, _) => Ok(()),
            (_, line) => Err(Failure::new(
                Exit::Failed,
                "demo",
                format!("an operation on {} failed: {}", self.name, line.map_or("", |line| line)),
            )),
        }
    }

    /// Waits until everybody has everything; fails if that takes too long.
    pub(super) fn sync(&self, seconds: f64, out: &mut dyn Output) -> Result<(), Failure> {
        let mut collected = Telling { out, kept: Collected::default() };
        let args = SyncArgs { wait: seconds, reachable: false, offline: true };
        self.run_telling(LibraryCommand::Sync(args), &mut collected)?;
        match collected.kept.answer {
            Some(Answer::Sync(SyncReport { done: true, .. })) => Ok(()),
            _ => Err(Failure::new(
                Exit::NotYet,
                "demo",
                format!("{} and the others were not in sync after {seconds} s", self.name),
            )
            .next("driftless demo --keep, and look at the logs")),
        }
    }

    pub(super) fn status(&self) -> Result<StatusReport, Failure> {
        match self.run(LibraryCommand::Status { watch: false })?.answer {
            Some(Answer::Status(status)) => Ok(*status),
            _ => Err(Failure::internal("status gives a status")),
        }
    }

    /// The digest over all models.
    pub(super) fn digest(&self) -> Result<String, Failure> {
        match self.run(LibraryCommand::Digest)?.answer {
            Some(Answer::Digests(mut digests)) => digests
                .remove("all")
                .ok_or_else(|| Failure::internal("there is a digest over all models")),
            _ => Err(Failure::internal("digest gives digests")),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Hands progress on, and keeps the rest.
pub(super) struct Telling<'a> {
    pub(super) out: &'a mut dyn Output,
    pub(super) kept: Collected,
}

impl Output for Telling<'_> {
    fn progress(&mut self, progress: crate::output::Progress) -> std::io::Result<()> {
        self.out.progress(progress)
    }

    fn note(&mut self, text: String) -> std::io::Result<()> {
        self.out.note(text)
    }

    fn answer(&mut self, answer: Answer) -> std::io::Result<()> {
        self.kept.answer(answer)
    }

    fn rows(&mut self, rows: crate::answer::Rows) -> std::io::Result<()> {
        self.kept.rows(rows)
    }

    fn line(&mut self, line: String) -> std::io::Result<()> {
        self.kept.line(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.kept.flush()
    }
}
