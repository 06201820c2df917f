//! The event log: what happened to sync is kept, filtered, followed, and there after a restart.

use serde_json::Value;

use crate::common::{Device, PATIENCE, World, until};

/// The events that a device tells of, with these options.
fn events(device: &Device, args: &[&str]) -> Vec<Value> {
    let outcome = device.run(&[&["--json", "log"], args].concat());
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome.lines().into_iter().filter(|line| line["event"].is_string()).collect()
}

/// Waits for an event of a kind.
fn event(device: &Device, kind: &str) -> Value {
    until(kind, || events(device, &["--kind", kind]).pop())
}

#[test]
fn what_happened_to_sync_is_told_in_one_order_with_the_changes() {
    let world = World::new();
    let mut one = world.founder("one");
    let mut two = world.joiner("two", &one);
    one.sync();
    assert_eq!(event(&one, "ticket_used")["device"], "two");
    let joined = event(&one, "member_joined");
    assert_eq!(joined["device_id"], two.ok(&["status"])["device_id"]);
    assert_eq!(event(&one, "link_up")["severity"], "info");
    two.down();
    let lost = event(&one, "link_lost");
    assert_eq!((&lost["device"], &lost["fields"]["cause"]), (&"two".into(), &"stopped".into()));
    assert!(lost["words"].as_str().unwrap().contains("two is not connected any more"), "{lost}");
    one.ok(&["tag", "create", "later"]);
    let log = one.run(&["--json", "log"]).lines();
    let at = |what: &dyn Fn(&Value) -> bool| log.iter().position(what).unwrap();
    let of_tag = |line: &Value| line["changes"][0]["name"] == "later";
    assert!(at(&|line| line["event"] == "link_lost") < at(&of_tag), "{log:#?}");
    let words = one.run(&["log"]).stdout;
    assert!(words.contains("two is not connected any more"), "{words}");

    // One that is refused is a warning, and the only one there is.
    one.ok(&["peers", "pause", "two"]);
    assert_eq!(event(&one, "paused")["device"], "two");
    two.up();
    let refused = event(&one, "link_refused");
    assert_eq!((&refused["device"], &refused["severity"]), (&"two".into(), &"warning".into()));
    let grave = events(&one, &["--severity", "warning"]);
    assert!(grave.iter().all(|event| event["event"] == "link_refused"), "{grave:?}");
    assert_eq!(events(&one, &["--severity", "error"]), [Value::Null; 0]);
    assert_eq!(events(&one, &["--device", "one", "--kind", "link_up"]), [Value::Null; 0]);
    assert!(!events(&one, &["--device", "two", "--since", "1h"]).is_empty());
    let sets = one.run(&["--json", "log", "--kind", "change_set"]).lines();
    assert!(sets.iter().all(|line| line["dot"].is_string()) && !sets.is_empty());
    assert_eq!(events(&one, &["--kind", "event", "--limit", "2"]).len(), 2);
    one.refused(&["log", "--kind", "weather"], 2);
    one.refused(&["log", "--severity", "loud"], 2);

    // It is there after the daemon has ended, and without one.
    one.down();
    assert_eq!(event(&one, "sync_off")["words"], "sync is off");
    assert_eq!(event(&one, "ticket_used")["device"], "two");
    one.up();
    assert!(events(&one, &["--kind", "sync_on"]).len() >= 2);
}

#[test]
fn events_are_followed() {
    let world = World::new();
    let one = world.founder("one");
    let mut follower =
        one.command(&["--json", "log", "--follow", "--kind", "event"]).spawn().unwrap();
    let (send, lines) = std::sync::mpsc::channel();
    let out = follower.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        use std::io::BufRead as _;
        for line in std::io::BufReader::new(out).lines().map_while(Result::ok) {
            let line: Value = serde_json::from_str(&line).unwrap();
            if send.send(line["event"].as_str().unwrap().to_owned()).is_err() {
                return;
            }
        }
    });
    let until_told = |kind: &str| while lines.recv_timeout(PATIENCE).unwrap() != kind {};
    until_told("sync_on");
    one.ok(&["invite"]);
    until_told("ticket_made");
    let two = world.joiner("two", &one);
    until_told("member_joined");
    until_told("link_up");
    // Its row comes with what it has, a moment later.
    one.sync();
    one.ok(&["devices", "evict", "two"]);
    until_told("member_evicted");
    drop(two);
    follower.kill().unwrap();
    follower.wait().unwrap();
    drop(lines);
    reader.join().unwrap();
}

/// A link that comes and goes does not fill the log.
#[test]
fn a_flapping_link_is_counted() {
    let world = World::new();
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    one.sync();
    for _ in 0..8 {
        two.ok(&["peers", "pause"]);
        until("the link is cut", || (one.ok(&["peers"])[0]["online"] == false).then_some(()));
        two.ok(&["peers", "resume"]);
        one.sync();
    }
    let lost = until("all is told", || {
        let lost = events(&one, &["--kind", "link_lost"]);
        let times: u64 = lost.iter().map(|event| event["times"].as_u64().unwrap()).sum();
        (times >= 8).then_some(lost)
    });
    assert_eq!(lost.len(), 3, "{lost:?}");
    assert!(lost[2]["last"].as_str() > lost[2]["time"].as_str(), "{lost:?}");
}
