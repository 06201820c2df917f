//! What records are about a file: for those who ask what happened to it.

use driftless::core::schema::ModelId;
use driftless::{RecordKey, Syncable, Uuid};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::item::{Item, uuid};
use crate::links::all_subjects_of;
use crate::models::{MetadataField, Tagging, UserMetadata};

impl Catalog<'_> {
    /// The shared records that are about something, or were, or could be: what is noted about it and
    /// about its content, and the tags on both.
    pub fn records_about(&self, item: &Item) -> Result<Vec<(ModelId, RecordKey)>, CatalogError> {
        let subjects = all_subjects_of(std::slice::from_ref(item));
        self.read(|db| {
            let mut tags: Vec<Uuid> = Vec::new();
            let mut select = db.prepare_cached("SELECT id FROM tag")?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                tags.push(uuid(row, 0)?);
            }
            let mut records = Vec::new();
            for subject in subjects {
                records.push((UserMetadata::described().id, UserMetadata::id_of(subject)));
                let tagged = tags.iter().map(|tag| Tagging::id_of(*tag, subject));
                records.extend(tagged.map(|id| (Tagging::described().id, id)));
                let sql = format!("SELECT id FROM metadata_field WHERE {} = ?1", subject.column());
                let mut select = db.prepare_cached(&sql)?;
                let mut rows = select.query([subject.bytes()])?;
                while let Some(row) = rows.next()? {
                    records.push((MetadataField::described().id, uuid(row, 0)?));
                }
            }
            Ok(records.into_iter().map(|(model, id)| (model, id.into())).collect())
        })
    }

    /// The name of what a record of [`UserMetadata`] is about: of a content the name that one of its
    /// copies has. `None` if no device has it any more.
    pub fn name_of_subject(&self, metadata: Uuid) -> Result<Option<String>, CatalogError> {
        self.read(|db| {
            let mut select = db.prepare_cached(
                "SELECT coalesce((SELECT name FROM entry WHERE id = m.entry LIMIT 1),
                                 (SELECT name FROM location WHERE id = m.entry LIMIT 1),
                                 (SELECT name FROM entry WHERE content = m.content LIMIT 1))
                 FROM user_metadata AS m WHERE m.id = ?1",
            )?;
            let mut rows = select.query([metadata.as_bytes()])?;
            Ok(rows.next()?.map(|row| row.get(0)).transpose()?.flatten())
        })
    }
}
