//! A daemon with ten connected devices, and nothing to do.

use std::time::{Duration, Instant};

use super::figure::Figure;
use super::gauge::{Load, clock};
use super::place::Bench;
use crate::failure::{Exit, Failure};
use crate::fleet::Device;

const PEERS: usize = 10;
/// How long is looked.
const WHILE: Duration = Duration::from_secs(4);
/// What is done after the last device has come is no idleness: digests are compared, logs written.
const SETTLE: Duration = Duration::from_secs(5);
/// Per cent of a core that are promised.
const MOST_PERCENT: f64 = 0.2;
/// Every 1.5 s all connections say at one moment that they live.
const BEATS: f64 = 1.0 / 1.5;
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// Its share of a core, and how often its threads wake up.
pub(super) fn run(bench: &mut Bench) -> Result<Vec<Figure>, Failure> {
    let founder = bench.device()?;
    founder.found()?.close();
    founder.up()?;
    let mut peers = Vec::new();
    while peers.len() < PEERS {
        bench.tell(&format!("device {} of {PEERS} joins", peers.len() + 1))?;
        let peer = bench.device()?;
        peer.join(&founder.ticket()?)?;
        peer.up()?;
        peers.push(peer);
    }
    connected(&founder)?;
    std::thread::sleep(SETTLE);
    let Some(process) = founder.process() else {
        return Err(Failure::internal("a daemon runs"));
    };
    let samples = bench.sample(|_| {
        let (begun, before) = (clock(), Load::of(process));
        std::thread::sleep(WHILE);
        let took = clock() - begun;
        let spent = |after: Load, before: Load| {
            (100.0 * (after.cpu - before.cpu) / took, (after.woken - before.woken) / took)
        };
        Ok(Load::of(process).zip(before).map(|(after, before)| spent(after, before)))
    })?;
    // Where the system tells nothing of other processes there is nothing to tell.
    let samples: Vec<(f64, f64)> = samples.into_iter().flatten().collect();
    if samples.is_empty() {
        return Ok(Vec::new());
    }
    let cpu: Vec<_> = samples.iter().map(|(percent, _)| (*percent, MOST_PERCENT)).collect();
    let woken: Vec<_> = samples.iter().map(|(_, woken)| (*woken, BEATS)).collect();
    let words =
        ("of a core, of a daemon with ten devices and nothing to do", "at most, as promised");
    let cpu = Figure::of(("idle_cpu", "%"), words, &cpu);
    let words = ("times a second that its threads wake up", "the moments of the signs of life");
    Ok(vec![cpu, Figure::of(("idle_woken", "/s"), words, &woken)])
}

/// Waits until all devices are connected.
fn connected(founder: &Device) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let peers = founder.status()?.peers;
        if peers.len() == PEERS && peers.iter().all(|peer| peer.online && peer.behind == 0) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(
                Exit::NotYet,
                "bench",
                "ten devices are not connected in time",
            )
            .effect("The devices of the benchmark are its own; nothing else was touched.")
            .next("driftless bench idle, on a machine with less to do"));
        }
        std::thread::sleep(PAUSE);
    }
}
