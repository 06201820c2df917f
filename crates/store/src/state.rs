//! What the store keeps in memory of `library.db`: read at open, changed by the transaction, and as
//! it was at its begin when it is rolled back. The maps are shared until they are changed, so that
//! a transaction that touches few of them costs little.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use driftless_core::clock::Hlc;
use driftless_core::digest::{Digest, Digests};
use driftless_core::id::{DeviceId, Origin, Seq};
use driftless_core::schema::ModelId;
use driftless_core::store::{Acked, Floors, Missing};
use driftless_core::version::{Head, OwnedVector, Vector};
use rusqlite::{Connection, params};

use crate::conflict::count_conflicts;
use crate::error::{StoreError, Within, from_sql_seq, to_sql_seq};
use crate::identity::{Identity, meta, set_meta};
use crate::lane::Lane;
use crate::missing;
use crate::origins::Origins;

/// What peers have acknowledged.
pub(crate) type Acks = BTreeMap<DeviceId, Acked>;

/// The caches of one connection.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) identity: Arc<Identity>,
    pub(crate) clock: Hlc,
    pub(crate) origins: Arc<Origins>,
    pub(crate) vector: Arc<Vector>,
    pub(crate) floors: Arc<Floors>,
    pub(crate) lanes: Arc<BTreeMap<DeviceId, Lane>>,
    /// The heads of the exact lanes, once somebody has asked for them: whoever asks again before one of
    /// them changes gets a copy that is known to be equal.
    owned: OnceCell<OwnedVector>,
    pub(crate) digests: Arc<Digests>,
    pub(crate) acks: Arc<Acks>,
    /// The next position in the log.
    pub(crate) next_pos: i64,
    /// How many notes `_quarantine` holds.
    pub(crate) notes: u64,
    /// How many fields `_conflict` holds.
    pub(crate) conflicts: u64,
    /// How many records `_mirror` holds.
    pub(crate) mirrored: u64,
    /// What was damaged and is not back.
    pub(crate) missing: Arc<Missing>,
    dirty: Dirty,
}

/// What differs from the tables until the commit writes it.
#[derive(Clone, Debug, Default)]
struct Dirty {
    identity: bool,
    clock: bool,
    vector: BTreeSet<Origin>,
    lanes: BTreeSet<DeviceId>,
    digests: BTreeSet<ModelId>,
    acks: BTreeSet<DeviceId>,
}

impl State {
    pub(crate) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let origins = Origins::load(conn, "_origin")?;
        let (vector, floors) = load_vector(conn, &origins)?;
        Ok(Self {
            identity: Arc::new(Identity::load(conn)?),
            clock: Hlc(meta::<i64>(conn, "clock")?.cast_unsigned()),
            vector: Arc::new(vector),
            floors: Arc::new(floors),
            origins: Arc::new(origins),
            lanes: Arc::new(Lane::load_all(conn)?),
            owned: OnceCell::new(),
            digests: Arc::new(load_digests(conn)?),
            acks: Arc::default(),
            next_pos: 1,
            notes: count_notes(conn)?,
            conflicts: count_conflicts(conn)?,
            mirrored: count_mirrored(conn)?,
            missing: Arc::new(missing::load(conn)?),
            dirty: Dirty::default(),
        })
    }

    /// The heads of the exact owned lanes.
    pub(crate) fn owned_vector(&self) -> &OwnedVector {
        self.owned.get_or_init(|| {
            let lanes = self.lanes.iter();
            lanes.filter_map(|(device, lane)| Some((*device, lane.state.exact?))).collect()
        })
    }

    /// The numbers of the exact owned lanes.
    pub(crate) fn exact_lanes(&self) -> BTreeSet<i64> {
        let exact = self.lanes.values().filter(|lane| lane.state.exact.is_some());
        exact.map(|lane| lane.id).collect()
    }

    pub(crate) fn set_identity(&mut self, identity: Identity) {
        self.identity = Arc::new(identity);
        self.dirty.identity = true;
    }

    pub(crate) fn set_clock(&mut self, time: Hlc) {
        self.clock = time;
        self.dirty.clock = true;
    }

    pub(crate) fn set_head(&mut self, origin: Origin, head: Head) {
        Arc::make_mut(&mut self.vector).set(origin, head);
        self.dirty.vector.insert(origin);
    }

    /// Up to where the change sets of an origin are not logged any more.
    pub(crate) fn floor(&self, origin: &Origin) -> Seq {
        self.floors.get(origin).copied().unwrap_or(0)
    }

    /// Raises an origin's floor; it never falls. By how much.
    pub(crate) fn raise_floor(&mut self, origin: Origin, to: Seq) -> Seq {
        let risen = to.saturating_sub(self.floor(&origin));
        if risen > 0 {
            Arc::make_mut(&mut self.floors).insert(origin, to);
            self.dirty.vector.insert(origin);
        }
        risen
    }

    /// The lane of a device that is held, to be changed.
    pub(crate) fn lane_mut(&mut self, device: &DeviceId) -> Option<&mut Lane> {
        if !self.lanes.contains_key(device) {
            return None;
        }
        self.dirty.lanes.insert(*device);
        self.owned.take();
        Arc::make_mut(&mut self.lanes).get_mut(device)
    }

    /// The lane of a device, which gets a number if nothing of it is held yet.
    pub(crate) fn lane_or_new(
        &mut self,
        conn: &Connection,
        device: &DeviceId,
    ) -> Result<&mut Lane, StoreError> {
        if !self.lanes.contains_key(device) {
            let lane = Lane::create(conn, device)?;
            Arc::make_mut(&mut self.lanes).insert(*device, lane);
        }
        self.dirty.lanes.insert(*device);
        self.owned.take();
        Ok(Arc::make_mut(&mut self.lanes).get_mut(device).expect("it was put there"))
    }

    /// The number of an origin, which gets one if it has none.
    pub(crate) fn intern(&mut self, conn: &Connection, origin: &Origin) -> Result<i64, StoreError> {
        match self.origins.id(origin) {
            Some(id) => Ok(id),
            None => Arc::make_mut(&mut self.origins).add(conn, "_origin", origin),
        }
    }

    /// Changes a model's digest.
    pub(crate) fn digest(&mut self, model: ModelId, change: impl FnOnce(&mut Digest)) {
        let digests = Arc::make_mut(&mut self.digests);
        let digest = digests.entry(model).or_default();
        change(digest);
        if *digest == Digest::default() {
            digests.remove(&model);
        }
        self.dirty.digests.insert(model);
    }

    /// Counts the rows of `delta` in, for all its models.
    pub(crate) fn add_digests(&mut self, delta: &Digests) {
        for (model, more) in delta {
            self.digest(*model, |digest| {
                digest.rows = digest.rows.wrapping_add(more.rows);
                digest.sum = digest.sum.wrapping_add(more.sum);
            });
        }
    }

    pub(crate) fn set_ack(&mut self, peer: DeviceId, ack: Acked) {
        Arc::make_mut(&mut self.acks).insert(peer, ack);
        self.dirty.acks.insert(peer);
    }

    /// The acknowledgements that sync.db has not got yet.
    pub(crate) fn unwritten_acks(&self) -> impl Iterator<Item = (&DeviceId, &Acked)> {
        self.dirty.acks.iter().filter_map(|peer| Some((peer, self.acks.get(peer)?)))
    }

    pub(crate) fn acks_written(&mut self) {
        self.dirty.acks.clear();
    }

    /// Writes what changed into the tables, within the transaction that ends.
    pub(crate) fn save(&self, conn: &Connection) -> Result<(), StoreError> {
        if self.dirty.identity {
            self.identity.save(conn)?;
        }
        if self.dirty.clock {
            set_meta(conn, "clock", self.clock.0.cast_signed())?;
        }
        for origin in &self.dirty.vector {
            self.save_head(conn, origin)?;
        }
        for device in &self.dirty.lanes {
            if let Some(lane) = self.lanes.get(device) {
                lane.save(conn)?;
            }
        }
        for model in &self.dirty.digests {
            save_digest(conn, *model, self.digests.get(model))?;
        }
        Ok(())
    }

    /// The transaction has been committed: the tables are as this state is.
    pub(crate) fn saved(&mut self) {
        let acks = std::mem::take(&mut self.dirty.acks);
        self.dirty = Dirty { acks, ..Dirty::default() };
    }

    fn save_head(&self, conn: &Connection, origin: &Origin) -> Result<(), StoreError> {
        let (Some(id), Some(head)) = (self.origins.id(origin), self.vector.head(origin)) else {
            return Ok(());
        };
        conn.prepare_cached(
            "INSERT OR REPLACE INTO _vector (origin, seq, hash, floor) VALUES (?1, ?2, ?3, ?4)",
        )
        .and_then(|mut put| {
            let floor = self.floor(origin).cast_signed();
            put.execute(params![id, head.seq.cast_signed(), head.hash, floor])
        })
        .map(|_| ())
        .within(conn, "writing the vector")
    }
}

/// The vector of the shared lanes, with the floors.
pub(crate) fn load_vector(
    conn: &Connection,
    origins: &Origins,
) -> Result<(Vector, Floors), StoreError> {
    const WHAT: &str = "the vector";
    let mut select =
        conn.prepare("SELECT origin, seq, hash, floor FROM _vector").within(conn, WHAT)?;
    let mut rows = select.query([]).within(conn, WHAT)?;
    let (mut vector, mut floors) = (Vector::new(), Floors::new());
    while let Some(row) = rows.next().within(conn, WHAT)? {
        let id: i64 = row.get(0).within(conn, WHAT)?;
        let origin = origins.origin(id);
        let origin = origin.ok_or_else(|| StoreError::damaged(conn, format!("the origin {id}")))?;
        let seq = from_sql_seq(conn, row.get(1).within(conn, WHAT)?)?;
        vector.set(origin, Head { seq, hash: row.get(2).within(conn, WHAT)? });
        match from_sql_seq(conn, row.get(3).within(conn, WHAT)?)? {
            0 => {}
            floor if floor <= seq => {
                floors.insert(origin, floor);
            }
            floor => return Err(StoreError::damaged(conn, format!("the floor {floor}"))),
        }
    }
    Ok((vector, floors))
}

/// The kept digests.
pub(crate) fn load_digests(conn: &Connection) -> Result<Digests, StoreError> {
    const WHAT: &str = "the digests";
    let mut select = conn.prepare("SELECT model, count, sum FROM _digest").within(conn, WHAT)?;
    let mut rows = select.query([]).within(conn, WHAT)?;
    let mut digests = Digests::new();
    while let Some(row) = rows.next().within(conn, WHAT)? {
        let number = |at| row.get::<_, i64>(at).map(i64::cast_unsigned);
        let (count, sum) = (number(1).within(conn, WHAT)?, number(2).within(conn, WHAT)?);
        let model = ModelId(row.get(0).within(conn, WHAT)?);
        digests.insert(model, Digest { rows: count, sum });
    }
    Ok(digests)
}

fn save_digest(
    conn: &Connection,
    model: ModelId,
    digest: Option<&Digest>,
) -> Result<(), StoreError> {
    let done = match digest {
        None => conn
            .prepare_cached("DELETE FROM _digest WHERE model = ?1")
            .and_then(|mut delete| delete.execute([model.0])),
        Some(digest) => conn
            .prepare_cached(
                "INSERT OR REPLACE INTO _digest (model, count, sum) VALUES (?1, ?2, ?3)",
            )
            .and_then(|mut put| {
                put.execute(params![model.0, digest.rows.cast_signed(), digest.sum.cast_signed()])
            }),
    };
    done.map(|_| ()).within(conn, "writing a digest")
}

/// How many notes `_quarantine` holds.
pub(crate) fn count_notes(conn: &Connection) -> Result<u64, StoreError> {
    let count = conn.query_row("SELECT count(*) FROM _quarantine", [], |row| row.get::<_, i64>(0));
    Ok(count.within(conn, "the quarantine")?.cast_unsigned())
}

/// How many records `_mirror` holds.
fn count_mirrored(conn: &Connection) -> Result<u64, StoreError> {
    let count = conn.query_row("SELECT count(*) FROM _mirror", [], |row| row.get::<_, i64>(0));
    Ok(count.within(conn, "the mirror")?.cast_unsigned())
}

/// A head that `_vector` can hold.
pub(crate) fn check_seq(head: Head) -> Result<Head, StoreError> {
    to_sql_seq(head.seq).map(|_| head)
}
