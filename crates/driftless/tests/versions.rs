//! Peers of other versions, over real connections: what a later one says that this one does not know
//! is skipped, and another major version is refused in words, which both sides show.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use driftless::core::clock::Hlc;
use driftless::core::id::unhex;
use driftless::core::message::{Envelope, Hello, Message, Refusal, State};
use driftless::{DeviceId, Library, Models, SyncOptions, join};
use driftless_net::{Class, Membership, Net, NetConfig, NetEvent, Outside};
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(60);

fn loopback() -> SyncOptions {
    SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true }
}

struct Everybody;

impl Membership for Everybody {
    fn is_member(&self, _: &DeviceId) -> bool {
        true
    }
}

/// A member that says whatever the test has it say.
struct Puppet {
    runtime: Runtime,
    net: Net,
    events: Mutex<Receiver<NetEvent>>,
    library: Library,
    device: DeviceId,
}

impl Puppet {
    /// A library, and a member of it whose place is taken by a puppet with its key.
    fn new(place: &Path) -> Self {
        let models = Models::new();
        let library = Library::create(&place.join("a"), &models, "Home", "laptop").unwrap();
        library.sync(loopback()).unwrap();
        let ticket = library.invite(60_000).unwrap();
        let dir = place.join("b");
        let joined = join(&dir, &models, &ticket, "phone", &loopback(), |_, _| true).unwrap();
        let device = joined.device_id();
        joined.close();
        let secret = std::fs::read_to_string(dir.join("device.key")).unwrap();
        let secret = unhex(secret.trim()).unwrap();
        let runtime = Runtime::new().unwrap();
        let (send, events) = channel();
        let config = NetConfig {
            secret: secret.as_slice().try_into().unwrap(),
            listen: Some(([127, 0, 0, 1], 0).into()),
            outside: Outside::NONE,
            library: library.id(),
            members: Arc::new(Everybody),
            pairing: None,
            jitter_seed: 1,
        };
        // Once the test is over nobody listens.
        let sink = Arc::new(move |event| drop(send.send(event)));
        let net = runtime.block_on(Net::start(config, sink)).unwrap();
        net.set_routes(BTreeMap::from([(library.device_id(), library.listening())]));
        Self { runtime, net, events: Mutex::new(events), library, device }
    }

    /// The next event that `look` finds something in.
    fn until<T>(&self, mut look: impl FnMut(NetEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.lock().unwrap().recv_timeout(left).expect("in time");
            if let Some(found) = look(event) {
                return found;
            }
        }
    }

    fn connected(&self) {
        self.until(|event| matches!(event, NetEvent::Connected { .. }).then_some(()));
    }

    fn frame(&self, message: &Message) -> Bytes {
        message.encode(self.library.id(), self.device).unwrap()
    }

    fn say(&self, frame: Bytes) {
        self.net.send(&self.library.device_id(), Class::Live, frame).unwrap();
    }

    fn hello(&self) {
        self.say(self.frame(&Message::Hello(Hello {
            features: u64::MAX,
            schema: [9; 32],
            clock_ms: 0,
            hlc: Hlc(0),
            heard: true,
            state: State::default(),
        })));
    }

    /// The next message of which `look` makes something.
    fn hear<T>(&self, mut look: impl FnMut(Message) -> Option<T>) -> T {
        self.until(|event| match event {
            NetEvent::Frame { bytes, .. } => look(Envelope::decode(&bytes).unwrap().message),
            NetEvent::Disconnected { reason, .. } => panic!("disconnected: {reason}"),
            _ => None,
        })
    }

    /// Waits until the library shows a reason for the missing link in which there is this.
    fn shown(&self, words: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let peers = self.library.status().unwrap().peers;
            let why = peers.into_iter().find_map(|peer| peer.last_failure);
            match why.filter(|why| why.contains(words)) {
                Some(why) => return why,
                None => assert!(Instant::now() < deadline, "{words:?} is not shown"),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn end(self) {
        self.runtime.block_on(self.net.shutdown());
    }
}

#[test]
fn a_kind_of_message_that_is_not_known_is_skipped() {
    let place = tempfile::tempdir().unwrap();
    let puppet = Puppet::new(place.path());
    puppet.connected();
    puppet.hello();
    for kind in [99, 200, 255] {
        puppet.say(puppet.frame(&Message::Unknown { kind }));
    }
    puppet.say(puppet.frame(&Message::Ping { token: 77 }));
    // The same connection answers: `hear` fails if it ends.
    puppet.hear(|message| matches!(message, Message::Pong { token: 77, .. }).then_some(()));
    assert!(puppet.library.status().unwrap().peers[0].online);
    puppet.end();
}

#[test]
fn another_major_version_is_refused_in_words_on_both_sides() {
    let place = tempfile::tempdir().unwrap();
    let puppet = Puppet::new(place.path());
    puppet.connected();
    puppet.hello();
    let mut later = puppet.frame(&Message::Ping { token: 1 }).to_vec();
    later[0] = 2;
    puppet.say(later.into());
    // The message that says so may be overtaken by the end of the connection, which says it as well.
    let reason = puppet.until(|event| match event {
        NetEvent::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(reason.contains("version 2") && reason.contains("update"), "{reason}");
    puppet.shown("version 2 of the protocol");
    puppet.end();
}

#[test]
fn whoever_is_refused_for_its_version_shows_why() {
    let place = tempfile::tempdir().unwrap();
    let puppet = Puppet::new(place.path());
    puppet.connected();
    puppet.hello();
    let text = "version 1 of the protocol is not spoken here".to_owned();
    puppet.say(puppet.frame(&Message::Error { refusal: Refusal::Version, text }));
    puppet.shown("the peer refused: version 1 of the protocol");
    puppet.end();
}
