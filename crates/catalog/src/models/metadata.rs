//! What people note about a content or an entry.

use driftless::{Syncable, Uuid, derived_id};

use super::Subject;

/// What people say about one subject in the fields that every subject has. Its tags are the
/// [`super::Tagging`]s of the same subject, its free fields the [`MetadataField`]s.
///
/// The id follows from the subject, so that two devices that write about the same content before
/// they meet write the same record. A field that was never set is null and is no part of what a
/// device said: so the note of the one and the rating of the other are both there afterwards.
#[derive(Syncable, Clone, PartialEq, Eq, Debug)]
#[sync(shared, partial_index(favourite))]
pub struct UserMetadata {
    /// Derived from the subject; see [`UserMetadata::id_of`].
    pub id: Uuid,
    /// The content hash that it is about.
    pub content: Option<Vec<u8>>,
    /// The entry or location that it is about.
    pub entry: Option<Uuid>,
    /// Free text.
    pub note: Option<String>,
    /// Whether it is one of the favourites.
    pub favourite: Option<bool>,
    /// Whether it is left out when people look for things.
    pub hidden: Option<bool>,
    /// From 0 to 5.
    pub rating: Option<i64>,
}

impl UserMetadata {
    /// The id of the record about this subject.
    #[must_use]
    pub fn id_of(subject: Subject) -> Uuid {
        derived_id("user_metadata", &[subject.bytes()])
    }
}

/// A free field of the metadata of one subject. Each is a record of its own, so that two devices that
/// set different ones at the same time do not lose either.
#[derive(Syncable, Clone, PartialEq, Eq, Debug)]
#[sync(shared, partial_index(content), partial_index(entry))]
pub struct MetadataField {
    /// Derived from the subject and the key; see [`MetadataField::id_of`].
    pub id: Uuid,
    /// The content hash that it is about.
    pub content: Option<Vec<u8>>,
    /// The entry or location that it is about.
    pub entry: Option<Uuid>,
    /// The field's name.
    pub key: String,
    /// Its value, as canonical JSON; null once it was emptied.
    #[sync(ty = "json")]
    pub value: Option<String>,
}

impl MetadataField {
    /// The id of the record of this field.
    #[must_use]
    pub fn id_of(subject: Subject, key: &str) -> Uuid {
        derived_id("metadata_field", &[subject.bytes(), key.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_one_record_and_one_for_each_free_field() {
        let (content, entry) =
            (Subject::Content([1; 32]), Subject::Entry(Uuid::from_bytes([1; 16])));
        assert_eq!(UserMetadata::id_of(content), UserMetadata::id_of(content));
        assert_ne!(UserMetadata::id_of(content), UserMetadata::id_of(entry));
        assert_ne!(MetadataField::id_of(content, "a"), MetadataField::id_of(content, "b"));
        assert_ne!(MetadataField::id_of(content, "a"), MetadataField::id_of(entry, "a"));
    }
}
