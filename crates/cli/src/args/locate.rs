//! The catalogue's part of the command line: locations, files, tags; see also [`super::said`].

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::FileArg;
use super::said::{CollectionCommand, MetaCommand};

/// What is done with the catalogue of files.
#[derive(Subcommand, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum CatalogCommand {
    /// Folders of this device that are indexed
    Location {
        #[command(subcommand)]
        command: LocationCommand,
    },
    /// List a folder of any device, as the catalogue has it; without a path, all locations
    Ls(LsArgs),
    /// Find files on all devices
    Find(FindArgs),
    /// Tags, which follow the content of a file to every device and copy
    Tag {
        #[command(subcommand)]
        command: TagCommand,
    },
    /// Collections of files and folders, wherever they are
    Collection {
        #[command(subcommand)]
        command: CollectionCommand,
    },
    /// Notes, favourites, ratings and free fields, which follow the content of a file like tags
    Meta {
        #[command(subcommand)]
        command: MetaCommand,
    },
}

#[derive(Subcommand, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum LocationCommand {
    /// Index a folder; done when the first scan is done
    Add {
        /// The folder
        #[arg(value_name = "PATH", value_parser = FileArg::parser())]
        path: FileArg,
        /// Do not read the files: tags then stay on single files and follow no content
        #[arg(long)]
        no_hash: bool,
        /// Do not wait for the scan: the daemon does it, at once or when it runs
        #[arg(long, conflicts_with = "no_hash")]
        detach: bool,
        /// Leave out what .gitignore files say, besides what .driftlessignore files say
        #[arg(long)]
        gitignore: bool,
        /// Leave out files and folders whose names begin with a dot
        #[arg(long)]
        no_hidden: bool,
    },
    /// List the locations of all devices
    Ls,
    /// Forget a location and its files in the catalogue; the files themselves stay
    Rm {
        /// A location of this device: its id, the first digits of that, its name or its path
        #[arg(value_name = "ID")]
        location: String,
    },
    /// Look again at a location, or at all of this device
    Rescan {
        /// A location of this device: its id, the first digits of that, its name or its path
        #[arg(value_name = "ID")]
        location: Option<String>,
        /// Do not read the files
        #[arg(long)]
        no_hash: bool,
    },
}

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LsArgs {
    /// A folder: a path on this device, or DEVICE:/path
    #[arg(value_name = "PATH", value_parser = FileArg::parser())]
    pub(crate) path: Option<FileArg>,
    /// The device that has it: its name, its id, or the first digits of that
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// At most so many, the first in order
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// With the tags and notes as they were: 2026-01-31, 2026-01-31T12:00:00Z, or 90m, 12h, 7d ago
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<String>,
}

#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FindArgs {
    /// A part of the name; case does not matter
    pub(crate) text: Option<String>,
    /// The name begins with the text
    #[arg(long)]
    pub(crate) prefix: bool,
    /// Only files that carry this tag
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Only what is in this collection
    #[arg(long, value_name = "ID")]
    pub(crate) collection: Option<String>,
    /// Only favourites
    #[arg(long)]
    pub(crate) favourite: bool,
    /// Also what is hidden
    #[arg(long)]
    pub(crate) hidden: bool,
    /// Only entries of this kind
    #[arg(long)]
    pub(crate) kind: Option<KindArg>,
    /// Only entries of this device
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// One line for each: with --json a JSON object, else the path
    #[arg(long)]
    pub(crate) lines: bool,
}

/// A kind of entry.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum KindArg {
    File,
    Dir,
    Link,
}

#[derive(Subcommand, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum TagCommand {
    /// Create a tag; red, orange, yellow, green, blue, purple and grey are there without being made
    Create {
        /// Its name
        name: String,
        /// Its colour, such as red or #c02020
        #[arg(long)]
        color: Option<String>,
        /// The tag that it stands under
        #[arg(long, value_name = "TAG")]
        parent: Option<String>,
    },
    /// Change a tag: name=, color=, description=, parent=; nothing after the sign empties a field
    Set {
        /// A tag: its name, its id, or the first digits of that
        tag: String,
        /// What to set
        #[arg(value_name = "FIELD=VALUE", required = true)]
        fields: Vec<String>,
    },
    /// Delete a tag
    Rm {
        /// A tag: its name, its id, or the first digits of that
        tag: String,
        /// Do not ask before something large
        #[arg(long)]
        yes: bool,
    },
    /// Make one tag of two: what carries either is found by the second's name
    Merge {
        /// The tag that is then called and stands as the other: its name, its id, or the first digits
        /// of that
        from: String,
        /// The other tag: its name, its id, or the first digits of that
        into: String,
        /// Do not ask before something large
        #[arg(long)]
        yes: bool,
    },
    /// List the tags
    Ls {
        /// Those that were deleted, with who did it and when
        #[arg(long, conflicts_with = "as_of")]
        deleted: bool,
        /// As they were: 2026-01-31, 2026-01-31T12:00:00Z, or 90m, 12h, 7d ago
        #[arg(long, value_name = "TIME")]
        as_of: Option<String>,
    },
    /// Put a tag on files
    Add {
        /// A tag: its name, its id, or the first digits of that
        tag: String,
        /// Files: paths on this device, or DEVICE:/path
        #[arg(value_name = "PATH", required = true, value_parser = FileArg::parser())]
        files: Vec<FileArg>,
    },
    /// Take a tag off files
    Remove {
        /// A tag: its name, its id, or the first digits of that
        tag: String,
        /// Files: paths on this device, or DEVICE:/path
        #[arg(value_name = "PATH", required = true, value_parser = FileArg::parser())]
        files: Vec<FileArg>,
        /// Do not ask before something large
        #[arg(long)]
        yes: bool,
    },
}
