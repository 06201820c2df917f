//! Where the history is not whole though it should be: of each stream it has the change sets from the
//! head down to a *gap*. Gaps come about when heads are taken over without their change sets, and when
//! `sync.db` is lost or not whole. They are in `sync.db`, beside what they are gaps of; the library
//! notes when heads were taken over, and where that is not what the gaps are of, they are counted anew.

use std::collections::BTreeMap;

use driftless_core::change::ChangeSet;
use driftless_core::id::{Origin, Seq};
use driftless_core::store::{Gap, WantedHistory};
use driftless_core::version::Head;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::{StoreError, Within, from_sql_seq, to_sql_seq};
use crate::history::{begin_of, set_begin, used};
use crate::open::SqliteStore;
use crate::transaction::run;
use crate::wholeness::{Run, last_gap, waiting_runs};

const WHAT: &str = "the gaps of the history";

/// The highest change set of a stream that is lacking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lacking {
    /// Its seq and head hash.
    pub(crate) head: Head,
    /// It and all below it were written before this time, Unix milliseconds.
    pub(crate) before_ms: u64,
}

/// All gaps.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    of: BTreeMap<Origin, Lacking>,
    /// What was taken over and is not counted was written before this time, Unix milliseconds.
    uncounted_ms: u64,
    /// Whether they are to be counted.
    recount: bool,
    /// Whether they depend on the transaction that is open.
    unsettled: bool,
}

impl Gaps {
    /// All that is lacking was written before this time, Unix milliseconds; 0 if nothing is.
    pub(crate) fn before_ms(&self) -> u64 {
        let befores = self.of.values().map(|lacking| lacking.before_ms);
        befores.max().unwrap_or(0).max(self.uncounted_ms)
    }

    /// Heads were taken over whose change sets were written before this time.
    pub(crate) fn adopted(&mut self, before_ms: u64) {
        self.uncounted_ms = self.uncounted_ms.max(before_ms);
        (self.recount, self.unsettled) = (true, true);
    }

    pub(crate) fn settled(&mut self) {
        self.unsettled = false;
    }

    pub(crate) fn rolled_back(&mut self) {
        self.recount |= std::mem::take(&mut self.unsettled);
    }

    pub(crate) fn get(&self, origin: &Origin) -> Option<Lacking> {
        self.of.get(origin).copied()
    }
}

impl SqliteStore {
    /// A history is kept from now on: what there is of it, as the files tell.
    pub(crate) fn open_history(&mut self) -> Result<(), StoreError> {
        let conn = &self.log.conn;
        let begin = begin_of(conn)?;
        let whole = self.state.floors.is_empty() && !self.log.incomplete;
        if begin.is_none() && whole {
            set_begin(conn, 0)?;
        }
        self.keeping.swept_ms = begin.unwrap_or(0);
        self.keeping.gaps = Gaps { of: self.load_gaps()?, ..Gaps::default() };
        let beyond = |(origin, lacking): (&Origin, &Lacking)| {
            lacking.head.seq > self.state.vector.seq(origin)
        };
        let unknown = begin.is_none() && !whole;
        let other = counted_for(conn)? != self.adopted_ms()?;
        if unknown || other || self.keeping.gaps.of.iter().any(beyond) {
            self.count_gaps()?;
        }
        Ok(())
    }

    fn load_gaps(&self) -> Result<BTreeMap<Origin, Lacking>, StoreError> {
        let conn = &self.log.conn;
        let mut select =
            conn.prepare("SELECT origin, seq, hash, before FROM gap").within(conn, WHAT)?;
        let mut rows = select.query([]).within(conn, WHAT)?;
        let mut gaps = BTreeMap::new();
        while let Some(row) = rows.next().within(conn, WHAT)? {
            let number = |at| row.get::<_, i64>(at).within(conn, WHAT);
            let origin = crate::log::origin_of(conn, &self.log.origins, number(0)?)?;
            let seq = from_sql_seq(conn, number(1)?)?;
            let head = Head { seq, hash: row.get(2).within(conn, WHAT)? };
            gaps.insert(origin, Lacking { head, before_ms: number(3)?.cast_unsigned() });
        }
        Ok(gaps)
    }

    /// Finds all gaps, and keeps them.
    fn count_gaps(&mut self) -> Result<(), StoreError> {
        let waiting = waiting_runs(&self.conn, &self.state.origins)?;
        // What was overwritten while no history was kept is not known.
        let fresh = begin_of(&self.log.conn)?.is_none();
        let adopted = self.adopted_ms()?;
        let before_ms = if fresh || adopted == 0 { self.latest() } else { adopted };
        let mut gaps = BTreeMap::new();
        for (origin, head) in self.state.vector.iter() {
            let runs = waiting.get(origin).map_or(&[][..], Vec::as_slice);
            let whole = Lacking { head: *head, before_ms };
            if let Some(mut lacking) = self.gap_below(origin, whole, runs)? {
                if fresh {
                    lacking.before_ms = before_ms;
                }
                gaps.insert(*origin, lacking);
            }
        }
        self.in_log(|store| {
            let conn = &store.log.conn;
            if fresh {
                set_begin(conn, 0)?;
            }
            run(conn, "DELETE FROM gap", WHAT)?;
            for (origin, lacking) in &gaps {
                store.write_gap(origin, lacking)?;
            }
            set_counted(&store.log.conn, adopted)
        })?;
        let unsettled = self.keeping.gaps.unsettled;
        self.keeping.gaps = Gaps { of: gaps, unsettled, ..Gaps::default() };
        Ok(())
    }

    /// The highest change set at or below a head that the history lacks.
    fn gap_below(
        &self,
        origin: &Origin,
        from: Lacking,
        waiting: &[Run],
    ) -> Result<Option<Lacking>, StoreError> {
        let logged = self.log.origins.id(origin).map(|id| (&self.log.conn, id));
        let seq = last_gap((0, from.head.seq), waiting, logged)?;
        if seq == 0 || seq == from.head.seq {
            return Ok((seq > 0).then_some(from));
        }
        let above = self.kept_set(origin, seq + 1)?;
        let above = above.ok_or(StoreError::LogGap { origin: *origin, seq: seq + 1 })?;
        let hlc_ms = above.header().hlc.ms();
        let before_ms = from.before_ms.min(hlc_ms.saturating_add(1));
        Ok(Some(Lacking { head: Head { seq, hash: above.header().prev }, before_ms }))
    }

    fn kept_set(&self, origin: &Origin, seq: Seq) -> Result<Option<ChangeSet>, StoreError> {
        for (conn, origins, table) in [
            (&self.log.conn, &self.log.origins, "log"),
            (&self.conn, &self.state.origins, "_unlogged"),
        ] {
            let Some(id) = origins.id(origin) else { continue };
            let sql = format!("SELECT bytes FROM {table} WHERE origin = ?1 AND seq = ?2 LIMIT 1");
            let found: Option<Vec<u8>> = conn
                .prepare_cached(&sql)
                .and_then(|mut select| {
                    let place = params![id, seq.cast_signed()];
                    select.query_row(place, |row| row.get(0)).optional()
                })
                .within(conn, WHAT)?;
            if let Some(bytes) = found {
                return Ok(Some(ChangeSet::decode(bytes.into()).within(conn, WHAT)?));
            }
        }
        Ok(None)
    }

    fn write_gap(&mut self, origin: &Origin, lacking: &Lacking) -> Result<(), StoreError> {
        let log = &mut self.log;
        let id = match log.origins.id(origin) {
            Some(id) => id,
            None => log.origins.add(&log.conn, "origin", origin)?,
        };
        let seq = to_sql_seq(lacking.head.seq)?;
        let before = lacking.before_ms.cast_signed();
        log.conn
            .prepare_cached(
                "INSERT OR REPLACE INTO gap (origin, seq, hash, before) VALUES (?1, ?2, ?3, ?4)",
            )
            .and_then(|mut put| put.execute(params![id, seq, lacking.head.hash, before]))
            .map(|_| ())
            .within(&log.conn, WHAT)
    }

    fn delete_gap(&self, origin: &Origin) -> Result<(), StoreError> {
        let conn = &self.log.conn;
        let id = self.log.origins.id(origin);
        conn.prepare_cached("DELETE FROM gap WHERE origin = ?1")
            .and_then(|mut delete| delete.execute([id]))
            .map(|_| ())
            .within(conn, WHAT)
    }

    /// Writes to `sync.db`: all of it, or nothing.
    pub(crate) fn in_log<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        const DOING: &str = "writing the history";
        let origins = self.log.origins.clone();
        run(&self.log.conn, "BEGIN IMMEDIATE", DOING)?;
        let written = write(self).and_then(|written| {
            run(&self.log.conn, "COMMIT", DOING)?;
            Ok(written)
        });
        if written.is_err() {
            self.log.origins = origins;
            if !self.log.conn.is_autocommit() {
                run(&self.log.conn, "ROLLBACK", DOING)?;
            }
        }
        written
    }

    /// Change sets were taken in below some gaps: where they are now. Within [`Self::in_log`].
    pub(crate) fn lower_gaps(
        &mut self,
        origins: impl Iterator<Item = Origin>,
        before_ms: Option<u64>,
    ) -> Result<BTreeMap<Origin, Option<Lacking>>, StoreError> {
        let mut lowered = BTreeMap::new();
        for origin in origins {
            let Some(lacking) = self.keeping.gaps.get(&origin) else { continue };
            let mut below = self.gap_below(&origin, lacking, &[])?;
            if let Some(lacking) = &mut below {
                lacking.before_ms = lacking.before_ms.min(before_ms.unwrap_or(u64::MAX));
                self.write_gap(&origin, lacking)?;
            } else {
                self.delete_gap(&origin)?;
            }
            lowered.insert(origin, below);
        }
        Ok(lowered)
    }

    /// The gaps that [`Self::lower_gaps`] found are durable.
    pub(crate) fn gaps_lowered(&mut self, lowered: BTreeMap<Origin, Option<Lacking>>) {
        for (origin, below) in lowered {
            match below {
                Some(lacking) => self.keeping.gaps.of.insert(origin, lacking),
                None => self.keeping.gaps.of.remove(&origin),
            };
        }
    }

    /// Gaps in which all was written before this time are none any more: the history begins behind
    /// them.
    pub(crate) fn close_gaps(&mut self, before_ms: u64) -> Result<(), StoreError> {
        let gaps = self.keeping.gaps.of.iter();
        let closed: Vec<(Origin, u64)> = gaps
            .filter(|(_, lacking)| lacking.before_ms <= before_ms)
            .map(|(origin, lacking)| (*origin, lacking.before_ms))
            .collect();
        let Some(last) = closed.iter().map(|(_, before)| *before).max() else { return Ok(()) };
        let begins = self.keeping.swept_ms.max(last);
        self.in_log(|store| {
            set_begin(&store.log.conn, begins)?;
            closed.iter().try_for_each(|(origin, _)| store.delete_gap(origin))
        })?;
        self.keeping.swept_ms = begins;
        for (origin, _) in closed {
            self.keeping.gaps.of.remove(&origin);
        }
        Ok(())
    }

    /// No history is kept any more.
    pub(crate) fn forget_gaps(&mut self) -> Result<(), StoreError> {
        self.in_log(|store| {
            let doing = "no longer keeping a history";
            run(&store.log.conn, "DELETE FROM meta WHERE key IN ('begins', 'counted')", doing)?;
            run(&store.log.conn, "DELETE FROM lost WHERE pos < 0", doing)?;
            run(&store.log.conn, "DELETE FROM gap", doing)
        })
    }

    /// See [`driftless_core::store::Store::wanted_history`].
    pub(crate) fn lacking_history(&mut self) -> Result<WantedHistory, StoreError> {
        let Some(limits) = self.keeping.limits else { return Ok(WantedHistory::default()) };
        if self.keeping.gaps.recount {
            self.count_gaps()?;
        }
        // Less than what making room leaves: what is taken in must not be what goes next.
        let room = limits.max_bytes - limits.max_bytes / 4;
        if self.keeping.gaps.of.is_empty() || used(&self.log.conn)? > room {
            return Ok(WantedHistory::default());
        }
        let since_ms = self.keeping.cutoff_ms();
        let held = |(origin, lacking): &(&Origin, &Lacking)| {
            lacking.head.seq <= self.state.vector.seq(origin)
        };
        let gap = |(origin, lacking): (&Origin, &Lacking)| Gap {
            origin: *origin,
            seq: lacking.head.seq,
            hash: lacking.head.hash,
        };
        let gaps = self.keeping.gaps.of.iter().filter(held).map(gap).collect();
        Ok(WantedHistory { since_ms, gaps })
    }
}

/// Which taking over of heads the gaps are of.
fn counted_for(conn: &Connection) -> Result<u64, StoreError> {
    let counted = conn
        .query_row("SELECT value FROM meta WHERE key = 'counted'", [], |row| row.get::<_, i64>(0))
        .optional();
    Ok(counted.within(conn, WHAT)?.unwrap_or(0).cast_unsigned())
}

fn set_counted(conn: &Connection, adopted_ms: u64) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('counted', ?1)")
        .and_then(|mut put| put.execute([adopted_ms.cast_signed()]))
        .map(|_| ())
        .within(conn, WHAT)
}
