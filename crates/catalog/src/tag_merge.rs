//! Making one tag of two.
//!
//! Tags with one name in one place are one tag to people ([`crate::forest`]), and so merging is giving
//! the one the name, place and looks of the other. Nothing is taken off and put on again: what is
//! tagged with either, here or on a device that has not heard of it yet, is found by the name; what is
//! under either is under both; and giving the one its name back undoes it.

use driftless::rusqlite::Connection;
use driftless::{Uuid, WriteTx};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::forest::Forest;
use crate::models::Tag;

impl Catalog<'_> {
    /// Makes one tag of two: `from`, of which all are one, is then called and stands as `into` does.
    ///
    /// # Errors
    /// If one of them is not there, if both are one already, or if `from` is a system tag, whose name
    /// stays.
    pub fn merge_tags(&self, from: &[Uuid], into: Uuid) -> Result<(), CatalogError> {
        let from = from.to_vec();
        self.library.write(move |tx| {
            let model = expect(tx, into)?;
            for tag in &from {
                expect(tx, *tag)?;
            }
            check(tx.db(), &from, into)?;
            let place = make_room(tx, &from, into)?;
            for tag in from {
                tx.update(tag, |tag: &mut Tag| {
                    *tag = Tag { id: tag.id, parent: place, ..model.clone() };
                })?;
            }
            Ok(())
        })
    }
}

fn expect(tx: &WriteTx<'_>, tag: Uuid) -> Result<Tag, CatalogError> {
    let none = || CatalogError::NotFound { what: "tag", given: tag.to_string() };
    tx.get::<Tag>(tag)?.ok_or_else(none)
}

fn check(db: &Connection, from: &[Uuid], into: Uuid) -> Result<(), CatalogError> {
    let refused = |why: &str| Err(CatalogError::Invalid { what: "tag", why: why.to_owned() });
    if from.iter().any(|tag| Tag::system_with_id(*tag).is_some()) {
        return refused("the tags that every library has keep their names; merge it the other way");
    }
    let forest = Forest::load(db)?;
    if from.iter().any(|tag| forest.canonical(*tag) == forest.canonical(into)) {
        return refused("both are one tag already");
    }
    Ok(())
}

/// Where `into` stands, after it was taken out from under `from`, if it stood there.
fn make_room(
    tx: &mut WriteTx<'_>,
    from: &[Uuid],
    into: Uuid,
) -> Result<Option<Uuid>, CatalogError> {
    let forest = Forest::load(tx.db())?;
    let parent_of = |tag: Uuid| forest.place_of(tag).and_then(|place| place.parent);
    let Some(above) = from.iter().find(|above| forest.is_within(into, **above)) else {
        return Ok(parent_of(into));
    };
    let parent = parent_of(*above);
    for tag in forest.one_with(into) {
        tx.update(tag, |tag: &mut Tag| tag.parent = parent)?;
    }
    Ok(parent)
}
