//! What a daemon says of how far it is.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use driftless::{Library, Standing};
use serde_json::json;

use crate::execute::phase_progress;
use crate::failure::Failure;
use crate::render::phase;

/// How often a phase that goes on is told of, where no line can be painted over.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Phases that are over sooner are nothing to tell of.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// Says how far this device is while it receives the library or catches up, and when it is done: lines
/// of JSON on the standard output, or words on the standard error, painted over on a terminal. The
/// thread ends with the library.
pub(super) fn tell(library: &Library, as_json: bool) -> Result<(), Failure> {
    let standings = library.subscribe_standing()?;
    std::thread::Builder::new()
        .name("driftless-phases".to_owned())
        .spawn(move || {
            let mut teller = Teller::new(as_json);
            for standing in standings {
                // Nobody reads it any more, which is no reason to stop syncing.
                if teller.hear(&standing, Instant::now()).is_err() {
                    break;
                }
            }
        })
        .map(drop)
        .map_err(|error| Failure::io("starting a thread", &error))
}

struct Teller {
    as_json: bool,
    terminal: bool,
    /// When the phase began that is not over yet.
    since: Option<Instant>,
    /// When it was told of last.
    told: Option<Instant>,
}

impl Teller {
    fn new(as_json: bool) -> Self {
        Self { as_json, terminal: io::stderr().is_terminal(), since: None, told: None }
    }

    fn hear(&mut self, standing: &Standing, now: Instant) -> io::Result<()> {
        if standing.total == 0 {
            self.since = None;
            return match self.told.take() {
                Some(_) => self.say(standing, true),
                None => Ok(()),
            };
        }
        if self.is_due(now) {
            self.told = Some(now);
            self.say(standing, false)?;
        }
        Ok(())
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let every = if self.terminal && !self.as_json { Duration::ZERO } else { TELL_EVERY };
        match self.told {
            None => now.duration_since(since) >= WORTH_TELLING,
            Some(told) => now.duration_since(told) >= every,
        }
    }

    fn say(&self, standing: &Standing, over: bool) -> io::Result<()> {
        let progress = phase_progress(standing);
        if self.as_json {
            let mut out = io::stdout().lock();
            writeln!(out, "{}", json!({"phase": progress}))?;
            return out.flush();
        }
        let text = if over { progress.phase.replace('_', " ") } else { phase(&progress) };
        let mut err = io::stderr().lock();
        match (self.terminal, over) {
            (true, false) => write!(err, "\r\x1b[K{text}")?,
            (true, true) => writeln!(err, "\r\x1b[K{text}")?,
            (false, _) => writeln!(err, "{text}")?,
        }
        err.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use driftless::core::engine::Phase;

    #[test]
    fn what_is_short_is_not_told_and_what_is_long_is_told_now_and_then() {
        let begin = Instant::now();
        let mut teller = Teller { as_json: true, terminal: false, since: None, told: None };
        let due: Vec<u64> = (0..20)
            .filter(|second| {
                let now = begin + Duration::from_secs(*second);
                let due = teller.is_due(now);
                if due {
                    teller.told = Some(now);
                }
                due
            })
            .collect();
        assert_eq!(due, [1, 6, 11, 16]);
    }

    #[test]
    fn the_end_is_told_of_what_was_told() {
        let standing = |total| Standing {
            phase: Phase::CatchingUp { behind: 1 },
            done: 0,
            total,
            per_second: None,
            remaining_ms: None,
        };
        let mut teller = Teller { as_json: false, terminal: false, since: None, told: None };
        let begin = Instant::now();
        teller.hear(&standing(5), begin).unwrap();
        teller.hear(&standing(5), begin + WORTH_TELLING).unwrap();
        assert!(teller.told.is_some());
        teller.hear(&standing(0), begin + TELL_EVERY).unwrap();
        assert!(teller.told.is_none() && teller.since.is_none());
    }
}
