//! What the library knows of a location from earlier scans.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use driftless::Uuid;
use driftless::rusqlite::{Connection, Error, Row, Rows};

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
    pub(super) surplus: Vec<Entry>,
}

/// Names that are looked up one by one; of more the whole folder is read.
const FEW_NAMES: usize = 16;
/// Entries with one name, wherever they are, among which one is looked for.
const FEW_ALIKE: usize = 64;

impl Known {
    /// Everything in a folder. Of two with one name, one that is said to be gone already gives way.
    pub(super) fn load(
        db: &Connection,
        parent: Uuid,
        is_gone: impl Fn(Uuid) -> bool,
    ) -> Result<Self, CatalogError> {
        let sql = format!("SELECT {ENTRY} FROM entry WHERE parent = ?1 ORDER BY id");
        let mut select = db.prepare_cached(&sql)?;
        let mut rows = select.query([parent.as_bytes()])?;
        let mut known = Self::default();
        while let Some(row) = rows.next()? {
            known.add(read_entry(row, 0)?, &is_gone);
        }
        Ok(known)
    }

    /// What has one of these names in a folder.
    pub(super) fn load_names<'n>(
        db: &Connection,
        parent: Uuid,
        names: impl ExactSizeIterator<Item = &'n OsStr>,
        is_gone: impl Fn(Uuid) -> bool,
    ) -> Result<Self, CatalogError> {
        if names.len() > FEW_NAMES {
            return Self::load(db, parent, is_gone);
        }
        let mut known = Self::default();
        for name in names {
            for entry in with_name(db, parent, name.as_bytes())? {
                known.add(entry, &is_gone);
            }
        }
        Ok(known)
    }

    fn add(&mut self, entry: Entry, is_gone: &impl Fn(Uuid) -> bool) {
        let name = entry.name_bytes().to_owned();
        let Some(first) = self.children.insert(name.clone(), entry) else { return };
        let second = self.children.get(&name).map_or(Uuid::nil(), |second| second.id);
        if is_gone(second) && !is_gone(first.id) {
            self.children.insert(name, first);
        } else if !is_gone(first.id) {
            self.surplus.push(first);
        }
    }

    /// What is known under this name.
    pub(super) fn get(&self, name: &[u8]) -> Option<&Entry> {
        self.children.get(name)
    }

    /// What is known under this name; it is then no longer missing.
    pub(super) fn take(&mut self, name: &[u8]) -> Option<Entry> {
        self.children.remove(name)
    }

    /// What was not taken.
    pub(super) fn into_missing(self) -> impl Iterator<Item = Entry> {
        self.children.into_values()
    }

    pub(super) fn len(&self) -> usize {
        self.children.len()
    }
}

/// What has this name in a folder: one, unless something is wrong. Folders can be large, and so can be
/// the number of entries with one name, but hardly both.
pub(super) fn with_name(
    db: &Connection,
    parent: Uuid,
    name: &[u8],
) -> Result<Vec<Entry>, CatalogError> {
    let text = String::from_utf8_lossy(name);
    let sql = format!(
        "SELECT {ENTRY} FROM entry WHERE kind IN (0, 1, 2) AND name = ?1 ORDER BY id LIMIT ?2"
    );
    let mut select = db.prepare_cached(&sql)?;
    let limit = i64::try_from(FEW_ALIKE + 1).unwrap_or(i64::MAX);
    let mut alike = entries(select.query((&*text, limit))?)?;
    if alike.len() > FEW_ALIKE {
        // The plus keeps SQLite from going by the name.
        let sql = format!("SELECT {ENTRY} FROM entry WHERE parent = ?1 AND +name = ?2 ORDER BY id");
        let mut select = db.prepare_cached(&sql)?;
        alike = entries(select.query((parent.as_bytes(), &*text))?)?;
    }
    alike.retain(|entry| entry.parent == parent && entry.name_bytes() == name);
    Ok(alike)
}

fn entries(mut rows: Rows<'_>) -> Result<Vec<Entry>, CatalogError> {
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(read_entry(row, 0)?);
    }
    Ok(entries)
}

/// The entry with this id.
pub(super) fn by_id(db: &Connection, id: Uuid) -> Result<Option<Entry>, CatalogError> {
    let sql = format!("SELECT {ENTRY} FROM entry WHERE id = ?1");
    let mut select = db.prepare_cached(&sql)?;
    Ok(entries(select.query([id.as_bytes()])?)?.pop())
}

/// A folder and those above it, as the library has them.
pub(super) fn way_up(db: &Connection, folder: Uuid) -> Result<HashSet<Uuid>, CatalogError> {
    let mut way = HashSet::from([folder]);
    let mut at = folder;
    while let Some(entry) = by_id(db, at)?
        && way.insert(entry.parent)
    {
        at = entry.parent;
    }
    Ok(way)
}

/// The last row of the table: what comes behind it is new.
pub(super) fn last_row(db: &Connection) -> Result<i64, CatalogError> {
    let mut select = db.prepare_cached("SELECT coalesce(max(rowid), 0) FROM entry")?;
    Ok(select.query_row([], |row| row.get(0))?)
}

/// Files of a location with this content whose rows are behind `after`, at most a few.
pub(super) fn with_content(
    db: &Connection,
    (location, content, after): (Uuid, &[u8], i64),
) -> Result<Vec<Entry>, CatalogError> {
    let sql = format!(
        "SELECT {ENTRY} FROM entry WHERE content = ?1 AND location = ?2 AND rowid > ?3 AND +kind = 0 \
         ORDER BY rowid LIMIT ?4"
    );
    let mut select = db.prepare_cached(&sql)?;
    let limit = i64::try_from(FEW_ALIKE).unwrap_or(i64::MAX);
    entries(select.query((content, location.as_bytes(), after, limit))?)
}

/// What there is to know of an entry that is about to go: 72 bytes.
#[derive(Debug, Clone)]
pub(super) struct Below {
    pub(super) id: Uuid,
    pub(super) kind: i64,
    pub(super) size: i64,
    pub(super) content: Option<[u8; 32]>,
}

impl From<&Entry> for Below {
    fn from(entry: &Entry) -> Self {
        let content = entry.content.as_deref().and_then(|content| content.try_into().ok());
        Self { id: entry.id, kind: entry.kind, size: entry.size, content }
    }
}

/// Everything below a folder, what is in a folder always before the folder.
pub(super) fn all_below(db: &Connection, folder: Uuid) -> Result<Vec<Below>, CatalogError> {
    // Rows come in the order in which they were found: level by level. `UNION` ends it even if a folder
    // should be below itself.
    let mut select = db.prepare_cached(
        "WITH RECURSIVE below (id, kind, size, content) AS ( \
           SELECT id, kind, size, content FROM entry WHERE parent = ?1 \
           UNION SELECT e.id, e.kind, e.size, e.content \
           FROM below CROSS JOIN entry AS e ON e.parent = below.id) \
         SELECT id, kind, size, content FROM below",
    )?;
    let mut rows = select.query([folder.as_bytes()])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let content: Option<Vec<u8>> = row.get(3)?;
        let content = content.and_then(|content| content.try_into().ok());
        all.push(Below { id: uuid(row, 0)?, kind: row.get(1)?, size: row.get(2)?, content });
    }
    all.reverse();
    Ok(all)
}

/// Which entries of a location have which inode numbers: 24 bytes an entry, and only made when
/// something with an unknown name is found.
pub(super) struct Inodes(Vec<(i64, Uuid)>);

impl Inodes {
    pub(super) fn load(db: &Connection, location: Uuid) -> Result<Self, CatalogError> {
        let mut select = db.prepare_cached(
            "SELECT inode, id FROM entry WHERE location = ?1 AND inode IS NOT NULL",
        )?;
        let mut rows = select.query([location.as_bytes()])?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push((row.get(0)?, uuid(row, 1)?));
        }
        all.sort_unstable();
        Ok(Self(all))
    }

    /// The entries with this number; more than one are hard links.
    pub(super) fn of(&self, inode: i64) -> impl Iterator<Item = Uuid> {
        let from = self.0.partition_point(|(number, _)| *number < inode);
        self.0[from..].iter().take_while(move |(number, _)| *number == inode).map(|(_, id)| *id)
    }
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
