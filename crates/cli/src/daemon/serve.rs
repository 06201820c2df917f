//! One client, from its greeting to its end.

use std::io::{self, BufReader, BufWriter, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;

use super::Stop;
use super::background::Background;
use crate::answer::{Answer, Rows};
use crate::execute::{Context, execute, run_batch};
use crate::failure::{Exit, Failure};
use crate::output::{Output, Progress};
use crate::wire::{self, Frame, Greeting, MAX_REQUEST, PROTOCOL, Request, Step};

/// Serves a client until it goes.
pub(super) fn serve(
    stream: &UnixStream,
    background: &Background,
    stop: &Sender<Stop>,
) -> io::Result<()> {
    let mut input = BufReader::new(stream);
    let mut out = Wire(BufWriter::new(stream));
    let version = env!("CARGO_PKG_VERSION").to_owned();
    wire::send(&mut out.0, &Greeting { driftless: PROTOCOL, version })?;
    out.flush()?;
    let context = Context::of_daemon(background);
    while let Some(request) = wire::receive::<Request>(&mut input, MAX_REQUEST)? {
        match request {
            Request::Run(command) => {
                let result = execute(context, command, &mut out);
                out.end(result)?;
            }
            Request::Ask(command) => {
                let result = execute(context.asking(), command, &mut out);
                out.end(result)?;
            }
            Request::Batch => {
                let steps = std::iter::from_fn(|| {
                    wire::receive::<Step>(&mut input, MAX_REQUEST).transpose()
                });
                let result = run_batch(context, steps, &mut out);
                return out.end(result);
            }
            Request::Down => {
                out.end(Ok(Exit::Done))?;
                // If the daemon is ending already there is nobody to tell.
                drop(stop.send(Stop::Asked(stream.try_clone()?)));
            }
        }
    }
    Ok(())
}

/// Sends results as frames.
struct Wire<'a>(BufWriter<&'a UnixStream>);

impl Wire<'_> {
    fn end(&mut self, result: Result<Exit, Failure>) -> io::Result<()> {
        wire::send(&mut self.0, &Frame::End(result))?;
        self.flush()
    }

    fn now(&mut self, frame: &Frame) -> io::Result<()> {
        wire::send(&mut self.0, frame)?;
        self.flush()
    }
}

impl Output for Wire<'_> {
    fn progress(&mut self, progress: Progress) -> io::Result<()> {
        self.now(&Frame::Progress(progress))
    }

    fn note(&mut self, text: String) -> io::Result<()> {
        self.now(&Frame::Note(text))
    }

    fn answer(&mut self, answer: Answer) -> io::Result<()> {
        self.now(&Frame::Answer(Box::new(answer)))
    }

    fn rows(&mut self, rows: Rows) -> io::Result<()> {
        wire::send(&mut self.0, &Frame::Rows(rows))
    }

    fn line(&mut self, line: String) -> io::Result<()> {
        wire::send(&mut self.0, &Frame::Line(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
