//! Tags themselves.
//!
//! Names are not ids: of several tags with one name the first stands for all, those of people before
//! the system's, then the oldest; on every device the same.
//!
//! System tags exist without being made: they can be selected and put on things at once, and their
//! record is written with the first use. Its id follows from the name, so that two devices that use
//! one before they meet have made the same.

use std::collections::BTreeMap;

use driftless::rusqlite::Connection;
use driftless::{Uuid, WriteTx};

use crate::bounds::{MAX_LONG_TEXT, MAX_TEXT, check_length, check_name, invalid, some};
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::item::{shown, uuid};
use crate::links::{AT_ONCE, is_there};
use crate::models::{Tag, Tagging};
use crate::natural::natural_order;
use crate::select::{exactly_one, ids_like, name_of, named};

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
    /// The contents, entries and locations that it is on, of those that are anywhere.
    pub subjects: u64,
    /// The tag of the same name that stands for all of them, if it is another one.
    pub alias_of: Option<Uuid>,
}

/// The fields that [`Catalog::set_tag`] knows.
const FIELDS: &str = "name, color, description, parent, kind";

impl Catalog<'_> {
    /// All tags, by name.
    pub fn tags(&self) -> Result<Vec<TagInfo>, CatalogError> {
        self.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT id, name, color, description, parent, kind, \
                 (SELECT count(*) FROM tagging AS g WHERE g.tag = tag.id AND ( \
                    EXISTS (SELECT 1 FROM entry AS e WHERE e.content = g.content) \
                    OR EXISTS (SELECT 1 FROM entry AS e WHERE e.id = g.entry) \
                    OR EXISTS (SELECT 1 FROM location AS l WHERE l.id = g.entry))) FROM tag",
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
                    Ok(TagInfo { tag, subjects: subjects.unsigned_abs(), alias_of: None })
                })?);
            }
            let order = |a: &TagInfo, b: &TagInfo| natural_order(&a.tag.name, &b.tag.name);
            tags.sort_by(|a, b| order(a, b).then(a.tag.id.cmp(&b.tag.id)));
            note_aliases(&mut tags);
            Ok(tags)
        })
    }

    /// The tags that a selector means: the one with this id or unique prefix of an id, else all with
    /// exactly this name, first the one that stands for them. A system tag's name means that tag,
    /// whether or not it is in use.
    pub fn select_tags(&self, selector: &str) -> Result<Vec<Uuid>, CatalogError> {
        self.read(|db| select(db, selector))
    }

    /// The tag that a selector means, for changing it: of several with the same name the one that
    /// stands for them.
    pub fn select_tag(&self, selector: &str) -> Result<Uuid, CatalogError> {
        self.read(|db| select_one(db, selector))
    }

    /// Creates a tag. Another one may have the same name: names are not ids.
    pub fn create_tag(&self, new: NewTag) -> Result<Uuid, CatalogError> {
        check_name("a tag", &new.name)?;
        check_kind(new.kind.as_deref().unwrap_or_default())?;
        for (what, text) in [("color", &new.color), ("kind", &new.kind)] {
            check_length(what, text.as_deref().unwrap_or_default(), MAX_TEXT)?;
        }
        let description = new.description.as_deref().unwrap_or_default();
        check_length("description", description, MAX_LONG_TEXT)?;
        self.library.write(move |tx| {
            if let Some(parent) = new.parent {
                ensure(tx, parent)?;
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
            ensure(tx, tag)?;
            for (field, value) in fields {
                set(tx, tag, &field, value)?;
            }
            Ok(())
        })
    }

    /// Deletes a tag; it then shows on nothing. Tags under it stay, under nothing. A system tag is
    /// taken off everything before: it can come back by being used again, and is then on that alone.
    pub fn delete_tag(&self, tag: Uuid) -> Result<(), CatalogError> {
        if Tag::system_with_id(tag).is_some() {
            while self.library.write(move |tx| take_off(tx, tag))? >= AT_ONCE {}
        }
        self.library.write(move |tx| {
            expect_tag(tx.db(), tag)?;
            tx.delete::<Tag>(tag)?;
            Ok(())
        })
    }
}

fn set(tx: &mut WriteTx<'_>, tag: Uuid, field: &str, value: String) -> Result<(), CatalogError> {
    let change: Box<dyn FnOnce(&mut Tag)> = match field {
        "name" | "kind" if Tag::system_with_id(tag).is_some() => {
            let why = "the tags that every library has keep theirs; create one of your own";
            return Err(invalid(if field == "name" { "name" } else { "kind" }, why));
        }
        "name" => {
            check_name("a tag", &value)?;
            Box::new(|tag| tag.name = value)
        }
        "color" => {
            check_length("color", &value, MAX_TEXT)?;
            Box::new(|tag| tag.color = some(value))
        }
        "kind" => {
            check_kind(&value)?;
            Box::new(|tag| tag.kind = some(value))
        }
        "description" => {
            check_length("description", &value, MAX_LONG_TEXT)?;
            Box::new(|tag| tag.description = some(value))
        }
        "parent" => {
            let parent = some(value).map(|text| select_one(tx.db(), &text)).transpose()?;
            if let Some(parent) = parent {
                ensure(tx, parent)?;
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

/// The tags that have a name in common with the one that stands for them.
fn note_aliases(tags: &mut [TagInfo]) {
    let mut first: BTreeMap<String, Uuid> = BTreeMap::new();
    for info in tags.iter() {
        let stands = first.entry(info.tag.name.clone()).or_insert(info.tag.id);
        if rank(info.tag.id) < rank(*stands) {
            *stands = info.tag.id;
        }
    }
    for info in tags {
        let stands = first.get(&info.tag.name).copied();
        info.alias_of = stands.filter(|stands| *stands != info.tag.id);
    }
}

/// Takes a tag off things, not more than one transaction should. Returns off how many.
fn take_off(tx: &mut WriteTx<'_>, tag: Uuid) -> Result<usize, CatalogError> {
    expect_tag(tx.db(), tag)?;
    let mut ids: Vec<Uuid> = Vec::new();
    {
        let mut select =
            tx.db().prepare_cached("SELECT id FROM tagging WHERE tag = ?1 LIMIT ?2")?;
        let limit = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
        let mut rows = select.query((tag.as_bytes(), limit))?;
        while let Some(row) = rows.next()? {
            ids.push(uuid(row, 0)?);
        }
    }
    for id in &ids {
        tx.delete::<Tagging>(*id)?;
    }
    Ok(ids.len())
}

fn check_kind(kind: &str) -> Result<(), CatalogError> {
    if kind == Tag::SYSTEM {
        return Err(invalid("kind", "only the tags that every library has are of this kind"));
    }
    check_length("kind", kind, MAX_TEXT)
}

/// Sees to it that a tag is there: a system tag is made, any other is missed.
pub(crate) fn ensure(tx: &mut WriteTx<'_>, tag: Uuid) -> Result<(), CatalogError> {
    match Tag::system_with_id(tag) {
        Some(system) if !is_there(tx.db(), "tag", tag)? => Ok(tx.insert(&system)?),
        _ => expect_tag(tx.db(), tag),
    }
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
    let named = all_named(db, text)?;
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
            let name = |id: &Uuid| name_of(db, "tag", *id);
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

/// The tags with exactly this name, the one that stands for them first.
fn all_named(db: &Connection, name: &str) -> Result<Vec<Uuid>, CatalogError> {
    let mut ids = named(db, "tag", name)?;
    ids.sort_by_key(|id| rank(*id));
    if ids.is_empty() {
        ids.extend(Tag::system(name).map(|tag| tag.id));
    }
    Ok(ids)
}

/// The least of those with one name stands for them.
fn rank(tag: Uuid) -> (bool, Uuid) {
    (Tag::system_with_id(tag).is_some(), tag)
}
