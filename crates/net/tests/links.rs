//! Who is connected with whom: strangers, ties, deaths, pauses.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{Members, Node, PATIENCE, Seen, device, loopback, pair, secret, up_now};
use driftless_net::{Cause, Class, Cut, SendError};
use iroh::endpoint::{ConnectError, ConnectingError, ConnectionError, PortmapperConfig, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey, TransportAddr};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_is_closed_before_anything_is_read() {
    // The stranger takes both for members; the member does not know the stranger.
    let a = Node::start(1, Members::of(&[1])).await;
    let stranger = Node::start(2, Members::of(&[1, 2])).await;
    stranger.know(&[&a]);
    let deadline = Instant::now() + PATIENCE;
    let failure = loop {
        if let Some(failure) = stranger.net.last_failure(&a.id()) {
            break failure;
        }
        assert!(Instant::now() < deadline, "the stranger hears why");
        tokio::task::yield_now().await;
    };
    assert!(failure.contains("not a member"), "{failure}");
    assert_eq!(stranger.net.cause(&a.id()), Some(Cause::NotMemberThere));
    assert!(stranger.net.next_attempt(&a.id()).is_some(), "it tries again");
    let refused = a.log.refused.lock().unwrap().first().copied();
    assert_eq!(refused, Some((stranger.id(), Cause::NotMemberHere)));
    assert!(a.log.seen().is_empty(), "{:?}", a.log.seen());
    assert!(stranger.log.seen().is_empty(), "{:?}", stranger.log.seen());
    a.stop().await;
    stranger.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_let_in_later_gets_through_unaided() {
    let members = Members::of(&[1]);
    let a = Node::start(1, members.clone()).await;
    let b = Node::start(2, Members::of(&[1, 2])).await;
    b.know(&[&a]);
    let deadline = Instant::now() + PATIENCE;
    while b.net.last_failure(&a.id()).is_none() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    members.0.lock().unwrap().insert(b.id());
    b.log.up(a.id()).await;
    a.log.up(b.id()).await;
    assert_eq!(b.net.last_failure(&a.id()), None);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dialling_each_other_at_once_settles_in_one_link() {
    for _ in 0..10 {
        let members = Members::of(&[1, 2]);
        let (a, b) = (Node::start(1, members.clone()).await, Node::start(2, members).await);
        let start = Instant::now();
        a.know(&[&b]);
        b.know(&[&a]);
        // Settled: frames have passed both ways over the links that are there now.
        let now = |node: &Node, other: &Node| up_now(&node.log.seen(), other.id());
        let passed = |node: &Node, other: &Node| {
            let link = now(node, other)?;
            let frame = |s: &Seen| matches!(s, Seen::Frame { conn, .. } if *conn == link);
            node.log.seen().iter().any(frame).then_some(link)
        };
        let (at_a, at_b) = loop {
            if let (Some(at_a), Some(at_b)) = (passed(&a, &b), passed(&b, &a)) {
                break (at_a, at_b);
            }
            let links = (now(&a, &b), now(&b, &a));
            for (from, to) in [(&a, &b), (&b, &a)] {
                if let Err(error) = from.net.send(&to.id(), Class::Live, vec![1].into()) {
                    assert!(matches!(error, SendError::NotConnected { .. }), "{error}");
                }
            }
            let waited = Instant::now();
            while (now(&a, &b), now(&b, &a)) == links
                && (passed(&a, &b).is_none() || passed(&b, &a).is_none())
                && waited.elapsed() < Duration::from_secs(1)
            {
                tokio::task::yield_now().await;
            }
            assert!(start.elapsed() < PATIENCE, "{:?} {:?}", a.log.seen(), b.log.seen());
        };
        println!("settled after {:?}, links {at_a} and {at_b}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(at_a <= 3 && at_b <= 3, "{:?} {:?}", a.log.seen(), b.log.seen());
        a.stop().await;
        b.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_stop_is_heard_at_once_and_the_port_is_free() {
    let (a, b) = pair().await;
    let (id, addr) = (b.id(), b.addr());
    let link = a.log.up(id).await;
    let start = Instant::now();
    b.stop().await;
    let reason = a.log.down(id, link).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(reason.contains("stops"), "{reason}");
    let b = Node::start_with(2, Members::of(&[1, 2]), addr, None).await.unwrap();
    assert_eq!(b.addr(), addr);
    a.log.up_after(id, link).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_route_is_dialled_at_once() {
    let members = Members::of(&[1, 2]);
    let (a, b) = (Node::start(1, members.clone()).await, Node::start(2, members).await);
    // Nobody is at the old address, and by now the attempts are far apart.
    let dead = std::net::UdpSocket::bind(loopback()).unwrap();
    a.net.set_routes(BTreeMap::from([(b.id(), vec![dead.local_addr().unwrap()])]));
    let deadline = Instant::now() + PATIENCE;
    while a.net.last_failure(&b.id()).is_none() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    a.know(&[&b]);
    a.log.up(b.id()).await;
    println!("reached after {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_cuts_and_holds_until_resumed() {
    for all in [false, true] {
        let (a, b) = pair().await;
        b.know(&[&a]);
        let (at_a, at_b) = (a.log.up(b.id()).await, b.log.up(a.id()).await);
        let whom = (!all).then(|| b.id());
        a.net.pause(whom);
        assert!(a.net.is_paused(&b.id()));
        a.log.down(b.id(), at_a).await;
        let reason = b.log.down(a.id(), at_b).await;
        assert!(reason.contains("paused"), "{reason}");

        // The other one tries, and is turned away.
        let deadline = Instant::now() + PATIENCE;
        let refused = || b.net.last_failure(&a.id()).is_some_and(|why| why.contains("paused"));
        while !refused() {
            assert!(Instant::now() < deadline, "{:?}", b.net.last_failure(&a.id()));
            tokio::task::yield_now().await;
        }
        assert_eq!(up_now(&a.log.seen(), b.id()), None);
        assert_eq!(b.net.cause(&a.id()), Some(Cause::PausedThere));
        assert_eq!(a.net.next_attempt(&b.id()), None);

        a.net.resume(whom);
        let start = Instant::now();
        a.log.up_after(b.id(), at_a).await;
        b.log.up_after(a.id(), at_b).await;
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        a.stop().await;
        b.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_link_is_told_and_made_again() {
    let (a, b) = pair().await;
    let (at_a, at_b) = (a.log.up(b.id()).await, b.log.up(a.id()).await);
    b.net.disconnect(&a.id(), Cut::Unwritable, "for a test");
    assert!(a.log.down(b.id(), at_a).await.contains("for a test"));
    assert!(b.log.down(a.id(), at_b).await.contains("for a test"));
    a.log.up_after(b.id(), at_a).await;
    b.log.up_after(a.id(), at_b).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_devices_all_find_each_other() {
    let numbers: Vec<u8> = (1..=10).collect();
    let members = Members::of(&numbers);
    let mut nodes = Vec::new();
    for n in &numbers {
        nodes.push(Node::start(*n, members.clone()).await);
    }
    let start = Instant::now();
    for node in &nodes {
        let others: Vec<&Node> = nodes.iter().filter(|other| other.id() != node.id()).collect();
        node.know(&others);
    }
    for node in &nodes {
        for other in numbers.iter().map(|n| device(*n)).filter(|id| *id != node.id()) {
            node.log.up(other).await;
        }
    }
    println!("45 pairs after {:?}", start.elapsed());
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_good_address_among_dead_ones_is_enough() {
    let members = Members::of(&[1, 2]);
    let (a, b) = (Node::start(1, members.clone()).await, Node::start(2, members).await);
    let dead: Vec<_> = (0..3).map(|_| std::net::UdpSocket::bind(loopback()).unwrap()).collect();
    let mut addrs: Vec<_> = dead.iter().map(|socket| socket.local_addr().unwrap()).collect();
    addrs.push(b.addr());
    let start = Instant::now();
    a.net.set_routes([(b.id(), addrs)].into());
    a.log.up(b.id()).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_urged_network_does_not_wait_for_its_next_attempt() {
    let members = Members::of(&[1]);
    let a = Node::start(1, members.clone()).await;
    let b = Node::start(2, Members::of(&[1, 2])).await;
    b.know(&[&a]);
    let deadline = Instant::now() + PATIENCE;
    while b.net.last_failure(&a.id()).is_none() {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    members.0.lock().unwrap().insert(b.id());
    b.net.dial_now();
    b.log.up(a.id()).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_on_all_interfaces_tells_real_addresses() {
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let node = Node::start_with(1, Members::of(&[1]), everywhere, None).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let addrs = loop {
        let addrs = node.net.listen_addrs();
        if addrs.iter().all(|addr| !addr.ip().is_unspecified() && addr.port() != 0) {
            break addrs;
        }
        assert!(Instant::now() < deadline, "{addrs:?}");
        tokio::task::yield_now().await;
    };
    println!("{addrs:?}");
    assert!(!addrs.is_empty());
    node.stop().await;
}

/// Endpoints of a later major version: they know no protocol of this one.
async fn later(n: u8) -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .clear_ip_transports()
        .bind_addr(loopback())
        .unwrap()
        .secret_key(SecretKey::from_bytes(&secret(n)))
        .alpns(vec![b"driftless/2".to_vec()])
        .bind()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn major_versions_that_differ_part_in_words() {
    let a = Node::start(1, Members::of(&[1, 2])).await;
    let later = later(2).await;
    let accepting = later.clone();
    let serving = tokio::spawn(async move {
        while let Some(incoming) = accepting.accept().await {
            assert!(incoming.await.is_err(), "no protocol in common");
        }
    });
    let routes = BTreeMap::from([(device(2), later.bound_sockets())]);
    a.net.set_routes(routes);
    let deadline = Instant::now() + PATIENCE;
    let failure = loop {
        if let Some(failure) = a.net.last_failure(&device(2)) {
            break failure;
        }
        assert!(Instant::now() < deadline, "the older one hears why");
        tokio::task::yield_now().await;
    };
    assert!(failure.contains("another major version of the protocol"), "{failure}");
    assert_eq!(a.net.cause(&device(2)), Some(Cause::OtherVersion));
    assert!(failure.contains("version 1") && failure.contains("updated"), "{failure}");
    // The other way round the later one hears the same of the transport, within the handshake.
    let id = EndpointId::from_bytes(&a.id().0).unwrap();
    let to = EndpointAddr::from_parts(id, [TransportAddr::Ip(a.addr())]);
    let refused = later.connect(to, b"driftless/2").await.expect_err("no protocol in common");
    let ConnectError::Connecting { source, .. } = refused else { panic!("{refused:?}") };
    let ConnectingError::ConnectionError { source, .. } = source else { panic!("{source:?}") };
    let ConnectionError::ConnectionClosed(close) = source else { panic!("{source:?}") };
    assert_eq!(u64::from(close.error_code), 0x100 + 120);
    assert!(a.log.seen().is_empty(), "{:?}", a.log.seen());
    a.stop().await;
    later.close().await;
    serving.await.unwrap();
}

/// Two processes with one key: each is told once the other one has taken its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_there_twice_is_told() {
    let members = Members::of(&[1, 2]);
    let a = Node::start(1, members.clone()).await;
    let (b, copy) = (Node::start(2, members.clone()).await, Node::start(2, members).await);
    b.know(&[&a]);
    a.log.up(b.id()).await;
    b.log.up(a.id()).await;
    copy.know(&[&a]);
    copy.log.up(a.id()).await;
    let told = |seen: &[Seen]| {
        let of_a = |seen: &&Seen| matches!(seen, Seen::Elsewhere { peer } if *peer == device(1));
        seen.iter().find(of_a).map(drop)
    };
    b.log.until("the first one is told", told).await;
    // The first one dials again.
    copy.log.until("the copy is told", told).await;
    for node in [a, b, copy] {
        node.stop().await;
    }
}
