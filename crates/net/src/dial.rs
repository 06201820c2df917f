//! One attempt to reach a peer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use driftless_core::id::DeviceId;
use iroh::endpoint::{ConnectError, ConnectingError};
use iroh::{Endpoint, EndpointAddr, EndpointId, TransportAddr};

use crate::close::{self, Cause};
use crate::endpoint::{LINK_ALPN, connect};
use crate::link::{self, Candidate, GreetError};
use crate::shared::Shared;

/// How long an attempt may take, greeting included. The transport alone would wait 30 s.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("the device id is no valid key")]
    NotAKey,
    #[error("no answer within {} s from {}", TIMEOUT.as_secs(), list(.0))]
    TimedOut(Vec<SocketAddr>),
    #[error("{}", connect_words(.0))]
    Connect(Box<ConnectError>),
    #[error(transparent)]
    Greet(#[from] GreetError),
}

impl DialError {
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::NotAKey => Cause::Protocol,
            Self::TimedOut(_) => Cause::Unreachable,
            Self::Connect(error) => match &**error {
                ConnectError::Connection { source, .. }
                | ConnectError::Connecting {
                    source: ConnectingError::ConnectionError { source, .. },
                    ..
                } => close::cause(source),
                _ => Cause::Unreachable,
            },
            Self::Greet(error) => error.cause(),
        }
    }
}

/// Dials `peer` at all its addresses at once; without any, iroh looks it up.
pub(crate) async fn dial(
    endpoint: Endpoint,
    shared: Arc<Shared>,
    peer: DeviceId,
    addrs: Vec<SocketAddr>,
) -> Result<Candidate, DialError> {
    let target = target(&peer, &addrs).ok_or(DialError::NotAKey)?;
    let attempt = async {
        let conn = connect(&endpoint, target, LINK_ALPN)
            .await
            .map_err(|error| DialError::Connect(Box::new(error)))?;
        Ok(link::greet(conn, &shared).await?)
    };
    match tokio::time::timeout(TIMEOUT, attempt).await {
        Ok(result) => result,
        Err(_) => Err(DialError::TimedOut(addrs)),
    }
}

/// A device and where it may be found, in iroh's words; `None` if the id is no key.
pub(crate) fn target(peer: &DeviceId, addrs: &[SocketAddr]) -> Option<EndpointAddr> {
    let id = EndpointId::from_bytes(&peer.0).ok()?;
    Some(EndpointAddr::from_parts(id, addrs.iter().copied().map(TransportAddr::Ip)))
}

fn connect_words(error: &ConnectError) -> String {
    match error {
        ConnectError::Connection { source, .. }
        | ConnectError::Connecting {
            source: ConnectingError::ConnectionError { source, .. },
            ..
        } => close::words(source),
        other => other.to_string(),
    }
}

fn list(addrs: &[SocketAddr]) -> String {
    if addrs.is_empty() {
        return "anywhere that discovery knows of".to_owned();
    }
    addrs.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
}
