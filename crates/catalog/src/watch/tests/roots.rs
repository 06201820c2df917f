//! Roots and drives that go and come.

use std::fs;
use std::process::Command;

use super::*;

/// A file system in memory, mounted for as long as it is held; `None`, with a word about it, where
/// that is not allowed.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: &Path) -> Option<Self> {
        Self::run(path, &["-t", "tmpfs", "-o", "size=1m", "none"])
    }

    /// Another folder shows there.
    fn bind(from: &Path, path: &Path) -> Option<Self> {
        Self::run(path, &["--bind", from.to_str().unwrap()])
    }

    fn run(path: &Path, arguments: &[&str]) -> Option<Self> {
        match Command::new("mount").args(arguments).arg(path).output() {
            Ok(output) if output.status.success() => Some(Self(path.to_owned())),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                println!("skipped: mounting is not allowed here: {}", said.trim());
                None
            }
            Err(error) => {
                println!("skipped: there is no mount command: {error}");
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()), "nothing holds the drive open");
    }
}

fn said(scene: &mut Scene, event: &Event) {
    scene.until("the root's news", |scene| scene.mirror.seen.contains(event));
}

#[test]
fn a_root_is_removed_and_made_again() {
    let mut scene = Scene::new(&["a", "d/x"]);
    fs::remove_dir_all(scene.path("")).unwrap();
    said(&mut scene, &Event::RootGone);
    assert!(!scene.mirror.online);
    scene.mirror.seen.clear();
    scene.make("d/y");
    said(&mut scene, &Event::RootBack);
    scene.settle();
    scene.make("d/z");
    assert!(scene.settle().contains(&created("d/z")));
}

#[test]
fn a_root_is_renamed_and_what_is_in_it_stays_known() {
    let mut scene = Scene::new(&["a", "d/x"]);
    let ids = (scene.mirror.id("a"), scene.mirror.id("d/x"));
    fs::rename(scene.path(""), scene.outside("away")).unwrap();
    said(&mut scene, &Event::RootGone);
    fs::write(scene.outside("away/unheard"), "").unwrap();
    assert_eq!((scene.mirror.id("a"), scene.mirror.id("d/x")), ids);
    fs::rename(scene.outside("away"), scene.path("")).unwrap();
    said(&mut scene, &Event::RootBack);
    scene.settle();
    assert_eq!((scene.mirror.id("a"), scene.mirror.id("d/x")), ids);
    scene.make("d/new");
    scene.settle();
}

#[test]
fn a_folder_above_the_root_is_renamed() {
    let place = tempfile::tempdir().unwrap();
    let (above, away) = (place.path().join("above"), place.path().join("away"));
    make(&above, "between/root/file");
    let root = above.join("between/root");
    let mut watcher = Watcher::open(&root, Options::default()).unwrap();
    fs::rename(&above, &away).unwrap();
    assert_eq!(watcher.next(soon()).unwrap().events, [Event::RootGone]);
    fs::rename(&away, &above).unwrap();
    assert_eq!(watcher.next(soon()).unwrap().events, [Event::RootBack]);
    make(&root, "new");
    assert_eq!(watcher.next(soon()).unwrap().events, [created("new")]);
}

#[test]
fn another_folder_takes_the_roots_place() {
    let mut scene = Scene::new(&["a"]);
    fs::create_dir(scene.outside("other")).unwrap();
    fs::write(scene.outside("other/b"), "").unwrap();
    fs::rename(scene.path(""), scene.outside("away")).unwrap();
    fs::rename(scene.outside("other"), scene.path("")).unwrap();
    said(&mut scene, &Event::RootBack);
    scene.settle();
    assert!(scene.mirror.id("b").is_some());
}

#[test]
fn a_root_that_goes_and_comes_often_is_said_once() {
    let mut scene = Scene::new(&["a"]);
    scene.flush();
    for _ in 0..20 {
        fs::rename(scene.path(""), scene.outside("away")).unwrap();
        fs::rename(scene.outside("away"), scene.path("")).unwrap();
    }
    scene.make("b");
    scene.settle();
    for batch in &scene.batches {
        assert!(batch.events.len() <= 4, "{:?}", batch.events);
    }
}

#[test]
fn a_drive_is_unmounted_and_nothing_in_it_is_gone() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("drive");
    fs::create_dir(&root).unwrap();
    let Some(drive) = Mounted::at(&root) else { return };
    make(&root, "d/file");
    let mut watcher = Watcher::open(&root, Options::default()).unwrap();
    let mut mirror = Mirror::of(&root);
    drop(drive);
    let batch = watcher.next(soon()).unwrap();
    assert_eq!(batch.events, [Event::RootGone]);
    mirror.apply(&batch);
    assert!(mirror.id("d/file").is_some());
    // The empty folder where it was is not the drive.
    make(&root, "on the disk below");
    assert!(watcher.next(Instant::now() + Duration::from_millis(800)).is_none());
    let drive = Mounted::at(&root).unwrap();
    assert_eq!(watcher.next(soon()).unwrap().events, [Event::RootBack]);
    make(&root, "new");
    assert_eq!(watcher.next(soon()).unwrap().events, [created("new")]);
    drop(watcher);
    drop(drive);
}

#[test]
fn a_folder_in_a_drive_is_no_other_folder_when_the_drive_is_gone() {
    let place = tempfile::tempdir().unwrap();
    let (root, from) = (place.path().join("drive/root"), place.path().join("from"));
    fs::create_dir_all(&root).unwrap();
    make(&from, "root/file");
    let Some(drive) = Mounted::bind(&from, root.parent().unwrap()) else { return };
    let mut watcher = Watcher::open(&root, Options::default()).unwrap();
    drop(drive);
    assert_eq!(watcher.next(soon()).unwrap().events, [Event::RootGone]);
    // There is a folder of this name below, on the very same file system, but not mounted.
    assert!(root.exists());
    assert!(watcher.next(Instant::now() + Duration::from_millis(400)).is_none());
    let _drive = Mounted::bind(&from, root.parent().unwrap()).unwrap();
    assert_eq!(watcher.next(soon()).unwrap().events, [Event::RootBack]);
    drop(watcher);
}

#[test]
fn a_drive_is_mounted_over_the_root() {
    let mut scene = Scene::new(&["file"]);
    let Some(drive) = Mounted::at(&scene.path("")) else { return };
    said(&mut scene, &Event::RootGone);
    assert!(scene.mirror.id("file").is_some());
    drop(drive);
    said(&mut scene, &Event::RootBack);
    scene.settle();
}

#[test]
fn a_drive_below_the_root_is_rescanned_when_it_comes_and_kept_when_it_goes() {
    let mut scene = Scene::new(&["media/stick/", "other"]);
    scene.flush();
    let stick = scene.path("media/stick");
    let Some(drive) = Mounted::at(&stick) else { return };
    make(&stick, "d/file");
    scene.settle();
    make(&stick, "d/new");
    assert_eq!(scene.settle(), [created("media/stick/d/new")]);
    scene.watches(4);
    drop(drive);
    assert_eq!(scene.flush(), []);
    scene.watches(3);
    assert!(scene.mirror.id("media/stick/d/new").is_some());
    let drive = Mounted::at(&stick).unwrap();
    scene.settle();
    assert!(scene.mirror.id("media/stick/d/new").is_none(), "this one is empty");
    drop(drive);
}

fn problems(scene: &Scene) -> usize {
    scene.batches.iter().map(|batch| batch.problems.len()).sum()
}

#[test]
fn a_folder_mounted_twice_is_watched_once() {
    let mut scene = Scene::new(&["a/file", "b/", "a/up/"]);
    scene.flush();
    let Some(twice) = Mounted::bind(&scene.path("a"), &scene.path("b")) else { return };
    let Some(cycle) = Mounted::bind(&scene.path(""), &scene.path("a/up")) else { return };
    // The mounts are heard of apart from what is in them, in whatever order.
    scene.until("both are said", |scene| problems(scene) == 2);
    scene.make("a/new");
    scene.until("it is seen", |scene| scene.mirror.id("a/new").is_some());
    assert_eq!(problems(&scene), 2, "each is said once");
    drop(cycle);
    drop(twice);
    scene.watches(4);
    scene.make("b/free again");
    scene.until("the folder below", |scene| scene.mirror.id("b/free again").is_some());
}
