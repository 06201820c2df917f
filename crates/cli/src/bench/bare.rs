//! What propagation can be at best: a write that is durable, and then a message over QUIC to each
//! device, with nothing of a library.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use iroh::endpoint::{Connection, PortmapperConfig, SendStream, presets};
use iroh::{Endpoint, EndpointAddr, NetReportConfig, RelayMode, SecretKey, TransportAddr};
use tokio::io::AsyncWriteExt as _;
use tokio::runtime::Runtime;

use super::gauge::clock;
use crate::failure::Failure;

const ALPN: &[u8] = b"driftless-bench/1";
/// About what a small change set takes on the wire, and with a page of the log on the disk.
const MESSAGE: usize = 400;
const PAGE: [u8; 8_192] = [7; 8_192];

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::io("QUIC on loopback", &io::Error::other(error.to_string()))
}

fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::io("starting a runtime", &error))
}

/// The n-th endpoint of a run, on a port of its own. Its key is no secret: it proves nothing to anybody.
async fn endpoint(key: [u8; 32]) -> Result<Endpoint, Failure> {
    let local: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let builder = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .net_report_config(NetReportConfig::minimal())
        .clear_ip_transports()
        .bind_addr(local)
        .map_err(failed)?
        .secret_key(SecretKey::from_bytes(&key))
        .alpns(vec![ALPN.to_vec()]);
    Box::pin(builder.bind()).await.map_err(failed)
}

/// The key of the process with this number.
fn key(number: u32) -> [u8; 32] {
    *blake3::hash(&number.to_be_bytes()).as_bytes()
}

/// Takes in messages in a thread of its own, and hands on the number of each and when it came: the
/// port, for the one that dials.
pub(super) fn listen(hand_on: impl Fn(u64, f64) + Send + 'static) -> Result<u16, Failure> {
    let runtime = runtime()?;
    let endpoint = runtime.block_on(endpoint(key(std::process::id())))?;
    let port = endpoint.bound_sockets().first().map(SocketAddr::port);
    let port = port.ok_or_else(|| Failure::internal("an endpoint has a port"))?;
    std::thread::spawn(move || {
        if let Err(error) = runtime.block_on(receive(&endpoint, hand_on)) {
            tracing::debug!(?error, "no more messages come");
        }
    });
    Ok(port)
}

async fn receive(endpoint: &Endpoint, hand_on: impl Fn(u64, f64)) -> Result<(), Failure> {
    let incoming = endpoint.accept().await.ok_or_else(|| failed("the endpoint is closed"))?;
    let connection = incoming.await.map_err(failed)?;
    let mut stream = connection.accept_uni().await.map_err(failed)?;
    let mut message = [0; MESSAGE];
    loop {
        stream.read_exact(&mut message).await.map_err(failed)?;
        let at = clock();
        let mut number = [0; 8];
        number.copy_from_slice(&message[..8]);
        hand_on(u64::from_le_bytes(number), at);
    }
}

/// Connections to some processes, and a file to write to first.
pub(super) struct Fan {
    runtime: Runtime,
    endpoint: Endpoint,
    streams: Vec<(Connection, SendStream)>,
    file: File,
}

impl Fan {
    pub(super) fn new(dir: &Path) -> Result<Self, Failure> {
        let written = |error| Failure::io("making a file", &error);
        std::fs::create_dir_all(dir).map_err(written)?;
        let mut file = File::create(dir.join("log")).map_err(written)?;
        // As a write-ahead log in use it has its length already.
        (0..2_048).try_for_each(|_| file.write_all(&PAGE)).map_err(written)?;
        io::Seek::rewind(&mut file).map_err(written)?;
        let runtime = runtime()?;
        let endpoint = runtime.block_on(endpoint(key(0)))?;
        Ok(Self { runtime, endpoint, streams: Vec::new(), file })
    }

    /// Connects to one more process.
    pub(super) fn connect(&mut self, process: u32, port: u16) -> Result<(), Failure> {
        let id = SecretKey::from_bytes(&key(process)).public();
        let addr = TransportAddr::Ip((Ipv4Addr::LOCALHOST, port).into());
        let addr = EndpointAddr::from_parts(id, [addr]);
        let endpoint = &self.endpoint;
        let opened = self.runtime.block_on(async {
            let connection = Box::pin(endpoint.connect(addr, ALPN)).await.map_err(failed)?;
            let stream = connection.open_uni().await.map_err(failed)?;
            Ok::<_, Failure>((connection, stream))
        })?;
        self.streams.push(opened);
        Ok(())
    }

    /// Writes a page, makes it durable, and sends a message to all.
    pub(super) fn send(&mut self, number: u64) -> Result<(), Failure> {
        let written = self.file.write_all(&PAGE).and_then(|()| self.file.sync_data());
        written.map_err(|error| Failure::io("writing a file", &error))?;
        let mut message = [7; MESSAGE];
        message[..8].copy_from_slice(&number.to_le_bytes());
        let streams = &mut self.streams;
        self.runtime.block_on(async {
            for (_, stream) in streams {
                stream.write_all(&message).await.map_err(failed)?;
                stream.flush().await.map_err(failed)?;
            }
            Ok(())
        })
    }
}

impl Drop for Fan {
    fn drop(&mut self) {
        self.streams.clear();
        self.runtime.block_on(self.endpoint.close());
    }
}
