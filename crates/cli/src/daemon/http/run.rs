//! Runs a command, and answers with what it gives: at once if that is short, else as it comes.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::reply;
use super::routes::Shape;
use crate::answer::{Answer, Rows};
use crate::args::LibraryCommand;
use crate::daemon::Background;
use crate::execute::{Context, execute};
use crate::failure::{Exit, Failure};
use crate::output::{Output, Progress};

/// Bytes of an answer that are kept before it is begun: a command that fails before has a status that
/// says so.
const KEPT: usize = 256 << 10;
/// Bytes that go at a time.
const CHUNK: usize = 32 << 10;
/// Chunks that wait for a slow reader.
const CHUNKS: usize = 8;
/// Commands that run side by side; others wait.
pub(super) const SIDE_BY_SIDE: usize = 24;

type Chunk = Result<Bytes, io::Error>;

/// How an answer begins.
enum Head {
    /// And ends.
    Whole(Result<Whole, Failure>),
    /// What follows comes in chunks.
    Parts,
}

enum Whole {
    One(Value, Exit),
    List(Vec<u8>),
}

/// Runs a command on a thread that may wait.
pub(super) async fn run(
    background: Background,
    places: Arc<Semaphore>,
    command: LibraryCommand,
    shape: Shape,
) -> Response<Body> {
    let Ok(place) = places.acquire_owned().await else {
        return reply::failed(&Failure::internal("commands are run while the daemon lives"));
    };
    let (begin, begun) = oneshot::channel();
    let (send, chunks) = mpsc::channel(CHUNKS);
    tokio::task::spawn_blocking(move || {
        let mut out =
            Reply { shape, begin: Some(begin), send, kept: Vec::new(), rows: 0, one: None };
        let result = execute(Context::of_daemon(&background), command, &mut out);
        // The library is let go of before the answer ends.
        drop((background, place));
        out.end(result);
    });
    match begun.await {
        Ok(Head::Whole(whole)) => answered(whole, shape),
        Ok(Head::Parts) => {
            reply::bytes(content_type(shape), Body::from_stream(ReceiverStream::new(chunks)))
        }
        Err(_) => reply::failed(&Failure::internal("the command ended without an answer")),
    }
}

pub(super) fn content_type(shape: Shape) -> &'static str {
    match shape {
        Shape::One | Shape::List => reply::JSON,
        Shape::Lines => reply::LINES,
    }
}

fn answered(whole: Result<Whole, Failure>, shape: Shape) -> Response<Body> {
    match whole {
        Ok(Whole::List(bytes)) => reply::bytes(content_type(shape), bytes),
        Ok(Whole::One(value, exit)) => {
            let mut response = reply::json(&value);
            response.headers_mut().insert(reply::EXIT, HeaderValue::from(exit as u16));
            response
        }
        Err(failure) => reply::failed(&failure),
    }
}

/// Makes an answer of what a command gives.
struct Reply {
    shape: Shape,
    /// Used up when the answer begins.
    begin: Option<oneshot::Sender<Head>>,
    send: mpsc::Sender<Chunk>,
    kept: Vec<u8>,
    rows: u64,
    one: Option<Value>,
}

impl Reply {
    /// Whether anybody still wants the answer.
    fn heard(&self) -> io::Result<()> {
        match self.send.is_closed() {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Ok(()),
        }
    }

    fn push(&mut self, value: &str) {
        let before = match (self.shape, self.rows) {
            (Shape::Lines, _) => "",
            (_, 0) => "[\n",
            (_, _) => ",\n",
        };
        self.kept.extend_from_slice(before.as_bytes());
        self.kept.extend_from_slice(value.as_bytes());
        if self.shape == Shape::Lines {
            self.kept.push(b'\n');
        }
        self.rows += 1;
    }

    /// Sends what is kept, if that is enough.
    fn go_on(&mut self) -> io::Result<()> {
        self.heard()?;
        if self.begin.is_some() && self.kept.len() < KEPT {
            return Ok(());
        }
        if let Some(begin) = self.begin.take() {
            // Whoever has gone is noticed with the chunk.
            drop(begin.send(Head::Parts));
        }
        if self.kept.len() >= CHUNK { self.send_kept() } else { Ok(()) }
    }

    fn send_kept(&mut self) -> io::Result<()> {
        let chunk = Bytes::from(std::mem::take(&mut self.kept));
        self.send.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn end(mut self, result: Result<Exit, Failure>) {
        if result.is_ok() && self.one.is_none() && self.shape != Shape::Lines {
            self.kept.extend_from_slice(if self.rows == 0 { b"[]\n" } else { b"\n]\n" });
        }
        match (self.begin.take(), result) {
            (Some(begin), result) => {
                let (one, kept) = (self.one.take(), std::mem::take(&mut self.kept));
                let whole = result.map(|exit| match one {
                    Some(value) => Whole::One(value, exit),
                    None => Whole::List(kept),
                });
                // One who has gone needs no answer.
                drop(begin.send(Head::Whole(whole)));
            }
            (None, Ok(_)) => drop(self.send_kept()),
            // What has gone out cannot be taken back: it is broken off, so that nobody takes it for
            // the whole.
            (None, Err(failure)) => {
                tracing::warn!(%failure, "an answer is broken off");
                drop(self.send.blocking_send(Err(io::Error::other(failure))));
            }
        }
    }
}

impl Output for Reply {
    fn progress(&mut self, _: Progress) -> io::Result<()> {
        self.heard()
    }

    fn note(&mut self, text: String) -> io::Result<()> {
        tracing::debug!(note = text, "a command over HTTP");
        self.heard()
    }

    fn answer(&mut self, answer: Answer) -> io::Result<()> {
        self.one = Some(answer.json()?);
        self.heard()
    }

    fn rows(&mut self, rows: Rows) -> io::Result<()> {
        for row in rows.json()? {
            self.push(&row.to_string());
        }
        self.go_on()
    }

    fn line(&mut self, line: String) -> io::Result<()> {
        self.push(&line);
        self.go_on()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.heard()
    }
}
