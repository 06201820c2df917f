//! Anything that can be done to a tree, in any order and at any time, while batches are applied.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

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

/// Does something; most of it fails, as what it is about is not there.
fn act(dice: &mut Dice, root: &Path, outside: &Path) -> std::io::Result<()> {
    let (one, other) = (root.join(dice.path()), root.join(dice.path()));
    let away = outside.join(["x", "y"][dice.roll(2)]);
    match dice.roll(13) {
        0 => fs::create_dir(one),
        1 => fs::create_dir_all(one),
        2 => {
            fs::create_dir_all(&one)?;
            fs::write(one.join("f"), dice.0.to_string())
        }
        3 | 4 => fs::write(one, dice.0.to_string()),
        5 => fs::File::options().append(true).open(one)?.write_all(b"more"),
        6..=8 => fs::rename(one, other),
        9 => match one.is_dir() {
            true => fs::remove_dir_all(one),
            false => fs::remove_file(one),
        },
        10 => fs::rename(one, away),
        11 => exchange(&one, &other),
        _ => fs::rename(away, one),
    }
}

/// Acts so often, with some rests of random length in between.
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

/// Lets threads act while batches are applied, and waits until the mirror shows the disk.
fn play(seed: u64, threads: u64, acts: usize, options: Options) {
    let mut scene = Scene::with(&["a/a/f", "b/c/f"], options);
    let done = Arc::new(AtomicBool::new(false));
    let actors: Vec<_> = (0..threads)
        .map(|at| {
            let (root, outside) = (scene.path(""), scene.outside(&format!("outside {at}")));
            fs::create_dir(&outside).unwrap();
            std::thread::spawn(move || run(seed.wrapping_add(at << 32), acts, &root, &outside))
        })
        .collect();
    let waiter = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            let acted: usize = actors.into_iter().map(|actor| actor.join().unwrap()).sum();
            done.store(true, Ordering::Release);
            acted
        })
    };
    while !done.load(Ordering::Acquire) {
        if let Some(batch) = scene.watcher.next(Instant::now() + Duration::from_millis(100)) {
            scene.mirror.apply(&batch);
            scene.batches.push(batch);
        }
    }
    assert!(waiter.join().unwrap() > 0);
    println!("seed {seed}");
    scene.settle();
    every_folder_is_watched(&mut scene);
}

fn every_folder_is_watched(scene: &mut Scene) {
    let folders: Vec<_> = tree(&scene.path(""), Path::new(""))
        .into_iter()
        .filter(|(_, thing)| *thing == Thing::Folder)
        .map(|(path, _)| path)
        .collect();
    for folder in &folders {
        fs::write(scene.path("").join(folder).join("probe"), "").unwrap();
    }
    scene.until("every folder is watched", |scene| scene.mirror.shows_the_disk());
    let watches = folders.len() + 1;
    scene.until("nothing else is watched", |scene| scene.watcher.watches() == watches);
}

#[test]
fn one_thread_acts() {
    for seed in 0..6 {
        play(seed, 1, 1500, Options::default());
    }
}

#[test]
fn three_threads_act_at_once() {
    for seed in 100..104 {
        play(seed, 3, 1000, Options::default());
    }
}

#[test]
fn quick_batches_and_narrow_bounds() {
    for seed in 200..206 {
        let options = Options {
            settle: Duration::from_millis(3),
            max_latency: Duration::from_millis(10),
            max_in_folder: 4,
            max_pending: 30,
            ..Options::default()
        };
        play(seed, 2, 1000, options);
    }
}
