// What the examples in this crate's documentation begin with: a library, or two that are connected,
// in directories that go away with them. Included by each of them; see `docs/testing.md`.

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::time::Duration;

pub use driftless::{Library, Models, SyncOptions, Syncable, Uuid};

/// A model that everybody writes.
#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(shared)]
pub struct Todo {
    pub id: Uuid,
    pub title: String,
    pub done: bool,
}

/// A model whose rows only their device writes.
#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(owned)]
pub struct Reading {
    pub id: Uuid,
    pub value: i64,
}

/// A link: something is there or not.
#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(link)]
pub struct Star {
    pub id: Uuid,
    pub todo: Uuid,
}

/// A library, and the directory that it is in.
pub struct Home {
    library: Library,
    _place: tempfile::TempDir,
}

impl Deref for Home {
    type Target = Library;

    fn deref(&self) -> &Library {
        &self.library
    }
}

pub fn models() -> Models {
    Models::new().with::<Todo>().with::<Reading>().with::<Star>()
}

/// Nothing leaves this machine.
pub fn loopback() -> SyncOptions {
    SyncOptions { listen: Some((Ipv4Addr::LOCALHOST, 0).into()), offline: true }
}

pub fn home() -> Result<Home, driftless::Error> {
    let place = tempfile::tempdir().unwrap();
    let library = Library::create(&place.path().join("library"), &models(), "Home", "laptop")?;
    Ok(Home { library, _place: place })
}

/// Two devices that are connected and have the same.
pub fn two_homes() -> Result<(Home, Home), driftless::Error> {
    let laptop = home()?;
    laptop.sync(loopback())?;
    let place = tempfile::tempdir().unwrap();
    let ticket = laptop.invite(60_000)?;
    let dir = place.path().join("library");
    let library = driftless::join(&dir, &models(), &ticket, "phone", &loopback(), |_, _| true)?;
    library.sync(loopback())?;
    library.wait(Duration::from_secs(60), false)?;
    Ok((laptop, Home { library, _place: place }))
}

/// Two devices that gave one record two titles while they did not know of each other.
pub fn conflict() -> Result<(Home, Home), driftless::Error> {
    let (laptop, phone) = two_homes()?;
    let id = Uuid::from_u128(7);
    laptop.write(move |tx| tx.insert(&Todo { id, title: "Water".into(), done: false }))?;
    laptop.wait(Duration::from_secs(60), false)?;
    laptop.stop_sync();
    phone.stop_sync();
    laptop.write(move |tx| tx.update(id, |todo: &mut Todo| todo.title = "Plants".into()))?;
    phone.write(move |tx| tx.update(id, |todo: &mut Todo| todo.title = "Flowers".into()))?;
    laptop.sync(loopback())?;
    phone.sync(loopback())?;
    laptop.wait(Duration::from_secs(60), false)?;
    Ok((laptop, phone))
}
