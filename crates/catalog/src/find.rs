//! Finding entries of all devices by name, tag, kind and device.
//!
//! Candidates come from the index that narrows most: a collection's or tag's links, the favourites, a
//! prefix's ranges among the names, a device's rows, or all names. The rest is looked at row by row, and the search ends when
//! the limit is reached. Case is folded here, as SQLite knows ASCII alone.

use std::collections::HashSet;
use std::ops::ControlFlow;

use driftless::rusqlite::functions::FunctionFlags;
use driftless::rusqlite::{CachedStatement, Connection, Params, Rows};
use driftless::{DeviceId, Uuid};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::fold::Needle;
use crate::item::{Item, Listing, Loader, sort};
use crate::links::{all_subjects_of, is_there};
use crate::locations::locations;
use crate::models::{CollectionMember, EntryKind};

/// How many items are found if the query does not say.
pub const DEFAULT_LIMIT: usize = 1_000;

/// What to find; everything that is given must fit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FindQuery {
    /// A part of the name, whatever the case.
    pub text: Option<String>,
    /// Whether the name must begin with the text.
    pub prefix: bool,
    /// One of these tags is on it; see [`Catalog::select_tags`]. `None` for whatever tags.
    pub tags: Option<Vec<Uuid>>,
    /// It is in this collection.
    pub collection: Option<Uuid>,
    /// Only favourites.
    pub favourite: bool,
    /// Also what people have hidden.
    pub hidden: bool,
    /// What it is.
    pub kind: Option<EntryKind>,
    /// The device that it is on.
    pub device: Option<DeviceId>,
    /// How many at most; [`DEFAULT_LIMIT`] if `None`.
    pub limit: Option<usize>,
}

impl Catalog<'_> {
    /// Finds entries and locations. If there are more than the limit, which of them are given is
    /// not by chance (by name those that come first, byte by byte) but no more than that.
    pub fn find(&self, query: &FindQuery) -> Result<Listing, CatalogError> {
        self.read(|db| Search::new(db, query)?.run())
    }
}

struct Search<'db, 'q> {
    db: &'db Connection,
    query: &'q FindQuery,
    loader: Loader<'db>,
    needle: Option<Needle>,
    /// The number of the device's rows; `Some(None)` if there are none.
    lane: Option<Option<i64>>,
    limit: usize,
    met: HashSet<Uuid>,
    items: Vec<Item>,
}

/// Where links and records are, and which of them.
const TAGGED: (&str, &str) = ("tagging", "g.tag = ?1");
const MEMBERS: (&str, &str) = ("collection_member", "g.collection = ?1");
const FAVOURITES: (&str, &str) = ("user_metadata", "g.favourite = 1");

type Step = Result<ControlFlow<()>, CatalogError>;
const ON: ControlFlow<()> = ControlFlow::Continue(());

impl<'db, 'q> Search<'db, 'q> {
    fn new(db: &'db Connection, query: &'q FindQuery) -> Result<Self, CatalogError> {
        let loader = Loader::new(db)?;
        let lane = query.device.map(|device| loader.owners().lane(&device));
        let text = query.text.as_deref().filter(|text| !text.is_empty());
        Ok(Self {
            db,
            query,
            loader,
            needle: text.map(|text| Needle::new(text, query.prefix)),
            lane,
            limit: query.limit.unwrap_or(DEFAULT_LIMIT),
            met: HashSet::new(),
            items: Vec::new(),
        })
    }

    fn run(mut self) -> Result<Listing, CatalogError> {
        if self.lane != Some(None) && self.search()?.is_continue() {
            // Locations are few, and people look for them as for any folder.
            self.search_locations()?;
        }
        let more = self.items.len() > self.limit;
        self.items.truncate(self.limit);
        sort(&mut self.items);
        Ok(Listing { items: self.items, more })
    }

    fn search(&mut self) -> Step {
        if let Some(collection) = self.query.collection {
            return self.collected(collection);
        }
        if let Some(tags) = &self.query.tags {
            return self.tagged(tags);
        }
        if self.query.favourite {
            return self.joined(FAVOURITES, []);
        }
        match (&self.needle, self.lane) {
            (None, Some(Some(lane))) => self.of_device(lane),
            _ => self.named(),
        }
    }

    /// Looks at the entry in this row of the table, whose name fits.
    fn load(&mut self, rowid: i64) -> Step {
        match self.loader.by_rowid(rowid)? {
            Some(item) => self.keep(item),
            None => Ok(ON),
        }
    }

    /// Keeps what fits; breaks when it is one more than the limit.
    fn keep(&mut self, item: Item) -> Step {
        if self.fits(&item)? && self.met.insert(item.id) {
            self.items.push(item);
        }
        Ok(if self.items.len() > self.limit { ControlFlow::Break(()) } else { ON })
    }

    /// All that is asked for besides the name.
    fn fits(&self, item: &Item) -> Result<bool, CatalogError> {
        let query = self.query;
        let tagged = |tags: &Vec<Uuid>| item.tags.iter().any(|tag| tags.contains(&tag.id));
        let fits = query.kind.is_none_or(|kind| item.kind == kind)
            && query.device.is_none_or(|device| item.device == device)
            && query.tags.as_ref().is_none_or(tagged)
            && (!query.favourite || item.metadata.favourite)
            && (query.hidden || !item.metadata.hidden);
        match query.collection {
            Some(collection) if fits => is_member(self.db, collection, item),
            _ => Ok(fits),
        }
    }

    fn collected(&mut self, collection: Uuid) -> Step {
        // What was in a collection that is gone is in none.
        if self.loader.is_there("collection", collection)? {
            self.joined(MEMBERS, [collection.as_bytes()])
        } else {
            Ok(ON)
        }
    }

    fn tagged(&mut self, tags: &[Uuid]) -> Step {
        for tag in tags {
            // Tags that are gone are on nothing.
            if self.loader.is_there("tag", *tag)?
                && self.joined(TAGGED, [tag.as_bytes()])?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ON)
    }

    /// Entries that something is said of: by their content, and by themselves.
    fn joined(&mut self, (table, condition): (&str, &str), params: impl Params + Copy) -> Step {
        for to in ["e.content = g.content", "e.id = g.entry"] {
            let sql = format!(
                "SELECT e.rowid, e.name FROM {table} AS g CROSS JOIN entry AS e ON {to} \
                 WHERE {condition}"
            );
            let mut select = self.db.prepare_cached(&sql)?;
            let rows = select.query(params)?;
            if self.each(rows)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ON)
    }

    fn of_device(&mut self, lane: i64) -> Step {
        let sql = "SELECT rowid, name FROM entry WHERE _lane = ?1 AND (?2 IS NULL OR +kind = ?2)";
        let mut select = self.db.prepare_cached(sql)?;
        let rows = select.query((lane, self.query.kind.map(EntryKind::number)))?;
        self.each(rows)
    }

    fn each(&mut self, mut rows: Rows<'_>) -> Step {
        while let Some(row) = rows.next()? {
            // A name that is no text fits nothing.
            let Ok(name) = row.get_ref(1)?.as_str() else { continue };
            if self.needle.as_ref().is_some_and(|needle| !needle.fits(name)) {
                continue;
            }
            if self.load(row.get(0)?)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ON)
    }

    /// Goes through the index on kind and name: in all kinds, or ranges of a prefix, at once, so that
    /// what comes first comes by name.
    fn named(&mut self) -> Step {
        let ranges = self.needle.as_ref().and_then(Needle::ranges);
        let ranges = ranges.unwrap_or_else(|| vec![(String::new(), String::new())]);
        let kinds = self.query.kind.map_or_else(|| EntryKind::ALL.to_vec(), |kind| vec![kind]);
        if let Some(needle) = &self.needle {
            let needle = needle.clone();
            let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
            self.db.create_scalar_function(FITS, 1, flags, move |call| {
                Ok(call.get_raw(0).as_blob().is_ok_and(|name| needle.fits_bytes(name)))
            })?;
        }
        let mut statements = Vec::new();
        for kind in kinds {
            for range in &ranges {
                statements.push((prepare(self.db, range, self.needle.is_some())?, kind, range));
            }
        }
        let mut cursors = Vec::new();
        for (statement, kind, (low, high)) in &mut statements {
            let rows = if high.is_empty() {
                statement.query([kind.number()])?
            } else {
                statement.query((kind.number(), low, high))?
            };
            cursors.extend(Cursor::begin(rows)?);
        }
        while let Some(at) = least(&cursors) {
            let cursor = &mut cursors[at];
            if self.load(cursor.rowid)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if !cursor.next()? {
                drop(cursors.swap_remove(at));
            }
        }
        Ok(ON)
    }

    fn search_locations(&mut self) -> Result<(), CatalogError> {
        for (location, _) in locations(self.db)? {
            if self.needle.as_ref().is_some_and(|needle| !needle.fits(&location.name)) {
                continue;
            }
            let Some(item) = self.loader.location(location.id)? else { continue };
            if self.keep(item)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Whether an item is in a collection, by its content or by itself.
fn is_member(db: &Connection, collection: Uuid, item: &Item) -> Result<bool, CatalogError> {
    for subject in all_subjects_of(std::slice::from_ref(item)) {
        if is_there(db, "collection_member", CollectionMember::id_of(collection, subject))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The function that tells SQLite whether a name fits what this search looks for. Names that do not fit
/// never leave SQLite: handing out a row for each costs more than looking at it. It is given bytes, as
/// SQLite copies a text to end it with a zero.
const FITS: &str = "driftless_fits";

/// Names of one kind in a range, or all; `fitting` those that fit.
fn prepare<'db>(
    db: &'db Connection,
    (_, high): &(String, String),
    fitting: bool,
) -> Result<CachedStatement<'db>, CatalogError> {
    let range = if high.is_empty() { "" } else { " AND name >= ?2 AND name < ?3" };
    let fits = if fitting { format!(" AND {FITS}(CAST(name AS BLOB))") } else { String::new() };
    let sql = format!("SELECT rowid, name FROM entry WHERE kind = ?1{range}{fits} ORDER BY name");
    Ok(db.prepare_cached(&sql)?)
}

/// Rows whose names fit, in the order of names, with the next one at hand.
struct Cursor<'r> {
    rows: Rows<'r>,
    rowid: i64,
    name: String,
}

impl<'r> Cursor<'r> {
    /// `None` if there are no rows.
    fn begin(rows: Rows<'r>) -> Result<Option<Self>, CatalogError> {
        let mut cursor = Self { rows, rowid: 0, name: String::new() };
        Ok(cursor.next()?.then_some(cursor))
    }

    fn next(&mut self) -> Result<bool, CatalogError> {
        while let Some(row) = self.rows.next()? {
            // A name that is no text cannot be shown.
            let Ok(name) = row.get_ref(1)?.as_str() else { continue };
            self.name.clear();
            self.name.push_str(name);
            self.rowid = row.get(0)?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// The cursor with the least name. There are a hundred at most, mostly few.
fn least(cursors: &[Cursor<'_>]) -> Option<usize> {
    let all = cursors.iter().enumerate();
    all.min_by(|(_, a), (_, b)| a.name.cmp(&b.name)).map(|(at, _)| at)
}
