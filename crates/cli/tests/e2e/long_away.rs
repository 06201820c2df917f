//! Devices for which nothing is kept any more: long away, evicted, new, or without their log. They
//! compare what they have with what the others have, and all become equal.

use serde_json::Value;

use crate::common::{Device, World, assert_equal, until};

/// What pruning came to: change sets that left the log.
fn prune(device: &Device) -> u64 {
    device.ok(&["prune", "--now"])["sets"].as_u64().unwrap()
}

fn state(device: &Device, of: &str) -> String {
    let rows = device.ok(&["devices"]);
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == of);
    row.unwrap()["state"].as_str().unwrap().to_owned()
}

/// Three devices that have the tags "kept" and "deleted later".
fn three(world: &World) -> [Device; 3] {
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    let three = world.joiner("three", &two);
    one.ok(&["tag", "create", "kept"]);
    one.ok(&["tag", "create", "deleted later"]);
    one.sync();
    two.sync();
    three.sync();
    [one, two, three]
}

/// What happens while the third one is away: on the two others, and on itself.
fn go_apart(one: &Device, two: &Device, three: &Device) {
    one.ok(&["tag", "rm", "deleted later"]);
    two.ok(&["tag", "create", "made meanwhile"]);
    three.ok(&["tag", "create", "made away"]);
    three.ok(&["tag", "set", "kept", "color=#aa0000"]);
    three.ok(&["tag", "set", "deleted later", "color=#bb0000"]);
}

fn assert_joined(devices: &[&Device]) {
    assert_equal(devices);
    assert_eq!(devices[0].tags(), ["kept", "made away", "made meanwhile"]);
    let tags = devices[0].ok(&["tag", "ls"]);
    let kept = tags.as_array().unwrap().iter().find(|tag| tag["name"] == "kept").unwrap();
    assert_eq!(kept["color"], "#aa0000");
}

#[test]
fn a_device_that_was_away_for_longer_than_the_retention_loses_nothing() {
    let world = World::new();
    let [mut one, mut two, mut three] = three(&world);
    three.down();
    for device in [&mut one, &mut two] {
        device.down();
        device.ok(&["config", "set", "retention", "1s"]);
        device.up();
    }
    go_apart(&one, &two, &three);
    one.ok(&["sync", "--wait", "60", "--reachable"]);
    two.ok(&["sync", "--wait", "60", "--reachable"]);
    // What the third one has not seen is gone from both logs.
    until("one keeps nothing for it", || (prune(&one) > 0).then_some(()));
    until("two keeps nothing for it", || (prune(&two) > 0).then_some(()));
    three.up();
    three.sync();
    one.sync();
    assert_joined(&[&one, &two, &three]);
    // From then on all goes by the log again.
    three.ok(&["tag", "create", "afterwards"]);
    three.sync();
    assert_eq!(one.count("tag"), 4);
    assert_equal(&[&one, &two, &three]);
}

#[test]
fn an_evicted_device_is_not_waited_for_and_counts_again_when_it_is_back() {
    let world = World::new();
    let [one, two, mut three] = three(&world);
    three.down();
    go_apart(&one, &two, &three);
    assert_eq!(one.run(&["sync", "--wait", "0.2"]).code, 5);
    one.ok(&["sync", "--wait", "60", "--reachable"]);
    one.refused(&["devices", "evict", "one"], 2);
    one.refused(&["devices", "evict", "nobody"], 3);
    one.ok(&["devices", "evict", "three"]);
    assert_eq!(state(&one, "three"), "evicted");
    one.sync();
    two.sync();
    assert_eq!(state(&two, "three"), "evicted");
    let verdict = one.ok(&["status"])["verdict"].as_str().unwrap().to_owned();
    assert_eq!(verdict, "Up to date with two");
    assert!(prune(&one) > 0, "nothing is kept for it");
    assert!(prune(&two) > 0, "nothing is kept for it");
    three.up();
    until("it counts again", || {
        [&one, &two, &three].iter().all(|device| state(device, "three") == "active").then_some(())
    });
    three.sync();
    one.sync();
    assert_joined(&[&one, &two, &three]);
}

#[test]
fn who_joins_after_pruning_gets_everything() {
    let world = World::new();
    let [one, two, mut three] = three(&world);
    one.ok(&["tag", "rm", "deleted later"]);
    for device in [&one, &two, &three] {
        device.ok(&["tag", "create", &format!("of {}", device.name)]);
        device.sync();
    }
    // Each has to know that all others have everything, and not only that it has itself.
    for device in [&one, &two, &three] {
        device.sync();
    }
    assert!(prune(&one) > 0 && prune(&two) > 0 && prune(&three) > 0);
    assert_eq!(prune(&one), 0, "that was all");
    three.down();
    let four = world.joiner("four", &one);
    until("it has all", || (four.tags() == two.tags()).then_some(()));
    three.up();
    four.sync();
    one.sync();
    assert_equal(&[&one, &two, &three, &four]);
}

#[test]
fn a_lost_sync_db_costs_nothing_but_history() {
    let world = World::new();
    let [mut one, mut two, mut three] = three(&world);
    let folder = world.folder("files", &[("a", "x"), ("b", "y")]);
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    three.sync();
    one.down();
    one.lose_log();
    one.up();
    one.sync();
    assert_equal(&[&one, &two, &three]);
    one.ok(&["tag", "create", "after the loss"]);
    one.sync();
    two.down();
    three.down();
    // It has no log, and serves all the same.
    let four = world.joiner("four", &one);
    let reached = four.ok(&["sync", "--wait", "60", "--reachable"]);
    assert_eq!(reached["done"], Value::Bool(true), "{reached}");
    assert_equal(&[&one, &four]);
    assert_eq!(four.count("entry"), 2);
    two.up();
    three.up();
    four.sync();
    assert_equal(&[&one, &two, &three, &four]);
}
