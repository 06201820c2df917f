//! How much bulk may be under way: enough to keep the line busy, and no more, as a live frame
//! stands in line behind it in every buffer between the two programs.
//!
//! The receiver tells on a third stream how many bytes of the bulk stream it has read so far (a
//! running total, eight bytes, little endian); the sender lets so much be unread as the line holds.
//! With the transport's window alone (1.25 MB) a live frame beside bulk took three times as long, and
//! bulk was no faster.

use std::convert::Infallible;
use std::time::Duration;

use iroh::endpoint::{RecvStream, SendStream};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Link;
use super::frames::FrameError;

/// What may be unread on a line without delay: the longest stretch that two busy programs take to
/// hand over to each other.
const BASE: u64 = 256 << 10;
/// What comes on top for the delay of the line: bytes for each microsecond, 200 MB/s.
const PER_MICRO: u64 = 200;
/// The receiver tells after so many bytes.
const TELL: u64 = 32 << 10;
/// How often the delay of the line is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// The two running totals of one link.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// What we have read.
    here: watch::Sender<u64>,
    /// What the peer has read.
    there: watch::Sender<u64>,
}

impl Flow {
    /// The bulk reader's word: so many bytes in all.
    pub(super) fn read(&self, total: u64) {
        self.here.send_if_modified(|told| {
            let worth_telling = total - *told >= TELL;
            if worth_telling {
                *told = total;
            }
            worth_telling
        });
    }

    /// Tells the peer what we have read.
    pub(super) async fn tell(&self, mut send: SendStream) -> Result<Infallible, FrameError> {
        let mut total = 0;
        loop {
            total = self.read_beyond(total).await;
            send.write_all(&total.to_le_bytes()).await.map_err(FrameError::FlowWrite)?;
        }
    }

    /// What we have read, as soon as that is more than `told`: also if it is already, as the reader may
    /// have run before whoever tells of it, and all that may be unread can have come by then.
    async fn read_beyond(&self, told: u64) -> u64 {
        match self.here.subscribe().wait_for(|read| *read > told).await {
            Ok(read) => *read,
            Err(_) => unreachable!("the flow holds the sender"),
        }
    }

    /// Hears what the peer has read.
    pub(super) async fn hear(&self, mut recv: RecvStream) -> Result<Infallible, FrameError> {
        let mut total = [0; 8];
        loop {
            recv.read_exact(&mut total).await.map_err(FrameError::FlowRead)?;
            let total = u64::from_le_bytes(total);
            self.there.send_if_modified(|read| {
                let more = total > *read;
                *read = total.max(*read);
                more
            });
        }
    }
}

/// The bulk writer's view.
pub(super) struct Window<'a> {
    link: &'a Link,
    there: watch::Receiver<u64>,
    sent: u64,
    room: u64,
    looked: Option<Instant>,
}

impl<'a> Window<'a> {
    pub(super) fn new(link: &'a Link, flow: &Flow) -> Self {
        Self { link, there: flow.there.subscribe(), sent: 0, room: BASE, looked: None }
    }

    /// Waits until `len` more bytes may be under way, and counts them; `len` is less than
    /// [`BASE`] by more than the receiver may keep untold.
    pub(super) async fn pass(&mut self, len: usize) {
        self.look();
        self.sent += len as u64;
        let enough = self.sent.saturating_sub(self.room);
        if self.there.wait_for(|read| *read >= enough).await.is_err() {
            unreachable!("the flow outlives the tasks of its link");
        }
    }

    fn look(&mut self) {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        let delay = self.link.rtt().unwrap_or(Duration::ZERO).as_micros();
        let delay = u64::try_from(delay).unwrap_or(u64::MAX);
        self.room = BASE.saturating_add(delay.saturating_mul(PER_MICRO));
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn what_was_read_before_anybody_told_of_it_is_told() {
        let flow = Flow::default();
        let mut context = Context::from_waker(Waker::noop());
        flow.read(BASE);
        let first = pin!(flow.read_beyond(0)).poll(&mut context);
        assert_eq!(first, Poll::Ready(BASE));
        let mut next = pin!(flow.read_beyond(BASE));
        assert_eq!(next.as_mut().poll(&mut context), Poll::Pending);
        flow.read(BASE + TELL - 1);
        assert_eq!(next.as_mut().poll(&mut context), Poll::Pending, "not worth telling");
        flow.read(BASE + TELL);
        assert_eq!(next.as_mut().poll(&mut context), Poll::Ready(BASE + TELL));
    }
}
