//! Folders that change while daemons run, with the real program and real peers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Device, World, assert_equal, until};

fn path(of: &Path) -> &str {
    of.to_str().unwrap()
}

/// Two devices with daemons; the first has an indexed folder.
struct Scene {
    world: World,
    laptop: Device,
    desktop: Device,
    folder: PathBuf,
    location: String,
}

impl Scene {
    fn new(files: &[(&str, &str)]) -> Self {
        let world = World::new();
        let folder = world.folder("files", files);
        let laptop = world.founder("laptop");
        let added = laptop.ok(&["location", "add", path(&folder)]);
        let location = added["id"].as_str().unwrap().to_owned();
        let desktop = world.joiner("desktop", &laptop);
        desktop.sync();
        let scene = Self { world, laptop, desktop, folder, location };
        scene.until_watched(&scene.laptop);
        scene
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn until_watched(&self, device: &Device) {
        until("it is watched", || (self.row(device)["watch"] == "watching").then_some(()));
    }

    fn row(&self, device: &Device) -> Value {
        let rows = device.ok(&["location", "ls"]);
        let mut rows = rows.as_array().unwrap().iter();
        rows.find(|row| row["id"] == self.location.as_str()).cloned().unwrap_or(Value::Null)
    }

    /// What a device knows of a file on the laptop.
    fn find(&self, device: &Device, name: &str) -> Option<Value> {
        let name = Path::new(name);
        let want = self.folder.join(name);
        let text = name.file_name().unwrap().to_str().unwrap();
        let found = device.ok(&["find", text, "--device", "laptop"]);
        let mut found = found.as_array().unwrap().iter();
        found.find(|item| item["path"] == path(&want)).cloned()
    }

    fn until_found(&self, device: &Device, name: &str) -> Value {
        until(&format!("{name} is found"), || self.find(device, name))
    }

    fn until_gone(&self, device: &Device, name: &str) {
        until(&format!("{name} is gone"), || self.find(device, name).is_none().then_some(()));
    }

    /// Everything is the same on both.
    fn same(&self) {
        self.laptop.sync();
        self.desktop.sync();
        assert_equal(&[&self.laptop, &self.desktop]);
    }
}

#[test]
fn files_that_come_change_move_and_go_are_seen_on_the_other_device() {
    let scene = Scene::new(&[("a.txt", "one"), ("folder/b", "two")]);
    let laptop_file = path(&scene.folder.join("a.txt")).to_owned();
    scene.laptop.ok(&["tag", "create", "kept"]);
    scene.laptop.ok(&["tag", "add", "kept", &laptop_file]);
    scene.laptop.ok(&["tag", "add", "kept", path(&scene.folder.join("folder"))]);
    let id = scene.until_found(&scene.desktop, "a.txt")["id"].clone();
    let folder_id = scene.until_found(&scene.desktop, "folder")["id"].clone();

    scene.put("new", "new");
    assert!(scene.until_found(&scene.desktop, "new")["content"].is_string());
    fs::rename(scene.folder.join("a.txt"), scene.folder.join("folder/c.md")).unwrap();
    fs::rename(scene.folder.join("folder"), scene.folder.join("place")).unwrap();
    let moved = scene.until_found(&scene.desktop, "place/c.md");
    assert_eq!((&moved["id"], &moved["tags"][0]), (&id, &"kept".into()), "{moved}");
    let place = scene.until_found(&scene.desktop, "place");
    assert_eq!((&place["id"], &place["tags"][0]), (&folder_id, &"kept".into()), "{place}");

    // Deleted, and made again with the same name.
    fs::remove_file(scene.folder.join("new")).unwrap();
    scene.put("new", "again");
    let again = blake3::hash(b"again").to_hex().to_string();
    until("the second one", || {
        let found = scene.find(&scene.desktop, "new")?;
        (found["content"] == again.as_str()).then_some(())
    });
    fs::remove_dir_all(scene.folder.join("place")).unwrap();
    scene.until_gone(&scene.desktop, "place");
    scene.until_gone(&scene.desktop, "place/b");
    until("the counts", || (scene.row(&scene.desktop)["files"] == 1).then_some(()));
    assert_eq!(scene.desktop.count("entry"), 1);
    scene.same();
}

fn traffic(device: &Device) -> u64 {
    let peers = device.ok(&["peers"]);
    let row = &peers[0];
    row["sent_bytes"].as_u64().unwrap() + row["received_bytes"].as_u64().unwrap()
}

#[test]
fn a_folder_of_5000_files_is_renamed_for_next_to_nothing() {
    let files: Vec<(String, String)> =
        (0..5_000).map(|n| (format!("many/{}/{n}", n % 50), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let scene = Scene::new(&files);
    scene.same();
    let dump = |device: &Device| -> std::collections::BTreeSet<String> {
        let outcome = device.run(&["dump"]);
        outcome.stdout.lines().filter(|l| l.contains("\"entry\"")).map(str::to_owned).collect()
    };
    let (before, moved) = (dump(&scene.desktop), traffic(&scene.laptop));
    fs::rename(scene.folder.join("many"), scene.folder.join("lots")).unwrap();
    scene.until_found(&scene.desktop, "lots");
    let moved = traffic(&scene.laptop) - moved;
    let after = dump(&scene.desktop);
    assert_eq!(before.symmetric_difference(&after).count(), 2, "one entry, as it was and is");
    assert!(moved < 4 << 10, "{moved} bytes");
    scene.until_found(&scene.desktop, "lots/3/3");
    scene.same();
}

#[test]
fn a_tag_is_on_a_copy_as_soon_as_that_is_there() {
    let scene = Scene::new(&[("photo", "a picture")]);
    let there = scene.world.folder("there", &[]);
    scene.desktop.ok(&["location", "add", path(&there)]);
    until("it is watched", || {
        let rows = scene.desktop.ok(&["location", "ls"]);
        (rows[0]["watch"] == "watching").then_some(())
    });
    scene.laptop.ok(&["tag", "create", "summer"]);
    scene.laptop.ok(&["tag", "add", "summer", path(&scene.folder.join("photo"))]);
    until("the tag is there", || scene.desktop.tags().contains(&"summer".into()).then_some(()));
    fs::copy(scene.folder.join("photo"), there.join("copy")).unwrap();
    let copied = Instant::now();
    until("the copy has the tag", || {
        let found = scene.desktop.ok(&["find", "--tag", "summer", "--device", "desktop"]);
        (found[0]["name"] == "copy").then_some(())
    });
    // A second is what is asked for; other tests run beside this one.
    assert!(copied.elapsed() < Duration::from_secs(10), "{:?}", copied.elapsed());
}

#[test]
fn a_folder_that_is_unplugged_is_offline_on_every_device_and_keeps_its_entries() {
    let mut scene = Scene::new(&[("a", "one"), ("deep/b", "two")]);
    let state = |scene: &Scene, device: &Device| scene.row(device)["state"].clone();
    let aside = scene.world.path().join("aside");
    fs::rename(&scene.folder, &aside).unwrap();
    until("it is offline", || (state(&scene, &scene.desktop) == "offline").then_some(()));
    assert_eq!(scene.desktop.count("entry"), 3);
    assert!(scene.find(&scene.desktop, "deep/b").is_some());

    // It comes back while no daemon runs, changed.
    scene.laptop.down();
    fs::write(aside.join("c"), "three").unwrap();
    fs::rename(&aside, &scene.folder).unwrap();
    assert_eq!(state(&scene, &scene.laptop), "offline");
    scene.laptop.up();
    scene.until_found(&scene.desktop, "c");
    until("it is ready", || (state(&scene, &scene.desktop) == "ready").then_some(()));

    // It goes while no daemon runs.
    scene.laptop.down();
    fs::rename(&scene.folder, &aside).unwrap();
    assert_eq!(scene.laptop.refused_once(&["location", "rescan"], 3), "no_path");
    assert_eq!(state(&scene, &scene.laptop), "offline");
    assert_eq!(scene.laptop.count("entry"), 4);
    fs::rename(&aside, &scene.folder).unwrap();
    scene.laptop.ok(&["location", "rescan"]);
    assert_eq!(state(&scene, &scene.laptop), "ready");
    scene.laptop.up();
    scene.same();
}

#[test]
fn what_happened_while_the_daemon_was_down_is_found_at_its_start() {
    let mut scene = Scene::new(&[("a", "one"), ("deep/b", "two"), ("gone", "three")]);
    let id = scene.until_found(&scene.desktop, "deep")["id"].clone();
    scene.laptop.kill();
    fs::rename(scene.folder.join("deep"), scene.folder.join("other")).unwrap();
    fs::remove_file(scene.folder.join("gone")).unwrap();
    scene.put("new", "four");
    scene.laptop.up();
    assert_eq!(scene.until_found(&scene.desktop, "other")["id"], id);
    scene.until_found(&scene.desktop, "new");
    scene.until_gone(&scene.desktop, "gone");
    scene.same();
}

#[test]
fn a_daemon_that_does_not_watch() {
    let world = World::new();
    let folder = world.folder("files", &[("a", "one")]);
    let mut one = world.device("one");
    one.ok(&["init"]);
    one.up_args(&["--no-watch"]);
    one.ok(&["location", "add", path(&folder)]);
    fs::write(folder.join("b"), "two").unwrap();
    let row = one.ok(&["location", "ls"])[0].clone();
    assert_eq!((&row["state"], &row["watch"]), (&"ready".into(), &Value::Null), "{row}");
    assert_eq!(one.ok(&["location", "rescan"])["added"], 1);
    one.down();
}

#[test]
fn a_scan_that_was_cut_off_is_no_scan_under_way() {
    let files: Vec<(String, String)> =
        (0..20_000).map(|n| (format!("{}/{n}", n % 50), n.to_string())).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let world = World::new();
    let folder = world.folder("files", &files);
    let mut one = world.founder("one");
    let mut add = one.command(&["location", "add", path(&folder)]).spawn().unwrap();
    until("the scan has begun", || {
        let rows = one.ok(&["location", "ls"]);
        (rows[0]["state"] == "scanning").then_some(())
    });
    one.kill();
    add.wait().unwrap();
    let state = one.ok(&["location", "ls"])[0]["state"].clone();
    assert_ne!(state, "scanning");
    one.up();
    until("all is there", || (one.ok(&["location", "ls"])[0]["state"] == "ready").then_some(()));
    assert_eq!(one.count("entry"), 20_050);
}

#[test]
fn what_is_ignored() {
    let world = World::new();
    let files = [(".gitignore", "*.o\n"), ("a.c", "a"), ("a.o", "a"), (".env", "x")];
    let folder = world.folder("files", &files);
    let one = world.founder("one");
    let add = ["location", "add", path(&folder)];
    assert_eq!(one.ok(&add)["files"], 4, "everything, unless somebody says otherwise");
    let with = [&add[..], &["--gitignore", "--no-hidden"]].concat();
    assert_eq!((&one.ok(&with)["files"], one.count("entry")), (&1.into(), 1));
    until("it is watched", || {
        (one.ok(&["location", "ls"])[0]["watch"] == "watching").then_some(())
    });
    for name in ["b.o", ".hidden", "b.c"] {
        fs::write(folder.join(name), name).unwrap();
    }
    until("what is not ignored", || (one.count("entry") == 2).then_some(()));
    fs::write(folder.join(".driftlessignore"), "a.*\n").unwrap();
    until("new rules", || {
        let found = one.ok(&["find", ".c", "--kind", "file"]);
        (one.count("entry") == 1 && found[0]["name"] == "b.c").then_some(())
    });
    let row = one.ok(&["location", "ls"])[0].clone();
    assert_eq!((&row["gitignore"], &row["hidden"]), (&true.into(), &false.into()));
}
