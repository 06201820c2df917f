//! The demo, as its users see it.

use crate::common::{World, first_line, until};

#[test]
fn the_demo_ends_with_equal_digests_and_leaves_nothing_behind() {
    let world = World::new();
    let temp = world.folder("temp", &[]);
    let folder = world.folder("files", &[("a", "one"), ("b/c", "two"), ("b/d", "two")]);
    let device = world.device("none");
    let mut command = device.command(&["demo", "--json", "--devices", "3", "--path"]);
    let output = command.arg(&folder).env("TMPDIR", &temp).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["equal"], true);
    assert_eq!(told["digests"].as_array().unwrap().len(), 3);
    let stages = told["stages"].as_array().unwrap();
    assert!(stages.iter().all(|stage| stage["seconds"].is_number()), "{told}");
    let index = stages.iter().find(|stage| stage["name"] == "index").unwrap();
    assert_eq!((&index["files"], &index["folders"]), (&3.into(), &1.into()), "{told}");
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
}

#[test]
fn the_demo_with_ten_devices_and_a_thousand_files_ends_with_equal_digests() {
    let world = World::new();
    let temp = world.folder("temp", &[]);
    let names: Vec<(String, String)> = (0..1_000)
        .map(|n| (format!("folder {}/file {n:03}", n % 20), format!("{}", n / 3)))
        .collect();
    let files: Vec<(&str, &str)> =
        names.iter().map(|(name, text)| (&name[..], &text[..])).collect();
    let folder = world.folder("files", &files);
    let device = world.device("none");
    let mut command = device.command(&["demo", "--json", "--devices", "10", "--path"]);
    let output = command.arg(&folder).env("TMPDIR", &temp).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["equal"], true);
    assert_eq!(told["digests"].as_array().unwrap().len(), 10);
    let stage = |name: &str| {
        let stages = told["stages"].as_array().unwrap();
        stages.iter().find(|stage| stage["name"] == name).unwrap().clone()
    };
    assert_eq!(stage("index")["files"], 1_000, "{told}");
    assert_eq!(stage("compare")["conflicts_kept"], 1, "{told}");
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
}

#[test]
fn a_demo_that_is_interrupted_takes_its_devices_along() {
    let world = World::new();
    let temp = world.folder("temp", &[]);
    let device = world.device("none");
    let mut command = device.command(&["demo", "--devices", "3"]);
    let mut demo = command.env("TMPDIR", &temp).spawn().unwrap();
    // The first stage is told when all daemons run.
    first_line(&mut demo);
    let pid = rustix::process::Pid::from_child(&demo);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let code = until("the demo has ended", || demo.try_wait().unwrap());
    assert_eq!(code.code(), Some(1));
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
    let temp = temp.to_str().unwrap();
    assert!(!daemons().contains(temp), "{}", daemons());
}

/// The command lines of all processes, where the system shows them.
fn daemons() -> String {
    let mut all = String::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        all.push_str(&String::from_utf8_lossy(&line).replace('\0', " "));
        all.push('\n');
    }
    all
}

#[test]
fn a_demo_of_a_folder_that_is_not_there_is_not_begun() {
    let world = World::new();
    let device = world.device("none");
    assert_eq!(device.refused(&["demo", "--path", "nowhere"], 3)["code"], "no_path");
    assert_eq!(device.refused(&["demo", "--devices", "1"], 2)["code"], "usage");
}
