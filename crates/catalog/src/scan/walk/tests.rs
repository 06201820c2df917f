use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::{AtFlags, CWD, FileType, Mode};
use tempfile::TempDir;

use super::*;

/// Everything a walk gave, with paths.
#[derive(Debug, Default)]
struct Seen {
    found: Vec<(PathBuf, Found)>,
    problems: Vec<(PathBuf, What)>,
    listed: Vec<Listed>,
}

impl Seen {
    fn take(&mut self, walk: &Walk, step: Step) {
        match step {
            Step::Found(found) => self.found.push((walk.dir_path().join(&found.name), found)),
            Step::Problem(problem) => self.problems.push((problem.path, problem.what)),
            Step::Listed(listed) => self.listed.push(listed),
        }
    }

    fn paths(&self) -> Vec<&str> {
        self.found.iter().map(|(path, _)| path.to_str().unwrap()).collect()
    }

    fn at(&self, path: &str) -> &Found {
        let found = self.found.iter().find(|(at, _)| at == Path::new(path));
        &found.unwrap_or_else(|| panic!("{path} was not found")).1
    }
}

fn open(root: &Path) -> Walk {
    Walk::open(root, Options::default()).unwrap()
}

fn rest(mut walk: Walk, mut seen: Seen) -> Seen {
    while let Some(step) = walk.next() {
        seen.take(&walk, step);
    }
    assert!(walk.next().is_none(), "the end stays the end");
    seen
}

fn walk(root: &Path) -> Seen {
    rest(open(root), Seen::default())
}

/// Walks until this path was found.
fn until(root: &Path, path: &str) -> (Walk, Seen) {
    let (mut walk, mut seen) = (open(root), Seen::default());
    while seen.found.last().is_none_or(|(at, _)| at != Path::new(path)) {
        let step = walk.next().unwrap();
        seen.take(&walk, step);
    }
    (walk, seen)
}

/// A tree of empty files; what ends with a slash is a directory.
fn tree(paths: &[&str]) -> TempDir {
    let root = TempDir::new().unwrap();
    for path in paths {
        let at = root.path().join(path);
        let dir = if path.ends_with('/') { Some(at.as_path()) } else { at.parent() };
        fs::create_dir_all(dir.unwrap()).unwrap();
        if !path.ends_with('/') {
            fs::write(at, "").unwrap();
        }
    }
    root
}

#[test]
fn a_parent_comes_before_its_children_and_siblings_together_by_bytes() {
    let root = tree(&["b/z", "b/a/deep", "a", "B", "b.txt", "c/", "ä", "b/a0"]);
    let seen = walk(root.path());
    assert_eq!(seen.paths(), ["B", "a", "b", "b.txt", "c", "ä", "b/a", "b/a0", "b/z", "b/a/deep"]);
    assert_eq!(seen.problems, []);
    for (at, (path, found)) in seen.found.iter().enumerate() {
        assert_eq!(found.index, at as u64 + 1);
        assert_eq!(found.depth as usize, path.components().count());
        let parent = match path.parent().unwrap().to_str().unwrap() {
            "" => ROOT,
            parent => seen.at(parent).index,
        };
        assert_eq!(found.parent, parent, "{path:?}");
    }
    let listed = |dir, entries| Listed { dir, entries, complete: true };
    assert_eq!(seen.listed, [listed(0, 6), listed(3, 3), listed(7, 1), listed(5, 0)]);
}

#[test]
fn entries_say_what_the_file_system_says() {
    let root = tree(&["dir/"]);
    let file = root.path().join("file");
    fs::write(&file, "12345").unwrap();
    fs::hard_link(&file, root.path().join("same")).unwrap();
    let opened = fs::File::options().write(true).open(&file).unwrap();
    let before_1970 = std::time::UNIX_EPOCH - std::time::Duration::from_millis(1500);
    opened.set_modified(before_1970).unwrap();
    let seen = walk(root.path());
    let meta = seen.at("file").meta;
    assert_eq!((meta.kind, meta.size, meta.links), (Kind::File, 5, 2));
    assert_eq!(meta.mtime.millis(), -1500);
    assert!(meta.ctime.secs > 0);
    let same = seen.at("same").meta;
    assert_eq!((meta.inode, meta.device), (same.inode, same.device));
    let dir = seen.at("dir").meta;
    assert_eq!(dir.kind, Kind::Dir);
    assert_ne!(dir.inode, meta.inode);
    assert_eq!(dir.device, open(root.path()).root().device);
}

#[test]
fn odd_names_are_kept_exactly() {
    let names: [&[u8]; 9] = [
        b"\x01\n\t\x7f",
        b" ",
        b"-rf",
        b"...",
        b"\\",
        b"caf\xe9",
        b"\xff\xfe",
        "e\u{301}\u{202e}".as_bytes(),
        &[b'x'; 255],
    ];
    let root = TempDir::new().unwrap();
    for name in names {
        fs::write(root.path().join(OsStr::from_bytes(name)), "").unwrap();
    }
    let seen = walk(root.path());
    let mut want: Vec<_> = names.iter().map(|name| OsString::from_vec(name.to_vec())).collect();
    want.sort();
    let got: Vec<_> = seen.found.iter().map(|(_, found)| found.name.clone()).collect();
    assert_eq!(got, want);
    let noted = |name: &[u8]| (PathBuf::from(OsStr::from_bytes(name)), What::NotUtf8);
    assert_eq!(seen.problems, [noted(b"caf\xe9"), noted(b"\xff\xfe")]);
    assert!(seen.listed[0].complete, "notes take nothing away");
}

#[test]
fn links_are_found_and_never_followed() {
    let root = tree(&["dir/file"]);
    let link = |target: &str, name: &str| symlink(target, root.path().join(name)).unwrap();
    link("dir", "to_dir");
    link("..", "dir/up");
    link("loop_b", "loop_a");
    link("loop_a", "loop_b");
    link("self", "self");
    link("/nowhere/at/all", "broken");
    let seen = walk(root.path());
    let first: Vec<_> = seen.paths().into_iter().filter(|path| !path.starts_with("dir")).collect();
    assert_eq!(first, ["broken", "loop_a", "loop_b", "self", "to_dir"]);
    assert_eq!(seen.listed.len(), 2, "the root and dir");
    for (path, target) in [("to_dir", "dir"), ("dir/up", ".."), ("broken", "/nowhere/at/all")] {
        assert_eq!(seen.at(path).meta.kind, Kind::Link);
        assert_eq!(seen.at(path).target.as_deref(), Some(Path::new(target)));
    }
    let broken = ["broken", "loop_a", "loop_b", "self"];
    assert_eq!(seen.problems, broken.map(|path| (path.into(), What::BrokenLink)));
    let unchecked = Options { check_links: false, ..Options::default() };
    let problems = Walk::open(root.path(), unchecked).unwrap();
    assert_eq!(problems.filter(|step| matches!(step, Step::Problem(_))).count(), 0);
}

#[test]
fn special_files_are_found_and_not_opened() {
    let root = TempDir::new().unwrap();
    let fifo = root.path().join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    let seen = walk(root.path());
    assert_eq!(seen.paths(), ["fifo", "socket"]);
    assert!(seen.found.iter().all(|(_, found)| found.meta.kind == Kind::Other));
    assert_eq!(seen.problems, []);
}

#[test]
fn a_large_folder_is_listed_whole_and_in_order() {
    let root = TempDir::new().unwrap();
    for n in 0..5000 {
        fs::write(root.path().join(format!("file {n}")), "").unwrap();
    }
    let seen = walk(root.path());
    assert_eq!(seen.found.len(), 5000);
    assert!(seen.found.is_sorted_by_key(|(path, _)| path.as_os_str().as_bytes()));
    assert_eq!(seen.listed, [Listed { dir: ROOT, entries: 5000, complete: true }]);
}

#[test]
fn a_root_that_cannot_be_opened_says_why() {
    let root = tree(&["file"]);
    let fails = |path: &Path| Walk::open(path, Options::default()).unwrap_err();
    let missing = root.path().join("missing");
    assert!(matches!(fails(&missing), RootError::NotFound { path, .. } if path == missing));
    let file = root.path().join("file");
    let error = fails(&file);
    assert!(matches!(&error, RootError::NotADirectory { path, .. } if *path == file));
    assert_eq!(error.to_string(), format!("{} is not a directory", file.display()));
}

#[test]
fn a_root_may_be_a_link() {
    let root = tree(&["dir/file"]);
    let link = root.path().join("link");
    symlink("dir", &link).unwrap();
    assert_eq!(walk(&link).paths(), ["file"]);
}

#[test]
fn what_may_not_be_read_is_a_problem_and_the_rest_goes_on() {
    let root = tree(&["a/hidden", "b/seen"]);
    let shut = root.path().join("a");
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything; there is nothing to see then.
    if fs::read_dir(&shut).is_err() {
        let seen = walk(root.path());
        assert_eq!(seen.paths(), ["a", "b", "b/seen"]);
        assert_eq!(seen.problems, [("a".into(), What::Unreadable)]);
        let listed: Vec<_> = seen.listed.iter().map(|listed| listed.dir).collect();
        assert_eq!(listed, [ROOT, seen.at("b").index]);
        let error = Walk::open(&shut, Options::default()).unwrap_err();
        assert!(matches!(error, RootError::Permission { .. }));
    }
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn what_vanishes_is_a_problem_and_the_rest_goes_on() {
    let root = tree(&["a/1", "b/1", "c/1", "d", "e"]);
    let (walk, seen) = until(root.path(), "c");
    fs::remove_file(root.path().join("d")).unwrap();
    fs::remove_dir_all(root.path().join("b")).unwrap();
    let seen = rest(walk, seen);
    assert_eq!(seen.paths(), ["a", "b", "c", "e", "a/1", "c/1"]);
    assert_eq!(seen.problems, [("d".into(), What::Vanished), ("b".into(), What::Vanished)]);
    let complete = |dir, entries| Listed { dir, entries, complete: true };
    assert_eq!(seen.listed, [complete(0, 4), complete(1, 1), complete(3, 1)]);
}

#[test]
fn a_directory_that_vanishes_while_it_is_listed() {
    let root = tree(&["dir/a", "dir/b", "dir/sub/x", "z/1"]);
    let (walk, seen) = until(root.path(), "dir/a");
    fs::remove_dir_all(root.path().join("dir")).unwrap();
    let seen = rest(walk, seen);
    assert_eq!(seen.paths(), ["dir", "z", "dir/a", "z/1"]);
    let gone = ["dir/b", "dir/sub"].map(|path| (path.into(), What::Vanished));
    assert_eq!(seen.problems, gone);
}

#[test]
fn what_changes_type_is_not_entered() {
    let root = tree(&["a/1", "b/1", "c/1", "other/1"]);
    let (walk, seen) = until(root.path(), "other");
    for name in ["a", "b", "c"] {
        fs::remove_dir_all(root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("a"), "a file now").unwrap();
    symlink("other", root.path().join("b")).unwrap();
    fs::create_dir(root.path().join("keep")).unwrap();
    fs::rename(root.path().join("keep"), root.path().join("c")).unwrap();
    fs::write(root.path().join("c/new"), "").unwrap();
    let seen = rest(walk, seen);
    assert_eq!(seen.paths(), ["a", "b", "c", "other", "c/new", "other/1"]);
    let changed: Vec<_> = seen.problems.iter().map(|(path, what)| (path.to_str(), *what)).collect();
    assert_eq!(changed[..2], [(Some("a"), What::Changed), (Some("b"), What::Changed)]);
    // A new directory may by chance have the inode number of one that went.
    assert!(changed.len() == 2 || changed[2..] == [(Some("c"), What::Changed)]);
}

#[test]
fn levels_and_skipped_directories_are_not_entered() {
    let root = tree(&["a/b/c", "d/e"]);
    let options = Options { levels: Some(1), ..Options::default() };
    let seen = rest(Walk::open(root.path(), options).unwrap(), Seen::default());
    assert_eq!(seen.paths(), ["a", "d"]);
    assert_eq!(seen.listed.len(), 1);

    let (mut walk, seen) = until(root.path(), "a");
    let a = seen.at("a").index;
    walk.do_not_enter(a + 1);
    walk.do_not_enter(a);
    let seen = rest(walk, seen);
    assert_eq!(seen.paths(), ["a", "d", "d/e"]);
    assert_eq!(seen.problems, []);
}

/// A chain of directories `a`, each with a directory `b` too, far beyond the longest path.
fn chain(root: &Path, levels: usize) {
    let mut at = open_root(root).unwrap();
    for _ in 0..levels {
        rustix::fs::mkdirat(&at, "b", Mode::RWXU).unwrap();
        rustix::fs::mkdirat(&at, "a", Mode::RWXU).unwrap();
        at = open_dir(at.as_fd(), c"a").unwrap();
    }
}

/// Removes it from its end upwards, as what removes from the top would need a descriptor a level.
fn unchain(root: &Path, levels: usize) {
    let mut at = open_root(root).unwrap();
    for _ in 0..levels {
        at = open_dir(at.as_fd(), c"a").unwrap();
    }
    for _ in 0..levels {
        at = open_dir(at.as_fd(), c"..").unwrap();
        for name in ["a", "b"] {
            rustix::fs::unlinkat(&at, name, AtFlags::REMOVEDIR).unwrap();
        }
    }
}

#[test]
fn nesting_beyond_the_longest_path_and_the_number_of_descriptors() {
    const LEVELS: usize = 2500;
    let root = TempDir::new().unwrap();
    chain(root.path(), LEVELS);
    let (mut found, mut listed, mut deepest) = (0, 0, 0);
    for step in open(root.path()) {
        match step {
            Step::Found(entry) => {
                found += 1;
                deepest = deepest.max(entry.depth as usize);
            }
            Step::Listed(listing) => {
                listed += 1;
                assert!(listing.complete);
            }
            Step::Problem(problem) => panic!("{problem}"),
        }
    }
    unchain(root.path(), LEVELS);
    assert_eq!((found, listed, deepest), (2 * LEVELS, 2 * LEVELS + 1, LEVELS));
}

#[test]
fn a_tree_moved_away_under_a_walk_is_found_again_from_the_root() {
    let root = TempDir::new().unwrap();
    let elsewhere = TempDir::new_in(root.path().parent().unwrap()).unwrap();
    chain(root.path(), 100);
    let middle: PathBuf = std::iter::repeat_n("a", 50).collect();
    let bottom: PathBuf = std::iter::repeat_n("a", 100).collect();
    let (walk, seen) = until(root.path(), bottom.to_str().unwrap());
    fs::rename(root.path().join(&middle), elsewhere.path().join("moved")).unwrap();
    let seen = rest(walk, seen);
    assert_eq!(seen.problems, []);
    assert_eq!((seen.found.len(), seen.listed.len()), (200, 201));
}

#[test]
fn a_tree_removed_under_a_walk_ends_in_problems() {
    let root = TempDir::new().unwrap();
    chain(root.path(), 100);
    let bottom: PathBuf = std::iter::repeat_n("a", 100).collect();
    let (walk, seen) = until(root.path(), bottom.to_str().unwrap());
    fs::remove_dir_all(root.path().join("a")).unwrap();
    let seen = rest(walk, seen);
    // Only the own `b` of the root is still there, of all that had not been entered.
    assert!(seen.problems.iter().all(|(_, what)| *what == What::Vanished));
    assert_eq!(seen.problems.len(), 100);
    assert_eq!(seen.listed.len(), 101);
}

#[test]
fn an_inode_on_the_way_down_is_a_cycle() {
    let mut stack = Stack::default();
    let root = TempDir::new().unwrap();
    let mut push = |id| {
        let fd = open_root(root.path()).unwrap();
        stack.push(Frame::new(fd, id, Sub { name: c"x".into(), index: 0, id }));
    };
    push((1, 2));
    push((7, 0));
    assert!(stack.has((1, 2)));
    assert!(!stack.has((2, 2)), "another device");
    assert!(!stack.has((7, 0)), "no inode number");
    stack.pop();
    stack.pop();
    assert!(!stack.has((1, 2)));
}
