//! Entries that move keep their ids, at a plain rescan; and what is not indexed.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use std::fs;

use common::Home;
use driftless_catalog::{CatalogError, Changes, LocationRules, LocationState, NewTag, ScanOptions};

fn mv(home: &Home, from: &str, to: &str) {
    fs::create_dir_all(home.path(to).parent().unwrap()).unwrap();
    fs::rename(home.path(from), home.path(to)).unwrap();
}

/// Copies a file and deletes it: another inode, the same content.
fn copy_over(home: &Home, from: &str, to: &str) {
    fs::create_dir_all(home.path(to).parent().unwrap()).unwrap();
    fs::copy(home.path(from), home.path(to)).unwrap();
    fs::remove_file(home.path(from)).unwrap();
}

#[test]
fn a_folder_of_many_files_moves_as_one_row() {
    let home = Home::new();
    for n in 0..500 {
        home.write(format!("old/{}/{n}", n % 7), format!("{n}"));
    }
    home.scan();
    let (seq, folder, file) = (home.last_seq(), home.id_of("old"), home.id_of("old/3/3"));
    mv(&home, "old", "new");
    let added = home.scan();
    let moved = Changes { moved: 1, unchanged: 507, ..Changes::default() };
    assert_eq!((added.changes, added.hashed), (moved, 0));
    assert_eq!(home.written_after(seq), 1);
    assert_eq!((home.id_of("new"), home.id_of("new/3/3")), (folder, file));
}

#[test]
fn files_are_found_again_by_their_inode() {
    let home = Home::new();
    // Empty and equal ones too: their content tells nothing.
    for name in ["a", "b", "deep/c", "deep/d.txt", "deep/er/e"] {
        home.write(name, if name == "b" { "" } else { "same" });
    }
    home.scan();
    let ids = ["a", "b", "deep/c", "deep/d.txt", "deep/er"].map(|name| home.id_of(name));
    mv(&home, "a", "zz/a");
    mv(&home, "b", "B");
    mv(&home, "deep/c", "c");
    mv(&home, "deep/d.txt", "deep/er/d.md");
    // A folder comes out of the one that moves.
    mv(&home, "deep/er", "0er");
    mv(&home, "deep", "0er/deep");
    let added = home.scan();
    assert_eq!((added.changes.removed, added.hashed), (0, 0), "{:?}", added.changes);
    let now = ["zz/a", "B", "c", "0er/d.md", "0er"].map(|name| home.id_of(name));
    assert_eq!(now, ids);
    assert_eq!(home.count("SELECT count(*) FROM entry WHERE extension = 'md'"), 1);
    assert!(home.find("0er/e").is_ok());
    let again = home.scan();
    assert_eq!(again.changes.unchanged, again.counts.entries());
}

#[test]
fn what_cannot_be_found_by_its_inode_is_found_by_its_content() {
    let home = Home::new();
    home.write("small", "some content");
    home.write("folder/large", vec![7; 1 << 20]);
    home.write("folder/deep/empty", "");
    home.write("twin", "twin");
    home.write("folder/twin", "twin");
    home.scan();
    let ids = ["small", "folder/large", "folder/twin", "twin"].map(|name| home.id_of(name));
    let empty = home.id_of("folder/deep/empty");
    copy_over(&home, "small", "renamed");
    copy_over(&home, "folder/large", "elsewhere/enormous");
    copy_over(&home, "folder/twin", "elsewhere/twin");
    fs::remove_dir_all(home.path("folder")).unwrap();
    let added = home.scan();
    let now = ["renamed", "elsewhere/enormous", "elsewhere/twin", "twin"];
    assert_eq!(now.map(|name| home.id_of(name)), ids, "{:?}", added.changes);
    // The folders and the empty file.
    assert_eq!((added.changes.moved, added.changes.removed), (3, 3));
    assert_eq!(home.count("SELECT count(*) FROM entry"), 5);
    assert_eq!(
        home.count(&format!("SELECT count(*) FROM entry WHERE id = x'{}'", empty.simple())),
        0
    );
    let info = &home.catalog().locations().unwrap()[0].location;
    assert_eq!((info.files, info.dirs), (4, 1));
}

#[test]
fn a_second_name_of_a_file_is_another_entry() {
    let home = Home::new();
    home.write("z/first", "content");
    home.scan();
    let first = home.id_of("z/first");
    fs::hard_link(home.path("z/first"), home.path("a")).unwrap();
    mv(&home, "z", "0z");
    let added = home.scan();
    assert_eq!((added.changes.added, added.changes.removed), (1, 0), "{:?}", added.changes);
    assert_eq!(home.id_of("0z/first"), first);
    assert_ne!(home.id_of("a"), first);
    // The first name goes, and the second one is it by its content; its own entry stays.
    fs::remove_file(home.path("0z/first")).unwrap();
    let second = home.id_of("a");
    assert_eq!(home.scan().changes.removed, 1);
    assert_eq!(home.id_of("a"), second);
}

#[test]
fn a_file_that_takes_the_place_of_another_has_its_id() {
    let home = Home::new();
    home.write("report", "first");
    home.scan();
    let id = home.id_of("report");
    for n in 0..3 {
        home.write("report.tmp", format!("version {n}"));
        mv(&home, "report.tmp", "report");
        assert_eq!(home.scan().changes.updated, 1);
        assert_eq!(home.id_of("report"), id);
    }
}

#[test]
fn folders_that_change_places_keep_their_ids() {
    let home = Home::new();
    for n in 0..20 {
        home.write(format!("a/{n}"), format!("a{n}"));
        home.write(format!("b/{n}"), format!("b{n}"));
    }
    home.scan();
    let (a, b, file) = (home.id_of("a"), home.id_of("b"), home.id_of("a/7"));
    mv(&home, "a", "x");
    mv(&home, "b", "a");
    mv(&home, "x", "b");
    let added = home.scan();
    assert_eq!(added.changes, Changes { moved: 2, unchanged: 40, ..Changes::default() });
    assert_eq!((home.id_of("b"), home.id_of("a"), home.id_of("b/7")), (a, b, file));
}

#[test]
fn an_inode_that_is_used_again_is_nobody() {
    let home = Home::new();
    for n in 0..50 {
        home.write(format!("old{n}"), format!("old {n}"));
    }
    home.scan();
    let before: Vec<_> = (0..50).map(|n| home.id_of(format!("old{n}"))).collect();
    for n in 0..50 {
        fs::remove_file(home.path(format!("old{n}"))).unwrap();
    }
    for n in 0..50 {
        home.write(format!("new{n}"), format!("new {n}"));
    }
    let added = home.scan();
    assert_eq!((added.changes.added, added.changes.removed), (50, 50), "{:?}", added.changes);
    assert!((0..50).all(|n| !before.contains(&home.id_of(format!("new{n}")))));
}

#[test]
fn a_tag_on_a_folder_goes_with_it() {
    let home = Home::new();
    home.write("folder/file", "x");
    home.scan();
    let tag = home.catalog().create_tag(NewTag::named("here")).unwrap();
    home.catalog().tag_paths(tag, &[home.at("folder")]).unwrap();
    mv(&home, "folder", "other/place");
    home.scan();
    assert_eq!(home.at("other/place").tags[0].name, "here");
}

fn names(home: &Home) -> Vec<String> {
    let sql = "SELECT name FROM entry ORDER BY name";
    home.library
        .query(|db| {
            let mut select = db.prepare(sql).unwrap();
            select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        })
        .unwrap()
}

#[test]
fn rules_say_what_is_not_indexed() {
    let home = Home::new();
    for name in ["kept", ".hidden", "build/out", "logs/a.log", ".cache/x", "secret"] {
        home.write(name, name);
    }
    home.write(".gitignore", "build\n*.log\n");
    home.write(".driftlessignore", "/secret\n");
    home.scan();
    let all = [".cache", ".driftlessignore", ".gitignore", ".hidden", "a.log", "build", "kept"];
    assert_eq!(names(&home), [&all[..], &["logs", "out", "x"]].concat());
    let kept = home.id_of("kept");

    let rules = LocationRules { gitignore: true, skip_hidden: true };
    let options = ScanOptions { rules: Some(rules), ..ScanOptions::default() };
    let added = home.scan_with(&options);
    assert_eq!(names(&home), ["kept", "logs"]);
    assert_eq!((added.counts.files, added.changes.removed), (1, 8));
    // They stay until others are named.
    home.write("logs/b.log", "b");
    home.write("logs/c", "c");
    let id = home.scan().id;
    home.catalog().rescan(id, &ScanOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(names(&home), ["c", "kept", "logs"]);
    assert_eq!(home.catalog().locations().unwrap()[0].location.rules(), rules);

    let options = ScanOptions { rules: Some(LocationRules::default()), ..ScanOptions::default() };
    home.scan_with(&options);
    assert_eq!(names(&home).len(), 12);
    assert_eq!(home.id_of("kept"), kept);
}

#[test]
fn rules_that_are_none_are_said() {
    let home = Home::new();
    home.write("fine", "x");
    home.write(".driftlessignore", "{a\n");
    let added = home.scan();
    assert_eq!((added.problem_count, added.problems.len()), (1, 1), "{:?}", added.problems);
    assert_eq!(added.problems[0].path.to_str(), Some(".driftlessignore"));
    assert_eq!(added.problems[0].what.as_str(), "rules");
}

#[test]
fn a_location_that_is_not_there_is_offline() {
    let home = Home::new();
    home.write("folder/file", "x");
    let id = home.scan().id;
    let state = || home.catalog().locations().unwrap()[0].location.state.clone();
    assert_eq!(state(), LocationState::Ready.as_str());
    let aside = home.place.path().join("aside");
    fs::rename(&home.root, &aside).unwrap();
    let rescan = || home.catalog().rescan(id, &ScanOptions::default(), &mut |_| {});
    assert!(matches!(rescan(), Err(CatalogError::NoFolder { .. })));
    assert_eq!(state(), "offline");
    assert_eq!(home.count("SELECT count(*) FROM entry"), 2);
    fs::write(&home.root, "a file").unwrap();
    assert!(matches!(rescan(), Err(CatalogError::NotADirectory { .. })));
    assert_eq!(state(), "offline");
    fs::remove_file(&home.root).unwrap();
    fs::rename(&aside, &home.root).unwrap();
    assert_eq!(rescan().unwrap().changes.unchanged, 2);
    assert_eq!(state(), "ready");
}
