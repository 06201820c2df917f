//! Entries and locations as they are shown.

use driftless::rusqlite::{Connection, Error, Row, ToSql};
use driftless::{DeviceId, Uuid};

use crate::error::CatalogError;
use crate::forest::Aliases;
use crate::links::is_there;
use crate::metadata::{Metadata, metadata_of};
use crate::models::{EntryKind, Subject};
use crate::natural::natural_order;
use crate::owners::{Owner, Owners};
use crate::paths::Paths;

/// Something in the catalogue: an entry, or a location itself, which shows as a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// The id of the entry, or of the location.
    pub id: Uuid,
    /// The location that it is in; of a location, its own id.
    pub location: Uuid,
    /// The folder that it is in; `None` for a location.
    pub parent: Option<Uuid>,
    /// Its name as text.
    pub name: String,
    /// The name's exact bytes, if it is not UTF-8.
    pub name_raw: Option<Vec<u8>>,
    /// What it is.
    pub kind: EntryKind,
    /// Its length in bytes; of a location, of all files in it.
    pub size: i64,
    /// The device that it is on.
    pub device: DeviceId,
    /// That device's name; empty until it has arrived here.
    pub device_name: String,
    /// Its path on that device, as text.
    pub path: String,
    /// The path's exact bytes, if it is not UTF-8.
    pub path_raw: Option<Vec<u8>>,
    /// When its content last changed: Unix milliseconds.
    pub modified_at: Option<i64>,
    /// When it was created: Unix milliseconds.
    pub created_at: Option<i64>,
    /// BLAKE3 of a file's bytes, once it is known.
    pub content: Option<[u8; 32]>,
    /// What a link says.
    pub link_target: Option<String>,
    /// The tags on it, in the order of their names.
    pub tags: Vec<TagName>,
    /// What people noted about it.
    pub metadata: Metadata,
}

/// A tag as it is shown on something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TagName {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its colour.
    pub color: Option<String>,
}

/// Items, and whether there are more of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// The items, sorted as people expect.
    pub items: Vec<Item>,
    /// Whether the limit left some out.
    pub more: bool,
}

impl Item {
    /// Whether it is a location, not an entry.
    #[must_use]
    pub fn is_location(&self) -> bool {
        self.parent.is_none()
    }

    /// A folder of which no more is known.
    fn blank(id: Uuid, name: String) -> Self {
        Self {
            id,
            location: id,
            parent: None,
            name,
            name_raw: None,
            kind: EntryKind::Dir,
            size: 0,
            device: DeviceId([0; 32]),
            device_name: String::new(),
            path: String::new(),
            path_raw: None,
            modified_at: None,
            created_at: None,
            content: None,
            link_target: None,
            tags: Vec::new(),
            metadata: Metadata::default(),
        }
    }

    fn of(&mut self, owner: &Owner) {
        self.device = owner.device;
        self.device_name = owner.name.clone().unwrap_or_default();
    }

    /// What is meant when something is said of it; see [`Subject::of`].
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject::of(self.id, self.content, self.size)
    }
}

/// The columns of [`Loader::entry`], of a table `e`.
const COLUMNS: &str = "e.id, e.location, e.parent, e.name, e.name_raw, e.kind, e.size, e._lane, \
                       e.modified_at, e.created_at, e.content, e.link_target";

/// Reads items; keeps what several of them need.
pub(crate) struct Loader<'db> {
    db: &'db Connection,
    owners: Owners,
    paths: Paths<'db>,
    aliases: Aliases,
    /// Whether anything is noted about anything.
    noted: bool,
}

impl<'db> Loader<'db> {
    pub(crate) fn new(db: &'db Connection) -> Result<Self, CatalogError> {
        let noted = db.prepare_cached("SELECT 1 FROM user_metadata")?.exists([])?;
        Ok(Self {
            db,
            owners: Owners::load(db)?,
            paths: Paths::new(db),
            aliases: Aliases::default(),
            noted,
        })
    }

    pub(crate) fn owners(&self) -> &Owners {
        &self.owners
    }

    /// The entry or location with this id; `None` if it is not there or cannot be shown.
    pub(crate) fn by_id(&mut self, id: Uuid) -> Result<Option<Item>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} FROM entry AS e WHERE e.id = ?1");
        match self.one(&sql, id.as_bytes().as_slice())? {
            Some(item) => Ok(Some(item)),
            None => self.location(id),
        }
    }

    /// The entry in this row of the table; `None` if it cannot be shown.
    pub(crate) fn by_rowid(&mut self, rowid: i64) -> Result<Option<Item>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} FROM entry AS e WHERE e.rowid = ?1");
        self.one(&sql, rowid)
    }

    /// Whether there is a tag or collection with this id.
    pub(crate) fn is_there(&self, table: &'static str, id: Uuid) -> Result<bool, CatalogError> {
        is_there(self.db, table, id)
    }

    fn one(&mut self, sql: &str, key: impl ToSql) -> Result<Option<Item>, CatalogError> {
        let mut select = self.db.prepare_cached(sql)?;
        let mut rows = select.query([key])?;
        match rows.next()? {
            Some(row) => self.entry(row),
            None => Ok(None),
        }
    }

    /// What is in a folder, unsorted, at most `max`.
    pub(crate) fn children(&mut self, parent: Uuid, max: usize) -> Result<Vec<Item>, CatalogError> {
        let sql = format!("SELECT {COLUMNS} FROM entry AS e WHERE e.parent = ?1 LIMIT ?2");
        let mut select = self.db.prepare_cached(&sql)?;
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        let mut rows = select.query((parent.as_bytes(), limit))?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            items.extend(self.entry(row)?);
        }
        Ok(items)
    }

    /// An entry from its [`COLUMNS`]. One with a kind that this build does not know, or whose way to
    /// its location is broken, is not shown.
    fn entry(&mut self, row: &Row<'_>) -> Result<Option<Item>, CatalogError> {
        let Some((mut item, lane)) = shown(|| read_entry(row))? else { return Ok(None) };
        let Some(kind) = EntryKind::from_number(row.get(5)?) else { return Ok(None) };
        let (Some(owner), Some(parent)) = (self.owners.of_lane(lane), item.parent) else {
            return Ok(None);
        };
        let name = item.name_raw.as_deref().unwrap_or(item.name.as_bytes());
        let way = (parent, item.location, lane);
        let Some(path) = self.paths.of(way, name)? else { return Ok(None) };
        (item.path, item.path_raw) = text_and_bytes(path);
        item.kind = kind;
        item.of(owner);
        self.add_what_is_said(&mut item)?;
        Ok(Some(item))
    }

    fn add_what_is_said(&mut self, item: &mut Item) -> Result<(), CatalogError> {
        item.tags = tags_on(self.db, &mut self.aliases, item.id, item.content.as_ref())?;
        if self.noted {
            item.metadata = metadata_of(self.db, item.id, item.content.as_ref())?;
        }
        Ok(())
    }

    /// A location as an item.
    pub(crate) fn location(&mut self, id: Uuid) -> Result<Option<Item>, CatalogError> {
        let mut select = self.db.prepare_cached(
            "SELECT path, path_raw, name, bytes, _lane FROM location WHERE id = ?1",
        )?;
        let mut rows = select.query([id.as_bytes()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let read = shown(|| {
            let mut item = Item::blank(id, row.get(2)?);
            (item.path, item.path_raw, item.size) = (row.get(0)?, row.get(1)?, row.get(3)?);
            Ok((item, row.get(4)?))
        })?;
        let Some((mut item, lane)) = read else { return Ok(None) };
        let Some(owner) = self.owners.of_lane(lane) else { return Ok(None) };
        item.of(owner);
        self.add_what_is_said(&mut item)?;
        Ok(Some(item))
    }
}

/// All but path, kind, device and tags; and the lane.
fn read_entry(row: &Row<'_>) -> Result<(Item, i64), Error> {
    let mut item = Item::blank(uuid(row, 0)?, row.get(3)?);
    item.location = uuid(row, 1)?;
    item.parent = Some(uuid(row, 2)?);
    item.name_raw = row.get(4)?;
    item.size = row.get(6)?;
    item.modified_at = row.get(8)?;
    item.created_at = row.get(9)?;
    item.content = row.get(10)?;
    item.link_target = row.get(11)?;
    Ok((item, row.get(7)?))
}

/// A column that holds an id.
pub(crate) fn uuid(row: &Row<'_>, at: usize) -> Result<Uuid, Error> {
    Ok(Uuid::from_bytes(row.get(at)?))
}

/// What a row holds; `None` if a value is missing or of another type than it should be. Rows come
/// from other devices and versions, and one that is odd must not hide the others.
pub(crate) fn shown<T>(read: impl FnOnce() -> Result<T, Error>) -> Result<Option<T>, Error> {
    match read() {
        Ok(row) => Ok(Some(row)),
        Err(
            Error::InvalidColumnType(..)
            | Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..),
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The text, and the bytes if they are not UTF-8.
pub(crate) fn text_and_bytes(bytes: Vec<u8>) -> (String, Option<Vec<u8>>) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            (text, Some(error.into_bytes()))
        }
    }
}

/// The tags on an entry or location and on its content; those that are there, as people see them, each
/// once.
pub(crate) fn tags_on(
    db: &Connection,
    aliases: &mut Aliases,
    id: Uuid,
    content: Option<&[u8; 32]>,
) -> Result<Vec<TagName>, CatalogError> {
    // Two statements: a union of them makes a table of its own each time, which costs more than both.
    let mut tags = Vec::new();
    let mut add = |sql: &str, key: &[u8]| -> Result<(), CatalogError> {
        let mut select = db.prepare_cached(sql)?;
        let mut rows = select.query([key])?;
        while let Some(row) = rows.next()? {
            let tag = || Ok(TagName { id: uuid(row, 0)?, name: row.get(1)?, color: row.get(2)? });
            tags.extend(shown(tag)?);
        }
        Ok(())
    };
    add(
        "SELECT t.id, t.name, t.color FROM tagging AS g JOIN tag AS t ON t.id = g.tag \
         WHERE g.entry = ?1",
        id.as_bytes(),
    )?;
    if let Some(content) = content {
        add(
            "SELECT t.id, t.name, t.color FROM tagging AS g JOIN tag AS t ON t.id = g.tag \
             WHERE g.content = ?1",
            content,
        )?;
    }
    tags.sort_unstable_by_key(|tag| tag.id);
    tags.dedup_by_key(|tag| tag.id);
    let mut tags = aliases.resolve(db, tags)?;
    tags.sort_by(|a, b| natural_order(&a.name, &b.name).then(a.id.cmp(&b.id)));
    Ok(tags)
}

/// Folders first, then by name, path and device.
pub(crate) fn sort(items: &mut [Item]) {
    items.sort_by(|a, b| {
        let folder = |item: &Item| item.kind != EntryKind::Dir;
        folder(a)
            .cmp(&folder(b))
            .then_with(|| natural_order(&a.name, &b.name))
            .then_with(|| natural_order(&a.path, &b.path))
            .then_with(|| natural_order(&a.device_name, &b.device_name))
            .then_with(|| a.id.cmp(&b.id))
    });
}
