//! `demo`: the main job, walked once on this machine with as many daemons as devices.

mod device;
mod sample;
mod stage;
mod story;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;

use crate::args::DemoArgs;
use crate::failure::{Exit, Failure};
use crate::text::duration;
use device::{Device, Slot, kill};
use stage::Stages;
use story::Story;

/// Runs the demo. Its processes and directories are gone afterwards, however it ends.
pub(crate) fn run(args: &DemoArgs, json: bool) -> Result<Exit, Failure> {
    let place = make_place()?;
    let folder = match &args.path {
        Some(path) => existing(path)?,
        None => {
            let folder = place.path().join("files");
            sample::make(&folder).map_err(failed("making files to index"))?;
            folder
        }
    };
    let devices = (1..=args.devices).map(|number| Device::new(place.path(), number));
    let devices = devices.collect::<Result<Vec<_>, _>>()?;
    let interrupted = kill_on_signals(devices.iter().map(Device::slot).collect())?;
    let mut story = Story { devices, folder, stages: Stages::new(json) };
    let told = story.tell();
    let Story { devices, mut stages, .. } = story;
    // The daemons go before their directories.
    drop(devices);
    let kept = args.keep.then(|| place.keep());
    if let Some(kept) = kept {
        stages
            .say(&format!("The devices are left in {}", kept.display()))
            .map_err(failed("telling"))?;
    }
    if interrupted.load(Ordering::Relaxed) {
        return Err(Failure::new(Exit::Failed, "interrupted", "the demo was interrupted")
            .effect("Its devices are gone; nothing else was touched.")
            .next("driftless demo"));
    }
    conclude(stages, &told?, json)
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::io(doing, &error)
}

fn make_place() -> Result<TempDir, Failure> {
    let place = tempfile::Builder::new().prefix("driftless-demo-").tempdir();
    place.map_err(failed("making a directory for the demo"))
}

fn existing(path: &std::path::Path) -> Result<PathBuf, Failure> {
    let missing = |error: io::Error| {
        Failure::not_found("no_path", format!("{} cannot be found: {error}", path.display()))
            .next("driftless demo --path DIR, with a folder that exists")
    };
    let path = path.canonicalize().map_err(missing)?;
    if path.is_dir() {
        return Ok(path);
    }
    Err(Failure::usage(format!("{} is not a folder", path.display()))
        .next("driftless demo --path DIR"))
}

/// A signal ends all daemons; whoever waits for one of them then learns that it is gone.
fn kill_on_signals(daemons: Vec<Slot>) -> Result<Arc<AtomicBool>, Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed("watching for signals"))?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    let watch = move || {
        for _ in signals.forever() {
            flag.store(true, Ordering::Relaxed);
            daemons.iter().for_each(kill);
        }
    };
    std::thread::Builder::new().spawn(watch).map_err(failed("watching for signals"))?;
    Ok(interrupted)
}

fn conclude(stages: Stages, digests: &[String], json: bool) -> Result<Exit, Failure> {
    let equal = digests.windows(2).all(|pair| pair[0] == pair[1]);
    let time = stages.elapsed();
    let text = if json {
        json!({"stages": stages.json(), "digests": digests, "equal": equal}).to_string()
    } else if equal {
        format!("All {} digests are equal: {} ({})", digests.len(), digests[0], duration(time))
    } else {
        format!("The digests differ:\n  {}", digests.join("\n  "))
    };
    writeln!(io::stdout(), "{text}").map_err(|error| Failure::output(&error))?;
    Ok(if equal { Exit::Done } else { Exit::NotYet })
}
