//! What was said of a file stays with it when its content changes.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Home, meet, names, touch};
use driftless::Uuid;
use driftless_catalog::{Noted, ScanOptions};

/// Says one thing of each sort.
fn say_all(home: &Home, name: &str) -> Uuid {
    let catalog = home.catalog();
    let item = [home.at(name)];
    catalog.tag_paths(catalog.select_tag("red").unwrap(), &item).unwrap();
    let trip = catalog.create_collection("trip", None).unwrap();
    catalog.add_to_collection(trip, &item).unwrap();
    catalog.note(&item[0], &[("note", "mine"), ("rating", "4"), ("camera", "M6")]).unwrap();
    trip
}

fn noted(home: &Home, name: &str) -> Noted {
    home.catalog().noted(&home.at(name)).unwrap()
}

fn members(home: &Home, collection: Uuid) -> Vec<String> {
    let listing = home.catalog().members(collection, 100).unwrap();
    names(&listing).into_iter().map(str::to_owned).collect()
}

fn tags(home: &Home, name: &str) -> Vec<String> {
    home.at(name).tags.into_iter().map(|tag| tag.name).collect()
}

/// Changes a file in place.
fn edit(home: &Home, name: &str, content: &str) {
    home.write(name, content);
    // The clock may not have moved on since it was indexed.
    let seconds = 1_800_000_000 + u64::try_from(content.len()).unwrap();
    touch(&home.path(name), seconds);
    home.scan();
}

fn scan_without_hashes(home: &Home) {
    home.scan_with(&ScanOptions { hash: false, ..ScanOptions::default() });
}

#[test]
fn an_edited_file_keeps_what_was_said_of_it_on_all_devices() {
    let one = Home::new();
    one.write("text", "first");
    one.write("copy", "first");
    one.scan();
    let trip = say_all(&one, "text");
    let before = noted(&one, "text");
    let two = one.joined();
    two.write("other copy", "first");
    two.scan();
    edit(&one, "text", "second thoughts");
    meet(&one, &two);
    for (home, others) in [(&one, "copy"), (&two, "other copy")] {
        assert_eq!(noted(home, others), before, "copies of the old content keep theirs");
        assert_eq!(members(home, trip), ["copy", "other copy", "text"]);
        let there = format!("laptop:{}", one.path("text").display());
        let text = if home.root == one.root { one.at("text") } else { two.find_at(&there) };
        assert_eq!(home.catalog().noted(&text).unwrap(), before);
        assert_eq!(home.library.status().unwrap().conflicts, 0);
    }
    // A copy of the new content has it as well, and from now on they are apart from the old one.
    two.write("new copy", "second thoughts");
    two.scan();
    assert_eq!(noted(&two, "new copy"), before);
    two.catalog().note(&two.at("new copy"), &[("note", "new"), ("camera", "")]).unwrap();
    meet(&one, &two);
    assert_eq!(noted(&one, "text").metadata.note.as_deref(), Some("new"));
    assert!(noted(&one, "text").data.is_empty());
    assert_eq!(noted(&one, "copy"), before);
}

#[test]
fn what_the_new_content_says_itself_goes_before() {
    let home = Home::new();
    home.write("text", "first");
    home.write("else", "second");
    home.scan();
    say_all(&home, "text");
    let other = home.at("else");
    home.catalog().note(&other, &[("note", "theirs"), ("camera", "Q2"), ("iso", "400")]).unwrap();
    edit(&home, "text", "second");
    let now = noted(&home, "text");
    assert_eq!((now.metadata.note.as_deref(), now.metadata.rating), (Some("theirs"), Some(4)));
    let data: Vec<(&str, &str)> = now.data.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(data, [("camera", "\"Q2\""), ("iso", "400")]);
    assert_eq!(now, noted(&home, "else"), "it is the same content");
}

#[test]
fn what_was_said_before_a_file_was_read_is_said_of_its_content_then() {
    let home = Home::new();
    home.write("text", "words");
    home.write("copy", "words");
    scan_without_hashes(&home);
    let trip = say_all(&home, "text");
    assert!(tags(&home, "copy").is_empty());
    let before = noted(&home, "text");
    home.scan();
    assert_eq!((noted(&home, "text"), noted(&home, "copy")), (before.clone(), before));
    assert_eq!(members(&home, trip), ["copy", "text"]);
    // It is said once: what is taken back at the copy is taken back.
    let catalog = home.catalog();
    let red = catalog.select_tag("red").unwrap();
    assert_eq!(catalog.untag_paths(&[red], &[home.at("copy")]).unwrap(), 1);
    catalog.note(&home.at("copy"), &[("note", ""), ("rating", ""), ("camera", "")]).unwrap();
    assert_eq!(noted(&home, "text"), Noted::default());
    assert_eq!(catalog.remove_from_collection(trip, &[home.at("copy")]).unwrap(), 1);
    assert_eq!(members(&home, trip), [""; 0]);
}

#[test]
fn a_file_that_is_empty_or_unread_for_a_while_keeps_it() {
    let home = Home::new();
    home.write("text", "words");
    home.scan();
    let trip = say_all(&home, "text");
    let before = noted(&home, "text");
    for content in ["", "more words", "", "words"] {
        edit(&home, "text", content);
        assert_eq!(noted(&home, "text"), before, "{content:?}");
        assert_eq!(members(&home, trip), ["text"], "{content:?}");
    }
    // Touched, indexed without being read, and spoken of meanwhile.
    touch(&home.path("text"), 1_900_000_000);
    scan_without_hashes(&home);
    assert_eq!(home.at("text").content, None);
    assert_eq!(noted(&home, "text"), before);
    home.catalog().note(&home.at("text"), &[("note", "meanwhile"), ("iso", "100")]).unwrap();
    home.scan();
    assert!(home.at("text").content.is_some());
    let now = noted(&home, "text");
    assert_eq!((now.metadata.note.as_deref(), now.metadata.rating), (Some("meanwhile"), Some(4)));
    assert_eq!((now.data.len(), now.tags), (2, before.tags));
}

#[test]
fn another_thing_at_the_same_path_is_not_the_same_file() {
    let home = Home::new();
    home.write("thing", "a file");
    home.scan();
    say_all(&home, "thing");
    std::fs::remove_file(home.path("thing")).unwrap();
    home.write("thing/inside", "now a folder");
    home.scan();
    assert_eq!(noted(&home, "thing"), Noted::default());
    assert_eq!(noted(&home, "thing/inside"), Noted::default());
}

#[test]
fn much_that_was_said_of_many_goes_in_several_transactions() {
    let home = Home::new();
    let name = |n: usize| format!("file {n}");
    for n in 0..160 {
        home.write(name(n), format!("first {n}"));
    }
    home.scan();
    let long = "x".repeat(60_000);
    for n in 0..160 {
        home.catalog().note(&home.at(name(n)), &[("note", &long)]).unwrap();
    }
    for n in 0..160 {
        home.write(name(n), format!("second content {n}"));
    }
    let added = home.scan();
    assert_eq!(added.changes.updated, 160);
    for n in 0..160 {
        assert_eq!(noted(&home, &name(n)).metadata.note.map(|note| note.len()), Some(60_000));
    }
}
