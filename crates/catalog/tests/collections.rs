//! Collections and their members.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Home, meet, names};
use driftless::Uuid;
use driftless_catalog::{CatalogError, Collection, FindQuery, Item, ScanOptions};

fn count(home: &Home, id: Uuid) -> u64 {
    let all = home.catalog().collections().unwrap();
    all.into_iter().find(|info| info.collection.id == id).unwrap().members
}

fn members(home: &Home, id: Uuid) -> Vec<String> {
    let listing = home.catalog().members(id, 100).unwrap();
    names(&listing).into_iter().map(str::to_owned).collect()
}

#[test]
fn what_is_in_a_collection_is_there_with_its_copies() {
    let home = Home::new();
    home.write("folder/one", "the same");
    home.write("two", "the same");
    home.write("else", "something else");
    home.write("empty", "");
    home.scan();
    let catalog = home.catalog();
    let trip = catalog.create_collection("trip", Some("to the sea")).unwrap();
    let items: Vec<Item> = ["folder/one", "two", "folder", "empty"].map(|n| home.at(n)).into();
    assert_eq!(catalog.add_to_collection(trip, &items).unwrap(), 3, "two have one content");
    assert_eq!(catalog.add_to_collection(trip, &items[..1]).unwrap(), 0);
    assert_eq!(members(&home, trip), ["folder", "empty", "one", "two"]);
    assert_eq!(count(&home, trip), 3);
    home.write("three", "the same");
    home.scan();
    assert_eq!(members(&home, trip), ["folder", "empty", "one", "three", "two"]);

    // What is nowhere any more does not show, and is there again when it comes back.
    std::fs::remove_file(home.path("empty")).unwrap();
    for name in ["folder/one", "two", "three"] {
        std::fs::remove_file(home.path(name)).unwrap();
    }
    home.scan();
    assert_eq!((members(&home, trip), count(&home, trip)), (vec!["folder".to_owned()], 1));
    home.write("back", "the same");
    home.scan();
    assert_eq!((members(&home, trip).len(), count(&home, trip)), (2, 2));

    assert_eq!(catalog.remove_from_collection(trip, &[home.at("back")]).unwrap(), 1);
    assert_eq!(catalog.remove_from_collection(trip, &[home.at("back")]).unwrap(), 0);
    assert_eq!(members(&home, trip), ["folder"]);
}

#[test]
fn a_location_is_in_a_collection_like_any_folder() {
    let home = Home::new();
    home.scan();
    let catalog = home.catalog();
    let all = catalog.create_collection("all", None).unwrap();
    let location = catalog.resolve(home.root.as_os_str()).unwrap();
    assert_eq!(catalog.add_to_collection(all, &[location]).unwrap(), 1);
    assert_eq!((members(&home, all), count(&home, all)), (vec!["files".to_owned()], 1));
}

#[test]
fn searches_within_a_collection() {
    let home = Home::new();
    for name in ["a.txt", "b.txt", "c.jpg"] {
        home.write(name, name);
    }
    home.scan_with(&ScanOptions::default());
    let catalog = home.catalog();
    let mine = catalog.create_collection("mine", None).unwrap();
    catalog.add_to_collection(mine, &[home.at("a.txt"), home.at("c.jpg")]).unwrap();
    let found = |query: FindQuery| {
        let listing = catalog.find(&query).unwrap();
        names(&listing).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let query = FindQuery { collection: Some(mine), ..FindQuery::default() };
    assert_eq!(found(query.clone()), ["a.txt", "c.jpg"]);
    assert_eq!(found(FindQuery { text: Some("txt".into()), ..query.clone() }), ["a.txt"]);
    let tag = catalog.select_tag("green").unwrap();
    catalog.tag_paths(tag, &[home.at("b.txt"), home.at("c.jpg")]).unwrap();
    assert_eq!(found(FindQuery { tags: Some(vec![tag]), ..query.clone() }), ["c.jpg"]);
    catalog.delete_collection(mine).unwrap();
    assert_eq!(found(query), [""; 0], "what was in a collection that is gone is in none");
}

#[test]
fn fields_names_and_bounds() {
    let home = Home::new();
    let catalog = home.catalog();
    let one = catalog.create_collection("work", None).unwrap();
    assert_eq!(catalog.select_collection("work").unwrap(), one);
    let two = catalog.create_collection("work", None).unwrap();
    let both = catalog.select_collection("work");
    assert!(
        matches!(both, Err(CatalogError::Ambiguous { ref candidates, .. }) if candidates.len() == 2)
    );
    catalog.set_collection_fields(two, &[("name", "play"), ("description", "fun")]).unwrap();
    let now: Collection = home.library.get(two).unwrap().unwrap();
    assert_eq!((now.name.as_str(), now.description.as_deref()), ("play", Some("fun")));
    catalog.set_collection_fields(two, &[("description", "")]).unwrap();
    assert_eq!(home.library.get::<Collection>(two).unwrap().unwrap().description, None);
    assert_eq!(catalog.select_collection(&two.to_string()).unwrap(), two);

    let invalid = |result| matches!(result, Err(CatalogError::Invalid { .. }));
    assert!(invalid(catalog.set_collection_fields(two, &[("colour", "red")])));
    assert!(invalid(catalog.set_collection_fields(two, &[("name", " ")])));
    assert!(invalid(catalog.create_collection("", None).map(drop)));
    assert!(invalid(catalog.create_collection(&"x".repeat(1_025), None).map(drop)));
    assert!(invalid(catalog.create_collection("x", Some(&"x".repeat(65_537))).map(drop)));

    catalog.delete_collection(two).unwrap();
    let gone = |result: Result<(), _>| {
        matches!(result, Err(CatalogError::NotFound { what: "collection", .. }))
    };
    assert!(gone(catalog.delete_collection(two)));
    assert!(gone(catalog.select_collection("play").map(drop)));
    assert!(gone(catalog.members(two, 1).map(drop)));
    assert!(gone(catalog.set_collection_fields(two, &[("name", "x")])));
}

#[test]
fn a_file_added_on_one_device_and_removed_on_another_stays() {
    let one = Home::new();
    one.write("photo", "sea");
    one.scan();
    let trip = one.catalog().create_collection("trip", None).unwrap();
    one.catalog().add_to_collection(trip, &[one.at("photo")]).unwrap();
    let two = one.joined();
    two.write("copy", "sea");
    two.scan();
    meet(&one, &two);
    assert_eq!(members(&two, trip), ["copy", "photo"]);
    for home in [&one, &two] {
        home.library.stop_sync();
    }
    one.catalog().add_to_collection(trip, &[one.at("photo")]).unwrap();
    assert_eq!(two.catalog().remove_from_collection(trip, &[two.at("copy")]).unwrap(), 1);
    two.catalog().set_collection_fields(trip, &[("name", "journey")]).unwrap();
    one.catalog().set_collection_fields(trip, &[("description", "by boat")]).unwrap();
    meet(&one, &two);
    for home in [&one, &two] {
        assert_eq!(members(home, trip), ["copy", "photo"], "adding wins");
        let now: Collection = home.library.get(trip).unwrap().unwrap();
        assert_eq!((now.name.as_str(), now.description.as_deref()), ("journey", Some("by boat")));
    }
    two.catalog().delete_collection(trip).unwrap();
    meet(&one, &two);
    assert!(one.catalog().collections().unwrap().is_empty());
    assert_eq!(one.find("photo").unwrap().name, "photo");
}
