//! What commands do with an open library, whoever has it open: the daemon, or the command itself.

mod backup;
mod batch;
mod collections;
mod config;
mod conflicts;
mod dashboard;
mod devices;
mod dump;
mod files;
mod history;
mod invite;
mod locations;
mod log;
mod meta;
mod order;
mod peers;
mod prune;
mod quarantine;
mod record;
mod select;
mod status;
mod sync;
mod tags;
mod trend;
mod undo;
mod value;
mod verdict;
mod verify;
mod why;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;

use driftless::{Library, SyncOptions};
use driftless_catalog::Catalog;

use crate::args::{CatalogCommand, LibraryCommand};
use crate::daemon::Background;
use crate::doctor;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text;

pub(crate) use batch::run as run_batch;
pub(crate) use locations::scan_waiting;
pub(crate) use status::{glance, phase_progress};
pub(crate) use verdict::verdict;

/// The code of what somebody has to say yes to.
pub(crate) const CONFIRM: &str = "confirm";
/// How many things a command can change without a word.
const LARGE: usize = 1_000;

/// An open library, and whose.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) library: &'a Library,
    /// Whether it is a daemon's, whose network stays on.
    pub(crate) daemon: bool,
    /// Set when long work is to end.
    pub(crate) stopping: &'a AtomicBool,
    /// Whether somebody can be asked before something large.
    pub(crate) asks: bool,
    /// Where a daemon does what need not be waited for.
    pub(crate) background: Option<&'a Background>,
}

/// Runs a command. `Ok` can be [`Exit::NotYet`]: then the answer tells why.
pub(crate) fn execute(
    context: Context<'_>,
    command: LibraryCommand,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    match command {
        LibraryCommand::Invite(args) => invite::run(context, &args, out),
        LibraryCommand::Devices { command } => devices::run(context, command, out),
        LibraryCommand::Peers { command } => peers::run(context, command, out),
        LibraryCommand::Catalog(command) => match command {
            CatalogCommand::Location { command } => locations::run(context, command, out),
            CatalogCommand::Ls(args) => files::ls(context, &args, out),
            CatalogCommand::Find(args) => files::find(context, &args, out),
            CatalogCommand::Tag { command } => tags::run(context, command, out),
            CatalogCommand::Collection { command } => collections::run(context, command, out),
            CatalogCommand::Meta { command } => meta::run(context, command, out),
        },
        LibraryCommand::Status { .. } => status::run(context, out),
        LibraryCommand::Sync(args) => sync::run(context, &args, out),
        LibraryCommand::Digest => status::digest(context, out),
        LibraryCommand::Dump { stamps } => dump::run(context, stamps, out),
        LibraryCommand::Verify(args) => verify::run(context, &args, out),
        LibraryCommand::Doctor => doctor::examine(context, out),
        LibraryCommand::Why(args) => why::run(context, &args, out),
        LibraryCommand::Conflicts { command } => conflicts::run(context, command, out),
        LibraryCommand::Quarantine { command } => quarantine::run(context, command, out),
        LibraryCommand::History(args) => history::history(context, &args, out),
        LibraryCommand::Log(args) => log::run(context, &args, out),
        LibraryCommand::Trend { since } => trend::run(context, &since, out),
        LibraryCommand::Undo(args) => undo::undo(context, &args, out),
        LibraryCommand::RestoreRecord(args) => undo::restore(context, &args, out),
        LibraryCommand::Prune { now } => prune::run(context, now, out),
        LibraryCommand::Backup { file } => backup::run(context, &file, out),
        LibraryCommand::Dashboard => dashboard::run(context, out),
        LibraryCommand::Config { command } => config::run(context, command, out),
    }
}

/// Nobody listens any more.
pub(crate) fn gone(error: io::Error) -> Failure {
    Failure::output(&error)
}

/// `field=value`, each; `example` is a command that would be right.
fn pairs<'t>(texts: &'t [String], example: &str) -> Result<Vec<(&'t str, &'t str)>, Failure> {
    let pair = |text: &'t String| {
        text.split_once('=').ok_or_else(|| {
            Failure::usage(format!("{text:?} is not of the form FIELD=VALUE"))
                .next(format!("driftless {example}"))
        })
    };
    texts.iter().map(pair).collect()
}

impl<'a> Context<'a> {
    /// A library that this process has open for one command.
    pub(crate) fn alone(library: &'a Library) -> Self {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Self { library, daemon: false, stopping: &NEVER, asks: false, background: None }
    }

    /// The same, with somebody to ask before something large.
    pub(crate) fn asking(self) -> Self {
        Self { asks: true, ..self }
    }

    /// Before something large: says what will happen and, if somebody can be asked and has not said
    /// yes, leaves it at that; else takes a checkpoint.
    fn before_something_large(
        &self,
        (command, what): (&str, String),
        yes: bool,
        out: &mut dyn Output,
    ) -> Result<(), Failure> {
        if self.asks && !yes {
            return Err(Failure::refused(CONFIRM, what).next("run it again with --yes"));
        }
        let checkpoint = self.library.checkpoint(command)?;
        let name = &checkpoint.name;
        out.note(format!("{what}\nTo take it back: driftless undo --to {name}")).map_err(gone)
    }

    /// The catalogue, as it is or as it was.
    fn catalog(&self, as_of: Option<&str>) -> Result<Catalog<'a>, Failure> {
        Ok(match as_of {
            None => Catalog::new(self.library),
            Some(time) => Catalog::as_of(self.library, text::parse_time(time)?),
        })
    }

    /// The daemon's library.
    pub(crate) fn of_daemon(background: &'a Background) -> Self {
        Self {
            library: background.library(),
            daemon: true,
            stopping: background.stopping(),
            asks: false,
            background: Some(background),
        }
    }

    /// Turns the network on, for as long as the library is open, if it is off.
    fn open_network(&self, offline: bool) -> Result<(), Failure> {
        if self.library.is_syncing() {
            return Ok(());
        }
        let members = self.library.members()?;
        let here = members.iter().find(|member| member.here);
        let last = here.map_or(&[][..], |member| &member.addresses[..]);
        Ok(self.library.sync(SyncOptions { listen: as_before(last), offline })?)
    }
}

/// A device that kept to this machine the last time keeps to it.
fn as_before(last: &[SocketAddr]) -> Option<SocketAddr> {
    let local = !last.is_empty() && last.iter().all(|address| address.ip().is_loopback());
    last.first().filter(|_| local).map(|first| SocketAddr::new(first.ip(), 0))
}
