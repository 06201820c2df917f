//! Pairing between two devices on loopback.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use common::{LIBRARY, Members, Node, PATIENCE, by_hand, device, loopback, secret};
use driftless_core::id::DeviceId;
use driftless_core::member::{CertError, Certificate};
use driftless_net::{
    JoinConfig, Joined, OpenTicket, Outside, PairError, Pairing, PairingCode, Refusal, Ticket,
    TicketError, pair_join, ticket_id,
};
use ed25519_dalek::SigningKey;
use tokio::time::timeout;

/// The tickets of device 1 and the certificates of its library.
struct Keeper {
    tickets: Mutex<BTreeMap<[u8; 16], Kept>>,
    certificates: Mutex<Vec<Certificate>>,
    shown: Mutex<Vec<(PairingCode, DeviceId, String)>>,
    now: AtomicU64,
    /// Issues for another device than the joiner.
    mistaken: bool,
}

#[derive(Clone)]
struct Kept {
    secret: [u8; 16],
    expires: u64,
    used_by: Option<DeviceId>,
}

impl Keeper {
    fn new(mistaken: bool) -> Arc<Self> {
        let founder = SigningKey::from_bytes(&secret(1));
        let root = Certificate::issue(LIBRARY, device(1), "founder", &founder, 1).unwrap();
        Arc::new(Self {
            tickets: Mutex::default(),
            certificates: Mutex::new(vec![root]),
            shown: Mutex::default(),
            now: AtomicU64::new(1_000),
            mistaken,
        })
    }

    fn invite(&self, node: &Node, secret: [u8; 16]) -> Ticket {
        let expires = self.now.load(Ordering::SeqCst) + 600;
        let kept = Kept { secret, expires, used_by: None };
        self.tickets.lock().unwrap().insert(ticket_id(&secret), kept);
        Ticket {
            library: LIBRARY,
            inviter: node.id(),
            addrs: vec![node.addr()],
            relay: None,
            secret,
            expires,
        }
    }
}

impl Pairing for Keeper {
    fn is_open(&self) -> bool {
        !self.tickets.lock().unwrap().is_empty()
    }

    fn ticket(&self, id: [u8; 16]) -> Result<OpenTicket, Refusal> {
        let tickets = self.tickets.lock().unwrap();
        let kept = tickets.get(&id).ok_or(Refusal::UnknownTicket)?;
        if kept.used_by.is_some() {
            return Err(Refusal::Used);
        }
        if kept.expires <= self.now.load(Ordering::SeqCst) {
            return Err(Refusal::Expired);
        }
        Ok(OpenTicket { secret: kept.secret, library_name: "home".to_owned() })
    }

    fn show_code(&self, code: PairingCode, joiner: DeviceId, name: &str) {
        self.shown.lock().unwrap().push((code, joiner, name.to_owned()));
    }

    fn admit(
        &self,
        id: [u8; 16],
        joiner: DeviceId,
        name: &str,
    ) -> Result<Vec<Certificate>, Refusal> {
        let mut tickets = self.tickets.lock().unwrap();
        let kept = tickets.get_mut(&id).ok_or(Refusal::UnknownTicket)?;
        if kept.used_by.is_some() {
            return Err(Refusal::Used);
        }
        kept.used_by = Some(joiner);
        let whom = if self.mistaken { device(99) } else { joiner };
        let founder = SigningKey::from_bytes(&secret(1));
        let certificate = Certificate::issue(LIBRARY, whom, name, &founder, 2).unwrap();
        let mut certificates = self.certificates.lock().unwrap();
        certificates.push(certificate);
        Ok(certificates.clone())
    }
}

async fn inviter(keeper: &Arc<Keeper>) -> Node {
    Node::start_with(1, Members::of(&[1]), loopback(), Some(keeper.clone())).await.unwrap()
}

fn config(n: u8) -> JoinConfig {
    JoinConfig { secret: secret(n), outside: Outside::NONE, listen: Some(loopback()) }
}

async fn join(n: u8, ticket: &Ticket) -> Result<Joined, PairError> {
    pair_join(config(n), ticket, "laptop", |_, _| async { true }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_makes_a_member_once() {
    let keeper = Keeper::new(false);
    let node = inviter(&keeper).await;
    let ticket = Ticket::parse(&keeper.invite(&node, [8; 16]).encode()).unwrap();
    let mut compared = None;
    let joined = pair_join(config(2), &ticket, "laptop", |code, library| {
        compared = Some((code, library));
        async { true }
    });
    let joined = joined.await.unwrap();

    assert_eq!((joined.library, joined.library_name.as_str()), (LIBRARY, "home"));
    assert_eq!((joined.inviter, joined.inviter_addrs), (node.id(), vec![node.addr()]));
    let ours = joined.certificates.iter().find(|c| c.device == device(2)).unwrap();
    assert_eq!((ours.name.as_str(), ours.issued_by), ("laptop", node.id()));
    let (code, library) = compared.unwrap();
    assert_eq!(library, "home");
    let shown = keeper.shown.lock().unwrap().clone();
    assert_eq!(shown, [(code, device(2), "laptop".to_owned())]);

    assert!(matches!(join(3, &ticket).await, Err(PairError::Refused(Refusal::Used))));
    assert!(node.log.seen().is_empty(), "a joiner is no link: {:?}", node.log.seen());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_tickets_are_refused_by_their_kind() {
    let keeper = Keeper::new(false);
    let node = inviter(&keeper).await;

    let none = Ticket { addrs: vec![node.addr()], ..keeper.invite(&node, [1; 16]) };
    keeper.tickets.lock().unwrap().clear();
    assert!(matches!(join(2, &none).await, Err(PairError::Refused(Refusal::NotInviting))));

    let ticket = keeper.invite(&node, [2; 16]);
    assert!(matches!(join(2, &none).await, Err(PairError::Refused(Refusal::UnknownTicket))));

    // The id of a ticket without its secret is worth nothing.
    let id = ticket_id(&ticket.secret);
    keeper.tickets.lock().unwrap().get_mut(&id).unwrap().secret = [3; 16];
    assert!(matches!(join(2, &ticket).await, Err(PairError::Refused(Refusal::WrongProof))));
    keeper.tickets.lock().unwrap().get_mut(&id).unwrap().secret = ticket.secret;

    keeper.now.fetch_add(10_000, Ordering::SeqCst);
    assert!(matches!(join(2, &ticket).await, Err(PairError::Refused(Refusal::Expired))));
    assert!(matches!(join(1, &ticket).await, Err(PairError::OwnTicket)));

    let text = ticket.encode();
    assert_eq!(Ticket::parse(&text[..text.len() - 2]), Err(TicketError::Garbled));
    assert!(keeper.shown.lock().unwrap().is_empty());
    assert_eq!(keeper.certificates.lock().unwrap().len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconfirmed_code_leaves_the_ticket_open() {
    let keeper = Keeper::new(false);
    let node = inviter(&keeper).await;
    let ticket = keeper.invite(&node, [4; 16]);
    let refused = pair_join(config(2), &ticket, "laptop", |_, _| async { false }).await;
    assert!(matches!(refused, Err(PairError::NotConfirmed)));
    assert_eq!(keeper.certificates.lock().unwrap().len(), 1);
    assert!(join(2, &ticket).await.is_ok());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_joiners_with_one_ticket_make_one_member() {
    let keeper = Keeper::new(false);
    let node = inviter(&keeper).await;
    let ticket = keeper.invite(&node, [5; 16]);
    let both = [join(2, &ticket), join(3, &ticket)];
    let [one, other] = both;
    let (one, other) = tokio::join!(one, other);
    let joined = usize::from(one.is_ok()) + usize::from(other.is_ok());
    assert_eq!(joined, 1, "{one:?} {other:?}");
    let refused = one.err().or(other.err()).unwrap();
    assert!(matches!(refused, PairError::Refused(Refusal::Used)), "{refused:?}");
    assert_eq!(keeper.certificates.lock().unwrap().len(), 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_leave_the_joiner_out_are_not_taken() {
    let keeper = Keeper::new(true);
    let node = inviter(&keeper).await;
    let ticket = keeper.invite(&node, [6; 16]);
    assert!(matches!(join(2, &ticket).await, Err(PairError::NoCertificate)));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_certificates_are_not_taken() {
    let keeper = Keeper::new(false);
    keeper.certificates.lock().unwrap()[0].signature[0] ^= 1;
    let node = inviter(&keeper).await;
    let ticket = keeper.invite(&node, [7; 16]);
    let refused = join(2, &ticket).await;
    assert!(
        matches!(refused, Err(PairError::Certificates(CertError::BadSignature { .. }))),
        "{refused:?}"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_with_another_key_is_not_the_inviter() {
    let keeper = Keeper::new(false);
    let node = inviter(&keeper).await;
    let ticket = keeper.invite(&node, [9; 16]);
    // The address is right, the key is not: the handshake comes to nothing.
    let wrong = Ticket { inviter: device(50), ..ticket.clone() };
    assert!(matches!(join(2, &wrong).await, Err(PairError::Unreachable { .. })));
    assert!(keeper.shown.lock().unwrap().is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_member_links_with_its_inviter() {
    let keeper = Keeper::new(false);
    let members = Members::of(&[1]);
    let node =
        Node::start_with(1, members.clone(), loopback(), Some(keeper.clone())).await.unwrap();
    let joined = join(2, &keeper.invite(&node, [10; 16])).await.unwrap();
    members.0.lock().unwrap().insert(device(2));
    let new = Node::start(2, Members::of(&[1, 2])).await;
    new.net.set_routes([(joined.inviter, joined.inviter_addrs)].into());
    new.log.up(node.id()).await;
    node.log.up(new.id()).await;
    new.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_heard_no_longer_than_it_needs() {
    let keeper = Keeper::new(false);
    let node = inviter(&keeper).await;
    keeper.invite(&node, [11; 16]);
    for announced in [5_000_u32, u32::MAX] {
        let (endpoint, conn) = by_hand(2, &node, b"driftless-pair/1").await;
        let (mut send, _recv) = conn.open_bi().await.unwrap();
        send.write_all(&announced.to_le_bytes()).await.unwrap();
        let told = timeout(PATIENCE, conn.closed()).await.unwrap().to_string();
        assert!(told.contains("over"), "{told}");
        endpoint.close().await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joiners_beyond_a_few_are_told_to_wait() {
    let keeper = Keeper::new(false);
    let node = inviter(&keeper).await;
    let ticket = keeper.invite(&node, [12; 16]);
    let mut dawdling = Vec::new();
    for n in 10..14 {
        let (endpoint, conn) = by_hand(n, &node, b"driftless-pair/1").await;
        let (mut send, recv) = conn.open_bi().await.unwrap();
        send.write_all(&[1]).await.unwrap();
        dawdling.push((endpoint, conn, send, recv));
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        match join(2, &ticket).await {
            Err(PairError::Refused(Refusal::Busy)) => break,
            // The dawdlers' connections may still be on their way in.
            other => assert!(Instant::now() < deadline && other.is_err(), "{other:?}"),
        }
    }
    for (endpoint, ..) in dawdling {
        endpoint.close().await;
    }
    while join(2, &ticket).await.is_err() {
        assert!(Instant::now() < deadline);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_steer_a_terminal_are_refused() {
    let keeper = Keeper::new(false);
    let node = inviter(&keeper).await;
    let ticket = keeper.invite(&node, [13; 16]);
    for name in ["a\x1b[2J".to_owned(), "x".repeat(2_000)] {
        let refused = pair_join(config(2), &ticket, &name, |_, _| async { true }).await;
        assert!(matches!(refused, Err(PairError::BadName)));
    }
    node.stop().await;
}
