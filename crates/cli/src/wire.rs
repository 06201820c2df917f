//! What a client and the daemon say to each other over the socket: lines of JSON, bounded.
//!
//! ```text
//! daemon                                    client
//!   greeting   ─────────────────────────►
//!              ◄─────────────────────────   request
//!   frames, the last of them `End`  ────►
//!              ◄─────────────────────────   the next request …
//! ```
//!
//! After [`Request::Batch`] each line of the client is a [`Step`], until it shuts its side; the
//! daemon answers with one `Line` for each, in order, and then `End`.

use std::io::{self, BufRead, ErrorKind, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Rows};
use crate::args::LibraryCommand;
use crate::failure::{Exit, Failure};
use crate::output::Progress;

/// The version of this protocol; client and daemon have to agree.
pub(crate) const PROTOCOL: u32 = 3;
/// The longest line that a client may send: the largest value, however JSON escapes it.
pub(crate) const MAX_REQUEST: usize = 8 << 20;
/// The longest line that a daemon may send.
pub(crate) const MAX_FRAME: usize = 32 << 20;

/// What the daemon says first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// [`PROTOCOL`].
    pub(crate) driftless: u32,
    /// The version of the program.
    pub(crate) version: String,
}

/// What a client asks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Run a command.
    Run(LibraryCommand),
    /// Run a command, but ask before something large: it then fails with the code `confirm`.
    Ask(LibraryCommand),
    /// Run many, each its own commit.
    Batch,
    /// End. The connection stays open until the daemon has gone.
    Down,
}

/// One operation of a batch, or why its line is none.
pub(crate) type Step = Result<LibraryCommand, Failure>;

/// What the daemon answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// How far it is.
    Progress(Progress),
    /// A remark for people.
    Note(String),
    /// The result.
    Answer(Box<Answer>),
    /// A part of a result that is a list; the first may be empty.
    Rows(Rows),
    /// A line of JSON as it is to be printed.
    Line(String),
    /// It is over.
    End(Result<Exit, Failure>),
}

/// Writes one line; the caller flushes.
pub(crate) fn send(out: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// Reads one line of at most `max` bytes; `None` at the end.
pub(crate) fn receive<T: DeserializeOwned>(
    input: &mut impl BufRead,
    max: usize,
) -> io::Result<Option<T>> {
    let Some(line) = read_line(input, max)? else { return Ok(None) };
    serde_json::from_slice(&line).map(Some).map_err(io::Error::from)
}

/// One line without its end, of at most `max` bytes; `None` at the end of the input. A line that the
/// input ends within counts.
pub(crate) fn read_line(input: &mut impl BufRead, max: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let chunk = match input.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return Ok((!line.is_empty()).then_some(line));
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(chunk.len());
        if line.len() + taken > max {
            let what = format!("a line is longer than {max} bytes");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        line.extend_from_slice(&chunk[..taken]);
        input.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        let mut input = io::BufReader::with_capacity(3, &b"abc\n\nabcdef\nrest"[..]);
        assert_eq!(read_line(&mut input, 6).unwrap(), Some(b"abc".to_vec()));
        assert_eq!(read_line(&mut input, 6).unwrap(), Some(vec![]));
        assert_eq!(read_line(&mut input, 6).unwrap(), Some(b"abcdef".to_vec()));
        assert_eq!(read_line(&mut input, 6).unwrap(), Some(b"rest".to_vec()));
        assert_eq!(read_line(&mut input, 6).unwrap(), None);
        let mut long = io::BufReader::with_capacity(3, &b"abcdefg"[..]);
        assert_eq!(read_line(&mut long, 6).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn messages_round_trip() {
        let mut bytes = Vec::new();
        send(&mut bytes, &Request::Run(LibraryCommand::Dump { stamps: true })).unwrap();
        send(&mut bytes, &Frame::End(Ok(Exit::NotYet))).unwrap();
        let mut input = &bytes[..];
        let request = receive::<Request>(&mut input, MAX_REQUEST).unwrap();
        assert!(matches!(request, Some(Request::Run(LibraryCommand::Dump { stamps: true }))));
        let frame = receive::<Frame>(&mut input, MAX_FRAME).unwrap();
        assert!(matches!(frame, Some(Frame::End(Ok(Exit::NotYet)))));
    }
}
