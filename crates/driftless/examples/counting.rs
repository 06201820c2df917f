//! What counting costs: `cargo xtask cost --metrics` runs this under callgrind, and adds up the
//! instructions of the functions that count. A library writes, and another one takes it in.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use driftless::{Error, Library, Models, SyncOptions, Syncable, Uuid, WriteTx, join};

#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(shared)]
struct Note {
    id: Uuid,
    text: String,
}

/// Changes, each its own transaction.
const CHANGES: i64 = 200;
/// How long anything may take, under callgrind on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn models() -> Models {
    Models::new().with::<Note>()
}

fn loopback() -> SyncOptions {
    SyncOptions { listen: Some((Ipv4Addr::LOCALHOST, 0).into()), offline: true }
}

fn write(library: &Library) -> Result<(), Error> {
    for n in 0..CHANGES {
        library.write(move |tx: &mut WriteTx<'_>| {
            let note = Note { id: tx.new_id(), text: format!("note {n}") };
            tx.insert(&note)?;
            Ok::<_, Error>(())
        })?;
    }
    Ok(())
}

fn notes(library: &Library) -> Result<i64, Error> {
    Ok(library.query(|db| db.query_row("SELECT count(*) FROM note", [], |row| row.get(0)))??)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let one = Library::create(&dir.path().join("one"), &models(), "Home", "one")?;
    one.sync(loopback())?;
    let ticket = one.invite(PATIENCE.as_millis().try_into()?)?;
    let two = dir.path().join("two");
    let two = join(&two, &models(), &ticket, "two", &loopback(), |_, _| true)?;
    two.sync(loopback())?;
    write(&one)?;
    let deadline = Instant::now() + PATIENCE;
    let mut changes = two.subscribe();
    while notes(&two)? < CHANGES {
        if Instant::now() > deadline {
            return Err("the other library does not get it".into());
        }
        changes.next();
    }
    println!("{}", 2 * CHANGES);
    Ok(())
}
