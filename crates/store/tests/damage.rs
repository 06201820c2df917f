//! Rows that are not what was written are found, taken out and put back.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;

use std::path::Path;

use driftless_core::schema::{FieldId, ModelId};
use driftless_core::store::{HeldRow, Missing, Place, Store};
use driftless_core::value::Value;
use driftless_store::{Salvage, SqliteStore, StoreError};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use common::{create, device, entry, head, identity, key, record, schema, tag, text, version};

const ROWS: u8 = 120;

fn tag_id() -> ModelId {
    tag().id
}

fn entry_id() -> ModelId {
    entry().id
}

fn fields(n: u8) -> Vec<(FieldId, Value)> {
    let mut fields = vec![
        (FieldId::of("name"), text(&format!("entry number {n}"))),
        (FieldId::of("parent"), Value::Blob(vec![n; 16])),
        (FieldId::of("size"), Value::Int(n.into())),
    ];
    fields.sort_by_key(|(id, _)| *id);
    fields
}

/// A library with tags and entries of this device; its directory.
fn library() -> (tempfile::TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = create(dir.path());
    store.begin().unwrap();
    store.set_own_head(head(1, 1)).unwrap();
    let set = common::next_set(&store, 1, &[]);
    store.append(&set).unwrap();
    for n in 0..ROWS {
        let name = version(1, 1, 10, text(&format!("tag number {n}")));
        store.put_record(tag_id(), &key(n), &record(&[("name", vec![name])])).unwrap();
        store.put_owned(entry_id(), &key(n), 1, Some(&fields(n))).unwrap();
    }
    store.commit().unwrap();
    (dir, store)
}

fn reopen(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, schema()).unwrap()
}

/// Changes rows by other hands.
fn tamper(dir: &Path, sql: &str) {
    let conn = Connection::open(dir.join("library.db")).unwrap();
    assert!(conn.execute(sql, []).unwrap() > 0, "{sql}");
}

/// Finds damage and takes it out.
fn take_out(store: &mut SqliteStore) -> Vec<Place> {
    let bad = store.snapshot().unwrap().read_rows().unwrap().bad;
    store.begin().unwrap();
    let taken = store.take_out(&bad).unwrap();
    store.commit().unwrap();
    let again = store.snapshot().unwrap().read_rows().unwrap();
    assert_eq!((&again.digests, &again.bad), (store.digests(), &vec![]));
    taken.into_iter().map(|taken| (taken.model, taken.key)).collect()
}

fn good_record(n: u8) -> driftless_core::record::Record {
    record(&[("name", vec![version(1, 1, 10, text(&format!("tag number {n}")))])])
}

/// Puts everything back that is missing.
fn put_back(store: &mut SqliteStore) {
    let Missing { shared, owned } = store.missing().clone();
    store.begin().unwrap();
    for (model, key) in shared {
        let n = key.as_bytes()[0];
        let is_one = key == common::key(n) && n < ROWS;
        let record = if is_one { good_record(n) } else { Default::default() };
        store.mend_record(model, &key, &record).unwrap();
    }
    for (device, rows) in owned {
        for (model, key) in rows.into_keys() {
            let n = key.as_bytes()[0];
            let is_one = key == common::key(n) && n < ROWS;
            let row = is_one.then(|| (1, fields(n)));
            store.mend_row(&device, &HeldRow { model, key, row }).unwrap();
        }
    }
    store.commit().unwrap();
}

#[test]
fn what_other_hands_changed_is_found_taken_out_and_put_back() {
    let (dir, mut store) = library();
    let before = store.digests().clone();
    for (sql, places) in [
        ("UPDATE tag SET name = 'forged' WHERE id = x'05050505050505050505050505050505'", 1),
        ("UPDATE tag SET _sum = _sum + 1 WHERE name = 'tag number 7'", 1),
        ("UPDATE tag SET _sync = x'00' WHERE name = 'tag number 8'", 1),
        ("UPDATE entry SET size = 1000 WHERE name = 'entry number 9'", 1),
        ("UPDATE entry SET _seq = 9 WHERE name = 'entry number 10'", 1),
        ("UPDATE entry SET name = 'many' WHERE size < 7", 7),
        // Whose row it was can only be guessed.
        ("UPDATE entry SET _lane = 77 WHERE name = 'entry number 11'", 1),
    ] {
        tamper(dir.path(), sql);
        let taken = take_out(&mut store);
        assert_eq!(taken.len(), places, "{sql}");
        assert_eq!(store.missing().len(), places, "{sql}");
        assert_ne!(*store.digests(), before, "{sql}");
        // It is noted durably.
        let noted = store.missing().clone();
        drop(store);
        store = reopen(dir.path());
        assert_eq!(*store.missing(), noted);
        put_back(&mut store);
        assert_eq!((store.digests(), store.missing().len()), (&before, 0), "{sql}");
        assert_eq!(store.snapshot().unwrap().read_rows().unwrap().bad, []);
    }
}

#[test]
fn a_key_that_is_damaged_is_missing_under_its_own() {
    let (dir, mut store) = library();
    let before = store.digests().clone();
    drop(store);
    flip(dir.path(), |bytes| find(bytes, &[33; 16]).first().copied().unwrap());
    flip(dir.path(), |bytes| *find(bytes, &[34; 16]).last().unwrap());
    store = reopen(dir.path());
    let taken = take_out(&mut store);
    assert!(!taken.is_empty(), "of the rows' keys and those in the indexes two were hit");
    put_back(&mut store);
    assert_eq!((store.digests(), store.missing().len()), (&before, 0));
    assert_eq!(store.snapshot().unwrap().check_structure(9).unwrap(), [""; 0]);
}

#[test]
fn what_is_left_of_a_row_is_kept_until_it_is_back() {
    let (dir, mut store) = library();
    tamper(dir.path(), "UPDATE tag SET name = 'tag numbex 3' WHERE name = 'tag number 3'");
    tamper(dir.path(), "UPDATE tag SET _sync = x'00' WHERE name = 'tag number 4'");
    tamper(dir.path(), "UPDATE entry SET name = 'entrz' WHERE name = 'entry number 3'");
    take_out(&mut store);
    let Salvage::Record(found) = store.salvage(None, &(tag_id(), key(3))).unwrap() else {
        panic!("it can be read")
    };
    assert_eq!(found.winner(FieldId::of("name")).unwrap().value, text("tag numbex 3"));
    assert_eq!(store.salvage(None, &(tag_id(), key(4))).unwrap(), Salvage::Nothing);
    let me = identity(1).device;
    let place = (entry_id(), key(3));
    let Salvage::Fields(found) = store.salvage(Some(&me), &place).unwrap() else { panic!() };
    assert!(found.contains(&(FieldId::of("name"), text("entrz"))));

    // A row that its owner writes anew is not missing any more.
    store.begin().unwrap();
    store.put_owned(entry_id(), &key(3), 2, Some(&fields(3))).unwrap();
    store.set_own_head(head(1, 2)).unwrap();
    store.commit().unwrap();
    assert!(store.missing().owned.is_empty());
    assert_eq!(store.salvage(Some(&me), &place).unwrap(), Salvage::Nothing);
}

#[test]
fn a_rolled_back_transaction_took_nothing_out() {
    let (dir, mut store) = library();
    tamper(dir.path(), "UPDATE tag SET name = 'forged' WHERE name = 'tag number 3'");
    let bad = store.snapshot().unwrap().read_rows().unwrap().bad;
    store.begin().unwrap();
    assert_eq!(store.take_out(&bad).unwrap().len(), 1);
    store.rollback().unwrap();
    assert!(store.missing().is_empty());
    assert_eq!(store.snapshot().unwrap().read_rows().unwrap().bad, bad);
}

#[test]
fn damage_is_not_written_on_or_served() {
    let (dir, mut store) = library();
    tamper(dir.path(), "UPDATE tag SET name = 'forged' WHERE name = 'tag number 3'");
    tamper(dir.path(), "UPDATE entry SET name = 'forged' WHERE name = 'entry number 3'");
    let refused = store.record(tag_id(), &key(3)).unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    let me = identity(1).device;
    let cursor = driftless_core::page::Cursor::after(0);
    let refused = store.read_page(&me, &cursor, 1_000, 1 << 20).unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    let refused = store.rows_of(&me, &[(entry_id(), key(3))], 1 << 20).unwrap_err();
    assert!(matches!(refused, StoreError::Damaged { .. }), "{refused}");
    store.pin(device(2)).unwrap();
    let refused = store.pinned_records(&device(2), tag_id(), &Default::default(), 1 << 20);
    assert!(matches!(refused, Err(StoreError::Damaged { .. })));
}

#[test]
fn rows_are_given_by_key_as_far_as_they_fit() {
    let (_dir, mut store) = library();
    let me = identity(1).device;
    let keys: Vec<Place> = [1, 200, 2].map(|n| (entry_id(), key(n))).into();
    let rows = store.rows_of(&me, &keys, 1 << 20).unwrap();
    let row = |n: u8, row| HeldRow { model: entry_id(), key: key(n), row };
    let expected = [row(1, Some((1, fields(1)))), row(200, None), row(2, Some((1, fields(2))))];
    assert_eq!(rows, expected);
    assert_eq!(store.rows_of(&me, &keys, 1).unwrap(), expected[..1], "one at least");
    assert!(store.rows_of(&device(9), &keys, 1).is_err(), "a lane that is not here");
}

/// Where a text stands in a file.
fn find(bytes: &[u8], text: &[u8]) -> Vec<usize> {
    (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(text)).collect()
}

/// Alters a byte of a library that is closed.
fn flip(dir: &Path, place: impl Fn(&[u8]) -> usize) {
    let path = dir.join("library.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let at = place(&bytes);
    bytes[at] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();
}

/// All that is synced, as it reads; an error's words if it cannot be read.
fn contents(store: &SqliteStore) -> Result<String, StoreError> {
    let snapshot = store.snapshot()?;
    let mut all = String::new();
    for model in [tag_id(), entry_id()] {
        for (key, record) in snapshot.records(model, None, 1_000)? {
            all.push_str(&format!("{key} {record:?}\n"));
        }
        for row in snapshot.rows(model, None, 1_000)? {
            all.push_str(&format!("{row:?}\n"));
        }
    }
    Ok(all)
}

/// Whether a look at everything finds something.
fn is_noticed(store: &SqliteStore) -> bool {
    let look = || {
        let snapshot = store.snapshot()?;
        let read = snapshot.read_rows()?;
        let sound = read.bad.is_empty() && read.digests == *store.digests();
        Ok::<_, StoreError>(sound && snapshot.check_structure(1)?.is_empty())
    };
    !look().unwrap_or(false)
}

#[test]
fn wherever_a_byte_is_flipped_what_reads_otherwise_is_noticed() {
    let (dir, store) = library();
    let sound = contents(&store).unwrap();
    store.close().unwrap();
    let path = dir.path().join("library.db");
    let bytes = std::fs::read(&path).unwrap();
    let (mut changed, mut seed) = (0, 0x2545_f491_4f6c_dd1d_u64);
    for _ in 0..1_500 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let at = usize::try_from(seed % bytes.len() as u64).unwrap();
        let mut torn = bytes.clone();
        torn[at] ^= 1 << (seed >> 40 & 7);
        std::fs::write(&path, &torn).unwrap();
        // What cannot be opened says so.
        let Ok(store) = SqliteStore::open(dir.path(), schema()) else { continue };
        let reads_otherwise = contents(&store).map_or(true, |now| now != sound);
        if reads_otherwise {
            changed += 1;
            assert!(is_noticed(&store), "byte {at}");
        }
    }
    assert!(changed > 30, "{changed} of the flips hit something");
}

#[test]
fn an_index_that_is_damaged_is_made_anew() {
    let (dir, store) = library();
    store.close().unwrap();
    // The table has the name after its key, the index has it alone.
    flip(dir.path(), |bytes| {
        let all = find(bytes, b"tag number 77");
        *all.iter().find(|at| bytes[**at - 16..**at] != [77; 16]).unwrap() + 4
    });
    let mut store = reopen(dir.path());
    let snapshot = store.snapshot().unwrap();
    let (bad, faults) = (snapshot.read_rows().unwrap().bad, snapshot.check_structure(9).unwrap());
    assert!(bad.len() + faults.len() > 0);
    drop(snapshot);
    store.begin().unwrap();
    store.take_out(&bad).unwrap();
    store.reindex().unwrap();
    store.commit().unwrap();
    put_back(&mut store);
    assert_eq!(store.snapshot().unwrap().check_structure(9).unwrap(), [""; 0]);
    assert!(!is_noticed(&store));
}

/// Changes rows without an index knowing of it, as a disk does.
fn tamper_behind(dir: &Path, index: &str, sql: &str) {
    let conn = Connection::open(dir.join("library.db")).unwrap();
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    conn.execute_batch(&format!(
        "PRAGMA writable_schema = ON; \
         CREATE TEMP TABLE kept AS SELECT * FROM sqlite_schema WHERE name = '{index}'; \
         DELETE FROM sqlite_schema WHERE name = '{index}'; \
         PRAGMA writable_schema = RESET"
    ))
    .unwrap();
    assert!(conn.execute(sql, []).unwrap() > 0, "{sql}");
    conn.execute_batch(
        "PRAGMA writable_schema = ON; \
         INSERT INTO sqlite_schema SELECT * FROM kept; \
         PRAGMA writable_schema = RESET",
    )
    .unwrap();
}

#[test]
fn nothing_of_a_row_that_is_taken_out_stays_in_an_index() {
    let (dir, mut store) = library();
    let before = store.digests().clone();
    let nothing: [&str; 0] = [];
    for (index, sql) in [
        ("_ix.tag.name", "UPDATE tag SET name = 'forged' WHERE name = 'tag number 3'"),
        ("_ix.entry.parent", "UPDATE entry SET parent = x'77' WHERE name = 'entry number 3'"),
        ("_lane.entry", "UPDATE entry SET _seq = 7 WHERE name = 'entry number 3'"),
    ] {
        tamper_behind(dir.path(), index, sql);
        drop(store);
        store = reopen(dir.path());
        assert_ne!(store.snapshot().unwrap().check_structure(9).unwrap(), nothing, "{sql}");
        assert_eq!(store.snapshot().unwrap().check_pages(9).unwrap(), nothing, "{sql}");
        assert_eq!(take_out(&mut store).len(), 1, "{sql}");
        assert_eq!(store.snapshot().unwrap().check_structure(9).unwrap(), nothing, "{sql}");
        put_back(&mut store);
        assert_eq!((store.digests(), store.missing().len()), (&before, 0));
    }
    // By what it reads this row is none of the partial index's. SQLite looks for it there neither when it
    // deletes it nor when it checks the structure.
    let sql = "UPDATE entry SET parent = NULL WHERE name = 'entry number 3'";
    tamper_behind(dir.path(), "_ix.entry.parent", sql);
    drop(store);
    store = reopen(dir.path());
    let known = |store: &SqliteStore| -> u8 {
        let sql = "SELECT count(*) FROM entry INDEXED BY \"_ix.entry.parent\" WHERE parent NOTNULL";
        let snapshot = store.snapshot().unwrap();
        snapshot.connection().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(known(&store), ROWS);
    assert_eq!(take_out(&mut store).len(), 1);
    assert_eq!(known(&store), ROWS - 1);
    put_back(&mut store);
    assert_eq!((store.digests(), store.missing().len()), (&before, 0));
}

#[test]
fn a_kept_digest_that_is_damaged_is_made_anew() {
    let (dir, mut store) = library();
    let before = store.digests().clone();
    drop(store);
    tamper(dir.path(), "UPDATE _digest SET sum = sum + 1");
    store = reopen(dir.path());
    assert!(is_noticed(&store));
    store.begin().unwrap();
    store.recount_digests().unwrap();
    store.commit().unwrap();
    assert_eq!(*store.digests(), before);
    assert!(!is_noticed(&store));
}

/// Looks at everything, slice by slice; the damage, and in how many slices.
fn scrub(store: &mut SqliteStore, now_ms: u64) -> (usize, u32) {
    let (mut bad, mut slices) = (0, 0);
    loop {
        let found = store.scrub(now_ms).unwrap();
        bad += found.bad.len();
        slices += 1;
        if found.done {
            return (bad, slices);
        }
    }
}

#[test]
fn a_slow_look_finds_damage_and_goes_on_where_it_was() {
    let (dir, mut store) = library();
    assert_eq!(store.scrubbed().unwrap(), None);
    assert_eq!(scrub(&mut store, 5).0, 0);
    assert_eq!(store.scrubbed().unwrap(), Some((5, true)));
    tamper(dir.path(), "UPDATE tag SET name = 'forged' WHERE name = 'tag number 3'");
    tamper(dir.path(), "UPDATE entry SET name = 'forged' WHERE name = 'entry number 3'");
    store = reopen(dir.path());
    assert_eq!(store.scrubbed().unwrap(), Some((5, true)), "it is known after a restart");
    let first = store.scrub(9).unwrap();
    assert!(!first.done);
    assert_eq!(store.scrubbed().unwrap(), Some((9, false)));
    let (bad, slices) = scrub(&mut store, 11);
    assert_eq!(bad + first.bad.len(), 2);
    assert_eq!(store.scrubbed().unwrap(), Some((9, true)), "it is one pass: {slices}");
}
