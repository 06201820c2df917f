//! The terminal's end: JSON for scripts, tables and sentences for people.

use std::io::{self, BufWriter, IsTerminal as _, Stderr, Stdout, Write};

use crate::answer::{Answer, Rows};
use crate::output::{Output, Progress};
use crate::render;

/// How results are to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Look {
    /// JSON instead of text.
    pub(crate) json: bool,
    /// A list as one line for each.
    pub(crate) lines: bool,
    /// Each answer takes the place of the one before.
    pub(crate) repaint: bool,
    /// A ticket also as a QR code.
    pub(crate) qr: bool,
}

/// Prints results.
pub(crate) struct Printer {
    out: BufWriter<Stdout>,
    err: Stderr,
    look: Look,
    /// Whether the standard output is a terminal.
    terminal: bool,
    /// Whether it may be coloured.
    colour: bool,
    /// Whether progress can be shown and wiped.
    lively: bool,
    /// Whether a line of progress stands on the terminal.
    standing: bool,
    /// How many rows of a list were printed; `None` before it has begun.
    listed: Option<u64>,
}

impl Printer {
    pub(crate) fn new(look: Look) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            out: BufWriter::new(io::stdout()),
            err: io::stderr(),
            look,
            terminal: io::stdout().is_terminal(),
            colour: io::stdout().is_terminal() && !plain,
            lively: io::stderr().is_terminal(),
            standing: false,
            listed: None,
        }
    }

    fn wipe(&mut self) -> io::Result<()> {
        if self.standing {
            self.standing = false;
            write!(self.err, "\r\x1b[K")?;
        }
        Ok(())
    }

    /// Ends the output: closes a list, wipes the progress.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.wipe()?;
        if let Some(listed) = self.listed.take()
            && self.look.json
            && !self.look.lines
        {
            writeln!(self.out, "{}", if listed == 0 { "[]" } else { "\n]" })?;
        }
        self.out.flush()
    }

    fn json_rows(&mut self, rows: &Rows) -> io::Result<()> {
        let mut listed = self.listed.unwrap_or(0);
        for row in rows.json()? {
            if self.look.lines {
                writeln!(self.out, "{row}")?;
            } else {
                write!(self.out, "{}{row}", if listed == 0 { "[\n" } else { ",\n" })?;
            }
            listed += 1;
        }
        self.listed = Some(listed);
        Ok(())
    }
}

impl Output for Printer {
    fn progress(&mut self, progress: Progress) -> io::Result<()> {
        if !self.lively {
            return Ok(());
        }
        self.out.flush()?;
        write!(self.err, "\r\x1b[K{}", render::fit(&progress.text))?;
        self.standing = true;
        self.err.flush()
    }

    fn note(&mut self, text: String) -> io::Result<()> {
        self.wipe()?;
        self.out.flush()?;
        writeln!(self.err, "{text}")
    }

    fn answer(&mut self, answer: Answer) -> io::Result<()> {
        self.wipe()?;
        if self.look.json {
            writeln!(self.out, "{}", answer.json()?)?;
        } else {
            if self.look.repaint && self.terminal {
                write!(self.out, "\x1b[H\x1b[2J")?;
            }
            write!(self.out, "{}", render::answer(&answer, self.look, self.colour))?;
        }
        self.out.flush()
    }

    fn rows(&mut self, rows: Rows) -> io::Result<()> {
        self.wipe()?;
        if self.look.json {
            return self.json_rows(&rows);
        }
        let first = self.listed.is_none();
        self.listed = Some(self.listed.unwrap_or(0) + 1);
        write!(self.out, "{}", render::rows(&rows, self.look.lines, first, self.colour))
    }

    fn line(&mut self, line: String) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
