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
}
