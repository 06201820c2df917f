//! What peers say to each other, in bounded bytes.
//!
//! # Format
//!
//! ```text
//! envelope = version:u8=1 library:16 sender:32 kind:u8 packing:u8 raw length:var payload
//! packing    0: payload as it is; 1: zstd
//! ```
//!
//! One envelope is one frame of the transport. Kinds that this version does not know decode to
//! [`Message::Unknown`] and are skipped. Payloads end where they end: what a later version appends
//! to one is left unread.

mod columns;
mod envelope;
mod history;
mod pack;
mod parts;
mod payload;
mod recall;
mod reconcile;

use bytes::Bytes;

pub use columns::READS_COLUMNS;
pub(crate) use columns::fit as fit_columns;
pub use history::ANSWERS_HISTORY;
pub use recall::{ANSWERS_RECALL, Held};
pub use reconcile::{Answer, Ask};

use crate::change::ChangeSet;
use crate::clock::Hlc;
use crate::digest::Digests;
use crate::id::{DeviceId, LibraryId, Origin, Seq};
use crate::page::Cursor;
use crate::store::{HistoryPage, Place, Session, WantedHistory};
use crate::version::{Hash, Life, OwnedHead, OwnedVector, Vector};

/// The major version of the protocol, part of the ALPN.
pub const ENVELOPE_VERSION: u8 = 1;
/// How a replica introduces itself on every connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Bits for what the sender can do beyond the first version: [`ANSWERS_RECALL`],
    /// [`ANSWERS_HISTORY`], [`READS_COLUMNS`].
    pub features: u64,
    /// A hash of its schema; different schemas sync all the same.
    pub schema: Hash,
    /// Its wall clock, Unix milliseconds.
    pub clock_ms: u64,
    /// Its hybrid clock.
    pub hlc: Hlc,
    /// Whether it has had the receiver's `Hello` on this connection. One that has not, although the
    /// receiver has introduced itself, needs it again.
    pub heard: bool,
    /// What it holds, durable and exact.
    pub state: State,
}

/// Vectors of what the sender holds, durable and exact: state and acknowledgement in one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// The shared lanes; only what grew, unless it stands in a `Hello`, a `Pong` or says so.
    pub shared: Vector,
    /// The owned lanes, likewise.
    pub owned: OwnedVector,
}

/// Change sets, each stream's in a row, all in a causal order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// The pull that this answers, or 0 if the origin sends it on its own account.
    pub pull: u64,
    /// The change sets.
    pub sets: Vec<ChangeSet>,
}

/// Asks for pages of an owned lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedPull {
    /// Whose lane.
    pub device: DeviceId,
    /// What the asker holds exactly.
    pub exact: Option<OwnedHead>,
    /// The transfer that it wants to go on with.
    pub session: Option<Session>,
    /// How many pages may be sent before it asks for more.
    pub credit: u64,
}

/// Rows of an owned lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Whose lane.
    pub device: DeviceId,
    /// The server's exact entry when the page was read: `as_of`.
    pub as_of: OwnedHead,
    /// Whether the transfer replaces the lane.
    pub full: bool,
    /// Whether it goes on with a transfer that has begun.
    pub goes_on: bool,
    /// What was passed before the first row.
    pub from: Cursor,
    /// What is passed after the last.
    pub next: Cursor,
    /// The rows, as [`crate::page`] writes them.
    pub rows: Bytes,
    /// Whether they travel column by column, which takes fewer bytes.
    pub columns: bool,
}

/// Digests at a state, to be compared where the states are equal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DigestReport {
    /// Whether the receiver should answer with its own.
    pub ask: bool,
    /// The [`State::hash`] of the state that the digests are of: among many devices the state itself
    /// would be most of what is ever sent.
    pub state: Hash,
    /// The digests.
    pub digests: Digests,
}

/// Why a peer refuses to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The envelope is of a major version that the sender does not speak.
    Version,
    /// The message is for another library.
    Library,
    /// The message is malformed or breaks a rule.
    Protocol,
}

/// All that peers say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// The first message in each direction.
    Hello(Hello),
    /// What grew in the sender's state.
    Vector(State),
    /// Change sets.
    Changes(Changes),
    /// Asks for the change sets of these origins behind these seqs.
    Pull {
        /// Named again in the answer.
        id: u64,
        /// The origins, and up to where the asker has them.
        from: Vec<(Origin, Seq)>,
    },
    /// Asks for pages of an owned lane.
    OwnedPull(OwnedPull),
    /// Allows more pages of a transfer that runs.
    More {
        /// Whose lane.
        device: DeviceId,
        /// In which life.
        life: Life,
        /// How many may be sent in all since the pull: so a repeated message allows nothing, and
        /// the next one makes good for a lost one.
        credit: u64,
    },
    /// A page of an owned lane.
    Page(Page),
    /// Nothing more of what the pull with this id asked for.
    Covered {
        /// The pull.
        id: u64,
    },
    /// The sender does not cover what the receiver's transfer has come to: it must start over.
    Void {
        /// Whose lane.
        device: DeviceId,
        /// The life of the voided transfer.
        life: Life,
        /// Its target.
        target: Seq,
    },
    /// Digests, to be compared.
    Digest(DigestReport),
    /// Certificates of members, each as its own encoding has it.
    Membership(Vec<Bytes>),
    /// Asks for the whole state.
    Ping {
        /// Named again in the answer.
        token: u64,
    },
    /// The whole state.
    Pong {
        /// The ping's.
        token: u64,
        /// The sender's wall clock, Unix milliseconds.
        clock_ms: u64,
        /// What it holds.
        state: State,
    },
    /// A refusal in words.
    Error {
        /// What kind.
        refusal: Refusal,
        /// The words.
        text: String,
    },
    /// The pull with this id asks from below the sender's floor (0: the receiver is below it, as far
    /// as the sender knows). What it lacks cannot come from the log: the receiver compares its shared
    /// lanes with the sender's.
    Reset {
        /// The pull.
        pull: u64,
    },
    /// A question of a reconcile.
    Ask {
        /// Which reconcile.
        session: u64,
        /// Which question of it: named again in the answer.
        turn: u64,
        /// The question.
        ask: Ask,
    },
    /// An answer to one.
    Answer {
        /// The question's reconcile.
        session: u64,
        /// The question's turn.
        turn: u64,
        /// The answer.
        answer: Answer,
    },
    /// Asks for what the receiver holds under some keys, as it was damaged at the sender. Only to
    /// those whose `Hello` says that they answer it.
    Recall {
        /// Named again in the answer.
        id: u64,
        /// Of whose owned lane; of the shared lanes if of nobody's.
        of: Option<DeviceId>,
        /// Models and keys.
        keys: Vec<Place>,
    },
    /// An answer to one.
    Recalled {
        /// The question.
        id: u64,
        /// The question's lane.
        of: Option<DeviceId>,
        /// What is held.
        held: Held,
    },
    /// Asks for the history below what the sender has of it. Only to those whose `Hello` says that they
    /// answer it.
    History {
        /// Named again in the answer.
        id: u64,
        /// What is lacking.
        wanted: WantedHistory,
    },
    /// An answer to one; or, with the id 0, that there is more history now than when it was answered.
    Past {
        /// The question.
        id: u64,
        /// What there is of it.
        page: HistoryPage,
    },
    /// A kind that this version does not know; skipped.
    Unknown {
        /// Its number.
        kind: u8,
    },
}

/// A message with who sent it and for which library.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// The library it belongs to.
    pub library: LibraryId,
    /// Who sent it.
    pub sender: DeviceId,
    /// What it says.
    pub message: Message,
}

impl Message {
    /// A short name for traces and counters.
    pub fn name(&self) -> &'static str {
        match self {
            Message::Hello(_) => "hello",
            Message::Vector(_) => "vector",
            Message::Changes(_) => "changes",
            Message::Pull { .. } => "pull",
            Message::OwnedPull(_) => "owned_pull",
            Message::More { .. } => "more",
            Message::Page(_) => "page",
            Message::Covered { .. } => "covered",
            Message::Void { .. } => "void",
            Message::Digest(_) => "digest",
            Message::Membership(_) => "membership",
            Message::Ping { .. } => "ping",
            Message::Pong { .. } => "pong",
            Message::Error { .. } => "error",
            Message::Reset { .. } => "reset",
            Message::Ask { .. } => "ask",
            Message::Answer { .. } => "answer",
            Message::Recall { .. } => "recall",
            Message::Recalled { .. } => "recalled",
            Message::History { .. } => "history",
            Message::Past { .. } => "past",
            Message::Unknown { .. } => "unknown",
        }
    }

    /// Whether the message is bulk, behind which nothing live should wait.
    pub fn is_bulk(&self) -> bool {
        let records = |answer: &Answer| matches!(answer, Answer::Records { .. });
        match self {
            Message::Page(_) | Message::Recalled { .. } | Message::Past { .. } => true,
            Message::Answer { answer, .. } => records(answer),
            _ => false,
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Message::Hello(_) => 1,
            Message::Vector(_) => 2,
            Message::Changes(_) => 3,
            Message::Pull { .. } => 4,
            Message::OwnedPull(_) => 5,
            Message::More { .. } => 6,
            Message::Page(page) if page.columns => 22,
            Message::Page(_) => 7,
            Message::Covered { .. } => 8,
            Message::Void { .. } => 9,
            Message::Digest(_) => 10,
            Message::Membership(_) => 11,
            Message::Ping { .. } => 12,
            Message::Pong { .. } => 13,
            Message::Error { .. } => 14,
            Message::Reset { .. } => 15,
            Message::Ask { .. } => 16,
            Message::Answer { .. } => 17,
            Message::Recall { .. } => 18,
            Message::Recalled { .. } => 19,
            Message::History { .. } => 20,
            Message::Past { .. } => 21,
            Message::Unknown { kind } => *kind,
        }
    }
}
