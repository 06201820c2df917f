//! The log of shared change sets: written with the library's transaction, moved behind it.
//!
//! A change set goes into `_unlogged` of `library.db` within the transaction that applies it.
//! [`SqliteStore::flush_log`] copies what waits there into `sync.db`, durably, and the library's
//! next commit removes it. Positions are given out once, so a crash in between leaves copies, which
//! the next flush writes over.

use std::collections::BTreeMap;

use driftless_core::change::ChangeSet;
use driftless_core::clock::Hlc;
use driftless_core::codec::{CodecError, Reader, Writer};
use driftless_core::id::{Dot, Origin, RecordKey, Seq};
use driftless_core::limits::MAX_DOTS;
use driftless_core::merge::Lost;
use driftless_core::record::Version;
use driftless_core::schema::{FieldId, ModelId};
use driftless_core::value::Value;
use driftless_core::version::Vector;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{StoreError, Within, from_sql_seq, to_sql_seq};
use crate::open::SqliteStore;
use crate::origins::Origins;
use crate::state::check_seq;
use crate::transaction::run;

/// What of each origin is asked for: the next seq, and the last.
type Wanted = BTreeMap<Origin, (Seq, Seq)>;

impl SqliteStore {
    pub(crate) fn append_set(&mut self, set: &ChangeSet) -> Result<(), StoreError> {
        self.writable()?;
        let (origin, found) = (set.header().origin, set.header().seq);
        let have = self.state.vector.seq(&origin);
        if found != have.wrapping_add(1) {
            return Err(StoreError::OutOfOrder { origin, have, found });
        }
        let head = check_seq(set.head())?;
        let id = self.state.intern(&self.conn, &origin)?;
        let hlc = set.header().hlc.0.cast_signed();
        let seq = to_sql_seq(found)?;
        self.conn
            .prepare_cached(
                "INSERT INTO _unlogged (pos, origin, seq, hlc, bytes) VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .and_then(|mut insert| {
                insert.execute(params![self.state.next_pos, id, seq, hlc, &set.bytes()[..]])
            })
            .within(&self.conn, "logging a change set")?;
        self.state.next_pos += 1;
        self.state.set_head(origin, head);
        self.note_logged(set);
        Ok(())
    }

    /// How many change sets and losses wait to be moved into `sync.db`.
    pub fn unflushed(&self) -> u64 {
        let waiting = self.state.next_pos - 1 - self.log.flushed;
        waiting.max(0).cast_unsigned()
    }

    /// Whether floors were raised when the library was opened, as change sets that it has were missing
    /// from the log: the file was deleted, put back from an older copy, or set aside as damaged.
    pub fn log_incomplete(&self) -> bool {
        self.log.incomplete
    }

    /// Where a `sync.db` that could not be used was moved to when the library was opened.
    pub fn log_set_aside(&self) -> Option<&std::path::Path> {
        self.log.set_aside.as_deref()
    }

    /// Moves what waits in `library.db` into `sync.db`, with the acknowledgements, the events and the
    /// trend if it is due, and makes it durable there, as it is in `library.db` by then. To be called
    /// outside of a transaction. On an error nothing was moved, nothing is lost, and it may be tried
    /// again.
    pub fn flush_log(&mut self) -> Result<(), StoreError> {
        if self.tx.is_some() {
            return Err(StoreError::Nested);
        }
        let acks = self.state.unwritten_acks().next().is_some();
        if self.unflushed() == 0 && !acks && self.events.is_empty() && !self.trend.is_due() {
            return Ok(());
        }
        // A log that outlasts a power cut must not know more than the library does.
        self.make_durable()?;
        let origins = self.log.origins.clone();
        run(&self.log.conn, "BEGIN IMMEDIATE", "moving the log")?;
        if let Err(error) = self.copy_all() {
            self.log.origins = origins;
            if !self.log.conn.is_autocommit() {
                run(&self.log.conn, "ROLLBACK", "moving the log")?;
            }
            return Err(error);
        }
        self.log.flushed = self.state.next_pos - 1;
        self.log.to_delete = true;
        self.state.acks_written();
        self.events.written();
        self.trend.written();
        self.look_at_size()
    }

    fn copy_all(&mut self) -> Result<(), StoreError> {
        self.copy_sets()?;
        self.copy_lost()?;
        self.write_acks()?;
        self.events.write(&self.log.conn)?;
        self.trend.write(&self.log.conn)?;
        run(&self.log.conn, "COMMIT", "moving the log")
    }

    fn copy_sets(&mut self) -> Result<(), StoreError> {
        const WHAT: &str = "moving the log";
        let kept = self.keeping.limits.is_some();
        let (from, log) = (&self.conn, &mut self.log);
        let mut put = log
            .conn
            .prepare_cached(
                "INSERT OR REPLACE INTO log (pos, origin, seq, hlc, bytes) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .within(&log.conn, WHAT)?;
        let mut select = from
            .prepare_cached(
                "SELECT pos, origin, seq, hlc, bytes FROM _unlogged WHERE pos > ?1 ORDER BY pos",
            )
            .within(from, WHAT)?;
        let mut rows = select.query([log.flushed]).within(from, WHAT)?;
        while let Some(row) = rows.next().within(from, WHAT)? {
            let number = |at| row.get::<_, i64>(at).within(from, WHAT);
            let origin = origin_of(from, &self.state.origins, number(1)?)?;
            if !kept && number(2)? <= to_sql(self.state.floor(&origin)) {
                continue;
            }
            let id = match log.origins.id(&origin) {
                Some(id) => id,
                None => log.origins.add(&log.conn, "origin", &origin)?,
            };
            let bytes = ToSqlOutput::Borrowed(row.get_ref(4).within(from, WHAT)?);
            put.execute(params![number(0)?, id, number(2)?, number(3)?, bytes])
                .within(&log.conn, WHAT)?;
        }
        Ok(())
    }

    fn copy_lost(&self) -> Result<(), StoreError> {
        const WHAT: &str = "moving the history";
        let (from, to) = (&self.conn, &self.log.conn);
        let mut put = to
            .prepare_cached(
                "INSERT OR REPLACE INTO lost (pos, model, key, entry) VALUES (?1, ?2, ?3, ?4)",
            )
            .within(to, WHAT)?;
        let mut select = from
            .prepare_cached(
                "SELECT pos, model, key, entry FROM _unlost WHERE pos > ?1 ORDER BY pos",
            )
            .within(from, WHAT)?;
        let mut rows = select.query([self.log.flushed]).within(from, WHAT)?;
        while let Some(row) = rows.next().within(from, WHAT)? {
            let value = |at| row.get_ref(at).map(ToSqlOutput::Borrowed).within(from, WHAT);
            put.execute(params![value(0)?, value(1)?, value(2)?, value(3)?]).within(to, WHAT)?;
        }
        Ok(())
    }

    fn write_acks(&self) -> Result<(), StoreError> {
        const WHAT: &str = "writing an acknowledgement";
        let to = &self.log.conn;
        let mut put = to
            .prepare_cached(
                "INSERT OR REPLACE INTO ack (peer, shared, owned, heard_ms) VALUES (?1, ?2, ?3, ?4)",
            )
            .within(to, WHAT)?;
        for (peer, acked) in self.state.unwritten_acks() {
            let (mut first, mut second) = (Writer::new(), Writer::new());
            acked.shared.encode(&mut first);
            acked.owned.encode(&mut second);
            let heard = acked.heard_ms.cast_signed();
            put.execute(params![peer.0, first.as_bytes(), second.as_bytes(), heard])
                .within(to, WHAT)?;
        }
        Ok(())
    }

    /// See [`driftless_core::store::Store::log`]. Fails with [`StoreError::LogGap`] if something
    /// that `have` lacks is gone.
    pub(crate) fn read_log(
        &self,
        have: &Vector,
        max_bytes: usize,
    ) -> Result<Vec<ChangeSet>, StoreError> {
        let mut wanted = Wanted::new();
        for (origin, head) in self.state.vector.iter() {
            let known = have.seq(origin).max(self.state.floor(origin));
            let next = known.saturating_add(1);
            if next <= head.seq {
                wanted.insert(*origin, (next, head.seq));
            }
        }
        if wanted.len() == 1
            && let Some((origin, seqs)) = wanted.first_key_value()
            && let Some(sets) = self.just_logged(origin, *seqs, max_bytes)
        {
            return Ok(sets);
        }
        let Some(start) = self.first_pos(&wanted)? else { return Ok(Vec::new()) };
        let waiting = self.first_waiting("_unlogged")?;
        let mut out = Taken { sets: Vec::new(), bytes: 0, max_bytes };
        if start < waiting {
            let part = Part { conn: &self.log.conn, origins: &self.log.origins, table: "log" };
            if !part.take((start, waiting), &mut wanted, &mut out)? {
                return Ok(out.sets);
            }
        }
        let part = Part { conn: &self.conn, origins: &self.state.origins, table: "_unlogged" };
        if part.take((start, i64::MAX), &mut wanted, &mut out)? {
            refuse_gaps(&wanted)?;
        }
        Ok(out.sets)
    }

    /// The first position that `library.db` still holds; what is before it is in `sync.db` alone.
    fn first_waiting(&self, table: &str) -> Result<i64, StoreError> {
        let sql = format!("SELECT min(pos) FROM {table}");
        let first: Option<i64> = self
            .conn
            .prepare_cached(&sql)
            .and_then(|mut select| select.query_row([], |row| row.get(0)))
            .within(&self.conn, "the log")?;
        Ok(first.unwrap_or(i64::MAX))
    }

    /// The position of the first change set that is wanted; all of their streams' next must be
    /// there.
    fn first_pos(&self, wanted: &Wanted) -> Result<Option<i64>, StoreError> {
        let mut first: Option<i64> = None;
        for (origin, (next, _)) in wanted {
            let in_log = pos_of(&self.log.conn, "log", self.log.origins.id(origin), *next)?;
            let pos = match in_log {
                Some(pos) => pos,
                None => pos_of(&self.conn, "_unlogged", self.state.origins.id(origin), *next)?
                    .ok_or(StoreError::LogGap { origin: *origin, seq: *next })?,
            };
            first = Some(first.map_or(pos, |first| first.min(pos)));
        }
        Ok(first)
    }

    pub(crate) fn keep_losses(
        &mut self,
        model: ModelId,
        key: &RecordKey,
        lost: &[Lost],
        (by, kind): (Dot, Kind),
    ) -> Result<(), StoreError> {
        self.writable()?;
        for loss in lost {
            let mut w = Writer::new();
            encode_loss(&mut w, loss, (by, kind));
            self.conn
                .prepare_cached(
                    "INSERT INTO _unlost (pos, model, key, entry) VALUES (?1, ?2, ?3, ?4)",
                )
                .and_then(|mut insert| {
                    insert.execute(params![
                        self.state.next_pos,
                        model.0,
                        key.as_bytes(),
                        w.as_bytes()
                    ])
                })
                .within(&self.conn, "keeping a loss")?;
            self.state.next_pos += 1;
        }
        Ok(())
    }

    /// What of a record was lost to deletes, as far as the history holds it, in the order in which
    /// it happened, each with the change set whose application lost it.
    pub fn losses(&self, model: ModelId, key: &RecordKey) -> Result<Vec<(Lost, Dot)>, StoreError> {
        let waiting = self.first_waiting("_unlost")?;
        let mut out = Vec::new();
        for (conn, table, range) in
            [(&self.log.conn, "lost", (0, waiting)), (&self.conn, "_unlost", (waiting, i64::MAX))]
        {
            const WHAT: &str = "the history";
            let sql = format!(
                "SELECT entry FROM {table} \
                 WHERE model = ?1 AND key = ?2 AND pos >= ?3 AND pos < ?4 ORDER BY pos"
            );
            let mut select = conn.prepare_cached(&sql).within(conn, WHAT)?;
            let mut rows = select
                .query(params![model.0, key.as_bytes(), range.0, range.1])
                .within(conn, WHAT)?;
            while let Some(row) = rows.next().within(conn, WHAT)? {
                let entry = row.get_ref(0).and_then(|entry| Ok(entry.as_blob()?));
                let (lost, by, kind) = decode_loss(entry.within(conn, WHAT)?).within(conn, WHAT)?;
                if kind == Kind::Deleted {
                    out.push((lost, by));
                }
            }
        }
        Ok(out)
    }
}

/// The change sets that an answer takes, up to its size.
struct Taken {
    sets: Vec<ChangeSet>,
    bytes: usize,
    max_bytes: usize,
}

/// One of the two places where the log is.
struct Part<'a> {
    conn: &'a Connection,
    origins: &'a Origins,
    table: &'static str,
}

impl Part<'_> {
    /// Takes what is wanted from the positions `from..to`. Whether there is room for more.
    fn take(
        &self,
        (from, to): (i64, i64),
        wanted: &mut Wanted,
        out: &mut Taken,
    ) -> Result<bool, StoreError> {
        const WHAT: &str = "the log";
        let sql = format!(
            "SELECT origin, seq, bytes FROM {} WHERE pos >= ?1 AND pos < ?2 ORDER BY pos",
            self.table
        );
        let mut select = self.conn.prepare_cached(&sql).within(self.conn, WHAT)?;
        let mut rows = select.query([from, to]).within(self.conn, WHAT)?;
        while let Some(row) = rows.next().within(self.conn, WHAT)? {
            let id: i64 = row.get(0).within(self.conn, WHAT)?;
            let seq: i64 = row.get(1).within(self.conn, WHAT)?;
            let origin = origin_of(self.conn, self.origins, id)?;
            let seq = from_sql_seq(self.conn, seq)?;
            let Some((next, last)) = wanted.get_mut(&origin) else { continue };
            if seq < *next || seq > *last {
                continue;
            }
            if seq > *next {
                return Err(StoreError::LogGap { origin, seq: *next });
            }
            let bytes = row.get_ref(2).and_then(|bytes| Ok(bytes.as_blob()?));
            let bytes = bytes.within(self.conn, WHAT)?;
            if !out.sets.is_empty() && out.bytes.saturating_add(bytes.len()) > out.max_bytes {
                return Ok(false);
            }
            let set = ChangeSet::decode(bytes.to_vec().into()).within(self.conn, WHAT)?;
            if set.dot() != Dot::new(origin, seq) {
                return Err(StoreError::damaged(
                    self.conn,
                    format!("the log entry of {origin}#{seq}"),
                ));
            }
            out.bytes += bytes.len();
            out.sets.push(set);
            *next += 1;
        }
        Ok(true)
    }
}

fn refuse_gaps(wanted: &Wanted) -> Result<(), StoreError> {
    match wanted.iter().find(|(_, (next, last))| next <= last) {
        Some((origin, (next, _))) => Err(StoreError::LogGap { origin: *origin, seq: *next }),
        None => Ok(()),
    }
}

pub(crate) fn origin_of(
    conn: &Connection,
    origins: &Origins,
    id: i64,
) -> Result<Origin, StoreError> {
    origins.origin(id).ok_or_else(|| StoreError::damaged(conn, format!("the origin {id}")))
}

pub(crate) fn pos_of(
    conn: &Connection,
    table: &str,
    origin: Option<i64>,
    seq: Seq,
) -> Result<Option<i64>, StoreError> {
    let Some(origin) = origin else { return Ok(None) };
    // From the end, as what is asked for is mostly new, and what has not been moved has no index.
    let sql =
        format!("SELECT pos FROM {table} WHERE origin = ?1 AND seq = ?2 ORDER BY pos DESC LIMIT 1");
    conn.prepare_cached(&sql)
        .and_then(|mut select| {
            select.query_row(params![origin, to_sql(seq)], |row| row.get(0)).optional()
        })
        .within(conn, "the log")
}

/// A seq of a vector, which is within range as everything that was appended is.
fn to_sql(seq: Seq) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// Why a version is no part of the state any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A delete took it, or it came too late for a life that was over.
    Deleted,
    /// Another version overwrote it, and its own change set may be gone.
    Overwritten,
}

/// ```text
/// loss = kind:u8  field:u32  dot  hlc:u64  lives: count dot*  value  by: dot
/// kind = 1 deleted, 2 overwritten
/// ```
pub(crate) fn encode_loss(w: &mut Writer, loss: &Lost, (by, kind): (Dot, Kind)) {
    w.u8(match kind {
        Kind::Deleted => 1,
        Kind::Overwritten => 2,
    });
    w.u32_le(loss.field.0);
    w.dot(&loss.version.dot);
    w.u64_le(loss.version.hlc.0);
    w.count(loss.version.lives.len());
    for life in &loss.version.lives {
        w.dot(life);
    }
    loss.version.value.encode(w);
    w.dot(&by);
}

pub(crate) fn decode_loss(bytes: &[u8]) -> Result<(Lost, Dot, Kind), CodecError> {
    let mut r = Reader::new(bytes);
    let kind = match r.u8("a loss's kind")? {
        1 => Kind::Deleted,
        2 => Kind::Overwritten,
        n => return Err(CodecError::Invalid { what: "a loss's kind", found: n.into() }),
    };
    let field = FieldId(r.u32_le("a field id")?);
    let (dot, hlc) = (r.dot()?, Hlc(r.u64_le("a time")?));
    let n = r.items(MAX_DOTS, 42, "the lives of a version")?;
    let lives = (0..n).map(|_| r.dot()).collect::<Result<_, _>>()?;
    let value = Value::decode(&mut r)?;
    let by = r.dot()?;
    r.finish("a loss")?;
    Ok((Lost { field, version: Version { dot, hlc, lives, value } }, by, kind))
}
