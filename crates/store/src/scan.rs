//! Reading rows as they lie in their tables, and finding those that are not what was written.
//!
//! Rows are read by their place in the table and not by an index, so that it is the rows themselves
//! that are looked at.

use std::collections::BTreeMap;

use driftless_core::codec::Writer;
use driftless_core::digest::{Digests, OwnedChecksum, shared_checksum_in};
use driftless_core::id::{DeviceId, RecordKey};
use driftless_core::record::Record;
use driftless_core::schema::{ModelId, ModelKind};
use driftless_core::version::Life;
use rusqlite::{Connection, Row, params};

use crate::error::{StoreError, Within, from_sql_seq};
use crate::fields::{Fields, decode_fields, encode_fields};
use crate::lane::Lane;
use crate::layout::{Layout, Table, quoted};
use crate::missing::Remains;
use crate::origins::Origins;
use crate::quarantine::key_of;
use crate::row::read_fields;
use crate::shared::{decode_row, decode_whole};
use crate::snapshot::Snapshot;

const WHAT: &str = "a synced row";
/// Rows that are asked for at once.
const SLICE: u32 = 10_000;
/// Damaged rows behind which nothing more is read.
const MAX_BAD: usize = 1_000;

/// A table with synced rows.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RowTable<'a> {
    /// A model's own.
    Model(&'a Table),
    /// `_unknown_shared`.
    Shared,
    /// `_unknown_owned`.
    Owned,
}

/// Where a damaged row lies.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BadRow {
    /// The model that it says it is of, if that can be read.
    pub model: Option<ModelId>,
    pub(crate) table: String,
    pub(crate) rowid: i64,
}

/// What reading all rows came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowsRead {
    /// The digests of the rows that are what was written, but for those of lanes that are not exact.
    pub digests: Digests,
    /// Rows that are not what was written.
    pub bad: Vec<BadRow>,
    /// Whether all rows were read: not if there are too many of the bad ones.
    pub all: bool,
}

impl<'a> RowTable<'a> {
    /// All tables with synced rows, in the order in which they are looked at.
    pub(crate) fn all(layout: &'a Layout) -> Vec<Self> {
        layout.iter().map(RowTable::Model).chain([RowTable::Shared, RowTable::Owned]).collect()
    }

    pub(crate) fn name(&self) -> &'a str {
        match self {
            RowTable::Model(table) => &table.name,
            RowTable::Shared => "_unknown_shared",
            RowTable::Owned => "_unknown_owned",
        }
    }

    pub(crate) fn is_shared(&self) -> bool {
        match self {
            RowTable::Model(table) => table.kind != ModelKind::Owned,
            RowTable::Shared => true,
            RowTable::Owned => false,
        }
    }

    /// Rowid, key and the rest, as [`Checker::read`] takes them.
    pub(crate) fn select(&self, end: &str) -> String {
        match self {
            RowTable::Model(table) => {
                let mut columns: String =
                    table.columns.iter().map(|c| format!("{}, ", quoted(&c.name))).collect();
                columns.push_str(if self.is_shared() {
                    "_sync, _sum"
                } else {
                    "_more, _lane, _seq, _sum"
                });
                format!("SELECT rowid, id, {columns} FROM {} {end}", quoted(&table.name))
            }
            RowTable::Shared => {
                format!("SELECT rowid, key, model, record, _sum FROM _unknown_shared {end}")
            }
            RowTable::Owned => {
                format!(
                    "SELECT rowid, key, model, lane, seq, fields, _sum FROM _unknown_owned {end}"
                )
            }
        }
    }
}

/// What a row says of itself.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Whether it is what was written.
    pub(crate) sound: bool,
    /// The checksum that is kept of it.
    pub(crate) sum: Option<u64>,
    pub(crate) model: Option<ModelId>,
    pub(crate) key: Option<RecordKey>,
    pub(crate) lane: Option<i64>,
    pub(crate) seq: Option<u64>,
    pub(crate) remains: Remains,
}

/// Reads rows, with what it takes to make their checksums.
pub(crate) struct Checker<'a> {
    conn: &'a Connection,
    origins: &'a Origins,
    sums: BTreeMap<i64, OwnedChecksum>,
    buffer: Writer,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(
        conn: &'a Connection,
        origins: &'a Origins,
        lanes: &BTreeMap<DeviceId, Lane>,
    ) -> Self {
        let life = |lane: &Lane| -> Option<Life> {
            let session = lane.state.session.as_ref().map(|session| session.life);
            lane.state.exact.map(|head| head.life).or(session)
        };
        let sums = lanes
            .iter()
            .filter_map(|(device, lane)| Some((lane.id, OwnedChecksum::new(*device, life(lane)?))));
        Self { conn, origins, sums: sums.collect(), buffer: Writer::new() }
    }

    /// What a row of [`RowTable::select`] says, and what could be read of it if `keep`.
    pub(crate) fn read(
        &mut self,
        room: RowTable<'_>,
        row: &Row<'_>,
        keep: bool,
    ) -> Result<Seen, StoreError> {
        let conn = self.conn;
        let key = row.get_ref(1).and_then(|key| Ok(key.as_blob()?)).within(conn, WHAT);
        let key = known(key.and_then(|key| key_of(conn, key)))?;
        let model = match room {
            RowTable::Model(table) => Some(table.model),
            RowTable::Shared | RowTable::Owned => {
                known(row.get(2).within(conn, WHAT))?.map(ModelId)
            }
        };
        let mut seen = Seen {
            sound: false,
            sum: None,
            model,
            key,
            lane: None,
            seq: None,
            remains: Remains::Nothing,
        };
        if room.is_shared() {
            self.read_shared(room, row, keep, &mut seen)?;
        } else {
            self.read_owned(room, row, keep, &mut seen)?;
        }
        Ok(seen)
    }

    fn read_shared(
        &mut self,
        room: RowTable<'_>,
        row: &Row<'_>,
        keep: bool,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let conn = self.conn;
        let (record, sum): (Result<Record, StoreError>, usize) = match room {
            RowTable::Model(table) => {
                (decode_row(conn, self.origins, table, row, 2), table.columns.len() + 3)
            }
            _ => {
                let bytes = row.get_ref(3).and_then(|bytes| Ok(bytes.as_blob()?));
                let bytes = bytes.within(conn, WHAT);
                (bytes.and_then(|bytes| decode_whole(conn, self.origins, bytes)), 4)
            }
        };
        seen.sum = known(row.get(sum).within(conn, WHAT))?.map(i64::cast_unsigned);
        let Some(record) = known(record)? else { return Ok(()) };
        if let (Some(model), Some(key)) = (seen.model, &seen.key) {
            let made = shared_checksum_in(&mut self.buffer, model, key, &record);
            seen.sound = seen.sum == Some(made);
        }
        if keep {
            let mut w = Writer::new();
            record.encode(&mut w);
            seen.remains = Remains::Record(w.into_bytes());
        }
        Ok(())
    }

    fn read_owned(
        &mut self,
        room: RowTable<'_>,
        row: &Row<'_>,
        keep: bool,
        seen: &mut Seen,
    ) -> Result<(), StoreError> {
        let conn = self.conn;
        let (lane, seq, sum) = match room {
            RowTable::Model(table) => {
                let own = table.columns.len() + 3;
                (own, own + 1, own + 2)
            }
            _ => (3, 4, 6),
        };
        let number = |at: usize| known(row.get::<_, i64>(at).within(conn, WHAT));
        let (lane, seq, sum) = (number(lane)?, number(seq)?, number(sum)?);
        seen.sum = sum.map(i64::cast_unsigned);
        seen.lane = lane;
        seen.seq = match seq {
            Some(seq) => known(from_sql_seq(conn, seq))?,
            None => None,
        };
        let mut fields = Fields::new();
        let read = match room {
            RowTable::Model(table) => {
                read_fields(conn, table, row, 2).map(|found| fields.extend(found))
            }
            _ => {
                let bytes = row.get_ref(5).and_then(|bytes| Ok(bytes.as_blob()?));
                let bytes = bytes.within(conn, WHAT);
                bytes.and_then(|bytes| decode_fields(bytes, &mut fields).within(conn, WHAT))
            }
        };
        if known(read)?.is_none() {
            return Ok(());
        }
        let sums = lane.and_then(|lane| self.sums.get_mut(&lane));
        if let (Some(model), Some(key), Some(seq), Some(sums)) =
            (seen.model, &seen.key, seen.seq, sums)
        {
            let made = sums.of(model, key.as_bytes(), seq, fields.iter().copied());
            seen.sound = seen.sum == Some(made);
        }
        if keep {
            let mut w = Writer::new();
            encode_fields(&mut w, &fields);
            seen.remains = Remains::Fields(w.into_bytes());
        }
        Ok(())
    }
}

/// What is damaged is nothing that is known; other errors go on.
pub(crate) fn known<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Looks at up to `limit` rows of a table behind a place: the last of them, if there were any. Each that is
/// what was written goes to `sound`, damaged ones to `bad`.
pub(crate) fn look(
    checker: &mut Checker<'_>,
    room: RowTable<'_>,
    (after, limit): (i64, u32),
    mut sound: impl FnMut(&Seen),
    bad: &mut Vec<BadRow>,
) -> Result<Option<i64>, StoreError> {
    let conn = checker.conn;
    let sql = room.select("WHERE rowid > ?1 ORDER BY rowid LIMIT ?2");
    let mut select = conn.prepare_cached(&sql).within(conn, WHAT)?;
    let mut rows = select.query(params![after, limit]).within(conn, WHAT)?;
    let mut last = None;
    while let Some(row) = rows.next().within(conn, WHAT)? {
        let rowid: i64 = row.get(0).within(conn, WHAT)?;
        last = Some(rowid);
        let seen = checker.read(room, row, false)?;
        if seen.sound {
            sound(&seen);
        } else {
            bad.push(BadRow { model: seen.model, table: room.name().to_owned(), rowid });
        }
    }
    Ok(last)
}

impl Snapshot {
    /// Reads all rows, and makes the digests anew from them. Ends early where some thousand are bad. An
    /// error that is [`StoreError::Damaged`] says that a table cannot be read to its end.
    pub fn read_rows(&self) -> Result<RowsRead, StoreError> {
        let state = self.state();
        let mut checker = Checker::new(self.connection(), &state.origins, &state.lanes);
        let exact = state.exact_lanes();
        let (mut digests, mut bad) = (Digests::new(), Vec::new());
        let mut count = |seen: &Seen| {
            let counts = seen.lane.is_none_or(|lane| exact.contains(&lane));
            if let (Some(model), Some(sum), true) = (seen.model, seen.sum, counts) {
                digests.entry(model).or_default().add(sum);
            }
        };
        for room in RowTable::all(self.layout()) {
            let mut after = i64::MIN;
            while let Some(last) = look(&mut checker, room, (after, SLICE), &mut count, &mut bad)? {
                after = last;
                if bad.len() >= MAX_BAD {
                    return Ok(RowsRead { digests, bad, all: false });
                }
            }
        }
        Ok(RowsRead { digests, bad, all: true })
    }
}
