//! Commands about what happened, and taking it back.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::FileArg;

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HistoryArgs {
    /// A record: its id, the first digits of that, its name, or the path of a file
    #[arg(value_name = "RECORD", value_parser = FileArg::parser())]
    pub(crate) record: FileArg,
    /// The record's model, such as tag, if others go by the same name
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
}

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RestoreRecordArgs {
    /// A record that was deleted: its id, the first digits of that, or its name
    #[arg(value_name = "RECORD")]
    pub(crate) record: String,
    /// The record's model, such as tag, if others go by the same name
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
}

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UndoArgs {
    /// Change sets, as `history` and `log` print them: a dot, or DEVICE#SEQ
    #[arg(value_name = "DOT", required_unless_present = "to", conflicts_with = "to")]
    pub(crate) dots: Vec<String>,
    /// All that this device has written since a checkpoint, as `log` prints it
    #[arg(long, value_name = "CHECKPOINT")]
    pub(crate) to: Option<String>,
    /// With --to: what all devices have written since
    #[arg(long, requires = "to")]
    pub(crate) all: bool,
    /// Overwrite what was written since, and leave what cannot be taken back
    #[arg(long)]
    pub(crate) force: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogArgs {
    /// Go on with what happens, until interrupted; needs the daemon
    #[arg(long)]
    pub(crate) follow: bool,
    /// What this device wrote, and events that concern it: its name, its id, or the first digits of that
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// What changed records of this model, such as tag
    #[arg(long, value_name = "MODEL", conflicts_with = "kind")]
    pub(crate) model: Option<String>,
    /// What is of this kind: a model, such as tag; an event, such as link_lost; or all of one sort:
    /// change_set, event
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Events that are at least as grave: info, warning, error
    #[arg(long, value_name = "SEVERITY")]
    pub(crate) severity: Option<String>,
    /// What was written or happened since: 2026-01-31, 2026-01-31T12:00:00Z, or 90m, 12h, 7d ago
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// At most so many change sets, the last, with the events since; or so many events
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) limit: u64,
}
