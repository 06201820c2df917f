//! Reaching a library: over the socket if a daemon runs, else by opening it.

use std::io::{self, BufReader, BufWriter, ErrorKind, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use driftless::{Error, Library, StoreError};

use crate::args::LibraryCommand;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::places::Places;
use crate::wire::{self, Frame, Greeting, MAX_FRAME, PROTOCOL, Request, Step};

/// How long a command waits for another one that has the library open.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// How long a daemon may take to greet.
const GREETING_PATIENCE: Duration = Duration::from_secs(10);

/// How a library was reached.
pub(crate) enum Reached {
    /// A daemon has it.
    Daemon(Connection),
    /// This process has it.
    Open(Box<Library>),
}

/// Reaches the library. While another command has it open, waits for that to end.
pub(crate) fn reach(places: &Places) -> Result<Reached, Failure> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        if let Some(connection) = Connection::open(places)? {
            return Ok(Reached::Daemon(connection));
        }
        match places.open() {
            Ok(library) => return Ok(Reached::Open(Box::new(library))),
            Err(Error::Store(StoreError::Locked { .. })) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A connection to the daemon that has been greeted.
pub(crate) struct Connection {
    input: BufReader<UnixStream>,
    output: BufWriter<UnixStream>,
}

impl Connection {
    /// Connects to the daemon of a library; `None` if none runs.
    pub(crate) fn open(places: &Places) -> Result<Option<Self>, Failure> {
        for socket in places.sockets() {
            // What is no live daemon's socket refuses, whoever left it there.
            let Ok(stream) = UnixStream::connect(socket) else { continue };
            if let Some(connection) = Self::greeted(stream)? {
                return Ok(Some(connection));
            }
        }
        Ok(None)
    }

    fn greeted(stream: UnixStream) -> Result<Option<Self>, Failure> {
        let lost = |error: &io::Error| Failure::io("talking to the daemon", error);
        stream.set_read_timeout(Some(GREETING_PATIENCE)).map_err(|error| lost(&error))?;
        let writing = stream.try_clone().map_err(|error| lost(&error))?;
        let mut input = BufReader::new(stream);
        let greeting = match wire::receive::<Greeting>(&mut input, MAX_FRAME) {
            Ok(Some(greeting)) => greeting,
            // It was on its way out.
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(lost(&error)),
        };
        if greeting.driftless != PROTOCOL {
            let message = format!("the daemon is of version {}", greeting.version);
            return Err(Failure::new(Exit::Failed, "daemon_version", message)
                .next("stop that daemon and start it again with this version of driftless"));
        }
        input.get_ref().set_read_timeout(None).map_err(|error| lost(&error))?;
        Ok(Some(Self { input, output: BufWriter::new(writing) }))
    }

    /// Runs a command there, and hands on what it gives.
    pub(crate) fn run(&mut self, request: &Request, out: &mut dyn Output) -> Result<Exit, Failure> {
        self.send(request)?;
        follow(&mut self.input, out)
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: &Request) -> Result<(), Failure> {
        let sent = wire::send(&mut self.output, request).and_then(|()| self.output.flush());
        sent.map_err(|error| interrupted(&error))
    }

    /// Runs many operations there, each its own commit, and hands on a line for each.
    pub(crate) fn batch(
        mut self,
        commands: Vec<LibraryCommand>,
        out: &mut dyn Output,
    ) -> Result<Exit, Failure> {
        self.send(&Request::Batch)?;
        let (mut input, mut output) = self.split();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut steps = commands.into_iter().map(Step::Ok);
                let sent = steps.try_for_each(|step| wire::send(&mut output, &step));
                // If the daemon is gone, whoever reads its answers learns of it.
                drop(sent.and_then(|()| output.flush()));
                drop(output.get_ref().shutdown(Shutdown::Write));
            });
            follow(&mut input, out)
        })
    }

    /// The two directions, to be used by two threads.
    pub(crate) fn split(self) -> (BufReader<UnixStream>, BufWriter<UnixStream>) {
        (self.input, self.output)
    }

    /// Waits until the daemon has closed the connection.
    pub(crate) fn wait_for_end(mut self) -> Result<(), Failure> {
        drop(self.output.get_ref().shutdown(Shutdown::Write));
        loop {
            match wire::read_line(&mut self.input, MAX_FRAME) {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(error) => return Err(interrupted(&error)),
            }
        }
    }
}

/// Hands on frames until the last.
pub(crate) fn follow(
    input: &mut BufReader<UnixStream>,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    loop {
        let frame = wire::receive::<Frame>(input, MAX_FRAME);
        let frame = frame.and_then(|frame| frame.ok_or(ErrorKind::UnexpectedEof.into()));
        let handed = match frame.map_err(|error| interrupted(&error))? {
            Frame::End(result) => return result,
            Frame::Progress(progress) => out.progress(progress),
            Frame::Note(text) => out.note(text),
            Frame::Answer(answer) => out.answer(*answer),
            Frame::Rows(rows) => out.rows(rows),
            Frame::Line(line) => out.line(line),
        };
        // What has come is shown before the next is waited for.
        let shown =
            handed.and_then(|()| if input.buffer().is_empty() { out.flush() } else { Ok(()) });
        shown.map_err(|error| Failure::output(&error))?;
    }
}

fn interrupted(error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, "daemon_lost", format!("the daemon is gone: {error}"))
        .effect("What was committed is safe; whether the last operation was is not known.")
        .next("driftless status")
}
