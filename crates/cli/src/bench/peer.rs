//! The other side of [`super::propagation`]: a process that is connected, and tells when it can read
//! what the other one wrote, and when a bare message has come.

use std::io::{self, BufRead as _, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use driftless::rusqlite::{self, Connection, OptionalExtension as _};
use driftless::{Error, Library, WriteTx};
use serde_json::json;

use super::bare;
use super::gauge::clock;
use super::rows;
use crate::failure::{Exit, Failure};
use crate::fleet::loopback;
use crate::places::Places;

/// The hidden command that runs this.
pub(super) const COMMAND: &str = "bench-peer";

/// Stays until the standard input ends. Says which port echoes datagrams, and which takes bare messages;
/// then for each change the newest tag's name, and when it was read, and for each message its number, and
/// when it came.
pub(crate) fn serve(places: &Places) -> Result<Exit, Failure> {
    let failed = |error: io::Error| Failure::io("listening for datagrams", &error);
    let library = Arc::new(places.open()?);
    let changes = library.subscribe();
    library.sync(loopback())?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let port = socket.local_addr().map_err(failed)?.port();
    std::thread::spawn(move || echo(&socket));
    let writing = library.clone();
    std::thread::spawn(move || follow_input(&writing));
    let (teller, told) = channel();
    let of_bare = teller.clone();
    let quic = bare::listen(move |number, at| {
        of_bare.send(Told::Bare(number, at)).expect("it is told until the process ends");
    })?;
    say(&json!({"ready": true, "echo": port, "quic": quic}))?;
    std::thread::spawn(move || tell(&told));
    for change in changes.filter(|change| change.concerns("tag")) {
        tracing::debug!(?change);
        let newest = library.query(newest)?.map_err(Error::from)?;
        teller.send(Told::Seen(newest, clock())).expect("it is told until the process ends");
    }
    Ok(Exit::Done)
}

/// What came, and when.
enum Told {
    Seen(Option<String>, f64),
    Bare(u64, f64),
}

/// To tell takes about as long as to receive: it waits until that is over everywhere.
const OVER: Duration = Duration::from_millis(10);

fn tell(told: &Receiver<Told>) {
    while let Ok(first) = told.recv() {
        std::thread::sleep(OVER);
        for one in std::iter::once(first).chain(told.try_iter()) {
            let line = match one {
                Told::Seen(newest, at) => json!({"seen": newest, "at": at}),
                Told::Bare(number, at) => json!({"bare": number, "at": at}),
            };
            // Whoever listens misses the line, and says so.
            if let Err(error) = say(&line) {
                tracing::debug!(?error, "nobody listens any more");
            }
        }
    }
}

/// The name of the tag that came last.
pub(super) fn newest(db: &Connection) -> rusqlite::Result<Option<String>> {
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

/// Each line of the standard input is the name of a tag to make. Whoever started this is gone when it
/// ends, or cannot be read.
fn follow_input(library: &Library) {
    for line in io::stdin().lock().lines() {
        let wrote = line.map_err(|error| error.to_string()).and_then(|name| {
            let write = move |tx: &mut WriteTx<'_>| {
                let id = tx.new_id();
                tx.insert(&rows::tag(id, name))
            };
            library.write(write).map_err(|error: Error| error.to_string())
        });
        if let Err(error) = wrote {
            tracing::error!(error, "a tag cannot be made");
            std::process::exit(Exit::Failed as i32);
        }
    }
    std::process::exit(Exit::Done as i32);
}
