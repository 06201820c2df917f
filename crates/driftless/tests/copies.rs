//! Copies of a library's directory, without a guard.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::fs;
use std::path::Path;

use driftless::{Library, Models};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn open(dir: &Path) -> Library {
    Library::open(dir, &Models::new()).unwrap()
}

#[test]
fn a_copy_is_told_from_the_original_by_when_it_was_born() {
    let place = tempfile::tempdir().unwrap();
    let (dir, other) = (place.path().join("library"), place.path().join("copy"));
    Library::create(&dir, &Models::new(), "Home", "laptop").unwrap().close();
    if dir.join("library.db").metadata().unwrap().created().is_err() {
        eprintln!("this file system does not tell when files were born");
        return;
    }
    assert!(!open(&dir).is_renewed());
    let moved = place.path().join("moved");
    fs::rename(&dir, &moved).unwrap();
    assert!(!open(&moved).is_renewed(), "it is the same file");
    copy(&moved, &other);
    assert!(open(&other).is_renewed());
    assert!(!open(&other).is_renewed(), "once");
    assert!(!open(&moved).is_renewed(), "the original goes on");
}
