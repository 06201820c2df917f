//! What was damaged and is not back yet: noted in `_local`, each with what of it could be read.
//!
//! ```text
//! space "missing"
//! key   = lane:u8 (0: shared; 1: owned, then device:32)  model:u32 key
//! value = seq:var  read:u8 (0: nothing; 1: record, as in the core's `record.rs`; 2: fields, as in
//!         `fields.rs`; 3: the columns, in words)  bytes
//! ```

use std::sync::Arc;

use driftless_core::codec::{CodecError, Reader, Writer};
use driftless_core::id::{DeviceId, RecordKey, Seq};
use driftless_core::record::Record;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{HeldRow, Missing, Place};
use driftless_core::value::Value;
use rusqlite::Connection;

use crate::error::{StoreError, Within};
use crate::fields::{Fields, canonical, decode_fields};
use crate::open::SqliteStore;
use crate::owned::LaneWriter;
use crate::row::OwnedRow;

/// Where the notes are.
pub(crate) const SPACE: &str = "missing";
const WHAT: &str = "what is missing";

/// What could be read of something that was damaged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Remains {
    /// Nothing that is worth anything.
    Nothing,
    /// A shared record's canonical bytes.
    Record(Vec<u8>),
    /// The fields of an owned row.
    Fields(Vec<u8>),
    /// The columns as they are, in words for a person.
    Columns(Vec<u8>),
}

/// What is left of something that was damaged and that nobody else has.
#[derive(Clone, PartialEq, Debug)]
pub enum Salvage {
    /// Nothing.
    Nothing,
    /// A shared record.
    Record(Record),
    /// The fields of an owned row.
    Fields(Vec<(FieldId, Value)>),
}

fn encode_key(of: Option<&DeviceId>, (model, key): &Place) -> Vec<u8> {
    let mut w = Writer::new();
    w.u8(of.is_some().into());
    if let Some(device) = of {
        w.raw(&device.0);
    }
    w.u32_le(model.0);
    w.key(key);
    w.into_bytes()
}

fn decode_key(bytes: &[u8]) -> Result<(Option<DeviceId>, Place), CodecError> {
    let mut r = Reader::new(bytes);
    let of = match r.u8("a lane")? {
        0 => None,
        1 => Some(DeviceId(r.array("a device id")?)),
        tag => return Err(CodecError::Invalid { what: "a lane", found: tag.into() }),
    };
    let place = (ModelId(r.u32_le("a model id")?), r.key()?);
    r.finish("a note of what is missing")?;
    Ok((of, place))
}

fn encode_note(seq: Seq, remains: &Remains) -> Vec<u8> {
    let mut w = Writer::new();
    w.var(seq);
    let (tag, bytes): (u8, &[u8]) = match remains {
        Remains::Nothing => (0, &[]),
        Remains::Record(bytes) => (1, bytes),
        Remains::Fields(bytes) => (2, bytes),
        Remains::Columns(bytes) => (3, bytes),
    };
    w.u8(tag);
    w.raw(bytes);
    w.into_bytes()
}

/// Reads the notes.
pub(crate) fn load(conn: &Connection) -> Result<Missing, StoreError> {
    let mut missing = Missing::default();
    let mut select =
        conn.prepare("SELECT key, value FROM _local WHERE space = ?1").within(conn, WHAT)?;
    let mut rows = select.query([SPACE]).within(conn, WHAT)?;
    while let Some(row) = rows.next().within(conn, WHAT)? {
        let key: Vec<u8> = row.get(0).within(conn, WHAT)?;
        let value: Vec<u8> = row.get(1).within(conn, WHAT)?;
        let (of, place) = decode_key(&key).within(conn, WHAT)?;
        match of {
            None => drop(missing.shared.insert(place)),
            Some(device) => {
                let seq = Reader::new(&value).var("a seq").within(conn, WHAT)?;
                missing.owned.entry(device).or_default().insert(place, seq);
            }
        }
    }
    Ok(missing)
}

impl SqliteStore {
    /// Notes that something is missing.
    pub(crate) fn note_missing(
        &mut self,
        of: Option<DeviceId>,
        place: Place,
        (seq, remains): (Seq, &Remains),
    ) -> Result<(), StoreError> {
        self.put_local(SPACE, &encode_key(of.as_ref(), &place), &encode_note(seq, remains))?;
        let missing = Arc::make_mut(&mut self.state.missing);
        match of {
            None => drop(missing.shared.insert(place)),
            Some(device) => drop(missing.owned.entry(device).or_default().insert(place, seq)),
        }
        Ok(())
    }

    /// Forgets that a row is missing.
    pub(crate) fn forget_row(
        &mut self,
        device: &DeviceId,
        place: &Place,
    ) -> Result<(), StoreError> {
        if Arc::make_mut(&mut self.state.missing).forget_row(device, place) {
            self.delete_local(SPACE, &encode_key(Some(device), place))?;
        }
        Ok(())
    }

    /// Forgets that rows of a lane are missing, as all of it is another now.
    pub(crate) fn forget_rows_of(&mut self, device: &DeviceId) -> Result<(), StoreError> {
        let rows = self.state.missing.owned.get(device).into_iter().flatten();
        let places: Vec<Place> = rows.map(|(place, _)| place.clone()).collect();
        places.iter().try_for_each(|place| self.forget_row(device, place))
    }

    pub(crate) fn put_back_record(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        record: &Record,
    ) -> Result<(), StoreError> {
        let place = (model, key.clone());
        if Arc::make_mut(&mut self.state.missing).shared.remove(&place) {
            self.delete_local(SPACE, &encode_key(None, &place))?;
        }
        self.save_record(model, key, record)
    }

    pub(crate) fn put_back_row(
        &mut self,
        device: &DeviceId,
        held: &HeldRow,
    ) -> Result<(), StoreError> {
        self.writable()?;
        self.forget_row(device, &(held.model, held.key.clone()))?;
        let Some((seq, fields)) = &held.row else { return Ok(()) };
        let lanes = Arc::clone(&self.state.lanes);
        let exact = lanes.get(device).and_then(|lane| lane.state.exact);
        let life = exact.ok_or(StoreError::NotExact(*device))?.life;
        let mut row: Fields<'_> = fields.iter().map(|(id, value)| (*id, value.as_ref())).collect();
        let refuse = |source| StoreError::Page { device: *device, source };
        canonical(&mut row).map_err(refuse)?;
        let parts = (&self.conn, &self.layout);
        let mut writer = LaneWriter::new(parts, &lanes, (*device, life), (self.state.notes, None))?;
        let key = held.key.as_bytes();
        writer.put(held.model, OwnedRow { key, seq: *seq, fields: &row })?;
        let change = writer.finish();
        drop(lanes);
        self.took(device, change, false)
    }

    /// What could be read of something that is missing, before it is given up.
    pub fn salvage(&self, of: Option<&DeviceId>, place: &Place) -> Result<Salvage, StoreError> {
        let Some(note) = self.local(SPACE, &encode_key(of, place))? else {
            return Ok(Salvage::Nothing);
        };
        let read = || -> Result<Salvage, CodecError> {
            let mut r = Reader::new(&note);
            r.var("a seq")?;
            Ok(match r.u8("what could be read")? {
                1 => {
                    let record = Record::decode(&mut r)?;
                    let versions = record.fields.values().flatten();
                    let dots = versions.flat_map(|v| v.lives.iter().chain([&v.dot]));
                    let covered = |dot| self.state.vector.covers(dot);
                    // One with dots that nobody wrote would be taken for a record by nobody.
                    let real = record.lives.keys().chain(dots).all(covered);
                    if real { Salvage::Record(record) } else { Salvage::Nothing }
                }
                2 => {
                    let mut fields = Fields::new();
                    decode_fields(r.rest(), &mut fields)?;
                    let owned = fields.iter().map(|(id, value)| (*id, (*value).to_owned()));
                    Salvage::Fields(owned.collect())
                }
                _ => Salvage::Nothing,
            })
        };
        read().within(&self.conn, WHAT)
    }
}
