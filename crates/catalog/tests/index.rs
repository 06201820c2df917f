//! Indexing and scanning again.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use common::{Home, raw, touch};
use driftless_catalog::scan::{Cancel, What};
use driftless_catalog::{CatalogError, Changes, EntryKind, ScanOptions, ScanPhase, ScanProgress};

#[test]
fn what_is_there_is_indexed_with_its_hash() {
    let home = Home::new();
    home.write("notes.TXT", "hello");
    home.write("deep/er/est/file.tar.gz", "deep");
    home.write("empty", "");
    symlink("notes.TXT", home.path("link")).unwrap();
    let added = home.scan();
    assert_eq!((added.counts.files, added.counts.dirs, added.counts.links), (3, 3, 1));
    assert_eq!(added.counts.bytes, 9);
    assert_eq!((added.hashed, added.problem_count, added.note_count), (3, 0, 0));
    assert_eq!(added.changes, Changes { added: 7, ..Changes::default() });

    let notes = home.at("notes.TXT");
    assert_eq!((notes.kind, notes.size), (EntryKind::File, 5));
    assert_eq!(notes.content, Some(*blake3::hash(b"hello").as_bytes()));
    assert_eq!(notes.path, home.path("notes.TXT").to_str().unwrap());
    assert_eq!(notes.device, home.library.device_id());
    assert_eq!((notes.device_name.as_str(), notes.location), ("laptop", added.id));
    let link = home.at("link");
    assert_eq!((link.kind, link.link_target.as_deref()), (EntryKind::Link, Some("notes.TXT")));
    let folder = home.at("deep/er");
    assert_eq!((folder.kind, folder.size, folder.content), (EntryKind::Dir, 0, None));
    let extension = home.count("SELECT count(*) FROM entry WHERE extension IN ('txt', 'gz')");
    assert_eq!(extension, 2);

    let locations = home.catalog().locations().unwrap();
    let [info] = locations.as_slice() else { panic!("{locations:?}") };
    assert_eq!((info.location.files, info.location.dirs, info.location.bytes), (3, 3, 9));
    assert_eq!((info.location.state.as_str(), info.here), ("ready", true));
    assert!(info.location.scanned_at.is_some());
    assert!(info.volume.as_ref().unwrap().capacity > 0);
}

#[test]
fn odd_names_are_kept_exactly() {
    let home = Home::new();
    let odd: [&[u8]; 8] = [
        b"new\nline",
        b"tab\t",
        b"-rf",
        b" ",
        b"quote'\"%_",
        "grün 🦀".as_bytes(),
        b"latin-\xe9.txt",
        b"latin-\xe8.txt",
    ];
    for name in odd {
        home.write(raw(name), name);
    }
    let added = home.scan();
    assert_eq!((added.counts.files, added.note_count), (8, 2));
    assert!(added.problems.iter().all(|problem| problem.what == What::NotUtf8));
    for name in odd {
        let item = home.at(raw(name));
        assert_eq!(item.content, Some(*blake3::hash(name).as_bytes()), "{name:?}");
        let exact = item.name_raw.as_deref().unwrap_or(item.name.as_bytes());
        assert_eq!(exact, name);
        assert_eq!(item.path_raw.is_some(), std::str::from_utf8(name).is_err());
    }
    // As it is shown it fits two.
    assert!(matches!(home.find("latin-\u{fffd}.txt"), Err(CatalogError::NotIndexed { .. })));
    let again = home.scan();
    assert_eq!(again.changes, Changes { unchanged: 8, ..Changes::default() });
}

#[test]
fn a_second_scan_writes_what_changed_and_nothing_else() {
    let home = Home::new();
    for n in 0..50 {
        home.write(format!("folder{}/file{n}", n % 5), format!("content {n}"));
    }
    home.write("gone/with/all/below", "x");
    home.scan();
    let (seq, kept) = (home.last_seq(), home.id_of("folder1/file1"));

    let again = home.scan();
    assert_eq!(home.written_after(seq), 0);
    assert_eq!(again.changes, Changes { unchanged: 59, ..Changes::default() });
    assert_eq!((again.hashed, again.counts.files), (0, 51));

    home.write("folder1/file1", "other content");
    touch(&home.path("folder2/file2"), 1_000);
    home.write("folder3/new", "new");
    fs::remove_dir_all(home.path("gone")).unwrap();
    let third = home.scan();
    assert_eq!(third.changes.added, 1);
    assert_eq!(third.changes.removed, 4);
    // Two files, and the folder whose time follows from what is in it.
    assert_eq!(third.changes.updated, 3);
    assert_eq!((third.hashed, home.written_after(seq)), (3, 4));
    assert_eq!(home.id_of("folder1/file1"), kept);
    let content = home.at("folder1/file1").content;
    assert_eq!(content, Some(*blake3::hash(b"other content").as_bytes()));
    assert_eq!(home.at("folder2/file2").modified_at, Some(1_000_000));
    assert!(matches!(home.find("gone/with"), Err(CatalogError::NotIndexed { .. })));
    assert_eq!(home.count("SELECT count(*) FROM entry"), 56);
}

#[test]
fn what_became_something_else_is_another_entry() {
    let home = Home::new();
    home.write("a", "file");
    home.write("b/inner", "y");
    home.scan();
    let (a, b) = (home.id_of("a"), home.id_of("b"));
    fs::remove_file(home.path("a")).unwrap();
    home.write("a/inner", "x");
    fs::remove_dir_all(home.path("b")).unwrap();
    home.write("b", "another");
    let added = home.scan();
    assert_eq!((added.changes.added, added.changes.removed), (3, 3));
    assert_ne!(home.id_of("a"), a);
    assert_ne!(home.id_of("b"), b);
    assert_eq!(home.at("a/inner").kind, EntryKind::File);
    assert_eq!(home.count("SELECT count(*) FROM entry"), 3);
}

#[test]
fn without_hashing_first_and_with_it_later() {
    let home = Home::new();
    home.write("small", "small");
    home.write("large", vec![7; 1 << 20]);
    let options = ScanOptions { hash: false, ..ScanOptions::default() };
    assert_eq!(home.scan_with(&options).hashed, 0);
    assert_eq!(home.at("small").content, None);
    let mut phases = Vec::new();
    let added = home
        .catalog()
        .add_location(&home.root, &ScanOptions::default(), &mut |progress| {
            phases.push(progress.phase);
        })
        .unwrap();
    assert_eq!((added.hashed, added.hashed_bytes), (2, 5 + (1 << 20)));
    assert_eq!(added.changes, Changes { unchanged: 2, ..Changes::default() });
    assert_eq!(home.at("large").content, Some(*blake3::hash(&vec![7; 1 << 20]).as_bytes()));
    phases.dedup();
    assert_eq!(phases, [ScanPhase::Walking, ScanPhase::Hashing, ScanPhase::Done]);
    // Not hashing keeps the hashes of what has not changed.
    home.scan_with(&options);
    assert!(home.at("small").content.is_some());
}

#[test]
fn names_first_where_hashing_is_slow() {
    let home = Home::new();
    for n in 0..1_500 {
        home.write(format!("{}/{n}", n % 10), format!("{n}"));
    }
    let options = ScanOptions { patience: Duration::ZERO, ..ScanOptions::default() };
    let added = home.scan_with(&options);
    assert_eq!(added.changes, Changes { added: 1_510, ..Changes::default() });
    assert_eq!(added.hashed, 1_500);
    for n in [0, 1, 700, 1_499] {
        let content = home.at(format!("{}/{n}", n % 10)).content;
        assert_eq!(content, Some(*blake3::hash(format!("{n}").as_bytes()).as_bytes()));
    }
    let seq = home.last_seq();
    assert_eq!(home.scan_with(&options).changes.unchanged, 1_510);
    assert_eq!(home.written_after(seq), 0);
}

#[test]
fn broken_and_odd_things_are_reported_and_never_fatal() {
    let home = Home::new();
    home.write("fine", "fine");
    symlink("nowhere", home.path("broken")).unwrap();
    symlink("loop", home.path("loop")).unwrap();
    symlink("..", home.path("up")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        home.path("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let added = home.scan();
    assert_eq!((added.counts.files, added.counts.links, added.counts.others), (1, 3, 1));
    assert_eq!((added.problem_count, added.note_count), (0, 2));
    assert!(matches!(home.find("fifo"), Err(CatalogError::NotIndexed { .. })));
    assert_eq!(home.at("up").link_target.as_deref(), Some(".."));
}

#[test]
fn files_that_vanish_change_and_appear_while_they_are_scanned() {
    let home = Home::new();
    for n in 0..2_000 {
        home.write(format!("{}/{n}", n % 20), format!("{n}"));
    }
    // What happens is done from within the scan, so that it happens in every run.
    let (mut step, root) = (0, home.root.clone());
    let mut meddle = || {
        for n in (step..2_000).step_by(97) {
            fs::remove_file(root.join(format!("{}/{n}", n % 20))).ok();
            fs::write(root.join(format!("{}/new{n}", n % 20)), "new").ok();
        }
        fs::remove_dir_all(root.join(format!("{}", step % 20))).ok();
        step += 1;
    };
    meddle();
    home.catalog().add_location(&home.root, &ScanOptions::default(), &mut |_| meddle()).unwrap();
    // A quiet scan then finds exactly what is there.
    let added = home.scan();
    assert_eq!(added.problem_count, 0);
    let files = home.count("SELECT count(*) FROM entry WHERE kind = 0 AND content IS NOT NULL");
    assert_eq!(u64::try_from(files).unwrap(), added.counts.files);
    assert_eq!(home.count("SELECT count(*) FROM entry"), files + 20 - removed(&home));
}

fn removed(home: &Home) -> i64 {
    (0..20).filter(|n| !home.path(format!("{n}")).exists()).count().try_into().unwrap()
}

#[test]
fn a_folder_that_cannot_be_read_keeps_what_is_known_of_it() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.write("closed/file", "x");
    home.write("open/file", "x");
    home.scan();
    let mode = |mode| {
        fs::set_permissions(home.path("closed"), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0);
    // Root may read everything.
    let may_do_all = fs::read_dir(home.path("closed")).is_ok();
    let added = home.scan();
    mode(0o755);
    assert_eq!(added.problem_count, u64::from(!may_do_all));
    assert_eq!(home.at("closed/file").size, 1);
    assert_eq!(home.scan().problem_count, 0);
}

#[test]
fn folders_that_cannot_be_locations() {
    let home = Home::new();
    home.write("inner/file", "x");
    let add = |path: &std::path::Path| {
        home.catalog()
            .add_location(path, &ScanOptions::default(), &mut |_| {})
            .map(|added| added.id)
    };
    assert!(matches!(add(&home.path("missing")), Err(CatalogError::NoFolder { .. })));
    let not = add(&home.path("inner/file"));
    assert!(matches!(not, Err(CatalogError::NotADirectory { .. })), "{not:?}");
    assert_eq!(home.count("SELECT count(*) FROM location"), 0);

    let inner = add(&home.path("inner")).unwrap();
    let Err(CatalogError::Nested { inside, location, .. }) = add(&home.root) else { panic!() };
    assert_eq!((inside, location), (false, inner));
    home.catalog().remove_location(inner).unwrap();
    let outer = add(&home.root).unwrap();
    let Err(CatalogError::Nested { inside, location, .. }) = add(&home.path("inner")) else {
        panic!()
    };
    assert_eq!((inside, location), (true, outer));
    // Another way to the same folder is the same folder.
    symlink(&home.root, home.place.path().join("alias")).unwrap();
    assert_eq!(add(&home.place.path().join("alias")).unwrap(), outer);
    assert_eq!(home.count("SELECT count(*) FROM volume"), 1);
}

#[test]
fn a_location_that_is_gone_keeps_its_entries_and_can_be_forgotten() {
    let home = Home::new();
    for n in 0..1_500 {
        home.write(format!("{}/{n}", n % 3), "x");
    }
    let id = home.scan().id;
    let aside = home.place.path().join("aside");
    fs::rename(&home.root, &aside).unwrap();
    let gone = home.catalog().rescan(id, &ScanOptions::default(), &mut |_| {});
    assert!(matches!(gone, Err(CatalogError::NoFolder { .. })));
    assert_eq!(home.count("SELECT count(*) FROM entry"), 1_503);
    fs::rename(&aside, &home.root).unwrap();
    let again = home.catalog().rescan(id, &ScanOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((again.id, again.changes.unchanged), (id, 1_503));

    assert_eq!(home.catalog().remove_location(id).unwrap(), 1_503);
    assert_eq!(home.count("SELECT count(*) FROM entry"), 0);
    assert!(home.catalog().locations().unwrap().is_empty());
    let again = home.catalog().remove_location(id);
    assert!(matches!(again, Err(CatalogError::NotFound { what: "location", .. })));
    assert!(matches!(home.find("0/0"), Err(CatalogError::NotIndexed { location: None, .. })));
}

#[test]
fn a_scan_that_is_stopped_keeps_what_it_found_and_goes_on_later() {
    let home = Home::new();
    for n in 0..3_000 {
        home.write(format!("{:02}/{n}", n % 30), format!("{n}"));
    }
    let cancel = Cancel::default();
    let options = ScanOptions { cancel: cancel.clone(), ..ScanOptions::default() };
    let mut stop = |_: &ScanProgress| cancel.cancel();
    let stopped = home.catalog().add_location(&home.root, &options, &mut stop);
    assert!(matches!(stopped, Err(CatalogError::Cancelled)), "{stopped:?}");
    let locations = home.catalog().locations().unwrap();
    assert_eq!(locations[0].location.state, "failed");
    let kept = home.count("SELECT count(*) FROM entry");
    assert!(kept > 0 && kept < 3_030, "{kept}");
    let added = home.scan();
    assert_eq!(i64::try_from(added.changes.unchanged).unwrap(), kept);
    assert_eq!(added.changes.added + added.changes.unchanged, 3_030);
    let hashed = home.count("SELECT count(*) FROM entry WHERE content IS NOT NULL");
    assert_eq!(hashed, 3_000);
    assert_eq!(home.count("SELECT count(*) FROM entry"), 3_030);
}

#[test]
fn the_librarys_own_folder_is_not_entered() {
    let home = Home::new();
    let place = home.place.path();
    home.write("file", "x");
    let added = home.catalog().add_location(place, &ScanOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((added.counts.files, added.counts.dirs), (1, 2));
}

#[test]
fn other_volumes_are_not_entered() {
    use std::os::unix::fs::MetadataExt;
    let home = Home::new();
    let device = |path: &str| fs::metadata(path).map(|meta| meta.dev()).ok();
    if device("/dev") == device("/dev/pts") {
        // This machine has nothing mounted in a place that every machine has.
        return;
    }
    let dev = std::path::Path::new("/dev");
    let added = home.catalog().add_location(dev, &ScanOptions::default(), &mut |_| {}).unwrap();
    let noted = |path: &str| {
        let other = |p: &&driftless_catalog::scan::Problem| p.what == What::OtherVolume;
        added.problems.iter().filter(other).any(|problem| problem.path.as_os_str() == path)
    };
    assert!(noted("pts"), "{:?}", added.problems);
    let pts = home.catalog().resolve("/dev/pts".as_ref()).unwrap();
    assert!(home.catalog().ls(Some("/dev/pts".as_ref()), None).unwrap().items.is_empty());
    assert_eq!(pts.kind, EntryKind::Dir);
    // It can be a location of its own.
    let pts = std::path::Path::new("/dev/pts");
    let inner = home.catalog().add_location(pts, &ScanOptions::default(), &mut |_| {}).unwrap();
    assert_ne!(inner.id, added.id);
    assert_eq!(home.count("SELECT count(*) FROM volume"), 2);
}

#[test]
fn one_name_in_many_folders_and_many_names_in_one() {
    let home = Home::new();
    for n in 0..100 {
        home.write(format!("{n}/same"), format!("{n}"));
    }
    home.scan();
    for n in [0, 50, 99] {
        let content = home.at(format!("{n}/same")).content;
        assert_eq!(content, Some(*blake3::hash(format!("{n}").as_bytes()).as_bytes()));
    }
    assert!(matches!(home.find("100/same"), Err(CatalogError::NotIndexed { .. })));
    assert!(matches!(home.find("0/other"), Err(CatalogError::NotIndexed { .. })));
}

#[test]
fn twenty_thousand_files_in_reasonable_time() {
    let home = Home::new();
    for dir in 0..200 {
        let folder = home.path(format!("{}/{dir}", dir % 10));
        fs::create_dir_all(&folder).unwrap();
        for n in 0..100 {
            fs::write(folder.join(format!("file {n}.txt")), format!("{dir} {}", n % 50)).unwrap();
        }
    }
    let started = std::time::Instant::now();
    let added = home.scan();
    assert_eq!((added.counts.files, added.hashed), (20_000, 20_000));
    assert_eq!(home.count("SELECT count(DISTINCT content) FROM entry"), 10_000);
    let again = home.scan();
    assert_eq!(again.changes.unchanged, 20_210);
    let took = started.elapsed();
    assert!(took.as_secs() < 60, "{took:?}");
}
