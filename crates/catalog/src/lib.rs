//! The file catalogue of Driftless: what is on the drives of all devices, as records of a library,
//! and what people say about it.
//!
//! [`models()`] are the record types; [`Catalog`] is what a program does with them: index folders,
//! look around in the folders of all devices, find, tag. [`scan`] knows file systems and nothing of
//! libraries.
//!
//! ```
//! use driftless::Library;
//! use driftless_catalog::{Catalog, FindQuery, NewTag, ScanOptions, models};
//!
//! # fn main() -> Result<(), driftless_catalog::CatalogError> {
//! # let place = tempfile::tempdir().unwrap();
//! # let (dir, photos) = (place.path().join("library"), place.path().join("photos"));
//! # std::fs::create_dir(&photos).unwrap();
//! # std::fs::write(photos.join("Sea.jpg"), "waves").unwrap();
//! let library = Library::create(&dir, &models(), "Home", "laptop")?;
//! let catalog = Catalog::new(&library);
//! let added = catalog.add_location(&photos, &ScanOptions::default(), &mut |_progress| {})?;
//! assert_eq!(added.counts.files, 1);
//!
//! let summer = catalog.create_tag(NewTag::named("summer"))?;
//! let sea = catalog.resolve(photos.join("Sea.jpg").as_os_str())?;
//! catalog.tag_paths(summer, &[sea])?;
//! let found = catalog.find(&FindQuery { text: Some("SEA".into()), ..FindQuery::default() })?;
//! assert_eq!(found.items[0].tags[0].name, "summer");
//! # Ok(())
//! # }
//! ```

mod about;
mod bounds;
mod carry;
mod catalog;
mod collections;
mod error;
mod find;
mod fold;
mod forest;
mod index;
mod item;
pub mod keep;
mod links;
mod list;
mod locations;
mod metadata;
mod models;
mod names;
mod natural;
mod owners;
mod paths;
mod resolve;
pub mod scan;
mod select;
mod tag_merge;
mod tag_select;
mod tagging;
mod tags;
pub mod watch;

pub use catalog::Catalog;
pub use collections::CollectionInfo;
pub use error::{Candidate, CatalogError};
pub use find::{DEFAULT_LIMIT, FindQuery};
pub use index::{Added, Changes, Counts, ScanOptions, ScanPhase, ScanProgress};
pub use item::{Item, Listing, TagName};
pub use list::MAX_LISTED;
pub use locations::LocationInfo;
pub use metadata::{MAX_FREE_BYTES, MAX_FREE_FIELDS, MAX_FREE_VALUE, Metadata, Noted};
pub use models::{
    Collection, CollectionMember, Entry, EntryKind, Location, LocationRules, LocationState,
    MetadataField, SYSTEM_TAGS, Subject, Tag, Tagging, UserMetadata, Volume, models,
};
pub use natural::natural_order;
pub use tags::{NewTag, TagInfo};
