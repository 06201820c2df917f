//! The other side of [`super::propagation`]: a process that is connected, and tells when it can read
//! what the other one wrote.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, UdpSocket};

use driftless::rusqlite::{self, Connection, OptionalExtension as _};
use driftless::{Error, Library};
use driftless_catalog::models;
use serde_json::json;

use super::gauge::clock;
use crate::failure::{Exit, Failure};
use crate::fleet::loopback;
use crate::places::Places;

/// The hidden command that runs this.
pub(super) const COMMAND: &str = "bench-peer";

/// Stays until the standard input ends. Says which port echoes datagrams, and then for each change
/// the newest tag's name, and when it was read.
pub(crate) fn serve(places: &Places) -> Result<Exit, Failure> {
    let failed = |error: io::Error| Failure::io("listening for datagrams", &error);
    let library = Library::open(&places.dir, &models())?;
    let changes = library.subscribe();
    library.sync(loopback())?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let port = socket.local_addr().map_err(failed)?.port();
    std::thread::spawn(move || echo(&socket));
    std::thread::spawn(end_with_input);
    say(&json!({"ready": true, "echo": port}))?;
    for change in changes.filter(|change| change.concerns("tag")) {
        tracing::debug!(?change);
        let newest = library.query(newest)?.map_err(Error::from)?;
        say(&json!({"seen": newest, "at": clock()}))?;
    }
    Ok(Exit::Done)
}

fn newest(db: &Connection) -> rusqlite::Result<Option<String>> {
    let mut select = db.prepare_cached("SELECT name FROM tag ORDER BY rowid DESC LIMIT 1")?;
    select.query_row([], |row| row.get(0)).optional()
}

fn say(line: &serde_json::Value) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(|error| Failure::output(&error))
}

fn echo(socket: &UdpSocket) {
    let mut datagram = [0; 2_048];
    // Who asked does without an answer, and says so.
    while let Ok((length, from)) = socket.recv_from(&mut datagram) {
        if socket.send_to(&datagram[..length], from).is_err() {
            return;
        }
    }
}

/// Whoever started this is gone when its standard input ends, or cannot be read.
fn end_with_input() {
    let code = match io::copy(&mut io::stdin().lock(), &mut io::sink()) {
        Ok(_) => Exit::Done,
        Err(_) => Exit::Failed,
    };
    std::process::exit(code as i32);
}
