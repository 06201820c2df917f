//! Hashes all files of a tree and prints how fast: `cargo run --release --example hash -- /usr`.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use driftless_catalog::scan::{
    Cancel, HashPool, Job, Kind, Options, Outcome, Progress, Step, Walk,
};

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args_os().nth(1).map(PathBuf::from).ok_or("which path?")?;
    let started = Instant::now();
    let millis = || u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut progress = Progress::new(millis());
    let mut walk = Walk::open(&root, Options { check_links: false, ..Options::default() })?;
    let jobs = std::iter::from_fn(|| {
        loop {
            if let Step::Found(found) = walk.next()?
                && found.meta.kind == Kind::File
            {
                let path = walk.dir_path().join(&found.name);
                return Some(Job { tag: found.index, path });
            }
        }
    });
    for done in HashPool::open(&root, Cancel::default())?.run(jobs) {
        match done.outcome {
            Outcome::Hashed(hashed) => progress.found(Kind::File, hashed.meta.size),
            Outcome::Problem(problem) => eprintln!("{problem}"),
            Outcome::Cancelled => break,
        }
        progress.tick(millis());
    }
    let seconds = progress.elapsed(millis()).as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let (files, megabytes) = (progress.files as f64, progress.bytes as f64 / 1e6);
    println!(
        "{files} files, {megabytes:.0} MB in {seconds:.2} s: {:.0} files/s, {:.0} MB/s",
        files / seconds,
        megabytes / seconds
    );
    Ok(())
}
