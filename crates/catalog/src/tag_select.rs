//! Which tags a selector means.

use driftless::Uuid;
use driftless::rusqlite::Connection;

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::forest::{Forest, rank};
use crate::models::Tag;
use crate::select::{exactly_one, ids_like, name_of, named};

impl Catalog<'_> {
    /// The tags that a selector means, for looking: the one with this id or unique prefix of an id and
    /// all that are one with it, else all with exactly this name, in whatever place, the canonical one
    /// first. A system tag's name means that tag, whether or not it is in use.
    pub fn select_tags(&self, selector: &str) -> Result<Vec<Uuid>, CatalogError> {
        self.read(|db| match choose(db, selector)? {
            Chosen::Id(id) if alone(db, id)? => Ok(vec![id]),
            Chosen::Id(id) => Ok(Forest::load(db)?.one_with(id)),
            Chosen::Named(ids) => Ok(ids),
        })
    }

    /// The tag that a selector means, for using it: see [`Catalog::select_tag_group`], whose first it
    /// is.
    pub fn select_tag(&self, selector: &str) -> Result<Uuid, CatalogError> {
        let group = self.select_tag_group(selector)?;
        let none = || CatalogError::NotFound { what: "tag", given: selector.to_owned() };
        group.first().copied().ok_or_else(none)
    }

    /// The tags that are one to people and that a selector means, for changing them: the canonical one
    /// first, then its aliases. The id of an alias means that one alone. A name that stands in several
    /// places is ambiguous.
    pub fn select_tag_group(&self, selector: &str) -> Result<Vec<Uuid>, CatalogError> {
        self.read(|db| group(db, selector))
    }
}

/// What a selector means by itself.
enum Chosen {
    Id(Uuid),
    /// All with the name, the least [`rank`] first.
    Named(Vec<Uuid>),
}

/// See [`Catalog::select_tag_group`].
pub(crate) fn group(db: &Connection, text: &str) -> Result<Vec<Uuid>, CatalogError> {
    let ids = match choose(db, text)? {
        Chosen::Id(id) if alone(db, id)? => return Ok(vec![id]),
        Chosen::Id(id) => {
            let forest = Forest::load(db)?;
            let canonical = forest.canonical(id) == id;
            return Ok(if canonical { forest.one_with(id) } else { vec![id] });
        }
        Chosen::Named(ids) if ids.len() < 2 => return Ok(ids),
        Chosen::Named(ids) => ids,
    };
    let forest = Forest::load(db)?;
    let mut places: Vec<Uuid> = ids.iter().map(|id| forest.canonical(*id)).collect();
    places.sort_unstable_by_key(|id| rank(*id));
    places.dedup();
    let path = |id: Uuid| Ok((id, path_of(db, &forest, id)?));
    let paths = places.into_iter().map(path).collect::<Result<Vec<_>, CatalogError>>()?;
    let describe = |(id, path): &(Uuid, String)| (id.to_string(), path.clone());
    Ok(forest.one_with(exactly_one("tag", text, paths, describe)?.0))
}

/// Whether no other tag has its name.
fn alone(db: &Connection, id: Uuid) -> Result<bool, CatalogError> {
    Ok(named(db, "tag", &name_of(db, "tag", id)?)?.len() < 2)
}

/// The names from the top down to a tag, with slashes between.
fn path_of(db: &Connection, forest: &Forest, tag: Uuid) -> Result<String, CatalogError> {
    let up = |at: &Uuid| forest.place_of(*at).and_then(|place| place.parent);
    let way = std::iter::successors(Some(tag), up);
    let names = way.map(|id| name_of(db, "tag", id)).collect::<Result<Vec<_>, _>>()?;
    Ok(names.into_iter().rev().collect::<Vec<_>>().join("/"))
}

fn choose(db: &Connection, text: &str) -> Result<Chosen, CatalogError> {
    let named = all_named(db, text)?;
    let like = ids_like(db, "tag", text, 100)?;
    match (like.as_slice(), named.is_empty()) {
        ([], true) => Err(CatalogError::NotFound { what: "tag", given: text.to_owned() }),
        ([], false) => Ok(Chosen::Named(named)),
        ([id], true) => Ok(Chosen::Id(*id)),
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
            Ok(Chosen::Id(one.0))
        }
    }
}

/// The tags with exactly this name, the least [`rank`] first.
fn all_named(db: &Connection, name: &str) -> Result<Vec<Uuid>, CatalogError> {
    let mut ids = named(db, "tag", name)?;
    ids.sort_by_key(|id| rank(*id));
    if ids.is_empty() {
        ids.extend(Tag::system(name).map(|tag| tag.id));
    }
    Ok(ids)
}
