//! The event log: what is noted is read, at once and after a restart, and it is bounded.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::*;
use driftless_core::store::Store;
use driftless_store::{EVENTS_KEPT_MS, EventRow, MOST_EVENTS, SqliteStore, StoreError};

fn event(store: &mut SqliteStore, at_ms: u64, words: &str) -> EventRow {
    EventRow {
        id: store.next_event(),
        pos: store.last_pos(),
        first_ms: at_ms,
        last_ms: at_ms,
        times: 1,
        severity: 1,
        kind: "link_lost".to_owned(),
        device: Some(device(3)),
        words: words.to_owned(),
        fields: r#"{"reason":"off"}"#.to_owned(),
    }
}

fn note(store: &mut SqliteStore, at_ms: u64, words: &str) -> EventRow {
    let event = event(store, at_ms, words);
    store.note_event(event.clone());
    event
}

/// All events, the first first.
fn events(store: &SqliteStore) -> Vec<EventRow> {
    let mut found = Vec::new();
    let walked = store.past().unwrap().events_back(|event| {
        found.push(event);
        Ok::<_, StoreError>(true)
    });
    walked.unwrap();
    found.reverse();
    found
}

#[test]
fn what_is_noted_is_read_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    let first = note(&mut store, 1_000, "first");
    store.flush_log().unwrap();
    assert!(!store.has_waiting_events());
    store.begin().unwrap();
    let set = next_set(&store, 1, &[]);
    store.append(&set).unwrap();
    store.commit().unwrap();
    let second = note(&mut store, 2_000, "second");
    assert_eq!((first.pos, second.pos), (0, 1), "behind the change set");
    // It happens again: the same event, and not in the file yet.
    let again = EventRow { last_ms: 3_000, times: 2, ..first };
    store.note_event(again.clone());
    assert_eq!(events(&store), [again.clone(), second.clone()]);
    store.flush_log().unwrap();
    assert_eq!(events(&store), [again.clone(), second.clone()]);
    drop(store);
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    let third = note(&mut store, 4_000, &"x".repeat(10_000));
    let found = events(&store);
    assert_eq!(found[..2], [again, second]);
    assert_eq!((found[2].id, found[2].words.len()), (third.id, 2_048), "a bound for each");
}

#[test]
fn old_ones_go_and_no_more_are_kept_than_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    note(&mut store, 1_000, "old");
    store.flush_log().unwrap();
    note(&mut store, 1_000 + EVENTS_KEPT_MS, "as old as may be");
    store.flush_log().unwrap();
    assert_eq!(events(&store).len(), 2);
    note(&mut store, 1_001 + EVENTS_KEPT_MS, "new");
    store.flush_log().unwrap();
    assert_eq!(events(&store).len(), 2);
    assert_eq!(events(&store)[0].words, "as old as may be");
    let most = usize::try_from(MOST_EVENTS).unwrap();
    for n in 0..most {
        note(&mut store, EVENTS_KEPT_MS + 2_000, &n.to_string());
        if n % 500 == 0 {
            store.flush_log().unwrap();
        }
    }
    store.flush_log().unwrap();
    let found = events(&store);
    assert_eq!((found.len(), found[0].words.as_str()), (most, "0"));
}

/// A disk that is full for long does not fill the memory.
#[test]
fn what_waits_has_a_bound() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    for n in 0..5_000 {
        note(&mut store, n, &n.to_string());
    }
    let found = events(&store);
    assert_eq!((found.len(), found[0].words.as_str()), (1_000, "4000"));
}

#[test]
fn a_log_of_the_format_before_gets_the_table() {
    let dir = tempfile::tempdir().unwrap();
    drop(create(dir.path()));
    let log = rusqlite::Connection::open(dir.path().join("sync.db")).unwrap();
    log.execute_batch("DROP TABLE event; DROP TABLE trend; PRAGMA user_version = 4").unwrap();
    drop(log);
    let mut store = SqliteStore::open(dir.path(), schema()).unwrap();
    let noted = note(&mut store, 1_000, "first");
    store.flush_log().unwrap();
    assert_eq!(events(&store), [noted]);
    assert!(!store.log_incomplete() && store.log_set_aside().is_none());
}
