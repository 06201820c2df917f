//! Frames between two devices on loopback.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod common;

use bytes::Bytes;
use common::{LIBRARY, Members, Node, PATIENCE, Seen, by_hand, frames_of, pair, pattern};
use driftless_core::limits::MAX_FRAME_BYTES;
use driftless_net::{BULK_BUDGET_BYTES, Class, SendError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_all_sizes_arrive_in_order_in_both_classes() {
    let (a, b) = pair().await;
    let sizes = [0, 1, 2, 100, 16 << 10, (16 << 10) + 1, 64 << 10, 300_000, 1 << 20, 5 << 20];
    for (n, size) in sizes.into_iter().enumerate() {
        for class in [Class::Live, Class::Bulk] {
            a.send(&b, class, pattern(n, size));
            b.send(&a, class, pattern(n + 100, size));
        }
    }
    for (to, from, base) in [(&b, &a, 0), (&a, &b, 100)] {
        let frames = to.log.frames(from.id(), 2 * sizes.len()).await;
        for class in [Class::Live, Class::Bulk] {
            let got: Vec<_> = frames.iter().filter(|frame| frame.0 == class).collect();
            assert_eq!(got.len(), sizes.len());
            for (n, frame) in got.into_iter().enumerate() {
                assert!(frame.1 == pattern(n + base, sizes[n]), "{class:?} of {}", sizes[n]);
            }
        }
    }
    let whole: usize = sizes.iter().sum::<usize>() * 2;
    assert_eq!(a.net.traffic(&b.id()).received, whole as u64);
    assert_eq!(b.net.traffic(&a.id()).received, whole as u64);
    assert_eq!(a.net.queued(&b.id()), (0, 0));
    assert!(a.net.rtt(&b.id()).is_some());
    assert_eq!(a.net.route(&b.id()), Some(b.addr().to_string()));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_frame_passes_and_a_larger_one_is_not_taken() {
    let (a, b) = pair().await;
    a.send(&b, Class::Live, pattern(1, MAX_FRAME_BYTES));
    a.send(&b, Class::Bulk, pattern(2, MAX_FRAME_BYTES));
    let frames = b.log.frames(a.id(), 2).await;
    assert!(frames.iter().all(|(_, bytes)| bytes.len() == MAX_FRAME_BYTES));
    let large = Bytes::from(vec![0; MAX_FRAME_BYTES + 1]);
    let refused = a.net.send(&b.id(), Class::Bulk, large);
    assert_eq!(refused, Err(SendError::TooLarge { len: MAX_FRAME_BYTES + 1 }));
    let nobody = common::device(9);
    let refused = a.net.send(&nobody, Class::Live, Bytes::new());
    assert_eq!(refused, Err(SendError::NotConnected { peer: nobody }));
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_frame_overtakes_queued_bulk() {
    let (a, b) = pair().await;
    let frame = Bytes::from(pattern(3, 1 << 20));
    for _ in 0..20 {
        a.net.send(&b.id(), Class::Bulk, frame.clone()).unwrap();
    }
    a.send(&b, Class::Live, vec![42]);
    let frames = b.log.frames(a.id(), 21).await;
    let before = frames.iter().position(|(class, _)| *class == Class::Live).unwrap();
    assert!(before <= 4, "{before} of 20 MiB came before the live frame");
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_consumer_is_waited_for_and_delays_nobody_else() {
    let members = Members::of(&[1, 2, 3]);
    let [a, slow, quick] = [1, 2, 3].map(|n| Node::start(n, members.clone()));
    let (a, slow, quick) = (a.await, slow.await, quick.await);
    a.know(&[&slow, &quick]);
    let link = a.log.up(slow.id()).await;
    a.log.up(quick.id()).await;
    slow.log.hold_frames();

    // Fill until the queue towards the slow one is full and stays so.
    let frame = Bytes::from(pattern(7, 512 << 10));
    let mut queued = 0;
    let full = |seen: &[Seen]| {
        let bulk: usize = frames_of(seen, a.id()).iter().map(|frame| frame.1.len()).sum();
        (bulk + frame.len() > BULK_BUDGET_BYTES - (64 << 10)).then_some(bulk)
    };
    while a.net.send(&slow.id(), Class::Bulk, frame.clone()).is_ok() {
        queued += 1;
    }
    let held = slow.log.until("a full budget", full).await;
    assert!(held <= BULK_BUDGET_BYTES, "{held} bytes are out");

    // Neither its live frames nor another peer wait for its bulk.
    a.send(&slow, Class::Live, vec![1]);
    a.send(&quick, Class::Bulk, pattern(9, 4 << 20));
    quick.log.frames(a.id(), 1).await;
    slow.log
        .until("the live frame", |seen| {
            frames_of(seen, a.id()).iter().any(|(class, _)| *class == Class::Live).then_some(())
        })
        .await;
    let held = slow.log.until("a full budget", full).await;
    assert!(held <= BULK_BUDGET_BYTES, "{held} bytes are out");

    // Once it deals with them, everything arrives, and the sender hears that there is room.
    slow.log.release_frames();
    slow.log.frames(a.id(), queued + 1).await;
    a.log
        .until("room", |seen| {
            seen.iter().any(|s| matches!(s, Seen::Writable { class: Class::Bulk })).then_some(())
        })
        .await;
    assert_eq!(a.log.up(slow.id()).await, link, "the link has held");
    for node in [a, slow, quick] {
        node.stop().await;
    }
}

fn greeting() -> Vec<u8> {
    [b"drft", LIBRARY.0.as_bytes().as_slice(), &[5; 16], &[0, 0]].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_above_the_limit_closes_the_link_in_words() {
    let a = Node::start(1, Members::of(&[1, 2])).await;
    let (endpoint, conn) = by_hand(2, &a, b"driftless/1").await;
    let (mut live, _live) = conn.open_bi().await.unwrap();
    live.write_all(&greeting()).await.unwrap();
    let (mut bulk, _bulk) = conn.open_bi().await.unwrap();
    bulk.write_all(&[1]).await.unwrap();
    let (mut flow, _flow) = conn.open_bi().await.unwrap();
    flow.write_all(&[2]).await.unwrap();
    let link = a.log.up(common::device(2)).await;
    let len = u32::try_from(MAX_FRAME_BYTES).unwrap() + 1;
    bulk.write_all(&len.to_le_bytes()).await.unwrap();
    let reason = a.log.down(common::device(2), link).await;
    assert!(reason.contains("above the limit"), "{reason}");
    let told = tokio::time::timeout(PATIENCE, conn.closed()).await.unwrap().to_string();
    assert!(told.contains("above the limit"), "{told}");
    endpoint.close().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_greets_wrongly_is_closed() {
    let a = Node::start(1, Members::of(&[1, 2])).await;
    let other_library = [b"drft", [0; 16].as_slice(), &[5; 16], &[0, 0]].concat();
    let no_greeting = vec![b'x'; 38];
    for (greeting, words) in [(other_library, "library"), (no_greeting, "protocol")] {
        let (endpoint, conn) = by_hand(2, &a, b"driftless/1").await;
        let (mut live, _live) = conn.open_bi().await.unwrap();
        live.write_all(&greeting).await.unwrap();
        let told = tokio::time::timeout(PATIENCE, conn.closed()).await.unwrap().to_string();
        assert!(told.contains(words), "{told}");
        endpoint.close().await;
    }
    assert!(a.log.seen().is_empty(), "{:?}", a.log.seen());
    a.stop().await;
}
