//! Tags, and what they are on.

use driftless::{Syncable, Uuid, derived_id};

use super::Subject;

/// The names of the colour labels that every library has. Each is a tag of the kind
/// [`Tag::SYSTEM`], of the colour that it is named after, with an id that follows from its name.
pub const SYSTEM_TAGS: [&str; 7] = ["red", "orange", "yellow", "green", "blue", "purple", "grey"];

/// A tag.
#[derive(Syncable, Clone, PartialEq, Eq, Debug)]
#[sync(shared, index(name))]
pub struct Tag {
    /// A v7 id; of a system tag, derived from its name.
    pub id: Uuid,
    /// What people call it; two tags may have the same name.
    pub name: String,
    /// Its colour, in whatever words.
    pub color: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The tag that it is under.
    pub parent: Option<Uuid>,
    /// What sort of tag it is, in whatever words.
    pub kind: Option<String>,
}

impl Tag {
    /// The kind of the tags that every library has.
    pub const SYSTEM: &'static str = "system";

    /// The system tag with this name, as it is when it is first used: the same on every device.
    #[must_use]
    pub fn system(name: &str) -> Option<Self> {
        SYSTEM_TAGS.contains(&name).then(|| Self {
            id: system_id(name),
            name: name.to_owned(),
            color: Some(name.to_owned()),
            description: None,
            parent: None,
            kind: Some(Self::SYSTEM.to_owned()),
        })
    }

    /// The system tag with this id.
    #[must_use]
    pub fn system_with_id(id: Uuid) -> Option<Self> {
        let name = SYSTEM_TAGS.into_iter().find(|name| system_id(name) == id)?;
        Self::system(name)
    }
}

fn system_id(name: &str) -> Uuid {
    derived_id("tag", &[Tag::SYSTEM.as_bytes(), name.as_bytes()])
}

/// A tag on something: on a content, which it follows to every copy, or on one entry or location.
#[derive(Syncable, Clone, PartialEq, Eq, Debug)]
#[sync(link, index(tag), partial_index(content), partial_index(entry))]
pub struct Tagging {
    /// Derived from the tag and what it is on; see [`Tagging::new`].
    pub id: Uuid,
    /// The tag.
    pub tag: Uuid,
    /// The content hash that it is on.
    pub content: Option<Vec<u8>>,
    /// The entry or location that it is on.
    pub entry: Option<Uuid>,
}

impl Tagging {
    /// The link of a tag and its subject; the same on every device.
    #[must_use]
    pub fn new(tag: Uuid, subject: Subject) -> Self {
        let (content, entry) = subject.fields();
        Self { id: Self::id_of(tag, subject), tag, content, entry }
    }

    /// The id of that link.
    #[must_use]
    pub fn id_of(tag: Uuid, subject: Subject) -> Uuid {
        derived_id("tagging", &[tag.as_bytes(), subject.bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tagging_has_one_id_for_one_pair() {
        let (tag, entry) = (Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16]));
        let on_entry = Tagging::new(tag, Subject::Entry(entry));
        assert_eq!(on_entry, Tagging::new(tag, Subject::Entry(entry)));
        let on_content = Tagging::new(tag, Subject::Content([2; 32]));
        assert_ne!(on_entry.id, on_content.id);
        assert_ne!(on_entry.id, Tagging::new(entry, Subject::Entry(tag)).id);
        assert_eq!(on_content.id.get_version_num(), 8);
    }

    #[test]
    fn system_tags_are_known_by_name_and_by_id() {
        // Libraries hold these ids.
        let red = Tag::system("red").unwrap();
        assert_eq!(red.id.to_string(), "fa08473f-a2e6-8ea0-a43f-0729fa0ee05b");
        for name in SYSTEM_TAGS {
            let tag = Tag::system(name).unwrap();
            assert_eq!(Tag::system_with_id(tag.id), Some(tag));
        }
        assert_eq!((Tag::system("Red"), Tag::system_with_id(Uuid::nil())), (None, None));
    }
}
