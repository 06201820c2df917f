//! `doctor`: what is wrong is found, with what cures it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::common::{Device, World, until};
use serde_json::Value;

/// What `doctor` finds, by check; every finding has its words.
fn found(device: &Device, code: i32) -> Vec<(String, String, String)> {
    let outcome = device.run(&["doctor", "--json"]);
    assert_eq!(outcome.code, code, "{outcome:?}");
    let report = outcome.json();
    let word = |finding: &Value, key: &str| {
        let word = finding[key].as_str().unwrap_or_default();
        assert!(!word.is_empty(), "{key} is missing in {finding}");
        word.to_owned()
    };
    let findings = report["findings"].as_array().unwrap();
    let all: Vec<_> = findings
        .iter()
        .map(|finding| {
            assert!(!word(finding, "effect").is_empty() && !word(finding, "next").is_empty());
            (word(finding, "check"), word(finding, "severity"), word(finding, "what"))
        })
        .collect();
    let worst = all.first().map_or("ok", |(_, severity, _)| severity);
    assert_eq!(report["worst"], worst, "the worst comes first: {report}");
    assert_eq!(code == 1, worst == "error", "{report}");
    for passed in report["passed"].as_array().unwrap() {
        let check = word(passed, "check");
        assert!(!word(passed, "what").is_empty());
        let at_odds = all.iter().any(|(found, _, _)| *found == check && check != "daemon");
        assert!(!at_odds, "{check} has passed and has findings: {report}");
    }
    all
}

fn severity(findings: &[(String, String, String)], check: &str) -> String {
    let mut of = findings.iter().filter(|(found, _, _)| found == check);
    of.next().map_or("ok", |(_, severity, _)| severity.as_str()).to_owned()
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn two_devices_that_are_well() {
    let world = World::new();
    let mut one = world.founder("one");
    let alone = found(&one, 0);
    assert_eq!(severity(&alone, "peers"), "note", "{alone:?}");
    let mut two = world.joiner("two", &one);
    one.sync();
    two.sync();
    let report = one.ok(&["doctor"]);
    let passed: Vec<&str> = report["passed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|passed| passed["check"].as_str().unwrap())
        .collect();
    for check in [
        "folder",
        "key",
        "disk",
        "files",
        "daemon",
        "clock",
        "peers",
        "digests",
        "quarantine",
        "versions",
        "locations",
    ] {
        assert!(passed.contains(&check), "{check} in {report}");
    }
    assert_eq!(severity(&found(&one, 0), "ports"), "note", "it listens on loopback alone");
    let text = one.run(&["doctor"]);
    assert!(text.stdout.contains("Nothing is wrong"), "{text:?}");

    two.kill();
    until("it is seen that the other has gone", || {
        (severity(&found(&one, 0), "peers") == "warning").then_some(())
    });
    one.down();
    let without = found(&one, 0);
    assert_eq!(severity(&without, "daemon"), "note");
    assert_eq!(severity(&without, "peers"), "ok", "the other has everything: {without:?}");
}

#[test]
fn a_key_and_a_folder_that_others_can_read() {
    let world = World::new();
    let one = world.device("one");
    assert_eq!(one.refused(&["doctor"], 3)["code"], "no_library");
    one.ok(&["init"]);
    let key = one.dir.join("device.key");
    assert_eq!(severity(&found(&one, 0), "folder"), "ok", "a new library's folder is private");
    chmod(&one.dir, 0o755);
    assert_eq!(severity(&found(&one, 0), "folder"), "warning");
    chmod(&one.dir, 0o700);
    chmod(&key, 0o644);
    assert_eq!(severity(&found(&one, 1), "key"), "error");
    chmod(&key, 0o600);
    let findings = found(&one, 0);
    assert_eq!(
        (severity(&findings, "key"), severity(&findings, "folder")),
        ("ok".into(), "ok".into())
    );

    let text = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let findings = found(&one, 1);
    assert_eq!(
        (severity(&findings, "key"), severity(&findings, "library")),
        ("error".into(), "error".into())
    );
    std::fs::write(&key, text).unwrap();
    chmod(&key, 0o600);
    std::fs::remove_file(one.dir.join("library.db")).unwrap();
    assert_eq!(severity(&found(&one, 1), "files"), "error");
}

#[test]
fn damage_is_found_whether_or_not_the_library_opens() {
    let world = World::new();
    let one = world.device("one");
    one.ok(&["init"]);
    for n in 0..40 {
        one.ok(&["tag", "create", &format!("tag {n}")]);
    }
    let path = one.dir.join("library.db");
    let sound = std::fs::read(&path).unwrap();

    // The first page is not touched, so that the library opens; the pages of tables are.
    let mut torn = sound.clone();
    let page = torn.len() - 8_192;
    torn[page..].fill(0xa5);
    std::fs::write(&path, &torn).unwrap();
    let findings = found(&one, 1);
    let told = ["files", "library"].map(|check| severity(&findings, check));
    assert!(told.contains(&"error".to_owned()), "{findings:?}");

    let mut torn = sound.clone();
    torn[100..4_100].fill(0xff);
    std::fs::write(&path, &torn).unwrap();
    let findings = found(&one, 1);
    assert_eq!(severity(&findings, "library"), "error", "{findings:?}");
    std::fs::write(&path, &sound).unwrap();
    found(&one, 0);
}

#[test]
fn clocks_that_are_wrong_are_told() {
    let world = World::new();
    let one = world.founder("one");
    let mut two = world.joiner("two", &one);
    two.down();
    // The library was written a year after what the clock says.
    two.up_with(&[("DRIFTLESS_CLOCK_OFFSET", "-31536000")]);
    two.sync();
    let findings = found(&two, 0);
    let clocks: Vec<&String> = findings
        .iter()
        .filter(|(check, _, _)| check == "clock")
        .map(|(_, severity, what)| {
            assert_eq!(severity, "warning");
            what
        })
        .collect();
    assert!(clocks.iter().any(|what| what.contains("one's clock")), "{clocks:?}");
    assert!(clocks.iter().any(|what| what.contains("was written")), "{clocks:?}");
    assert_eq!(severity(&found(&one, 0), "clock"), "warning");
}

#[test]
fn folders_that_are_gone_or_were_not_scanned() {
    let world = World::new();
    let one = world.device("one");
    one.ok(&["init"]);
    let folder = world.folder("files", &[("a", "one")]);
    let other = world.folder("other", &[("b", "two")]);
    one.ok(&["location", "add", folder.to_str().unwrap()]);
    assert_eq!(severity(&found(&one, 0), "locations"), "ok");
    one.ok(&["location", "add", "--detach", other.to_str().unwrap()]);
    assert_eq!(severity(&found(&one, 0), "locations"), "note");
    std::fs::rename(&folder, world.path().join("elsewhere")).unwrap();
    let findings = found(&one, 0);
    assert_eq!(severity(&findings, "locations"), "warning", "{findings:?}");
    assert_eq!(one.count("entry"), 1, "what is not there now is not forgotten");
}
