//! The listener: on loopback alone, at a port that stays the same; and its connections, bounded in
//! number and in patience.

use std::fs;
use std::future::Future as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as Listener};
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::failure::Failure;

/// The file with the port of the last time, in this device's state directory.
const FILE: &str = "http.port";
/// Connections that are open at once; others wait to be accepted.
const MAX_CONNECTIONS: usize = 96;
/// How long a request's head may take to come, and a connection may be idle.
const HEAD: Duration = Duration::from_secs(30);
/// How long somebody who reads an answer may make no way.
const STALLED: Duration = Duration::from_secs(30);
/// The most bytes of a request's head.
const MAX_HEAD: usize = 64 << 10;
/// A pause where no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener at `asked`, which must be this machine alone; else at the port of the last time; else at
/// one that is free.
pub(super) fn bind(asked: Option<SocketAddr>, state: Option<&Path>) -> Result<Listener, Failure> {
    let failed =
        |at: SocketAddr, error: &io::Error| Failure::io(&format!("listening at {at}"), error);
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    if let Some(at) = asked {
        if !at.ip().is_loopback() {
            let message = format!("{at} is not on this machine alone, and HTTP is not for others");
            return Err(Failure::usage(message).next("driftless up --http 127.0.0.1:0"));
        }
        if at.port() != 0 {
            return Listener::bind(at).map_err(|error| {
                failed(at, &error).next("driftless up --http 127.0.0.1:0 (port 0 picks one)")
            });
        }
    }
    let at = asked.unwrap_or(free);
    let kept = state.and_then(|state| kept_port(&state.join(FILE)));
    let kept = kept.and_then(|port| Listener::bind(SocketAddr::new(at.ip(), port)).ok());
    let listener = match kept {
        Some(listener) => listener,
        None => Listener::bind(at).map_err(|error| failed(at, &error))?,
    };
    if let Some(state) = state {
        keep_port(&state.join(FILE), &listener);
    }
    Ok(listener)
}

fn kept_port(file: &Path) -> Option<u16> {
    let text = fs::read_to_string(file).ok()?;
    text.trim().parse().ok().filter(|port| *port != 0)
}

/// Keeps the port for the next time, which is a convenience: bookmarks go on working.
fn keep_port(file: &Path, listener: &Listener) {
    let kept = listener.local_addr().and_then(|at| fs::write(file, at.port().to_string()));
    if let Err(error) = kept {
        tracing::warn!(%error, file = %file.display(), "the port is not kept");
    }
}

/// Serves until `stop` says so; then those that are being served have their answers, within `farewell`.
pub(super) async fn serve(
    listener: TcpListener,
    app: Router,
    mut stop: watch::Receiver<bool>,
    farewell: Duration,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = stopped(&mut stop) => break,
        };
        let Some((stream, place)) = accepted else { continue };
        let (app, stop) = (app.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, app, stop).await;
            drop(place);
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(farewell, all).await.is_err() {
        tracing::debug!("clients that did not finish are cut off");
    }
}

/// Waits until it is time to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone as well, then.
    drop(stop.wait_for(|stop| *stop).await);
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    // It is never closed.
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection cannot be accepted");
            sleep(PAUSE).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, app: Router, mut stop: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection cannot be made quick");
    }
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Patient::new(stream)), TowerToHyperService::new(app));
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = stopped(&mut stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// A stream whose reader may not stall for long.
struct Patient {
    stream: TcpStream,
    /// When the write that is under way is given up.
    end: Pin<Box<Sleep>>,
    waiting: bool,
}

impl Patient {
    fn new(stream: TcpStream) -> Self {
        Self { stream, end: Box::pin(sleep(STALLED)), waiting: false }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = false;
            return polled;
        }
        if !self.waiting {
            self.waiting = true;
            self.end.as_mut().reset(Instant::now() + STALLED);
        }
        ready!(self.end.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_kept_and_left_to_others_who_have_it() {
        let place = tempfile::tempdir().unwrap();
        let port = |listener: &Listener| listener.local_addr().unwrap().port();
        let first = bind(None, Some(place.path())).unwrap();
        let kept = port(&first);
        let meanwhile = bind(None, Some(place.path())).unwrap();
        assert_ne!(port(&meanwhile), kept);
        drop((first, meanwhile));
        fs::write(place.path().join(FILE), kept.to_string()).unwrap();
        assert_eq!(port(&bind(None, Some(place.path())).unwrap()), kept);
        assert_eq!(port(&bind(Some(([127, 0, 0, 1], kept).into()), None).unwrap()), kept);
    }

    #[test]
    fn nobody_off_this_machine_is_listened_to() {
        for address in ["0.0.0.0:0", "192.168.1.2:80", "[::]:0"] {
            let refused = bind(Some(address.parse().unwrap()), None).unwrap_err();
            assert_eq!(refused.code, "usage", "{address}");
        }
    }
}
