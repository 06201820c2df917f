//! What is ignored is not said, and not even watched.

use std::fs;

use super::super::{Problem, Rules};
use super::*;

fn options(patterns: &[&str]) -> Options {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Options { rules: Rules { patterns, ..Rules::default() }, ..Options::default() }
}

#[test]
fn ignored_folders_are_not_watched() {
    let files = [".gitignore", "target/debug/x", "src/main", "src/target/y", "keep/"];
    let place = tempfile::tempdir().unwrap();
    for file in files {
        make(place.path(), file);
    }
    fs::write(place.path().join(".gitignore"), "/target/\n*.log\n!keep.log\n").unwrap();
    let mut watcher = Watcher::open(place.path(), Options::default()).unwrap();
    assert_eq!(watcher.watches(), 4, "the root, src, src/target, keep");
    for file in ["target/debug/z", "a.log", "keep.log", "src/target/b.log", "src/target/z"] {
        make(place.path(), file);
    }
    let batch = watcher.next(soon()).unwrap();
    assert_eq!(batch.events, [created("keep.log"), created("src/target/z")]);
}

#[test]
fn a_move_to_an_ignored_name_is_a_removal() {
    let mut scene = Scene::with(&["a", "d/x", "b.tmp"], options(&["*.tmp"]));
    scene.mirror.forget(Path::new("b.tmp"));
    scene.mv("a", "a.tmp");
    scene.mv("d", "d.tmp");
    let events = scene.flush();
    assert_eq!(events, [removed("a"), removed("d")]);
    scene.watches(1);
    scene.mv("a.tmp", "a");
    scene.mv("d.tmp", "d");
    assert_eq!(scene.flush(), [created("a"), created("d")]);
    scene.watches(2);
}

#[test]
fn rules_that_change_have_the_folder_rescanned() {
    let mut scene = Scene::new(&["d/.gitignore", "d/out/x", "d/in/x"]);
    fs::write(scene.path("d/.gitignore"), "out\n").unwrap();
    assert!(scene.flush().contains(&rescan("d")));
    scene.watches(3); // the root, d, d/in
    scene.make("d/out/unheard");
    assert_eq!(scene.flush(), []);
    fs::write(scene.path("d/.gitignore"), "in\n").unwrap();
    assert!(scene.flush().contains(&rescan("d")));
    scene.watches(3); // the root, d, d/out
    scene.make("d/out/heard");
    assert_eq!(scene.flush(), [created("d/out/heard")]);
    fs::remove_file(scene.path("d/.gitignore")).unwrap();
    assert_eq!(scene.flush(), [rescan("d")]);
    scene.watches(4);
    // Written again with the same words, nothing is different.
    fs::write(scene.path("d/.gitignore"), "").unwrap();
    assert_eq!(scene.flush(), [created("d/.gitignore")]);
}

#[test]
fn a_folder_that_moves_comes_under_other_rules() {
    let mut scene = Scene::with(&["a/out/x", "a/in/x", "b/"], options(&["/a/out", "/b/m/in"]));
    scene.watches(4); // the root, a, a/in, b
    scene.flush();
    scene.mv("a", "b/m");
    assert_eq!(scene.flush(), [moved("a", "b/m"), rescan("b/m")]);
    scene.watches(4); // the root, b, b/m, b/m/out
    scene.make("b/m/out/new");
    scene.make("b/m/in/new");
    assert_eq!(scene.flush(), [created("b/m/out/new")]);
}

#[test]
fn hidden_files() {
    let rules = Rules { skip_hidden: true, ..Rules::default() };
    let mut scene = Scene::with(&[".d/x"], Options { rules, ..Options::default() });
    scene.watches(1);
    scene.make(".hidden");
    scene.make("seen");
    let batch = scene.watcher.next(soon()).unwrap();
    assert_eq!(batch.events, [created("seen")]);
}

#[test]
fn bad_patterns_are_said() {
    let mut scene = Scene::with(&[".gitignore"], options(&["good", "{bad"]));
    let batch = scene.watcher.next(soon()).unwrap();
    let [Problem::Pattern { path: None, line: 2, .. }] = &batch.problems[..] else {
        panic!("{:?}", batch.problems);
    };
    scene.make("good");
    scene.make("other");
    let batch = scene.watcher.next(soon()).unwrap();
    assert_eq!(batch.events, [created("other")]);
}
