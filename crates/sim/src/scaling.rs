//! `driftless-sim scale`: figures, as a table or as JSON.

use std::process::ExitCode;
use std::time::Instant;

use driftless_sim::scale::{Scale, Spread, measure};

use crate::args::ScaleOptions;

pub(crate) fn measure_all(options: &ScaleOptions) -> ExitCode {
    let mut done = Vec::new();
    for devices in &options.devices {
        let began = Instant::now();
        match measure(*devices, options.changes) {
            Ok(scale) => {
                eprintln!("{devices} devices: measured in {} s", began.elapsed().as_secs());
                done.push(scale);
            }
            Err(violation) => {
                eprintln!("{devices} devices: {violation}");
                return ExitCode::FAILURE;
            }
        }
    }
    if options.json {
        let all: Vec<String> = done.iter().map(json).collect();
        println!("[{}]", all.join(","));
    } else {
        table("after a partition in two halves", &done, |scale| scale.healed);
        table("one change after the other", &done, |scale| scale.steady);
    }
    ExitCode::SUCCESS
}

fn table(title: &str, scales: &[Scale], of: impl Fn(&Scale) -> Spread) {
    println!("{title}");
    println!(
        "devices  links  hops max  mean   ms max   mean  messages/device/change  bytes  growth"
    );
    let mut before: Option<f64> = None;
    for scale in scales {
        let spread = of(scale);
        let growth = before.map_or("-".to_owned(), |old| format!("{:.2}", spread.bytes / old));
        before = Some(spread.bytes);
        println!(
            "{:>7}  {:>5}  {:>8}  {:>4.1}  {:>7}  {:>5.0}  {:>22.1}  {:>5.0}  {growth:>6}",
            scale.devices,
            scale.links_max,
            spread.hops_max,
            spread.hops_mean,
            spread.ms_max,
            spread.ms_mean,
            spread.messages,
            spread.bytes,
        );
    }
}

fn json(scale: &Scale) -> String {
    format!(
        r#"{{"devices":{},"links_max":{},"healed":{},"steady":{}}}"#,
        scale.devices,
        scale.links_max,
        json_of(&scale.healed),
        json_of(&scale.steady)
    )
}

fn json_of(spread: &Spread) -> String {
    format!(
        concat!(
            r#"{{"changes":{},"hops_max":{},"hops_mean":{:.3},"ms_max":{},"ms_mean":{:.1},"#,
            r#""messages":{:.3},"bytes":{:.1}}}"#
        ),
        spread.changes,
        spread.hops_max,
        spread.hops_mean,
        spread.ms_max,
        spread.ms_mean,
        spread.messages,
        spread.bytes,
    )
}
