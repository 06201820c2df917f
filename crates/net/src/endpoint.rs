//! The iroh endpoint, as we set it up.

use std::net::SocketAddr;
use std::time::Duration;

use iroh::endpoint::{
    BindError, Builder, ConnectError, ConnectOptions, Connection, EndpointHooks, IdleTimeout,
    PortmapperConfig, QuicTransportConfig, QuicTransportConfigBuilder, VarInt, default_relay_mode,
    presets,
};
use iroh::{Endpoint, EndpointAddr, NetReportConfig, RelayMode, SecretKey};

use crate::config::Outside;
use crate::error::NetError;
use crate::signs;

/// The protocol between members; its number is the major version.
pub(crate) const LINK_ALPN: &[u8] = b"driftless/1";
/// The protocol between a joiner and the device that invited it.
pub(crate) const PAIR_ALPN: &[u8] = b"driftless-pair/1";

/// A peer that is silent for this long is gone. Together with the signs of life this notices a dead
/// one within 4.75 s: the clock starts at the first packet that goes unanswered.
const IDLE: Duration = Duration::from_millis(3_250);
/// After this long without a packet the transport gives a sign of life by itself. Those of
/// [`signs`] put it off; it is for what they do not reach: a greeting, a path in reserve.
const KEEP_ALIVE: Duration = Duration::from_millis(1_700);

/// A link has three streams, pairing has one; nobody opens more, so nobody makes us buffer more.
const STREAMS: u32 = 3;

/// How often, and how long after each other, a taken port is tried: the system may hold on to the
/// one of a process that just ended.
const REBIND_TRIES: u32 = 20;
const REBIND_PAUSE: Duration = Duration::from_millis(100);

/// How long the farewell to the peers may take. It is sent at once, and whoever is there hears it; to
/// hear that it did, and for one that was being dialled in vain, the transport would wait for three
/// seconds, and so would whoever turns sync off.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(250);

/// What an endpoint needs to know.
pub(crate) struct Setup<'a, H> {
    pub(crate) secret: &'a [u8; 32],
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) outside: Outside,
    pub(crate) alpns: &'a [&'a [u8]],
    pub(crate) hook: H,
}

/// Opens the sockets.
pub(crate) async fn bind<H>(setup: Setup<'_, H>) -> Result<Endpoint, NetError>
where
    H: EndpointHooks + Clone + 'static,
{
    let mut tries = REBIND_TRIES;
    loop {
        let error = match Box::pin(builder(&setup)?.bind()).await {
            Ok(endpoint) => return Ok(endpoint),
            Err(error) => error,
        };
        tries -= 1;
        if tries == 0 || !is_taken(&error) {
            return Err(NetError::Bind { addr: setup.listen, source: Box::new(error) });
        }
        tokio::time::sleep(REBIND_PAUSE).await;
    }
}

fn is_taken(error: &BindError) -> bool {
    let BindError::Sockets { source, .. } = error else { return false };
    source.kind() == std::io::ErrorKind::AddrInUse
}

fn builder<H>(setup: &Setup<'_, H>) -> Result<Builder, NetError>
where
    H: EndpointHooks + Clone + 'static,
{
    let mut builder = match setup.outside {
        Outside::NONE => Endpoint::builder(presets::Minimal)
            .relay_mode(RelayMode::Disabled)
            .portmapper_config(PortmapperConfig::Disabled)
            .net_report_config(NetReportConfig::minimal()),
        Outside { relay: false, .. } => Endpoint::builder(presets::N0DisableRelay),
        Outside { discovery: false, .. } => {
            Endpoint::builder(presets::Minimal).relay_mode(default_relay_mode())
        }
        Outside::ALL => Endpoint::builder(presets::N0),
    };
    if let Some(addr) = setup.listen {
        builder = builder
            .clear_ip_transports()
            .bind_addr(addr)
            .map_err(|source| NetError::Address { addr, source: Box::new(source) })?;
    }
    Ok(builder
        .secret_key(SecretKey::from_bytes(setup.secret))
        .alpns(setup.alpns.iter().map(|alpn| alpn.to_vec()).collect())
        .transport_config(transport().build())
        .hooks(setup.hook.clone()))
}

/// Dials. Only the side that does keeps the connection alive.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    target: EndpointAddr,
    alpn: &[u8],
) -> Result<Connection, ConnectError> {
    let transport = transport()
        .keep_alive_interval(KEEP_ALIVE)
        .default_path_keep_alive_interval(KEEP_ALIVE)
        .build();
    let options = ConnectOptions::new().with_transport_config(transport);
    Ok(endpoint.connect_with_opts(target, alpn, options).await?.await?)
}

/// What either side of a connection goes by. Windows stay at their defaults: connections with larger
/// ones were seen to die of "too many gaps in stream buffer".
fn transport() -> QuicTransportConfigBuilder {
    let idle = IdleTimeout::try_from(IDLE).expect("a few seconds fit a QUIC time-out");
    QuicTransportConfig::builder()
        .max_idle_timeout(Some(idle))
        .default_path_max_idle_timeout(IDLE)
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(Some(signs::BUFFER))
}

/// The addresses at which the endpoint can be reached, as far as it knows: those it is bound to,
/// and for "any interface" those of the interfaces.
pub(crate) fn listen_addrs(endpoint: &Endpoint) -> Vec<SocketAddr> {
    let bound = endpoint.bound_sockets();
    let mut addrs: Vec<SocketAddr> =
        bound.iter().copied().filter(|addr| !addr.ip().is_unspecified()).collect();
    if addrs.len() < bound.len() {
        addrs.extend(endpoint.addr().ip_addrs().copied());
    }
    if addrs.is_empty() {
        addrs = bound;
    }
    addrs.sort_unstable();
    addrs.dedup();
    addrs
}

/// Says farewell and gives the sockets back, within a bounded time.
pub(crate) async fn close(endpoint: Endpoint) {
    if tokio::time::timeout(CLOSE_TIMEOUT, endpoint.close()).await.is_err() {
        tracing::debug!("some peers were not told that this device goes away");
    }
}
