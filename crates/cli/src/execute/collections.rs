//! `collection`.

use driftless::Uuid;
use driftless_catalog::{Catalog, CollectionInfo, MAX_LISTED};

use super::files::hand_on;
use super::{Context, LARGE, gone, pairs};
use crate::answer::{Answer, CollectionRow, Record, Rows, TaggedReport};
use crate::args::{CollectionCommand, FileArg};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text::plural;

pub(super) fn run(
    context: Context<'_>,
    command: CollectionCommand,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let catalog = Catalog::new(context.library);
    let answer = match command {
        CollectionCommand::Ls { collection: None, .. } => {
            out.rows(Rows::Collections(catalog.collections()?.iter().map(row).collect()))
                .map_err(gone)?;
            return Ok(Exit::Done);
        }
        CollectionCommand::Ls { collection: Some(collection), limit } => {
            let id = catalog.select_collection(&collection)?;
            let limit = limit.map_or(MAX_LISTED, |n| usize::try_from(n).unwrap_or(usize::MAX));
            return hand_on(&catalog.members(id, limit)?, out);
        }
        CollectionCommand::Create { name, description } => {
            let id = catalog.create_collection(&name, description.as_deref())?;
            changed(id, &name, "is created")
        }
        CollectionCommand::Set { collection, fields } => {
            let id = catalog.select_collection(&collection)?;
            catalog
                .set_collection_fields(id, &pairs(&fields, "collection set ID name=holiday")?)?;
            changed(id, &collection, "is changed")
        }
        CollectionCommand::Rm { collection } => {
            let id = catalog.select_collection(&collection)?;
            catalog.delete_collection(id)?;
            changed(id, &collection, "is deleted")
        }
        CollectionCommand::Add { collection, files } => {
            let id = catalog.select_collection(&collection)?;
            let items = catalog.resolve_all(&files)?;
            let changed = catalog.add_to_collection(id, &items)?;
            moved(id, collection, true, changed, &files)
        }
        CollectionCommand::Remove { collection, files, yes } => {
            let id = catalog.select_collection(&collection)?;
            let items = catalog.resolve_all(&files)?;
            if items.len() > LARGE {
                let things = plural(items.len() as u64, "thing", "things");
                let what = format!("{things} will be taken out of {collection}");
                context.before_something_large(("collection remove", what), yes, out)?;
            }
            let changed = catalog.remove_from_collection(id, &items)?;
            moved(id, collection, false, changed, &files)
        }
    };
    out.answer(answer).map_err(gone)?;
    Ok(Exit::Done)
}

fn changed(id: Uuid, name: &str, what: &str) -> Answer {
    Answer::Record(Record { id: id.to_string(), did: format!("{name} {what}") })
}

fn moved(id: Uuid, name: String, added: bool, changed: usize, files: &[FileArg]) -> Answer {
    let (changed, files) = (changed as u64, files.len() as u64);
    Answer::Collected(TaggedReport { id: id.to_string(), name, added, changed, files })
}

fn row(info: &CollectionInfo) -> CollectionRow {
    CollectionRow {
        id: info.collection.id.to_string(),
        name: info.collection.name.clone(),
        description: info.collection.description.clone(),
        members: info.members,
    }
}
