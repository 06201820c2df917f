//! What devices wrote without knowing of each other: seen, chosen between, the same everywhere.

use serde_json::{Value, json};

use crate::common::{Device, World, assert_equal, until, words};

/// Writes a tag's description on each device while they are apart, and lets them meet.
fn describe_apart(devices: &mut [&mut Device], tag: &str) {
    for device in devices.iter_mut() {
        device.down();
    }
    for device in devices.iter() {
        // Text that none of them has had before.
        let text = format!("description={} at {}", device.name, device.dump().len());
        device.ok(&["tag", "set", tag, &text]);
    }
    for device in devices.iter_mut() {
        device.up();
    }
    for device in devices.iter() {
        device.sync();
    }
}

fn conflicts(device: &Device) -> Vec<Value> {
    device.ok(&["conflicts"]).as_array().unwrap().clone()
}

fn description(device: &Device) -> Value {
    device.ok(&["tag", "ls"])[0]["description"].clone()
}

#[test]
fn one_description_of_two_devices_is_one_conflict_that_either_resolves_for_both() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    let tag = one.ok(&["tag", "create", "plans"])["id"].clone();
    one.sync();
    assert_eq!(conflicts(&one), [Value::Null; 0]);
    describe_apart(&mut [&mut one, &mut two], "plans");
    assert_equal(&[&one, &two]);

    let found = conflicts(&one);
    assert_eq!(found, conflicts(&two), "the same on both");
    let [conflict] = &found[..] else { panic!("{found:?}") };
    assert_eq!(
        (&conflict["model"], &conflict["record"], &conflict["name"], &conflict["field"]),
        (&json!("tag"), &tag, &json!("plans"), &json!("description"))
    );
    let (winner, losers) = (&conflict["winner"], conflict["losers"].as_array().unwrap());
    let [loser] = &losers[..] else { panic!("{losers:?}") };
    for side in [winner, loser] {
        let name = side["device"].as_str().unwrap();
        assert!(side["value"].as_str().unwrap().starts_with(name), "{side}");
        assert!(side["time"].as_str().unwrap().ends_with('Z'), "{side}");
        let origin = format!("{}/", side["device_id"].as_str().unwrap());
        assert!(side["dot"].as_str().unwrap().starts_with(&origin), "{side}");
    }
    assert_eq!(description(&one), winner["value"]);
    let status = one.ok(&["status"]);
    assert_eq!(status["conflicts"], 1);
    assert!(status["verdict"].as_str().unwrap().contains("1 conflict is open"), "{status}");

    let id = conflict["id"].as_str().unwrap();
    for selector in [id, &id[..8], "plans"] {
        assert_eq!(one.ok(&["conflicts", "show", selector]), *conflict);
    }
    let text = one.run(&["conflicts", "show", id]);
    assert!(text.stdout.contains("one at") && text.stdout.contains("two at"), "{text:?}");
    assert!(one.run(&["conflicts"]).stdout.contains("plans"));

    let resolved = two.ok(&["conflicts", "resolve", &id[..8], "--take-loser"]);
    assert_eq!((&resolved["value"], &resolved["open"]), (&loser["value"], &json!(0)));
    two.sync();
    for device in [&one, &two] {
        assert_eq!(conflicts(device), [Value::Null; 0]);
        assert_eq!(description(device), loser["value"]);
        assert_eq!(device.ok(&["status"])["conflicts"], 0);
    }
    assert_equal(&[&one, &two]);
    let late = one.refused(&["conflicts", "resolve", id, "--keep-winner"], 3);
    assert_eq!(late["code"], "no_conflict");
    assert_eq!(one.refused(&["conflicts", "show", "plans"], 3)["code"], "no_conflict");
}

#[test]
fn of_several_losers_one_has_to_be_named() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    let mut three = world.joiner("three", &two);
    one.ok(&["tag", "create", "plans"]);
    one.sync();
    describe_apart(&mut [&mut one, &mut two, &mut three], "plans");
    assert_equal(&[&one, &two, &three]);

    let found = conflicts(&three);
    let losers = found[0]["losers"].as_array().unwrap();
    assert_eq!(losers.len(), 2);
    let id = found[0]["id"].as_str().unwrap();
    let refused = three.refused(&["conflicts", "resolve", id, "--take-loser"], 2);
    for loser in losers {
        let dot = loser["dot"].as_str().unwrap();
        assert!(refused["message"].as_str().unwrap().contains(dot), "{refused}");
    }
    let choices: [&[&str]; 4] =
        [&[], &["--keep-winner", "--take-loser"], &["--take"], &["--take", "nonsense"]];
    for choice in choices {
        three.refused(&[&["conflicts", "resolve", id], choice].concat(), 2);
    }
    let elsewhere = format!("{}/0000000000000001/shared#1", "ab".repeat(32));
    let refused = three.refused(&["conflicts", "resolve", id, "--take", &elsewhere], 2);
    assert!(refused["message"].as_str().unwrap().contains(losers[0]["dot"].as_str().unwrap()));
    assert_eq!(conflicts(&three), found, "nothing that was refused changed anything");

    // In a batch, as any operation.
    let dot = losers[1]["dot"].as_str().unwrap();
    let lines = three.batch(&[
        words(&["conflicts"]),
        words(&["conflicts", "resolve", id, "--take", dot]),
        words(&["conflicts"]),
    ]);
    assert_eq!(lines[0][0]["id"], id);
    assert_eq!((&lines[1]["value"], &lines[2]), (&losers[1]["value"], &json!([])));
    three.sync();
    one.sync();
    two.sync();
    for device in [&one, &two, &three] {
        assert_eq!(conflicts(device), [Value::Null; 0]);
        assert_eq!(description(device), losers[1]["value"]);
    }
    assert_equal(&[&one, &two, &three]);
}

#[test]
fn equal_edits_are_no_conflict_and_the_winner_can_be_kept() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    one.ok(&["tag", "create", "plans"]);
    one.sync();
    one.down();
    two.down();
    for device in [&one, &two] {
        device.ok(&["tag", "set", "plans", "color=red"]);
    }
    one.up();
    two.up();
    one.sync();
    two.sync();
    assert_eq!(conflicts(&one), [Value::Null; 0]);
    describe_apart(&mut [&mut one, &mut two], "plans");
    let winner = conflicts(&one)[0]["winner"].clone();
    let dot = winner["dot"].as_str().unwrap();
    let resolved = one.ok(&["conflicts", "resolve", "plans", "--take", dot]);
    assert_eq!(resolved["value"], winner["value"]);
    one.sync();
    assert_eq!(conflicts(&two), [Value::Null; 0]);
    assert_eq!(description(&two), winner["value"]);
    describe_apart(&mut [&mut one, &mut two], "plans");
    let kept = two.ok(&["conflicts", "resolve", "plans", "--keep-winner"])["value"].clone();
    two.sync();
    assert_eq!((conflicts(&one).len(), description(&one)), (0, kept));
    assert_equal(&[&one, &two]);
}

#[test]
fn nothing_waits_in_quarantine_of_equal_versions() {
    let world = World::new();
    let one = world.founder("one");
    assert_eq!(one.ok(&["quarantine"]), json!([]));
    let retried = one.ok(&["quarantine", "retry"]);
    assert_eq!(retried, json!({"tried": 0, "shown": 0, "quarantined": 0}));
    assert!(one.run(&["quarantine"]).stdout.contains("Nothing"));
}

/// The times of all stamps in a dump, the latest last.
fn times(device: &Device) -> Vec<u64> {
    let dump = device.dump();
    let parts = dump.split("\"hlc\":\"").skip(1);
    let mut times: Vec<u64> =
        parts.map(|part| part.split('"').next().unwrap().parse().unwrap()).collect();
    times.sort_unstable();
    times
}

#[test]
fn the_clock_goes_on_from_where_it_was_though_the_wall_clock_is_set_back() {
    let world = World::new();
    let mut one = world.device("one");
    let ahead = [("DRIFTLESS_CLOCK_OFFSET", "3600")];
    one.ok(&["init"]);
    one.up_with(&ahead);
    one.ok(&["tag", "create", "first"]);
    one.down();
    let before = *times(&one).last().unwrap();
    one.ok(&["tag", "create", "second"]);
    let after = *times(&one).last().unwrap();
    assert!(after > before, "{after} {before}");
    one.up_with(&[("DRIFTLESS_CLOCK_OFFSET", "-3600")]);
    one.ok(&["tag", "create", "third"]);
    assert!(*times(&one).last().unwrap() > after);
}

#[test]
fn a_clock_that_is_a_year_ahead_shadows_nothing() {
    let world = World::new();
    let mut one = world.founder("one");
    let two = world.joiner("two", &one);
    one.down();
    one.up_with(&[("DRIFTLESS_CLOCK_OFFSET", "31536000")]);
    let write = |device: &Device, text: &str| {
        device.ok(&["tag", "set", "plans", &format!("description={text}")]);
        device.sync();
    };
    one.ok(&["tag", "create", "plans"]);
    one.sync();
    for (device, text) in [(&two, "after it"), (&one, "a year ahead"), (&two, "after that")] {
        write(device, text);
        for device in [&one, &two] {
            assert_eq!(description(device), text, "{}", device.name);
            assert_eq!(conflicts(device), [Value::Null; 0]);
        }
        assert_equal(&[&one, &two]);
    }
    let verdict = two.ok(&["status"])["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.contains("the clock of one is 365 days ahead"), "{verdict}");

    one.down();
    one.up();
    let offset = |two: &Device| two.ok(&["status"])["peers"][0]["clock_offset_ms"].as_i64();
    let offset = until("they have met again", || offset(&two).filter(|ms| ms.abs() < 60_000));
    assert!(!two.ok(&["status"])["verdict"].as_str().unwrap().contains("clock"), "{offset}");
    for (device, text) in [(&two, "right again"), (&one, "both"), (&two, "as ever")] {
        write(device, text);
        for device in [&one, &two] {
            assert_eq!(description(device), text, "{}", device.name);
            assert_eq!(conflicts(device), [Value::Null; 0]);
        }
        assert_equal(&[&one, &two]);
    }
}
