//! What people say something about.

use driftless::Uuid;

/// What a tag, a note or a place in a collection belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A content, wherever it is.
    Content([u8; 32]),
    /// One entry or location.
    Entry(Uuid),
}

impl Subject {
    /// What is said of an entry with this content: of the content, if there is any. Files without
    /// content all have the same one, so they are told apart as entries.
    #[must_use]
    pub fn of(entry: Uuid, content: Option<[u8; 32]>, size: i64) -> Self {
        match content {
            Some(hash) if size > 0 => Self::Content(hash),
            _ => Self::Entry(entry),
        }
    }

    /// What ids are derived from. Contents and entries have different lengths.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Content(hash) => hash,
            Self::Entry(id) => id.as_bytes(),
        }
    }

    /// The field by which records refer to it.
    pub(crate) fn column(&self) -> &'static str {
        match self {
            Self::Content(_) => "content",
            Self::Entry(_) => "entry",
        }
    }

    /// The two fields by which records refer to it: its content hash, or its entry.
    pub(crate) fn fields(self) -> (Option<Vec<u8>>, Option<Uuid>) {
        match self {
            Self::Content(hash) => (Some(hash.to_vec()), None),
            Self::Entry(id) => (None, Some(id)),
        }
    }
}
