//! The inviting device's part of a pairing.

use std::sync::Arc;
use std::time::Duration;

use driftless_core::id::DeviceId;
use iroh::endpoint::{Connection, ExportKeyingMaterialError, RecvStream, SendStream};
use tokio::sync::Semaphore;
use tokio::task::JoinError;
use tokio::time::timeout;

use super::wire::{self, MAX_FROM_JOINER, Message, WireError};
use super::{Channel, OpenTicket, Pairing, Refusal, Role};
use crate::close::Close;
use crate::shared::Shared;

/// How long a joiner may take for its first words.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long people may take to compare the codes.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the joiner may take to check and keep what it got.
const DONE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a pairing came to nothing, for the log.
#[derive(Debug, thiserror::Error)]
enum InviteError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("the connection ended: {0}")]
    Connection(#[from] iroh::endpoint::ConnectionError),
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    #[error("the joiner took too long")]
    TimedOut(#[from] tokio::time::error::Elapsed),
    #[error("the joiner did not confirm the code")]
    NotConfirmed,
    #[error("the joiner broke the protocol")]
    OutOfOrder,
    #[error("the session gives no keying material: {0:?}")]
    Export(ExportKeyingMaterialError),
    #[error("the keeper of the tickets failed: {0}")]
    Keeper(#[from] JoinError),
}

/// Answers one joiner, from its first word to the close of its connection.
pub(crate) async fn serve(conn: Connection, shared: Arc<Shared>, pairings: Arc<Semaphore>) {
    let Some(pairing) = shared.pairing.clone() else {
        return Close::NotInviting.connection(&conn, "no invitation is open");
    };
    let Ok(_turn) = pairings.try_acquire() else {
        return Close::Busy.connection(&conn, "busy pairing with others");
    };
    let joiner = DeviceId(*conn.remote_id().as_bytes());
    match converse(&conn, &shared, pairing, joiner).await {
        Ok(()) => tracing::info!(%joiner, "a device has joined"),
        Err(error) => tracing::warn!(%joiner, %error, "a pairing came to nothing"),
    }
    Close::PairingOver.connection(&conn, "pairing is over");
}

async fn converse(
    conn: &Connection,
    shared: &Shared,
    pairing: Arc<dyn Pairing>,
    joiner: DeviceId,
) -> Result<(), InviteError> {
    let mut allowance = MAX_FROM_JOINER;
    let (mut send, mut recv) = timeout(HELLO_TIMEOUT, conn.accept_bi()).await??;
    let hello = timeout(HELLO_TIMEOUT, wire::receive(&mut recv, &mut allowance)).await??;
    let Message::Hello { ticket, proof, name } = hello else {
        return Err(InviteError::OutOfOrder);
    };
    let open = match look_up(&pairing, ticket).await? {
        Ok(open) => open,
        Err(refusal) => return refuse(conn, &mut send, refusal).await,
    };
    let channel = Channel::new(conn, &open.secret, shared.library, shared.me, joiner)
        .map_err(InviteError::Export)?;
    if !channel.proves(Role::Joiner, proof) {
        return refuse(conn, &mut send, Refusal::WrongProof).await;
    }
    let proof = channel.proof(Role::Inviter);
    wire::send(&mut send, &Message::Proof { proof, library_name: open.library_name }).await?;
    pairing.show_code(channel.code(), joiner, &name);
    match timeout(CONFIRM_TIMEOUT, wire::receive(&mut recv, &mut allowance)).await?? {
        Message::Confirmed(true) => {}
        Message::Confirmed(false) => return Err(InviteError::NotConfirmed),
        _ => return Err(InviteError::OutOfOrder),
    }
    let keeper = pairing.clone();
    let admitted = tokio::task::spawn_blocking(move || keeper.admit(ticket, joiner, &name)).await?;
    match admitted {
        Ok(certificates) => {
            wire::send(&mut send, &Message::Welcome(certificates)).await?;
            await_done(&mut recv, &mut allowance).await
        }
        Err(refusal) => refuse(conn, &mut send, refusal).await,
    }
}

async fn look_up(
    pairing: &Arc<dyn Pairing>,
    id: [u8; 16],
) -> Result<Result<OpenTicket, Refusal>, JoinError> {
    let keeper = pairing.clone();
    tokio::task::spawn_blocking(move || keeper.ticket(id)).await
}

async fn await_done(recv: &mut RecvStream, allowance: &mut usize) -> Result<(), InviteError> {
    match timeout(DONE_TIMEOUT, wire::receive(recv, allowance)).await?? {
        Message::Done => Ok(()),
        _ => Err(InviteError::OutOfOrder),
    }
}

/// Sends a refusal and leaves it to the joiner to hang up, so that it arrives.
async fn refuse(
    conn: &Connection,
    send: &mut SendStream,
    refusal: Refusal,
) -> Result<(), InviteError> {
    wire::send(send, &Message::Refused(refusal)).await?;
    timeout(DONE_TIMEOUT, conn.closed()).await?;
    Err(refusal.into())
}
