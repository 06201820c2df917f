//! The keeper against a real file system: what happens on the disk is in the catalogue within moments.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::scene::{Scene, hash, put};
use driftless::Library;
use driftless_catalog::keep::{KeepOptions, KeepProblem, Keeper, Keeping};
use driftless_catalog::{Catalog, LocationRules, NewTag, ScanOptions, models};
use tempfile::TempDir;

#[test]
fn what_happens_to_files_is_known_at_once() {
    let scene = Scene::new(&[("a", "one"), ("folder/b", "two")]);
    let id = scene.at("a").id;
    let begun = Instant::now();
    scene.put("new/deep/file", "new");
    scene.until("a new file", |scene| {
        scene.find("new/deep/file").is_some_and(|item| item.content == hash("new"))
    });
    // Generous: other tests run beside this one.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    scene.put("a", "changed");
    scene.until("another content", |scene| scene.at("a").content == hash("changed"));
    assert_eq!(scene.at("a").id, id);
    fs::remove_dir_all(scene.path("new")).unwrap();
    fs::remove_file(scene.path("folder/b")).unwrap();
    scene.settle();
    assert_eq!(scene.count("SELECT count(*) FROM entry"), 2);
}

#[test]
fn a_file_that_moves_keeps_its_id_and_its_tags() {
    let scene = Scene::new(&[("a.txt", "text"), ("folder/x", ""), ("other/y", "")]);
    let tag = scene.catalog().create_tag(NewTag::named("tag")).unwrap();
    let items = [scene.at("a.txt"), scene.at("folder")];
    scene.catalog().tag_paths(tag, &items).unwrap();
    scene.mv("a.txt", "b.md");
    scene.settle();
    scene.mv("b.md", "folder/c");
    scene.settle();
    scene.mv("folder", "other/folder");
    scene.settle();
    let (file, folder) = (scene.at("other/folder/c"), scene.at("other/folder"));
    assert_eq!([file.id, folder.id], [items[0].id, items[1].id]);
    assert_eq!((file.tags.len(), folder.tags.len()), (1, 1));
    assert_eq!(scene.count("SELECT count(*) FROM entry WHERE extension IS NOT NULL"), 0);
}

#[test]
fn a_folder_of_many_files_is_renamed_by_one_row() {
    let scene = Scene::new(&[]);
    for n in 0..2_000 {
        put(&scene.path(&format!("many/{}/{n}", n % 10)), &n.to_string());
    }
    scene.settle();
    scene.until("the counts are written", |scene| {
        scene.catalog().locations().unwrap()[0].location.files == 2_000
    });
    let (seq, id) = (scene.last_seq(), scene.at("many/3/3").id);
    scene.mv("many", "lots");
    scene.until("the new name", |scene| scene.find("lots/3/3").is_some());
    assert_eq!(scene.at("lots/3/3").id, id);
    assert_eq!(scene.count(&format!("SELECT count(*) FROM entry WHERE _seq > {seq}")), 1);
    assert!(scene.shows_the_disk());
}

#[test]
fn programs_save_and_people_replace() {
    let scene = Scene::new(&[("report", "first"), ("d/x", "x")]);
    let id = scene.at("report").id;
    // Written beside it and renamed onto it; slowly, so that both are seen.
    scene.put("report.tmp", "second");
    scene.until("the new file", |scene| scene.find("report.tmp").is_some());
    scene.mv("report.tmp", "report");
    scene.settle();
    assert_eq!(scene.at("report").id, id);
    // Moved away, written anew, the old one deleted.
    scene.mv("report", "report~");
    scene.put("report", "third");
    fs::remove_file(scene.path("report~")).unwrap();
    scene.settle();
    // Deleted and made again.
    fs::remove_file(scene.path("report")).unwrap();
    scene.put("report", "fourth");
    fs::remove_dir_all(scene.path("d")).unwrap();
    scene.put("d/y", "y");
    scene.settle();
    fs::remove_dir_all(scene.path("d")).unwrap();
    scene.put("d", "now a file");
    scene.settle();
}

#[test]
fn names_that_change_hands() {
    let scene = Scene::new(&[("a/x", "a"), ("b/x", "b"), ("c/x", "c"), ("one", "1"), ("two", "2")]);
    let ids = ["a", "b", "c"].map(|name| scene.at(name).id);
    for _ in 0..5 {
        scene.mv("a", "tmp");
        scene.mv("b", "a");
        scene.mv("c", "b");
        scene.mv("tmp", "c");
        scene.mv("one", "t");
        scene.mv("two", "one");
        scene.mv("t", "two");
        scene.settle();
    }
    let mut now = ["a", "b", "c"].map(|name| scene.at(name).id);
    now.rotate_right(5 % 3);
    let mut sorted = (ids, now);
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
}

#[test]
fn a_burst_of_many_files() {
    let scene = Scene::new(&[]);
    for n in 0..10_000 {
        put(&scene.path(&format!("{}/{n}", n % 3)), &n.to_string());
    }
    scene.until("all files", |scene| scene.count("SELECT count(content) FROM entry") == 10_000);
    assert!(scene.shows_the_disk());
    scene.until("the counts", |scene| {
        let location = &scene.catalog().locations().unwrap()[0].location;
        (location.files, location.dirs, location.bytes) == (10_000, 3, 38_890)
    });
    fs::remove_dir_all(scene.path("1")).unwrap();
    scene.until("a folder is gone", |scene| {
        scene.catalog().locations().unwrap()[0].location.files == 6_667
    });
    assert!(scene.shows_the_disk());
}

#[test]
fn small_bounds_and_overflows() {
    let mut options = KeepOptions::default();
    (options.watch.max_in_folder, options.watch.max_pending) = (3, 8);
    let scene = Scene::with(&[("a/b/c/d", "x")], options, ScanOptions::default());
    let id = scene.at("a/b").id;
    for round in 0..5 {
        for n in 0..40 {
            scene.put(&format!("a/{}/{round}-{n}", n % 4), &n.to_string());
        }
        scene
            .mv(if round % 2 == 0 { "a/b" } else { "b" }, if round % 2 == 0 { "b" } else { "a/b" });
        scene.settle();
    }
    assert_eq!(scene.at("b").id, id);
}

#[test]
fn large_files_delay_nobody() {
    let scene = Scene::new(&[]);
    let large = "large".repeat(4 << 20);
    scene.put("large", &large);
    scene.put("small", "small");
    scene.until("the small one", |scene| scene.find("small").is_some_and(|i| i.content.is_some()));
    scene.until("the large one", |scene| scene.find("large").is_some_and(|i| i.content.is_some()));
    assert_eq!(scene.at("large").content, hash(&large));
}

#[test]
fn what_happened_while_nobody_watched() {
    let mut scene = Scene::new(&[("a", "a"), ("gone", "gone"), ("d/e/f", "f")]);
    let id = scene.at("d/e").id;
    scene.keeper.take().unwrap().stop();
    scene.mv("d/e", "e");
    scene.put("a", "other content");
    scene.put("new", "new");
    fs::remove_file(scene.path("gone")).unwrap();
    scene.start(KeepOptions::default());
    assert!(scene.shows_the_disk());
    assert_eq!(scene.at("e").id, id);
}

#[test]
fn a_folder_that_goes_is_offline_until_it_is_back() {
    let mut scene = Scene::new(&[("a", "a"), ("d/e", "e")]);
    let known = scene.known();
    let aside = scene.place.path().join("aside");
    fs::rename(&scene.root, &aside).unwrap();
    scene.until("it is offline", |scene| scene.state() == "offline");
    assert_eq!(scene.known(), known);
    // It stays so at a start without it.
    scene.keeper.take().unwrap().stop();
    scene.keeper = Some(Keeper::start(&scene.library, KeepOptions::default()).unwrap());
    scene.until("it is known", |scene| scene.keeping() == Some(Keeping::Offline));
    assert_eq!((scene.state().as_str(), scene.known()), ("offline", known));
    put(&aside.join("meanwhile"), "new");
    fs::rename(&aside, &scene.root).unwrap();
    scene.until_watched();
    assert_eq!(scene.state(), "ready");
    assert!(scene.shows_the_disk());
    scene.put("again", "watched");
    scene.settle();
}

#[test]
fn locations_come_and_go() {
    let scene = Scene::new(&[("a", "a")]);
    let other = scene.place.path().canonicalize().unwrap().join("other");
    put(&other.join("x"), "x");
    let added = scene.catalog().add_location(&other, &ScanOptions::default(), &mut |_| {}).unwrap();
    put(&other.join("y"), "y");
    let y = other.join("y");
    scene.until("another location", |scene| scene.catalog().resolve(y.as_os_str()).is_ok());
    scene.catalog().remove_location(added.id).unwrap();
    scene.until("one report", |scene| scene.keeper.as_ref().unwrap().reports().len() == 1);
    put(&other.join("z"), "z");
    scene.put("b", "b");
    scene.settle();
    assert_eq!(scene.count("SELECT count(*) FROM entry"), 2);
}

#[test]
fn people_and_the_keeper_take_turns() {
    let scene = Scene::new(&[("0/0", "x")]);
    for round in 0..20 {
        for n in 0..50 {
            scene.put(&format!("{}/{n}-{round}", n % 5), &format!("{n} {round}"));
        }
        let rescan = scene.catalog().rescan(scene.location, &ScanOptions::default(), &mut |_| {});
        rescan.unwrap();
    }
    scene.settle();
    scene.until("the counts", |scene| {
        let location = &scene.catalog().locations().unwrap()[0].location;
        (location.files, location.dirs) == (1_001, 5)
    });
    assert_eq!(scene.catalog().remove_location(scene.location).unwrap(), 1_006);
    assert_eq!(scene.count("SELECT count(*) FROM entry"), 0);
}

#[test]
fn the_same_rules_hold_for_scans_and_for_watching() {
    let rules = LocationRules { gitignore: true, skip_hidden: true };
    let scan = ScanOptions { rules: Some(rules), ..ScanOptions::default() };
    let files = [(".gitignore", "*.o\n"), (".driftlessignore", "private\n"), ("src/a.c", "a")];
    let scene = Scene::with(&files, KeepOptions::default(), scan);
    for name in ["src/a.o", "src/.a.swp", "private/x", "src/b.c", "d/private/y", "d/z"] {
        scene.put(name, name);
    }
    let names = |scene: &Scene| -> Vec<String> {
        let known = scene.known().into_keys();
        known.map(|p| p.strip_prefix(&scene.root).unwrap().to_str().unwrap().to_owned()).collect()
    };
    let want = ["d", "d/z", "src", "src/a.c", "src/b.c"];
    scene.until("what is not ignored", |scene| names(scene) == want);
    // Rules that change are followed.
    scene.put(".driftlessignore", "d\n");
    let want = ["private", "private/x", "src", "src/a.c", "src/b.c"];
    scene.until("the new rules", |scene| names(scene) == want);
}

#[test]
fn a_library_in_a_location_is_no_perpetual_motion() {
    let place = TempDir::new().unwrap();
    let root = place.path().canonicalize().unwrap();
    let dir = root.join("my library");
    let library = Arc::new(Library::create(&dir, &models(), "Test", "laptop").unwrap());
    put(&root.join("file"), "x");
    let options = ScanOptions::default();
    let location = Catalog::new(&library).add_location(&root, &options, &mut |_| {}).unwrap().id;
    let keeper = Keeper::start(&library, KeepOptions::default()).unwrap();
    let scene = Scene { keeper: Some(keeper), library, root, location, place };
    scene.until_watched();
    scene.put("second", "x");
    scene.until("a file", |scene| scene.find("second").is_some());
    let names = scene.query(|db| {
        let mut select = db.prepare("SELECT name FROM entry ORDER BY name").unwrap();
        let names = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
        names.map(Result::unwrap).collect::<Vec<_>>()
    });
    assert_eq!(names, ["file", "my library", "second"]);
}

#[test]
fn what_goes_wrong_can_be_asked_for() {
    let mut options = KeepOptions::default();
    options.watch.max_watches = Some(2);
    let scene =
        Scene::with(&[("a/x", ""), ("b/x", ""), ("c/x", "")], options, ScanOptions::default());
    let is_said = |scene: &Scene| {
        let reports = scene.keeper.as_ref().unwrap().reports();
        reports[0].problems.iter().any(|problem| matches!(&**problem, KeepProblem::Watch(_)))
    };
    scene.until("a limit", is_said);
}
