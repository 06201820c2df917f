//! What the daemon says, asked for on a thread of its own: once a second, and after each request.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::answer::{Answer, LogRow, Rows, StatusReport, TrendReport};
use crate::args::{LibraryCommand, LogArgs, PeersCommand, SyncArgs};
use crate::client::Connection;
use crate::failure::{Exit, Failure};
use crate::output::Collected;
use crate::places::Places;
use crate::wire::Request;

/// How often the daemon is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How far back the trend is shown.
const MINUTE: &str = "60s";
/// How many events are shown at most.
const EVENTS: u64 = 40;
/// How long a sync that was asked for is waited for, in seconds.
const SYNC_WAIT: f64 = 60.0;

/// What somebody wants done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    /// Cut the link to a device.
    Pause(String),
    /// Let it be made again.
    Resume(String),
    /// Wait until all that can be reached have everything.
    Sync,
}

/// What there is to know.
pub(super) enum News {
    /// How things stand.
    Glance(Box<Glance>),
    /// The daemon cannot be asked now.
    Lost(String),
    /// What came of a wish.
    Done(String),
}

/// How things stand.
pub(super) struct Glance {
    pub(super) status: StatusReport,
    pub(super) trend: TrendReport,
    /// The last events, the first first.
    pub(super) events: Vec<LogRow>,
}

/// The thread that asks.
pub(super) struct Feed {
    wishes: Sender<Wish>,
    news: Receiver<News>,
}

impl Feed {
    /// Begins to ask; `None` if no daemon runs.
    pub(super) fn start(places: &Places) -> Result<Option<Self>, Failure> {
        let Some(daemon) = Connection::open(places)? else { return Ok(None) };
        let (wishes, wished) = channel();
        let (told, news) = channel();
        let asker = Asker { places: places.clone(), daemon: Some(daemon), told };
        std::thread::Builder::new()
            .name("driftless-top".to_owned())
            .spawn(move || asker.run(&wished))
            .map_err(|error| Failure::io("starting a thread", &error))?;
        Ok(Some(Self { wishes, news }))
    }

    /// What has come since.
    pub(super) fn news(&self) -> impl Iterator<Item = News> {
        self.news.try_iter()
    }

    /// Has something done.
    pub(super) fn ask(&self, wish: Wish) {
        // The thread ends with this value and not sooner.
        drop(self.wishes.send(wish));
    }
}

struct Asker {
    places: Places,
    /// Nothing while the daemon is gone.
    daemon: Option<Connection>,
    told: Sender<News>,
}

impl Asker {
    /// Asks until nobody wants to know any more.
    fn run(mut self, wished: &Receiver<Wish>) {
        loop {
            let news = match self.glance() {
                Ok(glance) => News::Glance(Box::new(glance)),
                Err(failure) => {
                    self.daemon = None;
                    News::Lost(failure.message)
                }
            };
            if self.told.send(news).is_err() {
                return;
            }
            match wished.recv_timeout(EVERY) {
                Ok(Wish::Sync) => self.sync(),
                Ok(wish) => self.grant(wish),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn glance(&mut self) -> Result<Glance, Failure> {
        let daemon = self.daemon()?;
        let status = collect(daemon, LibraryCommand::Status { watch: false })?;
        let trend = collect(daemon, LibraryCommand::Trend { since: MINUTE.to_owned() })?;
        let events = collect(daemon, LibraryCommand::Log(last_events()))?;
        let (Some(Answer::Status(status)), Some(Answer::Trend(trend))) =
            (status.answer, trend.answer)
        else {
            return Err(Failure::internal("the daemon answers something else"));
        };
        let events = events.rows.into_iter().flat_map(|rows| match rows {
            Rows::Log(rows) => rows,
            _ => Vec::new(),
        });
        Ok(Glance { status: *status, trend: *trend, events: events.collect() })
    }

    /// The daemon; one that was gone may be back.
    fn daemon(&mut self) -> Result<&mut Connection, Failure> {
        let daemon = match self.daemon.take() {
            Some(daemon) => daemon,
            None => Connection::open(&self.places)?.ok_or_else(|| {
                crate::explain::no_daemon("the daemon has ended; `driftless up` starts it")
            })?,
        };
        Ok(self.daemon.insert(daemon))
    }

    fn grant(&mut self, wish: Wish) {
        let (command, done) = match wish {
            Wish::Pause(device) => (
                PeersCommand::Pause { device: Some(device) },
                "The link is cut; p lets it be made again.",
            ),
            Wish::Resume(device) => {
                (PeersCommand::Resume { device: Some(device) }, "The link may be made again.")
            }
            Wish::Sync => return,
        };
        let command = LibraryCommand::Peers { command: Some(command) };
        let told = self.daemon().and_then(|daemon| collect(daemon, command));
        self.tell(told.map_or_else(|failure| failure.message, |_| done.to_owned()));
    }

    /// Waits beside, over a connection of its own.
    fn sync(&self) {
        self.tell("Syncing with all that can be reached …".to_owned());
        let (places, told) = (self.places.clone(), self.told.clone());
        let wait = move || {
            let said = sync(&places).unwrap_or_else(|failure| failure.message);
            // Who has quit need not know.
            drop(told.send(News::Done(said)));
        };
        let begun = std::thread::Builder::new().name("driftless-top-sync".to_owned()).spawn(wait);
        if let Err(error) = begun {
            self.tell(format!("No thread to wait for it: {error}"));
        }
    }

    fn tell(&self, words: String) {
        // Who has quit need not know.
        drop(self.told.send(News::Done(words)));
    }
}

/// Waits until all that can be reached have everything; what came of it.
fn sync(places: &Places) -> Result<String, Failure> {
    let Some(mut daemon) = Connection::open(places)? else {
        return Err(crate::explain::no_daemon("the daemon has ended"));
    };
    let args = SyncArgs { wait: SYNC_WAIT, reachable: true, offline: false };
    let mut collected = Collected::default();
    let exit = daemon.run(&Request::Run(LibraryCommand::Sync(args)), &mut collected)?;
    Ok(match (exit, collected.answer) {
        (Exit::Done, _) => "Every device that can be reached has everything.".to_owned(),
        (_, Some(Answer::Sync(report))) => format!("Not yet: {}", report.verdict),
        _ => "Not yet.".to_owned(),
    })
}

fn last_events() -> LogArgs {
    let kind = Some("event".to_owned());
    LogArgs {
        follow: false,
        device: None,
        model: None,
        kind,
        severity: None,
        since: None,
        limit: EVENTS,
    }
}

fn collect(daemon: &mut Connection, command: LibraryCommand) -> Result<Collected, Failure> {
    let mut collected = Collected::default();
    daemon.run(&Request::Run(command), &mut collected)?;
    Ok(collected)
}
