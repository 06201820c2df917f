use std::fs;

use tempfile::TempDir;

use super::*;

/// A tree with rule files: path and text.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = TempDir::new().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn rules(patterns: &[&str]) -> Rules {
    let patterns = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    Rules { patterns, ..Rules::default() }
}

/// Of these paths, those that are ignored; one that ends with a slash is a folder.
fn ignored<'a>(ignore: &mut Ignore, paths: &[&'a str]) -> Vec<&'a str> {
    let is_ignored = |ignore: &mut Ignore, path: &str| {
        ignore.ignores(Path::new(path.trim_end_matches('/')), path.ends_with('/'))
    };
    paths.iter().filter(|path| is_ignored(ignore, path)).copied().collect()
}

fn no_problems(ignore: &mut Ignore) {
    assert!(ignore.take_problems().0.is_empty());
}

#[test]
fn negation_folders_only_and_anchors() {
    let root = tree(&[(".gitignore", "# words\n*.log\n!keep.log\nbuild/\n/top\na/**/z\n\\!odd\n")]);
    let mut ignore = Ignore::open(root.path(), &Rules::default());
    let all = [
        "x.log",
        "d/x.log",
        "keep.log",
        "d/keep.log",
        "build/",
        "build",
        "d/build/",
        "top",
        "d/top",
        "a/z",
        "a/b/c/z",
        "b/z",
        "!odd",
        "words",
        "build/keep.log",
    ];
    let want = [
        "x.log",
        "d/x.log",
        "build/",
        "d/build/",
        "top",
        "a/z",
        "a/b/c/z",
        "!odd",
        "build/keep.log",
    ];
    assert_eq!(ignored(&mut ignore, &all), want);
    no_problems(&mut ignore);
}

#[test]
fn deeper_rules_go_first_and_hold_from_their_folder_down() {
    let root = tree(&[
        (".gitignore", "*.tmp\n/d/only\n"),
        ("d/.gitignore", "!*.tmp\n/here\n"),
        ("d/e/.gitignore", "*.tmp\n"),
        ("shut/.gitignore", "!*\n"),
    ]);
    let mut ignore = Ignore::open(root.path(), &rules(&["shut"]));
    let all = ["a.tmp", "d/a.tmp", "d/e/a.tmp", "d/only", "d/here", "d/e/here", "shut/", "shut/a"];
    assert_eq!(
        ignored(&mut ignore, &all),
        ["a.tmp", "d/e/a.tmp", "d/only", "d/here", "shut/", "shut/a"]
    );
    let backwards: Vec<_> = all.iter().rev().copied().collect();
    assert_eq!(ignored(&mut ignore, &backwards).len(), 6, "in whatever order it is asked");
    no_problems(&mut ignore);
}

#[test]
fn our_rule_file_overrules_gits_and_the_list_overrules_both() {
    let root = tree(&[(".gitignore", "a\nb\n"), (".driftlessignore", "!a\nc\n")]);
    let mut ignore = Ignore::open(root.path(), &rules(&["!c", "d"]));
    assert_eq!(ignored(&mut ignore, &["a", "b", "c", "d", "e"]), ["b", "d"]);
    let only = Rules { files: vec![".driftlessignore".into()], ..Rules::default() };
    assert_eq!(ignored(&mut Ignore::open(root.path(), &only), &["a", "b", "c"]), ["c"]);
    let none = Rules { files: Vec::new(), ..Rules::default() };
    assert!(ignored(&mut Ignore::open(root.path(), &none), &["a", "b", "c"]).is_empty());
}

#[test]
fn hidden_names_unless_a_rule_keeps_them() {
    let root = tree(&[(".gitignore", "!.keep\n"), (".shut/.gitignore", "!*\n")]);
    let hidden = Rules { skip_hidden: true, ..Rules::default() };
    let mut ignore = Ignore::open(root.path(), &hidden);
    let all = [".a", ".keep", "b", ".shut/", ".shut/c", ".keep/", ".keep/d", "e/.f"];
    assert_eq!(ignored(&mut ignore, &all), [".a", ".shut/", ".shut/c", "e/.f"]);
    assert!(ignored(&mut Ignore::open(root.path(), &Rules::default()), &all).is_empty());
}

#[test]
fn bad_patterns_are_problems_and_the_others_hold() {
    let root = tree(&[("d/.gitignore", "good\n{bad\n")]);
    let long = "x".repeat(MAX_PATTERN + 1);
    fs::write(root.path().join(".gitignore"), b"fine\n\xff\xfe\nalso\r\n").unwrap();
    let mut ignore = Ignore::open(root.path(), &rules(&["{a", &long, "own"]));
    let all = ["fine", "also", "own", "d/good", "d/other"];
    assert_eq!(ignored(&mut ignore, &all), all[..4]);
    let (problems, more) = ignore.take_problems();
    let places: Vec<_> = problems
        .iter()
        .map(|problem| match problem {
            Problem::Pattern { path, line, .. } => (path.as_deref().and_then(Path::to_str), *line),
            other => panic!("{other}"),
        })
        .collect();
    let want = [(None, 1), (None, 2), (Some(".gitignore"), 2), (Some("d/.gitignore"), 2)];
    assert_eq!((&places[..], more), (&want[..], 0));
    assert!(problems[3].to_string().starts_with("line 2 of d/.gitignore is no pattern: "));
    assert!(problems[0].to_string().starts_with("line 1 of the location's list is no pattern: "));
}

#[test]
fn lists_that_are_too_long_do_not_hold() {
    let root = tree(&[("many/.gitignore", ""), ("long/.gitignore", "")]);
    let many = "x\n".repeat(MAX_PATTERNS + 1);
    fs::write(root.path().join("many/.gitignore"), &many).unwrap();
    let long = format!("x\n{}", "#\n".repeat(MAX_RULE_FILE / 2));
    fs::write(root.path().join("long/.gitignore"), long).unwrap();
    let own: Vec<_> = many.lines().collect();
    let mut ignore = Ignore::open(root.path(), &rules(&own));
    assert!(ignored(&mut ignore, &["many/x", "long/x", "x"]).is_empty());
    let (problems, _) = ignore.take_problems();
    assert_eq!(problems.len(), 3);
    assert!(problems.iter().all(|problem| matches!(problem, Problem::TooManyRules { .. })));
}

#[test]
fn what_is_no_rule_file_is_not_read() {
    let root = tree(&[("folder/.gitignore/x", ""), ("other", "*\n")]);
    std::os::unix::fs::symlink("other", root.path().join(".gitignore")).unwrap();
    fs::create_dir(root.path().join("fifo")).unwrap();
    let fifo = root.path().join("fifo/.gitignore");
    rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    let mut ignore = Ignore::open(root.path(), &Rules::default());
    assert!(ignored(&mut ignore, &["x", "folder/x", "fifo/x", "missing/x"]).is_empty());
    let (problems, _) = ignore.take_problems();
    let [Problem::Rules { path, .. }] = &problems[..] else { panic!("{problems:?}") };
    assert_eq!(path, Path::new(".gitignore"), "a link");
}

#[test]
fn paths_that_are_not_below_the_root() {
    let root = tree(&[]);
    let mut ignore = Ignore::open(root.path(), &Rules::default());
    for path in ["..", "../x", "a/../x", "/etc", "/"] {
        let is_root = path == "/";
        assert_eq!(ignore.ignores(Path::new(path), false), !is_root, "{path}");
    }
    assert!(!ignore.ignores(Path::new(""), true), "the root itself");
    assert!(!ignore.ignores(Path::new("./a/./b"), false));
}

#[test]
fn names_that_are_not_utf_8() {
    let root = tree(&[(".gitignore", "*.log\n")]);
    let mut ignore = Ignore::open(root.path(), &Rules::default());
    assert!(ignore.ignores(Path::new(OsStr::from_bytes(b"\xff/\xfe.log")), false));
    assert!(!ignore.ignores(Path::new(OsStr::from_bytes(b"\xff/\xfe")), false));
}
