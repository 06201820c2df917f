//! More devices than keep links with one another: what one writes reaches all of them over their
//! neighbours, and whoever waits for all of them hears it of each.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use driftless::{Library, Models, Progress, SyncOptions, Syncable, Uuid, join};

#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(shared)]
struct Note {
    id: Uuid,
    text: String,
}

const DEVICES: usize = 16;
const PATIENCE: Duration = Duration::from_secs(120);

fn loopback() -> SyncOptions {
    SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true }
}

fn until(what: &str, look: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !look() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn links(library: &Library) -> usize {
    library.status().unwrap().peers.iter().filter(|peer| peer.online).count()
}

fn sum(library: &Library) -> String {
    library.digests().unwrap().last().unwrap().1.clone()
}

#[test]
fn many_devices_keep_few_links_and_everybody_has_everything() {
    let place = tempfile::tempdir().unwrap();
    let models = Models::new().with::<Note>();
    let dir = |n: usize| place.path().join(n.to_string());
    let mut all = vec![Library::create(&dir(0), &models, "Home", "0").unwrap()];
    all[0].sync(loopback()).unwrap();
    for n in 1..DEVICES {
        let ticket = all[0].invite(600_000).unwrap();
        let name = n.to_string();
        let library = join(&dir(n), &models, &ticket, &name, &loopback(), |_, _| true).unwrap();
        library.sync(loopback()).unwrap();
        all.push(library);
    }
    until("everybody knows everybody", || {
        all.iter().all(|library| library.members().unwrap().len() == DEVICES)
    });
    until("all are equal", || all.iter().all(|library| sum(library) == sum(&all[0])));
    // The links of the time when they were few end with the devices' next start.
    std::thread::scope(|scope| {
        for library in &all {
            scope.spawn(|| library.stop_sync());
        }
    });
    for library in &all {
        library.sync(loopback()).unwrap();
    }
    let writer = &all[DEVICES / 2];
    writer
        .write(|tx| {
            let id = tx.new_id();
            tx.insert(&Note { id, text: "for all".into() })
        })
        .unwrap();
    until("all have it", || {
        all.iter().all(|library| {
            library.query(|db| driftless::all::<Note>(db, "true", [])).unwrap().unwrap().len() == 1
        })
    });
    // Without the rule each would have a link with every other one.
    let kept: usize = all.iter().map(links).sum();
    assert!(kept < DEVICES * (DEVICES - 4), "{kept} ends of links");
    let reached = writer.wait(PATIENCE, false).unwrap();
    assert_eq!(reached.len(), DEVICES - 1);
    assert!(reached.iter().all(|peer| peer.progress == Progress::Done), "{reached:?}");
    all[3].stop_sync();
    let reached = writer.wait(PATIENCE, true).unwrap();
    let missed = reached.iter().filter(|peer| peer.progress != Progress::Done);
    let missed: Vec<_> = missed.map(|peer| peer.device).collect();
    assert!(missed.is_empty() || missed == [all[3].device_id()], "{missed:?}");
    // One after the other they would wait for those who are gone.
    std::thread::scope(|scope| {
        for library in all {
            scope.spawn(|| library.close());
        }
    });
}
