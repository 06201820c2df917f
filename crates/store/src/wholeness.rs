//! Whether the log has what the floors say, and floors that rise over what it lacks: `sync.db` may
//! be deleted, cut or put back from an older copy, and nothing but history is lost.

use std::collections::BTreeMap;

use driftless_core::id::{Origin, Seq};
use rusqlite::{Connection, params};

use crate::error::{StoreError, Within, from_sql_seq, to_sql_seq};
use crate::origins::Origins;
use crate::state::State;
use crate::transaction::run;

const WHAT: &str = "the log";

/// Seqs without a gap, from the first to the last.
pub(crate) type Run = (Seq, Seq);

/// Raises the floor of every origin whose log has a gap to the end of the last one, durably. Whether
/// there was any.
pub(crate) fn raise_floors(
    state: &mut State,
    library: &Connection,
    (log, origins): (&Connection, &Origins),
) -> Result<bool, StoreError> {
    let waiting = waiting_runs(library, &state.origins)?;
    let mut gaps: Vec<(Origin, Seq)> = Vec::new();
    for (origin, head) in state.vector.iter() {
        let floor = state.floor(origin);
        let runs = waiting.get(origin).map_or(&[][..], Vec::as_slice);
        let logged = origins.id(origin).map(|id| (log, id));
        let gap = last_gap((floor, head.seq), runs, logged)?;
        if gap > floor {
            gaps.push((*origin, gap));
        }
    }
    if gaps.is_empty() {
        return Ok(false);
    }
    crate::history::doubt(log)?;
    for (origin, gap) in gaps {
        state.raise_floor(origin, gap);
    }
    const DOING: &str = "raising the floors over what the log lacks";
    run(library, "BEGIN IMMEDIATE", DOING)?;
    state.save(library)?;
    run(library, "COMMIT", DOING)?;
    state.saved();
    Ok(true)
}

/// The last seq of `floor + 1 ..= head` that is in neither place; the floor if all are there.
pub(crate) fn last_gap(
    (floor, head): (Seq, Seq),
    waiting: &[Run],
    logged: Option<(&Connection, i64)>,
) -> Result<Seq, StoreError> {
    let mut top = head;
    while top > floor {
        let covers = |run: &&Run| run.0 <= top && top <= run.1;
        let first = match (waiting.iter().find(covers), logged) {
            (Some((first, _)), _) => Some(*first),
            (None, Some((conn, origin))) => run_to(conn, origin, (floor, top))?,
            (None, None) => None,
        };
        match first {
            Some(first) => top = first.saturating_sub(1),
            None => break,
        }
    }
    Ok(top.max(floor))
}

/// The first seq above the floor from which on `sync.db` has all up to `top`; none if it lacks that
/// as well.
fn run_to(
    conn: &Connection,
    origin: i64,
    (floor, top): (Seq, Seq),
) -> Result<Option<Seq>, StoreError> {
    let range = params![origin, to_sql_seq(floor)?, to_sql_seq(top)?];
    let (count, last): (i64, Option<i64>) = conn
        .prepare_cached(
            "SELECT count(*), max(seq) FROM log WHERE origin = ?1 AND seq > ?2 AND seq <= ?3",
        )
        .and_then(|mut select| select.query_row(range, |row| Ok((row.get(0)?, row.get(1)?))))
        .within(conn, WHAT)?;
    let Some(last) = last else { return Ok(None) };
    if from_sql_seq(conn, last)? != top {
        return Ok(None);
    }
    if count.cast_unsigned() == top - floor {
        return Ok(Some(floor.saturating_add(1)));
    }
    let mut select = conn
        .prepare_cached("SELECT seq FROM log WHERE origin = ?1 AND seq <= ?2 ORDER BY seq DESC")
        .within(conn, WHAT)?;
    let mut rows = select.query(params![origin, last]).within(conn, WHAT)?;
    let mut first = top.saturating_add(1);
    while let Some(row) = rows.next().within(conn, WHAT)? {
        let seq = from_sql_seq(conn, row.get(0).within(conn, WHAT)?)?;
        if seq.saturating_add(1) != first {
            break;
        }
        first = seq;
    }
    Ok(Some(first))
}

/// What waits in `library.db`, of each origin in order.
pub(crate) fn waiting_runs(
    library: &Connection,
    origins: &Origins,
) -> Result<BTreeMap<Origin, Vec<Run>>, StoreError> {
    let mut select =
        library.prepare("SELECT origin, seq FROM _unlogged ORDER BY pos").within(library, WHAT)?;
    let mut rows = select.query([]).within(library, WHAT)?;
    let mut all: BTreeMap<Origin, Vec<Run>> = BTreeMap::new();
    while let Some(row) = rows.next().within(library, WHAT)? {
        let id: i64 = row.get(0).within(library, WHAT)?;
        let origin = origins.origin(id);
        let origin =
            origin.ok_or_else(|| StoreError::damaged(library, format!("the origin {id}")))?;
        let seq = from_sql_seq(library, row.get(1).within(library, WHAT)?)?;
        let runs = all.entry(origin).or_default();
        match runs.last_mut() {
            Some((_, last)) if last.saturating_add(1) == seq => *last = seq,
            _ => runs.push((seq, seq)),
        }
    }
    Ok(all)
}
