//! The trend: what is noted is read, at once and after a restart, in every resolution, and it is bounded.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;

use common::*;
use driftless_store::{SqliteStore, TREND_STEPS, TrendSample, trend_step};
use rusqlite::Connection;

fn sample(n: u64) -> TrendSample {
    TrendSample {
        committed: n,
        applied: 2 * n,
        sent_bytes: 3 * n,
        received_bytes: 4 * n,
        times: [((0, 3), n), ((2, 16), 1)].into(),
        backlog: n,
        lag_ms: n,
        online: n,
        conflicts: n,
        quarantined: n,
        library_bytes: n,
        sync_bytes: n,
    }
}

fn trend(store: &SqliteStore, step_ms: u64) -> BTreeMap<u64, TrendSample> {
    store.past().unwrap().trend(step_ms, 0).unwrap()
}

fn write(store: &mut SqliteStore) {
    store.keep_trend();
    store.flush_log().unwrap();
    assert!(!store.has_waiting_trend());
}

#[test]
fn what_is_noted_is_read_at_once_and_after_a_restart_in_every_resolution() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.note_trend(1_000_001, &sample(5));
    store.note_trend(1_000_002, &sample(1));
    let mut both = sample(6);
    both.times.insert((2, 16), 2);
    // Of what was lacking the most counts, of what was there the last.
    (both.backlog, both.lag_ms) = (5, 5);
    (both.online, both.conflicts, both.quarantined) = (1, 1, 1);
    (both.library_bytes, both.sync_bytes) = (1, 1);
    store.flush_log().unwrap();
    assert!(store.has_waiting_trend(), "it is not due");
    for written in [false, true] {
        if written {
            write(&mut store);
        }
        for (step_ms, _) in TREND_STEPS {
            let wanted = BTreeMap::from([(trend_step(1_000_001, step_ms), both.clone())]);
            assert_eq!(trend(&store, step_ms), wanted, "{step_ms} {written}");
        }
    }
    drop(store);
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    // The same step goes on, and another begins after a gap.
    store.note_trend(1_000_003, &sample(7));
    store.note_trend(1_050_000, &sample(9));
    write(&mut store);
    let found = trend(&store, 10_000);
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [1_010_000, 1_060_000]);
    assert_eq!((found[&1_010_000].committed, found[&1_010_000].online), (13, 7));
    assert_eq!(found[&1_010_000].times, [((0, 3), 13), ((2, 16), 3)].into());
    assert_eq!(found[&1_060_000], sample(9));
    let all: u64 = trend(&store, 900_000).values().map(|step| step.committed).sum();
    assert_eq!(all, 22);
    let later = store.past().unwrap().trend(10_000, 1_010_000).unwrap();
    assert_eq!(later.len(), 1, "since a moment");
}

#[test]
fn old_steps_go_and_a_clock_that_is_put_back_leaves_none_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let start = 900_000_000;
    for minute in 0..3_000 {
        store.note_trend(start + minute * 60_000, &sample(1));
        if minute % 7 == 0 {
            write(&mut store);
        }
    }
    write(&mut store);
    let counts = TREND_STEPS.map(|(step_ms, _)| trend(&store, step_ms).len());
    assert_eq!(counts, [60, 1_440, 200]);
    for (step_ms, most) in TREND_STEPS {
        let found = trend(&store, step_ms);
        assert!(u64::try_from(found.len()).unwrap() <= most);
        let oldest = trend_step(start + 2_999 * 60_000, step_ms).saturating_sub(step_ms * most);
        assert!(found.keys().all(|at| *at > oldest), "{step_ms}");
    }
    store.note_trend(start - 1, &sample(1));
    write(&mut store);
    assert_eq!(TREND_STEPS.map(|(step_ms, _)| trend(&store, step_ms).len()), [1; 3]);
}

/// A disk that is full for long does not fill the memory.
#[test]
fn what_waits_has_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    for step in 0..1_000 {
        store.note_trend(step * 10_000, &sample(1));
    }
    assert_eq!(trend(&store, 10_000).len(), 360);
}

#[test]
fn a_step_that_cannot_be_read_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.note_trend(5, &sample(1));
    write(&mut store);
    let other = Connection::open(dir.path().join("sync.db")).unwrap();
    other.execute("UPDATE trend SET times = x'ff'", []).unwrap();
    store.past().unwrap().trend(10_000, 0).unwrap_err();
    store.note_trend(6, &sample(2));
    write(&mut store);
    assert_eq!(trend(&store, 10_000)[&10_000], sample(2));
}

#[test]
fn a_log_of_the_format_before_gets_the_table() {
    let dir = tempfile::tempdir().unwrap();
    drop(create(dir.path()));
    let log = Connection::open(dir.path().join("sync.db")).unwrap();
    log.execute_batch("DROP TABLE trend; PRAGMA user_version = 5").unwrap();
    drop(log);
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    store.note_trend(5, &sample(1));
    write(&mut store);
    assert_eq!(trend(&store, 10_000)[&10_000], sample(1));
    assert!(!store.log_incomplete() && store.log_set_aside().is_none());
}
