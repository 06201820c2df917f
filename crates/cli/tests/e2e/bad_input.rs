//! Whatever is wrong: the exit code of the contract, words that help, nothing half done.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Device, World, assert_equal, until, words};
use driftless::Ticket;

/// A small file system in memory, gone afterwards; `None` where that is not permitted.
pub(crate) struct SmallDisk(pub(crate) PathBuf);

impl SmallDisk {
    pub(crate) fn mount(at: PathBuf, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let size = format!("size={megabytes}m,mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at)),
            other => {
                println!("left out, as file systems cannot be mounted here: {other:?}");
                None
            }
        }
    }

    fn remount(&self, how: &str) {
        let how = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &how]).arg(&self.0).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }
}

/// Two devices that have the same, the second on a small disk.
pub(crate) fn little_room_at_the_second(world: &World) -> Option<(SmallDisk, [Device; 2])> {
    let disk = SmallDisk::mount(world.path().join("disk"), 12)?;
    let one = world.founder("one");
    let mut two = world.device_at("two", disk.0.join("library"));
    two.join(&one, "two");
    two.up();
    one.sync();
    Some((disk, [one, two]))
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).output().ok();
    }
}

fn is_empty(dir: &Path) -> bool {
    !dir.exists() || std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn tickets_that_are_no_good_are_refused_and_leave_nothing_behind() {
    let world = World::new();
    let one = world.founder("one");
    let joiner = world.device("joiner");
    let refused = |ticket: &str| {
        let args = ["join", ticket, "--yes", "--offline"];
        let error = joiner.refused(&args, 4);
        assert!(is_empty(&joiner.dir), "{ticket}");
        error["code"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused("hello"), "not_a_ticket");
    let good = one.ticket();
    assert_eq!(refused(&good[..good.len() - 3]), "ticket_garbled");
    assert_eq!(refused(&good.replace("driftless1", "driftless2")), "ticket_newer");

    let mut wrong = Ticket::parse(&good).unwrap();
    wrong.secret[0] ^= 1;
    assert_eq!(refused(&wrong.encode()), "ticket_unknown");

    let expired = one.ok(&["invite", "--expires", "1ms"])["ticket"].as_str().unwrap().to_owned();
    // Its end has come when the command that made it has ended.
    assert_eq!(refused(&expired), "ticket_expired");

    assert_eq!(joiner.refused(&["join", &good], 4)["code"], "no_terminal");
    joiner.ok(&["join", &good, "--yes", "--offline"]);
    let again = world.device("again");
    assert_eq!(again.refused(&["join", &good, "--yes", "--offline"], 4)["code"], "ticket_used");
    assert!(is_empty(&again.dir));
    let code = joiner.refused_once(&["join", &one.ticket(), "--yes", "--offline"], 4);
    assert_eq!(code, "exists", "a device that has a library joins no other");
}

#[test]
fn an_inviter_that_is_gone_is_no_final_refusal() {
    let world = World::new();
    let mut one = world.founder("one");
    let ticket = one.ticket();
    one.down();
    let joiner = world.device("joiner");
    let code = joiner.refused_once(&["join", &ticket, "--yes", "--offline"], 5);
    assert_eq!(code, "unreachable");
    assert!(is_empty(&joiner.dir));
    one.up();
    joiner.ok(&["join", &ticket, "--yes", "--offline"]);
}

#[test]
fn what_is_not_there_is_told_with_the_next_step() {
    let world = World::new();
    let none = world.device("none");
    for args in [&["status"][..], &["up"], &["down"], &["tag", "ls"], &["invite"]] {
        assert_eq!(none.refused(args, 3)["code"], "no_library", "{args:?}");
    }
    assert!(is_empty(&none.dir));
    let full = world.folder("full", &[("letter.txt", "dear")]);
    let other = world.device_at("full", full.clone());
    assert_eq!(other.refused(&["status"], 3)["code"], "no_library");
    assert_eq!(std::fs::read_dir(&full).unwrap().count(), 1, "nothing is added to it");

    let one = world.founder("one");
    for (args, code) in [
        (&["location", "add", "nowhere"][..], "no_path"),
        (&["ls", "/nowhere"], "not_indexed"),
        (&["tag", "rm", "nobody"], "no_tag"),
        (&["tag", "add", "nobody", "/x"], "no_tag"),
        (&["find", "--tag", "nobody"], "no_tag"),
        (&["find", "--device", "nobody"], "no_device"),
        (&["devices", "rename", "nobody", "x"], "no_device"),
        (&["peers", "pause", "nobody"], "no_device"),
        (&["location", "rescan", "nowhere"], "no_location"),
        (&["location", "rescan"], "no_location"),
    ] {
        assert_eq!(one.refused(args, 3)["code"], code, "{args:?}");
    }
}

#[test]
fn bad_usage_is_told_apart_and_changes_nothing() {
    let world = World::new();
    let one = world.founder("one");
    let before = one.dump();
    one.ok(&["tag", "create", "x"]);
    for args in [
        &["nonsense"][..],
        &["tag", "create"],
        &["tag", "create", " "],
        &["tag", "set", "x", "colour"],
        &["tag", "set", "x", "shape=round"],
        &["tag", "set", "x", "parent=x"],
        &["sync", "--wait", "soon"],
        &["find", "--kind", "fifo"],
        &["invite", "--expires", "tomorrow"],
        &["up", "--listen", "here"],
        &["peers", "add", "example"],
        &["location", "add", "/dev/null"],
        &["demo", "--devices", "0"],
    ] {
        let error = one.refused(args, 2);
        assert_eq!(error["code"], "usage", "{args:?}");
    }
    one.ok(&["tag", "rm", "x"]);
    let after = one.run(&["dump"]).stdout;
    assert_eq!(after, one.run(&["dump"]).stdout);
    assert_eq!(before.lines().count(), after.lines().count());
}

#[test]
fn a_second_daemon_and_a_second_library_are_refused() {
    let world = World::new();
    let one = world.founder("one");
    one.ok(&["tag", "create", "safe"]);
    let second = one.refused(&["up", "--offline", "--listen", "127.0.0.1:0"], 4);
    assert_eq!(second["code"], "already_up");
    assert_eq!(one.refused(&["init"], 4)["code"], "exists");
    assert_eq!(one.tags(), ["safe"]);
    let nested = world.folder("files", &[("deep/a", "x")]);
    one.ok(&["location", "add", nested.to_str().unwrap()]);
    let inside = nested.join("deep");
    assert_eq!(one.refused(&["location", "add", inside.to_str().unwrap()], 4)["code"], "nested");
}

#[test]
fn only_the_daemon_has_links() {
    let world = World::new();
    let mut one = world.founder("one");
    one.down();
    assert_eq!(one.refused(&["peers", "pause"], 3)["code"], "no_daemon");
    assert_eq!(one.ok(&["peers"]), serde_json::json!([]));
    let fresh = world.device("fresh");
    fresh.ok(&["init"]);
    assert_eq!(fresh.refused(&["invite"], 5)["code"], "no_address", "it has never listened");
}

/// Changes bytes of the library's file, which no process has open.
fn patch(device: &Device, at: usize, bytes: &[u8]) {
    let path = device.dir.join("library.db");
    let mut file = std::fs::read(&path).unwrap();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    std::fs::write(&path, file).unwrap();
}

#[test]
fn a_newer_database_is_refused_unharmed() {
    let world = World::new();
    let one = world.device("one");
    one.ok(&["init"]);
    one.ok(&["tag", "create", "kept"]);
    assert!(!one.dir.join("library.db-wal").exists(), "a clean end leaves one file");
    let file = std::fs::read(one.dir.join("library.db")).unwrap();
    // The user version stands at offset 60 of a SQLite file.
    let version = file[60..64].to_vec();
    patch(&one, 60, &[0, 0, 0x7f, 0]);
    assert_eq!(one.refused(&["status"], 1)["code"], "newer");
    assert_eq!(one.refused(&["up"], 1)["code"], "newer");
    patch(&one, 60, &version);
    assert_eq!(std::fs::read(one.dir.join("library.db")).unwrap(), file);
    assert_eq!(one.tags(), ["kept"]);
}

#[test]
fn a_damaged_database_is_told() {
    let world = World::new();
    let one = world.device("one");
    one.ok(&["init"]);
    patch(&one, 100, &[0xff; 4_000]);
    let error = one.refused(&["status"], 1);
    assert_eq!(error["code"], "damaged", "{error}");
}

#[test]
fn a_directory_that_cannot_be_written_is_told() {
    let world = World::new();
    let Some(disk) = SmallDisk::mount(world.path().join("disk"), 16) else { return };
    let one = world.device_at("one", disk.0.join("library"));
    one.ok(&["init"]);
    one.ok(&["tag", "create", "kept"]);
    disk.remount("ro");
    assert_eq!(one.refused(&["tag", "create", "lost"], 1)["code"], "read_only");
    assert_eq!(one.refused(&["up"], 1)["code"], "read_only");
    let new = world.device_at("new", disk.0.join("new"));
    assert_eq!(new.refused(&["init"], 1)["code"], "read_only");
    disk.remount("rw");
    assert!(!new.dir.exists());
    assert_eq!(one.tags(), ["kept"]);
}

#[test]
fn a_full_disk_loses_nothing_that_was_answered() {
    let world = World::new();
    let Some(disk) = SmallDisk::mount(world.path().join("disk"), 12) else { return };
    let mut one = world.device_at("one", disk.0.join("library"));
    one.ok(&["init"]);
    one.up();
    let text = "x".repeat(60_000);
    let mut kept = Vec::new();
    let error = until("the disk is full", || {
        let name = format!("tag {:04}", kept.len());
        let made = one.batch_line(&words(&["tag", "create", &name]));
        let filled = one.batch_line(&words(&["tag", "set", &name, &format!("description={text}")]));
        match [made, filled].into_iter().find(|line| line["error"].is_object()) {
            None => {
                kept.push(name);
                None
            }
            some => some,
        }
    });
    assert_eq!(error["error"]["code"], "disk_full", "{error}");
    assert!(kept.len() > 10, "{}", kept.len());
    one.kill();
    disk.remount("size=64m");
    one.up();
    let tags = one.tags();
    assert!(kept.iter().all(|name| tags.contains(name)), "{tags:?}");
    let verified = one.ok(&["verify", "--deep"]);
    assert_eq!(verified["rows"], serde_json::json!([]), "{verified}");
    one.ok(&["tag", "create", "goes on"]);
}

#[test]
fn a_disk_that_fills_while_others_send_goes_on_when_there_is_room() {
    let world = World::new();
    let Some((disk, [one, two])) = little_room_at_the_second(&world) else { return };
    let text = "x".repeat(60_000);
    let many = |from: usize| -> Vec<Vec<String>> {
        let tag = |n: usize| {
            let name = format!("tag {n:04}");
            let filled = words(&["tag", "set", &name, &format!("description={text}")]);
            [words(&["tag", "create", &name]), filled]
        };
        (from..from + 150).flat_map(tag).collect()
    };
    one.batch(&many(0));
    // What a user asks for is refused in words, and nothing of it is there; what was answered stays.
    let mut own = Vec::new();
    let (name, refused) = until("the disk is full", || {
        let name = format!("own {:04}", own.len());
        let made = two.batch_line(&words(&["tag", "create", &name]));
        if made["error"].is_object() {
            return Some((name, made));
        }
        own.push(name);
        None
    });
    assert_eq!(refused["error"]["code"], "disk_full", "{refused}");
    let behind = one.ok(&["status"])["peers"][0]["behind"].as_u64().unwrap();
    assert!(behind > 0, "not all of it can have been kept");
    one.batch(&many(150));

    disk.remount("size=128m");
    one.sync();
    let tags = two.tags();
    assert!(!tags.contains(&name) && own.iter().all(|name| tags.contains(name)), "{tags:?}");
    assert_eq!(tags.len(), 300 + own.len());
    assert_equal(&[&one, &two]);
    let verified = two.ok(&["verify", "--deep"]);
    assert_eq!(verified["rows"], serde_json::json!([]), "{verified}");
}
