//! What is held of one device's owned lane, and how it is kept.
//!
//! ```text
//! session = version:u8=1  life  cursor  target:var  first:var  full:u8
//!           pending: count (model:u32 rows:u64 sum:u64)*
//! ```
//!
//! `pending` are the digests of rows that a session put in place: they count once it has ended.

use std::collections::BTreeMap;

use driftless_core::clock::Hlc;
use driftless_core::codec::{CodecError, Reader, Writer};
use driftless_core::digest::{Digest, Digests};
use driftless_core::id::{DeviceId, Epoch};
use driftless_core::page::Cursor;
use driftless_core::schema::ModelId;
use driftless_core::store::{OwnedLane, Session};
use driftless_core::version::{Life, OwnedHead};
use rusqlite::{Connection, Row, params};

use crate::error::{StoreError, Within, from_sql_seq, to_sql_seq};

/// One device's owned lane.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// Its number in `_lane`.
    pub(crate) id: i64,
    pub(crate) state: OwnedLane,
    /// The digests of rows in place that no exact state covers yet.
    pub(crate) pending: Digests,
    /// Whether `_tombstone` may hold something of it.
    pub(crate) tombstones: bool,
}

impl Lane {
    /// Makes room for a device of which nothing is held.
    pub(crate) fn create(conn: &Connection, device: &DeviceId) -> Result<Self, StoreError> {
        conn.execute("INSERT INTO _lane (device, floor) VALUES (?1, 0)", [device.0])
            .within(conn, "keeping a lane")?;
        let (state, pending) = (OwnedLane::default(), Digests::new());
        Ok(Self { id: conn.last_insert_rowid(), state, pending, tombstones: false })
    }

    pub(crate) fn load_all(conn: &Connection) -> Result<BTreeMap<DeviceId, Self>, StoreError> {
        const WHAT: &str = "the owned lanes";
        let sql = "SELECT id, device, mint, epoch, seq, floor, session, \
                   EXISTS (SELECT 1 FROM _tombstone WHERE lane = _lane.id) FROM _lane";
        let mut select = conn.prepare(sql).within(conn, WHAT)?;
        let mut rows = select.query([]).within(conn, WHAT)?;
        let mut lanes = BTreeMap::new();
        while let Some(row) = rows.next().within(conn, WHAT)? {
            let device = DeviceId(row.get(1).within(conn, WHAT)?);
            lanes.insert(device, Self::load(conn, row)?);
        }
        Ok(lanes)
    }

    fn load(conn: &Connection, row: &Row<'_>) -> Result<Self, StoreError> {
        const WHAT: &str = "an owned lane";
        let number = |at| row.get::<_, Option<i64>>(at).within(conn, WHAT);
        let exact = match (number(2)?, number(3)?, number(4)?) {
            (Some(mint), Some(epoch), Some(seq)) => Some(OwnedHead {
                life: Life { mint: Hlc(mint.cast_unsigned()), epoch: Epoch(epoch.cast_unsigned()) },
                seq: from_sql_seq(conn, seq)?,
            }),
            _ => None,
        };
        let session: Option<Vec<u8>> = row.get(6).within(conn, WHAT)?;
        let (session, pending) = match session {
            None => (None, Digests::new()),
            Some(bytes) => {
                let (session, pending) = decode_session(&bytes).within(conn, WHAT)?;
                (Some(session), pending)
            }
        };
        let floor = from_sql_seq(conn, row.get(5).within(conn, WHAT)?)?;
        Ok(Self {
            id: row.get(0).within(conn, WHAT)?,
            state: OwnedLane { exact, session, floor },
            pending,
            tombstones: row.get(7).within(conn, WHAT)?,
        })
    }

    pub(crate) fn save(&self, conn: &Connection) -> Result<(), StoreError> {
        const WHAT: &str = "writing a lane";
        let exact = self.state.exact;
        let mint = exact.map(|head| head.life.mint.0.cast_signed());
        let epoch = exact.map(|head| head.life.epoch.0.cast_signed());
        let seq = exact.map(|head| to_sql_seq(head.seq)).transpose()?;
        let session = self.state.session.as_ref();
        let session = session.map(|session| encode_session(session, &self.pending));
        let floor = to_sql_seq(self.state.floor)?;
        conn.prepare_cached(
            "UPDATE _lane SET mint = ?2, epoch = ?3, seq = ?4, floor = ?5, session = ?6 \
             WHERE id = ?1",
        )
        .and_then(|mut update| update.execute(params![self.id, mint, epoch, seq, floor, session]))
        .map(|_| ())
        .within(conn, WHAT)
    }

    /// Whether a session may write rows in place: nothing exact is there to be spoilt.
    pub(crate) fn in_place(&self) -> bool {
        self.state.exact.is_none()
    }
}

fn encode_session(session: &Session, pending: &Digests) -> Vec<u8> {
    let mut w = Writer::new();
    w.u8(1);
    session.life.encode(&mut w);
    session.cursor.encode(&mut w);
    w.var(session.target);
    w.var(session.first);
    w.u8(session.full.into());
    w.count(pending.len());
    for (model, digest) in pending {
        w.u32_le(model.0);
        w.u64_le(digest.rows);
        w.u64_le(digest.sum);
    }
    w.into_bytes()
}

fn decode_session(bytes: &[u8]) -> Result<(Session, Digests), CodecError> {
    let mut r = Reader::new(bytes);
    let version = r.u8("a session's version")?;
    if version != 1 {
        return Err(CodecError::Invalid { what: "a session's version", found: version.into() });
    }
    let session = Session {
        life: Life::decode(&mut r)?,
        cursor: Cursor::decode(&mut r)?,
        target: r.var("a session's target")?,
        first: r.var("a session's first as_of")?,
        full: match r.u8("a session's kind")? {
            0 => false,
            1 => true,
            kind => {
                return Err(CodecError::Invalid { what: "a session's kind", found: kind.into() });
            }
        },
    };
    let mut pending = Digests::new();
    for _ in 0..r.items(1 << 20, 20, "a session's digests")? {
        let model = ModelId(r.u32_le("a model id")?);
        let rows = r.u64_le("a count of rows")?;
        pending.insert(model, Digest { rows, sum: r.u64_le("a sum")? });
    }
    r.finish("a session")?;
    Ok((session, pending))
}
