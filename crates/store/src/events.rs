//! The event log: what happened to sync on this device. It stands in `sync.db`, and is as expendable
//! as everything there.
//!
//! Events wait in memory until the peer log is written anyway ([`SqliteStore::flush_log`]), so none
//! costs a transaction of its own where somebody waits. What a crash takes of them is lost.

use std::collections::BTreeMap;

use driftless_core::id::DeviceId;
use rusqlite::{Connection, Row, params};

use crate::error::{StoreError, Within};
use crate::open::SqliteStore;
use crate::past::Past;

const WHAT: &str = "the event log";
/// Events that are kept.
pub const MOST_EVENTS: i64 = 10_000;
/// Milliseconds for which they are kept: 30 days.
pub const EVENTS_KEPT_MS: u64 = 30 * 24 * 3_600_000;
/// Events that wait while the file cannot be written; then the oldest go.
const MOST_WAITING: usize = 1_000;
/// How many are looked at whether they are too old, each time that some are written.
const LOOKED_AT: i64 = 100;
/// The longest text of an event, in bytes.
const MAX_TEXT: usize = 2_048;

/// An event as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventRow {
    /// Given out by [`SqliteStore::next_event`]; one that is noted again takes the place of the first.
    pub id: i64,
    /// The position of the last change set that was here; see [`crate::Logged::pos`].
    pub pos: i64,
    /// When it happened first, Unix milliseconds.
    pub first_ms: u64,
    /// When it happened last.
    pub last_ms: u64,
    /// How often it happened between the two.
    pub times: u64,
    /// How grave it is: 0 to 2.
    pub severity: u8,
    /// Its kind, a name that stays.
    pub kind: String,
    /// The device concerned.
    pub device: Option<DeviceId>,
    /// What happened, for people.
    pub words: String,
    /// The same for programs: a JSON object.
    pub fields: String,
}

/// Events that are not in the file yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    last: i64,
    waiting: BTreeMap<i64, EventRow>,
}

impl Events {
    pub(crate) fn load(log: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT coalesce(max(id), 0) FROM event";
        let last: i64 = log.query_row(sql, [], |row| row.get(0)).within(log, WHAT)?;
        match last {
            0..0x4000_0000_0000_0000 => Ok(Self { last, waiting: BTreeMap::new() }),
            _ => Err(StoreError::damaged(log, format!("the event {last}"))),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Writes what waits, within the transaction that is open, and removes what is too old or too much.
    pub(crate) fn write(&self, to: &Connection) -> Result<(), StoreError> {
        let Some(now_ms) = self.waiting.values().map(|event| event.last_ms).max() else {
            return Ok(());
        };
        let mut put = to
            .prepare_cached(
                "INSERT OR REPLACE INTO event \
                 (id, pos, first_ms, last_ms, times, severity, kind, device, words, fields) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )
            .within(to, WHAT)?;
        for event in self.waiting.values() {
            put.execute(params![
                event.id,
                event.pos,
                event.first_ms.cast_signed(),
                event.last_ms.cast_signed(),
                event.times.cast_signed(),
                event.severity,
                event.kind,
                event.device.map(|device| device.0),
                event.words,
                event.fields,
            ])
            .within(to, WHAT)?;
        }
        let old = now_ms.saturating_sub(EVENTS_KEPT_MS).cast_signed();
        to.prepare_cached("DELETE FROM event WHERE id <= ?1")
            .and_then(|mut delete| delete.execute([self.last - MOST_EVENTS]))
            .within(to, WHAT)?;
        to.prepare_cached(
            "DELETE FROM event WHERE last_ms < ?1 \
             AND id IN (SELECT id FROM event ORDER BY id LIMIT ?2)",
        )
        .and_then(|mut delete| delete.execute([old, LOOKED_AT]))
        .map(|_| ())
        .within(to, WHAT)
    }

    pub(crate) fn written(&mut self) {
        self.waiting.clear();
    }
}

/// A text that is no longer than it may be.
fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

impl SqliteStore {
    /// The id of the next event.
    pub fn next_event(&mut self) -> i64 {
        self.events.last += 1;
        self.events.last
    }

    /// Keeps an event: in memory until the peer log is written the next time. One with an id that is
    /// kept already takes its place. Its fields are left out if they are too long.
    pub fn note_event(&mut self, mut event: EventRow) {
        event.words = bounded(event.words);
        if event.fields.len() > MAX_TEXT {
            event.fields = "{}".to_owned();
        }
        let waiting = &mut self.events.waiting;
        waiting.insert(event.id, event);
        while waiting.len() > MOST_WAITING {
            waiting.pop_first();
        }
    }

    /// Whether events wait to be written.
    pub fn has_waiting_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The position of the last change set that is here.
    pub fn last_pos(&self) -> i64 {
        self.state.next_pos - 1
    }
}

impl Past {
    /// Walks the events, the last first, as long as `each` says so.
    pub fn events_back<E: From<StoreError>>(
        &self,
        mut each: impl FnMut(EventRow) -> Result<bool, E>,
    ) -> Result<(), E> {
        // Those that wait are later than those in the file, or take their place.
        let waiting = &self.events.waiting;
        for event in waiting.values().rev() {
            if !each(event.clone())? {
                return Ok(());
            }
        }
        let log = &self.log;
        let sql = "SELECT id, pos, first_ms, last_ms, times, severity, kind, device, words, fields \
                   FROM event ORDER BY id DESC";
        let mut select = log.prepare_cached(sql).within(log, WHAT)?;
        let mut rows = select.query([]).within(log, WHAT)?;
        while let Some(row) = rows.next().within(log, WHAT)? {
            let event = read(row).within(log, WHAT)?;
            if !waiting.contains_key(&event.id) && !each(event)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn read(row: &Row<'_>) -> Result<EventRow, rusqlite::Error> {
    Ok(EventRow {
        id: row.get(0)?,
        pos: row.get(1)?,
        first_ms: row.get::<_, i64>(2)?.cast_unsigned(),
        last_ms: row.get::<_, i64>(3)?.cast_unsigned(),
        times: row.get::<_, i64>(4)?.cast_unsigned(),
        severity: row.get(5)?,
        kind: row.get(6)?,
        device: row.get::<_, Option<[u8; 32]>>(7)?.map(DeviceId),
        words: row.get(8)?,
        fields: row.get(9)?,
    })
}
