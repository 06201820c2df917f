//! Where a command's results go: to the terminal, or over the socket to the client that asked.

use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::{Answer, Rows};

/// How often people are told how far something is.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// How far something is, in words that grow old quickly.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// One line.
    pub(crate) text: String,
}

/// Takes what a command gives. An error means that nobody listens any more: then the command ends
/// as soon as it can without leaving anything half done.
pub(crate) trait Output {
    /// How far it is; at most a few times a second.
    fn progress(&mut self, progress: Progress) -> io::Result<()>;
    /// A remark for people.
    fn note(&mut self, text: String) -> io::Result<()>;
    /// The result.
    fn answer(&mut self, answer: Answer) -> io::Result<()>;
    /// A part of a result that is a list.
    fn rows(&mut self, rows: Rows) -> io::Result<()>;
    /// A line of JSON as it is to be printed.
    fn line(&mut self, line: String) -> io::Result<()>;
    /// What was given so far is to be seen now.
    fn flush(&mut self) -> io::Result<()>;
}

/// Lets progress through a few times a second.
pub(crate) struct Throttle {
    last: Option<Instant>,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self { last: None }
    }

    pub(crate) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.last.is_none_or(|last| now.duration_since(last) >= PROGRESS_EVERY);
        if due {
            self.last = Some(now);
        }
        due
    }
}

/// Keeps what a command gives.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) answer: Option<Answer>,
    pub(crate) rows: Vec<Rows>,
    pub(crate) lines: Vec<String>,
}

impl Collected {
    /// All of it as `--json` prints it.
    pub(crate) fn json(&self) -> Result<Value, serde_json::Error> {
        if let Some(answer) = &self.answer {
            return answer.json();
        }
        let mut all = Vec::new();
        for rows in &self.rows {
            all.append(&mut rows.json()?);
        }
        Ok(Value::Array(all))
    }
}

impl Output for Collected {
    fn progress(&mut self, _: Progress) -> io::Result<()> {
        Ok(())
    }

    fn note(&mut self, _: String) -> io::Result<()> {
        Ok(())
    }

    fn answer(&mut self, answer: Answer) -> io::Result<()> {
        self.answer = Some(answer);
        Ok(())
    }

    fn rows(&mut self, rows: Rows) -> io::Result<()> {
        self.rows.push(rows);
        Ok(())
    }

    fn line(&mut self, line: String) -> io::Result<()> {
        self.lines.push(line);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
