//! Files of earlier formats, brought forward step by step, in one transaction each.

use rusqlite::Connection;

use crate::error::{StoreError, Within};

const DOING: &str = "migrating the file to this version's format";

/// Takes a file from the format `found` to the format `now`, which is the one that `steps` lead to;
/// the first of them begins at format 1. On an error nothing was changed, and the connection is not
/// to be used any more.
pub(crate) fn forward(
    conn: &Connection,
    (found, now): (i64, i64),
    steps: &[&str],
) -> Result<(), StoreError> {
    let done = usize::try_from(found).ok().and_then(|found| found.checked_sub(1));
    let Some(rest) = done.and_then(|done| steps.get(done..)) else {
        return Err(StoreError::damaged(conn, format!("the format {found}")));
    };
    let run = || {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        for step in rest {
            conn.execute_batch(step)?;
        }
        conn.pragma_update(None, "user_version", now)?;
        conn.execute_batch("COMMIT")
    };
    run().within(conn, DOING)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;
    use crate::format::{
        LIBRARY_FORMAT, LIBRARY_STEPS, LIBRARY_TABLES, LOG_FORMAT, LOG_STEPS, LOG_TABLES,
    };

    #[test]
    fn the_steps_lead_to_the_format_that_is_written() {
        for (now, steps) in [(LIBRARY_FORMAT, &LIBRARY_STEPS[..]), (LOG_FORMAT, &LOG_STEPS[..])] {
            assert_eq!(usize::try_from(now).unwrap(), steps.len() + 1);
        }
    }

    #[test]
    fn a_format_that_never_was_is_damage_and_a_step_that_fails_leaves_nothing() {
        for (tables, steps) in [(LIBRARY_TABLES, &LIBRARY_STEPS[..]), (LOG_TABLES, &LOG_STEPS[..])]
        {
            let conn = Connection::open_in_memory().unwrap();
            conn.execute_batch(tables).unwrap();
            for found in [0, -1, 77] {
                let refused = forward(&conn, (found, 2), steps).unwrap_err();
                assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
            }
            // The columns are there already.
            forward(&conn, (1, 2), steps).unwrap_err();
            conn.execute_batch("ROLLBACK").unwrap();
            let version = conn.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
            assert_eq!(version.unwrap(), 0);
        }
    }
}
