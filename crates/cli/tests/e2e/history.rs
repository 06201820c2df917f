//! Who wrote what when, taking it back, bringing it back, and how it was.

use serde_json::{Value, json};

use crate::common::{Device, World, assert_equal, until};

/// Both devices index a folder with the same files.
fn indexed(world: &World, devices: &[&Device], files: &[(&str, &str)]) -> Vec<std::path::PathBuf> {
    let folder = |device: &&Device| {
        let folder = world.folder(&format!("files-{}", device.name), files);
        device.ok(&["location", "add", folder.to_str().unwrap()]);
        folder
    };
    let folders = devices.iter().map(folder).collect();
    devices.iter().for_each(|device| device.sync());
    folders
}

fn note(device: &Device, path: &str) -> Value {
    device.ok(&["meta", "get", path])["note"].clone()
}

fn history(device: &Device, record: &str) -> Vec<Value> {
    device.ok(&["history", record]).as_array().unwrap().clone()
}

#[test]
fn a_conflict_that_was_resolved_the_wrong_way_is_undone() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    let folders = indexed(&world, &[&one, &two], &[("sea.txt", "waves")]);
    let paths: Vec<String> =
        folders.iter().map(|folder| folder.join("sea.txt").display().to_string()).collect();
    one.ok(&["meta", "set", &paths[0], "note=first"]);
    one.sync();
    one.down();
    two.down();
    one.ok(&["meta", "set", &paths[0], "note=of one"]);
    two.ok(&["meta", "set", &paths[1], "note=of two"]);
    one.up();
    two.up();
    one.sync();
    two.sync();
    let conflict = one.ok(&["conflicts"]);
    assert_eq!((conflict.as_array().unwrap().len(), &two.ok(&["conflicts"])), (1, &conflict));
    let id = conflict[0]["id"].as_str().unwrap();
    let (winner, loser) =
        (conflict[0]["winner"]["value"].clone(), conflict[0]["losers"][0]["value"].clone());
    assert_eq!(note(&one, &paths[0]), winner);

    two.ok(&["conflicts", "resolve", id, "--take-loser"]);
    two.sync();
    assert_eq!([note(&one, &paths[0]), note(&two, &paths[1])], [loser.clone(), loser.clone()]);
    // The first device sees what it was, and takes it back, though the second one did it.
    let told = history(&one, &paths[0]);
    let replaced = told[0]["fields"][0]["replaced"].as_array().unwrap();
    assert_eq!((told[0]["device"].as_str(), replaced.len()), (Some("two"), 2), "{told:?}");
    assert!(replaced.iter().all(|value| value["known"] == true), "{replaced:?}");
    let dot = told[0]["dot"].as_str().unwrap();
    let done = one.ok(&["undo", dot]);
    let field = &done["changes"][0]["fields"][0];
    assert_eq!((&field["field"], &field["to"]), (&json!("note"), &winner), "{done}");
    one.sync();
    assert_eq!([note(&one, &paths[0]), note(&two, &paths[1])], [winner.clone(), winner]);
    // And the undo, on the second.
    let undo = done["written"][0].as_str().unwrap();
    two.ok(&["undo", undo]);
    two.sync();
    assert_eq!([note(&one, &paths[0]), note(&two, &paths[1])], [loser.clone(), loser]);
    assert_equal(&[&one, &two]);
}

#[test]
fn a_thousand_files_that_were_untagged_by_mistake_are_tagged_again_by_another_device() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    let files: Vec<(String, String)> =
        (0..1_000).map(|n| (format!("{n:04}.txt"), format!("file {n}"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let folder = world.folder("many", &files);
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    one.ok(&["tag", "create", "summer"]);
    let paths: Vec<String> =
        files.iter().map(|(name, _)| folder.join(name).display().to_string()).collect();
    let on = |tag: &str, word: &str| -> Vec<String> {
        let words = ["tag", word, tag].map(str::to_owned);
        words.into_iter().chain(paths.iter().cloned()).collect()
    };
    let run = |words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        one.ok(&words)
    };
    assert_eq!(run(&on("summer", "add"))["changed"], 1_000);
    one.sync();
    let tagged = |device: &Device, tag: &str| {
        device.ok(&["find", "--tag", tag, "--limit", "5000"]).as_array().unwrap().len()
    };
    assert_eq!(tagged(&two, "summer"), 1_000);

    assert_eq!(run(&on("summer", "remove"))["changed"], 1_000);
    one.sync();
    assert_eq!(tagged(&two, "summer"), 0);
    let mistake = two.run(&["--json", "log", "--limit", "1"]).lines();
    assert_eq!(mistake[0]["changes"].as_array().unwrap().len(), 1_000);
    // Edits made in between survive: of the tag, of other things, and of the very same.
    one.ok(&["tag", "set", "summer", "color=yellow"]);
    one.ok(&["tag", "add", "summer", &paths[7]]);
    two.ok(&["tag", "create", "winter"]);
    one.sync();
    let file = format!("one:{}", paths[8]);
    two.ok(&["tag", "add", "winter", &file]);

    let dot = mistake[0]["dot"].as_str().unwrap();
    let plan = two.ok(&["undo", dot, "--dry-run"]);
    assert_eq!((plan["dry_run"].as_bool(), tagged(&two, "summer")), (Some(true), 1));
    assert_eq!(plan["changes"].as_array().unwrap().len(), 999);
    let done = two.ok(&["undo", dot]);
    assert_eq!((&done["changes"], &done["obstacles"]), (&plan["changes"], &json!([])));
    two.sync();
    for device in [&one, &two] {
        assert_eq!((tagged(device, "summer"), tagged(device, "winter")), (1_000, 1));
        let tags = device.ok(&["tag", "ls"]);
        let summer = tags.as_array().unwrap().iter().find(|tag| tag["name"] == "summer").unwrap();
        assert_eq!(summer["color"], "yellow");
    }
    assert_equal(&[&one, &two]);
}

#[test]
fn a_tag_is_followed_through_its_life_and_beyond() {
    let world = World::new();
    let mut one = world.founder("one");
    let two = world.joiner("two", &one);
    let id = one.ok(&["tag", "create", "plans", "--color", "red"])["id"].clone();
    let id = id.as_str().unwrap();
    one.sync();
    two.ok(&["tag", "set", "plans", "color=blue", "description=for later"]);
    two.sync();
    let told = history(&one, "plans");
    assert_eq!(told.len(), 2);
    let (last, first) = (&told[0], &told[1]);
    assert_eq!((&last["device"], &last["did"]), (&json!("two"), &json!("set")));
    assert_eq!((&first["device"], &first["did"]), (&json!("one"), &json!("created")));
    for entry in &told {
        assert_eq!(
            (&entry["model"], &entry["record"], &entry["name"]),
            (&json!("tag"), &json!(id), &json!("plans"))
        );
        assert!(entry["time"].as_str().unwrap().ends_with('Z'), "{entry}");
    }
    let color = last["fields"].as_array().unwrap().iter().find(|f| f["field"] == "color").unwrap();
    assert_eq!((&color["value"], &color["replaced"][0]["value"]), (&json!("blue"), &json!("red")));
    assert_eq!(color["replaced"][0]["dot"], first["dot"]);
    for selector in [id, &id[..13]] {
        assert_eq!(history(&two, selector), told);
    }
    assert_eq!(one.refused(&["history", "nonsense"], 3)["code"], "no_record");
    assert!(one.run(&["history", "plans"]).stdout.contains("(was \"red\" by one)"));

    // What something later builds on is not taken back without force.
    let created = first["dot"].as_str().unwrap();
    let refused = one.refused(&["undo", created], 4);
    assert_eq!(refused["code"], "undo_refused");
    assert!(refused["message"].as_str().unwrap().contains(last["dot"].as_str().unwrap()));
    let seq = last["dot"].as_str().unwrap().rsplit_once('#').unwrap().1.to_owned();
    let done = one.ok(&["undo", &format!("two#{seq}")]);
    assert_eq!(done["undone"], json!([last["dot"]]));
    let tag = |device: &Device| device.ok(&["tag", "ls"])[0].clone();
    assert_eq!((&tag(&one)["color"], &tag(&one)["description"]), (&json!("red"), &Value::Null));
    let again = one.refused(&["undo", last["dot"].as_str().unwrap()], 4);
    assert!(again["message"].as_str().unwrap().contains("plans.color"), "{again}");

    // Without the daemon as well.
    one.down();
    one.ok(&["tag", "set", "plans", "color=green"]);
    let forced = one.ok(&["undo", last["dot"].as_str().unwrap(), "--force"]);
    assert_eq!(forced["obstacles"][0]["reason"], "overwritten");
    assert_eq!(tag(&one)["color"], "red");
    assert_eq!(one.refused(&["log", "--follow"], 3)["code"], "no_daemon");
    one.up();
    one.sync();
    assert_equal(&[&one, &two]);
}

#[test]
fn what_was_deleted_is_listed_and_comes_back() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    let id = one.ok(&["tag", "create", "plans", "--color", "red"])["id"].clone();
    one.ok(&["tag", "create", "other"]);
    one.sync();
    assert_eq!(two.ok(&["tag", "ls", "--deleted"]), json!([]));
    two.ok(&["tag", "rm", "plans"]);
    two.sync();
    for device in [&one, &two] {
        let deleted = device.ok(&["tag", "ls", "--deleted"]);
        let [gone] = &deleted.as_array().unwrap()[..] else { panic!("{deleted}") };
        assert_eq!(
            (&gone["id"], &gone["name"], &gone["device"]),
            (&id, &json!("plans"), &json!("two"))
        );
        assert!(device.run(&["tag", "ls", "--deleted"]).stdout.contains("plans"));
    }
    assert_eq!(one.refused(&["restore-record", "nothing"], 3)["code"], "no_record");
    assert_eq!(one.refused(&["restore-record", "other"], 4)["code"], "undo_refused");
    let back = one.ok(&["restore-record", "plans"]);
    assert_eq!(
        (&back["changes"][0]["record"], &back["changes"][0]["did"]),
        (&id, &json!("created"))
    );
    one.sync();
    for device in [&one, &two] {
        assert_eq!(device.ok(&["tag", "ls", "--deleted"]), json!([]));
        let tags = device.ok(&["tag", "ls"]);
        let tag = tags.as_array().unwrap().iter().find(|tag| tag["id"] == id).unwrap();
        assert_eq!((&tag["name"], &tag["color"]), (&json!("plans"), &json!("red")));
    }
    // Taking the delete back does the same, and what brought it back can be taken back.
    two.ok(&["undo", back["written"][0].as_str().unwrap()]);
    two.sync();
    assert_eq!(one.ok(&["tag", "ls"]).as_array().unwrap().len(), 1);
    let delete = history(&one, "plans")[0]["dot"].clone();
    one.ok(&["undo", delete.as_str().unwrap()]);
    one.sync();
    assert_eq!(two.ok(&["tag", "ls"]).as_array().unwrap().len(), 2);
    assert_equal(&[&one, &two]);
}

#[test]
fn the_past_is_looked_at_as_it_was() {
    let world = World::new();
    let one = world.founder("one");
    let folder = world.folder("files", &[("sea.txt", "waves")]);
    let path = folder.join("sea.txt").display().to_string();
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    one.ok(&["tag", "create", "summer"]);
    one.ok(&["tag", "add", "summer", &path]);
    one.ok(&["meta", "set", &path, "note=before", "rating=3"]);
    let log = one.run(&["--json", "log"]).lines();
    let then = log.last().unwrap()["time"].as_str().unwrap().to_owned();
    until("the clock has gone on", || {
        let now = one.ok(&["tag", "create", "later"]);
        let log = one.run(&["--json", "log", "--limit", "1"]).lines();
        (log[0]["time"].as_str().unwrap() > then.as_str()).then_some(now)
    });
    one.ok(&["tag", "set", "summer", "name=autumn"]);
    one.ok(&["tag", "remove", "autumn", &path]);
    one.ok(&["meta", "set", &path, "note=after"]);
    one.ok(&["tag", "rm", "autumn"]);

    let tags = one.ok(&["tag", "ls", "--as-of", &then]);
    assert_eq!((&tags[0]["name"], tags.as_array().unwrap().len()), (&json!("summer"), 1), "{tags}");
    assert_eq!(tags[0]["subjects"], 1);
    let noted = one.ok(&["meta", "get", &path, "--as-of", &then]);
    assert_eq!((&noted["note"], &noted["rating"]), (&json!("before"), &json!(3)));
    assert_eq!(noted["tags"], json!(["summer"]));
    let listed = one.ok(&["ls", folder.to_str().unwrap(), "--as-of", &then]);
    assert_eq!((&listed[0]["note"], &listed[0]["tags"]), (&json!("before"), &json!(["summer"])));
    let now = one.ok(&["ls", folder.to_str().unwrap()]);
    assert_eq!((&now[0]["note"], &now[0]["tags"]), (&json!("after"), &json!([])));
    assert_eq!(one.ok(&["tag", "ls", "--as-of", "36500d"]), json!([]), "before there was anything");
    one.refused(&["tag", "ls", "--as-of", "yesterday"], 2);
}

#[test]
fn the_log_is_filtered_and_followed() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    one.ok(&["tag", "create", "of one"]);
    one.sync();
    two.ok(&["tag", "create", "of two"]);
    two.sync();
    let names = |args: &[&str]| -> Vec<Value> {
        let lines = one.run(&[&["--json", "log"], args].concat()).lines();
        let changes = lines.iter().flat_map(|line| line["changes"].as_array().unwrap().clone());
        changes.filter(|change| change["model"] == "tag").map(|c| c["name"].clone()).collect()
    };
    assert_eq!(names(&[]), ["of one", "of two"]);
    assert_eq!(names(&["--device", "two"]), ["of two"]);
    assert_eq!(names(&["--model", "tag", "--limit", "1"]), ["of two"]);
    assert_eq!(names(&["--kind", "collection"]), [Value::Null; 0]);
    assert_eq!(names(&["--since", "1h"]), ["of one", "of two"]);
    one.refused(&["log", "--model", "entry"], 2);

    let mut follower =
        one.command(&["--json", "log", "--follow", "--model", "tag"]).spawn().unwrap();
    let (send, lines) = std::sync::mpsc::channel();
    let out = follower.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        use std::io::BufRead as _;
        for line in std::io::BufReader::new(out).lines().map_while(Result::ok) {
            let line: Value = serde_json::from_str(&line).unwrap();
            if send.send(line["changes"][0]["name"].clone()).is_err() {
                return;
            }
        }
    });
    let next = || lines.recv_timeout(crate::common::PATIENCE).unwrap();
    assert_eq!([next(), next()], ["of one", "of two"]);
    two.ok(&["tag", "create", "news"]);
    assert_eq!(next(), "news");
    follower.kill().unwrap();
    follower.wait().unwrap();
    drop(lines);
    reader.join().unwrap();
}

#[test]
fn something_large_leaves_a_checkpoint_to_go_back_to() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    for tag in ["holiday", "vacation"] {
        one.ok(&["tag", "create", tag, "--color", tag]);
    }
    one.sync();
    let merged = one.run(&["tag", "merge", "holiday", "vacation"]);
    assert_eq!(merged.code, 0, "{merged:?}");
    assert!(merged.stderr.contains("driftless undo --to c1"), "{merged:?}");
    let mut log = one.run(&["--json", "log"]).lines();
    log.retain(|line| line["event"].is_null());
    let at = log.iter().position(|line| line["checkpoint"] == "c1").unwrap();
    assert_eq!((&log[at]["what"], at), (&json!("tag merge"), log.len() - 2), "{log:?}");
    assert!(one.run(&["log"]).stdout.contains("checkpoint c1, before: tag merge"));
    // What else this device did since goes back as well, and what others did stays.
    one.ok(&["tag", "create", "later"]);
    one.sync();
    two.ok(&["tag", "create", "of two"]);
    two.sync();
    let names = |device: &Device| device.tags();
    assert_eq!(names(&one).len(), 4);
    let plan = one.ok(&["undo", "--to", "c1", "--dry-run"]);
    assert_eq!((plan["undone"].as_array().unwrap().len(), names(&one).len()), (2, 4), "{plan}");
    one.ok(&["undo", "--to", "c1"]);
    one.sync();
    for device in [&one, &two] {
        assert_eq!(names(device), ["holiday", "of two", "vacation"]);
    }
    assert_equal(&[&one, &two]);
    assert_eq!(one.refused(&["undo", "--to", "c9"], 3)["code"], "no_checkpoint");
    assert_eq!(two.refused(&["undo", "--to", "c1"], 3)["code"], "no_checkpoint");
    one.refused(&["undo"], 2);
    one.refused(&["undo", "nonsense"], 2);
    assert_eq!(one.refused(&["undo", "one#999"], 3)["code"], "no_change_set");
}

/// A device's log as dots, without what devices write of themselves.
fn dots(device: &Device) -> Vec<Value> {
    let mut dots: Vec<Value> = device
        .run(&["--json", "log", "--model", "tag", "--limit", "1000"])
        .lines()
        .iter()
        .map(|line| line["dot"].clone())
        .collect();
    dots.sort_by_key(Value::to_string);
    dots
}

fn tag(device: &Device, name: &str) -> Value {
    let tags = device.ok(&["tag", "ls"]);
    tags.as_array().unwrap().iter().find(|tag| tag["name"] == name).unwrap().clone()
}

/// Everybody has everything, and forgets it.
fn forget_all(devices: &[&Device]) {
    devices.iter().for_each(|device| device.sync());
    for device in devices {
        until("its log is pruned", || {
            (device.ok(&["prune", "--now"])["sets"].as_u64().unwrap() > 0).then_some(())
        });
    }
}

#[test]
fn who_joins_after_pruning_is_handed_the_history() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    one.ok(&["tag", "create", "plans", "--color", "red"]);
    one.ok(&["tag", "create", "gone", "--color", "grey"]);
    one.sync();
    two.ok(&["tag", "set", "plans", "color=blue"]);
    two.ok(&["tag", "rm", "gone"]);
    two.sync();
    let then = two.run(&["--json", "log", "--limit", "1"]).lines()[0]["time"].clone();
    let then = then.as_str().unwrap();
    until("the clock has gone on", || {
        one.ok(&["tag", "create", "later"]);
        let log = one.run(&["--json", "log", "--limit", "1"]).lines();
        (log[0]["time"].as_str().unwrap() > then).then_some(())
    });
    one.ok(&["tag", "set", "plans", "color=green"]);
    forget_all(&[&one, &two]);
    let (told, all) = (history(&one, "plans"), dots(&one));
    let change = told[0]["dot"].as_str().unwrap().to_owned();
    one.down();

    let three = world.joiner("three", &two);
    until("the history is handed over", || (dots(&three) == all).then_some(()));
    assert_eq!(history(&three, "plans"), told);
    let deleted = three.ok(&["tag", "ls", "--deleted"]);
    assert_eq!((&deleted[0]["name"], &deleted[0]["device"]), (&json!("gone"), &json!("two")));
    let tags = three.ok(&["tag", "ls", "--as-of", then]);
    assert_eq!((&tags[0]["color"], tags.as_array().unwrap().len()), (&json!("blue"), 1), "{tags}");
    // What was done before it was there is taken back by it, everywhere.
    three.ok(&["undo", &change]);
    three.ok(&["restore-record", "gone"]);
    one.up();
    three.sync();
    one.sync();
    for device in [&one, &two, &three] {
        assert_eq!(
            (&tag(device, "plans")["color"], &tag(device, "gone")["color"]),
            (&json!("blue"), &json!("grey"))
        );
    }
    assert_equal(&[&one, &two, &three]);

    // A device that has lost its log has no other history than a joiner.
    let (told, all) = (history(&one, "plans"), dots(&one));
    two.down();
    two.lose_log();
    two.up();
    until("the history is back", || (dots(&two) == all).then_some(()));
    assert_eq!(history(&two, "plans"), told);
    two.ok(&["undo", told[0]["dot"].as_str().unwrap()]);
    two.sync();
    assert_eq!(tag(&one, "plans")["color"], "green");
    assert_equal(&[&one, &two, &three]);
}

#[test]
fn who_keeps_no_history_is_handed_none() {
    let world = World::new();
    let one = world.founder("one");
    let mut two = world.joiner("two", &one);
    one.ok(&["tag", "create", "plans"]);
    forget_all(&[&one, &two]);
    two.down();
    two.ok(&["config", "set", "history", "0d"]);
    two.up();
    two.sync();
    one.ok(&["tag", "create", "later"]);
    one.sync();
    until("two keeps none", || {
        two.ok(&["prune", "--now"]);
        dots(&two).is_empty().then_some(())
    });
    assert_eq!(dots(&one).len(), 2);
}
