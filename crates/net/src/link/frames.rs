//! Frames on a stream: a length (four bytes, little endian), then so many bytes.

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use driftless_core::limits::MAX_FRAME_BYTES;
use iroh::endpoint::{ReadError, ReadExactError, RecvStream, SendStream, WriteError};

use super::flow::Window;
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
    #[error("the {0:?} stream ended within a frame")]
    Cut(Class),
    #[error("the {class:?} stream broke: {source}")]
    Read { class: Class, source: ReadError },
    #[error("the {class:?} stream cannot be written: {source}")]
    Write { class: Class, source: WriteError },
    #[error("the flow stream broke: {0}")]
    FlowRead(ReadExactError),
    #[error("the flow stream cannot be written: {0}")]
    FlowWrite(WriteError),
}

/// Writes live frames, after the greeting if there is one to give.
pub(super) async fn write_live(
    side: Side,
    mut send: SendStream,
    greeting: Option<Greeting>,
) -> Result<Infallible, FrameError> {
    let failed = |source| FrameError::Write { class: Class::Live, source };
    // An error means that the stream is closed, which the first write will say as well.
    send.set_priority(LIVE_PRIORITY).ok();
    if let Some(greeting) = greeting {
        send.write_all(&greeting.encode()).await.map_err(failed)?;
    }
    loop {
        let frame = side.link.outbox.next(Class::Live).await;
        let (head, rest) = head(&frame);
        send.write_all_chunks(&mut [head, rest]).await.map_err(failed)?;
        side.written(&frame);
    }
}

/// Writes bulk frames in pieces, each in its turn: after live frames, and when the line has room.
pub(super) async fn write_bulk(side: Side, mut send: SendStream) -> Result<Infallible, FrameError> {
    let failed = |source| FrameError::Write { class: Class::Bulk, source };
    let mut window = Window::new(&side.link, &side.flow);
    loop {
        let frame = side.link.outbox.next(Class::Bulk).await;
        let (mut piece, mut rest) = head(&frame);
        while !piece.is_empty() {
            side.link.outbox.bulk_turn().await;
            window.pass(piece.len()).await;
            send.write_chunk(piece).await.map_err(failed)?;
            piece = rest.split_to(rest.len().min(PIECE));
        }
        side.written(&frame);
    }
}

/// The length of a frame, with a small one right behind it; and what is left of a larger one.
fn head(frame: &Bytes) -> (Bytes, Bytes) {
    let len = u32::try_from(frame.len()).expect("the queue takes no frame above the limit");
    let together = if frame.len() <= SMALL { frame.len() } else { 0 };
    let mut head = BytesMut::with_capacity(4 + together);
    head.put_u32_le(len);
    head.put_slice(&frame[..together]);
    (head.freeze(), frame.slice(together..))
}

impl Side {
    /// A frame is with the transport.
    fn written(&self, frame: &Bytes) {
        PeerStats::count(&self.stats.sent, frame.len());
        if self.link.outbox.written(self.class, frame) {
            let (peer, conn, class) = (self.link.peer, self.link.generation, self.class);
            self.shared.emit(NetEvent::Writable { peer, conn, class });
        }
    }
}

/// Reads frames of one class and hands them over, as fast as their budget allows.
pub(super) async fn read(side: Side, recv: RecvStream) -> Result<Infallible, FrameError> {
    let class = side.class;
    let mut input = Input { recv, side: &side, total: 0 };
    loop {
        let len = input.length().await?;
        let permit = side.stats.budget(class).reserve(len).await;
        let bytes = input.body(len).await?;
        PeerStats::count(&side.stats.received, len);
        let (peer, conn) = (side.link.peer, side.link.generation);
        side.shared.emit(NetEvent::Frame { peer, conn, class, bytes, permit });
    }
}

/// A stream that counts what is read from it.
struct Input<'a> {
    recv: RecvStream,
    side: &'a Side,
    total: u64,
}

impl Input<'_> {
    async fn length(&mut self) -> Result<usize, FrameError> {
        let mut head = [0; 4];
        let mut filled = 0;
        while filled < head.len() {
            filled += match self.some(&mut head[filled..]).await? {
                0 if filled == 0 => return Err(FrameError::Ended(self.side.class)),
                0 => return Err(self.cut()),
                n => n,
            };
        }
        let len = u32::from_le_bytes(head);
        usize::try_from(len)
            .ok()
            .filter(|len| *len <= MAX_FRAME_BYTES)
            .ok_or(FrameError::TooLarge { len })
    }

    /// The bytes are copied, not referred to: a small frame must not keep a large datagram in
    /// memory.
    async fn body(&mut self, len: usize) -> Result<Bytes, FrameError> {
        let mut body = BytesMut::with_capacity(len.min(STEP));
        let mut filled = 0;
        while filled < len {
            if filled == body.len() {
                body.resize(len.min(filled + STEP), 0);
            }
            filled += match self.some(&mut body[filled..]).await? {
                0 => return Err(self.cut()),
                n => n,
            };
        }
        Ok(body.freeze())
    }

    /// Whatever is there, at least one byte; 0 at the end of the stream.
    async fn some(&mut self, room: &mut [u8]) -> Result<usize, FrameError> {
        let class = self.side.class;
        let read = self.recv.read(room).await;
        let n = read.map_err(|source| FrameError::Read { class, source })?.unwrap_or(0);
        self.total += n as u64;
        if class == Class::Bulk {
            self.side.flow.read(self.total);
        }
        Ok(n)
    }

    fn cut(&self) -> FrameError {
        FrameError::Cut(self.side.class)
    }
}
