//! The event stream: what changed, phases, peers, as it happens. One task looks for all streams, while
//! there are any; a stream that is not read is dropped, and its reader comes again.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode};
use driftless::Library;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;

use super::reply;
use crate::daemon::Background;
use crate::execute::{glance, phase_progress};
use crate::failure::{Exit, Failure};

/// The type of the stream.
pub(super) const TYPE: &str = "text/event-stream";
/// Streams that are open at once.
const MAX_STREAMS: usize = 24;
/// Events that wait for a slow reader.
const WAITING: usize = 64;
/// Changes that come quickly are told together.
const TOGETHER: Duration = Duration::from_millis(50);
/// How often the status is looked at, at most.
const STATUS_EVERY: Duration = Duration::from_millis(400);
/// How often something is sent, so that who has gone is noticed.
const BEAT: Duration = Duration::from_secs(15);

/// All streams.
pub(super) struct Events {
    background: Background,
    places: Arc<Semaphore>,
    /// There while somebody listens.
    hub: Arc<Mutex<Option<Hub>>>,
}

type Hub = broadcast::Sender<Bytes>;

impl Events {
    pub(super) fn new(background: Background) -> Self {
        Self { background, places: Arc::new(Semaphore::new(MAX_STREAMS)), hub: Arc::default() }
    }

    /// A new stream.
    pub(super) fn open(&self) -> Response<Body> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let message = format!("{MAX_STREAMS} streams of events are open already");
            let failure =
                Failure::new(Exit::NotYet, "too_many_streams", message).next("close one of them");
            return reply::with_status(StatusCode::TOO_MANY_REQUESTS, &failure);
        };
        let mut events = self.listen();
        let (send, waiting) = mpsc::channel::<Result<Bytes, Infallible>>(WAITING);
        tokio::spawn(async move {
            let mut beat = interval(BEAT);
            let mut next = event("hello", &json!({"version": env!("CARGO_PKG_VERSION")}));
            beat.tick().await;
            // Who does not keep up is let go of, and asks for everything when it comes again.
            while send.try_send(Ok(next)).is_ok() {
                next = tokio::select! {
                    event = events.recv() => match event {
                        Ok(event) => event,
                        Err(_) => break,
                    },
                    _ = beat.tick() => Bytes::from_static(b": beat\n\n"),
                    () = send.closed() => break,
                };
            }
            drop(place);
        });
        reply::bytes(TYPE, Body::from_stream(ReceiverStream::new(waiting)))
    }

    /// Listens to the one who looks, who begins if nobody listened before.
    fn listen(&self) -> broadcast::Receiver<Bytes> {
        let mut hub = lock(&self.hub);
        if let Some(hub) = &*hub {
            return hub.subscribe();
        }
        let (send, events) = broadcast::channel(WAITING);
        *hub = Some(send.clone());
        let (library, slot) = (self.background.clone(), self.hub.clone());
        tokio::spawn(async move {
            look(&library, &send, &slot).await;
            // Whoever comes next begins anew.
            lock(&slot).take_if(|hub| hub.same_channel(&send));
        });
        events
    }
}

fn lock(hub: &Mutex<Option<Hub>>) -> MutexGuard<'_, Option<Hub>> {
    hub.lock().unwrap_or_else(PoisonError::into_inner)
}

fn event(name: &str, data: &impl Serialize) -> Bytes {
    match serde_json::to_string(data) {
        Ok(data) => format!("event: {name}\ndata: {data}\n\n").into(),
        Err(error) => {
            tracing::error!(%error, name, "an event cannot be written");
            Bytes::from_static(b": lost\n\n")
        }
    }
}

/// Models that changed and were not told of yet.
#[derive(Default)]
struct Pending {
    models: BTreeSet<String>,
    /// Some changes are not known one by one.
    all: bool,
    here: bool,
    elsewhere: bool,
}

impl Pending {
    fn add(&mut self, change: driftless::Change) {
        self.all |= change.models.is_empty();
        self.here |= change.local;
        self.elsewhere |= !change.local;
        self.models.extend(change.models);
    }

    fn take(&mut self) -> Option<Bytes> {
        let told = std::mem::take(self);
        let models: Vec<String> = match told.all {
            // As the library says it: look at everything.
            true => Vec::new(),
            false => told.models.into_iter().collect(),
        };
        let (here, elsewhere) = (told.here, told.elsewhere);
        (here || elsewhere).then(|| {
            event("change", &json!({"models": models, "here": here, "elsewhere": elsewhere}))
        })
    }
}

/// Looks, until nobody listens any more or the library is closed.
async fn look(background: &Background, out: &Hub, slot: &Mutex<Option<Hub>>) {
    let library = background.library();
    let mut standings = match standings(background).await {
        Ok(standings) => standings,
        Err(error) => return tracing::warn!(%error, "the phases cannot be followed"),
    };
    let (mut changes, mut statuses) = (library.subscribe(), library.subscribe_status());
    let (mut together, mut every) = (interval(TOGETHER), interval(STATUS_EVERY));
    together.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut pending, mut pulse, mut last) = (Pending::default(), true, None);
    loop {
        let next = tokio::select! {
            change = changes.changed() => match change {
                Some(change) => { pending.add(change); pulse = true; None }
                None => return,
            },
            standing = standings.changed() => match standing {
                Some(standing) => { pulse = true; Some(event("phase", &phase_progress(&standing))) }
                None => return,
            },
            open = statuses.changed(), if !pulse => match open {
                true => { pulse = true; None }
                false => return,
            },
            _ = together.tick(), if pending.here || pending.elsewhere => pending.take(),
            _ = every.tick() => {
                if is_over(out, slot) {
                    return;
                }
                match std::mem::take(&mut pulse) {
                    true => status(background).await.filter(|new| {
                        let is_new = last.as_ref() != Some(new);
                        last = Some(new.clone());
                        is_new
                    }),
                    false => None,
                }
            }
        };
        if let Some(next) = next {
            // Nobody listens for a moment, maybe.
            drop(out.send(next));
        }
    }
}

/// Whether nobody listens any more; then nobody begins to either.
fn is_over(out: &Hub, slot: &Mutex<Option<Hub>>) -> bool {
    let mut hub = lock(slot);
    let over = out.receiver_count() == 0;
    if over {
        hub.take_if(|hub| hub.same_channel(out));
    }
    over
}

async fn standings(background: &Background) -> Result<driftless::StandingStream, Failure> {
    ask(background, |library| Ok(library.subscribe_standing()?)).await
}

async fn status(background: &Background) -> Option<Bytes> {
    match ask(background, glance).await {
        Ok(report) => Some(event("status", &report)),
        Err(error) => {
            tracing::warn!(%error, "the status cannot be followed");
            None
        }
    }
}

/// Asks the library on a thread that may wait.
async fn ask<T: Send + 'static>(
    background: &Background,
    question: impl FnOnce(&Library) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let background = background.clone();
    let asked = tokio::task::spawn_blocking(move || question(background.library())).await;
    asked.unwrap_or_else(|error| Err(Failure::internal(error.to_string())))
}
