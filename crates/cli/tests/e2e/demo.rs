//! The demo, as its users see it.

use crate::common::World;

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
fn a_demo_of_a_folder_that_is_not_there_is_not_begun() {
    let world = World::new();
    let device = world.device("none");
    assert_eq!(device.refused(&["demo", "--path", "nowhere"], 3)["code"], "no_path");
    assert_eq!(device.refused(&["demo", "--devices", "1"], 2)["code"], "usage");
}
