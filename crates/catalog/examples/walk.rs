//! Walks a tree and prints how fast: `cargo run --release --example walk -- /usr`.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use driftless_catalog::scan::{Options, Step, Walk};

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args_os().nth(1).map(PathBuf::from).ok_or("which path?")?;
    let rounds: u32 = match std::env::args().nth(2) {
        Some(text) => text.parse()?,
        None => 3,
    };
    for _ in 0..rounds {
        let started = Instant::now();
        let (mut entries, mut bytes, mut dirs, mut problems, mut notes) = (0_u64, 0_u64, 0, 0, 0);
        for step in Walk::open(&root, Options::default())? {
            match step {
                Step::Found(found) => {
                    entries += 1;
                    bytes = bytes.saturating_add(found.meta.size);
                }
                Step::Listed(_) => dirs += 1,
                Step::Problem(problem) if problem.what.is_note() => notes += 1,
                Step::Problem(problem) => {
                    problems += 1;
                    eprintln!("{problem}");
                }
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss)]
        let rate = entries as f64 / seconds;
        println!(
            "{entries} entries, {dirs} directories, {bytes} bytes, {problems} problems, \
             {notes} notes in {seconds:.3} s: {rate:.0} entries/s"
        );
    }
    Ok(())
}
