//! What waits for the writer: what people and live messages want goes before bulk.
//!
//! A page of rows takes the writer tens of milliseconds, and several of them may have come before an
//! edit that somebody waits for. So pages stand in a queue of their own, of which one is taken when
//! nothing else waits, or when others have gone before it so many times.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

/// How many batches in a row may go before bulk that waits.
const MOST_BEFORE_BULK: u32 = 8;

/// The commands that have come, in two queues.
pub(super) struct Inbox<'a, T> {
    commands: &'a Receiver<T>,
    is_bulk: fn(&T) -> bool,
    urgent: VecDeque<T>,
    bulk: VecDeque<T>,
    /// How many batches have gone before the bulk that waits.
    passed: u32,
    closed: bool,
}

impl<'a, T> Inbox<'a, T> {
    pub(super) fn new(commands: &'a Receiver<T>, is_bulk: fn(&T) -> bool) -> Self {
        let (urgent, bulk) = (VecDeque::new(), VecDeque::new());
        Self { commands, is_bulk, urgent, bulk, passed: 0, closed: false }
    }

    /// The first command of a batch.
    pub(super) fn try_first(&mut self) -> Result<T, TryRecvError> {
        self.look();
        let bulk_first = self.urgent.is_empty() || self.passed >= MOST_BEFORE_BULK;
        if bulk_first && let Some(command) = self.bulk.pop_front() {
            self.passed = 0;
            return Ok(command);
        }
        if !self.bulk.is_empty() {
            self.passed += 1;
        }
        let none = if self.closed { TryRecvError::Disconnected } else { TryRecvError::Empty };
        self.urgent.pop_front().ok_or(none)
    }

    /// Whether nothing but bulk waits.
    pub(super) fn is_calm(&mut self) -> bool {
        self.look();
        self.urgent.is_empty()
    }

    /// Another command for the same batch: bulk joins bulk only, and only while nothing else waits.
    pub(super) fn try_more(&mut self, bulk: bool) -> Option<T> {
        self.look();
        match bulk {
            true if self.urgent.is_empty() => self.bulk.pop_front(),
            true => None,
            false => self.urgent.pop_front(),
        }
    }

    /// The same of what is not bulk, waited for until then.
    pub(super) fn more_until(&mut self, until: Instant) -> Option<T> {
        loop {
            if let Some(command) = self.try_more(false) {
                return Some(command);
            }
            let wait = until.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return None;
            }
            match self.commands.recv_timeout(wait) {
                Ok(command) if (self.is_bulk)(&command) => self.bulk.push_back(command),
                Ok(command) => return Some(command),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// The first command of a batch, waited for; no longer than `wait`, if that is given.
    pub(super) fn first(&mut self, wait: Option<Duration>) -> Result<T, RecvTimeoutError> {
        match self.try_first() {
            Ok(command) => return Ok(command),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        match wait {
            Some(wait) => self.commands.recv_timeout(wait),
            None => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn look(&mut self) {
        loop {
            match self.commands.try_recv() {
                Ok(command) if (self.is_bulk)(&command) => self.bulk.push_back(command),
                Ok(command) => self.urgent.push_back(command),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::sync::mpsc::channel;

    use super::*;

    /// What is from a hundred on is bulk.
    fn is_bulk(n: &u32) -> bool {
        *n >= 100
    }

    #[test]
    fn what_came_later_goes_before_bulk_and_not_into_its_batch() {
        let (sender, receiver) = channel();
        let mut inbox = Inbox::new(&receiver, is_bulk);
        for n in [100, 101, 1, 2] {
            sender.send(n).unwrap();
        }
        assert!(!inbox.is_calm());
        assert_eq!(inbox.try_first(), Ok(1));
        assert_eq!((inbox.try_more(false), inbox.try_more(false)), (Some(2), None));
        assert!(inbox.is_calm());
        assert_eq!(inbox.first(None), Ok(100));
        sender.send(3).unwrap();
        assert_eq!(inbox.try_more(true), None, "somebody waits");
        assert_eq!((inbox.try_first(), inbox.try_first()), (Ok(3), Ok(101)));
        sender.send(102).unwrap();
        sender.send(103).unwrap();
        assert_eq!((inbox.first(None), inbox.try_more(true)), (Ok(102), Some(103)));
        assert_eq!(inbox.try_first(), Err(TryRecvError::Empty));
        drop(sender);
        assert_eq!(inbox.first(Some(Duration::ZERO)), Err(RecvTimeoutError::Disconnected));
    }

    #[test]
    fn more_is_waited_for_unless_it_is_bulk() {
        let (sender, receiver) = channel();
        let mut inbox = Inbox::new(&receiver, is_bulk);
        let soon = || Instant::now() + Duration::from_millis(1);
        let late = || Instant::now() + Duration::from_secs(60);
        assert_eq!(inbox.more_until(soon()), None);
        for n in [100, 1] {
            sender.send(n).unwrap();
        }
        assert_eq!(inbox.more_until(Instant::now()), Some(1), "it is there already");
        assert_eq!(inbox.more_until(soon()), None, "bulk is for a batch of its own");
        let later = std::thread::spawn(move || {
            sender.send(101).unwrap();
            sender.send(2).unwrap();
        });
        assert_eq!(inbox.more_until(late()), Some(2));
        later.join().unwrap();
        assert_eq!(inbox.more_until(late()), None, "nobody is there to send more");
        assert_eq!((inbox.try_first(), inbox.try_first()), (Ok(100), Ok(101)), "nothing is lost");
    }

    #[test]
    fn bulk_gets_its_turn() {
        let (sender, receiver) = channel();
        let mut inbox = Inbox::new(&receiver, is_bulk);
        for n in (0..50).chain([100]) {
            sender.send(n).unwrap();
        }
        let before = std::iter::from_fn(|| inbox.try_first().ok()).take_while(|n| *n < 100);
        assert_eq!(before.count(), 8);
        drop(sender);
        let after = std::iter::from_fn(|| inbox.try_first().ok());
        assert_eq!(after.count(), 42, "nothing is lost when the others are gone");
    }
}
