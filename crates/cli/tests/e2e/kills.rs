//! Daemons and commands that are killed at any moment: what was answered is there in the end.
//!
//! `.ci/kill-loop 1000` runs it for longer.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Device, World, assert_equal, until};

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// How many kills: 50, or what `DRIFTLESS_KILLS` says.
fn kills() -> u64 {
    match std::env::var("DRIFTLESS_KILLS") {
        Ok(kills) => kills.parse().expect("DRIFTLESS_KILLS is a number"),
        Err(_) => 50,
    }
}

/// Waits for a command, or kills it when its time is over. Whether it said that all is well.
fn finish_or_kill(mut child: Child, time: Option<Duration>) -> bool {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.success();
        }
        if time.is_some_and(|time| started.elapsed() >= time) {
            child.kill().unwrap();
            child.wait().unwrap();
            return false;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "a command does not end");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Makes tags, one a command, until it is told to stop; some of the commands are killed. Those that
/// said that all is well, and how many were killed.
fn write(device: &Device, stop: &AtomicBool, dice: &mut Dice) -> (BTreeSet<String>, u64) {
    let (mut written, mut killed) = (BTreeSet::new(), 0);
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("{} {n}", device.name);
        let time = (dice.below(5) == 0).then(|| Duration::from_millis(dice.below(30)));
        let mut command = device.command(&["tag", "create", &name]);
        if finish_or_kill(command.spawn().unwrap(), time) {
            written.insert(name);
        } else if time.is_some() {
            killed += 1;
        }
    }
    (written, killed)
}

fn assert_sound(dir: &Path) {
    for file in ["library.db", "sync.db"] {
        let db = driftless::rusqlite::Connection::open(dir.join(file)).unwrap();
        let found: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(found, "ok", "{file} in {}", dir.display());
    }
}

#[test]
fn what_was_answered_survives_kills() {
    let seed = 7;
    let mut dice = Dice(seed);
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    one.sync();
    let writers = [&one, &two].map(|device| world.device_at(&device.name, device.dir.clone()));
    let mut devices = [one, two];
    let stop = AtomicBool::new(false);
    let wrote = std::thread::scope(|scope| {
        let stop = &stop;
        let writing: Vec<_> = writers
            .iter()
            .zip(1..)
            .map(|(writer, n)| scope.spawn(move || write(writer, stop, &mut Dice(seed ^ n << 32))))
            .collect();
        for kill in 0..kills() {
            // How long a daemon lives is what is tried; nothing is waited for.
            std::thread::park_timeout(Duration::from_millis(dice.below(200)));
            let device = &mut devices[usize::try_from(dice.below(2)).unwrap()];
            device.kill();
            device.up();
            if kill % 50 == 49 {
                println!("{} kills", kill + 1);
            }
        }
        stop.store(true, Ordering::Relaxed);
        writing.into_iter().map(|writing| writing.join().unwrap()).collect::<Vec<_>>()
    });
    let written: BTreeSet<String> = wrote.iter().flat_map(|(names, _)| names.clone()).collect();
    let killed: u64 = wrote.iter().map(|(_, killed)| killed).sum();
    println!("{} daemons and {killed} commands killed, {} writes", kills(), written.len());
    assert!(written.len() > 10 && killed > 0);
    let [one, two] = &mut devices;
    one.sync();
    two.sync();
    assert_equal(&[one, two]);
    let there: BTreeSet<String> = one.tags().into_iter().collect();
    let lost: Vec<&String> = written.difference(&there).collect();
    assert_eq!(lost, Vec::<&String>::new());
    for device in [&*one, &*two] {
        until("the rows give the digests that the other has", || {
            (device.run(&["verify", "--deep"]).code == 0).then_some(())
        });
    }
    for device in [one, two] {
        device.down();
        assert_sound(&device.dir);
    }
}
