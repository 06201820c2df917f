//! Ten things that keep a change from getting everywhere, each brought about on purpose: `why` or
//! `doctor` names it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use driftless::core::id::unhex;
use driftless::{Library, Syncable, Uuid};
use iroh::endpoint::{PortmapperConfig, presets};
use iroh::{Endpoint, RelayMode, SecretKey};
use serde_json::Value;

use crate::bad_input::little_room_at_the_second;
use crate::common::{Device, PATIENCE, World, until, words};
use crate::damage::{flip, settle};

/// Two devices that are connected and have the same.
fn two(world: &World) -> [Device; 2] {
    let one = world.founder("one");
    let two = world.joiner("two", &one);
    one.sync();
    [one, two]
}

/// Makes a tag; its id.
fn tag(device: &Device, name: &str) -> String {
    device.ok(&["tag", "create", name])["id"].as_str().unwrap().to_owned()
}

/// What a device says of another one with respect to a record.
fn said(device: &Device, record: &str, of: &str) -> Value {
    let report = device.ok(&["why", record, "--device", of]);
    assert!(!report["answer"].as_str().unwrap().is_empty(), "{report}");
    report["devices"][0].clone()
}

/// Waits until the reason that has to be seen to first is this one.
fn named(device: &Device, record: &str, of: &str, reason: &str) -> Value {
    let mut last = Value::Null;
    until(reason, || {
        last = said(device, record, of);
        let first = last["reasons"].as_array().unwrap().last().cloned();
        first.filter(|found| found["reason"] == reason)
    });
    assert_eq!(last["has"], false, "{last}");
    let named = last["reasons"].as_array().unwrap().last().unwrap();
    for words in ["words", "cure"] {
        assert!(!named[words].as_str().unwrap().is_empty(), "{named}");
    }
    last
}

/// What `doctor` finds under a check.
fn found(device: &Device, check: &str) -> Vec<String> {
    let report = device.run(&["--json", "doctor"]).json();
    let findings = report["findings"].as_array().unwrap().iter();
    let of = findings.filter(|finding| finding["check"] == check);
    of.map(|finding| finding["what"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_device_that_is_off() {
    let world = World::new();
    let [one, mut two] = two(&world);
    two.kill();
    tag(&one, "later");
    let off = named(&one, "later", "two", "offline");
    assert_eq!((&off["next"]["step"], &off["behind"]), (&"dial".into(), &1.into()), "{off}");
    assert!(off["reasons"][0]["fields"]["last_seen"].is_string() && off["heard"].is_string());
    let text = one.run(&["why", "later"]).stdout;
    assert!(text.contains("two is not known to have it; two: it is offline"), "{text}");
    assert!(text.contains("next: it is tried again in"), "{text}");
    let report = one.ok(&["why", "later"]);
    assert_eq!(
        report["verdict"].as_str().unwrap().split(',').next(),
        one.ok(&["status"])["verdict"].as_str().unwrap().split(',').next(),
        "one verdict"
    );
    assert!(report["verdict"].as_str().unwrap().contains("two is 1 change behind"), "{report}");
    assert_eq!(report["records"][0]["state"], "shows");
    assert_eq!(
        (&report["change"]["device"], &report["change"]["logged"]),
        (&"one".into(), &true.into())
    );
    // It comes back, and says so.
    two.up();
    one.sync();
    let has = said(&one, "later", "two");
    assert_eq!((&has["has"], has["acknowledged"].is_string()), (&true.into(), true), "{has}");
    // What is not here is not known, and what may have it is told.
    two.kill();
    let error = until("it is gone", || {
        let error = one.refused(&["why", "nothing"], 3);
        error["message"].as_str().unwrap().contains("may have more: two").then_some(error)
    });
    assert_eq!(error["code"], "no_record");
}

/// Without a daemon it is known that sync is off, and what others had when they were heard last.
#[test]
fn a_device_without_its_daemon() {
    let world = World::new();
    let [mut one, two] = two(&world);
    tag(&one, "early");
    one.sync();
    one.down();
    tag(&one, "later");
    assert_eq!(named(&one, "later", "two", "sync_off")["next"]["step"], "when_sync_is_on");
    assert_eq!(said(&one, "early", "two")["has"], true);
    one.ok(&["tag", "rm", "early"]);
    assert_eq!(one.ok(&["why", "early"])["records"][0]["state"], "deleted");
    drop(two);
}

#[test]
fn a_link_that_is_paused() {
    let world = World::new();
    let [one, two] = two(&world);
    one.ok(&["peers", "pause", "two"]);
    tag(&one, "of one");
    tag(&two, "of two");
    assert_eq!(named(&one, "of one", "two", "paused_here")["next"]["step"], "by_hand");
    named(&two, "of two", "one", "paused_there");
    assert!(found(&one, "peers").iter().any(|what| what.contains("paused on this device")));
}

#[test]
fn a_full_disk() {
    let world = World::new();
    let Some((disk, [one, two])) = little_room_at_the_second(&world) else { return };
    let mut filler = std::fs::File::create(disk.0.join("filler")).unwrap();
    while filler.write_all(&[0x55; 4_096]).is_ok() {}
    tag(&one, "large");
    let text = "x".repeat(60_000);
    for n in 0..20 {
        one.batch_line(&words(&["tag", "set", "large", &format!("description={n}{text}")]));
    }
    named(&one, "large", "two", "unwritable_there");
    let full = two.run(&["--json", "doctor"]);
    assert!(full.code == 1 && full.stdout.contains("are free on the disk of"), "{full:?}");
}

#[test]
fn a_clock_that_is_off_by_a_day() {
    let world = World::new();
    let [one, mut two] = two(&world);
    two.down();
    two.up_with(&[("DRIFTLESS_CLOCK_OFFSET", "86400")]);
    one.sync();
    tag(&one, "now");
    let off = until("the clock is known", || {
        let said = said(&one, "now", "two");
        said["clock_off_ms"].as_i64()
    });
    assert!((off - 86_400_000).abs() < 60_000, "{off}");
    let text = one.run(&["why", "now"]).stdout;
    assert!(text.contains("its clock is 24.0 h ahead of this one's"), "{text}");
    assert!(found(&one, "clock").iter().any(|what| what.contains("two's clock is 24.0 h ahead")));
    let told = one.run(&["--json", "log", "--kind", "clock_refused"]).lines();
    assert_eq!(told[0]["device"], "two", "{told:?}");
}

/// An endpoint with a device's key that speaks a later version of the protocol, as a later program would.
struct Later {
    runtime: tokio::runtime::Runtime,
    endpoint: Endpoint,
}

impl Later {
    fn take_the_place_of(device: &Device, at: SocketAddr) -> Self {
        let key = std::fs::read_to_string(device.dir.join("device.key")).unwrap();
        let key: [u8; 32] = unhex(key.trim()).unwrap().try_into().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let endpoint = runtime.block_on(async {
            Endpoint::builder(presets::Minimal)
                .relay_mode(RelayMode::Disabled)
                .portmapper_config(PortmapperConfig::Disabled)
                .clear_ip_transports()
                .bind_addr(at)
                .unwrap()
                .secret_key(SecretKey::from_bytes(&key))
                .alpns(vec![b"driftless/2".to_vec()])
                .bind()
                .await
                .unwrap()
        });
        let accepting = endpoint.clone();
        runtime.spawn(async move {
            while let Some(incoming) = accepting.accept().await {
                assert!(incoming.await.is_err(), "no protocol in common");
            }
        });
        Self { runtime, endpoint }
    }
}

#[test]
fn another_version_of_the_protocol() {
    let world = World::new();
    let [one, mut two] = two(&world);
    let at = two.ok(&["status"])["listen"][0].as_str().unwrap().parse().unwrap();
    two.down();
    let later = Later::take_the_place_of(&two, at);
    tag(&one, "news");
    let other = named(&one, "news", "two", "other_version");
    assert_eq!(other["next"]["step"], "by_hand");
    assert!(found(&one, "peers").iter().any(|what| what.contains("another major version")));
    let verdict = one.ok(&["status"])["verdict"].as_str().unwrap().to_owned();
    assert!(verdict.contains("it speaks another version of the protocol"), "{verdict}");
    later.runtime.block_on(later.endpoint.close());
}

/// A model that a later version has.
#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(shared)]
struct Album {
    id: Uuid,
    name: String,
}

#[test]
fn a_record_in_quarantine() {
    let world = World::new();
    let [one, mut two] = two(&world);
    two.down();
    let id = Uuid::from_u128(0x0a1b_0c2d);
    let library = Library::open(&two.dir, &driftless_catalog::models().with::<Album>()).unwrap();
    let album = Album { id, name: "summer".to_owned() };
    library.write(move |tx| tx.insert(&album)).unwrap();
    library.close();
    two.up();
    two.sync();
    let report = one.ok(&["why", &id.to_string()]);
    assert_eq!(report["records"][0]["state"], "quarantined", "{report}");
    let words = report["records"][0]["reason"].as_str().unwrap();
    assert!(words.contains("this version does not know the model"), "{words}");
    assert!(report["answer"].as_str().unwrap().contains("in quarantine"), "{report}");
    assert!(found(&one, "quarantine").iter().any(|what| what.contains("1 record waits")));
    until("it is told", || one.run(&["--json", "log", "--kind", "quarantined"]).lines().pop());
}

#[test]
fn a_device_that_was_evicted() {
    let world = World::new();
    let [one, mut two] = two(&world);
    two.down();
    one.ok(&["devices", "evict", "two"]);
    tag(&one, "later");
    let gone = said(&one, "later", "two");
    assert_eq!(gone["reasons"][0]["reason"], "evicted", "{gone}");
    assert!(found(&one, "evicted")[0].contains("two was evicted"));
}

#[test]
fn a_ticket_that_was_used() {
    let world = World::new();
    let one = world.founder("one");
    let ticket = one.ticket();
    let (two, three) = (world.device("two"), world.device("three"));
    two.ok(&["join", &ticket, "--yes", "--offline", "--device-name", "two"]);
    let refused = three.refused_once(&["join", &ticket, "--yes", "--offline"], 4);
    assert_eq!(refused, "ticket_used");
    let told = one.run(&["--json", "log", "--kind", "ticket_refused"]).lines();
    assert_eq!(told[0]["fields"]["why"], "used", "{told:?}");
    let found = found(&one, "refused");
    assert!(found[0].contains("a ticket was refused") && found[0].contains("used"), "{found:?}");
}

/// A process that stands still for seconds at a time, as a link does on a train.
#[test]
fn a_slow_link() {
    let world = World::new();
    let [one, two] = two(&world);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use rustix::process::{Signal, kill_process};
            let started = std::time::Instant::now();
            while !over.load(Ordering::Relaxed) && started.elapsed() < PATIENCE {
                for (signal, ms) in [(Signal::STOP, 3_500), (Signal::CONT, 700)] {
                    kill_process(two.pid(), signal).unwrap();
                    let until = std::time::Instant::now() + Duration::from_millis(ms);
                    while std::time::Instant::now() < until
                        && (signal == Signal::CONT || !over.load(Ordering::Relaxed))
                    {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            }
            kill_process(two.pid(), Signal::CONT).unwrap();
        });
        let mut n = 0;
        let slow = until("the link is slow", || {
            n += 1;
            let name = format!("tag {n}");
            tag(&one, &name);
            let deadline = std::time::Instant::now() + Duration::from_secs(3);
            while std::time::Instant::now() < deadline {
                let said = said(&one, &name, "two");
                let slow = said["reasons"].as_array().unwrap().last().cloned();
                if let Some(slow) = slow.filter(|reason| reason["reason"] == "slow_link") {
                    return Some(slow);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            None
        });
        over.store(true, Ordering::Relaxed);
        assert!(slow["words"].as_str().unwrap().contains("its link is slow"), "{slow}");
        assert!(slow["fields"]["behind"].as_u64() >= Some(1), "{slow}");
    });
}

#[test]
fn a_row_that_was_corrupted() {
    let world = World::new();
    let [mut one, mut two] = two(&world);
    let id = tag(&one, "tag-no-00001");
    one.batch(
        &(0..500).map(|n| words(&["tag", "create", &format!("other {n}")])).collect::<Vec<_>>(),
    );
    one.sync();
    // So that it does not come back from the device's own log.
    until("the log is pruned", || (two.ok(&["prune", "--now"])["sets"] != 0).then_some(()));
    one.down();
    settle(&mut two);
    flip(&two.dir, "tag-no-00001", |_| true);
    two.up();
    let deep = two.run(&["verify", "--deep", "--json"]);
    assert!(deep.json()["deep"]["damaged"].to_string().contains(&id), "{deep:?}");
    let report = two.ok(&["why", &id]);
    assert_eq!(report["records"][0]["state"], "damaged", "{report}");
    let here = report["devices"].as_array().unwrap().iter().find(|device| device["here"] == true);
    assert_eq!(here.unwrap()["has"], false, "{report}");
    assert!(found(&two, "damage").iter().any(|what| what.contains("1 record was damaged here")));
    let told = two.run(&["--json", "log", "--severity", "error"]).lines();
    assert_eq!(told[0]["event"], "damaged", "{told:?}");
    // It comes back from the other one, and that is told as well.
    one.up();
    until("it is back", || (two.ok(&["why", &id])["records"][0]["state"] == "shows").then_some(()));
    until("it is told", || two.run(&["--json", "log", "--kind", "mended"]).lines().pop());
}
