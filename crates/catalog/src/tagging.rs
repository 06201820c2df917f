//! Putting tags on things, and taking them away.

use driftless::Uuid;

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::forest::Aliases;
use crate::item::{Item, TagName, tags_on};
use crate::links::{add, all_subjects_of, remove, subjects_of};
use crate::models::Tagging;
use crate::tags::ensure;

impl Catalog<'_> {
    /// Puts a tag on files (on their content, so that every copy has it) and on folders, links and
    /// files without a known content (on the entry). Returns on how many things it was not before. A
    /// system tag need not have been made.
    pub fn tag_paths(&self, tag: Uuid, items: &[Item]) -> Result<usize, CatalogError> {
        let links = subjects_of(items).into_iter().map(|subject| Tagging::new(tag, subject));
        add(self.library, links.collect(), move |tx| ensure(tx, tag))
    }

    /// Takes tags away from files, folders and links, from the content as well as from the entry.
    /// Returns how many there were.
    pub fn untag_paths(&self, tags: &[Uuid], items: &[Item]) -> Result<usize, CatalogError> {
        let of = |subject| tags.iter().map(move |tag| Tagging::id_of(*tag, subject));
        let ids = all_subjects_of(items).into_iter().flat_map(of).collect();
        remove::<Tagging>(self.library, ids)
    }

    /// The tags on something, on its content or on itself, as they are now.
    pub fn tags_of(&self, item: &Item) -> Result<Vec<TagName>, CatalogError> {
        self.read(|db| tags_on(db, &mut Aliases::default(), item.id, item.content.as_ref()))
    }
}
