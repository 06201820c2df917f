//! The greeting: the first bytes of the live stream, in both directions.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `drft` |
//! | 16 | library |
//! | 16 | instance: random, of this start of the process |
//! | 2 | how many bytes of later versions follow (little endian), at most 1,024 |
//!
//! The dialler also opens the bulk stream, with one byte, 1, and the flow stream, with one byte, 2.

use driftless_core::id::{DeviceId, LibraryId};
use iroh::endpoint::{
    Connection, ConnectionError, ReadExactError, RecvStream, SendStream, WriteError,
};
use uuid::Uuid;

use super::{Candidate, Lane};
use crate::close::{self, Cause, Close};
use crate::shared::Shared;

const MAGIC: [u8; 4] = *b"drft";
const BULK_TAG: u8 = 1;
const FLOW_TAG: u8 = 2;
const FIXED: usize = 4 + 16 + 16 + 2;
const MAX_LATER: u16 = 1_024;

/// Why a connection did not become a candidate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetError {
    #[error("{}", close::words(.0))]
    Closed(#[from] ConnectionError),
    #[error("the greeting broke off: {0}")]
    Read(#[from] ReadExactError),
    #[error("the greeting cannot be sent: {0}")]
    Write(#[from] WriteError),
    #[error("the peer does not speak this protocol")]
    NotOurs,
    #[error("the peer speaks for library {0}")]
    OtherLibrary(LibraryId),
}

impl GreetError {
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Closed(error) => close::cause(error),
            Self::OtherLibrary(_) => Cause::OtherLibrary,
            Self::NotOurs => Cause::Protocol,
            Self::Read(_) | Self::Write(_) => Cause::Unreachable,
        }
    }
}

/// What each side says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Greeting {
    library: LibraryId,
    instance: [u8; 16],
}

impl Greeting {
    pub(crate) fn of(shared: &Shared) -> Self {
        Self { library: shared.library, instance: shared.instance }
    }

    pub(crate) fn encode(&self) -> [u8; FIXED] {
        let mut bytes = [0; FIXED];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..20].copy_from_slice(self.library.0.as_bytes());
        bytes[20..36].copy_from_slice(&self.instance);
        bytes
    }

    async fn read(recv: &mut RecvStream) -> Result<Self, GreetError> {
        let mut bytes = [0; FIXED];
        recv.read_exact(&mut bytes).await?;
        let (greeting, later) = Self::decode(&bytes).ok_or(GreetError::NotOurs)?;
        let mut room = [0; MAX_LATER as usize];
        recv.read_exact(&mut room[..usize::from(later)]).await?;
        Ok(greeting)
    }

    /// The greeting, and how many bytes of later versions follow.
    fn decode(bytes: &[u8; FIXED]) -> Option<(Self, u16)> {
        let (mut library, mut instance) = ([0; 16], [0; 16]);
        library.copy_from_slice(&bytes[4..20]);
        instance.copy_from_slice(&bytes[20..36]);
        let later = u16::from_le_bytes([bytes[36], bytes[37]]);
        let ours = bytes[..4] == MAGIC && later <= MAX_LATER;
        ours.then_some((Self { library: LibraryId(Uuid::from_bytes(library)), instance }, later))
    }
}

/// The dialler's part: greets, and waits for the answer. Its coming means that the other side has
/// decided for this connection.
pub(crate) async fn greet(conn: Connection, shared: &Shared) -> Result<Candidate, GreetError> {
    let (mut send, recv) = conn.open_bi().await?;
    send.write_all(&Greeting::of(shared).encode()).await?;
    let mut live = Lane { send, recv };
    let bulk = open(&conn, BULK_TAG).await?;
    let flow = open(&conn, FLOW_TAG).await?;
    let greeting = read_greeting(&conn, &mut live, shared).await?;
    Ok(candidate(conn, true, greeting, live, [bulk, flow]))
}

/// The acceptor's part: hears the dialler, and answers when the link is up.
pub(crate) async fn answer(conn: Connection, shared: &Shared) -> Result<Candidate, GreetError> {
    let mut live = accept(&conn).await?;
    let greeting = read_greeting(&conn, &mut live, shared).await?;
    let bulk = accept_tagged(&conn, BULK_TAG).await?;
    let flow = accept_tagged(&conn, FLOW_TAG).await?;
    Ok(candidate(conn, false, greeting, live, [bulk, flow]))
}

async fn open(conn: &Connection, tag: u8) -> Result<Lane, GreetError> {
    let (mut send, recv) = conn.open_bi().await?;
    send.write_all(&[tag]).await?;
    Ok(Lane { send, recv })
}

async fn accept_tagged(conn: &Connection, expected: u8) -> Result<Lane, GreetError> {
    let mut lane = accept(conn).await?;
    let mut tag = [0];
    lane.recv.read_exact(&mut tag).await?;
    if tag == [expected] { Ok(lane) } else { refuse(conn, Close::Protocol, GreetError::NotOurs) }
}

async fn accept(conn: &Connection) -> Result<Lane, GreetError> {
    let (send, recv): (SendStream, RecvStream) = conn.accept_bi().await?;
    Ok(Lane { send, recv })
}

async fn read_greeting(
    conn: &Connection,
    live: &mut Lane,
    shared: &Shared,
) -> Result<Greeting, GreetError> {
    match Greeting::read(&mut live.recv).await {
        Ok(greeting) if greeting.library != shared.library => {
            refuse(conn, Close::OtherLibrary, GreetError::OtherLibrary(greeting.library))
        }
        Ok(greeting) => Ok(greeting),
        // The words of the close say more than the broken stream.
        Err(GreetError::Read(ReadExactError::ReadError(_))) if conn.close_reason().is_some() => {
            Err(GreetError::Closed(conn.closed().await))
        }
        Err(error) => refuse(conn, Close::Protocol, error),
    }
}

fn refuse<T>(conn: &Connection, close: Close, error: GreetError) -> Result<T, GreetError> {
    close.connection(conn, &error.to_string());
    Err(error)
}

fn candidate(
    conn: Connection,
    dialled: bool,
    greeting: Greeting,
    live: Lane,
    [bulk, flow]: [Lane; 2],
) -> Candidate {
    let peer = DeviceId(*conn.remote_id().as_bytes());
    Candidate { peer, conn, dialled, instance: greeting.instance, live, bulk, flow }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_round_trip() {
        let greeting = Greeting { library: LibraryId(Uuid::from_u128(5)), instance: [9; 16] };
        let bytes = greeting.encode();
        assert_eq!(Greeting::decode(&bytes), Some((greeting.clone(), 0)));
        let mut later = bytes;
        later[36] = 7;
        assert_eq!(Greeting::decode(&later), Some((greeting, 7)));
        let mut large = bytes;
        large[37] = 0xff;
        assert_eq!(Greeting::decode(&large), None);
        let mut other = bytes;
        other[0] = 0;
        assert_eq!(Greeting::decode(&other), None);
    }
}
