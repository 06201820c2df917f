//! What a replica wants done, in order, once its transaction is durable.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Doubt;
use crate::id::{DeviceId, Origin, Seq};
use crate::message::Message;
use crate::schema::ModelId;

/// One thing to do. A lost effect can be made again from state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a message to these peers.
    Send {
        /// To whom; each is connected.
        to: Vec<DeviceId>,
        /// What. [`Message::is_bulk`] says on which stream.
        message: Message,
    },
    /// End the connection to a peer that broke the rules.
    Disconnect {
        /// The peer.
        peer: DeviceId,
        /// The reason, in words.
        reason: String,
    },
    /// Certificates came in, to be checked and kept.
    Certificates {
        /// From whom.
        peer: DeviceId,
        /// The certificates' encodings.
        certificates: Vec<Bytes>,
    },
    /// Tell whoever wants to know.
    Event(Event),
}

/// What happened, for people and programs that watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Records of these models changed.
    Changed {
        /// The models.
        models: BTreeSet<ModelId>,
        /// Whether this device wrote them.
        local: bool,
    },
    /// A peer has introduced itself.
    Met {
        /// The peer.
        peer: DeviceId,
        /// How far its wall clock is ahead of ours, in milliseconds.
        clock_offset_ms: i64,
    },
    /// What a peer is known to hold has grown.
    PeerState {
        /// The peer.
        peer: DeviceId,
    },
    /// A peer answered a probe.
    Answered {
        /// The peer.
        peer: DeviceId,
        /// The probe.
        token: u64,
    },
    /// Digests of equal states were compared.
    Compared {
        /// With whom.
        peer: DeviceId,
        /// The models whose digests differ; none if all is well.
        differ: Vec<ModelId>,
    },
    /// Digests could not be compared, as the states are not equal yet.
    NotComparable {
        /// With whom.
        peer: DeviceId,
    },
    /// Two branches of one stream exist: its device was cloned or rolled back.
    Fork {
        /// The stream.
        origin: Origin,
        /// Where the branches part.
        seq: Seq,
        /// Who holds the other branch.
        peer: DeviceId,
    },
    /// This device writes its shared lane under a new epoch from now on.
    Renewed,
    /// The owned lane of this device lives on under a new epoch.
    Restated,
    /// Two copies of a device's data are in use at once, as far as can be told.
    Twin {
        /// Which device.
        device: DeviceId,
    },
    /// A peer was met that says how far this device's own lanes have gone: what is in doubt of them
    /// still.
    InDoubt(Option<Doubt>),
    /// A transfer of an owned lane came to its end: the lane is exact.
    LaneExact {
        /// Whose lane.
        device: DeviceId,
    },
    /// What every member has was pruned.
    Pruned {
        /// Change sets that left the log.
        sets: u64,
        /// Tombstones of owned lanes that went.
        tombstones: u64,
    },
    /// A peer's log does not reach back to what is here: the shared lanes are compared with its.
    ReconcileBegun {
        /// With whom.
        peer: DeviceId,
    },
    /// That came to its end: everything that the peer held when it began is here.
    Reconciled {
        /// With whom.
        peer: DeviceId,
        /// Records that differed.
        records: u64,
        /// Dots of ours that are dead there.
        dropped: u64,
        /// Whether it was because digests differed at equal vectors.
        mended: bool,
    },
    /// That did not come to its end, and begins again, with whoever can be asked.
    ReconcileAbandoned {
        /// With whom.
        peer: DeviceId,
    },
    /// A peer handed over change sets of the history.
    HandedOver {
        /// The peer.
        peer: DeviceId,
        /// How many.
        sets: u64,
        /// Whether it has more.
        more: bool,
    },
    /// Records and rows were found to be damaged, and are missing until they come back.
    Damaged {
        /// How many.
        records: u64,
    },
    /// Some of them are back.
    Mended {
        /// From whom; this device if from its own log.
        peer: DeviceId,
        /// How many.
        records: u64,
        /// How many are still missing.
        left: u64,
    },
}
