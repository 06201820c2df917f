//! Copies of a device's directory: brought back, or running beside it. And a device without its log.

use std::path::{Path, PathBuf};

use crate::common::{Device, World, assert_equal, until};

/// Copies a directory to another place. Files that are there are written over, so that nothing but
/// their content tells; what else is there goes.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(to).unwrap() {
        let file = file.unwrap();
        if !from.join(file.file_name()).exists() {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    for file in std::fs::read_dir(from).unwrap() {
        let (from, to) = (file.as_ref().unwrap().path(), to.join(file.unwrap().file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(std::fs::copy(from, to).unwrap()),
        }
    }
}

fn tags(names: impl Iterator<Item = String>) -> Vec<Vec<String>> {
    names.map(|name| vec!["tag".to_owned(), "create".to_owned(), name]).collect()
}

fn fifty(device: &Device, what: &str) {
    device.batch(&tags((0..50).map(|n| format!("{what} {n}"))));
}

/// How many tags with such names are there.
fn with(device: &Device, what: &str) -> usize {
    device.tags().iter().filter(|name| name.starts_with(what)).count()
}

/// Two devices in sync, with a folder of the first.
fn two(world: &World) -> [Device; 2] {
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    one.ok(&["tag", "create", "early"]);
    let folder = world.folder("folder", &[("a.txt", "a"), ("b.txt", "b")]);
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    one.sync();
    [one, two]
}

fn place(world: &World, name: &str) -> PathBuf {
    world.path().join(name)
}

/// What both have after the copy of the first was brought back.
fn assert_nothing_lost(one: &Device, two: &Device) {
    one.sync();
    // The folder is looked at anew meanwhile.
    until("both are equal", || {
        (one.digest() == two.digest() && one.dump() == two.dump()).then_some(())
    });
    for device in [one, two] {
        assert_eq!((with(device, "before"), with(device, "after")), (50, 50), "{}", device.name);
        assert_eq!(device.count("entry"), 2);
    }
}

#[test]
fn a_copy_that_was_made_of_a_stopped_device_is_brought_back() {
    let world = World::new();
    let [mut one, mut two] = two(&world);
    one.down();
    copy(&one.dir, &place(&world, "copy"));
    one.up();
    fifty(&one, "before");
    one.sync();
    one.down();
    two.down();
    copy(&place(&world, "copy"), &one.dir);
    one.up();
    assert_eq!(with(&one, "before"), 0);
    fifty(&one, "after");
    two.up();
    assert_nothing_lost(&one, &two);
}

/// The copy has the token of the directory that goes on; how far that has gone tells them apart.
#[test]
fn a_copy_that_was_made_of_a_running_device_is_brought_back_after_a_kill() {
    let world = World::new();
    let [mut one, mut two] = two(&world);
    copy(&one.dir, &place(&world, "copy"));
    fifty(&one, "before");
    one.sync();
    one.kill();
    two.down();
    copy(&place(&world, "copy"), &one.dir);
    let said = one.run(&["tag", "ls"]).stderr;
    assert!(said.contains("older than what this device has written"), "{said}");
    one.up();
    fifty(&one, "after");
    two.up();
    assert_nothing_lost(&one, &two);
    one.down();
    assert_eq!(one.run(&["tag", "ls"]).stderr, "", "it is said once");
}

/// Nobody knows that the directory is a copy: what is kept of it elsewhere was copied with it. The
/// other device has what was written since.
#[test]
fn a_copy_that_is_brought_back_with_everything_shows_when_others_are_met() {
    let world = World::new();
    let [mut one, mut two] = two(&world);
    one.down();
    let state = world.path().join("state/driftless");
    copy(&one.dir, &place(&world, "copy"));
    copy(&state, &place(&world, "state copy"));
    one.up();
    fifty(&one, "before");
    one.sync();
    one.down();
    copy(&place(&world, "copy"), &one.dir);
    copy(&place(&world, "state copy"), &state);
    // As after a boot, which leaves nothing there.
    for (guard, _) in guard_files(&world.path().join("run/driftless")) {
        std::fs::remove_file(guard).unwrap();
    }
    assert_eq!(one.run(&["tag", "ls"]).stderr, "", "nothing tells");
    one.up();
    until("it has its own changes back", || (with(&one, "before") == 50).then_some(()));
    fifty(&one, "after");
    assert_nothing_lost(&one, &two);
    two.down();
}

/// The same, and it writes before it meets anybody, as a machine may that was put back as a whole. Only
/// that it has booted tells that it may have been.
#[test]
fn a_machine_that_is_put_back_with_everything_writes_before_it_meets_others() {
    let world = World::new();
    let [mut one, mut two] = two(&world);
    one.down();
    let places = ["state/driftless", "run/driftless"].map(|dir| world.path().join(dir));
    copy(&one.dir, &place(&world, "copy"));
    let guards = places.map(|place| guard_files(&place)).concat();
    one.up();
    fifty(&one, "before");
    one.sync();
    one.down();
    two.down();
    copy(&place(&world, "copy"), &one.dir);
    for (path, bytes) in &guards {
        std::fs::write(path, bytes).unwrap();
    }
    let db = driftless::rusqlite::Connection::open(one.dir.join("library.db")).unwrap();
    let other =
        "UPDATE _local SET value = x'00' WHERE space = 'guard' AND key = CAST('boot' AS BLOB)";
    assert_eq!(db.execute(other, []).unwrap(), 1);
    drop(db);
    assert_eq!(one.run(&["tag", "ls"]).stderr, "", "nothing else tells");
    fifty(&one, "after");
    one.up();
    two.up();
    assert_nothing_lost(&one, &two);
}

/// The guards in a directory, and what they say.
fn guard_files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let guards = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path().join("guard"));
    let guards = guards.filter(|path| path.exists());
    guards.map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn two_copies_of_a_device_that_both_write_lose_nothing() {
    let world = World::new();
    let [mut one, two] = two(&world);
    one.down();
    let mut clone = world.device_at("clone", place(&world, "clone"));
    copy(&one.dir, &clone.dir);
    one.up();
    fifty(&one, "before");
    one.sync();
    clone.up();
    fifty(&clone, "after");
    until("what both wrote is with the other device", || {
        (with(&two, "before") == 50 && with(&two, "after") == 50).then_some(())
    });
    // Everybody who has seen both says so, and what to do.
    for device in [&one, &two, &clone] {
        let name = if device.name == "two" { "one" } else { "this device" };
        let words = format!("two copies of the data of {name} are in use");
        until(&words, || {
            let status = device.ok(&["status"]);
            status["verdict"].as_str().unwrap().contains(&words).then_some(())
        });
        let outcome = device.run(&["doctor"]);
        assert!(outcome.stdout.contains("driftless join with a new ticket"), "{}", outcome.stdout);
    }
}

#[test]
fn a_device_without_its_log_serves_a_third_one() {
    const CHANGES: usize = 10_000;
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    one.batch(&tags((0..CHANGES).map(|n| format!("tag {n}"))));
    one.sync();
    two.down();
    two.lose_log();
    two.up();
    two.sync();
    assert_equal(&[&one, &two]);
    one.down();
    let three = world.joiner("three", &two);
    three.ok(&["sync", "--wait", "60", "--reachable"]);
    assert_eq!(three.count("tag"), CHANGES as u64);
    assert_equal(&[&two, &three]);
}

#[test]
fn a_backup_is_made_while_all_runs_and_lived_on_from() {
    let world = World::new();
    let [mut one, two] = two(&world);
    let file = place(&world, "backup");
    let made = one.ok(&["backup", "backup"]);
    assert_eq!(made["file"], file.to_str().unwrap());
    assert_eq!(made["bytes"], std::fs::metadata(&file).unwrap().len());
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "it holds a secret key");
    assert_eq!(one.refused_once(&["backup", "backup"], 1), "io");
    fifty(&one, "before");
    one.sync();
    let device = one.ok(&["status"])["device_id"].take();
    assert_eq!(one.refused(&["restore", "backup"], 4)["code"], "exists");
    one.down();
    std::fs::remove_dir_all(&one.dir).unwrap();
    let restored = one.ok(&["restore", "backup"]);
    assert_eq!(restored["device_id"], device);
    assert_eq!(one.run(&["tag", "ls"]).stderr, "", "nothing is to be said of it any more");
    assert_eq!(with(&one, "before"), 0);
    fifty(&one, "after");
    one.up();
    assert_nothing_lost(&one, &two);
}

#[test]
fn what_is_no_backup_is_refused_and_leaves_no_library() {
    let world = World::new();
    let mut one = world.founder("one");
    one.ok(&["backup", "backup"]);
    one.down();
    let two = world.device("two");
    std::fs::write(place(&world, "text"), "this is no backup").unwrap();
    assert_eq!(two.refused(&["restore", "text"], 1)["code"], "damaged");
    let library = one.dir.join("library.db");
    assert_eq!(two.refused(&["restore", library.to_str().unwrap()], 3)["code"], "no_library");
    assert_eq!(two.refused(&["restore", "nothing"], 1)["code"], "io");
    let backup = place(&world, "backup");
    let mut bytes = std::fs::read(&backup).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8_192].fill(0x5a);
    std::fs::write(&backup, bytes).unwrap();
    assert_eq!(two.refused(&["restore", "backup"], 1)["code"], "damaged");
    assert_eq!(two.refused_once(&["status"], 3), "no_library");
}
