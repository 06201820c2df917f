//! Bursts, and what happens beyond the bounds.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::Problem;
use super::*;

#[test]
fn a_burst_of_ten_thousand_files_in_one_folder() {
    let mut scene = Scene::new(&["many/"]);
    for at in 0..10_000 {
        scene.make(&format!("many/{at}"));
    }
    let events = scene.settle();
    assert!(scene.batches.len() <= 20, "{} batches", scene.batches.len());
    assert!(events.len() <= 3 * 4096, "{} events", events.len());
    scene.flush();
    fs::remove_dir_all(scene.path("many")).unwrap();
    let events = scene.settle();
    assert!(events.contains(&removed("many")));
    assert!(events.len() <= 3 * 4096, "{} events", events.len());
}

#[test]
fn a_burst_of_ten_thousand_files_in_a_hundred_folders() {
    let mut scene = Scene::new(&[]);
    for at in 0..100 {
        scene.make(&format!("{at}/"));
    }
    scene.flush();
    for at in 0..10_000 {
        scene.make(&format!("{}/file {at}", at % 100));
    }
    let events = scene.settle();
    assert!(scene.batches.len() <= 25, "{} batches", scene.batches.len());
    assert!(!events.iter().any(|event| matches!(event, Event::Rescan { .. })));
}

#[test]
fn a_burst_that_nobody_asks_about_is_one_batch() {
    let options = Options { max_in_folder: 100, max_pending: 1000, ..Options::default() };
    let mut scene = Scene::with(&["few/", "many/"], options);
    scene.flush();
    for at in 0..300 {
        scene.make(&format!("many/{at}"));
        scene.make(&format!("few/{}", at % 50));
    }
    // All of it has been heard by then.
    let mut last = scene.path("few/last");
    fs::write(&last, "").unwrap();
    let events = scene.settle();
    assert!(events.contains(&rescan("many")) && !events.contains(&rescan("few")), "{events:?}");
    assert!(events.len() <= 2 * (51 + 101), "{} events", events.len());

    for folder in 0..100 {
        for file in 0..30 {
            scene.make(&format!("few/{folder}.d/{file}"));
        }
    }
    scene.flush();
    // Beyond the bound of all together.
    scene.watcher.stalled(|| {
        for folder in 0..100 {
            for file in 0..30 {
                fs::remove_file(scene.path(&format!("few/{folder}.d/{file}"))).unwrap();
            }
        }
    });
    let events = scene.settle();
    assert!(events.contains(&rescan("")), "{} events", events.len());
    last.push("");
}

#[test]
fn an_overflow_of_the_kernels_queue_is_a_rescan() {
    let mut scene = Scene::new(&["a/b/", "gone/file", "from/file"]);
    scene.flush();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    if limit > 1 << 20 {
        println!("skipped: a queue of {limit} events is too long to fill");
        return;
    }
    scene.watcher.stalled(|| {
        // Equal things that follow each other count as one.
        let names = [scene.path("a/b"), scene.path("from")];
        for at in 0..=limit {
            fs::set_permissions(&names[at % 2], fs::Permissions::from_mode(0o700)).unwrap();
        }
        scene.mv("from", "a/b/to");
        fs::remove_dir_all(scene.path("gone")).unwrap();
        scene.make("new/deep/file");
    });
    assert!(scene.settle().contains(&rescan("")));
    // The watches are true again.
    for name in ["a/b/to/x", "new/deep/x", "a/b/x"] {
        scene.make(name);
    }
    let events = scene.settle();
    let want = [created("a/b/to/x"), created("a/b/x"), created("new/deep/x")];
    assert_eq!(events, want);
}

#[test]
fn folders_without_a_watch_are_rescanned() {
    let blind_interval = Duration::from_millis(200);
    let options = Options { max_watches: Some(3), blind_interval, ..Options::default() };
    let mut scene = Scene::with(&["a/", "b/"], options);
    scene.watches(3);
    scene.make("c/d/file");
    scene.until("it is said", |scene| {
        scene.batches.iter().flat_map(|batch| &batch.problems).any(|problem| {
            matches!(problem, Problem::OutOfWatches { path, watches: 3 } if path == Path::new("c"))
        })
    });
    scene.settle();
    scene.make("c/d/unseen");
    assert!(scene.settle().contains(&rescan("")));
    // One that becomes free is used.
    fs::remove_dir(scene.path("a")).unwrap();
    fs::remove_dir(scene.path("b")).unwrap();
    scene.until("all have watches", |scene| {
        let all = scene.watcher.watches() == 3;
        all && scene.mirror.shows_the_disk()
    });
    scene.until("all is known", |scene| scene.mirror.shows_the_disk());
    scene.make("c/d/seen");
    scene.settle();
}

#[test]
fn more_folders_than_watches_at_the_start() {
    let options = Options { max_watches: Some(5), ..Options::default() };
    let files: Vec<_> = (0..20).map(|at| format!("{at}/")).collect();
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let mut scene = Scene::with(&files, options);
    let batch = scene.watcher.next(soon()).unwrap();
    assert_eq!(batch.problems.len(), 1, "said once: {:?}", batch.problems);
    assert_eq!(batch.events, [rescan("")]);
    scene.watches(5);
}
