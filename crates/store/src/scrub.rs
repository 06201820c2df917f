//! Looking at all rows, slowly: a few at a time, from where the last look has come, over restarts.
//!
//! ```text
//! _local, space "scrub", key "at" = began_ms:var  done:u8  table:text  rowid:signed
//! ```

use driftless_core::codec::{CodecError, Reader, Writer};
use rusqlite::Connection;

use crate::error::{StoreError, Within};
use crate::lane::Lane;
use crate::open::{SqliteStore, open_reader};
use crate::origins::Origins;
use crate::scan::{BadRow, Checker, RowTable, look};

const SPACE: &str = "scrub";
const KEY: &[u8] = b"at";
const WHAT: &str = "how far the rows have been looked at";
/// Rows of one slice: about half a millisecond.
const SLICE: u32 = 500;
/// How many slices go by until it is noted how far they have come.
const NOTED_EVERY: u32 = 600;
/// The longest name of a table that is read back.
const MAX_NAME: usize = 1_024;

/// How far the rows have been looked at.
#[derive(Debug, Default)]
pub(crate) struct Scrub {
    at: Option<Place>,
    /// A connection of its own, so that the file is read and not what another one remembers of it.
    conn: Option<Connection>,
    unnoted: u32,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Place {
    /// When the pass began, Unix milliseconds.
    began_ms: u64,
    /// Whether it has come to its end.
    done: bool,
    table: String,
    rowid: i64,
}

/// What a slice came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scrubbed {
    /// Rows that are not what was written.
    pub bad: Vec<BadRow>,
    /// Whether the pass has come to its end.
    pub done: bool,
}

impl Place {
    fn begin(now_ms: u64) -> Self {
        Self { began_ms: now_ms, rowid: i64::MIN, ..Self::default() }
    }

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.var(self.began_ms);
        w.u8(self.done.into());
        w.text(&self.table);
        w.signed(self.rowid);
        w.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(bytes);
        Ok(Self {
            began_ms: r.var("a time")?,
            done: r.u8("an end")? == 1,
            table: r.text(MAX_NAME, "a table's name")?.to_owned(),
            rowid: r.signed("a row")?,
        })
    }
}

impl SqliteStore {
    /// When the pass that is under way began or the last one did, Unix milliseconds, and whether it has
    /// come to its end; `None` if there never was one.
    pub fn scrubbed(&mut self) -> Result<Option<(u64, bool)>, StoreError> {
        if self.scrub.at.is_none()
            && let Some(bytes) = self.local(SPACE, KEY)?
        {
            // What cannot be read is begun anew.
            self.scrub.at = Place::decode(&bytes).ok();
        }
        Ok(self.scrub.at.as_ref().map(|at| (at.began_ms, at.done)))
    }

    /// Looks at the next rows of the pass that is under way, or of a new one. To be called outside of a
    /// transaction. An error that is [`StoreError::Damaged`] says that a table cannot be read further.
    pub fn scrub(&mut self, now_ms: u64) -> Result<Scrubbed, StoreError> {
        if self.in_transaction() {
            return Err(StoreError::Nested);
        }
        let under_way = matches!(self.scrubbed()?, Some((_, false)));
        let at = self.scrub.at.take().filter(|_| under_way);
        let mut at = at.unwrap_or_else(|| Place::begin(now_ms));
        let conn = match self.scrub.conn.take() {
            Some(conn) => conn,
            None => open_reader(&self.dir, &self.options)?,
        };
        let mut bad = Vec::new();
        let looked = self.look_from(&conn, &mut at, &mut bad);
        let done = at.done;
        self.scrub.at = Some(at);
        looked?;
        self.scrub.conn = Some(conn).filter(|_| !done);
        self.scrub.unnoted += 1;
        if done || self.scrub.unnoted >= NOTED_EVERY {
            self.note_scrubbed()?;
        }
        Ok(Scrubbed { bad, done })
    }

    fn look_from(
        &self,
        conn: &Connection,
        at: &mut Place,
        bad: &mut Vec<BadRow>,
    ) -> Result<(), StoreError> {
        conn.execute_batch("BEGIN").within(conn, WHAT)?;
        let looked = self.look_on(conn, at, bad);
        let ended = conn.execute_batch("COMMIT").within(conn, WHAT);
        looked.and(ended)
    }

    fn look_on(
        &self,
        conn: &Connection,
        at: &mut Place,
        bad: &mut Vec<BadRow>,
    ) -> Result<(), StoreError> {
        let rooms = RowTable::all(&self.layout);
        let here = rooms.iter().position(|room| room.name() == at.table);
        let (origins, lanes) = (Origins::load(conn, "_origin")?, Lane::load_all(conn)?);
        let mut checker = Checker::new(conn, &origins, &lanes);
        let room = rooms[here.unwrap_or(0)];
        let after = if here.is_some() { at.rowid } else { i64::MIN };
        room.name().clone_into(&mut at.table);
        match look(&mut checker, room, (after, SLICE), |_| {}, bad)? {
            Some(last) => at.rowid = last,
            None => match rooms.get(here.unwrap_or(0) + 1) {
                Some(next) => {
                    next.name().clone_into(&mut at.table);
                    at.rowid = i64::MIN;
                }
                None => at.done = true,
            },
        }
        Ok(())
    }

    /// Keeps how far the rows have been looked at. It may be lost, and is looked at again then.
    fn note_scrubbed(&mut self) -> Result<(), StoreError> {
        let Some(at) = self.scrub.at.as_ref().map(Place::encode) else { return Ok(()) };
        self.begin_relaxed()?;
        match self.put_local(SPACE, KEY, &at) {
            Ok(()) => self.commit()?,
            Err(error) => {
                self.rollback()?;
                return Err(error);
            }
        }
        self.scrub.unnoted = 0;
        Ok(())
    }
}
