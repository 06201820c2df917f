//! Anything that can be done to a tree, in any order and at any time, while a keeper follows it.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::time::Duration;

use common::scene::Scene;
use driftless_catalog::ScanOptions;
use driftless_catalog::keep::KeepOptions;

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }

    /// A path of few names, so that the same ones are met again and again.
    fn path(&mut self) -> PathBuf {
        let depth = 1 + self.roll(4);
        (0..depth).map(|_| ["a", "b", "c", "d"][self.roll(4)]).collect()
    }
}

/// A file of several names is only noticed to change under the one that it is written by, so it gets no
/// second name while it is written, and is not written once it has one.
static NAMES: RwLock<()> = RwLock::new(());

fn write(path: &Path, append: bool, text: &str) -> std::io::Result<()> {
    let _names = NAMES.read().unwrap();
    if path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.nlink() > 1) {
        fs::remove_file(path)?;
    }
    match append {
        true => fs::File::options().append(true).open(path)?.write_all(text.as_bytes()),
        false => fs::write(path, text),
    }
}

/// Does something; most of it fails, as what it is about is not there.
fn act(dice: &mut Dice, root: &Path, outside: &Path) -> std::io::Result<()> {
    let (one, other) = (root.join(dice.path()), root.join(dice.path()));
    let away = outside.join(["x", "y"][dice.roll(2)]);
    match dice.roll(13) {
        0 => fs::create_dir(one),
        1 => fs::create_dir_all(one),
        2 => {
            fs::create_dir_all(&one)?;
            write(&one.join("f"), false, &dice.0.to_string())
        }
        3 | 4 => write(&one, false, &dice.0.to_string()),
        5 => write(&one, true, "more"),
        6..=8 => fs::rename(one, other),
        9 => match one.is_dir() {
            true => fs::remove_dir_all(one),
            false => fs::remove_file(one),
        },
        10 => fs::rename(one, away),
        11 => {
            let _names = NAMES.write().unwrap();
            fs::hard_link(one, other)
        }
        _ => fs::rename(away, one),
    }
}

fn run(seed: u64, acts: usize, root: &Path, outside: &Path) -> usize {
    let mut dice = Dice(seed);
    let mut done = 0;
    for _ in 0..acts {
        done += usize::from(act(&mut dice, root, outside).is_ok());
        if dice.roll(40) == 0 {
            let rest = Duration::from_micros(dice.roll(60_000) as u64);
            // No condition to wait for: how long the rest is makes no difference to the outcome.
            std::thread::park_timeout(rest);
        }
    }
    done
}

/// Lets threads act while the keeper works, and waits until the catalogue shows the disk.
fn play(seed: u64, threads: u64, acts: usize, options: KeepOptions) {
    let scene = Scene::with(&[("a/a/f", "1"), ("b/c/f", "2")], options, ScanOptions::default());
    std::thread::scope(|scope| {
        for at in 0..threads {
            let outside = scene.place.path().join(format!("outside {at}"));
            fs::create_dir(&outside).unwrap();
            let root = &scene.root;
            scope.spawn(move || {
                assert!(run(seed.wrapping_add(at << 32), acts, root, &outside) > 0);
            });
        }
    });
    println!("seed {seed}");
    scene.settle();
    every_folder_is_watched(&scene);
    // What is gone is taken away last, when what came in its place is there and seen already.
    scene.until("nothing is left behind where it is not seen", |scene| {
        let rows = usize::try_from(scene.count("SELECT count(*) FROM entry")).unwrap();
        rows == scene.on_disk().len()
    });
    scene.until("the counts are true", |scene| {
        let location = &scene.catalog().locations().unwrap()[0].location;
        let sql = "SELECT count(*) FROM entry WHERE kind = 0";
        let bytes = "SELECT coalesce(sum(size), 0) FROM entry WHERE kind = 0";
        (location.files, location.bytes) == (scene.count(sql), scene.count(bytes))
    });
}

fn every_folder_is_watched(scene: &Scene) {
    let folders = scene.on_disk().into_keys().filter(|path| path.is_dir());
    for folder in folders {
        fs::write(folder.join("probe"), "").unwrap();
    }
    scene.settle();
}

fn options() -> KeepOptions {
    KeepOptions { quiet: Duration::from_millis(200), ..KeepOptions::default() }
}

#[test]
fn one_thread_acts() {
    for seed in 0..4 {
        play(seed, 1, 1_500, options());
    }
}

#[test]
fn three_threads_act_at_once() {
    for seed in 100..103 {
        play(seed, 3, 1_000, options());
    }
}

#[test]
fn quick_batches_and_narrow_bounds() {
    for seed in 200..203 {
        let mut options = options();
        options.watch.settle = Duration::from_millis(3);
        options.watch.max_latency = Duration::from_millis(10);
        (options.watch.max_in_folder, options.watch.max_pending) = (4, 30);
        play(seed, 2, 1_000, options);
    }
}
