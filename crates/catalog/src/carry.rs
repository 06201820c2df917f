//! What people said of a file goes with it when its content changes in place.
//!
//! Tags, collections and metadata belong to a content, so that every copy has them. A file that is
//! edited has another content afterwards; to people it is the same file. So in the transaction that
//! writes its row, what was said of the old content is said of the new one as well. The old content
//! keeps its own, as there may be copies; of the new one's metadata only fields are written that it
//! does not have.
//!
//! A file without a known content, or an empty one, is spoken of as an entry. What was said of the
//! entry moves to the content once there is one: else a tag that is taken off a copy would stay on
//! the one entry. A field that the content has with another value stays with the entry, where it
//! goes first.
//!
//! It is the same file if it is the same entry and still a file. Rows that are new, or have the
//! content that they had, cost one look by their id, and nothing at all while nothing is said.

use driftless::rusqlite::{Connection, OptionalExtension as _};
use driftless::{Syncable, Uuid, WriteTx};

use crate::bounds::MAX_LONG_TEXT;
use crate::error::CatalogError;
use crate::item::{shown, uuid};
use crate::links::is_there;
use crate::metadata::{Field, MAX_FREE_BYTES, free_fields, record_of, write};
use crate::models::{CollectionMember, Entry, EntryKind, Subject, Tagging};

/// Tags, or collections, of one file that go with it.
const MAX_LINKS: usize = 1_000;
/// Bytes that a link takes in a change set, and more.
const LINK: usize = 256;
/// Bytes that one transaction carries before it is better to begin another. With those of the last
/// file, which may be [`MAX_LINKS`] twice over and metadata besides, far below what one can hold.
const ENOUGH: usize = 2 << 20;

/// What one transaction carries.
pub(crate) struct Carry {
    /// Whether anything is said of anything.
    anything: bool,
    bytes: usize,
}

impl Carry {
    /// At the beginning of a transaction.
    pub(crate) fn begin(db: &Connection) -> Result<Self, CatalogError> {
        let mut select = db.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM tagging) OR EXISTS (SELECT 1 FROM collection_member) \
             OR EXISTS (SELECT 1 FROM user_metadata) OR EXISTS (SELECT 1 FROM metadata_field)",
        )?;
        let anything = select.query_row([], |row| row.get(0))?;
        Ok(Self { anything, bytes: 0 })
    }

    /// Whether the next row should be another transaction's.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= ENOUGH
    }

    /// Has what was said of an entry's file go with it, before this row is written.
    pub(crate) fn before(
        &mut self,
        tx: &mut WriteTx<'_>,
        entry: &Entry,
    ) -> Result<(), CatalogError> {
        if !self.anything || entry.kind != EntryKind::File.number() {
            return Ok(());
        }
        let Some(from) = last_subject(tx.db(), entry.id)? else { return Ok(()) };
        let content = entry.content.as_deref().and_then(|hash| hash.try_into().ok());
        let to = Subject::of(entry.id, content, entry.size);
        if from == to {
            return Ok(());
        }
        let moves = matches!(from, Subject::Entry(_));
        self.links(tx, "tagging", "tag", (from, to, moves), Tagging::new)?;
        let of = ("collection_member", "collection");
        self.links(tx, of.0, of.1, (from, to, moves), CollectionMember::new)?;
        self.metadata(tx, (from, to, moves))
    }

    fn links<L: Syncable>(
        &mut self,
        tx: &mut WriteTx<'_>,
        table: &str,
        whose: &str,
        (from, to, moves): (Subject, Subject, bool),
        link: impl Fn(Uuid, Subject) -> L,
    ) -> Result<(), CatalogError> {
        for id in linked(tx.db(), table, whose, from)? {
            let (old, new) = (link(id, from), link(id, to));
            if !is_there(tx.db(), table, new.key())? {
                tx.link(&new)?;
                self.bytes += LINK;
            }
            if moves {
                tx.delete::<L>(old.key())?;
                self.bytes += LINK;
            }
        }
        Ok(())
    }

    fn metadata(
        &mut self,
        tx: &mut WriteTx<'_>,
        (from, to, moves): (Subject, Subject, bool),
    ) -> Result<(), CatalogError> {
        let said = fields(tx.db(), from)?;
        if said.is_empty() {
            return Ok(());
        }
        let there = fields(tx.db(), to)?;
        for field in said {
            let same = there.iter().find(|other| other.is_named_as(&field));
            if same.is_none() {
                write(tx, to, &field)?;
                self.bytes += LINK + field.size();
            }
            if moves && same.is_none_or(|same| *same == field) {
                write(tx, from, &field.emptied())?;
                self.bytes += LINK;
            }
        }
        Ok(())
    }
}

/// What is meant by an entry as it was written last, if that was a file.
fn last_subject(db: &Connection, id: Uuid) -> Result<Option<Subject>, CatalogError> {
    let mut select = db.prepare_cached("SELECT content, size, kind FROM entry WHERE id = ?1")?;
    let last = select.query_row([id.as_bytes()], |row| {
        let content: Option<[u8; 32]> = row.get(0)?;
        let kind: i64 = row.get(2)?;
        let file = kind == EntryKind::File.number();
        Ok(file.then_some(Subject::of(id, content, row.get(1)?)))
    });
    Ok(last.optional()?.flatten())
}

/// The tags or collections that a subject is linked with.
fn linked(
    db: &Connection,
    table: &str,
    whose: &str,
    subject: Subject,
) -> Result<Vec<Uuid>, CatalogError> {
    let by = subject.column();
    let sql = format!("SELECT {whose} FROM {table} WHERE {by} = ?1 ORDER BY id LIMIT ?2");
    let mut select = db.prepare_cached(&sql)?;
    let limit = i64::try_from(MAX_LINKS).unwrap_or(i64::MAX);
    let mut rows = select.query((subject.bytes(), limit))?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.extend(shown(|| uuid(row, 0))?);
    }
    Ok(ids)
}

/// The metadata of a subject, as much of it as can have been written here.
fn fields(db: &Connection, subject: Subject) -> Result<Vec<Field>, CatalogError> {
    let mut fields = record_of(db, subject)?.map_or_else(Vec::new, |record| record.fields());
    fields.retain(|field| field.size() <= MAX_LONG_TEXT);
    let mut bytes = 0;
    for (key, value) in free_fields(db, subject)? {
        bytes += key.len() + value.len();
        if bytes > MAX_FREE_BYTES {
            break;
        }
        fields.push(Field::Free(key, Some(value)));
    }
    Ok(fields)
}
