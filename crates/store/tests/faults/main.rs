//! The store on a disk that fails at any operation, and on a machine whose power may go at any of them.
//!
//! A script does a bit of everything that a store does. It is run once on a good disk, which counts the
//! operations: N. Then it is run again for each of them, or for every so many: with a disk on which that
//! one fails, on which everything fails from it on, and with a power cut in its midst. Afterwards the
//! library must be in a state that the script leads to: one that was promised, or the one behind it.

#![cfg(all(target_os = "linux", target_pointer_width = "64"))]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../common/mod.rs"]
mod common;
mod disk;
mod dump;
mod luck;
mod run;
mod script;
mod vfs;

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Instant;

use driftless_core::mem::MemStore;

use crate::common::format_1::as_format_1;
use crate::common::{create, device};
use crate::disk::{Disk, Image, Kind, Plan};
use crate::luck::Luck;
use crate::run::{Play, Run, State, place, reboot};
use crate::script::{Call, Script, life, migration};

/// Which operations fail: every so many and all of one kind, or all or one of them if the environment
/// says so.
fn chosen(operations: &[Kind], every: u64, kind: Option<Kind>) -> Vec<u64> {
    let all = (1..).zip(operations);
    match std::env::var("DRIFTLESS_FAULTS") {
        Ok(said) if said == "all" => all.map(|(at, _)| at).collect(),
        Ok(one) => vec![one.parse().expect("`all`, or the number of an operation")],
        Err(_) => {
            let picked = |(at, of): &(u64, &Kind)| at % every == 1 || kind == Some(**of);
            all.filter(picked).map(|(at, _)| at).collect()
        }
    }
}

fn a_life() -> Play {
    let script = Script::new(life());
    let states = State::all(&script, MemStore::new(device(1)));
    Play { script, states, start: Image::new() }
}

/// A library of format 1 that is brought forward; a part of its log is in `sync.db`.
fn a_migration() -> Play {
    let script = Script::new(migration());
    let (today, before) = (place(), place());
    let mut memory = MemStore::new(device(1));
    let mut store = create(today.path());
    store.begin().unwrap();
    for call in script::before() {
        script.call(&mut store, &call).unwrap();
        script.call(&mut memory, &call).unwrap();
    }
    for flushed in [true, false] {
        store.commit().unwrap();
        if flushed {
            store.flush_log().unwrap();
        }
        store.begin().unwrap();
        script.call(&mut store, &Call::Append(3)).unwrap();
        script.call(&mut memory, &Call::Append(3)).unwrap();
    }
    store.commit().unwrap();
    memory.commit();
    drop(store);
    as_format_1(today.path(), before.path());
    let start = Disk::new(before.path(), Plan::Well).visible();
    Play { states: State::all(&script, memory), script, start }
}

/// Says what went wrong where, if something does.
struct Told(String);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the run with {}", self.0);
        }
    }
}

/// The operations of the script on a good disk.
fn operations(play: &Play) -> Vec<Kind> {
    let root = place();
    let mut run = Run::new(play, root.path(), Plan::Well);
    while !run.is_over() {
        run.advance().unwrap();
    }
    let disk = run.disk();
    let operations = disk.operations().to_vec();
    assert!(disk.visible() == disk.files(), "the disk knows everything that was done");
    drop(disk);
    run.check();
    let mut counts = BTreeMap::<Kind, u64>::new();
    operations.iter().for_each(|kind| *counts.entry(*kind).or_default() += 1);
    eprintln!("{} operations: {counts:?}", operations.len());
    operations
}

/// Runs of a play with each of some operations failing, in some way.
fn each(
    (name, play): (&str, &Play),
    (every, kind): (u64, Option<Kind>),
    mut run: impl FnMut(u64) -> usize,
) {
    let (began, operations) = (Instant::now(), operations(play));
    let (mut runs, mut checks) = (0, 0);
    for at in chosen(&operations, every, kind) {
        let _told = Told(format!("operation {at} of {}, {name}", operations.len()));
        checks += run(at);
        runs += 1;
    }
    eprintln!("{name}: {runs} runs, {checks} reboots, {:.1} s", began.elapsed().as_secs_f64());
}

fn fail_once(play: &Play, at: u64) -> usize {
    let root = place();
    let mut run = Run::new(play, root.path(), Plan::Once(at));
    let mut failures = 0;
    while let Some(error) = run.until_failure() {
        failures += 1;
        assert!(failures < 4, "{error:?}");
        run.recover(&error);
        if failures == 3 {
            run.give_up();
        }
    }
    run.check();
    let image = run.disk().image(Luck::None);
    let known = run.known(true);
    drop(run);
    reboot(play, &image, known);
    1
}

fn fail_from(play: &Play, at: u64) -> usize {
    let root = place();
    let mut run = Run::new(play, root.path(), Plan::From(at));
    for _ in 0..3 {
        if let Some(error) = run.until_failure() {
            run.recover(&error);
        }
    }
    let (killed, cut) = (run.known(false), run.known(true));
    let files = run.disk().files();
    let image = run.disk().image(Luck::None);
    drop(run);
    reboot(play, &files, killed);
    reboot(play, &image, cut);
    2
}

/// Power cuts with all kinds of luck; what has been looked at is in `seen`.
fn cut_power(play: &Play, at: u64, seen: &mut HashSet<u64>) -> usize {
    let root = place();
    let mut run = Run::new(play, root.path(), Plan::Cut(at));
    if let Some(error) = run.until_failure() {
        run.recover(&error);
    }
    let known = run.known(true);
    let images = Luck::kinds(at).map(|luck| run.disk().image(luck));
    drop(run);
    let mut checks = 0;
    for image in images {
        let mut hasher = DefaultHasher::new();
        (&image, known).hash(&mut hasher);
        if seen.insert(hasher.finish()) {
            reboot(play, &image, known);
            checks += 1;
        }
    }
    checks
}

#[test]
fn one_operation_fails() {
    let play = a_life();
    each(("failing once", &play), (53, Some(Kind::Sync)), |at| fail_once(&play, at));
}

#[test]
fn everything_fails_from_an_operation_on() {
    let play = a_life();
    each(("failing from there on", &play), (53, None), |at| fail_from(&play, at));
}

#[test]
fn the_power_is_cut() {
    let (play, mut seen) = (a_life(), HashSet::new());
    each(("power cut", &play), (53, None), |at| cut_power(&play, at, &mut seen));
}

#[test]
fn a_migration_fails() {
    let (play, mut seen) = (a_migration(), HashSet::new());
    each(("migration, failing once", &play), (53, Some(Kind::Sync)), |at| fail_once(&play, at));
    each(("migration, failing from there on", &play), (53, None), |at| fail_from(&play, at));
    each(("migration, power cut", &play), (53, None), |at| cut_power(&play, at, &mut seen));
}

#[test]
fn the_power_is_cut_behind_each_step() {
    for play in [a_life(), a_migration()] {
        let root = place();
        let mut run = Run::new(&play, root.path(), Plan::Well);
        while !run.is_over() {
            run.advance().unwrap();
            let _told = Told(format!("a power cut before step {}", run.next));
            let (known, image) = (run.known(true), run.disk().image(Luck::None));
            run.aside(|| reboot(&play, &image, known));
        }
    }
}
