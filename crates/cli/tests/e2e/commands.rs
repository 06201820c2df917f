//! The forms of commands: JSON, text, batches, completions.

use crate::common::{World, until, words};
use serde_json::{Value, json};

#[test]
fn options_stand_before_or_after_the_command() {
    let world = World::new();
    let device = world.device("one");
    let dir = world.path().join("elsewhere");
    let dir = dir.to_str().unwrap();
    let made = device.run(&["--json", "--dir", dir, "init", "--name", "x"]).json();
    let after = device.run(&["status", "--json", "--dir", dir]).json();
    assert_eq!(made["library_id"], after["library_id"]);
    assert_eq!(device.run(&["status", "--json"]).code, 3, "the variable names another one");
}

#[test]
fn status_says_what_scripts_hold_on_to() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    one.sync();
    let status = one.ok(&["status"]);
    for key in [
        "device_id",
        "library_id",
        "phase",
        "verdict",
        "http",
        "listen",
        "vector",
        "peers",
        "counts",
        "quarantined",
        "conflicts",
        "sizes",
    ] {
        assert!(status.get(key).is_some(), "{key} is missing in {status}");
    }
    assert!(status["http"].as_str().unwrap().starts_with("127.0.0.1:"), "{status}");
    assert_eq!(status["phase"], "ready");
    let peer = &status["peers"][0];
    for key in
        ["device_id", "name", "online", "behind", "ahead", "rtt_ms", "clock_offset_ms", "acked"]
    {
        assert!(peer.get(key).is_some(), "{key} is missing in {peer}");
    }
    assert_eq!((&peer["online"], &peer["acked"]), (&true.into(), &true.into()));
    let origins = status["vector"].as_object().unwrap();
    assert!(origins.keys().any(|origin| origin.ends_with("/shared")), "{origins:?}");
    assert!(origins.keys().any(|origin| origin.ends_with("/owned")), "{origins:?}");
    assert_eq!(status["vector"], two.ok(&["status"])["vector"]);
    assert!(one.run(&["status"]).stdout.starts_with("Up to date with two\n"));
}

#[test]
fn a_batch_gives_one_line_for_each_of_its_own_in_order() {
    let world = World::new();
    let folder = world.folder("files", &[("a", "one"), ("b", "two")]);
    for with_daemon in [true, false] {
        let mut one = world.founder(if with_daemon { "with" } else { "without" });
        if !with_daemon {
            one.down();
        }
        one.ok(&["location", "add", folder.to_str().unwrap()]);
        let before = one.ok(&["status"])["vector"].clone();
        let a = folder.join("a");
        let lines = one.batch(&[
            words(&["tag", "create", "x"]),
            words(&["tag", "create", "y", "--parent", "x"]),
            words(&["tag", "add", "y", a.to_str().unwrap()]),
            words(&["tag", "set", "x", "name=z"]),
            words(&["tag", "ls"]),
            words(&["find", "--tag", "y"]),
        ]);
        assert_eq!(lines[3]["id"], lines[0]["id"]);
        assert_eq!(lines[2]["changed"], 1);
        assert_eq!(lines[4][0]["parent"], lines[0]["id"], "{}", lines[4]);
        assert_eq!(lines[5][0]["path"], a.to_str().unwrap());
        let after = one.ok(&["status"])["vector"].clone();
        let grown: u64 = after
            .as_object()
            .unwrap()
            .iter()
            .map(|(origin, seq)| seq.as_u64().unwrap() - before[origin].as_u64().unwrap_or(0))
            .sum();
        assert_eq!(grown, 4, "each operation is its own commit");

        let mixed = "[\"tag\", \"create\", \"good\"]\nnonsense\n\n[\"tag\", \"rm\", \"nobody\"]\n\
                     [\"down\"]\n[\"tag\", \"create\", \"also good\"]\n";
        let outcome = one.feed(&["batch"], mixed);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        let codes: Vec<Value> =
            outcome.lines().iter().map(|line| line["error"]["code"].clone()).collect();
        let expected = [json!(null), json!("usage"), json!("no_tag"), json!("usage"), json!(null)];
        assert_eq!(codes, expected);
    }
}

#[test]
fn a_thousand_commits_of_a_batch_are_on_the_other_device_at_once() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    two.sync();
    let operations: Vec<_> =
        (0..1_000).map(|n| words(&["tag", "create", &format!("tag {n}")])).collect();
    one.batch(&operations);
    until("all are there", || (two.count("tag") == 1_000).then_some(()));
    one.sync();
    assert_eq!(one.digest(), two.digest());
    let mine = one.ok(&["status"])["vector"].clone();
    let id = one.ok(&["status"])["device_id"].as_str().unwrap().to_owned();
    let shared = mine.as_object().unwrap().iter();
    let commits: Vec<u64> = shared
        .filter(|(origin, _)| origin.starts_with(&id) && origin.ends_with("/shared"))
        .map(|(_, seq)| seq.as_u64().unwrap())
        .collect();
    assert!(commits.len() == 1 && commits[0] >= 1_000, "{mine}");
}

#[test]
fn a_batch_that_runs_side_by_side_ends_as_if_one_after_another() {
    let world = World::new();
    let one = world.founder("one");
    let mut operations = Vec::new();
    for n in 0..200 {
        let (name, new) = (format!("tag {n}"), format!("renamed {n}"));
        operations.push(words(&["tag", "create", &name]));
        operations.push(words(&["tag", "set", &name, "color=first"]));
        operations.push(words(&["tag", "set", &name, "color=second"]));
        operations.push(words(&["tag", "set", &name, &format!("name={new}")]));
        if n % 2 == 0 {
            operations.push(words(&["tag", "rm", &new]));
        }
    }
    one.batch(&operations);
    let tags = one.ok(&["tag", "ls"]);
    let tags = tags.as_array().unwrap();
    assert_eq!(tags.len(), 100);
    assert!(tags.iter().all(|tag| tag["color"] == "second"), "{tags:?}");
    assert!(
        tags.iter().all(|tag| tag["name"].as_str().unwrap().starts_with("renamed")),
        "{tags:?}"
    );
}

#[test]
fn files_are_found_on_all_devices_by_whatever_is_known_of_them() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    let left = world.folder("left", &[("Grüße.TXT", "a"), ("deep/gruß.txt", "b")]);
    let right = world.folder("right", &[("GRÜSSE.md", "c")]);
    one.ok(&["location", "add", left.to_str().unwrap()]);
    two.ok(&["location", "add", right.to_str().unwrap()]);
    one.sync();
    two.sync();
    let names = |args: &[&str]| -> Vec<String> {
        let found = one.ok(&[&["find"], args].concat());
        let name = |file: &Value| file["name"].as_str().unwrap().to_owned();
        let mut names: Vec<String> = found.as_array().unwrap().iter().map(name).collect();
        names.sort();
        names
    };
    assert_eq!(names(&["grü"]), ["GRÜSSE.md", "Grüße.TXT"], "case folded");
    assert_eq!(names(&["gr", "--prefix", "--device", "one"]), ["Grüße.TXT", "gruß.txt"]);
    assert_eq!(names(&["--kind", "dir", "deep"]), ["deep"]);
    assert_eq!(names(&["nothing like it"]), [""; 0]);
    assert_eq!(names(&["--limit", "1", "gr"]).len(), 1);
    let lines = one.run(&["find", "gr", "--lines", "--json"]);
    assert_eq!(lines.lines().len(), 3);
    assert_eq!(
        one.run(&["find", "gruß", "--lines"]).stdout,
        format!("{}/deep/gruß.txt\n", left.display())
    );
    let listed = one.ok(&["ls", &format!("two:{}", right.display())]);
    assert_eq!(
        (&listed[0]["name"], &listed[0]["size"], &listed[0]["kind"]),
        (&"GRÜSSE.md".into(), &1.into(), &"file".into())
    );
    let locations = one.ok(&["location", "ls"]);
    assert_eq!(locations.as_array().unwrap().len(), 2);
    let own = locations[0]["id"].as_str().unwrap();
    std::fs::write(left.join("new.txt"), "d").unwrap();
    assert_eq!(one.ok(&["location", "rescan"])["added"], 1);
    one.ok(&["location", "rm", &own[..13]]);
    one.sync();
    assert_eq!(two.count("entry"), 1);
}

#[test]
fn what_is_odd_in_a_tree_is_told_and_never_fatal() {
    use std::os::unix::ffi::OsStrExt as _;
    let world = World::new();
    let one = world.founder("one");
    let odd = world.folder("odd", &[("plain", "x")]);
    std::os::unix::fs::symlink("nowhere", odd.join("broken")).unwrap();
    let raw = std::ffi::OsStr::from_bytes(b"raw \xff");
    std::fs::write(odd.join(raw), "y").unwrap();
    let added = one.ok(&["location", "add", odd.to_str().unwrap()]);
    assert_eq!((&added["files"], &added["links"]), (&2.into(), &1.into()), "{added}");
    assert_eq!(added["note_count"], 2, "{added}");
    let found = one.ok(&["find", "raw"]);
    assert_eq!(found[0]["name"], "raw \u{fffd}");
    assert_eq!(found[0]["name_raw"], "cmF3IP8=");
    one.ok(&["tag", "create", "t"]);
    let args =
        [std::ffi::OsStr::new("tag"), "add".as_ref(), "t".as_ref(), odd.join(raw).as_os_str()]
            .map(std::ffi::OsStr::to_owned);
    assert_eq!(one.run(&args).code, 0);
    assert_eq!(one.ok(&["find", "--tag", "t"])[0]["name_raw"], "cmF3IP8=");
}

#[test]
fn tags_with_one_name_are_one_and_others_can_be_merged() {
    let world = World::new();
    let one = world.founder("one");
    let folder = world.folder("files", &[("a", "one"), ("b", "two"), ("c", "three")]);
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    for (tag, file) in [("Holiday", "a"), ("Holiday", "b"), ("trip", "c")] {
        let id = one.ok(&["tag", "create", tag])["id"].as_str().unwrap().to_owned();
        one.ok(&["tag", "add", &id, folder.join(file).to_str().unwrap()]);
    }
    let found = |name: &str| one.ok(&["find", "--tag", name]).as_array().unwrap().len();
    assert_eq!((found("Holiday"), found("trip")), (2, 1));
    let tags = one.ok(&["tag", "ls"]);
    let alias = tags.as_array().unwrap().iter().find(|tag| !tag["alias_of"].is_null()).unwrap();
    let canonical = tags.as_array().unwrap().iter().find(|tag| tag["id"] == alias["alias_of"]);
    assert_eq!(canonical.unwrap()["subjects"], 2);
    one.ok(&["tag", "merge", "trip", "Holiday"]);
    assert_eq!(found("Holiday"), 3);
    assert_eq!(one.run(&["find", "--tag", "trip"]).code, 3);
    assert_eq!(one.run(&["tag", "merge", "trip", "Holiday"]).code, 3);
    one.ok(&["tag", "set", "Holiday", "name=Vacation"]);
    assert_eq!(found("Vacation"), 3);
    one.ok(&["tag", "rm", "Vacation"]);
    assert_eq!(one.tags().len(), 0);
}

#[test]
fn a_dump_is_sorted_and_says_whose_rows_are_whose() {
    let world = World::new();
    let one = world.founder("one");
    let folder = world.folder("files", &[("a", "one")]);
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    one.ok(&["tag", "create", "x"]);
    let dump = one.run(&["dump"]).lines();
    let order: Vec<(&str, &str)> = dump
        .iter()
        .map(|line| (line["model"].as_str().unwrap(), line["id"].as_str().unwrap()))
        .collect();
    assert!(order.is_sorted(), "{order:?}");
    let models: Vec<&str> = order.iter().map(|(model, _)| *model).collect();
    assert_eq!(models, ["device", "entry", "location", "tag", "volume"]);
    assert_eq!(dump[1]["device"], one.ok(&["status"])["device_id"]);
    assert_eq!(dump[3]["fields"], json!({"name": "x"}));
    assert!(dump.iter().all(|line| line.get("sync").is_none()));
    let stamped = one.run(&["dump", "--stamps"]).lines();
    assert!(stamped.iter().all(|line| line["sync"].is_object()));
}

#[test]
fn settings_are_kept() {
    let world = World::new();
    let one = world.founder("one");
    assert_eq!(
        one.ok(&["config", "get"]),
        json!({
            "discovery": "on", "history": "90d", "history_mib": "64", "max_drift": "60s",
            "relay": "on", "retention": "30d",
        })
    );
    for (key, bad) in [("history", "long"), ("history_mib", "0"), ("history_mib", "64 MiB")] {
        assert_eq!(one.refused(&["config", "set", key, bad], 2)["code"], "usage");
    }
    assert_eq!(one.ok(&["config", "set", "history_mib", "8"]), json!({"history_mib": "8"}));
    assert_eq!(one.ok(&["config", "set", "max_drift", "5m"]), json!({"max_drift": "5m"}));
    assert_eq!(one.ok(&["config", "get", "max_drift"]), json!({"max_drift": "5m"}));
    assert_eq!(one.refused(&["config", "set", "max_drift", "soon"], 2)["code"], "usage");
    assert_eq!(one.refused(&["config", "get", "colour"], 2)["code"], "usage");
}

#[test]
fn links_are_shown_made_by_hand_and_noticed_when_they_end() {
    let world = World::new();
    let mut one = world.founder("one");
    let two = world.joiner("two", &one);
    two.sync();
    one.ok(&["peers", "pause"]);
    one.ok(&["peers", "resume"]);
    let address = &two.ok(&["status"])["listen"][0];
    let added = one.ok(&["peers", "add", address.as_str().unwrap()]);
    assert_eq!(&added["address"], address);
    one.sync();
    let peers = one.ok(&["peers"]);
    assert_eq!(peers[0]["route"], *address, "{peers}");
    one.kill();
    until("the other has noticed", || (two.ok(&["peers"])[0]["online"] == false).then_some(()));
}

#[test]
fn help_and_completions_need_no_library() {
    let world = World::new();
    let device = world.device("none");
    let help = device.run(&["help"]);
    assert_eq!(help.code, 0);
    for command in [
        "demo",
        "init",
        "up",
        "down",
        "invite",
        "join",
        "devices",
        "peers",
        "location",
        "ls",
        "find",
        "tag",
        "batch",
        "status",
        "sync",
        "digest",
        "dump",
        "verify",
        "doctor",
        "prune",
        "backup",
        "restore",
        "config",
        "completions",
    ] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command} in {}", help.stdout);
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = device.run(&["completions", shell]);
        assert_eq!(script.code, 0);
        assert!(script.stdout.contains("driftless"), "{shell}");
    }
    assert_eq!(device.run(&["--version"]).code, 0);
    for part in [&[][..], &["tag"]] {
        let outcome = device.run(part);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{part:?}");
        assert!(outcome.stderr.contains("Usage: driftless"), "{outcome:?}");
        assert_eq!(device.refused_once(part, 2), "usage");
    }
}

#[test]
fn two_commands_at_once_take_turns() {
    let world = World::new();
    let one = world.device("one");
    one.ok(&["init"]);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let one = &one;
            scope.spawn(move || one.ok(&["tag", "create", &format!("tag {n}")]));
        }
    });
    assert_eq!(one.tags().len(), 8);
}
