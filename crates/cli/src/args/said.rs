//! What people say of files, besides tags: collections and metadata.

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use super::FileArg;

#[derive(Subcommand, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum CollectionCommand {
    /// Create a collection
    Create {
        /// Its name
        name: String,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Change a collection: name=, description=; nothing after the sign empties the latter
    Set {
        /// A collection: its name, its id, or the first digits of that
        #[arg(value_name = "ID")]
        collection: String,
        /// What to set
        #[arg(value_name = "FIELD=VALUE", required = true)]
        fields: Vec<String>,
    },
    /// Put files and folders into a collection; files with all their copies
    Add {
        /// A collection: its name, its id, or the first digits of that
        #[arg(value_name = "ID")]
        collection: String,
        /// Files and folders: paths on this device, or DEVICE:/path
        #[arg(value_name = "PATH", required = true, value_parser = FileArg::parser())]
        files: Vec<FileArg>,
    },
    /// Take files and folders out of a collection
    Remove {
        /// A collection: its name, its id, or the first digits of that
        #[arg(value_name = "ID")]
        collection: String,
        /// Files and folders: paths on this device, or DEVICE:/path
        #[arg(value_name = "PATH", required = true, value_parser = FileArg::parser())]
        files: Vec<FileArg>,
        /// Do not ask before something large
        #[arg(long)]
        yes: bool,
    },
    /// List the collections, or what is in one, on all devices
    Ls {
        /// A collection: its name, its id, or the first digits of that
        #[arg(value_name = "ID")]
        collection: Option<String>,
        /// At most so many of what is in it
        #[arg(long, value_name = "N", requires = "collection")]
        limit: Option<u64>,
    },
    /// Delete a collection; what is in it stays where it is
    Rm {
        /// A collection: its name, its id, or the first digits of that
        #[arg(value_name = "ID")]
        collection: String,
    },
}

#[derive(Subcommand, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum MetaCommand {
    /// Note something about a file or folder
    #[command(
        long_about = "Note something about a file or folder. A file's notes are about its content: \
        every copy on every device has them.\n\n\
        note=TEXT, favourite=true|false, hidden=true|false and rating=0…5 are fields that everything \
        has; any other name is a free field. The value of a free field is JSON if it reads as JSON \
        (camera={\"lens\": 50}, count=3), else text; so is a number that JSON would write in another \
        way (version=1.10). Nothing after the sign empties a field."
    )]
    Set {
        /// A file or folder: a path on this device, or DEVICE:/path
        #[arg(value_name = "PATH", value_parser = FileArg::parser())]
        file: FileArg,
        /// What to note
        #[arg(value_name = "FIELD=VALUE", required = true)]
        fields: Vec<String>,
    },
    /// Show what is noted about a file or folder, and its tags
    Get {
        /// A file or folder: a path on this device, or DEVICE:/path
        #[arg(value_name = "PATH", value_parser = FileArg::parser())]
        file: FileArg,
        /// As it was: 2026-01-31, 2026-01-31T12:00:00Z, or 90m, 12h, 7d ago
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
    },
}
