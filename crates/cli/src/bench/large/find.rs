//! Looking for entries among a million.

use std::time::Instant;

use driftless::{Library, Uuid};
use driftless_catalog::{Catalog, EntryKind, FindQuery, Subject, Tagging};

use super::super::catch_up::PROMISED;
use super::super::figure::Figure;
use super::super::place::Bench;
use super::super::rows;
use crate::failure::Failure;

/// How many are asked for.
const LIMIT: usize = 100;
/// How many contents the tag is on.
const TAGGED: usize = 1_000;
/// What is promised, in milliseconds: where an index leads, and where every name is looked at.
const LED_MS: f64 = 20.0;
const LOOKED_MS: f64 = 100.0;

pub(super) fn run(bench: &mut Bench, library: &Library) -> Result<Vec<Figure>, Failure> {
    let tag = tagged(library)?;
    let first = rows::entries(2).pop().map(|entry| entry.name);
    let first = first.ok_or_else(|| Failure::internal("there are entries"))?;
    let query = FindQuery { limit: Some(LIMIT), ..FindQuery::default() };
    let text =
        |text: &str, prefix| FindQuery { text: Some(text.to_owned()), prefix, ..query.clone() };
    let asked = [
        (
            "large_find_prefix",
            "100 entries by how their names begin",
            text(&first[..3], true),
            LED_MS,
        ),
        (
            "large_find_tag",
            "100 entries with a tag",
            FindQuery { tags: Some(vec![tag]), ..query.clone() },
            LED_MS,
        ),
        (
            "large_find_kind",
            "100 folders",
            FindQuery { kind: Some(EntryKind::Dir), ..query.clone() },
            LED_MS,
        ),
        // One entry has it, so that no name is left out.
        ("large_find_part", "the one name that holds a text", text(&first[1..], false), LOOKED_MS),
    ];
    asked
        .into_iter()
        .map(|(name, words, query, most)| {
            let times = bench.sample(|_| {
                let begun = Instant::now();
                let found = Catalog::new(library).find(&query)?;
                let took = begun.elapsed().as_secs_f64() * 1e3;
                if found.items.is_empty() {
                    return Err(Failure::internal(format!("{name} finds nothing")));
                }
                Ok((took, most))
            })?;
            Ok(Figure::of((name, "ms"), (words, PROMISED), &times))
        })
        .collect()
}

/// A tag on a thousand contents.
fn tagged(library: &Library) -> Result<Uuid, Failure> {
    let contents = rows::entries(TAGGED).into_iter();
    let contents: Vec<[u8; 32]> =
        contents.filter_map(|entry| entry.content?.try_into().ok()).collect();
    Ok(library.write(move |tx| {
        let id = tx.new_id();
        tx.insert(&rows::tag(id, "on many".to_owned()))?;
        for content in contents {
            tx.link(&Tagging::new(id, Subject::Content(content)))?;
        }
        Ok::<_, driftless::Error>(id)
    })?)
}
