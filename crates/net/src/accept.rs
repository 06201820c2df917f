//! Connections from others: members go to the hub, joiners to the pairing.

use std::sync::Arc;
use std::time::Duration;

use iroh::Endpoint;
use iroh::endpoint::{Connection, Incoming};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::endpoint::PAIR_ALPN;
use crate::link::{self, Candidate};
use crate::pairing;
use crate::shared::Shared;

/// Handshakes in progress; more are refused.
const MAX_HANDSHAKES: usize = 64;
/// From this many on, a sender has to prove its address before we keep anything of it.
const MANY_HANDSHAKES: usize = 16;
/// How long a handshake, and then a greeting, may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Joiners at one time.
const MAX_PAIRINGS: usize = 4;

/// Takes in connections until the endpoint is closed.
pub(crate) async fn run(
    endpoint: Endpoint,
    shared: Arc<Shared>,
    candidates: mpsc::Sender<Candidate>,
) {
    let pairings = Arc::new(Semaphore::new(MAX_PAIRINGS));
    let mut handshakes = JoinSet::new();
    let mut joiners = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            Some(ended) = handshakes.join_next() => {
                if let Some(conn) = passed(ended) {
                    joiners.spawn(pairing::serve(conn, shared.clone(), pairings.clone()));
                }
                continue;
            }
            Some(ended) = joiners.join_next() => {
                passed(ended.map(|()| None));
                continue;
            }
        };
        let Some(incoming) = incoming else { return };
        if handshakes.len() >= MAX_HANDSHAKES {
            incoming.refuse();
        } else if handshakes.len() >= MANY_HANDSHAKES && !incoming.remote_addr_validated() {
            if let Err(error) = incoming.retry() {
                tracing::debug!(%error, "a sender could not be asked to prove its address");
            }
        } else {
            handshakes.spawn(handshake(incoming, shared.clone(), candidates.clone()));
        }
    }
}

/// What a task gave; a failed one is worth a word in the log.
fn passed(ended: Result<Option<Connection>, tokio::task::JoinError>) -> Option<Connection> {
    ended.unwrap_or_else(|error| {
        tracing::error!(%error, "a task that answers a connection failed");
        None
    })
}

/// Completes a handshake, which the gate has a word in. A member's connection goes to the hub, a
/// joiner's is given back.
async fn handshake(
    incoming: Incoming,
    shared: Arc<Shared>,
    candidates: mpsc::Sender<Candidate>,
) -> Option<Connection> {
    let conn = match tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming).await {
        Ok(Ok(conn)) => conn,
        Ok(Err(error)) => {
            // Who that was is not known yet: it learns the reason, and so do we when we dial it.
            tracing::debug!(%error, "a connection was not accepted");
            return None;
        }
        Err(_) => {
            tracing::debug!("a handshake took too long");
            return None;
        }
    };
    if conn.alpn() == PAIR_ALPN {
        return Some(conn);
    }
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, link::answer(conn, &shared)).await {
        Ok(Ok(candidate)) => {
            if candidates.send(candidate).await.is_err() {
                tracing::debug!("a connection came while the network was closing");
            }
        }
        Ok(Err(error)) => tracing::debug!(%error, "a greeting was not accepted"),
        Err(_) => tracing::debug!("a greeting took too long"),
    }
    None
}
