//! The metrics: that a reader of Prometheus' format can read them, that they tell what happened, and that
//! the dashboards and alerts in `ops/` name none that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::{Device, World, finish, until};
use crate::web::Web;

/// Samples by name and labels, as they are written.
type Samples = BTreeMap<(String, String), f64>;

/// Reads the text format, and is strict: every sample belongs to a metric that was announced just
/// before, no sample is there twice, names and types are by the conventions.
fn parsed(text: &str) -> (BTreeMap<String, String>, Samples) {
    let (mut types, mut samples, mut current) = (BTreeMap::new(), Samples::new(), String::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(words.ends_with('.'), "{line}");
            current = name.to_owned();
        } else if let Some(ty) = line.strip_prefix("# TYPE ") {
            let (name, ty) = ty.split_once(' ').unwrap();
            assert_eq!(name, current, "its help comes first");
            assert_eq!(ty == "counter", name.ends_with("_total"), "{line}");
            let before = types.insert(name.to_owned(), ty.to_owned());
            assert!(before.is_none(), "{name} is there twice");
        } else {
            let (key, value) = sample(line, &current, &types[&current]);
            assert!(samples.insert(key, value).is_none(), "{line} is there twice");
        }
    }
    (types, samples)
}

fn sample(line: &str, metric: &str, ty: &str) -> ((String, String), f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
        None => (series, ""),
    };
    let fits = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    assert!(name.starts_with("driftless_") && name.chars().all(fits), "{line}");
    let ends = if ty == "histogram" { &["_bucket", "_sum", "_count"][..] } else { &[""] };
    assert!(ends.iter().any(|end| name == format!("{metric}{end}")), "{line} under {metric}");
    let value: f64 = value.parse().unwrap();
    assert!(value.is_finite(), "{line}");
    ((name.to_owned(), labels.to_owned()), value)
}

fn sum(samples: &Samples, name: &str, label: &str) -> f64 {
    let fits = |(key, _): &(&(String, String), &f64)| key.0 == name && key.1.contains(label);
    samples.iter().filter(fits).map(|(_, value)| value).sum()
}

/// Buckets only grow, and the last is the count.
fn check_histogram(samples: &Samples, name: &str) {
    let bucket = format!("{name}_bucket");
    let bound = |labels: &str| match labels.split('"').nth(1).unwrap() {
        "+Inf" => f64::INFINITY,
        bound => bound.parse::<f64>().unwrap(),
    };
    let mut buckets: Vec<(f64, f64)> = samples
        .iter()
        .filter(|((name, _), _)| *name == bucket)
        .map(|((_, labels), value)| (bound(labels), *value))
        .collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert!(buckets.windows(2).all(|two| two[0].1 <= two[1].1), "{name}: {buckets:?}");
    assert_eq!(buckets.last().unwrap().1, sum(samples, &format!("{name}_count"), ""), "{name}");
}

/// Names that begin as all of ours do.
fn named(text: &str) -> BTreeSet<String> {
    let parts = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    parts.filter(|part| part.starts_with("driftless_")).map(str::to_owned).collect()
}

fn check_ops(samples: &Samples) {
    let exported: BTreeSet<String> = samples.keys().map(|(name, _)| name.clone()).collect();
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops");
    for file in ["grafana.json", "alerts.yml"] {
        let text = std::fs::read_to_string(ops.join(file)).unwrap();
        let used = named(&text);
        assert!(used.len() >= 8, "{file}: {used:?}");
        let unknown: Vec<&String> = used.difference(&exported).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}, which are not exported");
    }
}

/// Prometheus' own tool has nothing to say against it. Where it is not installed it is not asked, but in
/// CI, which installs it.
fn check_by_promtool(args: &[&str], input: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = match promtool.spawn() {
        Err(error) if std::env::var_os("CI").is_none() => {
            return eprintln!("promtool cannot be started, and is not asked: {error}");
        }
        child => child.unwrap(),
    };
    let said = finish(child, input);
    assert!(said.code == 0 && said.stderr.is_empty(), "{said:?}");
}

#[test]
fn rules_for_alerts_are_such() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/alerts.yml");
    check_by_promtool(&["check", "rules", rules.to_str().unwrap()], "");
}

/// The trend says the same over time, to people and to programs, and the daemon's end does not lose it.
fn check_trend(one: &Device, web: &Web) {
    let sum = |trend: &Value, field: &str| -> u64 {
        let points = trend["points"].as_array().unwrap().iter();
        points.map(|point| point[field].as_u64().unwrap()).sum()
    };
    let trend = until("the trend tells of it", || {
        let trend: Value = serde_json::from_str(&web.get("/api/v1/trend?since=1h").text()).unwrap();
        let told = sum(&trend, "committed") >= 10 && sum(&trend, "applied") >= 1;
        (told && sum(&trend, "online") > 0).then_some(trend)
    });
    assert_eq!(trend["step_ms"], 10_000);
    assert!(sum(&trend, "sent_bytes") > 0 && sum(&trend, "library_bytes") > 0);
    let shown = one.run(&["trend", "--since", "5m"]).stdout;
    assert!(shown.contains("committed") && shown.contains('█'), "{shown}");
    one.refused(&["trend", "--since", "soon"], 2);
    assert_eq!(web.get("/api/v1/trend?since=31d").status, 400);
}

#[test]
fn metrics_tell_what_happened_and_the_dashboards_know_their_names() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    one.sync();
    for number in 0..10 {
        one.ok(&["tag", "create", &format!("tag {number}")]);
    }
    two.ok(&["tag", "create", "from two"]);
    one.sync();
    let web = Web::of(&one);
    let (types, samples) = until("everything is acknowledged and seen", || {
        let (types, samples) = parsed(&web.get("/metrics").text());
        let seen = sum(&samples, "driftless_propagation_seconds_count", "") > 0.0;
        let behind = sum(&samples, "driftless_peer_behind_changes", "");
        (seen && behind == 0.0).then_some((types, samples))
    });
    let of = |name: &str, label: &str| sum(&samples, name, label);
    assert_eq!(of("driftless_changes_committed_total", "model=\"tag\""), 10.0);
    assert_eq!(of("driftless_changes_applied_total", "model=\"tag\""), 1.0);
    let tags = u32::try_from(one.count("tag")).unwrap();
    assert_eq!(of("driftless_records", "model=\"tag\""), f64::from(tags));
    assert_eq!(of("driftless_phase", ""), 1.0);
    assert_eq!(of("driftless_phase", "phase=\"ready\""), 1.0);
    assert_eq!(of("driftless_peer_online", "name=\"two\""), 1.0);
    assert_eq!(of("driftless_peer_lag_seconds", ""), 0.0);
    assert!(of("driftless_changes_sent_total", "model=\"tag\"") >= 10.0);
    assert!(of("driftless_changes_received_total", "model=\"tag\"") >= 1.0);
    assert_eq!(of("driftless_changes_superseded_total", ""), 0.0);
    assert_eq!(of("driftless_quarantined", ""), 0.0);
    assert!(of("driftless_commit_seconds_count", "") >= 10.0);
    assert!(of("driftless_apply_seconds_count", "") >= 1.0);
    assert!(of("driftless_change_sets_total", "direction=\"sent\"") >= 10.0);
    assert!(of("driftless_message_bytes_total", "direction=\"received\"") > 0.0);
    for (name, _) in types.iter().filter(|(_, ty)| *ty == "histogram") {
        check_histogram(&samples, name);
    }
    check_ops(&samples);
    check_trend(&one, &web);
    check_by_promtool(&["check", "metrics"], &web.get("/metrics").text());

    one.ok(&["peers", "pause"]);
    one.ok(&["tag", "create", "while away"]);
    until("the lag grows", || {
        let (_, samples) = parsed(&web.get("/metrics").text());
        let lags = sum(&samples, "driftless_peer_lag_seconds", "") > 0.0;
        (lags && sum(&samples, "driftless_peer_behind_changes", "") == 1.0).then_some(())
    });
    one.ok(&["tag", "set", "tag 0", "color=red"]);
    two.ok(&["tag", "set", "tag 0", "color=blue"]);
    one.ok(&["peers", "resume"]);
    let other = Web::of(&two);
    until("one of the two stands above the other", || {
        let superseded = |web: &Web| {
            let (_, samples) = parsed(&web.get("/metrics").text());
            sum(&samples, "driftless_changes_superseded_total", "model=\"tag\"")
        };
        (superseded(&web) + superseded(&other) == 1.0).then_some(())
    });
}
