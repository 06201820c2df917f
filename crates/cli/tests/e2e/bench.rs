//! The benchmarks, as scripts see them. What they measure is judged by people: a test machine is
//! busy.

use crate::common::World;

#[test]
fn a_benchmark_gives_figures_beside_their_limits() {
    let world = World::new();
    let temp = world.folder("temp", &[]);
    let device = world.device("none");
    let mut command = device.command(&["bench", "commit", "--quick", "--json"]);
    let output = command.env("TMPDIR", &temp).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let figures = told["figures"].as_array().unwrap();
    let names: Vec<&str> = figures.iter().map(|figure| figure["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["commit", "commit_cpu"]);
    for figure in figures {
        assert_eq!(figure["unit"], "ms", "{figure}");
        assert!(figure["samples"].as_u64().unwrap() >= 1, "{figure}");
        let number = |key: &str| figure[key].as_f64().unwrap();
        let [value, limit, ratio] = ["value", "limit", "ratio"].map(number);
        assert!(value > 0.0 && limit > 0.0, "{figure}");
        assert!((ratio - value / limit).abs() < ratio / 100.0, "{figure}");
    }
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
}

#[test]
fn a_benchmark_that_is_not_there_is_refused_with_those_that_are() {
    let world = World::new();
    let device = world.device("none");
    let error = device.refused(&["bench", "teleport"], 2);
    let message = error["message"].as_str().unwrap();
    for name in ["commit", "bulk", "index", "backfill", "propagation", "merge", "size"] {
        assert!(message.contains(name), "{message}");
    }
    device.refused(&["bench", "index", "--path", "nowhere"], 3);
}
