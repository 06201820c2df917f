//! Devices that meet, part and meet again.

use crate::common::{World, assert_equal, until, words};
use serde_json::Value;

fn creations(prefix: &str, count: usize) -> Vec<Vec<String>> {
    (0..count).map(|n| words(&["tag", "create", &format!("{prefix} {n:02}")])).collect()
}

#[test]
fn a_third_device_gets_everything_of_the_first_from_the_second() {
    let world = World::new();
    let folder = world.folder("photos", &[("sea.jpg", "waves"), ("sky.jpg", "clouds")]);
    let mut one = world.founder("one");
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    one.ok(&["tag", "create", "summer"]);
    one.ok(&["tag", "add", "summer", folder.join("sea.jpg").to_str().unwrap()]);
    let two = world.joiner("two", &one);
    two.sync();
    one.down();

    let three = world.joiner("three", &two);
    until("the third has the first's files", || (three.count("entry") == 2).then_some(()));
    let reached = three.ok(&["sync", "--wait", "60", "--reachable"]);
    assert_eq!(reached["done"], true, "{reached}");
    let found = three.ok(&["find", "--tag", "summer"]);
    assert_eq!((&found[0]["name"], &found[0]["device"]), (&"sea.jpg".into(), &"one".into()));
    assert_equal(&[&two, &three]);

    let unreachable = three.run(&["sync", "--wait", "0.2", "--json"]);
    assert_eq!(unreachable.code, 5, "{unreachable:?}");
    let report = unreachable.json();
    assert_eq!(report["done"], false);
    let states: Vec<&Value> =
        report["peers"].as_array().unwrap().iter().map(|peer| &peer["state"]).collect();
    assert!(states.contains(&&Value::from("unreachable")), "{report}");
}

#[test]
fn thirty_tags_of_each_of_two_devices_that_were_apart_are_sixty_on_both() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    two.sync();
    one.down();
    two.kill();
    one.batch(&creations("one", 30));
    two.batch(&creations("two", 30));
    one.up();
    two.up();
    one.sync();
    two.sync();
    assert_eq!((one.tags().len(), two.tags().len()), (60, 60));
    assert_equal(&[&one, &two]);
}

#[test]
fn a_tag_that_two_devices_rename_apart_has_one_name_on_both() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    one.ok(&["tag", "create", "plans"]);
    one.sync();
    one.down();
    two.down();
    one.ok(&["tag", "set", "plans", "name=left"]);
    two.ok(&["tag", "set", "plans", "name=right", "color=blue"]);
    one.up();
    two.up();
    two.sync();
    one.sync();
    assert_eq!(one.tags(), two.tags());
    let tag = &one.ok(&["tag", "ls"])[0];
    assert!(["left", "right"].contains(&tag["name"].as_str().unwrap()), "{tag}");
    assert_eq!(tag["color"], "blue", "other fields are no part of it");
    assert_equal(&[&one, &two]);

    one.ok(&["tag", "set", tag["name"].as_str().unwrap(), "name=agreed"]);
    one.sync();
    assert_eq!(two.tags(), ["agreed"], "a later edit overwrites both");
    assert_equal(&[&one, &two]);
}

#[test]
fn a_paused_link_keeps_edits_back_until_it_is_resumed() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    two.sync();
    one.ok(&["peers", "pause", "two"]);
    until("the link is cut", || (one.ok(&["peers"])[0]["online"] == false).then_some(()));
    one.ok(&["tag", "create", "kept back"]);
    assert_eq!(one.run(&["sync", "--wait", "0.2"]).code, 5);
    let status = one.ok(&["status"]);
    assert_eq!(
        (&status["peers"][0]["paused"], &status["peers"][0]["behind"]),
        (&true.into(), &1.into())
    );
    assert_eq!(two.tags().len(), 0);
    one.ok(&["peers", "resume"]);
    one.sync();
    assert_eq!(two.tags(), ["kept back"]);
}

#[test]
fn three_devices_that_meet_at_once_have_everything_of_each_other() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    let three = world.joiner("three", &two);
    one.sync();
    let mut devices = [one, two, three];
    for device in &mut devices {
        device.down();
        let name = device.name.clone();
        let folder = world.folder(&format!("files of {name}"), &[("a", &name), ("b", "same")]);
        device.ok(&["location", "add", folder.to_str().unwrap()]);
        device.batch(&creations(&name, 5));
    }
    std::thread::scope(|scope| {
        for device in &mut devices {
            scope.spawn(|| device.up());
        }
    });
    for device in &devices {
        device.sync();
    }
    for device in &devices {
        assert_eq!((device.tags().len(), device.count("entry")), (15, 6), "{}", device.name);
    }
    let [one, two, three] = &devices;
    assert_equal(&[one, two, three]);
    for device in &devices {
        let verified = device.ok(&["verify", "--deep"]);
        assert_eq!(verified["equal"], true, "{verified}");
        assert_eq!(verified["peers"].as_array().unwrap().len(), 2, "{verified}");
    }
}

#[test]
fn equal_host_names_make_no_difference() {
    let world = World::new();
    let mut one = world.device("one");
    one.ok(&["init", "--device-name", "laptop"]);
    one.up();
    let mut two = world.device("two");
    two.join(&one, "laptop");
    two.up();
    one.ok(&["tag", "create", "mine"]);
    two.ok(&["tag", "create", "yours"]);
    one.sync();
    two.sync();
    assert_eq!(one.tags(), ["mine", "yours"]);
    assert_equal(&[&one, &two]);
    let devices = one.ok(&["devices"]);
    assert_eq!((&devices[0]["name"], &devices[1]["name"]), (&"laptop".into(), &"laptop".into()));
    let ambiguous = one.refused(&["devices", "rename", "laptop", "desk"], 2);
    assert_eq!(ambiguous["code"], "ambiguous");
    let id = devices[1]["id"].as_str().unwrap();
    one.ok(&["devices", "rename", &id[..8], "desk"]);
    one.sync();
    assert_eq!(two.ok(&["status"])["device"], "desk");
    assert_equal(&[&one, &two]);
}

#[test]
fn a_device_without_a_daemon_syncs_for_as_long_as_it_takes() {
    let world = World::new();
    let one = world.founder("one");
    let mut two = world.joiner("two", &one);
    two.down();
    one.ok(&["tag", "create", "early"]);
    two.ok(&["tag", "create", "late"]);
    let report = two.ok(&["sync", "--wait", "60", "--offline"]);
    assert_eq!(report["done"], true, "{report}");
    assert_eq!(two.tags(), ["early", "late"]);
    assert_eq!(one.tags(), ["early", "late"]);
    assert_eq!(two.ok(&["status"])["syncing"], false);
    let verified = two.ok(&["verify", "--offline"]);
    assert_eq!(verified["peers"][0]["state"], "equal", "{verified}");
}

#[test]
fn an_edit_that_was_made_after_another_wins_whatever_the_clocks_say() {
    let world = World::new();
    let mut one = world.founder("one");
    let two = world.joiner("two", &one);
    one.down();
    // A year ahead.
    one.up_with(&[("DRIFTLESS_CLOCK_OFFSET", "31536000")]);
    one.ok(&["tag", "create", "first"]);
    one.sync();
    two.ok(&["tag", "set", "first", "name=second"]);
    two.sync();
    assert_eq!(one.tags(), ["second"]);
    assert_equal(&[&one, &two]);
    let offset = two.ok(&["status"])["peers"][0]["clock_offset_ms"].as_i64().unwrap();
    assert!(offset > 31_000_000_000, "{offset}");
}
