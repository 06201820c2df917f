use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode};
use tempfile::TempDir;

use super::super::problem::What;
use super::*;

fn pool(root: &TempDir) -> HashPool<usize> {
    HashPool::open(root.path(), Cancel::default()).unwrap()
}

fn job(tag: usize, path: impl Into<PathBuf>) -> Job<usize> {
    Job { tag, path: path.into() }
}

/// What becomes of one file.
fn one(root: &TempDir, path: &str) -> Outcome {
    let mut pool = pool(root);
    pool.submit(job(0, path)).unwrap();
    pool.wait().unwrap().outcome
}

fn what(outcome: Outcome) -> What {
    match outcome {
        Outcome::Problem(problem) => problem.what,
        other => panic!("{other:?}"),
    }
}

/// Hashes a file, doing this after each read.
fn while_reading(root: &TempDir, path: &str, mut act: impl FnMut() -> bool) -> Outcome {
    let dir = open_root(root.path()).unwrap();
    read::hash(&dir, Path::new(path), &mut [0; 4096], |read| read == 0 || act())
}

#[test]
fn known_hashes() {
    let root = TempDir::new().unwrap();
    let large: Vec<u8> = (0..=250).cycle().take(1_000_001).collect();
    let files: [(&str, &[u8]); 4] = [
        ("empty", b""),
        ("small", b"abc"),
        ("dir/large", &large),
        ("dir/exact", &large[..131_072]),
    ];
    fs::create_dir(root.path().join("dir")).unwrap();
    for (path, bytes) in files {
        fs::write(root.path().join(path), bytes).unwrap();
        let Outcome::Hashed(hashed) = one(&root, path) else { panic!("{path}") };
        assert_eq!(hashed.hash, *blake3::hash(bytes).as_bytes(), "{path}");
        assert_eq!(hashed.meta.size, bytes.len() as u64);
    }
    let Outcome::Hashed(empty) = one(&root, "empty") else { panic!() };
    // As published by BLAKE3's own test vectors.
    assert!(blake3::Hash::from_bytes(empty.hash).to_hex().starts_with("af1349b9f5f9a1a6a0404dea"));
}

#[test]
fn many_files_each_with_its_tag_and_never_more_in_flight_than_allowed() {
    let root = TempDir::new().unwrap();
    for n in 0..500_usize {
        fs::write(root.path().join(n.to_string()), n.to_string().repeat(n)).unwrap();
    }
    let taken = std::cell::Cell::new(0);
    let jobs = (0..500).map(|n| {
        taken.set(taken.get() + 1);
        job(n, n.to_string())
    });
    let mut hashes = BTreeMap::new();
    for done in pool(&root).run(jobs) {
        let Outcome::Hashed(hashed) = done.outcome else { panic!("{done:?}") };
        assert_eq!(done.job.path, Path::new(&done.job.tag.to_string()));
        hashes.insert(done.job.tag, hashed.hash);
        assert!(taken.get() <= hashes.len() + MAX_IN_FLIGHT);
    }
    assert_eq!(hashes.len(), 500);
    for (n, hash) in hashes {
        assert_eq!(hash, *blake3::hash(n.to_string().repeat(n).as_bytes()).as_bytes());
    }
}

#[test]
fn a_full_pool_gives_jobs_back() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("file"), "12345").unwrap();
    let mut pool = pool(&root);
    assert!(pool.wait().is_none());
    assert!(pool.poll().is_none());
    for n in 0..MAX_IN_FLIGHT {
        pool.submit(job(n, "file")).unwrap();
    }
    let refused = pool.submit(job(1000, "file"));
    assert_eq!(refused.unwrap_err().tag, 1000);
    let first = pool.wait().unwrap();
    pool.submit(job(first.job.tag, "file")).unwrap();
    assert_eq!(pool.in_flight(), MAX_IN_FLIGHT);
    while pool.wait().is_some() {}
    assert_eq!((pool.in_flight(), pool.bytes()), (0, 5 * (MAX_IN_FLIGHT as u64 + 1)));
}

#[test]
fn the_hash_changes_with_the_content_alone() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    let hash = |root: &TempDir| match one(root, "file") {
        Outcome::Hashed(hashed) => hashed.hash,
        other => panic!("{other:?}"),
    };
    fs::write(&path, "one").unwrap();
    let first = hash(&root);
    File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(hash(&root), first);
    fs::write(&path, "two").unwrap();
    assert_ne!(hash(&root), first);
    fs::write(&path, "one").unwrap();
    assert_eq!(hash(&root), first);
}

#[test]
fn a_file_that_changes_while_it_is_read_has_no_hash() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    let fresh = || {
        fs::write(&path, [7; 20_000]).unwrap();
        let file = File::options().write(true).append(false).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
        file
    };
    let file = fresh();
    assert!(matches!(while_reading(&root, "file", || true), Outcome::Hashed(_)));
    let rewritten = while_reading(&root, "file", || file.write_at(b"x", 0).is_ok());
    assert_eq!(what(rewritten), What::Changed);
    let file = fresh();
    let shorter = while_reading(&root, "file", || file.set_len(5000).is_ok());
    assert_eq!(what(shorter), What::Changed);
    fresh();
    let mut reads = 0;
    let grows_for_ever = while_reading(&root, "file", || {
        reads += 1;
        File::options().append(true).open(&path).unwrap().write_all(&[8; 4096]).is_ok()
    });
    assert_eq!(what(grows_for_ever), What::Changed);
    assert!(reads <= 5, "it was read to its first length and not for ever");
}

#[test]
fn a_file_replaced_while_it_is_read_has_the_hash_of_what_was_read() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("file");
    fs::write(&path, [7; 20_000]).unwrap();
    let before = fs::metadata(&path).unwrap();
    let outcome = while_reading(&root, "file", || {
        fs::write(root.path().join("new"), "other").unwrap();
        fs::rename(root.path().join("new"), &path).is_ok()
    });
    let Outcome::Hashed(hashed) = outcome else { panic!("{outcome:?}") };
    assert_eq!(hashed.hash, *blake3::hash(&[7; 20_000]).as_bytes());
    assert_eq!(hashed.meta.inode, std::os::unix::fs::MetadataExt::ino(&before));
}

#[test]
fn only_regular_files_are_opened() {
    let root = TempDir::new().unwrap();
    let fifo = root.path().join("fifo");
    // Opening it would wait for a writer for ever.
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
    fs::create_dir(root.path().join("dir")).unwrap();
    fs::write(root.path().join("dir/file"), "").unwrap();
    symlink("dir/file", root.path().join("link")).unwrap();
    symlink("dir", root.path().join("way")).unwrap();
    for path in ["fifo", "socket", "dir", "link"] {
        assert_eq!(what(one(&root, path)), What::NotAFile, "{path}");
    }
    assert_eq!(what(one(&root, "way/file")), What::Changed, "no link on the way either");
}

#[test]
fn what_cannot_be_opened_is_a_problem() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("file"), "").unwrap();
    assert_eq!(what(one(&root, "missing")), What::Vanished);
    assert_eq!(what(one(&root, "missing/file")), What::Vanished);
    assert_eq!(what(one(&root, "file/under")), What::Changed);
    assert_eq!(what(one(&root, &"x".repeat(300))), What::TooLong);
    assert_eq!(what(one(&root, "../file")), What::Unreadable);
    let nowhere = HashPool::<()>::open(Path::new("/nowhere/at/all"), Cancel::default());
    assert!(matches!(nowhere.unwrap_err(), PoolError::Root(RootError::NotFound { .. })));
}

#[test]
fn a_path_longer_than_the_system_takes() {
    let root = TempDir::new().unwrap();
    let name = "x".repeat(250);
    let path: PathBuf = std::iter::repeat_n(name.as_str(), 20).collect();
    let mut at = open_root(root.path()).unwrap();
    for _ in 1..20 {
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = super::super::dir::open_dir(
            std::os::fd::AsFd::as_fd(&at),
            &std::ffi::CString::new(name.as_str()).unwrap(),
        )
        .unwrap();
    }
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    drop(rustix::fs::openat(&at, &name, flags, Mode::RUSR).unwrap());
    assert!(File::open(root.path().join(&path)).is_err());
    assert!(matches!(one(&root, path.to_str().unwrap()), Outcome::Hashed(_)));
}

#[test]
fn cancelling_gives_every_job_back_unread() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("file"), [1; 20_000]).unwrap();
    let cancel = Cancel::default();
    cancel.cancel();
    let pool = HashPool::open(root.path(), cancel).unwrap();
    let outcomes: Vec<_> = pool.run((0..200).map(|n| job(n, "file"))).collect();
    assert_eq!(outcomes.len(), 200);
    assert!(outcomes.iter().all(|done| matches!(done.outcome, Outcome::Cancelled)));

    let mut reads = 0;
    let midway = while_reading(&root, "file", || {
        reads += 1;
        reads < 2
    });
    assert!(matches!(midway, Outcome::Cancelled));
    assert_eq!(reads, 2);
}
