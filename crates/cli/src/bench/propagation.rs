//! A commit on one device, until it can be read on others that are connected: each a process.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use driftless::Library;
use serde_json::Value;

use super::bare::Fan;
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
pub(super) struct Peer {
    echo: SocketAddr,
    /// Where it takes bare messages.
    quic: u16,
    pub(super) lines: Lines,
    device: Device,
}

/// A commit here, seen by one device and by ten.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let [one, ten] = fan_out(bench, [1, 10])?;
    let one = figures(&one, ONE, "until another device can read it");
    let ten = figures(&ten, TEN, "until the slowest of ten can read it");
    Ok(one.into_iter().chain(ten).collect())
}

/// The same for so many devices each, which grow in number.
pub(super) fn fan_out<const N: usize>(
    bench: &mut Bench,
    counts: [usize; N],
) -> Result<[Vec<Measured>; N], Failure> {
    let founder = bench.device()?;
    let library = founder.found()?;
    library.sync(loopback())?;
    let mut fan = Fan::new(&bench.fresh())?;
    let mut peers = Vec::new();
    let mut count = 0;
    let mut all = [const { Vec::new() }; N];
    for (with, measured) in counts.into_iter().zip(&mut all) {
        while peers.len() < with {
            bench.tell(&format!("device {} of {with} joins", peers.len() + 1))?;
            let peer = join(bench, &library)?;
            let process = peer.device.process();
            let process = process.ok_or_else(|| Failure::internal("a peer runs"))?;
            fan.connect(process, peer.quic)?;
            peers.push(peer);
        }
        // The first one finds caches cold.
        measure(&library, &peers, &mut fan, &mut count)?;
        let samples = bench.sample(|_| {
            (0..COMMITS)
                .map(|_| measure(&library, &peers, &mut fan, &mut count))
                .collect::<Result<Vec<_>, _>>()
        })?;
        *measured = samples.into_iter().flatten().collect();
    }
    Ok(all)
}

fn figures(all: &[Measured], names: [&'static str; 4], words: &'static str) -> [Figure; 4] {
    let echo: Vec<_> = all.iter().map(|one| (one.ours, one.echo)).collect();
    let bare: Vec<_> = all.iter().map(|one| (one.ours, one.bare)).collect();
    let most = "the same, 95 of 100 commits";
    [
        Figure::of((names[0], "ms"), (words, ECHO), &echo),
        high(names[1], (most, ECHO), &echo),
        Figure::of((names[2], "ms"), (words, BARE), &bare),
        high(names[3], (most, BARE), &bare),
    ]
}

const ONE: [&str; 4] =
    ["propagation_1", "propagation_1_p95", "propagation_1_bare", "propagation_1_bare_p95"];
const TEN: [&str; 4] =
    ["propagation_10", "propagation_10_p95", "propagation_10_bare", "propagation_10_bare_p95"];
const ECHO: &str = "a datagram to each and back";
pub(super) const BARE: &str = "an fsync, then a bare QUIC message to each";

/// Milliseconds of one commit, and of what it is set against.
pub(super) struct Measured {
    pub(super) ours: f64,
    pub(super) echo: f64,
    pub(super) bare: f64,
}

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

/// A new device whose process tells what it can read.
pub(super) fn join(bench: &mut Bench, library: &Library) -> Result<Peer, Failure> {
    let device = bench.device()?;
    device.join(&library.invite(TICKET_MS)?.to_string())?;
    let (ready, lines) = device.start(&[COMMAND])?;
    let ready: Value = serde_json::from_str(&ready).map_err(|error| unexpected(&ready, &error))?;
    let port = |name: &str| {
        let port = ready[name].as_u64().and_then(|port| u16::try_from(port).ok());
        port.ok_or_else(|| Failure::internal("a peer tells its ports"))
    };
    let echo = (Ipv4Addr::LOCALHOST, port("echo")?).into();
    Ok(Peer { echo, quic: port("quic")?, lines, device })
}

fn unexpected(line: &str, error: &serde_json::Error) -> Failure {
    Failure::internal(format!("a peer said {line:?}: {error}"))
}

/// One commit, one echo, and one bare message: milliseconds until the last device has seen it, answered,
/// and got it.
fn measure(
    library: &Library,
    peers: &[Peer],
    fan: &mut Fan,
    count: &mut usize,
) -> Result<Measured, Failure> {
    *count += 1;
    let name = count.to_string();
    let tag = rows::tag(rows::id(*count), name.clone());
    std::thread::sleep(PAUSE);
    let begun = clock();
    library.write(move |tx| tx.insert(&tag))?;
    let ours = last(peers, |peer| seen(&peer.lines, &name))? - begun;
    std::thread::sleep(PAUSE);
    let echo = echo(peers)?;
    std::thread::sleep(PAUSE);
    let begun = clock();
    fan.send(*count as u64)?;
    let bare = last(peers, |peer| told(&peer.lines, "bare", &Value::from(*count)))? - begun;
    Ok(Measured { ours: ours * 1e3, echo: echo * 1e3, bare: bare * 1e3 })
}

/// When the last one was there.
fn last(peers: &[Peer], at: impl Fn(&Peer) -> Result<f64, Failure>) -> Result<f64, Failure> {
    peers.iter().try_fold(0.0, |last: f64, peer| Ok(last.max(at(peer)?)))
}

/// When a device could read the newest tag.
pub(super) fn seen(lines: &Lines, name: &str) -> Result<f64, Failure> {
    told(lines, "seen", &Value::from(name))
}

/// When a device told this.
fn told(lines: &Lines, key: &str, value: &Value) -> Result<f64, Failure> {
    loop {
        let line = match lines.recv_timeout(PATIENCE) {
            Ok(line) => line.map_err(|error| Failure::io("listening to a peer", &error))?,
            Err(_) => return Err(Failure::internal(format!("a peer does not tell {key} {value}"))),
        };
        let said: Value = serde_json::from_str(&line).map_err(|error| unexpected(&line, &error))?;
        if said[key] == *value {
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
