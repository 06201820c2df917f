//! The trend: what the metrics were, in steps of time. It stands in `sync.db`, and is as expendable as
//! everything there.
//!
//! What was measured waits in memory until the peer log is written anyway, or [`SqliteStore::keep_trend`]
//! was called; then it is added to a step of each resolution, and steps that are too old go. What a
//! crash takes of it is a gap.

use std::collections::BTreeMap;

use driftless_core::codec::{Reader, Writer};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::{StoreError, Within};
use crate::open::SqliteStore;
use crate::past::Past;

const WHAT: &str = "the trend";
/// How long the steps are that are kept, in milliseconds, and how many of each there are: ten seconds
/// for an hour, a minute for a day, a quarter of an hour for 30 days.
pub const TREND_STEPS: [(u64, u64); 3] = [(10_000, 360), (60_000, 1_440), (900_000, 2_880)];
/// Steps of the finest resolution that wait while the file cannot be written; then the oldest go.
const MOST_WAITING: usize = 360;
/// Buckets of a step's histograms.
const MAX_TIMES: usize = 256;

/// What happened in a step of time, and how things were at its end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrendSample {
    /// Changes that were written here.
    pub committed: u64,
    /// Changes of others that were applied.
    pub applied: u64,
    /// Bytes of messages to others.
    pub sent_bytes: u64,
    /// Bytes of messages from others.
    pub received_bytes: u64,
    /// How often something took how long: by histogram and bucket.
    pub times: BTreeMap<(u8, u8), u64>,
    /// Change sets that are here and that the member who lacks most lacked, at most.
    pub backlog: u64,
    /// For how long a member had lacked something, in milliseconds, at most.
    pub lag_ms: u64,
    /// Members that were connected.
    pub online: u64,
    /// Open conflicts.
    pub conflicts: u64,
    /// What waited in quarantine.
    pub quarantined: u64,
    /// Bytes of `library.db` with its write-ahead log.
    pub library_bytes: u64,
    /// Bytes of `sync.db` with its write-ahead log.
    pub sync_bytes: u64,
}

impl TrendSample {
    /// Adds what happened later in the same step: sums of what happened, the most of what was lacking,
    /// the last of what was there.
    pub fn add(&mut self, later: &Self) {
        for (sum, more) in [
            (&mut self.committed, later.committed),
            (&mut self.applied, later.applied),
            (&mut self.sent_bytes, later.sent_bytes),
            (&mut self.received_bytes, later.received_bytes),
        ] {
            *sum = sum.saturating_add(more);
        }
        for (bucket, count) in &later.times {
            let sum = self.times.entry(*bucket).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.backlog = self.backlog.max(later.backlog);
        self.lag_ms = self.lag_ms.max(later.lag_ms);
        self.online = later.online;
        self.conflicts = later.conflicts;
        self.quarantined = later.quarantined;
        self.library_bytes = later.library_bytes;
        self.sync_bytes = later.sync_bytes;
    }
}

/// The end of the step of this length that a moment is in, Unix milliseconds.
pub fn trend_step(at_ms: u64, step_ms: u64) -> u64 {
    (at_ms / step_ms.max(1)).saturating_add(1).saturating_mul(step_ms)
}

/// Samples that are not in the file yet, by the end of their step of the finest resolution.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trend {
    waiting: BTreeMap<u64, TrendSample>,
    /// Whether they are to be written even if nothing else is.
    due: bool,
}

impl Trend {
    /// Whether the log is to be written for its sake.
    pub(crate) fn is_due(&self) -> bool {
        self.due && !self.waiting.is_empty()
    }

    /// Writes what waits and is due, within the transaction that is open.
    // `cargo xtask cost --metrics` finds it in profiles by its name.
    #[inline(never)]
    pub(crate) fn write(&self, to: &Connection) -> Result<(), StoreError> {
        if !self.is_due() {
            return Ok(());
        }
        for (step_ms, most) in TREND_STEPS {
            for (at_ms, sample) in steps(&self.waiting, step_ms) {
                let mut sum = match read_one(to, step_ms, at_ms) {
                    // What cannot be read is written over: the log must not wait for it.
                    Err(StoreError::Damaged { .. }) | Ok(None) => TrendSample::default(),
                    Ok(Some(sum)) => sum,
                    Err(error) => return Err(error),
                };
                sum.add(&sample);
                put(to, step_ms, at_ms, &sum)?;
                // A clock that was put back leaves steps behind that have not come yet: they go as well.
                let old = at_ms.saturating_sub(step_ms.saturating_mul(most));
                to.prepare_cached(
                    "DELETE FROM trend WHERE step_ms = ?1 AND (at_ms <= ?2 OR at_ms > ?3)",
                )
                .and_then(|mut delete| {
                    let at = [step_ms, old, at_ms].map(u64::cast_signed);
                    delete.execute(at)
                })
                .within(to, WHAT)?;
            }
        }
        Ok(())
    }

    pub(crate) fn written(&mut self) {
        if std::mem::take(&mut self.due) {
            self.waiting.clear();
        }
    }
}

/// Samples in steps of another length.
fn steps(samples: &BTreeMap<u64, TrendSample>, step_ms: u64) -> BTreeMap<u64, TrendSample> {
    let mut steps: BTreeMap<u64, TrendSample> = BTreeMap::new();
    for (at_ms, sample) in samples {
        steps.entry(trend_step(at_ms.saturating_sub(1), step_ms)).or_default().add(sample);
    }
    steps
}

fn put(to: &Connection, step_ms: u64, at_ms: u64, it: &TrendSample) -> Result<(), StoreError> {
    let number = u64::cast_signed;
    to.prepare_cached(
        "INSERT OR REPLACE INTO trend (step_ms, at_ms, committed, applied, sent, received, times, \
         backlog, lag_ms, online, conflicts, quarantined, library, sync) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )
    .and_then(|mut put| {
        put.execute(params![
            number(step_ms),
            number(at_ms),
            number(it.committed),
            number(it.applied),
            number(it.sent_bytes),
            number(it.received_bytes),
            encoded(&it.times),
            number(it.backlog),
            number(it.lag_ms),
            number(it.online),
            number(it.conflicts),
            number(it.quarantined),
            number(it.library_bytes),
            number(it.sync_bytes),
        ])
    })
    .map(|_| ())
    .within(to, WHAT)
}

fn encoded(times: &BTreeMap<(u8, u8), u64>) -> Vec<u8> {
    let mut w = Writer::new();
    w.count(times.len());
    for ((histogram, bucket), count) in times {
        w.u8(*histogram);
        w.u8(*bucket);
        w.var(*count);
    }
    w.into_bytes()
}

const COLUMNS: &str = "at_ms, committed, applied, sent, received, times, backlog, lag_ms, online, \
                       conflicts, quarantined, library, sync";

fn read(conn: &Connection, row: &Row<'_>) -> Result<(u64, TrendSample), StoreError> {
    let number = |at| Ok(row.get::<_, i64>(at).within(conn, WHAT)?.cast_unsigned());
    let bytes = row.get_ref(5).and_then(|bytes| Ok(bytes.as_blob()?)).within(conn, WHAT)?;
    let mut r = Reader::new(bytes);
    let mut times = BTreeMap::new();
    for _ in 0..r.count(MAX_TIMES, WHAT).within(conn, WHAT)? {
        let bucket = (r.u8(WHAT).within(conn, WHAT)?, r.u8(WHAT).within(conn, WHAT)?);
        times.insert(bucket, r.var(WHAT).within(conn, WHAT)?);
    }
    r.finish(WHAT).within(conn, WHAT)?;
    let sample = TrendSample {
        committed: number(1)?,
        applied: number(2)?,
        sent_bytes: number(3)?,
        received_bytes: number(4)?,
        times,
        backlog: number(6)?,
        lag_ms: number(7)?,
        online: number(8)?,
        conflicts: number(9)?,
        quarantined: number(10)?,
        library_bytes: number(11)?,
        sync_bytes: number(12)?,
    };
    Ok((number(0)?, sample))
}

fn read_one(
    conn: &Connection,
    step_ms: u64,
    at_ms: u64,
) -> Result<Option<TrendSample>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM trend WHERE step_ms = ?1 AND at_ms = ?2");
    let mut select = conn.prepare_cached(&sql).within(conn, WHAT)?;
    let found = select.query_row([step_ms, at_ms].map(u64::cast_signed), |row| Ok(read(conn, row)));
    Ok(found.optional().within(conn, WHAT)?.transpose()?.map(|(_, sample)| sample))
}

impl SqliteStore {
    /// Notes what was measured at a moment, Unix milliseconds: in memory until the trend is written.
    pub fn note_trend(&mut self, at_ms: u64, sample: &TrendSample) {
        let (finest, _) = TREND_STEPS[0];
        let waiting = &mut self.trend.waiting;
        waiting.entry(trend_step(at_ms, finest)).or_default().add(sample);
        while waiting.len() > MOST_WAITING {
            waiting.pop_first();
        }
    }

    /// Has what was noted written with the peer log, the next time.
    pub fn keep_trend(&mut self) {
        self.trend.due = true;
    }

    /// Whether something was noted that is not in the file.
    pub fn has_waiting_trend(&self) -> bool {
        !self.trend.waiting.is_empty()
    }
}

impl Past {
    /// The trend from a moment on, in steps of one of the lengths of [`TREND_STEPS`], by the ends of
    /// the steps. Where nothing happened there is no step.
    pub fn trend(
        &self,
        step_ms: u64,
        since_ms: u64,
    ) -> Result<BTreeMap<u64, TrendSample>, StoreError> {
        let log = &self.log;
        let sql =
            format!("SELECT {COLUMNS} FROM trend WHERE step_ms = ?1 AND at_ms > ?2 ORDER BY at_ms");
        let mut select = log.prepare_cached(&sql).within(log, WHAT)?;
        let from = [step_ms, since_ms].map(u64::cast_signed);
        let mut rows = select.query(from).within(log, WHAT)?;
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next().within(log, WHAT)? {
            let (at_ms, sample) = read(log, row)?;
            found.insert(at_ms, sample);
        }
        for (at_ms, sample) in steps(&self.trend.waiting, step_ms) {
            if at_ms > since_ms {
                found.entry(at_ms).or_default().add(&sample);
            }
        }
        Ok(found)
    }
}
