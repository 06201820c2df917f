//! Invented records, as a catalogue has them.

use driftless::core::id::time_ordered_id;
use driftless::{Syncable, Uuid};
use driftless_catalog::{Entry, EntryKind, Location, LocationState, Tag};

use super::plain::PlainRow;

/// Entries in a folder.
const FOLDER: usize = 500;
const TIME: i64 = 1_700_000_000_000;

/// So many entries as an index of a folder writes them: folders and what is in them, most of it with
/// a content hash, ids in order.
pub(super) fn entries(count: usize) -> Vec<Entry> {
    let location = id(0);
    let mut parent = location;
    let mut entries = Vec::with_capacity(count);
    for n in 0..count {
        let folder = n.is_multiple_of(FOLDER);
        let entry = entry(n, location, if folder { location } else { parent }, folder);
        if folder {
            parent = entry.id;
        }
        entries.push(entry);
    }
    entries
}

fn entry(n: usize, location: Uuid, parent: Uuid, folder: bool) -> Entry {
    let number = i64::try_from(n).unwrap_or(i64::MAX);
    let kind = if folder { EntryKind::Dir } else { EntryKind::File };
    // Names come in no order, as those of files do.
    let hash = blake3::hash(&n.to_le_bytes());
    let name = format!("{}-{n}.jpg", &hash.to_hex()[..6]);
    Entry {
        id: id(n + 1),
        location,
        parent,
        name: if folder { format!("folder {n}") } else { name },
        name_raw: None,
        extension: (!folder).then(|| "jpg".to_owned()),
        kind: kind.number(),
        size: if folder { 0 } else { number * 4_321 },
        modified_at: Some(TIME + number * 997),
        created_at: Some(TIME + number),
        inode: Some(1_000_000 + number),
        content: (!folder).then(|| hash.as_bytes().to_vec()),
        link_target: None,
    }
}

/// The location that [`entries`] are in: a folder that is not there.
pub(super) fn location() -> Location {
    Location {
        id: id(0),
        volume: id(0),
        path: "/a drive that is not there/pictures".to_owned(),
        path_raw: None,
        name: "pictures".to_owned(),
        state: LocationState::Offline.as_str().to_owned(),
        files: 0,
        dirs: 0,
        bytes: 0,
        scanned_at: Some(TIME),
        problems: 0,
        gitignore: None,
        skip_hidden: None,
        no_hash: None,
    }
}

/// A tag with this name.
pub(super) fn tag(id: Uuid, name: String) -> Tag {
    let color = Some("#2266cc".to_owned());
    Tag { id, name, color, description: None, parent: None, kind: None }
}

/// Ids that grow, as those that are made one after the other do.
pub(super) fn id(n: usize) -> Uuid {
    let hash = blake3::hash(&(n as u64).to_be_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&hash.as_bytes()[..10]);
    let at = 1_700_000_000_000 + n as u64 / 20;
    // Within one millisecond in order as well.
    (random[0], random[1]) = (0, u8::try_from(n % 20).unwrap_or(0));
    time_ordered_id(at, random)
}

/// The same record for a table without sync.
pub(super) fn bare<T: Syncable>(record: &T) -> PlainRow {
    PlainRow { key: record.key().as_bytes().to_vec(), values: record.values() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_and_folders_come_first() {
        let entries = entries(1_200);
        assert!(entries.is_sorted_by(|a, b| a.id < b.id));
        let folders: Vec<&Entry> = entries.iter().filter(|entry| entry.size == 0).collect();
        assert_eq!(folders.len(), 3);
        assert!(entries.iter().skip(1).take(499).all(|entry| entry.parent == folders[0].id));
    }
}
