//! Folders that are indexed: at once, or while nobody waits.

use std::os::unix::fs::PermissionsExt as _;

use crate::common::{Device, World, until};
use serde_json::Value;

fn state(device: &Device, id: &Value) -> String {
    let locations = device.ok(&["location", "ls"]);
    let mut all = locations.as_array().unwrap().iter();
    let location = all.find(|location| location["id"] == *id);
    location.unwrap()["state"].as_str().unwrap().to_owned()
}

fn until_ready(device: &Device, id: &Value) {
    until("the scan is done", || (state(device, id) == "ready").then_some(()));
}

#[test]
fn a_daemon_scans_what_nobody_waits_for() {
    let world = World::new();
    let one = world.founder("one");
    let folder = world.folder("files", &[("a", "one"), ("deep/b", "two")]);
    let added = one.ok(&["location", "add", "--detach", folder.to_str().unwrap()]);
    assert_eq!(added["path"], folder.to_str().unwrap(), "{added}");
    until_ready(&one, &added["id"]);
    assert_eq!(one.count("entry"), 3);
    assert!(one.ok(&["find", "b"])[0]["content"].is_string(), "it is hashed as well");
    let again = one.ok(&["location", "add", "--detach", folder.to_str().unwrap()]);
    assert_eq!(again["id"], added["id"], "a folder is one location");
    until_ready(&one, &added["id"]);
    let text = one.run(&["location", "add", "--detach", folder.to_str().unwrap()]);
    assert!(text.stdout.contains("next: driftless location ls"), "{text:?}");
}

#[test]
fn without_a_daemon_the_scan_waits_for_one() {
    let world = World::new();
    let mut one = world.device("one");
    one.ok(&["init"]);
    let folder = world.folder("files", &[("a", "one")]);
    let added = one.ok(&["location", "add", "--detach", folder.to_str().unwrap()]);
    assert_eq!((&added["state"], &added["daemon"]), (&"new".into(), &false.into()), "{added}");
    assert_eq!((state(&one, &added["id"]), one.count("entry")), ("new".to_owned(), 0));
    one.up();
    until_ready(&one, &added["id"]);
    assert_eq!(one.count("entry"), 1);
    one.down();

    let other = world.folder("other", &[("b", "two")]);
    let added = one.ok(&["location", "add", "--detach", other.to_str().unwrap()]);
    let id = added["id"].as_str().unwrap();
    assert_eq!(one.ok(&["location", "rescan", id])["added"], 1);
    assert_eq!(state(&one, &added["id"]), "ready");
}

#[test]
fn what_is_no_folder_is_refused_either_way() {
    let world = World::new();
    let mut one = world.founder("one");
    let folder = world.folder("files", &[("inner/a", "one")]);
    let (file, inner) = (folder.join("inner/a"), folder.join("inner"));
    let closed = world.folder("closed", &[("b", "two")]);
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o000)).unwrap();
    let reads_all = std::fs::read_dir(&closed).is_ok();
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    for daemon in [true, false] {
        if !daemon {
            one.down();
        }
        for detach in [&[][..], &["--detach"]] {
            let refused = |path: &str, code: i32| -> String {
                let args = [&["location", "add", path], detach].concat();
                one.refused(&args, code)["code"].as_str().unwrap().to_owned()
            };
            assert_eq!(refused("nowhere", 3), "no_path");
            assert_eq!(refused(file.to_str().unwrap(), 2), "usage");
            assert_eq!(refused(inner.to_str().unwrap(), 4), "nested");
            if !reads_all {
                assert_eq!(refused(closed.to_str().unwrap(), 1), "permission");
            }
        }
        let both = ["location", "add", "--detach", "--no-hash", "/"];
        assert_eq!(one.refused(&both, 2)["code"], "usage");
    }
    assert_eq!(one.ok(&["location", "ls"]).as_array().unwrap().len(), 1);
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_scan_in_the_background_ends_with_the_daemon_and_goes_on_with_the_next() {
    let world = World::new();
    let mut one = world.founder("one");
    let files: Vec<(String, String)> =
        (0..2_000).map(|n| (format!("{}/{n}", n % 40), format!("file {n}"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let folder = world.folder("files", &files);
    let added = one.ok(&["location", "add", "--detach", folder.to_str().unwrap()]);
    one.down();
    one.up();
    until_ready(&one, &added["id"]);
    assert_eq!(one.count("entry"), 2_040);
}

#[test]
fn lists_are_in_the_order_that_people_expect_and_end_where_they_say() {
    let world = World::new();
    let one = world.founder("one");
    let files =
        ["img10.jpg", "IMG9.jpg", "b.txt", "A.txt", "zoo/x", "Inner/y"].map(|name| (name, "x"));
    let folder = world.folder("files", &files);
    let path = folder.to_str().unwrap();
    one.ok(&["location", "add", path]);
    let names = |args: &[&str]| -> Vec<String> {
        let listed = one.ok(args);
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        listed.as_array().unwrap().iter().map(name).collect()
    };
    let all = ["Inner", "zoo", "A.txt", "b.txt", "IMG9.jpg", "img10.jpg"];
    assert_eq!(names(&["ls", path]), all);
    assert_eq!(names(&["ls", path, "--limit", "3"]), all[..3]);
    assert_eq!(names(&["ls", &format!("one:{path}"), "--limit", "6"]), all);
    assert_eq!(names(&["ls", "--limit", "0"]), [""; 0]);
    assert_eq!(names(&["find", "img"]), ["IMG9.jpg", "img10.jpg"]);
    let told = |args: &[&str]| one.run(args).stderr.contains("There are more than these");
    assert!(told(&["ls", path, "--limit", "5"]) && told(&["find", "--limit", "2"]));
    assert!(!told(&["ls", path, "--limit", "6"]) && !told(&["find", "img", "--limit", "2"]));

    let renamed = one.ok(&["devices", "rename", "one", " desk "]);
    assert_eq!(one.ok(&["devices"])[0]["name"], "desk", "{renamed}");
    let long = "x".repeat(2_000);
    for name in ["", " ", "two\nlines", &long] {
        assert_eq!(one.refused_once(&["devices", "rename", "desk", name], 2), "usage");
    }
    assert_eq!(names(&["devices"]), ["desk"]);
}
