//! History that is handed over: giving it to others, a page at a time, and taking it in.
//!
//! What is taken in gets positions below all others, the last applied first, as it is given: so the
//! order of the log stays that in which the giver applied it, which is a causal one.

use std::collections::BinaryHeap;

use driftless_core::change::ChangeSet;
use driftless_core::id::{Dot, Origin, Seq};
use driftless_core::limits::{MAX_ENDED, MAX_PAST_SET_BYTES, MAX_SETS};
use driftless_core::schema::ModelId;
use driftless_core::store::{EndedVersion, HistoryPage, PastSet, WantedHistory};
use driftless_core::version::Head;
use rusqlite::{Connection, params};

use crate::error::{StoreError, Within, to_sql_seq};
use crate::log::{Kind, decode_loss, encode_loss, pos_of};
use crate::open::SqliteStore;
use crate::origins::Origins;
use crate::quarantine::key_of;

const WHAT: &str = "the history";

/// One of the two files, with where change sets and what they ended are in it.
#[derive(Clone, Copy)]
struct File<'a> {
    conn: &'a Connection,
    origins: &'a Origins,
    log: &'static str,
    lost: &'static str,
}

impl SqliteStore {
    fn files(&self) -> [File<'_>; 2] {
        let (conn, origins) = (&self.log.conn, &self.log.origins);
        let moved = File { conn, origins, log: "log", lost: "lost" };
        let (conn, origins) = (&self.conn, &self.state.origins);
        [moved, File { conn, origins, log: "_unlogged", lost: "_unlost" }]
    }

    fn find(&self, origin: &Origin, seq: Seq) -> Result<Option<(i64, usize)>, StoreError> {
        for (at, file) in self.files().into_iter().enumerate() {
            let found = pos_of(file.conn, file.log, file.origins.id(origin), seq)?;
            // What was moved may have been removed since, and counts no more.
            let moved = at > 0 && found.is_some_and(|pos| pos <= self.log.flushed);
            if let Some(pos) = found.filter(|_| !moved) {
                return Ok(Some((pos, at)));
            }
        }
        Ok(None)
    }

    /// See [`driftless_core::store::Store::history_below`].
    pub(crate) fn past_below(
        &self,
        wanted: &WantedHistory,
        max_bytes: usize,
    ) -> Result<HistoryPage, StoreError> {
        let whole_since_ms = self.keeping.limits.map(|_| self.keeping.begins_ms());
        let mut page = HistoryPage { sets: Vec::new(), more: false, whole_since_ms };
        let mut expected: Vec<Head> =
            wanted.gaps.iter().map(|gap| Head { seq: gap.seq, hash: gap.hash }).collect();
        let mut next = BinaryHeap::new();
        for (at, gap) in wanted.gaps.iter().enumerate() {
            next.extend(self.find(&gap.origin, gap.seq)?.map(|found| (found, at)));
        }
        let mut bytes = 0;
        while let Some(((pos, file), at)) = next.pop() {
            let set = self.files()[file].set(pos)?;
            let header = set.header();
            if set.head() != expected[at] || header.hlc.ms() < wanted.since_ms {
                continue;
            }
            let ended = self.files()[file].ended_by(&set, pos)?;
            bytes += set.bytes().len() + ended.iter().map(EndedVersion::size).sum::<usize>();
            let full = bytes > max_bytes || page.sets.len() >= MAX_SETS;
            if full && !page.sets.is_empty() {
                page.more = true;
                break;
            }
            expected[at] = Head { seq: header.seq.saturating_sub(1), hash: header.prev };
            let below = self.find(&header.origin, expected[at].seq)?;
            next.extend(below.map(|found| (found, at)));
            page.sets.push(PastSet { set, ended });
        }
        Ok(page)
    }

    /// See [`driftless_core::store::Store::take_history`].
    pub(crate) fn take_past(
        &mut self,
        asked: &WantedHistory,
        page: &HistoryPage,
    ) -> Result<(), StoreError> {
        let whole = page.whole_since_ms.filter(|_| !page.more);
        let before_ms = whole.map(|since| since.max(asked.since_ms));
        let lowered = self.in_log(|store| {
            let mut low = store.lowest()?;
            for past in &page.sets {
                low = store.take_set(past, low)?;
            }
            store.lower_gaps(asked.gaps.iter().map(|gap| gap.origin), before_ms)
        })?;
        self.gaps_lowered(lowered);
        self.close_gaps(self.keeping.cutoff_ms())
    }

    /// The lowest position that is taken, at most 0.
    fn lowest(&self) -> Result<i64, StoreError> {
        let conn = &self.log.conn;
        let sql = "SELECT min(0, coalesce((SELECT min(pos) FROM log), 0), \
                   coalesce((SELECT min(pos) FROM lost), 0))";
        conn.query_row(sql, [], |row| row.get(0)).within(conn, WHAT)
    }

    /// Puts a change set before all others, unless it is there. The lowest position then.
    fn take_set(&mut self, past: &PastSet, low: i64) -> Result<i64, StoreError> {
        let (log, header) = (&mut self.log, past.set.header());
        let id = match log.origins.id(&header.origin) {
            Some(id) => id,
            None => log.origins.add(&log.conn, "origin", &header.origin)?,
        };
        let conn = &log.conn;
        let (seq, hlc) = (to_sql_seq(header.seq)?, header.hlc.0.cast_signed());
        let row = params![low - 1, id, seq, hlc, &past.set.bytes()[..]];
        let new = conn
            .prepare_cached(
                "INSERT OR IGNORE INTO log (pos, origin, seq, hlc, bytes) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )
            .and_then(|mut put| put.execute(row))
            .within(conn, WHAT)?;
        if new == 0 {
            return Ok(low);
        }
        let mut low = low - 1;
        for ended in past.ended.iter().rev() {
            low -= 1;
            let mut w = driftless_core::codec::Writer::new();
            let kind = if ended.deleted { Kind::Deleted } else { Kind::Overwritten };
            encode_loss(&mut w, &ended.lost, (past.set.dot(), kind));
            let row = params![low, ended.model.0, ended.key.as_bytes(), w.as_bytes()];
            conn.prepare_cached(
                "INSERT INTO lost (pos, model, key, entry) VALUES (?1, ?2, ?3, ?4)",
            )
            .and_then(|mut put| put.execute(row))
            .within(conn, WHAT)?;
        }
        Ok(low)
    }
}

impl File<'_> {
    fn set(&self, pos: i64) -> Result<ChangeSet, StoreError> {
        let sql = format!("SELECT bytes FROM {} WHERE pos = ?1", self.log);
        let bytes: Vec<u8> = self
            .conn
            .prepare_cached(&sql)
            .and_then(|mut select| select.query_row([pos], |row| row.get(0)))
            .within(self.conn, WHAT)?;
        ChangeSet::decode(bytes.into()).within(self.conn, WHAT)
    }

    /// What a change set ended stands directly before it. More of it than goes into a message is left
    /// out, the first first.
    fn ended_by(&self, set: &ChangeSet, pos: i64) -> Result<Vec<EndedVersion>, StoreError> {
        let (conn, dot): (_, Dot) = (self.conn, set.dot());
        let sql = format!(
            "SELECT model, key, entry FROM {lost} WHERE pos < ?1 AND pos > \
             coalesce((SELECT max(pos) FROM {log} WHERE pos < ?1), ?2) ORDER BY pos DESC",
            lost = self.lost,
            log = self.log,
        );
        let mut select = conn.prepare_cached(&sql).within(conn, WHAT)?;
        let mut rows = select.query([pos, i64::MIN]).within(conn, WHAT)?;
        let mut room = MAX_PAST_SET_BYTES.saturating_sub(set.bytes().len());
        let mut ended = Vec::new();
        while let Some(row) = rows.next().within(conn, WHAT)? {
            let entry = row.get_ref(2).and_then(|entry| Ok(entry.as_blob()?));
            let entry = decode_loss(entry.within(conn, WHAT)?).within(conn, WHAT)?;
            let (lost, by, kind) = entry;
            if by != dot {
                break;
            }
            let model = ModelId(row.get(0).within(conn, WHAT)?);
            let key = key_of(conn, &row.get::<_, Vec<u8>>(1).within(conn, WHAT)?)?;
            let deleted = kind == Kind::Deleted;
            let version = EndedVersion { model, key, lost, deleted };
            let size = version.size();
            if size > room || ended.len() >= MAX_ENDED {
                break;
            }
            room -= size;
            ended.push(version);
        }
        ended.reverse();
        Ok(ended)
    }
}
