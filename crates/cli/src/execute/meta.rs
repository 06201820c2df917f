//! `meta`.

use driftless::core::id::hex;
use driftless_catalog::{Catalog, Item, Noted};
use serde_json::Value;

use super::{Context, gone, pairs};
use crate::answer::{Answer, NotedReport};
use crate::args::MetaCommand;
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(super) fn run(
    context: Context<'_>,
    command: MetaCommand,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let catalog = Catalog::new(context.library);
    let item = match command {
        MetaCommand::Get { file, as_of } => {
            let catalog = context.catalog(as_of.as_deref())?;
            let item = catalog.resolve(file.as_os_str())?;
            let noted = catalog.noted(&item)?;
            out.answer(Answer::Noted(Box::new(report(&item, noted)))).map_err(gone)?;
            return Ok(Exit::Done);
        }
        MetaCommand::Set { file, fields } => {
            let fields = pairs(&fields, "meta set PATH note=TEXT rating=5")?;
            let item = catalog.resolve(file.as_os_str())?;
            catalog.note(&item, &fields)?;
            item
        }
    };
    out.answer(Answer::Noted(Box::new(report(&item, catalog.noted(&item)?)))).map_err(gone)?;
    Ok(Exit::Done)
}

fn report(item: &Item, noted: Noted) -> NotedReport {
    // What another program has written that is no JSON is text.
    let value = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
    NotedReport {
        id: item.id.to_string(),
        path: item.path.clone(),
        device: item.device_name.clone(),
        device_id: item.device.to_string(),
        content: item.content.as_ref().map(|hash| hex(hash)),
        note: noted.metadata.note,
        favourite: noted.metadata.favourite,
        hidden: noted.metadata.hidden,
        rating: noted.metadata.rating,
        data: noted.data.into_iter().map(|(key, text)| (key, value(text))).collect(),
        tags: noted.tags.into_iter().map(|tag| tag.name).collect(),
    }
}
