//! The joiner's part of a pairing.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use driftless_core::id::{DeviceId, LibraryId};
use driftless_core::limits::MAX_TEXT_BYTES;
use driftless_core::member::{CertError, Certificate, Roster};
use iroh::endpoint::{ConnectError, Connection, ConnectionError, EndpointHooks};
use iroh::{Endpoint, RelayUrl, SecretKey};
use tokio::time::timeout;

use super::wire::{self, MAX_FROM_INVITER, Message, WireError};
use super::{Channel, PairingCode, Refusal, Role};
use crate::close::{self, Close};
use crate::config::Outside;
use crate::dial::target;
use crate::endpoint::{self, PAIR_ALPN, Setup};
use crate::error::NetError;
use crate::ticket::Ticket;

/// How long it may take to reach the inviting device.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the inviting device may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the farewell may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);

/// How a joiner goes on the network.
pub struct JoinConfig {
    /// The device's ed25519 secret; its public key is the device id.
    pub secret: [u8; 32],
    /// What of the internet's help is used.
    pub outside: Outside,
    /// Where to bind. `None`: on all interfaces, at a port of the system's choice.
    pub listen: Option<SocketAddr>,
}

/// What a joiner has in hand afterwards.
#[derive(Debug, Clone)]
pub struct Joined {
    /// The library it is a member of.
    pub library: LibraryId,
    /// Its name, as the inviting device has it.
    pub library_name: String,
    /// All certificates, the joiner's own among them; they were checked to lead to the founder.
    pub certificates: Vec<Certificate>,
    /// The device that let it in.
    pub inviter: DeviceId,
    /// Where that device listens.
    pub inviter_addrs: Vec<SocketAddr>,
}

/// Why a device did not become a member.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// This device's network could not be opened.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The name is too long, or has control characters.
    #[error("a device name has at most {MAX_TEXT_BYTES} bytes and no control characters")]
    BadName,
    /// The ticket was made on this very device.
    #[error("the ticket was made on this device")]
    OwnTicket,
    /// The inviting device could not be reached.
    #[error("device {} cannot be reached: {why}", .inviter.short())]
    Unreachable {
        /// The inviting device.
        inviter: DeviceId,
        /// Why not.
        why: String,
    },
    /// The inviting device said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The codes were not confirmed. The ticket can still be used.
    #[error("the code was not confirmed")]
    NotConfirmed,
    /// The device at the other end does not hold the ticket's secret.
    #[error("the device that answered does not know the ticket's secret")]
    Impostor,
    /// The connection was lost on the way. The ticket may have been used up; using it again from
    /// this device is safe.
    #[error("the connection to the inviting device was lost: {0}")]
    Lost(String),
    /// The inviting device took too long for an answer.
    #[error("the inviting device did not answer in time")]
    TimedOut,
    /// The inviting device said something that cannot be understood.
    #[error("the inviting device broke the protocol: {0}")]
    Protocol(String),
    /// The certificates do not make this device a member.
    #[error("the certificates are not good: {0}")]
    Certificates(#[from] CertError),
    /// This device's own certificate is not among them, or not by the inviting device's word.
    #[error("the inviting device gave no certificate for this device")]
    NoCertificate,
}

/// Becomes a member by a ticket. Nothing is kept here: that is the caller's affair, once this has
/// returned. `confirm` is given the code and the library's name, and says whether the code is the
/// one that the inviting device shows; it may take a minute.
pub async fn pair_join<F, C>(
    config: JoinConfig,
    ticket: &Ticket,
    device_name: &str,
    confirm: F,
) -> Result<Joined, PairError>
where
    F: FnOnce(PairingCode, String) -> C,
    C: Future<Output = bool>,
{
    if !wire::is_name(device_name) {
        return Err(PairError::BadName);
    }
    let JoinConfig { secret, outside, listen } = config;
    let me = DeviceId(*SecretKey::from_bytes(&secret).public().as_bytes());
    if me == ticket.inviter {
        return Err(PairError::OwnTicket);
    }
    let setup = Setup { secret: &secret, listen, outside, alpns: &[], hook: NoGate };
    let endpoint = endpoint::bind(setup).await?;
    let joiner = Joiner { me, ticket, device_name };
    let joined = Box::pin(joiner.join(&endpoint, confirm)).await;
    endpoint::close(endpoint).await;
    joined
}

/// The temporary endpoint accepts nobody, so it needs no gate.
#[derive(Debug, Clone)]
struct NoGate;

impl EndpointHooks for NoGate {}

struct Joiner<'a> {
    me: DeviceId,
    ticket: &'a Ticket,
    device_name: &'a str,
}

impl Joiner<'_> {
    async fn join<F, C>(&self, endpoint: &Endpoint, confirm: F) -> Result<Joined, PairError>
    where
        F: FnOnce(PairingCode, String) -> C,
        C: Future<Output = bool>,
    {
        let conn = self.dial(endpoint).await?;
        let result = match self.converse(&conn, confirm).await {
            // What the close says is more than what the stream says.
            Err(Broken::Wire(error)) => Err(explain(&conn, error)),
            Err(Broken::Pair(error)) => Err(error),
            Ok(joined) => {
                // The inviting device hangs up when it has our last word; if it does not, it has
                // done its part all the same.
                if timeout(FAREWELL_TIMEOUT, conn.closed()).await.is_err() {
                    tracing::debug!("the inviting device did not hang up");
                }
                Ok(joined)
            }
        };
        Close::PairingOver.connection(&conn, "pairing is over");
        result
    }

    async fn dial(&self, endpoint: &Endpoint) -> Result<Connection, PairError> {
        let inviter = self.ticket.inviter;
        let unreachable = |why: String| PairError::Unreachable { inviter, why };
        let mut target = target(&inviter, &self.ticket.addrs)
            .ok_or_else(|| PairError::Protocol("its id is no valid key".to_owned()))?;
        if let Some(relay) = &self.ticket.relay {
            match RelayUrl::from_str(relay) {
                Ok(url) => target = target.with_relay_url(url),
                Err(error) => tracing::warn!(%error, "the ticket's relay is left out"),
            }
        }
        match timeout(DIAL_TIMEOUT, endpoint::connect(endpoint, target, PAIR_ALPN)).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(ConnectError::Connection { source, .. })) => Err(refused(&source)
                .map_or_else(|| unreachable(close::words(&source)), PairError::Refused)),
            Ok(Err(error)) => Err(unreachable(close::printable(error.to_string().as_bytes()))),
            Err(_) => Err(unreachable(format!("no answer within {} s", DIAL_TIMEOUT.as_secs()))),
        }
    }

    async fn converse<F, C>(&self, conn: &Connection, confirm: F) -> Result<Joined, Broken>
    where
        F: FnOnce(PairingCode, String) -> C,
        C: Future<Output = bool>,
    {
        let ticket = self.ticket;
        let channel = Channel::new(conn, &ticket.secret, ticket.library, ticket.inviter, self.me)
            .map_err(|error| PairError::Protocol(format!("{error:?}")))?;
        let (mut send, mut recv) =
            conn.open_bi().await.map_err(|error| WireError::Read(lost(error)))?;
        let mut allowance = MAX_FROM_INVITER;
        let hello = Message::Hello {
            ticket: ticket.id(),
            proof: channel.proof(Role::Joiner),
            name: self.device_name.to_owned(),
        };
        wire::send(&mut send, &hello).await?;
        let library_name = match receive(&mut recv, &mut allowance).await? {
            Message::Proof { proof, library_name } if channel.proves(Role::Inviter, proof) => {
                library_name
            }
            Message::Proof { .. } => return Err(PairError::Impostor.into()),
            other => return Err(unexpected(&other).into()),
        };
        let confirmed = confirm(channel.code(), library_name.clone()).await;
        wire::send(&mut send, &Message::Confirmed(confirmed)).await?;
        if !confirmed {
            // The inviting device hangs up when it has heard it.
            if timeout(FAREWELL_TIMEOUT, conn.closed()).await.is_err() {
                tracing::debug!("the inviting device did not hang up");
            }
            return Err(PairError::NotConfirmed.into());
        }
        let certificates = match receive(&mut recv, &mut allowance).await? {
            Message::Welcome(certificates) => certificates,
            other => return Err(unexpected(&other).into()),
        };
        self.check(&certificates)?;
        wire::send(&mut send, &Message::Done).await?;
        Ok(Joined {
            library: ticket.library,
            library_name,
            certificates,
            inviter: ticket.inviter,
            inviter_addrs: ticket.addrs.clone(),
        })
    }

    /// Both devices have to be members by certificates that lead to one founder.
    fn check(&self, certificates: &[Certificate]) -> Result<(), PairError> {
        let roster = Roster::from_certificates(self.ticket.library, certificates.to_vec())?;
        if roster.contains(&self.me) && roster.contains(&self.ticket.inviter) {
            Ok(())
        } else {
            Err(PairError::NoCertificate)
        }
    }
}

/// The conversation broke: over the wire, whose close may say more, or for a reason of its own.
enum Broken {
    Wire(WireError),
    Pair(PairError),
}

impl From<WireError> for Broken {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<PairError> for Broken {
    fn from(error: PairError) -> Self {
        Self::Pair(error)
    }
}

async fn receive(
    recv: &mut iroh::endpoint::RecvStream,
    allowance: &mut usize,
) -> Result<Message, Broken> {
    match timeout(ANSWER_TIMEOUT, wire::receive(recv, allowance)).await {
        Ok(Ok(Message::Refused(refusal))) => Err(PairError::Refused(refusal).into()),
        Ok(result) => Ok(result?),
        Err(_) => Err(PairError::TimedOut.into()),
    }
}

fn unexpected(message: &Message) -> PairError {
    let what = match message {
        Message::Hello { .. } => "hello",
        Message::Refused(_) => "refusal",
        Message::Proof { .. } => "proof",
        Message::Confirmed(_) => "confirmation",
        Message::Welcome(_) => "welcome",
        Message::Done => "farewell",
    };
    PairError::Protocol(format!("an unexpected {what}"))
}

fn lost(error: ConnectionError) -> iroh::endpoint::ReadExactError {
    iroh::endpoint::ReadError::ConnectionLost(error).into()
}

/// What a broken exchange means, after what the connection says.
fn explain(conn: &Connection, error: WireError) -> PairError {
    match (error, conn.close_reason()) {
        (WireError::Read(_) | WireError::Write(_), Some(reason)) => {
            refused(&reason).map_or_else(|| PairError::Lost(close::words(&reason)), Into::into)
        }
        (error @ (WireError::Read(_) | WireError::Write(_)), None) => {
            PairError::Lost(error.to_string())
        }
        (error, _) => PairError::Protocol(error.to_string()),
    }
}

/// The refusal that a closed connection stands for.
fn refused(error: &ConnectionError) -> Option<Refusal> {
    if Close::NotInviting.is_in(error) {
        Some(Refusal::NotInviting)
    } else if Close::Busy.is_in(error) {
        Some(Refusal::Busy)
    } else {
        None
    }
}
