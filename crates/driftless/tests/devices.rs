//! Libraries on several devices, over real connections on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use driftless::{
    Comparison, Device, Error, Library, Models, Progress, Setting, SyncOptions, Syncable, Uuid,
    join,
};

#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(shared)]
struct Note {
    id: Uuid,
    text: String,
    stars: Option<i64>,
}

#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(owned)]
struct Reading {
    id: Uuid,
    value: i64,
}

const PATIENCE: Duration = Duration::from_secs(30);

fn models() -> Models {
    Models::new().with::<Note>().with::<Reading>()
}

fn loopback() -> SyncOptions {
    SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true }
}

fn founder(dir: &Path) -> Library {
    let library = Library::create(dir, &models(), "Home", "one").unwrap();
    library.sync(loopback()).unwrap();
    library
}

fn joiner(inviter: &Library, dir: &Path, name: &str) -> Library {
    let ticket = inviter.invite(60_000).unwrap();
    let library = join(dir, &models(), &ticket, name, &loopback(), |_, _| true).unwrap();
    library.sync(loopback()).unwrap();
    library
}

fn add_note(library: &Library, text: &str) -> Uuid {
    let text = text.to_owned();
    let add = move |tx: &mut driftless::WriteTx<'_>| {
        let note = Note { id: tx.new_id(), text, stars: None };
        tx.insert(&note)?;
        Ok::<_, Error>(note.id)
    };
    library.write(add).unwrap()
}

fn settle(library: &Library) {
    let peers = library.wait(PATIENCE, false).unwrap();
    assert!(peers.iter().all(|peer| peer.progress == Progress::Done), "{peers:?}");
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_devices_have_the_same() {
    let place = tempfile::tempdir().unwrap();
    let one = founder(&place.path().join("one"));
    let early = add_note(&one, "before anybody joined");
    let two = joiner(&one, &place.path().join("two"), "two");
    settle(&two);
    assert_eq!(two.get::<Note>(early).unwrap().unwrap().text, "before anybody joined");

    let late = add_note(&two, "from the second");
    two.write(|tx| {
        for value in 0..3_000 {
            let id = tx.new_id();
            tx.put(&Reading { id, value })?;
        }
        Ok::<_, Error>(())
    })
    .unwrap();
    one.write(move |tx| tx.update(early, |note: &mut Note| note.stars = Some(5))).unwrap();
    settle(&one);
    settle(&two);
    assert_eq!(one.get::<Note>(late).unwrap().unwrap().text, "from the second");
    assert_eq!(two.get::<Note>(early).unwrap().unwrap().stars, Some(5));
    let readings = |library: &Library| -> i64 {
        let count =
            library.query(|db| db.query_row("SELECT count(*) FROM reading", [], |row| row.get(0)));
        count.unwrap().unwrap()
    };
    assert_eq!((readings(&one), readings(&two)), (3_000, 3_000));
    assert_eq!(one.digests().unwrap(), two.digests().unwrap());
    assert!(one.verify(PATIENCE).unwrap().iter().all(|(_, found)| *found == Comparison::Equal));
}

#[test]
fn a_third_gets_everything_from_a_second_when_the_first_is_gone() {
    let place = tempfile::tempdir().unwrap();
    let one = founder(&place.path().join("one"));
    let note = add_note(&one, "from the first");
    one.write(|tx| {
        let id = tx.new_id();
        tx.put(&Reading { id, value: 7 })
    })
    .unwrap();
    let two = joiner(&one, &place.path().join("two"), "two");
    settle(&two);
    one.close();
    let three = joiner(&two, &place.path().join("three"), "three");
    until("the third has the first's rows", || {
        let rows = three.query(|db| {
            db.query_row("SELECT count(*) FROM reading WHERE value = 7", [], |row| row.get(0))
        });
        rows.unwrap().unwrap_or(0i64) == 1 && three.get::<Note>(note).unwrap().is_some()
    });
    until("both agree", || two.digests().unwrap() == three.digests().unwrap());
}

#[test]
fn what_was_written_apart_comes_together() {
    let place = tempfile::tempdir().unwrap();
    let one = founder(&place.path().join("one"));
    let note = add_note(&one, "shared");
    let two = joiner(&one, &place.path().join("two"), "two");
    settle(&two);
    one.stop_sync();
    two.stop_sync();
    for n in 0..30 {
        add_note(&one, &format!("one {n}"));
        add_note(&two, &format!("two {n}"));
    }
    one.write(move |tx| tx.update(note, |note: &mut Note| note.text = "left".into())).unwrap();
    two.write(move |tx| tx.update(note, |note: &mut Note| note.text = "right".into())).unwrap();
    one.sync(loopback()).unwrap();
    two.sync(loopback()).unwrap();
    settle(&two);
    settle(&one);
    assert_eq!(one.digests().unwrap(), two.digests().unwrap());
    assert_eq!(one.get::<Note>(note).unwrap(), two.get::<Note>(note).unwrap());
    let conflicts = |library: &Library| library.status().unwrap().conflicts;
    assert_eq!((conflicts(&one), conflicts(&two)), (1, 1));
    one.write(move |tx| tx.update(note, |note: &mut Note| note.text = "both".into())).unwrap();
    settle(&one);
    assert_eq!((conflicts(&one), conflicts(&two)), (0, 0));
    let count = two.query(|db| db.query_row("SELECT count(*) FROM note", [], |row| row.get(0)));
    assert_eq!(count.unwrap(), Ok(61i64));
}

#[test]
fn a_member_whose_row_is_gone_is_found_where_it_was_met() {
    let place = tempfile::tempdir().unwrap();
    let one = founder(&place.path().join("one"));
    let two = joiner(&one, &place.path().join("two"), "two");
    settle(&two);
    let row = Device::row_id(&two.device_id());
    one.write(move |tx| tx.delete::<Device>(row)).unwrap();
    settle(&one);

    // Somebody else has the first's port meanwhile, so that the second cannot find it either.
    let before = one.listening()[0];
    one.stop_sync();
    let taken = UdpSocket::bind(before).unwrap();
    one.sync(loopback()).unwrap();
    assert_ne!(one.listening()[0], before);
    until("they meet", || one.status().unwrap().peers.iter().all(|peer| peer.online));
    drop(taken);
}

#[test]
fn a_write_that_fails_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let one = Library::create(&place.path().join("one"), &models(), "Home", "one").unwrap();
    let before = one.digests().unwrap();
    let failed = one.write(|tx| {
        let id = tx.new_id();
        tx.insert(&Note { id, text: "half".into(), stars: None })?;
        tx.update(Uuid::nil(), |_: &mut Note| {})
    });
    assert!(matches!(failed, Err(Error::Write(_))), "{failed:?}");
    assert_eq!(one.digests().unwrap(), before);
}

#[test]
fn a_write_that_panics_panics_in_its_caller_alone() {
    let place = tempfile::tempdir().unwrap();
    let one = Library::create(&place.path().join("one"), &models(), "Home", "one").unwrap();
    let before = one.digests().unwrap();
    let panicking = std::panic::AssertUnwindSafe(|| {
        one.write(|tx| -> Result<(), Error> {
            let id = tx.new_id();
            tx.insert(&Note { id, text: "half".into(), stars: None })?;
            panic!("on purpose")
        })
    });
    assert!(std::panic::catch_unwind(panicking).is_err());
    assert_eq!(one.digests().unwrap(), before);
    add_note(&one, "the writer lives");
}

#[test]
fn a_library_is_there_again_after_closing() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("one");
    let one = Library::create(&dir, &models(), "Home", "one").unwrap();
    let note = add_note(&one, "kept");
    one.set_setting(Setting::MaxDrift, "5m").unwrap();
    assert!(one.set_setting(Setting::MaxDrift, "soon").is_err());
    let digests = one.digests().unwrap();
    assert!(one.get::<Note>(note).unwrap().is_some());
    assert!(matches!(Library::open(&dir, &models()), Err(Error::Store(_))), "it is open already");
    one.close();
    assert!(!dir.join("library.db-wal").exists(), "readers or not, a clean end leaves one file");
    let again = Library::open(&dir, &models()).unwrap();
    assert_eq!(again.get::<Note>(note).unwrap().unwrap().text, "kept");
    assert_eq!(again.digests().unwrap(), digests);
    assert_eq!(again.setting(Setting::MaxDrift).unwrap(), "5m");
    assert!(matches!(Library::create(&dir, &models(), "x", "y"), Err(Error::Store(_))));
}

#[test]
fn a_subscriber_hears_of_changes_made_elsewhere() {
    let place = tempfile::tempdir().unwrap();
    let one = founder(&place.path().join("one"));
    let two = joiner(&one, &place.path().join("two"), "two");
    settle(&two);
    let mut changes = two.subscribe();
    let note = add_note(&one, "news");
    let heard = std::iter::from_fn(|| changes.next()).find(|change| change.concerns("note"));
    assert!(!heard.unwrap().local);
    assert!(two.get::<Note>(note).unwrap().is_some());
}
