//! What the library knows of a folder from an earlier scan.

use std::collections::HashMap;

use driftless::Uuid;
use driftless::rusqlite::{Connection, Error, Row};

use crate::error::CatalogError;
use crate::item::uuid;
use crate::models::Entry;

const ENTRY: &str = "id, location, parent, name, name_raw, extension, kind, size, modified_at, \
                     created_at, inode, content, link_target";

fn read_entry(row: &Row<'_>, at: usize) -> Result<Entry, Error> {
    Ok(Entry {
        id: uuid(row, at)?,
        location: uuid(row, at + 1)?,
        parent: uuid(row, at + 2)?,
        name: row.get(at + 3)?,
        name_raw: row.get(at + 4)?,
        extension: row.get(at + 5)?,
        kind: row.get(at + 6)?,
        size: row.get(at + 7)?,
        modified_at: row.get(at + 8)?,
        created_at: row.get(at + 9)?,
        inode: row.get(at + 10)?,
        content: row.get(at + 11)?,
        link_target: row.get(at + 12)?,
    })
}

/// The children of a folder by the exact bytes of their names; and those of which there is a second
/// one with that name, which cannot be.
#[derive(Default)]
pub(super) struct Known {
    children: HashMap<Vec<u8>, Entry>,
    pub(super) surplus: Vec<Uuid>,
}

impl Known {
    pub(super) fn load(db: &Connection, parent: Uuid) -> Result<Self, CatalogError> {
        let sql = format!("SELECT {ENTRY} FROM entry WHERE parent = ?1 ORDER BY id");
        let mut select = db.prepare_cached(&sql)?;
        let mut rows = select.query([parent.as_bytes()])?;
        let mut known = Self::default();
        while let Some(row) = rows.next()? {
            let entry = read_entry(row, 0)?;
            let name = entry.name_raw.clone().unwrap_or_else(|| entry.name.clone().into_bytes());
            if let Some(first) = known.children.insert(name, entry) {
                known.surplus.push(first.id);
            }
        }
        Ok(known)
    }

    /// What is known under this name; it is then no longer missing.
    pub(super) fn take(&mut self, name: &[u8]) -> Option<Entry> {
        self.children.remove(name)
    }

    /// What was not taken.
    pub(super) fn missing(&self) -> impl Iterator<Item = &Entry> {
        self.children.values()
    }
}

/// Everything below a folder, what is in a folder always before the folder.
pub(super) fn all_below(db: &Connection, folder: Uuid) -> Result<Vec<Uuid>, CatalogError> {
    let mut select = db.prepare_cached(
        "WITH RECURSIVE below (id, depth) AS ( \
           SELECT id, 0 FROM entry WHERE parent = ?1 \
           UNION ALL SELECT e.id, below.depth + 1 FROM below CROSS JOIN entry AS e \
           ON e.parent = below.id WHERE below.depth <= ?2) \
         SELECT id FROM below ORDER BY depth DESC",
    )?;
    let mut rows = select.query((folder.as_bytes(), crate::scan::walk::MAX_DEPTH))?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(uuid(row, 0)?);
    }
    Ok(ids)
}

/// The next files of a location behind this row of the table that have no hash, with their rows.
pub(super) fn without_hash(
    db: &Connection,
    location: Uuid,
    last: i64,
    max: usize,
) -> Result<Vec<(i64, Entry)>, CatalogError> {
    let sql = format!(
        "SELECT rowid, {ENTRY} FROM entry \
         WHERE rowid > ?1 AND location = ?2 AND +kind = 0 AND content IS NULL \
         ORDER BY rowid LIMIT ?3"
    );
    let mut select = db.prepare_cached(&sql)?;
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let mut rows = select.query((last, location.as_bytes(), limit))?;
    let mut files = Vec::new();
    while let Some(row) = rows.next()? {
        files.push((row.get(0)?, read_entry(row, 1)?));
    }
    Ok(files)
}
