//! The models of the catalogue.
//!
//! What a device sees on its own drives (`volume`, `location`, `entry`) is device-owned; what people
//! say about it (`tag`, `collection`, `user_metadata` and what belongs to them) is shared. References are ids that SQL does not enforce: what
//! points at nothing is not shown.

mod collection;
mod metadata;
mod subject;
mod tag;

use driftless::{Models, Syncable, Uuid};

pub use collection::{Collection, CollectionMember};
pub use metadata::{MetadataField, UserMetadata};
pub use subject::Subject;
pub use tag::{SYSTEM_TAGS, Tag, Tagging};

/// All models of the catalogue.
#[must_use]
pub fn models() -> Models {
    Models::new()
        .with::<Volume>()
        .with::<Location>()
        .with::<Entry>()
        .with::<Tag>()
        .with::<Tagging>()
        .with::<Collection>()
        .with::<CollectionMember>()
        .with::<UserMetadata>()
        .with::<MetadataField>()
}

/// A mounted drive, as the device that has it sees it.
#[derive(Syncable, Clone, PartialEq, Eq, Debug)]
#[sync(owned)]
pub struct Volume {
    /// A v7 id.
    pub id: Uuid,
    /// Tells the drive from all others; see [`crate::scan::volume`].
    pub fingerprint: String,
    /// Its label, or the last part of its mount point.
    pub name: String,
    /// Where it is mounted.
    pub mount_point: String,
    /// The type of its file system; empty if the system does not tell.
    pub fs_type: String,
    /// How many bytes it has.
    pub capacity: i64,
    /// Whether its medium can be taken out, if the system knows.
    pub removable: Option<bool>,
}

/// An indexed folder.
#[derive(Syncable, Clone, PartialEq, Eq, Debug)]
#[sync(owned)]
pub struct Location {
    /// A v7 id.
    pub id: Uuid,
    /// The volume that it is on.
    pub volume: Uuid,
    /// Its canonical path, as text.
    pub path: String,
    /// The path's exact bytes, if it is not UTF-8.
    pub path_raw: Option<Vec<u8>>,
    /// The last part of its path.
    pub name: String,
    /// A [`LocationState`] as text.
    pub state: String,
    /// Regular files found by the last finished scan.
    pub files: i64,
    /// Directories below it.
    pub dirs: i64,
    /// The sizes of the files, added up.
    pub bytes: i64,
    /// When the last finished scan ended.
    #[sync(ty = "time")]
    pub scanned_at: Option<i64>,
    /// What that scan could not read.
    pub problems: i64,
    /// Whether `.gitignore` files are honoured; see [`LocationRules`].
    pub gitignore: Option<bool>,
    /// Whether names that begin with a dot are left out.
    pub skip_hidden: Option<bool>,
    /// Whether files get no content hash.
    pub no_hash: Option<bool>,
}

/// What of a folder is not indexed, besides what `.driftlessignore` files say.
///
/// An indexed folder holds everything, hidden files and build results too, unless somebody says
/// otherwise: a catalogue that leaves out what one looks for is worse than one that lists too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LocationRules {
    /// Files named `.gitignore` are honoured as well; `.driftlessignore` overrules them.
    pub gitignore: bool,
    /// Names that begin with a dot are left out, unless a rule file keeps them.
    pub skip_hidden: bool,
}

/// Where a location's scan stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LocationState {
    /// It was added, and no scan of it has begun.
    New,
    /// A scan is under way, or was when the device stopped.
    Scanning,
    /// The entries are as the last scan found them.
    Ready,
    /// The last scan did not come to its end; the entries are as far as it came.
    Failed,
    /// The folder is not there: it was moved, or its drive is not mounted. The entries stay as they
    /// were.
    Offline,
}

impl LocationState {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::New, Self::Scanning, Self::Ready, Self::Failed, Self::Offline];

    /// The state that this text stands for; `None` if a later version wrote it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The text that is kept.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Scanning => "scanning",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Offline => "offline",
        }
    }
}

/// A file, folder or link in a location.
///
/// The indexes are those that the catalogue's queries need, and no more. With 500,000 rows, a
/// thousand to a transaction, a row costs 193 bytes without them, and in addition
///
/// | index | bytes | processor time | for |
/// |---|---|---|---|
/// | `(parent)` | 28 | +20 % | folders, paths |
/// | `(kind, name)` | 33 | +100 % | kinds, beginnings of names, whole names; parts of names, as the smallest thing that holds all of them |
/// | `(content)`, files with a hash | 41 | +170 % | tags that follow a content |
///
/// The latter two are dear because names and hashes come in no order: each row dirties a page of its
/// own. Without them nothing can be found among a million entries while a person waits. An index on
/// `(parent, name)` or `(location, parent, name)` would take 24 or 44 bytes more than that on
/// `(parent)` and serve no query better.
#[derive(Syncable, Clone, PartialEq, Eq, Debug)]
#[sync(owned, index(parent), index(kind, name), partial_index(content))]
pub struct Entry {
    /// A v7 id. It stays when the entry gets another name or folder of its location, as far as that
    /// can be told: by its inode, else by its content.
    pub id: Uuid,
    /// The location.
    pub location: Uuid,
    /// The folder that it is in: an entry, or the location's own id for what is directly in it. So
    /// one index answers every folder, the topmost included.
    pub parent: Uuid,
    /// Its name as text; what is not UTF-8 shows as U+FFFD.
    pub name: String,
    /// The name's exact bytes, if it is not UTF-8.
    pub name_raw: Option<Vec<u8>>,
    /// The lower-cased text after the last dot of the name.
    pub extension: Option<String>,
    /// An [`EntryKind`] as a number.
    pub kind: i64,
    /// Its length in bytes; 0 for folders, whose own size means nothing.
    pub size: i64,
    /// When its content last changed.
    #[sync(ty = "time")]
    pub modified_at: Option<i64>,
    /// When it was created, where the file system keeps that.
    #[sync(ty = "time")]
    pub created_at: Option<i64>,
    /// Its inode number (the same 64 bits), where it is stable.
    pub inode: Option<i64>,
    /// BLAKE3 of a file's bytes, once it was computed.
    pub content: Option<Vec<u8>>,
    /// What a link says, as text.
    pub link_target: Option<String>,
}

impl Entry {
    /// The exact bytes of its name.
    #[must_use]
    pub fn name_bytes(&self) -> &[u8] {
        self.name_raw.as_deref().unwrap_or(self.name.as_bytes())
    }
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
}

impl EntryKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::File, Self::Dir, Self::Link];

    /// The number that is kept.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::File => 0,
            Self::Dir => 1,
            Self::Link => 2,
        }
    }

    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Its name in commands and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Link => "link",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_numbers_and_names() {
        for kind in EntryKind::ALL {
            assert_eq!(EntryKind::from_number(kind.number()), Some(kind));
            assert_eq!(EntryKind::from_name(kind.as_str()), Some(kind));
        }
        assert_eq!((EntryKind::from_number(3), EntryKind::from_name("fifo")), (None, None));
    }
}
