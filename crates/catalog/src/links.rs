//! Members of add-wins sets: adding and removing many of them.

use driftless::rusqlite::Connection;
use driftless::{Dot, Library, RecordKey, Syncable, Uuid, WriteTx};

use crate::error::CatalogError;
use crate::item::Item;
use crate::models::Subject;

/// Links that one transaction writes: far below what a change set can hold.
pub(crate) const AT_ONCE: usize = 10_000;

/// What items stand for, each once.
pub(crate) fn subjects_of(items: &[Item]) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = items.iter().map(Item::subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects
}

/// All that may have been said something of for items: the content as well as the entry.
pub(crate) fn all_subjects_of(items: &[Item]) -> Vec<Subject> {
    let of = |item: &Item| item.content.map(Subject::Content);
    let both = items.iter().flat_map(|item| of(item).into_iter().chain([Subject::Entry(item.id)]));
    let mut subjects: Vec<Subject> = both.collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects
}

/// Adds links in transactions that each begin with `check`. Returns how many were not there before.
/// One that is there is added again: it then survives that another device removes it without having
/// seen this.
pub(crate) fn add<L: Syncable + Send + 'static>(
    library: &Library,
    links: Vec<L>,
    check: impl Fn(&mut WriteTx<'_>) -> Result<(), CatalogError> + Copy + Send + 'static,
) -> Result<usize, CatalogError> {
    let table = L::descriptor().name;
    let mut links = links.into_iter();
    let (mut new, mut first) = (0, None);
    loop {
        let some: Vec<L> = links.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return Ok(new);
        }
        let table = table.clone();
        let (more, dot) = library.write(move |tx| {
            go_on(tx, first);
            check(tx)?;
            let mut new = 0;
            for link in &some {
                new += usize::from(!is_there(tx.db(), &table, link.key())?);
                tx.link(link)?;
            }
            Ok::<_, CatalogError>((new, tx.dot()))
        })?;
        new += more;
        first.get_or_insert(dot);
    }
}

/// Removes links. Returns how many there were.
pub(crate) fn remove<L: Syncable>(
    library: &Library,
    mut ids: Vec<Uuid>,
) -> Result<usize, CatalogError> {
    ids.sort_unstable();
    ids.dedup();
    let model = L::descriptor().id;
    let (mut gone, mut first) = (0, None);
    for some in ids.chunks(AT_ONCE) {
        let some = some.to_vec();
        let (more, dot) = library.write(move |tx| {
            go_on(tx, first);
            let mut gone = 0;
            for id in some {
                gone += usize::from(tx.remove(model, &RecordKey::from(id))?);
            }
            Ok::<_, CatalogError>((gone, tx.dot()))
        })?;
        gone += more;
        if more > 0 {
            first.get_or_insert(dot);
        }
    }
    Ok(gone)
}

/// What one command does in several transactions is one thing to people, and undone as one.
pub(crate) fn go_on(tx: &mut WriteTx<'_>, first: Option<Dot>) {
    if let Some(first) = first {
        tx.go_on_with(first);
    }
}

/// Whether a record is there.
pub(crate) fn is_there(
    db: &Connection,
    table: &str,
    key: impl Into<RecordKey>,
) -> Result<bool, CatalogError> {
    let mut select = db.prepare_cached(&format!("SELECT 1 FROM {table} WHERE id = ?1"))?;
    Ok(select.exists([key.into().as_bytes()])?)
}
