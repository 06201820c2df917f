//! Listing and finding.

#![allow(clippy::unwrap_used)]

mod common;

use std::ffi::OsStr;
use std::os::unix::fs::symlink;

use common::{Home, names};
use driftless_catalog::{
    CatalogError, DEFAULT_LIMIT, EntryKind, FindQuery, Listing, NewTag, ScanOptions,
};

fn text(text: &str) -> FindQuery {
    FindQuery { text: Some(text.into()), ..FindQuery::default() }
}

fn prefix(text: &str) -> FindQuery {
    FindQuery { text: Some(text.into()), prefix: true, ..FindQuery::default() }
}

fn find(home: &Home, query: &FindQuery) -> Listing {
    home.catalog().find(query).unwrap()
}

#[test]
fn folders_first_then_as_people_sort() {
    let home = Home::new();
    for name in ["img10.jpg", "img9.jpg", "Zebra", "apple", "äpfel", "IMG1.jpg"] {
        home.write(name, name);
    }
    home.write("zoo/a", "a");
    home.write("Attic/a", "a");
    symlink("apple", home.path("link")).unwrap();
    home.scan();
    let ls = |path: &OsStr| home.catalog().ls(Some(path), None).unwrap();
    let all = ls(home.root.as_os_str());
    let want =
        ["Attic", "zoo", "apple", "IMG1.jpg", "img9.jpg", "img10.jpg", "link", "Zebra", "äpfel"];
    assert_eq!(names(&all), want);
    assert!(!all.more);
    assert_eq!(names(&ls(home.path("zoo").as_os_str())), ["a"]);
    let file = ls(home.path("apple").as_os_str());
    assert_eq!((names(&file), file.items[0].kind), (vec!["apple"], EntryKind::File));

    let top = home.catalog().ls(None, None).unwrap();
    assert_eq!(names(&top), ["files"]);
    assert!(top.items[0].is_location());
    assert_eq!(top.items[0].path, home.root.to_str().unwrap());
    let missing = home.catalog().ls(Some(home.path("none").as_os_str()), None);
    assert!(matches!(missing, Err(CatalogError::NotIndexed { location: Some(_), .. })));
    let outside = home.catalog().ls(Some(OsStr::new("/")), None);
    assert!(matches!(outside, Err(CatalogError::NotIndexed { location: None, .. })));
}

#[test]
fn devices_by_id_prefix_and_name() {
    let home = Home::new();
    home.write("a/b", "x");
    home.scan();
    let (catalog, id) = (home.catalog(), home.library.device_id());
    let full = id.to_string();
    for selector in [full.as_str(), &full[..4], "laptop"] {
        assert_eq!(catalog.select_device(selector).unwrap(), id);
        let path = format!("{selector}:{}/a", home.root.display());
        assert_eq!(names(&catalog.ls(Some(OsStr::new(&path)), None).unwrap()), ["b"]);
    }
    for none in [&full[..3], "desktop", ""] {
        let error = catalog.select_device(none);
        assert!(matches!(error, Err(CatalogError::NotFound { what: "device", .. })), "{none}");
    }
    let other = driftless::DeviceId([7; 32]);
    assert!(catalog.ls(None, Some(other)).unwrap().items.is_empty());
    let query = FindQuery { device: Some(other), ..FindQuery::default() };
    assert!(find(&home, &query).items.is_empty());
    let query = FindQuery { device: Some(id), ..FindQuery::default() };
    assert_eq!(names(&find(&home, &query)), ["a", "files", "b"]);
    let conflict = catalog.ls(Some(OsStr::new("laptop:/x")), Some(other));
    assert!(matches!(conflict, Err(CatalogError::Invalid { what: "device", .. })));
}

#[test]
fn by_a_part_of_the_name_and_by_its_beginning() {
    let home = Home::new();
    for name in ["Holiday/Sea.jpg", "Holiday/SEAGULL.png", "Undersea.txt", "Übersee", "straße", "x"]
    {
        home.write(name, name);
    }
    home.scan();
    let found = |query: &FindQuery| {
        let listing = find(&home, query);
        names(&listing).into_iter().map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(found(&text("sea")), ["Sea.jpg", "SEAGULL.png", "Undersea.txt"]);
    assert_eq!(found(&prefix("sea")), ["Sea.jpg", "SEAGULL.png"]);
    assert_eq!(found(&prefix("SEAG")), ["SEAGULL.png"]);
    assert_eq!(found(&text("ÜBER")), ["Übersee"]);
    assert_eq!(found(&prefix("übers")), ["Übersee"]);
    assert_eq!(found(&text("STRASSE")), Vec::<String>::new());
    assert_eq!(found(&text("holi")), ["Holiday"]);
    assert_eq!(found(&text("FILES")), ["files"], "the location itself");
    assert_eq!(found(&text("%")), Vec::<String>::new());
    let only = |kind| FindQuery { kind: Some(kind), ..FindQuery::default() };
    assert_eq!(found(&only(EntryKind::Dir)), ["files", "Holiday"]);
    assert_eq!(found(&FindQuery { text: Some("s".into()), ..only(EntryKind::Dir) }), ["files"]);
    assert_eq!(found(&only(EntryKind::Link)), Vec::<String>::new());
    let sea = &find(&home, &text("seag")).items[0];
    assert_eq!(sea.path, home.path("Holiday/SEAGULL.png").to_str().unwrap());
}

#[test]
fn limits() {
    let home = Home::new();
    for n in 0..1_200 {
        home.write(format!("{}/f{n}", n % 7), "same");
    }
    home.scan();
    let all = find(&home, &text("f"));
    assert_eq!((all.items.len(), all.more), (DEFAULT_LIMIT, true));
    let few = |limit| find(&home, &FindQuery { limit: Some(limit), ..text("f") });
    assert_eq!((few(10).items.len(), few(10).more), (10, true));
    assert_eq!(few(10), few(10), "the same every time");
    // The location is called «files» and counts too.
    assert_eq!((few(1_201).items.len(), few(1_201).more), (1_201, false));
    assert_eq!((few(1_200).items.len(), few(1_200).more), (1_200, true));
    assert_eq!((few(0).items.len(), few(0).more), (0, true));
}

#[test]
fn by_tag_together_with_everything_else() {
    let home = Home::new();
    for name in ["a.txt", "b.txt", "copy of a.txt", "folder/c"] {
        home.write(name, name.replace("copy of ", ""));
    }
    let id = home.scan().id;
    let catalog = home.catalog();
    let tag = catalog.create_tag(NewTag::named("red")).unwrap();
    let twin = catalog.create_tag(NewTag::named("red")).unwrap();
    let other = catalog.create_tag(NewTag::named("blue")).unwrap();
    catalog.tag_paths(tag, &[home.at("a.txt"), home.at("folder")]).unwrap();
    catalog.tag_paths(twin, &[home.at("a.txt"), home.at("b.txt")]).unwrap();
    let red = catalog.select_tags("red").unwrap();
    assert_eq!(red, [tag, twin]);
    let query = FindQuery { tags: Some(red.clone()), ..FindQuery::default() };
    assert_eq!(names(&find(&home, &query)), ["folder", "a.txt", "b.txt", "copy of a.txt"]);
    let query = FindQuery { tags: Some(red.clone()), ..text("copy") };
    assert_eq!(names(&find(&home, &query)), ["copy of a.txt"]);
    let query = FindQuery { tags: Some(red), kind: Some(EntryKind::Dir), ..FindQuery::default() };
    assert_eq!(names(&find(&home, &query)), ["folder"]);
    let query = FindQuery { tags: Some(vec![other]), ..FindQuery::default() };
    assert!(find(&home, &query).items.is_empty());

    // The location itself can have a tag.
    let root = catalog.resolve(home.root.as_os_str()).unwrap();
    assert_eq!((root.id, root.is_location()), (id, true));
    catalog.tag_paths(other, &[root]).unwrap();
    assert_eq!(names(&find(&home, &query)), ["files"]);
    // A tag that is gone is on nothing.
    catalog.delete_tag(other).unwrap();
    assert!(find(&home, &query).items.is_empty());
}

#[test]
fn what_points_at_nothing_is_not_shown() {
    let home = Home::new();
    home.write("a/b/c", "x");
    home.scan();
    let b = home.id_of("a/b");
    home.library.write(move |tx| tx.drop_row::<driftless_catalog::Entry>(b)).unwrap();
    assert!(find(&home, &text("c")).items.is_empty());
    assert_eq!(names(&find(&home, &text("a"))), ["a"]);
    // The next scan finds it again, and forgets the row that hung in the air.
    home.catalog().add_location(&home.root, &ScanOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(names(&find(&home, &text("c"))), ["c"]);
}
