//! Links between replicas: which connection stands on which end, and what happens to frames.
//!
//! A connection has an identity. A frame belongs to the connection that it was sent over, and is lost
//! with it; each end learns of a connection's beginning and end in its own time.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::rng::Rng;

/// How a link treats what is sent over it.
#[derive(Clone, Debug)]
pub struct Quality {
    /// Frames lost, in percent.
    pub loss: u64,
    /// Frames that come twice, in percent.
    pub repeats: u64,
    /// The shortest delay in milliseconds.
    pub delay_min: u64,
    /// The longest.
    pub delay_max: u64,
    /// Whether frames may overtake each other.
    pub reorders: bool,
    /// How many bytes go through a link in a millisecond, in each direction; any number if `None`.
    pub bytes_per_ms: Option<u64>,
}

impl Quality {
    /// Nothing is lost, repeated or reordered.
    pub fn calm() -> Self {
        Self {
            loss: 0,
            repeats: 0,
            delay_min: 1,
            delay_max: 3,
            reorders: false,
            bytes_per_ms: None,
        }
    }
}

/// The link between two replicas.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The connection that stands, if one does.
    pub connection: Option<u64>,
    /// Which connection each end believes in.
    pub ends: [Option<u64>; 2],
    /// Whether frames to this end are swallowed, and until when.
    pub blocked_until: [u64; 2],
    /// When each end learns of the connection: frames wait for that.
    up_at: [u64; 2],
    /// When the last frame to each end arrives, for links that keep the order.
    last: [u64; 2],
    /// Until when frames to each end fill a slow link.
    busy_until: [u64; 2],
}

/// Which end of a link.
pub type Side = usize;

/// All links. Two replicas without one never meet.
#[derive(Clone, Debug, Default)]
pub struct Network {
    links: BTreeMap<LinkId, Link>,
    peers: BTreeMap<usize, BTreeSet<usize>>,
    next_connection: u64,
}

/// A link's name: its two replicas, the smaller first.
pub type LinkId = (usize, usize);

/// The link of two replicas and the side on which the first of them is.
pub fn link_of(from: usize, to: usize) -> (LinkId, Side) {
    if from < to { ((from, to), 0) } else { ((to, from), 1) }
}

/// The replica on a side of a link.
pub fn replica_at(link: LinkId, side: Side) -> usize {
    if side == 0 { link.0 } else { link.1 }
}

impl Network {
    /// These links.
    pub fn new(links: &[LinkId]) -> Self {
        let mut network = Self::default();
        links.iter().for_each(|id| network.add(*id));
        network
    }

    /// Adds a link, unless it is there.
    pub fn add(&mut self, id: LinkId) {
        self.links.entry(id).or_default();
        self.peers.entry(id.0).or_default().insert(id.1);
        self.peers.entry(id.1).or_default().insert(id.0);
    }

    /// With whom a replica has a link.
    pub fn peers_of(&self, i: usize) -> impl Iterator<Item = usize> + '_ {
        self.peers.get(&i).into_iter().flatten().copied()
    }

    /// The links of a replica.
    pub fn links_of(&self, i: usize) -> Vec<LinkId> {
        self.peers_of(i).map(|j| link_of(i, j).0).collect()
    }

    /// The names of all links.
    pub fn ids(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    /// One link.
    pub fn link(&self, id: LinkId) -> &Link {
        &self.links[&id]
    }

    /// One link, to be changed.
    pub fn link_mut(&mut self, id: LinkId) -> &mut Link {
        self.links.get_mut(&id).expect("frames and connections belong to links")
    }

    /// Lets a new connection stand, of which the ends learn at these times, and says which it is.
    pub fn connect(&mut self, id: LinkId, up_at: [u64; 2]) -> u64 {
        self.next_connection += 1;
        let connection = self.next_connection;
        let link = self.link_mut(id);
        link.connection = Some(connection);
        link.up_at = up_at;
        link.last = [0; 2];
        link.busy_until = [0; 2];
        connection
    }

    /// When copies of a frame arrive that is sent now by the replica on `side`; none if it is lost.
    pub fn send(
        &mut self,
        id: LinkId,
        side: Side,
        (now, bytes): (u64, usize),
        quality: &Quality,
        rng: &mut Rng,
    ) -> Vec<u64> {
        let link = self.link_mut(id);
        let to = 1 - side;
        if link.blocked_until[to] > now || rng.chance(quality.loss) {
            return Vec::new();
        }
        let copies = if rng.chance(quality.repeats) { 2 } else { 1 };
        let mut arrivals = Vec::with_capacity(copies);
        for _ in 0..copies {
            let mut at = now;
            if let Some(rate) = quality.bytes_per_ms {
                at = link.busy_until[to].max(now) + bytes as u64 / rate;
                link.busy_until[to] = at;
            }
            let delay = rng.between(quality.delay_min, quality.delay_max);
            at = (at + delay).max(link.up_at[to]);
            if !quality.reorders {
                at = at.max(link.last[to]);
                link.last[to] = at;
            }
            arrivals.push(at);
        }
        arrivals
    }
}

/// A frame on its way.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Over which link.
    pub link: LinkId,
    /// To which end.
    pub to: Side,
    /// Over which connection.
    pub connection: u64,
    /// The envelope, encoded.
    pub bytes: Bytes,
}
