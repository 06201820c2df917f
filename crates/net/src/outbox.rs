//! Frames that wait to be written to one link: a bounded queue for each class.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use driftless_core::id::DeviceId;
use driftless_core::limits::MAX_FRAME_BYTES;
use tokio::sync::Notify;

use crate::config::Class;
use crate::error::SendError;

/// Bytes of live frames that may wait for one peer.
pub const LIVE_QUEUE_BYTES: usize = 16 << 20;
/// Bytes of bulk frames that may wait for one peer.
pub const BULK_QUEUE_BYTES: usize = 32 << 20;

/// What a frame costs beside its bytes.
const FRAME_COST: usize = 64;

/// How long a piece of bulk stands back for live frames, so that an endless stream of live ones
/// cannot starve it.
const BULK_PATIENCE: Duration = Duration::from_millis(50);

/// The queues of one link. Each class has one writer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: Mutex<Queues>,
    live_ready: Notify,
    bulk_ready: Notify,
    live_idle: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    live: Queue,
    bulk: Queue,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    /// What waits and what is being written, with the costs.
    bytes: usize,
    /// A frame was refused and nobody was told yet that there is room again.
    refused: bool,
}

fn cost(frame: &Bytes) -> usize {
    frame.len() + FRAME_COST
}

fn capacity(class: Class) -> usize {
    match class {
        Class::Live => LIVE_QUEUE_BYTES,
        Class::Bulk => BULK_QUEUE_BYTES,
    }
}

impl Queues {
    fn of(&mut self, class: Class) -> &mut Queue {
        match class {
            Class::Live => &mut self.live,
            Class::Bulk => &mut self.bulk,
        }
    }
}

impl Outbox {
    /// Queues a frame for `peer`, or says at once why not.
    pub(crate) fn push(&self, peer: DeviceId, class: Class, frame: Bytes) -> Result<(), SendError> {
        if frame.len() > MAX_FRAME_BYTES {
            return Err(SendError::TooLarge { len: frame.len() });
        }
        let mut queues = self.lock();
        let queue = queues.of(class);
        if queue.bytes > 0 && queue.bytes + cost(&frame) > capacity(class) {
            queue.refused = true;
            return Err(SendError::Full { peer, queued: queue.bytes });
        }
        queue.bytes += cost(&frame);
        queue.frames.push_back(frame);
        drop(queues);
        self.ready(class).notify_one();
        Ok(())
    }

    /// The next frame of `class`, to be reported [`written`](Self::written).
    pub(crate) async fn next(&self, class: Class) -> Bytes {
        loop {
            let frame = self.lock().of(class).frames.pop_front();
            match frame {
                Some(frame) => return frame,
                None => self.ready(class).notified().await,
            }
        }
    }

    /// The frame is with the transport. Tells whether a queue that refused frames has room again.
    pub(crate) fn written(&self, class: Class, frame: &Bytes) -> bool {
        let mut queues = self.lock();
        let queue = queues.of(class);
        queue.bytes -= cost(frame);
        let idle = queue.bytes == 0;
        let writable = queue.refused && queue.bytes <= capacity(class) / 2;
        if writable {
            queue.refused = false;
        }
        drop(queues);
        if idle && class == Class::Live {
            self.live_idle.notify_one();
        }
        writable
    }

    /// Waits until no live frame waits, but not for long.
    pub(crate) async fn bulk_turn(&self) {
        let idle = async {
            while self.lock().live.bytes > 0 {
                self.live_idle.notified().await;
            }
        };
        if tokio::time::timeout(BULK_PATIENCE, idle).await.is_err() {
            tracing::trace!("bulk goes on beside live frames");
        }
    }

    /// Bytes that wait, live and bulk.
    pub(crate) fn queued(&self) -> (usize, usize) {
        let queues = self.lock();
        (queues.live.bytes, queues.bulk.bytes)
    }

    fn ready(&self, class: Class) -> &Notify {
        match class {
            Class::Live => &self.live_ready,
            Class::Bulk => &self.bulk_ready,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Nothing panics while it is held, and each change is complete in itself.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: DeviceId = DeviceId([1; 32]);

    #[test]
    fn queues_are_bounded_by_class() {
        let outbox = Outbox::default();
        let frame = Bytes::from(vec![0; 4 << 20]);
        let mut queued = 0;
        while outbox.push(PEER, Class::Bulk, frame.clone()).is_ok() {
            queued += frame.len();
        }
        assert!(queued <= BULK_QUEUE_BYTES && queued > BULK_QUEUE_BYTES / 2);
        assert_eq!(outbox.push(PEER, Class::Live, frame.clone()), Ok(()));
        let large = Bytes::from(vec![0; MAX_FRAME_BYTES + 1]);
        let refused = SendError::TooLarge { len: large.len() };
        assert_eq!(outbox.push(PEER, Class::Live, large), Err(refused));
    }

    #[tokio::test]
    async fn room_is_told_once_at_half() {
        let outbox = Outbox::default();
        let frame = Bytes::from(vec![0; 4 << 20]);
        while outbox.push(PEER, Class::Bulk, frame.clone()).is_ok() {}
        let mut told = Vec::new();
        while outbox.queued().1 > 0 {
            let frame = outbox.next(Class::Bulk).await;
            if outbox.written(Class::Bulk, &frame) {
                told.push(outbox.queued().1);
            }
        }
        assert_eq!(told.len(), 1);
        assert!(told[0] <= BULK_QUEUE_BYTES / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn bulk_stands_back_for_live_but_not_for_ever() {
        let outbox = Outbox::default();
        let start = tokio::time::Instant::now();
        outbox.bulk_turn().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        outbox.push(PEER, Class::Live, Bytes::from_static(b"x")).unwrap();
        outbox.bulk_turn().await;
        assert!(start.elapsed() >= BULK_PATIENCE);
        let frame = outbox.next(Class::Live).await;
        tokio::join!(outbox.bulk_turn(), async { outbox.written(Class::Live, &frame) });
        assert!(start.elapsed() < BULK_PATIENCE * 2);
    }
}
