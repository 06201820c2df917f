//! Devices that die, stand still or are kept away: the others go on, and they come back unaided.

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::common::{Device, World, assert_equal, finish, until, words};

/// The names of the devices whose links have this property.
fn links(device: &Device, property: &str) -> Vec<String> {
    let peers = device.ok(&["peers"]);
    let having = peers.as_array().unwrap().iter().filter(|peer| peer[property] == true);
    let mut names: Vec<_> = having.map(|peer| peer["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn creations(prefix: &str, count: usize) -> Vec<Vec<String>> {
    (0..count).map(|n| words(&["tag", "create", &format!("{prefix} {n:04}")])).collect()
}

fn three(world: &World) -> [Device; 3] {
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    let three = world.joiner("three", &two);
    one.sync();
    two.sync();
    three.sync();
    [one, two, three]
}

#[test]
fn a_device_that_was_killed_catches_up_without_a_command() {
    let world = World::new();
    let [one, two, mut three] = three(&world);
    three.kill();
    until("it is missed", || (links(&one, "online") == ["two"]).then_some(()));
    one.batch(&creations("one", 40));
    two.batch(&creations("two", 40));
    let folder = world.folder("files", &[("a", "x"), ("b", "y")]);
    two.ok(&["location", "add", folder.to_str().unwrap()]);
    three.up();
    // Nobody is told to do anything.
    let whole = |device: &Device| (device.count("tag"), device.count("entry")) == (80, 2);
    until("it has all of it", || whole(&three).then_some(()));
    until("all have the same", || {
        let digest = one.digest();
        [&two, &three].iter().all(|other| other.digest() == digest).then_some(())
    });
    assert_equal(&[&one, &two, &three]);
}

/// A line of what the kernel tells of a process, in KiB.
#[cfg(target_os = "linux")]
fn memory(device: &Device, line: &str) -> u64 {
    let path = format!("/proc/{}/status", device.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).unwrap();
    let found = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    found.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_that_stands_still_delays_nobody_and_costs_no_memory() {
    const TAGS: usize = 5_000;
    let world = World::new();
    let [one, two, three] = three(&world);
    let before = memory(&one, "VmRSS:");
    kill_process(three.pid(), Signal::STOP).unwrap();
    one.batch(&creations("tag", TAGS));
    until("the other has all", || (two.count("tag") == TAGS as u64).then_some(()));
    // The third has not moved meanwhile: what the two have, they have without it.
    let peak = memory(&one, "VmHWM:");
    assert!(peak < 150 << 10, "{peak} KiB at most");
    assert!(peak < before + (64 << 10), "{before} KiB before, {peak} KiB at most");
    kill_process(three.pid(), Signal::CONT).unwrap();
    until("it has caught up", || (three.count("tag") == TAGS as u64).then_some(()));
    until("all have the same", || (three.digest() == one.digest()).then_some(()));
    assert_equal(&[&one, &two, &three]);
}

#[test]
fn one_link_is_resumed_while_the_others_stay_paused() {
    let world = World::new();
    let [one, two, three] = three(&world);
    one.ok(&["peers", "pause"]);
    until("all links are cut", || links(&one, "online").is_empty().then_some(()));
    one.ok(&["peers", "resume", "two"]);
    until("one of them is made again", || (links(&one, "online") == ["two"]).then_some(()));
    assert_eq!(links(&one, "paused"), ["three"]);
    one.ok(&["tag", "create", "by way of two"]);
    until("the third has it from the second", || (three.count("tag") == 1).then_some(()));
    one.ok(&["peers", "resume"]);
    one.sync();
    assert_equal(&[&one, &two, &three]);
}

/// How many of the daemon's threads serve clients.
#[cfg(target_os = "linux")]
fn serving(device: &Device) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", device.pid().as_raw_nonzero()));
    let name = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm"));
    let names = threads.unwrap().map(|thread| name(thread.unwrap()));
    names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with("driftless-clien"))).count()
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_waits_for_others_is_told_when_the_daemon_is_stopped() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    two.sync();
    two.kill();
    let waiting = one.command(&["sync", "--wait", "600", "--json"]).spawn().unwrap();
    // One reads what the client says, and one waits for it.
    until("the wait has begun", || (serving(&one) == 2).then_some(()));
    assert_eq!(one.ok(&["down"])["stopped"], true);
    one.ended();
    let outcome = finish(waiting, "");
    assert_eq!(outcome.code, 5, "{outcome:?}");
    let report: Value = outcome.json();
    assert_eq!(
        (&report["done"], &report["peers"][0]["state"]),
        (&false.into(), &"unreachable".into())
    );
}
