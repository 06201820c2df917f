//! The tour of the README, with the real program.

use crate::common::{World, assert_equal, until};

#[test]
fn the_readme_s_tour_ends_with_two_equal_devices() {
    let world = World::new();
    let docs = world.folder("docs", &[("a.md", "one"), ("deep/b.md", "two"), ("deep/c.md", "two")]);
    let laptop = world.founder("laptop");
    let added = laptop.ok(&["location", "add", "docs"]);
    assert_eq!((&added["files"], &added["dirs"]), (&3.into(), &1.into()), "{added}");

    let mut desktop = world.joiner("desktop", &laptop);
    desktop.sync();
    let shown = desktop.ok(&["ls", "--device", "laptop"]);
    assert_eq!(shown[0]["path"], docs.to_str().unwrap(), "{shown}");

    desktop.ok(&["tag", "create", "important", "--color", "red"]);
    let copy = format!("laptop:{}/deep/b.md", docs.display());
    let tagged = desktop.ok(&["tag", "add", "important", &copy]);
    assert_eq!(tagged["changed"], 1);
    let found = until("the tag is on the laptop's files", || {
        let outcome = laptop.run(&["find", "--tag", "important", "--json"]);
        // Until the tag has come it is not known there.
        (outcome.code == 0).then(|| outcome.json()).filter(|found| found[0].is_object())
    });
    let names: Vec<&str> =
        found.as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["b.md", "c.md"], "a tag follows the content to every copy");

    desktop.kill();
    laptop.ok(&["tag", "create", "work"]);
    desktop.ok(&["tag", "create", "private"]);
    desktop.up();
    desktop.sync();
    assert_equal(&[&laptop, &desktop]);
    assert_eq!(laptop.tags(), ["important", "private", "work"]);
    assert_eq!(laptop.ok(&["status"])["verdict"], "Up to date with desktop");
}

#[test]
fn a_daemon_that_is_stopped_cleanly_comes_back_with_everything() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    one.ok(&["tag", "create", "before"]);
    one.sync();
    one.down();
    assert_eq!(one.ok(&["down"])["stopped"], false, "there is none any more");
    one.ok(&["tag", "create", "between"]);
    two.down();
    one.up();
    two.up();
    two.sync();
    assert_eq!(two.tags(), ["before", "between"]);
    assert_equal(&[&one, &two]);
}
