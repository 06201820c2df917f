//! One change can be followed from device to device by its dot, in the logs of both.

use std::path::Path;

use serde_json::Value;

use crate::common::{Device, World, until};

/// What a daemon is asked to tell: the spans, and nothing of its libraries.
const SPANS: &str = "off,driftless=debug";

/// The lines of a log so far, each a JSON object.
fn lines(log: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    whole.lines().map(line).collect()
}

/// The spans of a log that have ended, of this name and about this change set.
fn spans(log: &Path, name: &str, dot: &str) -> Vec<Value> {
    let mut spans: Vec<Value> = lines(log).iter_mut().map(|line| line["span"].take()).collect();
    spans.retain(|span| span["name"] == name);
    spans.retain(|span| span["dot"].as_str().is_some_and(|dots| dots.contains(dot)));
    spans
}

fn device_id(device: &Device) -> Value {
    device.ok(&["status"])["device_id"].take()
}

#[test]
fn a_change_is_followed_by_its_dot_from_its_commit_to_where_it_is_applied() {
    let world = World::new();
    let (mut laptop, mut phone) = (world.founder("laptop"), world.device("phone"));
    phone.join(&laptop, "phone");
    laptop.down();
    let logs = [world.path().join("laptop.log"), world.path().join("phone.log")];
    let json = ["--log-format", "json"];
    laptop.up_telling(&logs[0], &json, &[("RUST_LOG", SPANS)]);
    // What the variable says is as good as the option.
    let vars = [("RUST_LOG", SPANS), ("DRIFTLESS_LOG_FORMAT", "json")];
    phone.up_telling(&logs[1], &[], &vars);
    laptop.sync();
    let tag = laptop.ok(&["tag", "create", "holiday"])["id"].take();
    let history = laptop.ok(&["history", tag.as_str().unwrap()]);
    let dot = history[0]["dot"].as_str().unwrap();
    laptop.sync();
    let (library, ids) =
        (laptop.ok(&["status"])["library_id"].take(), [&laptop, &phone].map(device_id));
    let ways =
        [(0, "commit", None), (0, "send", Some(1)), (1, "receive", Some(0)), (1, "apply", None)];
    for (at, name, peer) in ways {
        let found = until(name, || spans(&logs[at], name, dot).pop());
        assert_eq!(found["library"], library, "{found}");
        assert_eq!(found.get("peer"), peer.map(|peer: usize| &ids[peer]), "{found}");
        assert!(found.get("failed").is_none(), "{found}");
    }
    assert!(spans(&logs[1], "commit", dot).is_empty() && spans(&logs[0], "apply", dot).is_empty());
    // The connection itself is a span as well, told when it ends.
    phone.down();
    let ended = |line: &Value| line["span"]["name"] == "session" && line["span"]["peer"] == ids[1];
    let session = until("the session's end", || lines(&logs[0]).into_iter().find(ended));
    assert!(!session["span"]["ended"].as_str().unwrap().is_empty(), "{session}");
    laptop.down();
}

#[test]
fn a_log_says_no_spans_unless_asked() {
    let world = World::new();
    let mut laptop = world.device("laptop");
    laptop.ok(&["init"]);
    let log = world.path().join("laptop.log");
    laptop.up_telling(&log, &["--log-format", "json"], &[("RUST_LOG", "driftless=info")]);
    laptop.ok(&["tag", "create", "holiday"]);
    laptop.down();
    let told = lines(&log);
    assert!(told.iter().all(|line| line["span"].is_null() && line["level"] != "DEBUG"), "{told:?}");
    laptop.refused(&["up", "--log-format", "xml"], 2);
}
