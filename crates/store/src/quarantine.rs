//! The dead letters: what is kept, counted, served and merged, and cannot show in a table.

use driftless_core::engine::ModelCounts;
use driftless_core::id::{DeviceId, RecordKey};
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, ModelId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{StoreError, Within};
use crate::open::SqliteStore;

/// Why something waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// This build does not know the model.
    UnknownModel,
    /// This build does not know the field.
    UnknownField,
    /// The value does not fit the type of its field.
    RefusedValue,
    /// Another device's row has the same key; the row of the lesser device id shows.
    KeyTaken,
}

/// Something that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// The model.
    pub model: ModelId,
    /// The record.
    pub key: RecordKey,
    /// The field, or `None` for the whole record.
    pub field: Option<FieldId>,
    /// Why.
    pub reason: Reason,
    /// Who wrote it: of several the one with the highest stamp.
    pub device: Option<DeviceId>,
    pub(crate) place: Place,
}

/// Where something waits: the room, the model, the key, and the lane or the field. Ordered.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place {
    pub(crate) room: Room,
    model: i64,
    key: Vec<u8>,
    part: i64,
}

/// The tables that something can wait in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Room {
    /// `_unknown_shared`.
    Shared,
    /// `_unknown_owned`.
    Owned,
    /// `_quarantine`.
    Note,
}

/// What is noted about one field of a record that is in a table otherwise.
pub(crate) type Note = (FieldId, Reason);

const WHAT: &str = "the quarantine";
/// Where records are kept whole.
const WHOLE: [&str; 2] = ["_unknown_shared", "_unknown_owned"];

fn number(reason: Reason) -> i64 {
    match reason {
        Reason::UnknownModel => 0,
        Reason::UnknownField => 1,
        Reason::RefusedValue => 2,
        Reason::KeyTaken => 3,
    }
}

fn reason(conn: &Connection, number: i64) -> Result<Reason, StoreError> {
    match number {
        1 => Ok(Reason::UnknownField),
        2 => Ok(Reason::RefusedValue),
        n => Err(StoreError::damaged(conn, format!("the reason {n} in the quarantine"))),
    }
}

/// Replaces the notes about a record, and keeps their count.
pub(crate) fn set_notes(
    conn: &Connection,
    count: &mut u64,
    model: ModelId,
    key: &[u8],
    notes: &[Note],
) -> Result<(), StoreError> {
    if *count > 0 {
        let gone = conn
            .prepare_cached("DELETE FROM _quarantine WHERE model = ?1 AND key = ?2")
            .and_then(|mut delete| delete.execute(params![model.0, key]))
            .within(conn, WHAT)?;
        *count = count.saturating_sub(gone as u64);
    }
    for (field, reason) in notes {
        conn.prepare_cached(
            "INSERT INTO _quarantine (model, key, field, reason) VALUES (?1, ?2, ?3, ?4)",
        )
        .and_then(|mut insert| insert.execute(params![model.0, key, field.0, number(*reason)]))
        .within(conn, WHAT)?;
        *count += 1;
    }
    Ok(())
}

impl SqliteStore {
    /// How many records and fields wait in quarantine, by model.
    pub fn quarantined_by_model(&self) -> Result<ModelCounts, StoreError> {
        let mut counts = ModelCounts::of(&self.schema);
        let tables = WHOLE.iter().chain((self.state.notes > 0).then_some(&"_quarantine"));
        for table in tables {
            let sql = format!("SELECT model, count(*) FROM {table} GROUP BY model");
            let mut select = self.conn.prepare_cached(&sql).within(&self.conn, WHAT)?;
            let mut rows = select.query([]).within(&self.conn, WHAT)?;
            while let Some(row) = rows.next().within(&self.conn, WHAT)? {
                let model = ModelId(row.get(0).within(&self.conn, WHAT)?);
                if *table == "_quarantine" || self.why_whole(table, model).is_some() {
                    let count = row.get::<_, i64>(1).within(&self.conn, WHAT)?.cast_unsigned();
                    counts.add(model, count);
                }
            }
        }
        Ok(counts)
    }

    /// How many records and fields wait in quarantine.
    pub fn quarantined(&self) -> Result<u64, StoreError> {
        let mut count = self.state.notes;
        for table in WHOLE {
            let sql = format!("SELECT model, count(*) FROM {table} GROUP BY model");
            let mut select = self.conn.prepare_cached(&sql).within(&self.conn, WHAT)?;
            let mut rows = select.query([]).within(&self.conn, WHAT)?;
            while let Some(row) = rows.next().within(&self.conn, WHAT)? {
                let model = ModelId(row.get(0).within(&self.conn, WHAT)?);
                if self.why_whole(table, model).is_some() {
                    count += row.get::<_, i64>(1).within(&self.conn, WHAT)?.cast_unsigned();
                }
            }
        }
        Ok(count)
    }

    /// Up to `limit` of what waits in quarantine, behind `after`, in an order that stays.
    pub fn quarantine(
        &self,
        after: Option<&Quarantined>,
        limit: usize,
    ) -> Result<Vec<Quarantined>, StoreError> {
        let mut out = Vec::new();
        for room in [Room::Shared, Room::Owned, Room::Note] {
            if after.is_some_and(|after| after.place.room > room) {
                continue;
            }
            let from = after.map(|after| &after.place).filter(|place| place.room == room);
            self.list(room, from, limit, &mut out)?;
        }
        Ok(out)
    }

    /// Adds what waits in one room.
    fn list(
        &self,
        room: Room,
        from: Option<&Place>,
        limit: usize,
        out: &mut Vec<Quarantined>,
    ) -> Result<(), StoreError> {
        let (table, part) = match room {
            Room::Shared => ("_unknown_shared", "_rowid_ * 0"),
            Room::Owned => ("_unknown_owned", "lane"),
            Room::Note => ("_quarantine", "field"),
        };
        let reason = if room == Room::Note { "reason" } else { "NULL" };
        let sql = format!(
            "SELECT model, key, {part}, {reason} FROM {table} \
             WHERE (model, key, {part}) > (?1, ?2, ?3) ORDER BY model, key, {part}"
        );
        let mut select = self.conn.prepare_cached(&sql).within(&self.conn, WHAT)?;
        let (model, key, part) =
            from.map_or((-1, &[][..], -1), |from| (from.model, &from.key[..], from.part));
        let mut rows = select.query(params![model, key, part]).within(&self.conn, WHAT)?;
        while out.len() < limit {
            let Some(row) = rows.next().within(&self.conn, WHAT)? else { break };
            let number = |at: usize| row.get::<_, i64>(at).within(&self.conn, WHAT);
            let model = ModelId(row.get(0).within(&self.conn, WHAT)?);
            let key: Vec<u8> = row.get(1).within(&self.conn, WHAT)?;
            let place = Place { room, model: number(0)?, key, part: number(2)? };
            let field = (room == Room::Note).then(|| row.get(2).map(FieldId)).transpose();
            let why = match room {
                Room::Note => Some(self::reason(&self.conn, number(3)?)?),
                _ => self.why_whole(table, model),
            };
            let Some(reason) = why else { continue };
            let key = self.key_of(&place.key)?;
            let field = field.within(&self.conn, WHAT)?;
            let device = self.writer_of(&place, model, &key, field)?;
            out.push(Quarantined { model, key, field, reason, device, place });
        }
        Ok(())
    }

    /// Who wrote what waits at a place.
    fn writer_of(
        &self,
        place: &Place,
        model: ModelId,
        key: &RecordKey,
        field: Option<FieldId>,
    ) -> Result<Option<DeviceId>, StoreError> {
        let lane = match (place.room, self.layout.owned(model)) {
            (Room::Owned, _) => Some(place.part),
            (Room::Note, Some(table)) => self
                .conn
                .prepare_cached(&table.sql.find)
                .and_then(|mut find| find.query_row([key.as_bytes()], |row| row.get(0)).optional())
                .within(&self.conn, WHAT)?,
            _ => return Ok(writer(&self.load_record(model, key)?, field)),
        };
        let mut lanes = self.state.lanes.iter();
        Ok(lanes.find(|(_, other)| Some(other.id) == lane).map(|(device, _)| *device))
    }

    /// Why a record of this model is kept whole in `table`, if that is for something to come.
    fn why_whole(&self, table: &str, model: ModelId) -> Option<Reason> {
        match self.layout.table(model).map(|known| known.kind.is_shared()) {
            // A record without a life waits for nothing but its end.
            Some(true) if table == "_unknown_shared" => None,
            Some(false) if table == "_unknown_owned" => Some(Reason::KeyTaken),
            _ => Some(Reason::UnknownModel),
        }
    }

    /// A key that a table of ours holds.
    pub(crate) fn key_of(&self, bytes: &[u8]) -> Result<RecordKey, StoreError> {
        key_of(&self.conn, bytes)
    }
}

/// Who wrote a field, or anything of a record, last.
fn writer(record: &Record, field: Option<FieldId>) -> Option<DeviceId> {
    let versions = record.fields.iter().filter(|(id, _)| field.is_none_or(|field| field == **id));
    let stamps = versions.flat_map(|(_, versions)| versions).map(|version| version.stamp());
    let lives = record.lives.iter().filter(|_| field.is_none()).map(|(dot, hlc)| (*hlc, *dot));
    stamps.chain(lives).max().map(|(_, dot)| dot.origin.device)
}

/// A key that a table of ours holds.
pub(crate) fn key_of(conn: &Connection, bytes: &[u8]) -> Result<RecordKey, StoreError> {
    RecordKey::new(bytes).map_err(|error| StoreError::damaged(conn, error.to_string()))
}
