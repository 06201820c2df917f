//! `tag`.

use driftless::{Syncable as _, Uuid};
use driftless_catalog::{Catalog, NewTag, Tag, TagInfo};

use super::{Context, LARGE, gone, pairs, undo};
use crate::answer::{Answer, Record, Rows, TagRow, TaggedReport};
use crate::args::{FileArg, TagCommand};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::text::plural;

pub(super) fn run(
    context: Context<'_>,
    command: TagCommand,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let catalog = Catalog::new(context.library);
    let answer = match command {
        TagCommand::Ls { deleted: true, .. } => {
            return undo::deleted(context.library, Tag::descriptor().id, out);
        }
        TagCommand::Ls { as_of, .. } => {
            let catalog = context.catalog(as_of.as_deref())?;
            out.rows(Rows::Tags(list(&catalog.first_tags(out.room())?))).map_err(gone)?;
            return Ok(Exit::Done);
        }
        TagCommand::Create { name, color, parent } => {
            let parent = parent.as_deref().map(|parent| catalog.select_tag(parent)).transpose()?;
            let new = NewTag { color, parent, ..NewTag::named(name.as_str()) };
            changed(catalog.create_tag(new)?, &name, "is created")
        }
        TagCommand::Set { tag, fields } => {
            let ids = catalog.select_tag_group(&tag)?;
            catalog.set_tags_fields(&ids, &pairs(&fields, "tag set TAG color=red")?)?;
            changed(first(&ids)?, &tag, "is changed")
        }
        TagCommand::Rm { tag, yes } => {
            let ids = catalog.select_tag_group(&tag)?;
            let on = on_how_many(&catalog, first(&ids)?)?;
            if on > LARGE as u64 {
                let what = format!("{tag} will show no more on the {} that carry it", files(on));
                context.before_something_large(("tag rm", what), yes, out)?;
            }
            catalog.delete_tags(&ids)?;
            changed(first(&ids)?, &tag, "is deleted")
        }
        TagCommand::Merge { from, into, yes } => {
            let (ids, id) = (catalog.select_tag_group(&from)?, catalog.select_tag(&into)?);
            let on = [on_how_many(&catalog, first(&ids)?)?, on_how_many(&catalog, id)?];
            let what = format!(
                "{from} (on {}) will be one with {into} (on {}), and go by its name",
                files(on[0]),
                files(on[1])
            );
            context.before_something_large(("tag merge", what), yes, out)?;
            catalog.merge_tags(&ids, id)?;
            changed(id, &from, &format!("is one with {into} now"))
        }
        TagCommand::Add { tag, files } => {
            let id = catalog.select_tag(&tag)?;
            let items = catalog.resolve_all(&files)?;
            let changed = catalog.tag_paths(id, &items)?;
            tagged(id, tag, true, changed, &files)
        }
        TagCommand::Remove { tag, files, yes } => {
            let ids = catalog.select_tags(&tag)?;
            let items = catalog.resolve_all(&files)?;
            if items.len() > LARGE {
                let what = format!("{tag} will be taken off {}", self::files(items.len() as u64));
                context.before_something_large(("tag remove", what), yes, out)?;
            }
            let changed = catalog.untag_paths(&ids, &items)?;
            tagged(first(&ids)?, tag, false, changed, &files)
        }
    };
    out.answer(answer).map_err(gone)?;
    Ok(Exit::Done)
}

/// How many things carry a tag.
fn on_how_many(catalog: &Catalog<'_>, tag: Uuid) -> Result<u64, Failure> {
    let tags = catalog.tags()?;
    let found = tags.iter().find(|info| info.tag.id == tag && info.alias_of.is_none());
    Ok(found.map_or(0, |info| info.subjects))
}

fn files(count: u64) -> String {
    plural(count, "thing", "things")
}

fn first(ids: &[Uuid]) -> Result<Uuid, Failure> {
    ids.first().copied().ok_or_else(|| Failure::internal("a selector that fits nothing fits"))
}

fn changed(id: Uuid, tag: &str, what: &str) -> Answer {
    Answer::Record(Record { id: id.to_string(), did: format!("{tag} {what}") })
}

fn tagged(id: Uuid, name: String, added: bool, changed: usize, files: &[FileArg]) -> Answer {
    let (changed, files) = (changed as u64, files.len() as u64);
    Answer::Tagged(TaggedReport { id: id.to_string(), name, added, changed, files })
}

fn list(tags: &[TagInfo]) -> Vec<TagRow> {
    let row = |info: &TagInfo| TagRow {
        id: info.tag.id.to_string(),
        name: info.tag.name.clone(),
        color: info.tag.color.clone(),
        description: info.tag.description.clone(),
        parent: info.tag.parent.map(|parent| parent.to_string()),
        kind: info.tag.kind.clone(),
        alias_of: info.alias_of.map(|id| id.to_string()),
        subjects: info.subjects,
    };
    tags.iter().map(row).collect()
}
