//! Which record a person means: a full id, a unique prefix of at least four digits, or a name; one
//! that is there before one that was deleted.

use std::collections::BTreeMap;

use driftless::core::schema::{ModelDescriptor, ModelId};
use driftless::rusqlite::Connection;
use driftless::{Library, RecordKey, Uuid};

use super::history::model_of;
use crate::failure::{Exit, Failure};

const MIN_PREFIX: usize = 4;
/// Candidates that an ambiguous selector tells of.
const CANDIDATES: i64 = 20;

/// A record that was found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Found {
    /// Of a shared model.
    Shared(ModelId, RecordKey),
    /// A row that a device owns.
    Owned(RecordKey),
}

/// Records, and what they are called.
type Candidates = BTreeMap<Found, String>;

/// The record that a selector means, there or deleted.
pub(super) fn find(
    library: &Library,
    selector: &str,
    model: Option<&str>,
) -> Result<Found, Failure> {
    let model = model.map(|model| model_of(library, model)).transpose()?;
    let there = library.query(|db| alive(library, db, selector, model))??;
    if let Some(found) = one(selector, there)? {
        return Ok(found);
    }
    match one(selector, gone(library, selector, model)?)? {
        Some(found) => Ok(found),
        None => Err(Failure::not_found(
            "no_record",
            format!("no record is called {selector:?}, nor was one in this device's history"),
        )
        .next("driftless log, or name the path of a file")),
    }
}

/// The deleted record that a selector means; `None` if there is none.
pub(super) fn find_deleted(
    library: &Library,
    selector: &str,
    model: Option<&str>,
) -> Result<Option<Found>, Failure> {
    let model = model.map(|model| model_of(library, model)).transpose()?;
    one(selector, gone(library, selector, model)?)
}

fn one(selector: &str, found: Candidates) -> Result<Option<Found>, Failure> {
    if found.len() > 1 {
        let list: Vec<&str> = found.values().map(String::as_str).collect();
        let message = format!("{selector:?} is more than one record: {}", list.join(", "));
        return Err(Failure::new(Exit::Usage, "ambiguous", message)
            .next("run it again with one of these ids, or with --model"));
    }
    Ok(found.into_keys().next())
}

/// The least and the greatest key that begin with these digits.
fn range(selector: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let digits: String = selector.chars().filter(|c| *c != '-').collect();
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    if digits.len() < MIN_PREFIX || digits.len() > 32 || !is_hex {
        return None;
    }
    let bytes = |fill: &str| {
        let full: String = digits.chars().chain(fill.repeat(32).chars()).take(32).collect();
        driftless::core::id::unhex(&full)
    };
    Some((bytes("0")?, bytes("f")?))
}

fn alive(
    library: &Library,
    db: &Connection,
    selector: &str,
    wanted: Option<ModelId>,
) -> Result<Candidates, Failure> {
    let mut found = Candidates::new();
    let models = library.schema().iter().filter(|model| wanted.is_none_or(|id| id == model.id));
    for model in models {
        let mut add = |sql: &str, params: &[&dyn driftless::rusqlite::ToSql]| {
            let mut select = db.prepare_cached(sql)?;
            let mut rows = select.query(params)?;
            while let Some(row) = rows.next()? {
                let id: Vec<u8> = row.get(0)?;
                if let Ok(key) = RecordKey::new(&id) {
                    let name = format!("{key} ({})", model.name);
                    found.insert(of(model, key), name);
                }
            }
            Ok::<_, driftless::rusqlite::Error>(())
        };
        let table = &model.name;
        let by_id = range(selector).map(|(from, to)| {
            let sql = format!("SELECT id FROM \"{table}\" WHERE id BETWEEN ?1 AND ?2 LIMIT ?3");
            add(&sql, &[&from, &to, &CANDIDATES])
        });
        by_id.transpose().map_err(driftless::Error::from)?;
        if model.kind.is_shared() && model.field_named("name").is_some() {
            let sql = format!("SELECT id FROM \"{table}\" WHERE name = ?1 LIMIT ?2");
            add(&sql, &[&selector, &CANDIDATES]).map_err(driftless::Error::from)?;
        }
    }
    Ok(found)
}

fn of(model: &ModelDescriptor, key: RecordKey) -> Found {
    if model.kind.is_shared() { Found::Shared(model.id, key) } else { Found::Owned(key) }
}

/// Records that the history alone knows.
fn gone(library: &Library, selector: &str, wanted: Option<ModelId>) -> Result<Candidates, Failure> {
    let mut found = Candidates::new();
    if let Some((from, to)) = range(selector) {
        let fits = |model: ModelId, key: &RecordKey| {
            wanted.is_none_or(|wanted| wanted == model)
                && (&from[..]..=&to[..]).contains(&key.as_bytes())
        };
        for (model, key) in library.records_in_history(fits)? {
            let name = format!("{key} ({})", library.schema().name_of(model));
            found.insert(Found::Shared(model, key), name);
        }
    }
    if !found.is_empty() || selector.parse::<Uuid>().is_ok() {
        return Ok(found);
    }
    let named = library.schema().iter().filter(|model| {
        model.kind.is_shared()
            && model.field_named("name").is_some()
            && wanted.is_none_or(|wanted| wanted == model.id)
    });
    for model in named {
        for deleted in library.deleted(model.id)? {
            if deleted.record_name.as_deref() == Some(selector) {
                let name = format!("{} ({})", deleted.key, model.name);
                found.insert(Found::Shared(model.id, deleted.key), name);
            }
        }
    }
    Ok(found)
}
