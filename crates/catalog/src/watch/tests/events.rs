//! What each thing that happens to a file or folder is said to be.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

#[test]
fn a_file_is_made_and_changed_and_removed() {
    let mut scene = Scene::new(&[]);
    scene.make("file");
    assert_eq!(scene.settle(), [created("file")]);
    fs::write(scene.path("file"), "other words").unwrap();
    assert_eq!(scene.settle(), [changed("file")]);
    fs::set_permissions(scene.path("file"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(scene.flush(), [changed("file")]);
    fs::remove_file(scene.path("file")).unwrap();
    assert_eq!(scene.settle(), [removed("file")]);
}

#[test]
fn other_things_than_files() {
    let mut scene = Scene::new(&["file"]);
    symlink("nowhere", scene.path("link")).unwrap();
    fs::hard_link(scene.path("file"), scene.path("same")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(scene.path("socket")).unwrap();
    scene.settle();
    fs::remove_file(scene.path("link")).unwrap();
    assert_eq!(scene.settle(), [removed("link")]);
}

#[test]
fn a_rename_keeps_the_id() {
    let mut scene = Scene::new(&["a", "d/x"]);
    scene.flush();
    let (a, d, x) = (scene.mirror.id("a"), scene.mirror.id("d"), scene.mirror.id("d/x"));
    scene.mv("a", "b");
    assert_eq!(scene.settle(), [moved("a", "b")]);
    scene.mv("d", "e");
    assert_eq!(scene.settle(), [moved("d", "e")]);
    // What moves again before the last batch was surely applied is said to have changed as well.
    scene.flush();
    scene.mv("b", "e/c");
    assert_eq!(scene.settle(), [moved("b", "e/c")]);
    let ids = [scene.mirror.id("e/c"), scene.mirror.id("e"), scene.mirror.id("e/x")];
    assert_eq!(ids, [a, d, x]);
    // The watch moved with its folder.
    scene.make("e/new");
    assert_eq!(scene.settle(), [created("e/new")]);
}

#[test]
fn a_folder_of_many_files_is_renamed_in_one_event() {
    let mut scene = Scene::new(&["in/", "out/"]);
    for at in 0..500 {
        scene.make(&format!("in/{}/{at}", at % 50));
    }
    scene.settle();
    let id = scene.mirror.id("in/7/7");
    scene.flush();
    scene.mv("in", "out/moved");
    assert_eq!(scene.settle(), [moved("in", "out/moved")]);
    assert_eq!(scene.mirror.id("out/moved/7/7"), id);
    scene.watches(53);
}

#[test]
fn moves_in_a_row_are_said_in_their_order() {
    let mut scene = Scene::new(&["log", "log.1", "log.2"]);
    scene.flush();
    let ids: Vec<_> = ["log", "log.1"].map(|name| scene.mirror.id(name)).into();
    scene.mv("log.1", "log.2");
    scene.mv("log", "log.1");
    scene.make("log");
    let events = scene.settle();
    assert_eq!(events, [moved("log.1", "log.2"), moved("log", "log.1"), created("log")]);
    assert_eq!([scene.mirror.id("log.1"), scene.mirror.id("log.2")], ids[..]);
}

#[test]
fn two_folders_change_places() {
    let mut scene = Scene::new(&["a/1", "b/2", "b/deep/3"]);
    let (a, b) = (scene.mirror.id("a/1"), scene.mirror.id("b/deep/3"));
    scene.mv("a", "t");
    scene.mv("b", "a");
    scene.mv("t", "b");
    scene.settle();
    assert_eq!((scene.mirror.id("b/1"), scene.mirror.id("a/deep/3")), (a, b));
    scene.make("a/deep/new");
    assert!(scene.settle().contains(&created("a/deep/new")));
}

#[test]
fn two_names_change_places_at_once() {
    let mut scene = Scene::new(&["a/1", "b/2", "b/deep/3", "file", "other"]);
    scene.flush();
    exchange(&scene.path("a"), &scene.path("b")).unwrap();
    exchange(&scene.path("file"), &scene.path("other")).unwrap();
    scene.settle();
    for path in ["a/deep/new", "b/new"] {
        scene.make(path);
        assert!(scene.settle().contains(&created(path)));
    }
    exchange(&scene.path("a/deep"), &scene.path("file")).unwrap();
    scene.settle();
    scene.make("file/newer");
    assert_eq!(scene.settle(), [created("file/newer")]);
    scene.watches(4);
}

#[test]
fn something_changes_places_with_what_is_not_seen() {
    let mut scene = Scene::new(&["a/1", "file"]);
    fs::create_dir_all(scene.outside("x/2")).unwrap();
    scene.flush();
    exchange(&scene.path("a"), &scene.outside("x")).unwrap();
    scene.settle();
    scene.make("a/2/new");
    assert_eq!(scene.settle(), [created("a/2/new")]);
    exchange(&scene.path("file"), &scene.outside("x")).unwrap();
    scene.settle();
    scene.make("file/new");
    assert_eq!(scene.settle(), [created("file/new")]);
    scene.watches(4);
}

#[test]
fn there_and_back_again() {
    let mut scene = Scene::new(&["a/b/c"]);
    scene.flush();
    let id = scene.mirror.id("a/b/c");
    scene.mv("a", "x");
    scene.mv("x", "a");
    assert_eq!(scene.flush(), [moved("a", "x"), moved("x", "a"), rescan("a")]);
    assert_eq!(scene.mirror.id("a/b/c"), id);
}

#[test]
fn a_folder_is_renamed_twice() {
    let mut scene = Scene::new(&["a/b/c"]);
    scene.flush();
    let id = scene.mirror.id("a/b/c");
    scene.mv("a", "x");
    scene.mv("x", "y");
    assert_eq!(scene.flush(), [moved("a", "x"), moved("x", "y")]);
    assert_eq!(scene.mirror.id("y/b/c"), id);
    scene.make("y/b/new");
    assert_eq!(scene.settle(), [created("y/b/new")]);
}

#[test]
fn what_changed_before_its_folder_moved_is_said_at_its_new_place() {
    let mut scene = Scene::new(&["a/file", "a/deep/file"]);
    scene.flush();
    fs::write(scene.path("a/file"), "new").unwrap();
    fs::write(scene.path("a/deep/file"), "new").unwrap();
    scene.mv("a", "b");
    let want = [moved("a", "b"), changed("b/deep/file"), changed("b/file")];
    assert_eq!(scene.settle(), want);
}

#[test]
fn what_was_given_and_moved_before_it_was_looked_at_is_said_again() {
    let mut scene = Scene::new(&["a/file", "b/file", "other"]);
    scene.flush();
    fs::write(scene.path("a/file"), "new").unwrap();
    fs::write(scene.path("b/file"), "new").unwrap();
    let batch = scene.watcher.next(soon()).unwrap();
    assert_eq!(batch.events, [changed("a/file"), changed("b/file")]);
    // Whoever applies the batch comes too late.
    scene.mv("a", "c");
    scene.mv("b/file", "d");
    scene.mirror.apply(&batch);
    scene.settle();
    assert_eq!(fs::read(scene.path("c/file")).unwrap(), b"new");
}

#[test]
fn into_the_tree_and_out_of_it() {
    let mut scene = Scene::new(&["a", "d/1", "d/e/2"]);
    fs::rename(scene.path("a"), scene.outside("a")).unwrap();
    assert_eq!(scene.settle(), [removed("a")]);
    fs::rename(scene.path("d"), scene.outside("d")).unwrap();
    assert_eq!(scene.settle(), [removed("d")]);
    scene.watches(1);
    fs::write(scene.outside("d/e/2"), "not ours now").unwrap();
    assert_eq!(scene.flush(), []);
    fs::rename(scene.outside("d"), scene.path("back")).unwrap();
    assert_eq!(scene.settle(), [created("back")]);
    scene.make("back/e/3");
    assert_eq!(scene.settle(), [created("back/e/3")]);
    fs::rename(scene.outside("a"), scene.path("b")).unwrap();
    assert_eq!(scene.settle(), [created("b")]);
}

#[test]
fn a_folder_is_removed_with_all_below_it() {
    let mut scene = Scene::new(&["keep"]);
    for at in 0..300 {
        scene.make(&format!("d/{}/{}/{at}", at % 3, at % 7));
    }
    scene.settle();
    fs::remove_dir_all(scene.path("d")).unwrap();
    let events = scene.settle();
    assert!(events.contains(&removed("d")));
    scene.watches(1);
}

#[test]
fn folders_made_quickly_below_each_other() {
    let mut scene = Scene::new(&[]);
    for at in 0..50 {
        scene.make(&format!("{at}/a/b/c/d/file"));
    }
    scene.settle();
    scene.watches(251);
    scene.make("7/a/b/c/d/more");
    assert_eq!(scene.settle(), [created("7/a/b/c/d/more")]);
}

#[test]
fn removed_and_made_again_with_the_same_name() {
    let mut scene = Scene::new(&["file", "dir/1", "turn"]);
    scene.flush();
    fs::remove_file(scene.path("file")).unwrap();
    scene.make("file");
    fs::remove_dir_all(scene.path("dir")).unwrap();
    scene.make("dir/2");
    fs::remove_file(scene.path("turn")).unwrap();
    scene.make("turn/into/folder");
    let mut events = scene.settle();
    events.sort();
    let mut want = vec![
        created("dir"),
        created("file"),
        created("turn"),
        removed("dir"),
        removed("file"),
        removed("turn"),
    ];
    want.sort();
    assert_eq!(events, want);
    scene.make("dir/3");
    scene.make("turn/into/more");
    scene.settle();
}

#[test]
fn a_file_saved_by_a_rename_is_the_same_file() {
    let mut scene = Scene::new(&["text"]);
    let id = scene.mirror.id("text");
    scene.flush();
    fs::write(scene.path("text.tmp"), "new words").unwrap();
    scene.mv("text.tmp", "text");
    assert_eq!(scene.settle(), [removed("text.tmp"), created("text")]);
    assert_eq!(scene.mirror.id("text"), id);
}

#[test]
fn something_known_moves_into_a_new_folder() {
    let mut scene = Scene::new(&["a", "d/x"]);
    scene.flush();
    let (a, x) = (scene.mirror.id("a"), scene.mirror.id("d/x"));
    scene.make("new/deep/");
    scene.mv("a", "new/deep/a");
    scene.mv("d", "new/d");
    scene.until("the moves", |scene| scene.mirror.id("new/d/x").is_some());
    scene.settle();
    // A whole folder that is new is looked at before, and may show it as new already.
    assert!(scene.mirror.id("new/deep/a") == a || scene.mirror.id("a").is_none());
    assert!(scene.mirror.id("new/d/x") == x || scene.mirror.id("d/x").is_none());
}

#[test]
fn a_file_that_stays_open_is_said_now_and_then_and_once_it_is_closed() {
    let pause = Duration::from_millis(300);
    let options = Options { while_written: pause, ..Options::default() };
    let mut scene = Scene::with(&["log"], options);
    scene.flush();
    let mut file = File::options().append(true).open(scene.path("log")).unwrap();
    let started = Instant::now();
    file.write_all(b"one").unwrap();
    assert_eq!(scene.settle(), [changed("log")]);
    assert!(started.elapsed() >= pause);
    file.write_all(b"two").unwrap();
    drop(file);
    let closed = Instant::now();
    assert_eq!(scene.settle(), [changed("log")]);
    assert!(closed.elapsed() < pause || started.elapsed() > Duration::from_secs(2));
}

#[test]
fn names_that_are_not_utf_8() {
    let mut scene = Scene::new(&[]);
    let name = |bytes: &[u8]| std::path::PathBuf::from(OsStr::from_bytes(bytes));
    let root = scene.path("");
    fs::create_dir(root.join(name(b"d\xff"))).unwrap();
    fs::write(root.join(name(b"d\xff/f\xfe\n")), "x").unwrap();
    assert_eq!(scene.settle(), [Event::Created { path: name(b"d\xff") }]);
    scene.flush();
    fs::rename(root.join(name(b"d\xff/f\xfe\n")), root.join(name(b"\xe9"))).unwrap();
    let (from, to) = (name(b"d\xff/f\xfe\n"), name(b"\xe9"));
    assert_eq!(scene.settle(), [Event::Moved { from, to }]);
}

#[test]
fn a_folder_that_opens_is_entered() {
    let mut scene = Scene::new(&["shut/file"]);
    fs::set_permissions(scene.path("shut"), Permissions::from_mode(0o000)).unwrap();
    scene.flush();
    if fs::read_dir(scene.path("shut")).is_ok() {
        // Whoever may read everything sees no difference.
        fs::set_permissions(scene.path("shut"), Permissions::from_mode(0o700)).unwrap();
        return;
    }
    let watcher = Watcher::open(&scene.path(""), Options::default()).unwrap();
    assert_eq!(watcher.watches(), 1);
    scene.watcher = watcher;
    fs::set_permissions(scene.path("shut"), Permissions::from_mode(0o700)).unwrap();
    assert!(scene.settle().contains(&created("shut")));
    scene.make("shut/new");
    assert_eq!(scene.settle(), [created("shut/new")]);
}

#[test]
fn nothing_runs_where_nothing_happens() {
    let mut scene = Scene::new(&["a/b/c"]);
    scene.make("file");
    scene.flush();
    // Until all timers of what happened are over.
    let deadline = Instant::now() + Duration::from_millis(400);
    assert!(scene.watcher.next(deadline).is_none());
    let turns = scene.watcher.turns();
    assert!(scene.watcher.next(Instant::now() + Duration::from_millis(700)).is_none());
    assert_eq!(scene.watcher.turns(), turns);
}

#[test]
fn a_wait_is_ended_by_another_thread() {
    let mut scene = Scene::new(&[]);
    let stopper = scene.watcher.stopper();
    let thread = std::thread::spawn(move || stopper.stop());
    assert!(scene.watcher.next(soon()).is_none());
    thread.join().unwrap();
    scene.make("file");
    assert!(scene.watcher.next(soon()).is_none(), "no batch comes after that");
}

#[test]
fn a_root_that_cannot_be_watched() {
    let scene = Scene::new(&["file"]);
    for path in ["missing", "file"] {
        let error = Watcher::open(&scene.path(path), Options::default()).unwrap_err();
        assert!(matches!(error, super::super::WatchError::Root { .. }), "{error:?}");
    }
}

#[test]
fn a_root_may_be_a_link() {
    let mut scene = Scene::new(&["file"]);
    let link = scene.outside("link");
    symlink(scene.path(""), &link).unwrap();
    scene.watcher = Watcher::open(&link, Options::default()).unwrap();
    scene.make("a/b");
    assert_eq!(scene.settle(), [created("a")]);
}
