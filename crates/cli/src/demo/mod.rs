//! `demo`: the main job, walked once on this machine with as many daemons as devices.

mod sample;
mod stage;
mod story;

use std::io::{self, Write as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tempfile::TempDir;

use crate::args::DemoArgs;
use crate::failure::{Exit, Failure};
use crate::fleet::{Device, existing, kill_on_signals};
use crate::text::duration;
use stage::Stages;
use story::Story;

/// Runs the demo. Its processes and directories are gone afterwards, however it ends.
pub(crate) fn run(args: &DemoArgs, json: bool) -> Result<Exit, Failure> {
    let place = make_place()?;
    let folder = match &args.path {
        Some(path) => existing(path, "driftless demo --path DIR")?,
        None => {
            let folder = place.path().join("files");
            sample::make(&folder).map_err(failed("making files to index"))?;
            folder
        }
    };
    let devices = (1..=args.devices.into()).map(|number| Device::new(place.path(), number));
    let devices = devices.collect::<Result<Vec<_>, _>>()?;
    let slots = devices.iter().map(Device::slot).collect();
    let interrupted = kill_on_signals(Arc::new(Mutex::new(slots)))?;
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
