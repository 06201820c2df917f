//! Devices in processes of their own, which are killed.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Log, Members, Node, device, loopback};
use driftless_core::id::DeviceId;
use driftless_net::Class;

const NUMBER: &str = "DRIFTLESS_TEST_DEVICE";
const LISTEN: &str = "DRIFTLESS_TEST_LISTEN";
const DIAL: &str = "DRIFTLESS_TEST_DIAL";
const READY: &str = "listening on ";

/// Not a test by itself: what runs in the other process. It ends with its standard input.
#[test]
fn the_other_process() {
    let Ok(number) = std::env::var(NUMBER) else { return };
    let listen = std::env::var(LISTEN).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = Node::start_with(number.parse().unwrap(), Members::of(&[1, 2]), listen, None);
    let node = runtime.block_on(start).unwrap();
    if let Ok(dial) = std::env::var(DIAL) {
        let (other, addr) = dial.split_once('@').unwrap();
        let route = (device(other.parse().unwrap()), vec![addr.parse().unwrap()]);
        node.net.set_routes([route].into());
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{READY}{}", node.addr()).unwrap();
    out.flush().unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A device in a process of its own.
struct Process {
    child: Child,
    addr: SocketAddr,
}

impl Process {
    fn start(number: u8, listen: SocketAddr, dial: Option<&Node>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["the_other_process", "--exact", "--nocapture"]);
        command.env(NUMBER, number.to_string()).env(LISTEN, listen.to_string());
        if let Some(other) = dial {
            let other_number = if other.id() == device(1) { 1 } else { 2 };
            command.env(DIAL, format!("{other_number}@{}", other.addr()));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = lines
            .map(|line| line.unwrap())
            .find_map(|line| line.strip_prefix(READY).map(|addr| addr.parse().unwrap()))
            .expect("the other process gets ready");
        Self { child, addr }
    }

    /// As `kill -9` does it: no farewell.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

async fn missed(log: &Log, peer: DeviceId, link: u64) -> Duration {
    let start = Instant::now();
    let reason = log.down(peer, link).await;
    println!("missed after {:?}: {reason}", start.elapsed());
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_peer_is_missed_within_five_seconds_and_found_again() {
    let a = Node::start(1, Members::of(&[1, 2])).await;
    let b = Process::start(2, loopback(), None);
    let (id, addr) = (device(2), b.addr);
    a.net.set_routes([(id, vec![addr])].into());
    let link = a.log.up(id).await;

    b.kill();
    assert!(missed(&a.log, id, link).await < Duration::from_secs(5));

    let b = Process::start(2, addr, None);
    let start = Instant::now();
    assert!(a.log.up_after(id, link).await > link);
    println!("found again after {:?}", start.elapsed());
    a.net.send(&id, Class::Live, vec![1].into()).unwrap();
    b.kill();
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_takes_the_place_of_its_dead_link_at_once() {
    // Whoever has the smaller id, and whoever dialled the dead link.
    for (stays, restarts) in [(1, 2), (2, 1)] {
        let a = Node::start(stays, Members::of(&[1, 2])).await;
        let id = device(restarts);
        let b = Process::start(restarts, loopback(), None);
        a.net.set_routes([(id, vec![b.addr])].into());
        let link = a.log.up(id).await;
        b.kill();
        let start = Instant::now();
        let b = Process::start(restarts, loopback(), Some(&a));
        a.log.up_after(id, link).await;
        println!("back after {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_millis(2_500), "{:?}", start.elapsed());
        b.kill();
        a.stop().await;
    }
}
