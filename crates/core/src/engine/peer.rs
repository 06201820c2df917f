//! What is known of a connected peer. All of it is volatile and ends with the connection; what it
//! acknowledged is kept by the store as well.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::id::{DeviceId, Origin, Seq};
use crate::message::State;
use crate::page::Cursor;
use crate::store::Place;
use crate::version::{Life, OwnedHead, Vector};

/// A transfer of an owned lane that this device serves.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    /// The life that is being read.
    pub(super) life: Life,
    /// Whether the transfer replaces the lane.
    pub(super) full: bool,
    /// Behind the last row that was sent.
    pub(super) cursor: Cursor,
    /// The head as of which the transfer began; 0 if it adds to what the asker has.
    pub(super) first: Seq,
    /// How many pages were sent since the pull.
    pub(super) sent: u64,
}

/// A pull, until it is answered with something that was lacking. The peer is not asked for anything
/// else before that, or before the deadline.
#[derive(Clone, Debug)]
pub(super) struct Pulling {
    pub(super) id: u64,
    /// Behind which seqs it was asked for which origins.
    pub(super) from: BTreeMap<Origin, Seq>,
    pub(super) deadline: u64,
}

/// One connected peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    /// Whether its `Hello` has come.
    pub(super) ready: bool,
    /// When to send `Hello` again, should none have come.
    pub(super) hello_at: u64,
    /// What it holds, as far as it has said.
    pub(super) known: State,
    /// What it has been told that we hold.
    pub(super) told: State,
    /// Bytes of change sets that came from it since it was told.
    pub(super) heard_bytes: usize,
    /// When to tell it what it does not wait for, if there is any.
    pub(super) news_at: Option<u64>,
    /// Devices of which it asked us for change sets or rows, and has not shown since that it gets
    /// them from elsewhere: it waits for our word.
    pub(super) follows: BTreeSet<DeviceId>,
    /// Connected devices of which it got something since we met it that it did not ask us for.
    pub(super) elsewhere: BTreeSet<DeviceId>,
    /// When to tell it everything again.
    pub(super) refresh_at: u64,
    /// The last seq of our own shared lane that was sent.
    pub(super) sent: Seq,
    /// Those of them that it has not acknowledged, with their sizes.
    pub(super) in_flight: VecDeque<(Seq, usize)>,
    /// When to send them again.
    pub(super) resend_at: Option<u64>,
    /// Requests in a row that it has left unanswered.
    pub(super) failures: u32,
    /// The pull that it is answering.
    pub(super) pulling: Option<Pulling>,
    /// Owned lanes that it is being sent.
    pub(super) serving: BTreeMap<DeviceId, Serving>,
    /// Streams of which it holds another branch.
    pub(super) forked: BTreeSet<Origin>,
    /// Whether it has said that we ask from below its floor.
    pub(super) reset: bool,
    /// Whether its digests differed from ours at equal vectors.
    pub(super) diverged: bool,
    /// The shared lanes at which that was mended last: not twice at the same.
    pub(super) mended: Option<Vector>,
    /// Whether digests of device-owned models differed, so that its own lane, of which it is the truth,
    /// is to be fetched anew.
    pub(super) lane_differs: bool,
    /// The head of its own lane at which that was done last.
    pub(super) lane_mended: Option<OwnedHead>,
    /// What it can do beyond the first version, as its `Hello` said.
    pub(super) features: u64,
    /// What of which lane it was asked for in vain, since that lane grew there.
    pub(super) lacks: BTreeSet<(DeviceId, Place)>,
    /// Before when it is not asked again for what is missing here.
    pub(super) recall_at: Option<u64>,
    /// Down to which gaps it has handed over all the history that it has.
    pub(super) handed: BTreeMap<Origin, Seq>,
    /// Before when it is not asked for history, as it did not answer.
    pub(super) history_at: Option<u64>,
    /// Whether it was told that there is no more history here.
    pub(super) history_told: bool,
    /// When to compare digests.
    pub(super) compare_at: Option<u64>,
    /// The state at which digests were compared last.
    pub(super) compared: Option<State>,
}

impl Peer {
    /// Bytes of our own shared lane that it has not acknowledged.
    pub(super) fn in_flight_bytes(&self) -> usize {
        self.in_flight.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The earliest of its deadlines.
    pub(super) fn deadline(&self) -> Option<u64> {
        let hello = (!self.ready).then_some(self.hello_at);
        let refresh = self.ready.then_some(self.refresh_at);
        let pulling = self.pulling.as_ref().map(|pulling| pulling.deadline);
        let news = self.news_at.filter(|_| self.ready);
        let asking = [self.recall_at, self.history_at];
        let others = [pulling, self.resend_at, self.compare_at].into_iter().chain(asking);
        [hello, refresh, news].into_iter().chain(others).flatten().min()
    }
}
