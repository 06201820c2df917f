//! `location`: an indexed folder, which its device alone writes.

use driftless::Uuid;
use driftless_catalog::{CatalogError, Location, ScanOptions};

use crate::three::{Three, catalog};

#[test]
fn a_location_is_seen_everywhere_and_written_by_its_device() {
    let three = Three::new();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "one").unwrap();
    let path = folder.path().canonicalize().unwrap();
    let id = catalog(&three.first).register_location(&path, None).unwrap().id;
    three.settle();
    let of = |library| -> Location {
        let found = catalog(library).locations().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].device, three.first.device_id());
        assert_eq!(found[0].device_name, "first");
        assert!(found[0].volume.is_some(), "it is placed on its volume");
        found[0].location.clone()
    };
    for library in three.all() {
        let location = of(library);
        assert_eq!((location.id, location.state.as_str(), location.files), (id, "new", 0));
    }

    let options = ScanOptions::default();
    catalog(&three.first).rescan(id, &options, &mut |_| {}).unwrap();
    three.settle();
    let scanned = of(&three.first);
    assert_eq!((scanned.state.as_str(), scanned.files), ("ready", 1));
    three.all_have(&scanned);

    let mut renamed = scanned;
    renamed.name = "letters".into();
    let changed = renamed.clone();
    three.relayed(move |tx| tx.put(&changed));
    three.all_have(&renamed);
    three.is_the_first_s_alone(&renamed);
    for library in [&three.second, &three.third] {
        let refused = catalog(library).rescan(id, &options, &mut |_| {});
        assert!(matches!(refused, Err(CatalogError::Foreign { .. })), "{refused:?}");
        let refused = catalog(library).remove_location(id);
        assert!(matches!(refused, Err(CatalogError::Foreign { .. })), "{refused:?}");
    }

    assert_eq!(catalog(&three.first).remove_location(id).unwrap(), 1);
    three.settle();
    three.none_has::<Location>(id);
    three.none_has::<Location>(Uuid::nil());
    for library in three.all() {
        assert_eq!(
            library.status().unwrap().counts.iter().find(|(model, _)| model == "entry"),
            Some(&("entry".into(), 0))
        );
    }
    three.end();
}
