//! Devices on this machine, each a process of its own that talks to the others over loopback: what
//! the demo and the benchmarks are played on.

mod device;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

pub(crate) use device::{Device, Lines, Slot, Telling, kill, loopback};

/// A signal ends all these processes; whoever waits for one of them then learns that it is gone.
pub(crate) fn kill_on_signals(
    processes: Arc<Mutex<Vec<Slot>>>,
) -> Result<Arc<AtomicBool>, Failure> {
    let failed = |error: io::Error| Failure::io("watching for signals", &error);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    let watch = move || {
        for _ in signals.forever() {
            flag.store(true, Ordering::Relaxed);
            processes.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(kill);
        }
    };
    std::thread::Builder::new().spawn(watch).map_err(failed)?;
    Ok(interrupted)
}

/// A folder that somebody named, as the system calls it. `next` is what to do if it is not there.
pub(crate) fn existing(path: &Path, next: &str) -> Result<PathBuf, Failure> {
    let missing = |error: io::Error| {
        Failure::not_found("no_path", format!("{} cannot be found: {error}", path.display()))
            .next(format!("{next}, with a folder that exists"))
    };
    let path = path.canonicalize().map_err(missing)?;
    if path.is_dir() {
        return Ok(path);
    }
    Err(Failure::usage(format!("{} is not a folder", path.display())).next(next))
}
