//! A byte of `library.db` is flipped: it is found, nothing of it goes to others, and they bring back what
//! was hit.

use std::path::Path;

use serde_json::Value;

use crate::common::{Device, World, assert_equal, until, words};

const TAGS: usize = 2_000;
const PAGE: usize = 8_192;

/// Where a text stands in the library's file.
fn places(dir: &Path, text: &str) -> Vec<usize> {
    let bytes = std::fs::read(dir.join("library.db")).unwrap();
    let text = text.as_bytes();
    let at = bytes.windows(text.len()).enumerate().filter(|(_, window)| *window == text);
    at.map(|(at, _)| at).collect()
}

/// Alters the last letter of a text where it stands in the library's file, in tables and indexes.
pub(crate) fn flip(dir: &Path, text: &str, which: impl Fn(usize) -> bool) {
    let path = dir.join("library.db");
    let all = places(dir, text);
    assert!(!all.is_empty(), "{text} is in the file");
    let mut bytes = std::fs::read(&path).unwrap();
    for (_, at) in all.iter().enumerate().filter(|(n, _)| which(*n)) {
        bytes[at + text.len() - 1] ^= 0x01;
    }
    std::fs::write(&path, bytes).unwrap();
}

/// Everything is in `library.db`, and nobody has it open.
pub(crate) fn settle(device: &mut Device) {
    device.down();
    assert!(!device.dir.join("library.db-wal").exists(), "a clean end leaves no log");
}

fn integrity(device: &Device) {
    let db = driftless::rusqlite::Connection::open(device.dir.join("library.db")).unwrap();
    let words: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(words, "ok");
}

fn deep(device: &Device, code: i32) -> Value {
    let outcome = device.run(&["verify", "--deep", "--json"]);
    assert_eq!(outcome.code, code, "{outcome:?}");
    outcome.json()
}

/// Two devices with many tags and some files of both.
fn two() -> (World, Device, Device) {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    let tags: Vec<Vec<String>> =
        (0..TAGS).map(|n| words(&["tag", "create", &format!("tag-no-{n:05}")])).collect();
    one.batch(&tags);
    let files: Vec<(String, String)> =
        (0..60).map(|n| (format!("file-no-{n:05}"), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    for device in [&one, &two] {
        let folder = world.folder(&format!("files of {}", device.name), &files);
        device.ok(&["location", "add", folder.to_str().unwrap()]);
    }
    one.sync();
    two.sync();
    // So that nothing comes back from the device's own log.
    for device in [&one, &two] {
        until("the log is pruned", || {
            let pruned = device.ok(&["prune", "--now"]);
            (pruned["sets"] != 0).then_some(())
        });
    }
    (world, one, two)
}

/// The tags and files that are synced; what is said of devices and folders changes at a start.
fn tags_and_files(dump: &str) -> String {
    let of = |model: &str| format!("\"model\":\"{model}\"");
    let stays = |line: &&str| line.contains(&of("tag")) || line.contains(&of("entry"));
    dump.lines().filter(stays).collect::<Vec<_>>().join("\n")
}

/// The damaged one is whole again, and both are equal.
fn healed(one: &Device, two: &mut Device, dump: &str) {
    two.sync();
    let report = until("both have compared", || {
        let outcome = two.run(&["verify", "--deep", "--json"]);
        (outcome.code == 0).then(|| outcome.json())
    });
    assert_eq!(report["equal"], true, "{report}");
    assert_eq!(report["rows"].as_array().unwrap().len(), 0, "{report}");
    assert_equal(&[one, two]);
    assert!(tags_and_files(&two.dump()) == *dump, "all is as it was before");
    assert_eq!(two.ok(&["status"])["damage"]["missing"], 0);
    integrity(two);
    integrity(one);
}

#[test]
fn a_flipped_byte_in_a_shared_record_is_found_and_brought_back() {
    let (_world, one, mut two) = two();
    let dump = tags_and_files(&two.dump());
    settle(&mut two);
    flip(&two.dir, "tag-no-01234", |_| true);
    flip(&two.dir, "tag-no-00007", |n| n == 0);
    two.up();
    let found = deep(&two, 5);
    let damaged = found["deep"]["damaged"].as_array().unwrap();
    assert!(damaged.iter().any(|row| row["model"] == "tag"), "{found}");
    assert!(found["rows"].as_array().unwrap().contains(&Value::from("tag")), "{found}");
    healed(&one, &mut two, &dump);
    assert!(two.tags().contains(&"tag-no-01234".to_owned()));
}

#[test]
fn a_flipped_byte_in_an_owned_row_comes_back_to_its_owner_and_to_others() {
    let (_world, one, mut two) = two();
    let dump = tags_and_files(&two.dump());
    settle(&mut two);
    // Each of these is there twice: as this device's and as the other's.
    flip(&two.dir, "file-no-00012", |_| true);
    two.up_args(&["--no-watch"]);
    let found = deep(&two, 5);
    let damaged = found["deep"]["damaged"].as_array().unwrap();
    let owners: std::collections::BTreeSet<&str> =
        damaged.iter().filter_map(|row| row["owner"].as_str()).collect();
    assert_eq!(owners.len(), 2, "rows of both: {found}");
    healed(&one, &mut two, &dump);
}

#[test]
fn damage_is_found_while_the_daemon_runs_and_stays_known_while_nobody_is_there() {
    let (_world, mut one, mut two) = two();
    let dump = tags_and_files(&two.dump());
    // After a clean start all is in the file, and the daemon holds it open.
    two.down();
    two.up();
    one.down();
    flip(&two.dir, "tag-no-01111", |_| true);
    let found = deep(&two, 5);
    assert_eq!(found["deep"]["missing"], 1, "{found}");
    let status = two.ok(&["status"]);
    assert_eq!(status["damage"]["missing"], 1, "{status}");
    assert!(status["verdict"].as_str().unwrap().contains("damaged"), "{status}");
    let report = two.ok(&["doctor"]);
    let finding = report["findings"].as_array().unwrap();
    let finding = finding.iter().find(|finding| finding["check"] == "damage").unwrap();
    assert!(finding["next"].as_str().unwrap().contains("one"), "{finding}");
    // It is no tag, and cannot be made into one meanwhile.
    assert_eq!(two.refused_once(&["tag", "set", "tag-no-01111", "color=#ff0000"], 3), "no_tag");
    two.down();
    two.up();
    assert_eq!(two.ok(&["status"])["damage"]["missing"], 1, "it is known after a restart");
    one.up();
    healed(&one, &mut two, &dump);
}

#[test]
fn what_nobody_else_has_is_kept_as_it_reads_and_told_by_name() {
    let world = World::new();
    let mut one = world.founder("one");
    one.ok(&["tag", "create", "lonely-tag-01"]);
    one.ok(&["prune", "--now"]);
    settle(&mut one);
    flip(&one.dir, "lonely-tag-01", |_| true);
    one.up();
    let found = deep(&one, 5);
    assert_eq!(found["deep"]["damaged"].as_array().unwrap().len(), 1, "{found}");
    let told = until("it is settled", || {
        let status = one.ok(&["status"]);
        let told = status["damage"]["given_up"].as_array()?.first()?.as_str()?.to_owned();
        Some(told)
    });
    assert!(told.starts_with("tag ") && told.contains("is kept as it can still be read"), "{told}");
    assert_eq!(one.tags(), ["lonely-tag-00"]);
    deep(&one, 0);
    assert_eq!(one.ok(&["status"])["damage"]["given_up"].as_array().unwrap().len(), 0);
}

#[test]
fn a_page_of_zeroes_is_told_and_nothing_is_served() {
    let (world, one, mut two) = two();
    settle(&mut two);
    let path = two.dir.join("library.db");
    let mut bytes = std::fs::read(&path).unwrap();
    for at in places(&two.dir, "tag-no-01500") {
        let page = at / PAGE * PAGE;
        bytes[page..page + PAGE].fill(0);
    }
    std::fs::write(&path, &bytes).unwrap();
    two.up_args(&["--no-watch"]);
    let error = two.refused(&["verify", "--deep"], 1);
    assert_eq!(error["code"], "damaged", "{error}");
    assert!(error["next"].as_str().unwrap().contains("join"), "{error}");
    let status = two.ok(&["status"]);
    assert!(status["damage"]["unsound"].is_string(), "{status}");
    until("it has let go of the others", || {
        let status = one.ok(&["status"]);
        (status["peers"][0]["online"] == false).then_some(())
    });
    let report = two.run(&["doctor", "--json"]);
    assert_eq!(report.code, 1, "{report:?}");
    // The cure: join anew; everything that others have is there.
    let digest = one.digest();
    two.down();
    std::fs::rename(&two.dir, world.path().join("aside")).unwrap();
    one.ok(&["devices", "evict", "two"]);
    let again = world.joiner("again", &one);
    again.ok(&["sync", "--wait", "60", "--reachable"]);
    assert_equal(&[&one, &again]);
    assert_ne!(again.digest(), digest, "it has its own row");
}
