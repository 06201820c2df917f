//! Collections, and what is in them.

use driftless::{Syncable, Uuid, derived_id};

use super::Subject;

/// A collection of contents, entries and locations, wherever they are.
#[derive(Syncable, Clone, PartialEq, Eq, Debug)]
#[sync(shared, index(name))]
pub struct Collection {
    /// A v7 id.
    pub id: Uuid,
    /// What people call it; two collections may have the same name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
}

/// Something in a collection: a content, with all its copies, or one entry or location.
#[derive(Syncable, Clone, PartialEq, Eq, Debug)]
#[sync(link, index(collection), partial_index(content), partial_index(entry))]
pub struct CollectionMember {
    /// Derived from the collection and what is in it; see [`CollectionMember::new`].
    pub id: Uuid,
    /// The collection.
    pub collection: Uuid,
    /// The content hash that is in it.
    pub content: Option<Vec<u8>>,
    /// The entry or location that is in it.
    pub entry: Option<Uuid>,
}

impl CollectionMember {
    /// The link of a collection and its member; the same on every device.
    #[must_use]
    pub fn new(collection: Uuid, subject: Subject) -> Self {
        let (content, entry) = subject.fields();
        Self { id: Self::id_of(collection, subject), collection, content, entry }
    }

    /// The id of that link.
    #[must_use]
    pub fn id_of(collection: Uuid, subject: Subject) -> Uuid {
        derived_id("collection_member", &[collection.as_bytes(), subject.bytes()])
    }
}
