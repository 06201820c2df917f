//! Everything that a store holds, as lines that can be compared.

use driftless_core::id::{Dot, RecordKey};
use driftless_core::mem::MemStore;
use driftless_core::merge::Lost;
use driftless_core::record::Record;
use driftless_core::schema::ModelId;
use driftless_core::store::Store;
use driftless_core::version::Vector;
use driftless_store::{SqliteStore, StoreError};
use rusqlite::Connection;

use crate::common::pages::walk;
use crate::common::{key, state};

/// What both stores tell without a disk.
pub(crate) fn brief<S: Store>(store: &S) -> String {
    format!("{:?}", state(store))
}

fn line(model: ModelId, key: &RecordKey, record: &Record) -> String {
    format!("{model:?} {key}: {record:?}")
}

fn losses(n: u8, lost: &[(Lost, Dot)]) -> String {
    format!("lost of {n}: {lost:?}")
}

/// What both stores tell in the same way.
fn common<S: Store>(store: &mut S) -> Vec<String> {
    let mut lines = vec![brief(store)];
    for set in store.log(&Vector::new(), usize::MAX).unwrap() {
        lines.push(format!("{:?} {:?}", set.dot(), set.head()));
    }
    for (model, key, record) in store.mirrored(None, usize::MAX).unwrap() {
        lines.push(format!("mirrored {}", line(model, &key, &record)));
    }
    for lane in store.lanes() {
        if store.lane(&lane).is_some_and(|lane| lane.exact.is_some()) {
            let rows = walk(store, &lane, usize::MAX, usize::MAX);
            lines.extend(rows.iter().map(|row| format!("{lane:?} {row:?}")));
        }
    }
    lines
}

pub(crate) fn of_memory(store: &mut MemStore) -> Vec<String> {
    let mut lines = common(store);
    lines.extend(store.records().map(|(model, key, record)| line(*model, key, record)));
    for n in 0..10 {
        let of = (ModelId::of("tag"), key(n));
        let lost = store.lost().iter().filter(|(at, ..)| *at == of);
        lines.push(losses(n, &lost.map(|(_, lost, by)| (lost.clone(), *by)).collect::<Vec<_>>()));
    }
    lines
}

/// The same of a store on files, each of which is found whole.
pub(crate) fn of_files(store: &mut SqliteStore) -> Result<Vec<String>, StoreError> {
    let mut lines = common(store);
    let snapshot = store.snapshot()?;
    for model in snapshot.models()? {
        let records = snapshot.records(model, None, 1_000)?;
        lines.extend(records.iter().map(|(key, record)| line(model, key, record)));
    }
    for n in 0..10 {
        lines.push(losses(n, &store.losses(ModelId::of("tag"), &key(n))?));
    }
    let again = snapshot.read_rows()?;
    assert_eq!((&again.digests, again.bad), (store.digests(), vec![]));
    assert_eq!(snapshot.check_structure(9)?, Vec::<String>::new());
    let log = Connection::open(store.dir().join("sync.db")).unwrap();
    let whole: String = log.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    Ok(lines)
}
