//! The command line: what can be said, and how it is explained.

mod file;
mod history;
mod locate;
mod merge;
mod said;
mod why;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};

pub(crate) use file::FileArg;
pub(crate) use history::{HistoryArgs, LogArgs, RestoreRecordArgs, UndoArgs};
pub(crate) use locate::{CatalogCommand, FindArgs, KindArg, LocationCommand, LsArgs, TagCommand};
pub(crate) use merge::{ConflictsCommand, QuarantineCommand, ResolveArgs};
pub(crate) use said::{CollectionCommand, MetaCommand};
pub(crate) use why::WhyArgs;

/// One library of your files and tags, the same on all of your devices, without a server.
#[derive(Parser, Debug)]
#[command(
    name = "driftless",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Begin with `driftless init`, then `driftless up`; on a second device, `driftless join`.\n\
                  Exit codes: 0 done, 1 failed, 2 bad usage, 3 not found, 4 refused, 5 not yet."
)]
pub(crate) struct Cli {
    /// The library's directory [default: $DRIFTLESS_DIR, else the platform's data directory]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "DRIFTLESS_DIR",
        hide_env = true,
        display_order = 900
    )]
    pub(crate) dir: Option<PathBuf>,

    /// Print JSON, for scripts
    #[arg(long, global = true, display_order = 901)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the program can be asked.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show it all: devices on this machine pair, index a folder, edit, part and meet again
    Demo(DemoArgs),
    /// Create a library, with this device as its first member
    Init(InitArgs),
    /// Run the daemon: keep this device in sync, until it is stopped
    Up(UpArgs),
    /// Stop the daemon
    Down,
    /// Join a library with a ticket from one of its devices
    Join(JoinArgs),
    /// Make a library of a backup: this is the device that it was made on, from then on
    #[command(
        long_about = "Make a library of a backup, in a directory that has none: this is the device that \
        it was made on, from then on.\n\n\
        It goes on under a new epoch. What was written after the backup was made comes back from the \
        other devices, as far as they have it. The device itself must not be in use elsewhere any more: \
        a second one joins by a ticket."
    )]
    Restore {
        /// The backup
        file: std::path::PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    #[command(flatten)]
    Library(LibraryCommand),
    /// Run one operation for each line of the standard input, each its own commit
    #[command(
        long_about = "Run one operation for each line of the standard input, each its own commit.\n\n\
        A line is a JSON array with the words of a command: [\"tag\", \"create\", \"holiday\"]. For each \
        line one line of JSON comes out, in the same order: what the command gives with --json, or its \
        error. An error does not stop the batch; the exit code is then 1."
    )]
    Batch,
    /// Show in the terminal how things stand and what goes on, as it happens
    #[command(
        long_about = "Show in the terminal how things stand and what goes on, as it happens: the verdict, \
        the devices with their links and lags, what was written, applied, sent and received in the last \
        minute, conflicts, quarantine, the last events. Needs the daemon.\n\n\
        Keys: arrows select a device, p pauses its link or resumes it, s syncs, ? tells all keys, q quits."
    )]
    Top,
    /// Measure how fast this is here, each figure beside what the machine could do at best
    Bench(BenchArgs),
    /// A device that `bench` starts
    #[command(hide = true)]
    BenchPeer,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What is done with an open library: by the daemon if one runs, else by the command itself.
#[derive(Subcommand, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum LibraryCommand {
    /// Make a ticket that lets one device join
    Invite(InviteArgs),
    /// List the library's devices, or rename one
    Devices {
        #[command(subcommand)]
        command: Option<DevicesCommand>,
    },
    /// Show the links to other devices; add an address, cut links, let them be made again
    Peers {
        #[command(subcommand)]
        command: Option<PeersCommand>,
    },
    #[command(flatten)]
    Catalog(locate::CatalogCommand),
    /// Say how things stand: which devices are up to date, and what is missing where
    Status {
        /// Go on showing it until interrupted
        #[arg(long)]
        watch: bool,
    },
    /// Wait until every device has everything that is here and gave everything that it has
    Sync(SyncArgs),
    /// Print the digests; equal on two devices exactly when their synced data are equal
    Digest,
    /// Print every synced record as a line of JSON, in an order that is the same everywhere
    Dump {
        /// With lives, versions and their stamps
        #[arg(long)]
        stamps: bool,
    },
    /// Compare the digests with those of every device that can be reached
    Verify(VerifyArgs),
    /// Say where a record is, where it is not, why not, and what happens next
    Why(WhyArgs),
    /// Look for what is wrong, and say what cures it
    #[command(
        long_about = "Look for what is wrong, and say what cures it: keys, files, disk, clock, ports, \
        other devices, digests, indexed folders. Works with and without the daemon, and also where \
        the library cannot be opened.\n\n\
        The exit code is 1 if an error was found, and 0 if there are notes and warnings alone."
    )]
    Doctor,
    /// List what was written concurrently, look at it, choose between it
    Conflicts {
        #[command(subcommand)]
        command: Option<ConflictsCommand>,
    },
    /// List what is kept and merged, but cannot show in this version; try it again
    Quarantine {
        #[command(subcommand)]
        command: Option<QuarantineCommand>,
    },
    /// Say who wrote what of a record, when, on which device, the latest first
    History(HistoryArgs),
    /// Take a change back by a new write, with all that the same command changed
    #[command(
        long_about = "Take a change back by a new write, with all that the same command changed: fields \
        get the values that they had, what was created is deleted, what was deleted comes back. It does \
        not matter which device made the change. An undo can be undone.\n\n\
        It is refused, with the reasons, if something was built on the change since."
    )]
    Undo(UndoArgs),
    /// Bring a record back that was deleted, with what it held
    RestoreRecord(RestoreRecordArgs),
    /// List what was changed, when, on which device, the checkpoints, and what happened to sync
    Log(LogArgs),
    /// Show how much was written, sent and applied, how fast, and how far behind others were, over time
    #[command(
        long_about = "Show how much was written, sent and applied, how fast, and how far behind others \
        were, over time.\n\n\
        Steps of a second are there for five minutes of the daemon's life, of ten seconds for an hour, \
        of a minute for a day, of a quarter of an hour for 30 days; the finest that go back so far are \
        shown."
    )]
    Trend {
        /// How far back: 5m, 1h, 7d, up to 30d
        #[arg(long, value_name = "TIME", default_value = "1h")]
        since: String,
    },
    /// Forget what every device has that counts: change sets in the log, tombstones
    Prune {
        /// By what is known, without asking devices that are connected first
        #[arg(long)]
        now: bool,
    },
    /// Write a consistent copy into a new file, while everything runs; it holds this device's secret key
    Backup {
        /// The file, which must not be there yet
        #[arg(value_name = "FILE", value_parser = FileArg::parser())]
        file: FileArg,
    },
    /// Tell where the dashboard is, with the token that opens it
    Dashboard,
    /// Show or change settings of this device
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// How many devices
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=32))]
    pub(crate) devices: u8,
    /// The folder to index [default: a small one that is made for it]
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// Leave the devices' directories behind
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// One benchmark: commit, bulk, index, backfill, propagation, stream, merge or offline [default: all
    /// of these]; or one that takes longer: catch_up, crowded, curve, history, killed, large,
    /// idle, size
    pub(crate) name: Option<String>,
    /// End within 50 seconds
    #[arg(long)]
    pub(crate) quick: bool,
    /// The folder to index [default: one with 20,000 files that is made for it]
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// How many entries `large` has, and `curve` at most, in thousands rounded down [default: 1,000,000; with --quick 100,000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    pub(crate) rows: Option<u32>,
    /// Where `curve` draws what it measured, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct InitArgs {
    /// The library's name
    #[arg(long, value_name = "NAME", default_value = "library")]
    pub(crate) name: String,
    /// This device's name [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) device_name: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct UpArgs {
    /// Where to listen for other devices, such as 0.0.0.0:7700; port 0 picks one
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where to listen for HTTP, on this machine alone, such as 127.0.0.1:7701;
    /// port 0 picks one that is free [default: 127.0.0.1, at the port of the last time]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// No relay, no discovery, no look-ups: only addresses that are known
    #[arg(long)]
    pub(crate) offline: bool,
    /// Do not follow what happens in the indexed folders; `location rescan` then finds it
    #[arg(long)]
    pub(crate) no_watch: bool,
    /// How the log is written on the standard error stream
    #[arg(long, value_name = "FORMAT", default_value = "text", env = "DRIFTLESS_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    /// End when the standard input ends: whoever started it is gone then
    #[arg(long, hide = true)]
    pub(crate) tied: bool,
}

/// How a daemon's log is written.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object on each line, for programs
    Json,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct JoinArgs {
    /// The ticket, as `driftless invite` printed it
    pub(crate) ticket: String,
    /// This device's name [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) device_name: Option<String>,
    /// Do not ask whether both devices show the same code
    #[arg(long)]
    pub(crate) yes: bool,
    /// No relay, no discovery, no look-ups: only the addresses in the ticket
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InviteArgs {
    /// How long the ticket can be used, such as 10m or 2h
    #[arg(long, value_name = "TIME", default_value = "10m")]
    pub(crate) expires: String,
    /// Show the ticket as a QR code as well
    #[arg(long)]
    pub(crate) qr: bool,
    /// Stay until somebody joins, and show the code to compare. The client decides.
    #[arg(skip)]
    pub(crate) attend: bool,
}

#[derive(Subcommand, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum DevicesCommand {
    /// Give a device another name
    Rename {
        /// A device: its name, its id, or the first digits of that
        device: String,
        /// The new name
        name: String,
    },
    /// No longer wait for a device that is gone; it counts again when it comes back
    Evict {
        /// A device: its name, its id, or the first digits of that
        device: String,
    },
}

#[derive(Subcommand, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum PeersCommand {
    /// Remember an address at which another device may be found
    Add {
        /// An address with a port, such as 192.168.1.20:7700
        addr: SocketAddr,
    },
    /// Cut the link to a device, or to all, until it is resumed
    Pause {
        /// A device: its name, its id, or the first digits of that
        device: Option<String>,
    },
    /// Let links be made again
    Resume {
        /// A device: its name, its id, or the first digits of that
        device: Option<String>,
    },
}

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SyncArgs {
    /// How long to wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub(crate) wait: f64,
    /// Do not count devices that cannot be reached
    #[arg(long)]
    pub(crate) reachable: bool,
    /// If no daemon runs: no relay, no discovery, no look-ups
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct VerifyArgs {
    /// First recompute the digests from the rows
    #[arg(long)]
    pub(crate) deep: bool,
    /// If no daemon runs: no relay, no discovery, no look-ups
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Subcommand, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ConfigCommand {
    /// Print one setting, or all
    Get {
        /// max_drift, relay, discovery, retention, history or history_mib
        key: Option<String>,
    },
    /// Change a setting
    Set {
        /// max_drift, relay, discovery, retention, history or history_mib
        key: String,
        /// A time such as 90s or 30d for max_drift, retention and history; MiB for history_mib; on or off for the others
        value: String,
    },
}

/// Seconds from a person: not negative, and no more than a year.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=31_536_000.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds, such as 30".to_owned()),
    }
}
