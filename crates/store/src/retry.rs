//! Trying again what waits in quarantine.
//!
//! What follows from the schema is done when a library is opened, and what follows from other changes
//! with those. So this finds something to do only where that went wrong, or where this version is
//! cleverer than the one that put it there: it makes the projection anew.

use driftless_core::codec::Writer;

use crate::error::{StoreError, Within, from_sql_seq};
use crate::layout::Table;
use crate::open::SqliteStore;
use crate::quarantine::{Quarantined, Reason, Room};
use crate::row::{OwnedRow, Split, note_row, read_fields};
use crate::whole;

const WHAT: &str = "trying the quarantine again";

impl SqliteStore {
    /// Makes the projection of something that waits anew, within the open transaction. Digests do not
    /// change, whether it shows then or not.
    pub fn retry(&mut self, waiting: &Quarantined) -> Result<(), StoreError> {
        self.writable()?;
        let (model, key) = (waiting.model, &waiting.key);
        match (waiting.place.room, self.layout.table(model).cloned()) {
            (Room::Shared, _) => {
                let record = self.load_record(model, key)?;
                self.save_record(model, key, &record)
            }
            (Room::Note, Some(table)) if table.kind.is_shared() => {
                let record = self.load_record(model, key)?;
                self.save_record(model, key, &record)
            }
            (Room::Note, Some(table)) => self.project_row(&table, key.as_bytes()),
            (Room::Owned, Some(table)) if waiting.reason == Reason::KeyTaken => {
                self.move_in_if_free(&table, key.as_bytes())
            }
            // Nothing but another version knows what to do with it.
            (Room::Owned | Room::Note, _) => Ok(()),
        }
    }

    fn move_in_if_free(&mut self, table: &Table, key: &[u8]) -> Result<(), StoreError> {
        let taken = {
            let mut find = self.conn.prepare_cached(&table.sql.find).within(&self.conn, WHAT)?;
            find.exists([key]).within(&self.conn, WHAT)?
        };
        if taken {
            return Ok(());
        }
        whole::move_in(&self.conn, table, key, &self.state.lanes, &mut self.state.notes)
    }

    /// Puts the fields of an owned row into the columns that can hold them.
    fn project_row(&mut self, table: &Table, key: &[u8]) -> Result<(), StoreError> {
        let conn = &self.conn;
        let mut load = conn.prepare_cached(&table.sql.load).within(conn, WHAT)?;
        let mut rows = load.query([key]).within(conn, WHAT)?;
        let Some(row) = rows.next().within(conn, WHAT)? else { return Ok(()) };
        let number = |at: usize| row.get::<_, i64>(table.columns.len() + at).within(conn, WHAT);
        let (lane, seq, sum) = (number(1)?, from_sql_seq(conn, number(2)?)?, number(3)?);
        let fields = read_fields(conn, table, row, 0)?;
        let split = Split::new(table, &fields);
        let mut update = conn.prepare_cached(&table.sql.update).within(conn, WHAT)?;
        let bound = (key, lane, seq, sum.cast_unsigned());
        split.write(conn, &mut update, bound, &mut Writer::new())?;
        note_row(conn, table, &OwnedRow { key, seq, fields: &fields }, &mut self.state.notes)
    }
}
