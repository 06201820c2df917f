//! Where a command's results go: to the terminal, or over the socket to the client that asked.

use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::{Answer, Rows};
use crate::failure::{Exit, Failure};

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
    /// How many more rows are taken, so that no command need look for others.
    fn room(&self) -> usize {
        usize::MAX
    }
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

/// Keeps the first rows of a list. Then it is as a reader who has gone: no more is looked for.
pub(crate) struct First<T> {
    of: fn(Rows) -> Option<Vec<T>>,
    rows: Vec<T>,
    limit: usize,
}

impl<T> First<T> {
    /// Keeps up to `limit` rows of a kind.
    pub(crate) fn new(limit: usize, of: fn(Rows) -> Option<Vec<T>>) -> Self {
        Self { of, rows: Vec::new(), limit }
    }

    /// What was kept of a command that ended so.
    pub(crate) fn after(self, ended: Result<Exit, Failure>) -> Result<Vec<T>, Failure> {
        match ended {
            Err(failure) if !failure.is_silent() => Err(failure),
            _ => Ok(self.rows),
        }
    }
}

impl<T> Output for First<T> {
    fn progress(&mut self, _: Progress) -> io::Result<()> {
        Ok(())
    }

    fn note(&mut self, _: String) -> io::Result<()> {
        Ok(())
    }

    fn answer(&mut self, _: Answer) -> io::Result<()> {
        Err(io::Error::other("a command that lists gave something else"))
    }

    fn rows(&mut self, rows: Rows) -> io::Result<()> {
        let rows = (self.of)(rows);
        let rows = rows.ok_or_else(|| io::Error::other("a command listed something else"))?;
        self.rows.extend(rows.into_iter().take(self.room()));
        if self.room() == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.rows.len())
    }

    fn line(&mut self, _: String) -> io::Result<()> {
        Err(io::Error::other("a command that lists gave a line"))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::QuarantineRow;

    fn row(n: usize) -> QuarantineRow {
        QuarantineRow {
            id: n.to_string(),
            model: "note".to_owned(),
            record: String::new(),
            field: None,
            reason: String::new(),
            why: String::new(),
            device: None,
            device_id: None,
        }
    }

    /// A command that lists so many rows in chunks of 16: how many it came to, and how it ended.
    fn list(many: usize, out: &mut dyn Output) -> (usize, Result<Exit, Failure>) {
        let mut looked = 0;
        while looked < many {
            let end = many.min(looked + 16);
            let rows = (looked..end).map(row).collect();
            looked = end;
            if let Err(error) = out.rows(Rows::Quarantine(rows)) {
                return (looked, Err(Failure::output(&error)));
            }
        }
        (looked, Ok(Exit::Done))
    }

    fn waiting(rows: Rows) -> Option<Vec<QuarantineRow>> {
        match rows {
            Rows::Quarantine(rows) => Some(rows),
            _ => None,
        }
    }

    #[test]
    fn who_wants_the_first_rows_gets_them_and_no_others_are_looked_for() {
        for (many, kept, looked) in [(1_000, 20, 32), (20, 20, 20), (5, 5, 5), (0, 0, 0)] {
            let mut first = First::new(20, waiting);
            assert_eq!(first.room(), 20);
            let (found, ended) = list(many, &mut first);
            assert_eq!((found, first.room()), (looked, 20 - kept), "of {many}");
            let rows = first.after(ended).unwrap();
            assert_eq!(rows, (0..kept).map(row).collect::<Vec<_>>(), "of {many}");
        }
    }

    #[test]
    fn what_is_no_such_list_and_what_fails_is_told() {
        let mut first = First::new(20, waiting);
        let error = first.rows(Rows::Devices(Vec::new())).unwrap_err();
        assert!(first.after(Err(Failure::output(&error))).is_err());
        let failed = First::new(20, waiting).after(Err(Failure::internal("it failed")));
        assert_eq!(failed, Err(Failure::internal("it failed")));
    }
}
