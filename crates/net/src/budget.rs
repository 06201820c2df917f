//! How many bytes of frames may be handed over and not yet be dealt with.

use std::sync::Arc;

use driftless_core::limits::MAX_FRAME_BYTES;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Class;

/// Bytes of live frames from one peer that may be with the consumer; one frame above if it alone
/// is larger.
pub const LIVE_BUDGET_BYTES: usize = 4 << 20;
/// Bytes of bulk frames from one peer that may be with the consumer; one frame above if it alone
/// is larger.
pub const BULK_BUDGET_BYTES: usize = 8 << 20;

/// What a frame costs beside its bytes, so that a flood of tiny ones is bounded as well.
const FRAME_COST: usize = 256;

/// Held by the consumer of a frame while it deals with it.
#[derive(Debug)]
#[must_use = "dropping the permit says that the frame has been dealt with"]
pub struct FramePermit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// The budget of one peer in one class. It outlives links, so that a peer that reconnects again
/// and again gets no more than one that stays.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: Arc<Semaphore>,
    whole: usize,
}

impl Budget {
    pub(crate) fn new(class: Class) -> Self {
        let whole = match class {
            Class::Live => LIVE_BUDGET_BYTES,
            Class::Bulk => BULK_BUDGET_BYTES,
        };
        Self { bytes: Arc::new(Semaphore::new(whole)), whole }
    }

    /// Waits until a frame of `len` bytes may be read.
    pub(crate) async fn reserve(&self, len: usize) -> FramePermit {
        debug_assert!(len <= MAX_FRAME_BYTES, "checked by the reader");
        let cost = (len + FRAME_COST).min(self.whole);
        let cost = u32::try_from(cost).expect("a budget fits 32 bits");
        match self.bytes.clone().acquire_many_owned(cost).await {
            Ok(permit) => FramePermit(permit),
            Err(_) => unreachable!("a budget is never closed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn a_budget_is_waited_for_and_given_back() {
        let budget = Budget::new(Class::Bulk);
        let mut cx = Context::from_waker(Waker::noop());
        let mut all = Box::pin(budget.reserve(MAX_FRAME_BYTES));
        let std::task::Poll::Ready(all) = all.as_mut().poll(&mut cx) else {
            panic!("an untouched budget has room for any frame");
        };
        let mut one = Box::pin(budget.reserve(1));
        assert!(one.as_mut().poll(&mut cx).is_pending());
        drop(all);
        assert!(one.as_mut().poll(&mut cx).is_ready());
    }
}
