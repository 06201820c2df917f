//! Commands about what merging left open.

use clap::{Args, Subcommand};
use driftless::core::id::Dot;
use serde::{Deserialize, Serialize};

#[derive(Subcommand, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ConflictsCommand {
    /// Show a conflict with all its values
    Show {
        /// A conflict: its id, the first digits of that, or its record's name
        conflict: String,
    },
    /// Write one of the values over all others, on every device
    Resolve(ResolveArgs),
}

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResolveArgs {
    /// A conflict: its id, the first digits of that, or its record's name
    pub(crate) conflict: String,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
}

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[group(required = true, multiple = false)]
pub(crate) struct ChoiceArgs {
    /// Keep the value that shows
    #[arg(long)]
    pub(crate) keep_winner: bool,
    /// Take the value with this dot, as `conflicts show` prints it
    #[arg(long, value_name = "DOT", value_parser = dot)]
    pub(crate) take: Option<String>,
    /// Take the value that does not show, if it is the only one
    #[arg(long)]
    pub(crate) take_loser: bool,
}

#[derive(Subcommand, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum QuarantineCommand {
    /// Try again to show what waits
    Retry,
}

/// A dot, kept as it was written.
fn dot(text: &str) -> Result<String, String> {
    let parsed = text.parse::<Dot>();
    parsed.map(|_| text.to_owned()).map_err(|error| error.to_string())
}
