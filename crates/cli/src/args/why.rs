//! The question why something is not everywhere.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::FileArg;

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WhyArgs {
    /// A record: its id, the first digits of that, its name, or the path of a file
    #[arg(value_name = "RECORD", value_parser = FileArg::parser())]
    pub(crate) record: FileArg,
    /// Only about this device: its name, its id, or the first digits of that
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<String>,
    /// The record's model, such as tag, if others go by the same name
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
}
