//! Frames on a stream: a length (four bytes, little endian), then so many bytes.

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use driftless_core::limits::MAX_FRAME_BYTES;
use iroh::endpoint::{ReadExactError, RecvStream, SendStream, WriteError};

use super::{LIVE_PRIORITY, Side};
use crate::config::Class;
use crate::event::NetEvent;
use crate::link::Greeting;
use crate::shared::PeerStats;

/// Bulk is given to the transport in pieces of this size, and before each one live goes first.
const PIECE: usize = 64 << 10;
/// A frame up to this size is written as one piece with its length.
const SMALL: usize = 16 << 10;
/// Memory for a frame grows with what has really come, in steps of this size.
const STEP: usize = 256 << 10;

/// Why a stream of frames ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a frame of {len} bytes was announced, above the limit of {MAX_FRAME_BYTES}")]
    TooLarge { len: u32 },
    #[error("the {0:?} stream ended")]
    Ended(Class),
    #[error("the {class:?} stream broke: {source}")]
    Read { class: Class, source: ReadExactError },
    #[error("the {class:?} stream cannot be written: {source}")]
    Write { class: Class, source: WriteError },
}

/// Writes what is queued in one class, after the greeting if there is one to give.
pub(super) async fn write(
    side: Side,
    mut send: SendStream,
    greeting: Option<Greeting>,
) -> Result<Infallible, FrameError> {
    let class = side.class;
    let failed = |source| FrameError::Write { class, source };
    if class == Class::Live {
        // An error means that the stream is closed, which the first write will say as well.
        send.set_priority(LIVE_PRIORITY).ok();
    }
    if let Some(greeting) = greeting {
        send.write_all(&greeting.encode()).await.map_err(failed)?;
    }
    loop {
        let frame = side.link.outbox.next(class).await;
        write_frame(&side, &mut send, &frame).await.map_err(failed)?;
        PeerStats::count(&side.stats.sent, frame.len());
        if side.link.outbox.written(class, &frame) {
            let (peer, conn) = (side.link.peer, side.link.generation);
            side.shared.emit(NetEvent::Writable { peer, conn, class });
        }
    }
}

async fn write_frame(side: &Side, send: &mut SendStream, frame: &Bytes) -> Result<(), WriteError> {
    let len = u32::try_from(frame.len()).expect("the queue takes no frame above the limit");
    let mut head = BytesMut::with_capacity(4 + if frame.len() <= SMALL { frame.len() } else { 0 });
    head.put_u32_le(len);
    if frame.len() <= SMALL {
        head.put_slice(frame);
        if side.class == Class::Bulk {
            side.link.outbox.bulk_turn().await;
        }
        return send.write_chunk(head.freeze()).await;
    }
    send.write_chunk(head.freeze()).await?;
    let mut rest = frame.clone();
    while !rest.is_empty() {
        if side.class == Class::Bulk {
            side.link.outbox.bulk_turn().await;
        }
        let piece = rest.split_to(rest.len().min(PIECE));
        send.write_chunk(piece).await?;
    }
    Ok(())
}

/// Reads frames of one class and hands them over, as fast as their budget allows.
pub(super) async fn read(side: Side, mut recv: RecvStream) -> Result<Infallible, FrameError> {
    let class = side.class;
    loop {
        let len = read_length(class, &mut recv).await?;
        let permit = side.stats.budget(class).reserve(len).await;
        let bytes =
            read_body(&mut recv, len).await.map_err(|source| FrameError::Read { class, source })?;
        PeerStats::count(&side.stats.received, len);
        let (peer, conn) = (side.link.peer, side.link.generation);
        side.shared.emit(NetEvent::Frame { peer, conn, class, bytes, permit });
    }
}

async fn read_length(class: Class, recv: &mut RecvStream) -> Result<usize, FrameError> {
    let mut head = [0; 4];
    recv.read_exact(&mut head).await.map_err(|source| match source {
        ReadExactError::FinishedEarly(0) => FrameError::Ended(class),
        source => FrameError::Read { class, source },
    })?;
    let len = u32::from_le_bytes(head);
    usize::try_from(len)
        .ok()
        .filter(|len| *len <= MAX_FRAME_BYTES)
        .ok_or(FrameError::TooLarge { len })
}

/// The bytes are copied, not referred to: a small frame must not keep a large datagram in memory.
async fn read_body(recv: &mut RecvStream, len: usize) -> Result<Bytes, ReadExactError> {
    let mut body = BytesMut::with_capacity(len.min(STEP));
    while body.len() < len {
        let start = body.len();
        body.resize(len.min(start + STEP), 0);
        recv.read_exact(&mut body[start..]).await?;
    }
    Ok(body.freeze())
}
