//! Tags themselves.

use driftless::rusqlite::Connection;
use driftless::{Uuid, WriteTx};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::item::{shown, uuid};
use crate::models::Tag;
use crate::natural::natural_order;
use crate::select::{exactly_one, ids_like};
use crate::tagging::is_there;

/// Bytes of a name, colour or kind.
const MAX_TEXT: usize = 1_024;
/// Bytes of a description.
const MAX_DESCRIPTION: usize = 64 << 10;
/// How many tags above one are looked at. Concurrent moves can make a ring.
const MAX_DEPTH: usize = 1_000;

/// What a new tag is to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewTag {
    /// Its name; not empty.
    pub name: String,
    /// Its colour.
    pub color: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The tag that it is under.
    pub parent: Option<Uuid>,
    /// What sort of tag it is.
    pub kind: Option<String>,
}

impl NewTag {
    /// A tag with a name and nothing else.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// A tag, and on how much it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TagInfo {
    /// The tag.
    pub tag: Tag,
    /// The contents, entries and locations that it is on.
    pub subjects: u64,
}

/// The fields that [`Catalog::set_tag`] knows.
const FIELDS: &str = "name, color, description, parent, kind";

impl Catalog<'_> {
    /// All tags, by name.
    pub fn tags(&self) -> Result<Vec<TagInfo>, CatalogError> {
        self.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT id, name, color, description, parent, kind, \
                 (SELECT count(*) FROM tagging AS g WHERE g.tag = tag.id) FROM tag",
            )?;
            let mut rows = select.query([])?;
            let mut tags = Vec::new();
            while let Some(row) = rows.next()? {
                tags.extend(shown(|| {
                    let parent: Option<[u8; 16]> = row.get(4)?;
                    let tag = Tag {
                        id: uuid(row, 0)?,
                        name: row.get(1)?,
                        color: row.get(2)?,
                        description: row.get(3)?,
                        parent: parent.map(Uuid::from_bytes),
                        kind: row.get(5)?,
                    };
                    let subjects: i64 = row.get(6)?;
                    Ok(TagInfo { tag, subjects: subjects.unsigned_abs() })
                })?);
            }
            let order = |a: &TagInfo, b: &TagInfo| natural_order(&a.tag.name, &b.tag.name);
            tags.sort_by(|a, b| order(a, b).then(a.tag.id.cmp(&b.tag.id)));
            Ok(tags)
        })
    }

    /// The tags that a selector means, the oldest first: the one with this id or unique prefix of an
    /// id, else all with exactly this name.
    pub fn select_tags(&self, selector: &str) -> Result<Vec<Uuid>, CatalogError> {
        self.read(|db| select(db, selector))
    }

    /// The tag that a selector means, for changing it: of several with the same name the oldest, on
    /// every device the same.
    pub fn select_tag(&self, selector: &str) -> Result<Uuid, CatalogError> {
        self.read(|db| select_one(db, selector))
    }

    /// Creates a tag. Another one may have the same name: names are not ids.
    pub fn create_tag(&self, new: NewTag) -> Result<Uuid, CatalogError> {
        check_name(&new.name)?;
        for (what, text) in [("color", &new.color), ("kind", &new.kind)] {
            check_length(what, text.as_deref().unwrap_or_default(), MAX_TEXT)?;
        }
        let description = new.description.as_deref().unwrap_or_default();
        check_length("description", description, MAX_DESCRIPTION)?;
        self.library.write(move |tx| {
            if let Some(parent) = new.parent {
                expect_tag(tx.db(), parent)?;
            }
            let NewTag { name, color, description, parent, kind } = new;
            let tag = Tag { id: tx.new_id(), name, color, description, parent, kind };
            tx.insert(&tag)?;
            Ok(tag.id)
        })
    }

    /// Sets a field of a tag from text: `name`, `color`, `description`, `parent` (a selector) or
    /// `kind`. An empty text empties it.
    pub fn set_tag(&self, tag: Uuid, field: &str, value: &str) -> Result<(), CatalogError> {
        self.set_tag_fields(tag, &[(field, value)])
    }

    /// Sets fields of a tag in one transaction; see [`Catalog::set_tag`].
    pub fn set_tag_fields(&self, tag: Uuid, fields: &[(&str, &str)]) -> Result<(), CatalogError> {
        let own = |(field, value): &(&str, &str)| ((*field).to_owned(), (*value).to_owned());
        let fields: Vec<(String, String)> = fields.iter().map(own).collect();
        self.library.write(move |tx| {
            expect_tag(tx.db(), tag)?;
            for (field, value) in fields {
                set(tx, tag, &field, value)?;
            }
            Ok(())
        })
    }

    /// Deletes a tag; it then shows on nothing. Tags under it stay, under nothing.
    pub fn delete_tag(&self, tag: Uuid) -> Result<(), CatalogError> {
        self.library.write(move |tx| {
            expect_tag(tx.db(), tag)?;
            tx.delete::<Tag>(tag)?;
            Ok(())
        })
    }
}

fn set(tx: &mut WriteTx<'_>, tag: Uuid, field: &str, value: String) -> Result<(), CatalogError> {
    let change: Box<dyn FnOnce(&mut Tag)> = match field {
        "name" => {
            check_name(&value)?;
            Box::new(|tag| tag.name = value)
        }
        "color" => {
            check_length("color", &value, MAX_TEXT)?;
            Box::new(|tag| tag.color = some(value))
        }
        "kind" => {
            check_length("kind", &value, MAX_TEXT)?;
            Box::new(|tag| tag.kind = some(value))
        }
        "description" => {
            check_length("description", &value, MAX_DESCRIPTION)?;
            Box::new(|tag| tag.description = some(value))
        }
        "parent" => {
            let parent = some(value).map(|text| select_one(tx.db(), &text)).transpose()?;
            if let Some(parent) = parent {
                refuse_cycle(tx.db(), tag, parent)?;
            }
            Box::new(move |tag| tag.parent = parent)
        }
        other => {
            let why = format!("a tag has no field {other:?}; it has {FIELDS}");
            return Err(CatalogError::Invalid { what: "field", why });
        }
    };
    Ok(tx.update(tag, change)?)
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn check_name(name: &str) -> Result<(), CatalogError> {
    if name.trim().is_empty() {
        let why = "a tag needs a name".to_owned();
        return Err(CatalogError::Invalid { what: "name", why });
    }
    check_length("name", name, MAX_TEXT)
}

fn check_length(what: &'static str, text: &str, max: usize) -> Result<(), CatalogError> {
    if text.len() <= max {
        return Ok(());
    }
    let why = format!("{} bytes are more than the {max} that it can have", text.len());
    Err(CatalogError::Invalid { what, why })
}

fn expect_tag(db: &Connection, tag: Uuid) -> Result<(), CatalogError> {
    match is_there(db, "tag", tag)? {
        true => Ok(()),
        false => Err(CatalogError::NotFound { what: "tag", given: tag.to_string() }),
    }
}

/// Refuses a parent that is the tag itself or lies under it. What concurrent moves have made of the
/// tags above the parent ends the search, not this write.
fn refuse_cycle(db: &Connection, tag: Uuid, parent: Uuid) -> Result<(), CatalogError> {
    let mut at = Some(parent);
    for _ in 0..MAX_DEPTH {
        match at {
            None => return Ok(()),
            Some(above) if above == tag => return Err(CatalogError::TagCycle { tag, parent }),
            Some(above) => at = parent_of(db, above)?,
        }
    }
    Ok(())
}

fn parent_of(db: &Connection, tag: Uuid) -> Result<Option<Uuid>, CatalogError> {
    let mut select = db.prepare_cached("SELECT parent FROM tag WHERE id = ?1")?;
    let mut rows = select.query([tag.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(shown(|| uuid(row, 0))?)
}

fn select(db: &Connection, text: &str) -> Result<Vec<Uuid>, CatalogError> {
    let named = named(db, text)?;
    let like = ids_like(db, "tag", text, 100)?;
    match (like.as_slice(), named.as_slice()) {
        ([], []) => Err(CatalogError::NotFound { what: "tag", given: text.to_owned() }),
        ([], _) => Ok(named),
        ([id], []) => Ok(vec![*id]),
        // A name of hex digits that is also a prefix of an id.
        _ => {
            let mut fits = like;
            fits.extend(named);
            fits.sort_unstable();
            fits.dedup();
            let name = |id: &Uuid| name_of(db, *id);
            let names = fits.iter().map(name).collect::<Result<Vec<_>, _>>()?;
            let fits = fits.into_iter().zip(names).collect();
            let one = exactly_one("tag", text, fits, |(id, name)| (id.to_string(), name.clone()))?;
            Ok(vec![one.0])
        }
    }
}

fn select_one(db: &Connection, text: &str) -> Result<Uuid, CatalogError> {
    let fits = select(db, text)?;
    let none = || CatalogError::NotFound { what: "tag", given: text.to_owned() };
    fits.first().copied().ok_or_else(none)
}

/// The ids of all tags with exactly this name, the oldest first.
fn named(db: &Connection, name: &str) -> Result<Vec<Uuid>, CatalogError> {
    let mut select = db.prepare_cached("SELECT id FROM tag WHERE name = ?1 ORDER BY id")?;
    let mut rows = select.query([name])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.extend(shown(|| uuid(row, 0))?);
    }
    Ok(ids)
}

fn name_of(db: &Connection, tag: Uuid) -> Result<String, CatalogError> {
    let mut select = db.prepare_cached("SELECT name FROM tag WHERE id = ?1")?;
    let mut rows = select.query([tag.as_bytes()])?;
    let name = match rows.next()? {
        Some(row) => shown(|| row.get(0))?,
        None => None,
    };
    Ok(name.unwrap_or_default())
}
