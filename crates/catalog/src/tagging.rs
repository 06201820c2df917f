//! Putting tags on things, and taking them away.

use driftless::Uuid;
use driftless::core::id::RecordKey;

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::item::{Item, TagName, tags_on};
use crate::models::{Subject, Tagging};

/// Links that one transaction writes: far below what a change set can hold.
const AT_ONCE: usize = 10_000;

impl Catalog<'_> {
    /// Puts a tag on files (on their content, so that every copy has it) and on folders, links and
    /// files without a known content (on the entry). Returns on how many things it was not before.
    pub fn tag_paths(&self, tag: Uuid, items: &[Item]) -> Result<usize, CatalogError> {
        let mut subjects: Vec<Subject> = items.iter().map(Item::subject).collect();
        subjects.sort_unstable();
        subjects.dedup();
        let mut new = 0;
        for some in subjects.chunks(AT_ONCE) {
            let some = some.to_vec();
            new += self.library.write(move |tx| {
                if !is_there(tx.db(), "tag", tag)? {
                    let given = tag.to_string();
                    return Err(CatalogError::NotFound { what: "tag", given });
                }
                let mut new = 0;
                for subject in some {
                    let tagging = Tagging::new(tag, subject);
                    new += usize::from(!is_there(tx.db(), "tagging", tagging.id)?);
                    // One that is there is added again: it then survives that another device
                    // takes it away without having seen this.
                    tx.link(&tagging)?;
                }
                Ok(new)
            })?;
        }
        Ok(new)
    }

    /// Takes tags away from files, folders and links, from the content as well as from the entry.
    /// Returns how many there were.
    pub fn untag_paths(&self, tags: &[Uuid], items: &[Item]) -> Result<usize, CatalogError> {
        let mut ids: Vec<Uuid> = Vec::new();
        for item in items {
            let content = item.content.map(Subject::Content);
            for subject in content.into_iter().chain([Subject::Entry(item.id)]) {
                ids.extend(tags.iter().map(|tag| Tagging::id_of(*tag, subject)));
            }
        }
        ids.sort_unstable();
        ids.dedup();
        let mut gone = 0;
        for some in ids.chunks(AT_ONCE) {
            let some = some.to_vec();
            gone += self.library.write(move |tx| {
                let mut gone = 0;
                for id in some {
                    gone += usize::from(tx.delete::<Tagging>(id)?);
                }
                Ok::<_, CatalogError>(gone)
            })?;
        }
        Ok(gone)
    }

    /// The tags on something, on its content or on itself, as they are now.
    pub fn tags_of(&self, item: &Item) -> Result<Vec<TagName>, CatalogError> {
        self.read(|db| tags_on(db, item.id, item.content.as_ref()))
    }
}

/// Whether a record is there.
pub(crate) fn is_there(
    db: &driftless::rusqlite::Connection,
    table: &'static str,
    key: impl Into<RecordKey>,
) -> Result<bool, CatalogError> {
    let mut select = db.prepare_cached(&format!("SELECT 1 FROM {table} WHERE id = ?1"))?;
    Ok(select.exists([key.into().as_bytes()])?)
}
