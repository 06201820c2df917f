//! Finding entries of all devices by name, tag, kind and device.
//!
//! Candidates come from the index that narrows most: a tag's links, a prefix's ranges among the
//! names, a device's rows, or all names. The rest is looked at row by row, and the search ends when
//! the limit is reached. Case is folded here, as SQLite knows ASCII alone.

use std::collections::HashSet;
use std::ops::ControlFlow;

use driftless::rusqlite::{CachedStatement, Connection, Rows};
use driftless::{DeviceId, Uuid};

use crate::catalog::Catalog;
use crate::error::CatalogError;
use crate::fold::Needle;
use crate::item::{Item, Listing, Loader, sort};
use crate::locations::locations;
use crate::models::EntryKind;

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
        if let Some(tags) = &self.query.tags {
            return self.tagged(tags);
        }
        match (&self.needle, self.lane) {
            (None, Some(Some(lane))) => self.of_device(lane),
            _ => self.named(),
        }
    }

    /// Looks at the entry in this row of the table, whose name fits.
    fn load(&mut self, rowid: i64) -> Step {
        match self.loader.by_rowid(rowid)? {
            Some(item) => Ok(self.keep(item)),
            None => Ok(ON),
        }
    }

    /// Keeps what fits; breaks when it is one more than the limit.
    fn keep(&mut self, item: Item) -> ControlFlow<()> {
        let fits = self.query.kind.is_none_or(|kind| item.kind == kind)
            && self.query.device.is_none_or(|device| item.device == device);
        if fits && self.met.insert(item.id) {
            self.items.push(item);
        }
        if self.items.len() > self.limit { ControlFlow::Break(()) } else { ON }
    }

    fn tagged(&mut self, tags: &[Uuid]) -> Step {
        for tag in tags {
            // Tags that are gone are on nothing.
            if self.loader.tag_is_there(*tag)? && self.tagged_with(*tag)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ON)
    }

    fn tagged_with(&mut self, tag: Uuid) -> Step {
        let on_content = "SELECT e.rowid, e.name FROM tagging AS g CROSS JOIN entry AS e \
                          ON e.content = g.content WHERE g.tag = ?1";
        let on_entry = "SELECT e.rowid, e.name FROM tagging AS g CROSS JOIN entry AS e \
                        ON e.id = g.entry WHERE g.tag = ?1";
        for sql in [on_content, on_entry] {
            let mut select = self.db.prepare_cached(sql)?;
            let rows = select.query([tag.as_bytes()])?;
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
        let mut statements = Vec::new();
        for kind in kinds {
            for range in &ranges {
                statements.push((prepare(self.db, range)?, kind, range));
            }
        }
        let mut cursors = Vec::new();
        for (statement, kind, (low, high)) in &mut statements {
            let rows = if high.is_empty() {
                statement.query([kind.number()])?
            } else {
                statement.query((kind.number(), low, high))?
            };
            cursors.extend(Cursor::begin(rows, self.needle.clone())?);
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
            let wanted = |tags: &Vec<Uuid>| item.tags.iter().any(|tag| tags.contains(&tag.id));
            if self.query.tags.as_ref().is_none_or(wanted) && self.keep(item).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Names of one kind in a range, or all.
fn prepare<'db>(
    db: &'db Connection,
    (_, high): &(String, String),
) -> Result<CachedStatement<'db>, CatalogError> {
    Ok(if high.is_empty() {
        db.prepare_cached("SELECT rowid, name FROM entry WHERE kind = ?1 ORDER BY name")?
    } else {
        db.prepare_cached(
            "SELECT rowid, name FROM entry WHERE kind = ?1 AND name >= ?2 AND name < ?3 \
             ORDER BY name",
        )?
    })
}

/// Rows whose names fit, in the order of names, with the next one at hand.
struct Cursor<'r> {
    rows: Rows<'r>,
    needle: Option<Needle>,
    rowid: i64,
    name: String,
}

impl<'r> Cursor<'r> {
    /// `None` if there are no rows.
    fn begin(rows: Rows<'r>, needle: Option<Needle>) -> Result<Option<Self>, CatalogError> {
        let mut cursor = Self { rows, needle, rowid: 0, name: String::new() };
        Ok(cursor.next()?.then_some(cursor))
    }

    fn next(&mut self) -> Result<bool, CatalogError> {
        while let Some(row) = self.rows.next()? {
            let Ok(name) = row.get_ref(1)?.as_str() else { continue };
            if self.needle.as_ref().is_some_and(|needle| !needle.fits(name)) {
                continue;
            }
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
