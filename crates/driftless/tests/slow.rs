//! A member that does not read what it is sent: nobody else waits for it, what is kept for it has a
//! bound, and when it reads again it gets everything.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use driftless::core::clock::Hlc;
use driftless::core::engine::Config;
use driftless::core::id::{DeviceId, LibraryId, Origin, hex, unhex};
use driftless::core::message::{Envelope, Hello, Message, State};
use driftless::{Error, Library, Models, PeerStatus, SyncOptions, Syncable, Uuid, join};
use driftless_net::{
    Class, FramePermit, LIVE_QUEUE_BYTES, Membership, Net, NetConfig, NetEvent, Outside,
};
use tokio::runtime::Runtime;

#[derive(Syncable, Clone, PartialEq, Debug)]
#[sync(shared)]
struct Note {
    id: Uuid,
    text: String,
}

const PATIENCE: Duration = Duration::from_secs(60);

fn models() -> Models {
    Models::new().with::<Note>()
}

fn loopback() -> SyncOptions {
    SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Text that can be compressed by no more than half.
fn noise(bytes: usize) -> String {
    let mut random = vec![0; bytes / 2];
    getrandom::fill(&mut random).unwrap();
    hex(&random)
}

fn add_note(library: &Library, text: String) -> Uuid {
    let add = move |tx: &mut driftless::WriteTx<'_>| {
        let note = Note { id: tx.new_id(), text };
        tx.insert(&note)?;
        Ok::<_, Error>(note.id)
    };
    library.write(add).unwrap()
}

fn joiner(inviter: &Library, dir: &Path, name: &str) -> Library {
    let ticket = inviter.invite(60_000).unwrap();
    join(dir, &models(), &ticket, name, &loopback(), |_, _| true).unwrap()
}

struct Everybody;

impl Membership for Everybody {
    fn is_member(&self, _: &DeviceId) -> bool {
        true
    }
}

#[derive(Default)]
struct Seen {
    ends: Vec<String>,
    frames: Vec<Bytes>,
    /// As long as these are held, nothing more is read.
    permits: Vec<FramePermit>,
}

/// A member of which only the network runs: what comes in is left lying.
struct Idler {
    runtime: Runtime,
    net: Net,
    seen: Arc<Mutex<Seen>>,
    me: DeviceId,
    library: LibraryId,
    peer: DeviceId,
}

impl Idler {
    /// Takes the place of the device in `dir`, and says hello to `peer`.
    fn meet(dir: &Path, peer: &Library) -> Self {
        let key = std::fs::read_to_string(dir.join("device.key")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let log = seen.clone();
        let config = NetConfig {
            secret: unhex(key.trim()).unwrap().try_into().unwrap(),
            listen: loopback().listen,
            outside: Outside::NONE,
            library: peer.id(),
            members: Arc::new(Everybody),
            pairing: None,
            jitter_seed: 1,
        };
        let sink = Arc::new(move |event| {
            let mut seen = log.lock().unwrap();
            match event {
                NetEvent::Elsewhere { .. } => {}
                NetEvent::Disconnected { reason, .. } => seen.ends.push(reason),
                NetEvent::Frame { bytes, permit, .. } => {
                    seen.frames.push(bytes);
                    seen.permits.push(permit);
                }
                NetEvent::Connected { .. }
                | NetEvent::Writable { .. }
                | NetEvent::Refused { .. } => {}
            }
        });
        let net = runtime.block_on(Net::start(config, sink)).unwrap();
        net.set_routes(BTreeMap::from([(peer.device_id(), peer.listening())]));
        let (me, library, peer_id) = (net.device_id(), peer.id(), peer.device_id());
        let idler = Self { runtime, net, seen, me, library, peer: peer_id };
        let hello = Message::Hello(Hello {
            features: 0,
            schema: [0; 32],
            clock_ms: 1,
            hlc: Hlc(1),
            heard: true,
            state: State::default(),
        });
        until("it is let in", || {
            // Whatever is sent before the link stands goes nowhere.
            idler.say(&hello).then(|| status_of(peer, &me)).filter(|status| status.online)
        });
        idler
    }

    fn say(&self, message: &Message) -> bool {
        let frame = message.encode(self.library, self.me).unwrap();
        self.net.send(&self.peer, Class::Live, frame).is_ok()
    }

    fn stop(self) {
        self.runtime.block_on(self.net.shutdown());
    }
}

fn status_of(library: &Library, peer: &DeviceId) -> PeerStatus {
    let peers = library.status().unwrap().peers;
    peers.into_iter().find(|status| status.member.device == *peer).unwrap()
}

/// How long a commit of `one` takes to be visible on `other`: the median of some.
fn latency(one: &Library, other: &Library) -> Duration {
    let mut times: Vec<Duration> = (0..31)
        .map(|_| {
            let mut changes = other.subscribe();
            let begun = Instant::now();
            let note = add_note(one, noise(2_000));
            while other.get::<Note>(note).unwrap().is_none() {
                changes.next().unwrap();
            }
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

#[test]
fn a_member_that_does_not_read_delays_nobody_and_costs_bounded_memory() {
    let place = tempfile::tempdir().unwrap();
    let one = Library::create(&place.path().join("one"), &models(), "Home", "one").unwrap();
    one.sync(loopback()).unwrap();
    let quick = joiner(&one, &place.path().join("quick"), "quick");
    quick.sync(loopback()).unwrap();
    quick.wait(PATIENCE, false).unwrap();
    let slow_dir = place.path().join("slow");
    joiner(&one, &slow_dir, "slow").close();
    let before = latency(&one, &quick);

    // Its link stands, and it acknowledges nothing.
    let idler = Idler::meet(&slow_dir, &one);
    let beside = latency(&one, &quick);
    assert!(beside < 10 * before + Duration::from_millis(100), "{before:?} alone, {beside:?}");
    for _ in 0..300 {
        add_note(&one, noise(8_000));
    }
    let last = add_note(&one, "the last one".to_owned());
    until("the quick one has all", || quick.get::<Note>(last).unwrap());
    // What is sent on our own account stays within the window, and one message above it.
    let config = Config::default();
    let queued = status_of(&one, &idler.me).queued;
    assert!(queued <= 2 * (config.window_bytes + config.batch_bytes) as u64, "{queued}");

    // It asks and asks, and does not read the answers either: then it is cut off.
    let state = one.status().unwrap().state.shared;
    let mut origins: Vec<Origin> = state.iter().map(|(origin, _)| *origin).collect();
    origins.retain(|origin| origin.device == one.device_id());
    let mut most = 0;
    let mut id = 0;
    until("it is cut off", || {
        id += 1;
        let from = origins.iter().map(|origin| (*origin, 0)).collect();
        idler.say(&Message::Pull { id, from });
        most = most.max(status_of(&one, &idler.me).queued);
        let seen = idler.seen.lock().unwrap();
        seen.ends.iter().any(|end| end.contains("keep up")).then_some(())
    });
    assert!(most <= LIVE_QUEUE_BYTES as u64, "{most} bytes were kept for it");
    let after = add_note(&one, "afterwards".to_owned());
    until("the quick one has it", || quick.get::<Note>(after).unwrap());

    // It reads again, over a new link.
    idler.seen.lock().unwrap().permits.clear();
    until("it is met anew", || {
        let seen = std::mem::take(&mut *idler.seen.lock().unwrap());
        let hello =
            |frame: &Bytes| matches!(Envelope::decode(frame).unwrap().message, Message::Hello(_));
        seen.frames.iter().any(hello).then_some(())
    });
    idler.stop();
    let slow = Library::open(&slow_dir, &models()).unwrap();
    slow.sync(loopback()).unwrap();
    until("it has everything", || {
        (slow.digests().unwrap() == one.digests().unwrap()).then_some(())
    });
    assert_eq!(quick.digests().unwrap(), one.digests().unwrap());
}
