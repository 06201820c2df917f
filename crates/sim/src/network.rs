//! Links between replicas: which connection stands on which end, and what happens to frames.
//!
//! A connection has an identity. A frame belongs to the connection that it was sent over, and is lost
//! with it; each end learns of a connection's beginning and end in its own time.

use std::collections::BTreeMap;

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
}

impl Quality {
    /// Nothing is lost, repeated or reordered.
    pub fn calm() -> Self {
        Self { loss: 0, repeats: 0, delay_min: 1, delay_max: 3, reorders: false }
    }
}

/// The link between two replicas.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Whether the two can ever meet.
    pub allowed: bool,
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
}

/// Which end of a link.
pub type Side = usize;

/// All links.
#[derive(Clone, Debug)]
pub struct Network {
    links: BTreeMap<(usize, usize), Link>,
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
    /// Links between all of `n` replicas, of which only `allowed` can be used.
    pub fn new(n: usize, allowed: &[LinkId]) -> Self {
        let pairs = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
        let link = |id: LinkId| Link { allowed: allowed.contains(&id), ..Link::default() };
        Self { links: pairs.map(|id| (id, link(id))).collect(), next_connection: 0 }
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
        self.links.get_mut(&id).expect("links are made for all pairs")
    }

    /// Lets a new connection stand, of which the ends learn at these times, and says which it is.
    pub fn connect(&mut self, id: LinkId, up_at: [u64; 2]) -> u64 {
        self.next_connection += 1;
        let connection = self.next_connection;
        let link = self.link_mut(id);
        link.connection = Some(connection);
        link.up_at = up_at;
        link.last = [0; 2];
        connection
    }

    /// When copies of a frame arrive that is sent now by the replica on `side`; none if it is lost.
    pub fn send(
        &mut self,
        id: LinkId,
        side: Side,
        now: u64,
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
            let delay = rng.between(quality.delay_min, quality.delay_max);
            let mut at = (now + delay).max(link.up_at[to]);
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
