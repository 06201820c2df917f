//! Collections, and what is in them.
//!
//! A collection has contents, so that every copy of a file is in it, and folders, links and files
//! without a known content as themselves. Its members are an add-wins set.

use driftless::Uuid;

use crate::bounds::{MAX_LONG_TEXT, check_length, check_name, invalid, some};
use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::find::FindQuery;
use crate::item::{Item, Listing, shown, uuid};
use crate::links::{add, all_subjects_of, is_there, remove, subjects_of};
use crate::models::{Collection, CollectionMember};
use crate::natural::natural_order;
use crate::select::select_one;

/// A collection, and how much is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CollectionInfo {
    /// The collection.
    pub collection: Collection,
    /// The contents, entries and locations in it, of those that are anywhere.
    pub members: u64,
}

impl Catalog<'_> {
    /// All collections, by name.
    pub fn collections(&self) -> Result<Vec<CollectionInfo>, CatalogError> {
        self.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT id, name, description, \
                 (SELECT count(*) FROM collection_member AS m WHERE m.collection = c.id AND ( \
                    EXISTS (SELECT 1 FROM entry AS e WHERE e.content = m.content) \
                    OR EXISTS (SELECT 1 FROM entry AS e WHERE e.id = m.entry) \
                    OR EXISTS (SELECT 1 FROM location AS l WHERE l.id = m.entry))) \
                 FROM collection AS c",
            )?;
            let mut rows = select.query([])?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                all.extend(shown(|| {
                    let (name, description) = (row.get(1)?, row.get(2)?);
                    let members: i64 = row.get(3)?;
                    let collection = Collection { id: uuid(row, 0)?, name, description };
                    Ok(CollectionInfo { collection, members: members.unsigned_abs() })
                })?);
            }
            all.sort_by(|a, b| {
                let (a, b) = (&a.collection, &b.collection);
                natural_order(&a.name, &b.name).then(a.id.cmp(&b.id))
            });
            Ok(all)
        })
    }

    /// The collection that a selector means: its id, a unique prefix of that, or its name. Of several
    /// with one name none is chosen.
    pub fn select_collection(&self, selector: &str) -> Result<Uuid, CatalogError> {
        self.read(|db| select_one(db, ("collection", "collection"), selector))
    }

    /// Creates a collection. Another one may have the same name: names are not ids.
    pub fn create_collection(
        &self,
        name: &str,
        description: Option<&str>,
    ) -> Result<Uuid, CatalogError> {
        check_name("a collection", name)?;
        check_length("description", description.unwrap_or_default(), MAX_LONG_TEXT)?;
        let (name, description) = (name.to_owned(), description.map(str::to_owned).and_then(some));
        self.library.write(move |tx| {
            let collection = Collection { id: tx.new_id(), name, description };
            tx.insert(&collection)?;
            Ok(collection.id)
        })
    }

    /// Sets fields of a collection from text, in one transaction: `name` or `description`. An empty
    /// text empties the latter.
    pub fn set_collection_fields(
        &self,
        collection: Uuid,
        fields: &[(&str, &str)],
    ) -> Result<(), CatalogError> {
        let (mut name, mut description) = (None, None);
        for (field, value) in fields {
            match *field {
                "name" => {
                    check_name("a collection", value)?;
                    name = Some((*value).to_owned());
                }
                "description" => {
                    check_length("description", value, MAX_LONG_TEXT)?;
                    description = Some(some((*value).to_owned()));
                }
                other => {
                    let has = "it has name and description";
                    return Err(invalid("field", format!("a collection has no {other:?}; {has}")));
                }
            }
        }
        self.library.write(move |tx| {
            expect(tx.db(), collection)?;
            Ok(tx.update(collection, |record: &mut Collection| {
                record.name = name.unwrap_or_else(|| std::mem::take(&mut record.name));
                record.description = description.unwrap_or_else(|| record.description.take());
            })?)
        })
    }

    /// Deletes a collection. What was in it stays where it is.
    pub fn delete_collection(&self, collection: Uuid) -> Result<(), CatalogError> {
        self.library.write(move |tx| {
            expect(tx.db(), collection)?;
            tx.delete::<Collection>(collection)?;
            Ok(())
        })
    }

    /// Puts things into a collection: files with all their copies. Returns how many were not in it
    /// before.
    pub fn add_to_collection(
        &self,
        collection: Uuid,
        items: &[Item],
    ) -> Result<usize, CatalogError> {
        let member = |subject| CollectionMember::new(collection, subject);
        let links = subjects_of(items).into_iter().map(member).collect();
        add(self.library, links, move |tx| expect(tx.db(), collection))
    }

    /// Takes things out of a collection, by their content as well as by themselves. Returns how many
    /// there were.
    pub fn remove_from_collection(
        &self,
        collection: Uuid,
        items: &[Item],
    ) -> Result<usize, CatalogError> {
        let id = |subject| CollectionMember::id_of(collection, subject);
        let ids = all_subjects_of(items).into_iter().map(id).collect();
        remove::<CollectionMember>(self.library, ids)
    }

    /// What is in a collection, on all devices: every copy. What is nowhere any more does not show.
    pub fn members(&self, collection: Uuid, limit: usize) -> Result<Listing, CatalogError> {
        self.read(|db| expect(db, collection))?;
        self.find(&FindQuery {
            collection: Some(collection),
            hidden: true,
            limit: Some(limit),
            ..FindQuery::default()
        })
    }
}

fn expect(db: &driftless::rusqlite::Connection, collection: Uuid) -> Result<(), CatalogError> {
    match is_there(db, "collection", collection)? {
        true => Ok(()),
        false => Err(CatalogError::NotFound { what: "collection", given: collection.to_string() }),
    }
}
