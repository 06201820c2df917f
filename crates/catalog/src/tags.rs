//! Tags themselves.
//!
//! Names are not ids, but people go by them: tags with one name in one place are one tag to them, and
//! what is done to it by name is done to all of them. See [`crate::forest`].
//!
//! System tags exist without being made: they can be selected and put on things at once, and their
//! record is written with the first use. Its id follows from the name, so that two devices that use
//! one before they meet have made the same.

use std::collections::BTreeSet;

use driftless::rusqlite::Connection;
use driftless::{Uuid, WriteTx};

use crate::bounds::{MAX_LONG_TEXT, MAX_TEXT, check_length, check_name, invalid, some};
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::forest::Forest;
use crate::item::{shown, uuid};
use crate::links::{AT_ONCE, go_on, is_there};
use crate::models::{Tag, Tagging};
use crate::natural::natural_order;
use crate::tag_select::group;

/// How many tags above one are looked at, one by one. Concurrent moves can make a ring.
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
    /// The tag, under the canonical tag under which it shows.
    pub tag: Tag,
    /// The contents, entries and locations that it is on, of those that are anywhere; of a canonical
    /// tag, also those that its aliases are on.
    pub subjects: u64,
    /// The canonical tag that it is one with, if that is another one.
    pub alias_of: Option<Uuid>,
}

/// The fields that [`Catalog::set_tag`] knows.
const FIELDS: &str = "name, color, description, parent, kind";

impl Catalog<'_> {
    /// All tags, by name.
    pub fn tags(&self) -> Result<Vec<TagInfo>, CatalogError> {
        self.first_tags(usize::MAX)
    }

    /// Up to `limit` tags, the first by name. Of the others no more than their names is looked at.
    pub fn first_tags(&self, limit: usize) -> Result<Vec<TagInfo>, CatalogError> {
        self.read(|db| {
            let mut tags = Vec::new();
            for id in first_by_name(db, limit)? {
                tags.extend(info(db, id)?);
            }
            show_forest(db, &mut tags)?;
            Ok(tags)
        })
    }

    /// Creates a tag. If there is one with this name in this place, people see the two as one.
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
        self.set_tags_fields(&[tag], fields)
    }

    /// Sets fields of tags that are one to people in one transaction; see [`Catalog::set_tag`].
    pub fn set_tags_fields(
        &self,
        tags: &[Uuid],
        fields: &[(&str, &str)],
    ) -> Result<(), CatalogError> {
        let own = |(field, value): &(&str, &str)| ((*field).to_owned(), (*value).to_owned());
        let fields: Vec<(String, String)> = fields.iter().map(own).collect();
        let tags = tags.to_vec();
        self.library.write(move |tx| {
            // As they stand before any of them is moved.
            let fields = fields.into_iter().map(|(field, value)| read(tx.db(), field, value));
            let fields = fields.collect::<Result<Vec<_>, CatalogError>>()?;
            for tag in tags {
                ensure(tx, tag)?;
                for field in &fields {
                    set(tx, tag, field)?;
                }
            }
            Ok(())
        })
    }

    /// Deletes a tag; it then shows on nothing. Tags under it stay, under nothing. A system tag is
    /// taken off everything before: it can come back by being used again, and is then on that alone.
    pub fn delete_tag(&self, tag: Uuid) -> Result<(), CatalogError> {
        self.delete_tags(&[tag])
    }

    /// Deletes tags that are one to people; see [`Catalog::delete_tag`].
    pub fn delete_tags(&self, tags: &[Uuid]) -> Result<(), CatalogError> {
        let system = tags.iter().copied().filter(|tag| Tag::system_with_id(*tag).is_some());
        let mut first = None;
        for tag in system {
            loop {
                let (gone, dot) = self.library.write(move |tx| {
                    go_on(tx, first);
                    Ok::<_, CatalogError>((take_off(tx, tag)?, tx.dot()))
                })?;
                if gone > 0 {
                    first.get_or_insert(dot);
                }
                if gone < AT_ONCE {
                    break;
                }
            }
        }
        let tags = tags.to_vec();
        self.library.write(move |tx| {
            go_on(tx, first);
            for tag in tags {
                expect_tag(tx.db(), tag)?;
                tx.delete::<Tag>(tag)?;
            }
            Ok(())
        })
    }
}

/// A field and what it is to be.
enum Field {
    Name(String),
    Kind(Option<String>),
    Color(Option<String>),
    Description(Option<String>),
    Parent(Option<Uuid>),
}

fn read(db: &Connection, field: String, value: String) -> Result<Field, CatalogError> {
    Ok(match &*field {
        "name" => {
            check_name("a tag", &value)?;
            Field::Name(value)
        }
        "color" => {
            check_length("color", &value, MAX_TEXT)?;
            Field::Color(some(value))
        }
        "kind" => {
            check_kind(&value)?;
            Field::Kind(some(value))
        }
        "description" => {
            check_length("description", &value, MAX_LONG_TEXT)?;
            Field::Description(some(value))
        }
        "parent" => {
            let parent = some(value).map(|text| group(db, &text)).transpose()?;
            Field::Parent(parent.and_then(|group| group.first().copied()))
        }
        _ => {
            let why = format!("a tag has no field {field:?}; it has {FIELDS}");
            return Err(CatalogError::Invalid { what: "field", why });
        }
    })
}

fn set(tx: &mut WriteTx<'_>, tag: Uuid, field: &Field) -> Result<(), CatalogError> {
    match field {
        Field::Name(_) | Field::Kind(_) if Tag::system_with_id(tag).is_some() => {
            let what = if matches!(field, Field::Name(_)) { "name" } else { "kind" };
            return Err(invalid(
                what,
                "the tags that every library has keep theirs; create one of your own",
            ));
        }
        Field::Parent(Some(parent)) => {
            ensure(tx, *parent)?;
            refuse_cycle(tx.db(), tag, *parent)?;
        }
        _ => {}
    }
    Ok(tx.update(tag, |tag: &mut Tag| match field {
        Field::Name(name) => tag.name.clone_from(name),
        Field::Kind(kind) => tag.kind.clone_from(kind),
        Field::Color(color) => tag.color.clone_from(color),
        Field::Description(description) => tag.description.clone_from(description),
        Field::Parent(parent) => tag.parent = *parent,
    })?)
}

/// The ids of the tags whose names come first.
fn first_by_name(db: &Connection, limit: usize) -> Result<Vec<Uuid>, CatalogError> {
    let mut select = db.prepare_cached("SELECT id, name FROM tag")?;
    let mut rows = select.query([])?;
    let mut names: Vec<(Uuid, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        names.extend(shown(|| Ok((uuid(row, 0)?, row.get(1)?)))?);
    }
    names.sort_by(|a, b| natural_order(&a.1, &b.1).then(a.0.cmp(&b.0)));
    Ok(names.into_iter().take(limit).map(|(id, _)| id).collect())
}

/// A tag as it is kept.
fn info(db: &Connection, id: Uuid) -> Result<Option<TagInfo>, CatalogError> {
    let mut select = db.prepare_cached(
        "SELECT id, name, color, description, parent, kind, \
         (SELECT count(*) FROM tagging AS g WHERE g.tag = tag.id AND ( \
            EXISTS (SELECT 1 FROM entry AS e WHERE e.content = g.content) \
            OR EXISTS (SELECT 1 FROM entry AS e WHERE e.id = g.entry) \
            OR EXISTS (SELECT 1 FROM location AS l WHERE l.id = g.entry))) \
         FROM tag WHERE id = ?1",
    )?;
    let mut rows = select.query([id.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let found = shown(|| {
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
    });
    Ok(found?)
}

/// Puts tags where people see them.
fn show_forest(db: &Connection, tags: &mut [TagInfo]) -> Result<(), CatalogError> {
    let forest = Forest::load(db)?;
    for info in tags {
        let Some(place) = forest.place_of(info.tag.id) else { continue };
        (info.tag.parent, info.alias_of) = (place.parent, place.alias_of);
        let one = forest.one_with(info.tag.id);
        if place.alias_of.is_none() && one.len() > 1 {
            info.subjects = subjects_of_all(db, &one)?;
        }
    }
    Ok(())
}

/// How much at least one of these tags is on.
fn subjects_of_all(db: &Connection, tags: &[Uuid]) -> Result<u64, CatalogError> {
    let mut select = db.prepare_cached(
        "SELECT content, entry FROM tagging AS g WHERE g.tag = ?1 AND ( \
           EXISTS (SELECT 1 FROM entry AS e WHERE e.content = g.content) \
           OR EXISTS (SELECT 1 FROM entry AS e WHERE e.id = g.entry) \
           OR EXISTS (SELECT 1 FROM location AS l WHERE l.id = g.entry))",
    )?;
    let mut subjects = BTreeSet::new();
    for tag in tags {
        let mut rows = select.query([tag.as_bytes()])?;
        while let Some(row) = rows.next()? {
            let subject =
                || Ok((row.get::<_, Option<Vec<u8>>>(0)?, row.get::<_, Option<Vec<u8>>>(1)?));
            subjects.extend(shown(subject)?);
        }
    }
    Ok(u64::try_from(subjects.len()).unwrap_or(u64::MAX))
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

/// Refuses a parent that is the tag itself or stands under it.
fn refuse_cycle(db: &Connection, tag: Uuid, parent: Uuid) -> Result<(), CatalogError> {
    let mut at = Some(parent);
    for _ in 0..MAX_DEPTH {
        match at {
            None => return Ok(()),
            Some(above) if above == tag => break,
            Some(above) => at = parent_of(db, above)?,
        }
    }
    // It is so as it is kept. Where moves that were made at one time have made a ring, it need not be so
    // as it shows.
    match parent == tag || Forest::load(db)?.is_within(parent, tag) {
        true => Err(CatalogError::TagCycle { tag, parent }),
        false => Ok(()),
    }
}

fn parent_of(db: &Connection, tag: Uuid) -> Result<Option<Uuid>, CatalogError> {
    let mut select = db.prepare_cached("SELECT parent FROM tag WHERE id = ?1")?;
    let mut rows = select.query([tag.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(shown(|| uuid(row, 0))?)
}
