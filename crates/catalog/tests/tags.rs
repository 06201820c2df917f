//! Tags and what they are on.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Home, meet};
use driftless::Uuid;
use driftless_catalog::{Catalog, CatalogError, Item, NewTag, ScanOptions, Tag};

fn tag_names(catalog: &Catalog<'_>, item: &Item) -> Vec<String> {
    catalog.tags_of(item).unwrap().into_iter().map(|tag| tag.name).collect()
}

fn tag(home: &Home, id: Uuid) -> Tag {
    home.library.get(id).unwrap().unwrap()
}

#[test]
fn a_tag_on_a_file_is_on_every_copy() {
    let home = Home::new();
    home.write("one", "the same");
    home.write("two", "the same");
    home.write("else", "something else");
    home.scan();
    let catalog = home.catalog();
    let tag = catalog.create_tag(NewTag::named("mine")).unwrap();
    assert_eq!(catalog.tag_paths(tag, &[home.at("one"), home.at("two")]).unwrap(), 1);
    assert_eq!(catalog.tag_paths(tag, &[home.at("one")]).unwrap(), 0);
    assert_eq!(tag_names(&catalog, &home.at("two")), ["mine"]);
    assert_eq!(home.at("two").tags[0].name, "mine");
    assert!(home.at("else").tags.is_empty());
    // A copy that is made later has it as soon as it is indexed.
    home.write("three", "the same");
    home.scan();
    assert_eq!(tag_names(&catalog, &home.at("three")), ["mine"]);
    assert_eq!(catalog.tags().unwrap()[0].subjects, 1);

    assert_eq!(catalog.untag_paths(&[tag], &[home.at("three")]).unwrap(), 1);
    assert_eq!(catalog.untag_paths(&[tag], &[home.at("three")]).unwrap(), 0);
    assert!(home.at("one").tags.is_empty());
}

#[test]
fn folders_empty_files_and_files_without_hash_are_tagged_themselves() {
    let home = Home::new();
    home.write("folder/file", "x");
    home.write("other/file", "x");
    home.write("empty1", "");
    home.write("empty2", "");
    home.scan_with(&ScanOptions { hash: false, ..ScanOptions::default() });
    let catalog = home.catalog();
    let tag = catalog.create_tag(NewTag::named("here")).unwrap();
    let tagged = ["folder", "folder/file", "empty1"];
    let items: Vec<Item> = tagged.iter().map(|name| home.at(name)).collect();
    assert_eq!(catalog.tag_paths(tag, &items).unwrap(), 3);
    home.scan();
    for name in tagged {
        assert_eq!(tag_names(&catalog, &home.at(name)), ["here"], "{name}");
    }
    for name in ["other", "empty2"] {
        assert!(home.at(name).tags.is_empty(), "{name}");
    }
    // Once it has a hash, the tag is on its content, and so on the copy.
    assert_eq!(tag_names(&catalog, &home.at("other/file")), ["here"]);
    assert_eq!(catalog.untag_paths(&[tag], &[home.at("folder/file")]).unwrap(), 1);
    assert!(home.at("folder/file").tags.is_empty());
}

#[test]
fn fields_are_set_from_text() {
    let home = Home::new();
    let catalog = home.catalog();
    let parent = catalog.create_tag(NewTag::named("parent")).unwrap();
    let id = catalog.create_tag(NewTag { parent: Some(parent), ..NewTag::named("child") }).unwrap();
    catalog
        .set_tag_fields(id, &[("color", "#f00"), ("description", "red ones"), ("kind", "label")])
        .unwrap();
    catalog.set_tag(id, "name", "kid").unwrap();
    let now = tag(&home, id);
    assert_eq!((now.name.as_str(), now.color.as_deref()), ("kid", Some("#f00")));
    assert_eq!((now.parent, now.kind.as_deref()), (Some(parent), Some("label")));
    catalog.set_tag_fields(id, &[("parent", ""), ("color", "")]).unwrap();
    assert_eq!((tag(&home, id).parent, tag(&home, id).color), (None, None));
    catalog.set_tag(id, "parent", "parent").unwrap();
    assert_eq!(tag(&home, id).parent, Some(parent));

    let invalid = |field, value: &str| {
        let result = catalog.set_tag(id, field, value);
        matches!(result, Err(CatalogError::Invalid { .. }))
    };
    assert!(invalid("colour", "x") && invalid("name", " ") && invalid("id", "x"));
    assert!(invalid("name", &"x".repeat(1_025)) && invalid("color", &"x".repeat(1_025)));
    let none = catalog.set_tag(id, "parent", "nobody");
    assert!(matches!(none, Err(CatalogError::NotFound { what: "tag", .. })));
    // Nothing of a refused change is kept.
    assert!(catalog.set_tag_fields(id, &[("color", "blue"), ("nonsense", "x")]).is_err());
    assert_eq!(tag(&home, id).color, None);
}

#[test]
fn a_tag_is_not_put_under_itself() {
    let home = Home::new();
    let catalog = home.catalog();
    let make =
        |name: &str, parent| catalog.create_tag(NewTag { parent, ..NewTag::named(name) }).unwrap();
    let a = make("a", None);
    let b = make("b", Some(a));
    let c = make("c", Some(b));
    for parent in ["a", "b", "c"] {
        let cycle = catalog.set_tag(a, "parent", parent);
        assert!(matches!(cycle, Err(CatalogError::TagCycle { .. })), "{parent}");
    }
    catalog.set_tag(c, "parent", "a").unwrap();
    catalog.delete_tag(a).unwrap();
    assert_eq!(tag(&home, b).parent, Some(a), "what points at nothing is not shown");
    assert!(matches!(catalog.delete_tag(a), Err(CatalogError::NotFound { .. })));
    assert!(matches!(catalog.tag_paths(a, &[]), Ok(0)));
}

#[test]
fn the_first_tags_are_those_whose_names_come_first() {
    let home = Home::new();
    home.write("file", "some");
    home.scan();
    let catalog = home.catalog();
    for name in ["tag 10", "tag 9", "tag 2", "tag 9"] {
        let tag = catalog.create_tag(NewTag::named(name)).unwrap();
        catalog.tag_paths(tag, &[home.at("file")]).unwrap();
    }
    let all = catalog.tags().unwrap();
    let names: Vec<&str> = all.iter().map(|info| info.tag.name.as_str()).collect();
    assert_eq!(names, ["tag 2", "tag 9", "tag 9", "tag 10"]);
    assert_eq!(all[2].alias_of, Some(all[1].tag.id));
    assert!(all.iter().all(|info| info.subjects == 1));
    for limit in 0..=5 {
        let first = &all[..limit.min(all.len())];
        assert_eq!(catalog.first_tags(limit).unwrap(), first, "up to {limit}");
    }
}

#[test]
fn selectors() {
    let home = Home::new();
    let catalog = home.catalog();
    let old = catalog.create_tag(NewTag::named("work")).unwrap();
    let new = catalog.create_tag(NewTag::named("work")).unwrap();
    let hex = catalog.create_tag(NewTag::named("beef")).unwrap();
    assert_eq!(catalog.select_tags("work").unwrap(), [old, new]);
    assert_eq!(catalog.select_tag("work").unwrap(), old);
    assert_eq!(catalog.select_tag("beef").unwrap(), hex);
    let full = new.to_string();
    assert_eq!(catalog.select_tags(&full).unwrap(), [old, new], "one tag to people");
    assert_eq!(catalog.select_tag_group(&full).unwrap(), [new], "an alias by its id");
    assert_eq!(catalog.select_tag_group(&old.to_string()).unwrap(), [old, new]);
    assert_eq!(catalog.select_tag(&full[..35]).unwrap(), new);
    // What all three begin with is ambiguous.
    let Err(CatalogError::Ambiguous { candidates, .. }) = catalog.select_tag(&full[..4]) else {
        panic!()
    };
    assert_eq!(candidates.len(), 3);
    assert!(candidates.iter().any(|candidate| candidate.name == "beef"));
    for none in ["Work", "", "wor", &full[..3]] {
        assert!(matches!(catalog.select_tags(none), Err(CatalogError::NotFound { .. })), "{none}");
    }
    let names: Vec<String> = catalog.tags().unwrap().into_iter().map(|t| t.tag.name).collect();
    assert_eq!(names, ["beef", "work", "work"]);
}

#[test]
fn system_tags_are_there_without_being_made() {
    let home = Home::new();
    home.write("file", "x");
    home.scan();
    let catalog = home.catalog();
    assert!(catalog.tags().unwrap().is_empty(), "none is listed before it is used");
    let red = catalog.select_tag("red").unwrap();
    assert_eq!(red, Tag::system("red").unwrap().id);
    assert_eq!(catalog.select_tags("red").unwrap(), [red]);
    assert!(matches!(catalog.delete_tag(red), Err(CatalogError::NotFound { .. })));
    assert_eq!(catalog.tag_paths(red, &[home.at("file")]).unwrap(), 1);
    assert_eq!(tag(&home, red), Tag::system("red").unwrap());
    assert_eq!(tag_names(&catalog, &home.at("file")), ["red"]);
    // Its fields are set like any other's, but it keeps its name.
    catalog.set_tag_fields(red, &[("color", "#c02020"), ("description", "urgent")]).unwrap();
    assert_eq!(tag(&home, red).color.as_deref(), Some("#c02020"));
    for (field, value) in [("name", "urgent"), ("kind", "mine")] {
        assert!(matches!(catalog.set_tag(red, field, value), Err(CatalogError::Invalid { .. })));
    }
    // Any use makes it.
    let child = catalog.create_tag(NewTag::named("child")).unwrap();
    catalog.set_tag(child, "parent", "blue").unwrap();
    let green = catalog.select_tag("green").unwrap();
    catalog.create_tag(NewTag { parent: Some(green), ..NewTag::named("leaf") }).unwrap();
    let kind = Some("system".to_owned());
    let claimed = catalog.create_tag(NewTag { kind, ..NewTag::named("mine") });
    assert!(matches!(claimed, Err(CatalogError::Invalid { what: "kind", .. })));
    let names: Vec<String> = catalog.tags().unwrap().into_iter().map(|t| t.tag.name).collect();
    assert_eq!(names, ["blue", "child", "green", "leaf", "red"]);
}

#[test]
fn a_tag_of_ones_own_goes_before_a_system_tag() {
    let home = Home::new();
    home.write("a", "a");
    home.write("b", "b");
    home.scan();
    let catalog = home.catalog();
    let system = catalog.select_tag("yellow").unwrap();
    catalog.tag_paths(system, &[home.at("a")]).unwrap();
    let own = catalog.create_tag(NewTag::named("yellow")).unwrap();
    assert_eq!(catalog.select_tag("yellow").unwrap(), own);
    assert_eq!(catalog.select_tags("yellow").unwrap(), [own, system]);
    let tags = catalog.tags().unwrap();
    let alias = |id| tags.iter().find(|info| info.tag.id == id).unwrap().alias_of;
    assert_eq!((alias(own), alias(system)), (None, Some(own)));
}

#[test]
fn a_system_tag_that_was_deleted_comes_back_with_its_next_use() {
    let home = Home::new();
    home.write("a", "a");
    home.write("b", "b");
    home.scan();
    let catalog = home.catalog();
    let grey = catalog.select_tag("grey").unwrap();
    catalog.tag_paths(grey, &[home.at("a")]).unwrap();
    catalog.delete_tag(grey).unwrap();
    assert!(catalog.tags().unwrap().is_empty() && home.at("a").tags.is_empty());
    catalog.tag_paths(grey, &[home.at("b")]).unwrap();
    assert_eq!(tag_names(&catalog, &home.at("b")), ["grey"]);
    assert!(home.at("a").tags.is_empty(), "what it was taken off does not get it back");
}

#[test]
fn two_devices_that_use_a_system_tag_before_they_meet_made_the_same() {
    let one = Home::new();
    let two = one.joined();
    for (home, name) in [(&one, "one's"), (&two, "two's")] {
        home.library.stop_sync();
        home.write(name, name);
        home.scan();
        let red = home.catalog().select_tag("red").unwrap();
        home.catalog().tag_paths(red, &[home.at(name)]).unwrap();
    }
    meet(&one, &two);
    for home in [&one, &two] {
        let tags = home.catalog().tags().unwrap();
        assert_eq!((tags.len(), tags[0].tag.name.as_str()), (1, "red"));
        assert_eq!(home.library.status().unwrap().conflicts, 0);
    }
}

#[test]
fn only_what_is_anywhere_is_counted() {
    let home = Home::new();
    home.write("file", "x");
    home.write("copy", "x");
    home.write("folder/empty", "");
    home.scan();
    let catalog = home.catalog();
    let tag = catalog.create_tag(NewTag::named("t")).unwrap();
    let location = catalog.resolve(home.root.as_os_str()).unwrap();
    let items = [home.at("file"), home.at("folder"), home.at("folder/empty"), location];
    catalog.tag_paths(tag, &items).unwrap();
    let subjects = || catalog.tags().unwrap()[0].subjects;
    assert_eq!(subjects(), 4);
    std::fs::remove_dir_all(home.path("folder")).unwrap();
    std::fs::remove_file(home.path("file")).unwrap();
    home.scan();
    assert_eq!(subjects(), 2, "the copy and the location");
    std::fs::remove_file(home.path("copy")).unwrap();
    home.scan();
    assert_eq!(subjects(), 1);
    assert_eq!(home.count("SELECT count(*) FROM tagging"), 4, "what was said is kept");
    home.write("again", "x");
    home.scan();
    assert_eq!(subjects(), 2);
}
