//! The trend: what the metrics were, over restarts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use driftless::{Error, Library, Models, SyncOptions, Syncable, Trend, TrendPoint, Uuid, join};

#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(shared)]
struct Note {
    id: Uuid,
    text: String,
}

const PATIENCE: Duration = Duration::from_secs(60);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

fn models() -> Models {
    Models::new().with::<Note>()
}

fn loopback() -> SyncOptions {
    SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true }
}

fn write(library: &Library, times: usize) {
    for n in 0..times {
        let add = move |tx: &mut driftless::WriteTx<'_>| {
            let note = Note { id: tx.new_id(), text: n.to_string() };
            tx.insert(&note)?;
            Ok::<_, Error>(())
        };
        library.write(add).unwrap();
    }
}

/// The trend, as soon as it is like this.
fn until(library: &Library, since: Duration, is: impl Fn(&Trend) -> bool) -> Trend {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let trend = library.trend(since).unwrap();
        if is(&trend) {
            return trend;
        }
        assert!(Instant::now() < deadline, "{trend:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn sum(trend: &Trend, of: impl Fn(&TrendPoint) -> u64) -> u64 {
    trend.points.iter().map(of).sum()
}

/// A moment later nothing measured refers to the time before the library was opened.
fn fine(library: &Library) -> Trend {
    library.trend(Duration::from_millis(1)).unwrap()
}

#[test]
fn what_was_measured_survives_a_restart_and_a_pause_is_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("library");
    let library = Library::create(&path, &models(), "Home", "one").unwrap();
    write(&library, 20);
    // The device's own row may be among them.
    let all = until(&library, HOUR, |trend| sum(trend, |point| point.committed) >= 20);
    let own = sum(&all, |point| point.committed) - 20;
    assert_eq!(all.step_ms, 10_000);
    let last = all.points.last().unwrap();
    assert!(last.commit_us.is_some_and(|us| us > 0) && last.propagation_us.is_none());
    assert!(last.library_bytes > 0 && last.sync_bytes > 0);
    assert_eq!((last.online, last.backlog, last.conflicts, last.quarantined), (0, 0, 0, 0));
    assert_eq!(fine(&library).step_ms, 1_000);
    let before = library.trend(Duration::from_secs(30 * 86_400)).unwrap();
    assert_eq!((before.step_ms, sum(&before, |point| point.committed)), (900_000, own + 20));
    // What is measured last is written at the end.
    write(&library, 3);
    drop(library);

    let library = Library::open(&path, &models()).unwrap();
    for (since, step_ms) in
        [(MINUTE, 10_000), (HOUR, 10_000), (24 * HOUR, 60_000), (48 * HOUR, 900_000)]
    {
        let trend = until(&library, since, |trend| trend.step_ms == step_ms);
        assert_eq!(sum(&trend, |point| point.committed), own + 23, "{trend:?}");
        assert!(trend.points.len() < 12, "there are no steps where nothing happened");
        assert!(trend.points.iter().all(|point| point.at_ms % step_ms == 0));
        assert!(trend.points.windows(2).all(|two| two[0].at_ms < two[1].at_ms));
    }
}

#[test]
fn what_comes_and_goes_is_measured_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let one = Library::create(&dir.path().join("one"), &models(), "Home", "one").unwrap();
    one.sync(loopback()).unwrap();
    let ticket = one.invite(60_000).unwrap();
    let path = dir.path().join("two");
    let two = join(&path, &models(), &ticket, "two", &loopback(), |_, _| true).unwrap();
    two.sync(loopback()).unwrap();
    until(&one, HOUR, |trend| trend.points.last().is_some_and(|point| point.online == 1));
    write(&one, 50);
    until(&two, HOUR, |trend| sum(trend, |point| point.applied) >= 50);
    let got = until(&two, HOUR, |trend| sum(trend, |point| point.received_bytes) > 50 * 20);
    let ages = || got.points.iter().filter_map(|point| point.propagation_us);
    assert!(ages().count() > 0 && got.points.iter().any(|point| point.apply_us.is_some()));
    until(&one, HOUR, |trend| sum(trend, |point| point.sent_bytes) > 50 * 20);
    drop(two);
    write(&one, 5);
    let behind = until(&one, HOUR, |trend| {
        trend.points.last().is_some_and(|point| point.backlog == 5 && point.online == 0)
    });
    let committed = sum(&behind, |point| point.committed);
    write(&one, 1);
    // Time passes, and is told with the next thing that happens.
    until(&one, HOUR, |trend| {
        let late = trend.points.last().is_some_and(|point| point.lag_ms > 0);
        late && sum(trend, |point| point.committed) > committed
    });
}
