//! `entry`: a file, folder or link, which its device alone writes.

use driftless_catalog::{Entry, EntryKind, FindQuery, ScanOptions};

use crate::three::{Three, catalog};

#[test]
fn an_entry_is_seen_everywhere_and_written_by_its_device() {
    let three = Three::new();
    let folder = tempfile::tempdir().unwrap();
    let (file, inner) = (folder.path().join("letter.txt"), folder.path().join("inner"));
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(&file, "dear").unwrap();
    std::os::unix::fs::symlink("letter.txt", inner.join("link")).unwrap();
    let options = ScanOptions::default();
    let first = catalog(&three.first);
    let added = first.add_location(folder.path(), &options, &mut |_| {}).unwrap();
    three.settle();
    let id = first.resolve(file.as_os_str()).unwrap().id;
    let entry: Entry = three.first.get(id).unwrap().unwrap();
    assert_eq!(entry.content.as_deref(), Some(blake3::hash(b"dear").as_bytes().as_slice()));
    three.all_have(&entry);
    for library in three.all() {
        let found = catalog(library).find(&FindQuery::default()).unwrap();
        let entries = found.items.iter().filter(|item| !item.is_location());
        let mut kinds: Vec<EntryKind> = entries.map(|item| item.kind).collect();
        kinds.sort();
        assert_eq!(kinds, [EntryKind::File, EntryKind::Dir, EntryKind::Link]);
        let letter = found.items.iter().find(|item| item.id == id).unwrap();
        assert_eq!((letter.device_name.as_str(), letter.size), ("first", 4));
        assert_eq!(letter.path, first.resolve(file.as_os_str()).unwrap().path);
    }

    std::fs::write(&file, "dear all").unwrap();
    first.rescan(added.id, &options, &mut |_| {}).unwrap();
    three.settle();
    let changed: Entry = three.first.get(id).unwrap().unwrap();
    assert_eq!((changed.size, changed.content == entry.content), (8, false));
    three.all_have(&changed);

    let mut renamed = changed;
    renamed.name = "Letter.TXT".into();
    let row = renamed.clone();
    three.relayed(move |tx| tx.put(&row));
    three.all_have(&renamed);
    three.is_the_first_s_alone(&renamed);

    three.live(move |tx| tx.drop_row::<Entry>(id));
    three.none_has::<Entry>(id);
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_dir_all(&inner).unwrap();
    assert_eq!(first.rescan(added.id, &options, &mut |_| {}).unwrap().changes.removed, 2);
    three.settle();
    for library in three.all() {
        let left = catalog(library).find(&FindQuery::default()).unwrap().items;
        assert!(left.iter().all(|item| item.is_location()), "{left:?}");
    }
    three.end();
}
