//! Floors: up to where this replica has forgotten. They are truth: they are in `library.db`, and rise
//! with the transaction. What is below a floor is not served from that moment on; its room is given
//! back later, by [`SqliteStore::sweep`].

use driftless_core::id::{DeviceId, Seq};
use driftless_core::store::Floors;
use driftless_core::version::Vector;
use rusqlite::params;

use crate::error::{StoreError, Within, from_sql_seq, to_sql_seq};
use crate::open::SqliteStore;
use crate::state::check_seq;

/// Tombstones that one call forgets: more would keep the writer's thread for too long.
const MAX_TOMBSTONES: i64 = 4_000;

impl SqliteStore {
    pub(crate) fn forget_log(&mut self, upto: &Floors) -> Result<u64, StoreError> {
        self.writable()?;
        let mut forgotten: u64 = 0;
        for (origin, seq) in upto {
            let seq = (*seq).min(self.state.vector.seq(origin));
            let risen = self.state.raise_floor(*origin, seq);
            if risen > 0 {
                forgotten = forgotten.saturating_add(risen);
                self.forgotten(*origin);
            }
        }
        Ok(forgotten)
    }

    pub(crate) fn forget_tombstones(
        &mut self,
        device: &DeviceId,
        upto: Seq,
    ) -> Result<u64, StoreError> {
        const WHAT: &str = "forgetting tombstones";
        self.writable()?;
        let lane = self.state.lanes.get(device).filter(|lane| lane.state.exact.is_some());
        let lane = lane.ok_or(StoreError::NotExact(*device))?;
        if !lane.tombstones {
            return Ok(0);
        }
        let (id, conn) = (lane.id, &self.conn);
        let upto = to_sql_seq(upto).unwrap_or(i64::MAX);
        // The seq of the last of them; those beside it of the same seq may stay a while.
        let last: Option<i64> = conn
            .prepare_cached(
                "SELECT max(seq) FROM (SELECT seq FROM _tombstone WHERE lane = ?1 AND seq <= ?2 \
                 ORDER BY seq, model, key LIMIT ?3)",
            )
            .and_then(|mut select| {
                select.query_row(params![id, upto, MAX_TOMBSTONES], |row| row.get(0))
            })
            .within(conn, WHAT)?;
        let Some(last) = last else { return Ok(0) };
        let gone = conn
            .prepare_cached(
                "DELETE FROM _tombstone WHERE (lane, seq, model, key) IN \
                 (SELECT lane, seq, model, key FROM _tombstone WHERE lane = ?1 AND seq <= ?2 \
                  ORDER BY seq, model, key LIMIT ?3)",
            )
            .and_then(|mut delete| delete.execute(params![id, upto, MAX_TOMBSTONES]))
            .within(conn, WHAT)?;
        let floor = from_sql_seq(conn, last)?;
        if let Some(lane) = self.state.lane_mut(device) {
            lane.state.floor = lane.state.floor.max(floor);
        }
        self.housework.room_in_library();
        Ok(gone as u64)
    }

    pub(crate) fn adopt_heads(&mut self, vector: &Vector) -> Result<(), StoreError> {
        self.writable()?;
        let mut any = false;
        for (origin, head) in vector.iter() {
            if head.seq <= self.state.vector.seq(origin) {
                continue;
            }
            any = true;
            let head = check_seq(*head)?;
            self.state.intern(&self.conn, origin)?;
            self.state.set_head(*origin, head);
            self.state.raise_floor(*origin, head.seq);
            self.forgotten(*origin);
        }
        if any { self.history_adopts() } else { Ok(()) }
    }
}
