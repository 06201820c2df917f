//! The daemon's HTTP side: the commands, the events, the metrics and the page, for this machine and
//! whoever knows the token.
//!
//! A request walks: [`listen`] accepts it, [`guard`] decides whether it is let in, [`routes`] says which
//! command it is, [`params`] makes the command of what was said, [`run`] runs it as the socket does and
//! answers. Waiting for the library happens on threads that may wait; nothing else is async.

mod events;
mod guard;
mod listen;
mod openapi;
mod page;
mod params;
mod reply;
mod routes;
mod run;
mod token;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener as Listener};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::header::{self, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode};
use axum::routing::get;
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::{Background, Stop};
use crate::failure::{Exit, Failure};
use crate::places::Places;
use events::Events;
use guard::Guard;
use params::{Operation, Said};
use routes::Verb;
use token::Token;

/// Where the metrics are.
const METRICS: &str = "/metrics";
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The largest body.
const MAX_BODY: usize = 8 << 20;
/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(30);
/// Threads that wait for the library.
const THREADS: usize = run::SIDE_BY_SIDE + 8;

/// Where the daemon is reached over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct HttpPlace {
    /// Loopback, with the port.
    pub(crate) address: SocketAddr,
    /// What opens it.
    pub(crate) token: String,
}

/// The HTTP side while it runs.
pub(super) struct Http {
    pub(super) place: HttpPlace,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// What requests are answered from.
struct Site {
    background: Background,
    stop: Sender<Stop>,
    guard: Arc<Guard>,
    operations: BTreeMap<String, Operation>,
    /// Places for commands that run.
    places: Arc<Semaphore>,
    events: Events,
    openapi: OnceLock<Bytes>,
}

impl Http {
    /// Begins to listen, at `asked` or where it was the last time.
    pub(super) fn start(
        places: &Places,
        asked: Option<SocketAddr>,
        background: Background,
        stop: Sender<Stop>,
    ) -> Result<Self, Failure> {
        let state = places.make_state_dir();
        let token = Token::keep(state.as_deref())?;
        let listener = listen::bind(asked, state.as_deref())?;
        let starting = |error: &std::io::Error| Failure::io("starting to listen for HTTP", error);
        let address = listener.local_addr().map_err(|error| starting(&error))?;
        listener.set_nonblocking(true).map_err(|error| starting(&error))?;
        let place = HttpPlace { address, token: token.text().to_owned() };
        let site = Arc::new(Site {
            events: Events::new(background.clone()),
            background,
            stop,
            guard: Arc::new(Guard::new(token, address.port())),
            operations: params::operations(),
            places: Arc::new(Semaphore::new(run::SIDE_BY_SIDE)),
            openapi: OnceLock::new(),
        });
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(THREADS)
            .thread_name("driftless-http-work")
            .build()
            .map_err(|error| starting(&error))?;
        let thread = std::thread::Builder::new()
            .name("driftless-http".to_owned())
            .spawn(move || live(&runtime, listener, site, stopped))
            .map_err(|error| starting(&error))?;
        Ok(Self { place, stop, thread })
    }

    /// Lets those that are being served have their answers, within bounds, and ends.
    pub(super) fn stop(self) {
        self.stop.send_replace(true);
        if self.thread.join().is_err() {
            tracing::error!("the thread for HTTP has panicked");
        }
    }
}

fn live(
    runtime: &tokio::runtime::Runtime,
    listener: Listener,
    site: Arc<Site>,
    stopped: watch::Receiver<bool>,
) {
    runtime.block_on(async move {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listen::serve(listener, app(site), stopped, super::FAREWELL).await,
            Err(error) => tracing::error!(%error, "nobody is listened to over HTTP"),
        }
    });
}

fn app(site: Arc<Site>) -> Router {
    let guard = site.guard.clone();
    Router::new()
        .route(guard::HEALTH, get(health))
        .merge(page::routes())
        .route(openapi::PATH, get(description))
        .route(METRICS, get(metrics))
        .route(
            "/api/v1/events",
            get(|State(site): State<Arc<Site>>| async move { site.events.open() }),
        )
        .fallback(command)
        .method_not_allowed_fallback(wrong_method)
        .with_state(site)
        .layer(axum::middleware::from_fn_with_state(guard, guard::stand))
}

async fn health() -> Response<Body> {
    reply::json(&json!({"alive": true}))
}

async fn description(State(site): State<Arc<Site>>) -> Response<Body> {
    let whole = site.openapi.get_or_init(|| openapi::whole(&site.operations).to_string().into());
    reply::bytes(reply::JSON, whole.clone())
}

/// Numbers for Prometheus.
async fn metrics(State(site): State<Arc<Site>>) -> Response<Body> {
    let background = site.background.clone();
    let asked = tokio::task::spawn_blocking(move || background.library().metrics()).await;
    match asked {
        Ok(Ok(metrics)) => reply::bytes(METRICS_TYPE, driftless::prometheus(&metrics)),
        Ok(Err(error)) => reply::failed(&error.into()),
        Err(error) => reply::failed(&Failure::internal(error.to_string())),
    }
}

async fn wrong_method(request: Request<Body>) -> Response<Body> {
    not_allowed(request.method(), "GET, HEAD")
}

fn not_allowed(method: &Method, allowed: &'static str) -> Response<Body> {
    let failure = Failure::usage(format!("{method} is not how this is asked for"))
        .next(format!("ask for it with {allowed}"));
    let mut response = reply::with_status(StatusCode::METHOD_NOT_ALLOWED, &failure);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A command, which its path names.
async fn command(State(site): State<Arc<Site>>, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if path == routes::DOWN {
        return down(&site, &request);
    }
    let Some(operation) = site.operations.get(&path) else {
        let failure = Failure::not_found("no_route", "there is nothing at this address")
            .next("see what there is at /api/openapi.json");
        return reply::failed(&failure);
    };
    let read = match (operation.route.verb, request.method()) {
        (Verb::Get, &Method::GET | &Method::HEAD) => operation
            .of_query(request.uri().query().unwrap_or_default())
            .map_err(|error| reply::failed(&error)),
        (Verb::Post, &Method::POST) => of_body(operation, request).await,
        (Verb::Get, method) => return not_allowed(method, "GET, HEAD"),
        (Verb::Post, method) => return not_allowed(method, "POST"),
    };
    let command = match read {
        Ok(said) => operation.command(&said),
        Err(response) => return response,
    };
    match command {
        Ok(command) => {
            let (background, places) = (site.background.clone(), site.places.clone());
            run::run(background, places, command, operation.route.shape).await
        }
        Err(failure) => reply::failed(&failure),
    }
}

/// Ends the daemon, once this is answered.
fn down(site: &Site, request: &Request<Body>) -> Response<Body> {
    if request.method() != Method::POST {
        return not_allowed(request.method(), "POST");
    }
    // If the daemon is ending already there is nobody to tell.
    drop(site.stop.send(Stop::Signal));
    reply::json(&json!({"stopped": true}))
}

/// Reads the parameters of a body, within bounds of size and time.
async fn of_body(operation: &Operation, request: Request<Body>) -> Result<Said, Response<Body>> {
    if request.uri().query().is_some_and(|query| !query.is_empty()) {
        let failure = Failure::usage("this takes its parameters in the body")
            .next("see what it takes at /api/openapi.json");
        return Err(reply::failed(&failure));
    }
    let (parts, body) = request.into_parts();
    let body = match timeout(BODY, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let failure = Failure::usage(format!("a body has at most {MAX_BODY} bytes"))
                .next("see what it takes at /api/openapi.json");
            return Err(reply::with_status(StatusCode::PAYLOAD_TOO_LARGE, &failure));
        }
        Err(_) => {
            let failure = Failure::new(Exit::NotYet, "slow", "the body did not come in time")
                .next("send it at once");
            return Err(reply::with_status(StatusCode::REQUEST_TIMEOUT, &failure));
        }
    };
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let is_json =
        content_type.is_some_and(|it| it.split(';').next().map(str::trim) == Some(reply::JSON));
    if !body.is_empty() && !is_json {
        let failure = Failure::usage("the body is to be of the type application/json")
            .next("send the header Content-Type: application/json");
        return Err(reply::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, &failure));
    }
    operation.of_body(&body).map_err(|error| reply::failed(&error))
}
