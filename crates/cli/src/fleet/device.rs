//! A device: a directory, and a process of its own that has it open.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use driftless::{Library, SyncOptions, Ticket};
use driftless_catalog::models;

use crate::answer::{Answer, StatusReport, SyncReport};
use crate::args::{InviteArgs, LibraryCommand, SyncArgs};
use crate::client::Connection;
use crate::execute::{Context, run_batch};
use crate::failure::{Exit, Failure};
use crate::output::{Collected, Output};
use crate::places::{Places, Surroundings};
use crate::wire::{Request, Step};

/// How long a daemon may take to be ready.
const READY: Duration = Duration::from_secs(30);

/// Lines that a process prints, as they come.
pub(crate) type Lines = Receiver<std::io::Result<String>>;

/// A device's process, if one runs.
pub(crate) type Slot = Arc<Mutex<Option<Child>>>;

/// A device.
pub(crate) struct Device {
    pub(crate) name: String,
    home: PathBuf,
    places: Places,
    daemon: Slot,
}

fn lock(slot: &Slot) -> MutexGuard<'_, Option<Child>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills a daemon at once, as a power cut would.
pub(crate) fn kill(slot: &Slot) {
    if let Some(mut child) = lock(slot).take() {
        // One that has ended by itself cannot be killed, which is as good.
        drop(child.kill());
        drop(child.wait());
    }
}

/// Sync that stays on this machine.
pub(crate) fn loopback() -> SyncOptions {
    let listen: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    SyncOptions { listen: Some(listen), offline: true }
}

impl Device {
    pub(crate) fn new(place: &Path, number: u16) -> Result<Self, Failure> {
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

    /// The library's directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.places.dir
    }

    pub(crate) fn slot(&self) -> Slot {
        self.daemon.clone()
    }

    /// Begins a library on this device, and has it open.
    pub(crate) fn found(&self) -> Result<Library, Failure> {
        Ok(Library::create(&self.places.dir, &models(), "on one machine", &self.name)?)
    }

    /// Opens this device's library in this process, while no daemon has it open.
    pub(crate) fn open(&self) -> Result<Library, Failure> {
        Ok(self.places.open()?)
    }

    /// Joins the library of a ticket.
    pub(crate) fn join(&self, ticket: &str) -> Result<(), Failure> {
        let ticket = Ticket::parse(ticket)?;
        let (dir, yes) = (&self.places.dir, |_, _: &str| true);
        driftless::join(dir, &models(), &ticket, &self.name, &loopback(), yes)?.close();
        Ok(())
    }

    /// Starts the daemon, and waits until it is ready.
    pub(crate) fn up(&self) -> Result<(), Failure> {
        self.start(&["up", "--offline", "--listen", "127.0.0.1:0", "--tied"]).map(drop)
    }

    /// Starts the program with these words in a process of its own, which has to end with its
    /// standard input, and waits until it says that it is ready: the line, and what follows it.
    pub(crate) fn start(&self, words: &[&str]) -> Result<(String, Lines), Failure> {
        let failed =
            |error: std::io::Error| Failure::io(&format!("starting {}", self.name), &error);
        let log = File::create(self.log()).map_err(failed)?;
        let program = std::env::current_exe().map_err(failed)?;
        let mut child = Command::new(program)
            .arg("--dir")
            .arg(&self.places.dir)
            .arg("--json")
            .args(words)
            .env("XDG_RUNTIME_DIR", self.home.join("run"))
            .env("XDG_STATE_HOME", self.home.join("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // A signal from the keyboard is for whoever started it, who ends its devices in order.
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

    fn await_ready(&self, output: ChildStdout) -> Result<(String, Lines), Failure> {
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                // If nobody listens any more, nothing else is left to be done either.
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        match lines.recv_timeout(READY) {
            Ok(Ok(line)) if line.contains("\"ready\":true") => Ok((line, lines)),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(self.not_ready("did not start")),
            Err(RecvTimeoutError::Timeout) => Err(self.not_ready("took too long to start")),
        }
    }

    /// Writes a line to the standard input of the process.
    pub(crate) fn say(&self, line: &str) -> Result<(), Failure> {
        let mut daemon = lock(&self.daemon);
        let input = daemon.as_mut().and_then(|child| child.stdin.as_mut());
        let input = input.ok_or_else(|| Failure::internal("a process with an input runs"))?;
        let said = writeln!(input, "{line}").and_then(|()| input.flush());
        said.map_err(|error| Failure::io(&format!("talking to {}", self.name), &error))
    }

    /// The number of the process that runs, if one does.
    pub(crate) fn process(&self) -> Option<u32> {
        lock(&self.daemon).as_ref().map(Child::id)
    }

    fn not_ready(&self, what: &str) -> Failure {
        let log = std::fs::read_to_string(self.log());
        let last: String = match &log {
            Ok(log) => log.lines().rev().take(3).collect::<Vec<_>>().join(" / "),
            Err(error) => error.to_string(),
        };
        Failure::new(Exit::Failed, "device", format!("{} {what}: {last}", self.name))
            .effect("The directories of these devices are their own; nothing else was touched.")
            .next("driftless demo --keep, and look at the logs")
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Kills the daemon.
    pub(crate) fn kill(&self) {
        kill(&self.daemon);
    }

    fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(&self.places)?.ok_or_else(|| self.not_ready("is not running any more"))
    }

    /// Runs a command at the daemon; what it tells of its progress goes to `out`.
    pub(crate) fn run_telling(
        &self,
        command: LibraryCommand,
        out: &mut dyn Output,
    ) -> Result<Exit, Failure> {
        self.connect()?.run(&Request::Run(command), out)
    }

    /// Runs a command at the daemon.
    pub(crate) fn run(&self, command: LibraryCommand) -> Result<Collected, Failure> {
        let mut collected = Collected::default();
        self.run_telling(command, &mut collected)?;
        Ok(collected)
    }

    /// A ticket for one more device, from the daemon.
    pub(crate) fn ticket(&self) -> Result<String, Failure> {
        let args = InviteArgs { expires: "10m".to_owned(), qr: false, attend: false };
        match self.run(LibraryCommand::Invite(args))?.answer {
            Some(Answer::Invitation(invitation)) => Ok(invitation.ticket),
            _ => Err(Failure::internal("an invitation is a ticket")),
        }
    }

    /// Runs many operations, each its own commit: at the daemon, or without one if it was killed.
    /// All have to go well.
    pub(crate) fn batch(&self, commands: Vec<LibraryCommand>) -> Result<(), Failure> {
        let mut collected = Collected::default();
        let running = lock(&self.daemon).is_some();
        let exit = if running {
            self.connect()?.batch(commands, &mut collected)?
        } else {
            let library = self.places.open()?;
            let steps = commands.into_iter().map(|command| Ok(Step::Ok(command)));
            run_batch(Context::alone(&library), steps, &mut collected)?
        };
        match (exit, collected.lines.iter().find(|line| line.contains("\"error\""))) {
            (Exit::Done, _) => Ok(()),
            (_, line) => Err(Failure::new(
                Exit::Failed,
                "device",
                format!("an operation on {} failed: {}", self.name, line.map_or("", |line| line)),
            )),
        }
    }

    /// Waits until everybody has everything; fails if that takes too long.
    pub(crate) fn sync(&self, seconds: f64, out: &mut dyn Output) -> Result<(), Failure> {
        let mut collected = Telling { out, kept: Collected::default() };
        let args = SyncArgs { wait: seconds, reachable: false, offline: true };
        self.run_telling(LibraryCommand::Sync(args), &mut collected)?;
        match collected.kept.answer {
            Some(Answer::Sync(SyncReport { done: true, .. })) => Ok(()),
            _ => Err(Failure::new(
                Exit::NotYet,
                "device",
                format!("{} and the others were not in sync after {seconds} s", self.name),
            )
            .next("driftless demo --keep, and look at the logs")),
        }
    }

    pub(crate) fn status(&self) -> Result<StatusReport, Failure> {
        match self.run(LibraryCommand::Status { watch: false })?.answer {
            Some(Answer::Status(status)) => Ok(*status),
            _ => Err(Failure::internal("status gives a status")),
        }
    }

    /// The digest over all models.
    pub(crate) fn digest(&self) -> Result<String, Failure> {
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
pub(crate) struct Telling<'a> {
    pub(crate) out: &'a mut dyn Output,
    pub(crate) kept: Collected,
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
