//! What people say of files: collections, metadata, system tags.

use crate::common::{World, assert_equal, words};
use serde_json::{Value, json};

fn names(rows: &Value) -> Vec<&str> {
    rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[test]
fn collections_from_first_to_last() {
    let world = World::new();
    let folder = world.folder("files", &[("a", "one"), ("deep/b", "two"), ("copy", "one")]);
    let mut one = world.founder("one");
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    let (a, deep) = (folder.join("a"), folder.join("deep"));
    let (a, deep) = (a.to_str().unwrap(), deep.to_str().unwrap());
    assert_eq!(one.ok(&["collection", "ls"]), json!([]));
    let made = one.ok(&["collection", "create", "trip", "--description", "to the sea"]);
    let id = made["id"].as_str().unwrap();
    assert_eq!(made, json!({ "id": id }));
    let added = one.ok(&["collection", "add", "trip", a, deep]);
    assert_eq!((&added["changed"], &added["files"]), (&json!(2), &json!(2)));
    assert_eq!(one.ok(&["collection", "add", id, a])["changed"], 0);
    assert_eq!(names(&one.ok(&["collection", "ls", "trip"])), ["deep", "a", "copy"]);
    let text = one.run(&["collection", "ls"]).stdout;
    assert!(text.contains("trip") && text.contains("to the sea"), "{text}");

    let two = world.joiner("two", &one);
    two.sync();
    assert_eq!(
        two.ok(&["collection", "ls"]),
        json!([{"id": id, "name": "trip", "description": "to the sea", "members": 2}])
    );
    assert_eq!(names(&two.ok(&["collection", "ls", &id[..9], "--limit", "1"])).len(), 1);
    assert_eq!(names(&two.ok(&["find", "--collection", "trip", "--kind", "dir"])), ["deep"]);
    two.ok(&["collection", "set", "trip", "name=journey", "description="]);
    two.ok(&["collection", "remove", "journey", &format!("one:{a}")]);
    two.sync();
    assert_equal(&[&one, &two]);
    assert_eq!(names(&one.ok(&["collection", "ls", "journey"])), ["deep"]);
    assert_eq!(one.count("collection"), 1);
    // Without the daemon, and in a batch.
    one.down();
    let lines = one.batch(&[
        words(&["collection", "create", "second"]),
        words(&["collection", "add", "second", a]),
        words(&["collection", "ls", "second"]),
        words(&["collection", "rm", "journey"]),
        words(&["collection", "ls"]),
    ]);
    assert_eq!(names(&lines[2]), ["a", "copy"]);
    assert_eq!(names(&lines[4]), ["second"]);
}

#[test]
fn metadata_from_first_to_last() {
    let world = World::new();
    let folder = world.folder("files", &[("a", "one"), ("b", "two"), ("copy", "one")]);
    let one = world.founder("one");
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    let (a, b) = (folder.join("a"), folder.join("b"));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let empty = one.ok(&["meta", "get", a]);
    assert_eq!((&empty["note"], &empty["favourite"]), (&json!(null), &json!(false)));
    assert_eq!((&empty["data"], &empty["tags"]), (&json!({}), &json!([])));
    one.ok(&["tag", "add", "red", a]);
    let set = one.ok(&[
        "meta",
        "set",
        a,
        "note=two\nlines",
        "favourite=true",
        "rating=5",
        "camera=M6",
        "year=1984",
        "lens={\"mm\": 50}",
        "version=1.10",
    ]);
    let expected = json!({"camera": "M6", "year": 1984, "lens": {"mm": 50}, "version": "1.10"});
    assert_eq!(set["data"], expected);
    assert_eq!((&set["note"], &set["rating"]), (&json!("two\nlines"), &json!(5)));
    assert_eq!((&set["hidden"], &set["tags"]), (&json!(false), &json!(["red"])));
    let text = one.run(&["meta", "get", a]).stdout;
    for part in ["favourite: yes", "rating: 5 of 5", "camera: M6", "tags: red"] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let two = world.joiner("two", &one);
    two.sync();
    let copy = format!("one:{}", folder.join("copy").display());
    assert_eq!(two.ok(&["meta", "get", &copy])["data"], expected, "notes follow the content");
    two.ok(&["meta", "set", &copy, "note=", "camera=", "rating=3", "hidden=true"]);
    two.sync();
    let now = one.ok(&["meta", "get", a]);
    assert_eq!((&now["note"], &now["rating"]), (&json!(null), &json!(3)));
    assert_eq!(now["data"].get("camera"), None);
    one.ok(&["meta", "set", b, "favourite=yes"]);
    // What is hidden is not found unless asked for; a listing shows it.
    assert_eq!(names(&one.ok(&["find", "--favourite"])), ["b"]);
    let all = one.ok(&["find", "--favourite", "--hidden"]);
    assert_eq!(names(&all), ["a", "b", "copy"]);
    assert_eq!((&all[0]["rating"], &all[0]["hidden"]), (&json!(3), &json!(true)));
    assert_eq!((&all[1]["rating"], &all[1]["favourite"]), (&json!(null), &json!(true)));
    assert_eq!(names(&one.ok(&["ls", folder.to_str().unwrap()])), ["a", "b", "copy"]);
    assert_eq!(one.count("user_metadata"), 2);
    let lines = one.batch(&[words(&["meta", "set", b, "note=x"]), words(&["meta", "get", b])]);
    assert_eq!((&lines[0]["note"], &lines[0]), (&json!("x"), &lines[1]));
    one.sync();
    assert_equal(&[&one, &two]);
}

#[test]
fn system_tags_need_not_be_made() {
    let world = World::new();
    let folder = world.folder("files", &[("a", "one"), ("b", "two")]);
    let one = world.founder("one");
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    let two = world.joiner("two", &one);
    two.sync();
    let file = folder.join("a");
    let file = file.to_str().unwrap();
    assert_eq!(one.ok(&["find", "--tag", "purple"]), json!([]));
    assert_eq!(one.ok(&["tag", "ls"]), json!([]));
    one.refused(&["tag", "rm", "purple"], 3);
    one.ok(&["peers", "pause"]);
    let here = one.ok(&["tag", "add", "purple", file]);
    let there = two.ok(&["tag", "add", "purple", &format!("one:{}", folder.join("b").display())]);
    assert_eq!(here["id"], there["id"], "two devices made the same before they met");
    one.ok(&["peers", "resume"]);
    one.sync();
    assert_eq!(names(&one.ok(&["find", "--tag", "purple"])), ["a", "b"]);
    let tags = one.ok(&["tag", "ls"]);
    assert_eq!(tags.as_array().unwrap().len(), 1);
    assert_eq!((&tags[0]["kind"], &tags[0]["color"]), (&json!("system"), &json!("purple")));
    assert_eq!(one.ok(&["status"])["conflicts"], 0);
    one.refused(&["tag", "set", "purple", "name=mine"], 2);
    one.ok(&["tag", "rm", "purple"]);
    one.ok(&["tag", "add", "purple", file]);
    assert_eq!(names(&one.ok(&["find", "--tag", "purple"])), ["a"]);
    one.sync();
    assert_equal(&[&one, &two]);
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let world = World::new();
    let folder = world.folder("files", &[("a", "one")]);
    let one = world.founder("one");
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    let file = folder.join("a");
    let file = file.to_str().unwrap();
    one.ok(&["collection", "create", "twice"]);
    one.ok(&["collection", "create", "twice"]);
    let before = one.digest();
    let long = format!("note={}", "x".repeat(65_537));
    for (args, code) in [
        (&["collection", "add", "none", file][..], 3),
        (&["collection", "ls", "none"], 3),
        (&["collection", "rm", "twice"], 2),
        (&["collection", "create", ""], 2),
        (&["collection", "set", "none", "name=x"], 3),
        (&["collection", "ls", "--limit", "3"], 2),
        (&["meta", "get", "/nowhere/at/all"], 3),
        (&["meta", "set", file, "rating=6"], 2),
        (&["meta", "set", file, "favourite=maybe"], 2),
        (&["meta", "set", file, "tags=red"], 2),
        (&["meta", "set", file, "novalue"], 2),
        (&["meta", "set", file], 2),
        (&["meta", "set", file, &long], 2),
        (&["meta", "set", file, "note=half", "rating=x"], 2),
    ] {
        one.refused(args, code);
    }
    assert_eq!(one.digest(), before, "nothing of what was refused is kept");
}
