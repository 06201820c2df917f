//! `ls` and `find`.

use data_encoding::BASE64;
use driftless::core::id::hex;
use driftless_catalog::{Catalog, EntryKind, FindQuery, Item, Listing, MAX_LISTED};

use super::{Context, gone};
use crate::answer::{EntryRow, Rows};
use crate::args::{FindArgs, KindArg, LsArgs};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text::{count, signed_time};

/// Entries that are handed on at a time.
const CHUNK: usize = 500;
/// Bytes of notes that are handed on at a time, about.
const NOTES: usize = 1 << 20;

pub(super) fn ls(
    context: Context<'_>,
    args: &LsArgs,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let catalog = context.catalog(args.as_of.as_deref())?;
    let device = args.device.as_deref().map(|device| catalog.select_device(device)).transpose()?;
    let path = args.path.as_ref().map(|path| path.as_os_str());
    let mut listing = catalog.ls(path, device)?;
    let limit = most(args.limit);
    listing.more |= listing.items.len() > limit;
    listing.items.truncate(limit);
    hand_on(&listing, out)
}

pub(super) fn find(
    context: Context<'_>,
    args: &FindArgs,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let catalog = Catalog::new(context.library);
    let query = FindQuery {
        text: args.text.clone(),
        prefix: args.prefix,
        tags: args.tag.as_deref().map(|tag| catalog.select_tags(tag)).transpose()?,
        kind: args.kind.map(kind),
        hidden: args.hidden,
        favourite: args.favourite,
        collection: args
            .collection
            .as_deref()
            .map(|collection| catalog.select_collection(collection))
            .transpose()?,
        device: args.device.as_deref().map(|device| catalog.select_device(device)).transpose()?,
        limit: Some(most(args.limit)),
    };
    hand_on(&catalog.find(&query)?, out)
}

/// How many are listed at most.
fn most(limit: Option<u64>) -> usize {
    limit.map_or(MAX_LISTED, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

fn kind(kind: KindArg) -> EntryKind {
    match kind {
        KindArg::File => EntryKind::File,
        KindArg::Dir => EntryKind::Dir,
        KindArg::Link => EntryKind::Link,
    }
}

pub(super) fn hand_on(listing: &Listing, out: &mut dyn Output) -> Result<Exit, Failure> {
    if listing.items.is_empty() {
        out.rows(Rows::Entries(Vec::new())).map_err(gone)?;
    }
    let (mut rows, mut notes) = (Vec::new(), 0);
    for item in &listing.items {
        notes += item.metadata.note.as_ref().map_or(0, String::len);
        rows.push(row(item));
        if rows.len() >= CHUNK || notes >= NOTES {
            notes = 0;
            out.rows(Rows::Entries(std::mem::take(&mut rows))).map_err(gone)?;
        }
    }
    if !rows.is_empty() {
        out.rows(Rows::Entries(rows)).map_err(gone)?;
    }
    if listing.more {
        let shown = listing.items.len() as u64;
        out.note(format!(
            "There are more than these {}; --limit says how many are listed.",
            count(shown)
        ))
        .map_err(gone)?;
    }
    Ok(Exit::Done)
}

fn row(item: &Item) -> EntryRow {
    EntryRow {
        id: item.id.to_string(),
        name: item.name.clone(),
        name_raw: item.name_raw.as_deref().map(|raw| BASE64.encode(raw)),
        kind: item.kind.as_str().to_owned(),
        // Rows come from other devices; a size below nothing is nothing.
        size: u64::try_from(item.size).unwrap_or(0),
        device: item.device_name.clone(),
        device_id: item.device.to_string(),
        path: item.path.clone(),
        path_raw: item.path_raw.as_deref().map(|raw| BASE64.encode(raw)),
        location: item.location.to_string(),
        modified_at: item.modified_at.map(signed_time),
        created_at: item.created_at.map(signed_time),
        content: item.content.as_ref().map(|hash| hex(hash)),
        link_target: item.link_target.clone(),
        tags: item.tags.iter().map(|tag| tag.name.clone()).collect(),
        note: item.metadata.note.clone(),
        favourite: item.metadata.favourite,
        hidden: item.metadata.hidden,
        rating: item.metadata.rating,
    }
}
