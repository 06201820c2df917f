//! Selectors: a full id, a unique prefix of at least four hex digits, or a name.

use driftless::rusqlite::{Connection, params};
use driftless::{DeviceId, Uuid};

use crate::catalog::Catalog;
use crate::error::{Candidate, CatalogError};
use crate::item::{shown, uuid};
use crate::owners::{Owner, Owners};

/// Hex digits that a prefix needs.
const MIN_PREFIX: usize = 4;
/// Candidates that an error tells of.
const MAX_CANDIDATES: usize = 20;

/// The lower-case hex digits of an id's prefix, or `None` if the text is none. Hyphens are those of
/// UUIDs and mean nothing.
fn hex_prefix(text: &str, max: usize) -> Option<String> {
    let digits: String =
        text.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let hex = digits.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && (MIN_PREFIX..=max).contains(&digits.len())).then_some(digits)
}

/// The least and the greatest id of 16 bytes with this prefix.
fn id_range(prefix: &str) -> Option<(Uuid, Uuid)> {
    let padded = |with: char| {
        let digits: String = prefix.chars().chain(std::iter::repeat(with)).take(32).collect();
        Uuid::try_parse(&digits).ok()
    };
    Some((padded('0')?, padded('f')?))
}

/// The ids of a model's table that a selector may mean by itself, not by a name: at most `max`.
pub(crate) fn ids_like(
    db: &Connection,
    table: &'static str,
    text: &str,
    max: usize,
) -> Result<Vec<Uuid>, CatalogError> {
    let Some((low, high)) = hex_prefix(text, 32).as_deref().and_then(id_range) else {
        return Ok(Vec::new());
    };
    let sql = format!("SELECT id FROM {table} WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3");
    let mut select = db.prepare_cached(&sql)?;
    let limit = i64::try_from(max).unwrap_or(i64::MAX);
    let rows =
        select.query_map(params![low.as_bytes(), high.as_bytes(), limit], |row| row.get(0))?;
    let mut ids = Vec::new();
    for id in rows {
        let id: Vec<u8> = id?;
        // Keys of other lengths are not ours.
        ids.extend(Uuid::from_slice(&id).ok());
    }
    Ok(ids)
}

/// The ids of all records of a model with exactly this name, in their order.
pub(crate) fn named(
    db: &Connection,
    table: &'static str,
    name: &str,
) -> Result<Vec<Uuid>, CatalogError> {
    let sql = format!("SELECT id FROM {table} WHERE name = ?1 ORDER BY id");
    let mut select = db.prepare_cached(&sql)?;
    let mut rows = select.query([name])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.extend(shown(|| uuid(row, 0))?);
    }
    Ok(ids)
}

/// The name of a record; empty if it is not there.
pub(crate) fn name_of(
    db: &Connection,
    table: &'static str,
    id: Uuid,
) -> Result<String, CatalogError> {
    let mut select = db.prepare_cached(&format!("SELECT name FROM {table} WHERE id = ?1"))?;
    let mut rows = select.query([id.as_bytes()])?;
    let name = match rows.next()? {
        Some(row) => shown(|| row.get(0))?,
        None => None,
    };
    Ok(name.unwrap_or_default())
}

/// The record of a model that a selector means, by its id, the beginning of that, or its name.
pub(crate) fn select_one(
    db: &Connection,
    (table, what): (&'static str, &'static str),
    text: &str,
) -> Result<Uuid, CatalogError> {
    let mut fits = ids_like(db, table, text, MAX_CANDIDATES + 1)?;
    fits.extend(named(db, table, text)?);
    fits.sort_unstable();
    fits.dedup();
    let with_name = |id: Uuid| Ok((id, name_of(db, table, id)?));
    let fits = fits.into_iter().map(with_name).collect::<Result<Vec<_>, CatalogError>>()?;
    Ok(exactly_one(what, text, fits, |(id, name)| (id.to_string(), name.clone()))?.0)
}

/// The one of `fits`, or what is wrong with their number. `describe` gives an item's id and name.
pub(crate) fn exactly_one<T>(
    what: &'static str,
    given: &str,
    fits: Vec<T>,
    describe: impl Fn(&T) -> (String, String),
) -> Result<T, CatalogError> {
    let given = given.to_owned();
    if fits.len() > 1 {
        let candidate = |item| {
            let (id, name) = describe(item);
            Candidate { id, name }
        };
        let candidates = fits.iter().take(MAX_CANDIDATES).map(candidate).collect();
        return Err(CatalogError::Ambiguous { what, given, candidates });
    }
    fits.into_iter().next().ok_or(CatalogError::NotFound { what, given })
}

impl Owners {
    /// The device that a selector means.
    pub(crate) fn select(&self, text: &str) -> Result<&Owner, CatalogError> {
        let prefix = hex_prefix(text, 64);
        let fits = |owner: &&Owner| {
            owner.name.as_deref() == Some(text)
                || prefix.as_ref().is_some_and(|p| owner.device.to_string().starts_with(p))
        };
        let describe =
            |owner: &&Owner| (owner.device.to_string(), owner.name.clone().unwrap_or_default());
        exactly_one("device", text, self.iter().filter(fits).collect(), describe)
    }
}

impl Catalog<'_> {
    /// The device that a selector means: an id of 64 hex digits, a unique prefix of it of at least
    /// four, or a name.
    pub fn select_device(&self, selector: &str) -> Result<DeviceId, CatalogError> {
        self.read(|db| Ok(Owners::load(db)?.select(selector)?.device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_hex_and_long_enough() {
        assert_eq!(hex_prefix("01aB-", 32).as_deref(), Some("01ab"));
        for none in ["01a", "", "----", "01ag", "naïve"] {
            assert_eq!(hex_prefix(none, 32), None, "{none:?}");
        }
        assert_eq!(hex_prefix(&"a".repeat(33), 32), None);
        let (low, high) = id_range("0198f").unwrap();
        assert_eq!(low.to_string(), "0198f000-0000-0000-0000-000000000000");
        assert_eq!(high.to_string(), "0198ffff-ffff-ffff-ffff-ffffffffffff");
        let id = Uuid::from_bytes([0xab; 16]);
        assert_eq!(id_range(&hex_prefix(&id.to_string(), 32).unwrap()), Some((id, id)));
    }

    #[test]
    fn one_none_or_many() {
        let describe = |n: &u8| (n.to_string(), format!("number {n}"));
        assert_eq!(exactly_one("number", "x", vec![7], describe).unwrap(), 7);
        let none = exactly_one("number", "x", vec![], describe);
        assert!(matches!(none, Err(CatalogError::NotFound { what: "number", .. })));
        let many = exactly_one("number", "x", (0..100).collect(), describe);
        let Err(CatalogError::Ambiguous { candidates, .. }) = many else { panic!("{many:?}") };
        assert_eq!(candidates.len(), MAX_CANDIDATES);
        assert_eq!(candidates[1].name, "number 1");
    }
}
