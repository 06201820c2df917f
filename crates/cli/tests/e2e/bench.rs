//! The benchmarks, as scripts see them. What they measure is judged by people: a test machine is
//! busy.

use crate::common::World;

/// Runs a benchmark: the names of its figures and their units. Nothing is left of it.
fn figures(words: &[&str]) -> Vec<(String, String)> {
    let world = World::new();
    let temp = world.folder("temp", &[]);
    let device = world.device("none");
    let words: Vec<&str> = [&["bench", "--quick", "--json"], words].concat();
    let output = device.command(&words).env("TMPDIR", &temp).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
    let figures = told["figures"].as_array().unwrap().iter();
    figures.map(name_and_unit).collect()
}

fn name_and_unit(figure: &serde_json::Value) -> (String, String) {
    assert!(figure["samples"].as_u64().unwrap() >= 1, "{figure}");
    let number = |key: &str| figure[key].as_f64().unwrap();
    let [value, limit, ratio] = ["value", "limit", "ratio"].map(number);
    assert!(value > 0.0 && limit > 0.0, "{figure}");
    assert!((ratio - value / limit).abs() < ratio / 100.0, "{figure}");
    let text = |key: &str| figure[key].as_str().unwrap().to_owned();
    (text("name"), text("unit"))
}

fn are(figures: &[(String, String)], expected: &[(&str, &str)]) {
    let figures: Vec<(&str, &str)> =
        figures.iter().map(|(name, unit)| (name.as_str(), unit.as_str())).collect();
    assert_eq!(figures, expected);
}

#[test]
fn a_benchmark_gives_figures_beside_their_limits() {
    are(&figures(&["commit"]), &[("commit", "ms"), ("commit_cpu", "ms")]);
}

#[test]
fn commits_are_seen_elsewhere_beside_a_bare_message() {
    let names = ["propagation_1", "propagation_10"].into_iter().flat_map(|name| {
        ["", "_p95", "_bare", "_bare_p95"].map(|what| (format!("{name}{what}"), "ms".to_owned()))
    });
    assert_eq!(figures(&["propagation"]), names.collect::<Vec<_>>());
    are(&figures(&["stream"]), &[("stream", "s")]);
}

#[test]
fn devices_that_were_apart_merge_both_ways() {
    are(&figures(&["offline"]), &[("offline", "s")]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_large_library_is_measured_in_all_its_parts() {
    let expected = [
        ("large_backfill", "s"),
        ("large_bytes", "B/row"),
        ("large_backfill_cpu", "rows/s"),
        ("large_memory", "MiB"),
        ("large_memory_server", "MiB"),
        ("large_start", "ms"),
        ("large_find_prefix", "ms"),
        ("large_find_tag", "ms"),
        ("large_find_kind", "ms"),
        ("large_find_part", "ms"),
        ("large_reconnect", "ms"),
        ("large_reconnect_bytes", "KiB"),
        ("large_catch_up", "ms"),
        ("large_verify", "ms"),
        ("large_repair", "s"),
        ("large_repair_bytes", "KiB"),
        ("large_deep", "s"),
    ];
    are(&figures(&["large", "--rows", "3000"]), &expected);
}

#[test]
#[cfg(target_os = "linux")]
fn a_daemon_at_rest_is_measured() {
    are(&figures(&["idle"]), &[("idle_cpu", "%"), ("idle_woken", "/s")]);
}

#[test]
fn a_benchmark_that_is_not_there_is_refused_with_those_that_are() {
    let world = World::new();
    let device = world.device("none");
    let error = device.refused(&["bench", "teleport"], 2);
    let message = error["message"].as_str().unwrap();
    for name in ["commit", "bulk", "stream", "propagation", "offline", "large", "idle", "size"] {
        assert!(message.contains(name), "{message}");
    }
    device.refused(&["bench", "index", "--path", "nowhere"], 3);
}
