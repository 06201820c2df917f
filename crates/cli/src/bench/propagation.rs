//! A commit on one device, until it can be read on others that are connected: each a process.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use driftless::Library;
use serde_json::Value;

use super::figure::{Figure, at};
use super::gauge::clock;
use super::peer::COMMAND;
use super::place::Bench;
use super::rows;
use crate::failure::Failure;
use crate::fleet::{Device, Lines, loopback};

/// Commits in a measurement.
const COMMITS: usize = 12;
/// How long a change may take to be seen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two commits the devices say that they have the last one.
const PAUSE: Duration = Duration::from_millis(20);
const TICKET_MS: u64 = 600_000;

/// A connected device.
struct Peer {
    echo: SocketAddr,
    lines: Lines,
    _device: Device,
}

/// A commit here, seen by one device and by ten.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let founder = bench.device()?;
    let library = founder.found()?;
    library.sync(loopback())?;
    let mut peers = Vec::new();
    let mut count = 0;
    let mut figures = Vec::new();
    let slowest = ("until the slowest of ten can read it", ECHO);
    let most = ("the same, 95 of 100 commits", ECHO);
    for (with, [name, most_name], words, most) in [
        (
            1,
            ["propagation_1", "propagation_1_p95"],
            ("until another device can read it", ECHO),
            most,
        ),
        (10, ["propagation_10", "propagation_10_p95"], slowest, most),
    ] {
        while peers.len() < with {
            bench.tell(&format!("device {} of {with} joins", peers.len() + 1))?;
            peers.push(join(bench, &library)?);
        }
        // The first one finds caches cold.
        measure(&library, &peers, &mut count)?;
        let samples = bench.sample(|_| {
            (0..COMMITS)
                .map(|_| measure(&library, &peers, &mut count))
                .collect::<Result<Vec<_>, _>>()
        })?;
        let pairs: Vec<_> = samples.into_iter().flatten().collect();
        figures.push(Figure::of((name, "ms"), words, &pairs));
        figures.push(high(most_name, most, &pairs));
    }
    Ok(figures)
}

const ECHO: &str = "a datagram to each and back";

/// What 95 of 100 did not exceed.
pub(super) fn high(
    name: &'static str,
    words: (&'static str, &'static str),
    pairs: &[(f64, f64)],
) -> Figure {
    let p95 = |values: &mut dyn Iterator<Item = f64>| at(values, 19, 20);
    let value = p95(&mut pairs.iter().map(|pair| pair.0));
    let limit = p95(&mut pairs.iter().map(|pair| pair.1));
    Figure { samples: pairs.len(), ..Figure::of((name, "ms"), words, &[(value, limit)]) }
}

fn join(bench: &mut Bench, library: &Library) -> Result<Peer, Failure> {
    let device = bench.device()?;
    device.join(&library.invite(TICKET_MS)?.to_string())?;
    let (ready, lines) = device.start(&[COMMAND])?;
    let ready: Value = serde_json::from_str(&ready).map_err(|error| unexpected(&ready, &error))?;
    let port = ready["echo"].as_u64().and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| Failure::internal("a peer tells its port"))?;
    Ok(Peer { echo: (Ipv4Addr::LOCALHOST, port).into(), lines, _device: device })
}

fn unexpected(line: &str, error: &serde_json::Error) -> Failure {
    Failure::internal(format!("a peer said {line:?}: {error}"))
}

/// One commit, and one echo: milliseconds until the last device has seen it, and answered.
fn measure(library: &Library, peers: &[Peer], count: &mut usize) -> Result<(f64, f64), Failure> {
    *count += 1;
    let name = count.to_string();
    let tag = rows::tag(rows::id(*count), name.clone());
    std::thread::sleep(PAUSE);
    let begun = clock();
    library.write(move |tx| tx.insert(&tag))?;
    let mut last = begun;
    for peer in peers {
        last = last.max(seen(&peer.lines, &name)?);
    }
    std::thread::sleep(PAUSE);
    Ok(((last - begun) * 1e3, echo(peers)? * 1e3))
}

/// When a device could read the newest tag.
pub(super) fn seen(lines: &Lines, name: &str) -> Result<f64, Failure> {
    loop {
        let line = match lines.recv_timeout(PATIENCE) {
            Ok(line) => line.map_err(|error| Failure::io("listening to a peer", &error))?,
            Err(_) => return Err(Failure::internal(format!("a peer does not see change {name}"))),
        };
        let said: Value = serde_json::from_str(&line).map_err(|error| unexpected(&line, &error))?;
        if said["seen"] == name {
            return said["at"].as_f64().ok_or_else(|| Failure::internal("a peer tells the time"));
        }
    }
}

/// Seconds until a datagram to each device has come back from all.
fn echo(peers: &[Peer]) -> Result<f64, Failure> {
    let round = || {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut datagram = [7; 400];
        let begun = clock();
        for peer in peers {
            socket.send_to(&datagram, peer.echo)?;
        }
        for _ in peers {
            socket.recv(&mut datagram)?;
        }
        Ok(clock() - begun)
    };
    round().map_err(|error: std::io::Error| Failure::io("sending datagrams on loopback", &error))
}
